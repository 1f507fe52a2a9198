//! Genotypes: VCF and BCF in, the `variants`, `genotypes`, `carriers` and `samples` tables out.
//!
//! ```text
//! source (bgzf, text, gzip, bcf, bed, pgen) -> shard -> scan (gt kernels) -> split, trim, count -> ShardRows
//!        -> assemble (sort, dedupe, row groups) -> encode (Parquet chunks, in parallel) -> write (in order)
//! ```
//!
//! A shard is a pure function of its descriptor; what is written never depends on the number of threads.
//! Nothing here keeps a sample name: columns of the file are mapped to `sample_idx`, the rank of the
//! research id among the included samples, before the first genotype is looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod align;
mod allele;
mod annotate;
mod array_manifest;
mod assemble;
mod bcf;
mod bgzf;
mod carriers;
mod check;
mod cohort;
mod consequence;
mod consequences;
mod csq;
mod encode;
mod error;
mod extent;
mod fasta;
mod field_columns;
mod fields;
mod final_report;
mod freq;
#[doc(hidden)]
pub mod fuzz;
mod gt;
mod hardy;
mod header;
mod histogram;
mod info;
mod ingest;
mod inputs;
mod karyotype;
mod line;
mod merge;
mod outlier;
mod planes;
mod plink;
mod policy;
mod quality;
pub mod query;
mod region;
mod report;
mod samples;
mod selection;
mod shard;
mod site;
mod source;
mod stats;
mod summary;
mod survivors;
mod syntax;
mod tables;
mod tally;
mod work;

pub use annotate::{Annotation, check_annotation};
pub use check::{Check, check};
pub use error::Error;
pub use ingest::ingest;

/// The sample names of a VCF, BCF, .bed, .pgen or FinalReport file, in file order; reads the header, .fam or
/// .psam only, but all of a FinalReport.
///
/// # Errors
/// When the file cannot be read, is none of these, is a truncated BGZF, has no samples or has one twice.
pub fn sample_names(path: &Path) -> Result<Vec<String>, Error> {
    if final_report::is_report(path)? {
        return Ok(final_report::samples(path)?.0);
    }
    if let Some(names) = plink::sample_names(path)? {
        return Ok(names);
    }
    let samples = source::Source::open(path)?.header.samples;
    if samples.is_empty() {
        return Err(Error::NoSamples { file: path.to_owned() });
    }
    Ok(samples)
}

/// The sample names of a callset's files, each once, in the order in which they come up.
///
/// # Errors
/// As [`sample_names`].
pub fn all_sample_names(files: &[PathBuf]) -> Result<Vec<String>, Error> {
    let mut seen = std::collections::HashSet::new();
    let mut names = Vec::new();
    // Files with new samples after the first are to be merged, and may be called as their samples.
    let mut merge = false;
    for (number, file) in files.iter().enumerate() {
        let found = sample_names(file);
        let found = found.map_err(|e| if merge { inputs::unnamed(e, files) } else { e })?;
        let before = names.len();
        names.extend(found.into_iter().filter(|n| seen.insert(n.clone())));
        merge |= number > 0 && names.len() > before;
    }
    Ok(names)
}

/// Whether `name` can be a path component and part of a column name.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

pub use crate::config::{
    CallRules, FormatField, Genome, HalfCalls, ReferenceMismatch, Selection, Stratum,
};

/// Sex as the sample sheet states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Expected karyotype XX.
    Female,
    /// Expected karyotype XY.
    Male,
}

/// A sample that goes into the callset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleEntry {
    /// The person's research id in the controlled tier.
    pub research_id: i64,
    /// Stated sex, if known.
    pub sex: Option<Sex>,
    /// Predicted ancestry group, lower case (`afr`, `eur` ...), if known.
    pub ancestry: Option<String>,
    /// Age in completed years, if known.
    pub age: Option<u16>,
    /// Principal components, empty if not known.
    pub pcs: Vec<f64>,
}

/// Who of the samples in the files goes in, and why the others stay out.
#[derive(Debug, Clone, Default)]
pub struct SampleSheet {
    /// By sample name in the file.
    pub included: BTreeMap<String, SampleEntry>,
    /// Samples that stay out, with the reason code (`withdrawn`, `no_genomics_consent` ...).
    pub excluded: BTreeMap<String, String>,
    /// Entries of the list of samples to leave out that name no sample of the files.
    pub unmatched: u64,
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
    /// Input files of any format, which is told from their first bytes.
    pub files: Vec<PathBuf>,
    /// Who goes in.
    pub samples: SampleSheet,
    /// INFO fields to keep, typed by the header.
    pub info: Vec<String>,
    /// Whether to write `carriers`.
    pub carriers: bool,
    /// All else.
    pub options: Options,
}

/// What a request may leave as it is. Paths are resolved; for meanings see [`crate::config::CallsetFeed`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Chromosome by file, for files of one chromosome.
    pub chromosomes: BTreeMap<PathBuf, String>,
    /// Array manifest, for FinalReport files.
    pub manifest: Option<PathBuf>,
    /// Reference sequence.
    pub reference: Option<PathBuf>,
    /// What to do with a record whose REF is not what the reference has.
    pub reference_mismatch: ReferenceMismatch,
    /// Variants to leave out.
    pub exclude_variants: Option<PathBuf>,
    /// INFO field of consequences.
    pub consequences: Option<String>,
    /// FORMAT fields kept in `carriers`.
    pub format: Vec<FormatField>,
    /// Whether to write `quality`.
    pub quality: bool,
    /// Highest AF of a variant that has rows in `carriers`.
    pub carriers_max_af: Option<f64>,
    /// What counts as a call.
    pub calls: CallRules,
    /// Lowest GQ at which a reference block is a call.
    pub ref_block_min_gq: u8,
    /// Strata of `variant_freq`.
    pub strata: Vec<Stratum>,
    /// Named subsets of variants.
    pub selections: BTreeMap<String, Selection>,
    /// Sites files whose INFO fields are joined to the variants, a table each, by name.
    pub annotations: BTreeMap<String, Annotation>,
    /// Deviations from the median beyond which a sample is flagged.
    pub outlier_mads: f64,
    /// Whether the first record that cannot be used is an error.
    pub strict: bool,
    /// Whether the report may show single people: it is not sealed with their tables.
    pub individuals: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chromosomes: BTreeMap::new(),
            manifest: None,
            reference: None,
            reference_mismatch: ReferenceMismatch::Reject,
            exclude_variants: None,
            consequences: None,
            format: Vec::new(),
            quality: false,
            carriers_max_af: None,
            calls: CallRules::default(),
            ref_block_min_gq: 20,
            strata: Vec::new(),
            selections: BTreeMap::new(),
            annotations: BTreeMap::new(),
            outlier_mads: 4.0,
            strict: false,
            individuals: true,
        }
    }
}
