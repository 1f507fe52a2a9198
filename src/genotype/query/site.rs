//! The names of variants, from the `variants` table.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::{Part, Span, table_error};
use crate::engine::Keyring;
use crate::error::IoError;
use crate::genotype::Error;

/// A variant's name and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `variant_idx`.
    pub variant_idx: i32,
    /// `pos`.
    pub pos: i32,
    /// `vid`.
    pub vid: String,
}

/// The variants of `span` in the order of the table, read as they are asked for.
///
/// `files` are the part files of `variants` of one chromosome, in their order.
pub fn sites(
    files: &[PathBuf],
    span: Span,
    keyring: &Keyring,
) -> impl Iterator<Item = Result<Site, Error>> + use<> {
    let files = files.to_vec();
    let keyring = keyring.clone();
    let mut files = files.into_iter();
    let mut open: Option<(PathBuf, ParquetRecordBatchReader)> = None;
    let mut ready = Vec::new().into_iter();
    let mut batch = move || -> Result<Option<Vec<Site>>, Error> {
        loop {
            if let Some((path, reader)) = &mut open
                && let Some(batch) = reader.next()
            {
                let batch = batch.map_err(table_error(path))?;
                return rows(&batch, span).map(Some).ok_or_else(|| Error::Table {
                    file: path.clone(),
                    detail: "a column is missing or has another type".to_owned(),
                });
            }
            let Some(path) = files.next() else { return Ok(None) };
            let reader = reader(&path, span, &keyring)?;
            open = Some((path, reader));
        }
    };
    let mut failed = false;
    std::iter::from_fn(move || {
        loop {
            if let Some(site) = ready.next() {
                return Some(Ok(site));
            }
            if failed {
                return None;
            }
            match batch() {
                Ok(Some(rows)) => ready = rows.into_iter(),
                Ok(None) => return None,
                Err(e) => {
                    failed = true;
                    return Some(Err(e));
                }
            }
        }
    })
}

fn reader(path: &Path, span: Span, keyring: &Keyring) -> Result<ParquetRecordBatchReader, Error> {
    let groups = Part::open(path, keyring)?.units(span)?.map(|u| u.group).collect();
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let builder = keyring.open(file).map_err(table_error(path))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["vid", "variant_idx", "pos"]);
    builder
        .with_projection(mask)
        .with_row_groups(groups)
        .with_batch_size(8192)
        .build()
        .map_err(table_error(path))
}

fn rows(batch: &arrow::array::RecordBatch, span: Span) -> Option<Vec<Site>> {
    let idx = batch.column_by_name("variant_idx")?.as_primitive_opt::<Int32Type>()?.values();
    let pos = batch.column_by_name("pos")?.as_primitive_opt::<Int32Type>()?.values();
    let vid = batch.column_by_name("vid")?.as_string_opt::<i32>()?;
    let first = pos.partition_point(|&p| p < span.start);
    let last = pos.partition_point(|&p| p <= span.end);
    let site = |i: usize| Site { variant_idx: idx[i], pos: pos[i], vid: vid.value(i).to_owned() };
    Some((first..last).map(site).collect())
}
