//! A row on its way through a merge: its key, how its records describe it, and a code for each sample.

use std::borrow::Cow;

use super::values::{Cell, Values};
use crate::genotype::shard::Key;

/// Value of an INFO field over the records of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info<'a> {
    /// No record has it.
    Absent,
    /// All that have it agree.
    Value(&'a [u8]),
    /// They do not.
    Differs,
}

/// Consequences of the row's ALT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consequences<'a> {
    /// Entries, without the parts that name the ALT among those of its record.
    pub entries: &'a [u8],
    /// Whether another record has other ones.
    pub differ: bool,
}

/// How a source record writes the allele: ALTs in it, REF, POS, ALT column, ordinal of the allele.
pub type Origin<'a> = (u32, &'a [u8], i32, &'a [u8], u16);

/// What records say of a row besides calls.
#[derive(Debug, Clone, PartialEq)]
pub struct About<'a> {
    /// How it is written; `None` where no included sample carries it.
    pub origin: Option<(Origin<'a>, bool)>,
    /// QUAL: the highest.
    pub qual: Option<f32>,
    /// IDs, `.` for none: all, sorted where they differ.
    pub id: Cow<'a, [u8]>,
    /// FILTER: all that failed, sorted where they differ.
    pub filter: Cow<'a, [u8]>,
    /// Selected INFO fields.
    pub info: Vec<Info<'a>>,
    /// Consequences: those of the first record that has any.
    pub consequences: Option<Consequences<'a>>,
}

impl<'a> About<'a> {
    /// Adds what another record says. The result does not depend on the order of records, but for
    /// consequences that differ: the first ones stay.
    pub fn join(&mut self, other: &Self) {
        let Some(theirs) = other.origin else { return };
        let Some(ours) = self.origin else {
            *self = other.clone();
            return;
        };
        // Records that name fewer ALTs first: they say least of the files that they come from.
        self.origin = Some(ours.min(theirs));
        self.qual = match (self.qual, other.qual) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        join_lists(&mut self.id, &other.id, b"");
        join_lists(&mut self.filter, &other.filter, b"PASS");
        for (a, b) in self.info.iter_mut().zip(&other.info) {
            *a = match (*a, *b) {
                (Info::Absent, x) | (x, Info::Absent) => x,
                (x, y) if x == y => x,
                _ => Info::Differs,
            };
        }
        self.consequences = match (self.consequences, other.consequences) {
            (Some(a), Some(b)) => {
                let differ = a.differ || b.differ || a.entries != b.entries;
                Some(Consequences { differ, ..a })
            }
            (a, b) => a.or(b),
        };
    }
}

/// Union of two `;`-joined lists, of which `.` is empty and `weak` gives way to any other entry.
#[expect(clippy::ptr_arg, reason = "a borrowed list is taken over as it is")]
fn join_lists<'a>(ours: &mut Cow<'a, [u8]>, theirs: &Cow<'a, [u8]>, weak: &[u8]) {
    let none = |text: &[u8]| text == b"." || text.is_empty();
    if ours == theirs || none(theirs) {
        return;
    }
    if none(ours) || (&**ours == weak && !weak.is_empty()) {
        *ours = theirs.clone();
        return;
    }
    if &**theirs == weak {
        return;
    }
    let mut all: Vec<&[u8]> = ours.split(|&b| b == b';').collect();
    all.extend(theirs.split(|&b| b == b';'));
    all.sort_unstable();
    all.dedup();
    *ours = Cow::Owned(all.join(&b';'));
}

/// A row of one file, of a group of files, or of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// 1-based position.
    pub pos: i32,
    /// REF.
    pub reference: &'a [u8],
    /// ALT.
    pub alt: &'a [u8],
    /// See [`Extent`](crate::genotype::extent::Extent); 0 for bases.
    pub extent: i32,
    /// Last position.
    pub end: i32,
    /// What records say of it.
    pub about: About<'a>,
    /// Codes of the samples.
    pub codes: Codes<'a>,
    /// Values of their FORMAT fields.
    pub values: Values<'a>,
}

impl Record<'_> {
    /// What rows sort by.
    pub fn key(&self) -> Key<'_> {
        (self.pos, self.reference, self.alt, self.extent)
    }

    /// Whether alleles differ in length: such rows say nothing of single bases at their place.
    pub fn is_indel(&self) -> bool {
        self.reference.len() != self.alt.len()
    }
}

/// A code for each sample: the most frequent one, and those that have another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes<'a> {
    usual: u8,
    count: usize,
    others: &'a [u8],
}

impl Codes<'_> {
    /// Calls `each` with ordinal and code of every sample of `count`, usual ones in one go first.
    pub fn fill(&self, map: &[u32], codes: &mut [u8]) {
        for &sample in map {
            codes[sample as usize] = self.usual;
        }
        let (mut rest, mut at) = (self.others, 0);
        for _ in 0..self.count {
            let Some(value) = take(&mut rest) else { return };
            at += (value >> 4) as usize;
            if let Some(&sample) = map.get(at) {
                codes[sample as usize] = (value & 15) as u8;
            }
            at += 1;
        }
    }
}

/// Appends `value` in groups of seven bits, the lowest first.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put`] wrote.
pub fn take(data: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn take_text<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let n = take(data)? as usize;
    let (text, rest) = data.split_at_checked(n)?;
    *data = rest;
    Some(text)
}

const DESCRIBED: u8 = 1;
const SPLIT: u8 = 2;
const QUAL: u8 = 4;
const AS_WRITTEN: u8 = 8;
const EXTENT: u8 = 16;
const CONSEQUENCES: u8 = 32;
const DIFFER: u8 = 64;
const VALUES: u8 = 128;

/// Appends a row, all but its position. `cells` may be none at all.
pub fn write(
    out: &mut Vec<u8>,
    key: Key<'_>,
    end: i32,
    about: &About<'_>,
    (codes, cells): (&[u8], &[Cell]),
) {
    let (pos, reference, alt, extent) = key;
    let written = (1, reference, pos, alt, 1);
    let mut flags = 0;
    if let Some((origin, split)) = about.origin {
        flags |= DESCRIBED;
        flags |= if split { SPLIT } else { 0 };
        flags |= if origin == written { AS_WRITTEN } else { 0 };
        flags |= about
            .consequences
            .map_or(0, |c| if c.differ { CONSEQUENCES | DIFFER } else { CONSEQUENCES });
    }
    let valued = cells.iter().any(|cell| *cell != Cell::EMPTY);
    flags |= if valued { VALUES } else { 0 };
    flags |= if about.qual.is_some() { QUAL } else { 0 };
    flags |= if extent != 0 { EXTENT } else { 0 };
    out.push(flags);
    put_text(out, reference);
    put_text(out, alt);
    if extent != 0 {
        out.extend_from_slice(&extent.to_le_bytes());
        out.extend_from_slice(&end.to_le_bytes());
    }
    if let Some(((alts, reference, pos, alt, index), _)) = about.origin {
        if flags & AS_WRITTEN == 0 {
            put(out, u64::from(alts));
            put_text(out, reference);
            put(out, pos as u64);
            put_text(out, alt);
            put(out, u64::from(index));
        }
        if let Some(qual) = about.qual {
            out.extend_from_slice(&qual.to_le_bytes());
        }
        put_text(out, &about.id);
        put_text(out, &about.filter);
        for info in &about.info {
            match info {
                Info::Absent => out.push(0),
                Info::Differs => out.push(1),
                Info::Value(text) => {
                    put(out, text.len() as u64 + 2);
                    out.extend_from_slice(text);
                }
            }
        }
        if let Some(consequences) = about.consequences {
            put_text(out, consequences.entries);
        }
    }
    write_codes(out, codes);
    if valued {
        Values::write(out, cells);
    }
}

fn write_codes(out: &mut Vec<u8>, codes: &[u8]) {
    let mut counts = [0usize; 16];
    for &code in codes {
        counts[usize::from(code & 15)] += 1;
    }
    let usual = (0..16).rev().max_by_key(|&c| counts[c]).unwrap_or(0);
    let others = codes.len() - counts[usual];
    out.push(usual as u8);
    let start = out.len();
    put(out, others as u64);
    let head = out.len();
    let mut at = 0;
    for (i, &code) in codes.iter().enumerate() {
        if usize::from(code) != usual {
            put(out, ((i - at) as u64) << 4 | u64::from(code));
            at = i + 1;
        }
    }
    // The length of the list comes first, so that a reader can pass over it.
    let length = out.len() - head;
    let mut prefix = Vec::with_capacity(10);
    put(&mut prefix, length as u64);
    out.splice(start..start, prefix);
}

/// Reads what [`write`] wrote of a row at `pos` with `fields` INFO fields.
pub fn read<'a>(data: &mut &'a [u8], pos: i32, fields: usize) -> Option<Record<'a>> {
    let flags = take_byte(data)?;
    let reference = take_text(data)?;
    let alt = take_text(data)?;
    let (mut extent, mut end) = (0, pos + reference.len() as i32 - 1);
    if flags & EXTENT != 0 {
        extent = i32::from_le_bytes(take_word(data)?);
        end = i32::from_le_bytes(take_word(data)?);
    }
    let nothing = |n| vec![Info::Absent; n];
    let mut about = About {
        origin: None,
        qual: None,
        id: Cow::Borrowed(b"."),
        filter: Cow::Borrowed(b"."),
        info: nothing(fields),
        consequences: None,
    };
    if flags & DESCRIBED != 0 {
        let mut origin = (1, reference, pos, alt, 1);
        if flags & AS_WRITTEN == 0 {
            origin.0 = take(data)? as u32;
            origin.1 = take_text(data)?;
            origin.2 = take(data)? as i32;
            origin.3 = take_text(data)?;
            origin.4 = take(data)? as u16;
        }
        about.origin = Some((origin, flags & SPLIT != 0));
        if flags & QUAL != 0 {
            about.qual = Some(f32::from_le_bytes(take_word(data)?));
        }
        about.id = Cow::Borrowed(take_text(data)?);
        about.filter = Cow::Borrowed(take_text(data)?);
        for slot in &mut about.info {
            *slot = match take(data)? {
                0 => Info::Absent,
                1 => Info::Differs,
                n => {
                    let (text, rest) = data.split_at_checked(n as usize - 2)?;
                    *data = rest;
                    Info::Value(text)
                }
            };
        }
        if flags & CONSEQUENCES != 0 {
            let entries = take_text(data)?;
            about.consequences = Some(Consequences { entries, differ: flags & DIFFER != 0 });
        }
    }
    let usual = take_byte(data)?;
    let length = take(data)? as usize;
    let count = take(data)? as usize;
    let (others, rest) = data.split_at_checked(length)?;
    *data = rest;
    let codes = Codes { usual, count, others };
    let values = if flags & VALUES != 0 { Values::read(data)? } else { Values::default() };
    Some(Record { pos, reference, alt, extent, end, about, codes, values })
}

fn take_byte(data: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = data.split_first()?;
    *data = rest;
    Some(byte)
}

fn take_word(data: &mut &[u8]) -> Option<[u8; 4]> {
    let (word, rest) = data.split_first_chunk::<4>()?;
    *data = rest;
    Some(*word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn about<'a>(text: &'a (Vec<u8>, Vec<u8>, Option<f32>, u16, bool)) -> About<'a> {
        let (id, alt, qual, index, split) = text;
        About {
            origin: Some(((u32::from(*index), b"AC", 9, alt, *index), *split)),
            qual: *qual,
            id: Cow::Borrowed(id),
            filter: Cow::Borrowed(if *split { b"q10;s50" } else { b"PASS" }),
            info: vec![Info::Value(alt), Info::Absent, Info::Differs],
            consequences: split.then_some(Consequences { entries: b"|x|", differ: *index > 2 }),
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(
            codes in prop::collection::vec(prop_oneof![9 => Just(0u8), 1 => 0u8..13], 1..400),
            text in (prop_oneof![Just(b"rs1".to_vec()), Just(b".".to_vec())], "[ACGT]{1,5}".prop_map(String::into_bytes), prop::option::of(0f32..9.0), 1u16..4, any::<bool>()),
            extent in 0i32..900,
        ) {
            let about = about(&text);
            let mut out = Vec::new();
            let cells: Vec<Cell> = codes
                .iter()
                .map(|&c| Cell { levels: [u32::from(c) + 3, 5], ..Cell::EMPTY })
                .collect();
            let cells = if text.4 { &cells[..] } else { &[] };
            write(&mut out, (70, b"A", &text.1, extent), 70 + extent, &about, (&codes, cells));
            out.push(77);
            let mut data = &out[..];
            let record = read(&mut data, 70, 3).unwrap();
            prop_assert_eq!(data, [77]);
            prop_assert_eq!(&record.about, &about);
            prop_assert_eq!(record.key(), (70, &b"A"[..], &text.1[..], extent));
            let map: Vec<u32> = (0..codes.len() as u32).collect();
            let mut back = vec![99; codes.len()];
            record.codes.fill(&map, &mut back);
            prop_assert_eq!(back, &codes[..]);
            let mut back = vec![Cell::EMPTY; cells.len()];
            record.values.fill(&map, &mut back);
            prop_assert_eq!(back, cells);
            for cut in 0..out.len() - 1 {
                prop_assert!(read(&mut &out[..cut], 70, 3).is_none());
            }
        }

        #[test]
        fn joining_knows_no_order(
            texts in prop::collection::vec((prop_oneof![Just(b"b;a".to_vec()), Just(b"a;b".to_vec()), Just(b"a".to_vec()), Just(b".".to_vec())], "[AC]{1,2}".prop_map(String::into_bytes), prop::option::of(0f32..9.0), 1u16..4, any::<bool>()), 2..6)
        ) {
            let all: Vec<About<'_>> = texts.iter().map(about).collect();
            let join = |order: Vec<&About<'_>>| {
                let mut sum = order[0].clone();
                let mut second = order[order.len() - 1].clone();
                order[1..order.len() / 2].iter().for_each(|a| sum.join(a));
                order[(order.len() / 2).max(1)..].iter().for_each(|a| second.join(a));
                sum.join(&second);
                format!("{sum:?}")
            };
            let forward = join(all.iter().collect());
            prop_assert_eq!(forward, join(all.iter().rev().collect()));
        }
    }
}
