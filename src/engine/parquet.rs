//! Parquet as strata writes it: the same rows give the same bytes.
//!
//! Contract section 3: zstd, page index on, sort order declared, key-value metadata without a release
//! id, and nothing that depends on threads, batch sizes or the clock.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Coded, IoError};

/// Version of the table schemas, raised when a column changes meaning, type or name.
pub const SCHEMA_VERSION: &str = "1";

/// Rows handed to the encoder at a time, whatever the size of the batches that come in: page borders
/// follow it, so it is part of the format's determinism.
const WRITE_ROWS: usize = 8192;

/// A failed write of a table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be created, written or synced.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The Parquet encoder refused.
    #[error("encoding {path}: {source}")]
    Parquet {
        /// Release-relative path of the file.
        path: String,
        /// The encoder's words.
        source: parquet::errors::ParquetError,
    },
    /// Batches could not be joined.
    #[error("encoding {path}: {source}")]
    Arrow {
        /// Release-relative path of the file.
        path: String,
        /// arrow's words.
        source: arrow::error::ArrowError,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Parquet { source, .. } if is_disk_full(source) => "io::disk_full",
            Self::Parquet { .. } => "engine::parquet",
            Self::Arrow { .. } => "engine::arrow",
        }
    }
    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Parquet { source, .. } if is_disk_full(source) => {
                Some("free some space and run again: CURRENT still names the last release".into())
            }
            _ => None,
        }
    }
    fn is_unexpected(&self) -> bool {
        self.code().starts_with("engine::")
    }
}

/// Whether an encoder's error is at bottom a full disk.
pub fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            return matches!(
                io.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            );
        }
        next = e.source();
    }
    let text = error.to_string();
    text.contains("No space left on device") || text.contains("os error 28")
}

/// What a file says of itself in its key-value metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTags {
    /// `controlled`, `registered`, `public` or `quality`.
    pub tier: String,
    /// Table name, e.g. `variants` or `drug_exposure`.
    pub table: String,
    /// Callset, for genomic tables.
    pub callset: Option<String>,
    /// `true`, `shifted` or `none`: what the dates in the file are.
    pub date_basis: &'static str,
    /// Version of the vocabulary whose concepts are in the file, as its own `vocabulary` table states it.
    pub vocabulary: Option<String>,
}

impl FileTags {
    fn key_values(&self) -> Vec<KeyValue> {
        let mut pairs = vec![
            ("strata.tier", self.tier.as_str()),
            ("strata.table", self.table.as_str()),
            ("strata.schema_version", SCHEMA_VERSION),
            ("strata.date_basis", self.date_basis),
            ("strata.version", env!("CARGO_PKG_VERSION")),
        ];
        if let Some(callset) = &self.callset {
            pairs.push(("strata.callset", callset));
        }
        if let Some(version) = &self.vocabulary {
            pairs.push(("strata.vocabulary_version", version));
        }
        pairs.into_iter().map(|(k, v)| KeyValue::new(k.to_owned(), v.to_owned())).collect()
    }
}

/// The writer settings every table starts from. `sort_columns` are ordinals of leaf columns, ascending.
pub fn properties(tags: &FileTags, sort_columns: &[i32]) -> WriterPropertiesBuilder {
    let sorting = (!sort_columns.is_empty()).then(|| {
        sort_columns
            .iter()
            .map(|&column_idx| SortingColumn { column_idx, descending: false, nulls_first: true })
            .collect()
    });
    WriterProperties::builder()
        .set_created_by(concat!("strata ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(1 << 18))
        .set_key_value_metadata(Some(tags.key_values()))
        .set_sorting_columns(sorting)
}

/// One file of a stage's output, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path relative to the release root, with `/`.
    pub path: String,
    /// `controlled`, `registered`, `public` or `quality`.
    pub tier: String,
    /// Table name; `site` for pages.
    pub table: String,
    /// Rows, for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Size in bytes.
    pub bytes: u64,
    /// Lower-case hex SHA-256 of the bytes.
    pub sha256: String,
    /// Of a sealed table: SHA-256 of what it was before, which is the same for the same rows, as the
    /// ciphertext is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plaintext_sha256: Option<String>,
    /// Lower-case hex SHA-256 of the Arrow schema's text, for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Version of the vocabulary whose concepts are in a table, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<String>,
}

/// Lower-case hex of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[(b >> 4) as usize] as char, DIGITS[(b & 15) as usize] as char])
        .collect()
}

/// Digest of a schema: names, types and nullability in order.
pub fn schema_digest(schema: &arrow::datatypes::Schema) -> String {
    let mut hasher = Sha256::new();
    for field in schema.fields() {
        hasher.update(format!("{}:{}:{}\n", field.name(), field.data_type(), field.is_nullable()));
    }
    hex(&hasher.finalize())
}

/// Creates `dir` and its parents with mode 0700: what is individual-level stays private until commit.
pub fn create_private_dir(dir: &Path) -> Result<(), IoError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(IoError::at("creating", dir))
}

/// Creates `path`, with its folders; mode 0600, must not exist yet.
fn create_private_file(path: &Path) -> Result<BufWriter<File>, IoError> {
    if let Some(parent) = path.parent() {
        create_private_dir(parent)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(BufWriter::with_capacity(1 << 18, file.map_err(IoError::at("creating", path))?))
}

/// Flushes and syncs to disk.
///
/// An fsync error is final: pages may be lost, so it is never retried (privacy reference 4.1).
fn sync(file: BufWriter<File>, path: &Path) -> Result<(), IoError> {
    let file = file.into_inner().map_err(|e| IoError::at("writing", path)(e.into_error()))?;
    file.sync_all().map_err(IoError::at("syncing", path))
}

/// A file that counts and hashes what goes through it. Mode 0600, must not exist yet.
pub struct HashedFile {
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
    path: PathBuf,
}

impl HashedFile {
    /// Creates `root/relative`, with its folders.
    pub fn create(root: &Path, relative: &str) -> Result<Self, IoError> {
        let path = root.join(relative);
        Ok(Self { file: create_private_file(&path)?, hasher: Sha256::new(), bytes: 0, path })
    }

    /// Flushes, syncs to disk and returns `(bytes, sha256 hex)`.
    pub fn finish(self) -> Result<(u64, String), IoError> {
        sync(self.file, &self.path)?;
        Ok((self.bytes, hex(&self.hasher.finalize())))
    }
}

impl Write for HashedFile {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Writes a small non-table file (a page, a JSON document) and returns its entry.
pub fn write_bytes(
    root: &Path,
    relative: &str,
    tier: &str,
    table: &str,
    bytes: &[u8],
) -> Result<FileEntry, IoError> {
    let mut file = HashedFile::create(root, relative)?;
    file.write_all(bytes).map_err(IoError::at("writing", root.join(relative)))?;
    let (bytes, sha256) = file.finish()?;
    Ok(FileEntry {
        path: relative.to_owned(),
        tier: tier.to_owned(),
        table: table.to_owned(),
        rows: None,
        bytes,
        sha256,
        plaintext_sha256: None,
        schema: None,
        vocabulary: None,
    })
}

/// One Parquet file being written. Bytes depend on the rows and their order, never on how they were
/// batched. What a release lists goes to a [`HashedFile`], what stages leave for each other to a plain one.
pub struct TableFile<W: Write + Send = HashedFile> {
    writer: ArrowWriter<W>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    schema: SchemaRef,
    rows: u64,
    relative: String,
    tags: FileTags,
}

impl TableFile {
    /// Creates `root/relative` for rows of `schema`.
    pub fn create(
        root: &Path,
        relative: &str,
        schema: SchemaRef,
        tags: FileTags,
        properties: WriterProperties,
    ) -> Result<Self, Error> {
        Self::to(HashedFile::create(root, relative)?, relative, schema, tags, properties)
    }

    /// Writes the footer, syncs and returns the manifest entry.
    pub fn finish(mut self) -> Result<FileEntry, Error> {
        self.flush_pending()?;
        let path = self.relative.clone();
        let file = self.writer.into_inner();
        let file = file.map_err(|source| Error::Parquet { path: path.clone(), source })?;
        let (bytes, sha256) = file.finish()?;
        Ok(FileEntry {
            path,
            tier: self.tags.tier,
            table: self.tags.table,
            rows: Some(self.rows),
            bytes,
            sha256,
            plaintext_sha256: None,
            schema: Some(schema_digest(&self.schema)),
            vocabulary: self.tags.vocabulary,
        })
    }
}

/// A table that stages leave for each other and no release lists.
pub type UnlistedTable = TableFile<BufWriter<File>>;

impl UnlistedTable {
    /// Creates `root/relative` for rows of `schema`; nobody needs the digest of what no release lists.
    pub fn unlisted(
        root: &Path,
        relative: &str,
        schema: SchemaRef,
        tags: FileTags,
        properties: WriterProperties,
    ) -> Result<Self, Error> {
        let file = create_private_file(&root.join(relative))?;
        Self::to(file, relative, schema, tags, properties)
    }

    /// Writes the footer, syncs and returns the number of rows.
    pub fn close(mut self) -> Result<u64, Error> {
        self.flush_pending()?;
        let path = PathBuf::from(&self.relative);
        let file = self.writer.into_inner();
        let file = file.map_err(|source| Error::Parquet { path: self.relative, source })?;
        sync(file, &path)?;
        Ok(self.rows)
    }
}

impl<W: Write + Send> TableFile<W> {
    fn to(
        file: W,
        relative: &str,
        schema: SchemaRef,
        tags: FileTags,
        properties: WriterProperties,
    ) -> Result<Self, Error> {
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|source| Error::Parquet { path: relative.to_owned(), source })?;
        Ok(Self {
            writer,
            pending: Vec::new(),
            pending_rows: 0,
            schema,
            rows: 0,
            relative: relative.to_owned(),
            tags,
        })
    }

    /// Appends rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows() as u64;
        let mut rest = batch.clone();
        while self.pending_rows + rest.num_rows() >= WRITE_ROWS {
            let take = WRITE_ROWS - self.pending_rows;
            self.pending.push(rest.slice(0, take));
            rest = rest.slice(take, rest.num_rows() - take);
            self.flush_pending()?;
        }
        if rest.num_rows() > 0 {
            self.pending_rows += rest.num_rows();
            self.pending.push(rest);
        }
        Ok(())
    }

    fn flush_pending(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = concat_batches(&self.schema, &self.pending)
            .map_err(|source| Error::Arrow { path: self.relative.clone(), source })?;
        self.pending.clear();
        self.pending_rows = 0;
        self.writer
            .write(&batch)
            .map_err(|source| Error::Parquet { path: self.relative.clone(), source })
    }
}
