//! The writer of a table: tallies the hidden columns, drops them, cuts the rows by person bucket.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use super::Error;
use super::table::TablePlan;
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job, TableLedger};

/// Where and as what a table is written.
pub(super) struct Target {
    /// Release-relative folder, `<tier>/omop/<table>`.
    pub folder: String,
    /// Metadata of its files.
    pub tags: FileTags,
    /// Whether rows are cut by person bucket.
    pub bucketed: bool,
    /// Whether the plan has hidden columns.
    pub hidden: bool,
}

/// Writes a table's rows and books them. Returns the files in the order of their buckets.
pub(super) async fn write(
    plan: TablePlan,
    target: &Target,
    ledger: &mut TableLedger,
    job: &Job,
) -> Result<Vec<FileEntry>, Error> {
    let table = plan.spec.name;
    let mut sink = Sink {
        target,
        job,
        table,
        schema: plan.spec.schema(),
        order: plan.order,
        changes: plan.changes,
        open: None,
        files: Vec::new(),
        strangers: 0,
    };
    let rows: SendableRecordBatchStream =
        plan.rows.execute_stream().await.map_err(Error::query(table))?;
    let mut rows = rows;
    while let Some(batch) = rows.next().await {
        job.check()?;
        let batch = batch.map_err(Error::query(table))?;
        sink.take(&batch, ledger)?;
        job.progress.advance(batch.num_rows() as u64);
    }
    sink.finish()
}

struct Sink<'a> {
    target: &'a Target,
    job: &'a Job,
    table: &'static str,
    schema: SchemaRef,
    order: Vec<i32>,
    changes: Vec<String>,
    /// The file of the bucket being written.
    open: Option<(i32, TableFile)>,
    files: Vec<FileEntry>,
    /// Rows of people who are not in the id map.
    strangers: u64,
}

impl Sink<'_> {
    fn take(&mut self, batch: &RecordBatch, ledger: &mut TableLedger) -> Result<(), Error> {
        if !self.target.hidden {
            ledger.rows_out += batch.num_rows() as u64;
            return self.write(0, batch);
        }
        let kept = self.tally(batch, ledger)?;
        let buckets = kept.column(self.schema.fields().len()).as_primitive::<Int32Type>().clone();
        let mut start = 0;
        while start < kept.num_rows() {
            let bucket = if self.target.bucketed { buckets.value(start) } else { 0 };
            let run = match self.target.bucketed {
                true => buckets.values()[start..].iter().take_while(|b| **b == bucket).count(),
                false => kept.num_rows() - start,
            };
            self.write(bucket, &kept.slice(start, run))?;
            start += run;
        }
        Ok(())
    }

    /// Books removed and changed rows; returns the rows that stay, hidden columns still with them.
    fn tally(
        &mut self,
        batch: &RecordBatch,
        ledger: &mut TableLedger,
    ) -> Result<RecordBatch, Error> {
        let first = self.schema.fields().len();
        let why = batch.column(first + 1).as_string::<i32>();
        let known = batch.column(first + 2);
        self.strangers += known.null_count() as u64;
        for reason in why.iter().flatten() {
            ledger.exclude(reason, 1);
        }
        let stays: BooleanArray =
            (0..batch.num_rows()).map(|i| Some(why.is_null(i) && known.is_valid(i))).collect();
        let kept = filter_record_batch(batch, &stays).map_err(|e| self.arrow(e))?;
        ledger.rows_out += kept.num_rows() as u64;
        for (i, rule) in self.changes.iter().enumerate() {
            ledger.change(rule, kept.column(first + 3 + i).as_boolean().true_count() as u64);
        }
        Ok(kept)
    }

    fn arrow(&self, source: arrow::error::ArrowError) -> Error {
        Error::Arrow { table: self.table.to_owned(), source }
    }

    fn write(&mut self, bucket: i32, rows: &RecordBatch) -> Result<(), Error> {
        let columns = rows.columns()[..self.schema.fields().len()].to_vec();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        let rows = rows.map_err(|e| self.arrow(e))?;
        let mut file = match self.open.take() {
            Some((open, file)) if open == bucket => file,
            before => {
                self.close(before)?;
                self.create(bucket)?
            }
        };
        file.write(&rows)?;
        self.open = Some((bucket, file));
        Ok(())
    }

    fn create(&self, bucket: i32) -> Result<TableFile, Error> {
        let folder = &self.target.folder;
        let path = match self.target.bucketed {
            true => format!("{folder}/person_bucket={bucket:03}/part-0000.parquet"),
            false => format!("{folder}/part-0000.parquet"),
        };
        let tags = self.target.tags.clone();
        let properties = self.encodings(properties(&tags, &self.order)).build();
        Ok(TableFile::create(&self.job.out, &path, self.schema.clone(), tags, properties)?)
    }

    /// Rows are sorted by person and date, so that differences are small where a dictionary is not.
    fn encodings(&self, mut properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        for field in self.schema.fields() {
            let ordered = matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..));
            if ordered || field.name() == "person_id" {
                let column = ColumnPath::from(field.name().as_str());
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
        }
        properties
    }

    fn close(&mut self, file: Option<(i32, TableFile)>) -> Result<(), Error> {
        if let Some((_, file)) = file {
            self.files.push(file.finish()?);
        }
        Ok(())
    }

    /// Closes the last file. A table without rows gets one empty file, so that readers find it.
    fn finish(mut self) -> Result<Vec<FileEntry>, Error> {
        if self.strangers > 0 {
            let table = self.table.to_owned();
            return Err(Error::PersonNotInMap { table, rows: self.strangers });
        }
        let last = self.open.take();
        self.close(last)?;
        if self.files.is_empty() {
            let empty = self.create(0)?;
            self.close(Some((0, empty)))?;
        }
        Ok(self.files)
    }
}
