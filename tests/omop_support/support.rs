//! Small hand-written extracts, ingested.
#![allow(clippy::allow_attributes, reason = "what is unused differs by test file")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::engine::{Job, TableLedger};
use strata::error::Coded;
use strata::omop::{
    CdmVersion, Error, Extract, ExtractRequest, RejectLimit, Scope, TextEncoding, ingest,
};
use tempfile::TempDir;

pub const NOTE: &str = "note_id,person_id,note_date,note_text\n";

pub struct Case {
    pub input: TempDir,
    pub output: TempDir,
    pub cdm: CdmVersion,
    pub encoding: TextEncoding,
    pub max_rejected: RejectLimit,
}

impl Case {
    /// An extract with persons 1, 2 and 3.
    pub fn new() -> Self {
        let case = Self {
            input: tempfile::tempdir().unwrap(),
            output: tempfile::tempdir().unwrap(),
            cdm: CdmVersion::V5_4,
            encoding: TextEncoding::Utf8,
            max_rejected: RejectLimit::default(),
        };
        case.with("person.csv", "person_id,year_of_birth\n1,1980\n2,1981\n3,1982\n")
    }

    pub fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.input.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn encoded(mut self, encoding: TextEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    pub fn run(&self) -> Result<Extract, Error> {
        let request = ExtractRequest {
            site: "s1".into(),
            path: self.input.path().to_path_buf(),
            cdm: self.cdm,
            scope: Scope::Both,
            shift_map: None,
            encoding: self.encoding,
            max_rejected: self.max_rejected,
        };
        let result = ingest(&request, &Job::quiet(self.output.path(), 1));
        match &result {
            Ok(extract) => assert!(extract.output.ledger.unbalanced().is_empty()),
            Err(error) => assert!(!error.is_unexpected(), "{error}"),
        }
        result
    }

    pub fn code(&self) -> &'static str {
        self.run().map(|_| "ok").unwrap_or_else(|e| e.code())
    }

    pub fn table(&self, name: &str) -> RecordBatch {
        read(&self.output.path().join(format!("typed/s1/{name}.parquet")))
    }

    /// `file:line table column reason`, in the order of the file.
    pub fn rejects(&self) -> Vec<String> {
        let batch = read(&self.output.path().join("quality/rejects/ehr/s1.parquet"));
        let cell = |c: usize, row| array_value_to_string(batch.column(c), row).unwrap();
        (0..batch.num_rows())
            .map(|r| {
                let [file, line, table, column, reason] = [0, 1, 2, 3, 4].map(|c| cell(c, r));
                format!("{file}:{line} {table} {column} {reason}")
            })
            .collect()
    }
}

pub fn read(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

pub fn books<'a>(extract: &'a Extract, table: &str) -> &'a TableLedger {
    let name = format!("omop/{table}");
    extract.output.ledger.0.iter().find(|t| t.table == name).unwrap()
}

pub fn column(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap();
    (0..batch.num_rows()).map(|r| array_value_to_string(column, r).unwrap()).collect()
}
