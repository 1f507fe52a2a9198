//! Which column of a file is which field of its table.

use std::collections::BTreeMap;
use std::path::Path;

use super::cdm::TableSpec;
use super::error::Error;
use super::folder::safe_name;

/// The columns of one file.
#[derive(Debug)]
pub struct Columns {
    /// Ordinal in the file, by ordinal of the field in the specification.
    pub sources: Vec<Option<usize>>,
    /// Columns in the file.
    pub width: usize,
    /// Note keys of the columns that the table lacks.
    pub unknown: Vec<String>,
}

impl Columns {
    /// Matches `names` (as written) with the fields of `spec`; `line` is where the header stands.
    ///
    /// # Errors
    /// When no name is known, a name comes twice, or the primary key or `person_id` is not there.
    pub fn match_names(
        names: &[String],
        spec: &'static TableSpec,
        file: &Path,
        line: u64,
    ) -> Result<Self, Error> {
        let names: Vec<String> = names.iter().map(|n| n.trim().to_lowercase()).collect();
        let no_header = || Error::NoHeader { file: file.to_path_buf(), table: spec.name, line };
        if !names.iter().any(|name| spec.field(name).is_some()) {
            return Err(no_header());
        }
        let mut ordinals: BTreeMap<&str, usize> = BTreeMap::new();
        for (second, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = ordinals.insert(name, second) {
                return Err(Error::DuplicateColumn {
                    file: file.to_path_buf(),
                    column: spec.field(name).map(|f| f.name),
                    first: first + 1,
                    second: second + 1,
                });
            }
        }
        let sources: Vec<Option<usize>> =
            spec.fields.iter().map(|f| ordinals.get(f.name).copied()).collect();
        for (field, source) in spec.fields.iter().zip(&sources) {
            if source.is_none() && (field.primary_key || field.name == "person_id") {
                return Err(Error::MissingColumn {
                    file: file.to_path_buf(),
                    table: spec.name,
                    column: field.name,
                });
            }
        }
        let unknown = names.iter().filter(|name| spec.field(name).is_none()).map(|name| {
            match safe_name(name) {
                Some(name) => format!("unknown_column:{name}"),
                None => "unknown_column".to_owned(),
            }
        });
        Ok(Self { sources, width: names.len(), unknown: unknown.collect() })
    }
}

/// Whether all names are the `column0`, `column1` ... that some exporters give a file they read without
/// its header.
pub fn is_placeholder(names: &[String]) -> bool {
    names.iter().all(|name| {
        let number = name.trim().to_lowercase();
        let number = number.strip_prefix("column").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}
