//! Curation: the sites' extracts united and cleaned by rules that are data.
//!
//! Every row of a person goes to one of some number of buckets, by a hash of the person id, so that a
//! worker has all tables of its people in memory, applies the rules to them in order, and writes what is
//! left as one part of each table, sorted by person, start date and row id. If asked for, what a rule removes
//! goes to `quality/curation/removed/<table>/` with the rule's id, what it changes, as it was, to
//! `quality/curation/changed/<table>/`; how many rows each rule removed, changed and made, by table and
//! site, goes to `quality/curation/rules.parquet`. Rows that rules make have ids above all ids read.

mod apply;
mod bucket;
mod cells;
mod domain;
mod early;
mod error;
mod facts;
mod ids;
mod mapping;
mod other;
mod report;
pub mod rule;
mod sandbox;
mod spill;
pub mod unit;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger};
use crate::omop::{
    CdmVersion, Extract, ExtractTable, Family, FieldSpec, SiteExtract, TableSpec, cdm, former_name,
};

use crate::vocabulary::Vocabulary;

pub use error::Error;
pub use rule::{Rule, Rules};

/// What to curate.
pub struct Request {
    /// The sites' extracts and the wearables feeds. With several, ids of extract *n* (from 0) are raised
    /// by n * 10^15.
    pub extracts: Vec<SiteExtract>,
    /// By extract: whether its rows need EHR consent. The programme's own surveys and measurements and
    /// what people wear do not.
    pub ehr: Vec<bool>,
    /// The rules, in order.
    pub rules: Rules,
    /// People who are left out, by raw id, and why; for [`NO_EHR_CONSENT`] from extracts that need it alone.
    pub excluded: BTreeMap<i64, &'static str>,
    /// Days from which on people's rows are left out by the rule kind `until_deactivated`, by raw id, days
    /// since 1970-01-01.
    pub deactivated: BTreeMap<i64, i32>,
    /// Last day of the data, days since 1970-01-01.
    pub cutoff: i32,
    /// Whether removed rows are kept, and changed ones as they were.
    pub sandbox: bool,
    /// Whether it is kept which row of which extract each row was.
    pub mapping: bool,
    /// The vocabulary; rules that look concepts up ([`Rules::vocabulary`]) need it.
    pub vocabulary: Option<Vocabulary>,
}

/// Why the EHR rows of somebody who takes part are left out.
pub const NO_EHR_CONSENT: &str = "no_ehr_consent";

/// Name of the curated extract.
pub const SITE: &str = "curated";

/// Times that a bucket is in memory while rules are applied to it: as read, as changed, in order, encoded.
const COPIES: u64 = 4;

/// Unites the extracts of `request`, applies its rules and writes `curated/<table>/part-<nnnn>.parquet`
/// below the job's root for tables about persons, `curated/<table>.parquet` for others. The number of
/// parts depends on the number of rows alone.
///
/// # Errors
/// When a table cannot be read or written, and when a rule cannot be applied.
pub fn curate(request: &Request, job: &Job) -> Result<Extract, Error> {
    if let (Some(rule), None) = (request.rules.vocabulary(), &request.vocabulary) {
        return Err(Error::NoVocabulary { rule: rule.id.clone() });
    }
    let version = request.extracts.iter().map(|s| s.extract.cdm).max().unwrap_or(CdmVersion::V5_4);
    let tables = tables(request);
    let pool = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|e| Error::Internal { what: e.to_string() })
    };
    let spill = pool(job.threads)?.install(|| spill::Spill::of(request, &tables, job))?;
    let workers = job.workers(spill.largest_bucket() * COPIES);
    let made: Vec<bucket::Made> = pool(workers)?.install(|| {
        let early = early::find(request, &spill)?;
        let parts = (0..spill.buckets).into_par_iter();
        let make = |part| bucket::make(part, request, &early, &spill, job);
        parts.map(make).collect::<Result<_, Error>>()
    })?;
    let mut books = report::Books::new(request, &tables);
    let mut extract_tables = Vec::new();
    for (name, table) in &tables {
        let mut rows = 0;
        for part in &made {
            rows += books.add(name, part);
        }
        if table.person_field {
            extract_tables.push(ExtractTable {
                name: (*name).to_owned(),
                path: format!("{SITE}/{name}"),
                rows,
                parts: spill.buckets,
            });
        }
    }
    let (others, more) = other::copy(request, &tables, job)?;
    extract_tables.extend(others);
    let mut files: Vec<FileEntry> = vec![report::write(&books, request, job)?];
    files.extend(made.into_iter().flat_map(|part| part.kept));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    extract_tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut ledger: Vec<TableLedger> = books.ledger();
    ledger.extend(more);
    ledger.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(Extract {
        site: SITE.into(),
        cdm: version,
        tables: extract_tables,
        output: StageOutput { ledger: Ledger(ledger), files },
    })
}

/// The tables of all extracts but the vocabulary, by name: the newest version's columns, then those that
/// only an older one has.
fn tables(request: &Request) -> BTreeMap<&'static str, TableSpec> {
    let mut versions: Vec<CdmVersion> = request.extracts.iter().map(|s| s.extract.cdm).collect();
    versions.sort_unstable();
    versions.dedup();
    let mut specs: BTreeMap<&'static str, TableSpec> = BTreeMap::new();
    for version in versions.into_iter().rev() {
        let there = |spec: &&TableSpec| {
            request.extracts.iter().any(|s| s.extract.table(spec.name).is_some())
        };
        for spec in cdm(version).tables().filter(there) {
            if spec.family == Family::Programme || crate::omop::is_vocabulary(spec.name) {
                continue;
            }
            let merged = specs.entry(spec.name).or_insert_with(|| spec.clone());
            let is_new = |f: &&FieldSpec| {
                merged.field(f.name).is_none()
                    && !merged.fields.iter().any(|now| former_name(now.name) == Some(f.name))
            };
            let missing: Vec<_> = spec.fields.iter().filter(is_new).cloned().collect();
            merged.fields.extend(missing);
        }
    }
    specs
}
