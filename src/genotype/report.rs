//! The quality report of a callset: one page for people, made of the tables just written.
//!
//! Internal: it shows exact counts and research ids, as private as the tables. It has no script and asks for
//! nothing from anywhere; its bytes follow from the tables and the ledger alone.

mod draw;
mod figures;
mod page;
mod people;
mod plots;
mod read;

use super::Error;
use crate::engine::parquet::write_bytes;
use crate::engine::{FileEntry, Job, TableLedger};

/// Writes `quality/genomics/<callset>/report.html` from the `variants` and `samples` tables among `files`.
///
/// Variants are read again column by column and counted into histograms of fixed size, a file a worker of the
/// current pool; memory does not grow with them. Columns that are absent or null leave out their plot. Without
/// `individuals` nothing is shown of single people: no plot with a point a person, and no list of them.
///
/// # Errors
/// When a table cannot be read back or the page cannot be written.
pub fn write(
    job: &Job,
    callset: &str,
    genome: super::Genome,
    files: &[FileEntry],
    ledger: &TableLedger,
    individuals: bool,
) -> Result<FileEntry, Error> {
    let variants = read::variants(job, files)?;
    let people = read::people(job, files)?;
    let html = page::render((callset, genome), &variants, &people, ledger, individuals)?;
    let path = format!("quality/genomics/{callset}/report.html");
    Ok(write_bytes(&job.out, &path, "quality", "report", html.as_bytes())?)
}
