//! Attacks on the tiers of rows, measured on a release's own files.
//!
//! What an insider with both tiers, or a reader of the Registered tier who knows the calendar, could find out is
//! not promised away but counted, by the same means that they have:
//!
//! * [`linkage`]: how many people of the Registered tier can be found in the Controlled tier, by ids, by the
//!   order and number of rows, and by what the rows say;
//! * [`shift`]: how many shifts are left for a person after weekdays, holidays and the years in which codes were
//!   valid have been looked at, and how often the likeliest is the true one;
//! * [`edges`]: whether the ends of dense streams tell the shift.
//!
//! [`measure`] writes `quality/privacy/linkage.json` and `quality/privacy/shift_inference.json`. They hold counts
//! and rates of the whole, never a value of a person. Who is who is known to the caller, who has the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::engine::parquet::write_bytes;
use crate::engine::{Cancelled, FileEntry, Job, Ledger, StageOutput};
use crate::error::{Coded, IoError};

pub mod calendar;
pub mod edges;
pub mod linkage;
pub mod shift;
mod tables;
mod trail;

/// Whom a person of the Registered tier is, which the attacks must find out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Truth {
    /// The research id in the Controlled tier.
    pub controlled: i64,
    /// Days that dates have moved back.
    pub shift: u16,
}

/// Shows nothing: ids and shifts are secrets.
impl std::fmt::Debug for Truth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Truth(…)")
    }
}

/// What to attack.
pub struct Request {
    /// Folder to which the files are relative.
    pub root: PathBuf,
    /// Files of both tiers; others are ignored.
    pub files: Vec<FileEntry>,
    /// By research id in the Registered tier, who a person is.
    pub truth: BTreeMap<i64, Truth>,
    /// Most people of the Registered tier to attack: those with the lowest research ids, which are drawn at
    /// random as it were.
    pub max_people: usize,
    /// Person buckets of the tiers.
    pub buckets: u32,
    /// Whether shifts are whole weeks.
    pub weeks: bool,
    /// Last day of the data, days since 1970-01-01.
    pub last_day: i32,
}

impl Request {
    /// The files of a table of `tier` (`person`), in order of their paths.
    fn files(&self, tier: &str, table: &str) -> Vec<&FileEntry> {
        let mut files: Vec<&FileEntry> =
            self.files.iter().filter(|f| f.tier == tier && f.table == table).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// The people of the Registered tier's `person` table who are attacked.
    fn targets(&self, job: &Job) -> Result<BTreeSet<i64>, Error> {
        let people = tables::people(self, "registered", job)?;
        Ok(people
            .into_iter()
            .filter(|id| self.truth.contains_key(id))
            .take(self.max_people)
            .collect())
    }
}

/// Measures every attack on the tiers of `request` and writes what came out.
///
/// # Errors
/// When a file cannot be read or written.
pub fn measure(request: &Request, job: &Job) -> Result<StageOutput, Error> {
    let linkage = linkage::measure(request, job)?;
    let shift = shift::measure(request, job)?;
    let files = vec![
        write(job, "quality/privacy/linkage.json", &linkage)?,
        write(job, "quality/privacy/shift_inference.json", &shift)?,
    ];
    Ok(StageOutput { ledger: Ledger::default(), files })
}

fn write(job: &Job, path: &str, what: &impl Serialize) -> Result<FileEntry, Error> {
    let mut text = serde_json::to_vec_pretty(what)
        .map_err(|e| Error::Internal { what: format!("{path} cannot be written: {e}") })?;
    text.push(b'\n');
    Ok(write_bytes(&job.out, path, "quality", "privacy", &text)?)
}

/// `part` of `whole` to four digits; 0 of nothing.
fn rate(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { rounded(part as f64 / whole as f64) }
}

/// To four digits, so that reports are the same whatever a sum ends in.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// A failed measurement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be used.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A tier's table could not be read.
    #[error("reading {file}: {source}")]
    Parquet {
        /// The file, relative to the release.
        file: String,
        /// The decoder's words.
        source: parquet::errors::ParquetError,
    },
    /// Rows could not be decoded.
    #[error("decoding {file}: {source}")]
    Decode {
        /// The file, relative to the release.
        file: String,
        /// The decoder's words.
        source: arrow::error::ArrowError,
    },
    /// A defect of the program.
    #[error("{what}")]
    Internal {
        /// What went wrong.
        what: String,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Parquet { .. } | Self::Decode { .. } => "attack::unreadable",
            Self::Internal { .. } => "attack::internal",
        }
    }
    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            _ => None,
        }
    }
    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::Cancelled(_) => false,
            _ => true,
        }
    }
}
