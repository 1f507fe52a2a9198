//! A column of a table in memory, found by its name once and read row by row.

use arrow::array::{
    Array, AsArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};

use super::bucket::Table;
use super::facts::DAY;

/// The values of a column by row, null where the table lacks the column.
#[derive(Clone, Copy)]
pub enum Cells<'a> {
    /// Whole numbers and ids.
    Int(&'a Int64Array),
    /// Numbers.
    Float(&'a Float64Array),
    /// Days since 1970-01-01.
    Day(&'a Date32Array),
    /// Microseconds since 1970-01-01.
    Time(&'a TimestampMicrosecondArray),
    /// Texts.
    Text(&'a StringArray),
    /// No such column.
    None,
}

impl<'a> Cells<'a> {
    /// The column of this name.
    pub fn of(table: &'a Table, name: &str) -> Self {
        let Some(column) = table.rows.column_by_name(name) else { return Self::None };
        match column.data_type() {
            DataType::Int64 => Self::Int(column.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float(column.as_primitive::<Float64Type>()),
            DataType::Date32 => Self::Day(column.as_primitive::<Date32Type>()),
            DataType::Timestamp(..) => {
                Self::Time(column.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Utf8 => Self::Text(column.as_string::<i32>()),
            _ => Self::None,
        }
    }

    /// A whole number.
    pub fn int(&self, row: usize) -> Option<i64> {
        match self {
            Self::Int(c) if c.is_valid(row) => Some(c.value(row)),
            _ => None,
        }
    }

    /// A number, whole or not.
    pub fn float(&self, row: usize) -> Option<f64> {
        match self {
            Self::Float(c) if c.is_valid(row) => Some(c.value(row)),
            Self::Int(_) => self.int(row).map(|n| n as f64),
            _ => None,
        }
    }

    /// The day of a date or datetime, since 1970-01-01.
    pub fn day(&self, row: usize) -> Option<i32> {
        match self {
            Self::Day(c) if c.is_valid(row) => Some(c.value(row)),
            Self::Time(_) => self.time(row).and_then(|at| i32::try_from(at.div_euclid(DAY)).ok()),
            _ => None,
        }
    }

    /// The microseconds of a datetime, since 1970-01-01.
    pub fn time(&self, row: usize) -> Option<i64> {
        match self {
            Self::Time(c) if c.is_valid(row) => Some(c.value(row)),
            _ => None,
        }
    }

    /// A text without white space around it, or nothing.
    pub fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Text(c) if c.is_valid(row) => {
                Some(c.value(row).trim()).filter(|text| !text.is_empty())
            }
            _ => None,
        }
    }

    /// Whether the cell is not null.
    pub fn is_there(&self, row: usize) -> bool {
        match self {
            Self::Int(c) => c.is_valid(row),
            Self::Float(c) => c.is_valid(row),
            Self::Day(c) => c.is_valid(row),
            Self::Time(c) => c.is_valid(row),
            Self::Text(_) => self.text(row).is_some(),
            Self::None => false,
        }
    }
}

/// When a row of `measurement` was: its datetime, else the start of its date.
pub fn measured_at(table: &Table) -> impl Fn(usize) -> Option<i64> {
    let (time, date) =
        (Cells::of(table, "measurement_datetime"), Cells::of(table, "measurement_date"));
    move |row| time.time(row).or_else(|| date.day(row).map(|day| i64::from(day) * DAY))
}

/// The concept of a measurement that a rule lists: the source concept, which the programme's own
/// measurements keep when they get a standard one, else the concept.
pub fn listed(table: &Table, is: impl Fn(i64) -> bool) -> impl Fn(usize) -> Option<i64> {
    let columns = ["measurement_source_concept_id", "measurement_concept_id"];
    let columns = columns.map(|name| Cells::of(table, name));
    move |row| columns.iter().filter_map(|c| c.int(row)).find(|concept| is(*concept))
}

/// Names of the start and end date columns of a table; one date has no end.
pub fn span(table: &Table) -> Option<(&'static str, Option<&'static str>)> {
    let start = table.spec.start_date?;
    let end = start.replace("_start_", "_end_");
    let end = table.spec.fields.iter().map(|f| f.name).find(|f| *f == end && *f != start);
    Some((start, end))
}

/// The start and end day of the rows of a table.
pub fn days(table: &Table) -> Option<(Cells<'_>, Cells<'_>)> {
    let (start, end) = span(table)?;
    Some((Cells::of(table, start), end.map_or(Cells::None, |end| Cells::of(table, end))))
}

/// The standard concept of a table's rows and its source concept.
pub fn concepts(table: &Table) -> Option<(Cells<'_>, Cells<'_>)> {
    let (standard, source) = concept_names(table)?;
    Some((Cells::of(table, standard), Cells::of(table, &source)))
}

/// Names of the columns of the standard and the source concept.
pub fn concept_names(table: &Table) -> Option<(&'static str, String)> {
    let standard = table.spec.fields.iter().find(|f| f.is_concept_id())?.name;
    Some((standard, standard.replace("_concept_id", "_source_concept_id")))
}
