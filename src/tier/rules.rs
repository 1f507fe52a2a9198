//! What each rule touches: patterns, the classes of tables, the lines that `explain` shows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::answers;
use crate::config::policy::{Action, TierPolicy};
use crate::omop::{Cdm, CdmVersion, FieldKind, FieldSpec, TableSpec, cdm, is_vocabulary};

/// The versions a policy must fit.
pub(super) const VERSIONS: [CdmVersion; 3] = [CdmVersion::V5_5, CdmVersion::V5_4, CdmVersion::V5_3];

/// Reasons that are no rules of a policy; a policy cannot use them as rule ids.
pub(super) mod reason {
    /// No EHR consent.
    pub const NO_EHR_CONSENT: &str = "no_ehr_consent";
    /// The person has a `person` row from an earlier site.
    pub const DUPLICATE_PERSON: &str = "duplicate_person";
    /// The table has no `person_id` to tie its rows to a participant (`cost`, `fact_relationship`,
    /// `note_nlp`, `cohort`, `provider` ...).
    pub const NO_PERSON_ID: &str = "no_person_id";
    /// The table describes a site or its feed in free text (`cdm_source`, `metadata`) or its local
    /// codes (`source_to_concept_map`).
    pub const NOT_RELEASED: &str = "not_released";
    /// A vocabulary table in a site's extract, where the release has its own vocabulary.
    pub const SITE_VOCABULARY: &str = "site_vocabulary";
    /// Ids that may point into any table (`note_event_id`) become null: there is no telling which key
    /// they would need. A change, not an exclusion.
    pub const UNRESOLVED_REFERENCE: &str = "unresolved_reference";
    /// All of them, with those of [`crate::identity::Exclusion`].
    pub const ALL: [&str; 8] = [
        "withdrawn",
        "no_primary_consent",
        NO_EHR_CONSENT,
        DUPLICATE_PERSON,
        NO_PERSON_ID,
        NOT_RELEASED,
        SITE_VOCABULARY,
        UNRESOLVED_REFERENCE,
    ];
}

/// How a table is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// As it is, unbucketed.
    Vocabulary,
    /// `person`: one row a person, unbucketed.
    Person,
    /// Rows of persons, bucketed.
    PersonLevel,
    /// Not at all, for this reason.
    Out(&'static str),
}

pub(super) fn class(spec: &TableSpec) -> Class {
    match spec.name {
        "person" => Class::Person,
        "cdm_source" | "metadata" | "source_to_concept_map" => Class::Out(reason::NOT_RELEASED),
        name if is_vocabulary(name) => Class::Vocabulary,
        _ if spec.person_field => Class::PersonLevel,
        _ => Class::Out(reason::NO_PERSON_ID),
    }
}

fn is_about_persons(spec: &TableSpec) -> bool {
    matches!(class(spec), Class::Person | Class::PersonLevel)
}

/// What a rule does to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touch {
    /// Nothing.
    Nothing,
    /// Removes the whole table.
    Table,
    /// Removes rows, by person.
    People,
    /// Removes rows by the values of these columns.
    Rows(Vec<&'static str>),
    /// Changes these columns.
    Columns(Vec<&'static str>),
}

/// What `action` does to the table of `spec`.
pub(super) fn touch(action: &Action, spec: &TableSpec) -> Touch {
    if let Action::SuppressTables { tables } = action {
        let named = tables.iter().any(|t| t == spec.name);
        return if named { Touch::Table } else { Touch::Nothing };
    }
    if !is_about_persons(spec) {
        return Touch::Nothing;
    }
    let pick = |wanted: &dyn Fn(&FieldSpec) -> bool| -> Vec<&'static str> {
        spec.fields.iter().filter(|f| wanted(f)).map(|f| f.name).collect()
    };
    let named =
        |patterns: &[String], f: &FieldSpec| patterns.iter().any(|p| matches(p, spec.name, f.name));
    let columns = match action {
        Action::SuppressTables { .. } => return Touch::Nothing,
        Action::RemovePeopleByAge { .. } => return Touch::People,
        Action::SuppressConcepts(set) => {
            let whole = set.except_tables.iter().any(|t| t == spec.name)
                || set.only.iter().any(|c| spec.field(&c.column).is_none());
            let found = pick(&|f| {
                f.is_concept_id()
                    && (set.columns.is_empty() || named(&set.columns, f))
                    && !named(&set.except_columns, f)
            });
            return if whole { Touch::Nothing } else { rows(found) };
        }
        Action::LeaveDatesTrue(t) => {
            return rows(pick(&|f| f.is_concept_id() && named(&t.columns, f)));
        }
        Action::DropRecentConcepts(_) => return rows(pick(&FieldSpec::is_concept_id)),
        Action::TruncateEdges(edges) => {
            if edges.tables.iter().any(|t| t == spec.name) {
                return rows(pick(&is_date));
            }
            return Touch::Nothing;
        }
        Action::OpenEnds { columns } => pick(&|f| is_date(f) && named(columns, f)),
        Action::DropHours { columns, .. } => {
            return rows(pick(&|f| f.kind == FieldKind::Timestamp && named(columns, f)));
        }
        Action::DropNearBirth(n) => {
            // The birth date itself is for reduce_birth_date.
            if spec.name == "person" || n.except_tables.iter().any(|t| t == spec.name) {
                return Touch::Nothing;
            }
            let dates = pick(&is_date);
            if !n.clip_tables.iter().any(|t| t == spec.name) {
                return rows(dates);
            }
            dates
        }
        Action::GeneraliseValues(g) if !g.columns.is_empty() => {
            pick(&|f| f.is_concept_id() && named(&g.columns, f))
        }
        Action::GeneraliseValues(_) | Action::GeneraliseSmall(_) | Action::GeneraliseBySite(_) => {
            pick(&|f| spec.name == answers::TABLE && f.name == answers::ANSWER)
        }
        // A feed may write a zip code as a number.
        Action::Zip3(zip) => pick(&|f| {
            let zip_code = ["value_as_string", "value_as_number"].contains(&f.name);
            let state = f.name == answers::ANSWER && !zip.state_question.is_empty();
            spec.name == answers::TABLE && (zip_code || state)
        }),
        Action::NullColumns { columns, .. } => {
            pick(&|f| named(columns, f) && f.name != "person_id" && !f.primary_key)
        }
        Action::NullFreeText { except, .. } => {
            pick(&|f| f.kind == FieldKind::Text && !named(except, f) && !is_device_id(spec, f))
        }
        Action::ReduceBirthDate { .. } if spec.name == "person" => {
            pick(&|f| ["month_of_birth", "day_of_birth", "birth_datetime"].contains(&f.name))
        }
        Action::ReduceBirthDate { .. } => Vec::new(),
        Action::ShiftDates | Action::ReduceDatesToYear { .. } => {
            pick(&|f| is_date(f) || is_text_time(f) || is_birth_part(spec, f))
        }
    };
    if columns.is_empty() { Touch::Nothing } else { Touch::Columns(columns) }
}

fn rows(columns: Vec<&'static str>) -> Touch {
    if columns.is_empty() { Touch::Nothing } else { Touch::Rows(columns) }
}

/// A typed date or time.
pub(super) fn is_date(field: &FieldSpec) -> bool {
    matches!(field.kind, FieldKind::Date | FieldKind::Timestamp)
}

/// A text column that may hold a date or a time (`measurement_time`).
pub(super) fn is_text_time(field: &FieldSpec) -> bool {
    let ends = ["_date", "_time", "_datetime"].iter().any(|end| field.name.ends_with(end));
    field.kind == FieldKind::Text && ends
}

/// A part of the birth date in `person`, written as a number.
pub(super) fn is_birth_part(spec: &TableSpec, field: &FieldSpec) -> bool {
    spec.name == "person"
        && ["year_of_birth", "month_of_birth", "day_of_birth"].contains(&field.name)
}

/// The id of a wearable device, which is re-keyed as row ids are: it is text, but no free text.
pub(super) fn is_device_id(spec: &TableSpec, field: &FieldSpec) -> bool {
    (spec.name, field.name) == ("device", "device_id")
}

/// Whether `pattern` (`table.column`, `*` for any run of characters) names the column.
pub(super) fn matches(pattern: &str, table: &str, column: &str) -> bool {
    let Some((t, c)) = pattern.split_once('.') else { return false };
    glob(t.as_bytes(), table.as_bytes()) && glob(c.as_bytes(), column.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

/// The tables whose row ids a tier re-keys, in all versions of the CDM: what to make row keys for.
pub fn row_tables() -> BTreeSet<&'static str> {
    let of = |model: &'static Cdm| {
        model.tables().flat_map(|t| t.fields.iter().filter_map(|f| row_id_table(t, f)))
    };
    VERSIONS.into_iter().flat_map(|v| of(cdm(v))).collect()
}

/// The table whose row ids `field` holds, if they are re-keyed.
pub(super) fn row_id_table(spec: &TableSpec, field: &FieldSpec) -> Option<&'static str> {
    if field.name == "person_id" { None } else { spec.row_id_table(field) }
}

/// One rule as `explain` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleLine {
    /// Rule id.
    pub id: String,
    /// Kind of the rule.
    pub kind: String,
    /// The policy's own words.
    pub description: String,
    /// By table the columns that the rule changes or looks at; `*` for whole rows.
    pub tables: BTreeMap<String, Vec<String>>,
    /// By table of a release (`omop/person`) the rows that the rule touched; None when no release was
    /// asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<BTreeMap<String, super::TouchedRows>>,
}

/// What each rule of `policy` touches in the tables of `cdm`, in the policy's order.
pub fn explain(policy: &TierPolicy, cdm: &Cdm) -> Vec<RuleLine> {
    let line = |rule: &crate::config::policy::Rule| {
        let mut tables = BTreeMap::new();
        for spec in cdm.tables() {
            let columns = match touch(&rule.action, spec) {
                Touch::Nothing => continue,
                Touch::Table | Touch::People => vec!["*".to_owned()],
                Touch::Rows(columns) | Touch::Columns(columns) => {
                    columns.into_iter().map(str::to_owned).collect()
                }
            };
            tables.insert(spec.name.to_owned(), columns);
        }
        RuleLine {
            id: rule.id.clone(),
            kind: rule.action.kind_name().to_owned(),
            description: rule.description.clone(),
            tables,
            rows: None,
        }
    };
    policy.rules.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_part() {
        assert!(matches("person.person_id", "person", "person_id"));
        assert!(matches("*.provider_id", "visit_occurrence", "provider_id"));
        assert!(matches("note*.*", "note_nlp", "offset"));
        assert!(matches("*.*_source_value", "person", "race_source_value"));
        assert!(!matches("*.provider_id", "person", "provider_id_2"));
        assert!(!matches("person", "person", "person_id"));
        assert!(!matches("person.", "person", "person_id"));
    }

    #[test]
    fn every_table_has_a_class() {
        let class_of = |name: &str| class(cdm(CdmVersion::V5_4).table(name).unwrap());
        assert_eq!(class_of("person"), Class::Person);
        assert_eq!(class_of("death"), Class::PersonLevel);
        assert_eq!(class_of("episode"), Class::PersonLevel);
        assert_eq!(class_of("concept_ancestor"), Class::Vocabulary);
        for name in ["note_nlp", "cost", "fact_relationship", "cohort", "provider", "location"] {
            assert_eq!(class_of(name), Class::Out(reason::NO_PERSON_ID), "{name}");
        }
        assert_eq!(class_of("cdm_source"), Class::Out(reason::NOT_RELEASED));
    }

    #[test]
    fn row_tables_are_neither_persons_nor_vocabulary() {
        let tables = row_tables();
        assert!(tables.contains("visit_occurrence") && tables.contains("provider"));
        for name in ["person", "death", "concept", "vocabulary"] {
            assert!(!tables.contains(name), "{name}");
        }
    }

    #[test]
    fn shifting_touches_every_date_and_every_text_time() {
        for version in VERSIONS {
            for spec in cdm(version).tables().filter(|t| is_about_persons(t)) {
                let Touch::Columns(columns) = touch(&Action::ShiftDates, spec) else {
                    panic!("{} has no dates", spec.name);
                };
                for f in spec.fields.iter().filter(|f| is_date(f)) {
                    assert!(columns.contains(&f.name), "{}.{}", spec.name, f.name);
                }
            }
        }
        let spec = cdm(CdmVersion::V5_4).table("measurement").unwrap();
        let Touch::Columns(columns) = touch(&Action::ShiftDates, spec) else { panic!() };
        assert!(columns.contains(&"measurement_time"));
    }
}
