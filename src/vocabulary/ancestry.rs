//! CONCEPT_ANCESTOR by ancestor, in compressed rows: 4 bytes a pair and 4 a concept.
//!
//! Two passes over the file: one counts the pairs of each ancestor, the next puts each descendant into its
//! ancestor's row. Nothing else of the table is held.

use arrow::array::Array;
use arrow::datatypes::DataType;

use super::ids::IdIndex;
use super::scan::{Scan, ints};
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
        let mut starts = count(scan, ids, job, notes)?;
        let total = starts.last().copied().unwrap_or(0) as usize;
        let mut descendants = vec![0u32; total];
        // `starts[a + 1]` is where the next descendant of `a` goes; at the end it is where `a + 1` starts.
        let mut put = 0;
        each_pair(scan, ids, job, |ancestor, descendant| {
            let at = &mut starts[ancestor as usize + 1];
            let slot = descendants.get_mut(*at as usize).ok_or(Error::Torn { table: TABLE })?;
            *slot = descendant;
            *at += 1;
            put += 1;
            Ok(())
        })?;
        if put != total {
            return Err(Error::Torn { table: TABLE });
        }
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

/// Starts of the rows, shifted by one: `[0, 0, n0, n0 + n1, ..., total]`.
fn count(scan: &Scan<'_>, ids: &IdIndex, job: &Job, notes: &mut Notes) -> Result<Vec<u32>, Error> {
    let mut starts = vec![0u32; ids.len() + 2];
    let mut pairs = 0u64;
    notes.null_rows += each_pair(scan, ids, job, |ancestor, _| {
        starts[ancestor as usize + 2] += 1;
        pairs += 1;
        // A count would wrap beyond this.
        if pairs < u64::from(u32::MAX) { Ok(()) } else { Err(Error::TooMany { table: TABLE }) }
    })?;
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    Ok(starts)
}

/// Hands every pair to `each` as numbers. Gives the rows left out because an id is null.
fn each_pair(
    scan: &Scan<'_>,
    ids: &IdIndex,
    job: &Job,
    mut each: impl FnMut(u32, u32) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut null_rows = 0;
    let mut last = (i64::MIN, 0);
    scan.each(job, |batch| {
        let (ancestor, descendant) = (ints(&batch[0]), ints(&batch[1]));
        let nulls = ancestor.null_count() + descendant.null_count() > 0;
        for row in 0..ancestor.len() {
            if nulls && (ancestor.is_null(row) || descendant.is_null(row)) {
                null_rows += 1;
                continue;
            }
            let number = |id| ids.number(id).ok_or(Error::Torn { table: TABLE });
            // Files are often in order of the ancestor.
            let id = ancestor.value(row);
            if last.0 != id {
                last = (id, number(id)?);
            }
            each(last.1, number(descendant.value(row))?)?;
        }
        Ok(())
    })?;
    Ok(null_rows)
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
