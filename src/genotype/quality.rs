//! The `quality` table: DP, GQ and AD of the ALT of every called cell, one row a variant.
//!
//! Each column is a list as long as the callset, in the order of `sample_idx`, null where there is no call
//! or no value. Chosen by measurement, in bytes a cell of DP, GQ and AD of the ALT (1,000 samples, GATK-like,
//! zstd 1): byte stream split 0.67, 0.44, 0.20; dictionary 0.82, 0.53, 0.21; plain 1.01, 0.74, 0.28; delta 0.83,
//! 0.90, 0.30; one row a cell, dictionary, 0.83, 0.55, 0.23 and the keys on top. Binary columns of one byte a
//! value would be 3 % smaller still, but would have neither nulls nor values above 254, nor a type in SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Int32Array, UInt16Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use parquet::arrow::arrow_writer::ArrowColumnChunk;

use super::Error;
use super::assemble::Group;
use super::summary::NO_VALUE;
use super::tables::Table;

/// The columns that are lists.
pub const LISTS: [&str; 3] = ["dp", "gq", "ad_alt"];
/// Cells that are encoded at a time, so that levels and values of a row group are never there at once.
const CELLS: usize = 1 << 20;

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::UInt16, true))
}

/// The table's columns for `samples` samples.
///
/// # Errors
/// When there are more samples than a list can hold.
pub fn schema(samples: usize) -> Result<Schema, Error> {
    let width = width(samples)?;
    let list = |name: &str| Field::new(name, DataType::FixedSizeList(item(), width), false);
    let mut fields = vec![
        Field::new("variant_idx", DataType::Int32, false),
        Field::new("pos", DataType::Int32, false),
    ];
    fields.extend(LISTS.map(list));
    Ok(Schema::new(fields))
}

fn width(samples: usize) -> Result<i32, Error> {
    i32::try_from(samples).map_err(|_| Error::TooLarge { what: "number of samples" })
}

/// Encodes the rows of `group`.
///
/// # Errors
/// When the encoder refuses.
pub fn encode(
    table: &Table,
    group: &Group,
    samples: usize,
) -> Result<Vec<ArrowColumnChunk>, Error> {
    let mut open = table.row_group()?;
    let step = (CELLS / samples.max(1)).max(1);
    for (n, rows) in group.rows.chunks(step).enumerate() {
        let first = group.first_idx + (n * step) as i32;
        let pos = rows.iter().map(|at| at.shard.rows.rows[at.row as usize].pos);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(first..first + rows.len() as i32)),
            Arc::new(Int32Array::from_iter_values(pos)),
        ];
        for k in 0..LISTS.len() {
            let mut values = Vec::with_capacity(rows.len() * samples);
            for at in rows {
                let summaries = &at.shard.rows.summaries;
                values.extend_from_slice(summaries.quality(at.row as usize, samples)[k]);
            }
            let known: NullBuffer = values.iter().map(|&v| v != NO_VALUE).collect();
            let values = UInt16Array::new(values.into(), Some(known));
            let list = FixedSizeListArray::try_new(item(), width(samples)?, Arc::new(values), None);
            arrays.push(Arc::new(list.map_err(Error::internal("encoding quality"))?));
        }
        open.write(&arrays)?;
    }
    open.close()
}
