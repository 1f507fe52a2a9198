//! Rules for deaths and for people as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::super::bucket::{KEPT, Table, people};
use super::super::cells::Cells;
use super::{Hand, Tables, date, year};
use crate::config::CivilDate;

/// The last day on which each person answered a question.
fn answered(tables: &Tables, types: &[i64]) -> BTreeMap<i64, i32> {
    let mut last: BTreeMap<i64, i32> = BTreeMap::new();
    let Some(table) = tables.get("observation") else { return last };
    let of_type = Cells::of(table, "observation_type_concept_id");
    let day = Cells::of(table, "observation_date");
    for (i, person) in people(table).iter().enumerate().filter(|(i, _)| table.fate[*i] == KEPT) {
        if of_type.int(i).is_some_and(|t| types.contains(&t))
            && let Some(day) = day.day(i)
        {
            let known = last.entry(*person).or_insert(day);
            *known = day.max(*known);
        }
    }
    last
}

impl Hand<'_> {
    /// Removes deaths before the programme began, after the cut-off, of people who never answered a
    /// question, and of those who answered one on a later day. A death without a date stays.
    pub fn valid_death(&mut self, first: CivilDate, types: &[i64], cutoff: i32) {
        let answered = answered(self.tables, types);
        self.remove(&["death".to_owned()], |table, rows| {
            let (people, day) = (people(table), Cells::of(table, "death_date"));
            let wrong = |&i: &usize| {
                day.day(i).is_some_and(|day| {
                    let last = answered.get(&people[i]);
                    day < first.epoch_days() || day > cutoff || last.is_none_or(|last| *last > day)
                })
            };
            rows.into_iter().filter(wrong).collect()
        });
    }

    /// Keeps the first death of each person: by type and extract that come last, date, datetime (none comes last) and extract, where
    /// equals stay together. A death without a date is no first one beside another.
    pub fn primary_death(&mut self, last_types: &[i64], last_extracts: &[bool]) {
        self.remove(&["death".to_owned()], |table, rows| {
            let (people, day) = (people(table), Cells::of(table, "death_date"));
            let time = Cells::of(table, "death_datetime");
            let of_type = Cells::of(table, "death_type_concept_id");
            let rank = |i: usize| {
                (
                    day.day(i).is_none(),
                    of_type.int(i).is_some_and(|t| last_types.contains(&t))
                        || last_extracts.get(usize::from(table.site[i])).is_some_and(|last| *last),
                    day.day(i),
                    time.time(i).unwrap_or(i64::MAX),
                    table.site[i],
                )
            };
            let mut first = BTreeMap::new();
            for &i in &rows {
                let known = first.entry(people[i]).or_insert_with(|| rank(i));
                *known = rank(i).min(*known);
            }
            rows.into_iter().filter(|&i| first.get(&people[i]) != Some(&rank(i))).collect()
        });
    }

    /// Removes every row of people born outside the years, or too young on the day of their consent.
    pub fn people(&mut self, limits: &PeopleLimits<'_>) {
        let gone = limits.gone(self.tables);
        let tables: Vec<String> = self.tables.keys().map(|name| (*name).to_owned()).collect();
        self.remove(&tables, |table, rows| {
            let people = people(table);
            rows.into_iter().filter(|&i| gone.contains(&people[i])).collect()
        });
    }
}

/// Who may be in.
pub struct PeopleLimits<'a> {
    /// First year of birth.
    pub first_year: i64,
    /// Last year of birth.
    pub last_year: i64,
    /// Questions whose answer is a consent.
    pub consents: &'a [i64],
    /// Completed years on the day of the first consent.
    pub min_age: i64,
}

impl PeopleLimits<'_> {
    fn gone(&self, tables: &Tables) -> BTreeSet<i64> {
        let facts = super::facts::of(tables);
        let consented = tables.get("observation").map(|t| self.consented(t)).unwrap_or_default();
        let out = |(person, facts): (&i64, &super::facts::Facts)| {
            let born = facts.birth_year?;
            let outside = born < self.first_year || born > self.last_year;
            let young = consented.get(person).is_some_and(|day| {
                facts.birth.and_then(|birth| age(birth, *day)).is_some_and(|a| a < self.min_age)
            });
            (outside || young).then_some(*person)
        };
        facts.iter().filter_map(out).collect()
    }

    /// The day of the first consent.
    fn consented(&self, table: &Table) -> BTreeMap<i64, i32> {
        let question = Cells::of(table, "observation_source_concept_id");
        let day = Cells::of(table, "observation_date");
        let mut first: BTreeMap<i64, i32> = BTreeMap::new();
        for (i, person) in people(table).iter().enumerate().filter(|(i, _)| table.fate[*i] == KEPT)
        {
            if question.int(i).is_some_and(|q| self.consents.contains(&q))
                && let Some(day) = day.day(i)
            {
                let known = first.entry(*person).or_insert(day);
                *known = day.min(*known);
            }
        }
        first
    }
}

/// Completed years from one day to another.
fn age(birth: i32, on: i32) -> Option<i64> {
    let (born, now) = (date(birth)?, date(on)?);
    let before = (now.month(), now.day()) < (born.month(), born.day());
    Some(year(on) - year(birth) - i64::from(before))
}
