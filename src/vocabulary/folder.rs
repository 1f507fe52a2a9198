//! A folder of typed vocabulary tables, without the stage that wrote it.

use std::fs::File;
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Error;
use crate::engine::StageOutput;
use crate::error::IoError;
use crate::omop::{CdmVersion, Extract, ExtractTable, SiteExtract, cdm, is_vocabulary};

/// The vocabulary tables `<table>.parquet` of `folder`, if `concept` is one of them and all have the columns
/// and types of the CDM; None when the folder has to be ingested first.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn typed_folder(folder: &Path, version: CdmVersion) -> Result<Option<SiteExtract>, Error> {
    let mut tables = Vec::new();
    for spec in cdm(version).tables().filter(|t| is_vocabulary(t.name)) {
        let name = format!("{}.parquet", spec.name);
        let path = folder.join(&name);
        if !path.is_file() {
            continue;
        }
        let file = File::open(&path).map_err(IoError::at("opening", &path))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|source| Error::Parquet { file: path.clone(), source })?;
        let has = reader.schema();
        let typed = spec.schema().fields().iter().all(|want| {
            has.field_with_name(want.name()).is_ok_and(|f| f.data_type() == want.data_type())
        });
        if !typed {
            return Ok(None);
        }
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        tables.push(ExtractTable { name: spec.name.to_owned(), path: name, rows, parts: 0 });
    }
    if !tables.iter().any(|t| t.name == "concept") {
        return Ok(None);
    }
    let extract = Extract {
        site: "vocabulary".to_owned(),
        cdm: version,
        tables,
        output: StageOutput::default(),
    };
    Ok(Some(SiteExtract { extract, root: folder.to_owned() }))
}
