//! Single calls: carriers of a variant, or the calls of one person.

use super::read::{self, Form};
use super::{SampleSet, Unit};
use crate::genotype::Error;

/// A call that is not plain hom-ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Genotype {
    /// One copy of two.
    Het,
    /// Two copies.
    HomAlt,
    /// One copy of one.
    HemiAlt,
    /// Not called, for whatever reason.
    Missing,
}

impl Genotype {
    /// The word for it: as the codes of `carriers.gt` are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::Het => "het",
            Self::HomAlt => "hom_alt",
            Self::HemiAlt => "hemi_alt",
            Self::Missing => "missing",
        }
    }
}

/// A call of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// `variant_idx`.
    pub variant_idx: i32,
    /// `pos`.
    pub pos: i32,
    /// `sample_idx`.
    pub sample_idx: u32,
    /// What was called.
    pub genotype: Genotype,
    /// Of a het: whether the ALT is on the second haplotype; `None` where no het of the variant is phased.
    pub second: Option<bool>,
}

fn bit(plane: &[u8], i: usize) -> bool {
    plane.get(i >> 3).is_some_and(|b| b >> (i & 7) & 1 == 1)
}

pub fn calls(
    unit: Unit<'_>,
    samples: usize,
    set: &SampleSet,
    missing: bool,
) -> Result<Vec<Call>, Error> {
    let mut out = Vec::new();
    let sparse: Option<Vec<usize>> = (set.len() as usize * 64 <= samples)
        .then(|| (0..samples).filter(|&i| set.contains(i)).collect());
    read::rows(unit, samples, true, |row| {
        let mut push = |sample: usize, het: bool, hom: bool| {
            let one = row.haploid.is_some_and(|p| bit(p, sample));
            let genotype = match (het, hom) {
                (true, false) => Genotype::Het,
                (false, true) if one => Genotype::HemiAlt,
                (false, true) => Genotype::HomAlt,
                (true, true) if missing && !one => Genotype::Missing,
                _ => return,
            };
            let second = match (row.phase, row.phase_idx) {
                (Some(plane), _) => Some(bit(plane, sample)),
                (None, Some(list)) => Some(list.binary_search(&(sample as i32)).is_ok()),
                (None, None) => None,
            };
            let second = second.filter(|_| genotype == Genotype::Het);
            let (variant_idx, pos) = (row.variant_idx, row.pos);
            out.push(Call { variant_idx, pos, sample_idx: sample as u32, genotype, second });
        };
        match (row.form, &sparse) {
            (Form::Planes(het, hom), Some(few)) => {
                few.iter().for_each(|&i| push(i, bit(het, i), bit(hom, i)));
            }
            (Form::Planes(het, hom), None) => {
                for (i, (&h, &m)) in
                    het.iter().zip(hom).enumerate().filter(|(_, (h, m))| **h | **m > 0)
                {
                    (0..8)
                        .filter(|b| (h | m) >> b & 1 == 1 && set.contains(i * 8 + b))
                        .for_each(|b| push(i * 8 + b, h >> b & 1 == 1, m >> b & 1 == 1));
                }
            }
            (Form::Lists([het, hom, none]), _) => {
                let mut all: Vec<(i32, bool, bool)> =
                    het.iter().map(|&i| (i, true, false)).collect();
                all.extend(hom.iter().map(|&i| (i, false, true)));
                all.extend(none.iter().map(|&i| (i, true, true)));
                all.sort_unstable();
                for (i, het, hom) in all.into_iter().filter(|(i, ..)| set.contains(*i as usize)) {
                    push(i as usize, het, hom);
                }
            }
        }
    })?;
    Ok(out)
}
