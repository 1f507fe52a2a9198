//! Rule files as TOML, with the line of what cannot be read.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::Error;
use super::super::domain::Domains;
use super::super::unit::Units;
use super::{Kind, Rule};
use crate::config::nearest;

/// The keys of each kind, beside `id`, `description`, `kind`, `after` and `before`.
const KEYS: [(&str, &[&str]); 26] = [
    ("dates_in_range", &["tables", "first_year", "first_year_of"]),
    ("since_birth", &["tables", "max_years"]),
    ("until_death", &["tables", "days"]),
    ("until_deactivated", &["tables"]),
    ("any_concept", &["tables"]),
    (
        "numbers",
        &[
            "table",
            "column",
            "min",
            "max",
            "except",
            "otherwise",
            "concepts",
            "concept_column",
            "set",
        ],
    ),
    ("words", &["table", "column", "words"]),
    ("end_after_start", &["tables"]),
    ("datetime_of_date", &["tables"]),
    ("linked_extremes", &["limits"]),
    ("latest", &["concepts", "measurement_type"]),
    ("with_value", &["table", "columns"]),
    ("unique", &["table", "columns"]),
    ("valid_death", &["first_day", "survey_types"]),
    ("primary_death", &["last_types", "last_extracts"]),
    ("people", &["first_year", "min_years", "consents", "min_age"]),
    ("texts", &["table", "column", "concepts", "concept_column", "form", "except", "text", "set"]),
    ("exclusive_answers", &["questions", "answers", "stay"]),
    ("last_answers", &["survey_types", "multiple", "recurring"]),
    ("branches", &["branches"]),
    ("units", &["file"]),
    ("all_zero", &[]),
    (
        "body_size",
        &[
            "heights",
            "weights",
            "except_sources",
            "except",
            "height_scales",
            "weight_medians",
            "weight_ratios",
            "height_stays",
            "weight_stays",
            "height_unit",
            "weight_unit",
        ],
    ),
    ("body_mass", &["heights", "weights", "indices", "concept", "source_concept", "unit"]),
    ("standard_concepts", &["tables"]),
    ("domains", &["file"]),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default, rename = "rule")]
    rules: Vec<toml::Spanned<toml::Table>>,
}

/// The tables that the rules of a file name, as far as it can be read: they are inputs like the file itself.
pub fn tables_named(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rules = toml::from_str::<RuleFile>(&text).map(|file| file.rules).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = |rule: &toml::Spanned<toml::Table>| {
        rule.get_ref().get("file").and_then(|f| f.as_str()).map(|file| folder.join(file))
    };
    rules.iter().filter_map(named).collect()
}

/// Reads the rules of one file.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Rule>, Error> {
    let wrong = |at: usize, message: String| {
        let line = text.get(..at).unwrap_or("").matches('\n').count() + 1;
        Error::RuleFile { path: path.to_owned(), line, message }
    };
    let whole = |e: toml::de::Error| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned());
    let file: RuleFile = toml::from_str(text).map_err(whole)?;
    let mut rules = Vec::new();
    for entry in file.rules {
        let at = entry.span().start;
        let table = entry.into_inner();
        let kind = table.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| *name == kind) else {
            let near = nearest(&kind, KEYS.iter().map(|(name, _)| *name));
            return Err(wrong(at, unknown("kind", &kind, near)));
        };
        let known: Vec<&str> = ["id", "description", "kind", "after", "before"]
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(at, unknown("key", key, nearest(key, known.iter().copied()))));
        }
        let rule = table.try_into();
        let mut rule: Rule =
            rule.map_err(|e: toml::de::Error| wrong(at, e.message().to_owned()))?;
        let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
        match &mut rule.kind {
            Kind::Units { file, units } => *units = Units::read(&beside(file))?,
            Kind::Domains { file, domains } => *domains = Domains::read(&beside(file))?,
            _ => {}
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// Says that there is no such thing, and the nearest that there is.
pub(in super::super) fn unknown(what: &str, name: &str, near: Option<&str>) -> String {
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("unknown {what} `{name}`{hint}")
}
