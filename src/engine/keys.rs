//! A set of 64-bit ids: bits where they are dense, as numbers given in turn are, words where they are spread
//! over the whole range, as hashes are.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use roaring::RoaringTreemap;

/// Ids that a bitmap of one upper half must hold on average to be worth its own few hundred bytes.
const WORTH: u64 = 16;

/// Spreads ids over a table; they are not chosen by an adversary.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type Words = HashSet<u64, BuildHasherDefault<Spread>>;

enum Held {
    Bits(RoaringTreemap),
    Words(Words),
}

/// A set of ids. Dense ids take a bit to two bytes each, others some 20 bytes.
pub struct KeySet {
    held: Held,
    len: u64,
    /// Number of ids at which it is looked at anew how dense they are.
    next_look: u64,
}

impl Default for KeySet {
    fn default() -> Self {
        Self { held: Held::Bits(RoaringTreemap::new()), len: 0, next_look: 1 << 12 }
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} ids)", self.len)
    }
}

impl KeySet {
    /// Number of ids.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an id; whether it is new.
    pub fn insert(&mut self, id: i64) -> bool {
        let id = id.cast_unsigned();
        let new = match &mut self.held {
            Held::Bits(bits) => bits.insert(id),
            Held::Words(words) => words.insert(id),
        };
        self.len += u64::from(new);
        if self.len == self.next_look {
            self.look();
        }
        new
    }

    /// Whether it has an id.
    pub fn contains(&self, id: i64) -> bool {
        match &self.held {
            Held::Bits(bits) => bits.contains(id.cast_unsigned()),
            Held::Words(words) => words.contains(&id.cast_unsigned()),
        }
    }

    /// Adds the ids of another set and calls `again` for each that both have.
    pub fn merge(&mut self, other: Self, mut again: impl FnMut(i64)) {
        let theirs = match other.held {
            Held::Words(theirs) => return self.add(theirs.into_iter(), again),
            Held::Bits(theirs) => theirs,
        };
        let Held::Bits(mine) = &mut self.held else {
            return self.add(theirs.into_iter(), again);
        };
        (&*mine & &theirs).iter().for_each(|id| again(id.cast_signed()));
        *mine |= theirs;
        self.len = mine.len();
        self.look();
    }

    fn add(&mut self, ids: impl Iterator<Item = u64>, mut again: impl FnMut(i64)) {
        for id in ids {
            if !self.insert(id.cast_signed()) {
                again(id.cast_signed());
            }
        }
    }

    /// Turns bits into words when they are few to a bitmap.
    fn look(&mut self) {
        self.next_look = (self.len * 2).max(1 << 12);
        if self.len >= 1 << 12
            && let Held::Bits(bits) = &mut self.held
            && bits.bitmaps().count() as u64 * WORTH > self.len
        {
            self.held = Held::Words(std::mem::take(bits).into_iter().collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Numbers in turn, and numbers spread by a hash.
    fn ids(n: u64, spread: bool) -> impl Iterator<Item = i64> {
        let of = move |i: u64| if spread { i.wrapping_mul(0x9E37_79B9_7F4A_7C15) } else { i };
        (0..n).map(move |i| of(i).cast_signed())
    }

    #[test]
    fn spread_ids_are_words_and_dense_ones_bits() {
        for (spread, words) in [(false, false), (true, true)] {
            let mut set = KeySet::default();
            assert!(ids(50_000, spread).all(|id| set.insert(id)));
            assert!(ids(50_000, spread).all(|id| !set.insert(id) && set.contains(id)));
            assert_eq!((set.len(), matches!(set.held, Held::Words(_))), (50_000, words));
        }
    }

    proptest! {
        #[test]
        fn two_sets_become_one_whatever_they_are(
            sizes in (0u64..9_000, 0u64..9_000),
            spread in any::<(bool, bool)>(),
        ) {
            let one: BTreeSet<i64> = ids(sizes.0, spread.0).collect();
            let two: BTreeSet<i64> = ids(sizes.1, spread.1).collect();
            let set = |of: &BTreeSet<i64>| {
                let mut set = KeySet::default();
                of.iter().for_each(|id| assert!(set.insert(*id)));
                set
            };
            let (mut all, mut again) = (set(&one), BTreeSet::new());
            all.merge(set(&two), |id| assert!(again.insert(id)));
            prop_assert_eq!(again, one.intersection(&two).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(all.len(), one.union(&two).count() as u64);
            prop_assert!(one.union(&two).all(|id| all.contains(*id)));
        }
    }
}
