//! Keys that rows point to.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

/// Positions of keys in an ascending list, with duplicates.
///
/// Ids that fill their range well are found by offset (4 bytes an id of the range), others by search.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    keys: Vec<i64>,
    first: i64,
    offsets: Vec<u32>,
}

impl Lookup {
    /// Of `keys`, which must be ascending.
    pub fn new(keys: Vec<i64>) -> Self {
        let (Some(&first), Some(&last)) = (keys.first(), keys.last()) else {
            return Self::default();
        };
        let span = i128::from(last) - i128::from(first) + 1;
        if span > 4 * keys.len() as i128 + 1024 || keys.len() >= u32::MAX as usize {
            return Self { keys, first, offsets: Vec::new() };
        }
        let mut offsets = vec![0u32; span as usize + 1];
        for key in &keys {
            offsets[(key - first) as usize + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        Self { keys: Vec::new(), first, offsets }
    }

    /// Where `key` is; empty when it is not.
    pub fn range(&self, key: i64) -> Range<usize> {
        if !self.offsets.is_empty() {
            let at = key.wrapping_sub(self.first);
            if at < 0 || key < self.first || at as usize + 1 >= self.offsets.len() {
                return 0..0;
            }
            return self.offsets[at as usize] as usize..self.offsets[at as usize + 1] as usize;
        }
        let start = self.keys.partition_point(|&k| k < key);
        let more = self.keys[start..].iter().take_while(|&&k| k == key).count();
        start..start + more
    }

    /// Whether `key` is there.
    pub fn has(&self, key: i64) -> bool {
        !self.range(key).is_empty()
    }
}

/// A quick hasher of single integers; the keys are not chosen by an adversary, only counted.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }
    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
    }
}

/// A map of integer keys. Never iterated where the order could show.
pub(super) type IntMap<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_and_sparse_keys_are_found_alike() {
        for keys in [vec![], vec![5], vec![-3, -3, 0, 7, 7, 7], vec![i64::MIN, 0, i64::MAX]] {
            let lookup = Lookup::new(keys.clone());
            for key in [i64::MIN, -4, -3, -1, 0, 5, 6, 7, 8, i64::MAX] {
                let n = keys.iter().filter(|&&k| k == key).count();
                let range = lookup.range(key);
                assert_eq!(range.len(), n, "{key} of {keys:?}");
                if n > 0 {
                    assert_eq!(keys[range.start], key);
                }
            }
        }
    }
}
