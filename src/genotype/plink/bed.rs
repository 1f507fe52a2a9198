//! PLINK 1 .bed, variant-major and sample-major: two bits a genotype, rows filled up to whole bytes.
//!
//! Definition: <https://www.cog-genomics.org/plink/1.9/formats#bed>; the sample-major order is that of
//! PLINK 1.0x (third byte 0).

use std::path::Path;

use super::twobit::{self, PER_WORD};
use crate::genotype::Error;
use crate::genotype::gt::Call;

/// Bytes before the first genotype.
const START: usize = 3;

/// Where genotypes lie in a .bed file.
#[derive(Debug, Clone, Copy)]
pub struct Bed {
    sample_major: bool,
    samples: usize,
    stride: usize,
}

impl Bed {
    /// Checks that the file is as long as its variants and samples need.
    ///
    /// # Errors
    /// When it is shorter or longer.
    pub fn open(path: &Path, data: &[u8], samples: usize, variants: usize) -> Result<Self, Error> {
        let sample_major = data.get(2) == Some(&0);
        let (rows, cells) = if sample_major { (samples, variants) } else { (variants, samples) };
        let stride = cells.div_ceil(4);
        let expected = START as u64 + rows as u64 * stride as u64;
        let found = data.len() as u64;
        if expected != found {
            return Err(Error::PlinkSize { file: path.to_owned(), expected, found });
        }
        let bed = Self { sample_major, samples, stride };
        if sample_major && data[START..].chunks_exact(stride.max(1)).any(|row| spills(row, cells)) {
            return Err(bed.spilled(path));
        }
        Ok(bed)
    }

    fn spilled(&self, path: &Path) -> Error {
        let what = if self.sample_major {
            "bits behind the last variant are set: it is damaged or belongs to another .bim"
        } else {
            "bits behind the last sample are set: it is damaged or belongs to another .fam"
        };
        Error::Plink { file: path.to_owned(), what }
    }

    /// Appends the calls of a variant of a variant-major file and returns the largest allele index.
    ///
    /// # Errors
    /// Bits behind the last sample.
    pub fn calls(
        &self,
        path: &Path,
        data: &[u8],
        variant: usize,
        columns: &[u32],
        calls: &mut Vec<Call>,
    ) -> Result<u16, Error> {
        let row = data.get(START + variant * self.stride..).and_then(|d| d.get(..self.stride));
        let row = row.filter(|row| !spills(row, self.samples)).ok_or_else(|| self.spilled(path))?;
        let last = twobit::words(self.samples) - 1;
        let mask = twobit::last_mask(self.samples);
        let row = twobit::words_of(row).enumerate().map(|(i, word)| {
            let word = twobit::of_bed(word);
            if i == last { word & mask } else { word }
        });
        Ok(twobit::emit(row, columns, calls))
    }

    /// The rows of `variants` of a sample-major file, turned, [`twobit::words`] words each; empty for a
    /// variant-major one.
    pub fn turned(&self, data: &[u8], variants: &[u32]) -> Vec<u64> {
        if !self.sample_major {
            return Vec::new();
        }
        let words = twobit::words(self.samples);
        let mut rows = vec![0; words * variants.len()];
        let people: Vec<&[u8]> = data[START..].chunks_exact(self.stride.max(1)).collect();
        // 32 samples at a time, so that what is read and written stays in cache.
        for (w, group) in people.chunks(PER_WORD).enumerate() {
            for (k, &variant) in variants.iter().enumerate() {
                let (byte, shift) = (variant as usize / 4, variant % 4 * 2);
                let mut word = 0;
                for (i, person) in group.iter().enumerate() {
                    word |= u64::from(person[byte] >> shift & 3) << (2 * i);
                }
                rows[k * words + w] = twobit::of_bed(word) & twobit::last_mask(group.len());
            }
        }
        rows
    }
}

/// Whether bits behind the `n`th genotype of a row are set.
fn spills(row: &[u8], n: usize) -> bool {
    let used = n % 4;
    used > 0 && row.last().is_some_and(|last| last >> (2 * used) != 0)
}
