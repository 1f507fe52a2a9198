//! What can stop a characterisation. Messages name files, tables and columns, never a value.

use std::path::PathBuf;

use crate::engine::Cancelled;
use crate::error::{Coded, IoError};

/// A failed characterisation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be used.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A result could not be written.
    #[error(transparent)]
    Write(#[from] crate::engine::parquet::Error),
    /// A table could not be decoded.
    #[error("{path}: reading the table failed: {reason}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A column has another type than the CDM gives it.
    #[error("{path}: column `{column}` has not the type of the CDM", path = path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// More persons than can be numbered.
    #[error("the tables hold more than 4,294,967,295 persons")]
    TooManyPersons,
    /// The worker threads could not be started.
    #[error("starting worker threads: {0}")]
    Threads(String),
    /// A row batch of a result could not be made.
    #[error("making a result table: {0}")]
    Batch(#[from] arrow::error::ArrowError),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Write(e) => e.code(),
            Self::Read { .. } => "quality::unreadable_table",
            Self::Column { .. } => "quality::column_type",
            Self::TooManyPersons => "quality::too_many_persons",
            Self::Threads(_) => "quality::threads",
            Self::Batch(_) => "quality::result_table",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            Self::Read { .. } | Self::Column { .. } => {
                Some("make the tables again: run the ingest and curate stages".into())
            }
            _ => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        matches!(self, Self::Threads(_) | Self::Batch(_))
    }
}
