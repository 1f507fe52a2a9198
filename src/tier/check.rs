//! A policy held against itself and the CDM before anything runs; everything wrong at once.

use std::collections::BTreeSet;
use std::fmt;

mod parameters;

use super::rules::{VERSIONS, matches, reason};
use crate::config::Tier;
use crate::config::policy::{Action, DateBasis, KeepText, Rule, TierPolicy};
use crate::omop::{FieldKind, FieldSpec, TableSpec, cdm, is_vocabulary};

/// Something wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The rule, when it is one rule's.
    pub rule: Option<String>,
    /// What is wrong and what would do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "rule {rule}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Everything wrong with `policy`; empty when it can be used.
///
/// Names must be of a table or column of CDM 5.3 or 5.4. Rules that read true dates or remove rows come
/// before `shift_dates`, which comes before `reduce_birth_date`: rules then read top to bottom as what
/// happens to a row.
pub fn check(policy: &TierPolicy) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_head(policy, &mut problems);
    check_ids(policy, &mut problems);
    check_order(policy, &mut problems);
    check_after(policy, &mut problems);
    for rule in &policy.rules {
        check_action(rule, &mut problems);
    }
    check_original_ids(policy, &mut problems);
    problems
}

fn head(what: impl Into<String>) -> Problem {
    Problem { rule: None, what: what.into() }
}

fn of(rule: &Rule, what: impl Into<String>) -> Problem {
    Problem { rule: Some(rule.id.clone()), what: what.into() }
}

fn check_head(policy: &TierPolicy, problems: &mut Vec<Problem>) {
    let shifts = policy.rules.iter().filter(|r| r.action == Action::ShiftDates).count();
    let p = &policy.policy;
    match (p.dates, shifts) {
        (DateBasis::Shifted, 0) => {
            problems.push(head("dates = \"shifted\" needs a shift_dates rule"));
        }
        (DateBasis::True, 1..) => {
            problems.push(head("dates = \"true\" and a shift_dates rule contradict each other"));
        }
        (DateBasis::Shifted, 2..) => problems.push(head("there is more than one shift_dates rule")),
        _ => {}
    }
    let years = |r: &&Rule| matches!(r.action, Action::ReduceDatesToYear { .. });
    match (p.dates, shifts, policy.rules.iter().filter(years).count()) {
        (DateBasis::Year, _, 0) => {
            problems.push(head("dates = \"year\" needs a reduce_dates_to_year rule"));
        }
        (DateBasis::Year, 1.., _) => {
            problems.push(head("dates = \"year\" and a shift_dates rule contradict each other"));
        }
        (DateBasis::True | DateBasis::Shifted, _, 1..) => problems.push(head(
            "a reduce_dates_to_year rule needs dates = \"year\", which the files then say of themselves",
        )),
        (_, _, 2..) => problems.push(head("there is more than one reduce_dates_to_year rule")),
        _ => {}
    }
    match (p.tier, p.dates) {
        (Tier::Controlled, DateBasis::Shifted) => problems.push(head(
            "the controlled tier has true dates: its process never holds the shift key",
        )),
        (Tier::Registered, DateBasis::True) => {
            problems.push(head("the registered tier needs dates = \"shifted\" or \"year\""));
        }
        (Tier::Public, _) => {
            problems.push(head("a tier of rows is controlled or registered, not public"));
        }
        _ => {}
    }
    if p.genomics && p.tier != Tier::Controlled {
        problems.push(head("only the controlled tier has genomics"));
    }
}

fn check_ids(policy: &TierPolicy, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for rule in &policy.rules {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if rule.id.is_empty() || !rule.id.chars().all(word) {
            problems.push(of(rule, "a rule id is made of a-z, 0-9 and _"));
        }
        if reason::ALL.contains(&rule.id.as_str()) {
            problems.push(of(rule, "this id is a built-in reason"));
        }
        if !seen.insert(&rule.id) {
            problems.push(of(rule, "another rule has this id"));
        }
        if rule.description.trim().is_empty() {
            problems.push(of(rule, "the description is empty"));
        }
    }
}

fn check_order(policy: &TierPolicy, problems: &mut Vec<Problem>) {
    let shift = policy.rules.iter().position(|r| r.action == Action::ShiftDates);
    let year = |r: &Rule| matches!(r.action, Action::ReduceDatesToYear { .. });
    let Some(shift) = shift.or_else(|| policy.rules.iter().position(year)) else { return };
    for (at, rule) in policy.rules.iter().enumerate() {
        let (before, after) = (at < shift, at > shift);
        match rule.action {
            Action::RemovePeopleByAge { .. }
            | Action::SuppressTables { .. }
            | Action::SuppressConcepts(_)
            | Action::GeneraliseValues(_)
            | Action::GeneraliseSmall(_)
            | Action::GeneraliseBySite(_)
            | Action::LeaveDatesTrue(_)
            | Action::DropNearBirth(_)
            | Action::DropRecentConcepts(_)
            | Action::TruncateEdges(_)
            | Action::OpenEnds { .. }
            | Action::DropHours { .. }
                if after =>
            {
                problems.push(of(
                    rule,
                    "must come before shift_dates or reduce_dates_to_year: it goes by true values",
                ));
            }
            Action::ReduceBirthDate { .. } if before => {
                problems.push(of(rule, "must come after shift_dates or reduce_dates_to_year: it reduces the changed date"));
            }
            _ => {}
        }
    }
}

/// Every rule that another must follow is there, and before it.
fn check_after(policy: &TierPolicy, problems: &mut Vec<Problem>) {
    for (at, rule) in policy.rules.iter().enumerate() {
        for id in &rule.after {
            match policy.rules.iter().position(|r| r.id == *id) {
                None => problems.push(of(rule, format!("after: there is no rule {id}"))),
                Some(other) if other >= at => {
                    problems.push(of(rule, format!("must come after the rule {id}")));
                }
                Some(_) => {}
            }
        }
    }
    let text = policy.rules.iter().position(|r| matches!(r.action, Action::NullFreeText { .. }));
    for (at, rule) in policy.rules.iter().enumerate() {
        if matches!(rule.action, Action::Zip3(_)) && text.is_some_and(|text| text < at) {
            problems.push(of(rule, "must come before null_free_text, which leaves it nothing"));
        }
    }
}

fn check_action(rule: &Rule, problems: &mut Vec<Problem>) {
    match &rule.action {
        Action::RemovePeopleByAge { min_age } if !(1..=120).contains(min_age) => {
            problems.push(of(rule, "min_age must be 1 to 120"));
        }
        Action::SuppressTables { tables } => {
            for table in tables {
                problems.extend(unknown_table(table).map(|what| of(rule, what)));
                if table == "person" {
                    problems.push(of(rule, "the person table cannot be left out"));
                }
            }
        }
        Action::NullColumns { columns, keep } => {
            check_kept(rule, keep, problems);
            for pattern in columns {
                problems.extend(bad_pattern(pattern, |_| true).map(|what| of(rule, what)));
                let key = |t: &TableSpec, f: &FieldSpec| {
                    !pattern.contains('*')
                        && f.name == named(pattern).1
                        && t.name == named(pattern).0
                };
                if fields().any(|(t, f)| key(t, f) && (f.primary_key || f.name == "person_id")) {
                    problems.push(of(rule, format!("{pattern} is a key and cannot be null")));
                }
            }
        }
        Action::NullFreeText { except, keep } => {
            check_kept(rule, keep, problems);
            for pattern in except {
                problems.extend(bad_pattern(pattern, |_| true).map(|what| of(rule, what)));
            }
        }
        Action::SuppressConcepts(set) => parameters::concepts(rule, set, problems),
        Action::GeneraliseValues(g) => parameters::generalisation(rule, g, problems),
        Action::ReduceDatesToYear { max_age } if !(1..=120).contains(max_age) => {
            problems.push(of(rule, "max_age must be 1 to 120"));
        }
        Action::LeaveDatesTrue(of_rows) => parameters::true_dates(rule, of_rows, problems),
        Action::GeneraliseBySite(by) => parameters::by_site(rule, by, problems),
        Action::GeneraliseSmall(rare) => parameters::rare(rule, rare, problems),
        Action::Zip3(zip) => parameters::zip(rule, zip, problems),
        Action::DropNearBirth(n) => parameters::near_birth(rule, n, problems),
        Action::DropRecentConcepts(r) if !(1..=50).contains(&r.years) => {
            problems.push(of(rule, "years must be 1 to 50"));
        }
        Action::TruncateEdges(edges) => parameters::edges(rule, edges, problems),
        Action::OpenEnds { columns } => {
            for pattern in columns {
                let found = bad_pattern(pattern, super::rules::is_date);
                problems.extend(found.map(|what| of(rule, what)));
            }
        }
        Action::DropHours { columns, hours } => {
            for pattern in columns {
                let found = bad_pattern(pattern, |f| f.kind == FieldKind::Timestamp);
                problems.extend(found.map(|what| of(rule, what)));
            }
            if hours.is_empty() || hours.iter().any(|hour| *hour > 23) {
                problems.push(of(rule, "hours must be 0 to 23, and at least one"));
            }
        }
        _ => {}
    }
}

/// Columns in which extracts carry ids of their own (record numbers, tube labels).
const ORIGINAL_IDS: [(&str, &str); 2] =
    [("person", "person_source_value"), ("specimen", "specimen_source_id")];

/// No original id reaches any output (contract section 6): some rule must null these columns.
fn check_original_ids(policy: &TierPolicy, problems: &mut Vec<Problem>) {
    for (table, column) in ORIGINAL_IDS {
        let nulled = policy.rules.iter().any(|rule| match &rule.action {
            Action::NullColumns { columns, .. } => {
                columns.iter().any(|p| matches(p, table, column))
            }
            Action::NullFreeText { except, .. } => {
                !except.iter().any(|p| matches(p, table, column))
            }
            Action::SuppressTables { tables } => tables.iter().any(|t| t == table),
            _ => false,
        });
        if !nulled {
            problems.push(head(format!(
                "no rule nulls {table}.{column}, which holds ids of the source"
            )));
        }
    }
}

/// Kept texts are of one text column; with a question of the table of answers, for its rows alone know one.
fn check_kept(rule: &Rule, keep: &[KeepText], problems: &mut Vec<Problem>) {
    for kept in keep {
        let (table, column) = named(&kept.column);
        let text = |(t, f): (&TableSpec, &FieldSpec)| {
            t.name == table && f.name == column && f.kind == FieldKind::Text
        };
        if !fields().any(text) {
            let what = format!("keep_text: {} is no text column", kept.column);
            problems.push(of(rule, what));
        }
        if !kept.question.is_empty() && table != super::answers::TABLE {
            let what = format!("keep_text: {} is no text column of observation", kept.column);
            problems.push(of(rule, what));
        }
        if kept.question.is_empty() && kept.words.is_empty() {
            problems.push(of(rule, "keep_text: neither question nor words"));
        }
    }
}

fn named(pattern: &str) -> (&str, &str) {
    pattern.split_once('.').unwrap_or((pattern, ""))
}

/// Every field of every version; a field of both comes twice.
fn fields() -> impl Iterator<Item = (&'static TableSpec, &'static FieldSpec)> {
    let tables = VERSIONS.into_iter().flat_map(|v| cdm(v).tables());
    tables.flat_map(|t| t.fields.iter().map(move |f| (t, f)))
}

fn unknown_table(table: &str) -> Option<String> {
    if VERSIONS.iter().any(|v| cdm(*v).table(table).is_some()) {
        return None;
    }
    let nearest = VERSIONS.iter().find_map(|v| cdm(*v).nearest(table));
    Some(format!("the CDM has no table {table}{}", hint(nearest)))
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default()
}

/// What is wrong with a column pattern, if it names no column that is `wanted`.
fn bad_pattern(pattern: &str, wanted: impl Fn(&FieldSpec) -> bool) -> Option<String> {
    let Some((table, column)) = pattern.split_once('.') else {
        return Some(format!("{pattern} is no column pattern: write table.column"));
    };
    if !table.contains('*') && !column.contains('*') && is_vocabulary(table) {
        return Some(format!("{pattern}: vocabulary tables are released as they are"));
    }
    let hits: Vec<_> = fields().filter(|(t, f)| matches(pattern, t.name, f.name)).collect();
    if hits.iter().any(|(_, f)| wanted(f)) {
        return None;
    }
    if !hits.is_empty() {
        return Some(format!("{pattern} names no concept-id column"));
    }
    if !table.contains('*')
        && let Some(what) = unknown_table(table)
    {
        return Some(what);
    }
    let near = fields()
        .filter(|(t, _)| table.contains('*') || t.name == table)
        .map(|(_, f)| (strsim::damerau_levenshtein(column, f.name), f.name))
        .filter(|(distance, name)| distance * 3 <= name.len())
        .min();
    Some(format!("{pattern} names no column of the CDM{}", hint(near.map(|(_, name)| name))))
}
