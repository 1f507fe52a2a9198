//! Calls and reference blocks as a merge of files keeps them: as codes by sample, not as planes.
//!
//! Planes are made once, from the calls of all files, when it is known which samples each row has.

use super::{Builder, Row, Site};
use crate::genotype::allele::{AltKind, alt_kind};
use crate::genotype::extent::info_value;
use crate::genotype::fields::{NONE, whole};
use crate::genotype::gt::{ABSENT, Call, FILTERED, MISSING, NOT_EXPECTED, UNSUPPORTED};
use crate::genotype::merge::values::{Cell, Levels, UNSTATED};

/// Code of a diploid call without the row's ALT.
pub const HOM_REF: u8 = 0;
/// Code of a sample of which the record says nothing.
pub const UNKNOWN: u8 = 1;
/// Codes of [`code`], by number: the call of one ALT (1) that gives them.
const CALLS: [(u16, u16, bool); 14] = [
    (0, 0, false),
    (MISSING, MISSING, false),
    (MISSING, MISSING, false),
    (0, 1, false),
    (0, 1, true),
    (1, 0, true),
    (1, 1, false),
    (1, 1, true),
    (0, ABSENT, false),
    (1, ABSENT, false),
    (MISSING, 0, false),
    (MISSING, 1, false),
    (UNSUPPORTED, UNSUPPORTED, false),
    (FILTERED, FILTERED, false),
];

/// Code of a call that FT filtered.
pub const FILTERED_CALL: u8 = 13;

/// What [`Block::state`] and a code say of a position: nothing, diploid or haploid reference.
pub const NO_STATE: u8 = 0;
/// Diploid, and none of the ALTs that others have.
pub const DIPLOID: u8 = 1;
/// Haploid, and none of the ALTs that others have.
pub const HAPLOID: u8 = 2;

/// The code of a call with regard to one ALT; other ALTs count as not this one.
pub fn code(call: &Call, allele: u16) -> u8 {
    let is = |a: u16| a == allele;
    match (call.a, call.b) {
        (NOT_EXPECTED, _) | (MISSING, MISSING | ABSENT) => 2,
        (UNSUPPORTED, _) => 12,
        (FILTERED, _) => FILTERED_CALL,
        (a, ABSENT) => 8 + u8::from(is(a)),
        (MISSING, a) | (a, MISSING) => 10 + u8::from(is(a)),
        (a, b) => match (is(a), is(b), call.phased) {
            (false, false, _) => HOM_REF,
            (true, true, phased) => 6 + u8::from(phased),
            (_, _, false) => 3,
            (false, true, true) => 4,
            (true, false, true) => 5,
        },
    }
}

/// The call that a code stands for, of the only ALT of a row.
pub fn call(sample: u32, code: u8) -> Call {
    let (a, b, phased) = CALLS.get(usize::from(code)).copied().unwrap_or(CALLS[2]);
    Call { sample, a, b, phased }
}

/// What a full call says of other ALTs at the same place.
pub fn state(code: u8) -> u8 {
    match code {
        HOM_REF | 3..=7 => DIPLOID,
        8 | 9 => HAPLOID,
        _ => NO_STATE,
    }
}

/// A stretch of which a record of a gVCF says that the sample has no other ALT than it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Index of the segment.
    pub segment: u32,
    /// First position, 1-based.
    pub start: i32,
    /// Last position, inclusive.
    pub end: i32,
    /// Ordinal of the sample.
    pub sample: u32,
    /// [`NO_STATE`], [`DIPLOID`] or [`HAPLOID`].
    pub state: u8,
    /// GQ and DP, if fields are read.
    pub levels: Levels,
}

/// What a shard keeps for a merge.
#[derive(Debug, Default)]
pub struct Kept {
    codes: Vec<(u32, u8)>,
    ends: Vec<usize>,
    cells: Vec<(u32, Cell)>,
    cell_ends: Vec<usize>,
    /// Blocks in input order.
    pub blocks: Vec<Block>,
}

impl Kept {
    /// `(sample, code)` of the calls of row `i` that are not hom-ref.
    pub fn codes(&self, i: usize) -> &[(u32, u8)] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.codes[start..self.ends[i]]
    }

    /// `(sample, values)` of the samples of row `i` that have any; nothing unless fields are read.
    pub fn cells(&self, i: usize) -> &[(u32, Cell)] {
        let Some(&end) = self.cell_ends.get(i) else { return &[] };
        &self.cells[if i == 0 { 0 } else { self.cell_ends[i - 1] }..end]
    }
}

/// Whether a record names no ALT but `<NON_REF>` or `<*>`, or none at all.
fn is_reference(alt: &[u8]) -> bool {
    alt == b"." || alt_kind(alt) == AltKind::NonRef
}

impl Builder<'_> {
    /// Keeps the calls of a row and appends it; planes and counts stay empty.
    pub(super) fn keep_row(&mut self, row: Row) {
        if self.context.fields.numbers {
            self.keep_values(&row);
        }
        let kept = &mut self.out.kept;
        let codes = self.calls.iter().map(|c| (c.sample, code(c, row.allele)));
        kept.codes.extend(codes.filter(|(_, code)| *code != HOM_REF));
        kept.ends.push(kept.codes.len());
        self.out.rows.push(row);
    }

    fn keep_values(&mut self, row: &Row) {
        // Of a record's rows the first that may remain stands for it in sums by sample.
        let again = row.index == 0 || !std::mem::take(&mut self.fresh);
        let kept = &mut self.out.kept;
        let samples = self.context.cohort.len();
        let of = |i: usize| Cell::of(&self.cells, i, usize::from(row.allele), again);
        let known = (0..samples).map(|i| (i as u32, of(i))).filter(|(_, c)| *c != Cell::EMPTY);
        kept.cells.extend(known);
        kept.cell_ends.push(kept.cells.len());
    }

    /// Books a record without an ALT of its own and says whether it is one; in a merge keeps what it, or
    /// any record of a gVCF, says of its stretch.
    pub(super) fn reference(&mut self, site: &Site<'_>) -> bool {
        let reference = is_reference(site.alt);
        let gvcf = || site.alt.ends_with(b",<NON_REF>") || site.alt.ends_with(b",<*>");
        if let Some(least) = self.context.keep
            && (reference || gvcf())
        {
            self.keep_blocks(site, reference, least);
        }
        if reference && site.alt == b"." && info_value(site.info, b"END").is_none() {
            self.out.tallies.no_alt += 1;
        } else if reference {
            self.out.tallies.reference_block += 1;
        }
        reference
    }

    fn keep_blocks(&mut self, site: &Site<'_>, reference: bool, least: u8) {
        let last = site.pos + site.reference.len() as i32 - 1;
        let stated = info_value(site.info, b"END").and_then(|v| std::str::from_utf8(v).ok());
        let stated =
            stated.and_then(|v| v.parse().ok()).filter(|&end| reference && end >= site.pos);
        let end = stated.unwrap_or(last).min(i32::MAX - 1);
        let samples = self.context.cohort.len();
        let mut states = vec![DIPLOID; samples];
        for call in &self.calls {
            let known = call.a < NOT_EXPECTED && (!reference || call.a == 0);
            states[call.sample as usize] = match (known, call.b) {
                (true, ABSENT) => HAPLOID,
                (true, b) if b < NOT_EXPECTED && (!reference || b == 0) => DIPLOID,
                _ => NO_STATE,
            };
        }
        let segment = self.out.segments.len() as u32 - 1;
        for (sample, mut state) in states.into_iter().enumerate() {
            if reference && self.confidence.get(sample).is_some_and(|&gq| gq < least) {
                state = NO_STATE;
            }
            let levels = if reference {
                self.stated.get(sample).copied().unwrap_or(UNSTATED)
            } else {
                Cell::of(&self.cells, sample, 0, false).levels
            };
            let levels = if state == NO_STATE { UNSTATED } else { levels };
            let sample = sample as u32;
            let block = Block { segment, start: site.pos, end, sample, state, levels };
            self.out.kept.blocks.push(block);
        }
    }

    /// Forgets how sure the last block was and says whether that of `site` is to be read.
    pub fn wants_confidence(&mut self, site: &Site<'_>) -> bool {
        self.confidence.clear();
        self.stated.clear();
        let wanted = self.context.keep.is_some() && is_reference(site.alt);
        if wanted {
            self.confidence.resize(self.context.cohort.len(), u8::MAX);
            let numbers = self.context.fields.numbers;
            self.stated.resize(if numbers { self.context.cohort.len() } else { 0 }, UNSTATED);
        }
        wanted
    }

    /// A reference block is this sure of the sample of a file column; `stated` gives the values of a field of
    /// [`CONFIDENCE`].
    pub fn set_confidence(&mut self, column: usize, stated: impl Fn(usize) -> Option<Vec<f64>>) {
        let sample = self.context.cohort.columns.get(column).copied();
        if let Some(slot) = sample.and_then(|sample| self.stated.get_mut(sample as usize)) {
            let value = |i| stated(i).and_then(|values| whole(*values.first()?));
            let either = |a, b| value(a).or_else(|| value(b)).unwrap_or(NONE);
            *slot = [either(GQ, RGQ), either(MIN_DP, DP)];
        }
        let slot = sample.and_then(|sample| self.confidence.get_mut(sample as usize));
        let Some(slot) = slot else { return };
        let sure = (0..CONFIDENCE.len()).find_map(|i| {
            let mut values = stated(i)?;
            match CONFIDENCE[i] {
                // How much less likely the second best genotype is.
                "PL" => {
                    values.sort_by(f64::total_cmp);
                    Some(values.get(1)? - values[0])
                }
                "MIN_DP" | "DP" => values.first().map(|depth| 3.0 * depth),
                _ => values.first().copied(),
            }
        });
        *slot = sure.map_or(u8::MAX, |gq| gq.clamp(0.0, 254.0) as u8);
    }

    /// Reads how sure a reference block of a VCF line is of its samples.
    pub fn read_confidence(&mut self, site: &Site<'_>, format: &[u8], cells: &[u8]) {
        if !self.wants_confidence(site) {
            return;
        }
        let at =
            CONFIDENCE.map(|key| format.split(|&b| b == b':').position(|k| k == key.as_bytes()));
        for (column, cell) in cells.split(|&b| b == b'\t').enumerate() {
            self.set_confidence(column, |i| {
                let value = cell.split(|&b| b == b':').nth(at[i]?)?;
                value.split(|&b| b == b',').map(number).collect()
            });
        }
    }
}

/// FORMAT fields that tell how sure a reference block is, the first that is there: GQ, what PL say, else
/// three times the depth (a hom-ref site of d reads has a GQ of `10 log10(2^d)`). Nothing stated is sure.
pub const CONFIDENCE: [&str; 5] = ["GQ", "RGQ", "PL", "MIN_DP", "DP"];
const GQ: usize = 0;
const RGQ: usize = 1;
const MIN_DP: usize = 3;
const DP: usize = 4;

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|v: &f64| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_for_their_calls() {
        for n in 0..CALLS.len() as u8 {
            let again = code(&call(7, n), 1);
            assert_eq!(again, if n == UNKNOWN { 2 } else { n });
            assert_eq!(call(7, n).sample, 7);
        }
        let of = |a, b, phased| code(&Call { sample: 0, a, b, phased }, 2);
        assert_eq!(of(1, 2, true), 4);
        assert_eq!(of(2, 1, true), 5);
        assert_eq!(of(1, 1, false), HOM_REF);
        assert_eq!(of(1, ABSENT, false), 8);
        assert_eq!(of(2, MISSING, false), 11);
    }
}
