//! The files of a table, and the writer of those that are not cut by person bucket.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use futures::StreamExt;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use super::Error;
use super::table::TablePlan;
use super::tally::Tally;
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job, TableLedger};

/// Where and as what the files of a table are written.
pub(super) struct Files<'a> {
    /// Name of the table.
    pub table: &'static str,
    /// Release-relative folder, `<tier>/omop/<table>`.
    pub folder: String,
    /// Metadata of its files.
    pub tags: FileTags,
    /// Columns released.
    pub schema: SchemaRef,
    /// Ordinals of the columns by which the rows of a file are sorted.
    pub order: Vec<i32>,
    /// Its own row ids, which are as good as random.
    pub primary_key: Option<&'static str>,
    /// The terms of the stage.
    pub job: &'a Job,
}

impl Files<'_> {
    /// Creates the file of a bucket, or the one of a table without buckets.
    pub fn create(&self, bucket: Option<u32>) -> Result<TableFile, Error> {
        let folder = &self.folder;
        let path = match bucket {
            Some(bucket) => format!("{folder}/person_bucket={bucket:03}/part-0000.parquet"),
            None => format!("{folder}/part-0000.parquet"),
        };
        let tags = self.tags.clone();
        let properties = self.encodings(properties(&tags, &self.order)).build();
        Ok(TableFile::create(&self.job.out, &path, self.schema.clone(), tags, properties)?)
    }

    /// Rows are sorted by person and date, so that differences are small where a dictionary is not; ids
    /// of rows come once each.
    fn encodings(&self, mut properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        for field in self.schema.fields() {
            let column = ColumnPath::from(field.name().as_str());
            let ordered = matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..));
            if ordered || field.name() == "person_id" {
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            } else if self.primary_key == Some(field.name().as_str()) {
                properties = properties.set_column_dictionary_enabled(column, false);
            }
        }
        properties
    }
}

/// Writes the rows of a plan that come in order as one file, and books them. `hidden`: whether the plan has
/// hidden columns.
pub(super) async fn write(
    plan: TablePlan,
    files: &Files<'_>,
    hidden: bool,
    ledger: &mut TableLedger,
    job: &Job,
) -> Result<FileEntry, Error> {
    let table = plan.spec.name;
    let mut tally = Tally::new(plan.changes.len());
    let mut file = files.create(None)?;
    let mut rows = plan.rows.execute_stream().await.map_err(Error::query(table))?;
    while let Some(batch) = rows.next().await {
        job.check()?;
        let batch = batch.map_err(Error::query(table))?;
        let released = files.schema.fields().len();
        let kept = if hidden {
            tally.keep(&batch, released).map_err(Error::arrow(table))?
        } else {
            ledger.rows_out += batch.num_rows() as u64;
            batch.clone()
        };
        let columns = kept.columns()[..released].to_vec();
        let kept = RecordBatch::try_new(files.schema.clone(), columns);
        file.write(&kept.map_err(Error::arrow(table))?)?;
        job.progress.advance(batch.num_rows() as u64);
    }
    if tally.strangers > 0 {
        return Err(Error::PersonNotInMap { table: table.to_owned(), rows: tally.strangers });
    }
    tally.book(ledger, &plan.changes);
    Ok(file.finish()?)
}
