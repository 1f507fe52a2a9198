//! Columns of a batch by name, in the few shapes that checks need.

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use super::error::Error;
use super::people::NONE;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Integers with gaps.
pub(super) struct Ints<'a>(pub &'a Int64Array);

impl Ints<'_> {
    pub fn get(&self, row: usize) -> Option<i64> {
        (!self.0.is_null(row)).then(|| self.0.value(row))
    }
}

/// Texts with gaps, each row a code of a dictionary.
pub(super) struct Texts<'a> {
    pub codes: &'a DictionaryArray<Int32Type>,
    pub values: &'a StringArray,
}

impl<'a> Texts<'a> {
    /// The code of a row; none for null, whether the code or its value is.
    pub fn code(&self, row: usize) -> Option<usize> {
        let code = self.codes.key(row)?;
        (!self.values.is_null(code)).then_some(code)
    }
    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.code(row).map(|code| self.values.value(code))
    }
}

fn wrong(table: &str, column: &str) -> Error {
    Error::Column { table: table.to_owned(), column: column.to_owned() }
}

fn column<'a>(table: &str, batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    batch.column_by_name(name).ok_or_else(|| wrong(table, name))
}

/// The integer column `name`.
pub(super) fn ints<'a>(table: &str, batch: &'a RecordBatch, name: &str) -> Result<Ints<'a>, Error> {
    let array = column(table, batch, name)?.as_primitive_opt::<Int64Type>();
    array.map(Ints).ok_or_else(|| wrong(table, name))
}

/// The number column `name`, when it is one of floats.
pub(super) fn floats<'a>(
    table: &str,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a Float64Array, Error> {
    let array = column(table, batch, name)?.as_primitive_opt::<Float64Type>();
    array.ok_or_else(|| wrong(table, name))
}

/// The text column `name`.
pub(super) fn texts<'a>(
    table: &str,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<Texts<'a>, Error> {
    let codes = column(table, batch, name)?.as_dictionary_opt::<Int32Type>();
    let codes = codes.ok_or_else(|| wrong(table, name))?;
    let values = codes.values().as_string_opt::<i32>().ok_or_else(|| wrong(table, name))?;
    Ok(Texts { codes, values })
}

/// The date or timestamp column `name` as days since 1970-01-01, [`NONE`] for null.
pub(super) fn days(table: &str, batch: &RecordBatch, name: &str) -> Result<Vec<i32>, Error> {
    let array = column(table, batch, name)?;
    Ok(match array.data_type() {
        DataType::Date32 => {
            let dates = array.as_primitive::<Date32Type>();
            dates.iter().map(|d| d.unwrap_or(NONE)).collect()
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let day = |t: i64| i32::try_from(t.div_euclid(DAY)).unwrap_or(NONE);
            times.iter().map(|t| t.map_or(NONE, day)).collect()
        }
        _ => return Err(wrong(table, name)),
    })
}

/// How many rows of the column `name` are null.
pub(super) fn nulls(table: &str, batch: &RecordBatch, name: &str) -> Result<u64, Error> {
    Ok(column(table, batch, name)?.logical_null_count() as u64)
}
