//! The whole-genome callset: one BGZF VCF 4.2 a chromosome, phased GT.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use super::haplotype::Panel;
use super::people::sample_name;
use super::random::{Purpose, hash};
use super::site::{Chromosome, Kind, Site, site};
use super::{Error, bgzf};
use crate::engine::Progress;
use crate::error::IoError;

/// What is in the VCF files, counted as they were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SiteCounts {
    /// Records.
    pub records: u64,
    /// Biallelic transitions.
    pub transitions: u64,
    /// Biallelic transversions.
    pub transversions: u64,
    /// Biallelic insertions.
    pub insertions: u64,
    /// Biallelic deletions.
    pub deletions: u64,
    /// Records with two ALT alleles.
    pub multiallelic: u64,
    /// Records with a FILTER other than PASS.
    pub filtered: u64,
    /// Records with an ID.
    pub named: u64,
    /// Records with exactly one copy of the first ALT.
    pub singletons: u64,
    /// Records whose first ALT has a frequency under 1 %.
    pub under_one_percent: u64,
    /// Genotypes written as missing.
    pub missing_genotypes: u64,
}

impl SiteCounts {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.transitions += other.transitions;
        self.transversions += other.transversions;
        self.insertions += other.insertions;
        self.deletions += other.deletions;
        self.multiallelic += other.multiallelic;
        self.filtered += other.filtered;
        self.named += other.named;
        self.singletons += other.singletons;
        self.under_one_percent += other.under_one_percent;
        self.missing_genotypes += other.missing_genotypes;
    }
}

/// The variant that raises the odds of type 2 diabetes: chromosome number and variant index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    pub chromosome: u32,
    pub index: u32,
}

/// The planted variant lies in the middle of the first chromosome.
pub fn planted(chromosomes: &[Chromosome]) -> Option<Planted> {
    let first = chromosomes.iter().find(|c| c.variants > 0)?;
    Some(Planted { chromosome: first.number, index: first.variants / 2 })
}

/// Site and ALT dosage of the planted variant by sample column; `None` is missing.
pub fn planted_dosage(
    seed: u64,
    panel: &Panel,
    chromosome: &Chromosome,
    planted: Planted,
) -> (Site, Vec<Option<u8>>) {
    let block = planted.index / super::site::BLOCK;
    let mosaic = panel.mosaic(chromosome.number, block, chromosome.blocks());
    let here = site(seed, chromosome, planted.index, true);
    let mut row = panel.template();
    panel.genotypes(chromosome.number, planted.index, here.kind, true, &mosaic, &mut row);
    let dosage = row
        .chunks_exact(4)
        .map(|g| (g[0] != b'.').then(|| (g[0] == b'1') as u8 + (g[2] == b'1') as u8))
        .collect();
    (here, dosage)
}

/// Writes `path` with the variants of one of the chromosomes, a wave of blocks at a time, in order.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    path: &Path,
    seed: u64,
    panel: &Panel,
    (chromosomes, chromosome): (&[Chromosome], &Chromosome),
    planted: Option<Planted>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<SiteCounts, Error> {
    let file = File::create(path).map_err(IoError::at("creating", path))?;
    let mut file = BufWriter::new(file);
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(IoError::at("writing", path));
    put(&bgzf::compress(header(chromosomes, panel.samples()).as_bytes()))?;
    let mut counts = SiteCounts::default();
    let blocks: Vec<u32> = (0..chromosome.blocks()).collect();
    for wave in blocks.chunks(threads.max(1) * 8) {
        let done: Vec<(Vec<u8>, SiteCounts)> = wave
            .par_iter()
            .map(|&block| {
                let mut packed = Vec::new();
                let counts = render(seed, panel, chromosome, planted, block, |text| {
                    packed.extend_from_slice(&bgzf::compress(text));
                });
                (packed, counts)
            })
            .collect();
        for (bytes, block) in &done {
            put(bytes)?;
            counts.add(block);
            progress.advance(block.records);
        }
    }
    put(&bgzf::END)?;
    file.flush().map_err(IoError::at("writing", path))?;
    Ok(counts)
}

fn header(chromosomes: &[Chromosome], samples: usize) -> String {
    let mut text = String::from(
        "##fileformat=VCFv4.2\n\
         ##source=strata synth (made-up people)\n\
         ##FILTER=<ID=PASS,Description=\"All filters passed\">\n\
         ##FILTER=<ID=LowQual,Description=\"Low quality\">\n",
    );
    for c in chromosomes {
        let (name, length) = (c.name(), c.length);
        text.push_str(&format!("##contig=<ID={name},length={length},assembly=GRCh38>\n"));
    }
    text.push_str(
        "##INFO=<ID=AC,Number=A,Type=Integer,Description=\"Allele count in genotypes\">\n\
         ##INFO=<ID=AN,Number=1,Type=Integer,Description=\"Number of called alleles\">\n\
         ##INFO=<ID=AF,Number=A,Type=Float,Description=\"Allele frequency\">\n\
         ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
         #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT",
    );
    for column in 0..samples as u32 {
        text.push('\t');
        text.push_str(&sample_name(column));
    }
    text.push('\n');
    text
}

/// Writes `path` as a genotyping array would see the same people: common biallelic SNVs with a name, of
/// all chromosomes in one file, unphased. Returns the number of records.
///
/// # Errors
/// When the file cannot be written.
pub fn write_array(
    path: &Path,
    seed: u64,
    panel: &Panel,
    chromosomes: &[Chromosome],
    planted: Option<Planted>,
    threads: usize,
) -> Result<u64, Error> {
    let file = File::create(path).map_err(IoError::at("creating", path))?;
    let mut file = BufWriter::new(file);
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(IoError::at("writing", path));
    put(&bgzf::compress(header(chromosomes, panel.samples()).as_bytes()))?;
    let blocks: Vec<(&Chromosome, u32)> = chromosomes
        .iter()
        .flat_map(|c| (0..c.blocks()).step_by(ARRAY_BLOCKS).map(move |b| (c, b)))
        .collect();
    let mut records = 0;
    for wave in blocks.chunks(threads.max(1) * 8) {
        let done: Vec<(Vec<u8>, u64)> = wave
            .par_iter()
            .map(|&(chromosome, block)| {
                let (mut packed, mut records) = (Vec::new(), 0);
                render(seed, panel, chromosome, planted, block, |text| {
                    let (kept, n) = array_records(text);
                    packed.extend_from_slice(&bgzf::compress(&kept));
                    records += n;
                });
                (packed, records)
            })
            .collect();
        for (bytes, n) in &done {
            put(bytes)?;
            records += n;
        }
    }
    put(&bgzf::END)?;
    file.flush().map_err(IoError::at("writing", path))?;
    Ok(records)
}

/// An array looks at every so many blocks of the genome.
const ARRAY_BLOCKS: usize = 4;

/// Those of `text`'s records that are on the array, unphased.
fn array_records(text: &[u8]) -> (Vec<u8>, u64) {
    let mut out = Vec::new();
    let mut records = 0;
    for line in text.split_inclusive(|&b| b == b'\n') {
        let Some(start) = memchr::memmem::find(line, b"\tGT\t").map(|at| at + 4) else { continue };
        let (fixed, genotypes) = line.split_at(start);
        let single = |column: usize| {
            fixed.split(|&b| b == b'\t').nth(column).is_some_and(|allele| allele.len() == 1)
        };
        let called = genotypes.iter().filter(|b| matches!(b, b'0' | b'1')).count();
        let ones = genotypes.iter().filter(|&&b| b == b'1').count();
        if !single(2) && single(3) && single(4) && ones * 20 >= called {
            out.extend_from_slice(fixed);
            out.extend(genotypes.iter().map(|&b| if b == b'|' { b'/' } else { b }));
            records += 1;
        }
    }
    (out, records)
}

/// Text that is gathered before it is handed on: bounds memory when there are many samples.
const PIECE: usize = 4 << 20;

/// Hands the text of one block of variants to `piece`, some whole lines at a time.
fn render(
    seed: u64,
    panel: &Panel,
    chromosome: &Chromosome,
    planted: Option<Planted>,
    block: u32,
    mut piece: impl FnMut(&[u8]),
) -> SiteCounts {
    let template = panel.template();
    let mosaic = panel.mosaic(chromosome.number, block, chromosome.blocks());
    let mut text = Vec::new();
    let mut row = template.clone();
    let mut counts = SiteCounts::default();
    for index in chromosome.block(block) {
        let is_planted = planted == Some(Planted { chromosome: chromosome.number, index });
        let here = site(seed, chromosome, index, is_planted);
        row.copy_from_slice(&template);
        panel.genotypes(chromosome.number, index, here.kind, is_planted, &mosaic, &mut row);
        record(seed, chromosome, index, &here, &row, &mut text, &mut counts);
        text.extend_from_slice(&row);
        if text.len() >= PIECE {
            piece(&text);
            text.clear();
        }
    }
    piece(&text);
    counts
}

/// The fixed columns of a record, and its share of the counts.
fn record(
    seed: u64,
    chromosome: &Chromosome,
    index: u32,
    here: &Site,
    row: &[u8],
    text: &mut Vec<u8>,
    counts: &mut SiteCounts,
) {
    let count = |byte: u8| row.iter().filter(|&&b| b == byte).count() as u64;
    let missing = count(b'.') / 2;
    let an = 2 * (row.len() as u64 / 4 - missing);
    let first = count(b'1');
    let multiallelic = here.kind == Kind::Multiallelic;
    let quality = hash(seed, Purpose::Site, u64::from(chromosome.number) << 32, u64::from(index));
    let filtered = quality.is_multiple_of(100);
    let _ = write!(text, "{}\t{}\t", chromosome.name(), here.pos);
    match here.rsid {
        Some(rsid) => _ = write!(text, "rs{rsid}"),
        None => text.push(b'.'),
    }
    let _ = write!(
        text,
        "\t{}\t{}\t{}\t{}\tAC={first}",
        here.reference,
        here.alt,
        if filtered { 30 } else { 100 + quality / 128 % 900 },
        if filtered { "LowQual" } else { "PASS" },
    );
    let second = if multiallelic { count(b'2') } else { 0 };
    if multiallelic {
        let _ = write!(text, ",{second}");
    }
    let _ = write!(text, ";AN={an};AF={}", Frequency(first, an));
    if multiallelic {
        let _ = write!(text, ",{}", Frequency(second, an));
    }
    text.extend_from_slice(b"\tGT\t");
    counts.records += 1;
    counts.transitions += u64::from(here.kind == Kind::Transition);
    counts.transversions += u64::from(here.kind == Kind::Transversion);
    counts.insertions += u64::from(here.kind == Kind::Insertion);
    counts.deletions += u64::from(here.kind == Kind::Deletion);
    counts.multiallelic += u64::from(multiallelic);
    counts.filtered += u64::from(filtered);
    counts.named += u64::from(here.rsid.is_some());
    counts.singletons += u64::from(first == 1);
    counts.under_one_percent += u64::from(first * 100 < an);
    counts.missing_genotypes += missing;
}

/// A frequency with six decimals, `.` when nothing was called.
struct Frequency(u64, u64);

impl std::fmt::Display for Frequency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(count, of) = *self;
        if of == 0 {
            return f.write_str(".");
        }
        let millionths = (count * 2_000_000 + of) / (2 * of);
        write!(f, "{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
    }
}
