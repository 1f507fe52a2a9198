//! The calls of a record with regard to one ALT: bits into planes, counts by class.

use super::super::super::gt::{ABSENT, Call, FILTERED, MISSING, NOT_EXPECTED, UNSUPPORTED};
use super::*;

/// What one ALT of a record came to.
pub struct Scatter {
    /// Which of the extra planes have a bit.
    pub used: [bool; EXTRAS],
    /// Whether the calls are phased.
    pub phasing: Phasing,
}

impl Builder<'_> {
    /// Writes the planes of one ALT behind those already there.
    pub fn scatter(&mut self, allele: u16, region: Region) -> Scatter {
        let stride = self.out.stride;
        let at = self.out.planes.len();
        self.out.planes.resize(at + 2 * stride, 0);
        let (het, hom) = self.out.planes[at..].split_at_mut(stride);
        let [phase, half, haploid, not_expected, phased, contrary] = &mut self.scratch;
        let mut used = [false; EXTRAS];
        let mut unphased = false;
        let cohort = &self.context.cohort;
        // Who has one copy is known before any call is looked at, so that no hom-ref has to be.
        let one_copy = match region {
            Region::X | Region::Y => Some(&cohort.male_plane),
            Region::M => Some(&cohort.full_plane),
            Region::Autosome | Region::Par | Region::Other => None,
        };
        if let Some(plane) = one_copy {
            haploid.copy_from_slice(plane);
            used[Extra::Haploid as usize] = true;
        }
        self.slots.fill([0; CLASSES]);
        for call in &self.calls {
            let sample = call.sample as usize;
            let mut class = class(call, allele);
            let (byte, bit) = (sample >> 3, 1u8 << (sample & 7));
            if one_copy.is_some_and(|plane| plane[byte] & bit != 0) {
                class = of_one_copy(class);
            }
            self.slots[usize::from(cohort.cell_of[sample])][class] += 1;
            match class {
                HET | HOM_ALT => {
                    if class == HET {
                        het[byte] |= bit
                    } else {
                        hom[byte] |= bit
                    }
                    if call.phased {
                        phased[byte] |= bit;
                        used[Extra::Phased as usize] = true;
                        if class == HET && call.b == allele {
                            phase[byte] |= bit;
                            used[Extra::Phase as usize] = true;
                        } else if class == HET {
                            used[Extra::Phase as usize] = true;
                        }
                    } else {
                        unphased = true;
                    }
                }
                HOM_REF => {}
                HEMI_REF => set(haploid, &mut used, Extra::Haploid, byte, bit),
                HEMI_ALT => {
                    hom[byte] |= bit;
                    set(haploid, &mut used, Extra::Haploid, byte, bit);
                }
                _ => {
                    het[byte] |= bit;
                    hom[byte] |= bit;
                    if class == HALF {
                        set(half, &mut used, Extra::Half, byte, bit);
                    } else if class == NONE_EXPECTED {
                        set(not_expected, &mut used, Extra::NotExpected, byte, bit);
                    }
                    if class == HET_HAP || (class == NONE_EXPECTED && call.b == NOT_EXPECTED) {
                        set(contrary, &mut used, Extra::Contrary, byte, bit);
                    }
                }
            }
        }
        let any_phased = used[Extra::Phased as usize];
        let phasing = match (any_phased, unphased) {
            (true, true) => Phasing::Mixed,
            (false, true) => Phasing::Never,
            _ => Phasing::All,
        };
        if any_phased && phasing != Phasing::Mixed {
            used[Extra::Phased as usize] = false;
            phased.fill(0);
        }
        Scatter { used, phasing }
    }
}

fn set(plane: &mut [u8], used: &mut [bool; EXTRAS], which: Extra, byte: usize, bit: u8) {
    plane[byte] |= bit;
    used[which as usize] = true;
}

/// What a call becomes where one copy is expected (gnomAD's `adjusted_sex_ploidy_expr`): two equal
/// alleles are one, two different ones are an error.
#[inline(always)]
fn of_one_copy(class: usize) -> usize {
    match class {
        HOM_REF => HEMI_REF,
        HOM_ALT => HEMI_ALT,
        HET => HET_HAP,
        other => other,
    }
}

/// The class of a call with regard to one ALT; other ALT alleles count as not this one.
#[inline(always)]
fn class(call: &Call, allele: u16) -> usize {
    if call.a < NOT_EXPECTED && call.b < NOT_EXPECTED {
        return usize::from(call.a == allele) + usize::from(call.b == allele);
    }
    match (call.a, call.b) {
        (NOT_EXPECTED, _) => NONE_EXPECTED,
        (MISSING, MISSING | ABSENT) | (UNSUPPORTED | FILTERED, _) => NO_CALL,
        (a, ABSENT) => {
            if a == allele {
                HEMI_ALT
            } else {
                HEMI_REF
            }
        }
        _ => HALF,
    }
}
