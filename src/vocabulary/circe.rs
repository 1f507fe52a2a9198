//! Concept set expressions of Circe (ATLAS), as JSON.

use std::path::Path;

use serde::Deserialize;

use super::{ConceptSet, ConceptSets, Error, Item};
use crate::error::IoError;

#[derive(Deserialize)]
struct Expression {
    items: Vec<CirceItem>,
}

#[derive(Deserialize)]
struct CirceItem {
    concept: CirceConcept,
    #[serde(default, rename = "isExcluded")]
    is_excluded: Option<bool>,
    #[serde(default, rename = "includeDescendants")]
    include_descendants: Option<bool>,
    #[serde(default, rename = "includeMapped")]
    include_mapped: Option<bool>,
}

#[derive(Deserialize)]
struct CirceConcept {
    #[serde(rename = "CONCEPT_ID")]
    id: i64,
}

/// Reads an expression, bare or as the `expression` of a stored concept set.
pub(super) fn read(path: &Path) -> Result<ConceptSets, Error> {
    let bytes = std::fs::read(path).map_err(IoError::at("reading", path))?;
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let wrong = |e: serde_json::Error| Error::Circe { file: path.to_owned(), message: place(&e) };
    let mut json: serde_json::Value = serde_json::from_slice(bytes).map_err(wrong)?;
    if let Some(inner) = json.get_mut("expression") {
        json = inner.take();
    }
    let expression: Expression = serde_json::from_value(json).map_err(wrong)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(ConceptSets { sets: [(name, set(expression))].into() })
}

/// What is wrong; serde_json's text quotes no more than a word of the file.
fn place(error: &serde_json::Error) -> String {
    error.to_string()
}

fn set(expression: Expression) -> ConceptSet {
    let mut set = ConceptSet::default();
    for item in expression.items {
        let list = if item.is_excluded == Some(true) { &mut set.exclude } else { &mut set.include };
        list.push(Item {
            concepts: vec![item.concept.id],
            descendants: item.include_descendants == Some(true),
            mapped: item.include_mapped == Some(true),
            ..Item::default()
        });
    }
    set
}
