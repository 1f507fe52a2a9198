//! Small delimited files with a header: the roster, the sample map, ancestry and sex.
//!
//! TAB-separated when the header line holds a TAB, else comma-separated; UTF-8, with or without a byte
//! order mark. Unknown columns are errors, so that a misspelt column is never read as an absent one.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use super::Error;
use crate::error::IoError;

/// What a file's header may hold.
pub(super) struct Columns {
    /// Columns that must be there.
    pub required: &'static [&'static str],
    /// Columns that may be there.
    pub optional: &'static [&'static str],
    /// Whether other columns are passed over (prediction tables carry many).
    pub others: bool,
}

/// One row with its place.
pub(super) struct Row<'a> {
    sheet: &'a Layout,
    record: &'a StringRecord,
    /// 1-based line on which the row starts.
    pub line: u64,
}

struct Layout {
    path: PathBuf,
    /// Known column and its place in the row.
    places: Vec<(&'static str, usize)>,
}

impl Row<'_> {
    /// The trimmed value of `column`; empty when the file has no such column.
    pub fn get(&self, column: &str) -> &str {
        let place = self.sheet.places.iter().find(|(name, _)| *name == column);
        place.and_then(|(_, at)| self.record.get(*at)).unwrap_or("").trim()
    }

    /// The error for a value of `column` that is not one of `allowed`.
    pub fn bad(&self, column: &'static str, allowed: &'static str) -> Error {
        Error::BadValue { path: self.sheet.path.clone(), line: self.line, column, allowed }
    }

    /// The error for a second row about the same `what`.
    pub fn duplicate(&self, first_line: u64, what: &'static str) -> Error {
        Error::Duplicate { path: self.sheet.path.clone(), line: self.line, first_line, what }
    }
}

/// Calls `each` for every row of the file at `path`.
pub(super) fn read(
    path: &Path,
    columns: &Columns,
    mut each: impl FnMut(Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    read_from(path, BufReader::with_capacity(1 << 16, file), columns, &mut each)
}

/// The same of `input`, which messages call `path`.
pub(super) fn read_from(
    path: &Path,
    mut input: impl BufRead + Seek,
    columns: &Columns,
    each: &mut dyn FnMut(Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let delimiter = delimiter(&mut input).map_err(IoError::at("reading", path))?;
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(false).from_reader(input);
    let header = reader.headers().map_err(|e| failed(path, e))?;
    let sheet = layout(path, header, columns)?;
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| failed(path, e))? {
        let line = record.position().map_or(0, csv::Position::line);
        each(Row { sheet: &sheet, record: &record, line })?;
    }
    Ok(())
}

/// TAB when the first line holds one. Leaves the reader after a byte order mark, if there is one.
fn delimiter(input: &mut (impl BufRead + Seek)) -> std::io::Result<u8> {
    let mut first = Vec::new();
    input.read_until(b'\n', &mut first)?;
    let mark = if first.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    input.seek(SeekFrom::Start(mark))?;
    Ok(if first.contains(&b'\t') { b'\t' } else { b',' })
}

fn layout(path: &Path, header: &StringRecord, columns: &Columns) -> Result<Layout, Error> {
    let known = || columns.required.iter().chain(columns.optional).copied();
    let mut places: Vec<(&'static str, usize)> = Vec::new();
    for (at, name) in header.iter().enumerate() {
        let name = name.trim();
        match known().find(|k| k.eq_ignore_ascii_case(name)) {
            Some(k) if places.iter().any(|(seen, _)| *seen == k) => {
                return Err(Error::RepeatedColumn { path: path.into(), column: name.to_owned() });
            }
            Some(k) => places.push((k, at)),
            None if columns.others => {}
            None => {
                let nearest = nearest(name, known());
                let column = shown(name);
                return Err(Error::UnknownColumn { path: path.into(), column, nearest });
            }
        }
    }
    match columns.required.iter().find(|c| !places.iter().any(|(seen, _)| seen == *c)) {
        Some(column) => Err(Error::MissingColumn { path: path.into(), column }),
        None => Ok(Layout { path: path.to_path_buf(), places }),
    }
}

/// A header cell fit for a message. A file without a header has values in its first line: what does not
/// look like a column name is not repeated.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    if is_name {
        name.to_owned()
    } else {
        "(not a column name; is there a header line?)".to_owned()
    }
}

fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    known
        .map(|k| (strsim::jaro_winkler(&name, k), k))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

fn failed(path: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8",
        csv::ErrorKind::UnequalLengths { .. } => "the row has more or fewer fields than the header",
        _ => "the row cannot be read as delimited text",
    };
    match error.into_kind() {
        csv::ErrorKind::Io(source) => IoError::at("reading", path)(source).into(),
        _ => Error::BadRow { path: path.to_path_buf(), line, what },
    }
}
