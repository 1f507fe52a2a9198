//! What can go wrong when data quality is checked.

use std::path::PathBuf;

use crate::engine::{Cancelled, parquet};
use crate::error::{Coded, IoError};

/// A failed check of data quality: the run failed, not the data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A typed table could not be read.
    #[error("reading {}: {source}", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The decoder's words.
        source: ::parquet::errors::ParquetError,
    },
    /// The results could not be written.
    #[error(transparent)]
    Write(#[from] parquet::Error),
    /// The results could not be made a table.
    #[error("building the results: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The results could not be written as JSON.
    #[error("building the results: {0}")]
    Json(#[from] serde_json::Error),
    /// A line of the thresholds that override the built-in ones cannot be used.
    #[error("{}:{line}: {problem}", file.display())]
    Override {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong; never a value of the file but the names of checks.
        problem: String,
    },
    /// A column is not of the type the CDM asks for.
    #[error("column {table}.{column} is not of the type of the CDM; read the extract again")]
    Column {
        /// CDM table.
        table: String,
        /// Column.
        column: String,
    },
    /// A worker ended without a word.
    #[error("a worker of the data quality checks failed")]
    Worker,
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Parquet { .. } => "quality::parquet",
            Self::Write(e) => e.code(),
            Self::Arrow(_) | Self::Json(_) | Self::Worker => "quality::unexpected",
            Self::Override { .. } => "quality::override",
            Self::Column { .. } => "quality::column",
            Self::Cancelled(_) => "run::stopped",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            Self::Override { .. } => Some(
                "columns: check_name, table, field, concept_id, unit_concept_id, threshold, notes; \
                 table `*` stands for all tables, an empty field for all fields"
                    .into(),
            ),
            _ => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(_) | Self::Override { .. } | Self::Cancelled(_) => false,
            Self::Write(e) => e.is_unexpected(),
            _ => true,
        }
    }
}
