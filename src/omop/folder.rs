//! Which files of an extract's folder are which tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::TableLedger;
use crate::error::IoError;

use super::cdm::Cdm;
use super::error::Error;

/// How a file is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CSV or TSV, plain, gzip or zstd.
    Text,
    /// Parquet.
    Parquet,
}

/// One input file.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// How to read it.
    pub format: Format,
    /// Size in bytes.
    pub bytes: u64,
}

impl Source {
    /// The file's base name, as rejects give it.
    pub fn base_name(&self) -> String {
        self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The tables of a folder with their files in name order.
///
/// A table is one file `<table>.csv|tsv|txt[.gz|.zst]` or `<table>.parquet`, or a folder `<table>/` of such
/// files; names in any case. What is no table is noted in `notes`; hidden files are passed over.
pub fn tables(
    root: &Path,
    cdm: &'static Cdm,
    notes: &mut TableLedger,
) -> Result<BTreeMap<&'static str, Vec<Source>>, Error> {
    let mut found: BTreeMap<&'static str, Vec<Source>> = BTreeMap::new();
    for path in listing(root)? {
        let (stem, format) = split_name(&path);
        let is_dir = path.is_dir();
        let Some(spec) = cdm.table(&stem).filter(|_| is_dir || format.is_some()) else {
            note_unknown(&stem, is_dir || format.is_some(), cdm, notes);
            continue;
        };
        let sources = if is_dir {
            part_files(&path, notes)?
        } else {
            vec![source(path, format.unwrap_or(Format::Text))?]
        };
        let Some(second) = sources.first() else { continue };
        if let Some(first) = found.get(spec.name).and_then(|s| s.first()) {
            return Err(Error::Ambiguous {
                table: spec.name,
                first: first.path.clone(),
                second: second.path.clone(),
            });
        }
        found.insert(spec.name, sources);
    }
    Ok(found)
}

fn part_files(folder: &Path, notes: &mut TableLedger) -> Result<Vec<Source>, Error> {
    let mut parts = Vec::new();
    for path in listing(folder)? {
        match split_name(&path) {
            (_, Some(format)) if path.is_file() => parts.push(source(path, format)?),
            _ => notes.note("unknown_file", 1),
        }
    }
    Ok(parts)
}

fn source(path: PathBuf, format: Format) -> Result<Source, Error> {
    let bytes = std::fs::metadata(&path).map_err(IoError::at("reading", &path))?.len();
    Ok(Source { path, format, bytes })
}

/// Entries in name order, without those whose name starts with `.` or `__`.
fn listing(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(IoError::at("listing", folder))? {
        let entry = entry.map_err(IoError::at("listing", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !name.starts_with("__") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn split_name(path: &Path) -> (String, Option<Format>) {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    for ending in [".csv", ".tsv", ".txt"] {
        if let Some(stem) = plain.strip_suffix(ending) {
            return (stem.to_owned(), Some(Format::Text));
        }
    }
    match name.strip_suffix(".parquet") {
        Some(stem) => (stem.to_owned(), Some(Format::Parquet)),
        None => (name, None),
    }
}

fn note_unknown(stem: &str, table: bool, cdm: &Cdm, notes: &mut TableLedger) {
    let kind = if table { "unknown_table" } else { "unknown_file" };
    match safe_name(stem) {
        Some(name) => match cdm.nearest(name).filter(|_| table) {
            Some(nearest) => notes.note(&format!("{kind}:{name}~{nearest}"), 1),
            None => notes.note(&format!("{kind}:{name}"), 1),
        },
        None => notes.note(kind, 1),
    }
}

/// `name` if it is harmless to repeat: a short `[a-z0-9_]+` that does not look like an identifier.
pub fn safe_name(name: &str) -> Option<&str> {
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let word = name.starts_with(|c: char| c.is_ascii_lowercase());
    (letters && word && name.len() <= 64).then_some(name)
}
