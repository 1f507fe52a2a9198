//! The sections of the workflow file about health records after ingest: curation, quality, wearables.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CivilDate, DateBasis};

/// How the sites' records are united, cleaned and completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Curation {
    /// TOML files of rules, in the order in which they apply; globs allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-path" = "glob"))]
    pub rules: Vec<String>,
    /// Whether rows that a rule removes are kept under `quality/curation/removed`, and rows as they were
    /// before a rule changed them under `quality/curation/changed`. They have raw ids and true dates: for a
    /// store that nobody else reads.
    pub sandbox: bool,
    /// Whether `quality/curation/mapping` says which row of which extract each row was. It has raw ids: for
    /// a store that nobody else reads.
    pub mapping: bool,
    /// Last day of the data; the reference date when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutoff: Option<CivilDate>,
    /// Where observation periods come from.
    pub observation_periods: Periods,
    /// Whether to build condition, drug and dose eras, in place of those of the extracts.
    pub eras: bool,
}

impl Default for Curation {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            sandbox: false,
            mapping: false,
            cutoff: None,
            observation_periods: Periods::Keep,
            eras: false,
        }
    }
}

/// Where observation periods come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Periods {
    /// The extracts' own.
    #[default]
    Keep,
    /// One a person, from the first event to the last.
    FirstToLast,
}

/// What is said of the quality of the curated records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quality {
    /// Whether to run the checks of the OHDSI DataQualityDashboard.
    pub checks: bool,
    /// Whether to run the analyses of Achilles.
    pub analyses: bool,
    /// CSV of the programme's own thresholds and notes by check, table, field, concept and unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub thresholds: Option<PathBuf>,
    /// Counts of at most so many people are left out of the analyses (Achilles: 5); 0 keeps all.
    pub small_cell_count: u32,
    /// People that a source value must occur for to be named among the unmapped codes.
    pub min_persons: u32,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            checks: true,
            analyses: true,
            thresholds: None,
            small_cell_count: 0,
            min_persons: 20,
        }
    }
}

/// Which attacks on the tiers are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Most people of the Registered tier who are attacked, drawn at random as it were.
    #[schemars(range(min = 1))]
    pub max_people: u32,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { max_people: 10_000 }
    }
}

/// One wearables feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WearableFeed {
    /// Folder of tables by their All of Us Fitbit names (CSV, CSV.gz or Parquet).
    #[schemars(extend("x-path" = "folder"))]
    pub path: PathBuf,
    /// Whether its dates are true or shifted; shifted ones are moved forward again on ingest.
    #[serde(default)]
    pub dates: DateBasis,
    /// CSV: person_id, shift (days the feed moved dates back). Needed when `dates = "shifted"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["person_id", "shift"]))]
    pub shift_map: Option<PathBuf>,
}
