//! CSV files of labelled concepts beside a policy, and zip areas: read, checked, united.
//!
//! `concept_id,category,reason,date_added`, optionally `decision` (`suppress`, blank for the same, or
//! `release`). A concept with both decisions under one category contradicts itself and is an error; with
//! different categories the suppressing one wins, as in the programme's own lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::parts::Area;

/// A line of a file of labelled concepts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    concept_id: i64,
    category: String,
    reason: String,
    date_added: jiff::civil::Date,
    #[serde(default)]
    decision: Option<String>,
}

/// Concept ids that the file at `path` suppresses, sorted.
///
/// # Errors
/// What is wrong, with file name and line: unreadable, a missing or unknown column, no category, reason
/// or date, an unknown decision, one category that both suppresses and releases a concept.
pub(super) fn concepts(path: &Path) -> Result<Vec<i64>, String> {
    let mut decisions: BTreeMap<(i64, String), bool> = BTreeMap::new();
    let mut suppressed = BTreeSet::new();
    for (number, line) in lines::<Line>(path)? {
        let wrong = |what: &str| format!("{}, line {number}: {what}", name(path));
        if line.category.trim().is_empty() || line.reason.trim().is_empty() {
            return Err(wrong("a concept needs a category and a reason"));
        }
        if line.date_added < jiff::civil::date(2000, 1, 1) {
            return Err(wrong("date_added is too early"));
        }
        let suppress = match line.decision.as_deref().map(str::trim) {
            // Blank counts as suppressed.
            None | Some("" | "suppress") => true,
            Some("release") => false,
            Some(_) => return Err(wrong("decision is suppress, release or blank")),
        };
        let before = decisions.insert((line.concept_id, line.category.clone()), suppress);
        if before.is_some_and(|before| before != suppress) {
            return Err(wrong("this category both suppresses and releases the concept"));
        }
        if suppress {
            suppressed.insert(line.concept_id);
        }
    }
    Ok(suppressed.into_iter().collect())
}

/// Zip areas of the file at `path`, sorted by their digits.
///
/// # Errors
/// As for concepts: not three digits, an area given twice, no census date where areas are `dated`.
pub(super) fn areas(path: &Path, dated: bool) -> Result<Vec<Area>, String> {
    let mut areas = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, mut area) in lines::<Area>(path)? {
        let wrong = |what: &str| format!("{}, line {number}: {what}", name(path));
        let digits = |text: &str| text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        if area.to.is_empty() {
            area.to.clone_from(&area.zip3);
        }
        let day = area.census_date.as_deref().map(str::parse::<jiff::civil::Date>);
        if day.is_some_and(|day| day.is_err()) {
            return Err(wrong("census_date is no day: write yyyy-mm-dd"));
        }
        if dated && area.census_date.is_none() {
            return Err(wrong("an area that is held to a population needs the census_date"));
        }
        if !digits(&area.zip3) || !digits(&area.to) {
            return Err(wrong("zip3 and to are three digits"));
        }
        if !seen.insert(area.zip3.clone()) {
            return Err(wrong("this area is given twice"));
        }
        areas.push(area);
    }
    areas.sort_by(|a, b| a.zip3.cmp(&b.zip3));
    Ok(areas)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The lines of a CSV file with their 1-based numbers; lines that begin with `#` are comments.
fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<(u64, T)>, String> {
    let reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_path(path);
    let mut reader = reader.map_err(|_| format!("{} cannot be read", name(path)))?;
    let mut found = Vec::new();
    for line in reader.deserialize() {
        // The error itself would echo what is in the file.
        let line: T = line.map_err(|e| {
            let number = e.position().map_or(0, csv::Position::line);
            format!(
                "{}, line {number}: a column is missing, unknown or of another kind",
                name(path)
            )
        })?;
        found.push(line);
    }
    // Comments make record numbers and line numbers differ; the reader knows only the former here.
    Ok(found.into_iter().enumerate().map(|(i, line)| (i as u64 + 2, line)).collect())
}
