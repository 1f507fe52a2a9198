//! One scan of a clinical table feeds all its analyses.
//!
//! Records are decoded a row group a worker. What needs no person is counted at once; the rest becomes
//! 16-byte rows (person, month, concept), put in order of persons by counting and swept person by person.
//! A table with more rows than fit in a quarter of the memory, twice, is taken in passes over disjoint
//! persons.

use std::path::PathBuf;

use rayon::prelude::*;

use super::counts::{Counts, Key, NULL};
use super::domain::Domain;
use super::error::Error;
use super::people::{People, Person, decile, month_of};
use super::table::{Columns, Piece, day, each_batch, extent, int};
use crate::engine::{Job, Keyring};
use crate::omop::SiteExtract;

/// One record in an observation period: person, concept, year * 12 + month - 1.
type Row = (u32, i32, i64);

/// Files of one pass and the persons it takes.
struct Pass {
    pieces: Vec<Piece>,
    persons: std::ops::Range<u32>,
}

#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    counts: Counts,
}

impl Found {
    fn merge(mut self, mut other: Self) -> Self {
        if self.rows.len() < other.rows.len() {
            std::mem::swap(&mut self.rows, &mut other.rows);
        }
        self.rows.append(&mut other.rows);
        self.counts.merge(other.counts);
        self
    }
}

/// Scans the domain's table into `counts` and returns its rows. A table that is absent has no rows.
pub(super) fn scan(
    tables: &SiteExtract,
    domain: &Domain,
    people: &People,
    counts: &mut Counts,
    job: &Job,
) -> Result<u64, Error> {
    if let Some((analysis, _)) = domain.end {
        counts.add(Key(analysis, 0, 0, 0, 0), 0);
    }
    if domain.base == 1800 {
        counts.add(Key(1811, 0, 0, 0, 0), 0);
        counts.add(Key(1814, 0, 0, 0, 0), 0);
    }
    let (passes, rows) = plan(tables.files(domain.table), people, job)?;
    for pass in passes {
        job.check()?;
        let found = pass
            .pieces
            .par_iter()
            .try_fold(Found::default, |mut found, piece| {
                job.check()?;
                decode((piece, &job.keyring), domain, people, &pass.persons, &mut found)?;
                Ok::<_, Error>(found)
            })
            .try_reduce(Found::default, |a, b| Ok(a.merge(b)))?;
        counts.merge(found.counts);
        counts.merge(sweep_all(found.rows, domain, people));
    }
    Ok(rows)
}

/// Groups the files into passes of as many rows as memory allows; a larger file is read once a slice of
/// the persons.
fn plan(files: Vec<PathBuf>, people: &People, job: &Job) -> Result<(Vec<Pass>, u64), Error> {
    let budget = (job.memory / 4 / 2 / size_of::<Row>() as u64).max(1);
    let everyone = u32::try_from(people.len()).unwrap_or(u32::MAX);
    let (mut passes, mut total, mut open_rows) = (Vec::<Pass>::new(), 0, u64::MAX);
    for path in files {
        let (groups, rows) = extent(&path, &job.keyring)?;
        total += rows;
        let pieces: Vec<Piece> =
            (0..groups).map(|g| Piece { path: path.clone(), row_group: Some(g) }).collect();
        match passes.last_mut() {
            Some(pass) if open_rows.saturating_add(rows) <= budget => {
                pass.pieces.extend(pieces);
                open_rows += rows;
            }
            _ if rows <= budget => {
                passes.push(Pass { pieces, persons: 0..everyone });
                open_rows = rows;
            }
            _ => {
                let slices = u32::try_from(rows.div_ceil(budget)).unwrap_or(u32::MAX);
                let width = everyone.div_ceil(slices).max(1);
                let starts = (0..everyone.max(1)).step_by(width as usize);
                passes.extend(starts.map(|from| Pass {
                    pieces: pieces.clone(),
                    persons: from..from.saturating_add(width),
                }));
                open_rows = u64::MAX;
            }
        }
    }
    Ok((passes, total))
}

fn columns(domain: &Domain) -> Vec<&'static str> {
    let mut names = vec!["person_id", domain.concept, domain.date];
    names.extend(domain.end.map(|e| e.1));
    names.extend(domain.pairs.iter().map(|p| p.1));
    names.extend(domain.spreads.iter().map(|s| s.column));
    if !domain.spreads.is_empty() {
        names.push("unit_concept_id");
    }
    names
}

fn decode(
    (piece, keyring): (&Piece, &Keyring),
    domain: &Domain,
    people: &People,
    persons: &std::ops::Range<u32>,
    found: &mut Found,
) -> Result<(), Error> {
    let mut last = 0;
    each_batch(piece, &columns(domain), keyring, |c| {
        let (ids, concepts) = (c.ints("person_id")?, c.ints(domain.concept)?);
        let starts = c.dates(domain.date)?;
        let ends = domain.end.map(|e| c.dates(e.1)).transpose()?.flatten();
        let mut inside = Vec::with_capacity(c.rows());
        for row in 0..c.rows() {
            let id = int(ids, row);
            let Some(index) = people.find(id, last) else {
                if id != NULL && persons.start == 0 {
                    people.flag_stranger(id, domain.any);
                    backwards(domain, day(starts, row), day(ends, row), &mut found.counts);
                }
                continue;
            };
            last = index;
            if !persons.contains(&index) {
                continue;
            }
            people.flag(index, domain.any);
            backwards(domain, day(starts, row), day(ends, row), &mut found.counts);
            let Some(start) = day(starts, row) else { continue };
            let times = people.periods_with(index, start);
            if times == 0 {
                continue;
            }
            people.flag(index, domain.inside);
            let month = i32::try_from(month_of(start)).unwrap_or_default();
            let concept = int(concepts, row);
            found.rows.extend(std::iter::repeat_n((index, month, concept), times));
            inside.push((row, times as u64, concept, start));
        }
        records(c, domain, &inside, &mut found.counts)
    })
}

/// A record that ends before it starts, whether or not in an observation period.
fn backwards(domain: &Domain, start: Option<i32>, end: Option<i32>, counts: &mut Counts) {
    if let (Some((analysis, _)), Some(start), Some(end)) = (domain.end, start, end)
        && end < start
    {
        counts.add(Key(analysis, 0, 0, 0, 0), 1);
    }
}

/// Analyses of records, whoever they are of: (row, times counted, concept, start).
fn records(
    c: &Columns<'_>,
    domain: &Domain,
    inside: &[(usize, u64, i64, i32)],
    counts: &mut Counts,
) -> Result<(), Error> {
    for &(analysis, name) in domain.pairs {
        let second = c.ints(name)?;
        for &(row, times, concept, _) in inside {
            let second = int(second, row);
            // Deaths are told by type alone.
            let (a, b) = if domain.base == 500 { (second, 0) } else { (concept, second) };
            counts.add(Key(analysis, a, b, 0, 0), times);
        }
    }
    let unit = if domain.spreads.is_empty() { None } else { c.ints("unit_concept_id")? };
    for spread in domain.spreads {
        if spread.span {
            let ends = c.dates(spread.column)?;
            for &(row, times, concept, start) in inside {
                if let Some(end) = day(ends, row) {
                    let days = f64::from(end) - f64::from(start);
                    counts.value(spread.analysis, concept, 0, days, times);
                }
            }
            continue;
        }
        if matches!(spread.analysis, 1816 | 1817) {
            continue;
        }
        let Some(values) = c.numbers(spread.column)? else { continue };
        for &(row, times, concept, _) in inside {
            if let Some(value) = values.at(row) {
                let second = if spread.by_unit { int(unit, row) } else { 0 };
                counts.value(spread.analysis, concept, second, value, times);
            }
        }
    }
    if domain.base == 1800 { measurements(c, inside, counts) } else { Ok(()) }
}

/// Values and normal ranges: 1811, 1814, 1816 to 1819.
fn measurements(
    c: &Columns<'_>,
    inside: &[(usize, u64, i64, i32)],
    counts: &mut Counts,
) -> Result<(), Error> {
    let (unit, coded) = (c.ints("unit_concept_id")?, c.ints("value_as_concept_id")?);
    let values = c.numbers("value_as_number")?;
    let (low, high) = (c.numbers("range_low")?, c.numbers("range_high")?);
    for &(row, times, concept, _) in inside {
        let value = values.as_ref().and_then(|v| v.at(row));
        let coded = int(coded, row);
        if value.is_some() || (coded != NULL && coded != 0) {
            counts.add(Key(1811, 0, 0, 0, 0), times);
            counts.add(Key(1819, concept, 0, 0, 0), times);
        } else {
            counts.add(Key(1814, 0, 0, 0, 0), times);
        }
        let at = |n: &Option<super::table::Numbers<'_>>| n.as_ref().and_then(|n| n.at(row));
        let unit = int(unit, row);
        if let (Some(value), Some(low), Some(high), true) =
            (value, at(&low), at(&high), unit != NULL)
        {
            counts.value(1816, concept, unit, low, times);
            counts.value(1817, concept, unit, high, times);
            let range = if value < low {
                0
            } else if value <= high {
                1
            } else {
                2
            };
            counts.add(Key(1818, concept, unit, range, 0), times);
        }
    }
    Ok(())
}

/// Puts the rows in order of persons and sweeps those of each.
fn sweep_all(rows: Vec<Row>, domain: &Domain, people: &People) -> Counts {
    by_person(rows, people.len())
        .par_chunk_by_mut(|a, b| a.0 == b.0)
        .fold(Counts::default, |mut counts, of_person| {
            of_person.sort_unstable_by_key(|&(_, month, concept)| (concept, month));
            sweep(of_person, domain, people, &mut counts);
            counts
        })
        .reduce(Counts::default, |mut a, b| {
            a.merge(b);
            a
        })
}

/// The rows in order of persons, by counting: parts have them nearly in that order already.
fn by_person(rows: Vec<Row>, people: usize) -> Vec<Row> {
    let mut next = vec![0usize; people];
    for row in &rows {
        next[row.0 as usize] += 1;
    }
    let mut begin = 0;
    for count in &mut next {
        (*count, begin) = (begin, begin + *count);
    }
    let mut ordered = vec![(0, 0, 0); rows.len()];
    for row in rows {
        let at = &mut next[row.0 as usize];
        ordered[*at] = row;
        *at += 1;
    }
    ordered
}

/// Analyses of one person's records.
fn sweep(rows: &[Row], domain: &Domain, people: &People, counts: &mut Counts) {
    let person = people.person(rows[0].0);
    let id = |n: u16| domain.base + n;
    let mut concepts = 0u32;
    for of_concept in rows.chunk_by(|a, b| a.2 == b.2) {
        let concept = of_concept[0].2;
        concepts += u32::from(concept != NULL);
        let n = of_concept.len();
        counts.add(Key(id(0), concept, 0, 0, 0), 1);
        counts.add(Key(id(1), concept, 0, 0, 0), n as u64);
        if matches!(domain.base, 600 | 700 | 800 | 1800 | 2100) {
            counts.add(Key(id(91), concept, n as i64, 0, 0), 1);
        }
        if domain.base == 500 {
            continue;
        }
        for month in of_concept.chunk_by(|a, b| a.1 == b.1) {
            counts.add(Key(id(2), concept, calendar(month[0].1.into()), 0, 0), 1);
            counts.add(Key(id(20), calendar(month[0].1.into()), 0, 0, 0), month.len() as u64);
        }
        if !person.listed {
            continue;
        }
        for year in of_concept.chunk_by(|a, b| a.1.div_euclid(12) == b.1.div_euclid(12)) {
            let year = i64::from(year[0].1.div_euclid(12));
            counts.add(Key(id(4), concept, year, person.gender, decile(year, person.born)), 1);
        }
        if person.born != NULL {
            let age = i64::from(of_concept[0].1.div_euclid(12)) - person.born;
            counts.value(id(6), concept, person.gender, age as f64, 1);
        }
    }
    counts.value(id(3), 0, 0, f64::from(concepts), 1);
    if domain.base == 500 {
        deaths(rows, person, counts);
    }
}

/// Deaths are counted whatever the cause: 502, 504, 506.
fn deaths(rows: &[Row], person: &Person, counts: &mut Counts) {
    let mut months: Vec<i32> = rows.iter().map(|r| r.1).collect();
    months.sort_unstable();
    months.dedup();
    for &month in &months {
        counts.add(Key(502, calendar(month.into()), 0, 0, 0), 1);
    }
    let mut years: Vec<i64> = months.iter().map(|m| i64::from(m.div_euclid(12))).collect();
    years.dedup();
    for &year in years.iter().filter(|_| person.listed) {
        counts.add(Key(504, year, person.gender, decile(year, person.born), 0), 1);
    }
    if person.listed && person.born != NULL {
        counts.value(506, person.gender, 0, (years[0] - person.born) as f64, 1);
    }
}

/// `YYYYMM` of a month's ordinal.
pub(super) fn calendar(month: i64) -> i64 {
    month.div_euclid(12) * 100 + month.rem_euclid(12) + 1
}
