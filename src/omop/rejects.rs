//! The quarantine: where each row stood that could not be used, and why. No values.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use crate::engine::parquet::properties;
use crate::engine::{FileEntry, FileTags, TableFile};

use super::cdm::TableSpec;
use super::error::Error;
use super::value::Reason;

/// One row that was not used. Kept small: memory grows with rejected rows only, by 24 bytes each.
#[derive(Debug, Clone, Copy)]
pub struct Reject {
    /// Line the row starts on, or its ordinal in a Parquet file; from 1.
    pub line: u64,
    /// Ordinal of the file among the table's.
    pub file: u32,
    /// Ordinal of the offending field in the specification.
    pub field: Option<u16>,
    /// Why.
    pub reason: Reason,
}

/// The rejects of one table.
#[derive(Debug)]
pub struct TableRejects {
    /// The table.
    pub spec: &'static TableSpec,
    /// Base names of its files.
    pub files: Vec<String>,
    /// In the order of the input.
    pub rows: Vec<Reject>,
}

/// Writes `quality/rejects/ehr/<site>.parquet`: `file, line, table, column?, reason`, by table name, then
/// in the order of the input. Written also when there is nothing to tell.
pub fn write(root: &Path, site: &str, tables: &[TableRejects]) -> Result<FileEntry, Error> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("table", DataType::Utf8, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
    ]));
    let tags = FileTags {
        tier: "quality".to_owned(),
        table: "rejects".to_owned(),
        callset: None,
        date_basis: "none",
    };
    let properties = properties(&tags, &[]).build();
    let path = format!("quality/rejects/ehr/{site}.parquet");
    let mut file = TableFile::create(root, &path, schema.clone(), tags, properties)?;
    for table in tables {
        for rows in table.rows.chunks(8192) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(
                    rows.iter().map(|r| table.files[r.file as usize].as_str()),
                )),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.line as i64))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|_| table.spec.name))),
                Arc::new(StringArray::from_iter(
                    rows.iter().map(|r| r.field.map(|f| table.spec.fields[f as usize].name)),
                )),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.reason.code()))),
            ];
            let batch = RecordBatch::try_new(schema.clone(), columns)
                .map_err(|source| Error::Arrow { table: table.spec.name, source })?;
            file.write(&batch)?;
        }
    }
    Ok(file.finish()?)
}
