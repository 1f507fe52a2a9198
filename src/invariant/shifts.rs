//! Moved dates beside true ones: of some people, every row that both tiers have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::statistics::Statistics;

use super::concepts::applies;
use super::dates::is_of_a_person;
use super::origin::{Originals, OwnTier};
use super::people::Born;
use super::scan::{Count, DAY, Rows, Tally, at, open, rows};
use super::terms::{Tier, about_persons, day, is_day, must_be_null, named, new_year};
use super::{Error, Request, path_of};
use crate::config::policy::Action;
use crate::engine::Job;
use crate::omop::{FieldSpec, TableSpec};

/// People whose dates are compared.
const SAMPLE: usize = 16;

/// Times of a row in microseconds, by column.
type Times = Vec<Option<i64>>;

pub(super) fn look(
    request: &Request<'_>,
    wide: &Tier<'_>,
    narrow: &Tier<'_>,
    originals: &Originals<'_>,
    job: &Job,
    tally: &mut Tally,
) -> Result<(), Error> {
    let (Some(of_wide), Some(of_narrow)) = (originals.of(wide.name), originals.of(narrow.name))
    else {
        return Ok(());
    };
    let weeks = originals.origin.whole_weeks;
    let in_range = |shift: Option<u16>| {
        shift.is_some_and(|days| (1..=364).contains(&days) && (!weeks || days % 7 == 0))
    };
    let count = of_narrow.shifts().map(|shift| !in_range(shift)).collect();
    tally.count("shift_range", narrow.name, "people", count);
    let born = Born::read(request, wide)?;
    let people = Born::read(request, narrow)?;
    let all: Vec<i64> = people.ids().collect();
    let step = all.len().div_ceil(SAMPLE).max(1);
    let pairs: Vec<Pair> = all
        .into_iter()
        .step_by(step)
        .filter_map(|moved| {
            let truly = of_wide.research(of_narrow.raw(moved)?)?;
            let shift = i64::from(of_narrow.shift(moved)?);
            Some(Pair { moved, truly, shift, year: born.year(truly) })
        })
        .collect();
    for path in narrow.tables.keys() {
        let Some(spec) = narrow.spec(path).filter(|spec| about_persons(spec)) else { continue };
        if spec.name == "person" || !wide.tables.contains_key(path) || is_clipped(wide, spec) {
            continue;
        }
        let two = Two { request, wide, narrow, of_wide, of_narrow, spec, job };
        let count = two.compare(&pairs)?;
        tally.count("shift_exact", narrow.name, spec.name, count);
    }
    Ok(())
}

/// A person in both tiers.
struct Pair {
    moved: i64,
    truly: i64,
    shift: i64,
    year: Option<i64>,
}

/// Whether a rule changes dates of the table otherwise.
fn is_clipped(tier: &Tier<'_>, spec: &TableSpec) -> bool {
    tier.rules().iter().any(|rule| match &rule.action {
        Action::DropNearBirth(near) => near.clip_tables.iter().any(|table| table == spec.name),
        _ => false,
    })
}

/// Whether a rule moves some days of a column otherwise.
fn is_closed(tier: &Tier<'_>, spec: &TableSpec, field: &FieldSpec) -> bool {
    tier.rules().iter().any(|rule| match &rule.action {
        Action::OpenEnds { columns } => named(columns, spec, field),
        _ => false,
    })
}

struct Two<'a> {
    request: &'a Request<'a>,
    wide: &'a Tier<'a>,
    narrow: &'a Tier<'a>,
    of_wide: &'a OwnTier<'a>,
    of_narrow: &'a OwnTier<'a>,
    spec: &'static TableSpec,
    job: &'a Job,
}

impl Two<'_> {
    fn compare(&self, pairs: &[Pair]) -> Result<Count, Error> {
        let is_free = |tier, f| !must_be_null(tier, self.spec, f);
        let fields = self.spec.fields.iter().filter(|f| is_day(f));
        let columns: Vec<&'static str> = fields
            .filter(|f| is_free(self.wide, f) && is_free(self.narrow, f))
            .filter(|f| !is_closed(self.narrow, self.spec, f))
            .map(|f| f.name)
            .collect();
        if columns.is_empty() {
            return Ok(Count::default());
        }
        let moved = pairs.iter().map(|p| p.moved).collect();
        let truly = pairs.iter().map(|p| p.truly).collect();
        let keys = self.spec.primary_key.filter(|_| {
            let known = |own: &OwnTier<'_>| own.rows.get(self.spec.name).is_ok();
            known(self.of_wide) && known(self.of_narrow)
        });
        match keys {
            Some(key) => self.by_row(pairs, key, &columns, &moved, &truly),
            None => self.by_time(pairs, &columns, &moved, &truly),
        }
    }

    /// Rows are the same if their ids lead back to one.
    fn by_row(
        &self,
        pairs: &[Pair],
        key: &'static str,
        columns: &[&'static str],
        moved: &BTreeSet<i64>,
        truly: &BTreeSet<i64>,
    ) -> Result<Count, Error> {
        let wide = self.of_wide.rows.get(self.spec.name)?;
        let narrow = self.of_narrow.rows.get(self.spec.name)?;
        let mut true_times: BTreeMap<i64, Times> = BTreeMap::new();
        self.read(self.wide, Some(key), columns, truly, |_, id, times| {
            true_times.insert(wide.invert(id), times);
        })?;
        let shifts: BTreeMap<i64, i64> = pairs.iter().map(|p| (p.moved, p.shift)).collect();
        let last = day(self.request.reference_date);
        let mut count = Count::default();
        self.read(self.narrow, Some(key), columns, moved, |person, id, times| {
            let (Some(truth), Some(shift)) =
                (true_times.get(&narrow.invert(id)), shifts.get(&person))
            else {
                return;
            };
            for (moved, truth) in times.iter().zip(truth) {
                let expected = truth
                    .filter(|truth| is_of_a_person(truth.div_euclid(DAY), last))
                    .map(|truth| truth - shift * DAY);
                if moved.is_some() || truth.is_some() {
                    count.see(*moved != expected);
                }
            }
        })?;
        Ok(count)
    }

    /// Without ids, the moved time of each row must be that of some row.
    fn by_time(
        &self,
        pairs: &[Pair],
        columns: &[&'static str],
        moved: &BTreeSet<i64>,
        truly: &BTreeSet<i64>,
    ) -> Result<Count, Error> {
        // Rows that only the wider tier's rules remove by concept are not there to be compared with.
        let by_concept = self.wide.rules().iter().any(|rule| match &rule.action {
            Action::SuppressConcepts(of) => {
                let fields = self.spec.fields.iter().filter(|f| f.is_concept_id());
                fields.clone().any(|f| applies(of, self.spec, f))
                    && !self.narrow.rules().iter().any(|other| other.action == rule.action)
            }
            Action::DropRecentConcepts(_) => true,
            _ => false,
        });
        if by_concept {
            return Ok(Count::default());
        }
        let start = &columns[..1];
        let shifts: BTreeMap<i64, (i64, i64)> =
            pairs.iter().map(|p| (p.truly, (p.moved, p.shift))).collect();
        let mut expected: BTreeSet<(i64, i64)> = BTreeSet::new();
        self.read(self.wide, None, start, truly, |person, _, times| {
            if let (Some((moved, shift)), Some(Some(time))) = (shifts.get(&person), times.first()) {
                expected.insert((*moved, time - shift * DAY));
            }
        })?;
        // Earlier rows are near birth, and the wider tier may have none.
        let near = self.wide.rules().iter().find_map(|rule| match &rule.action {
            Action::DropNearBirth(near) => Some(i64::from(near.years)),
            _ => None,
        });
        let first: BTreeMap<i64, i64> = pairs
            .iter()
            .filter_map(|p| {
                let year = p.year.filter(|_| near.is_some());
                Some((p.moved, new_year(year? + near?)? - p.shift))
            })
            .collect();
        let mut count = Count::default();
        self.read(self.narrow, None, start, moved, |person, _, times| {
            let Some(Some(time)) = times.first() else { return };
            let early = match (near, first.get(&person)) {
                (None, _) => false,
                (Some(_), Some(first)) => time.div_euclid(DAY) < *first,
                (Some(_), None) => true,
            };
            if !early {
                count.see(!expected.contains(&(person, *time)));
            }
        })?;
        Ok(count)
    }

    /// Rows of some people: person, row id (0 without one) and times.
    fn read(
        &self,
        tier: &Tier<'_>,
        key: Option<&'static str>,
        columns: &[&'static str],
        people: &BTreeSet<i64>,
        mut each: impl FnMut(i64, i64, Times),
    ) -> Result<(), Error> {
        let wanted: BTreeSet<&str> =
            columns.iter().copied().chain(key).chain(["person_id"]).collect();
        for file in tier.files_of(self.spec.name) {
            let builder = open(self.request, &path_of(self.request, file), &file.path)?;
            let groups = groups_with(&builder, people);
            if groups.is_empty() {
                continue;
            }
            for batch in rows(builder.with_row_groups(groups), &wanted, &file.path)? {
                self.job.check()?;
                let broken = |source: parquet::errors::ParquetError| Error::Parquet {
                    file: file.path.clone(),
                    source,
                };
                let batch = batch.map_err(|e| broken(e.into()))?;
                let rows = Rows(&batch);
                let Some(persons) = rows.ints("person_id") else { continue };
                let ids = key.and_then(|key| rows.ints(key));
                for i in 0..rows.len() {
                    let Some(person) = at(persons, i).filter(|p| people.contains(p)) else {
                        continue;
                    };
                    let id = match key {
                        Some(_) => ids.and_then(|ids| at(ids, i)),
                        None => Some(0),
                    };
                    let times = columns.iter().map(|column| micros(&rows, column, i)).collect();
                    if let Some(id) = id {
                        each(person, id, times);
                    }
                }
            }
        }
        Ok(())
    }
}

fn micros(rows: &Rows<'_>, column: &str, row: usize) -> Option<i64> {
    let array = rows.any(column).filter(|array| array.is_valid(row))?;
    match array.data_type() {
        DataType::Date32 => Some(i64::from(array.as_primitive::<Date32Type>().value(row)) * DAY),
        _ => array.as_primitive_opt::<TimestampMicrosecondType>().map(|times| times.value(row)),
    }
}

/// Row groups that may hold one of the people.
fn groups_with(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    people: &BTreeSet<i64>,
) -> Vec<usize> {
    let groups = builder.metadata().row_groups().iter().enumerate();
    let may_hold = groups.filter(|(_, group)| {
        let mut chunks = group.columns().iter();
        let chunk = chunks.find(|chunk| chunk.column_path().string() == "person_id");
        match chunk.and_then(|chunk| chunk.statistics()) {
            Some(Statistics::Int64(of)) => match (of.min_opt(), of.max_opt()) {
                (Some(low), Some(high)) => people.range(low..=high).next().is_some(),
                _ => true,
            },
            _ => true,
        }
    });
    may_hold.map(|(number, _)| number).collect()
}
