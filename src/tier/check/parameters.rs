//! The parameters of single rules, held against the CDM and themselves.

use super::{Problem, bad_pattern, fields, of, unknown_table};
use crate::config::policy::{
    BySite, ConceptSet, Edges, Generalisation, NearBirth, Rare, Rule, TrueDates, Unlisted, Zip3,
};
use crate::omop::FieldSpec;

pub(super) fn concepts(rule: &Rule, set: &ConceptSet, problems: &mut Vec<Problem>) {
    if set.concepts.is_empty() && set.file.is_none() && set.codes.is_empty() {
        problems.push(of(rule, "concepts is empty"));
    }
    for pattern in set.columns.iter().chain(&set.except_columns) {
        let bad = bad_pattern(pattern, FieldSpec::is_concept_id);
        problems.extend(bad.map(|what| of(rule, what)));
    }
    for table in &set.except_tables {
        problems.extend(unknown_table(table).map(|what| of(rule, what)));
    }
    for condition in &set.only {
        column(rule, &condition.column, problems);
        some(rule, "only: concepts", &condition.concepts, problems);
    }
    for condition in &set.except {
        column(rule, &condition.column, problems);
        some(rule, "except_rows: concepts", &condition.concepts, problems);
    }
    for codes in &set.codes {
        for shape in [Some(codes.regex.as_str()), codes.except.as_deref()].into_iter().flatten() {
            if shape.is_empty() || regex::Regex::new(shape).is_err() {
                problems.push(of(rule, format!("codes: {shape} is no regular expression")));
            }
        }
    }
}

pub(super) fn generalisation(rule: &Rule, g: &Generalisation, problems: &mut Vec<Problem>) {
    if g.columns.is_empty() {
        some(rule, "question", &g.question, problems);
    } else if g.when_several.is_some() == g.question.is_empty() {
        problems.push(of(
            rule,
            "beside columns, question says what when_several counts: give both or none",
        ));
    }
    for pattern in &g.columns {
        let bad = bad_pattern(pattern, FieldSpec::is_concept_id);
        problems.extend(bad.map(|what| of(rule, what)));
    }
    if g.groups.is_empty() && g.when_several.is_none() && g.when_also.is_empty() {
        problems.push(of(rule, "needs groups, when_several or when_also"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for group in &g.groups {
        some(rule, "groups: from", &group.from, problems);
        if group.from.iter().any(|id| !seen.insert(*id)) {
            problems.push(of(rule, "groups: an answer is in two groups"));
        }
    }
    if g.keep.iter().any(|id| seen.contains(id)) {
        problems.push(of(rule, "keep: an answer is in a group too"));
    }
    if !g.keep.is_empty() && g.otherwise.is_none() {
        problems.push(of(rule, "keep needs otherwise: without it every other answer stays too"));
    }
    // Several rows of the same generalised answer would tell how many answers there were.
    if g.when_several.is_some() && !g.keep_latest {
        problems.push(of(rule, "when_several needs keep_latest"));
    }
}

pub(super) fn rare(rule: &Rule, rare: &Rare, problems: &mut Vec<Problem>) {
    some(rule, "question", &rare.question, problems);
    if rare.min_rows < 2 {
        problems.push(of(rule, "min_rows must be 2 or more"));
    }
}

pub(super) fn zip(rule: &Rule, zip: &Zip3, problems: &mut Vec<Problem>) {
    some(rule, "question", &zip.question, problems);
    if zip.min_population > 0 && zip.file.is_none() {
        problems.push(of(rule, "min_population needs a file of areas"));
    }
    if zip.unlisted == Unlisted::Keep && (zip.file.is_none() || zip.min_population == 0) {
        problems
            .push(of(rule, "unlisted = \"keep\" needs a file of small areas and min_population"));
    }
    if zip.hidden_state.is_some() && zip.state_question.is_empty() {
        problems.push(of(rule, "to_concept needs state_question"));
    }
}

/// True dates beside shifted ones are refused unless the policy says that it knows.
pub(super) fn true_dates(rule: &Rule, rows: &TrueDates, problems: &mut Vec<Problem>) {
    some(rule, "concepts", &rows.concepts, problems);
    if rows.columns.is_empty() {
        problems.push(of(rule, "columns is empty"));
    }
    for pattern in &rows.columns {
        let bad = bad_pattern(pattern, FieldSpec::is_concept_id);
        problems.extend(bad.map(|what| of(rule, what)));
    }
    if !rows.accepted {
        let what = "rows with true dates beside shifted ones reveal the shift of whoever has both, and with \
                    it every true date of theirs; suppress the rows (suppress_concepts), or write \
                    i_accept_that_this_reveals_the_shift = true";
        problems.push(of(rule, what));
    }
}

pub(super) fn by_site(rule: &Rule, by: &BySite, problems: &mut Vec<Problem>) {
    some(rule, "question", &by.question, problems);
}

pub(super) fn near_birth(rule: &Rule, near: &NearBirth, problems: &mut Vec<Problem>) {
    if !(1..=20).contains(&near.years) {
        problems.push(of(rule, "years must be 1 to 20"));
    }
    for table in near.except_tables.iter().chain(&near.clip_tables) {
        problems.extend(unknown_table(table).map(|what| of(rule, what)));
    }
    for condition in &near.except {
        column(rule, &condition.column, problems);
    }
}

pub(super) fn edges(rule: &Rule, edges: &Edges, problems: &mut Vec<Problem>) {
    for table in &edges.tables {
        problems.extend(unknown_table(table).map(|what| of(rule, what)));
    }
    if edges.first_day.as_deref().is_some_and(|d| d.parse::<jiff::civil::Date>().is_err()) {
        problems.push(of(rule, "first_day is no day: write yyyy-mm-dd"));
    }
}

fn some(rule: &Rule, key: &str, ids: &[i64], problems: &mut Vec<Problem>) {
    if ids.is_empty() {
        problems.push(of(rule, format!("{key} is empty")));
    }
}

/// A condition's column is a concept-id column of some table.
fn column(rule: &Rule, name: &str, problems: &mut Vec<Problem>) {
    if !fields().any(|(_, f)| f.name == name && f.is_concept_id()) {
        problems.push(of(rule, format!("{name} is no concept-id column of the CDM")));
    }
}
