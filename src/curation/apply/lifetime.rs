//! Rules for what lies outside a person's time: before birth, after death, after deactivation.

use std::collections::BTreeMap;

use super::super::bucket::people;
use super::super::cells::{self, Cells};
use super::{Hand, facts, year};

impl Hand<'_> {
    /// Removes rows that start before birth, or too many years after it.
    pub fn since_birth(&mut self, tables: &[String], max_years: i64) {
        let facts = facts::of(self.tables);
        self.remove(tables, |table, rows| {
            let Some((start, _)) = cells::days(table) else { return Vec::new() };
            let people = people(table);
            let wrong = |&i: &usize| {
                let facts = facts.get(&people[i]).copied().unwrap_or_default();
                let Some(start) = start.day(i) else { return false };
                let early = facts.birth.is_some_and(|birth| start < birth);
                early
                    || facts
                        .birth_year
                        .is_some_and(|born| year(start).saturating_sub(born) > max_years)
            };
            rows.into_iter().filter(wrong).collect()
        });
    }

    /// Removes rows whose later day is too many days after death.
    pub fn until_death(&mut self, tables: &[String], days: i32) {
        let last: BTreeMap<i64, i64> = facts::of(self.tables)
            .into_iter()
            .filter_map(|(person, f)| Some((person, i64::from(f.death?) + i64::from(days))))
            .collect();
        self.until(tables, &last);
    }

    /// Removes rows whose later day is that on which the person was deactivated, or after it.
    pub fn until_deactivated(&mut self, tables: &[String], deactivated: &BTreeMap<i64, i32>) {
        let last = deactivated.iter().map(|(person, day)| (*person, i64::from(*day) - 1)).collect();
        self.until(tables, &last);
    }

    /// Removes rows whose later day is after the person's last; of `person`, rows born after it.
    fn until(&mut self, tables: &[String], last: &BTreeMap<i64, i64>) {
        if last.is_empty() {
            return;
        }
        self.remove(tables, |table, rows| {
            let (start, end) = match cells::days(table) {
                Some(days) => days,
                // The year of birth alone says too little.
                None if table.spec.name == "person" => {
                    (Cells::of(table, "birth_datetime"), Cells::None)
                }
                None => return Vec::new(),
            };
            let people = people(table);
            let late = |&i: &usize| {
                let Some(last) = last.get(&people[i]) else { return false };
                let day = start.day(i).into_iter().chain(end.day(i)).max();
                day.is_some_and(|day| i64::from(day) > *last)
            };
            rows.into_iter().filter(late).collect()
        });
    }
}
