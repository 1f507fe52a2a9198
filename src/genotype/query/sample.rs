//! The rows of `samples` that say who a `sample_idx` is.

use std::fs::File;
use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;

use super::table_error;
use crate::engine::Keyring;
use crate::error::IoError;
use crate::genotype::Error;

/// A sample of the callset; its place in the list is its `sample_idx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Research id in the Controlled tier.
    pub person_id: i64,
    /// `female`, `male`, if stated.
    pub sex: Option<String>,
    /// Predicted ancestry group, if known.
    pub ancestry: Option<String>,
}

/// Reads the `samples` table of a callset.
///
/// # Errors
/// When it cannot be read or its `sample_idx` do not count from 0.
pub fn samples(files: &[PathBuf], keyring: &Keyring) -> Result<Vec<Sample>, Error> {
    let mut all = Vec::new();
    for path in files {
        let fault = |detail: &str| Error::Table { file: path.clone(), detail: detail.to_owned() };
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        let builder = keyring.open(file).map_err(table_error(path))?;
        let names = ["sample_idx", "person_id", "sex", "ancestry"];
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let reader = builder.with_projection(mask).build().map_err(table_error(path))?;
        for batch in reader {
            let batch = batch.map_err(table_error(path))?;
            let column =
                |name| batch.column_by_name(name).ok_or_else(|| fault("a column is missing"));
            let kind = || fault("a column has another type");
            let idx = column("sample_idx")?.as_primitive_opt::<Int32Type>().ok_or_else(kind)?;
            let person = column("person_id")?.as_primitive_opt::<Int64Type>().ok_or_else(kind)?;
            let sex = column("sex")?.as_string_opt::<i32>().ok_or_else(kind)?;
            let ancestry = column("ancestry")?.as_string_opt::<i32>().ok_or_else(kind)?;
            for (i, (sex, ancestry)) in sex.iter().zip(ancestry).enumerate() {
                if idx.value(i) as usize != all.len() {
                    return Err(fault("sample_idx does not count from 0"));
                }
                all.push(Sample {
                    person_id: person.value(i),
                    sex: sex.map(str::to_owned),
                    ancestry: ancestry.map(str::to_owned),
                });
            }
        }
    }
    Ok(all)
}
