//! One rule applied to a bucket.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use jiff::civil::Date;

use super::bucket::{Changes, FIRST_RULE, KEPT, Table, people};
use super::facts::{self, DAY};
use super::rule::{Kind, Limit, Otherwise, Rule};
use super::{Error, Request};

type Tables = BTreeMap<&'static str, Table>;

/// Applies rule `number` to the bucket: sets the fate of rows, changes values, notes which.
pub fn apply(
    rule: &Rule,
    number: usize,
    request: &Request,
    tables: &mut Tables,
    changed: &mut Changes,
) -> Result<(), Error> {
    let mut hand = Hand { number, tables, changed };
    match &rule.kind {
        Kind::DatesInRange { tables, first_year, first_year_of } => {
            let first = |table: &str| first_year_of.get(table).copied().unwrap_or(*first_year);
            tables.iter().try_for_each(|t| hand.dates_in_range(t, first(t), request.cutoff))
        }
        Kind::SinceBirth { tables, max_years } => {
            let facts = facts::of(hand.tables);
            hand.remove(tables, |table, i| {
                let facts = facts.get(&people(table)[i]).copied().unwrap_or_default();
                let Some(start) = table.spec.start_date.and_then(|c| day(table, c, i)) else {
                    return false;
                };
                let early = facts.birth.is_some_and(|birth| start < birth);
                let late = facts.birth_year.is_some_and(|born| year(start) - born > *max_years);
                early || late
            });
            Ok(())
        }
        Kind::UntilDeath { tables, days } => {
            let facts = facts::of(hand.tables);
            hand.remove(tables, |table, i| {
                let death = facts.get(&people(table)[i]).and_then(|f| f.death);
                let last = span(table).map(|(start, end)| {
                    let (start, end) = (day(table, start, i), end.and_then(|c| day(table, c, i)));
                    start.into_iter().chain(end).max()
                });
                match (death, last.flatten()) {
                    (Some(death), Some(last)) => {
                        i64::from(last) - i64::from(death) > i64::from(*days)
                    }
                    _ => false,
                }
            });
            Ok(())
        }
        Kind::AnyConcept { tables } => {
            hand.remove(tables, |table, i| {
                concept_columns(table).is_some_and(|(standard, source)| {
                    let none = |c: &str| int(table, c, i).unwrap_or(0) == 0;
                    none(standard) && source.is_none_or(none)
                })
            });
            Ok(())
        }
        Kind::Numbers { .. } => hand.numbers(&rule.kind),
        Kind::Words { table, column, words } => {
            hand.remove(std::slice::from_ref(table), |table, i| {
                let value = table.rows.column_by_name(column).map(|c| c.as_string::<i32>());
                let value = value.filter(|v| v.is_valid(i)).map_or("", |v| v.value(i));
                !words.iter().any(|word| word.eq_ignore_ascii_case(value.trim()))
            });
            Ok(())
        }
        Kind::EndAfterStart { tables } => tables.iter().try_for_each(|t| hand.end_after_start(t)),
        Kind::DatetimeOfDate { tables } => tables.iter().try_for_each(|t| hand.datetime_of_date(t)),
        Kind::LinkedExtremes { limits } => {
            hand.linked_extremes(limits);
            Ok(())
        }
        Kind::Latest { concepts, measurement_type } => {
            hand.latest(concepts, *measurement_type);
            Ok(())
        }
        Kind::WithValue { table, columns } => {
            hand.remove(std::slice::from_ref(table), |table, i| {
                !columns.iter().any(|name| has_value(table, name, i))
            });
            Ok(())
        }
        Kind::Unique { table, columns } => hand.unique(table, columns),
    }
}

/// The day of a date or datetime, since 1970-01-01.
fn day(table: &Table, column: &str, row: usize) -> Option<i32> {
    let column = table.rows.column_by_name(column)?;
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Date32 => Some(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => {
            let at = column.as_primitive::<TimestampMicrosecondType>().value(row);
            i32::try_from(at.div_euclid(DAY)).ok()
        }
        _ => None,
    }
}

fn int(table: &Table, column: &str, row: usize) -> Option<i64> {
    let column = table.rows.column_by_name(column)?;
    let is = column.data_type() == &DataType::Int64 && column.is_valid(row);
    is.then(|| column.as_primitive::<Int64Type>().value(row))
}

fn float(table: &Table, column: &str, row: usize) -> Option<f64> {
    let column = table.rows.column_by_name(column)?;
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Float64 => Some(column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().value(row) as f64),
        _ => None,
    }
}

/// The concept of a measurement that a rule lists: the source concept, which the programme's own
/// measurements keep when they get a standard one, else the concept.
fn listed(table: &Table, row: usize, is: impl Fn(i64) -> bool) -> Option<i64> {
    let columns = ["measurement_source_concept_id", "measurement_concept_id"];
    columns.into_iter().filter_map(|column| int(table, column, row)).find(|c| is(*c))
}

/// Whether a cell says something: not null, no empty text, no concept 0.
fn has_value(table: &Table, name: &str, row: usize) -> bool {
    let Some(column) = table.rows.column_by_name(name).filter(|c| c.is_valid(row)) else {
        return false;
    };
    match column.data_type() {
        DataType::Int64 => !name.ends_with("_concept_id") || int(table, name, row) != Some(0),
        DataType::Utf8 => !column.as_string::<i32>().value(row).trim().is_empty(),
        _ => true,
    }
}

fn date(day: i32) -> Option<Date> {
    let span = jiff::Span::new().try_days(day).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(span).ok()
}

fn year(day: i32) -> i64 {
    date(day).map_or(if day < 0 { i64::MIN / 2 } else { i64::MAX / 2 }, |d| i64::from(d.year()))
}

/// Start and end date columns of a table; one date has no end.
fn span(table: &Table) -> Option<(&'static str, Option<&'static str>)> {
    let start = table.spec.start_date?;
    let end = start.replace("_start_", "_end_");
    let end = table.spec.fields.iter().map(|f| f.name).find(|f| *f == end && *f != start);
    Some((start, end))
}

/// The standard concept of a table's rows and its source concept.
fn concept_columns(table: &Table) -> Option<(&'static str, Option<&'static str>)> {
    let standard = table.spec.fields.iter().find(|f| f.is_concept_id())?.name;
    let source = standard.replace("_concept_id", "_source_concept_id");
    Some((standard, table.spec.fields.iter().map(|f| f.name).find(|f| *f == source)))
}

fn replace(table: &mut Table, column: &str, values: ArrayRef) -> Result<(), Error> {
    let schema = table.rows.schema();
    let Ok(at) = schema.index_of(column) else { return Ok(()) };
    let mut columns = table.rows.columns().to_vec();
    columns[at] = values;
    table.rows = RecordBatch::try_new(schema, columns).map_err(Error::arrow(table.spec.name))?;
    Ok(())
}

struct Hand<'a> {
    number: usize,
    tables: &'a mut Tables,
    changed: &'a mut Changes,
}

impl Hand<'_> {
    fn fate(&self) -> u16 {
        FIRST_RULE + self.number as u16
    }

    /// Removes the rows of `tables` that `goes` says.
    fn remove(&mut self, tables: &[String], goes: impl Fn(&Table, usize) -> bool) {
        let fate = self.fate();
        for name in tables {
            let Some(table) = self.tables.get_mut(name.as_str()) else { continue };
            let rows: Vec<usize> = (0..table.fate.len())
                .filter(|&i| table.fate[i] == KEPT && goes(table, i))
                .collect();
            rows.into_iter().for_each(|i| table.fate[i] = fate);
        }
    }

    fn note(&mut self, table: &'static str, rows: Vec<usize>) {
        if !rows.is_empty() {
            let of = self.changed.entry(table).or_default().entry(self.number).or_default();
            of.extend(rows);
            of.sort_unstable();
            of.dedup();
        }
    }

    /// Sets integer, float, date or datetime cells of `rows` to null.
    fn null(&mut self, name: &str, column: &str, rows: &BTreeSet<usize>) -> Result<(), Error> {
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

    fn set(&mut self, name: &str, column: &str, rows: &BTreeMap<usize, i64>) -> Result<(), Error> {
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
    fn kept(&self, name: &str) -> Option<(&Table, Vec<usize>)> {
        let table = self.tables.get(name)?;
        Some((table, (0..table.fate.len()).filter(|&i| table.fate[i] == KEPT).collect()))
    }

    fn dates_in_range(&mut self, name: &str, first_year: i16, cutoff: i32) -> Result<(), Error> {
        let fate = self.fate();
        let Some(table) = self.tables.get_mut(name) else { return Ok(()) };
        let static_name = table.spec.name;
        let first = Date::new(first_year, 1, 1).ok();
        let epoch = jiff::civil::date(1970, 1, 1);
        let first = first.and_then(|d| d.since(epoch).ok()).map_or(i32::MIN, |s| s.get_days());
        let dates: Vec<(&'static str, bool)> = table
            .spec
            .fields
            .iter()
            .filter(|f| f.kind == crate::omop::FieldKind::Date)
            .map(|f| (f.name, f.required))
            .collect();
        let mut changed = Vec::new();
        for (column, required) in dates {
            let table = &self.tables[static_name];
            let wrong: BTreeSet<usize> = (0..table.fate.len())
                .filter(|&i| table.fate[i] == KEPT)
                .filter(|&i| day(table, column, i).is_some_and(|d| d < first || d > cutoff))
                .collect();
            if wrong.is_empty() {
                continue;
            }
            if required {
                if let Some(table) = self.tables.get_mut(static_name) {
                    wrong.into_iter().for_each(|i| table.fate[i] = fate);
                }
                continue;
            }
            self.null(static_name, column, &wrong)?;
            self.null(static_name, &column.replace("_date", "_datetime"), &wrong)?;
            changed.extend(wrong);
        }
        self.note(static_name, changed);
        Ok(())
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
        let concept = |i: usize| concept_column.as_deref().and_then(|c| int(table, c, i));
        let wrong: BTreeSet<usize> = rows
            .into_iter()
            .filter(|&i| concepts.is_empty() || concept(i).is_some_and(|c| concepts.contains(&c)))
            .filter(|&i| {
                float(table, column, i).is_some_and(|value| {
                    min.is_some_and(|min| value < min)
                        || max.is_some_and(|max| value > max)
                        || except.contains(&value)
                })
            })
            .collect();
        let static_name = table.spec.name;
        match otherwise {
            Otherwise::Remove => {
                let fate = self.fate();
                if let Some(table) = self.tables.get_mut(static_name) {
                    wrong.into_iter().for_each(|i| table.fate[i] = fate);
                }
            }
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

    fn end_after_start(&mut self, name: &str) -> Result<(), Error> {
        let Some((table, rows)) = self.kept(name) else { return Ok(()) };
        let Some((start, Some(end))) = span(table) else { return Ok(()) };
        let static_name = table.spec.name;
        let required = table.spec.field(end).is_some_and(|f| f.required);
        let ends = |i: usize| Some((day(table, start, i)?, day(table, end, i)?));
        let wrong: BTreeSet<usize> =
            rows.into_iter().filter(|&i| ends(i).is_some_and(|(s, e)| e < s)).collect();
        let times = end.replace("_date", "_datetime");
        if required {
            let last = if static_name == "visit_occurrence" {
                self.last_of_visits(&wrong)
            } else {
                HashMap::new()
            };
            let table = &self.tables[static_name];
            let to: BTreeMap<usize, i64> = wrong
                .iter()
                .filter_map(|&i| {
                    let first = day(table, start, i)?;
                    Some((i, i64::from(last.get(&i).copied().unwrap_or(first).max(first))))
                })
                .collect();
            self.set(static_name, end, &to)?;
        } else {
            self.null(static_name, end, &wrong)?;
        }
        self.null(static_name, &times, &wrong)?;
        self.note(static_name, wrong.into_iter().collect());
        Ok(())
    }

    /// The last day of the records that point to each of these visits, of inpatient visits (9201).
    fn last_of_visits(&self, rows: &BTreeSet<usize>) -> HashMap<usize, i32> {
        const INPATIENT: i64 = 9201;
        let visits = &self.tables["visit_occurrence"];
        let of: HashMap<i64, usize> = rows
            .iter()
            .filter(|&&i| int(visits, "visit_concept_id", i) == Some(INPATIENT))
            .filter_map(|&i| Some((int(visits, "visit_occurrence_id", i)?, i)))
            .collect();
        let mut last: HashMap<usize, i32> = HashMap::new();
        if of.is_empty() {
            return last;
        }
        for table in self.tables.values().filter(|t| t.spec.name != "visit_occurrence") {
            let Some((start, end)) = span(table) else { continue };
            for i in (0..table.fate.len()).filter(|&i| table.fate[i] == KEPT) {
                let Some(&visit) = int(table, "visit_occurrence_id", i).and_then(|v| of.get(&v))
                else {
                    continue;
                };
                let days = [Some(start), end].into_iter().flatten();
                for day in days.filter_map(|c| day(table, c, i)) {
                    let known = last.entry(visit).or_insert(day);
                    *known = day.max(*known);
                }
            }
        }
        last
    }

    fn datetime_of_date(&mut self, name: &str) -> Result<(), Error> {
        let Some((table, rows)) = self.kept(name) else { return Ok(()) };
        let static_name = table.spec.name;
        let pairs: Vec<(&'static str, String)> = table
            .spec
            .fields
            .iter()
            .filter(|f| f.kind == crate::omop::FieldKind::Date)
            .map(|f| (f.name, f.name.replace("_date", "_datetime")))
            .filter(|(_, time)| table.spec.field(time).is_some())
            .collect();
        let mut changed = Vec::new();
        for (date, time) in pairs {
            let table = &self.tables[static_name];
            let times = table.rows.column_by_name(&time);
            let Some(times) = times.map(|c| c.as_primitive::<TimestampMicrosecondType>()) else {
                continue;
            };
            let to: BTreeMap<usize, i64> = rows
                .iter()
                .filter(|&&i| times.is_valid(i))
                .filter_map(|&i| {
                    let (on, at) = (day(table, date, i)?, times.value(i));
                    let of_day = at.rem_euclid(DAY);
                    (at.div_euclid(DAY) != i64::from(on)).then(|| (i, i64::from(on) * DAY + of_day))
                })
                .collect();
            if !to.is_empty() {
                changed.extend(to.keys().copied());
                self.set(static_name, &time, &to)?;
            }
        }
        self.note(static_name, changed);
        Ok(())
    }

    fn linked_extremes(&mut self, limits: &[Limit]) {
        type Visit = (i64, Option<i64>, Option<i64>, i64);
        let fate = self.fate();
        let Some((table, rows)) = self.kept("measurement") else { return };
        let times = table.rows.column_by_name("measurement_datetime");
        let times = times.map(|c| c.as_primitive::<TimestampMicrosecondType>());
        let at = |i: usize| {
            let time = times.filter(|t| t.is_valid(i)).map(|t| t.value(i));
            time.or_else(|| day(table, "measurement_date", i).map(|d| i64::from(d) * DAY))
        };
        let key = |i: usize, concept: i64| -> Visit {
            (people(table)[i], at(i), int(table, "measurement_type_concept_id", i), concept)
        };
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let mut linked: BTreeSet<Visit> = BTreeSet::new();
        let concept = |i: usize| {
            listed(table, i, |c| limits.iter().any(|l| l.concept == c || l.with.contains(&c)))
                .unwrap_or(0)
        };
        for &i in &rows {
            let Some(limit) = limits.iter().find(|l| l.concept == concept(i)) else { continue };
            let value = float(table, "value_as_number", i);
            if value.is_some_and(|v| v < limit.min || v > limit.max) {
                gone.insert(i);
                linked.extend(limit.with.iter().map(|c| key(i, *c)));
            }
        }
        gone.extend(rows.iter().filter(|&&i| linked.contains(&key(i, concept(i)))));
        if let Some(table) = self.tables.get_mut("measurement") {
            gone.into_iter().for_each(|i| table.fate[i] = fate);
        }
    }

    fn latest(&mut self, concepts: &[i64], of_type: Option<i64>) {
        let fate = self.fate();
        let Some((table, rows)) = self.kept("measurement") else { return };
        // Time and row id order the rows of a person and concept.
        type When = (Option<i64>, Option<i64>, usize);
        let mut last: BTreeMap<(i64, i64), When> = BTreeMap::new();
        let times = table.rows.column_by_name("measurement_datetime");
        let times = times.map(|c| c.as_primitive::<TimestampMicrosecondType>());
        let mut looked_at = Vec::new();
        for i in rows {
            let Some(concept) = listed(table, i, |c| concepts.contains(&c)) else { continue };
            let typed =
                of_type.is_none_or(|t| int(table, "measurement_type_concept_id", i) == Some(t));
            if !typed {
                continue;
            }
            let time = times.filter(|t| t.is_valid(i)).map(|t| t.value(i));
            let time =
                time.or_else(|| day(table, "measurement_date", i).map(|d| i64::from(d) * DAY));
            let row = (time, int(table, "measurement_id", i), i);
            let known = last.entry((people(table)[i], concept)).or_insert(row);
            *known = row.max(*known);
            looked_at.push(i);
        }
        let stay: BTreeSet<usize> = last.into_values().map(|row| row.2).collect();
        if let Some(table) = self.tables.get_mut("measurement") {
            looked_at.into_iter().filter(|i| !stay.contains(i)).for_each(|i| table.fate[i] = fate);
        }
    }

    fn unique(&mut self, name: &str, columns: &[String]) -> Result<(), Error> {
        let fate = self.fate();
        let Some((table, mut rows)) = self.kept(name) else { return Ok(()) };
        let arrays: Vec<ArrayRef> =
            columns.iter().filter_map(|c| table.rows.column_by_name(c).cloned()).collect();
        let fields = arrays.iter().map(|a| arrow::row::SortField::new(a.data_type().clone()));
        let arrow_error = Error::arrow(name);
        let converter = arrow::row::RowConverter::new(fields.collect()).map_err(&arrow_error)?;
        let keys = converter.convert_columns(&arrays).map_err(&arrow_error)?;
        if let Some(key) = table.spec.primary_key {
            rows.sort_by_key(|&i| int(table, key, i));
        }
        let mut seen = std::collections::HashSet::new();
        let again: Vec<usize> = rows
            .into_iter()
            .filter(|&i| !seen.insert((people(table)[i], keys.row(i).owned())))
            .collect();
        let static_name = table.spec.name;
        if let Some(table) = self.tables.get_mut(static_name) {
            again.into_iter().for_each(|i| table.fate[i] = fate);
        }
        Ok(())
    }
}
