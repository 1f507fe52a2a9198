//! Sets of samples as bitmaps over `sample_idx`.

/// A set of samples of a callset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleSet {
    words: Vec<u64>,
    size: u32,
}

impl SampleSet {
    /// Those `sample_idx` of `0..samples` that `member` says.
    pub fn by(samples: usize, member: impl Fn(usize) -> bool) -> Self {
        let mut words = vec![0u64; samples.div_ceil(64)];
        for i in (0..samples).filter(|&i| member(i)) {
            words[i >> 6] |= 1 << (i & 63);
        }
        let size = words.iter().map(|w| w.count_ones()).sum();
        Self { words, size }
    }

    /// All of `samples`.
    pub fn all(samples: usize) -> Self {
        Self::by(samples, |_| true)
    }

    /// Those of `indices`; what is not below `samples` is left out.
    pub fn of(samples: usize, indices: impl IntoIterator<Item = u32>) -> Self {
        let mut words = vec![0u64; samples.div_ceil(64)];
        for i in indices.into_iter().map(|i| i as usize).filter(|&i| i < samples) {
            words[i >> 6] |= 1 << (i & 63);
        }
        let size = words.iter().map(|w| w.count_ones()).sum();
        Self { words, size }
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let words: Vec<u64> = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        let size = words.iter().map(|w| w.count_ones()).sum();
        Self { words, size }
    }

    /// How many.
    pub fn len(&self) -> u32 {
        self.size
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether sample `i` is in it.
    pub fn contains(&self, i: usize) -> bool {
        self.words.get(i >> 6).is_some_and(|w| w >> (i & 63) & 1 == 1)
    }

    /// The bitmap, 64 samples a word, least significant bit first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}
