//! Workflow and policy files: typed, checked all at once, with places and nearest names.

pub mod policy;

use serde::{Deserialize, Serialize};

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
