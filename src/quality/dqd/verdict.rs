//! From counts to results: thresholds, what is not applicable, and the table of results.

use std::collections::BTreeMap;

use serde::Serialize;

use super::books::Count;
use super::check::{Check, Rule};

/// The result of one check, with OHDSI's columns; `query_text`, `warning` and `execution_time` of
/// theirs have no meaning here and are empty or 0 in the files.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Rows (persons, distinct values) that break the rule.
    pub num_violated_rows: u64,
    /// Their share of the denominator, 0 when that is 0.
    pub pct_violated_rows: f64,
    /// Rows (persons, distinct values) the rule is about.
    pub num_denominator_rows: u64,
    /// Kind of check, e.g. `isRequired`.
    pub check_name: String,
    /// `TABLE`, `FIELD` or `CONCEPT`.
    pub check_level: String,
    /// What it does.
    pub check_description: String,
    /// CDM table, upper case.
    pub cdm_table_name: String,
    /// CDM field, upper case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdm_field_name: Option<String>,
    /// Concept id, or several separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concept_id: Option<String>,
    /// Unit, for checks of values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_concept_id: Option<String>,
    /// OHDSI's SQL that defines it.
    pub sql_file: String,
    /// `Conformance`, `Completeness` or `Plausibility`.
    pub category: String,
    /// `Relational`, `Value`, `Temporal` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subcategory: Option<String>,
    /// `Verification` or `Validation`.
    pub context: String,
    /// Why it could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Identifier: level, name, table, field, concept, unit.
    pub check_id: String,
    /// 1 when it could not be run.
    pub is_error: u8,
    /// 1 when there is nothing to check.
    pub not_applicable: u8,
    /// 1 when more rows break the rule than the threshold allows.
    pub failed: u8,
    /// 1 when it neither failed, nor is without application, nor could not be run.
    pub passed: u8,
    /// Why there is nothing to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_applicable_reason: Option<String>,
    /// Per cent of rows that may break the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_value: Option<f64>,
    /// The site's words on the threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes_value: Option<String>,
}

/// What is known of a table when its checks are judged.
#[derive(Debug, Clone, Default)]
pub(super) struct TableFacts {
    /// Rows; none when the extract has no such table.
    pub rows: Option<u64>,
    /// Nulls by column; a column that is not here is missing.
    pub nulls: BTreeMap<&'static str, u64>,
}

/// A check and what it found.
pub(super) struct Finding<'a> {
    pub check: &'a Check,
    pub count: Count,
    pub error: Option<String>,
}

/// Judges all findings: OHDSI's `evaluateThresholds` and `calculateNotApplicableStatus`.
pub(super) fn judge(
    findings: &[Finding<'_>],
    tables: &BTreeMap<&'static str, TableFacts>,
) -> Vec<CheckResult> {
    findings.iter().map(|finding| result(finding, tables)).collect()
}

fn result(finding: &Finding<'_>, tables: &BTreeMap<&'static str, TableFacts>) -> CheckResult {
    let Finding { check, count, error } = finding;
    let share = match count.denominator {
        0 => 0.0,
        n => count.violated as f64 / n as f64,
    };
    let reason = not_applicable(check, *count, error.is_some(), tables);
    let not_applicable = reason.is_some();
    let is_error = error.is_some() && !not_applicable;
    let over = match check.threshold {
        None | Some(0.0) => count.violated > 0,
        Some(threshold) => share * 100.0 > threshold,
    };
    let failed = over && !is_error && !not_applicable;
    let text = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let d = check.definition;
    CheckResult {
        num_violated_rows: count.violated,
        pct_violated_rows: share,
        num_denominator_rows: count.denominator,
        check_name: d.name.to_owned(),
        check_level: d.level.to_owned(),
        check_description: check.description(),
        cdm_table_name: check.table.to_uppercase(),
        cdm_field_name: check.field.map(str::to_uppercase),
        concept_id: check.concept.map(str::to_owned),
        unit_concept_id: check.unit.map(|u| u.to_string()),
        sql_file: d.sql_file.to_owned(),
        category: d.category.to_owned(),
        subcategory: text(d.subcategory),
        context: d.context.to_owned(),
        error: error.clone().filter(|_| is_error),
        check_id: check.id(),
        is_error: is_error.into(),
        not_applicable: not_applicable.into(),
        failed: failed.into(),
        passed: (!failed && !is_error && !not_applicable).into(),
        not_applicable_reason: reason,
        threshold_value: check.threshold,
        notes_value: check.notes.clone(),
    }
}

/// Why there is nothing for `check` to find, if so.
fn not_applicable(
    check: &Check,
    count: Count,
    error: bool,
    tables: &BTreeMap<&'static str, TableFacts>,
) -> Option<String> {
    let nothing = TableFacts::default();
    let facts = tables.get(check.table).unwrap_or(&nothing);
    let table = check.table.to_uppercase();
    let field = check.field.unwrap_or_default().to_uppercase();
    let missing = || Some(format!("Table {table} does not exist."));
    match check.rule {
        Rule::Table => return None,
        Rule::Eras => {
            let occurrences = tables.get("condition_occurrence").and_then(|t| t.rows);
            let empty = occurrences.is_none_or(|rows| rows == 0);
            return empty.then(|| "Table CONDITION_OCCURRENCE is empty.".into());
        }
        Rule::Persons | Rule::Field => {
            return if facts.rows.is_none() { missing() } else { None };
        }
        _ => {}
    }
    let Some(rows) = facts.rows else { return missing() };
    let nulls = check.field.and_then(|f| facts.nulls.get(f));
    if check.field.is_some() && nulls.is_none() {
        return Some(format!("Field {table}.{field} does not exist."));
    }
    if error {
        return None;
    }
    if rows == 0 {
        return Some(format!("Table {table} is empty."));
    }
    if check.rule == Rule::Values {
        return None;
    }
    if nulls == Some(&rows) {
        return Some(format!("Field {table}.{field} is not populated."));
    }
    let concept = check.concept.filter(|_| count.denominator == 0)?;
    Some(match check.unit {
        None => format!("{field}={concept} is missing from the {table} table."),
        Some(unit) => format!(
            "Combination of {field}={concept}, unitConceptId={unit} and VALUE_AS_NUMBER IS NOT NULL is missing from the {table} table."
        ),
    })
}

/// OHDSI's overview: how many checks there are, failed and passed, by category.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are OHDSI's and say what they count")]
pub struct Overview {
    pub count_total: u64,
    pub count_threshold_failed: u64,
    pub count_error_failed: u64,
    pub count_overall_failed: u64,
    pub percent_passed: u64,
    pub percent_failed: u64,
    pub count_passed: u64,
    pub count_not_applicable: u64,
    pub count_failed_plausibility: u64,
    pub count_failed_conformance: u64,
    pub count_failed_completeness: u64,
    pub count_total_plausibility: u64,
    pub count_total_conformance: u64,
    pub count_total_completeness: u64,
    pub count_passed_plausibility: u64,
    pub count_passed_conformance: u64,
    pub count_passed_completeness: u64,
}

impl Overview {
    /// Counts `results`.
    pub fn of(results: &[CheckResult]) -> Self {
        let count =
            |test: &dyn Fn(&CheckResult) -> bool| results.iter().filter(|r| test(r)).count() as u64;
        let failed = |r: &CheckResult| r.failed == 1;
        let passed = |r: &CheckResult| r.passed == 1;
        let (total, bad) = (results.len() as u64, count(&|r| failed(r) || r.is_error == 1));
        let percent = |n: u64| (n * 100 + total / 2).checked_div(total).unwrap_or(0);
        let of = |category: &'static str| move |r: &CheckResult| r.category == category;
        let (pl, cf, cm) = (of("Plausibility"), of("Conformance"), of("Completeness"));
        Self {
            count_total: total,
            count_threshold_failed: count(&failed),
            count_error_failed: count(&|r| r.is_error == 1),
            count_overall_failed: bad,
            percent_passed: percent(total - bad),
            percent_failed: percent(bad),
            count_passed: total - bad,
            count_not_applicable: count(&|r| r.not_applicable == 1),
            count_failed_plausibility: count(&|r| pl(r) && failed(r)),
            count_failed_conformance: count(&|r| cf(r) && failed(r)),
            count_failed_completeness: count(&|r| cm(r) && failed(r)),
            count_total_plausibility: count(&pl),
            count_total_conformance: count(&cf),
            count_total_completeness: count(&cm),
            count_passed_plausibility: count(&|r| pl(r) && passed(r)),
            count_passed_conformance: count(&|r| cf(r) && passed(r)),
            count_passed_completeness: count(&|r| cm(r) && passed(r)),
        }
    }
}
