//! Persons and their observation periods, and the analyses of these alone.

use std::sync::atomic::{AtomicU16, Ordering};

use super::counts::{Counts, Key, Map, NULL};
use super::covered::Covered;
use super::domain::{CONDITION, DEATH, DRUG, MEASUREMENT, PROCEDURE, VISIT};
use super::error::Error;
use super::scan::calendar;
use super::table::{day, each_of_table, int};
use crate::engine::Job;
use crate::omop::SiteExtract;

/// What is known of one person. Not in `person`: no year of birth, and `listed` is false.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub id: i64,
    pub gender: i64,
    pub born: i64,
    race: i64,
    ethnicity: i64,
    pub listed: bool,
}

#[cfg(test)]
impl Person {
    /// Somebody for tests.
    pub fn of(id: i64, gender: i64, born: i64) -> Self {
        Self { id, gender, born, race: NULL, ethnicity: NULL, listed: true }
    }
}

/// Everyone in `person` or `observation_period`, by id.
pub(super) struct People {
    people: Vec<Person>,
    /// Where each person's periods begin in `periods`; one more than people.
    offsets: Vec<usize>,
    /// First and last day, sorted within a person.
    periods: Vec<(i32, i32)>,
    flags: Vec<AtomicU16>,
    strangers: std::sync::Mutex<Map<i64, u16>>,
    pub listed: u64,
}

/// Year and month of a day since 1970-01-01.
pub(super) fn year_month(day: i32) -> (i64, i64) {
    // Howard Hinnant's civil_from_days: exact for every proleptic Gregorian day.
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let mp = (5 * (doe - (365 * yoe + yoe / 4 - yoe / 100)) + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month)
}

/// The month of a day as year * 12 + month - 1.
pub(super) fn month_of(day: i32) -> i64 {
    let (year, month) = year_month(day);
    year * 12 + month - 1
}

impl People {
    /// Reads `person`, `observation_period`.
    pub fn load(
        tables: &SiteExtract,
        book: &mut impl FnMut(&str, u64),
        job: &Job,
    ) -> Result<Self, Error> {
        job.check()?;
        let names = [
            "person_id",
            "gender_concept_id",
            "year_of_birth",
            "race_concept_id",
            "ethnicity_concept_id",
        ];
        let mut people = Vec::new();
        let rows = each_of_table(tables, "person", &names, &job.keyring, |c| {
            let columns = [
                c.ints(names[0])?,
                c.ints(names[1])?,
                c.ints(names[2])?,
                c.ints(names[3])?,
                c.ints(names[4])?,
            ];
            people.extend((0..c.rows()).map(|i| {
                let [id, gender, born, race, ethnicity] = columns.map(|column| int(column, i));
                Person { id, gender, born, race, ethnicity, listed: true }
            }));
            Ok(())
        })?;
        book("person", rows);
        let mut spans = Vec::new();
        let names = ["person_id", "observation_period_start_date", "observation_period_end_date"];
        let rows = each_of_table(tables, "observation_period", &names, &job.keyring, |c| {
            let (ids, starts, ends) = (c.ints(names[0])?, c.dates(names[1])?, c.dates(names[2])?);
            for i in 0..c.rows() {
                if let (Some(start), Some(end)) = (day(starts, i), day(ends, i)) {
                    spans.push((int(ids, i), start, end));
                }
            }
            Ok(())
        })?;
        book("observation_period", rows);
        Self::new(people, spans)
    }

    fn new(mut people: Vec<Person>, mut spans: Vec<(i64, i32, i32)>) -> Result<Self, Error> {
        people.sort_by_key(|p| p.id);
        people.dedup_by_key(|p| p.id);
        people.retain(|p| p.id != NULL);
        spans.sort_unstable();
        let known = people.len();
        for group in spans.chunk_by(|a, b| a.0 == b.0) {
            let id = group[0].0;
            if people[..known].binary_search_by_key(&id, |p| p.id).is_err() {
                let none = Person {
                    id,
                    gender: NULL,
                    born: NULL,
                    race: NULL,
                    ethnicity: NULL,
                    listed: false,
                };
                people.push(none);
            }
        }
        people.sort_by_key(|p| p.id);
        if u32::try_from(people.len()).is_err() {
            return Err(Error::TooManyPersons);
        }
        let mut offsets = Vec::with_capacity(people.len() + 1);
        let mut at = 0;
        for person in &people {
            offsets.push(at);
            at += spans[at..].iter().take_while(|s| s.0 == person.id).count();
        }
        offsets.push(at);
        let flags = people.iter().map(|_| AtomicU16::new(0)).collect();
        let periods = spans.into_iter().map(|(_, start, end)| (start, end)).collect();
        let strangers = std::sync::Mutex::default();
        Ok(Self { people, offsets, periods, flags, strangers, listed: known as u64 })
    }

    pub fn len(&self) -> usize {
        self.people.len()
    }

    pub fn person(&self, index: u32) -> &Person {
        &self.people[index as usize]
    }

    /// Ordinal of the person; `hint` is tried first, since records of one person often follow each other.
    pub fn find(&self, id: i64, hint: u32) -> Option<u32> {
        let hint = hint as usize;
        for at in [hint, hint + 1] {
            if self.people.get(at).is_some_and(|p| p.id == id) {
                return u32::try_from(at).ok();
            }
        }
        let at = self.people.binary_search_by_key(&id, |p| p.id).ok()?;
        u32::try_from(at).ok()
    }

    /// How many of the person's periods hold `day`: Achilles joins, so overlapping periods count twice.
    pub fn periods_with(&self, index: u32, day: i32) -> usize {
        let of = self.periods_of(index as usize);
        of.iter().take_while(|p| p.0 <= day).filter(|p| p.1 >= day).count()
    }

    fn periods_of(&self, index: usize) -> &[(i32, i32)] {
        &self.periods[self.offsets[index]..self.offsets[index + 1]]
    }

    /// Notes that the person has a record of a kind.
    pub fn flag(&self, index: u32, bits: u16) {
        let flags = &self.flags[index as usize];
        if flags.load(Ordering::Relaxed) & bits != bits {
            flags.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// The same for an id in neither `person` nor `observation_period`.
    pub fn flag_stranger(&self, id: i64, bits: u16) {
        let mut map = self.strangers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *map.entry(id).or_default() |= bits;
    }

    /// Analyses 1 to 118.
    pub fn analyse(&self, counts: &mut Counts) {
        counts.add(Key(1, 0, 0, 0, 0), self.listed);
        for id in [114, 115, 118] {
            counts.add(Key(id, 0, 0, 0, 0), 0);
        }
        let mut covered = Covered::new(self.start_months());
        for (i, person) in self.people.iter().enumerate() {
            if person.listed {
                demographics(person, counts);
            }
            let periods = self.periods_of(i);
            observation(person, periods, counts);
            covered.person(person, periods);
        }
        covered.finish(counts);
    }

    /// The distinct months in which a period starts, sorted.
    fn start_months(&self) -> Vec<i64> {
        let mut months: Vec<_> = self.periods.iter().map(|p| month_of(p.0)).collect();
        months.sort_unstable();
        months.dedup();
        months
    }

    /// Analyses 11 and 2000 to 2004: the living, and persons with records in several domains.
    pub fn overlaps(&self, counts: &mut Counts) {
        let flags: Vec<u16> = self.flags.iter().map(|f| f.load(Ordering::Relaxed)).collect();
        let strangers = self.strangers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let with = |bits: u16| {
            let of = |f: &&u16| **f & bits == bits;
            (flags.iter().filter(of).count() + strangers.values().filter(of).count()) as u64
        };
        let combined = [
            (2000, CONDITION | DRUG),
            (2001, CONDITION | PROCEDURE),
            (2002, MEASUREMENT | CONDITION | DRUG),
            (2003, VISIT),
        ];
        for (id, bits) in combined {
            counts.add(Key(id, 0, 0, 0, 0), with(bits));
        }
        for (person, flags) in self.people.iter().zip(&flags) {
            if person.listed && flags & DEATH == 0 {
                counts.add(Key(11, person.born, person.gender, 0, 0), 1);
            }
        }
        for bits in 1..128u16 {
            let persons = with(bits);
            let share = if self.listed == 0 { 0.0 } else { persons as f64 / self.listed as f64 };
            counts.add(Key(2004, i64::from(bits), share.to_bits().cast_signed(), 0, 0), persons);
        }
    }
}

/// Periods of one person: 111 to 118 but what [`Covered`] counts, and the first of them.
fn observation(person: &Person, periods: &[(i32, i32)], counts: &mut Counts) {
    let Some(&(start, end)) = periods.first() else { return };
    first_period(person, start, end, counts);
    counts.add(Key(113, periods.len() as i64, 0, 0, 0), 1);
    let backwards = periods.iter().filter(|p| p.1 < p.0).count() as u64;
    counts.add(Key(115, 0, 0, 0, 0), backwards);
    counts.add(Key(118, 0, 0, 0, 0), if person.listed { 0 } else { periods.len() as u64 });
    let months = |analysis: u16, of: fn(&(i32, i32)) -> i32| {
        periods.iter().map(move |p| (analysis, calendar(month_of(of(p)))))
    };
    let mut seen: Vec<(u16, i64)> = months(111, |p| p.0).chain(months(112, |p| p.1)).collect();
    seen.sort_unstable();
    seen.dedup();
    for (analysis, month) in seen {
        counts.add(Key(analysis, month, 0, 0, 0), 1);
    }
}

/// Age decile at a year, rounded down; NULL without a year of birth.
pub(super) fn decile(year: i64, born: i64) -> i64 {
    if born == NULL { NULL } else { year.saturating_sub(born).div_euclid(10) }
}

fn demographics(p: &Person, counts: &mut Counts) {
    counts.add(Key(2, p.gender, 0, 0, 0), 1);
    counts.add(Key(3, p.born, 0, 0, 0), 1);
    counts.add(Key(4, p.race, 0, 0, 0), 1);
    counts.add(Key(5, p.ethnicity, 0, 0, 0), 1);
    counts.add(Key(10, p.born, p.gender, 0, 0), 1);
    counts.add(Key(12, p.race, p.ethnicity, 0, 0), 1);
}

/// Analyses of the first observation period.
fn first_period(person: &Person, start: i32, end: i32, counts: &mut Counts) {
    let days = f64::from(end) - f64::from(start);
    counts.value(105, 0, 0, days, 1);
    if !person.listed {
        return;
    }
    counts.value(106, person.gender, 0, days, 1);
    let months = (i64::from(end) - i64::from(start)).div_euclid(30);
    counts.add(Key(108, months, 0, 0, 0), 1);
    let year = year_month(start).0;
    let age = if person.born == NULL { NULL } else { year.saturating_sub(person.born) };
    counts.add(Key(101, age, 0, 0, 0), 1);
    counts.add(Key(102, person.gender, age, 0, 0), 1);
    if age != NULL {
        counts.value(103, 0, 0, age as f64, 1);
        counts.value(104, person.gender, 0, age as f64, 1);
        counts.value(107, age.div_euclid(10), 0, days, 1);
        counts.add(Key(114, 0, 0, 0, 0), u64::from(age < 0));
    }
}
