//! What the policy of a tier promises of its tables, read off the rules in another way than the tier is made.

use std::collections::BTreeMap;

use super::{Request, TierTerms};
use crate::config::CivilDate;
use crate::config::policy::{Action, DateBasis, Rule};
use crate::engine::FileEntry;
use crate::omop::{Cdm, FieldKind, FieldSpec, TableSpec, cdm, is_vocabulary};

/// A tier of the release.
pub(super) struct Tier<'a> {
    /// Its name, as in paths.
    pub name: &'static str,
    pub terms: &'a TierTerms,
    /// Files of its record tables, by `omop/<table>` or `wearables/<table>`.
    pub tables: BTreeMap<String, Vec<&'a FileEntry>>,
    cdm: &'static Cdm,
}

impl<'a> Tier<'a> {
    pub fn new(request: &Request<'a>, terms: &'a TierTerms) -> Self {
        let name = terms.policy.policy.tier.name();
        let mut tables: BTreeMap<String, Vec<&FileEntry>> = BTreeMap::new();
        for file in request.files.iter().filter(|file| file.path.ends_with(".parquet")) {
            let mut parts = file.path.split('/');
            let (tier, family, table) = (parts.next(), parts.next(), parts.next());
            if let (Some(tier), Some(family @ ("omop" | "wearables")), Some(table)) =
                (tier, family, table)
                && tier == name
            {
                tables.entry(format!("{family}/{table}")).or_default().push(file);
            }
        }
        Self { name, terms, tables, cdm: cdm(request.cdm) }
    }

    /// Whether its dates are moved.
    pub fn is_shifted(&self) -> bool {
        self.terms.policy.policy.dates == DateBasis::Shifted
    }

    pub fn rules(&self) -> &'a [Rule] {
        &self.terms.policy.rules
    }

    /// Every file of record tables with its table.
    pub fn files(&self) -> impl Iterator<Item = (String, &'a FileEntry)> {
        self.tables.iter().flat_map(|(table, files)| files.iter().map(|f| (table.clone(), *f)))
    }

    /// Files of a table, whatever its family.
    pub fn files_of(&self, table: &str) -> impl Iterator<Item = &'a FileEntry> {
        let named = self.tables.iter().filter(move |(path, _)| name_of(path) == table);
        named.flat_map(|(_, files)| files.iter().copied())
    }

    /// The declared columns of a table by its path below the tier.
    pub fn spec(&self, path: &str) -> Option<&'static TableSpec> {
        let name = name_of(path);
        // A name that a table once had is none of a release.
        self.cdm.table(name).filter(|spec| spec.name == name)
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a table's rows are about persons, so that rules apply to it.
pub(super) fn about_persons(spec: &TableSpec) -> bool {
    let by_name = ["cdm_source", "metadata", "source_to_concept_map"].contains(&spec.name);
    spec.field("person_id").is_some() && !is_vocabulary(spec.name) && !by_name
}

/// Whether one of the patterns names the column.
pub(super) fn named(patterns: &[String], spec: &TableSpec, field: &FieldSpec) -> bool {
    patterns
        .iter()
        .filter_map(|pattern| pattern.split_once('.'))
        .any(|(table, column)| fits(table, spec.name) && fits(column, field.name))
}

/// Whether the pieces between the stars are in the word, in order, the outer ones at its ends.
fn fits(pattern: &str, word: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == word };
    let Some(mut word) = word.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = word.find(piece) else { return false };
        word = &word[at + piece.len()..];
    }
    word.ends_with(tail)
}

/// Whether the column holds days.
pub(super) fn is_day(field: &FieldSpec) -> bool {
    matches!(field.kind, FieldKind::Date | FieldKind::Timestamp)
}

/// Whether the policy says that the column is null in every row.
pub(super) fn must_be_null(tier: &Tier<'_>, spec: &TableSpec, field: &FieldSpec) -> bool {
    // An id that may point into any table has no key.
    field.any_table
        || tier.rules().iter().any(|rule| match &rule.action {
            Action::NullColumns { columns, keep } => {
                let kept = keep.iter().any(|k| k.column.split('.').next() == Some(spec.name));
                named(columns, spec, field)
                    && field.name != "person_id"
                    && !field.primary_key
                    && !kept
            }
            Action::ShiftDates => is_text_time(field),
            _ => false,
        })
}

fn is_text_time(field: &FieldSpec) -> bool {
    let time = ["_date", "_time", "_datetime"].iter().any(|end| field.name.ends_with(end));
    field.kind == FieldKind::Text && time
}

/// Days since 1970-01-01.
pub(super) fn day(date: jiff::civil::Date) -> i64 {
    i64::from(CivilDate(date).epoch_days())
}

/// Days from 1970-01-01 to 1 January of a year.
pub(super) fn new_year(year: i64) -> Option<i64> {
    let year = i16::try_from(year).ok()?;
    jiff::civil::Date::new(year, 1, 1).ok().map(day)
}
