//! CONCEPT_ANCESTOR by ancestor, in compressed rows: 4 bytes a pair and 4 a concept.
//!
//! Two passes over the file: one counts the pairs of each ancestor, the next puts each descendant into its
//! ancestor's row. Nothing else of the table is held.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::ids::IdIndex;
use super::scan::{Scan, ints, rows};
use super::{Error, Notes};
use crate::engine::Job;

const TABLE: &str = "concept_ancestor";
/// The columns read.
pub(super) const COLUMNS: [(&str, DataType); 2] =
    [("ancestor_concept_id", DataType::Int64), ("descendant_concept_id", DataType::Int64)];

/// Descendants of every concept, each list ascending and without repeats.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    /// Where the descendants of concept i start; one more than there are concepts.
    starts: Vec<u32>,
    descendants: Vec<u32>,
}

impl Ancestry {
    /// Reads `scan`, a scan of [`COLUMNS`].
    pub fn read(
        scan: &Scan<'_>,
        ids: &IdIndex,
        job: &Job,
        notes: &mut Notes,
    ) -> Result<Self, Error> {
        let starts = count(scan, ids, job, notes)?;
        let total = starts.last().map_or(0, |n| n.load(Relaxed)) as usize;
        let mut descendants = Vec::new();
        descendants.resize_with(total, AtomicU32::default);
        // `starts[a + 1]` is where the next descendant of `a` goes; at the end it is where `a + 1` starts.
        // The order within a row depends on the threads until the row is sorted.
        let put = scan.fold(
            job,
            || 0,
            |put, batch| {
                each_run(batch, |id, rows| {
                    let ancestor = ids.number(id).ok_or_else(torn)?;
                    let next = &starts[ancestor as usize + 1];
                    for descendant in rows {
                        let number = ids.number(descendant).ok_or_else(torn)?;
                        let slot = next.fetch_add(1, Relaxed) as usize;
                        descendants.get(slot).ok_or_else(torn)?.store(number, Relaxed);
                        *put += 1;
                    }
                    Ok(())
                })
            },
            |a, b| a + b,
        )?;
        if put != total {
            return Err(torn());
        }
        // Both collect in place.
        let mut starts: Vec<u32> = starts.into_iter().map(AtomicU32::into_inner).collect();
        let mut descendants: Vec<u32> =
            descendants.into_iter().map(AtomicU32::into_inner).collect();
        starts.pop();
        sort_rows(&starts, 0, &mut descendants);
        let mut ancestry = Self { starts, descendants };
        notes.duplicate_pairs = ancestry.drop_repeats();
        notes.ancestor_pairs = ancestry.descendants.len() as u64;
        Ok(ancestry)
    }

    /// The descendants of a concept, with itself if the table says so.
    pub fn of(&self, ancestor: u32) -> &[u32] {
        let ancestor = ancestor as usize;
        match self.starts.get(ancestor..ancestor + 2) {
            Some(&[start, end]) => &self.descendants[start as usize..end as usize],
            _ => &[],
        }
    }

    fn drop_repeats(&mut self) -> u64 {
        let mut kept = 0;
        for ancestor in 0..self.starts.len().saturating_sub(1) {
            let (start, end) = (self.starts[ancestor] as usize, self.starts[ancestor + 1] as usize);
            let first = kept;
            for at in start..end {
                let descendant = self.descendants[at];
                if kept == first || self.descendants[kept - 1] != descendant {
                    self.descendants[kept] = descendant;
                    kept += 1;
                }
            }
            self.starts[ancestor] = first as u32;
        }
        let repeats = self.descendants.len() - kept;
        if let Some(last) = self.starts.last_mut() {
            *last = kept as u32;
        }
        self.descendants.truncate(kept);
        repeats as u64
    }

    pub fn bytes(&self) -> u64 {
        (self.starts.len() + self.descendants.len()) as u64 * 4
    }
}

fn torn() -> Error {
    Error::Torn { table: TABLE }
}

/// Starts of the rows, shifted by one: `[0, 0, n0, n0 + n1, ..., total]`.
fn count(
    scan: &Scan<'_>,
    ids: &IdIndex,
    job: &Job,
    notes: &mut Notes,
) -> Result<Vec<AtomicU32>, Error> {
    if rows(scan.files)? >= u64::from(u32::MAX) {
        return Err(Error::TooMany { table: TABLE });
    }
    let mut starts = Vec::new();
    starts.resize_with(ids.len() + 2, AtomicU32::default);
    notes.null_rows += scan.fold(
        job,
        || 0,
        |nulls, batch| {
            let (mut read, all) = (0, batch[0].len());
            each_run(batch, |id, rows| {
                let count = rows.count();
                read += count;
                let ancestor = ids.number(id).ok_or_else(torn)?;
                // Rows of the table are fewer than 2^32.
                starts[ancestor as usize + 2].fetch_add(count as u32, Relaxed);
                Ok(())
            })?;
            *nulls += (all - read) as u64;
            Ok(())
        },
        |a, b| a + b,
    )?;
    let mut sum = 0;
    for start in &mut starts {
        sum += *start.get_mut();
        *start.get_mut() = sum;
    }
    Ok(starts)
}

/// Hands the descendants of every run of rows with one ancestor to `each`; rows with a null are left out.
fn each_run(
    batch: &[ArrayRef],
    mut each: impl FnMut(i64, &mut dyn Iterator<Item = i64>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (ancestor, descendant) = (ints(&batch[0]), ints(&batch[1]));
    let nulls = ancestor.null_count() + descendant.null_count() > 0;
    let mut start = 0;
    while start < ancestor.len() {
        let id = ancestor.value(start);
        let same = |row: &usize| ancestor.value(*row) == id;
        let end = (start + 1..ancestor.len()).find(|row| !same(row)).unwrap_or(ancestor.len());
        let valid = |row: &usize| !nulls || ancestor.is_valid(*row) && descendant.is_valid(*row);
        let mut rows = (start..end).filter(valid).map(|row| descendant.value(row)).peekable();
        // The value behind a null says nothing.
        if rows.peek().is_some() {
            each(id, &mut rows)?;
        }
        start = end;
    }
    Ok(())
}

/// Sorts each row of `descendants`, which starts at `base`; halves go to other threads.
fn sort_rows(starts: &[u32], base: u32, descendants: &mut [u32]) {
    let rows = starts.len().saturating_sub(1);
    if rows > 1 && descendants.len() > 1 << 20 {
        let middle = rows / 2;
        let cut = starts[middle];
        let (left, right) = descendants.split_at_mut((cut - base) as usize);
        rayon::join(
            || sort_rows(&starts[..=middle], base, left),
            || sort_rows(&starts[middle..], cut, right),
        );
        return;
    }
    for row in starts.windows(2) {
        descendants[(row[0] - base) as usize..(row[1] - base) as usize].sort_unstable();
    }
}
