//! What a shard of input becomes: biallelic rows with counts and bit planes, in input order.

use std::sync::Arc;

use super::allele::{Change, VariantType};
use super::cohort::Cohort;
use super::csq::Format;
use super::fasta::Reference;
use super::fields::Rules;
use super::gt::Kernel;
use super::info::InfoField;
use super::region::{Chrom, Region};
use super::summary::Summaries;
use super::{Genome, ReferenceMismatch};

mod builder;

pub use builder::{Builder, commas, keep};

/// What a shard scan needs to know besides its bytes.
#[derive(Clone)]
pub struct Context {
    /// Who is in.
    pub cohort: Cohort,
    /// Reference genome.
    pub genome: Genome,
    /// Instructions to use.
    pub kernel: Kernel,
    /// INFO fields whose values are kept for the encoder.
    pub info: Vec<InfoField>,
    /// Whether counts by cell are kept, see [`ShardRows::cells`].
    pub keep_cells: bool,
    /// What is read of FORMAT.
    pub fields: Rules,
    /// Reference sequence, if alleles are to be left-aligned.
    pub reference: Option<Arc<Reference>>,
    /// What to do with a record whose REF is not what the reference has.
    pub reference_mismatch: ReferenceMismatch,
    /// For a merge: calls are kept as codes, and reference blocks of at least this GQ. See [`keep`].
    pub keep: Option<u8>,
    /// Consequences whose entries are kept for the encoder.
    pub consequences: Option<Format>,
}

/// A piece of the shard's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// Genotype counts of a row. Classes as in the `variants` table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Diploid and haploid calls.
    pub called: i32,
    /// Calls missing for any reason, half calls among them.
    pub missing: i32,
    /// One of two alleles missing.
    pub half: i32,
    /// Diploid without this ALT.
    pub hom_ref: i32,
    /// Diploid with one copy.
    pub het: i32,
    /// Diploid with two copies.
    pub hom_alt: i32,
    /// Haploid without this ALT.
    pub hemi_ref: i32,
    /// Haploid with it.
    pub hemi_alt: i32,
    /// Two different alleles called where one is expected; among `missing`.
    pub het_hap: i32,
}

impl Counts {
    /// Copies of the ALT.
    pub fn ac(&self) -> i32 {
        self.het + 2 * self.hom_alt + self.hemi_alt
    }

    /// Called alleles.
    pub fn an(&self) -> i32 {
        2 * (self.hom_ref + self.het + self.hom_alt) + self.hemi_ref + self.hemi_alt
    }

    /// Of people of whom `classes` were seen; the others are hom-ref, or hemi-ref where `haploid`.
    fn of(classes: &[i32; CLASSES], samples: i32, haploid: bool) -> Self {
        let seen: i32 = classes.iter().sum();
        let [mut hom_ref, het, hom_alt, mut hemi_ref, hemi_alt, no_call, half, ..] = *classes;
        let het_hap = classes[HET_HAP];
        *(if haploid { &mut hemi_ref } else { &mut hom_ref }) += samples - seen;
        let called = hom_ref + het + hom_alt + hemi_ref + hemi_alt;
        let missing = no_call + half + het_hap;
        Self { called, missing, half, hom_ref, het, hom_alt, hemi_ref, hemi_alt, het_hap }
    }

    /// Adds another part's counts.
    fn add(&mut self, other: &Self) {
        self.called += other.called;
        self.missing += other.missing;
        self.half += other.half;
        self.hom_ref += other.hom_ref;
        self.het += other.het;
        self.hom_alt += other.hom_alt;
        self.hemi_ref += other.hemi_ref;
        self.hemi_alt += other.hemi_alt;
        self.het_hap += other.het_hap;
    }

    /// What tables of frequencies have: `[ac, an, hom, hemi]`.
    fn short(&self) -> [i32; 4] {
        [self.ac(), self.an(), self.hom_alt, self.hemi_alt]
    }
}

const HOM_REF: usize = 0;
const HET: usize = 1;
const HOM_ALT: usize = 2;
const HEMI_REF: usize = 3;
const HEMI_ALT: usize = 4;
const NO_CALL: usize = 5;
const HALF: usize = 6;
const NONE_EXPECTED: usize = 7;
const HET_HAP: usize = 8;
const CLASSES: usize = 9;

/// Planes that only some rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// ALT on the second haplotype of a phased het.
    Phase,
    /// Half calls.
    Half,
    /// Haploid calls.
    Haploid,
    /// No call expected.
    NotExpected,
    /// Phased calls, where a row has phased and unphased ones.
    Phased,
    /// Calls of the file that the expected ploidy does not admit: a het of one copy, any of none.
    Contrary,
}

/// Kinds of [`Extra`].
const EXTRAS: usize = 6;

/// Whether the non-reference diploid calls of a row are phased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phasing {
    /// All of them, or there are none.
    All,
    /// None of them.
    Never,
    /// Some: see [`Extra::Phased`].
    Mixed,
}

/// A biallelic row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Ordinal of the source line (or record) in the shard.
    pub line: u32,
    /// 1-based position after trimming.
    pub pos: i32,
    /// Last position, inclusive.
    pub end: i32,
    /// What tells symbolic alleles of one position apart, see [`Extent`]; 0 for bases.
    pub extent: i32,
    /// Trimmed REF, upper case.
    pub reference: Span,
    /// Trimmed ALT, upper case.
    pub alt: Span,
    /// POS of the source record, as [`Survivors`] describes it, like the next fields down to `index`.
    pub orig_pos: i32,
    /// REF of the source record.
    pub orig_ref: Span,
    /// ALT column of the source record.
    pub orig_alt: Span,
    /// 1-based ordinal of the allele in `orig_alt`.
    pub index: u16,
    /// ID column; empty for `.`.
    pub id: Span,
    /// FILTER column.
    pub filter: Span,
    /// Index of the record's first selected INFO value.
    info: u32,
    /// Entries of the consequences field that are of this ALT, comma-joined.
    pub consequences: Span,
    /// QUAL.
    pub qual: Option<f32>,
    /// 1-based ordinal of the allele in the source record, by which calls and INFO name it.
    pub allele: u16,
    /// ALT alleles of the source record, dropped ones among them.
    pub alleles: u16,
    /// Whether ALTs were dropped because no included sample carries them.
    pub reduced: bool,
    /// Whether the source record had more than one ALT (`<NON_REF>` aside).
    pub was_split: bool,
    /// Variant type.
    pub kind: VariantType,
    /// What it counts as per sample.
    pub change: Change,
    /// How many copies are expected of whom; by POS of the source record.
    pub region: Region,
    /// Genotype counts.
    pub counts: Counts,
    /// Phasing of the non-reference calls.
    pub phasing: Phasing,
    extra: [u32; EXTRAS],
}

/// A run of records of one chromosome.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The chromosome.
    pub chrom: Chrom,
    /// POS of the first record.
    pub first_pos: i32,
    /// POS of the last record.
    pub last_pos: i32,
    /// Line ordinal of the first record in the shard.
    pub first_line: u32,
    /// Index of the first row; the segment ends where the next begins.
    pub first_row: usize,
}

/// A record, or an allele of one, that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// Ordinal of the line in the shard.
    pub line: u32,
    /// Reason code.
    pub reason: &'static str,
    /// Alleles that are lost.
    pub alleles: u32,
}

/// Things counted in passing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tallies {
    /// ALT alleles read; a record without counts 1.
    pub alleles: u64,
    /// `*`.
    pub star: u64,
    /// Records without ALT.
    pub no_alt: u64,
    /// `<NON_REF>` and `<*>`.
    pub non_ref: u64,
    /// Records without an ALT of their own: `<NON_REF>` alone, or END and no ALT.
    pub reference_block: u64,
    /// Rows of files that a merge joined to a row of another file.
    pub merged: u64,
    /// ALTs that no included sample carries, where samples stay out.
    pub no_carrier: u64,
    /// Records whose ID is withheld because it may name a dropped ALT.
    pub id_withheld: u64,
    /// Records without a GT field.
    pub without_gt: u64,
    /// Calls of three and more alleles, taken as missing.
    pub unsupported_ploidy: u64,
    /// Half calls.
    pub half_calls: u64,
    /// Records kept although their REF is not what the reference has.
    pub ref_mismatch_kept: u64,
    /// Records of a contig that the reference lacks.
    pub contig_not_in_reference: u64,
    /// Calls that FT filters.
    pub filtered: u64,
    /// Values of FORMAT fields that cannot be used.
    pub unusable_values: u64,
    /// Cells whose AD does not have one number an allele.
    pub miscounted_depths: u64,
    /// Entries of the consequences field that name no ALT of their record.
    pub consequence_unmatched: u64,
}

/// The result of a shard.
#[derive(Debug, Default)]
pub struct ShardRows {
    /// Rows in input order.
    pub rows: Vec<Row>,
    /// Chromosome runs.
    pub segments: Vec<Segment>,
    /// What could not be used.
    pub rejects: Vec<Reject>,
    /// How many of the last lines are blank, which are the last of `rejects`.
    pub blank: u32,
    /// Virtual offsets of `rejects`, in the same order; shorter where the input has none.
    pub places: Vec<Option<u64>>,
    /// Lines or records read.
    pub lines: u64,
    /// Line ordinal at which positions go back.
    pub unsorted: Option<u32>,
    /// Line ordinal of the first half call, where there must be none.
    pub half_call: Option<u32>,
    /// Line ordinal of the first REF that disagrees with the reference, where none may.
    pub mismatch: Option<u32>,
    /// What the FORMAT fields come to, by row.
    pub summaries: Summaries,
    /// Things counted.
    pub tallies: Tallies,
    /// What a merge keeps.
    pub kept: keep::Kept,
    text: Vec<u8>,
    infos: Vec<Option<Span>>,
    planes: Vec<u8>,
    extras: Vec<u8>,
    groups: Vec<[i32; 4]>,
    group_count: usize,
    cells: Vec<[i32; 4]>,
    stride: usize,
}

impl ShardRows {
    /// The text of a span.
    pub fn text(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..span.end as usize]
    }

    /// The value of the selected INFO field number `k` in the record of `row`; empty for a flag.
    pub fn info(&self, row: &Row, k: usize) -> Option<&[u8]> {
        self.infos[row.info as usize + k].map(|span| self.text(span))
    }

    /// The het and hom-alt planes of row `i`.
    pub fn planes(&self, i: usize) -> (&[u8], &[u8]) {
        self.planes[i * 2 * self.stride..(i + 1) * 2 * self.stride].split_at(self.stride)
    }

    /// An optional plane of a row.
    pub fn extra(&self, row: &Row, which: Extra) -> Option<&[u8]> {
        let at = row.extra[which as usize] as usize;
        (at > 0).then(|| &self.extras[(at - 1) * self.stride..at * self.stride])
    }

    /// `[ac, an, hom, hemi]` by ancestry group of row `i`.
    pub fn groups(&self, i: usize) -> &[[i32; 4]] {
        &self.groups[i * self.group_count..(i + 1) * self.group_count]
    }

    /// `[ac, an, hom, hemi]` by cell of the cohort (of which there are `count`) of row `i`; empty unless
    /// the context keeps them.
    pub fn cells(&self, i: usize, count: usize) -> &[[i32; 4]] {
        self.cells.get(i * count..(i + 1) * count).unwrap_or_default()
    }

    /// `[ac, an, hom, hemi]` of the calls of row `i` that pass the adj thresholds, by ancestry group and
    /// then of all samples; empty without thresholds.
    pub fn adj_groups(&self, i: usize) -> &[[i32; 4]] {
        self.summaries.adj(i)
    }

    /// What rows sort by.
    pub fn key(&self, i: usize) -> Key<'_> {
        let row = &self.rows[i];
        (row.pos, self.text(row.reference), self.text(row.alt), row.extent)
    }

    fn keep(&mut self, text: &[u8]) -> Span {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(text);
        Span { start, end: self.text.len() as u32 }
    }

    fn keep_upper(&mut self, text: &[u8]) -> Span {
        let start = self.text.len() as u32;
        self.text.extend(text.iter().map(u8::to_ascii_uppercase));
        Span { start, end: self.text.len() as u32 }
    }
}

/// Position, REF, ALT and extent: what rows sort by, and what makes two of them the same variant.
pub type Key<'a> = (i32, &'a [u8], &'a [u8], i32);

/// The fixed fields of a record, as VCF text.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// CHROM.
    pub chrom: &'a [u8],
    /// POS.
    pub pos: i32,
    /// ID.
    pub id: &'a [u8],
    /// REF.
    pub reference: &'a [u8],
    /// ALT, comma-joined.
    pub alt: &'a [u8],
    /// QUAL.
    pub qual: Option<f32>,
    /// FILTER.
    pub filter: &'a [u8],
    /// INFO.
    pub info: &'a [u8],
}
