//! Samples: whose they are, their predicted ancestry and their stated sex.

use std::collections::BTreeMap;
use std::path::Path;

use super::roster::person_id;
use super::sheet::{self, Columns, Row};
use super::{Error, PersonId};
use crate::error::IoError;

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
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AncestryTable {
    /// Group (`afr`, `eur` ...) by sample name.
    pub groups: BTreeMap<String, String>,
}

impl std::fmt::Debug for AncestryTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AncestryTable({} samples)", self.groups.len())
    }
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
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SexTable {
    /// By sample name.
    pub sexes: BTreeMap<String, SampleSex>,
}

impl std::fmt::Debug for SexTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SexTable({} samples)", self.sexes.len())
    }
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

/// Age in completed years by sample.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgeTable {
    /// By sample name.
    pub ages: BTreeMap<String, u16>,
}

impl std::fmt::Debug for AgeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgeTable({} samples)", self.ages.len())
    }
}

impl AgeTable {
    /// Reads `sample_id, age`; an empty age is an absent one and other columns are passed over.
    ///
    /// # Errors
    /// Unreadable file, wrong columns, no whole number of years up to 150, an empty or repeated sample.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let columns = Columns { required: &["sample_id", "age"], optional: &[], others: true };
        let ages = by_sample(path, &columns, |row| match row.get("age") {
            "" => Ok(None),
            age => match age.parse() {
                Ok(years) if years <= 150 => Ok(Some(years)),
                _ => Err(row.bad("age", "whole years from 0 to 150")),
            },
        })?;
        Ok(Self { ages })
    }
}

/// Most principal components that are read.
const PCS: [&str; 20] = [
    "PC1", "PC2", "PC3", "PC4", "PC5", "PC6", "PC7", "PC8", "PC9", "PC10", "PC11", "PC12", "PC13",
    "PC14", "PC15", "PC16", "PC17", "PC18", "PC19", "PC20",
];

/// Principal components by sample.
#[derive(Clone, Default, PartialEq)]
pub struct PcTable {
    /// By sample name; as many for each as the file has.
    pub pcs: BTreeMap<String, Vec<f64>>,
}

impl std::fmt::Debug for PcTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PcTable({} samples)", self.pcs.len())
    }
}

impl PcTable {
    /// Reads `sample_id` and `PC1` to at most `PC20`; other columns are passed over.
    ///
    /// # Errors
    /// Unreadable file, wrong columns, a component that is no finite number, an empty or repeated sample.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let columns =
            Columns { required: &["sample_id", "PC1"], optional: &PCS[1..], others: true };
        let pcs = by_sample(path, &columns, |row| {
            let mut values = Vec::new();
            for name in PCS {
                match row.get(name) {
                    "" => break,
                    text => match text.parse::<f64>() {
                        Ok(value) if value.is_finite() => values.push(value),
                        _ => return Err(row.bad(name, "finite numbers")),
                    },
                }
            }
            Ok(Some(values))
        })?;
        Ok(Self { pcs })
    }
}

/// Reads a list of sample names, one a line; blank lines and those that start with `#` are passed over.
///
/// # Errors
/// When the file cannot be read as UTF-8 text.
pub fn read_list(path: &Path) -> Result<std::collections::BTreeSet<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(IoError::at("reading", path))?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
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
