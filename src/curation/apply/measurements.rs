//! Rules for measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};

use super::super::Error;
use super::super::bucket::{Table, people};
use super::super::cells::{Cells, listed, measured_at};
use super::super::early::Zeros;
use super::super::rule::Limit;
use super::super::unit::{Formula, Units};
use super::{Hand, replace};

impl Hand<'_> {
    /// Removes measurements outside bounds and those that go with them.
    pub fn linked_extremes(&mut self, limits: &[Limit]) {
        let Some((table, rows)) = self.kept("measurement") else { return };
        let gone = extremes(table, &rows, limits);
        self.take("measurement", gone);
    }

    /// Removes all measurements of a concept and person but the latest.
    pub fn latest(&mut self, concepts: &[i64], of_type: Option<i64>) {
        let Some((table, rows)) = self.kept("measurement") else { return };
        let gone = earlier(table, rows, concepts, of_type);
        self.take("measurement", gone);
    }

    /// Converts values to the units of a table.
    pub fn units(&mut self, units: &Units) -> Result<(), Error> {
        let Some((table, rows)) = self.kept("measurement") else { return Ok(()) };
        let (of, unit) =
            (Cells::of(table, "measurement_concept_id"), Cells::of(table, "unit_concept_id"));
        let conversion = |i: usize| units.conversion(of.int(i)?, unit.int(i)?);
        let found: BTreeMap<usize, (i64, &Formula)> =
            rows.into_iter().filter_map(|i| Some((i, conversion(i)?))).collect();
        if found.is_empty() {
            return Ok(());
        }
        let mut columns = Vec::new();
        for name in ["value_as_number", "range_low", "range_high"] {
            let Cells::Float(old) = Cells::of(table, name) else { continue };
            let new = old.iter().enumerate().map(|(i, value)| match found.get(&i) {
                // A conversion to no number (1/0) leaves none.
                Some((_, formula)) => value.map(|x| formula.at(x)).filter(|x| x.is_finite()),
                None => value,
            });
            columns.push((name, Arc::new(Float64Array::from_iter(new)) as ArrayRef));
        }
        if let Some(table) = self.tables.get_mut("measurement") {
            columns.into_iter().try_for_each(|(name, new)| replace(table, name, new))?;
        }
        let to = found.iter().map(|(i, (unit, _))| (*i, *unit)).collect();
        self.set("measurement", "unit_concept_id", &to)?;
        self.note("measurement", to.into_keys().collect());
        Ok(())
    }

    /// Makes values null that are 0 wherever their extract has the concept.
    pub fn all_zero(&mut self, zeros: &Zeros) -> Result<(), Error> {
        let Some((table, rows)) = self.kept("measurement") else { return Ok(()) };
        let (of, value) =
            (Cells::of(table, "measurement_concept_id"), Cells::of(table, "value_as_number"));
        let is = |&i: &usize| {
            let concept = of.int(i).unwrap_or(0);
            value.float(i).is_some() && zeros.contains(&(usize::from(table.site[i]), concept))
        };
        let rows: BTreeSet<usize> = rows.into_iter().filter(is).collect();
        self.null("measurement", "value_as_number", &rows)?;
        self.note("measurement", rows.into_iter().collect());
        Ok(())
    }
}

fn extremes(table: &Table, rows: &[usize], limits: &[Limit]) -> BTreeSet<usize> {
    /// Person, time, measurement type and concept.
    type Visit = (i64, Option<i64>, Option<i64>, i64);
    let at = measured_at(table);
    let of_type = Cells::of(table, "measurement_type_concept_id");
    let value = Cells::of(table, "value_as_number");
    let key =
        |i: usize, concept: i64| -> Visit { (people(table)[i], at(i), of_type.int(i), concept) };
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    let mut linked: BTreeSet<Visit> = BTreeSet::new();
    let concept = listed(table, |c| limits.iter().any(|l| l.concept == c || l.with.contains(&c)));
    for &i in rows {
        let Some(limit) = limits.iter().find(|l| Some(l.concept) == concept(i)) else {
            continue;
        };
        if value.float(i).is_some_and(|v| v < limit.min || v > limit.max) {
            gone.insert(i);
            linked.extend(limit.with.iter().map(|c| key(i, *c)));
        }
    }
    gone.extend(rows.iter().filter(|&&i| concept(i).is_some_and(|c| linked.contains(&key(i, c)))));
    gone
}

fn earlier(table: &Table, rows: Vec<usize>, concepts: &[i64], of_type: Option<i64>) -> Vec<usize> {
    // Time and row id order the rows of a person and concept.
    type When = (Option<i64>, Option<i64>, usize);
    let mut last: BTreeMap<(i64, i64), When> = BTreeMap::new();
    let (at, concept) = (measured_at(table), listed(table, |c| concepts.contains(&c)));
    let (types, ids) =
        (Cells::of(table, "measurement_type_concept_id"), Cells::of(table, "measurement_id"));
    let mut looked_at = Vec::new();
    for i in rows {
        let Some(concept) = concept(i) else { continue };
        if of_type.is_some_and(|t| types.int(i) != Some(t)) {
            continue;
        }
        let row = (at(i), ids.int(i), i);
        let known = last.entry((people(table)[i], concept)).or_insert(row);
        *known = row.max(*known);
        looked_at.push(i);
    }
    let stay: BTreeSet<usize> = last.into_values().map(|row| row.2).collect();
    looked_at.retain(|i| !stay.contains(i));
    looked_at
}
