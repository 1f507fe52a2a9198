//! The counting itself, a batch at a time.

use std::collections::BTreeSet;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use siphasher::sip128::SipHasher13;

use super::books::Books;
use super::check::Bound;
use super::columns::{self, Ints};
use super::error::Error;
use super::lookup::IntMap;
use super::people::{Keys, NONE};
use super::probe::{ConceptRule, DateRule, World};

/// Days after death that a record may still be made, and around a visit.
const AFTER_DEATH: i32 = 60;
const AROUND_VISIT: i32 = 7;

/// A batch with what several probes derive from it.
pub(super) struct Frame<'a> {
    pub table: &'static str,
    pub batch: &'a RecordBatch,
    pub person: Option<Ints<'a>>,
    /// Position of the row's person, `u32::MAX` for none.
    pub at: Vec<u32>,
}

impl<'a> Frame<'a> {
    pub fn new(table: &'static str, batch: &'a RecordBatch, world: &World<'_>) -> Self {
        let person = columns::ints(table, batch, "person_id").ok();
        let mut at = Vec::new();
        if let Some(ids) = &person {
            // Rows are sorted by person in most files: look a person up once.
            let mut last = (None, u32::MAX);
            at.extend((0..batch.num_rows()).map(|i| {
                let id = ids.get(i);
                if id != last.0 {
                    let range = id.map(|id| world.persons.ids.range(id)).unwrap_or_default();
                    let position = range.clone().next().and_then(|p| u32::try_from(p).ok());
                    last = (id, position.unwrap_or(u32::MAX));
                }
                last.1
            }));
        }
        Self { table, batch, person, at }
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
    pub fn ints(&self, name: &str) -> Result<Ints<'a>, Error> {
        columns::ints(self.table, self.batch, name)
    }
    pub fn days(&self, name: &str) -> Result<Vec<i32>, Error> {
        columns::days(self.table, self.batch, name)
    }
}

fn count(hits: impl Iterator<Item = bool>) -> u64 {
    hits.map(u64::from).sum()
}

pub(super) fn after_column(
    column: &str,
    earlier: &str,
    check: usize,
    frame: &Frame<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let (date, earlier) = (frame.days(column)?, frame.days(earlier)?);
    let late = |(d, e): (&i32, &i32)| *d != NONE && *e != NONE && e > d;
    books.counts[check].violated += count(date.iter().zip(&earlier).map(late));
    books.counts[check].denominator += frame.rows() as u64;
    Ok(())
}

pub(super) fn start_before_end(
    column: &str,
    end: &str,
    check: usize,
    frame: &Frame<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let (start, end) = (frame.days(column)?, frame.days(end)?);
    let both = |(s, e): (&i32, &i32)| *s != NONE && *e != NONE;
    let wrong = |(s, e): (&i32, &i32)| *s != NONE && *e != NONE && s > e;
    books.counts[check].violated += count(start.iter().zip(&end).map(wrong));
    books.counts[check].denominator += count(start.iter().zip(&end).map(both));
    Ok(())
}

pub(super) fn primary_key(column: &str, frame: &Frame<'_>, books: &mut Books) -> Result<(), Error> {
    if let Ok(ids) = frame.ints(column) {
        books.keys.add((0..frame.rows()).filter_map(|i| ids.get(i)));
        return Ok(());
    }
    let names = columns::texts(frame.table, frame.batch, column)?;
    for name in (0..frame.rows()).filter_map(|i| names.get(i)) {
        *books.names.entry(name.to_owned()).or_default() += 1;
    }
    Ok(())
}

pub(super) fn concepts(
    column: &'static str,
    frame: &Frame<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let values = frame.ints(column)?;
    let histogram = books.concepts.entry(column).or_default();
    let mut run: (i64, u64) = (0, 0);
    for value in (0..frame.rows()).filter_map(|i| values.get(i)) {
        if value != run.0 && run.1 > 0 {
            *histogram.entry(run.0).or_default() += run.1;
            run.1 = 0;
        }
        run = (value, run.1 + 1);
    }
    if run.1 > 0 {
        *histogram.entry(run.0).or_default() += run.1;
    }
    Ok(())
}

pub(super) fn dates(
    column: &str,
    rules: &[(DateRule, usize)],
    frame: &Frame<'_>,
    world: &World<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let date = frame.days(column)?;
    for &(rule, check) in rules {
        let out = &mut books.counts[check];
        let known = || count(date.iter().map(|&d| d != NONE));
        match rule {
            DateRule::Low(limit) => {
                out.violated += count(date.iter().map(|&d| d != NONE && d < limit));
                out.denominator += known();
            }
            DateRule::High(limit) => {
                out.violated += count(date.iter().map(|&d| d > limit));
                out.denominator += known();
            }
            DateRule::AfterPerson | DateRule::AfterBirth => {
                let (births, all) = match rule {
                    DateRule::AfterPerson => (&world.persons.birth_june, true),
                    _ => (&world.persons.birth, false),
                };
                let early = |(&d, &p): (&i32, &u32)| {
                    d != NONE && births.get(p as usize).is_some_and(|&b| b != NONE && b > d)
                };
                out.violated += count(date.iter().zip(&frame.at).map(early));
                out.denominator += if all { frame.rows() as u64 } else { known() };
            }
            DateRule::BeforeDeath | DateRule::DuringLife => {
                let Some(person) = &frame.person else { continue };
                if world.deaths.start.is_empty() {
                    continue;
                }
                for (i, &d) in date.iter().enumerate() {
                    let Some(id) = person.get(i) else { continue };
                    let deaths = &world.deaths.start[world.deaths.ids.range(id)];
                    let late =
                        |&&t: &&i32| d != NONE && t != NONE && d > t.saturating_add(AFTER_DEATH);
                    out.violated += deaths.iter().filter(late).count() as u64;
                    out.denominator += match rule {
                        // A row of a person with two deaths is two rows of OHDSI's join.
                        DateRule::BeforeDeath if d != NONE => deaths.len() as u64,
                        DateRule::BeforeDeath => 0,
                        _ => u64::from(!deaths.is_empty()),
                    };
                }
            }
            DateRule::InVisit => {
                let visit = frame.ints("visit_occurrence_id")?;
                let mut last = (None, 0..0);
                for (i, &d) in date.iter().enumerate() {
                    let Some(id) = visit.get(i) else { continue };
                    if last.0 != Some(id) {
                        last = (Some(id), world.visits.ids.range(id));
                    }
                    for v in last.1.clone() {
                        let (start, end) = (world.visits.start[v], world.visits.end[v]);
                        let early = d != NONE && start != NONE && d < start - AROUND_VISIT;
                        let late = d != NONE && end != NONE && d > end + AROUND_VISIT;
                        out.violated += u64::from(early || late);
                        out.denominator += 1;
                    }
                }
            }
        }
    }
    Ok(())
}

pub(super) fn number(
    column: &str,
    bound: Bound,
    low: bool,
    check: usize,
    frame: &Frame<'_>,
    world: &World<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let limit = match bound {
        Bound::Number(limit) => limit,
        Bound::NextYear => f64::from(world.today.year()) + 1.0,
        Bound::Date(_) | Bound::Tomorrow => return Ok(()),
    };
    let wrong = |v: f64| if low { v < limit } else { v > limit };
    let out = &mut books.counts[check];
    let is_int = frame.batch.column_by_name(column).map(|c| c.data_type() == &DataType::Int64);
    if is_int == Some(true) {
        let values = frame.ints(column)?.0;
        out.denominator += (values.len() - values.null_count()) as u64;
        out.violated += count(values.iter().flatten().map(|v| wrong(v as f64)));
    } else {
        let values = columns::floats(frame.table, frame.batch, column)?;
        out.denominator += (values.len() - values.null_count()) as u64;
        out.violated += count(values.iter().flatten().map(wrong));
    }
    Ok(())
}

pub(super) fn concept_records(
    column: &str,
    source: Option<&str>,
    check: usize,
    frame: &Frame<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let concept = frame.ints(column)?;
    let source = source.map(|s| columns::texts(frame.table, frame.batch, s)).transpose()?;
    let out = &mut books.counts[check];
    for i in 0..frame.rows() {
        let concept = concept.get(i);
        let value = source.as_ref().is_some_and(|s| s.code(i).is_some());
        out.violated += u64::from(concept == Some(0) || (concept.is_none() && value));
        out.denominator += u64::from(concept.is_some() || value);
    }
    Ok(())
}

pub(super) fn source_values(
    column: &str,
    standard: &str,
    check: usize,
    frame: &Frame<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let values = columns::texts(frame.table, frame.batch, column)?;
    let standard = frame.ints(standard)?;
    // 0 unseen, 1 seen, 2 seen with concept 0; by code of the batch's dictionary.
    let mut state = vec![0u8; values.values.len()];
    let (mut null, mut null_zero) = (false, false);
    for i in 0..frame.rows() {
        let zero = standard.get(i) == Some(0);
        match values.code(i) {
            Some(code) => state[code] = state[code].max(1 + u8::from(zero)),
            None => (null, null_zero) = (true, null_zero || zero),
        }
    }
    let seen = books.values.entry(check).or_default();
    for (code, &s) in state.iter().enumerate().filter(|(_, s)| **s > 0) {
        *seen.entry(digest(values.values.value(code))).or_default() |= s == 2;
    }
    let nulls = books.value_nulls.entry(check).or_default();
    *nulls = (nulls.0 | null, nulls.1 | null_zero);
    Ok(())
}

/// 128 bits stand for a text: two of 10^9 texts share them with a chance of 10^-21.
pub(super) fn digest(text: &str) -> u128 {
    SipHasher13::new().hash(text.as_bytes()).as_u128()
}

pub(super) fn foreign_key(
    column: &str,
    keys: Option<&Keys>,
    check: usize,
    frame: &Frame<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let out = &mut books.counts[check];
    out.denominator += frame.rows() as u64;
    if let Ok(values) = frame.ints(column) {
        let mut last = (None, false);
        for id in (0..frame.rows()).filter_map(|i| values.get(i)) {
            if last.0 != Some(id) {
                let found = matches!(keys, Some(Keys::Ids(ids)) if ids.has(id));
                last = (Some(id), !found);
            }
            out.violated += u64::from(last.1);
        }
        return Ok(());
    }
    let values = columns::texts(frame.table, frame.batch, column)?;
    let known = |text: &str| matches!(keys, Some(Keys::Texts(texts)) if texts.contains(text));
    let lost: Vec<bool> =
        values.values.iter().map(|text| text.is_some_and(|text| !known(text))).collect();
    out.violated += count((0..frame.rows()).filter_map(|i| values.code(i)).map(|c| lost[c]));
    Ok(())
}

pub(super) type Rules<'a> = (&'a IntMap<i64, Vec<(usize, u64)>>, &'a [ConceptRule], &'a [usize]);

pub(super) fn by_concept(
    column: &str,
    (rules, by, checks): Rules<'_>,
    frame: &Frame<'_>,
    world: &World<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let concept = frame.ints(column)?;
    let unit = frame.ints("unit_concept_id").ok();
    let value = columns::floats(frame.table, frame.batch, "value_as_number").ok();
    for i in 0..frame.rows() {
        let Some(found) = concept.get(i).and_then(|c| rules.get(&c)) else { continue };
        let unit = unit.as_ref().and_then(|u| u.get(i));
        let value = value.and_then(|v| (!v.is_null(i)).then(|| v.value(i)));
        let position = frame.at.get(i).map_or(usize::MAX, |&p| p as usize);
        let gender = world.persons.gender.get(position).copied().filter(|&g| g >= 0);
        for &(rule, times) in found {
            let (counts, wrong) = match &by[rule] {
                ConceptRule::Low { unit: of, limit } => {
                    (unit == Some(*of) && value.is_some(), value.is_some_and(|v| v < *limit))
                }
                ConceptRule::High { unit: of, limit } => {
                    (unit == Some(*of) && value.is_some(), value.is_some_and(|v| v > *limit))
                }
                ConceptRule::Gender(right) => (true, gender.is_some_and(|g| g != *right)),
                ConceptRule::Units(units) => {
                    (unit != Some(0), !units.contains(&unit.unwrap_or(-1)))
                }
            };
            let out = &mut books.counts[checks[rule]];
            out.denominator += times * u64::from(counts);
            out.violated += times * u64::from(counts && wrong);
        }
    }
    Ok(())
}

pub(super) fn seen(
    frame: &Frame<'_>,
    has: impl Fn(usize) -> bool,
    bits: &mut [u64],
    strangers: &mut BTreeSet<i64>,
) {
    let Some(person) = &frame.person else { return };
    for (i, &p) in frame.at.iter().enumerate().filter(|(i, _)| has(*i)) {
        match bits.get_mut(p as usize / 64) {
            Some(word) if p != u32::MAX => *word |= 1 << (p % 64),
            _ => strangers.extend(person.get(i)),
        }
    }
}

pub(super) fn periods(frame: &Frame<'_>, books: &mut Books) -> Result<(), Error> {
    let Some(person) = &frame.person else { return Ok(()) };
    let id = frame.ints("observation_period_id")?;
    let start = frame.days("observation_period_start_date")?;
    let end = frame.days("observation_period_end_date")?;
    for i in 0..frame.rows() {
        if let Some(person) = person.get(i) {
            books.periods.push((person, id.get(i), start[i], end[i]));
        }
    }
    Ok(())
}
