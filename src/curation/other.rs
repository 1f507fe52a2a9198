//! Tables that are about no person: places, providers, notes on the source. Copied, extract by extract.

use std::collections::BTreeMap;
use std::fs::File;

use super::{Error, Request, SITE, spill};
use crate::engine::parquet::{FileTags, UnlistedTable, properties};
use crate::engine::{Job, TableLedger};
use crate::error::IoError;
use crate::omop::{ExtractTable, TableSpec};

/// Copies them; with their books.
pub fn copy(
    request: &Request,
    tables: &BTreeMap<&'static str, TableSpec>,
    job: &Job,
) -> Result<(Vec<ExtractTable>, Vec<TableLedger>), Error> {
    let (mut made, mut books) = (Vec::new(), Vec::new());
    let several = request.extracts.len() > 1;
    for (name, spec) in tables.iter().filter(|(_, t)| !t.person_field) {
        let mut ledger = TableLedger::new(format!("curated/{name}"));
        let tags = FileTags {
            tier: "quality".into(),
            table: (*name).to_owned(),
            callset: None,
            date_basis: "true",
            vocabulary: None,
        };
        let (path, schema) = (format!("{SITE}/{name}.parquet"), spec.schema());
        let properties = job.keyring.sealed(properties(&tags, &[]))?;
        let mut file = UnlistedTable::unlisted(&job.out, &path, schema.clone(), tags, properties)?;
        for (site, extract) in request.extracts.iter().enumerate() {
            for source in extract.files(name) {
                let broken = |error| Error::Parquet { file: source.clone(), source: error };
                let open = File::open(&source).map_err(IoError::at("opening", &source))?;
                let reader =
                    job.keyring.open(open).and_then(|builder| builder.build()).map_err(broken)?;
                for batch in reader {
                    job.check()?;
                    let batch = batch.map_err(|e| broken(e.into()))?;
                    ledger.rows_in += batch.num_rows() as u64;
                    file.write(&spill::conform(&batch, spec, &schema, several.then_some(site))?)?;
                }
            }
        }
        let rows = file.close()?;
        ledger.rows_out = rows;
        books.push(ledger);
        made.push(ExtractTable { name: (*name).to_owned(), path, rows, parts: 0 });
    }
    Ok((made, books))
}
