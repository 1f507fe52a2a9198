//! What can go wrong with a callset.

use std::path::PathBuf;

use crate::engine::{Cancelled, parquet};
use crate::error::{Coded, IoError};

/// A callset that could not be ingested.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read or mapped.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A table could not be written.
    #[error(transparent)]
    Write(#[from] parquet::Error),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The file starts with none of the known magic bytes.
    #[error("{}: neither VCF (plain, gzip, BGZF) nor BCF 2.2 nor PLINK .bed or .pgen", file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
    },
    /// A BGZF block is damaged.
    #[error("{}: damaged BGZF block at byte {offset}: {what}", file.display())]
    Bgzf {
        /// The file.
        file: PathBuf,
        /// Offset of the block in the compressed file.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The BGZF file ends without the end-of-file block, or in the middle of a block.
    #[error("{}: truncated BGZF at byte {offset}: {what}", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// Offset at which the file stops making sense.
        offset: u64,
        /// What is missing.
        what: &'static str,
    },
    /// A gzip stream is damaged or truncated.
    #[error("{}: damaged or truncated gzip stream after {offset} bytes of text: {source}", file.display())]
    Gzip {
        /// The file.
        file: PathBuf,
        /// Bytes of text that could be read.
        offset: u64,
        /// The decoder's words.
        source: std::io::Error,
    },
    /// The last line has no line end: the file was cut.
    #[error("{}: the last line is cut short (no line end)", file.display())]
    CutLine {
        /// The file.
        file: PathBuf,
    },
    /// A BCF record is malformed; what follows it cannot be found.
    #[error("{}: malformed BCF record {record}: {what}", file.display())]
    BcfRecord {
        /// The file.
        file: PathBuf,
        /// 1-based record number.
        record: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The header is malformed.
    #[error("{}: bad header, line {line}: {what}", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// 1-based line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The header, .fam, .psam or FinalReport names no samples.
    #[error("{}: there are no samples", file.display())]
    NoSamples {
        /// The file.
        file: PathBuf,
    },
    /// The header names a sample twice.
    #[error("{}: sample columns {first} and {second} have the same name", file.display())]
    DuplicateSample {
        /// The file.
        file: PathBuf,
        /// 1-based sample column.
        first: usize,
        /// 1-based sample column.
        second: usize,
    },
    /// Files of one callset share some of their samples but not all.
    #[error("{} and {} share some of their samples but not all", file.display(), other.display())]
    DifferentSamples {
        /// The first file.
        file: PathBuf,
        /// The other file.
        other: PathBuf,
    },
    /// A FinalReport cannot be read.
    #[error("{}, line {line}: bad FinalReport: {what}", file.display())]
    FinalReport {
        /// The file.
        file: PathBuf,
        /// 1-based line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An array manifest cannot be read.
    #[error("{}, line {line}: bad array manifest: {what}", file.display())]
    Manifest {
        /// The file.
        file: PathBuf,
        /// 1-based line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A FinalReport without a manifest.
    #[error("{}: a FinalReport needs the array's manifest", file.display())]
    NoManifest {
        /// The report.
        file: PathBuf,
    },
    /// A sample of the file is in neither list of the sheet.
    #[error("{}: {count} samples are not in the sample map (first: sample column {first})", file.display())]
    UnmappedSample {
        /// The file.
        file: PathBuf,
        /// How many.
        count: usize,
        /// 1-based sample column of the first.
        first: usize,
    },
    /// Two included samples of the callset belong to one person.
    #[error("{}: {count} persons have more than one included sample in this callset", file.display())]
    DuplicatePerson {
        /// The file.
        file: PathBuf,
        /// How many persons.
        count: usize,
    },
    /// No sample of the files is included.
    #[error("{}: no sample is left to include", file.display())]
    NobodyIncluded {
        /// The file.
        file: PathBuf,
    },
    /// The records of a file are not sorted.
    #[error("{}, line {line}: the record lies before the one above it or its chromosome came before", file.display())]
    Unsorted {
        /// The file.
        file: PathBuf,
        /// 1-based line (VCF) or record number (BCF).
        line: u64,
    },
    /// A half call where the workflow says that there must be none.
    #[error("{}, line {line}: a genotype has one of its two alleles missing", file.display())]
    HalfCall {
        /// The file.
        file: PathBuf,
        /// 1-based line (VCF) or record number (BCF).
        line: u64,
    },
    /// The reference sequence is no FASTA file.
    #[error("{}: not a plain FASTA file, byte {offset}: {what}", file.display())]
    Reference {
        /// The file.
        file: PathBuf,
        /// Offset in bytes.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// REF of a record is not what the reference sequence has, and the workflow wants to stop then.
    #[error("{}, line {line}: REF is not what the reference sequence has there", file.display())]
    ReferenceMismatch {
        /// The file.
        file: PathBuf,
        /// 1-based line (VCF) or record number (BCF).
        line: u64,
    },
    /// A record cannot be used and the run is strict.
    #[error("{}, line {line}: the record cannot be used ({reason}), and the run is strict", file.display())]
    Rejected {
        /// The file.
        file: PathBuf,
        /// 1-based line (VCF) or record number (BCF).
        line: u64,
        /// Reason code.
        reason: &'static str,
    },
    /// A line of a list of variants or regions is malformed.
    #[error("{}, line {line}: {what}", file.display())]
    List {
        /// The file.
        file: PathBuf,
        /// 1-based line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A record of a list of variants (a sites VCF) cannot be used.
    #[error("{}, line {line}: a record of the list cannot be used ({reason})", file.display())]
    ListRecord {
        /// The file.
        file: PathBuf,
        /// 1-based line (VCF) or record number (BCF).
        line: u64,
        /// Reason code.
        reason: &'static str,
    },
    /// A selection without a condition.
    #[error("selection `{selection}` has no condition")]
    EmptySelection {
        /// The selection.
        selection: String,
    },
    /// An ancestry group has a name that columns of the tables have.
    #[error("an ancestry group is named `adj`, which stands for calls of high quality")]
    ReservedGroup,
    /// Two columns of a table would have the same name.
    #[error("table `{table}` would have two columns `{column}`")]
    DuplicateColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
    },
    /// No record of the files gave a row.
    #[error(
        "callset `{callset}` has no variants: {excluded} alleles were read and not used, {most} of them \
         for the reason {reason}"
    )]
    NoVariants {
        /// The callset.
        callset: String,
        /// Alleles that were read.
        excluded: u64,
        /// The most frequent reason code, `none` when nothing was read.
        reason: String,
        /// Alleles that it holds for.
        most: u64,
    },
    /// An INFO field that the workflow selects is not in the header.
    #[error("{}: INFO field `{field}`, selected by the workflow, is not in the header", file.display())]
    UnknownInfo {
        /// The file.
        file: PathBuf,
        /// The field, as the workflow writes it.
        field: String,
    },
    /// Two files define a selected INFO field differently.
    #[error("{}: INFO field `{field}` has another type than in the first file", file.display())]
    InfoMismatch {
        /// The file.
        file: PathBuf,
        /// The field, as the workflow writes it.
        field: String,
    },
    /// The callset or an ancestry group has a name that cannot be a path or a column.
    #[error(
        "{what} must consist of 1 to 64 letters, digits, `_`, `-` or `.` and start with a letter or digit"
    )]
    BadName {
        /// What is named.
        what: &'static str,
    },
    /// A file of an annotation has sample columns.
    #[error("{}: has sample columns; an annotation is of sites alone", file.display())]
    AnnotationSamples {
        /// The file.
        file: PathBuf,
    },
    /// Two columns of an annotation's table would have the same name.
    #[error(
        "annotation `{annotation}`: a column of the table has the name of INFO field `{field}` already"
    )]
    AnnotationColumn {
        /// The annotation.
        annotation: String,
        /// The field.
        field: String,
    },
    /// The request lists no file.
    #[error("callset `{callset}` has no files")]
    NoFiles {
        /// The callset.
        callset: String,
    },
    /// A line is longer than any real record.
    #[error("{}: a line is longer than {limit} bytes", file.display())]
    LineTooLong {
        /// The file.
        file: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// A file that belongs to a .bed or .pgen is not beside it.
    #[error("{}: not found; it belongs to {}", file.display(), of.display())]
    MissingCompanion {
        /// The file that is not there.
        file: PathBuf,
        /// The genotypes.
        of: PathBuf,
    },
    /// A line of a .bim, .fam, .pvar or .psam file is malformed.
    #[error("{}, line {line}: {what}", file.display())]
    PlinkText {
        /// The file.
        file: PathBuf,
        /// 1-based line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A .bed or .pgen file is cut short, too long, or of another set than the files beside it.
    #[error("{}: {found} bytes long, but its variants and samples take {expected}", file.display())]
    PlinkSize {
        /// The file.
        file: PathBuf,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// A .bed or .pgen file and those beside it do not go together.
    #[error("{}: {what}", file.display())]
    Plink {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A record of a .pgen is malformed.
    #[error("{}: malformed .pgen, record {record}: {what}", file.display())]
    Pgen {
        /// The file.
        file: PathBuf,
        /// 1-based record number.
        record: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A .pgen stores something that is not read, or that its specification leaves open.
    #[error("{}: {what}: not read by this version", file.display())]
    PgenUnsupported {
        /// The file.
        file: PathBuf,
        /// What it stores.
        what: &'static str,
    },
    /// More variants in a chromosome than `variant_idx` can count, or a similar limit.
    #[error("{what}: more than this version can hold")]
    TooLarge {
        /// What is too large.
        what: &'static str,
    },
    /// A table of a callset is not what the release's tables are.
    #[error("{}: cannot be read as a table of a callset: {detail}", file.display())]
    Table {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The encoder refused, or a worker thread could not be made.
    #[error("{what}: {detail}")]
    Internal {
        /// What was being done.
        what: &'static str,
        /// The library's words.
        detail: String,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Write(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::UnknownFormat { .. } => "genotype::unknown_format",
            Self::Bgzf { .. } => "genotype::bgzf_damaged",
            Self::Truncated { .. } => "genotype::bgzf_truncated",
            Self::Gzip { .. } => "genotype::gzip",
            Self::CutLine { .. } => "genotype::cut_line",
            Self::BcfRecord { .. } => "genotype::bcf_record",
            Self::Header { .. } => "genotype::header",
            Self::NoSamples { .. } => "genotype::no_samples",
            Self::DuplicateSample { .. } => "genotype::duplicate_sample",
            Self::DifferentSamples { .. } => "genotype::different_samples",
            Self::FinalReport { .. } => "genotype::final_report",
            Self::Manifest { .. } => "genotype::manifest",
            Self::NoManifest { .. } => "genotype::no_manifest",
            Self::UnmappedSample { .. } => "genotype::unmapped_sample",
            Self::DuplicatePerson { .. } => "genotype::duplicate_person",
            Self::NobodyIncluded { .. } => "genotype::nobody_included",
            Self::Unsorted { .. } => "genotype::unsorted",
            Self::HalfCall { .. } => "genotype::half_call",
            Self::Reference { .. } => "genotype::reference",
            Self::ReferenceMismatch { .. } => "genotype::reference_mismatch",
            Self::Rejected { .. } => "genotype::rejected",
            Self::List { .. } => "genotype::list",
            Self::ListRecord { .. } => "genotype::list_record",
            Self::EmptySelection { .. } => "genotype::empty_selection",
            Self::ReservedGroup => "genotype::reserved_group",
            Self::DuplicateColumn { .. } => "genotype::duplicate_column",
            Self::NoVariants { .. } => "genotype::no_variants",
            Self::UnknownInfo { .. } => "genotype::unknown_info",
            Self::InfoMismatch { .. } => "genotype::info_mismatch",
            Self::BadName { .. } => "genotype::bad_name",
            Self::AnnotationSamples { .. } => "genotype::annotation_samples",
            Self::AnnotationColumn { .. } => "genotype::annotation_column",
            Self::NoFiles { .. } => "genotype::no_files",
            Self::LineTooLong { .. } => "genotype::line_too_long",
            Self::MissingCompanion { .. } => "genotype::missing_companion",
            Self::PlinkText { .. } => "genotype::plink_text",
            Self::PlinkSize { .. } => "genotype::plink_size",
            Self::Plink { .. } => "genotype::plink_mismatch",
            Self::Pgen { .. } => "genotype::pgen_damaged",
            Self::PgenUnsupported { .. } => "genotype::pgen_unsupported",
            Self::TooLarge { .. } => "genotype::too_large",
            Self::Table { .. } => "genotype::table",
            Self::Internal { .. } => "genotype::internal",
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            Self::Io(e) => return e.help(),
            Self::Write(e) => return e.help(),
            Self::UnknownFormat { .. } => {
                "give a VCF 4.x, BCF 2.2, .bed or .pgen file; other compressions must be unpacked first"
            }
            Self::Bgzf { .. }
            | Self::Truncated { .. }
            | Self::Gzip { .. }
            | Self::Pgen { .. }
            | Self::CutLine { .. } => {
                "fetch the file again and compare its checksum with the sender's"
            }
            Self::Unsorted { .. } => {
                "sort it: bcftools sort -Oz -o sorted.vcf.gz <file>; if it has X as 23 and 25 or as X and XY, first give them one name: bcftools annotate --rename-chrs"
            }
            Self::Rejected { .. } => {
                "correct the record, or run without --strict (strict = false) to count and list it"
            }
            Self::DifferentSamples { .. } => {
                "two files of a callset have the same samples, or none in common"
            }
            Self::FinalReport { .. } => {
                "export it from GenomeStudio as a standard FinalReport (long table) with its header"
            }
            Self::Manifest { .. } => "give the CSV manifest that Illumina has for the array",
            Self::NoManifest { .. } => "set `manifest` of the callset to the array's CSV manifest",
            Self::UnmappedSample { .. } => {
                "add them to the sample map, or set unmapped_samples = \"exclude\""
            }
            Self::DuplicatePerson { .. } => "map one sample a person, or split the callset",
            Self::Reference { .. } => {
                "unpack it, or write it again: samtools faidx checks the form"
            }
            Self::ReferenceMismatch { .. } => {
                "is it the same genome build? else set reference_mismatch = \"reject\" or \"keep\""
            }
            Self::HalfCall { .. } => {
                "set calls.half_calls = \"missing\" or \"haploid\", or correct the calls"
            }
            Self::MissingCompanion { .. } => {
                "put .bim and .fam beside a .bed, .pvar (or .pvar.zst) and .psam beside a .pgen"
            }
            Self::PlinkSize { .. } | Self::Plink { .. } => {
                "fetch the files again, all of one set, and compare their checksums with the sender's"
            }
            Self::PgenUnsupported { .. } => {
                "convert it: plink2 --pfile <files> --make-pgen erase-dosage --out <new files>"
            }
            Self::List { .. } => {
                "a BED has chromosome, start, end a line; a list of variants one vid a line, or is a VCF"
            }
            Self::ListRecord { .. } => "correct the record, or take it off the list",
            Self::EmptySelection { .. } => "give it af_above, ac_above, bed or sites",
            Self::ReservedGroup => "rename the group in the table of ancestries",
            Self::DuplicateColumn { .. } => {
                "rename the group or selection; upper and lower case are the same to SQL"
            }
            Self::NoVariants { .. } => {
                "are these the right files, and do any of their samples have variants? else take the callset out"
            }
            Self::UnknownInfo { .. } => {
                "remove it from the workflow's `info` list or correct its spelling"
            }
            Self::AnnotationSamples { .. } => {
                "take them off: bcftools view -G -Oz -o sites.vcf.gz <file>"
            }
            Self::AnnotationColumn { .. } => {
                "list each field once; upper and lower case are the same to SQL"
            }
            Self::Table { .. } => "check the release with `strata verify`",
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Write(e) => e.is_unexpected(),
            Self::Internal { .. } => true,
            _ => false,
        }
    }
}

impl Error {
    /// For `map_err` on arrow and parquet results that cannot fail on valid data.
    pub(crate) fn internal<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |e| Self::Internal { what, detail: e.to_string() }
    }

    /// The files that the message names.
    pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Io(e) => vec![&mut e.path],
            Self::DifferentSamples { file, other } => vec![file, other],
            Self::MissingCompanion { file, of } => vec![file, of],
            Self::UnknownFormat { file, .. }
            | Self::Bgzf { file, .. }
            | Self::Truncated { file, .. }
            | Self::Gzip { file, .. }
            | Self::CutLine { file, .. }
            | Self::BcfRecord { file, .. }
            | Self::Header { file, .. }
            | Self::NoSamples { file, .. }
            | Self::DuplicateSample { file, .. }
            | Self::FinalReport { file, .. }
            | Self::Manifest { file, .. }
            | Self::NoManifest { file, .. }
            | Self::UnmappedSample { file, .. }
            | Self::DuplicatePerson { file, .. }
            | Self::NobodyIncluded { file, .. }
            | Self::Unsorted { file, .. }
            | Self::HalfCall { file, .. }
            | Self::Reference { file, .. }
            | Self::ReferenceMismatch { file, .. }
            | Self::Rejected { file, .. }
            | Self::List { file, .. }
            | Self::ListRecord { file, .. }
            | Self::UnknownInfo { file, .. }
            | Self::InfoMismatch { file, .. }
            | Self::AnnotationSamples { file, .. }
            | Self::LineTooLong { file, .. }
            | Self::PlinkText { file, .. }
            | Self::PlinkSize { file, .. }
            | Self::Plink { file, .. }
            | Self::Pgen { file, .. }
            | Self::PgenUnsupported { file, .. }
            | Self::Table { file, .. } => vec![file],
            _ => Vec::new(),
        }
    }
}
