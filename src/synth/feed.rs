//! Text tables: rows gathered in memory by chunk, then written as plain or gzipped CSV.

use std::collections::BTreeMap;
use std::fmt::{Arguments, Write as _};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use serde::Serialize;

use crate::error::IoError;

/// Rows of one table, as text.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    pub text: String,
    pub rows: u64,
}

impl Lines {
    /// Appends one line.
    pub fn row(&mut self, line: Arguments<'_>) {
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
        self.rows += 1;
    }
}

/// Rows of a table and how many of them a careful reader must refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableTruth {
    /// File, relative to the programme's folder.
    pub file: String,
    /// Data rows, dirty ones included.
    pub rows: u64,
    /// Planted dirty rows by reason: `duplicate_key`, `unparsable_date`, `orphan_person`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dirty: BTreeMap<&'static str, u64>,
}

enum Sink {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

/// A table being written. `.gz` in the name decides on compression.
pub struct TableWriter {
    sink: Sink,
    path: PathBuf,
    pub truth: TableTruth,
}

impl TableWriter {
    /// Creates `root/file` with a header line.
    pub fn create(root: &Path, file: &str, header: &str) -> Result<Self, IoError> {
        let path = root.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(IoError::at("creating", parent))?;
        }
        let out = BufWriter::new(File::create(&path).map_err(IoError::at("creating", &path))?);
        let sink = if file.ends_with(".gz") {
            // No name and no time in the gzip header: the same rows give the same bytes.
            let gzip = GzBuilder::new().mtime(0).write(out, Compression::new(6));
            Sink::Gzip(Box::new(gzip))
        } else {
            Sink::Plain(out)
        };
        let truth = TableTruth { file: file.to_owned(), ..TableTruth::default() };
        let mut table = Self { sink, path, truth };
        table.put(header)?;
        table.put("\n")?;
        Ok(table)
    }

    fn put(&mut self, text: &str) -> Result<(), IoError> {
        match &mut self.sink {
            Sink::Plain(out) => out.write_all(text.as_bytes()),
            Sink::Gzip(out) => out.write_all(text.as_bytes()),
        }
        .map_err(IoError::at("writing", &self.path))
    }

    /// Appends rows.
    pub fn append(&mut self, lines: &Lines) -> Result<(), IoError> {
        self.truth.rows += lines.rows;
        self.put(&lines.text)
    }

    /// Appends rows that must be refused for `reason`.
    pub fn append_dirty(&mut self, reason: &'static str, lines: &Lines) -> Result<(), IoError> {
        if lines.rows > 0 {
            *self.truth.dirty.entry(reason).or_default() += lines.rows;
        }
        self.append(lines)
    }

    /// Flushes and returns what was written.
    pub fn finish(self) -> Result<TableTruth, IoError> {
        let Self { sink, path, truth } = self;
        match sink {
            Sink::Plain(out) => Ok(out),
            Sink::Gzip(out) => out.finish(),
        }
        .and_then(|mut out| out.flush())
        .map_err(IoError::at("writing", &path))?;
        Ok(truth)
    }
}
