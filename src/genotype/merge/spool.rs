//! Spools: the rows of a group of files in order, packed in blocks, in a nameless scratch file.
//!
//! A block can be read alone: it starts with the state of every sample's reference blocks. Many spools
//! share a file, so that thousands of inputs need few open ones.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::record::{self, About, Record, put, take};
use super::values::{Cell, Levels, Seen, UNSTATED, put_levels, take_levels};
use crate::error::IoError;
use crate::genotype::Error;
use crate::genotype::region::Chrom;
use crate::genotype::shard::Key;

/// Bytes after which a block ends.
const BLOCK_BYTES: usize = 1 << 16;
/// What a block starts with: no states, states alone, states and values of those that are any.
const NO_STATES: u8 = 0;
const STATES: u8 = 1;
const LEVELS: u8 = 2;
/// Added to a state that values follow.
const WITH_LEVELS: u8 = 0x80;

/// A scratch file without a name, which goes away with the last that uses it.
pub struct Pile {
    file: File,
    end: AtomicU64,
}

impl Pile {
    /// A new one in `folder`, which is made if need be; `name` lives for a moment only.
    pub fn create(folder: &Path, name: &str) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(folder).map_err(IoError::at("creating", folder))?;
        let path = folder.join(name);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(IoError::at("creating", &path))?;
        std::fs::remove_file(&path).map_err(IoError::at("removing", &path))?;
        Ok(Arc::new(Self { file, end: AtomicU64::new(0) }))
    }

    fn append(&self, data: &[u8]) -> Result<u64, Error> {
        let at = self.end.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(data, at).map_err(Error::internal("writing scratch"))?;
        Ok(at)
    }
}

/// Where a block lies and what it holds.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    at: u64,
    length: u32,
    /// Bytes when unpacked.
    pub size: u32,
    /// Position of its first item.
    pub first: i32,
    /// Rows in it.
    pub rows: u32,
}

/// The rows of some samples, readable from any block.
pub struct Spool {
    pile: Arc<Pile>,
    /// `sample_idx` of its samples, ascending.
    pub samples: Vec<u32>,
    /// By chromosome, in order of rank and name.
    pub chroms: Vec<(Chrom, Vec<Block>)>,
}

impl Spool {
    /// Blocks of a chromosome.
    pub fn blocks(&self, chrom: &Chrom) -> &[Block] {
        self.chroms.iter().find(|(c, _)| c == chrom).map_or(&[], |(_, blocks)| blocks)
    }
}

/// Order of chromosomes in a merged callset.
pub fn rank(chrom: &Chrom) -> (u8, &str) {
    (chrom.rank, &chrom.name)
}

/// Writes a spool. Positions must not go back in a chromosome.
pub struct Writer {
    spool: Spool,
    block_rows: u32,
    chrom: usize,
    data: Vec<u8>,
    packed: Vec<u8>,
    states: Vec<u8>,
    levels: Vec<Levels>,
    first: i32,
    last: i32,
    rows: u32,
    compressor: Compressor,
}

impl Writer {
    /// An empty spool of `samples`, whose blocks end after `block_rows` rows.
    pub fn new(pile: Arc<Pile>, samples: Vec<u32>, block_rows: u32) -> Self {
        Self {
            states: vec![0; samples.len()],
            levels: vec![UNSTATED; samples.len()],
            spool: Spool { pile, samples, chroms: Vec::new() },
            block_rows,
            chrom: 0,
            data: Vec::new(),
            packed: Vec::new(),
            first: 0,
            last: 0,
            rows: 0,
            compressor: Compressor::new(CompressionLvl::new(1).unwrap_or_default()),
        }
    }

    /// What follows is of `chrom`.
    pub fn begin(&mut self, chrom: &Chrom) -> Result<(), Error> {
        if self.spool.chroms.get(self.chrom).is_some_and(|(c, _)| c == chrom) {
            return Ok(());
        }
        self.close()?;
        self.states.fill(0);
        self.levels.fill(UNSTATED);
        let chroms = &mut self.spool.chroms;
        self.chrom = chroms.iter().position(|(c, _)| c == chrom).unwrap_or_else(|| {
            chroms.push((chrom.clone(), Vec::new()));
            chroms.len() - 1
        });
        Ok(())
    }

    fn item(&mut self, pos: i32, kind: u64) -> Result<(), Error> {
        let full = self.data.len() >= BLOCK_BYTES || self.rows >= self.block_rows;
        if full && pos > self.last {
            self.close()?;
        }
        if self.data.is_empty() {
            self.first = pos;
            self.last = pos;
            self.head();
        }
        put(&mut self.data, ((pos - self.last).max(0) as u64) << 1 | kind);
        self.last = self.last.max(pos);
        Ok(())
    }

    fn head(&mut self) {
        if self.states.iter().all(|&s| s == 0) {
            return self.data.push(NO_STATES);
        }
        let known = self.levels.iter().any(|levels| *levels != UNSTATED);
        self.data.push(if known { LEVELS } else { STATES });
        self.data.extend_from_slice(&self.states);
        for (levels, _) in self.levels.iter().zip(&self.states).filter(|(_, s)| known && **s != 0) {
            put_levels(&mut self.data, *levels);
        }
    }

    /// From `pos` on, reference blocks say `state` of the sample with this ordinal in the spool, with these
    /// values.
    pub fn cover(&mut self, pos: i32, sample: u32, state: u8, levels: Levels) -> Result<(), Error> {
        self.item(pos, 0)?;
        put(&mut self.data, u64::from(sample));
        if levels == UNSTATED {
            self.data.push(state);
        } else {
            self.data.push(state | WITH_LEVELS);
            put_levels(&mut self.data, levels);
        }
        self.states[sample as usize] = state;
        self.levels[sample as usize] = levels;
        Ok(())
    }

    /// Appends a row with a code and, if there are any, values for each sample.
    pub fn row(
        &mut self,
        key: Key<'_>,
        end: i32,
        about: &About<'_>,
        calls: (&[u8], &[Cell]),
    ) -> Result<(), Error> {
        self.item(key.0, 1)?;
        record::write(&mut self.data, key, end, about, calls);
        self.rows += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.data.is_empty() {
            return Ok(());
        }
        self.packed.resize(self.compressor.deflate_compress_bound(self.data.len()), 0);
        let n = self
            .compressor
            .deflate_compress(&self.data, &mut self.packed)
            .map_err(Error::internal("packing scratch"))?;
        let at = self.spool.pile.append(&self.packed[..n])?;
        let size = u32::try_from(self.data.len()).map_err(Error::internal("packing scratch"))?;
        let block = Block { at, length: n as u32, size, first: self.first, rows: self.rows };
        if let Some((_, blocks)) = self.spool.chroms.get_mut(self.chrom) {
            blocks.push(block);
        }
        self.data.clear();
        self.rows = 0;
        Ok(())
    }

    /// The finished spool.
    pub fn finish(mut self) -> Result<Spool, Error> {
        self.close()?;
        self.spool.chroms.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        Ok(self.spool)
    }
}

/// Something at a position of a spool.
#[expect(clippy::large_enum_variant, reason = "nearly all items are rows, and short-lived")]
pub enum Item<'a> {
    /// From here on, what reference blocks say of a sample.
    Cover(u32, u8, Levels),
    /// A row.
    Row(Record<'a>),
}

/// Reads a chromosome of a spool from some position on.
pub struct Cursor<'a> {
    spool: &'a Spool,
    blocks: &'a [Block],
    fields: usize,
    data: Vec<u8>,
    packed: Vec<u8>,
    at: usize,
    base: i32,
    /// Position of the next item; `None` at the end.
    pub pos: Option<i32>,
    unpacker: Decompressor,
}

impl<'a> Cursor<'a> {
    /// Stands at the first item at `from` or behind it. `seen` gets what reference blocks say there.
    pub fn new(
        spool: &'a Spool,
        chrom: &Chrom,
        from: i32,
        fields: usize,
        seen: &mut Seen,
    ) -> Result<Self, Error> {
        let blocks = spool.blocks(chrom);
        let skip = blocks.partition_point(|b| b.first < from).saturating_sub(1);
        let mut cursor = Self {
            spool,
            blocks: &blocks[skip..],
            fields,
            data: Vec::new(),
            packed: Vec::new(),
            at: 0,
            base: 0,
            pos: None,
            unpacker: Decompressor::new(),
        };
        cursor.load()?;
        if !cursor.data.is_empty() {
            cursor.head(Some(seen)).ok_or_else(|| cursor.damaged())?;
        }
        while let Some(pos) = cursor.pos.filter(|&pos| pos < from) {
            let mut at = cursor.at;
            for item in cursor.items(pos, &mut at)? {
                if let Item::Cover(sample, state, levels) = item {
                    seen.cover(sample as usize, state, levels);
                }
            }
            cursor.advance(at)?;
        }
        Ok(cursor)
    }

    fn damaged(&self) -> Error {
        Error::Internal { what: "reading scratch", detail: "not as it was written".to_owned() }
    }

    fn load(&mut self) -> Result<(), Error> {
        let Some((block, rest)) = self.blocks.split_first() else {
            self.pos = None;
            return Ok(());
        };
        self.blocks = rest;
        self.packed.resize(block.length as usize, 0);
        let read = self.spool.pile.file.read_exact_at(&mut self.packed, block.at);
        read.map_err(Error::internal("reading scratch"))?;
        self.data.resize(block.size as usize, 0);
        self.unpacker
            .deflate_decompress(&self.packed, &mut self.data)
            .map_err(Error::internal("reading scratch"))?;
        self.at = self.head(None).ok_or_else(|| self.damaged())?;
        self.base = block.first;
        self.peek()
    }

    /// Reads the states a block starts with, and returns where its items do.
    fn head(&self, mut seen: Option<&mut Seen>) -> Option<usize> {
        let (&mode, rest) = self.data.split_first()?;
        if mode == NO_STATES {
            return Some(1);
        }
        let (states, mut rest) = rest.split_at_checked(self.spool.samples.len())?;
        for (sample, &state) in states.iter().enumerate() {
            let known = mode == LEVELS && state != 0;
            let levels = if known { take_levels(&mut rest)? } else { UNSTATED };
            if let Some(seen) = &mut seen {
                seen.cover(sample, state, levels);
            }
        }
        Some(self.data.len() - rest.len())
    }

    fn peek(&mut self) -> Result<(), Error> {
        if self.at >= self.data.len() {
            return self.load();
        }
        let head = take(&mut &self.data[self.at..]).ok_or_else(|| self.damaged())?;
        self.pos = Some(self.base + (head >> 1) as i32);
        Ok(())
    }

    /// Where the next item lies.
    pub fn next_at(&self) -> usize {
        self.at
    }

    /// All items at `pos`, which must be the next position; `at` is moved behind them.
    pub fn items(&self, pos: i32, at: &mut usize) -> Result<Vec<Item<'_>>, Error> {
        // Nearly all places have one; room for four is more than the allocator has at hand.
        let mut items = Vec::with_capacity(1);
        let mut base = self.base;
        loop {
            let mut data = self.data.get(*at..).unwrap_or_default();
            let whole = data.len();
            let Some(head) = take(&mut data) else { return Ok(items) };
            if base + (head >> 1) as i32 != pos {
                return Ok(items);
            }
            base = pos;
            if head & 1 == 1 {
                let record = record::read(&mut data, pos, self.fields);
                items.push(Item::Row(record.ok_or_else(|| self.damaged())?));
            } else {
                let sample = take(&mut data).ok_or_else(|| self.damaged())?;
                let (&state, rest) = data.split_first().ok_or_else(|| self.damaged())?;
                data = rest;
                let levels = if state & WITH_LEVELS == 0 {
                    UNSTATED
                } else {
                    take_levels(&mut data).ok_or_else(|| self.damaged())?
                };
                items.push(Item::Cover(sample as u32, state & !WITH_LEVELS, levels));
            }
            *at += whole - data.len();
        }
    }

    /// Goes on behind the items that [`Cursor::items`] gave.
    pub fn advance(&mut self, at: usize) -> Result<(), Error> {
        self.base = self.pos.unwrap_or(self.base);
        self.at = at;
        self.peek()
    }
}
