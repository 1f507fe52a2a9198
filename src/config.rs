//! Workflow and policy files: typed, checked all at once, with places and nearest names.
//!
//! One source of truth: the serde types here. Their JSON Schema (checked in under `configs/schema/`) is
//! also what [`Document::parse`] checks a file against before it is deserialised, so that every problem is reported
//! with its line and the nearest valid key, not only the first.

mod callset;
mod curation;
mod diagnostic;
pub mod disclosure;
mod document;
mod paths;
pub mod policy;
mod workflow;

use serde::{Deserialize, Serialize};

pub use callset::{
    AnnotationFeed, CallRules, CallsetFeed, FormatField, Genome, HalfCalls, ReferenceMismatch,
    Selection, Stratum,
};
pub use curation::{Curation, Periods, Privacy, Quality, WearableFeed};
pub use diagnostic::{Diagnostic, Error, nearest};
pub use disclosure::PublicPolicy;
pub use document::Document;
pub use paths::expand;
pub use policy::TierPolicy;
pub use workflow::{
    CdmVersion, CivilDate, DateBasis, EhrFeed, Engine, FeedSource, IdScope, Identity,
    IdentityMapFile, KeySource, Participants, PolicyFile, Programme, RejectLimit, ShiftMode,
    TextEncoding, TierFile, Tiers, Unmapped, Vocabulary, Workflow,
};

/// A tier of a release.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Individual-level, true dates, genomics.
    Controlled,
    /// Individual-level, shifted dates, generalised, no genomics.
    Registered,
    /// Aggregates only.
    Public,
}

impl Tier {
    /// The name used in paths, metadata and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Controlled => "controlled",
            Self::Registered => "registered",
            Self::Public => "public",
        }
    }
}
