//! What the first and the last days of people's rows tell of their shifts.
//!
//! A tracker that is worn until the last day of the data, an observation period that ends with the extract, a date
//! of the last synchronisation: each ends, shifted, on a day that everybody shares less the shift. For every
//! column of dates the attacker takes the day on which most people's rows begin or end in the Controlled tier. Where
//! streams are cut so that all end on one day, the last days say nothing: their entropy is 0 bits, and what they
//! share with the shifts, which is never more, is 0 too.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::tables;
use super::{Error, Request, rate, rounded};
use crate::engine::Job;
use crate::omop::{FieldKind, TableSpec};

/// One end of the dates of one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    /// `table.column`.
    pub column: String,
    /// `last` or `first` day of a person's rows.
    pub end: &'static str,
    /// People with dates in it.
    pub people: usize,
    /// How many different days there are.
    pub days: usize,
    /// Entropy of the days, in bits: at most so much is said of the shift.
    pub entropy_bits: f64,
    /// Share of people whose shift is the common day less theirs; by chance about 1 of 364.
    pub guessed: f64,
}

/// Looks at the first and last days in every column of dates of the Registered tier.
///
/// # Errors
/// When a file cannot be read.
pub fn measure(request: &Request, targets: &BTreeSet<i64>, job: &Job) -> Result<Vec<Edge>, Error> {
    let registered = request.files.iter().filter(|f| f.tier == "registered");
    let names: BTreeSet<&str> = registered.map(|f| f.table.as_str()).collect();
    let mut edges = Vec::new();
    for name in names {
        let spec = tables::spec(name);
        let Some(spec) = spec.filter(|spec| spec.person_field) else { continue };
        let shifted = spans(request, ("registered", name), spec, |p| targets.contains(&p), job)?;
        let known = spans(request, ("controlled", name), spec, |_| true, job)?;
        for (column, (spans, known)) in dated(spec).into_iter().zip(shifted.iter().zip(&known)) {
            if spans.is_empty() {
                continue;
            }
            let column = format!("{}.{column}", spec.name);
            edges.push(edge(request, &column, "last", [spans, known], |span| span.1));
            edges.push(edge(request, &column, "first", [spans, known], |span| span.0));
        }
    }
    Ok(edges)
}

/// The columns of dates and times of a table.
fn dated(spec: &TableSpec) -> Vec<&'static str> {
    let is_dated = |kind| matches!(kind, FieldKind::Date | FieldKind::Timestamp);
    spec.fields.iter().filter(|f| is_dated(f.kind)).map(|f| f.name).collect()
}

/// First and last day by person.
type Spans = BTreeMap<i64, (i32, i32)>;

/// The spans of each column of [`dated`].
fn spans(
    request: &Request,
    table: (&str, &str),
    spec: &TableSpec,
    chosen: impl Fn(i64) -> bool,
    job: &Job,
) -> Result<Vec<Spans>, Error> {
    let mut columns = vec!["person_id"];
    columns.extend(dated(spec));
    let mut spans = vec![Spans::new(); columns.len() - 1];
    tables::scan(request, table, &columns, job, |rows| {
        for (spans, column) in spans.iter_mut().zip(&rows[1..]) {
            let Some(days) = tables::dates(column) else { continue };
            for row in 0..days.len() {
                let person = tables::int(&rows[0], row).filter(|person| chosen(*person));
                let (Some(person), Some(day)) = (person, tables::day(&days, row)) else { continue };
                let span = spans.entry(person).or_insert((day, day));
                *span = (span.0.min(day), span.1.max(day));
            }
        }
    })?;
    Ok(spans)
}

/// How many people each day is an end of.
fn counted(spans: &Spans, end: impl Fn(&(i32, i32)) -> i32) -> BTreeMap<i32, usize> {
    let mut people = BTreeMap::new();
    for span in spans.values() {
        *people.entry(end(span)).or_default() += 1;
    }
    people
}

fn edge(
    request: &Request,
    column: &str,
    name: &'static str,
    [spans, known]: [&Spans; 2],
    end: impl Fn(&(i32, i32)) -> i32 + Copy,
) -> Edge {
    let common = counted(known, end).into_iter().max_by_key(|(_, people)| *people);
    let is_guessed = |(person, span): &(&i64, &(i32, i32))| {
        let shift = request.truth.get(person).map(|truth| i32::from(truth.shift));
        shift.is_some() && shift == common.map(|(day, _)| day.saturating_sub(end(span)))
    };
    let guessed = spans.iter().filter(is_guessed).count();
    let people = counted(spans, end);
    let share = |count: &usize| *count as f64 / spans.len() as f64;
    let entropy: f64 = people.values().map(share).map(|p| -p * p.log2()).sum();
    Edge {
        column: column.to_owned(),
        end: name,
        people: spans.len(),
        days: people.len(),
        entropy_bits: rounded(entropy.max(0.0)),
        guessed: rate(guessed, spans.len()),
    }
}
