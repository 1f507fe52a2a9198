//! Watches over the rows of a file: each names the columns it needs, all are fed in one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use super::terms::Tier;
use super::{Error, Request, path_of};
use crate::engine::{FileEntry, Job};
use crate::error::IoError;

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;

const BATCH_ROWS: usize = 1 << 15;

/// What a check looked at and how often it was not as promised.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub looked_at: u64,
    pub violations: u64,
}

impl Count {
    /// Counts one thing.
    pub fn see(&mut self, violated: bool) {
        self.looked_at += 1;
        self.violations += u64::from(violated);
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, more: Self) {
        self.looked_at += more.looked_at;
        self.violations += more.violations;
    }
}

impl FromIterator<bool> for Count {
    fn from_iter<I: IntoIterator<Item = bool>>(violated: I) -> Self {
        let mut count = Self::default();
        violated.into_iter().for_each(|v| count.see(v));
        count
    }
}

/// By invariant, tier and place, what was counted; and facts worth telling.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub counts: BTreeMap<(&'static str, &'static str), BTreeMap<String, Count>>,
    pub noted: BTreeMap<(&'static str, &'static str), BTreeMap<String, u64>>,
}

impl Tally {
    pub fn count(&mut self, id: &'static str, tier: &'static str, place: &str, count: Count) {
        let places = self.counts.entry((id, tier)).or_default();
        *places.entry(place.to_owned()).or_default() += count;
    }

    pub fn note(&mut self, id: &'static str, tier: &'static str, what: &str, n: u64) {
        if n > 0 {
            let noted = self.noted.entry((id, tier)).or_default();
            *noted.entry(what.to_owned()).or_default() += n;
        }
    }

    pub fn add(&mut self, more: Self) {
        for ((id, tier), places) in more.counts {
            places.iter().for_each(|(place, count)| self.count(id, tier, place, *count));
        }
        for ((id, tier), noted) in more.noted {
            noted.iter().for_each(|(what, n)| self.note(id, tier, what, *n));
        }
    }
}

/// Some rows of a table, with the columns that some watch asked for. A column that the file lacks, or that
/// is of another type, is none: `columns_declared` tells.
pub(super) struct Rows<'a>(pub &'a RecordBatch);

impl Rows<'_> {
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }
    pub fn ints(&self, column: &str) -> Option<&Int64Array> {
        self.0.column_by_name(column)?.as_primitive_opt::<Int64Type>()
    }
    pub fn texts(&self, column: &str) -> Option<&StringArray> {
        self.0.column_by_name(column)?.as_string_opt::<i32>()
    }
    pub fn any(&self, column: &str) -> Option<&ArrayRef> {
        self.0.column_by_name(column)
    }
    /// Days since 1970-01-01 of dates and times alike.
    pub fn days(&self, column: &str) -> Option<Vec<Option<i64>>> {
        let array = self.0.column_by_name(column)?;
        match array.data_type() {
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>();
                Some(days.iter().map(|d| d.map(i64::from)).collect())
            }
            DataType::Timestamp(..) => {
                let times = array.as_primitive_opt::<TimestampMicrosecondType>()?;
                Some(times.iter().map(|t| t.map(|t| t.div_euclid(DAY))).collect())
            }
            _ => None,
        }
    }
}

/// What looks at the rows of one file, in order.
pub(super) trait Look {
    fn rows(&mut self, rows: &Rows<'_>);
    fn end(&mut self) -> Count;
}

/// A look that keeps nothing between rows.
struct Each<F> {
    look: F,
    count: Count,
}

impl<F: Fn(&Rows<'_>) -> Count> Look for Each<F> {
    fn rows(&mut self, rows: &Rows<'_>) {
        self.count += (self.look)(rows);
    }
    fn end(&mut self) -> Count {
        self.count
    }
}

/// What the footer of a file settles without a look at its rows.
type Settled<'a> = Box<dyn Fn(&ParquetMetaData) -> Option<Count> + 'a>;

/// An invariant over the rows of a table.
pub(super) struct Watch<'a> {
    pub id: &'static str,
    /// Where it looks, for the report.
    pub place: String,
    /// Columns it needs.
    pub columns: Vec<&'static str>,
    pub settled: Option<Settled<'a>>,
    pub look: Box<dyn Look + 'a>,
}

impl<'a> Watch<'a> {
    pub fn each(
        id: &'static str,
        place: impl Into<String>,
        columns: impl IntoIterator<Item = &'static str>,
        look: impl Fn(&Rows<'_>) -> Count + 'a,
    ) -> Self {
        let look = Box::new(Each { look, count: Count::default() });
        Self {
            id,
            place: place.into(),
            columns: columns.into_iter().collect(),
            settled: None,
            look,
        }
    }

    pub fn of(
        id: &'static str,
        place: impl Into<String>,
        columns: impl IntoIterator<Item = &'static str>,
        look: impl Look + 'a,
    ) -> Self {
        let columns = columns.into_iter().collect();
        Self { id, place: place.into(), columns, settled: None, look: Box::new(look) }
    }

    pub fn or_settled(mut self, settled: impl Fn(&ParquetMetaData) -> Option<Count> + 'a) -> Self {
        self.settled = Some(Box::new(settled));
        self
    }
}

/// An open file.
pub(super) fn open(
    request: &Request<'_>,
    path: &Path,
    name: &str,
) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let broken = |source| Error::Parquet { file: name.to_owned(), source };
    request.keyring.open(file).map_err(broken)
}

/// The rows of an open file, some columns of them. Columns that it lacks are left out.
pub(super) fn rows(
    builder: ParquetRecordBatchReaderBuilder<File>,
    columns: &BTreeSet<&str>,
    name: &str,
) -> Result<ParquetRecordBatchReader, Error> {
    let schema = builder.schema().clone();
    let roots = columns.iter().filter_map(|c| schema.index_of(c).ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    reader.map_err(|source| Error::Parquet { file: name.to_owned(), source })
}

/// Hands some columns of a file to `each`, batch by batch.
pub(super) fn read(
    request: &Request<'_>,
    path: &Path,
    name: &str,
    columns: &[&str],
    mut each: impl FnMut(&Rows<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let columns = columns.iter().copied().collect();
    for batch in rows(open(request, path, name)?, &columns, name)? {
        let batch =
            batch.map_err(|e| Error::Parquet { file: name.to_owned(), source: e.into() })?;
        each(&Rows(&batch))?;
    }
    Ok(())
}

/// Has all watches look at a file.
pub(super) fn watch(
    request: &Request<'_>,
    tier: &Tier<'_>,
    file: &FileEntry,
    watches: Vec<Watch<'_>>,
    job: &Job,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    if watches.is_empty() {
        return Ok(tally);
    }
    let builder = open(request, &path_of(request, file), &file.path)?;
    let mut open = Vec::new();
    for watch in watches {
        let settled = watch.settled.as_ref().and_then(|settled| settled(builder.metadata()));
        match settled {
            Some(count) => tally.count(watch.id, tier.name, &watch.place, count),
            None => open.push(watch),
        }
    }
    let columns: BTreeSet<&str> = open.iter().flat_map(|w| w.columns.iter().copied()).collect();
    if columns.is_empty() {
        return Ok(tally);
    }
    for batch in rows(builder, &columns, &file.path)? {
        job.check()?;
        let batch =
            batch.map_err(|e| Error::Parquet { file: file.path.clone(), source: e.into() })?;
        job.progress.advance(batch.num_rows() as u64);
        open.iter_mut().for_each(|watch| watch.look.rows(&Rows(&batch)));
    }
    for mut watch in open {
        tally.count(watch.id, tier.name, &watch.place, watch.look.end());
    }
    Ok(tally)
}

/// Statistics of a column in every row group, if all have them.
fn statistics<'m>(
    metadata: &'m ParquetMetaData,
    column: &str,
) -> Option<Vec<(u64, Option<&'m Statistics>)>> {
    metadata
        .row_groups()
        .iter()
        .map(|group| {
            let chunk =
                group.columns().iter().find(|c| c.column_path().parts() == [column.to_owned()])?;
            Some((u64::try_from(group.num_rows()).ok()?, chunk.statistics()))
        })
        .collect()
}

/// All rows of the file, if its footer says that the column is null in all of them.
pub(super) fn all_null(metadata: &ParquetMetaData, column: &str) -> Option<Count> {
    let mut count = Count::default();
    for (rows, statistics) in statistics(metadata, column)? {
        if statistics?.null_count_opt()? != rows {
            return None;
        }
        count.looked_at += rows;
    }
    Some(count)
}

/// All values of the file, if its footer says that every day of the column is within the bounds.
pub(super) fn days_within(
    metadata: &ParquetMetaData,
    column: &str,
    (first, last): (i64, i64),
) -> Option<Count> {
    let mut count = Count::default();
    for (rows, statistics) in statistics(metadata, column)? {
        let statistics = statistics?;
        let values = rows - statistics.null_count_opt()?.min(rows);
        if values == 0 {
            continue;
        }
        let (low, high) = match statistics {
            Statistics::Int32(of) => (i64::from(*of.min_opt()?), i64::from(*of.max_opt()?)),
            Statistics::Int64(of) => (of.min_opt()?.div_euclid(DAY), of.max_opt()?.div_euclid(DAY)),
            _ => return None,
        };
        if low < first || high > last {
            return None;
        }
        count.looked_at += values;
    }
    Some(count)
}

/// Whether a value is in an array.
pub(super) fn at(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}
