//! Counts, carriers and calls from the `genotypes` table, without a copy of it in another format.
//!
//! ```text
//! files -> row groups that the region meets (statistics of pos) -> planes, page by page, on rayon
//!       -> popcount against the masks of the sample sets -> counts in the order of the table
//! ```
//!
//! Planes say all that counts need: a set `haploid` bit is one allele instead of two, and on a sample with
//! both other bits set that no call is expected. So `an` and `ac` of a set are those that `variants` would
//! have if the callset were that set, on X, Y and MT too. Memory is a page and a few row groups of counts a
//! thread, whatever the callset's size.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use rayon::prelude::*;

use super::Error;
use crate::engine::Keyring;
use crate::error::IoError;

mod call;
mod count;
mod popcount;
mod read;
mod sample;
mod sealed;
mod set;
mod site;

pub use call::{Call, Genotype};
pub use count::{Counted, Counts};
pub use sample::{Sample, samples};
pub use set::SampleSet;
pub use site::{Site, sites};

/// A span of positions of one chromosome, 1-based, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First position.
    pub start: i32,
    /// Last position.
    pub end: i32,
}

impl Span {
    /// The whole chromosome.
    pub const ALL: Self = Self { start: 1, end: i32::MAX };

    fn meets(self, low: i32, high: i32) -> bool {
        self.start <= high && low <= self.end
    }
}

/// A chromosome as the tables name it (`chr20`), from any usual name of it; `None` for what cannot be one.
pub fn chrom_name(raw: &str) -> Option<String> {
    super::region::chrom(raw.as_bytes()).map(|c| c.name)
}

/// A `vid` as the tables write it, from one with another name of the chromosome or in lower case; `None` for
/// what cannot be one.
pub fn vid(raw: &str) -> Option<String> {
    super::selection::canonical(raw)
}

/// What chromosomes of these names sort by: 1 to 22, X, Y, M, then others by name.
pub fn chrom_rank(name: &str) -> (u8, String) {
    let rank = super::region::chrom(name.as_bytes()).map_or(u8::MAX, |c| c.rank);
    (rank, name.to_owned())
}

/// A file of a table.
struct Part {
    path: PathBuf,
    meta: Arc<ParquetMetaData>,
    keyring: Keyring,
}

/// A row group that a query reads.
#[derive(Clone, Copy)]
struct Unit<'a> {
    part: &'a Part,
    group: usize,
    span: Span,
}

/// The `genotypes` files of one chromosome.
pub struct Genotypes {
    parts: Vec<Part>,
    samples: usize,
}

fn table_error<E: std::fmt::Display>(file: &Path) -> impl Fn(E) -> Error {
    move |e| Error::Table { file: file.to_owned(), detail: e.to_string() }
}

impl Part {
    fn open(path: &Path, keyring: &Keyring) -> Result<Self, Error> {
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        let meta = keyring.metadata(&file).map_err(table_error(path))?;
        Ok(Self { path: path.to_owned(), meta, keyring: keyring.clone() })
    }

    fn is_sealed(&self) -> bool {
        let first = self.meta.row_groups().first().and_then(|group| group.columns().first());
        first.is_some_and(|column| column.crypto_metadata().is_some())
    }

    fn fault(&self, detail: &str) -> Error {
        Error::Table { file: self.path.clone(), detail: detail.to_owned() }
    }

    /// Ordinal of the leaf of the column `name`.
    fn leaf(&self, name: &str) -> Option<usize> {
        let leaves = self.meta.file_metadata().schema_descr();
        leaves.columns().iter().position(|c| c.path().parts().first().is_some_and(|p| p == name))
    }

    /// Row groups that `span` may meet, by the statistics of `pos`.
    fn units(&self, span: Span) -> Result<impl Iterator<Item = Unit<'_>>, Error> {
        let pos = self.leaf("pos").ok_or_else(|| self.fault("there is no column pos"))?;
        Ok(self.meta.row_groups().iter().enumerate().filter_map(move |(group, meta)| {
            let may = match meta.column(pos).statistics() {
                Some(Statistics::Int32(s)) => match (s.min_opt(), s.max_opt()) {
                    (Some(&low), Some(&high)) => span.meets(low, high),
                    _ => true,
                },
                _ => true,
            };
            may.then_some(Unit { part: self, group, span })
        }))
    }
}

impl Genotypes {
    /// Opens the part files of one chromosome, in their order, of a callset of `samples` samples.
    ///
    /// # Errors
    /// When one cannot be read or is not the `genotypes` table of so many samples.
    pub fn open(files: &[PathBuf], samples: usize, keyring: &Keyring) -> Result<Self, Error> {
        let parts = files.iter().map(|f| Part::open(f, keyring)).collect::<Result<Vec<_>, _>>()?;
        for part in &parts {
            let schema = part.meta.file_metadata().schema_descr();
            for name in super::planes::PLANES {
                let leaf = part.leaf(name);
                let leaf = leaf.ok_or_else(|| part.fault("a plane column is missing"))?;
                if schema.column(leaf).type_length() as usize != samples.div_ceil(8) {
                    return Err(part.fault("planes are not of the length that `samples` says"));
                }
            }
        }
        Ok(Self { parts, samples })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    fn units(&self, span: Span) -> Result<Vec<Unit<'_>>, Error> {
        let mut units = Vec::new();
        for part in &self.parts {
            units.extend(part.units(span)?);
        }
        Ok(units)
    }

    /// Runs `work` on every row group that `span` meets and hands the results to `take` in table order
    /// until it returns `false`; the next results are made in the meantime. On the current rayon pool;
    /// results in flight are bounded.
    fn each<T: Send, E: From<Error> + Send>(
        &self,
        span: Span,
        work: impl Fn(Unit<'_>) -> Result<T, Error> + Sync,
        mut take: impl FnMut(T) -> Result<bool, E> + Send,
    ) -> Result<(), E> {
        let units = self.units(span)?;
        let threads = rayon::current_num_threads();
        let make = |units: &[Unit<'_>]| -> Vec<Result<T, Error>> {
            units.par_iter().map(|unit| work(*unit)).collect()
        };
        let mut take_all = |made: Vec<Result<T, Error>>| -> Result<bool, E> {
            for result in made {
                if !take(result?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        // Few at first, so that a reader of the first rows need not wait for many.
        let (mut rest, mut window, mut made) = (&units[..], threads, Vec::new());
        loop {
            let (next, later) = rest.split_at(rest.len().min(window));
            let (more, coming) = rayon::join(|| take_all(made), || make(next));
            if !more? || coming.is_empty() {
                return Ok(());
            }
            (made, rest, window) = (coming, later, (window * 4).min(8 * threads));
        }
    }

    /// Counts every variant of `span` in each of `sets` and hands the counts to `take`, row group by row
    /// group in table order, until it returns `false`.
    ///
    /// # Errors
    /// When the table cannot be read, or what `take` returns.
    pub fn count<E: From<Error> + Send>(
        &self,
        span: Span,
        sets: &[SampleSet],
        take: impl FnMut(Counted) -> Result<bool, E> + Send,
    ) -> Result<(), E> {
        let masks = popcount::Masks::new(sets, self.samples);
        self.each(span, |unit| count::count(unit, self.samples, &masks), take)
    }

    /// Calls with a copy of the ALT of the variants of `span`, and those that are missing if `missing`,
    /// of the samples of `set`, sorted by variant and sample.
    ///
    /// # Errors
    /// As [`Genotypes::count`].
    pub fn calls<E: From<Error> + Send>(
        &self,
        span: Span,
        set: &SampleSet,
        missing: bool,
        take: impl FnMut(Vec<Call>) -> Result<bool, E> + Send,
    ) -> Result<(), E> {
        self.each(span, |unit| call::calls(unit, self.samples, set, missing), take)
    }
}
