//! Who carries what: haplotypes as mosaics of population founders, and alleles on them.
//!
//! Each haplotype copies, block by block, one of [`FOUNDERS`] founder haplotypes of a population pool.
//! Common variants live on founders: their founder alleles in each pool are drawn by a Pólya urn, which
//! is the beta-binomial of the Balding-Nichols model (1995) exactly and needs no logarithm. Rare variants
//! are put on single haplotypes of one pool. Children and twins copy the haplotypes of their relatives.

use super::people::{Cohort, Origin};
use super::random::{Purpose, Rng, hash};
use super::site::Kind;

/// Population pools, in the order afr, amr, eas, eur, mid, sas.
const POOLS: usize = 6;
/// Founder haplotypes in a pool.
const FOUNDERS: usize = 64;
/// Differentiation (Fst) of each pool from the common ancestor.
const FST: [f64; POOLS] = [0.06, 0.12, 0.13, 0.10, 0.08, 0.09];
/// Local ancestry of each group (afr, amr, eas, eur, mid, oth, sas) in the pools, per thousand.
const ADMIXTURE: [[u64; POOLS]; 7] = [
    [830, 0, 0, 170, 0, 0],
    [90, 520, 0, 390, 0, 0],
    [0, 0, 1000, 0, 0, 0],
    [0, 0, 0, 1000, 0, 0],
    [50, 0, 0, 100, 850, 0],
    [250, 150, 150, 300, 50, 100],
    [0, 0, 0, 50, 0, 950],
];
/// A founder is copied over this many blocks before the next is drawn.
const SEGMENT: u64 = 4;
/// Local ancestry holds over this many blocks.
const ANCESTRY_SEGMENT: u64 = 64;
/// Missing genotypes per million.
const MISSING: f64 = 1000.0 / 1_000_000.0;
/// Carriers in a hundred above which a variant lives on founders.
const COMMON: u64 = 2;

/// Allele frequency of the planted risk allele before drift.
pub const PLANTED_FREQUENCY: f64 = 0.3;

/// All haplotypes of the samples: haplotype `2 s + k` is the k-th of sample column `s`.
pub struct Panel {
    seed: u64,
    groups: Vec<u8>,
    /// Haplotypes that copy another sample's: this one, the donor's sample column, child or twin.
    derived: Vec<Derived>,
    is_derived: Vec<bool>,
    /// Prefix sums of the weights of 1, 2, ... copies.
    spectrum: Vec<f64>,
    /// Cumulative probabilities of 0, 1, ... missing genotypes in a row.
    missing: Vec<f64>,
}

struct Derived {
    haplotype: u32,
    /// First haplotype of the donor; the other is the next.
    donor: u32,
    /// Whether the donor's haplotypes cross over; a twin's do not.
    recombines: bool,
}

/// The mosaic over one block: what each haplotype copies.
pub struct Mosaic {
    /// Pool times [`FOUNDERS`] plus founder, by haplotype.
    source: Vec<u16>,
    /// Unrelated haplotypes, by pool.
    members: [Vec<u32>; POOLS],
    /// Unrelated haplotypes.
    everyone: Vec<u32>,
    /// Haplotype and the one it is a copy of.
    copies: Vec<(u32, u32)>,
}

impl Panel {
    pub fn new(seed: u64, cohort: &Cohort) -> Self {
        let samples = cohort.samples.len();
        let groups =
            cohort.samples.iter().map(|&p| cohort.people[p as usize].group as u8).collect();
        let mut derived = Vec::new();
        let column = |person: u32| cohort.people[person as usize].sample;
        for (s, &person) in cohort.samples.iter().enumerate() {
            let own = 2 * s as u32;
            match cohort.people[person as usize].origin {
                Origin::Founder => {}
                Origin::Child(parents) => {
                    for (k, parent) in (0..).zip(parents) {
                        if let Some(donor) = column(parent) {
                            let haplotype = own + k;
                            derived.push(Derived { haplotype, donor: 2 * donor, recombines: true });
                        }
                    }
                }
                Origin::TwinOf(other) => {
                    if let Some(donor) = column(other) {
                        for k in 0..2 {
                            let (haplotype, donor) = (own + k, 2 * donor + k);
                            derived.push(Derived { haplotype, donor, recombines: false });
                        }
                    }
                }
            }
        }
        let mut is_derived = vec![false; 2 * samples];
        derived.iter().for_each(|d| is_derived[d.haplotype as usize] = true);
        Self {
            seed,
            groups,
            derived,
            is_derived,
            spectrum: spectrum(2 * samples),
            missing: binomial(samples, MISSING),
        }
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.groups.len()
    }

    /// The mosaic over `block` of chromosome `number` with `blocks` blocks.
    pub fn mosaic(&self, number: u32, block: u32, blocks: u32) -> Mosaic {
        let haplotypes = 2 * self.samples();
        let mut mosaic = Mosaic {
            source: Vec::with_capacity(haplotypes),
            members: Default::default(),
            everyone: Vec::with_capacity(haplotypes),
            copies: Vec::with_capacity(self.derived.len()),
        };
        for h in 0..haplotypes {
            let (pool, founder) = self.copied(number, block, h);
            mosaic.source.push((pool * FOUNDERS + founder) as u16);
            if !self.is_derived[h] {
                mosaic.members[pool].push(h as u32);
                mosaic.everyone.push(h as u32);
            }
        }
        for d in &self.derived {
            let mut donor = d.donor;
            if d.recombines {
                let key = u64::from(number) << 32 | u64::from(d.haplotype);
                let mut rng = Rng::new(self.seed, Purpose::Crossover, key, 0);
                let start = rng.next() & 1;
                let crossover = rng.below(u64::from(blocks) + 1);
                donor += (start ^ u64::from(u64::from(block) >= crossover)) as u32;
            }
            mosaic.source[d.haplotype as usize] = mosaic.source[donor as usize];
            mosaic.copies.push((d.haplotype, donor));
        }
        mosaic
    }

    /// Pool and founder that a haplotype copies over a block. Segment borders differ by haplotype.
    fn copied(&self, number: u32, block: u32, haplotype: usize) -> (usize, usize) {
        let key = u64::from(number) << 32 | haplotype as u64;
        let shift = hash(self.seed, Purpose::Mosaic, key, u64::MAX);
        let ancestry = (u64::from(block) + shift % ANCESTRY_SEGMENT) / ANCESTRY_SEGMENT;
        let mut rng = Rng::new(self.seed, Purpose::LocalAncestry, key, ancestry);
        let pool = rng.weighted(&ADMIXTURE[usize::from(self.groups[haplotype / 2])]);
        let segment = (u64::from(block) + (shift >> 32) % SEGMENT) / SEGMENT;
        let founder = hash(self.seed, Purpose::Mosaic, key, segment) % FOUNDERS as u64;
        (pool, founder as usize)
    }

    /// Writes the genotypes of one variant into `row`, which starts as [`template`](Self::template).
    ///
    /// `index` numbers the variant in its chromosome.
    pub fn genotypes(
        &self,
        number: u32,
        index: u32,
        kind: Kind,
        planted: bool,
        mosaic: &Mosaic,
        row: &mut [u8],
    ) {
        let key = u64::from(number) << 32 | u64::from(index);
        let mut rng = Rng::new(self.seed, Purpose::Alleles, key, 0);
        let copies = self.draw_copies(&mut rng);
        let haplotypes = mosaic.source.len() as u64;
        if planted {
            common(&mut rng, PLANTED_FREQUENCY, [0.02; POOLS], mosaic, row);
        } else if copies * 100 > haplotypes * COMMON {
            let p = copies as f64 / haplotypes as f64;
            if !common(&mut rng, p, FST, mosaic, row) {
                rare(&mut rng, copies.min(haplotypes / 20 + 1), b'1', mosaic, row);
            }
        } else {
            rare(&mut rng, copies, b'1', mosaic, row);
        }
        if kind == Kind::Multiallelic {
            let second = self.draw_copies(&mut rng).min(haplotypes / 50 + 1);
            rare(&mut rng, second, b'2', mosaic, row);
        }
        for &(to, from) in &mosaic.copies {
            row[offset(to)] = row[offset(from)];
        }
        self.erase(&mut rng, row);
    }

    /// A row in which everyone is `0|0`: four bytes a sample, TABs between, a line feed at the end.
    pub fn template(&self) -> Vec<u8> {
        let mut row = b"0|0\t".repeat(self.samples());
        if let Some(last) = row.last_mut() {
            *last = b'\n';
        }
        row
    }

    /// Copies of the ALT allele in the sample, with weight `k^-1.375`: between the neutral `1/k` and the
    /// excess of rare variants of a grown population.
    fn draw_copies(&self, rng: &mut Rng) -> u64 {
        let total = self.spectrum.last().copied().unwrap_or(0.0);
        let draw = rng.unit() * total;
        (self.spectrum.partition_point(|&c| c <= draw) as u64 + 1).min(self.spectrum.len() as u64)
    }

    fn erase(&self, rng: &mut Rng, row: &mut [u8]) {
        let draw = rng.unit();
        let count = self.missing.partition_point(|&c| c <= draw);
        for _ in 0..count {
            let at = 4 * rng.below(self.samples() as u64) as usize;
            row[at..at + 3].copy_from_slice(b"./.");
        }
    }
}

fn offset(haplotype: u32) -> usize {
    (haplotype as usize >> 1) * 4 + (haplotype as usize & 1) * 2
}

/// Puts a common variant on founders; false when no haplotype got it.
fn common(rng: &mut Rng, p: f64, fst: [f64; POOLS], mosaic: &Mosaic, row: &mut [u8]) -> bool {
    let mut alleles = [b'0'; POOLS * FOUNDERS];
    for (pool, f) in fst.into_iter().enumerate() {
        let scale = (1.0 - f) / f;
        let mut ones = p * scale;
        for k in 0..FOUNDERS {
            if rng.unit() * (scale + k as f64) < ones {
                alleles[pool * FOUNDERS + k] = b'1';
                ones += 1.0;
            }
        }
    }
    let mut any = 0;
    for (genotype, source) in row.chunks_exact_mut(4).zip(mosaic.source.chunks_exact(2)) {
        let (a, b) = (alleles[usize::from(source[0])], alleles[usize::from(source[1])]);
        any |= (a | b) & 1;
        genotype[0] = a;
        genotype[2] = b;
    }
    any == 1
}

/// Puts `copies` of an allele on unrelated haplotypes, most of them of one pool.
fn rare(rng: &mut Rng, copies: u64, allele: u8, mosaic: &Mosaic, row: &mut [u8]) {
    let everyone = &mosaic.everyone;
    if everyone.is_empty() {
        return;
    }
    let pick = |rng: &mut Rng, from: &[u32]| from[rng.below(from.len() as u64) as usize];
    let first = pick(rng, everyone);
    let home = &mosaic.members[usize::from(mosaic.source[first as usize]) / FOUNDERS];
    let crowded = copies * 2 > home.len() as u64;
    let (mut placed, mut tries) = (0, 0);
    while placed < copies && tries < 4 * copies + 16 {
        tries += 1;
        let elsewhere = placed > 0 && (crowded || rng.permille(150));
        let haplotype = pick(rng, if elsewhere { everyone } else { home });
        let slot = &mut row[offset(haplotype)];
        if *slot == b'0' {
            *slot = allele;
            placed += 1;
        }
    }
}

fn spectrum(haplotypes: usize) -> Vec<f64> {
    let mut sum = 0.0;
    (1..haplotypes.max(2))
        .map(|k| {
            let k = k as f64;
            let fourth = k.sqrt().sqrt();
            sum += 1.0 / (k * fourth * fourth.sqrt());
            sum
        })
        .collect()
}

/// Cumulative binomial probabilities up to a negligible tail.
fn binomial(n: usize, p: f64) -> Vec<f64> {
    let mut probability = (0..n).fold(1.0, |q, _| q * (1.0 - p));
    let mut sum = 0.0;
    let mut out = Vec::new();
    for k in 0..=n {
        sum += probability;
        out.push(sum);
        if sum > 1.0 - 1e-9 || (probability == 0.0 && k > 10) {
            break;
        }
        probability *= (n - k) as f64 / (k + 1) as f64 * (p / (1.0 - p));
    }
    out
}
