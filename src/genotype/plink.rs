//! PLINK 1 (.bed, .bim, .fam) and PLINK 2 (.pgen, .pvar, .psam) files.
//!
//! The genotype file is named, the others lie beside it. REF of a .bed is its A2 (column 6 of .bim), as
//! PLINK writes it, and provisional: nothing in the format says that it is the reference's.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Error;
use super::gt::Call;
use super::header::Header;
use super::shard::{Builder, commas};
use super::source::Source;
use super::work::Tuning;
use crate::error::IoError;
use bed::Bed;
use pgen::Pgen;
use record::Records;
pub use sites::Variants;
use sites::{SiteFeed, Sites};

mod bed;
mod people;
mod pgen;
mod record;
mod sites;
mod twobit;

/// Bytes that a variant takes besides its genotypes, roughly, to size shards.
const SITE_BYTES: usize = 200;

/// How the genotypes are stored.
enum Layout {
    Bed(Bed),
    Pgen(Pgen),
}

/// An opened set of PLINK files; the genotypes are the bytes of the [`Source`].
pub struct Plink {
    layout: Layout,
    sites: Sites,
    samples: usize,
}

/// Whether a file starts as .bed and .pgen do.
pub fn is_plink(data: &[u8]) -> bool {
    data.starts_with(&[0x6c, 0x1b])
}

/// The sample names of a PLINK file set by the path of its genotype file; `None` if it is another kind
/// of file.
///
/// # Errors
/// When the .fam or .psam is absent or malformed.
pub fn sample_names(path: &Path) -> Result<Option<Vec<String>>, Error> {
    let mut magic = Vec::with_capacity(3);
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    file.take(3).read_to_end(&mut magic).map_err(IoError::at("reading", path))?;
    if !is_plink(&magic) {
        return Ok(None);
    }
    check_mode(path, &magic)?;
    let extensions = if is_bed_set(path, &magic) { ["fam"] } else { ["psam"] };
    people::read(&companion(path, &extensions)?).map(Some)
}

/// A .bed whose third byte is none that a .bed has would pass for a .pgen that is not there.
fn check_mode(path: &Path, data: &[u8]) -> Result<(), Error> {
    let bed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("bed"));
    if bed && !matches!(data.get(2), Some(0 | 1)) {
        let what = "its third byte is neither 1 (variant-major) nor 0 (sample-major)";
        return Err(Error::Plink { file: path.to_owned(), what });
    }
    Ok(())
}

/// Whether the other files are .bim and .fam.
fn is_bed_set(path: &Path, data: &[u8]) -> bool {
    matches!(data.get(2), Some(0 | 1)) && path.extension().is_none_or(|e| e != "pgen")
}

/// The first of the files with these extensions that exists.
fn companion(path: &Path, extensions: &[&str]) -> Result<PathBuf, Error> {
    let candidates = extensions.iter().map(|e| path.with_extension(e));
    candidates.into_iter().find(|p| p.exists()).ok_or_else(|| {
        let file = path.with_extension(extensions.first().copied().unwrap_or_default());
        Error::MissingCompanion { file, of: path.to_owned() }
    })
}

impl Plink {
    /// Opens the files beside the genotypes and checks that they belong together.
    ///
    /// # Errors
    /// See [`Error`]: a file that is absent, malformed, cut short or of another set.
    pub fn open(path: &Path, data: &[u8]) -> Result<(Self, Header), Error> {
        check_mode(path, data)?;
        let bed_set = is_bed_set(path, data);
        let bed = matches!(data.get(2), Some(0 | 1));
        // The header first: a .pgen that is not read at all should say so, whatever lies beside it.
        let pgen = if bed { None } else { Some(Pgen::open(path, data)?) };
        let (people, sites): (&[&str], &[&str]) =
            if bed_set { (&["fam"], &["bim"]) } else { (&["psam"], &["pvar", "pvar.zst"]) };
        let samples = people::read(&companion(path, people)?)?;
        let mut header = Header { samples, ..Header::default() };
        let sites = Sites::open(&companion(path, sites)?, &mut header)?;
        header.lines = sites.header_lines;
        let samples = header.samples.len();
        let layout = match pgen {
            None => Layout::Bed(Bed::open(path, data, samples, sites.count as usize)?),
            Some(pgen) => {
                let other = |what| Error::Plink { file: path.to_owned(), what };
                if pgen.samples as usize != samples {
                    return Err(other("it has another number of samples than the .psam"));
                }
                if pgen.variants != sites.count {
                    return Err(other("it has another number of variants than the .pvar"));
                }
                Layout::Pgen(pgen)
            }
        };
        Ok((Self { layout, sites, samples }, header))
    }

    /// Variants whose REF is not known to be the reference's.
    pub fn provisional(&self) -> u64 {
        match &self.layout {
            Layout::Bed(_) => u64::from(self.sites.count),
            Layout::Pgen(pgen) => pgen.provisional.unwrap_or(self.sites.provisional),
        }
    }

    /// Variants with dosages, which are not read.
    pub fn dosages(&self) -> u64 {
        match &self.layout {
            Layout::Bed(_) => 0,
            Layout::Pgen(pgen) => pgen.dosages,
        }
    }

    /// The line of .bim or .pvar for a line number that counts in table order.
    pub fn line(&self, line: u64) -> u64 {
        match line.checked_sub(self.sites.header_lines + 1) {
            Some(ordinal) => self.sites.variant_at(ordinal) + self.sites.header_lines + 1,
            None => line,
        }
    }

    /// A reader of the variants in table order.
    ///
    /// # Errors
    /// When the decompressor cannot be made.
    pub fn feed(&self, tuning: Tuning) -> Result<VariantFeed<'_>, Error> {
        let each = self.samples.div_ceil(4) + SITE_BYTES;
        let size = (tuning.bytes / each).clamp(1, 1 << 16) as u32;
        Ok(VariantFeed { plink: self, sites: self.sites.feed()?, size })
    }

    /// Adds the variants of a shard.
    ///
    /// # Errors
    /// Genotypes that are damaged or stored in a way that is not read.
    pub fn scan(
        &self,
        builder: &mut Builder<'_>,
        source: &Source,
        shard: &Variants,
    ) -> Result<(), Error> {
        let mut genotypes = self.genotypes(source, &shard.variants);
        let lines = shard.text.split(|&b| b == b'\n');
        for (i, (&variant, line)) in shard.variants.iter().zip(lines).enumerate() {
            builder.begin();
            let site = match self.sites.site(line) {
                Ok(site) => site,
                Err(reason) => {
                    builder.reject(reason, 1);
                    continue;
                }
            };
            if let Some(reason) = Builder::fault(&site) {
                builder.reject(reason, 1 + commas(site.alt));
                continue;
            }
            let context = builder.context;
            let columns = &context.cohort.columns;
            let alts = 1 + commas(site.alt);
            let max = genotypes.calls(i, variant, alts, columns, &mut builder.calls)?;
            builder.add(&site, max);
        }
        Ok(())
    }

    fn genotypes<'a>(&'a self, source: &'a Source, variants: &[u32]) -> Genotypes<'a> {
        let (path, data) = (&source.path, source.bytes());
        match &self.layout {
            Layout::Bed(bed) => {
                let turned = bed.turned(data, variants);
                Genotypes::Bed { path, data, bed: *bed, turned }
            }
            Layout::Pgen(pgen) => Genotypes::Pgen(Records::new(path, data, pgen)),
        }
    }
}

/// Genotypes of a shard's variants.
enum Genotypes<'a> {
    Bed { path: &'a Path, data: &'a [u8], bed: Bed, turned: Vec<u64> },
    Pgen(Records<'a>),
}

impl Genotypes<'_> {
    /// Appends the calls of variant number `i` of the shard and returns the largest allele index.
    fn calls(
        &mut self,
        i: usize,
        variant: u32,
        alts: usize,
        columns: &[u32],
        calls: &mut Vec<Call>,
    ) -> Result<u16, Error> {
        match self {
            Self::Bed { path, data, bed, turned } if turned.is_empty() => {
                bed.calls(path, data, variant as usize, columns, calls)
            }
            Self::Bed { turned, .. } => {
                let words = twobit::words(columns.len());
                let row = turned[i * words..(i + 1) * words].iter().copied();
                Ok(twobit::emit(row, columns, calls))
            }
            Self::Pgen(records) => records.calls(variant, alts, columns, calls),
        }
    }
}

/// Hands out shards of variants in table order.
pub struct VariantFeed<'a> {
    plink: &'a Plink,
    sites: SiteFeed<'a>,
    size: u32,
}

impl VariantFeed<'_> {
    /// The next shard.
    ///
    /// # Errors
    /// A damaged .pvar.zst.
    pub fn next(&mut self) -> Result<Option<Variants>, Error> {
        self.sites.take(self.size)
    }

    /// Bytes of a genotype file of `total` bytes that the shards so far stand for.
    pub fn consumed(&self, total: u64) -> u64 {
        let count = u64::from(self.plink.sites.count).max(1);
        (u128::from(total) * u128::from(self.sites.next) / u128::from(count)) as u64
    }
}
