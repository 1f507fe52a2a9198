//! The columns of one part of a table, in the order of persons.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::Error;
use crate::engine::Keyring;
use crate::error::IoError;

/// Some columns of some rows. A date is its day since 1970-01-01, a time its microseconds since then, a
/// float its bits.
#[derive(Debug, Default, Clone)]
pub struct Rows {
    /// By column: values.
    pub columns: Vec<Vec<Option<i64>>>,
    /// Number of rows.
    pub len: usize,
}

impl Rows {
    /// The value of a float column.
    pub fn float(&self, column: usize, row: usize) -> Option<f64> {
        self.columns[column][row].map(|bits| f64::from_bits(bits as u64))
    }

    /// The value of a date column.
    pub fn day(&self, column: usize, row: usize) -> Option<i32> {
        self.columns[column][row].and_then(|d| i32::try_from(d).ok())
    }
}

/// A reader of `names` of the Parquet file at `path`, as far as it has them, and its number of rows.
fn open(
    path: &Path,
    names: &[&str],
    keyring: &Keyring,
) -> Result<(ParquetRecordBatchReader, usize), Error> {
    let broken = |source| broken(path, source);
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let builder = keyring.open(file).map_err(broken)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    let total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok((builder.with_projection(mask).build().map_err(broken)?, total))
}

/// Rows of the Parquet file at `path`.
pub fn length(path: &Path, keyring: &Keyring) -> Result<u64, Error> {
    Ok(open(path, &[], keyring)?.1 as u64)
}

/// Reads `names` of the Parquet file at `path`; a column that it lacks is null throughout.
pub fn read(path: &Path, names: &[&str], keyring: &Keyring) -> Result<Rows, Error> {
    let (reader, total) = open(path, names, keyring)?;
    let mut rows =
        Rows { columns: names.iter().map(|_| Vec::with_capacity(total)).collect(), len: 0 };
    for batch in reader {
        let batch = batch.map_err(|e| broken(path, e.into()))?;
        for (name, values) in names.iter().zip(&mut rows.columns) {
            match batch.column_by_name(name) {
                Some(column) => append(column, values),
                None => values.resize(values.len() + batch.num_rows(), None),
            }
        }
        rows.len += batch.num_rows();
    }
    Ok(rows)
}

/// Calls `see` with `names` of the Parquet file at `path`, as far as it has them, batch by batch.
pub fn each_batch(
    path: &Path,
    names: &[&str],
    keyring: &Keyring,
    mut see: impl FnMut(&RecordBatch),
) -> Result<(), Error> {
    for batch in open(path, names, keyring)?.0 {
        see(&batch.map_err(|e| broken(path, e.into()))?);
    }
    Ok(())
}

fn broken(path: &Path, source: parquet::errors::ParquetError) -> Error {
    Error::Parquet { file: path.to_owned(), source }
}

/// The people of the Parquet file at `path`, a row each: what a table of any length says of who has rows.
pub fn people(path: &Path, keyring: &Keyring) -> Result<Rows, Error> {
    let mut people: BTreeSet<i64> = BTreeSet::new();
    each_batch(path, &["person_id"], keyring, |batch| {
        if let Some(column) = batch.column_by_name("person_id") {
            let mut last = None;
            for person in column.as_primitive::<Int64Type>().iter().flatten() {
                if last.replace(person) != Some(person) {
                    people.insert(person);
                }
            }
        }
    })?;
    let len = people.len();
    Ok(Rows { columns: vec![people.into_iter().map(Some).collect()], len })
}

fn append(column: &dyn Array, values: &mut Vec<Option<i64>>) {
    match column.data_type() {
        DataType::Int64 => values.extend(column.as_primitive::<Int64Type>()),
        DataType::Date32 => {
            values.extend(column.as_primitive::<Date32Type>().iter().map(|d| d.map(i64::from)));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            values.extend(column.as_primitive::<TimestampMicrosecondType>());
        }
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>().iter();
            values.extend(floats.map(|x| x.map(|x| x.to_bits() as i64)));
        }
        _ => values.resize(values.len() + column.len(), None),
    }
}

/// One part of a source: its rows and those of each person, by person id. Column 0 is `person_id`.
#[derive(Default)]
pub struct Part {
    /// The rows, in the order of persons.
    pub rows: Rows,
    people: Vec<(i64, Range<usize>)>,
}

impl Part {
    /// Puts rows in the order of persons, if they are not, and finds each person's. Rows without a
    /// person are nobody's.
    pub fn new(mut rows: Rows) -> Self {
        let order = |rows: &Rows| rows.columns[0].is_sorted();
        if !order(&rows) {
            let mut index: Vec<usize> = (0..rows.len).collect();
            index.sort_by_key(|&i| rows.columns[0][i]);
            for column in &mut rows.columns {
                *column = index.iter().map(|&i| column[i]).collect();
            }
        }
        let mut people: Vec<(i64, Range<usize>)> = Vec::new();
        for (i, person) in rows.columns.first().into_iter().flatten().enumerate() {
            let Some(person) = *person else { continue };
            match people.last_mut() {
                Some((last, range)) if *last == person => range.end = i + 1,
                _ => people.push((person, i..i + 1)),
            }
        }
        Self { rows, people }
    }

    /// People with rows, ascending.
    pub fn people(&self) -> impl Iterator<Item = i64> {
        self.people.iter().map(|(person, _)| *person)
    }

    /// The rows of a person.
    pub fn of(&self, person: i64) -> Range<usize> {
        match self.people.binary_search_by_key(&person, |(p, _)| *p) {
            Ok(at) => self.people[at].1.clone(),
            Err(_) => 0..0,
        }
    }
}
