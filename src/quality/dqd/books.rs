//! What one worker counts of a table; two books of a table add up to one.

use std::collections::{BTreeMap, BTreeSet};

use super::lookup::IntMap;
use super::primary::PrimaryKeys;

/// Rows counted by one check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub violated: u64,
    pub denominator: u64,
}

/// Counts of one table. Everything in it is a sum or a union, so that the order of merging is free.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By ordinal of the check.
    pub counts: Vec<Count>,
    /// Nulls of columns whose footers do not tell.
    pub nulls: BTreeMap<&'static str, u64>,
    /// Rows by concept, of concept columns.
    pub concepts: BTreeMap<&'static str, IntMap<i64, u64>>,
    /// Distinct source values by digest, and whether one was ever mapped to 0; by ordinal of the check.
    pub values: BTreeMap<usize, IntMap<u128, bool>>,
    /// Whether nulls were among them, and whether one was mapped to 0.
    pub value_nulls: BTreeMap<usize, (bool, bool)>,
    /// Integer primary keys.
    pub keys: PrimaryKeys,
    /// Text primary keys, with the number of their rows.
    pub names: BTreeMap<String, u64>,
    /// Persons with a row, by position.
    pub seen: Vec<u64>,
    /// Persons with a row of a concept other than 0, by position.
    pub coded: Vec<u64>,
    /// The same for persons that the person table lacks.
    pub strangers: BTreeSet<i64>,
    pub coded_strangers: BTreeSet<i64>,
    /// Observation periods: person, row id, start, end; gaps as in the columns.
    pub periods: Vec<(i64, Option<i64>, i32, i32)>,
}

impl Books {
    /// Empty books for `checks` checks and `persons` persons.
    pub fn new(checks: usize, persons: usize) -> Self {
        let words = persons.div_ceil(64);
        Self {
            counts: vec![Count::default(); checks],
            seen: vec![0; words],
            coded: vec![0; words],
            ..Self::default()
        }
    }

    /// Adds the rows that `other` saw.
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            mine.violated += theirs.violated;
            mine.denominator += theirs.denominator;
        }
        for (column, n) in other.nulls {
            *self.nulls.entry(column).or_default() += n;
        }
        for (column, concepts) in other.concepts {
            let mine = self.concepts.entry(column).or_default();
            for (concept, n) in concepts {
                *mine.entry(concept).or_default() += n;
            }
        }
        for (check, values) in other.values {
            let mine = self.values.entry(check).or_default();
            for (value, zero) in values {
                *mine.entry(value).or_default() |= zero;
            }
        }
        for (check, (any, zero)) in other.value_nulls {
            let mine = self.value_nulls.entry(check).or_default();
            *mine = (mine.0 | any, mine.1 | zero);
        }
        self.keys.merge(other.keys);
        for (name, n) in other.names {
            *self.names.entry(name).or_default() += n;
        }
        union(&mut self.seen, &other.seen);
        union(&mut self.coded, &other.coded);
        self.strangers.extend(other.strangers);
        self.coded_strangers.extend(other.coded_strangers);
        self.periods.extend(other.periods);
    }

    /// Rows whose primary key occurs more than once.
    pub fn duplicates(&self) -> u64 {
        let names: u64 = self.names.values().filter(|&&n| n > 1).sum();
        self.keys.duplicates() + names
    }

    /// Persons with periods, and those of them with two that overlap or touch.
    pub fn overlaps(&mut self) -> Count {
        self.periods.sort_unstable();
        let persons = self.periods.chunk_by(|a, b| a.0 == b.0);
        let mut count = Count::default();
        for periods in persons {
            count.denominator += 1;
            count.violated += u64::from(any_overlap(periods));
        }
        count
    }
}

fn union(mine: &mut [u64], theirs: &[u64]) {
    for (a, b) in mine.iter_mut().zip(theirs) {
        *a |= b;
    }
}

type Period = (i64, Option<i64>, i32, i32);

/// Whether two periods with different row ids share a day or follow each other without a gap.
///
/// Where ids are distinct and no date is missing or out of order, a sweep tells; else all pairs do.
fn any_overlap(periods: &[Period]) -> bool {
    use super::people::NONE;
    let clean = |p: &Period| p.1.is_some() && p.2 != NONE && p.3 != NONE && p.2 <= p.3;
    let distinct = periods.windows(2).all(|w| w[0].1 != w[1].1);
    if distinct && periods.iter().all(clean) {
        let mut spans: Vec<_> = periods.iter().map(|p| (p.2, p.3)).collect();
        spans.sort_unstable();
        return spans.windows(2).any(|w| w[1].0 <= w[0].1.saturating_add(1));
    }
    periods.iter().enumerate().any(|(i, a)| periods[i + 1..].iter().any(|b| touch(a, b)))
}

fn touch(a: &Period, b: &Period) -> bool {
    use super::people::NONE;
    let known = |x: i32, y: i32| x != NONE && y != NONE;
    let at_most = |x: i32, y: i32| known(x, y) && x <= y;
    let follows = |end: i32, start: i32| known(end, start) && end.saturating_add(1) == start;
    let other_ids = a.1.is_some() && b.1.is_some() && a.1 != b.1;
    other_ids
        && ((at_most(a.2, b.3) && at_most(b.2, a.3)) || follows(a.3, b.2) || follows(b.3, a.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sweep_agrees_with_all_pairs(
            spans in proptest::collection::vec((0i32..40, 0i32..4), 0..8)
        ) {
            let periods: Vec<Period> = spans
                .iter()
                .enumerate()
                .map(|(i, &(start, days))| (1, Some(i as i64), start, start + days))
                .collect();
            let pairs = periods
                .iter()
                .enumerate()
                .any(|(i, a)| periods[i + 1..].iter().any(|b| touch(a, b)));
            prop_assert_eq!(any_overlap(&periods), pairs);
        }
    }
}
