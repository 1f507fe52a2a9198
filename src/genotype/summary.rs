//! What the FORMAT fields of a row come to, computed while the row's values are at hand.
//!
//! Whether a cell is called is read off the row's planes (both bits: not called), so that the call model
//! is in one place. A hemizygous ALT is on the hom-alt plane.

use super::cohort::Cohort;
use super::fields::{Cells, NONE, Reads, Rules};
use super::histogram::{self, AGES, BALANCES, LEVELS, NO_AGE, VALUES};

/// Values of one cell that `carriers` can keep: GQ, DP, AD of REF, AD of ALT.
pub type Values = [u32; 4];
/// `quality`: missing.
pub const NO_VALUE: u16 = u16::MAX;

/// A sum and how many values went in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// The sum.
    pub total: u64,
    /// Number of values.
    pub count: u64,
}

impl Sum {
    /// Mean; `None` of nothing.
    pub fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.total as f64 / self.count as f64)
    }
}

/// Sums and histograms of a row over its called cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// DP.
    pub dp: Sum,
    /// GQ.
    pub gq: Sum,
    /// GQ and DP of all called cells, then GQ and DP of those with the ALT.
    pub histograms: [[i32; VALUES]; 4],
    /// Share of the ALT in the reads of hets.
    pub balance: [i32; BALANCES],
}

/// DP and GQ by sample, over records that have a row and in which the sample is called.
#[derive(Debug, Clone, Default)]
pub struct SampleSums {
    /// DP.
    pub dp: Vec<Sum>,
    /// GQ.
    pub gq: Vec<Sum>,
}

impl SampleSums {
    /// Adds those of a shard.
    pub fn merge(&mut self, other: &Self) {
        for (to, from) in [(&mut self.dp, &other.dp), (&mut self.gq, &other.gq)] {
            to.resize(to.len().max(from.len()), Sum::default());
            for (a, b) in to.iter_mut().zip(from) {
                a.total += b.total;
                a.count += b.count;
            }
        }
    }
}

/// The rows of a shard, in its order.
#[derive(Debug, Default)]
pub struct Summaries {
    /// By sample.
    pub samples: SampleSums,
    rows: Vec<Summary>,
    ages: Vec<[[i32; AGES]; 2]>,
    values: Vec<Values>,
    value_ends: Vec<usize>,
    filtered: Vec<u32>,
    filtered_ends: Vec<usize>,
    quality: Vec<u16>,
    adj: Vec<[i32; 4]>,
    groups: usize,
    failing: Vec<u32>,
}

/// A row whose calls have been laid out.
pub struct View<'a> {
    /// Het plane.
    pub het: &'a [u8],
    /// Hom-alt plane.
    pub hom: &'a [u8],
    /// Haploid calls, if any.
    pub haploid: Option<&'a [u8]>,
    /// ALT number in the source record.
    pub allele: usize,
    /// `[ac, an, hom, hemi]` of all samples.
    pub total: [i32; 4],
    /// The same by ancestry group.
    pub groups: &'a [[i32; 4]],
    /// Whether it is the first row of its record.
    pub first: bool,
}

fn bit(plane: &[u8], i: usize) -> bool {
    plane[i >> 3] >> (i & 7) & 1 == 1
}

/// Calls `each` with the ordinals of the bits set in `byte(i)`, ascending.
fn set_bits(bytes: usize, byte: impl Fn(usize) -> u8, mut each: impl FnMut(usize)) {
    for i in 0..bytes {
        let mut rest = byte(i);
        while rest != 0 {
            each(i * 8 + rest.trailing_zeros() as usize);
            rest &= rest - 1;
        }
    }
}

fn span<'a, T>(items: &'a [T], ends: &[usize], i: usize) -> Option<&'a [T]> {
    let end = *ends.get(i)?;
    let start = if i == 0 { 0 } else { ends[i - 1] };
    items.get(start..end)
}

impl Summaries {
    /// Appends the summary of a row; `filtered` are the samples that FT filtered, ascending.
    pub fn push(
        &mut self,
        view: &View<'_>,
        cells: &Cells,
        filtered: &[u32],
        rules: &Rules,
        cohort: &Cohort,
    ) {
        self.filtered.extend_from_slice(filtered);
        self.filtered_ends.push(self.filtered.len());
        if !rules.ages.is_empty() {
            self.ages.push(ages(view, &rules.ages));
        }
        if !rules.numbers {
            return;
        }
        self.rows.push(summary(view, cells));
        if view.first {
            self.by_sample(view, cells, cohort.len());
        }
        if !rules.kept.is_empty() {
            self.keep_values(view, cells);
        }
        if rules.quality {
            self.keep_quality(view, cells, cohort.len());
        }
        if rules.calls.has_adj() {
            self.adjust(view, cells, rules, cohort);
        }
    }

    /// Gives back the memory that only the scan needs.
    pub fn finish(&mut self) {
        self.failing = Vec::new();
        self.values.shrink_to_fit();
        self.quality.shrink_to_fit();
    }

    fn by_sample(&mut self, view: &View<'_>, cells: &Cells, samples: usize) {
        let SampleSums { dp, gq } = &mut self.samples;
        for (sums, values) in [(dp, &cells.dp), (gq, &cells.gq)] {
            if values.is_empty() {
                continue;
            }
            sums.resize(samples, Sum::default());
            for (sum, &value) in sums.iter_mut().zip(values) {
                let known = value != NONE;
                sum.total += u64::from(if known { value } else { 0 });
                sum.count += u64::from(known);
            }
            // Few are not called: taken back.
            set_bits(
                view.het.len(),
                |i| view.het[i] & view.hom[i],
                |sample| {
                    let value = values[sample];
                    if value != NONE {
                        sums[sample].total -= u64::from(value);
                        sums[sample].count -= 1;
                    }
                },
            );
            for sample in cells.repeats.iter().map(|&sample| sample as usize) {
                let called = !(bit(view.het, sample) && bit(view.hom, sample));
                if called && values[sample] != NONE {
                    sums[sample].total -= u64::from(values[sample]);
                    sums[sample].count -= 1;
                }
            }
        }
    }

    fn keep_values(&mut self, view: &View<'_>, cells: &Cells) {
        let of = |column: &[u32], sample: usize| column.get(sample).copied().unwrap_or(NONE);
        set_bits(
            view.het.len(),
            |i| view.het[i] | view.hom[i],
            |sample| {
                let Reads { reference, alt, .. } = cells.reads(sample, view.allele);
                self.values.push([of(&cells.gq, sample), of(&cells.dp, sample), reference, alt]);
            },
        );
        self.value_ends.push(self.values.len());
    }

    /// DP, GQ and AD of the ALT of all called cells; what 16 bits cannot hold is their largest value.
    fn keep_quality(&mut self, view: &View<'_>, cells: &Cells, samples: usize) {
        let at = self.quality.len();
        self.quality.resize(at + 3 * samples, NO_VALUE);
        let short = |value: u32| match value {
            NONE => NO_VALUE,
            value => value.min(u32::from(NO_VALUE) - 1) as u16,
        };
        let (dp, rest) = self.quality[at..].split_at_mut(samples);
        let (gq, alt) = rest.split_at_mut(samples);
        for (to, from) in [(&mut *dp, &cells.dp), (&mut *gq, &cells.gq)] {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = short(from);
            }
        }
        for (sample, to) in alt.iter_mut().enumerate() {
            *to = short(cells.reads(sample, view.allele).alt);
        }
        set_bits(
            view.het.len(),
            |i| view.het[i] & view.hom[i],
            |sample| {
                (dp[sample], gq[sample], alt[sample]) = (NO_VALUE, NO_VALUE, NO_VALUE);
            },
        );
    }

    /// The row's counts less the calls that fail a threshold; a missing value fails.
    fn adjust(&mut self, view: &View<'_>, cells: &Cells, rules: &Rules, cohort: &Cohort) {
        let samples = cohort.len();
        let below = |column: &[u32], sample: usize, floor: Option<u32>| {
            floor.is_some_and(|min| {
                column.get(sample).is_none_or(|&value| value == NONE || value < min)
            })
        };
        let (gq, dp) = (rules.calls.min_gq.map(u32::from), rules.calls.min_dp);
        if view.first {
            self.failing.clear();
            let fails =
                |s: &u32| below(&cells.gq, *s as usize, gq) || below(&cells.dp, *s as usize, dp);
            self.failing.extend((0..samples as u32).filter(fails));
        }
        self.groups = view.groups.len();
        let at = self.adj.len();
        self.adj.extend_from_slice(view.groups);
        self.adj.push(view.total);
        let counts = &mut self.adj[at..];
        let all = counts.len() - 1;
        let mut fail = |sample: usize| {
            let state = match (bit(view.het, sample), bit(view.hom, sample)) {
                (true, true) => return,
                (true, false) => [1, 2, 0, 0],
                (false, alt) => {
                    let (alt, single) =
                        (i32::from(alt), view.haploid.is_some_and(|p| bit(p, sample)));
                    if single { [alt, 1, 0, alt] } else { [2 * alt, 2, alt, 0] }
                }
            };
            let group = usize::from(cohort.group_of[sample]);
            // Samples of no group count in the total alone.
            let groups = [Some(all), Some(group).filter(|&g| g < all)];
            for slots in groups.into_iter().flatten() {
                for (slot, n) in counts[slots].iter_mut().zip(state) {
                    *slot -= n;
                }
            }
        };
        self.failing.iter().for_each(|&sample| fail(sample as usize));
        if let Some(min) = rules.calls.min_ab {
            set_bits(
                view.het.len(),
                |i| view.het[i] & !view.hom[i],
                |sample| {
                    let reads = cells.reads(sample, view.allele);
                    let share = f64::from(reads.alt) / reads.total as f64;
                    let passes = reads.total > 0 && share >= min;
                    if !passes && !below(&cells.gq, sample, gq) && !below(&cells.dp, sample, dp) {
                        fail(sample);
                    }
                },
            );
        }
    }

    /// Sums and histograms of row `i`; `None` when fields are not read.
    pub fn row(&self, i: usize) -> Option<&Summary> {
        self.rows.get(i)
    }

    /// Ages of the hets and of the hom-alts (hemizygotes among them) of row `i`.
    pub fn ages(&self, i: usize) -> Option<&[[i32; AGES]; 2]> {
        self.ages.get(i)
    }

    /// Values of row `i`, one for each bit set in one of its planes, in sample order.
    pub fn values(&self, i: usize) -> &[Values] {
        span(&self.values, &self.value_ends, i).unwrap_or_default()
    }

    /// Samples of row `i` whose call was filtered, ascending.
    pub fn filtered(&self, i: usize) -> &[u32] {
        span(&self.filtered, &self.filtered_ends, i).unwrap_or_default()
    }

    /// DP, GQ and AD of the ALT of row `i`, a value for each of `samples` samples.
    pub fn quality(&self, i: usize, samples: usize) -> [&[u16]; 3] {
        let part = |k: usize| {
            let at = (3 * i + k) * samples;
            self.quality.get(at..at + samples).unwrap_or_default()
        };
        [part(0), part(1), part(2)]
    }

    /// `[ac, an, hom, hemi]` of the calls of row `i` that pass the thresholds, by ancestry group and then of
    /// all samples; empty without thresholds.
    pub fn adj(&self, i: usize) -> &[[i32; 4]] {
        let width = self.groups + 1;
        self.adj.get(i * width..(i + 1) * width).unwrap_or_default()
    }
}

fn ages(view: &View<'_>, slots: &[u8]) -> [[i32; AGES]; 2] {
    let mut ages = [[0; AGES]; 2];
    set_bits(
        view.het.len(),
        |i| view.het[i] ^ view.hom[i],
        |sample| {
            let slot = slots[sample];
            if slot != NO_AGE {
                ages[usize::from(bit(view.hom, sample))][usize::from(slot)] += 1;
            }
        },
    );
    ages
}

fn summary(view: &View<'_>, cells: &Cells) -> Summary {
    let mut summary = Summary::default();
    let [gq_all, dp_all, gq_alt, dp_alt] = &mut summary.histograms;
    (summary.gq, *gq_all, *gq_alt) = column(view, &cells.gq);
    (summary.dp, *dp_all, *dp_alt) = column(view, &cells.dp);
    if !cells.ad.is_empty() {
        set_bits(
            view.het.len(),
            |i| view.het[i] & !view.hom[i],
            |sample| {
                let reads = cells.reads(sample, view.allele);
                if reads.total > 0 {
                    summary.balance[histogram::balance(reads.alt, reads.total)] += 1;
                }
            },
        );
    }
    summary
}

/// Sum over called cells, and histograms of them and of those with the ALT.
fn column(view: &View<'_>, values: &[u32]) -> (Sum, [i32; VALUES], [i32; VALUES]) {
    if values.is_empty() {
        return (Sum::default(), [0; VALUES], [0; VALUES]);
    }
    let level = |value: u32| (value as usize).min(LEVELS - 1);
    // Two tables by turns: equal values in a row would wait for each other.
    let mut all = [[0; LEVELS]; 2];
    let mut alt = [0; LEVELS];
    let (mut sum, mut missing) = (Sum::default(), 0);
    for pair in values.chunks(2) {
        for (table, &value) in all.iter_mut().zip(pair) {
            table[level(value)] += 1;
        }
    }
    for &value in values {
        missing += i32::from(value == NONE);
        sum.total += u64::from(if value == NONE { 0 } else { value });
    }
    sum.count = values.len() as u64 - missing as u64;
    set_bits(
        view.het.len(),
        |i| view.het[i] & view.hom[i],
        |sample| {
            let value = values[sample];
            all[0][level(value)] -= 1;
            if value == NONE {
                missing -= 1;
            } else {
                sum.total -= u64::from(value);
                sum.count -= 1;
            }
        },
    );
    set_bits(
        view.het.len(),
        |i| view.het[i] ^ view.hom[i],
        |sample| {
            if values[sample] != NONE {
                alt[level(values[sample])] += 1;
            }
        },
    );
    let [mut first, second] = all;
    first.iter_mut().zip(second).for_each(|(a, b)| *a += b);
    // Missing values were counted with the large ones.
    first[LEVELS - 1] -= missing;
    (sum, histogram::fold(&first), histogram::fold(&alt))
}
