//! Going through spools side by side, position by position.

use super::record::{About, Record};
use super::spool::{Cursor, Item, Spool};
use super::values::{Levels, Seen};
use crate::genotype::Error;
use crate::genotype::region::Chrom;
use crate::genotype::shard::Key;
use crate::genotype::shard::keep::{NO_STATE, UNKNOWN, state};

/// A row of all spools.
pub struct Joined<'a> {
    /// What it sorts by.
    pub key: Key<'a>,
    /// Last position.
    pub end: i32,
    /// What records say of it.
    pub about: About<'a>,
    /// A code and, if fields are read, values for each sample.
    pub own: &'a Seen,
    /// For each sample what reference blocks, or other rows of the kind at this place, say of ALTs that its
    /// own records do not name: a state and, if fields are read, values.
    pub said: &'a Seen,
    /// Rows of spools that it was made of.
    pub parts: u64,
}

/// What a sweep finds, in order of position; the states of a position come before its rows.
pub trait Sink {
    /// From `pos` on, reference blocks say `state` of `sample`, with these values.
    fn cover(&mut self, pos: i32, sample: u32, state: u8, levels: Levels) -> Result<(), Error>;
    /// A row.
    fn row(&mut self, row: &Joined<'_>) -> Result<(), Error>;
}

/// A stretch of a chromosome of some spools.
pub struct Sweep<'a> {
    cursors: Vec<Cursor<'a>>,
    maps: &'a [Vec<u32>],
    numbers: bool,
    blocks: Seen,
    own: Seen,
    here: Seen,
}

impl<'a> Sweep<'a> {
    /// Starts at `from`. `maps` has the ordinal among `samples` of each sample of each spool; `fields` is the
    /// number of INFO fields, `numbers` whether values of FORMAT fields are read.
    pub fn new(
        (spools, maps): (&'a [Spool], &'a [Vec<u32>]),
        samples: usize,
        (fields, numbers): (usize, bool),
        chrom: &Chrom,
        from: i32,
    ) -> Result<Self, Error> {
        let (mut blocks, mut own) = (Seen::default(), Seen::default());
        blocks.reset(NO_STATE, samples, numbers);
        let mut cursors = Vec::with_capacity(spools.len());
        for (spool, map) in spools.iter().zip(maps) {
            own.reset(NO_STATE, map.len(), numbers);
            cursors.push(Cursor::new(spool, chrom, from, fields, &mut own)?);
            for (&sample, &state) in map.iter().zip(&own.codes) {
                blocks.codes[sample as usize] = state;
            }
            for (&sample, &cell) in map.iter().zip(&own.cells) {
                blocks.cells[sample as usize] = cell;
            }
        }
        Ok(Self { cursors, maps, numbers, blocks, own, here: Seen::default() })
    }

    /// Gives all that lies before `to`.
    pub fn run(&mut self, to: i32, sink: &mut dyn Sink) -> Result<(), Error> {
        let Self { cursors, maps, numbers, blocks, own, here } = self;
        let mut ends = vec![0; cursors.len()];
        while let Some(pos) = cursors.iter().filter_map(|c| c.pos).min().filter(|&pos| pos < to) {
            let mut rows: Vec<(Record<'_>, usize)> = Vec::new();
            for (i, cursor) in cursors.iter().enumerate() {
                if cursor.pos != Some(pos) {
                    continue;
                }
                ends[i] = cursor.next_at();
                for item in cursor.items(pos, &mut ends[i])? {
                    match item {
                        Item::Row(record) => rows.push((record, i)),
                        Item::Cover(sample, state, levels) => {
                            let sample = maps[i][sample as usize];
                            blocks.cover(sample as usize, state, levels);
                            sink.cover(pos, sample, state, levels)?;
                        }
                    }
                }
            }
            place(&mut rows, (maps, *numbers), blocks, own, here, sink)?;
            drop(rows);
            for (cursor, &end) in cursors.iter_mut().zip(&ends) {
                if cursor.pos == Some(pos) {
                    cursor.advance(end)?;
                }
            }
        }
        Ok(())
    }
}

/// The rows of one position.
fn place(
    rows: &mut [(Record<'_>, usize)],
    maps: (&[Vec<u32>], bool),
    blocks: &Seen,
    own: &mut Seen,
    here: &mut Seen,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    // The spools are in a fixed order and the sort is stable.
    if !rows.is_sorted_by(|(a, _), (b, _)| a.key() <= b.key()) {
        rows.sort_by(|(a, _), (b, _)| a.key().cmp(&b.key()));
    }
    let several = rows.first().zip(rows.last()).is_some_and(|((a, _), (b, _))| a.key() != b.key());
    let groups = || rows.chunk_by(|(a, _), (b, _)| a.key() == b.key());
    let samples = blocks.codes.len();
    let mut kind = None;
    for same in groups() {
        let (first, _) = &same[0];
        if several && kind != Some(first.is_indel()) {
            kind = Some(first.is_indel());
            here.copy(blocks);
            for alike in groups().filter(|alike| Some(alike[0].0.is_indel()) == kind) {
                fill(alike, maps, samples, own);
                say(own, here);
            }
        }
        fill(same, maps, samples, own);
        let mut about = first.about.clone();
        same[1..].iter().for_each(|(row, _)| about.join(&row.about));
        sink.row(&Joined {
            key: first.key(),
            end: first.end,
            about,
            own,
            said: if several { here } else { blocks },
            parts: same.len() as u64,
        })?;
    }
    Ok(())
}

/// Notes what the samples that a row calls have of other ALTs.
fn say(own: &Seen, here: &mut Seen) {
    for (sample, &code) in own.codes.iter().enumerate() {
        if state(code) == NO_STATE {
            continue;
        }
        here.codes[sample] = state(code);
        if let Some(cell) = own.cells.get(sample) {
            here.cells[sample] = cell.of_other();
        }
    }
}

/// The codes and values of a row's parts, by sample.
fn fill(
    rows: &[(Record<'_>, usize)],
    (maps, numbers): (&[Vec<u32>], bool),
    samples: usize,
    own: &mut Seen,
) {
    own.reset(UNKNOWN, samples, numbers);
    for (row, spool) in rows {
        row.codes.fill(&maps[*spool], &mut own.codes);
        if numbers {
            row.values.fill(&maps[*spool], &mut own.cells);
        }
    }
}
