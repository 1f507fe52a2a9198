//! What rules need to know of all measurements of an extract before any rule: one pass, if a rule asks.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::cells::Cells;
use super::rule::{BodySize, Kind, Scale};
use super::spill::Spill;
use super::{Error, Request, bucket};

/// Extracts and concepts.
pub type Zeros = BTreeSet<(usize, i64)>;
/// Extract, concept and unit (0 for none) of weights.
pub type Weights = (usize, i64, i64);

/// Facts of whole extracts.
#[derive(Debug, Default)]
pub struct Early {
    /// Concepts that have 0 and no other value in all rows of an extract.
    pub zeros: Zeros,
    /// By number of a rule: the scale that the median of the weights shows, where one does.
    pub scales: BTreeMap<(usize, Weights), Scale>,
}

/// Finds the facts that rules ask for. Counts of whole numbers only, so that the order of rows says nothing.
pub fn find(request: &Request, spill: &Spill) -> Result<Early, Error> {
    let rules = &request.rules.list;
    let zero = rules.iter().any(|rule| matches!(rule.kind, Kind::AllZero {}));
    let sizes: Vec<(usize, &BodySize)> = rules
        .iter()
        .enumerate()
        .filter_map(|(number, rule)| match &rule.kind {
            Kind::BodySize(size) => Some((number, size)),
            _ => None,
        })
        .collect();
    let asked = zero || !sizes.is_empty();
    if !asked || !spill.tables.contains_key("measurement") {
        return Ok(Early::default());
    }
    let parts = (0..spill.buckets).into_par_iter();
    let parts: Vec<Tally> =
        parts.map(|part| Tally::of(part, spill, zero, &sizes)).collect::<Result<_, Error>>()?;
    let mut all = Tally::default();
    parts.into_iter().for_each(|part| all.add(part));
    let only_zero = all.only_zero.into_iter().filter(|(_, zero)| *zero);
    let scale = |((number, group), steps): ((usize, Weights), Steps)| {
        let Kind::BodySize(size) = &rules[number].kind else { return None };
        Some(((number, group), steps.scale(size)?))
    };
    Ok(Early {
        zeros: only_zero.map(|(key, _)| key).collect(),
        scales: all.weights.into_iter().filter_map(scale).collect(),
    })
}

/// Counts of values below, in and above each scale of a rule, by the order of its values: enough to say in
/// which the median is without holding the values.
#[derive(Debug, Default)]
struct Steps {
    /// By scale: values below it, and values not above it.
    scales: Vec<(u64, u64)>,
    values: u64,
}

impl Steps {
    fn count(&mut self, value: f64, size: &BodySize) {
        self.scales.resize(size.weight_medians.len(), (0, 0));
        self.values += 1;
        for ((below, until), scale) in self.scales.iter_mut().zip(&size.weight_medians) {
            *below += u64::from(scale.is_above(value));
            *until += u64::from(scale.is_above(value) || scale.holds(value));
        }
    }

    fn add(&mut self, other: &Self) {
        self.scales.resize(other.scales.len(), (0, 0));
        self.values += other.values;
        for (of, more) in self.scales.iter_mut().zip(&other.scales) {
            *of = (of.0 + more.0, of.1 + more.1);
        }
    }

    /// The scale of the median; of an even number of values that is the lower of the two in the middle.
    fn scale(&self, size: &BodySize) -> Option<Scale> {
        let rank = self.values.div_ceil(2);
        let at = self.scales.iter().position(|(below, until)| *below < rank && rank <= *until)?;
        size.weight_medians.get(at).copied()
    }
}

#[derive(Debug, Default)]
struct Tally {
    /// By extract and concept with a value: whether all are 0.
    only_zero: BTreeMap<(usize, i64), bool>,
    weights: BTreeMap<(usize, Weights), Steps>,
}

impl Tally {
    fn of(
        part: u32,
        spill: &Spill,
        zero: bool,
        sizes: &[(usize, &BodySize)],
    ) -> Result<Self, Error> {
        let mut tally = Self::default();
        let table = bucket::read("measurement", part, spill)?;
        if zero {
            tally.zeros(&table);
        }
        sizes.iter().for_each(|(number, size)| tally.weights(*number, size, &table));
        Ok(tally)
    }

    fn zeros(&mut self, table: &bucket::Table) {
        let (of, value) =
            (Cells::of(table, "measurement_concept_id"), Cells::of(table, "value_as_number"));
        for (i, site) in table.site.iter().enumerate() {
            // Rows without a concept are not one measurement.
            let concept = of.int(i).filter(|concept| *concept != 0);
            if let (Some(value), Some(concept)) = (value.float(i), concept) {
                let key = (usize::from(*site), concept);
                *self.only_zero.entry(key).or_insert(true) &= value == 0.0;
            }
        }
    }

    fn weights(&mut self, number: usize, size: &BodySize, table: &bucket::Table) {
        let rows = super::apply::Sizes::of(table, size);
        for (i, site) in table.site.iter().enumerate() {
            if let Some((concept, value)) = rows.value(i, &size.weights) {
                let group = (usize::from(*site), concept, rows.unit(i));
                self.weights.entry((number, group)).or_default().count(value, size);
            }
        }
    }

    fn add(&mut self, other: Self) {
        for (key, zero) in other.only_zero {
            *self.only_zero.entry(key).or_insert(true) &= zero;
        }
        for (key, steps) in other.weights {
            self.weights.entry(key).or_default().add(&steps);
        }
    }
}
