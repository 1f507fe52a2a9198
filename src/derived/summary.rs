//! One row a person: what there is of whom, and ages.

use jiff::civil::Date;

use super::Known;
use super::answer;
use super::module::Modules;
use super::part::Part;
use super::period::{EVENTS, extent};
use super::physical::is_physical;
use super::sweep::{Derivation, Made, Source, Value};
use crate::omop::birth_day;

/// Tables of a wearables feed: who has rows in one has data of a wearable.
const WEARABLES: [&str; 7] = [
    "activity_summary",
    "heart_rate_summary",
    "heart_rate_intraday",
    "steps_intraday",
    "sleep_daily_summary",
    "sleep_level",
    "device",
];

/// `person_summary`: which kinds of data a person has (0 or 1), counts by table, ages in completed years.
///
/// `has_ehr` is a record of a visit, condition, drug, procedure or device; measurements and observations
/// count if they are neither physical measurements of the programme nor survey answers.
pub struct Summaries<'a> {
    /// What other feeds say.
    pub known: &'a Known,
    /// Modules of surveys and their questions.
    pub modules: &'a Modules,
    /// Day that ages refer to.
    pub reference_date: i32,
}

/// A day since 1970-01-01 as a civil date.
fn date(day: i32) -> Option<Date> {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

/// Completed years from a birth to `day`, both days since 1970-01-01.
fn age(birth: i32, day: i32) -> Option<i64> {
    let (born, on) = (date(birth)?, date(day)?);
    let reached = (on.month(), on.day()) >= (born.month(), born.day());
    let years = i64::from(on.year()) - i64::from(born.year()) - i64::from(!reached);
    (years >= 0).then_some(years)
}

impl Derivation for Summaries<'_> {
    fn table(&self) -> &'static str {
        "person_summary"
    }

    fn sources(&self) -> Vec<Source> {
        let mut sources = vec![
            ("person", vec!["birth_datetime", "year_of_birth", "month_of_birth", "day_of_birth"]),
            ("death", vec!["death_date"]),
        ];
        for (table, start, end) in EVENTS {
            let mut columns = vec![start, end];
            if table == "measurement" {
                columns.extend(["measurement_concept_id", "measurement_source_concept_id"]);
            }
            sources.push((table, columns));
        }
        sources.extend(answer::sources());
        sources.extend(WEARABLES.map(|table| (table, Vec::new())));
        sources
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let (people, others) = (&sources[0], &sources[2..]);
        let (events, others) = others.split_at(EVENTS.len());
        let (surveys, wearables) = others.split_at(answer::sources().len());
        let Some(row) = people.of(person).next() else {
            made.note("records_of_nobody", 1);
            return;
        };
        let of = |name: &str| EVENTS.iter().position(|e| e.0 == name).map(|i| &events[i]);
        let count = |name: &str| of(name).map_or(0, |part| part.of(person).len());
        let physical = of("measurement").map_or(0, |p| {
            let is = |&row: &usize| is_physical(p.rows.columns[3][row], p.rows.columns[4][row]);
            p.of(person).filter(is).count()
        });
        let conducts = answer::conducts(person, &surveys[1], self.modules);
        let answers = answer::count(person, &surveys[0], &conducts, self.modules);
        let records: usize = [
            "condition_occurrence",
            "drug_exposure",
            "procedure_occurrence",
            "device_exposure",
            "visit_occurrence",
        ]
        .map(count)
        .iter()
        .sum();
        let ehr = records + count("measurement") - physical + count("observation") - answers;
        let [time, year, month, day] = [1, 2, 3, 4].map(|i: usize| people.rows.columns[i][row]);
        let birth = birth_day(time, year, month, day);
        let years = |day: Option<i32>| {
            birth.zip(day).and_then(|(b, d)| age(b, d)).map_or(Value::Null, Value::Int)
        };
        let flag = |has: bool| Value::Int(i64::from(has));
        let number = |n: usize| Value::Int(n as i64);
        let extent = extent(person, events, i32::MAX);
        let day = |d: Option<i32>| d.map_or(Value::Null, Value::Day);
        made.row([
            flag(ehr > 0),
            flag(answers > 0),
            flag(physical > 0),
            flag(wearables.iter().any(|part| !part.of(person).is_empty())),
            flag(self.known.wgs.contains(&person)),
            flag(self.known.array.contains(&person)),
            years(self.known.consent.get(&person).copied()),
            years(Some(self.reference_date)),
            number(count("condition_occurrence")),
            number(count("drug_exposure")),
            number(count("procedure_occurrence")),
            number(count("measurement")),
            number(count("observation")),
            number(count("device_exposure")),
            number(count("visit_occurrence")),
            flag(!sources[1].of(person).is_empty()),
            day(extent.map(|e| e.0)),
            day(extent.map(|e| e.1)),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_complete_on_the_birthday() {
        let day = |y, m, d| {
            let span = jiff::civil::date(y, m, d).since(jiff::civil::date(1970, 1, 1));
            span.unwrap().get_days()
        };
        let born = day(1950, 3, 15);
        assert_eq!(age(born, day(2026, 3, 14)), Some(75));
        assert_eq!(age(born, day(2026, 3, 15)), Some(76));
        assert_eq!(age(day(2027, 1, 1), day(2026, 1, 1)), None);
        assert_eq!(age(day(2000, 2, 29), day(2001, 2, 28)), Some(0));
    }
}
