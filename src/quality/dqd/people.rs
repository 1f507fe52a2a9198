//! What rows are held against: persons, deaths, visits and the keys of other tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arrow::array::RecordBatch;

use crate::engine::Job;

use super::columns::{days, ints, texts};
use super::error::Error;
use super::lookup::Lookup;
use super::scan::Source;

/// No date.
pub(super) const NONE: i32 = i32::MIN;

/// Persons by id. Should an id occur twice, the row that sorts first counts.
#[derive(Debug, Default)]
pub(super) struct Persons {
    pub ids: Lookup,
    /// Birth by `birth_datetime`, else by year, month and day with 1 for what is missing.
    pub birth: Vec<i32>,
    /// Birth by `birth_datetime`, else 1 June of the year.
    pub birth_june: Vec<i32>,
    /// `gender_concept_id`, -1 when missing.
    pub gender: Vec<i64>,
}

/// Dates by key: deaths by person (end is the same), visits by visit id.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub ids: Lookup,
    pub start: Vec<i32>,
    pub end: Vec<i32>,
}

/// Days since 1970-01-01 of a civil date; none for what is no date.
pub(super) fn civil(year: i64, month: i64, day: i64) -> Option<i32> {
    let (y, m, d) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = jiff::civil::Date::new(y, m, d).ok()?;
    Some(epoch_days(date))
}

/// Days since 1970-01-01.
pub(super) fn epoch_days(date: jiff::civil::Date) -> i32 {
    date.since(jiff::civil::Date::constant(1970, 1, 1)).map_or(NONE, |span| span.get_days())
}

type PersonRow = (i64, i32, i32, i64);

/// Reads the persons.
pub(super) fn persons(files: &[PathBuf], job: &Job) -> Result<Persons, Error> {
    let source = Source::open(files, &job.keyring)?;
    let columns = [
        "person_id",
        "gender_concept_id",
        "year_of_birth",
        "month_of_birth",
        "day_of_birth",
        "birth_datetime",
    ];
    let states = source.scan(&columns, job, Vec::new, |rows: &mut Vec<PersonRow>, batch| {
        let [id, gender, year, month, day] =
            [0, 1, 2, 3, 4].map(|i| ints("person", batch, columns[i]));
        let (id, gender, year, month, day) = (id?, gender?, year?, month?, day?);
        let at = days("person", batch, "birth_datetime")?;
        for i in 0..batch.num_rows() {
            let Some(id) = id.get(i) else { continue };
            let by_year = |m: i64, d: i64| year.get(i).and_then(|y| civil(y, m, d)).unwrap_or(NONE);
            let known = at.get(i).copied().unwrap_or(NONE);
            let (birth, june) = match known {
                NONE => {
                    (by_year(month.get(i).unwrap_or(1), day.get(i).unwrap_or(1)), by_year(6, 1))
                }
                known => (known, known),
            };
            rows.push((id, birth, june, gender.get(i).unwrap_or(-1)));
        }
        Ok(())
    })?;
    let mut rows: Vec<PersonRow> = states.into_iter().flatten().collect();
    rows.sort_unstable();
    rows.dedup_by_key(|r| r.0);
    Ok(Persons {
        ids: Lookup::new(rows.iter().map(|r| r.0).collect()),
        birth: rows.iter().map(|r| r.1).collect(),
        birth_june: rows.iter().map(|r| r.2).collect(),
        gender: rows.iter().map(|r| r.3).collect(),
    })
}

/// Reads the spans of `table`: `start` and `end` dates by `key`.
pub(super) fn spans(
    table: &str,
    files: &[PathBuf],
    [key, start, end]: [&str; 3],
    job: &Job,
) -> Result<Spans, Error> {
    let states = Source::open(files, &job.keyring)?.scan(
        &[key, start, end],
        job,
        Vec::new,
        |rows: &mut Vec<(i64, i32, i32)>, batch| {
            let keys = ints(table, batch, key)?;
            let (from, to) = (days(table, batch, start)?, days(table, batch, end)?);
            for i in 0..batch.num_rows() {
                if let Some(id) = keys.get(i) {
                    rows.push((id, from[i], to[i]));
                }
            }
            Ok(())
        },
    )?;
    let mut rows: Vec<_> = states.into_iter().flatten().collect();
    rows.sort_unstable();
    Ok(Spans {
        ids: Lookup::new(rows.iter().map(|r| r.0).collect()),
        start: rows.iter().map(|r| r.1).collect(),
        end: rows.iter().map(|r| r.2).collect(),
    })
}

/// Keys of a table that other tables point into.
#[derive(Debug)]
pub(super) enum Keys {
    Ids(Lookup),
    Texts(BTreeSet<String>),
}

/// Keys by table and field, for all foreign keys but those into `concept`.
pub(super) type KeySets = BTreeMap<(&'static str, &'static str), Keys>;

/// Reads the keys `field` of `table`.
pub(super) fn keys(table: &str, files: &[PathBuf], field: &str, job: &Job) -> Result<Keys, Error> {
    let source = Source::open(files, &job.keyring)?;
    let mut ids = Vec::new();
    let mut names = BTreeSet::new();
    type Found = (Vec<i64>, BTreeSet<String>);
    let read = |(ids, names): &mut Found, batch: &RecordBatch| {
        match ints(table, batch, field) {
            Ok(values) => ids.extend((0..batch.num_rows()).filter_map(|i| values.get(i))),
            Err(_) => {
                let values = texts(table, batch, field)?;
                names
                    .extend((0..batch.num_rows()).filter_map(|i| values.get(i)).map(str::to_owned));
            }
        }
        Ok(())
    };
    for (some, more) in source.scan(&[field], job, Found::default, read)? {
        ids.extend(some);
        names.extend(more);
    }
    if !names.is_empty() {
        return Ok(Keys::Texts(names));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(Keys::Ids(Lookup::new(ids)))
}
