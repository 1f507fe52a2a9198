//! What is counted per sample, from the set bits of the planes. Sums of integers only, so that the
//! order in which workers add does not show.

use super::region::Region;
use super::shard::Row;

/// Counters of a sample: five kinds of change times (het, hom, hemi), then missing.
pub const SLOTS: usize = 16;
/// Slot of missing calls.
pub const MISSING: usize = 15;
/// Fixed point of expected heterozygosity: 32 binary digits.
const POINT: f64 = 4_294_967_296.0;

/// Counters over a set of chromosomes.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// `SLOTS` counters a sample; empty until first used.
    pub counts: Vec<u32>,
    /// By sample: expected heterozygosity of the rows in which it has no diploid call.
    pub not_expected_het: Vec<u64>,
    /// By sample: rows without a diploid call.
    pub not_diploid: Vec<u32>,
    /// By sample: variants carried of which the callset has one copy.
    pub singletons: Vec<u32>,
    /// By sample: variants that nobody else carries.
    pub private: Vec<u32>,
    /// By sample: calls that the expected ploidy does not admit.
    pub contrary: Vec<u32>,
    /// Rows.
    pub rows: u64,
    /// Expected heterozygosity of all rows.
    pub expected_het: u64,
}

/// Counters of a worker.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Chromosomes 1 to 22.
    pub autosomes: Part,
    /// X outside PAR. Here a haploid call counts as homozygous for the expected heterozygosity.
    pub x: Part,
    /// Y outside PAR.
    pub y: Part,
    /// All else.
    pub others: Part,
}

impl Tally {
    /// All parts.
    pub fn parts(&self) -> [&Part; 4] {
        [&self.autosomes, &self.x, &self.y, &self.others]
    }

    /// The part to count rows of a region into, with room for `n` samples.
    pub fn part(&mut self, region: Region, n: usize) -> &mut Part {
        let part = match region {
            Region::Autosome => &mut self.autosomes,
            Region::X => &mut self.x,
            Region::Y => &mut self.y,
            Region::Par | Region::M | Region::Other => &mut self.others,
        };
        if part.singletons.len() < n {
            part.prepare(n);
        }
        part
    }

    /// Adds another worker's counters.
    pub fn merge(&mut self, other: &Self) {
        self.autosomes.merge(&other.autosomes);
        self.x.merge(&other.x);
        self.y.merge(&other.y);
        self.others.merge(&other.others);
    }
}

impl Part {
    fn prepare(&mut self, n: usize) {
        self.counts.resize(n * SLOTS, 0);
        self.not_expected_het.resize(n, 0);
        self.not_diploid.resize(n, 0);
        self.singletons.resize(n, 0);
        self.private.resize(n, 0);
        self.contrary.resize(n, 0);
    }

    /// Opens a row and returns its expected heterozygosity.
    pub fn open(&mut self, row: &Row) -> u64 {
        self.rows += 1;
        let (ac, an) = (f64::from(row.counts.ac()), f64::from(row.counts.an()));
        let expected = if an > 0.0 { 2.0 * (ac / an) * (1.0 - ac / an) } else { 0.0 };
        let expected = (expected * POINT) as u64;
        self.expected_het += expected;
        expected
    }

    fn merge(&mut self, other: &Self) {
        fn add<T: Copy + Default + std::ops::AddAssign>(to: &mut Vec<T>, from: &[T]) {
            if to.len() < from.len() {
                to.resize(from.len(), T::default());
            }
            for (a, &b) in to.iter_mut().zip(from) {
                *a += b;
            }
        }
        add(&mut self.counts, &other.counts);
        add(&mut self.not_expected_het, &other.not_expected_het);
        add(&mut self.not_diploid, &other.not_diploid);
        add(&mut self.singletons, &other.singletons);
        add(&mut self.private, &other.private);
        add(&mut self.contrary, &other.contrary);
        self.rows += other.rows;
        self.expected_het += other.expected_het;
    }

    /// The sample's counters.
    pub fn sample(&self, sample: usize) -> [u64; SLOTS] {
        std::array::from_fn(|i| self.counts.get(sample * SLOTS + i).map_or(0, |&c| u64::from(c)))
    }

    /// One of the counters by sample, 0 where nothing was counted.
    pub fn value(counters: &[u32], sample: usize) -> u64 {
        counters.get(sample).map_or(0, |&c| u64::from(c))
    }

    /// Inbreeding coefficient on X and its expected hets, over all calls of the file: haploid calls are
    /// homozygous, hets of one copy are hets (Hail `impute_sex`, PLINK `--check-sex`).
    pub fn x_inbreeding(&self, sample: usize) -> Option<(f64, f64)> {
        let counts = self.sample(sample);
        let het = (0..5).map(|k| counts[k * 3]).sum::<u64>() + Self::value(&self.contrary, sample);
        let expected = (self.expected_het - self.not_expected_het.get(sample)?) as f64 / POINT;
        (expected > 0.0).then(|| (1.0 - het as f64 / expected, expected))
    }

    /// Inbreeding coefficient `(O - E) / (N - E)` of homozygous calls over diploid calls (PLINK, Hail).
    pub fn inbreeding(&self, sample: usize) -> Option<f64> {
        let counts = self.sample(sample);
        let het: u64 = (0..5).map(|k| counts[k * 3]).sum();
        let diploid = self.rows - u64::from(*self.not_diploid.get(sample)?);
        let expected = (self.expected_het - self.not_expected_het.get(sample)?) as f64 / POINT;
        // With H = N - O observed and expected hets, (O - E) / (N - E) = 1 - H / expected.
        (diploid > 0 && expected > 0.0).then(|| 1.0 - het as f64 / expected)
    }
}
