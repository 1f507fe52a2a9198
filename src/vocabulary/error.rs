//! What can go wrong with a vocabulary.

use std::path::PathBuf;

use crate::engine::{Cancelled, parquet};
use crate::error::{Coded, IoError};

/// A vocabulary, a concept set or a report that cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A report could not be written.
    #[error(transparent)]
    Write(#[from] parquet::Error),
    /// A concept set file that is wrong.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// A vocabulary table that is needed is absent.
    #[error("the vocabulary has no table `{table}`")]
    NoTable {
        /// CDM table.
        table: &'static str,
    },
    /// A Parquet file that cannot be read.
    #[error("reading {file}: {source}", file = file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The decoder's words.
        source: ::parquet::errors::ParquetError,
    },
    /// A Parquet file that lacks a column.
    #[error("{file}: there is no column `{column}`", file = file.display())]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// CDM column.
        column: String,
    },
    /// A column of the wrong type, or batches that do not fit.
    #[error("table `{table}`: {source}")]
    Arrow {
        /// CDM table.
        table: String,
        /// arrow's words.
        source: arrow::error::ArrowError,
    },
    /// A query failed.
    #[error("table `{table}`: {source}")]
    Query {
        /// CDM table.
        table: String,
        /// DataFusion's words.
        source: Box<datafusion::error::DataFusionError>,
    },
    /// More concepts or pairs than can be numbered.
    #[error("table `{table}` has more than 4,294,967,294 distinct ids or rows")]
    TooMany {
        /// CDM table.
        table: &'static str,
    },
    /// The index would not fit.
    #[error("the vocabulary's index needs {need_mib} MiB and the job may use {memory_mib} MiB")]
    Memory {
        /// What it would take, in MiB.
        need_mib: u64,
        /// What there is, in MiB.
        memory_mib: u64,
    },
    /// Two passes over a file saw different rows.
    #[error("table `{table}` changed while it was read")]
    Torn {
        /// CDM table.
        table: &'static str,
    },
    /// A Circe concept set expression that cannot be read.
    #[error("{file}: not a Circe concept set: {message}", file = file.display())]
    Circe {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// Concept sets that name concepts or codes which the vocabulary does not have.
    #[error(
        "concept sets name {count} concepts or codes that the vocabulary does not have: {first}"
    )]
    Unknown {
        /// How many.
        count: usize,
        /// The first of them, with their sets.
        first: String,
    },
}

impl Error {
    /// For `map_err` of queries of `table`.
    pub(super) fn query(
        table: &str,
    ) -> impl Fn(datafusion::error::DataFusionError) -> Self + Copy + '_ {
        move |source| Self::Query { table: table.to_owned(), source: Box::new(source) }
    }

    /// For `map_err` of arrow operations on `table`.
    pub(super) fn arrow(table: &str) -> impl Fn(arrow::error::ArrowError) -> Self + Copy + '_ {
        move |source| Self::Arrow { table: table.to_owned(), source }
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Write(e) => e.code(),
            Self::Config(e) => e.code(),
            Self::NoTable { .. } => "vocabulary::no_table",
            Self::Parquet { .. } => "vocabulary::parquet",
            Self::MissingColumn { .. } => "vocabulary::missing_column",
            Self::Arrow { .. } => "vocabulary::arrow",
            Self::Query { .. } => "vocabulary::query",
            Self::TooMany { .. } => "vocabulary::too_many",
            Self::Memory { .. } => "vocabulary::memory",
            Self::Torn { .. } => "vocabulary::torn",
            Self::Circe { .. } => "vocabulary::circe",
            Self::Unknown { .. } => "vocabulary::unknown_concepts",
        }
    }

    fn help(&self) -> Option<String> {
        let help = match self {
            Self::Io(e) => return e.help(),
            Self::Write(e) => return e.help(),
            Self::Config(e) => return e.help(),
            Self::NoTable { .. } => {
                "give a folder with CONCEPT, CONCEPT_ANCESTOR and CONCEPT_RELATIONSHIP, e.g. an Athena download"
            }
            Self::Parquet { .. } | Self::MissingColumn { .. } => {
                "ingest the vocabulary again, or write the file with the columns of the CDM"
            }
            Self::Memory { .. } => "raise the memory of the engine",
            Self::Torn { .. } => "run again when nothing writes to the vocabulary's folder",
            Self::Circe { .. } => {
                "export the concept set from ATLAS as JSON: {\"items\": [{\"concept\": {\"CONCEPT_ID\": ...}}]}"
            }
            Self::Unknown { .. } => {
                "correct the ids, or load the version of the vocabulary that the sets were made for"
            }
            _ => return None,
        };
        Some(help.to_owned())
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::Write(e) => e.is_unexpected(),
            Self::Arrow { .. } | Self::Query { .. } | Self::Torn { .. } => true,
            _ => false,
        }
    }
}
