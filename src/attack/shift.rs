//! Inferring a person's shift from shifted dates alone.
//!
//! The attacker tries each shift that a person may have and asks how well the days of their records then fit: the
//! calendar of care (weekdays and federal holidays, as the Controlled tier's own records have them, which is more
//! than most attackers know), the years in which the codes of the rows were valid (dates of the vocabulary, and
//! 2015-10-01 for ICD-9-CM and ICD-10-CM), and the end of the data. What is left is told as the number of equally
//! likely shifts that would be as uncertain (the exponential of the entropy), and as the share of people whose
//! likeliest shift is theirs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::calendar::{Calendar, KINDS};
use super::edges::{self, Edge};
use super::tables::{self, RECORDS};
use super::{Error, Request, rate, rounded};
use crate::engine::Job;

/// 2015-10-01, on which ICD-10-CM took the place of ICD-9-CM.
const ICD_10: i32 = 16_709;

/// What is left of the shifts by one kind of evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inference {
    /// The evidence.
    pub by: &'static str,
    /// Median over people of the number of equally likely shifts that are left.
    pub median_left: f64,
    /// The tenth part of people has at most so many left.
    pub p10_left: f64,
    /// Share of people whose likeliest shift is the true one; of several as likely the first counts.
    pub top_1: f64,
    /// People whose true shift the evidence rules out: rows coded at another time than they happened.
    pub misled: usize,
}

/// What the attack found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShiftInference {
    /// `days` or `weeks`.
    pub shifts: &'static str,
    /// Shifts that a person may have.
    pub possible: usize,
    /// People with dated records who were attacked.
    pub people: usize,
    /// Median over people of the number of days with records.
    pub median_days: f64,
    /// How much likelier records are on a Monday ... Sunday, holiday than on any day.
    pub calendar: [f64; KINDS],
    /// By kind of evidence.
    pub evidence: Vec<Inference>,
    /// What the ends of streams tell.
    pub edges: Vec<Edge>,
}

/// What the attacker sees of one person.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Days with records, as the tier has them.
    pub days: BTreeSet<i32>,
    /// The shift is at least so long, by codes that were not valid before.
    pub least: i32,
    /// The shift is at most so long, by codes that were not valid any more; none without such.
    pub most: Option<i32>,
}

/// Evidence that a posterior is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Weekdays and holidays.
    pub calendar: bool,
    /// Years of codes.
    pub codes: bool,
    /// The last day of the data.
    pub end: bool,
}

/// The shifts that somebody may have.
pub fn possible(weeks: bool) -> Vec<i32> {
    if weeks { (1..=52).map(|week| 7 * week).collect() } else { (1..=364).collect() }
}

/// How likely each of `shifts` is, by what is used of what is seen; evidence that rules out all of them is not
/// believed.
pub fn posterior(
    seen: &Seen,
    shifts: &[i32],
    calendar: &Calendar,
    uses: Uses,
    last_day: i32,
) -> Vec<f64> {
    let most = seen.days.last().map_or(i32::MAX, |last| last_day.saturating_sub(*last));
    let is_possible = |shift: i32| {
        (!uses.end || shift <= most)
            && (!uses.codes || (seen.least <= shift && seen.most.is_none_or(|most| shift <= most)))
    };
    let any = shifts.iter().any(|shift| is_possible(*shift));
    let fit = |shift: &i32| -> f64 {
        if any && !is_possible(*shift) {
            return f64::NEG_INFINITY;
        }
        if uses.calendar {
            seen.days.iter().map(|day| calendar.log(day + shift)).sum()
        } else {
            0.0
        }
    };
    let logs: Vec<f64> = shifts.iter().map(fit).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| (log - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The number of equally likely shifts that would be as uncertain.
pub fn left(posterior: &[f64]) -> f64 {
    let entropy: f64 = posterior.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    entropy.exp()
}

/// Carries out the attack.
///
/// # Errors
/// When a file cannot be read.
pub fn measure(request: &Request, job: &Job) -> Result<ShiftInference, Error> {
    let targets = request.targets(job)?;
    let codes = codes(request, job)?;
    let mut seen: BTreeMap<i64, Seen> = BTreeMap::new();
    for table in RECORDS {
        look(request, table, &targets, &codes, &mut seen, job)?;
    }
    let calendar = calendar(request, job)?;
    let shifts = possible(request.weeks);
    let none = Uses { calendar: false, codes: false, end: false };
    let evidence = [
        ("weekdays and holidays", Uses { calendar: true, ..none }),
        ("years of codes", Uses { codes: true, ..none }),
        ("the end of the data", Uses { end: true, ..none }),
        ("all of these", Uses { calendar: true, codes: true, end: true }),
    ];
    let evidence = evidence.map(|(by, uses)| infer(request, &seen, &shifts, &calendar, by, uses));
    let mut days: Vec<f64> = seen.values().map(|seen| seen.days.len() as f64).collect();
    Ok(ShiftInference {
        shifts: if request.weeks { "weeks" } else { "days" },
        possible: shifts.len(),
        people: seen.len(),
        median_days: quantile(&mut days, 0.5),
        calendar: calendar.weights(),
        evidence: evidence.into(),
        edges: edges::measure(request, &targets, job)?,
    })
}

/// The first and the last day on which a concept was valid, where it was not always.
type Codes = BTreeMap<i64, (Option<i32>, Option<i32>)>;

fn codes(request: &Request, job: &Job) -> Result<Codes, Error> {
    let columns = ["concept_id", "vocabulary_id", "valid_start_date", "valid_end_date"];
    let mut codes = Codes::new();
    tables::scan(request, ("registered", "concept"), &columns, job, |rows| {
        use arrow::array::{Array, AsArray};
        let Some(vocabularies) = rows[1].as_string_opt::<i32>() else { return };
        for row in 0..rows[0].len() {
            let Some(concept) = tables::int(&rows[0], row) else { continue };
            let vocabulary = if vocabularies.is_valid(row) { vocabularies.value(row) } else { "" };
            // 1970-01-01 and 2099-12-31 say that nothing is known.
            let first = tables::day(&rows[2], row).filter(|day| *day > 0);
            let last = tables::day(&rows[3], row).filter(|day| *day < 47_481);
            let valid = match vocabulary {
                "ICD9CM" => (first, Some(ICD_10 - 1)),
                "ICD10CM" => (Some(first.map_or(ICD_10, |day| day.max(ICD_10))), last),
                _ => (first, last),
            };
            if valid != (None, None) {
                codes.insert(concept, valid);
            }
        }
    })?;
    Ok(codes)
}

/// Adds what a table shows of the targets.
fn look(
    request: &Request,
    table: &str,
    targets: &BTreeSet<i64>,
    codes: &Codes,
    seen: &mut BTreeMap<i64, Seen>,
    job: &Job,
) -> Result<(), Error> {
    let Some(spec) = tables::spec(table) else { return Ok(()) };
    let Some(start) = spec.start_date else { return Ok(()) };
    let mut columns = vec!["person_id", start];
    columns.extend(spec.fields.iter().filter(|f| f.is_concept_id()).map(|f| f.name));
    tables::scan(request, ("registered", table), &columns, job, |rows| {
        for row in 0..rows[0].len() {
            let person = tables::int(&rows[0], row).filter(|person| targets.contains(person));
            let (Some(person), Some(day)) = (person, tables::day(&rows[1], row)) else { continue };
            let seen = seen.entry(person).or_default();
            seen.days.insert(day);
            let concepts = rows[2..].iter().filter_map(|column| tables::int(column, row));
            for (first, last) in concepts.filter_map(|concept| codes.get(&concept)) {
                seen.least = first.map_or(seen.least, |first| seen.least.max(first - day));
                let most = last.map(|last| last - day);
                seen.most = [seen.most, most].into_iter().flatten().min();
            }
        }
    })
}

/// The calendar of the Controlled tier's records: one a person and day.
fn calendar(request: &Request, job: &Job) -> Result<Calendar, Error> {
    let table = "visit_occurrence";
    let start = tables::spec(table).and_then(|spec| spec.start_date).unwrap_or_default();
    let mut days: Vec<i32> = Vec::new();
    let mut before = None;
    let mut kinds: BTreeMap<i32, u64> = BTreeMap::new();
    tables::scan(
        request,
        ("controlled", "visit_occurrence"),
        &["person_id", start],
        job,
        |rows| {
            for row in 0..rows[0].len() {
                let here = (tables::int(&rows[0], row), tables::day(&rows[1], row));
                if before != Some(here) {
                    *kinds.entry(here.1.unwrap_or_default()).or_default() +=
                        u64::from(here.1.is_some());
                }
                before = Some(here);
            }
        },
    )?;
    for (day, people) in kinds {
        days.extend(std::iter::repeat_n(day, people as usize));
    }
    Ok(Calendar::of(days))
}

fn infer(
    request: &Request,
    seen: &BTreeMap<i64, Seen>,
    shifts: &[i32],
    calendar: &Calendar,
    by: &'static str,
    uses: Uses,
) -> Inference {
    let (mut lefts, mut top, mut misled) = (Vec::new(), 0, 0);
    for (person, seen) in seen {
        let Some(truth) = request.truth.get(person) else { continue };
        let posterior = posterior(seen, shifts, calendar, uses, request.last_day);
        lefts.push(left(&posterior));
        let best = posterior
            .iter()
            .enumerate()
            .fold((0, -1.0), |best, (at, p)| if *p > best.1 { (at, *p) } else { best });
        top += usize::from(shifts.get(best.0) == Some(&i32::from(truth.shift)));
        let at = shifts.iter().position(|shift| *shift == i32::from(truth.shift));
        misled += usize::from(at.is_none_or(|at| posterior[at] == 0.0));
    }
    let people = lefts.len();
    let (median_left, p10_left) = (quantile(&mut lefts, 0.5), quantile(&mut lefts, 0.1));
    Inference { by, median_left, p10_left, top_1: rate(top, people), misled }
}

/// The value below which `part` of the values are; 0 of none.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (part * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(at).map_or(0.0, |value| rounded(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Uses = Uses { calendar: true, codes: true, end: true };

    #[test]
    fn without_evidence_every_shift_is_left() {
        let even = Calendar::of(0..7_000);
        let seen = Seen { days: [16_000].into(), ..Seen::default() };
        let uses = Uses { calendar: false, codes: false, end: false };
        let all = posterior(&seen, &possible(false), &even, uses, 20_000);
        assert!((left(&all) - 364.0).abs() < 1e-6);
        let weeks = posterior(&seen, &possible(true), &even, uses, 20_000);
        assert!((left(&weeks) - 52.0).abs() < 1e-6);
    }

    #[test]
    fn codes_and_the_end_bound_the_shift() {
        let even = Calendar::of(0..7_000);
        let seen = Seen { days: [16_000].into(), least: 100, most: Some(109) };
        let posterior = |last_day: i32| posterior(&seen, &possible(false), &even, ALL, last_day);
        assert!((left(&posterior(20_000)) - 10.0).abs() < 0.2);
        assert!((left(&posterior(16_100)) - 1.0).abs() < 1e-9);
        // What cannot be is not believed.
        assert!(left(&posterior(16_050)) > 300.0);
    }

    #[test]
    fn weekdays_tell_days_apart_and_weeks_not() {
        // Mondays of two years, all moved by 38 days: 24 days would do, and 31, 38 ...
        let mondays = (0..104).map(|week| 18_263 + 7 * week);
        let calendar = Calendar::of(mondays.clone());
        let seen = Seen { days: mondays.map(|day| day - 38).collect(), ..Seen::default() };
        let uses = Uses { calendar: true, codes: false, end: false };
        let days = posterior(&seen, &possible(false), &calendar, uses, 30_000);
        assert!(left(&days) < 53.0);
        assert!(days[36] < 1e-6 && days[37] > 1e-4);
    }
}
