//! One pass over a table: row groups in parallel, each worker with books of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use crate::engine::{Job, Keyring};
use crate::error::IoError;

use super::error::Error;

/// Rows decoded at a time.
const BATCH: usize = 16_384;

/// A table's files, opened.
pub(super) struct Source {
    files: Vec<(PathBuf, ArrowReaderMetadata)>,
}

impl Source {
    /// Reads the footers of `files`.
    pub fn open(files: &[PathBuf], keyring: &Keyring) -> Result<Self, Error> {
        let open = |path: &PathBuf| Ok((path.clone(), metadata(path, keyring)?));
        Ok(Self { files: files.iter().map(open).collect::<Result<_, Error>>()? })
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.groups().map(|(f, g)| self.group(f, g).num_rows().unsigned_abs()).sum()
    }

    /// Whether there is a column `name`.
    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|(_, m)| m.schema().index_of(name).is_ok())
    }

    /// Nulls of the column `name` by the footers; none when a footer does not say.
    pub fn nulls(&self, name: &str) -> Option<u64> {
        let mut nulls = 0;
        for (file, group) in self.groups() {
            let column = self.files[file].1.schema().index_of(name).ok()?;
            let chunk = self.group(file, group).column(column);
            nulls += chunk.statistics()?.null_count_opt()?;
        }
        Some(nulls)
    }

    fn groups(&self) -> impl Iterator<Item = (usize, usize)> {
        let groups = |m: &ArrowReaderMetadata| m.metadata().num_row_groups();
        self.files
            .iter()
            .enumerate()
            .flat_map(move |(f, (_, m))| (0..groups(m)).map(move |g| (f, g)))
    }

    fn group(&self, file: usize, group: usize) -> &parquet::file::metadata::RowGroupMetaData {
        self.files[file].1.metadata().row_group(group)
    }

    /// Runs `apply` over all batches with `columns`, and returns the workers' books in no order.
    pub fn scan<S: Send>(
        &self,
        columns: &[&str],
        job: &Job,
        new: impl Fn() -> S + Sync,
        apply: impl Fn(&mut S, &RecordBatch) -> Result<(), Error> + Sync,
    ) -> Result<Vec<S>, Error> {
        let tasks: Vec<_> = self.groups().collect();
        let bytes = |f: usize, g: usize| self.group(f, g).compressed_size().unsigned_abs();
        job.progress.expect(tasks.iter().map(|&(f, g)| bytes(f, g)).sum());
        let next = AtomicUsize::new(0);
        let work = || -> Result<S, Error> {
            let mut state = new();
            while let Some(&(file, group)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                job.check()?;
                self.read(file, group, columns, |batch| apply(&mut state, batch))?;
                job.progress.advance(bytes(file, group));
            }
            Ok(state)
        };
        let threads = job.threads.min(tasks.len()).max(1);
        if threads == 1 {
            return Ok(vec![work()?]);
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|w| w.join().unwrap_or(Err(Error::Worker))).collect()
        })
    }

    fn read(
        &self,
        file: usize,
        group: usize,
        columns: &[&str],
        mut apply: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (path, metadata) = &self.files[file];
        let broken = |source| Error::Parquet { file: path.clone(), source };
        let handle = File::open(path).map_err(IoError::at("opening", path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![group])
            .with_batch_size(BATCH)
            .build()
            .map_err(broken)?;
        for batch in reader {
            apply(&batch.map_err(|e| broken(e.into()))?)?;
        }
        Ok(())
    }
}

/// The footer, with text columns to be read as dictionaries: a value is looked at once a batch.
fn metadata(path: &Path, keyring: &Keyring) -> Result<ArrowReaderMetadata, Error> {
    let broken = |source| Error::Parquet { file: path.to_path_buf(), source };
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let plain = ArrowReaderMetadata::load(&file, keyring.options()).map_err(broken)?;
    let coded = |field: &Arc<Field>| {
        if field.data_type() == &DataType::Utf8 {
            let code = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
            field.as_ref().clone().with_data_type(code)
        } else {
            field.as_ref().clone()
        }
    };
    let schema = Schema::new(plain.schema().fields().iter().map(coded).collect::<Vec<_>>());
    let options =
        ArrowReaderOptions::new().with_schema(schema.into()).with_skip_arrow_metadata(true);
    ArrowReaderMetadata::try_new(plain.metadata().clone(), options).map_err(broken)
}
