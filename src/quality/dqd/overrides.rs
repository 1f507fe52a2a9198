//! The site's own thresholds: a CSV that replaces built-in ones and notes why.

use std::path::Path;

use crate::error::IoError;

use super::check::Check;
use super::error::Error;

/// One line of the file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    check_name: String,
    table: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    concept_id: Option<String>,
    #[serde(default)]
    unit_concept_id: Option<i64>,
    threshold: f64,
    #[serde(default)]
    notes: Option<String>,
}

impl Line {
    fn is_about(&self, check: &Check) -> bool {
        let same = |mine: &Option<String>, theirs: Option<&str>| {
            mine.as_deref().is_none_or(|m| theirs.is_some_and(|t| t.eq_ignore_ascii_case(m.trim())))
        };
        self.check_name.eq_ignore_ascii_case(check.definition.name)
            && (self.table == "*" || self.table.eq_ignore_ascii_case(check.table))
            && same(&self.field, check.field)
            && same(&self.concept_id, check.concept)
            && self.unit_concept_id.is_none_or(|unit| check.unit == Some(unit))
    }
}

/// Applies the file's lines to `checks`, in order: a later line wins.
///
/// # Errors
/// When a line cannot be read, its threshold is not within 0 and 100 or it is about no check.
pub(super) fn apply(file: &Path, checks: &mut [Check]) -> Result<(), Error> {
    let text = std::fs::read(file).map_err(IoError::at("reading", file))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
    let wrong = |line, problem: String| Error::Override { file: file.to_owned(), line, problem };
    let mut place = 1;
    for read in reader.deserialize::<Line>() {
        place += 1;
        // The reader's own words could repeat a value of the file.
        let line = read.map_err(|e| {
            let at = e.position().map_or(place, csv::Position::line);
            wrong(at, "the line does not have the columns or types of a threshold".into())
        })?;
        if !(0.0..=100.0).contains(&line.threshold) {
            return Err(wrong(place, "a threshold is a number of per cent, 0 to 100".into()));
        }
        let mut used = false;
        for check in checks.iter_mut().filter(|c| line.is_about(c)) {
            used = true;
            check.threshold = Some(line.threshold);
            check.notes.clone_from(&line.notes);
        }
        if !used {
            return Err(wrong(
                place,
                "no check is about this table, field, concept and unit".into(),
            ));
        }
    }
    Ok(())
}
