//! Which concepts the records use.

use std::path::PathBuf;
use std::sync::Mutex;

use arrow::datatypes::DataType;
use rayon::prelude::*;

use super::scan::{Scan, ints};
use super::{Error, IdSet};
use crate::engine::Job;
use crate::omop::{SiteExtract, cdm, is_vocabulary};

/// A file and its concept columns.
struct Task<'a> {
    table: &'a str,
    file: PathBuf,
    columns: Vec<(&'a str, DataType)>,
}

/// Every concept id in a concept column of a record table of `site`, 0 not among them.
///
/// Memory: 8 KB for every 65,536 consecutive ids of which some are in use, once a thread.
///
/// # Errors
/// When a table cannot be read.
pub fn concepts_in_use(site: &SiteExtract, job: &Job) -> Result<IdSet, Error> {
    let mut tasks = Vec::new();
    let tables = site.extract.tables.iter().filter(|t| !is_vocabulary(&t.name));
    for table in tables {
        let Some(spec) = cdm(site.extract.cdm).table(&table.name) else { continue };
        let fields = spec.fields.iter().filter(|f| f.is_concept_id());
        let columns: Vec<_> = fields.map(|f| (f.name, DataType::Int64)).collect();
        if columns.is_empty() {
            continue;
        }
        let files = site.files(&table.name).into_iter();
        tasks.extend(files.map(|file| Task { table: spec.name, file, columns: columns.clone() }));
    }
    let all = Mutex::new(IdSet::default());
    let run = || {
        tasks.par_iter().try_for_each(|Task { table, file, columns }| {
            let mut used = IdSet::default();
            let files = std::slice::from_ref(file);
            Scan { table, files, columns }.each(job, |batch| {
                batch.iter().for_each(|column| used.insert_all(ints(column)));
                Ok(())
            })?;
            all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).union(&used);
            Ok::<_, Error>(())
        })
    };
    match rayon::ThreadPoolBuilder::new().num_threads(job.threads).build() {
        Ok(pool) => pool.install(run)?,
        Err(_) => run()?,
    }
    let all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(if all.contains(0) { all.iter().filter(|&id| id != 0).collect() } else { all })
}
