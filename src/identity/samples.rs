//! Samples: whose they are, their predicted ancestry and their stated sex.

use std::collections::BTreeMap;
use std::path::Path;

use super::roster::person_id;
use super::sheet::{self, Columns, Row};
use super::{Error, PersonId};

/// Whose sample is whose. Sample names are as private as person ids: none is shown in messages.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SampleMap {
    people: BTreeMap<String, PersonId>,
}

impl std::fmt::Debug for SampleMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SampleMap({} samples)", self.people.len())
    }
}

impl SampleMap {
    /// Reads `sample_id, person_id` (comma or TAB). One person may have several samples (in several
    /// callsets); a callset is checked by [`super::link::callset`].
    ///
    /// # Errors
    /// Unreadable file, wrong columns, an id that is no integer, an empty or repeated sample.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let columns =
            Columns { required: &["sample_id", "person_id"], optional: &[], others: false };
        Ok(Self { people: by_sample(path, &columns, |row| person_id(row).map(Some))? })
    }

    /// A map from its entries.
    pub fn from_entries(entries: impl IntoIterator<Item = (String, PersonId)>) -> Self {
        Self { people: entries.into_iter().collect() }
    }

    /// The person of a sample.
    pub fn person(&self, sample: &str) -> Option<PersonId> {
        self.people.get(sample).copied()
    }

    /// Samples and people, by sample name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, PersonId)> {
        self.people.iter().map(|(s, p)| (s.as_str(), *p))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether it has no samples.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}

/// Predicted ancestry group by sample, lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AncestryTable {
    /// Group (`afr`, `eur` ...) by sample name.
    pub groups: BTreeMap<String, String>,
}

impl AncestryTable {
    /// Reads `sample_id` and `ancestry_pred`; other columns
    /// (probabilities, principal components) are passed over. An empty group is an absent one.
    ///
    /// # Errors
    /// Unreadable file, wrong columns, a group that is no word of at most 16 letters, digits or `_`
    /// (groups become column names), an empty or repeated sample.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let columns =
            Columns { required: &["sample_id", "ancestry_pred"], optional: &[], others: true };
        let groups = by_sample(path, &columns, |row| match row.get("ancestry_pred") {
            "" => Ok(None),
            group if is_word(group) => Ok(Some(group.to_ascii_lowercase())),
            _ => Err(row.bad("ancestry_pred", "the words of 1 to 16 letters, digits or _")),
        })?;
        Ok(Self { groups })
    }
}

fn is_word(group: &str) -> bool {
    group.len() <= 16
        && group.starts_with(|c: char| c.is_ascii_alphabetic())
        && group.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Sex as a sample sheet states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleSex {
    /// `female`.
    Female,
    /// `male`.
    Male,
}

/// Stated sex by sample; a sample stated `unknown` is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SexTable {
    /// By sample name.
    pub sexes: BTreeMap<String, SampleSex>,
}

impl SexTable {
    /// Reads `sample_id, sex` with `male`, `female` or `unknown` in any case; other columns are passed
    /// over.
    ///
    /// # Errors
    /// Unreadable file, wrong columns, another word, an empty or repeated sample.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let columns = Columns { required: &["sample_id", "sex"], optional: &[], others: true };
        let sexes =
            by_sample(path, &columns, |row| match row.get("sex").to_ascii_lowercase().as_str() {
                "female" => Ok(Some(SampleSex::Female)),
                "male" => Ok(Some(SampleSex::Male)),
                "unknown" => Ok(None),
                _ => Err(row.bad("sex", "female, male, unknown")),
            })?;
        Ok(Self { sexes })
    }
}

/// Reads one value a sample; a sample seen twice is an error even when its value is absent.
fn by_sample<T>(
    path: &Path,
    columns: &Columns,
    value: impl Fn(&Row<'_>) -> Result<Option<T>, Error>,
) -> Result<BTreeMap<String, T>, Error> {
    let mut seen: BTreeMap<String, (u64, Option<T>)> = BTreeMap::new();
    sheet::read(path, columns, |row| {
        let sample = row.get("sample_id").to_owned();
        if sample.is_empty() {
            return Err(row.bad("sample_id", "the sample names (it is empty)"));
        }
        if let Some((first, _)) = seen.insert(sample, (row.line, value(&row)?)) {
            return Err(row.duplicate(first, "sample"));
        }
        Ok(())
    })?;
    Ok(seen.into_iter().filter_map(|(s, (_, v))| v.map(|v| (s, v))).collect())
}
