//! The public tier: aggregates that passed disclosure control, and the static browser that shows them.
//!
//! Reads the controlled tier's tables (contract section 10.4) and nothing else, and only the files that the
//! manifest lists. Writes
//!
//! * `public/tables/participant_counts.parquet`: distinct people by concept: total, by sex, by age band;
//! * `public/tables/demographics.parquet`: distinct people by sex, age, race, ethnicity, ancestry, data;
//! * `public/tables/allele_frequencies/callset=<c>/<chrom>.parquet`: AC, AN, AF, homozygotes, in all and by
//!   ancestry;
//! * `public/protection.json`: the parameters of the protection, which are no secret;
//! * `public/site/`: one page and its data, which works from a folder.
//!
//! Counts of people are one-way only and rounded with a secret offset ([`disclosure`]); allele counts obey
//! the strict carrier rule ([`disclosure::allele`]). Everything on the page (order, bars, percentages, top
//! lists) is computed from published numbers. Before [`build`] returns it runs [`audit::audit`] over the
//! bytes it wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datafusion::error::DataFusionError;

use crate::config::disclosure::{PolicyError, PublicPolicy};
use crate::engine::parquet::write_bytes;
use crate::engine::{Cancelled, FileEntry, Job, Ledger, StageOutput};
use crate::error::{Coded, IoError};

pub mod alleles;
pub mod audit;
pub mod concepts;
pub mod demographics;
pub mod disclosure;
mod people;
mod schema;
mod site;
mod source;

pub use audit::{AuditReport, audit};
pub use disclosure::{Prf, prf_from_bits};

/// What to publish.
pub struct PublishRequest<'a> {
    /// Root that holds the files of the controlled tier.
    pub root: PathBuf,
    /// The controlled tier's files, by path relative to `root`; other tiers' entries are ignored.
    pub files: Vec<FileEntry>,
    /// Callsets to publish, in the order they are shown.
    pub callsets: Vec<String>,
    /// The tier's policy.
    pub policy: PublicPolicy,
    /// The keyed function behind the rounding offsets.
    pub prf: &'a dyn Prf,
    /// Name of the programme, for the page.
    pub programme: String,
    /// Release tag (`2026q4r1`), for the page.
    pub release: String,
    /// Reference date: ages in `demographics` are at this date.
    pub reference_date: jiff::civil::Date,
    /// The earlier releases that have a public tier.
    pub previous: Vec<Previous>,
}

impl PublishRequest<'_> {
    /// Version of the vocabulary, as the tables of the controlled tier have it.
    fn vocabulary_version(&self) -> Option<String> {
        self.files.iter().find_map(|file| file.vocabulary.clone())
    }
}

/// A release that readers have.
pub struct Previous {
    /// Root of the release.
    pub root: PathBuf,
    /// Its files, by path relative to `root`; those of the controlled tier say who was in it.
    pub files: Vec<FileEntry>,
}

/// Why the public tier could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy protects too little.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A table could not be written.
    #[error(transparent)]
    Write(#[from] crate::engine::parquet::Error),
    /// A table the public tier cannot do without is not in the controlled tier.
    #[error("the controlled tier has no table `{table}`")]
    MissingTable {
        /// The table.
        table: String,
    },
    /// A table lacks a column.
    #[error("table `{table}` of the controlled tier has no column `{column}`")]
    MissingColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A query failed.
    #[error("querying `{table}`: {source}")]
    Query {
        /// The table.
        table: String,
        /// The engine's words.
        source: Box<DataFusionError>,
    },
    /// A Parquet file could not be read.
    #[error("reading {path}: {source}")]
    Parquet {
        /// Release-relative path.
        path: String,
        /// The reader's words.
        source: parquet::errors::ParquetError,
    },
    /// Columns could not be converted.
    #[error("converting {path}: {source}")]
    Arrow {
        /// Release-relative path.
        path: String,
        /// arrow's words.
        source: arrow::error::ArrowError,
    },
    /// The page could not be made.
    #[error("making {path}: {message}")]
    Page {
        /// Release-relative path.
        path: String,
        /// The template engine's words.
        message: String,
    },
    /// The self-check found something in the bytes that were to be published.
    #[error(
        "the public tier failed its own audit: {findings} finding(s), the first in {file}: {rule}"
    )]
    Leak {
        /// Number of findings.
        findings: usize,
        /// File of the first.
        file: String,
        /// Rule of the first.
        rule: String,
    },
    /// So few people joined or left that the difference of two releases would be theirs. How many is a
    /// sensitive count itself.
    #[error("too few people have joined or left since an earlier release to publish again")]
    FewChanged,
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Policy(_) => "publish::policy",
            Self::Io(e) => e.code(),
            Self::Write(e) => e.code(),
            Self::MissingTable { .. } => "publish::missing_table",
            Self::MissingColumn { .. } => "publish::missing_column",
            Self::Query { .. } => "publish::query",
            Self::Parquet { .. } => "publish::parquet",
            Self::Arrow { .. } => "publish::arrow",
            Self::Page { .. } => "publish::page",
            Self::Leak { .. } => "publish::leak",
            Self::FewChanged => "publish::few_changed",
            Self::Cancelled(_) => "run::stopped",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Policy(_) => Some("correct the policy file of [tier.public]".into()),
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            Self::Leak { .. } => {
                Some("nothing was published; please report this as a defect of strata".into())
            }
            Self::FewChanged => Some(
                "wait until more people than disclosure.sensitive_max have joined or left, or take \
                 [tier.public] out of this run, so that the other tiers can be released now"
                    .into(),
            ),
            _ => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Write(e) => e.is_unexpected(),
            Self::Query { .. } | Self::Arrow { .. } | Self::Page { .. } | Self::Leak { .. } => true,
            _ => false,
        }
    }
}

/// Builds the public tier below `job.out`.
///
/// The books: `rows_in` is the number of raw cells computed, `rows_out` of cells published; the reasons
/// are `published_zero` (a concept or category whose published total is 0), and for alleles
/// `no_carrier`, `variant_withheld`, `carrier_threshold`, `complement`, `small_group`, `group_size` (a group
/// whose size would give another's away) and, of whole callsets, `near_copy` (nearly the people of another) and
/// `few_changed` (nearly the people it had in an earlier release).
///
/// # Errors
/// See [`Error`]; in particular [`Error::FewChanged`] when the tier differs from one of `previous` by fewer people
/// than the policy's `min_change`, and [`Error::Leak`] when the written bytes fail [`audit::audit`].
pub fn build(request: &PublishRequest<'_>, job: &Job) -> Result<StageOutput, Error> {
    request.policy.check()?;
    let people = people::Participants::read(&request.root, &request.files, job)?;
    let disclosure = &request.policy.disclosure;
    let mut withheld: BTreeMap<String, &'static str> = BTreeMap::new();
    for previous in request.previous.iter().filter(|_| disclosure.min_change > 0) {
        let before = people::Participants::read(&previous.root, &previous.files, job)?;
        for callset in people.check_change(&before, disclosure.min_change)? {
            withheld.insert(callset, "few_changed");
        }
    }
    for callset in people.near_copies(&request.callsets, disclosure.sensitive_max) {
        withheld.insert(callset, "near_copy");
    }
    let source = source::Source::open(request, job)?;
    let mut output = StageOutput { ledger: Ledger::default(), files: Vec::new() };

    let counts = concepts::build(request, &source, job)?;
    let demographics = demographics::build(request, &source, job)?;
    let mut callsets = Vec::new();
    if request.policy.alleles.publish {
        for callset in &request.callsets {
            let withheld = withheld.get(callset).copied();
            callsets.push(alleles::build(request, &source, callset, withheld, job)?);
        }
    }
    job.check()?;

    output.ledger.0.push(counts.ledger.clone());
    output.ledger.0.push(demographics.ledger.clone());
    output.files.extend([counts.file.clone(), demographics.file.clone()]);
    for callset in &callsets {
        output.ledger.0.push(callset.ledger.clone());
        output.files.extend(callset.files.iter().cloned());
    }
    output.files.push(write_bytes(
        &job.out,
        schema::PROTECTION,
        "public",
        "protection",
        &schema::Protection::of(&request.policy).to_bytes(),
    )?);
    output.files.extend(site::build(request, &counts, &demographics, &callsets, job)?);
    output.files.sort_by(|a, b| a.path.cmp(&b.path));

    let report = audit::audit(&job.out, &output.files)?;
    match report.findings.first() {
        None => Ok(output),
        Some(first) => Err(Error::Leak {
            findings: report.findings.len(),
            file: first.file.clone(),
            rule: first.rule.to_owned(),
        }),
    }
}
