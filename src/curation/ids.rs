//! Ids for rows that rules make: above all that are read, and apart by bucket.

use std::collections::BTreeMap;

use super::Error;
use super::spill::Spill;

/// Ids that each bucket may give.
const STRIDE: i64 = 1 << 32;

/// The ids of a bucket. They follow from the rows read alone, not from which worker makes them.
pub struct Ids {
    next: BTreeMap<&'static str, Option<i64>>,
}

impl Ids {
    /// Those of bucket `part`.
    pub fn of(part: u32, spill: &Spill) -> Self {
        let first = |largest: i64| largest.max(0).checked_add(1 + STRIDE * i64::from(part));
        let largest = spill.largest();
        Self { next: largest.into_iter().map(|(table, id)| (table, first(id))).collect() }
    }

    /// So many ids of a table that no row has.
    ///
    /// # Errors
    /// When there are none left.
    pub fn take(&mut self, table: &'static str, rows: usize) -> Result<Vec<i64>, Error> {
        let full = || Error::NoIds { table };
        let next = self.next.get_mut(table).and_then(Option::as_mut).ok_or_else(full)?;
        let first = *next;
        *next = i64::try_from(rows).ok().and_then(|n| first.checked_add(n)).ok_or_else(full)?;
        Ok((first..*next).collect())
    }
}
