//! Shard results in file order become row groups in table order.
//!
//! Trimming can move a row to the right of records that follow it, also into the next shard, so rows
//! wait until no later record can come before them. Equal rows meet here and the first is kept.

use std::collections::HashSet;
use std::sync::Arc;

use super::Error;
use super::encode::vid;
use super::info::InfoField;
use super::region::{Chrom, Kind};
use super::selection::Variants;
use super::shard::{Key, Row, Segment, ShardRows, Tallies};
use super::source::Source;
use super::summary::SampleSums;
use crate::engine::TableLedger;

/// A shard's rows and where they came from.
pub struct Placed {
    /// The rows.
    pub rows: ShardRows,
    /// Index of the file.
    pub file: usize,
    /// Lines of the file before the shard's first.
    pub base: u64,
}

/// A row of a shard.
#[derive(Clone)]
pub struct RowRef {
    /// The shard.
    pub shard: Arc<Placed>,
    /// Index of the row.
    pub row: u32,
}

impl RowRef {
    fn key(&self) -> Key<'_> {
        self.shard.rows.key(self.row as usize)
    }

    /// The row and the rows it is one of.
    pub fn shard_row(&self) -> (&ShardRows, &Row) {
        (&self.shard.rows, &self.shard.rows.rows[self.row as usize])
    }

    /// File and 1-based line of its record.
    fn line(&self) -> (usize, u64) {
        let line = self.shard.rows.rows[self.row as usize].line;
        (self.shard.file, self.shard.base + u64::from(line) + 1)
    }
}

/// The rows of a row group.
pub struct Group {
    /// Their chromosome.
    pub chrom: Chrom,
    /// `variant_idx` of the first.
    pub first_idx: i32,
    /// The rows in order.
    pub rows: Vec<RowRef>,
}

/// A line of the rejects table, in the order of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// Index of the file.
    pub file: usize,
    /// 1-based line, or record number of a BCF.
    pub line: u64,
    /// Reason code.
    pub reason: &'static str,
    /// Virtual offset of the line, if known.
    pub offset: Option<u64>,
}

/// Puts shards together. Feed it in order.
pub struct Assembler<'a> {
    sources: &'a [Source],
    info: &'a [InfoField],
    group_rows: usize,
    hold: i32,
    file: usize,
    base: u64,
    chrom: Option<Chrom>,
    closed: HashSet<String>,
    last_pos: i32,
    pending: Vec<RowRef>,
    group: Vec<RowRef>,
    last: Option<RowRef>,
    next_idx: u64,
    groups: Vec<Group>,
    rejected: Vec<Rejected>,
    /// Blank lines, as line and virtual offset, that nothing has followed in the file yet.
    blank: Vec<(u64, Option<u64>)>,
    /// Variants to leave out.
    pub exclude: Variants,
    /// The callset's account.
    pub ledger: TableLedger,
    /// Sums of FORMAT fields by sample.
    pub samples: SampleSums,
}

impl<'a> Assembler<'a> {
    /// An empty one. No row is more than `hold` bases to the left of its record.
    pub fn new(
        sources: &'a [Source],
        info: &'a [InfoField],
        ledger: TableLedger,
        group_rows: usize,
        hold: i32,
    ) -> Self {
        Self {
            sources,
            info,
            group_rows,
            hold,
            file: usize::MAX,
            base: 0,
            chrom: None,
            closed: HashSet::new(),
            last_pos: 0,
            pending: Vec::new(),
            group: Vec::new(),
            last: None,
            next_idx: 0,
            groups: Vec::new(),
            rejected: Vec::new(),
            blank: Vec::new(),
            exclude: Variants::default(),
            ledger,
            samples: SampleSums::default(),
        }
    }

    /// Takes the next shard.
    ///
    /// # Errors
    /// When records are out of order.
    pub fn add(&mut self, file: usize, mut rows: ShardRows) -> Result<(), Error> {
        if file != self.file {
            self.file = file;
            self.blank.clear();
            self.base = if self.sources[file].format == super::source::Format::Bcf {
                0
            } else {
                self.sources[file].header.lines
            };
        }
        if let Some(line) = rows.half_call.filter(|line| rows.unsorted.is_none_or(|l| *line < l)) {
            let file = self.sources[file].path.clone();
            return Err(Error::HalfCall { file, line: self.base + u64::from(line) + 1 });
        }
        if let Some(line) = rows.unsorted {
            return Err(self.unsorted(line));
        }
        if let Some(line) = rows.mismatch {
            let file = self.sources[file].path.clone();
            return Err(Error::ReferenceMismatch { file, line: self.base + u64::from(line) + 1 });
        }
        let lines = rows.lines;
        self.book(&rows);
        // Taken out: they are as long as the callset, and the shard stays until its last row is written.
        self.samples.merge(&std::mem::take(&mut rows.summaries.samples));
        let shard = Arc::new(Placed { rows, file, base: self.base });
        let segments = &shard.rows.segments;
        for (i, segment) in segments.iter().enumerate() {
            let end = segments.get(i + 1).map_or(shard.rows.rows.len(), |s| s.first_row);
            self.segment(&shard, segment, end)?;
        }
        self.base += lines;
        Ok(())
    }

    fn unsorted(&self, line: u32) -> Error {
        let file = self.sources[self.file].path.clone();
        Error::Unsorted { file, line: self.base + u64::from(line) + 1 }
    }

    fn book(&mut self, rows: &ShardRows) {
        let Tallies {
            alleles,
            star,
            no_alt,
            non_ref,
            reference_block,
            merged,
            no_carrier,
            id_withheld,
            without_gt,
            unsupported_ploidy,
            half_calls,
            ref_mismatch_kept,
            contig_not_in_reference,
            filtered,
            unusable_values,
            miscounted_depths,
            consequence_unmatched,
        } = rows.tallies;
        let trailing = rows.rejects.len() - rows.blank as usize;
        if rows.lines > u64::from(rows.blank) {
            for (line, offset) in std::mem::take(&mut self.blank) {
                self.ledger.rows_in += 1;
                self.reject(self.file, line, "column_count", 1, offset);
            }
        }
        self.ledger.rows_in += alleles - u64::from(rows.blank);
        self.ledger.exclude("star_allele", star);
        self.ledger.exclude("no_alt", no_alt);
        self.ledger.exclude("non_ref_allele", non_ref);
        self.ledger.exclude("reference_block", reference_block);
        self.ledger.exclude("merged_row", merged);
        self.ledger.exclude("no_carrier", no_carrier);
        self.ledger.note("id_withheld", id_withheld);
        self.ledger.note("record_without_gt", without_gt);
        self.ledger.note("unsupported_ploidy", unsupported_ploidy);
        self.ledger.note("half_call", half_calls);
        self.ledger.note("ref_mismatch_kept", ref_mismatch_kept);
        self.ledger.note("contig_not_in_reference", contig_not_in_reference);
        self.ledger.note("filtered_call", filtered);
        self.ledger.note("format_value_unusable", unusable_values);
        self.ledger.note("format_ad_count", miscounted_depths);
        self.ledger.note("consequence_unmatched", consequence_unmatched);
        for (i, reject) in rows.rejects.iter().enumerate() {
            let line = self.base + u64::from(reject.line) + 1;
            let offset = rows.places.get(i).copied().flatten();
            // Nothing follows them so far: at the end of a file they are no records.
            if i >= trailing {
                self.blank.push((line, offset));
                continue;
            }
            self.reject(self.file, line, reject.reason, u64::from(reject.alleles), offset);
        }
    }

    fn reject(
        &mut self,
        file: usize,
        line: u64,
        reason: &'static str,
        alleles: u64,
        offset: Option<u64>,
    ) {
        let name = if reason == "duplicate_variant" {
            reason.to_owned()
        } else {
            format!("bad_record:{reason}")
        };
        self.ledger.exclude(&name, alleles);
        self.rejected.push(Rejected { file, line, reason, offset });
    }

    fn segment(&mut self, shard: &Arc<Placed>, segment: &Segment, end: usize) -> Result<(), Error> {
        if self.chrom.as_ref() != Some(&segment.chrom) {
            if self.closed.contains(&segment.chrom.name) {
                return Err(self.unsorted(segment.first_line));
            }
            self.close_chrom()?;
            self.chrom = Some(segment.chrom.clone());
        } else if segment.first_pos < self.last_pos {
            return Err(self.unsorted(segment.first_line));
        }
        self.last_pos = segment.last_pos;
        let rows = segment.first_row..end;
        self.pending.extend(rows.map(|row| RowRef { shard: shard.clone(), row: row as u32 }));
        // A later record starts at last_pos or behind it, and its rows are at most so far to the left.
        self.flush(Some(segment.last_pos.saturating_sub(self.hold)))
    }

    fn flush(&mut self, before: Option<i32>) -> Result<(), Error> {
        if !self.pending.is_sorted_by(|a, b| a.key() <= b.key()) {
            self.pending.sort_by(|a, b| a.key().cmp(&b.key()));
        }
        let end = before
            .map_or(self.pending.len(), |pos| self.pending.partition_point(|r| r.key().0 < pos));
        let ready: Vec<RowRef> = self.pending.drain(..end).collect();
        for row in ready {
            if self.excludes(&row) {
                self.ledger.exclude("exclusion_list", 1);
                continue;
            }
            if self.last.as_ref().is_some_and(|last| last.key() == row.key()) {
                let (file, line) = row.line();
                self.reject(file, line, "duplicate_variant", 1, None);
                continue;
            }
            self.last = Some(row.clone());
            self.group.push(row);
            if self.group.len() == self.group_rows {
                self.close_group()?;
            }
        }
        Ok(())
    }

    fn excludes(&self, at: &RowRef) -> bool {
        let (Some(chrom), rows) = (&self.chrom, &at.shard.rows) else { return false };
        self.exclude.contains(|| vid(&chrom.name, rows, &rows.rows[at.row as usize]))
    }

    fn close_group(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.group);
        let Some(chrom) = self.chrom.clone().filter(|_| !rows.is_empty()) else { return Ok(()) };
        let first_idx = i32::try_from(self.next_idx)
            .ok()
            .filter(|i| i.checked_add(rows.len() as i32).is_some())
            .ok_or(Error::TooLarge { what: "number of variants of a chromosome" })?;
        self.next_idx += rows.len() as u64;
        self.ledger.rows_out += rows.len() as u64;
        let unknown = if chrom.kind == Kind::Other { rows.len() as u64 } else { 0 };
        self.ledger.note("contig_of_unknown_kind", unknown);
        for field in self.info {
            let withheld = |r: &&RowRef| {
                field.withheld || field.withheld_in(&r.shard.rows.rows[r.row as usize])
            };
            let count = rows.iter().filter(withheld).count() as u64;
            self.ledger.note(&format!("info_withheld:{}", field.id), count);
        }
        for (k, field) in self.info.iter().enumerate() {
            let wrong = |r: &&RowRef| {
                let shard = &r.shard.rows;
                field.wrong_count(k, &(shard, &shard.rows[r.row as usize]))
            };
            let count = rows.iter().filter(wrong).count() as u64;
            self.ledger.note(&format!("info_field_wrong_count:{}", field.id), count);
        }
        self.groups.push(Group { chrom, first_idx, rows });
        Ok(())
    }

    fn close_chrom(&mut self) -> Result<(), Error> {
        self.flush(None)?;
        self.close_group()?;
        if let Some(chrom) = self.chrom.take() {
            self.closed.insert(chrom.name);
        }
        self.last = None;
        self.next_idx = 0;
        self.last_pos = 0;
        Ok(())
    }

    /// Ends the last chromosome.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.close_chrom()?;
        self.ledger.note("exclusion_unmatched", self.exclude.unmatched());
        Ok(())
    }

    /// The row groups that are complete.
    pub fn take_groups(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.groups)
    }

    /// The rejects since the last call that no later one can come before, in order of file and line.
    ///
    /// A row that waits may still turn out to be a duplicate, so rejects behind the first line with such
    /// a row wait too.
    pub fn take_rejected(&mut self) -> Vec<Rejected> {
        if self.rejected.is_empty() {
            return Vec::new();
        }
        let first = self.pending.iter().map(RowRef::line).min();
        let (ready, wait) = std::mem::take(&mut self.rejected)
            .into_iter()
            .partition(|r| first.is_none_or(|first| (r.file, r.line) < first));
        self.rejected = wait;
        let mut ready: Vec<Rejected> = ready;
        ready.sort();
        ready
    }
}
