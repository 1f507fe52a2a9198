//! The table of records that could not be used.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::super::assemble::Rejected;
use super::super::{CallsetRequest, Error};
use crate::engine::{FileEntry, FileTags, Job, TableFile};

/// Rejects written at a time.
const REJECT_ROWS: usize = 4096;

/// `quality/rejects/genomics/<callset>.parquet`, being written.
pub struct Rejects {
    file: TableFile,
    schema: Arc<Schema>,
    names: Vec<String>,
    waiting: Vec<Rejected>,
    strict: bool,
}

impl Rejects {
    /// Creates the table; `names` are what [`Rejected::file`] counts.
    pub fn create(request: &CallsetRequest, job: &Job, names: Vec<String>) -> Result<Self, Error> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("file", DataType::Utf8, false),
            Field::new("line", DataType::Int64, false),
            Field::new("virtual_offset", DataType::Int64, true),
            Field::new("reason", DataType::Utf8, false),
        ]));
        let tags = FileTags {
            tier: "quality".to_owned(),
            table: "rejects".to_owned(),
            callset: Some(request.name.clone()),
            date_basis: "none",
            vocabulary: None,
        };
        let properties = crate::engine::parquet::properties(&tags, &[]).build();
        let path = format!("quality/rejects/genomics/{}.parquet", request.name);
        let file = TableFile::create(&job.out, &path, schema.clone(), tags, properties)?;
        Ok(Self { file, schema, names, waiting: Vec::new(), strict: request.options.strict })
    }

    /// Appends rejects. They are written in batches of a fixed size: pages end where batches do, and the
    /// bytes must not tell how the input was cut.
    ///
    /// # Errors
    /// [`Error::Rejected`] with `strict`, and when the disk is full.
    pub fn write(&mut self, rejected: Vec<Rejected>) -> Result<(), Error> {
        if let Some(first) = rejected.first().filter(|_| self.strict) {
            let (line, reason) = (first.line, first.reason);
            return Err(Error::Rejected {
                file: self.names[first.file].clone().into(),
                line,
                reason,
            });
        }
        self.waiting.extend(rejected);
        let waiting = std::mem::take(&mut self.waiting);
        let full = waiting.chunks_exact(REJECT_ROWS);
        self.waiting = full.remainder().to_vec();
        for batch in full {
            self.write_batch(batch)?;
        }
        Ok(())
    }

    /// Writes what waits and closes the file.
    pub fn finish(mut self) -> Result<FileEntry, Error> {
        let batch = std::mem::take(&mut self.waiting);
        if !batch.is_empty() {
            self.write_batch(&batch)?;
        }
        Ok(self.file.finish()?)
    }

    fn write_batch(&mut self, rejected: &[Rejected]) -> Result<(), Error> {
        let names = &self.names;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rejected.iter().map(|r| &names[r.file]))),
            Arc::new(Int64Array::from_iter_values(rejected.iter().map(|r| r.line as i64))),
            Arc::new(Int64Array::from_iter(rejected.iter().map(|r| r.offset.map(|o| o as i64)))),
            Arc::new(StringArray::from_iter_values(rejected.iter().map(|r| r.reason))),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(Error::internal("writing rejects"))?;
        Ok(self.file.write(&batch)?)
    }
}
