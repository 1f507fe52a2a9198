//! What can stop curation. Messages name files, tables and rules, never a value.

use std::path::PathBuf;

use crate::engine::Cancelled;
use crate::engine::parquet::is_disk_full;
use crate::error::{Coded, IoError};

/// A failed curation.
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
    /// Columns could not be put together.
    #[error("curating `{table}`: {source}")]
    Arrow {
        /// The table.
        table: String,
        /// arrow's words.
        source: arrow::error::ArrowError,
    },
    /// A rule file that is no rule file.
    #[error("{path}:{line}: {message}", path = path.display())]
    RuleFile {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Rules that cannot be applied.
    #[error("rule `{rule}`: {message}")]
    Rule {
        /// The rule's id.
        rule: String,
        /// What is wrong.
        message: String,
    },
    /// A row id of an extract that does not fit beside those of the others.
    #[error(
        "`{table}.{column}`: an id is negative or has more than 15 digits, with several extracts"
    )]
    LargeId {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// No ids are left for rows that a rule makes.
    #[error(
        "`{table}`: the row ids are so large that rules have none left for rows that they make"
    )]
    NoIds {
        /// The table.
        table: &'static str,
    },
    /// A rule that looks concepts up, and no vocabulary.
    #[error("rule `{rule}` needs a vocabulary, and neither `[vocabulary]` nor a site has one")]
    NoVocabulary {
        /// The rule's id.
        rule: String,
    },
    /// A defect of the program.
    #[error("curation: {what}")]
    Internal {
        /// What went wrong.
        what: String,
    },
}

impl Error {
    /// For `map_err`.
    pub(super) fn arrow(table: &str) -> impl Fn(arrow::error::ArrowError) -> Self + use<> {
        let table = table.to_owned();
        move |source| Self::Arrow { table: table.clone(), source }
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Write(e) => e.code(),
            Self::Parquet { .. } => "curation::parquet",
            Self::Arrow { source, .. } if is_disk_full(source) => "io::disk_full",
            Self::Arrow { .. } => "curation::arrow",
            Self::RuleFile { .. } => "curation::rule_file",
            Self::Rule { .. } => "curation::rule",
            Self::LargeId { .. } => "curation::large_id",
            Self::NoIds { .. } => "curation::no_ids",
            Self::NoVocabulary { .. } => "curation::no_vocabulary",
            Self::Internal { .. } => "curation::internal",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            Self::Arrow { source, .. } if is_disk_full(source) => {
                Some("free some space and run again: CURRENT still names the last release".into())
            }
            Self::LargeId { .. } | Self::NoIds { .. } => {
                Some("number the rows of the extract from 1".into())
            }
            Self::NoVocabulary { .. } => {
                Some("name an Athena folder as `path` of `[vocabulary]`".into())
            }
            _ => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::Write(e) => e.is_unexpected(),
            Self::Arrow { source, .. } => !is_disk_full(source),
            Self::Parquet { .. } | Self::Internal { .. } => true,
            _ => false,
        }
    }
}
