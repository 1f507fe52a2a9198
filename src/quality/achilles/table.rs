//! Reading columns of typed tables, and the tables without a person.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{
    Array, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::counts::{Counts, Key, Map, NULL};
use super::error::Error;
use crate::engine::Keyring;
use crate::error::IoError;
use crate::omop::SiteExtract;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8192;

/// A row group of a file, or all of it.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub path: PathBuf,
    pub row_group: Option<usize>,
}

fn fault(path: &Path) -> impl Fn(String) -> Error + '_ {
    move |reason| Error::Read { path: path.to_path_buf(), reason }
}

fn open(path: &Path, keyring: &Keyring) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    keyring.open(file).map_err(|e| fault(path)(e.to_string()))
}

/// Row groups and rows of a file.
pub(super) fn extent(path: &Path, keyring: &Keyring) -> Result<(usize, u64), Error> {
    let builder = open(path, keyring)?;
    let metadata = builder.metadata();
    let rows = metadata.file_metadata().num_rows();
    Ok((metadata.num_row_groups(), u64::try_from(rows).unwrap_or_default()))
}

/// Calls `each` with every batch of the named columns; a column the file lacks is absent from it.
pub(super) fn each_batch(
    piece: &Piece,
    columns: &[&str],
    keyring: &Keyring,
    mut each: impl FnMut(&Columns<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let builder = open(&piece.path, keyring)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(group) = piece.row_group {
        builder = builder.with_row_groups(vec![group]);
    }
    let reader = builder.build().map_err(|e| fault(&piece.path)(e.to_string()))?;
    for batch in reader {
        let batch = batch.map_err(|e| fault(&piece.path)(e.to_string()))?;
        each(&Columns { batch: &batch, path: &piece.path })?;
    }
    Ok(())
}

/// Calls `each` with every batch of a whole table, file after file; returns the rows.
pub(in crate::quality) fn each_of_table(
    tables: &SiteExtract,
    table: &str,
    columns: &[&str],
    keyring: &Keyring,
    mut each: impl FnMut(&Columns<'_>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut rows = 0;
    for path in tables.files(table) {
        each_batch(&Piece { path, row_group: None }, columns, keyring, |c| {
            rows += c.batch.num_rows() as u64;
            each(c)
        })?;
    }
    Ok(rows)
}

/// Columns of one batch, by name.
pub(in crate::quality) struct Columns<'a> {
    batch: &'a RecordBatch,
    path: &'a Path,
}

impl<'a> Columns<'a> {
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn typed<T>(
        &self,
        name: &str,
        cast: impl Fn(&'a dyn Array) -> Option<&'a T>,
    ) -> Result<Option<&'a T>, Error> {
        let Some(column) = self.batch.column_by_name(name) else { return Ok(None) };
        let typed = cast(column.as_ref());
        typed
            .map(Some)
            .ok_or_else(|| Error::Column { path: self.path.to_path_buf(), column: name.to_owned() })
    }

    pub fn ints(&self, name: &str) -> Result<Option<&'a Int64Array>, Error> {
        self.typed(name, |a| a.as_primitive_opt::<Int64Type>())
    }

    pub fn dates(&self, name: &str) -> Result<Option<&'a Date32Array>, Error> {
        self.typed(name, |a| a.as_primitive_opt::<Date32Type>())
    }

    pub fn texts(&self, name: &str) -> Result<Option<&'a StringArray>, Error> {
        self.typed(name, |a| a.as_string_opt::<i32>())
    }

    /// Integers or floats as floats.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Numbers<'a>>, Error> {
        let Some(column) = self.batch.column_by_name(name) else { return Ok(None) };
        if column.as_primitive_opt::<Int64Type>().is_some() {
            return Ok(self.ints(name)?.map(Numbers::Ints));
        }
        Ok(self.typed(name, |a| a.as_primitive_opt::<Float64Type>())?.map(Numbers::Floats))
    }
}

/// A numeric column.
pub enum Numbers<'a> {
    Ints(&'a Int64Array),
    Floats(&'a Float64Array),
}

impl Numbers<'_> {
    pub fn at(&self, row: usize) -> Option<f64> {
        match self {
            Self::Ints(a) => a.is_valid(row).then(|| a.value(row) as f64),
            Self::Floats(a) => a.is_valid(row).then(|| a.value(row)).filter(|v| v.is_finite()),
        }
    }
}

/// The value at `row`, or [`NULL`].
pub(in crate::quality) fn int(column: Option<&Int64Array>, row: usize) -> i64 {
    column.filter(|c| c.is_valid(row)).map_or(NULL, |c| c.value(row))
}

/// The day at `row`.
pub(super) fn day(column: Option<&Date32Array>, row: usize) -> Option<i32> {
    column.filter(|c| c.is_valid(row)).map(|c| c.value(row))
}

/// Analyses 300 and 301.
pub(super) fn providers(
    tables: &SiteExtract,
    keyring: &Keyring,
    counts: &mut Counts,
) -> Result<(), Error> {
    let names = ["provider_id", "specialty_concept_id"];
    let mut seen = Vec::new();
    each_of_table(tables, "provider", &names, keyring, |c| {
        let (ids, specialties) = (c.ints(names[0])?, c.ints(names[1])?);
        seen.extend((0..c.rows()).map(|i| (int(ids, i), int(specialties, i))));
        Ok(())
    })?;
    seen.sort_unstable();
    seen.dedup();
    for &(id, specialty) in &seen {
        counts.add(Key(301, specialty, 0, 0, 0), u64::from(id != NULL));
    }
    seen.dedup_by_key(|(id, _)| *id);
    let all = seen.iter().filter(|(id, _)| *id != NULL).count() as u64;
    counts.add(Key(300, 0, 0, 0, 0), all);
    Ok(())
}

/// Analysis 1201: visits by the place of service of their care site.
pub(super) fn places_of_service(
    tables: &SiteExtract,
    keyring: &Keyring,
    counts: &mut Counts,
) -> Result<(), Error> {
    let names = ["care_site_id", "place_of_service_concept_id"];
    let mut place: Map<i64, i64> = Map::default();
    each_of_table(tables, "care_site", &names, keyring, |c| {
        let (ids, places) = (c.ints(names[0])?, c.ints(names[1])?);
        place.extend((0..c.rows()).map(|i| (int(ids, i), int(places, i))));
        Ok(())
    })?;
    if place.is_empty() {
        return Ok(());
    }
    each_of_table(tables, "visit_occurrence", &["care_site_id"], keyring, |c| {
        let ids = c.ints("care_site_id")?;
        for i in 0..c.rows() {
            let site = int(ids, i);
            if let Some(&place) = place.get(&site).filter(|&&p| p != NULL && site != NULL) {
                counts.add(Key(1201, place, 0, 0, 0), 1);
            }
        }
        Ok(())
    })?;
    Ok(())
}
