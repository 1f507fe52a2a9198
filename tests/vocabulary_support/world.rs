//! Small vocabularies and records as typed tables.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use strata::engine::StageOutput;
use strata::omop::{CdmVersion, Extract, ExtractTable, SiteExtract, cdm};

/// A concept: id, vocabulary, code, domain, standard, invalid reason.
pub type Row =
    (i64, &'static str, String, &'static str, Option<&'static str>, Option<&'static str>);

#[derive(Debug, Clone, Default)]
pub struct World {
    pub concepts: Vec<Row>,
    pub ancestors: Vec<(i64, i64)>,
    pub relations: Vec<(i64, i64, &'static str, Option<&'static str>)>,
    pub version: &'static str,
}

pub fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

/// Writes the columns given, the others null, as `parts` files (0: one file).
pub fn table(root: &Path, name: &str, columns: &[(&str, ArrayRef)], parts: u32) -> ExtractTable {
    let schema = cdm(CdmVersion::V5_4).table(name).unwrap().schema();
    let rows = columns[0].1.len();
    let of = |field: &str| columns.iter().find(|c| c.0 == field).map(|c| c.1.clone());
    let arrays = schema.fields().iter();
    let arrays =
        arrays.map(|f| of(f.name()).unwrap_or_else(|| new_null_array(f.data_type(), rows)));
    let batch = RecordBatch::try_new(schema.clone(), arrays.collect()).unwrap();
    let path = if parts == 0 { format!("{name}.parquet") } else { name.to_owned() };
    let entry = ExtractTable { name: name.into(), path, rows: rows as u64, parts };
    let files = entry.files();
    for (i, file) in files.iter().enumerate() {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
        let file = std::fs::File::create(file).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).unwrap();
        let (start, end) = (rows * i / files.len(), rows * (i + 1) / files.len());
        writer.write(&batch.slice(start, end - start)).unwrap();
        writer.close().unwrap();
    }
    entry
}

pub fn extract(root: &Path, tables: Vec<ExtractTable>) -> SiteExtract {
    let output = StageOutput::default();
    let extract = Extract { site: "test".into(), cdm: CdmVersion::V5_4, tables, output };
    SiteExtract { extract, root: root.to_owned() }
}

impl World {
    pub fn write(&self, root: &Path, parts: u32) -> SiteExtract {
        let c = &self.concepts;
        let concept = [
            ("concept_id", ints(c.iter().map(|c| c.0))),
            ("vocabulary_id", texts(c.iter().map(|c| Some(c.1)))),
            ("concept_code", texts(c.iter().map(|c| Some(c.2.as_str())))),
            ("concept_name", texts(c.iter().map(|c| Some(c.2.as_str())))),
            ("domain_id", texts(c.iter().map(|c| Some(c.3)))),
            ("concept_class_id", texts(c.iter().map(|_| Some("Class")))),
            ("standard_concept", texts(c.iter().map(|c| c.4))),
            ("invalid_reason", texts(c.iter().map(|c| c.5))),
            ("valid_start_date", Arc::new(Date32Array::from_iter_values(c.iter().map(|_| 0)))),
        ];
        let ancestor = [
            ("ancestor_concept_id", ints(self.ancestors.iter().map(|a| a.0))),
            ("descendant_concept_id", ints(self.ancestors.iter().map(|a| a.1))),
        ];
        let r = &self.relations;
        let relationship = [
            ("concept_id_1", ints(r.iter().map(|r| r.0))),
            ("concept_id_2", ints(r.iter().map(|r| r.1))),
            ("relationship_id", texts(r.iter().map(|r| Some(r.2)))),
            ("invalid_reason", texts(r.iter().map(|r| r.3))),
        ];
        let vocabulary = [
            ("vocabulary_id", texts([Some("SNOMED"), Some("None")])),
            ("vocabulary_version", texts([Some("2026-01"), Some(self.version)])),
        ];
        let tables = vec![
            table(root, "concept", &concept, parts),
            table(root, "concept_ancestor", &ancestor, parts),
            table(root, "concept_relationship", &relationship, parts),
            table(root, "vocabulary", &vocabulary, 0),
        ];
        extract(root, tables)
    }
}

/// The rows of a Parquet file as text, null as `-`.
pub fn rows(path: &Path) -> Vec<String> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| match column.is_null(row) {
                true => "-".to_owned(),
                false => arrow::util::display::array_value_to_string(column, row).unwrap(),
            };
            rows.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join(" "));
        }
    }
    rows
}

/// What a Python script with duckdb prints; None without duckdb.
#[expect(clippy::print_stdout, reason = "says why the test did nothing")]
pub fn duckdb(script: &str) -> Option<String> {
    let said = Command::new("python3").args(["-c", &format!("import duckdb\n{script}")]).output();
    match said {
        Ok(said) if said.status.success() => Some(String::from_utf8(said.stdout).unwrap()),
        Ok(said) if !String::from_utf8_lossy(&said.stderr).contains("ModuleNotFoundError") => {
            panic!("{}", String::from_utf8_lossy(&said.stderr))
        }
        _ => {
            println!("skipped: python3 with duckdb is not installed");
            None
        }
    }
}
