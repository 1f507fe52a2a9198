//! The files of one group into a spool.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::coverage::Coverage;
use super::record::{About, Consequences, Info};
use super::spool::{Pile, Spool, Writer};
use super::values::Cell;
use super::{Books, Group, Reading};
use crate::engine::TableLedger;
use crate::genotype::assemble::{Assembler, Group as Rows, Rejected, RowRef};
use crate::genotype::cohort::Cohort;
use crate::genotype::csq::Format;
use crate::genotype::fields::Rules;
use crate::genotype::info::InfoField;
use crate::genotype::ingest::{reference, sort_files};
use crate::genotype::inputs::{Contexts, label};
use crate::genotype::region::Chrom;
use crate::genotype::shard::{Context, ShardRows, commas};
use crate::genotype::source::Source;
use crate::genotype::work::{Feed, Scratch, scan};
use crate::genotype::{Error, align};

/// Rows that wait together.
const WAITING: usize = 1024;

/// Reads a group. Rejects are numbered from `first_file` on, in the order in which files are read.
pub fn extract(
    reading: &Reading<'_>,
    group: &Group,
    first_file: usize,
    pile: Arc<Pile>,
    block_rows: u32,
) -> Result<(Spool, Books), Error> {
    let request = reading.request;
    let cohort = Cohort::new(&group.samples, &request.samples, &group.files[0])?;
    let everybody = &reading.cohort.entries;
    let ordinal = |id: i64| everybody.partition_point(|e| e.research_id < id) as u32;
    let samples = cohort.entries.iter().map(|e| ordinal(e.research_id)).collect();
    let context = Context {
        cohort,
        genome: request.genome,
        kernel: reading.kernel,
        info: reading.info.to_vec(),
        keep_cells: false,
        fields: Rules {
            calls: request.options.calls.clone(),
            numbers: reading.numbers,
            ..Rules::default()
        },
        reference: reference(request)?,
        reference_mismatch: request.options.reference_mismatch,
        consequences: reading.consequences.cloned(),
        keep: Some(request.options.ref_block_min_gq),
    };
    let hold = if context.reference.is_some() { align::FURTHEST } else { 0 };
    let mut sources = Vec::new();
    for path in &group.files {
        sources.push(Source::open_of(path, request)?);
    }
    sort_files(&mut sources, &context)?;
    let contexts = Contexts::new(context, &group.samples, &sources);
    let mut assembler = Assembler::new(&sources, reading.info, TableLedger::new(""), WAITING, hold);
    let count = contexts.first().cohort.len();
    let mut extract = Extract {
        info: reading.info,
        writer: Writer::new(pile, samples, block_rows),
        coverage: BTreeMap::new(),
        codes: vec![0; count],
        cells: vec![Cell::EMPTY; if reading.numbers { count } else { 0 }],
        consequences: reading.consequences,
        rejected: Vec::new(),
    };
    let mut scratch = Scratch::default();
    for (file, source) in sources.iter().enumerate() {
        let mut feed = Feed::new(source, reading.tuning);
        while let Some(shard) = feed.next()? {
            reading.job.check()?;
            let rows = scan(contexts.of(file), source, &shard, &mut scratch)?;
            extract.blocks(&rows);
            assembler.add(file, rows)?;
            extract.take(&mut assembler, first_file)?;
        }
        reading.job.progress.advance(1);
    }
    assembler.finish()?;
    extract.take(&mut assembler, first_file)?;
    let names = sources.iter().map(|s| label(request, &s.path)).collect();
    let ledger = std::mem::take(&mut assembler.ledger);
    let rejected = std::mem::take(&mut extract.rejected);
    Ok((extract.finish()?, Books { ledger, rejected, names }))
}

struct Extract<'a> {
    info: &'a [InfoField],
    writer: Writer,
    coverage: BTreeMap<(u8, String), (Chrom, Coverage)>,
    codes: Vec<u8>,
    cells: Vec<Cell>,
    consequences: Option<&'a Format>,
    rejected: Vec<Rejected>,
}

impl Extract<'_> {
    fn blocks(&mut self, rows: &ShardRows) {
        for block in &rows.kept.blocks {
            let chrom = &rows.segments[block.segment as usize].chrom;
            let key = (chrom.rank, chrom.name.clone());
            let entry = self.coverage.entry(key);
            entry.or_insert_with(|| (chrom.clone(), Coverage::default())).1.add(block);
        }
    }

    fn take(&mut self, assembler: &mut Assembler<'_>, first_file: usize) -> Result<(), Error> {
        for group in assembler.take_groups() {
            self.rows(&group)?;
        }
        let rejected = assembler.take_rejected().into_iter();
        self.rejected.extend(rejected.map(|r| Rejected { file: r.file + first_file, ..r }));
        Ok(())
    }

    fn rows(&mut self, group: &Rows) -> Result<(), Error> {
        self.writer.begin(&group.chrom)?;
        let key = (group.chrom.rank, group.chrom.name.clone());
        for at in &group.rows {
            let shard = &at.shard.rows;
            let row = &shard.rows[at.row as usize];
            if let Some((_, coverage)) = self.coverage.get_mut(&key) {
                for change in coverage.until(row.pos) {
                    self.writer.cover(change.pos, change.sample, change.state, change.levels)?;
                }
            }
            self.codes.fill(0);
            for &(sample, code) in shard.kept.codes(at.row as usize) {
                self.codes[sample as usize] = code;
            }
            self.cells.fill(Cell::EMPTY);
            for &(sample, cell) in shard.kept.cells(at.row as usize) {
                self.cells[sample as usize] = cell;
            }
            let pick = |(k, field): (usize, &InfoField)| field.pick(k, &(shard, row));
            let picked: Vec<_> = self.info.iter().enumerate().map(pick).collect();
            let format = self.consequences.filter(|_| row.index > 0);
            let entries = format.map(|f| f.stripped(shard.text(row.consequences)));
            let about = about(&picked, entries.as_deref(), at);
            let key = shard.key(at.row as usize);
            self.writer.row(key, row.end, &about, (&self.codes, &self.cells))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Spool, Error> {
        for (chrom, coverage) in self.coverage.values_mut() {
            self.writer.begin(chrom)?;
            for change in coverage.until(i32::MAX) {
                self.writer.cover(change.pos, change.sample, change.state, change.levels)?;
            }
        }
        self.writer.finish()
    }
}

fn about<'a>(
    info: &'a [Option<Cow<'a, [u8]>>],
    entries: Option<&'a [u8]>,
    at: &'a RowRef,
) -> About<'a> {
    let shard = &at.shard.rows;
    let row = &shard.rows[at.row as usize];
    let alt = shard.text(row.orig_alt);
    let id = shard.text(row.id);
    let described = row.index > 0;
    let origin = || {
        let alts = 1 + commas(alt) as u32;
        ((alts, shard.text(row.orig_ref), row.orig_pos, alt, row.index), row.was_split)
    };
    let value =
        |value: &'a Option<Cow<'a, [u8]>>| value.as_deref().map_or(Info::Absent, Info::Value);
    let entries = entries.filter(|entries| !entries.is_empty());
    About {
        origin: described.then(origin),
        qual: row.qual.filter(|_| described),
        id: Cow::Borrowed(if id.is_empty() { b"." } else { id }),
        filter: Cow::Borrowed(shard.text(row.filter)),
        info: info.iter().map(value).collect(),
        consequences: entries.map(|entries| Consequences { entries, differ: false }),
    }
}
