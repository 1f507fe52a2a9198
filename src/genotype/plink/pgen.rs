//! PLINK 2 .pgen: the header, and where records lie.
//!
//! Definition: the PLINK 2 file format specification (`pgen_spec` in plink-ng). Storage modes read are 1
//! (as .bed), 2 (fixed width, hard calls) and 0x10 (variable width). Hard calls and their phase are read,
//! dosages are passed over.

use std::path::Path;

use crate::genotype::Error;

/// Variants of a block of the header.
const BLOCK: u32 = 1 << 16;
/// Variants from one known offset to the next.
const STEP: u32 = 64;
/// Bytes before block offsets or, in mode 2, flags of provisional REF.
const START: u64 = 12;

/// Record type bits.
pub mod bits {
    /// How the main track is stored.
    pub const MAIN: u8 = 7;
    /// There is a track of multiallelic hard calls.
    pub const MULTIALLELIC: u8 = 8;
    /// There is a track of phase.
    pub const PHASE: u8 = 16;
    /// There are tracks of dosages.
    pub const DOSAGE: u8 = 0xe0;
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Record type.
    pub kind: u8,
    /// Offset in the file.
    pub start: u64,
    /// Bytes.
    pub length: u32,
}

/// Widths of what the header says of each variant.
#[derive(Debug, Clone, Copy)]
struct Widths {
    /// Bits a record type: 4 or 8.
    kind: u64,
    length: u64,
    alleles: u64,
    flags: bool,
}

impl Widths {
    /// Bytes of types, lengths, allele counts and flags of a block of `n` variants.
    fn parts(self, n: u64) -> [u64; 4] {
        let flags = if self.flags { n.div_ceil(8) } else { 0 };
        [(n * self.kind).div_ceil(8), n * self.length, n * self.alleles, flags]
    }
}

/// The layout of a .pgen file.
#[derive(Debug)]
pub struct Pgen {
    /// Number of variants.
    pub variants: u32,
    /// Number of samples.
    pub samples: u32,
    /// Variants of provisional REF; `None` if the .pvar says so.
    pub provisional: Option<u64>,
    /// Records with dosages.
    pub dosages: u64,
    /// Whether any record has phase.
    pub phased: bool,
    /// None in fixed-width files.
    widths: Option<Widths>,
    /// Offset of the record of every [`STEP`]th variant; of the first alone in fixed-width files.
    marks: Vec<u64>,
}

/// `length` little-endian bytes at `at`; bytes behind the end are 0.
fn number(data: &[u8], at: u64, length: u64) -> u64 {
    let from = usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
    let bytes = data[from..].iter().take(length as usize);
    bytes.enumerate().fold(0, |sum, (i, &b)| sum | u64::from(b) << (8 * i))
}

impl Pgen {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// A storage mode that is not read, a header that contradicts itself, a file of another length.
    pub fn open(path: &Path, data: &[u8]) -> Result<Self, Error> {
        let unsupported = |what| Error::PgenUnsupported { file: path.to_owned(), what };
        let fixed = match data.get(2) {
            Some(0x02) => true,
            Some(0x10) => false,
            Some(0x03 | 0x04) => return Err(unsupported("storage of dosages without hard calls")),
            Some(0x11) => return Err(unsupported("header extensions (storage mode 0x11)")),
            Some(0x20 | 0x21) => return Err(unsupported("an index in another file (.pgen.pgi)")),
            _ => return Err(unsupported("an unknown storage mode")),
        };
        if (data.len() as u64) < START {
            return Err(damaged(path, 0, "the file ends inside its header"));
        }
        let (variants, samples) = (number(data, 3, 4) as u32, number(data, 7, 4) as u32);
        let format = data[11];
        if samples == 0 {
            return Err(damaged(path, 0, "it has no samples"));
        }
        let mut pgen = Self {
            variants,
            samples,
            provisional: match format >> 6 {
                0 => None,
                1 => Some(0),
                2 => Some(u64::from(variants)),
                _ => Some(0),
            },
            dosages: 0,
            phased: false,
            widths: None,
            marks: Vec::new(),
        };
        if fixed {
            return pgen.fixed(path, data, format).map(|()| pgen);
        }
        let code = u64::from(format & 15);
        if code > 7 {
            return Err(unsupported("records without types (a file of one sample)"));
        }
        let widths = Widths {
            kind: if code < 4 { 4 } else { 8 },
            length: code % 4 + 1,
            alleles: u64::from(format >> 4 & 3),
            flags: format >> 6 == 3,
        };
        pgen.widths = Some(widths);
        pgen.walk(path, data, widths)?;
        Ok(pgen)
    }

    fn fixed(&mut self, path: &Path, data: &[u8], format: u8) -> Result<(), Error> {
        if format & 0x3f != 0 {
            return Err(damaged(path, 0, "a fixed-width file with record types"));
        }
        let mut start = START;
        if format >> 6 == 3 {
            let flags = u64::from(self.variants).div_ceil(8);
            self.provisional = Some(ones(data, start, flags));
            start += flags;
        }
        let row = u64::from(self.samples).div_ceil(4);
        self.marks.push(start);
        self.check_length(path, data, start + row * u64::from(self.variants))
    }

    fn check_length(&self, path: &Path, data: &[u8], expected: u64) -> Result<(), Error> {
        let found = data.len() as u64;
        if expected == found {
            return Ok(());
        }
        Err(Error::PlinkSize { file: path.to_owned(), expected, found })
    }

    /// Reads types and lengths of all records.
    fn walk(&mut self, path: &Path, data: &[u8], widths: Widths) -> Result<(), Error> {
        let mut at = self.header_end(widths);
        if at > data.len() as u64 {
            return self.check_length(path, data, at);
        }
        for block in 0..self.variants.div_ceil(BLOCK) {
            let first = block * BLOCK;
            if number(data, START + 8 * u64::from(block), 8) != at {
                return Err(damaged(
                    path,
                    first,
                    "a block does not start where the one before ends",
                ));
            }
            let n = self.variants.saturating_sub(first).min(BLOCK);
            for variant in first..first + n {
                if variant % STEP == 0 {
                    self.marks.push(at);
                }
                let (kind, length) = self.kind_and_length(data, widths, variant);
                if kind & bits::MAIN == 5 {
                    return Err(damaged(path, variant, "a reserved record type"));
                }
                if variant == first && is_ld(kind) {
                    return Err(damaged(
                        path,
                        variant,
                        "nothing comes before that it could refer to",
                    ));
                }
                self.dosages += u64::from(kind & bits::DOSAGE != 0);
                self.phased |= kind & bits::PHASE != 0;
                at += u64::from(length);
            }
            if widths.flags {
                let [kinds, lengths, alleles, flags] = widths.parts(u64::from(n));
                let start = self.block_start(widths, block) + kinds + lengths + alleles;
                self.provisional = self.provisional.map(|p| p + ones(data, start, flags));
            }
        }
        self.check_length(path, data, at)
    }

    fn header_end(&self, widths: Widths) -> u64 {
        let rest = self.variants % BLOCK;
        let full = self.block_start(widths, self.variants / BLOCK);
        full + widths.parts(u64::from(rest)).iter().sum::<u64>()
    }

    fn block_start(&self, widths: Widths, block: u32) -> u64 {
        let offsets = START + 8 * u64::from(self.variants.div_ceil(BLOCK));
        offsets + u64::from(block) * widths.parts(u64::from(BLOCK)).iter().sum::<u64>()
    }

    /// Start of the block's part of the header, variants in it, and the variant's ordinal there.
    fn in_block(&self, widths: Widths, variant: u32) -> (u64, u64, u64) {
        let block = variant / BLOCK;
        let n = self.variants.saturating_sub(block * BLOCK).min(BLOCK);
        (self.block_start(widths, block), u64::from(n), u64::from(variant % BLOCK))
    }

    fn kind_and_length(&self, data: &[u8], widths: Widths, variant: u32) -> (u8, u32) {
        let (start, n, i) = self.in_block(widths, variant);
        let kind = if widths.kind == 4 {
            number(data, start + i / 2, 1) >> (4 * (i % 2)) & 15
        } else {
            number(data, start + i, 1)
        };
        let length = number(data, start + widths.parts(n)[0] + i * widths.length, widths.length);
        (kind as u8, length as u32)
    }

    /// The number of alleles, REF among them, if the header has it.
    pub fn alleles(&self, data: &[u8], variant: u32) -> Option<u64> {
        let widths = self.widths.filter(|w| w.alleles > 0)?;
        let (start, n, i) = self.in_block(widths, variant);
        let [kinds, lengths, ..] = widths.parts(n);
        Some(number(data, start + kinds + lengths + i * widths.alleles, widths.alleles))
    }

    /// Where the record of a variant lies; a walk of at most [`STEP`] lengths.
    pub fn place(&self, data: &[u8], variant: u32) -> Place {
        let row = self.samples.div_ceil(4);
        let Some(widths) = self.widths else {
            let start = self.marks[0] + u64::from(row) * u64::from(variant);
            return Place { kind: 0, start, length: row };
        };
        let from = variant - variant % STEP;
        let mark = self.marks.get((variant / STEP) as usize).copied().unwrap_or(0);
        let before = |v| u64::from(self.kind_and_length(data, widths, v).1);
        let start = mark + (from..variant).map(before).sum::<u64>();
        let (kind, length) = self.kind_and_length(data, widths, variant);
        Place { kind, start, length }
    }

    /// The place of the variant behind one whose place is known.
    pub fn place_after(&self, data: &[u8], variant: u32, place: Place) -> Place {
        let Some(widths) = self.widths else { return self.place(data, variant + 1) };
        let (kind, length) = self.kind_and_length(data, widths, variant + 1);
        Place { kind, start: place.start + u64::from(place.length), length }
    }

    /// The last variant before this one that does not itself refer to another.
    pub fn base_of(&self, data: &[u8], variant: u32) -> Option<u32> {
        let widths = self.widths?;
        let first = variant - variant % BLOCK;
        (first..variant).rev().find(|&v| !is_ld(self.kind_and_length(data, widths, v).0))
    }
}

/// Whether a record of this type is stored as differences from one before it.
pub fn is_ld(kind: u8) -> bool {
    matches!(kind & bits::MAIN, 2 | 3)
}

/// A record (from 0) that contradicts the format.
pub fn damaged(path: &Path, variant: u32, what: &'static str) -> Error {
    Error::Pgen { file: path.to_owned(), record: u64::from(variant) + 1, what }
}

fn ones(data: &[u8], start: u64, length: u64) -> u64 {
    (start..start + length).map(|at| u64::from(number(data, at, 1).count_ones())).sum()
}
