//! A row group of the `genotypes` table: bit planes, or lists of samples where few bits are set.
//!
//! Planes are the canonical form. Lists are for callsets of [`LIST_SAMPLES`] and more, where they were
//! measured to be smaller and faster (benches/results/layout.md); a row is written as lists when its own
//! set bits are few, so that what is written depends on nothing but the row and the number of samples.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, Int32Array, ListBuilder, UInt32Builder};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Schema};

use super::Error;
use super::assemble::Group;
use super::shard::Extra;

/// Included samples from which on rows with few set bits are index lists.
pub const LIST_SAMPLES: usize = 16_384;
/// A row is written as lists when at most one in so many samples has a bit set.
const LIST_SHARE: usize = 32;

/// Names of the plane columns.
pub const PLANES: [&str; 4] = ["het", "hom_alt", "phase", "haploid"];
/// Names of the list columns.
pub const LISTS: [&str; 4] = ["het_idx", "hom_alt_idx", "missing_idx", "phase_idx"];

/// Whether a row with `set` samples that are not plain hom-ref is written as lists.
pub fn as_lists(samples: usize, set: usize) -> bool {
    samples >= LIST_SAMPLES && set * LIST_SHARE <= samples
}

/// The schema for `samples` samples.
///
/// # Errors
/// When a plane of so many samples is longer than a column can hold.
pub fn schema(samples: usize) -> Result<Schema, Error> {
    let bytes = i32::try_from(samples.div_ceil(8))
        .map_err(|_| Error::TooLarge { what: "number of samples" })?;
    let lists = samples >= LIST_SAMPLES;
    let plane = |name: &str, null| Field::new(name, DataType::FixedSizeBinary(bytes), null);
    let [het, hom_alt, phase, haploid] = PLANES;
    let mut fields = vec![
        Field::new("variant_idx", DataType::Int32, false),
        Field::new("pos", DataType::Int32, false),
        plane(het, lists),
        plane(hom_alt, lists),
        plane(phase, true),
        plane(haploid, true),
    ];
    if lists {
        let list = DataType::new_list(DataType::UInt32, false);
        fields.extend(LISTS.map(|name| Field::new(name, list.clone(), true)));
    }
    Ok(Schema::new(fields))
}

/// Rows of one plane column.
struct Column {
    bytes: Vec<u8>,
    present: Vec<bool>,
    stride: usize,
}

impl Column {
    fn new(rows: usize, stride: usize, reserved: usize) -> Self {
        let bytes = Vec::with_capacity(reserved * stride);
        Self { bytes, present: Vec::with_capacity(rows), stride }
    }

    fn push(&mut self, plane: Option<&[u8]>) {
        if let Some(plane) = plane {
            self.bytes.resize(self.present.len() * self.stride, 0);
            self.bytes.extend_from_slice(plane);
        }
        self.present.push(plane.is_some());
    }

    fn finish(mut self, nullable: bool) -> Result<ArrayRef, Error> {
        self.bytes.resize(self.present.len() * self.stride, 0);
        let width = i32::try_from(self.stride).map_err(Error::internal("encoding planes"))?;
        let nulls = nullable.then(|| NullBuffer::from(self.present));
        FixedSizeBinaryArray::try_new(width, Buffer::from_vec(self.bytes), nulls)
            .map(|a| Arc::new(a) as ArrayRef)
            .map_err(Error::internal("encoding planes"))
    }
}

/// Rows of one list column.
struct List(ListBuilder<UInt32Builder>);

impl List {
    fn new() -> Self {
        let item = Arc::new(Field::new_list_field(DataType::UInt32, false));
        Self(ListBuilder::new(UInt32Builder::new()).with_field(item))
    }

    /// Appends samples to the list at hand: those of the set bits of 64.
    #[inline]
    fn add(&mut self, first: usize, mut word: u64) {
        while word != 0 {
            self.0.values().append_value(first as u32 + word.trailing_zeros());
            word &= word - 1;
        }
    }
}

/// 64 bits of a plane, short at its end.
fn word(bytes: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => bytes.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b)),
    }
}

/// Samples with a bit in either plane.
fn set_bits(het: &[u8], hom: &[u8]) -> usize {
    let words = het.chunks(8).zip(hom.chunks(8));
    words.map(|(h, m)| (word(h) | word(m)).count_ones() as usize).sum()
}

/// Appends a row to the list columns.
fn push_lists(lists: &mut [List; 4], het: &[u8], hom: &[u8], phase: Option<&[u8]>) {
    let [hets, homs, missing, second] = lists;
    for (i, (h, m)) in het.chunks(8).zip(hom.chunks(8)).enumerate() {
        let (h, m) = (word(h), word(m));
        if h | m != 0 {
            hets.add(i * 64, h & !m);
            homs.add(i * 64, m & !h);
            missing.add(i * 64, h & m);
        }
    }
    for (i, p) in phase.unwrap_or_default().chunks(8).enumerate() {
        second.add(i * 64, word(p));
    }
    [hets, homs, missing].into_iter().for_each(|l| l.0.append(true));
    second.0.append(phase.is_some());
}

/// The columns of [`schema`] for the rows of `group`.
///
/// # Errors
/// When arrow refuses them.
pub fn arrays(group: &Group, samples: usize) -> Result<Vec<ArrayRef>, Error> {
    let (n, stride) = (group.rows.len(), samples.div_ceil(8));
    let with_lists = samples >= LIST_SAMPLES;
    let mut planes: [Column; 4] =
        std::array::from_fn(|i| Column::new(n, stride, if i < 2 { n } else { 0 }));
    let mut lists: [List; 4] = std::array::from_fn(|_| List::new());
    let mut joined = Vec::new();
    for at in &group.rows {
        let shard = &at.shard.rows;
        let row = &shard.rows[at.row as usize];
        let (het, hom) = shard.planes(at.row as usize);
        let phase = shard.extra(row, Extra::Phase);
        let sparse = with_lists && as_lists(samples, set_bits(het, hom));
        if sparse {
            planes[..3].iter_mut().for_each(|p| p.push(None));
            push_lists(&mut lists, het, hom, phase);
        } else {
            planes[0].push(Some(het));
            planes[1].push(Some(hom));
            planes[2].push(phase);
            lists.iter_mut().for_each(|l| l.0.append(false));
        }
        // Haploid calls, and with both other bits set samples of whom no call is expected.
        let (haploid, none) =
            (shard.extra(row, Extra::Haploid), shard.extra(row, Extra::NotExpected));
        planes[3].push(match (haploid, none) {
            (None, none) => none,
            (Some(haploid), none) => {
                joined.clear();
                // One copy is expected of whole regions: there a missing call has its bit in `haploid` too.
                let called =
                    haploid.iter().zip(het.iter().zip(hom)).map(|(p, (h, m))| p & !(h & m));
                joined.extend(called);
                joined.iter_mut().zip(none.unwrap_or_default()).for_each(|(p, n)| *p |= n);
                Some(joined.as_slice())
            }
        });
    }
    let first = group.first_idx;
    let pos = group.rows.iter().map(|at| at.shard.rows.rows[at.row as usize].pos);
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(first..first + n as i32)),
        Arc::new(Int32Array::from_iter_values(pos)),
    ];
    for (i, plane) in planes.into_iter().enumerate() {
        arrays.push(plane.finish(i > 1 || with_lists)?);
    }
    if with_lists {
        arrays.extend(lists.into_iter().map(|mut l| Arc::new(l.0.finish()) as ArrayRef));
    }
    Ok(arrays)
}
