//! What can go wrong in building a tier. Messages name tables, columns and rules, never values.

use datafusion::error::DataFusionError;

use super::check::Problem;
use crate::engine::{Cancelled, parquet};
use crate::error::{Coded, IoError};

/// A tier that was not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] parquet::Error),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The policy contradicts itself or the CDM.
    #[error("policy {policy}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Policy {
        /// Name of the policy.
        policy: String,
        /// Everything wrong with it.
        problems: Vec<Problem>,
    },
    /// People or row keys were made for another tier than the policy's.
    #[error("policy {policy} is for tier {expected}, but the {what} are of another tier")]
    OtherTier {
        /// Name of the policy.
        policy: String,
        /// The policy's tier.
        expected: &'static str,
        /// `people`, `row keys` or `date shifts`.
        what: &'static str,
    },
    /// A setting of the request is out of range.
    #[error("the number of person buckets must be 1 to 1000")]
    Buckets,
    /// A table has rows of people who are not on the roster.
    #[error("table {table}: {rows} row(s) belong to people who are not on the roster")]
    PersonNotInMap {
        /// The table.
        table: String,
        /// How many rows.
        rows: u64,
    },
    /// With several sites a row id must be 0 to 10^15 - 1.
    #[error("table {table}, column {column}: an id of site number {site} is not below 10^15")]
    RowIdTooLarge {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// 1-based number of the site in the request.
        site: usize,
    },
    /// A typed table has a column that the CDM does not declare, or declares with another type.
    #[error("table {table}: column {column} is not declared by the CDM, or not with its type")]
    UndeclaredColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A date cannot be moved back: it is at the edge of the calendar.
    #[error("a date is too early to be shifted")]
    DateOutOfRange,
    /// A rule names concepts the vocabulary lacks.
    #[error("rule {rule}: {count} of its concepts are not in the vocabulary")]
    ConceptMissing {
        /// The rule.
        rule: String,
        /// How many.
        count: usize,
    },
    /// A rule needs the vocabulary and there is none.
    #[error("rule {rule} needs the vocabulary table {table}, and there is none")]
    NoVocabulary {
        /// The rule.
        rule: String,
        /// `concept` or `concept_ancestor`.
        table: &'static str,
    },
    /// The row keys lack a table.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// The query engine failed.
    #[error("table {table}: {source}")]
    Query {
        /// The table.
        table: String,
        /// The engine's words.
        source: Box<DataFusionError>,
    },
    /// Batches could not be taken apart.
    #[error("table {table}: {source}")]
    Arrow {
        /// The table.
        table: String,
        /// arrow's words.
        source: arrow::error::ArrowError,
    },
    /// Rows were lost or made between reading and writing.
    #[error("table {table}: {rows_in} row(s) in, {accounted} accounted for")]
    Unbalanced {
        /// The table.
        table: String,
        /// Rows the ingest wrote.
        rows_in: u64,
        /// Rows written or excluded.
        accounted: u64,
    },
}

impl Error {
    /// For `map_err`: the engine's error on `table`, or our own typed error that it carries.
    pub(super) fn arrow(table: &str) -> impl FnOnce(arrow::error::ArrowError) -> Self {
        let table = table.to_owned();
        move |source| Self::Arrow { table, source }
    }

    pub(super) fn query(table: &str) -> impl FnOnce(DataFusionError) -> Self {
        let table = table.to_owned();
        move |source| match own(&source) {
            Some(error) => error,
            None => Self::Query { table, source: Box::new(source) },
        }
    }
}

/// An error of a scalar function, as it travels through the engine.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum RowError {
    /// See [`Error::RowIdTooLarge`].
    #[error("an id is not below 10^15")]
    RowIdTooLarge { table: String, column: String, site: usize },
    /// See [`Error::DateOutOfRange`].
    #[error("a date is too early to be shifted")]
    DateOutOfRange,
}

fn own(error: &DataFusionError) -> Option<Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(row) = e.downcast_ref::<RowError>() {
            return Some(match row.clone() {
                RowError::RowIdTooLarge { table, column, site } => {
                    Error::RowIdTooLarge { table, column, site }
                }
                RowError::DateOutOfRange => Error::DateOutOfRange,
            });
        }
        next = match e.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            _ => e.source(),
        };
    }
    None
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Write(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Policy { .. } => "tier::policy",
            Self::OtherTier { .. } => "tier::other_tier",
            Self::Buckets => "tier::buckets",
            Self::PersonNotInMap { .. } => "tier::person_not_in_map",
            Self::RowIdTooLarge { .. } => "tier::row_id_too_large",
            Self::UndeclaredColumn { .. } => "tier::undeclared_column",
            Self::DateOutOfRange => "tier::date_out_of_range",
            Self::ConceptMissing { .. } => "tier::concept_missing",
            Self::NoVocabulary { .. } => "tier::no_vocabulary",
            Self::Identity(e) => e.code(),
            Self::Query { source, .. } if parquet::is_disk_full(source.as_ref()) => "io::disk_full",
            Self::Query { .. } => "tier::query",
            Self::Arrow { .. } => "tier::arrow",
            Self::Unbalanced { .. } => "tier::unbalanced",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Write(e) => e.help(),
            Self::Identity(e) => e.help(),
            Self::PersonNotInMap { .. } => {
                Some("add these people to the roster, or remove their rows from the feed".into())
            }
            Self::UndeclaredColumn { .. } => Some(
                "no rule of a policy covers such a column: ingest and curate again, or declare the \
                 column in the specification of the table"
                    .into(),
            ),
            Self::ConceptMissing { .. } => Some(
                "correct the rule, bring a newer vocabulary, or set allow_missing = true".into(),
            ),
            Self::NoVocabulary { .. } => Some("name a [vocabulary] in the workflow".into()),
            _ => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::Write(e) => e.is_unexpected(),
            Self::Identity(e) => e.is_unexpected(),
            _ => matches!(self.code(), "tier::query" | "tier::arrow" | "tier::unbalanced"),
        }
    }
}
