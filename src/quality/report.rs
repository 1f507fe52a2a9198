//! The data-quality page of the health records: one file for people, made of the Achilles results, the
//! quality checks and the books of curation. No script, nothing fetched, counts only; internal.

mod draw;
mod page;
mod read;

use std::path::Path;

use crate::engine::parquet::write_bytes;
use crate::engine::{FileEntry, Job};
use crate::omop::SiteExtract;

pub use super::achilles::Error;

/// Outcome of one quality check, as the page needs it.
#[derive(Debug, Clone)]
pub struct CheckSummary {
    /// DQD check name, e.g. `plausibleStartBeforeEnd`.
    pub check_name: String,
    /// Table checked, lower case.
    pub cdm_table_name: String,
    /// Field checked; empty for a check of a table.
    pub cdm_field_name: String,
    /// Kahn category: Completeness, Conformance, Plausibility.
    pub category: String,
    /// Rows that violate it.
    pub num_violated_rows: u64,
    /// Rows it looked at.
    pub num_denominator_rows: u64,
    /// Threshold in percent.
    pub threshold: f64,
    /// Whether the threshold is exceeded.
    pub failed: bool,
    /// Whether the check does not apply to these data.
    pub not_applicable: bool,
    /// Whether it could not be run, for want of a table.
    pub is_error: bool,
}

/// What a curation rule did to a table.
#[derive(Debug, Clone)]
pub struct RuleCount {
    /// Rule id.
    pub rule: String,
    /// Table, lower case.
    pub table: String,
    /// Rows removed.
    pub removed: u64,
    /// Rows changed.
    pub changed: u64,
    /// Rows made, or moved here from another table.
    pub made: u64,
}

/// What the page shows.
pub struct Request<'a> {
    /// Name of the programme or site, for the title.
    pub title: &'a str,
    /// Root below which [`super::achilles::analyse`] wrote `quality/achilles/`.
    pub results: &'a Path,
    /// Where concept names come from; without it the page shows concept ids.
    pub vocabulary: Option<&'a SiteExtract>,
    /// Counts of at most this many are not in the results; 0 when all are.
    pub small_cell_count: u64,
    /// Quality checks, in any order.
    pub checks: &'a [CheckSummary],
    /// Curation rules, in any order.
    pub rules: &'a [RuleCount],
}

/// Writes `quality/ehr_report.html` below the job's root.
///
/// # Errors
/// When the results or the vocabulary cannot be read or the page cannot be written.
pub fn write(request: &Request<'_>, job: &Job) -> Result<FileEntry, Error> {
    job.check()?;
    let figures = read::figures(request)?;
    let html = page::render(request, &figures);
    let path = "quality/ehr_report.html";
    Ok(write_bytes(&job.out, path, "quality", "ehr_report", html.as_bytes())?)
}
