//! The results as files: Parquet and CSV with OHDSI's columns, JSON as its viewer reads it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use serde_json::{Map, Value, json};

use crate::engine::parquet::{TableFile, properties, write_bytes};
use crate::engine::{FileEntry, FileTags, Job};
use crate::error::IoError;

use super::error::Error;
use super::scan::Source;
use super::verdict::{CheckResult, Overview};

/// Where the results are, without the ending.
const PATH: &str = "quality/dqd/results";

/// Writes the three files.
pub(super) fn write(
    results: &[CheckResult],
    metadata: Map<String, Value>,
    vocabulary: Option<String>,
    date: jiff::civil::Date,
    job: &Job,
) -> Result<Vec<FileEntry>, Error> {
    let batch = table(results)?;
    Ok(vec![
        csv_file(&batch, job)?,
        json_file(results, metadata, date, job)?,
        parquet(&batch, vocabulary, job)?,
    ])
}

/// OHDSI's result table (`result_dataframe_ddl.sql`).
fn table(results: &[CheckResult]) -> Result<RecordBatch, Error> {
    let count = |f: fn(&CheckResult) -> u64| -> ArrayRef {
        Arc::new(results.iter().map(|r| i64::try_from(f(r)).ok()).collect::<Int64Array>())
    };
    let flag = |f: fn(&CheckResult) -> u8| -> ArrayRef {
        Arc::new(results.iter().map(|r| Some(i32::from(f(r)))).collect::<Int32Array>())
    };
    let text = |f: fn(&CheckResult) -> Option<&str>| -> ArrayRef {
        Arc::new(results.iter().map(f).collect::<StringArray>())
    };
    let number = |f: fn(&CheckResult) -> Option<f64>| -> ArrayRef {
        Arc::new(results.iter().map(f).collect::<Float64Array>())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("num_violated_rows", count(|r| r.num_violated_rows)),
        ("pct_violated_rows", number(|r| Some(r.pct_violated_rows))),
        ("num_denominator_rows", count(|r| r.num_denominator_rows)),
        ("execution_time", text(|_| Some("0 secs"))),
        ("query_text", text(|_| Some(""))),
        ("check_name", text(|r| Some(&r.check_name))),
        ("check_level", text(|r| Some(&r.check_level))),
        ("check_description", text(|r| Some(&r.check_description))),
        ("cdm_table_name", text(|r| Some(&r.cdm_table_name))),
        ("cdm_field_name", text(|r| r.cdm_field_name.as_deref())),
        ("concept_id", text(|r| r.concept_id.as_deref())),
        ("unit_concept_id", text(|r| r.unit_concept_id.as_deref())),
        ("sql_file", text(|r| Some(&r.sql_file))),
        ("category", text(|r| Some(&r.category))),
        ("subcategory", text(|r| r.subcategory.as_deref())),
        ("context", text(|r| Some(&r.context))),
        ("warning", text(|_| None)),
        ("error", text(|r| r.error.as_deref())),
        ("checkid", text(|r| Some(&r.check_id))),
        ("is_error", flag(|r| r.is_error)),
        ("not_applicable", flag(|r| r.not_applicable)),
        ("failed", flag(|r| r.failed)),
        ("passed", flag(|r| r.passed)),
        ("not_applicable_reason", text(|r| r.not_applicable_reason.as_deref())),
        ("threshold_value", number(|r| r.threshold_value)),
        ("notes_value", text(|r| r.notes_value.as_deref())),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))?)
}

fn parquet(batch: &RecordBatch, vocabulary: Option<String>, job: &Job) -> Result<FileEntry, Error> {
    let tags = FileTags {
        tier: "quality".into(),
        table: "dqd_results".into(),
        callset: None,
        date_basis: "none",
        vocabulary,
    };
    let settings = properties(&tags, &[]).build();
    let path = format!("{PATH}.parquet");
    let mut file = TableFile::create(&job.out, &path, batch.schema(), tags, settings)?;
    file.write(batch)?;
    Ok(file.finish()?)
}

fn csv_file(batch: &RecordBatch, job: &Job) -> Result<FileEntry, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let broken = |e: csv::Error| IoError::at("writing", PATH)(std::io::Error::other(e));
    let schema = batch.schema();
    writer.write_record(schema.fields().iter().map(|f| f.name())).map_err(broken)?;
    for row in 0..batch.num_rows() {
        let cells: Result<Vec<String>, _> =
            batch.columns().iter().map(|c| array_value_to_string(c, row)).collect();
        writer.write_record(cells?).map_err(broken)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| IoError::at("writing", PATH)(std::io::Error::other(e.to_string())))?;
    Ok(write_bytes(&job.out, &format!("{PATH}.csv"), "quality", "dqd_results", &bytes)?)
}

fn json_file(
    results: &[CheckResult],
    metadata: Map<String, Value>,
    date: jiff::civil::Date,
    job: &Job,
) -> Result<FileEntry, Error> {
    let mut checks = Vec::with_capacity(results.len());
    for result in results {
        let mut row = serde_json::to_value(result)?;
        if let Some(row) = row.as_object_mut() {
            row.insert("executionTime".into(), "0 secs".into());
            row.insert("queryText".into(), "".into());
        }
        checks.push(row);
    }
    // The reference date, never the clock: the same data gives the same file.
    let time = format!("{date} 00:00:00");
    let document = json!({
        "startTimestamp": [time],
        "endTimestamp": [time],
        "executionTime": ["0 secs"],
        "CheckResults": checks,
        "Metadata": [metadata],
        "Overview": Overview::of(results),
    });
    let bytes = serde_json::to_vec(&document)?;
    Ok(write_bytes(&job.out, &format!("{PATH}.json"), "quality", "dqd_results", &bytes)?)
}

/// The first row of `cdm_source` by column, in camel case as OHDSI's viewer reads it.
pub(super) fn metadata(
    files: &[std::path::PathBuf],
    fields: &[&str],
    job: &Job,
) -> Result<Map<String, Value>, Error> {
    let source = Source::open(files, &job.keyring)?;
    let single = Job { threads: 1, ..job.clone() };
    let read = |row: &mut Map<String, Value>, batch: &RecordBatch| {
        if !row.is_empty() || batch.num_rows() == 0 {
            return Ok(());
        }
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            row.insert(camel(field.name()), array_value_to_string(column, 0)?.into());
        }
        Ok(())
    };
    let states = source.scan(fields, &single, Map::new, read)?;
    let mut row = states.into_iter().next().unwrap_or_default();
    row.insert("dqdVersion".into(), "2.8.4".into());
    Ok(row)
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}
