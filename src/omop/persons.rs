//! Who is in an extract.

use std::fmt;
use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;

use crate::engine::Keyring;
use crate::error::IoError;

use super::Extract;
use super::error::Error;

/// The raw person ids of an extract, ascending and distinct. `Debug` tells only how many.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PersonIds(Vec<i64>);

impl PersonIds {
    /// The ids, ascending.
    pub fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// How many persons.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `person` is among them.
    pub fn contains(&self, person: i64) -> bool {
        self.0.binary_search(&person).is_ok()
    }
}

impl fmt::Debug for PersonIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonIds({} persons)", self.0.len())
    }
}

impl IntoIterator for PersonIds {
    type Item = i64;
    type IntoIter = std::vec::IntoIter<i64>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extract {
    /// The person ids of the typed `person` table below `root`; nobody for a vocabulary.
    ///
    /// # Errors
    /// When the typed table cannot be read.
    pub fn persons(&self, root: &Path, keyring: &Keyring) -> Result<PersonIds, Error> {
        let Some(table) = self.table("person") else { return Ok(PersonIds::default()) };
        let mut ids = Vec::new();
        for path in table.files().iter().map(|file| root.join(file)) {
            let broken = |source| Error::Parquet { file: path.clone(), source };
            let file = File::open(&path).map_err(IoError::at("opening", &path))?;
            let builder = keyring.open(file).map_err(broken)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), ["person_id"]);
            let reader = builder.with_projection(mask).build().map_err(broken)?;
            for batch in reader {
                let batch = batch.map_err(|e| broken(e.into()))?;
                ids.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(PersonIds(ids))
    }
}
