//! One rule applied to a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use jiff::civil::Date;

use super::bucket::{Bench, Changes, FIRST_RULE, KEPT, Notes, Table, people};
use super::cells::{self, Cells};
use super::early::Early;
use super::facts;
use super::ids::Ids;
use super::rule::{Kind, Otherwise, Rule};
use super::{Error, Request};
use crate::vocabulary::Vocabulary;

mod answers;
mod body;
mod concepts;
mod dates;
mod death;
mod lifetime;
mod measurements;
mod repeats;

pub use body::Sizes;

type Tables = BTreeMap<&'static str, Table>;

/// Applies rule `number` to the bucket: sets the fate of rows, changes values, notes which.
pub fn apply(
    rule: &Rule,
    number: usize,
    (request, early): (&Request, &Early),
    bench: &mut Bench,
) -> Result<(), Error> {
    let Bench { tables, changed, ids, notes } = bench;
    let mut hand = Hand { number, tables, changed, ids, notes };
    match &rule.kind {
        Kind::DatesInRange { tables, first_year, first_year_of } => {
            let first = |table: &str| first_year_of.get(table).copied().unwrap_or(*first_year);
            return tables
                .iter()
                .try_for_each(|t| hand.dates_in_range(t, first(t), request.cutoff));
        }
        Kind::SinceBirth { tables, max_years } => hand.since_birth(tables, *max_years),
        Kind::UntilDeath { tables, days } => hand.until_death(tables, *days),
        Kind::UntilDeactivated { tables } => hand.until_deactivated(tables, &request.deactivated),
        Kind::AnyConcept { tables } => hand.remove(tables, |table, rows| {
            let Some((standard, source)) = cells::concepts(table) else { return Vec::new() };
            let none = |cells: Cells<'_>, i: usize| cells.int(i).unwrap_or(0) == 0;
            rows.into_iter().filter(|&i| none(standard, i) && none(source, i)).collect()
        }),
        Kind::Numbers { .. } => return hand.numbers(&rule.kind),
        Kind::Words { table, column, words } => {
            hand.remove(std::slice::from_ref(table), |table, rows| {
                if table.rows.column_by_name(column).is_none() {
                    return Vec::new();
                }
                let said = Cells::of(table, column);
                let known = |i: usize| {
                    let said = said.text(i).unwrap_or_default();
                    words.iter().any(|word| word.eq_ignore_ascii_case(said))
                };
                rows.into_iter().filter(|&i| !known(i)).collect()
            });
        }
        Kind::EndAfterStart { tables } => {
            return tables.iter().try_for_each(|t| hand.end_after_start(t));
        }
        Kind::DatetimeOfDate { tables } => {
            return tables.iter().try_for_each(|t| hand.datetime_of_date(t));
        }
        Kind::LinkedExtremes { limits } => hand.linked_extremes(limits),
        Kind::Latest { concepts, measurement_type } => hand.latest(concepts, *measurement_type),
        Kind::WithValue { table, columns } => {
            hand.remove(std::slice::from_ref(table), |table, rows| {
                let columns: Vec<(Cells<'_>, bool)> = columns
                    .iter()
                    .filter(|name| table.rows.column_by_name(name).is_some())
                    .map(|name| (Cells::of(table, name), name.ends_with("_concept_id")))
                    .collect();
                // A concept 0 is none.
                let says = |(cells, concept): &(Cells<'_>, bool), i: usize| {
                    cells.is_there(i) && !(*concept && cells.int(i) == Some(0))
                };
                if columns.is_empty() {
                    return Vec::new();
                }
                rows.into_iter().filter(|&i| !columns.iter().any(|c| says(c, i))).collect()
            });
        }
        Kind::Unique { table, columns } => return hand.unique(table, columns),
        Kind::ValidDeath { first_day, survey_types } => {
            hand.valid_death(*first_day, survey_types, request.cutoff);
        }
        Kind::PrimaryDeath { last_types, last_extracts } => {
            let last = request.extracts.iter().map(|e| last_extracts.contains(&e.extract.site));
            hand.primary_death(last_types, &last.collect::<Vec<bool>>());
        }
        Kind::People { first_year, min_years, consents, min_age } => {
            hand.people(&death::PeopleLimits {
                first_year: *first_year,
                last_year: year(request.cutoff) - min_years,
                consents,
                min_age: *min_age,
            });
        }
        Kind::Texts(texts) => return hand.texts(texts),
        Kind::Branches { branches } => hand.branches(branches),
        Kind::ExclusiveAnswers { questions, answers, stay } => {
            hand.exclusive(questions, answers, *stay);
        }
        Kind::LastAnswers(repeats) => hand.last_answers(repeats),
        Kind::BodySize(size) => return hand.body_size(size, early),
        Kind::BodyMass(mass) => return hand.body_mass(mass),
        Kind::StandardConcepts { tables } => {
            return hand.standard_concepts(tables, vocabulary(rule, request)?);
        }
        Kind::Domains { domains, .. } => {
            return hand.domains(domains, vocabulary(rule, request)?);
        }
        Kind::Units { units, .. } => return hand.units(units),
        Kind::AllZero {} => return hand.all_zero(&early.zeros),
    }
    Ok(())
}

fn vocabulary<'a>(rule: &Rule, request: &'a Request) -> Result<&'a Vocabulary, Error> {
    let none = || Error::NoVocabulary { rule: rule.id.clone() };
    request.vocabulary.as_ref().ok_or_else(none)
}

fn date(day: i32) -> Option<Date> {
    let span = jiff::Span::new().try_days(day).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(span).ok()
}

fn year(day: i32) -> i64 {
    date(day).map_or(if day < 0 { i64::MIN / 2 } else { i64::MAX / 2 }, |d| i64::from(d.year()))
}

fn replace(table: &mut Table, column: &str, values: ArrayRef) -> Result<(), Error> {
    let schema = table.rows.schema();
    let Ok(at) = schema.index_of(column) else { return Ok(()) };
    let mut columns = table.rows.columns().to_vec();
    columns[at] = values;
    table.rows = RecordBatch::try_new(schema, columns).map_err(Error::arrow(table.spec.name))?;
    Ok(())
}

/// Some rows of a table.
fn pick(table: &Table, rows: &[usize]) -> Result<RecordBatch, Error> {
    let rows = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
    take_record_batch(&table.rows, &rows).map_err(Error::arrow(table.spec.name))
}

/// Rows with other values in a column, if there is one.
fn put(rows: RecordBatch, column: &str, values: ArrayRef) -> Result<RecordBatch, Error> {
    let schema = rows.schema();
    let Ok(at) = schema.index_of(column) else { return Ok(rows) };
    let mut columns = rows.columns().to_vec();
    columns[at] = values;
    RecordBatch::try_new(schema, columns).map_err(Error::arrow(column))
}

/// A rule's hand on a bucket.
struct Hand<'a> {
    number: usize,
    tables: &'a mut Tables,
    changed: &'a mut Changes,
    ids: &'a mut Ids,
    notes: &'a mut Notes,
}

impl Hand<'_> {
    fn fate(&self) -> u16 {
        FIRST_RULE + self.number as u16
    }

    /// Removes those of the rows left of `tables` that `goes` picks.
    pub fn remove(&mut self, tables: &[String], goes: impl Fn(&Table, Vec<usize>) -> Vec<usize>) {
        for name in tables {
            let Some((table, rows)) = self.kept(name) else { continue };
            let rows = goes(table, rows);
            self.take(name, rows);
        }
    }

    /// Removes rows of a table.
    pub fn take(&mut self, name: &str, rows: impl IntoIterator<Item = usize>) {
        let fate = self.fate();
        if let Some(table) = self.tables.get_mut(name) {
            rows.into_iter().for_each(|i| table.fate[i] = fate);
        }
    }

    /// Says that the rule has changed these rows.
    pub fn note(&mut self, table: &'static str, rows: Vec<usize>) {
        if !rows.is_empty() {
            let of = self.changed.entry(table).or_default().entry(self.number).or_default();
            of.extend(rows);
            of.sort_unstable();
            of.dedup();
        }
    }

    /// Adds rows that the rule makes from rows of these extracts.
    pub fn add(&mut self, name: &str, rows: &RecordBatch, site: Vec<u16>) -> Result<(), Error> {
        let number = self.number as u16;
        self.tables.get_mut(name).map_or(Ok(()), |table| table.append(rows, site, number))
    }

    /// Counts what is worth telling of a table's rows.
    pub fn tell(&mut self, table: &'static str, what: &str, rows: u64) {
        if rows > 0 {
            *self.notes.entry((table, what.to_owned())).or_default() += rows;
        }
    }

    /// Sets integer, float, date or datetime cells of `rows` to null.
    pub fn null(&mut self, name: &str, column: &str, rows: &BTreeSet<usize>) -> Result<(), Error> {
        let Some(table) = self.tables.get_mut(name) else { return Ok(()) };
        let Some(old) = table.rows.column_by_name(column) else { return Ok(()) };
        let keep = |i: usize| !rows.contains(&i);
        let new: ArrayRef = match old.data_type() {
            DataType::Int64 => {
                let old = old.as_primitive::<Int64Type>().iter().enumerate();
                Arc::new(Int64Array::from_iter(old.map(|(i, v)| v.filter(|_| keep(i)))))
            }
            DataType::Float64 => {
                let old = old.as_primitive::<Float64Type>().iter().enumerate();
                Arc::new(Float64Array::from_iter(old.map(|(i, v)| v.filter(|_| keep(i)))))
            }
            DataType::Date32 => {
                let old = old.as_primitive::<Date32Type>().iter().enumerate();
                Arc::new(Date32Array::from_iter(old.map(|(i, v)| v.filter(|_| keep(i)))))
            }
            DataType::Timestamp(..) => {
                let old = old.as_primitive::<TimestampMicrosecondType>().iter().enumerate();
                let new = old.map(|(i, v)| v.filter(|_| keep(i)));
                Arc::new(TimestampMicrosecondArray::from_iter(new))
            }
            _ => return Ok(()),
        };
        replace(table, column, new)
    }

    /// Sets integer, date or datetime cells.
    pub fn set(
        &mut self,
        name: &str,
        column: &str,
        rows: &BTreeMap<usize, i64>,
    ) -> Result<(), Error> {
        let Some(table) = self.tables.get_mut(name) else { return Ok(()) };
        let Some(old) = table.rows.column_by_name(column) else { return Ok(()) };
        let new: ArrayRef = match old.data_type() {
            DataType::Int64 => {
                let old = old.as_primitive::<Int64Type>().iter().enumerate();
                Arc::new(Int64Array::from_iter(old.map(|(i, v)| rows.get(&i).copied().or(v))))
            }
            DataType::Date32 => {
                let old = old.as_primitive::<Date32Type>().iter().enumerate();
                let day = |i: usize| rows.get(&i).and_then(|d| i32::try_from(*d).ok());
                Arc::new(Date32Array::from_iter(old.map(|(i, v)| day(i).or(v))))
            }
            DataType::Timestamp(..) => {
                let old = old.as_primitive::<TimestampMicrosecondType>().iter().enumerate();
                let new = old.map(|(i, v)| rows.get(&i).copied().or(v));
                Arc::new(TimestampMicrosecondArray::from_iter(new))
            }
            _ => return Ok(()),
        };
        replace(table, column, new)
    }

    /// The rows of a table that are left.
    pub fn kept(&self, name: &str) -> Option<(&Table, Vec<usize>)> {
        let table = self.tables.get(name)?;
        Some((table, (0..table.fate.len()).filter(|&i| table.fate[i] == KEPT).collect()))
    }

    fn numbers(&mut self, kind: &Kind) -> Result<(), Error> {
        let Kind::Numbers {
            table: name,
            column,
            min,
            max,
            except,
            otherwise,
            concepts,
            concept_column,
            set,
        } = kind
        else {
            return Ok(());
        };
        let Some((table, rows)) = self.kept(name) else { return Ok(()) };
        let of = concept_column.as_deref().map_or(Cells::None, |c| Cells::of(table, c));
        let number = Cells::of(table, column);
        let wrong: BTreeSet<usize> = rows
            .into_iter()
            .filter(|&i| concepts.is_empty() || of.int(i).is_some_and(|c| concepts.contains(&c)))
            .filter(|&i| {
                number.float(i).is_some_and(|value| {
                    min.is_some_and(|min| value < min)
                        || max.is_some_and(|max| value > max)
                        || except.contains(&value)
                })
            })
            .collect();
        let static_name = table.spec.name;
        match otherwise {
            Otherwise::Remove => self.take(static_name, wrong),
            Otherwise::Null => {
                self.null(static_name, column, &wrong)?;
                for (column, value) in set {
                    let to = wrong.iter().map(|&i| (i, *value)).collect();
                    self.set(static_name, column, &to)?;
                }
                self.note(static_name, wrong.into_iter().collect());
            }
        }
        Ok(())
    }

    fn unique(&mut self, name: &str, columns: &[String]) -> Result<(), Error> {
        let Some((table, mut rows)) = self.kept(name) else { return Ok(()) };
        let arrays: Vec<ArrayRef> =
            columns.iter().filter_map(|c| table.rows.column_by_name(c).cloned()).collect();
        let fields = arrays.iter().map(|a| arrow::row::SortField::new(a.data_type().clone()));
        // Columns of another version of the CDM say nothing here.
        if arrays.is_empty() {
            return Ok(());
        }
        let arrow_error = Error::arrow(name);
        let converter = arrow::row::RowConverter::new(fields.collect()).map_err(&arrow_error)?;
        let keys = converter.convert_columns(&arrays).map_err(&arrow_error)?;
        if let Some(key) = table.spec.primary_key {
            let key = Cells::of(table, key);
            rows.sort_by_key(|&i| key.int(i));
        }
        let mut seen = std::collections::HashSet::new();
        let again: Vec<usize> = rows
            .into_iter()
            .filter(|&i| !seen.insert((people(table)[i], keys.row(i).owned())))
            .collect();
        let static_name = table.spec.name;
        self.take(static_name, again);
        Ok(())
    }
}
