//! Genotypes: VCF and BCF in, the `variants`, `genotypes`, `carriers` and `samples` tables out.
//!
//! ```text
//! source (bgzf, text, gzip, bcf) -> shard -> scan (gt kernels) -> split, trim, count -> ShardRows
//!        -> assemble (sort, dedupe, row groups) -> encode (Parquet chunks, in parallel) -> write (in order)
//! ```
//!
//! A shard is a pure function of its descriptor; what is written never depends on the number of threads.
//! Nothing here keeps a sample name: columns of the file are mapped to `sample_idx`, the rank of the
//! research id among the included samples, before the first genotype is looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod allele;
mod assemble;
mod bcf;
mod bgzf;
mod carriers;
mod cohort;
mod encode;
mod error;
mod extent;
mod gt;
mod header;
mod info;
mod ingest;
mod line;
mod region;
mod samples;
mod shard;
mod source;
mod stats;
mod survivors;
mod tables;
mod tally;
mod work;

pub use error::Error;
pub use ingest::ingest;

/// The sample names of a VCF or BCF file, in file order; reads the header only.
///
/// # Errors
/// When the file cannot be read, is no VCF or BCF, is a truncated BGZF, has no samples or has one twice.
pub fn sample_names(path: &Path) -> Result<Vec<String>, Error> {
    Ok(source::Source::open(path)?.header.samples)
}

/// Whether `name` can be a path component and part of a column name.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

pub use crate::config::Genome;

/// Sex as the sample sheet states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Expected karyotype XX.
    Female,
    /// Expected karyotype XY.
    Male,
}

/// A sample that goes into the callset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleEntry {
    /// The person's research id in the controlled tier.
    pub research_id: i64,
    /// Stated sex, if known.
    pub sex: Option<Sex>,
    /// Predicted ancestry group, lower case (`afr`, `eur` ...), if known.
    pub ancestry: Option<String>,
}

/// Who of the samples in the files goes in, and why the others stay out.
#[derive(Debug, Clone, Default)]
pub struct SampleSheet {
    /// By sample name in the file.
    pub included: BTreeMap<String, SampleEntry>,
    /// Samples that stay out, with the reason code (`withdrawn`, `no_genomics_consent` ...).
    pub excluded: BTreeMap<String, String>,
    /// Whether a sample in neither list is left out and counted (`unmapped_sample`) or an error.
    pub exclude_unmapped: bool,
}

/// What to ingest as one callset.
#[derive(Debug, Clone)]
pub struct CallsetRequest {
    /// Callset name, e.g. `wgs`; a path component.
    pub name: String,
    /// Reference genome.
    pub genome: Genome,
    /// Input files, all with the same samples in the same order, split by position.
    pub files: Vec<PathBuf>,
    /// Who goes in.
    pub samples: SampleSheet,
    /// INFO fields to keep, typed by the header.
    pub info: Vec<String>,
    /// Whether to write `carriers`.
    pub carriers: bool,
}
