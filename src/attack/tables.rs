//! Columns of a tier's tables, file by file, batch by batch.

use std::fs::File;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use parquet::arrow::ProjectionMask;

use super::{Error, Request};
use crate::engine::{FileEntry, Job};
use crate::error::IoError;
use crate::omop::{CdmVersion, FieldSpec, TableSpec, cdm};

/// The tables of records of care, of which every person has some.
pub(super) const RECORDS: [&str; 7] = [
    "visit_occurrence",
    "condition_occurrence",
    "drug_exposure",
    "procedure_occurrence",
    "measurement",
    "observation",
    "device_exposure",
];

/// What the newest version of the CDM says of a table.
pub(super) fn spec(table: &str) -> Option<&'static TableSpec> {
    cdm(CdmVersion::V5_4).table(table)
}

/// The first column of concepts of a table: what a row is about.
pub(super) fn concept(spec: &TableSpec) -> Option<&'static str> {
    spec.fields.iter().find(|f| FieldSpec::is_concept_id(f)).map(|f| f.name)
}

/// Hands the batches of `columns` of a table's files to `see`, in order. A column that a file lacks is null.
pub(super) fn scan(
    request: &Request,
    (tier, table): (&str, &str),
    columns: &[&str],
    job: &Job,
    mut see: impl FnMut(&[ArrayRef]),
) -> Result<(), Error> {
    for entry in request.files(tier, table) {
        scan_file(request, entry, columns, job, &mut see)?;
    }
    Ok(())
}

fn scan_file(
    request: &Request,
    entry: &FileEntry,
    columns: &[&str],
    job: &Job,
    see: &mut impl FnMut(&[ArrayRef]),
) -> Result<(), Error> {
    let path = request.root.join(&entry.path);
    let file = File::open(&path).map_err(IoError::at("opening", &path))?;
    let unreadable = |source| Error::Parquet { file: entry.path.clone(), source };
    let reader = job.keyring.open(file).map_err(unreadable)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
    let reader = reader.with_projection(mask).with_batch_size(1 << 15).build();
    for batch in reader.map_err(unreadable)? {
        job.check()?;
        let batch = batch.map_err(|source| Error::Decode { file: entry.path.clone(), source })?;
        see(&chosen(&batch, columns));
    }
    Ok(())
}

fn chosen(batch: &RecordBatch, columns: &[&str]) -> Vec<ArrayRef> {
    let null = || arrow::array::new_null_array(&DataType::Int64, batch.num_rows());
    columns.iter().map(|c| batch.column_by_name(c).cloned().unwrap_or_else(null)).collect()
}

/// A column of ids and counts.
pub(super) fn int(column: &ArrayRef, row: usize) -> Option<i64> {
    let column = column.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

/// A column of dates or times as dates.
pub(super) fn dates(column: &ArrayRef) -> Option<ArrayRef> {
    cast(column, &DataType::Date32).ok()
}

/// The day of a row, days since 1970-01-01.
pub(super) fn day(column: &ArrayRef, row: usize) -> Option<i32> {
    let column = column.as_primitive_opt::<Date32Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

/// The people of a tier in ascending order.
pub(super) fn people(request: &Request, tier: &str, job: &Job) -> Result<Vec<i64>, Error> {
    let mut people = Vec::new();
    scan(request, (tier, "person"), &["person_id"], job, |columns| {
        people.extend((0..columns[0].len()).filter_map(|row| int(&columns[0], row)));
    })?;
    people.sort_unstable();
    Ok(people)
}
