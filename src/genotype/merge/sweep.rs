//! Going through spools side by side, position by position.

use super::record::{About, Record, unknown};
use super::spool::{Cursor, Item, Spool};
use crate::genotype::Error;
use crate::genotype::region::Chrom;
use crate::genotype::shard::Key;
use crate::genotype::shard::keep::{NO_STATE, state};

/// A row of all spools.
pub struct Joined<'a> {
    /// What it sorts by.
    pub key: Key<'a>,
    /// Last position.
    pub end: i32,
    /// What records say of it.
    pub about: About<'a>,
    /// A code for each sample.
    pub codes: &'a [u8],
    /// For each sample what reference blocks, or other rows of the kind at this place, say of ALTs that its
    /// own records do not name.
    pub states: &'a [u8],
    /// Rows of spools that it was made of.
    pub parts: u64,
}

/// What a sweep finds, in order of position; the states of a position come before its rows.
pub trait Sink {
    /// From `pos` on, reference blocks say `state` of `sample`.
    fn cover(&mut self, pos: i32, sample: u32, state: u8) -> Result<(), Error>;
    /// A row.
    fn row(&mut self, row: &Joined<'_>) -> Result<(), Error>;
}

/// A stretch of a chromosome of some spools.
pub struct Sweep<'a> {
    cursors: Vec<Cursor<'a>>,
    maps: &'a [Vec<u32>],
    states: Vec<u8>,
    codes: Vec<u8>,
    here: Vec<u8>,
}

impl<'a> Sweep<'a> {
    /// Starts at `from`. `maps` has the ordinal among `samples` of each sample of each spool; `fields` is the
    /// number of INFO fields.
    pub fn new(
        spools: &'a [Spool],
        maps: &'a [Vec<u32>],
        samples: usize,
        fields: usize,
        chrom: &Chrom,
        from: i32,
    ) -> Result<Self, Error> {
        let mut states = vec![NO_STATE; samples];
        let mut own = Vec::new();
        let mut cursors = Vec::with_capacity(spools.len());
        for (spool, map) in spools.iter().zip(maps) {
            own.clear();
            own.resize(map.len(), NO_STATE);
            cursors.push(Cursor::new(spool, chrom, from, fields, &mut own)?);
            for (&sample, &state) in map.iter().zip(&own) {
                states[sample as usize] = state;
            }
        }
        Ok(Self { cursors, maps, states, codes: Vec::new(), here: Vec::new() })
    }

    /// Gives all that lies before `to`.
    pub fn run(&mut self, to: i32, sink: &mut dyn Sink) -> Result<(), Error> {
        let Self { cursors, maps, states, codes, here } = self;
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
                        Item::Cover(sample, state) => {
                            let sample = maps[i][sample as usize];
                            states[sample as usize] = state;
                            sink.cover(pos, sample, state)?;
                        }
                    }
                }
            }
            place(&mut rows, maps, states, codes, here, sink)?;
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
    maps: &[Vec<u32>],
    states: &[u8],
    codes: &mut Vec<u8>,
    here: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    // The spools are in a fixed order and the sort is stable.
    if !rows.is_sorted_by(|(a, _), (b, _)| a.key() <= b.key()) {
        rows.sort_by(|(a, _), (b, _)| a.key().cmp(&b.key()));
    }
    let several = rows.first().zip(rows.last()).is_some_and(|((a, _), (b, _))| a.key() != b.key());
    let groups = || rows.chunk_by(|(a, _), (b, _)| a.key() == b.key());
    let mut kind = None;
    for same in groups() {
        let (first, _) = &same[0];
        if several && kind != Some(first.is_indel()) {
            kind = Some(first.is_indel());
            here.clear();
            here.extend_from_slice(states);
            for alike in groups().filter(|alike| Some(alike[0].0.is_indel()) == kind) {
                fill(alike, maps, states.len(), codes);
                for (slot, &code) in here.iter_mut().zip(&*codes) {
                    *slot = if state(code) == NO_STATE { *slot } else { state(code) };
                }
            }
        }
        fill(same, maps, states.len(), codes);
        let mut about = first.about.clone();
        same[1..].iter().for_each(|(row, _)| about.join(&row.about));
        sink.row(&Joined {
            key: first.key(),
            end: first.end,
            about,
            codes,
            states: if several { here } else { states },
            parts: same.len() as u64,
        })?;
    }
    Ok(())
}

/// The codes of a row's parts, by sample.
fn fill(rows: &[(Record<'_>, usize)], maps: &[Vec<u32>], samples: usize, codes: &mut Vec<u8>) {
    unknown(codes, samples);
    for (row, spool) in rows {
        row.codes.fill(&maps[*spool], codes);
    }
}
