//! How many rows each rule touched in a release, from the rule report of the tier.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;

use super::{Error, RuleLine};
use crate::error::IoError;

/// Rows of one table that a rule touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TouchedRows {
    /// Rows it removed.
    pub removed: u64,
    /// Rows in which it changed a value.
    pub changed: u64,
}

/// Adds to each line the rows by table (`omop/person`) that its rule touched in the release in `root`, by
/// `quality/rules/<tier>.parquet`. A rule that the report does not know gets no table.
///
/// # Errors
/// When the report is not there or cannot be read.
pub fn count_rows(lines: &mut [RuleLine], root: &Path, tier: &str) -> Result<(), Error> {
    let path = root.join(format!("quality/rules/{tier}.parquet"));
    let file = File::open(&path).map_err(IoError::at("opening", &path))?;
    let unreadable = |source| Error::Arrow { table: "rules".into(), source };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build());
    let reader = reader.map_err(|e| unreadable(e.into()))?;
    let mut found: BTreeMap<String, BTreeMap<String, TouchedRows>> = BTreeMap::new();
    for batch in reader {
        let batch = batch.map_err(unreadable)?;
        let [rule, table] = [0, 1].map(|i| batch.column(i).as_string::<i32>());
        let [removed, changed] = [2, 3].map(|i| batch.column(i).as_primitive::<Int64Type>());
        for i in 0..batch.num_rows() {
            let count = |n: i64| u64::try_from(n).unwrap_or(0);
            let rows =
                TouchedRows { removed: count(removed.value(i)), changed: count(changed.value(i)) };
            found
                .entry(rule.value(i).to_owned())
                .or_default()
                .insert(table.value(i).to_owned(), rows);
        }
    }
    for line in lines {
        line.rows = Some(found.remove(&line.id).unwrap_or_default());
    }
    Ok(())
}
