//! Genotypes of two bits, 32 a word: 0 hom-ref, 1 het, 2 hom-alt, 3 missing, the first in the lowest bits.
//!
//! That is the encoding of .pgen; .bed has another one, which [`of_bed`] translates a word at a time.

use crate::genotype::gt::{Call, EXCLUDED, MISSING};

/// Genotypes a word.
pub const PER_WORD: usize = 32;
/// The low bit of each genotype.
pub const LOW: u64 = 0x5555_5555_5555_5555;

/// Words of `n` genotypes.
pub fn words(n: usize) -> usize {
    n.div_ceil(PER_WORD)
}

/// The bits that genotypes take in the last of the words of `n` genotypes.
pub fn last_mask(n: usize) -> u64 {
    match n % PER_WORD {
        0 => u64::MAX,
        rest => (1 << (2 * rest)) - 1,
    }
}

/// The words of packed bytes, the last one filled up with zeros.
pub fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let chunks = bytes.chunks_exact(8);
    let rest = chunks.remainder();
    let tail = (!rest.is_empty()).then(|| {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        u64::from_le_bytes(word)
    });
    let full = chunks.map(|c| u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]));
    full.chain(tail)
}

/// Translates .bed codes (0 hom A1, 1 missing, 2 het, 3 hom A2) with A2 as REF.
#[inline(always)]
pub fn of_bed(word: u64) -> u64 {
    let word = !word;
    word ^ ((word >> 1) & LOW)
}

/// Swaps hom-ref and hom-alt.
#[inline(always)]
pub fn inverted(word: u64) -> u64 {
    word ^ ((!word & LOW) << 1)
}

/// Spreads 32 bits to the low bits of 32 genotypes.
#[inline(always)]
pub fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & LOW
}

/// The genotype of a sample; 0 behind the end.
pub fn get(row: &[u64], sample: u32) -> u8 {
    let word = row.get(sample as usize / PER_WORD).copied().unwrap_or(0);
    ((word >> (2 * (sample as usize % PER_WORD))) & 3) as u8
}

/// Sets the genotype of a sample, if the row has it.
pub fn set(row: &mut [u64], sample: u32, code: u8) {
    if let Some(word) = row.get_mut(sample as usize / PER_WORD) {
        let shift = 2 * (sample as usize % PER_WORD);
        *word = *word & !(3 << shift) | u64::from(code & 3) << shift;
    }
}

/// Calls `each` with the sample and code of all that are not hom-ref, in order.
#[inline(always)]
pub fn for_each(row: impl Iterator<Item = u64>, mut each: impl FnMut(usize, u8)) {
    for (i, word) in row.enumerate() {
        let mut left = (word | word >> 1) & LOW;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            each(i * PER_WORD + at as usize / 2, ((word >> at) & 3) as u8);
        }
    }
}

/// Appends the calls of a biallelic unphased row and returns the largest allele index of any column.
///
/// The row must have no bits behind the last of `columns`.
pub fn emit(row: impl Iterator<Item = u64>, columns: &[u32], calls: &mut Vec<Call>) -> u16 {
    const ALLELES: [(u16, u16); 4] = [(0, 0), (0, 1), (1, 1), (MISSING, MISSING)];
    let mut carried = 0;
    let row = row.inspect(|word| carried |= (word ^ word >> 1) & LOW);
    for_each(row, |sample, code| {
        let column = columns.get(sample).copied().unwrap_or(EXCLUDED);
        if column != EXCLUDED {
            let (a, b) = ALLELES[usize::from(code)];
            calls.push(Call { sample: column, a, b, phased: false });
        }
    });
    u16::from(carried != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_translated_as_single_genotypes_are(word: u64, bits: u32) {
            for k in 0..32 {
                let at = |w: u64| (w >> (2 * k)) & 3;
                // bed 00, 01, 10, 11 are hom A1, missing, het, hom A2.
                prop_assert_eq!(at(of_bed(word)), [2, 3, 1, 0][at(word) as usize]);
                prop_assert_eq!(at(inverted(word)), [2, 1, 0, 3][at(word) as usize]);
                prop_assert_eq!(at(spread(bits)), u64::from(bits >> k & 1));
            }
        }

        #[test]
        fn emits_what_a_plain_loop_does(codes in proptest::collection::vec(0u8..4, 0..200), skip in 1usize..9) {
            let mut row = vec![0; words(codes.len())];
            for (i, &code) in codes.iter().enumerate() {
                set(&mut row, i as u32, code);
                prop_assert_eq!(get(&row, i as u32), code);
            }
            let column = |i: usize| if i % skip == 3 { EXCLUDED } else { 7 * i as u32 };
            let columns: Vec<u32> = (0..codes.len()).map(column).collect();
            let (mut calls, mut want) = (Vec::new(), Vec::new());
            let bytes: Vec<u8> = row.iter().flat_map(|w| w.to_le_bytes()).collect();
            let max = emit(words_of(&bytes[..codes.len().div_ceil(4)]), &columns, &mut calls);
            for (i, &code) in codes.iter().enumerate().filter(|(i, c)| **c > 0 && column(*i) != EXCLUDED) {
                let (a, b) = [(0, 0), (0, 1), (1, 1), (MISSING, MISSING)][usize::from(code)];
                want.push(Call { sample: 7 * i as u32, a, b, phased: false });
            }
            prop_assert_eq!(calls, want);
            prop_assert_eq!(max, u16::from(codes.iter().any(|c| (1..3).contains(c))));
        }
    }
}
