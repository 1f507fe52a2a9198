//! Where the variants are and what their alleles say.
//!
//! Variants come in blocks of [`BLOCK`] that can be drawn on their own: a block covers a fixed window
//! of its chromosome, and each variant has a slot of it, wide enough for its longest allele.

use super::Error;
use super::random::{Purpose, Rng, hash};

/// Variants in a block.
pub const BLOCK: u32 = 128;
/// Longest reference allele.
const LONGEST: u64 = 9;

/// GRCh38 autosome lengths (GCA_000001405.15).
const AUTOSOMES: [u32; 22] = [
    248_956_422,
    242_193_529,
    198_295_559,
    190_214_555,
    181_538_259,
    170_805_979,
    159_345_973,
    145_138_636,
    138_394_717,
    133_797_422,
    135_086_622,
    133_275_309,
    114_364_328,
    107_043_718,
    101_991_189,
    90_338_345,
    83_257_441,
    80_373_285,
    58_617_616,
    64_444_167,
    46_709_983,
    50_818_468,
];

/// The variants of one chromosome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chromosome {
    /// 1 to 22.
    pub number: u32,
    /// Length in bases.
    pub length: u32,
    /// How many variants it has.
    pub variants: u32,
    /// Number of all variants on the chromosomes before it.
    pub first: u32,
    /// Bases from slot to slot.
    gap: u32,
    origin: u32,
}

impl Chromosome {
    /// `chr20` and the like.
    pub fn name(&self) -> String {
        format!("chr{}", self.number)
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> u32 {
        self.variants.div_ceil(BLOCK)
    }

    /// Variant numbers of a block, within the chromosome.
    pub fn block(&self, block: u32) -> std::ops::Range<u32> {
        let start = block * BLOCK;
        start..(start + BLOCK).min(self.variants)
    }
}

/// Spreads `variants` over chromosomes 20 to 22, or over all autosomes when there are more than a million.
///
/// # Errors
/// When they do not fit.
pub fn layout(variants: u32) -> Result<Vec<Chromosome>, Error> {
    const MARGIN: u32 = 10_000_000;
    let numbers = if variants > 1_000_000 { 1..=22 } else { 20..=22 };
    let total: u64 = numbers.clone().map(|c| u64::from(AUTOSOMES[c as usize - 1])).sum();
    let mut out = Vec::new();
    let (mut seen, mut first) = (0_u64, 0_u32);
    for number in numbers {
        let length = AUTOSOMES[number as usize - 1];
        seen += u64::from(length);
        let end = (u128::from(variants) * u128::from(seen) / u128::from(total)) as u32;
        let count = end - first;
        let gap = ((length - 2 * MARGIN) / count.max(1)).min(500);
        // Dense programmes look like a region of whole genomes, small ones like a thinned set.
        let gap = gap.min((8_000_000 / count.max(1)).max(40));
        if gap < 24 {
            return Err(Error::TooManyVariants { most: (total / 24) as u32 / 10 * 9 });
        }
        out.push(Chromosome { number, length, variants: count, first, gap, origin: MARGIN });
        first = end;
    }
    Ok(out)
}

/// What kind of variant a site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Transition,
    Transversion,
    Insertion,
    Deletion,
    /// Two ALT alleles.
    Multiallelic,
}

/// A site: position and alleles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// 1-based.
    pub pos: u32,
    pub reference: String,
    /// One ALT allele, or two separated by a comma.
    pub alt: String,
    pub kind: Kind,
    /// dbSNP-like name, if it has one.
    pub rsid: Option<u32>,
}

/// The reference base at a position: made up, but the same wherever it is asked for. 41 % G or C.
fn base(seed: u64, chromosome: u32, pos: u32) -> u8 {
    match hash(seed, Purpose::Reference, u64::from(chromosome), u64::from(pos)) % 200 {
        0..59 => b'A',
        59..100 => b'C',
        100..141 => b'G',
        _ => b'T',
    }
}

fn transition(base: u8) -> u8 {
    match base {
        b'A' => b'G',
        b'G' => b'A',
        b'C' => b'T',
        _ => b'C',
    }
}

fn transversion(base: u8, which: u64) -> u8 {
    let pair = if matches!(base, b'A' | b'G') { [b'C', b'T'] } else { [b'A', b'G'] };
    pair[(which & 1) as usize]
}

/// The site of variant `index` of a chromosome. `planted` sites are biallelic transitions with a name.
pub fn site(seed: u64, chromosome: &Chromosome, index: u32, planted: bool) -> Site {
    let mut rng = Rng::new(seed, Purpose::Site, u64::from(chromosome.number), u64::from(index));
    let slot = chromosome.origin + index * chromosome.gap;
    let pos = slot + rng.below(u64::from(chromosome.gap) - LONGEST - 3) as u32;
    let at = |offset: u32| base(seed, chromosome.number, pos + offset);
    let anchor = at(0);
    let draw = rng.below(1000);
    let mut kind = match draw {
        0..5 => Kind::Multiallelic,
        5..45 => Kind::Insertion,
        45..87 => Kind::Deletion,
        _ if rng.permille(677) => Kind::Transition,
        _ => Kind::Transversion,
    };
    if planted {
        kind = Kind::Transition;
    }
    let mut reference = (anchor as char).to_string();
    let mut alt = String::new();
    let length = 1 + rng.below(4) as u32 + if rng.permille(150) { 4 } else { 0 };
    // An indel whose last base differs from its anchor cannot move left: it is normalised as written.
    let normal_deletion = at(length) != anchor;
    let inserted = other_base(anchor, rng.next());
    match kind {
        Kind::Deletion if normal_deletion => {
            (1..=length).for_each(|k| reference.push(at(k) as char));
            alt.push(anchor as char);
        }
        Kind::Insertion => {
            alt.push(anchor as char);
            (1..length).for_each(|_| alt.push(b"ACGT"[rng.below(4) as usize] as char));
            alt.push(inserted as char);
        }
        Kind::Multiallelic if draw == 0 && at(1) != anchor => {
            reference.push(at(1) as char);
            alt.push(anchor as char);
            alt.push(',');
            alt.push_str(&reference);
            alt.push(other_base(at(1), rng.next()) as char);
        }
        Kind::Multiallelic => {
            alt.push(transition(anchor) as char);
            alt.push(',');
            alt.push(transversion(anchor, rng.next()) as char);
        }
        Kind::Transversion => alt.push(transversion(anchor, rng.next()) as char),
        Kind::Transition | Kind::Deletion => {
            kind = Kind::Transition;
            alt.push(transition(anchor) as char);
        }
    }
    let rsid = (planted || rng.permille(900)).then_some(900_000_000 + chromosome.first + index);
    Site { pos, reference, alt, kind, rsid }
}

fn other_base(not: u8, draw: u64) -> u8 {
    let others: Vec<u8> = b"ACGT".iter().copied().filter(|&b| b != not).collect();
    others[(draw % 3) as usize]
}
