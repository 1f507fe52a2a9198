//! Some columns of a table's Parquet files, batch by batch in the order of the rows.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use rayon::prelude::*;

use super::Error;
use crate::engine::Job;
use crate::error::IoError;

const BATCH_ROWS: usize = 1 << 16;

/// A table and the columns wanted of it.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    /// CDM table, for messages.
    pub table: &'a str,
    /// Its files, in order.
    pub files: &'a [PathBuf],
    /// Names and types of the columns.
    pub columns: &'a [(&'a str, DataType)],
}

impl Scan<'_> {
    /// Hands every batch to `each`, as arrays in the order of the columns wanted.
    pub fn each(
        &self,
        job: &Job,
        mut each: impl FnMut(&[ArrayRef]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| self.read(file, None, job, &mut each))
    }

    /// Hands every batch to `each` in no particular order, on the threads of the current pool. Every
    /// result of `start` takes the batches of some row groups; `join` puts them together.
    pub fn fold<T: Send>(
        &self,
        job: &Job,
        start: impl Fn() -> T + Sync + Send,
        each: impl Fn(&mut T, &[ArrayRef]) -> Result<(), Error> + Sync + Send,
        join: impl Fn(T, T) -> T + Sync + Send,
    ) -> Result<T, Error> {
        let mut groups = Vec::new();
        for path in self.files {
            let file = File::open(path).map_err(IoError::at("opening", path))?;
            let reader = SerializedFileReader::new(file)
                .map_err(|source| Error::Parquet { file: path.clone(), source })?;
            groups.extend((0..reader.metadata().num_row_groups()).map(|group| (path, group)));
        }
        let one = |mut state: T, &(path, group): &(&PathBuf, usize)| {
            self.read(path, Some(group), job, &mut |batch| each(&mut state, batch))?;
            Ok(state)
        };
        let folded = groups.par_iter().try_fold(&start, one);
        folded.try_reduce(&start, |a, b| Ok(join(a, b)))
    }

    fn read(
        &self,
        path: &Path,
        group: Option<usize>,
        job: &Job,
        each: &mut impl FnMut(&[ArrayRef]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let broken = |source| Error::Parquet { file: path.to_owned(), source };
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
        let schema = builder.schema().clone();
        let mut roots = Vec::with_capacity(self.columns.len());
        for (name, _) in self.columns {
            let at = schema.index_of(name).map_err(|_| Error::MissingColumn {
                file: path.to_owned(),
                column: (*name).to_owned(),
            })?;
            roots.push(at);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let mut reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        if let Some(group) = group {
            reader = reader.with_row_groups(vec![group]);
        }
        for batch in reader.build().map_err(broken)? {
            job.check()?;
            let batch = batch.map_err(|e| broken(e.into()))?;
            let mut arrays = Vec::with_capacity(self.columns.len());
            for (name, kind) in self.columns {
                let array = batch.column_by_name(name).ok_or_else(|| Error::MissingColumn {
                    file: path.to_owned(),
                    column: (*name).to_owned(),
                })?;
                arrays.push(cast(array, kind).map_err(Error::arrow(self.table))?);
            }
            each(&arrays)?;
        }
        Ok(())
    }
}

/// Rows of `files` by their footers.
pub(super) fn rows(files: &[PathBuf]) -> Result<u64, Error> {
    let mut rows = 0;
    for path in files {
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        let reader = SerializedFileReader::new(file)
            .map_err(|source| Error::Parquet { file: path.clone(), source })?;
        rows += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
    }
    Ok(rows)
}

/// An array that [`Scan`] cast to int64.
pub(super) fn ints(array: &ArrayRef) -> &Int64Array {
    array.as_primitive::<Int64Type>()
}

/// An array that [`Scan`] cast to UTF-8.
pub(super) fn texts(array: &ArrayRef) -> &StringArray {
    array.as_string::<i32>()
}

/// The text of a row; blank and null are the same (some feeds write `""` for null).
pub(super) fn text(array: &StringArray, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    let value = array.value(row).trim();
    (!value.is_empty()).then_some(value)
}
