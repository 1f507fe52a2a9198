//! What the page counts of variants: integers only, so that workers may add in any order.

use std::collections::BTreeMap;

use crate::genotype::allele::VariantType;

/// Upper ends (exclusive) of the AF bins behind singletons and doubletons, as gnomAD's.
pub const AF_ENDS: [f64; 14] =
    [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// Names of all AF bins, the absent allele first.
pub const AF_NAMES: [&str; 17] = [
    "none", "1 copy", "2 copies", "< .005 %", "< .01 %", "< .02 %", "< .05 %", "< .1 %", "< .2 %",
    "< .5 %", "< 1 %", "< 2 %", "< 5 %", "< 10 %", "< 20 %", "< 50 %", "50 % +",
];
/// Upper ends (inclusive) of the shares of missing calls; the first bin is none at all.
pub const MISSING_ENDS: [f64; 10] = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 1.0];
/// Names of these bins.
pub const MISSING_NAMES: [&str; 10] =
    ["none", "≤ .1 %", "≤ .2 %", "≤ .5 %", "≤ 1 %", "≤ 2 %", "≤ 5 %", "≤ 10 %", "≤ 20 %", "more"];
/// Bins of -log10 p a unit.
pub const P_STEPS: usize = 50;
/// Bins of -log10 p; the last takes all beyond.
pub const P_BINS: usize = 30 * P_STEPS;
/// Longest insertion or deletion with a bin of its own.
pub const INDEL: usize = 40;

/// What a variant counts as on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A single base.
    Snv,
    /// An insertion or deletion.
    Indel,
    /// All others.
    Other,
}

/// One variant, as the tables have it.
pub struct Variant<'a> {
    /// Index into [`VariantType::NAMES`].
    pub kind: usize,
    /// REF.
    pub reference: &'a str,
    /// ALT.
    pub alt: &'a str,
    /// Copies.
    pub ac: i32,
    /// Called chromosomes.
    pub an: i32,
    /// Called and missing samples.
    pub called: [i32; 2],
    /// Two-sided Hardy-Weinberg p, one-sided for too many hets.
    pub hwe: [Option<f64>; 2],
    /// No filter, filtered, not looked at.
    pub filter: usize,
    /// Of a record with several ALTs.
    pub split: bool,
    /// On chromosomes 1 to 22.
    pub autosomal: bool,
}

/// Counts over variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// All.
    pub variants: u64,
    /// By [`VariantType`].
    pub by_type: [u64; 6],
    /// PASS, filtered, not looked at.
    pub by_filter: [u64; 3],
    /// Of records with several ALTs.
    pub split: u64,
    /// Called and missing genotypes.
    pub calls: [u64; 2],
    /// By AF bin and class.
    pub af: [[u64; 3]; 17],
    /// By AF bin: transitions, transversions.
    pub ti_tv: [[u64; 2]; 17],
    /// By share of missing calls.
    pub missing: [u64; 10],
    /// Autosomal variants of 1 to 5 % and of 5 % and more, by -log10 p.
    pub hwe: [Vec<u64>; 2],
    /// Of the latter, p below 1e-6: too many hets, too few.
    pub hwe_out: [u64; 2],
    /// By length: deletions longer than [`INDEL`], down to 1, insertions 1 and up, longer.
    pub indels: Vec<u64>,
    /// By chromosome (rank, name) and Mb.
    pub density: BTreeMap<(u8, String), BTreeMap<u32, u64>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            variants: 0,
            by_type: [0; 6],
            by_filter: [0; 3],
            split: 0,
            calls: [0; 2],
            af: [[0; 3]; 17],
            ti_tv: [[0; 2]; 17],
            missing: [0; 10],
            hwe: [vec![0; P_BINS], vec![0; P_BINS]],
            hwe_out: [0; 2],
            indels: vec![0; 2 * INDEL + 2],
            density: BTreeMap::new(),
        }
    }
}

/// AF bin of `ac` copies among `an`.
pub fn af_bin(ac: i32, an: i32) -> usize {
    match ac {
        ..=0 => 0,
        1 => 1,
        2 => 2,
        _ => {
            let af = f64::from(ac) / f64::from(an.max(1));
            3 + AF_ENDS.iter().position(|&end| af < end).unwrap_or(AF_ENDS.len() - 1)
        }
    }
}

fn class(kind: usize) -> Class {
    match kind {
        k if k == VariantType::Snv as usize => Class::Snv,
        k if k == VariantType::Insertion as usize || k == VariantType::Deletion as usize => {
            Class::Indel
        }
        _ => Class::Other,
    }
}

impl Figures {
    /// Counts one variant, but for its place.
    pub fn add(&mut self, v: &Variant<'_>) {
        self.variants += 1;
        self.by_type[v.kind] += 1;
        self.by_filter[v.filter] += 1;
        self.split += u64::from(v.split);
        let class = class(v.kind);
        let bin = af_bin(v.ac, v.an);
        self.af[bin][class as usize] += 1;
        if class == Class::Snv {
            let ti =
                matches!((v.reference, v.alt), ("A", "G") | ("G", "A") | ("C", "T") | ("T", "C"));
            self.ti_tv[bin][usize::from(!ti)] += 1;
        }
        let (called, missing) = (v.called[0].max(0) as u64, v.called[1].max(0) as u64);
        self.calls[0] += called;
        self.calls[1] += missing;
        if called + missing > 0 {
            let share = missing as f64 / (called + missing) as f64;
            let bin = MISSING_ENDS.iter().position(|&end| share <= end).unwrap_or(9);
            self.missing[bin] += 1;
        }
        self.add_hwe(v);
        if class == Class::Indel {
            let change = v.alt.len() as i64 - v.reference.len() as i64;
            self.indels[indel_bin(change)] += 1;
        }
    }

    fn add_hwe(&mut self, v: &Variant<'_>) {
        let (Some(p), true) = (v.hwe[0], v.autosomal && v.an > 0) else { return };
        let af = f64::from(v.ac) / f64::from(v.an);
        let minor = af.min(1.0 - af);
        let common = match minor {
            m if m >= 0.05 => 1,
            m if m >= 0.01 => 0,
            _ => return,
        };
        let bin = (-p.max(f64::MIN_POSITIVE).log10() * P_STEPS as f64) as usize;
        self.hwe[common][bin.min(P_BINS - 1)] += 1;
        if p < 1e-6 {
            let excess = v.hwe[1].is_some_and(|e| e < 0.5);
            self.hwe_out[usize::from(!excess)] += 1;
        }
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: Self) {
        fn add(to: &mut [u64], from: &[u64]) {
            to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        }
        self.variants += other.variants;
        self.split += other.split;
        add(&mut self.by_type, &other.by_type);
        add(&mut self.by_filter, &other.by_filter);
        add(&mut self.calls, &other.calls);
        add(self.af.as_flattened_mut(), other.af.as_flattened());
        add(self.ti_tv.as_flattened_mut(), other.ti_tv.as_flattened());
        add(&mut self.missing, &other.missing);
        add(&mut self.hwe[0], &other.hwe[0]);
        add(&mut self.hwe[1], &other.hwe[1]);
        add(&mut self.hwe_out, &other.hwe_out);
        add(&mut self.indels, &other.indels);
        for (chrom, places) in other.density {
            let mine = self.density.entry(chrom).or_default();
            places.into_iter().for_each(|(mb, n)| *mine.entry(mb).or_default() += n);
        }
    }

    /// Transitions over transversions, of all AF bins or one.
    pub fn ti_tv_of(&self, bin: Option<usize>) -> Option<f64> {
        let of = |which: usize| match bin {
            Some(b) => self.ti_tv[b][which],
            None => self.ti_tv.iter().map(|x| x[which]).sum(),
        };
        (of(1) > 0).then(|| of(0) as f64 / of(1) as f64)
    }

    /// Called genotypes over all.
    pub fn call_rate(&self) -> Option<f64> {
        let all = self.calls[0] + self.calls[1];
        (all > 0).then(|| self.calls[0] as f64 / all as f64)
    }
}

/// Bin of a change in length.
pub fn indel_bin(change: i64) -> usize {
    let most = INDEL as i64;
    if change < 0 {
        (change.max(-most - 1) + most + 1) as usize
    } else {
        (change.clamp(1, most + 1) + most) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_those_of_their_names() {
        assert_eq!((af_bin(0, 10), af_bin(1, 10), af_bin(2, 10)), (0, 1, 2));
        assert_eq!(AF_NAMES[af_bin(3, 300)], "< 2 %"); // left-closed
        assert_eq!(AF_NAMES[af_bin(299, 30_000)], "< 1 %");
        assert_eq!(AF_NAMES[af_bin(5, 10)], "50 % +");
        assert_eq!(AF_NAMES[af_bin(10, 10)], "50 % +");
        assert_eq!(af_bin(3, 1_000_000), 3);
    }

    #[test]
    fn indel_lengths_have_a_bin_each() {
        let bins: Vec<usize> = (-41..=41).filter(|&c| c != 0).map(indel_bin).collect();
        assert_eq!(bins, (0..82).collect::<Vec<_>>());
        assert_eq!((indel_bin(-900), indel_bin(900)), (0, 81));
    }
}
