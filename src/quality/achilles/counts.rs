//! Counts and histograms by analysis and strata, and the statistics made of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::catalogue::analyses;

/// Stands for NULL in a stratum.
pub(super) const NULL: i64 = i64::MIN;

/// Multiply-and-rotate hashing of the short integer keys; only speed depends on it, results are sorted.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_i64(&mut self, n: i64) {
        self.write_u64(n.cast_unsigned());
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Analysis and up to four integer strata; unused ones are 0. In a histogram the last is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(pub u16, pub i64, pub i64, pub i64, pub i64);

/// Accumulated counts; merging is addition.
#[derive(Default)]
pub(super) struct Counts {
    rows: Map<Key, u64>,
    values: Map<Key, u64>,
}

/// A count by strata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CountRow {
    pub analysis: u16,
    pub strata: [Option<String>; 5],
    pub count: u64,
}

/// A distribution by strata.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DistRow {
    pub analysis: u16,
    pub strata: [Option<String>; 5],
    pub count: u64,
    pub min: f64,
    pub max: f64,
    pub avg: f64,
    /// Sample standard deviation; none of a single value.
    pub stdev: Option<f64>,
    /// Median, then the 10th, 25th, 75th and 90th percentile.
    pub percentiles: [f64; 5],
}

/// What was counted, in order of analysis and strata.
#[derive(Default)]
pub(super) struct Results {
    pub rows: Vec<CountRow>,
    pub dists: Vec<DistRow>,
}

impl Counts {
    /// Counts `n` more under `key`; a count of 0 makes the row exist.
    pub fn add(&mut self, key: Key, n: u64) {
        *self.rows.entry(key).or_default() += n;
    }

    /// Adds `value` `n` times to the distribution of `analysis` by two strata.
    pub fn value(&mut self, analysis: u16, first: i64, second: i64, value: f64, n: u64) {
        if first != NULL && second != NULL {
            *self.values.entry(Key(analysis, first, second, ordered(value), 0)).or_default() += n;
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: Self) {
        merge_into(&mut self.rows, other.rows);
        merge_into(&mut self.values, other.values);
    }

    /// Rows and distributions of more than `small_cell_count`, sorted.
    pub fn finish(self, small_cell_count: u64) -> Results {
        let width: Map<u16, usize> = analyses()
            .map(|a| (a.id, a.strata.iter().take_while(|s| !s.is_empty()).count()))
            .collect();
        let kept = |n: u64| small_cell_count == 0 || n > small_cell_count;
        let mut rows: Vec<(Key, u64)> =
            self.rows.into_iter().filter(|(k, _)| width.contains_key(&k.0)).collect();
        rows.sort_unstable();
        accumulate_at_least(&mut rows);
        let rows = rows
            .into_iter()
            .filter(|&(_, n)| kept(n))
            .map(|(k, count)| CountRow { analysis: k.0, strata: strata(k, width[&k.0]), count })
            .collect();
        let mut values: Vec<(Key, u64)> =
            self.values.into_iter().filter(|(k, _)| width.contains_key(&k.0)).collect();
        values.sort_unstable();
        let dists = values
            .chunk_by(|(a, _), (b, _)| (a.0, a.1, a.2) == (b.0, b.1, b.2))
            .map(|group| distribution(group, width[&group[0].0.0]))
            .filter(|d| kept(d.count))
            .collect();
        Results { rows, dists }
    }
}

fn merge_into(into: &mut Map<Key, u64>, mut from: Map<Key, u64>) {
    if from.len() > into.len() {
        std::mem::swap(into, &mut from);
    }
    for (key, n) in from {
        *into.entry(key).or_default() += n;
    }
}

/// Analyses x91 tell how many persons have *at least* so many records: summed from the top.
fn accumulate_at_least(rows: &mut [(Key, u64)]) {
    for group in rows.chunk_by_mut(|(a, _), (b, _)| (a.0, a.1) == (b.0, b.1)) {
        if is_at_least(group[0].0.0) {
            let mut sum = 0;
            for (_, n) in group.iter_mut().rev() {
                sum += *n;
                *n = sum;
            }
        }
    }
}

fn is_at_least(analysis: u16) -> bool {
    analysis % 100 == 91
}

fn strata(key: Key, width: usize) -> [Option<String>; 5] {
    let values = [key.1, key.2, key.3, key.4];
    std::array::from_fn(|i| {
        let value = *values.get(i).filter(|_| i < width)?;
        match (key.0, i) {
            _ if value == NULL => None,
            (1818, 2) => Some(RANGES.get(usize::try_from(value).ok()?)?.to_string()),
            (2004, 0) => Some(format!("{value:07b}")),
            (2004, 1) => Some(format!("{}", f64::from_bits(value.cast_unsigned()))),
            _ => Some(value.to_string()),
        }
    })
}

/// Where a value lies (1818), in the order of its code.
const RANGES: [&str; 4] = ["Below Range Low", "Within Range", "Above Range High", "Other"];

/// Statistics of one histogram, its values ascending.
fn distribution(group: &[(Key, u64)], width: usize) -> DistRow {
    let first = group[0].0;
    let total: u64 = group.iter().map(|&(_, n)| n).sum();
    let value = |k: Key| unordered(k.3);
    let sum: f64 = group.iter().map(|&(k, n)| value(k) * n as f64).sum();
    let avg = sum / total as f64;
    let squares: f64 = group.iter().map(|&(k, n)| (value(k) - avg).powi(2) * n as f64).sum();
    let percentile = |p: u64| {
        let mut seen = 0;
        let at = group.iter().find(|&&(_, n)| {
            seen += n;
            seen * 100 >= p * total
        });
        at.map_or(f64::NAN, |&(k, _)| value(k))
    };
    DistRow {
        analysis: first.0,
        strata: strata(first, width),
        count: total,
        min: value(first),
        max: value(group[group.len() - 1].0),
        avg,
        stdev: (total > 1).then(|| (squares / (total - 1) as f64).sqrt()),
        percentiles: [50, 10, 25, 75, 90].map(percentile),
    }
}

/// An integer that sorts as the number does.
fn ordered(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn unordered(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_values_at_which_the_cumulative_count_reaches_the_share() {
        let mut counts = Counts::default();
        for v in 1..=10 {
            counts.value(103, 0, 0, f64::from(v), 1);
        }
        let d = &counts.finish(0).dists[0];
        assert_eq!(d.percentiles, [5.0, 1.0, 3.0, 8.0, 9.0]);
        assert_eq!((d.min, d.max, d.avg, d.count), (1.0, 10.0, 5.5, 10));
        assert!((d.stdev.unwrap() - 3.027_650_354_097_492).abs() < 1e-12);
    }

    #[test]
    fn at_least_counts_sum_from_the_top_and_small_cells_go() {
        let mut counts = Counts::default();
        for (n, persons) in [(1, 7), (2, 3), (5, 1)] {
            counts.add(Key(791, 8, n, 0, 0), persons);
        }
        let rows = counts.finish(0).rows;
        assert_eq!(rows.iter().map(|r| r.count).collect::<Vec<_>>(), [11, 4, 1]);
        // Small cells are those of the sums.
        let mut counts = Counts::default();
        for (n, persons) in [(1, 7), (2, 3), (5, 1)] {
            counts.add(Key(791, 8, n, 0, 0), persons);
        }
        let rows = counts.finish(5).rows;
        assert_eq!(rows.iter().map(|r| r.count).collect::<Vec<_>>(), [11]);
        let mut counts = Counts::default();
        counts.add(Key(2, 8507, 0, 0, 0), 5);
        counts.add(Key(2, 8532, 0, 0, 0), 6);
        let rows = counts.finish(5).rows;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].strata[0].as_deref(), Some("8532"));
    }

    proptest! {
        #[test]
        fn keys_of_numbers_sort_as_numbers(a in -1e300f64..1e300, b in -1e300f64..1e300) {
            prop_assert_eq!(a.partial_cmp(&b).unwrap(), ordered(a).cmp(&ordered(b)));
            prop_assert_eq!(unordered(ordered(a)), a);
        }
    }
}
