//! From bit planes to the rows of `carriers` and to the per-sample counters, in one walk over set bits.

use super::region::Region;
use super::shard::{Extra, Phasing, Row, ShardRows};
use super::summary::Values;
use super::tally::{MISSING, Part, SLOTS, Tally};

/// Codes of `carriers.gt`.
const HET: i8 = 1;
const HOM_ALT: i8 = 2;
const HEMI_ALT: i8 = 3;
const HALF: i8 = 4;
const NO_CALL: i8 = 5;

/// Codes of [`Rows::phased`].
pub const UNPHASED: u8 = 0;
/// Phased call.
pub const PHASED: u8 = 1;
/// No diploid call: phase means nothing.
pub const NO_PHASE: u8 = 2;

/// Rows of `carriers`, sorted by (variant, sample).
#[derive(Debug, Default)]
pub struct Rows {
    /// By variant: ordinal, position and end of its rows.
    pub runs: Vec<(i32, i32, usize)>,
    /// `sample_idx`.
    pub sample: Vec<i32>,
    /// `gt`.
    pub gt: Vec<i8>,
    /// `phased`.
    pub phased: Vec<u8>,
    /// Values of FORMAT fields, if any are kept.
    pub values: Vec<Values>,
}

impl Rows {
    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.sample.clear();
        self.gt.clear();
        self.phased.clear();
        self.values.clear();
    }
}

/// 64 bits of a plane, short at its end.
#[inline(always)]
fn word(plane: &[u8], i: usize) -> u64 {
    let part = &plane[i * 8..plane.len().min(i * 8 + 8)];
    match <[u8; 8]>::try_from(part) {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => part.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b)),
    }
}

fn bit(plane: Option<&[u8]>, i: usize) -> bool {
    plane.is_some_and(|p| p[i >> 3] >> (i & 7) & 1 == 1)
}

/// Counts row `i` of `shard`, which has `samples` people, into `tally`, and appends its carriers to `rows` if there are such.
pub fn visit(
    shard: &ShardRows,
    i: usize,
    variant_idx: i32,
    (tally, samples): (&mut Tally, usize),
    rows: Option<&mut Rows>,
) {
    let row = &shard.rows[i];
    let part = tally.part(row.region, samples);
    let expected = part.open(row);
    let (het, hom) = shard.planes(i);
    let visit = Visit { shard, row, het, hom, expected };
    let c = &row.counts;
    let plain = c.missing + c.hemi_ref + c.hemi_alt == 0
        && row.phasing != Phasing::Mixed
        && shard.extra(row, Extra::NotExpected).is_none();
    match rows {
        Some(rows) => {
            if plain {
                let from = rows.sample.len();
                visit.plain(part, |sample, gt| {
                    rows.sample.push(sample);
                    rows.gt.push(gt);
                });
                let phased = if row.phasing == Phasing::All { PHASED } else { UNPHASED };
                let n = rows.sample.len() - from;
                rows.phased.resize(from + n, phased);
            } else {
                visit.any(part, |sample, gt, phased| {
                    rows.sample.push(sample);
                    rows.gt.push(gt);
                    rows.phased.push(phased);
                });
            }
            rows.runs.push((variant_idx, row.pos, rows.sample.len()));
        }
        None if plain => visit.plain(part, |_, _| {}),
        None => visit.any(part, |_, _, _| {}),
    }
    if c.het + c.hom_alt + c.hemi_alt == 1 {
        visit.only_carrier(part, c.ac() == 1);
    }
}

struct Visit<'a> {
    shard: &'a ShardRows,
    row: &'a Row,
    het: &'a [u8],
    hom: &'a [u8],
    expected: u64,
}

impl Visit<'_> {
    /// A row with het and hom-alt calls only.
    #[inline(always)]
    fn plain(&self, part: &mut Part, mut emit: impl FnMut(i32, i8)) {
        let base = self.row.change as usize * 3;
        for i in 0..self.het.len().div_ceil(8) {
            let (h, m) = (word(self.het, i), word(self.hom, i));
            let mut rest = h | m;
            while rest != 0 {
                let at = rest.trailing_zeros();
                rest &= rest - 1;
                let sample = i * 64 + at as usize;
                let alt = (m >> at & 1) as usize;
                part.counts[sample * SLOTS + base + alt] += 1;
                emit(sample as i32, HET + alt as i8);
            }
        }
    }

    /// Any row.
    fn any(&self, part: &mut Part, mut emit: impl FnMut(i32, i8, u8)) {
        let base = self.row.change as usize * 3;
        let extra = |which| self.shard.extra(self.row, which);
        let (half, haploid) = (extra(Extra::Half), extra(Extra::Haploid));
        let (none, mixed) = (extra(Extra::NotExpected), extra(Extra::Phased));
        let contrary = extra(Extra::Contrary);
        // Where most calls are haploid nothing is counted of those without the ALT.
        let on_x = self.row.region == Region::X;
        let sparse = on_x || matches!(self.row.region, Region::Y | Region::M);
        let walked = haploid.filter(|_| !sparse);
        let phase = |sample| match self.row.phasing {
            Phasing::All => PHASED,
            Phasing::Never => UNPHASED,
            Phasing::Mixed => u8::from(bit(mixed, sample)),
        };
        for i in 0..self.het.len().div_ceil(8) {
            let (h, m) = (word(self.het, i), word(self.hom, i));
            let mut rest = h | m | walked.map_or(0, |p| word(p, i));
            while rest != 0 {
                let at = rest.trailing_zeros();
                rest &= rest - 1;
                let sample = i * 64 + at as usize;
                let counts = &mut part.counts[sample * SLOTS..(sample + 1) * SLOTS];
                match (h >> at & 1, m >> at & 1) {
                    (1, 0) => {
                        counts[base] += 1;
                        emit(sample as i32, HET, phase(sample));
                        continue;
                    }
                    (0, 1) if !bit(haploid, sample) => {
                        counts[base + 1] += 1;
                        emit(sample as i32, HOM_ALT, phase(sample));
                        continue;
                    }
                    (0, 1) => {
                        counts[base + 2] += 1;
                        emit(sample as i32, HEMI_ALT, NO_PHASE);
                        if on_x {
                            continue;
                        }
                    }
                    (1, 1) if bit(none, sample) => {
                        part.contrary[sample] += u32::from(bit(contrary, sample));
                    }
                    (1, 1) => {
                        counts[MISSING] += 1;
                        let gt = if bit(half, sample) { HALF } else { NO_CALL };
                        emit(sample as i32, gt, NO_PHASE);
                        if bit(contrary, sample) {
                            part.contrary[sample] += 1;
                            continue;
                        }
                    }
                    _ => {}
                }
                part.not_diploid[sample] += 1;
                part.not_expected_het[sample] += self.expected;
            }
        }
    }

    /// One carrier in the whole cohort: the sample with one bit of the two set.
    fn only_carrier(&self, part: &mut Part, one_copy: bool) {
        for i in 0..self.het.len().div_ceil(8) {
            let one = word(self.het, i) ^ word(self.hom, i);
            if one != 0 {
                let sample = i * 64 + one.trailing_zeros() as usize;
                part.private[sample] += 1;
                part.singletons[sample] += u32::from(one_copy);
                return;
            }
        }
    }
}
