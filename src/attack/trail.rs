//! What a person's rows say that no shift and no new id changes: sums of hashes, which need no order of rows.

use std::collections::BTreeMap;

/// The increment of SplitMix64.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A well-mixed number of a number (the finaliser of SplitMix64).
pub(super) fn mixed(value: u64) -> u64 {
    let mut x = value.wrapping_add(SEED);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One person's rows of one table: the day and the concept of each.
#[derive(Default)]
pub(super) struct Trail {
    rows: Vec<(i32, i64)>,
}

impl Trail {
    pub fn add(&mut self, day: i32, concept: i64) {
        self.rows.push((day, concept));
    }

    /// The multiset of concepts.
    pub fn concepts(&self) -> u64 {
        self.sum(|_, concept| mixed(concept.cast_unsigned()))
    }

    /// The days between the first row and each.
    pub fn gaps(&self) -> u64 {
        let first = self.rows.iter().map(|(day, _)| *day).min().unwrap_or_default();
        self.sum(|day, _| mixed(u64::from(day.abs_diff(first))))
    }

    /// Both: which concept how many days after the first row.
    pub fn story(&self) -> u64 {
        let first = self.rows.iter().map(|(day, _)| *day).min().unwrap_or_default();
        self.sum(|day, concept| {
            mixed(mixed(concept.cast_unsigned()) ^ u64::from(day.abs_diff(first)))
        })
    }

    fn sum(&self, of: impl Fn(i32, i64) -> u64) -> u64 {
        self.rows.iter().fold(mixed(self.rows.len() as u64), |sum, (day, concept)| {
            sum.wrapping_add(of(*day, *concept))
        })
    }
}

/// People by what is said of them; only who is alone with it can be found by it.
#[derive(Default)]
pub(super) struct Index {
    people: BTreeMap<u64, Option<i64>>,
}

impl Index {
    pub fn add(&mut self, said: u64, person: i64) {
        self.people.entry(said).and_modify(|who| *who = None).or_insert(Some(person));
    }

    /// The one person of whom this is said.
    pub fn only(&self, said: u64) -> Option<i64> {
        self.people.get(&said).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(rows: &[(i32, i64)]) -> Trail {
        Trail { rows: rows.to_vec() }
    }

    #[test]
    fn nothing_a_shift_or_an_order_changes_is_in_it() {
        let (a, b) = (trail(&[(10, 7), (12, 8), (12, 7)]), trail(&[(2, 7), (2, 8), (0, 7)]));
        assert_eq!(a.concepts(), b.concepts());
        assert_eq!(a.gaps(), b.gaps());
        assert_eq!(a.story(), b.story());
        let other = trail(&[(2, 7), (2, 8), (1, 7)]);
        assert_eq!(a.concepts(), other.concepts());
        assert_ne!(a.gaps(), other.gaps());
        assert_ne!(a.story(), other.story());
        let exchanged = trail(&[(0, 8), (2, 7), (2, 7)]);
        assert_eq!((a.concepts(), a.gaps()), (exchanged.concepts(), exchanged.gaps()));
        assert_ne!(a.story(), exchanged.story());
    }

    #[test]
    fn only_who_is_alone_is_found() {
        let mut index = Index::default();
        index.add(1, 100);
        index.add(2, 200);
        index.add(2, 300);
        assert_eq!([1, 2, 3].map(|said| index.only(said)), [Some(100), None, None]);
    }
}
