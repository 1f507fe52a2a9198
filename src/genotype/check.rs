//! Reading an input without making anything of it: what is in it and what could not be used.

use std::collections::BTreeMap;
use std::path::Path;

use super::assemble::Assembler;
use super::cohort::Cohort;
use super::fields::Rules;
use super::gt::Kernel;
use super::shard::Context;
use super::source::Source;
use super::work::{Feed, Scratch, Tuning, scan};
use super::{Error, Genome, ReferenceMismatch};
use crate::engine::TableLedger;

/// What an input holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// Sample columns; 0 for a sites-only file.
    pub samples: usize,
    /// Records read, unusable ones among them.
    pub records: u64,
    /// Rows of the `variants` table that they would give with every sample included.
    pub rows: u64,
    /// Records and alleles that cannot be used, by reason code.
    pub rejects: BTreeMap<&'static str, u64>,
}

/// Reads all of a VCF or BCF file as an ingest would, and writes nothing. A file without samples is fine.
///
/// # Errors
/// Whatever would stop an ingest of this file alone, but for [`Error::NoSamples`].
pub fn check(path: &Path, genome: Genome) -> Result<Check, Error> {
    of_source(Source::open(path)?, genome, Tuning::default())
}

/// [`check`] of an opened source.
pub(super) fn of_source(source: Source, genome: Genome, tuning: Tuning) -> Result<Check, Error> {
    let cohort = everyone(source.header.samples.len());
    let context = Context {
        cohort,
        genome,
        kernel: Kernel::detect(),
        info: Vec::new(),
        keep_cells: false,
        fields: Rules::default(),
        reference: None,
        reference_mismatch: ReferenceMismatch::default(),
        keep: None,
        consequences: None,
    };
    let mut check = Check { samples: source.header.samples.len(), ..Check::default() };
    let sources = [source];
    let mut feed = Feed::new(&sources[0], tuning);
    let mut scratch = Scratch::default();
    let mut assembler = Assembler::new(&sources, &[], TableLedger::new("check"), 1024, 0);
    let mut count = |assembler: &mut Assembler<'_>| {
        for reject in assembler.take_rejected() {
            *check.rejects.entry(reject.reason).or_default() += 1;
        }
        check.rows += assembler.take_groups().iter().map(|g| g.rows.len() as u64).sum::<u64>();
    };
    let mut records = 0;
    while let Some(shard) = feed.next()? {
        let rows = scan(&context, &sources[0], &shard, &mut scratch)?;
        records += rows.lines;
        assembler.add(0, rows)?;
        count(&mut assembler);
    }
    assembler.finish()?;
    count(&mut assembler);
    check.records = records;
    Ok(check)
}

/// All of `n` samples, in file order, of no group and no stated sex.
pub(super) fn everyone(n: usize) -> Cohort {
    let mut cohort = Cohort {
        columns: (0..n as u32).collect(),
        entries: vec![super::SampleEntry::default(); n],
        group_sizes: vec![n as i32],
        group_of: vec![0; n],
        ..Cohort::default()
    };
    cohort.fill_cells();
    cohort
}
