//! Data quality as the OHDSI DataQualityDashboard 2.8.4 checks it, each table read once.
//!
//! [`check`] runs all 27 kinds of check that a CDM 5.3 or 5.4 database has (some 2,300 single checks)
//! and writes OHDSI's result table to `quality/dqd/results.parquet`, `.csv` and `.json` (the last as
//! OHDSI's viewer reads it). Where OHDSI sends one query a check, here every row group is decoded once
//! and all checks of its table count on it; nulls come from the footers, and what depends on concepts is
//! judged from the rows per concept.
//!
//! # What a pass means here
//! Typed tables have all columns of the specification, and rows without a key or a person, with an
//! unreadable number or date, a duplicate key or an unknown person were quarantined when the feed was
//! read. So `cdmField`, `cdmDatatype` and most of `isPrimaryKey` pass by construction for what is left;
//! what was quarantined is in `quality/rejects/`. Rows without another required value stay: `isRequired`
//! tells of them.
//!
//! # Definitions that differ from OHDSI's SQL
//! - A table the extract lacks fails `cdmTable`; as the target of a foreign key it counts as empty. A
//!   missing vocabulary table is an error of the checks that need it (`is_error`).
//! - A person id that is twice in `person` counts once.
//! - "Now" is the reference date.

mod books;
mod catalogue;
mod check;
mod columns;
mod concepts;
mod error;
mod lookup;
mod output;
mod overrides;
mod people;
mod plan;
mod primary;
mod probe;
mod rows;
mod run;
mod scan;
mod verdict;

use std::path::PathBuf;

use crate::engine::{Job, Ledger, StageOutput, TableLedger};
use crate::omop::SiteExtract;

pub use catalogue::EXCLUDED_TABLES;
pub use error::Error;
pub use verdict::{CheckResult, Overview};

/// What to check.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tables, typed or curated.
    pub tables: SiteExtract,
    /// The vocabulary, when it is not among the tables.
    pub vocabulary: Option<SiteExtract>,
    /// A CSV of thresholds that replace the built-in ones: `check_name, table, field, concept_id,
    /// unit_concept_id, threshold, notes`.
    pub overrides: Option<PathBuf>,
    /// The day that stands for today.
    pub reference_date: jiff::civil::Date,
}

/// Checks `request` and writes the results below `quality/dqd/` of `job.out`.
///
/// Memory: keys of persons, visits and deaths and of the tables that foreign keys point into (4 to 16
/// bytes a row each), the primary keys of one table at a time (a bit to two bytes a row where
/// they are dense, else some 20) and the distinct
/// source values of one table (24 bytes each).
///
/// # Errors
/// When a table cannot be read, the results cannot be written, the overrides cannot be used or the user
/// asked to stop. Data of poor quality is no error.
pub fn check(request: &Request, job: &Job) -> Result<(StageOutput, Vec<CheckResult>), Error> {
    let mut checks = catalogue::checks(request.tables.extract.cdm);
    if let Some(file) = &request.overrides {
        overrides::apply(file, &mut checks)?;
    }
    let run = run::Run::new(request, job);
    let results = run.results(&checks)?;
    let vocabulary = run.vocabulary_version()?;
    let mut metadata = run.metadata()?;
    // OHDSI's viewer heads its page with it.
    metadata.entry("cdmSourceName").or_insert_with(|| request.tables.extract.site.as_str().into());
    if let Some(version) = &vocabulary {
        // What the records were checked with, whatever `cdm_source` says.
        metadata.insert("vocabularyVersion".into(), version.as_str().into());
    }
    let files = output::write(&results, metadata, vocabulary, request.reference_date, job)?;
    let mut books = TableLedger::new("quality/dqd/results");
    books.rows_in = results.len() as u64;
    books.rows_out = results.len() as u64;
    let overview = Overview::of(&results);
    books.note("failed", overview.count_threshold_failed);
    books.note("not_applicable", overview.count_not_applicable);
    books.note("error", overview.count_error_failed);
    Ok((StageOutput { ledger: Ledger(vec![books]), files }, results))
}
