//! Dates of a feed that arrives shifted, put back.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::TableLedger;

use super::cdm::{FieldKind, TableSpec, is_vocabulary};
use super::error::Error;
use super::value::{Cell, DAY_US, civil_from_days, days_from_civil};

/// Adds each person's days back to every date and datetime of their rows.
///
/// `year_of_birth`, `month_of_birth` and `day_of_birth` move with `birth_datetime` where they state the
/// same day; else they are left (a feed may state the true year beside a shifted date) and the row is
/// noted as `birth_parts_as_found`. Dates of tables without a `person_id` belong to nobody that can be
/// looked up; their rows are noted as `dates_as_found`.
pub struct Unshift {
    table: &'static str,
    person: Option<usize>,
    dates: Vec<usize>,
    birth: Option<[usize; 4]>,
    missing: BTreeSet<i64>,
    rows_as_found: u64,
    births_as_found: u64,
}

impl Unshift {
    /// For the rows of `spec`.
    pub fn new(spec: &'static TableSpec) -> Self {
        let is_date = |kind| matches!(kind, FieldKind::Date | FieldKind::Timestamp);
        let dates = (0..spec.fields.len()).filter(|&i| is_date(spec.fields[i].kind)).collect();
        let birth = (|| {
            Some([
                spec.position("year_of_birth")?,
                spec.position("month_of_birth")?,
                spec.position("day_of_birth")?,
                spec.position("birth_datetime")?,
            ])
        })();
        Self {
            table: spec.name,
            person: spec.position("person_id"),
            dates: if is_vocabulary(spec.name) { Vec::new() } else { dates },
            birth,
            missing: BTreeSet::new(),
            rows_as_found: 0,
            births_as_found: 0,
        }
    }

    /// Moves the dates of one row.
    pub fn apply(&mut self, cells: &mut [Cell], map: &BTreeMap<i64, i32>) {
        let person = match self.person.map(|p| cells[p]) {
            Some(Cell::Integer(person)) => person,
            _ => {
                let dated = self.dates.iter().any(|&d| cells[d] != Cell::Null);
                self.rows_as_found += u64::from(dated);
                return;
            }
        };
        let Some(&days) = map.get(&person) else {
            self.missing.insert(person);
            return;
        };
        if let Some(birth) = self.birth {
            self.move_birth(cells, birth, days);
        }
        for &date in &self.dates {
            cells[date] = match cells[date] {
                Cell::Date(v) => Cell::Date(v.saturating_add(days)),
                Cell::Timestamp(v) => Cell::Timestamp(v + i64::from(days) * DAY_US),
                other => other,
            };
        }
    }

    fn move_birth(&mut self, cells: &mut [Cell], [y, m, d, at]: [usize; 4], days: i32) {
        let parts = match (cells[y], cells[m], cells[d]) {
            (Cell::Integer(y), Cell::Integer(m), Cell::Integer(d)) => {
                let part = |v| u32::try_from(v).unwrap_or(0);
                days_from_civil(part(y), part(m), part(d))
            }
            _ => None,
        };
        let stated = match cells[at] {
            Cell::Timestamp(v) => i32::try_from(v.div_euclid(DAY_US)).ok(),
            _ => None,
        };
        match (parts, stated) {
            (Some(parts), Some(stated)) if parts == stated => {
                let (year, month, day) = civil_from_days(parts.saturating_add(days));
                cells[y] = Cell::Integer(i64::from(year));
                cells[m] = Cell::Integer(i64::from(month));
                cells[d] = Cell::Integer(i64::from(day));
            }
            _ => self.births_as_found += 1,
        }
    }

    /// Books what was left; fails when a person had no entry in the map.
    pub fn close(self, ledger: &mut TableLedger) -> Result<(), Error> {
        if !self.missing.is_empty() {
            return Err(Error::Unshifted { table: self.table, count: self.missing.len() as u64 });
        }
        ledger.note("dates_as_found", self.rows_as_found);
        ledger.note("birth_parts_as_found", self.births_as_found);
        Ok(())
    }
}
