//! Which primary keys occur more than once.

use super::lookup::IntMap;
use crate::engine::KeySet;

/// Integer primary keys of the rows seen.
#[derive(Debug, Default)]
pub(super) struct PrimaryKeys {
    seen: KeySet,
    /// Rows beyond the first of keys that occur again.
    again: IntMap<i64, u64>,
}

impl PrimaryKeys {
    /// Adds the keys of some rows, in any order.
    pub fn add(&mut self, keys: impl Iterator<Item = i64>) {
        // In order, neighbours go to the same place.
        let mut keys: Vec<i64> = keys.collect();
        keys.sort_unstable();
        for key in keys {
            if !self.seen.insert(key) {
                *self.again.entry(key).or_default() += 1;
            }
        }
    }

    /// Adds the rows that another worker saw.
    pub fn merge(&mut self, other: Self) {
        let again = &mut self.again;
        self.seen.merge(other.seen, |key| *again.entry(key).or_default() += 1);
        for (key, n) in other.again {
            *self.again.entry(key).or_default() += n;
        }
    }

    /// Rows whose key another row has too.
    pub fn duplicates(&self) -> u64 {
        self.again.values().map(|n| n + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_of_shared_keys_are_counted_whoever_sees_them(
            keys in prop::collection::vec((-6i64..6, 0usize..3), 0..60),
        ) {
            let mut workers: [PrimaryKeys; 3] = Default::default();
            for (key, worker) in &keys {
                workers[*worker].add([*key].into_iter());
            }
            let [mut all, two, three] = workers;
            all.merge(two);
            all.merge(three);
            let times = |key: i64| keys.iter().filter(|(k, _)| *k == key).count();
            let shared = keys.iter().filter(|(key, _)| times(*key) > 1).count();
            prop_assert_eq!(all.duplicates(), shared as u64);
        }
    }
}
