//! Rules for dates: in range, in order, datetimes on their date.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;

use super::super::Error;
use super::super::bucket::KEPT;
use super::super::cells::{self, Cells};
use super::super::facts::DAY;
use super::Hand;

impl Hand<'_> {
    pub fn dates_in_range(
        &mut self,
        name: &str,
        first_year: i16,
        cutoff: i32,
    ) -> Result<(), Error> {
        let Some(table) = self.tables.get(name) else { return Ok(()) };
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
            let days = Cells::of(table, column);
            let wrong: BTreeSet<usize> = (0..table.fate.len())
                .filter(|&i| table.fate[i] == KEPT)
                .filter(|&i| days.day(i).is_some_and(|d| d < first || d > cutoff))
                .collect();
            if wrong.is_empty() {
                continue;
            }
            if required {
                self.take(static_name, wrong);
                continue;
            }
            self.null(static_name, column, &wrong)?;
            self.null(static_name, &column.replace("_date", "_datetime"), &wrong)?;
            changed.extend(wrong);
        }
        self.note(static_name, changed);
        Ok(())
    }

    pub fn end_after_start(&mut self, name: &str) -> Result<(), Error> {
        let Some((table, rows)) = self.kept(name) else { return Ok(()) };
        let Some((start, Some(end))) = cells::span(table) else { return Ok(()) };
        let static_name = table.spec.name;
        let required = table.spec.field(end).is_some_and(|f| f.required);
        let (starts, days) = (Cells::of(table, start), Cells::of(table, end));
        let ends = |i: usize| Some((starts.day(i)?, days.day(i)?));
        let wrong: BTreeSet<usize> =
            rows.into_iter().filter(|&i| ends(i).is_some_and(|(s, e)| e < s)).collect();
        let times = end.replace("_date", "_datetime");
        if required {
            let last = if static_name == "visit_occurrence" {
                self.last_of_visits(&wrong)
            } else {
                HashMap::new()
            };
            let starts = Cells::of(&self.tables[static_name], start);
            let to: BTreeMap<usize, i64> = wrong
                .iter()
                .filter_map(|&i| {
                    let first = starts.day(i)?;
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
        let (concept, id) =
            (Cells::of(visits, "visit_concept_id"), Cells::of(visits, "visit_occurrence_id"));
        let of: HashMap<i64, usize> = rows
            .iter()
            .filter(|&&i| concept.int(i) == Some(INPATIENT))
            .filter_map(|&i| Some((id.int(i)?, i)))
            .collect();
        let mut last: HashMap<usize, i32> = HashMap::new();
        if of.is_empty() {
            return last;
        }
        for table in self.tables.values().filter(|t| t.spec.name != "visit_occurrence") {
            let Some((start, end)) = cells::days(table) else { continue };
            let visit = Cells::of(table, "visit_occurrence_id");
            for i in (0..table.fate.len()).filter(|&i| table.fate[i] == KEPT) {
                let Some(&visit) = visit.int(i).and_then(|v| of.get(&v)) else { continue };
                for day in start.day(i).into_iter().chain(end.day(i)) {
                    let known = last.entry(visit).or_insert(day);
                    *known = day.max(*known);
                }
            }
        }
        last
    }

    pub fn datetime_of_date(&mut self, name: &str) -> Result<(), Error> {
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
            let (dates, times) = (Cells::of(table, date), Cells::of(table, &time));
            let to: BTreeMap<usize, i64> = rows
                .iter()
                .filter_map(|&i| {
                    let (on, at) = (dates.day(i)?, times.time(i)?);
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
}
