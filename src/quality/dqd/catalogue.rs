//! The checks as data: which apply to which table, field and concept, with what threshold.
//!
//! The files in `configs/quality/` state them one table, field or concept a line. They follow the
//! threshold files of the OHDSI DataQualityDashboard (<https://github.com/OHDSI/DataQualityDashboard>,
//! `inst/csv`, Apache-2.0), without their guidance texts, as of version 2.6.0 with the changes that the
//! release notes of 2.6.1 to 2.8.4 name: thresholds of source completeness, standard concepts of
//! admission and discharge, more plausible units, no domain for `measurement.value_as_concept_id` and
//! `episode.episode_object_concept_id`, no upper bound for `drug_exposure.quantity`, no
//! `sourceValueCompleteness` for `payer_plan_period.family_source_value`, and the new
//! `measureObservationPeriodOverlap`. Thresholds that OHDSI states as 0 for every field
//! (`isRequired`, `cdmDatatype`, keys, domains, classes, standard concepts) are not repeated.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::omop::CdmVersion;

use super::check::{Bound, Check, Definition, FEMALE, MALE, Rule};

/// Tables whose checks are left out, as OHDSI does: the vocabulary is not the site's to mend.
pub const EXCLUDED_TABLES: [&str; 8] = [
    "concept",
    "vocabulary",
    "concept_ancestor",
    "concept_relationship",
    "concept_class",
    "concept_synonym",
    "relationship",
    "domain",
];

fn gender(text: &str) -> Option<i64> {
    match text {
        "male" => Some(MALE),
        "female" => Some(FEMALE),
        _ => None,
    }
}

/// A file of facts: cells by column name. Quoted cells may hold commas, no line breaks.
struct Facts {
    columns: BTreeMap<&'static str, usize>,
    lines: Vec<Vec<&'static str>>,
}

impl Facts {
    fn parse(text: &'static str) -> Self {
        let mut lines = text.lines().map(cells);
        let header = lines.next().unwrap_or_default();
        let columns = header.into_iter().enumerate().map(|(i, name)| (name, i)).collect();
        Self { columns, lines: lines.collect() }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.lines.iter().map(|cells| Row { facts: self, cells })
    }
}

fn cells(line: &'static str) -> Vec<&'static str> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        if let Some((cell, after)) = rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
            out.push(cell);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => return out,
            }
        } else if let Some((cell, next)) = rest.split_once(',') {
            out.push(cell);
            rest = next;
        } else {
            out.push(rest);
            return out;
        }
    }
}

struct Row<'a> {
    facts: &'a Facts,
    cells: &'a [&'static str],
}

impl Row<'_> {
    fn get(&self, column: &str) -> &'static str {
        self.facts.columns.get(column).and_then(|&i| self.cells.get(i)).copied().unwrap_or_default()
    }
    fn yes(&self, column: &str) -> bool {
        self.get(column) == "yes"
    }
    fn number(&self, column: &str) -> Option<f64> {
        self.get(column).parse().ok()
    }
    fn filled(&self, column: &str) -> Option<&'static str> {
        Some(self.get(column)).filter(|text| !text.is_empty())
    }
}

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let facts = Facts::parse(include_str!("../../../configs/quality/dqd-checks.csv"));
    let row = |r: Row<'_>| Definition {
        level: r.get("level"),
        name: r.get("name"),
        description: r.get("description"),
        context: r.get("context"),
        category: r.get("category"),
        subcategory: r.get("subcategory"),
        sql_file: r.get("sql_file"),
    };
    facts.rows().map(row).collect()
});

/// Files of a version: table level and field level.
fn files(cdm: CdmVersion) -> (&'static str, &'static str) {
    match cdm {
        CdmVersion::V5_3 => (
            include_str!("../../../configs/quality/dqd-5.3-tables.csv"),
            include_str!("../../../configs/quality/dqd-5.3-fields.csv"),
        ),
        // The dashboard's checks of 5.5 are those of 5.4, to which it adds.
        CdmVersion::V5_4 | CdmVersion::V5_5 => (
            include_str!("../../../configs/quality/dqd-5.4-tables.csv"),
            include_str!("../../../configs/quality/dqd-5.4-fields.csv"),
        ),
    }
}

/// All checks of `cdm` but those of [`EXCLUDED_TABLES`], by definition, then as the files list them.
pub(super) fn checks(cdm: CdmVersion) -> Vec<Check> {
    let (tables, fields) = files(cdm);
    let (tables, fields) = (Facts::parse(tables), Facts::parse(fields));
    let concepts = Facts::parse(include_str!("../../../configs/quality/dqd-concepts.csv"));
    let mut all = Vec::new();
    for definition in DEFINITIONS.iter() {
        let facts = match definition.level {
            "TABLE" => &tables,
            "FIELD" => &fields,
            _ => &concepts,
        };
        for row in facts.rows().filter(|r| !EXCLUDED_TABLES.contains(&r.get("table"))) {
            let found = match definition.level {
                "TABLE" => table_rule(definition.name, &row),
                "FIELD" => field_rule(definition.name, &row, &fields),
                _ => concept_rule(definition.name, &row),
            };
            let Some((rule, threshold)) = found else { continue };
            all.push(Check {
                definition,
                rule,
                table: row.get("table"),
                field: row.filled("field"),
                concept: row.filled("concept_id"),
                concept_name: row.get("concept_name"),
                unit: row.get("unit_concept_id").parse().ok(),
                unit_name: row.get("unit_name"),
                threshold,
                notes: None,
            });
        }
    }
    all
}

type Found = Option<(Rule, Option<f64>)>;

fn table_rule(name: &str, row: &Row<'_>) -> Found {
    let (rule, column) = match name {
        "cdmTable" => return Some((Rule::Table, None)),
        "measurePersonCompleteness" => (Rule::Persons, "person_threshold"),
        "measureConditionEraCompleteness" => (Rule::Eras, "era_threshold"),
        "measureObservationPeriodOverlap" => (Rule::Overlap, "overlap_threshold"),
        _ => return None,
    };
    row.number(column).map(|threshold| (rule, Some(threshold)))
}

fn field_rule(name: &str, row: &Row<'_>, fields: &Facts) -> Found {
    let zero = |rule| Some((rule, Some(0.0)));
    let with = |rule, column| row.number(column).map(|t| (rule, Some(t)));
    match name {
        "cdmField" => Some((Rule::Field, None)),
        "isRequired" if row.yes("required") => zero(Rule::Required),
        // OHDSI checks the type of fields declared `integer` only.
        "cdmDatatype" if row.get("datatype") == "integer" => zero(Rule::Datatype),
        "isPrimaryKey" if row.yes("primary_key") => zero(Rule::PrimaryKey),
        "isForeignKey" => {
            let (table, field) = (row.filled("fk_table")?, row.get("fk_field"));
            zero(Rule::ForeignKey { table, field })
        }
        "fkDomain" => zero(Rule::Domain(row.filled("fk_domain")?)),
        "fkClass" => zero(Rule::Class(row.filled("fk_class")?)),
        "isStandardValidConcept" if row.yes("valid") => zero(Rule::StandardValid),
        "measureValueCompleteness" => with(Rule::Values, "value_threshold"),
        "standardConceptRecordCompleteness" => {
            with(Rule::ConceptRecords { source: source_field(row, fields) }, "standard_threshold")
        }
        "sourceConceptRecordCompleteness" => {
            with(Rule::ConceptRecords { source: source_field(row, fields) }, "source_threshold")
        }
        "sourceValueCompleteness" => {
            let standard = row.filled("standard_field")?;
            with(Rule::SourceValues { standard }, "source_value_threshold")
        }
        "plausibleValueLow" => with(Rule::Low(Bound::parse(row.get("low"))?), "low_threshold"),
        "plausibleValueHigh" => with(Rule::High(Bound::parse(row.get("high"))?), "high_threshold"),
        "plausibleTemporalAfter" => {
            let (table, field) = (row.filled("after_table")?, row.get("after_field"));
            with(Rule::After { table, field }, "after_threshold")
        }
        "plausibleDuringLife" => with(Rule::DuringLife, "life_threshold"),
        "withinVisitDates" => with(Rule::VisitDates, "visit_threshold"),
        "plausibleAfterBirth" => with(Rule::AfterBirth, "birth_threshold"),
        "plausibleBeforeDeath" => with(Rule::BeforeDeath, "death_threshold"),
        "plausibleStartBeforeEnd" => {
            with(Rule::StartBeforeEnd { end: row.filled("end_field")? }, "end_threshold")
        }
        _ => None,
    }
}

/// The source value that belongs to a concept field that may be empty: `unit_source_value` for
/// `unit_concept_id` and for `unit_source_concept_id`. None for a required field.
fn source_field(row: &Row<'_>, fields: &Facts) -> Option<String> {
    if row.yes("required") {
        return None;
    }
    let stem = row.get("field").strip_suffix("_concept_id")?;
    let name = format!("{}_source_value", stem.trim_end_matches("_source"));
    let known = |r: Row<'_>| r.get("table") == row.get("table") && r.get("field") == name;
    fields.rows().any(known).then_some(name)
}

fn concept_rule(name: &str, row: &Row<'_>) -> Found {
    let with = |rule, column| Some((rule, row.number(column)));
    match name {
        "plausibleValueLow" => with(Rule::ConceptLow(row.number("low")?), "low_threshold"),
        "plausibleValueHigh" => with(Rule::ConceptHigh(row.number("high")?), "high_threshold"),
        "plausibleGender" => with(Rule::Gender(gender(row.get("gender"))?), "gender_threshold"),
        "plausibleGenderUseDescendants" => {
            let sex = gender(row.get("descendants_gender"))?;
            with(Rule::DescendantsGender(sex), "descendants_threshold")
        }
        "plausibleUnitConceptIds" => {
            row.number("units_threshold")?;
            let units = row.get("units").split(' ').filter_map(|id| id.parse().ok()).collect();
            with(Rule::Units(units), "units_threshold")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_every_kind_of_check() {
        for cdm in [CdmVersion::V5_3, CdmVersion::V5_4] {
            let all = checks(cdm);
            for definition in DEFINITIONS.iter() {
                let n = all.iter().filter(|c| c.definition.name == definition.name).count();
                assert!(n > 0, "{}", definition.name);
            }
            let mut ids: Vec<_> = all.iter().map(Check::id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), all.len(), "identifiers are unique");
        }
    }

    #[test]
    fn descriptions_have_no_parameter_left() {
        for check in checks(CdmVersion::V5_4) {
            assert!(!check.description().contains('@'), "{}", check.description());
        }
    }
}
