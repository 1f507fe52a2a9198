//! Health records: OMOP CDM extracts in, typed tables out.
//!
//! [`ingest`] reads a folder of CSV (plain, gzip or zstd; comma or TAB) or Parquet files, one or more a table,
//! checks every row against the CDM specification ([`mod@cdm`]) and writes `typed/<site>/<table>.parquet`
//! below the job's root: internal files with raw ids, the specification's columns in its order, rows in
//! the order of the input. What cannot be used goes to `quality/rejects/ehr/<site>.parquet` by file,
//! line and reason, never with a value.

mod birth;
pub mod cdm;
mod columnar;
mod delimited;
mod encoding;
mod error;
mod folder;
pub mod fuzz;
mod header;
mod ingest;
mod limit;
mod loader;
mod persons;
mod records;
mod rejects;
mod unshift;
pub mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

use crate::engine::StageOutput;
use crate::error::IoError;

pub use birth::birth_day;
pub use cdm::{
    Cdm, CdmVersion, Family, FieldKind, FieldSpec, TableSpec, cdm, former_name, is_vocabulary,
};
pub use error::Error;
pub use ingest::ingest;
pub(crate) use loader::encodings;
pub use persons::PersonIds;

pub use crate::config::{RejectLimit, TextEncoding};

/// Which tables of a folder to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything but the vocabulary; a `person` table is required.
    Records,
    /// The vocabulary tables only.
    Vocabulary,
    /// All tables; a `person` table is required.
    Both,
    /// Wearables tables only.
    Wearables,
}

impl Scope {
    /// Whether the table of `spec` is read. What the program makes itself never is.
    pub fn has(self, spec: &TableSpec) -> bool {
        let vocabulary = is_vocabulary(spec.name);
        match (self, spec.family) {
            (Self::Records, Family::Cdm) => !vocabulary,
            (Self::Vocabulary, Family::Cdm) => vocabulary,
            (Self::Records | Self::Both, Family::Survey) | (Self::Both, Family::Cdm) => true,
            (Self::Wearables, Family::Wearable) => spec.name != "wearable_day",
            _ => false,
        }
    }

    /// Whether a `person` table is required.
    fn has_people(self) -> bool {
        matches!(self, Self::Records | Self::Both)
    }
}

/// What to ingest as one site's extract.
#[derive(Clone)]
pub struct ExtractRequest {
    /// Name of the site, `[A-Za-z0-9_-]+`; a path component.
    pub site: String,
    /// Folder with the tables.
    pub path: PathBuf,
    /// Version of the CDM the feed follows.
    pub cdm: CdmVersion,
    /// Which tables to read.
    pub scope: Scope,
    /// For a feed whose dates arrive shifted: the days to add back, by raw person id.
    pub shift_map: Option<BTreeMap<i64, i32>>,
    /// Encoding of the text files.
    pub encoding: TextEncoding,
    /// Most rows of a table that may be quarantined.
    pub max_rejected: RejectLimit,
}

/// One typed table of an extract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractTable {
    /// CDM table name.
    pub name: String,
    /// Path relative to the root the stage wrote below, with `/`: a file, or the folder of the parts.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Number of parts `part-<nnnn>.parquet` when `path` is a folder; 0 when it is a file.
    #[serde(default)]
    pub parts: u32,
}

impl ExtractTable {
    /// Paths of its files, relative to the root, in order.
    pub fn files(&self) -> Vec<String> {
        match self.parts {
            0 => vec![self.path.clone()],
            n => (0..n).map(|i| format!("{}/part-{i:04}.parquet", self.path)).collect(),
        }
    }
}

/// Typed tables and where they are.
#[derive(Debug, Clone)]
pub struct SiteExtract {
    /// What ingest found, or curation made.
    pub extract: Extract,
    /// Folder to which the paths of the extract's tables are relative.
    pub root: PathBuf,
}

impl SiteExtract {
    /// The files of the table called `name`; none when there is no such table.
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let table = self.extract.table(name);
        table
            .map(ExtractTable::files)
            .unwrap_or_default()
            .iter()
            .map(|f| self.root.join(f))
            .collect()
    }

    /// Version of the whole vocabulary, as the row `None` of its `vocabulary` table states it.
    ///
    /// # Errors
    /// When that table is there and cannot be read.
    pub fn vocabulary_version(&self) -> Result<Option<String>, IoError> {
        for path in self.files("vocabulary") {
            let broken = |e: ParquetError| IoError::at("reading", &path)(std::io::Error::other(e));
            let file = std::fs::File::open(&path).map_err(IoError::at("opening", &path))?;
            let rows = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
            for batch in rows.build().map_err(broken)? {
                let batch = batch.map_err(|e| broken(e.into()))?;
                let column = |name| batch.column_by_name(name).map(|c| c.as_string::<i32>());
                let columns = column("vocabulary_id").zip(column("vocabulary_version"));
                let mut rows = columns.into_iter().flat_map(|(id, version)| id.iter().zip(version));
                if let Some((_, version)) = rows.find(|(id, _)| *id == Some("None")) {
                    return Ok(version.map(str::to_owned));
                }
            }
        }
        Ok(None)
    }
}

/// A finished ingest: which typed tables there are, and the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// Name of the site.
    pub site: String,
    /// Version of the CDM.
    pub cdm: CdmVersion,
    /// The tables found, by name. A table of the CDM that the folder lacks is not here.
    pub tables: Vec<ExtractTable>,
    /// Books and release files (the rejects; typed tables are internal and not listed).
    pub output: StageOutput,
}

impl Extract {
    /// The typed table called `name`.
    pub fn table(&self, name: &str) -> Option<&ExtractTable> {
        self.tables.iter().find(|t| t.name == name)
    }
}
