//! Counter-based random numbers: a value depends on the seed and on what it is for, never on when or on
//! which thread it is drawn.
//!
//! SplitMix64 (Steele, Lea and Flood 2014). Only integer arithmetic and the operations that IEEE 754
//! rounds exactly are used, so that every platform draws the same programme.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a stream of numbers is for. Two purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    Order = 1,
    SampleOrder,
    Person,
    Family,
    Reference,
    Site,
    Alleles,
    Mosaic,
    LocalAncestry,
    Crossover,
    Condition,
    Visit,
    Survey,
    Wearable,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One well-mixed number for `(seed, purpose, a, b)`.
pub fn hash(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    let mut h = mix(seed.wrapping_add(GOLDEN.wrapping_mul(purpose as u64)));
    h = mix(h.wrapping_add(GOLDEN.wrapping_mul(a.wrapping_add(1))));
    mix(h ^ GOLDEN.wrapping_mul(b.wrapping_add(0x1234_5677)))
}

/// A stream of numbers for one `(seed, purpose, a, b)`.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        Self(hash(seed, purpose, a, b))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = (i64::from(high) - i64::from(low) + 1).max(1) as u64;
        (i64::from(low) + self.below(span) as i64) as i32
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with a probability of `permille` in 1,000.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// True with the probability that belongs to `odds`.
    pub fn odds(&mut self, odds: f64) -> bool {
        self.unit() < odds / (1.0 + odds)
    }

    /// Nearly normal, mean 0, standard deviation 1, within -6..6 (sum of twelve uniforms).
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// An index drawn with the given weights; 0 when all are 0.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (i, &w) in weights.iter().enumerate() {
            if left < w {
                return i;
            }
            left -= w;
        }
        0
    }
}
