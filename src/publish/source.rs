//! The controlled tier as tables: which files they are, and a query session over them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, cast, lit, when};
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext, substring};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Error, PublishRequest};
use crate::engine::{FileEntry, Job, Keyring, session};
use crate::error::IoError;

/// Age bands in completed years: `(first year above the band, label)`; the last is open.
const BANDS: [(i32, &str); 9] = [
    (18, "0-17"),
    (30, "18-29"),
    (40, "30-39"),
    (50, "40-49"),
    (60, "50-59"),
    (70, "60-69"),
    (80, "70-79"),
    (89, "80-88"),
    (i32::MAX, "89+"),
];

/// What stands where a value is not stated.
pub(super) const NOT_STATED: &str = "not stated";

/// Labels of the age bands by ordinal, the last for an unknown age.
pub(super) fn age_bands() -> [&'static str; 10] {
    std::array::from_fn(|i| BANDS.get(i).map_or(NOT_STATED, |b| b.1))
}

/// Labels of sex by ordinal (OMOP `gender_concept_id` 8532, 8507, anything else).
pub(super) const SEXES: [&str; 3] = ["female", "male", "other or not stated"];

/// The controlled tier's tables and the session over them.
pub(super) struct Source {
    context: SessionContext,
    runtime: tokio::runtime::Runtime,
    keyring: Keyring,
    /// Absolute: see [`session::file_url`].
    root: PathBuf,
    /// Files by table (`omop/<table>`, `genomics/<callset>/<table>`), each sorted by path.
    tables: BTreeMap<String, Vec<String>>,
}

/// Files of the controlled tier by table (`omop/<table>`, `genomics/<callset>/<table>`), each sorted by path.
pub(super) fn tables(files: &[FileEntry]) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|f| f.path.ends_with(".parquet")) {
        let parts: Vec<&str> = file.path.split('/').collect();
        let table = match parts.as_slice() {
            ["controlled", "genomics", callset, table, _, ..] => {
                format!("genomics/{callset}/{table}")
            }
            ["controlled", "omop" | "vocabulary", table, ..] => {
                format!("omop/{}", table.trim_end_matches(".parquet"))
            }
            _ => continue,
        };
        tables.entry(table).or_default().push(file.path.clone());
    }
    for paths in tables.values_mut() {
        paths.sort();
    }
    tables
}

impl Source {
    /// A session over the request's files. No folder is ever listed.
    pub fn open(request: &PublishRequest<'_>, job: &Job) -> Result<Self, Error> {
        let root = &request.root;
        let root = root.canonicalize().map_err(IoError::at("opening", root))?;
        let query = |source: DataFusionError| Error::Query {
            table: "session".into(),
            source: source.into(),
        };
        Ok(Self {
            context: session::session(job).map_err(query)?,
            runtime: session::runtime(job).map_err(IoError::at("starting workers for", &root))?,
            keyring: job.keyring.clone(),
            root,
            tables: tables(&request.files),
        })
    }

    /// Release-relative paths of a table's files; empty when the tier has no such table.
    pub fn files(&self, table: &str) -> &[String] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// Where a release-relative path is.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A file opened for reading in order.
    pub fn reader(&self, relative: &str) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
        let path = self.path(relative);
        let file = File::open(&path).map_err(IoError::at("opening", &path))?;
        let fault = |source| Error::Parquet { path: relative.to_owned(), source };
        self.keyring.open(file).map_err(fault)
    }

    /// A table as a frame; none when the tier has no such table.
    pub fn frame(&self, table: &str) -> Result<Option<DataFrame>, Error> {
        let files = self.files(table);
        if files.is_empty() {
            return Ok(None);
        }
        let paths: Vec<String> = files.iter().map(|f| session::file_url(&self.path(f))).collect();
        self.runtime
            .block_on(self.context.read_parquet(paths, ParquetReadOptions::default()))
            .map(Some)
            .map_err(|source| Error::Query { table: table.to_owned(), source: source.into() })
    }

    /// A table as a frame, which must be there with these columns.
    pub fn required(&self, table: &str, columns: &[&str]) -> Result<DataFrame, Error> {
        let frame =
            self.frame(table)?.ok_or_else(|| Error::MissingTable { table: table.to_owned() })?;
        require(&frame, table, columns)?;
        Ok(frame)
    }

    /// Runs a plan and hands its batches to `each`; the order of rows is not defined.
    pub fn run(
        &self,
        table: &str,
        plan: Result<DataFrame, DataFusionError>,
        mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let query = |source: DataFusionError| Error::Query {
            table: table.to_owned(),
            source: source.into(),
        };
        let plan = plan.map_err(query)?;
        self.runtime.block_on(async {
            use futures::StreamExt;
            let mut stream = plan.execute_stream().await.map_err(query)?;
            while let Some(batch) = stream.next().await {
                each(&batch.map_err(query)?)?;
            }
            Ok(())
        })
    }
}

/// Fails when `frame` lacks one of `columns`.
pub(super) fn require(frame: &DataFrame, table: &str, columns: &[&str]) -> Result<(), Error> {
    for column in columns {
        if !has(frame, column) {
            return Err(Error::MissingColumn {
                table: table.to_owned(),
                column: (*column).to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether `frame` has `column`.
pub(super) fn has(frame: &DataFrame, column: &str) -> bool {
    frame.schema().fields().iter().any(|f| f.name() == column)
}

/// A column by its exact name.
pub(super) fn name(column: &str) -> Expr {
    Expr::Column(Column::from_name(column))
}

/// A column as int64.
pub(super) fn int64(column: &str) -> Expr {
    cast(name(column), DataType::Int64)
}

/// Ordinal of the sex of a `gender_concept_id` (see [`SEXES`]).
pub(super) fn sex(gender: Expr) -> Result<Expr, DataFusionError> {
    when(gender.clone().eq(lit(8532i64)), lit(0i64))
        .when(gender.eq(lit(8507i64)), lit(1i64))
        .otherwise(lit(2i64))
}

/// Completed years at `date` (date32) of a person born in `year_of_birth`, the birthday taken as 15 June,
/// which is the birth date the controlled tier shows.
pub(super) fn age_at(date: Expr, year_of_birth: Expr) -> Result<Expr, DataFusionError> {
    // ISO text, `yyyy-mm-dd`: plain string functions, so that the plan needs no date library.
    let text = cast(date, DataType::Utf8);
    let year = cast(substring(text.clone(), lit(1i64), lit(4i64)), DataType::Int64);
    let before_birthday = when(substring(text, lit(6i64), lit(5i64)).lt(lit("06-15")), lit(1i64))
        .otherwise(lit(0i64))?;
    Ok(year - year_of_birth - before_birthday)
}

/// Ordinal of the age band of an age in completed years (see [`age_bands`]).
pub(super) fn age_band(age: Expr) -> Result<Expr, DataFusionError> {
    let mut case = when(age.clone().is_null(), lit(BANDS.len() as i64));
    for (ordinal, (above, _)) in BANDS.iter().enumerate().take(BANDS.len() - 1) {
        case = case.when(age.clone().lt(lit(i64::from(*above))), lit(ordinal as i64));
    }
    case.otherwise(lit(BANDS.len() as i64 - 1))
}

/// Ordinal of the age band of an age known in Rust.
pub(super) fn age_band_of(age: Option<i64>) -> usize {
    match age {
        None => BANDS.len(),
        Some(age) => {
            BANDS.iter().position(|(above, _)| age < i64::from(*above)).unwrap_or(BANDS.len() - 1)
        }
    }
}
