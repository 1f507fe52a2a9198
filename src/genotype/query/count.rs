//! Counts of a row group's variants in sets of samples.

use super::Unit;
use super::popcount::{Bits, Masks};
use super::read::{self, Form};
use crate::genotype::Error;

/// Genotype counts of a variant in a set of samples, with the meanings of the `variants` columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// `n_called`: diploid and haploid calls.
    pub called: u32,
    /// `n_missing`: calls that are expected and not there, half calls among them.
    pub missing: u32,
    /// `n_hom_ref`.
    pub hom_ref: u32,
    /// `n_het`.
    pub het: u32,
    /// `n_hom_alt`.
    pub hom_alt: u32,
    /// `n_hemi_ref`.
    pub hemi_ref: u32,
    /// `n_hemi_alt`.
    pub hemi_alt: u32,
}

impl Counts {
    /// Copies of the ALT.
    pub fn ac(&self) -> u32 {
        self.het + 2 * self.hom_alt + self.hemi_alt
    }

    /// Called alleles.
    pub fn an(&self) -> u32 {
        2 * (self.hom_ref + self.het + self.hom_alt) + self.hemi_ref + self.hemi_alt
    }

    /// `ac / an`; `None` when `an` is 0.
    pub fn af(&self) -> Option<f64> {
        (self.an() > 0).then(|| f64::from(self.ac()) / f64::from(self.an()))
    }

    fn of(bits: &Bits, size: u32) -> Self {
        let called = size - bits.both;
        Self {
            called,
            missing: bits.both - bits.none,
            hom_ref: called - bits.het - bits.hom - bits.hemi_ref,
            het: bits.het,
            hom_alt: bits.hom - bits.hemi_alt,
            hemi_ref: bits.hemi_ref,
            hemi_alt: bits.hemi_alt,
        }
    }
}

/// Counts of consecutive variants.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// By variant: `variant_idx`.
    pub variant_idx: Vec<i32>,
    /// By variant: `pos`.
    pub pos: Vec<i32>,
    /// By variant, then by set.
    pub counts: Vec<Counts>,
}

fn bit(plane: &[u8], i: usize) -> bool {
    plane.get(i >> 3).is_some_and(|b| b >> (i & 7) & 1 == 1)
}

pub fn count(unit: Unit<'_>, samples: usize, masks: &Masks) -> Result<Counted, Error> {
    let mut out = Counted::default();
    let mut bits = vec![Bits::default(); masks.sizes.len()];
    let empty = vec![0u8; samples.div_ceil(8)];
    read::rows(unit, samples, false, |row| {
        match row.form {
            Form::Planes(het, hom) => masks.count(het, hom, row.haploid, &mut bits),
            Form::Lists([het, hom, missing]) => {
                match row.haploid {
                    // Counts every haploid bit as hemi-ref; those of the lists are taken back below.
                    Some(one) => masks.count(&empty, &empty, Some(one), &mut bits),
                    None => bits.fill(Bits::default()),
                }
                lists(masks, [het, hom, missing], row.haploid, &mut bits);
            }
        }
        out.variant_idx.push(row.variant_idx);
        out.pos.push(row.pos);
        out.counts.extend(bits.iter().zip(&masks.sizes).map(|(b, &size)| Counts::of(b, size)));
    })?;
    Ok(out)
}

fn lists(masks: &Masks, lists: [&[i32]; 3], haploid: Option<&[u8]>, bits: &mut [Bits]) {
    let one = |sample: usize| haploid.is_some_and(|p| bit(p, sample));
    let [het, hom, missing] = lists;
    for &sample in het {
        masks.add(sample as usize, bits, |b| &mut b.het);
    }
    for &sample in hom {
        masks.add(sample as usize, bits, |b| &mut b.hom);
        if one(sample as usize) {
            masks.add(sample as usize, bits, |b| &mut b.hemi_alt);
        }
    }
    for &sample in missing {
        masks.add(sample as usize, bits, |b| &mut b.both);
        if one(sample as usize) {
            masks.add(sample as usize, bits, |b| &mut b.none);
        }
    }
    for b in bits {
        // No het call is haploid.
        b.hemi_ref -= (b.hemi_alt + b.none).min(b.hemi_ref);
    }
}
