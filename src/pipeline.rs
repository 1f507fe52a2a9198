//! From a workflow file to a committed release: what to do, why, in what order, and what came of it.

mod audit;
mod epoch;
mod inputs;
mod invariants;
mod key;
pub mod plan;
mod project;
pub mod query;
pub mod record;
mod run;
mod seal;
mod spool;
mod stage;
mod unshift;
mod validate;
mod verify;

use std::path::PathBuf;

pub use audit::check_audit;
pub use inputs::Inputs;
pub use key::{has_key, load_key, peek_key_id};
pub use plan::{Action, Plan, Stage, Work};
pub use project::Project;
pub use run::{Listener, Options, Summary, run};
pub use seal::{TableKey, TableKeys, keys_of, unlock};
pub use unshift::unshift;
pub use validate::{Problem, validate};
pub use verify::{Verified, verify};

pub use crate::identity::Key;

use crate::engine::Cancelled;
use crate::error::{Coded, IoError};

/// What stops a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store cannot be used.
    #[error(transparent)]
    Release(#[from] crate::release::Error),
    /// A key, the roster or the sample map cannot be used.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// A callset cannot be read.
    #[error(transparent)]
    Genotype(#[from] crate::genotype::Error),
    /// An extract cannot be read.
    #[error(transparent)]
    Omop(#[from] crate::omop::Error),
    /// Records cannot be curated.
    #[error(transparent)]
    Curation(#[from] crate::curation::Error),
    /// A derived table cannot be made.
    #[error(transparent)]
    Derived(#[from] crate::derived::Error),
    /// The vocabulary cannot be used.
    #[error(transparent)]
    Vocabulary(#[from] crate::vocabulary::Error),
    /// Quality cannot be checked.
    #[error(transparent)]
    Checks(#[from] crate::quality::dqd::Error),
    /// Records cannot be characterised.
    #[error(transparent)]
    Analyses(#[from] crate::quality::achilles::Error),
    /// Attacks cannot be measured.
    #[error(transparent)]
    Attack(#[from] crate::attack::Error),
    /// A tier cannot be made.
    #[error(transparent)]
    Tier(#[from] crate::tier::Error),
    /// The release breaks a promise, or it cannot be told.
    #[error(transparent)]
    Invariant(#[from] crate::invariant::Error),
    /// Aggregates cannot be published.
    #[error(transparent)]
    Publish(#[from] crate::publish::Error),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Which stage it was.
    #[error("{stage}: {source}")]
    Stage {
        /// Stage id.
        stage: String,
        /// What went wrong in it.
        source: Box<Error>,
    },
    /// A stage lost rows.
    #[error("rows in of {table} are not rows out plus excluded; nothing was committed")]
    Unbalanced {
        /// The table.
        table: String,
    },
    /// An input changed while the run was reading it.
    #[error("{} changed during the run; nothing was committed", path.display())]
    InputChanged {
        /// The input.
        path: PathBuf,
    },
    /// What an earlier run left of a stage is not as it was written.
    #[error("the files of {stage} are damaged")]
    Damaged {
        /// Stage id.
        stage: String,
    },
    /// A run record is not what this program writes.
    #[error("{} is not a run record: {why}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The vocabulary is not of the version that the workflow states.
    #[error(
        "the vocabulary is of version {}, the workflow says {stated}",
        found.as_deref().unwrap_or("unknown")
    )]
    VocabularyVersion {
        /// By the workflow.
        stated: String,
        /// By its `vocabulary` table.
        found: Option<String>,
    },
    /// A table cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] crate::engine::parquet::Error),
    /// There is no key at hand for a sealed release.
    #[error("tables of {release} are sealed and there is no key")]
    Sealed {
        /// The release.
        release: String,
    },
    /// Keys are asked for of what has none.
    #[error("the {tier} tier of {release} is not sealed")]
    NotSealed {
        /// The release.
        release: String,
        /// Its tier.
        tier: String,
    },
    /// A release was sealed with another key.
    #[error("{release} was made with key {wanted}, the one at hand is {found}")]
    OtherKey {
        /// The release.
        release: String,
        /// Id of its key.
        wanted: String,
        /// Id of the key at hand.
        found: String,
    },
    /// A query asks for what the release has not.
    #[error("there is no {what} {name} in this release")]
    NoSuch {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A defect.
    #[error("{what}")]
    Internal {
        /// What cannot be.
        what: String,
    },
}

impl Error {
    fn at_stage(stage: &str, source: Self) -> Self {
        Self::Stage { stage: stage.to_owned(), source: Box::new(source) }
    }

    /// Whether the user asked for it.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Stage { source, .. } => source.is_cancelled(),
            other => other.code() == "run::stopped",
        }
    }

    /// The stage whose earlier files are damaged, if that is what happened.
    fn damaged_stage(&self) -> Option<&str> {
        match self {
            Self::Stage { source, .. } => source.damaged_stage(),
            Self::Damaged { stage } => Some(stage),
            _ => None,
        }
    }

    /// The problems of a configuration, for marked excerpts.
    pub fn diagnostics(&self) -> Option<&[crate::config::Diagnostic]> {
        match self {
            Self::Config(crate::config::Error::Invalid(problems)) => Some(problems),
            Self::Stage { source, .. } => source.diagnostics(),
            _ => None,
        }
    }

    fn inner(&self) -> Option<&dyn Coded> {
        Some(match self {
            Self::Config(e) => e,
            Self::Io(e) => e,
            Self::Release(e) => e,
            Self::Identity(e) => e,
            Self::Genotype(e) => e,
            Self::Omop(e) => e,
            Self::Curation(e) => e,
            Self::Derived(e) => e,
            Self::Vocabulary(e) => e,
            Self::Checks(e) => e,
            Self::Analyses(e) => e,
            Self::Attack(e) => e,
            Self::Tier(e) => e,
            Self::Invariant(e) => e,
            Self::Publish(e) => e,
            Self::Seal(e) => e,
            Self::Stage { source, .. } => source.as_ref(),
            _ => return None,
        })
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Cancelled(_) => "run::stopped",
            Self::Unbalanced { .. } => "pipeline::unbalanced",
            Self::InputChanged { .. } => "pipeline::input_changed",
            Self::Damaged { .. } => "pipeline::damaged",
            Self::Record { .. } => "pipeline::record",
            Self::VocabularyVersion { .. } => "vocabulary::version",
            Self::NoSuch { .. } => "query::unknown",
            Self::Sealed { .. } => "seal::no_key",
            Self::NotSealed { .. } => "seal::not_sealed",
            Self::OtherKey { .. } => "seal::other_key",
            Self::Internal { .. } => "pipeline::internal",
            other => other.inner().map_or("pipeline::internal", Coded::code),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Cancelled(_) => {
                Some("the same command goes on where it stopped; CURRENT is as it was".into())
            }
            Self::InputChanged { .. } => {
                Some("run again once the feed is complete; deliver feeds by renaming".into())
            }
            Self::Unbalanced { .. } => Some("this is a defect; please report it".into()),
            Self::VocabularyVersion { .. } => Some(
                "set `version` of [vocabulary] to the new one after `strata vocabulary drift`"
                    .into(),
            ),
            Self::Sealed { .. } => {
                Some("name the workflow file instead of the store, or its key with --key".into())
            }
            Self::NotSealed { .. } => {
                Some("its tables are plain Parquet and open without a key".into())
            }
            Self::OtherKey { .. } => Some("use the workflow and the key of that release".into()),
            Self::NoSuch { known, .. } => Some(format!("it has {known}")),
            other => other.inner().and_then(Coded::help),
        }
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Internal { .. } => true,
            other => other.inner().is_some_and(Coded::is_unexpected),
        }
    }
}
