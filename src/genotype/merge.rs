//! Many files with different samples into one callset.
//!
//! ```text
//! files of the same samples = group -> scan, normalise (as any file) -> spool of the group
//!     64 spools -> one spool, until few are left -> windows of all spools = shards -> as any shard
//! ```
//!
//! A row is known by its normalised allele. A sample whose files have the row is what they say. Else it is
//! reference where a reference block, or a record of the same place and kind, says so; else it is missing.
//! Joining rows and spools knows no order, so neither the order of files nor the number of workers shows.
//! Open files, memory and scratch are bounded by the number of workers, not by that of files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::assemble::Rejected;
use super::cohort::Cohort;
use super::csq::Format;
use super::final_report::spool::Sites;
use super::gt::Kernel;
use super::info::InfoField;
use super::inputs::label;
use super::region::Chrom;
use super::shard::{Builder, Context, ShardRows, Tallies};
use super::work::Tuning;
use super::{CallsetRequest, Error, final_report};
use crate::engine::{Job, TableLedger};

mod coverage;
mod extract;
pub mod record;
pub mod spool;
pub mod sweep;
pub mod values;

use spool::{Pile, Spool, Writer, rank};
use sweep::{Joined, Sink, Sweep};
use values::Levels;

/// Spools joined at a time.
const FAN_IN: usize = 64;
/// Spools that windows are read from.
const MOST_SPOOLS: usize = 256;
/// Bytes of planes a block, and four times a window, may come to.
const PLANE_BYTES: usize = 8 << 20;
/// Bytes of spool a window.
const WINDOW_BYTES: u64 = 8 << 20;

/// Files of the same samples.
#[derive(Debug)]
pub struct Group {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their samples, in the order of the first.
    pub samples: Vec<String>,
    /// Whether the file, which is then the only one, is a FinalReport.
    pub report: bool,
}

/// What groups are read with.
pub struct Reading<'a> {
    /// The request.
    pub request: &'a CallsetRequest,
    /// The run.
    pub job: &'a Job,
    /// Everybody who is in.
    pub cohort: &'a Cohort,
    /// Selected INFO fields.
    pub info: &'a [InfoField],
    /// Whether GQ, DP and AD are read.
    pub numbers: bool,
    /// Where the parts of consequences are, if any are read.
    pub consequences: Option<&'a Format>,
    /// Instructions.
    pub kernel: Kernel,
    /// Sizes of units.
    pub tuning: Tuning,
}

/// A stretch of a chromosome that is a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    chrom: Chrom,
    from: i32,
    to: i32,
}

/// All files, ready to be read window by window.
pub struct Merged {
    spools: Vec<Spool>,
    maps: Vec<Vec<u32>>,
    samples: usize,
    windows: Vec<Window>,
    /// By INFO field: rows whose records do not agree.
    differs: Vec<AtomicU64>,
    /// Rows whose records do not agree on consequences.
    consequences: AtomicU64,
}

/// What reading all files came to, besides the spools.
#[derive(Default)]
pub struct Books {
    /// Rows in and excluded so far.
    pub ledger: TableLedger,
    /// Records that could not be used, by index of `names`.
    pub rejected: Vec<Rejected>,
    /// Base names of the files.
    pub names: Vec<String>,
}

impl Books {
    /// Adds rows in and excluded to the account of the callset.
    pub fn add_to(&self, ledger: &mut TableLedger) {
        add(ledger, &self.ledger);
    }
}

/// A group and where its files come in the order of all.
struct Numbered<'a> {
    group: &'a Group,
    first_file: usize,
}

/// Reads all groups. Groups of which nobody is in are not looked at.
///
/// # Errors
/// See [`Error`]: of any file, and when scratch cannot be written.
pub fn read(reading: &Reading<'_>, groups: &[Group]) -> Result<(Merged, Books), Error> {
    let samples = reading.cohort.len();
    let block_rows = (PLANE_BYTES / (2 * samples.div_ceil(8))).clamp(16, 1024) as u32;
    let sheet = &reading.request.samples;
    let least = |g: &Group| {
        let ids = g.samples.iter().filter(|n| !sheet.excluded.contains_key(*n));
        ids.filter_map(|n| sheet.included.get(n)).map(|e| e.research_id).min()
    };
    let mut keyed: Vec<(i64, &Group)> =
        groups.iter().filter_map(|g| least(g).map(|id| (id, g))).collect();
    keyed.sort_by_key(|(id, _)| *id);
    let mut books = Books::default();
    let mut numbered = Vec::new();
    for (_, group) in keyed {
        numbered.push(Numbered { group, first_file: books.names.len() });
        // Numbered within a group when it is read; rejects are listed by these names.
        books.names.extend(group.files.iter().map(|f| label(reading.request, f)));
    }
    let total: u64 = numbered.iter().map(|n| n.group.files.len() as u64).sum();
    reading.job.progress.expect(total);
    let one_batch = numbered.len() <= FAN_IN;
    let sites = match numbered.iter().find(|n| n.group.report) {
        Some(n) => {
            let manifest = final_report::manifest(reading.request, &n.group.files[0])?;
            Some(Sites::new(reading, manifest, &mut books)?)
        }
        None => None,
    };
    let batches: Vec<(usize, &[Numbered<'_>])> = numbered.chunks(FAN_IN).enumerate().collect();
    let done: Vec<Result<Batch, Error>> = batches
        .into_par_iter()
        .map(|(i, batch)| read_batch(reading, sites.as_ref(), i, batch, block_rows, one_batch))
        .collect();
    let mut spools = Vec::new();
    let mut merged = 0;
    for batch in done {
        let batch = batch?;
        spools.extend(batch.spools);
        merged += batch.merged;
        for (first_file, part) in batch.books {
            add(&mut books.ledger, &part.ledger);
            for (i, name) in part.names.into_iter().enumerate() {
                books.names[first_file + i] = name;
            }
            books.rejected.extend(part.rejected);
        }
    }
    let mut level = 0;
    while spools.len() > MOST_SPOOLS {
        level += 1;
        let chunks: Vec<(usize, &[Spool])> = spools.chunks(FAN_IN).enumerate().collect();
        let joined: Vec<Result<(Spool, u64), Error>> = chunks
            .into_par_iter()
            .map(|(i, chunk)| {
                let pile = Pile::create(&reading.job.scratch, &format!("join-{level}-{i}"))?;
                join(reading, pile, chunk, block_rows)
            })
            .collect();
        let joined: Vec<(Spool, u64)> = joined.into_iter().collect::<Result<_, _>>()?;
        merged += joined.iter().map(|(_, merged)| merged).sum::<u64>();
        spools = joined.into_iter().map(|(spool, _)| spool).collect();
    }
    // Gone if nothing else is in it.
    let _ = std::fs::remove_dir(&reading.job.scratch);
    books.ledger.exclude("merged_row", merged);
    // Of the values of `quality` a row has three of 16 bits a sample.
    let quality = if reading.request.options.quality { 6 * samples } else { 0 };
    let windows = windows(&spools, 2 * samples.div_ceil(8) + quality);
    let maps = spools.iter().map(|s| s.samples.clone()).collect();
    let differs = reading.info.iter().map(|_| AtomicU64::new(0)).collect();
    let consequences = AtomicU64::new(0);
    Ok((Merged { spools, maps, samples, windows, differs, consequences }, books))
}

/// Adds what was read and excluded; rows out are those of the callset alone.
fn add(sum: &mut TableLedger, part: &TableLedger) {
    sum.rows_in += part.rows_in;
    for (reason, n) in &part.excluded {
        sum.exclude(reason, *n);
    }
    // What is withheld is noted when rows are written.
    for (what, n) in part.noted.iter().filter(|(what, _)| !what.starts_with("info_withheld")) {
        sum.note(what, *n);
    }
}

#[derive(Default)]
struct Batch {
    spools: Vec<Spool>,
    merged: u64,
    books: Vec<(usize, Books)>,
}

fn read_batch(
    reading: &Reading<'_>,
    sites: Option<&Sites>,
    number: usize,
    groups: &[Numbered<'_>],
    block_rows: u32,
    only: bool,
) -> Result<Batch, Error> {
    let pile = Pile::create(&reading.job.scratch, &format!("spool-{number}"))?;
    let read = |n: &Numbered<'_>| match sites.filter(|_| n.group.report) {
        Some(sites) => {
            let path = &n.group.files[0];
            final_report::spool::read(reading, sites, path, n.first_file, &pile, block_rows)
        }
        None => extract::extract(reading, n.group, n.first_file, pile.clone(), block_rows)
            .map(|(spool, books)| (vec![spool], books)),
    };
    let read: Vec<Result<(Vec<Spool>, Books), Error>> = groups.par_iter().map(read).collect();
    let mut batch = Batch::default();
    for (numbered, read) in groups.iter().zip(read) {
        let (spools, books) = read?;
        batch.spools.extend(spools);
        batch.books.push((numbered.first_file, books));
    }
    if !only {
        let pile = Pile::create(&reading.job.scratch, &format!("join-0-{number}"))?;
        let spools = std::mem::take(&mut batch.spools);
        for chunk in spools.chunks(FAN_IN) {
            let (spool, merged) = join(reading, pile.clone(), chunk, block_rows)?;
            batch.spools.push(spool);
            batch.merged += merged;
        }
    }
    Ok(batch)
}

/// All chromosomes of some spools, in order.
fn chroms(spools: &[Spool]) -> Vec<Chrom> {
    let mut all: Vec<Chrom> =
        spools.iter().flat_map(|s| s.chroms.iter().map(|(c, _)| c.clone())).collect();
    all.sort_by(|a, b| rank(a).cmp(&rank(b)));
    all.dedup();
    all
}

/// One spool of many, and how many rows were joined to others.
fn join(
    reading: &Reading<'_>,
    pile: Arc<Pile>,
    spools: &[Spool],
    block_rows: u32,
) -> Result<(Spool, u64), Error> {
    let mut samples: Vec<u32> = spools.iter().flat_map(|s| s.samples.iter().copied()).collect();
    samples.sort_unstable();
    let ordinal = |s: &u32| samples.partition_point(|x| x < s) as u32;
    let maps: Vec<Vec<u32>> =
        spools.iter().map(|s| s.samples.iter().map(ordinal).collect()).collect();
    let count = samples.len();
    let mut sink = Joiner { writer: Writer::new(pile, samples, block_rows), merged: 0 };
    for chrom in chroms(spools) {
        reading.job.check()?;
        sink.writer.begin(&chrom)?;
        let fields = (reading.info.len(), reading.numbers);
        Sweep::new((spools, &maps), count, fields, &chrom, i32::MIN)?.run(i32::MAX, &mut sink)?;
    }
    Ok((sink.writer.finish()?, sink.merged))
}

struct Joiner {
    writer: Writer,
    merged: u64,
}

impl Sink for Joiner {
    fn cover(&mut self, pos: i32, sample: u32, state: u8, levels: Levels) -> Result<(), Error> {
        self.writer.cover(pos, sample, state, levels)
    }

    fn row(&mut self, row: &Joined<'_>) -> Result<(), Error> {
        self.merged += row.parts - 1;
        self.writer.row(row.key, row.end, &row.about, (&row.own.codes, &row.own.cells))
    }
}

/// Cuts all chromosomes where blocks begin, so that the rows of a window fit in memory.
/// `row` is the number of bytes of a row.
fn windows(spools: &[Spool], row: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    for chrom in chroms(spools) {
        let mut blocks: Vec<(i32, usize, u64)> = spools
            .iter()
            .flat_map(|s| s.blocks(&chrom))
            .map(|b| (b.first, b.rows as usize * row, u64::from(b.size)))
            .collect();
        blocks.sort_unstable();
        let mut from = i32::MIN;
        let (mut planes, mut bytes) = (0, 0);
        for same in blocks.chunk_by(|a, b| a.0 == b.0) {
            if planes >= 4 * PLANE_BYTES || bytes >= WINDOW_BYTES {
                windows.push(Window { chrom: chrom.clone(), from, to: same[0].0 });
                from = same[0].0;
                (planes, bytes) = (0, 0);
            }
            // Blocks that begin together mostly hold the same rows.
            planes += same.iter().map(|b| b.1).max().unwrap_or(0);
            bytes += same.iter().map(|b| b.2).sum::<u64>();
        }
        windows.push(Window { chrom, from, to: i32::MAX });
    }
    windows
}

impl Merged {
    /// Number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Rows of window `i`.
    ///
    /// # Errors
    /// When scratch cannot be read.
    pub fn scan(&self, context: &Context, i: usize) -> Result<ShardRows, Error> {
        let Window { chrom, from, to } = &self.windows[i];
        let spools = (&self.spools[..], &self.maps[..]);
        let fields = (context.info.len(), context.fields.numbers);
        let mut sweep = Sweep::new(spools, self.samples, fields, chrom, *from)?;
        let mut rows = Rows {
            builder: Builder::new(context),
            chrom: &chrom.name,
            differs: &self.differs,
            consequences: &self.consequences,
            merged: 0,
        };
        sweep.run(*to, &mut rows)?;
        let merged = rows.merged;
        let mut rows = rows.builder.finish();
        // Alleles and calls were counted when the files were read.
        rows.tallies =
            Tallies { merged, no_carrier: rows.tallies.no_carrier, ..Tallies::default() };
        Ok(rows)
    }

    /// Notes the INFO values that are null, and the consequences that were chosen, because records do not agree.
    pub fn note(&self, info: &[InfoField], ledger: &mut TableLedger) {
        for (field, count) in info.iter().zip(&self.differs) {
            ledger.note(&format!("info_differs:{}", field.id), count.load(Ordering::Relaxed));
        }
        ledger.note("consequences_differ", self.consequences.load(Ordering::Relaxed));
    }
}

struct Rows<'a> {
    builder: Builder<'a>,
    chrom: &'a str,
    differs: &'a [AtomicU64],
    consequences: &'a AtomicU64,
    merged: u64,
}

impl Sink for Rows<'_> {
    fn cover(&mut self, _: i32, _: u32, _: u8, _: Levels) -> Result<(), Error> {
        Ok(())
    }

    fn row(&mut self, row: &Joined<'_>) -> Result<(), Error> {
        self.merged += row.parts - 1;
        for (info, count) in row.about.info.iter().zip(self.differs) {
            if *info == record::Info::Differs {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        if row.about.consequences.is_some_and(|c| c.differ) {
            self.consequences.fetch_add(1, Ordering::Relaxed);
        }
        self.builder.add_joined(self.chrom.as_bytes(), row);
        Ok(())
    }
}
