//! What can stop a derivation. Messages name files and tables, never a value.

use std::path::PathBuf;

use crate::engine::Cancelled;
use crate::error::{Coded, IoError};

/// A failed derivation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be used.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A table could not be written.
    #[error(transparent)]
    Write(#[from] crate::engine::parquet::Error),
    /// A source could not be read as Parquet.
    #[error("reading {file}: {source}", file = file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The decoder's words.
        source: parquet::errors::ParquetError,
    },
    /// Tables are cut into different numbers of parts.
    #[error("the parts of table `{table}` do not go with those of the other tables")]
    Parts {
        /// The table.
        table: String,
    },
    /// A defect of the program.
    #[error("deriving `{table}`: {what}")]
    Internal {
        /// The table.
        table: &'static str,
        /// What went wrong.
        what: String,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Write(e) => e.code(),
            Self::Parquet { .. } => "derived::parquet",
            Self::Parts { .. } => "derived::parts",
            Self::Internal { .. } => "derived::internal",
        }
    }
    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            _ => None,
        }
    }
    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::Write(e) => e.is_unexpected(),
            Self::Cancelled(_) => false,
            _ => true,
        }
    }
}
