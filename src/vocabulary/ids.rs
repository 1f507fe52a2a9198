//! Sets of concept ids, and their numbering.
//!
//! Ids below 2^32, which is all but strays, stand in bitmaps of 65,536 ids: one look into a table of 8 KB
//! pages tells membership, and with a count of the bits before it, the number of the id. Pages exist only
//! where there are ids: the 8 million ids of a full vocabulary take some 10 MB. Other ids (negative, or
//! from 2^32) wait in a sorted list behind them.

use std::collections::BTreeSet;

use arrow::array::{Array, Int64Array};

const PAGE_BITS: u32 = 16;
const PAGES: usize = 1 << 16;
const WORDS: usize = 1 << (PAGE_BITS - 6);

type Words = Box<[u64; WORDS]>;

/// Page, word and bit of an id below 2^32.
fn place(id: u32) -> (usize, usize, u64) {
    let low = id & 0xffff;
    ((id >> PAGE_BITS) as usize, (low >> 6) as usize, 1 << (low & 63))
}

/// A set of concept ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet {
    pages: Vec<Option<Words>>,
    others: BTreeSet<i64>,
}

impl IdSet {
    /// Puts `id` into the set.
    #[inline]
    pub fn insert(&mut self, id: i64) {
        let Ok(small) = u32::try_from(id) else {
            self.others.insert(id);
            return;
        };
        let (page, word, bit) = place(small);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([0; WORDS]))[word] |= bit;
    }

    /// Puts the values of a column into the set; nulls are left out.
    pub(super) fn insert_all(&mut self, column: &Int64Array) {
        let mut last = None;
        if column.null_count() > 0 {
            column.iter().flatten().for_each(|id| self.insert(id));
            return;
        }
        for &id in column.values() {
            if last != Some(id) {
                self.insert(id);
                last = Some(id);
            }
        }
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: i64) -> bool {
        let Ok(small) = u32::try_from(id) else { return self.others.contains(&id) };
        let (page, word, bit) = place(small);
        matches!(self.pages.get(page), Some(Some(words)) if words[word] & bit != 0)
    }

    /// Puts all of `other` into the set.
    pub fn union(&mut self, other: &Self) {
        if self.pages.len() < other.pages.len() {
            self.pages.resize_with(other.pages.len(), || None);
        }
        for (mine, theirs) in self.pages.iter_mut().zip(&other.pages) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.iter_mut().zip(theirs.iter()).for_each(|(a, b)| *a |= b);
                }
                (None, Some(_)) => mine.clone_from(theirs),
                (_, None) => {}
            }
        }
        self.others.extend(&other.others);
    }

    /// Number of ids.
    pub fn len(&self) -> u64 {
        let small: u64 = self
            .pages
            .iter()
            .flatten()
            .flat_map(|words| words.iter())
            .map(|w| u64::from(w.count_ones()))
            .sum();
        small + self.others.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        let negative = self.others.range(..0).copied();
        let small = self.pages.iter().enumerate().filter_map(|(n, p)| Some((n, p.as_ref()?)));
        let small = small.flat_map(|(n, words)| bits(n, &words[..]));
        negative.chain(small).chain(self.others.range(0..).copied())
    }

    /// Numbers the ids. None when there are 2^32 - 1 or more.
    pub(super) fn number(self) -> Option<IdIndex> {
        let count = u32::try_from(self.len()).ok().filter(|&n| n < u32::MAX)?;
        let mut index = IdIndex {
            page_of: vec![u32::MAX; PAGES],
            pages: Vec::new(),
            ids: Vec::with_capacity(count as usize - self.others.len()),
            others: self.others.into_iter().collect(),
        };
        for (number, words) in self.pages.into_iter().enumerate() {
            let Some(words) = words else { continue };
            let base = index.ids.len() as u32;
            // Ids of a page are below 2^32: they came from u32.
            index.ids.extend(bits(number, &words[..]).map(|id| id as u32));
            index.page_of[number] = index.pages.len() as u32;
            index.pages.push(Page::new(words, base));
        }
        Some(index)
    }
}

impl FromIterator<i64> for IdSet {
    fn from_iter<I: IntoIterator<Item = i64>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

/// The ids of a page, ascending.
fn bits(page: usize, words: &[u64]) -> impl Iterator<Item = i64> + '_ {
    words.iter().enumerate().flat_map(move |(i, &word)| {
        let base = ((page << PAGE_BITS) | (i << 6)) as i64;
        let mut rest = word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(base + i64::from(bit))
        })
    })
}

#[derive(Debug)]
struct Page {
    words: Words,
    /// Bits of the page before each word.
    before: Box<[u16; WORDS]>,
    /// Number of the page's first id.
    base: u32,
}

impl Page {
    fn new(words: Words, base: u32) -> Self {
        let mut before = Box::new([0; WORDS]);
        let mut sum: u32 = 0;
        for (word, before) in words.iter().zip(before.iter_mut()) {
            // At most 65,472 bits stand before the last word.
            *before = sum as u16;
            sum += word.count_ones();
        }
        Self { words, before, base }
    }
}

/// A set of concept ids that are numbered from 0: those below 2^32 ascending, then the others ascending.
#[derive(Debug)]
pub struct IdIndex {
    page_of: Vec<u32>,
    pages: Vec<Page>,
    ids: Vec<u32>,
    others: Vec<i64>,
}

impl IdIndex {
    /// The number of `id`.
    #[inline]
    pub fn number(&self, id: i64) -> Option<u32> {
        let Ok(small) = u32::try_from(id) else {
            let at = self.others.binary_search(&id).ok()?;
            return Some((self.ids.len() + at) as u32);
        };
        let (page, word, bit) = place(small);
        let page = self.pages.get(self.page_of[page] as usize)?;
        let bits = page.words[word];
        let before = (bits & (bit - 1)).count_ones();
        (bits & bit != 0).then(|| page.base + u32::from(page.before[word]) + before)
    }

    /// The id with number `number`, which must be below [`IdIndex::len`].
    pub fn id(&self, number: u32) -> i64 {
        let number = number as usize;
        match self.ids.get(number) {
            Some(&id) => i64::from(id),
            None => self.others[number - self.ids.len()],
        }
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.ids.len() + self.others.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        let pages = self.pages.len() * (WORDS * 10 + 32) + self.page_of.len() * 4;
        (pages + self.ids.len() * 4 + self.others.len() * 8) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_of_any_size_are_numbered() {
        let ids = [0, 1, 63, 64, 65_535, 65_536, 2_100_000_001, (1 << 32) - 1, 1 << 32, i64::MAX];
        let index = ids.into_iter().chain([-7, 0]).collect::<IdSet>().number().unwrap();
        assert_eq!(index.len(), 11);
        assert_eq!(index.number(65_536), Some(5));
        assert_eq!(index.number(-7), Some(8));
        assert_eq!(index.id(10), i64::MAX);
        assert_eq!((index.number(2), index.number(-1), index.number(1 << 33)), (None, None, None));
    }

    proptest! {
        #[test]
        fn a_set_is_a_set(
            a in proptest::collection::vec(prop_oneof![-5i64..300_000, any::<i64>()], 0..200),
            b in proptest::collection::vec(prop_oneof![-5i64..300_000, any::<i64>()], 0..200),
        ) {
            let mut set: IdSet = a.iter().copied().collect();
            set.union(&b.iter().copied().collect());
            let want: BTreeSet<i64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(set.len(), want.len() as u64);
            prop_assert!(set.iter().eq(want.iter().copied()));
            let index = set.clone().number().unwrap();
            for &id in &want {
                prop_assert!(set.contains(id));
                prop_assert_eq!(index.id(index.number(id).unwrap()), id);
                prop_assert_eq!(set.contains(id + i64::from(id < i64::MAX)),
                    index.number(id + i64::from(id < i64::MAX)).is_some());
            }
        }
    }
}
