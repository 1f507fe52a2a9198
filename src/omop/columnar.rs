//! One Parquet file into a [`Loader`], by the same rules as text.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, make_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::engine::Job;
use crate::error::IoError;

use super::cdm::{FieldKind, FieldSpec};
use super::error::Error;
use super::folder::Source;
use super::header::Columns;
use super::loader::Loader;
use super::value::{Cell, DAY_US, DAYS, Leniency, Reason, parse};

/// A column in one of the few forms that rows are read from.
enum Column {
    Absent,
    Integer(Int64Array),
    Float(Float64Array),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Text(StringArray),
}

/// Reads `source` into `loader`.
///
/// # Errors
/// When the file cannot be read as the table: see [`Error`].
pub fn load(source: &Source, loader: &mut Loader<'_>, job: &Job) -> Result<(), Error> {
    let path = &source.path;
    let broken = |error| Error::Parquet { file: path.clone(), source: error };
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
    let names: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
    let columns = Columns::match_names(&names, loader.spec, path, 1)?;
    for note in &columns.unknown {
        loader.ledger.note(note, 1);
    }
    loader.start_file(source.base_name(), &columns.sources);
    let known = columns.sources.iter().flatten().copied();
    let mask = ProjectionMask::roots(builder.parquet_schema(), known);
    let reader = builder.with_projection(mask).with_batch_size(8192).build().map_err(broken)?;
    let mut first_row = 1;
    let mut rows = Rows { text: String::new(), cells: vec![Cell::Null; columns.sources.len()] };
    for batch in reader {
        let batch = batch.map_err(|e| broken(e.into()))?;
        job.check()?;
        let arrays = arrays(&batch, &names, &columns, loader.spec.fields.as_slice(), source)?;
        for row in 0..batch.num_rows() {
            rows.load(row, first_row + row as u64, &arrays, loader)?;
        }
        first_row += batch.num_rows() as u64;
    }
    job.progress.advance(source.bytes);
    Ok(())
}

struct Rows {
    text: String,
    cells: Vec<Cell>,
}

impl Rows {
    fn load(
        &mut self,
        row: usize,
        line: u64,
        arrays: &[Column],
        loader: &mut Loader<'_>,
    ) -> Result<(), Error> {
        self.text.clear();
        let mut empty = true;
        for (ordinal, array) in arrays.iter().enumerate() {
            let kind = loader.spec.fields[ordinal].kind;
            match array.cell(row, kind, &mut self.text, &mut loader.leniency) {
                Ok(cell) => {
                    empty &= cell == Cell::Null;
                    self.cells[ordinal] = cell;
                }
                Err(reason) => return loader.reject(line, Some(ordinal), reason),
            }
        }
        if empty {
            loader.skip_empty();
            return Ok(());
        }
        loader.accept(line, &self.text, &mut self.cells)
    }
}

impl Column {
    fn cell(
        &self,
        row: usize,
        kind: FieldKind,
        text: &mut String,
        leniency: &mut Leniency,
    ) -> Result<Cell, Reason> {
        let cell = match self {
            Self::Absent => Cell::Null,
            Self::Integer(a) if a.is_valid(row) => Cell::Integer(a.value(row)),
            Self::Float(a) if a.is_valid(row) && kind == FieldKind::Text => {
                let start = text.len() as u32;
                text.push_str(&a.value(row).to_string());
                Cell::Text(start, text.len() as u32)
            }
            Self::Float(a) if a.is_valid(row) => return float_cell(a.value(row), kind),
            Self::Date(a) if a.is_valid(row) => return date_cell(a.value(row)),
            Self::Timestamp(a) if a.is_valid(row) => {
                return timestamp_cell(a.value(row), kind, leniency);
            }
            Self::Text(a) if a.is_valid(row) => {
                let value = a.value(row);
                if value.as_bytes().contains(&0) {
                    return Err(Reason::NulByte);
                }
                let start = text.len() as u32;
                if kind == FieldKind::Text {
                    text.push_str(value);
                }
                return parse(kind, value.as_bytes(), start, leniency);
            }
            _ => Cell::Null,
        };
        Ok(cell)
    }
}

fn float_cell(value: f64, kind: FieldKind) -> Result<Cell, Reason> {
    // Integers of 2^53 and beyond are not exact in a float, so they are not believed.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match kind {
        FieldKind::Integer if value.fract() == 0.0 && value.abs() < EXACT => {
            Ok(Cell::Integer(value as i64))
        }
        FieldKind::Integer => Err(Reason::UnparsableInteger),
        _ if value.is_finite() => Ok(Cell::Float(value)),
        _ => Err(Reason::UnparsableFloat),
    }
}

/// Days outside the calendar's four-digit years are not dates (some engines write `infinity` so).
fn date_cell(days: i32) -> Result<Cell, Reason> {
    DAYS.contains(&days).then_some(Cell::Date(days)).ok_or(Reason::UnparsableDate)
}

fn timestamp_cell(value: i64, kind: FieldKind, leniency: &mut Leniency) -> Result<Cell, Reason> {
    let days = i32::try_from(value.div_euclid(DAY_US)).unwrap_or(i32::MAX);
    let date = date_cell(days);
    if kind == FieldKind::Timestamp {
        return date.map(|_| Cell::Timestamp(value)).map_err(|_| Reason::UnparsableDatetime);
    }
    leniency.time_dropped += u64::from(value.rem_euclid(DAY_US) != 0);
    date
}

fn arrays(
    batch: &RecordBatch,
    names: &[String],
    columns: &Columns,
    fields: &[FieldSpec],
    source: &Source,
) -> Result<Vec<Column>, Error> {
    let form = |(field, ordinal): (&FieldSpec, &Option<usize>)| {
        let Some(array) = ordinal.and_then(|o| batch.column_by_name(&names[o])) else {
            return Ok(Column::Absent);
        };
        column(field.kind, array).ok_or_else(|| Error::ColumnType {
            file: source.path.clone(),
            column: field.name,
            found: array.data_type().to_string(),
        })
    };
    fields.iter().zip(&columns.sources).map(form).collect()
}

/// Brings `array` into the form from which values of `kind` are read; None when it cannot hold them.
///
/// Decimals go by their text, so that they give the same value as the same digits in a CSV file. Codes
/// that a writer took for floats (a text column of SNOMED codes) come back as the shortest digits that
/// state the number: `65363002`, not `65363002.0`.
fn column(kind: FieldKind, array: &ArrayRef) -> Option<Column> {
    let array = without_zone(&without_dictionary(array)?)?;
    let found = array.data_type();
    if found == &DataType::Null {
        return Some(Column::Absent);
    }
    let text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let decimal = matches!(
        found,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    );
    let wide = found == &DataType::UInt64;
    let stamp = matches!(found, DataType::Timestamp(..) | DataType::Date64);
    let to = match kind {
        FieldKind::Text if found.is_floating() => DataType::Float64,
        FieldKind::Text if !found.is_nested() && !is_binary(found) => DataType::Utf8,
        FieldKind::Text => return None,
        _ if text || decimal || wide => DataType::Utf8,
        FieldKind::Integer if found.is_integer() => DataType::Int64,
        FieldKind::Integer | FieldKind::Float if found.is_numeric() => DataType::Float64,
        FieldKind::Date if found.is_integer() => DataType::Utf8,
        FieldKind::Date if found == &DataType::Date32 => DataType::Date32,
        FieldKind::Date | FieldKind::Timestamp if stamp || found == &DataType::Date32 => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        _ => return None,
    };
    let nulls = array.logical_null_count();
    let array = cast(&array, &to).ok()?;
    if array.null_count() > nulls {
        // A cast makes null of what does not fit; nothing may vanish so.
        return None;
    }
    Some(match to {
        DataType::Int64 => Column::Integer(array.as_primitive::<Int64Type>().clone()),
        DataType::Float64 => Column::Float(array.as_primitive::<Float64Type>().clone()),
        DataType::Date32 => Column::Date(array.as_primitive::<Date32Type>().clone()),
        DataType::Timestamp(..) => {
            Column::Timestamp(array.as_primitive::<TimestampMicrosecondType>().clone())
        }
        _ => Column::Text(array.as_string::<i32>().clone()),
    })
}

fn is_binary(found: &DataType) -> bool {
    matches!(
        found,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn without_dictionary(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value).ok(),
        _ => Some(Arc::clone(array)),
    }
}

/// A timestamp with a zone is an instant in UTC; its UTC wall clock is kept, as for `...Z` in text.
fn without_zone(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let plain = DataType::Timestamp(*unit, None);
            array.to_data().into_builder().data_type(plain).build().ok().map(make_array)
        }
        _ => Some(Arc::clone(array)),
    }
}
