//! Concept sets as data: TOML files, checked with line and column.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, circe};
use crate::config::Document;

/// A file of concept sets.
///
/// ```toml
/// [concept_set.type_2_diabetes]
/// domains = ["Condition"]
/// include = [
///   { concepts = [201826], descendants = true },
///   { codes = { vocabulary = "ICD10CM", code = ["E11.9"] }, standard = true },
/// ]
/// exclude = [{ concepts = [195771], descendants = true }]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConceptSets {
    /// The sets by name.
    #[serde(default, rename = "concept_set")]
    pub sets: BTreeMap<String, ConceptSet>,
}

/// A concept set: what its `include` items stand for, less what its `exclude` items stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConceptSet {
    /// What the set is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Domains that its concepts should have, e.g. `Condition`; others are reported. Any, when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// What is in the set.
    #[serde(default)]
    pub include: Vec<Item>,
    /// What is taken out of it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Item>,
}

/// Some concepts, and what else they stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Concept ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concepts: Vec<i64>,
    /// Codes of one vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodeList>,
    /// Take, instead of these concepts, the standard ones that they map to (`Maps to`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub standard: bool,
    /// Add their descendants that are valid.
    #[serde(default, skip_serializing_if = "is_false")]
    pub descendants: bool,
    /// Add the concepts that map to any of them (`Maps to`): the source concepts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mapped: bool,
}

/// Codes of one vocabulary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeList {
    /// `vocabulary_id`, e.g. `ICD10CM`.
    pub vocabulary: String,
    /// `concept_code` values.
    pub code: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl ConceptSets {
    /// Reads a file of sets: TOML, or one Circe concept set expression (`*.json`), named after the file.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong; every problem of a TOML file is reported with its place.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            return circe::read(path);
        }
        Ok(Document::read(path)?.parse()?)
    }
}
