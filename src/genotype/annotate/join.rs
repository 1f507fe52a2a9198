//! The merge join of sites with the `variants` table, chromosome by chromosome.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;

use super::{Run, columns};
use crate::engine::partition;
use crate::engine::{FileEntry, Keyring};
use crate::genotype::Error;
use crate::genotype::assemble::{Group, RowRef};
use crate::genotype::encode::vid;
use crate::genotype::info::InfoField;
use crate::genotype::query::{Site, Span, sites};
use crate::genotype::tables::{Parts, Table};

/// Rows after which a row group ends.
const ROW_GROUP: usize = 1 << 16;

/// What came of a join.
#[derive(Default)]
pub struct Joined {
    /// The files.
    pub files: Vec<FileEntry>,
    /// Rows: variants that have a site.
    pub rows: u64,
    /// All variants.
    pub variants: u64,
    /// Rows whose review status is not known.
    pub unknown_status: u64,
}

/// Takes sites in the order of the tables and writes those that are variants.
pub struct Join<'a> {
    run: &'a Run<'a>,
    table: &'a Table,
    folder: String,
    fields: &'a [InfoField],
    /// Part files of `variants` by chromosome; gone when its turn has come.
    ahead: BTreeMap<String, Vec<PathBuf>>,
    open: Option<Chromosome<'a>>,
    done: Joined,
}

/// The chromosome at hand.
struct Chromosome<'a> {
    name: String,
    variants: Variants,
    parts: Parts<'a>,
    waiting: Vec<Vec<ArrayRef>>,
}

/// Variants of a chromosome as they are asked for.
struct Variants {
    rest: Peekable<Box<dyn Iterator<Item = Result<Site, Error>>>>,
    pos: i32,
    here: Vec<Site>,
}

impl Variants {
    /// Files of this very stage, which are not sealed yet.
    fn open(files: &[PathBuf]) -> Self {
        let rest: Box<dyn Iterator<Item = _>> =
            Box::new(sites(files, Span::ALL, &Keyring::default()));
        Self { rest: rest.peekable(), pos: 0, here: Vec::new() }
    }

    /// `variant_idx` of the variant at `pos`, which never goes back, whose `vid` is made if there may be one.
    fn find(&mut self, pos: i32, vid: impl FnOnce() -> String) -> Result<Option<i32>, Error> {
        if pos != self.pos {
            self.pos = pos;
            self.here.clear();
            let before = |next: &Result<Site, Error>| next.as_ref().map_or(true, |v| v.pos <= pos);
            while let Some(next) = self.rest.next_if(before) {
                let next = next?;
                if next.pos == pos {
                    self.here.push(next);
                }
            }
        }
        if self.here.is_empty() {
            return Ok(None);
        }
        let vid = vid();
        Ok(self.here.iter().find(|v| v.vid == vid).map(|v| v.variant_idx))
    }
}

impl<'a> Join<'a> {
    /// A join with the variants of `run`, into `folder`.
    pub fn new(run: &'a Run<'a>, table: &'a Table, folder: &str, fields: &'a [InfoField]) -> Self {
        let mut done = Joined::default();
        let mut ahead: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let root = format!("controlled/genomics/{}/", run.callset);
        for file in run.files.iter().filter(|f| f.table == "variants") {
            let below =
                file.path.strip_prefix(&root).and_then(|p| p.strip_prefix("variants/chrom="));
            let Some((chrom, _)) = below.and_then(|p| p.split_once('/')) else { continue };
            ahead
                .entry(partition::of_folder(chrom))
                .or_default()
                .push(run.job.out.join(&file.path));
            done.variants += file.rows.unwrap_or_default();
        }
        ahead.values_mut().for_each(|files| files.sort());
        Self { run, table, folder: root + folder, fields, ahead, open: None, done }
    }

    /// Writes the sites of `group` that are variants.
    ///
    /// # Errors
    /// When `variants` cannot be read back or a row cannot be written.
    pub fn add(&mut self, group: &Group) -> Result<(), Error> {
        let chrom = &group.chrom.name;
        if self.open.as_ref().is_none_or(|open| open.name != *chrom) {
            self.close()?;
            self.open = self.ahead.remove(chrom).map(|files| self.chromosome(chrom, &files));
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut found: Vec<(i32, &RowRef)> = Vec::new();
        for at in &group.rows {
            let (shard, row) = at.shard_row();
            if let Some(idx) = open.variants.find(row.pos, || vid(chrom, shard, row))? {
                found.push((idx, at));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let columns = columns::of(self.fields, &found);
        self.done.rows += found.len() as u64;
        self.done.unknown_status += columns.unknown_status;
        open.waiting.push(columns.arrays);
        if open.rows() >= ROW_GROUP {
            open.write(self.table)?;
        }
        Ok(())
    }

    /// Writes what waits; chromosomes of which no site came get a table without rows.
    ///
    /// # Errors
    /// As [`Join::add`].
    pub fn finish(mut self) -> Result<Joined, Error> {
        self.close()?;
        for chrom in std::mem::take(&mut self.ahead).into_keys() {
            self.open = Some(self.chromosome(&chrom, &[]));
            self.close()?;
        }
        Ok(self.done)
    }

    fn chromosome(&self, name: &str, files: &[PathBuf]) -> Chromosome<'a> {
        let folder = format!("{}/chrom={}", self.folder, partition::folder(name));
        Chromosome {
            name: name.to_owned(),
            variants: Variants::open(files),
            parts: Parts::new(&self.run.job.out, folder, self.table),
            waiting: Vec::new(),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        if let Some(mut open) = self.open.take() {
            open.write(self.table)?;
            self.done.files.extend(open.parts.finish()?);
        }
        Ok(())
    }
}

impl Chromosome<'_> {
    fn rows(&self) -> usize {
        self.waiting.iter().filter_map(|columns| columns.first()).map(|c| c.len()).sum()
    }

    /// Writes a row group of all that waits.
    fn write(&mut self, table: &Table) -> Result<(), Error> {
        let rows = self.rows();
        if rows == 0 {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let whole = |k: usize| {
            let pieces: Vec<&dyn Array> =
                waiting.iter().map(|columns| columns[k].as_ref()).collect();
            concat(&pieces).map_err(Error::internal("writing an annotation"))
        };
        let arrays: Vec<ArrayRef> = (0..waiting[0].len()).map(whole).collect::<Result<_, _>>()?;
        self.parts.append(table.encode(&arrays)?, rows as u64)
    }
}
