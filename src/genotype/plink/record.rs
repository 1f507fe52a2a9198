//! Records of a .pgen: main track, multiallelic hard calls, phase.

use std::path::Path;

use super::pgen::{Pgen, Place, bits, damaged, is_ld};
use super::twobit::{self, LOW};
use crate::genotype::Error;
use crate::genotype::gt::{Call, EXCLUDED, MISSING};

/// What is wrong with a record.
pub type Fault = &'static str;

/// Alleles of the samples in category 1 or 2 that are not as the category says, by sample ascending.
type Patches = Vec<(u32, u16, u16)>;

/// Reads bytes from the front of a slice.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    /// A base-128 number.
    fn varint(&mut self) -> Result<u32, Fault> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return u32::try_from(value).map_err(|_| "a number is too large");
            }
        }
        Err("a number is too large")
    }

    /// Reads a difflist over `n` samples and calls `each` with sample and value (0 in lists without).
    pub fn difflist(
        &mut self,
        n: usize,
        values: bool,
        mut each: impl FnMut(u32, u8),
    ) -> Result<(), Fault> {
        let length = self.varint()? as usize;
        if length == 0 {
            return Ok(());
        }
        if length > n {
            return Err("a list is longer than there are samples");
        }
        let groups = length.div_ceil(64);
        let width = match n {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            0x1_0001..=0x100_0000 => 3,
            _ => 4,
        };
        let firsts = self.take(groups * width)?;
        let sizes = self.take(groups - 1)?;
        let codes = if values { self.take(length.div_ceil(4))? } else { &[] };
        let mut sample = 0;
        let mut end = 0;
        for i in 0..length {
            if i % 64 == 0 {
                if i > 0 && self.0.len() != end {
                    return Err("a group of a list has another size than it says");
                }
                let first = &firsts[i / 64 * width..][..width];
                let first = first.iter().rev().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
                if i > 0 && first <= sample {
                    return Err("samples of a list do not ascend");
                }
                sample = first;
                let size = sizes.get(i / 64).map_or(0, |&s| usize::from(s) + 63);
                end = self.0.len().checked_sub(size).ok_or("it ends too early")?;
            } else {
                let step = self.varint()?;
                if step == 0 {
                    return Err("samples of a list do not ascend");
                }
                sample += u64::from(step);
            }
            if sample >= n as u64 {
                return Err("a list names a sample that is not there");
            }
            let code = codes.get(i / 4).map_or(0, |byte| byte >> (2 * (i % 4)) & 3);
            each(sample as u32, code);
        }
        Ok(())
    }
}

/// Bit `i` of a bit array; 0 behind its end.
fn bit(bytes: &[u8], i: usize) -> bool {
    bytes.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1)
}

/// Fills `row` with the main track of a record; `base` is the row it refers to, if it does.
pub fn main_track(
    kind: u8,
    cursor: &mut Cursor<'_>,
    n: usize,
    base: &[u64],
    row: &mut Vec<u64>,
) -> Result<(), Fault> {
    let words = twobit::words(n);
    let mask = twobit::last_mask(n);
    row.clear();
    match kind & bits::MAIN {
        0 => {
            row.extend(twobit::words_of(cursor.take(n.div_ceil(4))?));
            if row.last().is_some_and(|last| last & !mask != 0) {
                return Err("bits behind the last sample are set");
            }
            return Ok(());
        }
        1 => {
            let pair = cursor.byte()?;
            if ![1, 2, 3, 5, 6, 9].contains(&pair) {
                return Err("an unknown pair of categories");
            }
            let (low, step) = (u64::from(pair >> 2), u64::from(pair & 3));
            let array = cursor.take(n.div_ceil(8))?;
            for four in array.chunks(4) {
                let mut word = [0; 4];
                word[..four.len()].copy_from_slice(four);
                let set = twobit::spread(u32::from_le_bytes(word));
                // Categories low and low + step: low ^ (low ^ high) where the bit is set.
                row.push((low * LOW) ^ (set * (low ^ (low + step))));
            }
        }
        2 | 3 => row.extend_from_slice(base),
        4 => row.resize(words, 0),
        6 => row.resize(words, 2 * LOW),
        7 => row.resize(words, 3 * LOW),
        _ => return Err("a reserved record type"),
    }
    if row.len() != words {
        return Err("it refers to a record that is not there");
    }
    cursor.difflist(n, true, |sample, code| twobit::set(row, sample, code))?;
    if kind & bits::MAIN == 3 {
        row.iter_mut().for_each(|word| *word = twobit::inverted(*word));
    }
    if let Some(last) = row.last_mut() {
        *last &= mask;
    }
    Ok(())
}

/// Reads records one after the other, keeping the row that others refer to.
pub struct Records<'a> {
    path: &'a Path,
    data: &'a [u8],
    pgen: &'a Pgen,
    last: Option<(u32, Place)>,
    base: Vec<u64>,
    base_of: Option<u32>,
    row: Vec<u64>,
}

impl<'a> Records<'a> {
    /// A reader that starts anywhere.
    pub fn new(path: &'a Path, data: &'a [u8], pgen: &'a Pgen) -> Self {
        let (base, row) = (Vec::new(), Vec::new());
        Self { path, data, pgen, last: None, base, base_of: None, row }
    }

    /// Appends the calls of a variant with `alts` ALT alleles and returns the largest allele index.
    ///
    /// # Errors
    /// A damaged record, or what the specification leaves open.
    pub fn calls(
        &mut self,
        variant: u32,
        alts: usize,
        columns: &[u32],
        calls: &mut Vec<Call>,
    ) -> Result<u16, Error> {
        let place = match self.last {
            Some((v, place)) if v.checked_add(1) == Some(variant) => {
                self.pgen.place_after(self.data, v, place)
            }
            _ => self.pgen.place(self.data, variant),
        };
        self.last = Some((variant, place));
        if place.kind & bits::DOSAGE != 0 && alts > 1 {
            let what = "dosages of a multiallelic variant";
            return Err(Error::PgenUnsupported { file: self.path.to_owned(), what });
        }
        let counted = self.pgen.alleles(self.data, variant);
        if counted.is_some_and(|count| count != alts as u64 + 1) {
            let what = "its number of alleles is not that of the .pvar";
            return Err(damaged(self.path, variant, what));
        }
        self.read(variant, place, alts, columns, calls).map_err(|w| damaged(self.path, variant, w))
    }

    fn bytes(&self, place: Place) -> Result<&'a [u8], Fault> {
        let start = usize::try_from(place.start).map_err(|_| "it lies behind the end")?;
        let rest = self.data.get(start..).ok_or("it lies behind the end")?;
        rest.get(..place.length as usize).ok_or("it lies behind the end")
    }

    /// Makes `base` the row that a record of this variant refers to.
    fn fetch_base(&mut self, variant: u32) -> Result<(), Fault> {
        let base = self.pgen.base_of(self.data, variant).ok_or("it refers to no record")?;
        if self.base_of != Some(base) {
            let place = self.pgen.place(self.data, base);
            let mut cursor = Cursor(self.bytes(place)?);
            let n = self.pgen.samples as usize;
            self.base_of = None;
            main_track(place.kind, &mut cursor, n, &[], &mut self.base)?;
            self.base_of = Some(base);
        }
        Ok(())
    }

    fn read(
        &mut self,
        variant: u32,
        place: Place,
        alts: usize,
        columns: &[u32],
        calls: &mut Vec<Call>,
    ) -> Result<u16, Fault> {
        let n = self.pgen.samples as usize;
        let mut cursor = Cursor(self.bytes(place)?);
        let kind = place.kind;
        if is_ld(kind) {
            self.fetch_base(variant)?;
            main_track(kind, &mut cursor, n, &self.base, &mut self.row)?;
        } else {
            // The row before may be the base of later ones, so the two change places.
            std::mem::swap(&mut self.row, &mut self.base);
            self.base_of = None;
            main_track(kind, &mut cursor, n, &[], &mut self.base)?;
            self.base_of = Some(variant);
        }
        let row = if is_ld(kind) { &self.row } else { &self.base };
        let max = if kind & bits::MULTIALLELIC != 0 {
            multiallelic(kind, &mut cursor, row, alts, columns, calls)?
        } else if kind & bits::PHASE != 0 {
            phased(&mut cursor, row, columns, calls)?
        } else {
            twobit::emit(row.iter().copied(), columns, calls)
        };
        if kind & bits::DOSAGE == 0 && !cursor.0.is_empty() {
            return Err("it is longer than what it holds");
        }
        if self.pgen.phased {
            phase_homozygotes(calls);
        }
        Ok(max)
    }
}

/// Homozygous calls are stored without phase: they are as phased as the heterozygous ones of the record,
/// and phased where there are none, for this is a phased file.
fn phase_homozygotes(calls: &mut [Call]) {
    if calls.iter().all(|c| c.a == c.b || c.phased) {
        calls.iter_mut().filter(|c| c.a != MISSING).for_each(|c| c.phased = true);
    }
}

/// Reads the tracks of multiallelic hard calls and of phase and appends the calls.
fn multiallelic(
    kind: u8,
    cursor: &mut Cursor<'_>,
    row: &[u64],
    alts: usize,
    columns: &[u32],
    calls: &mut Vec<Call>,
) -> Result<u16, Fault> {
    let (ones, twos) = patches(cursor, row, alts, columns.len())?;
    let (mut ones, mut twos) = (ones.iter().peekable(), twos.iter().peekable());
    let mut all: Vec<Call> = Vec::new();
    let (mut hets, mut max) = (0, 0);
    twobit::for_each(row.iter().copied(), |sample, code| {
        let (usual, patches) = match code {
            1 => ((0, 1), &mut ones),
            2 => ((1, 1), &mut twos),
            _ => ((MISSING, MISSING), &mut twos),
        };
        let patch = patches.next_if(|p| p.0 == sample as u32);
        let (a, b) = patch.map_or(usual, |&(_, a, b)| (a, b));
        hets += usize::from(a != b);
        max = if b == MISSING { max } else { b.max(max) };
        all.push(Call { sample: sample as u32, a, b, phased: false });
    });
    if kind & bits::PHASE != 0 {
        let mut phase = Phase::read(cursor, hets)?;
        for call in all.iter_mut().filter(|c| c.a != c.b) {
            let swapped = phase.next_het();
            call.phased = swapped.is_some();
            if swapped == Some(true) {
                std::mem::swap(&mut call.a, &mut call.b);
            }
        }
    }
    for call in all {
        let column = columns.get(call.sample as usize).copied().unwrap_or(EXCLUDED);
        if column != EXCLUDED {
            calls.push(Call { sample: column, ..call });
        }
    }
    Ok(max)
}

/// Appends the calls of a biallelic record with a track of phase.
fn phased(
    cursor: &mut Cursor<'_>,
    row: &[u64],
    columns: &[u32],
    calls: &mut Vec<Call>,
) -> Result<u16, Fault> {
    let hets = row.iter().map(|word| (word & !(word >> 1) & LOW).count_ones() as usize).sum();
    let mut phase = Phase::read(cursor, hets)?;
    let mut carried = false;
    twobit::for_each(row.iter().copied(), |sample, code| {
        let (mut a, mut b) = [(0, 0), (0, 1), (1, 1), (MISSING, MISSING)][usize::from(code)];
        let swapped = if code == 1 { phase.next_het() } else { None };
        if swapped == Some(true) {
            std::mem::swap(&mut a, &mut b);
        }
        carried |= code < 3;
        let sample = columns.get(sample).copied().unwrap_or(EXCLUDED);
        if sample != EXCLUDED {
            calls.push(Call { sample, a, b, phased: swapped.is_some() });
        }
    });
    Ok(u16::from(carried))
}

/// The track of phase, read het by het.
struct Phase<'a> {
    /// Says which hets are phased, from bit 1; `None` if all are.
    present: Option<&'a [u8]>,
    swapped: &'a [u8],
    het: usize,
    bit: usize,
}

impl<'a> Phase<'a> {
    fn read(cursor: &mut Cursor<'a>, hets: usize) -> Result<Self, Fault> {
        // The first bit says whether bits follow that tell which hets are phased.
        let head = cursor.take(1 + hets / 8)?;
        if head.last().is_some_and(|&last| u32::from(last) >> (hets % 8 + 1) != 0) {
            return Err("bits behind the last heterozygous call are set");
        }
        if !bit(head, 0) {
            return Ok(Self { present: None, swapped: head, het: 0, bit: 1 });
        }
        let phased: u32 = head.iter().map(|byte| byte.count_ones()).sum();
        let swapped = cursor.take((phased as usize - 1).div_ceil(8))?;
        Ok(Self { present: Some(head), swapped, het: 0, bit: 0 })
    }

    /// Whether the next heterozygous call has its greater allele first; `None` if it is not phased.
    #[inline(always)]
    fn next_het(&mut self) -> Option<bool> {
        self.het += 1;
        if self.present.is_some_and(|present| !bit(present, self.het)) {
            return None;
        }
        let swapped = bit(self.swapped, self.bit);
        self.bit += 1;
        Some(swapped)
    }
}

/// Reads the two patch sets of a multiallelic record.
fn patches(
    cursor: &mut Cursor<'_>,
    row: &[u64],
    alts: usize,
    n: usize,
) -> Result<(Patches, Patches), Fault> {
    if alts < 2 {
        return Err("calls of more ALT alleles than the .pvar has");
    }
    let formats = cursor.byte()?;
    let ones = patched(cursor, formats & 15, 1, row, n)?;
    let width = match alts {
        2 => 0,
        3 => 1,
        4..=5 => 2,
        6..=17 => 4,
        18..=257 => 8,
        258..=65537 => 16,
        _ => 24,
    };
    let values = cursor.take((ones.len() * width).div_ceil(8))?;
    let allele = |index: usize| match index {
        index if index <= alts => Ok(index as u16),
        _ => Err("an allele that the .pvar does not have"),
    };
    let heterozygous: Result<Patches, Fault> = ones
        .iter()
        .enumerate()
        .map(|(i, &sample)| Ok((sample, 0, allele(2 + packed(values, width, i))?)))
        .collect();
    let twos = patched(cursor, formats >> 4, 2, row, n)?;
    let width = match alts {
        2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        17..=256 => 8,
        257..=65536 => 16,
        _ => 24,
    };
    let each = if alts == 2 { 1 } else { 2 };
    let values = cursor.take((twos.len() * width * each).div_ceil(8))?;
    let others: Result<Patches, Fault> = twos
        .iter()
        .enumerate()
        .map(|(i, &sample)| {
            let (a, b) = if alts == 2 {
                (1 + packed(values, 1, i), 2)
            } else {
                (1 + packed(values, width, 2 * i), 1 + packed(values, width, 2 * i + 1))
            };
            if a > b {
                return Err("alleles of a call do not ascend");
            }
            Ok((sample, allele(a)?, allele(b)?))
        })
        .collect();
    Ok((heterozygous?, others?))
}

/// Value `i` of an array of `width` bits each.
fn packed(bytes: &[u8], width: usize, i: usize) -> usize {
    (0..width).fold(0, |sum, k| sum | usize::from(bit(bytes, i * width + k)) << k)
}

/// The samples of a category that have a patch.
fn patched(
    cursor: &mut Cursor<'_>,
    format: u8,
    category: u8,
    row: &[u64],
    n: usize,
) -> Result<Vec<u32>, Fault> {
    let mut samples = Vec::new();
    match format {
        15 => {}
        1 => {
            cursor.difflist(n, false, |sample, _| samples.push(sample))?;
            if samples.iter().any(|&s| twobit::get(row, s) != category) {
                return Err("a patch of a sample in another category");
            }
        }
        0 => {
            let mut members = Vec::new();
            twobit::for_each(row.iter().copied(), |sample, code| {
                if code == category {
                    members.push(sample as u32);
                }
            });
            let array = cursor.take(members.len().div_ceil(8))?;
            samples.extend(members.iter().enumerate().filter(|(i, _)| bit(array, *i)).map(|m| m.1));
        }
        _ => return Err("a reserved format of multiallelic calls"),
    }
    Ok(samples)
}

#[cfg(test)]
mod tests;
