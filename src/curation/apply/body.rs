//! Rules for height, weight and body mass index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, new_null_array};

use super::super::Error;
use super::super::bucket::{Table, people};
use super::super::cells::{Cells, listed, measured_at};
use super::super::early::Early;
use super::super::rule::{BodyMass, BodySize, Scale};
use super::{Hand, pick, put, replace};

/// Heights and weights that a rule looks at.
pub struct Sizes<'a> {
    rule: &'a BodySize,
    concept: Cells<'a>,
    source: Cells<'a>,
    value: Cells<'a>,
    unit: Cells<'a>,
}

impl<'a> Sizes<'a> {
    /// Those of `measurement`.
    pub fn of(table: &'a Table, rule: &'a BodySize) -> Self {
        Self {
            rule,
            concept: Cells::of(table, "measurement_concept_id"),
            source: Cells::of(table, "measurement_source_concept_id"),
            value: Cells::of(table, "value_as_number"),
            unit: Cells::of(table, "unit_concept_id"),
        }
    }

    /// The concept and number of a row with one of these concepts.
    pub fn value(&self, row: usize, concepts: &[i64]) -> Option<(i64, f64)> {
        let concept = self.concept.int(row).filter(|c| concepts.contains(c))?;
        let value = self.value.float(row).filter(|v| !self.rule.except.contains(v))?;
        let other = self.source.int(row).is_some_and(|s| self.rule.except_sources.contains(&s));
        (!other).then_some((concept, value))
    }

    /// The unit of a row; 0 for none.
    pub fn unit(&self, row: usize) -> i64 {
        self.unit.int(row).unwrap_or(0)
    }
}

/// What becomes of heights and weights.
#[derive(Default)]
struct Fates {
    /// How the numbers of a row are converted, one scale after the other, and its unit then.
    converted: BTreeMap<usize, (Vec<Scale>, i64)>,
    gone: BTreeSet<usize>,
}

impl Fates {
    fn heights(&mut self, rows: &[usize], sizes: &Sizes<'_>, people: &[i64]) {
        let rule = sizes.rule;
        let mut found: Vec<(usize, f64)> = Vec::new();
        for &i in rows {
            let Some((_, value)) = sizes.value(i, &rule.heights) else { continue };
            match rule.height_scales.iter().find(|scale| scale.holds(value)) {
                Some(scale) => {
                    self.converted.insert(i, (vec![*scale], rule.height_unit));
                    found.push((i, scale.convert(value)));
                }
                None => {
                    self.gone.insert(i);
                }
            }
        }
        let medians = medians(&found, people);
        let far = |(i, value): &(usize, f64)| {
            medians.get(&people[*i]).is_some_and(|m| !rule.height_stays.holds(value / m))
        };
        self.gone.extend(found.iter().filter(|row| far(row)).map(|row| row.0));
    }

    fn weights(
        &mut self,
        rows: &[usize],
        sizes: &Sizes<'_>,
        (table, number): (&Table, usize),
        early: &Early,
    ) {
        let (rule, people) = (sizes.rule, people(table));
        let mut found: Vec<(usize, f64)> = Vec::new();
        for &i in rows {
            let Some((concept, value)) = sizes.value(i, &rule.weights) else { continue };
            let group = (usize::from(table.site[i]), concept, sizes.unit(i));
            if let Some(scale) = early.scales.get(&(number, group)) {
                self.converted.insert(i, (vec![*scale], rule.weight_unit));
                found.push((i, scale.convert(value)));
            }
        }
        let medians = medians(&found, people);
        for (i, mut value) in found {
            let Some(median) = medians.get(&people[i]) else { continue };
            let scale = rule.weight_ratios.iter().find(|scale| scale.holds(value / median));
            if let (Some(scale), Some((scales, _))) = (scale, self.converted.get_mut(&i)) {
                scales.push(*scale);
                value = scale.convert(value);
            }
            if !rule.weight_stays.holds(value / median) {
                self.gone.insert(i);
            }
        }
    }
}

/// The median of each person's numbers; of an even number of them the lower of the two in the middle.
fn medians(found: &[(usize, f64)], people: &[i64]) -> BTreeMap<i64, f64> {
    let mut of: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    found.iter().for_each(|(i, value)| of.entry(people[*i]).or_default().push(*value));
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get((values.len() - 1) / 2).copied()
    };
    of.into_iter().filter_map(|(person, values)| Some((person, median(values)?))).collect()
}

impl Hand<'_> {
    /// Gives heights and weights one unit, inferred from their numbers.
    pub fn body_size(&mut self, rule: &BodySize, early: &Early) -> Result<(), Error> {
        let Some((table, rows)) = self.kept("measurement") else { return Ok(()) };
        let sizes = Sizes::of(table, rule);
        let mut fates = Fates::default();
        fates.heights(&rows, &sizes, people(table));
        fates.weights(&rows, &sizes, (table, self.number), early);
        let Fates { mut converted, gone } = fates;
        // A row that has the unit and needs no conversion is not changed.
        converted.retain(|i, (scales, unit)| {
            let same = scales.iter().all(|s| s.convert(1.0) == 1.0);
            !(gone.contains(i) || (same && sizes.unit(*i) == *unit))
        });
        if converted.is_empty() {
            self.take("measurement", gone);
            return Ok(());
        }
        let mut columns = Vec::new();
        for name in ["value_as_number", "range_low", "range_high"] {
            let Cells::Float(old) = Cells::of(table, name) else { continue };
            let new = old.iter().enumerate().map(|(i, value)| match converted.get(&i) {
                Some((scales, _)) => value.map(|v| scales.iter().fold(v, |v, s| s.convert(v))),
                None => value,
            });
            columns.push((name, Arc::new(Float64Array::from_iter(new)) as ArrayRef));
        }
        self.take("measurement", gone);
        if let Some(table) = self.tables.get_mut("measurement") {
            columns.into_iter().try_for_each(|(name, new)| replace(table, name, new))?;
        }
        let to = converted.iter().map(|(i, (_, unit))| (*i, *unit)).collect();
        self.set("measurement", "unit_concept_id", &to)?;
        self.note("measurement", to.into_keys().collect());
        Ok(())
    }

    /// Makes rows of body mass index beside the weights that have a height and no index.
    pub fn body_mass(&mut self, rule: &BodyMass) -> Result<(), Error> {
        let Some((table, rows)) = self.kept("measurement") else { return Ok(()) };
        let made = indices(table, &rows, rule);
        if made.is_empty() {
            return Ok(());
        }
        let weights: Vec<usize> = made.iter().map(|row| row.0).collect();
        let (mut batch, site) = (pick(table, &weights)?, weights.iter().map(|&i| table.site[i]));
        let (site, rows) = (site.collect(), made.len());
        let same = |value: i64| Arc::new(Int64Array::from(vec![value; rows])) as ArrayRef;
        let ids = self.ids.take("measurement", rows)?;
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(made.iter().map(|r| r.1)));
        for (column, new) in [
            ("measurement_id", Arc::new(Int64Array::from(ids)) as ArrayRef),
            ("measurement_concept_id", same(rule.concept)),
            ("measurement_source_concept_id", same(rule.source_concept)),
            ("unit_concept_id", same(rule.unit)),
            ("value_as_number", values),
        ] {
            batch = put(batch, column, new)?;
        }
        for column in OF_WEIGHT {
            if let Some(old) = batch.column_by_name(column) {
                let none = new_null_array(old.data_type(), rows);
                batch = put(batch, column, none)?;
            }
        }
        self.add("measurement", &batch, site)
    }
}

/// What is said of a weight and not of the index made from it.
const OF_WEIGHT: [&str; 10] = [
    "operator_concept_id",
    "value_as_concept_id",
    "range_low",
    "range_high",
    "measurement_source_value",
    "unit_source_value",
    "unit_source_concept_id",
    "value_source_value",
    "measurement_event_id",
    "meas_event_field_concept_id",
];

/// The weights that get an index, and the index.
fn indices(table: &Table, rows: &[usize], rule: &BodyMass) -> Vec<(usize, f64)> {
    /// Person, time and measurement type.
    type Visit = (i64, Option<i64>, Option<i64>);
    let all = [&rule.heights, &rule.weights, &rule.indices];
    let concept = listed(table, |c| all.iter().any(|concepts| concepts.contains(&c)));
    let (at, people) = (measured_at(table), people(table));
    let (types, value) =
        (Cells::of(table, "measurement_type_concept_id"), Cells::of(table, "value_as_number"));
    let id = Cells::of(table, "measurement_id");
    let [mut heights, mut weights]: [BTreeMap<Visit, (Option<i64>, usize)>; 2] = Default::default();
    let mut known: BTreeSet<Visit> = BTreeSet::new();
    for &i in rows {
        let Some(concept) = concept(i) else { continue };
        let visit = (people[i], at(i), types.int(i));
        if rule.indices.contains(&concept) {
            known.insert(visit);
        } else if value.float(i).is_some_and(|v| v > 0.0 && v.is_finite()) {
            let of = if rule.heights.contains(&concept) { &mut heights } else { &mut weights };
            // Of several the one of the highest row id, as of repeats.
            let row = (id.int(i), i);
            let last = of.entry(visit).or_insert(row);
            *last = row.max(*last);
        }
    }
    let index = |(visit, (_, weight)): (Visit, (Option<i64>, usize))| {
        let (_, height) = heights.get(&visit).filter(|_| !known.contains(&visit))?;
        let metres = value.float(*height)? / 100.0;
        let index = value.float(weight)? / (metres * metres);
        index.is_finite().then_some((weight, index))
    };
    weights.into_iter().filter_map(index).collect()
}
