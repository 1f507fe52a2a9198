//! Which measurements an extract reports as 0 throughout, before any rule.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::cells::Cells;
use super::rule::Kind;
use super::spill::Spill;
use super::{Error, Request, bucket};

/// Extracts and concepts.
pub type Zeros = BTreeSet<(usize, i64)>;

/// The concepts that have 0 and no other value in all rows of an extract. Looked for only if a rule asks.
pub fn find(request: &Request, spill: &Spill) -> Result<Zeros, Error> {
    let asked = request.rules.list.iter().any(|rule| matches!(rule.kind, Kind::AllZero {}));
    if !asked || !spill.tables.contains_key("measurement") {
        return Ok(Zeros::new());
    }
    let parts = (0..spill.buckets).into_par_iter();
    let parts: Vec<BTreeMap<(usize, i64), bool>> =
        parts.map(|part| of(part, spill)).collect::<Result<_, Error>>()?;
    let mut only_zero: BTreeMap<(usize, i64), bool> = BTreeMap::new();
    for (key, zero) in parts.into_iter().flatten() {
        *only_zero.entry(key).or_insert(true) &= zero;
    }
    Ok(only_zero.into_iter().filter(|(_, zero)| *zero).map(|(key, _)| key).collect())
}

/// By extract and concept of a bucket's measurements with a value: whether all are 0.
fn of(part: u32, spill: &Spill) -> Result<BTreeMap<(usize, i64), bool>, Error> {
    let mut only_zero = BTreeMap::new();
    let table = bucket::read("measurement", part, spill)?;
    let (of, value) =
        (Cells::of(&table, "measurement_concept_id"), Cells::of(&table, "value_as_number"));
    for (i, site) in table.site.iter().enumerate() {
        // Rows without a concept are not one measurement.
        let concept = of.int(i).filter(|concept| *concept != 0);
        if let (Some(value), Some(concept)) = (value.float(i), concept) {
            let key = (usize::from(*site), concept);
            *only_zero.entry(key).or_insert(true) &= value == 0.0;
        }
    }
    Ok(only_zero)
}
