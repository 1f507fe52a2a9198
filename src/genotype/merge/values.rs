//! Values of FORMAT fields on their way through a merge.

use super::record::{put, take};
use crate::genotype::fields::{Cells, Field, NONE};

/// GQ and DP; [`NONE`] where there is none.
pub type Levels = [u32; 2];
/// No GQ and no DP.
pub const UNSTATED: Levels = [NONE; 2];

/// What a record says of a sample besides its call. Missing values are [`NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// GQ and DP.
    pub levels: Levels,
    /// AD of REF, of the row's ALT and of all other ALTs together.
    pub reads: [u32; 3],
    /// Whether another row of the same record stands for it in sums by sample.
    pub again: bool,
}

impl Cell {
    /// No values.
    pub const EMPTY: Self = Self { levels: UNSTATED, reads: [NONE; 3], again: false };

    /// Of `sample` in a record, for its ALT number `allele` (from 1).
    pub fn of(cells: &Cells, sample: usize, allele: usize, again: bool) -> Self {
        let at = |column: &[u32]| column.get(sample).copied().unwrap_or(NONE);
        let levels = [at(&cells.gq), at(&cells.dp)];
        let start = sample * cells.alleles;
        let reads = match cells.ad.get(start..start + cells.alleles) {
            Some(all) if allele > 0 && allele < all.len() => {
                let others = || all.iter().enumerate().skip(1).filter(|(i, _)| *i != allele);
                let known = others().all(|(_, &v)| v != NONE);
                let sum: u64 = others().map(|(_, &v)| u64::from(v)).sum();
                let rest = if known { sum.min(u64::from(NONE) - 1) as u32 } else { NONE };
                [all[0], all[allele], rest]
            }
            _ => [NONE; 3],
        };
        if levels == UNSTATED && reads == [NONE; 3] {
            return Self::EMPTY;
        }
        Self { levels, reads, again }
    }

    /// The same for an ALT that the record does not name.
    pub fn of_other(self) -> Self {
        Self { reads: [self.reads[0], NONE, NONE], again: true, ..self }
    }
}

/// Codes, or states of reference blocks, and values by sample; no values unless fields are read.
#[derive(Debug, Default)]
pub struct Seen {
    /// A code or a state.
    pub codes: Vec<u8>,
    /// Values.
    pub cells: Vec<Cell>,
}

impl Seen {
    /// `code` and no value of `samples` samples.
    pub fn reset(&mut self, code: u8, samples: usize, numbers: bool) {
        self.codes.clear();
        self.codes.resize(samples, code);
        self.cells.clear();
        self.cells.resize(if numbers { samples } else { 0 }, Cell::EMPTY);
    }

    /// Takes over what `other` has.
    pub fn copy(&mut self, other: &Self) {
        self.codes.clone_from(&other.codes);
        self.cells.clone_from(&other.cells);
    }

    /// A reference block says this of a sample.
    pub fn cover(&mut self, sample: usize, state: u8, levels: Levels) {
        self.codes[sample] = state;
        if let Some(cell) = self.cells.get_mut(sample) {
            *cell = Cell { levels, ..Cell::EMPTY };
        }
    }
}

/// Appends levels.
pub fn put_levels(out: &mut Vec<u8>, levels: Levels) {
    levels.iter().for_each(|&v| put_value(out, v));
}

/// Reads what [`put_levels`] wrote.
pub fn take_levels(data: &mut &[u8]) -> Option<Levels> {
    Some([take_value(data)?, take_value(data)?])
}

fn put_value(out: &mut Vec<u8>, value: u32) {
    put(out, u64::from(value.wrapping_add(1)));
}

fn take_value(data: &mut &[u8]) -> Option<u32> {
    Some((take(data)? as u32).wrapping_sub(1))
}

/// The values of a row's samples, packed: few samples of a joined spool have any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Values<'a> {
    count: usize,
    data: &'a [u8],
}

impl<'a> Values<'a> {
    /// Appends the values of `cells` that are not empty.
    pub fn write(out: &mut Vec<u8>, cells: &[Cell]) {
        let mut packed = Vec::new();
        let (mut count, mut next) = (0, 0);
        for (i, cell) in cells.iter().enumerate().filter(|(_, c)| **c != Cell::EMPTY) {
            put(&mut packed, ((i - next) as u64) << 1 | u64::from(cell.again));
            put_levels(&mut packed, cell.levels);
            cell.reads.iter().for_each(|&v| put_value(&mut packed, v));
            next = i + 1;
            count += 1;
        }
        put(out, count);
        put(out, packed.len() as u64);
        out.extend_from_slice(&packed);
    }

    /// Reads what [`Values::write`] wrote.
    pub fn read(data: &mut &'a [u8]) -> Option<Self> {
        let count = take(data)? as usize;
        let length = take(data)? as usize;
        let (own, rest) = data.split_at_checked(length)?;
        *data = rest;
        Some(Self { count, data: own })
    }

    /// Puts the values where `map` has their samples.
    pub fn fill(&self, map: &[u32], cells: &mut [Cell]) {
        let (mut rest, mut at) = (self.data, 0);
        for _ in 0..self.count {
            let Some((gap, again, levels, reads)) = Self::next(&mut rest) else { return };
            at += gap;
            if let Some(cell) = map.get(at).and_then(|&sample| cells.get_mut(sample as usize)) {
                *cell = Cell { levels, reads, again };
            }
            at += 1;
        }
    }

    fn next(data: &mut &[u8]) -> Option<(usize, bool, Levels, [u32; 3])> {
        let head = take(data)?;
        let levels = take_levels(data)?;
        let reads = [take_value(data)?, take_value(data)?, take_value(data)?];
        Some(((head >> 1) as usize, head & 1 == 1, levels, reads))
    }
}

/// Gives `cells` the values of a row of one ALT: `of` by sample.
pub fn restate(cells: &mut Cells, samples: usize, of: impl Fn(usize) -> Cell) {
    cells.open(Field::Gq, samples, 2);
    cells.open(Field::Dp, samples, 2);
    // Other ALTs, of which only the sum is known, are taken as one more.
    let depths = cells.open(Field::Ad, samples, 3);
    for sample in 0..samples {
        let cell = of(sample);
        [cells.gq[sample], cells.dp[sample]] = cell.levels;
        if depths {
            cells.ad[3 * sample..3 * sample + 3].copy_from_slice(&cell.reads);
        }
        if cell.again {
            cells.repeats.push(sample as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = u32> {
        prop_oneof![2 => 0u32..200, 1 => Just(NONE), 1 => Just(NONE - 1)]
    }

    proptest! {
        #[test]
        fn values_come_back(
            parts in prop::collection::vec((value(), value(), [value(), value(), value()], any::<bool>(), 0u8..3), 1..300),
        ) {
            let cell = |&(gq, dp, reads, again, kind)| {
                if kind == 0 { Cell::EMPTY } else { Cell { levels: [gq, dp], reads, again } }
            };
            let cells: Vec<Cell> = parts.iter().map(cell).collect();
            let mut out = Vec::new();
            Values::write(&mut out, &cells);
            out.push(9);
            let mut data = &out[..];
            let values = Values::read(&mut data).unwrap();
            prop_assert_eq!(data, [9]);
            let map: Vec<u32> = (0..cells.len() as u32).rev().collect();
            let mut back = vec![Cell::EMPTY; cells.len()];
            values.fill(&map, &mut back);
            back.reverse();
            prop_assert_eq!(back, cells);
        }

        #[test]
        fn reads_of_one_alt_are_those_of_the_record(
            ad in prop::collection::vec(value().prop_map(|v| if v == NONE - 1 { 7 } else { v }), 2..6),
            allele in 1usize..5,
        ) {
            prop_assume!(allele < ad.len());
            let mut record = Cells::default();
            record.open(Field::Ad, 1, ad.len());
            record.ad.copy_from_slice(&ad);
            let mut row = Cells::default();
            restate(&mut row, 1, |_| Cell::of(&record, 0, allele, false));
            prop_assert_eq!(row.reads(0, 1), record.reads(0, allele));
        }
    }
}
