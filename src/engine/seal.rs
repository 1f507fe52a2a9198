//! Tables at rest under a key: uniform AES-256-GCM Parquet modular encryption, one key a file.
//!
//! Every module of a file (pages, page headers, indexes, column metadata, footer) is encrypted under the
//! one key of that file and no AAD prefix is set, the form that pyarrow and DuckDB both read (privacy
//! reference 3.3):
//!
//! ```text
//! id     = first 16 bytes of HKDF-SHA256(K_enc, info = "strata/v1/fileid/" + path + LF + plaintext digest)
//! K_file = HKDF-SHA256(K_enc, info = "strata/v1/file/" + id in hex)
//! ```
//!
//! A file says in the clear which key it wants: `strata/v1 <kid> <tier> <id>`. A path of another content
//! has another key, so that no key serves two files and an older file in the place of a newer one is
//! noticed; the id tells nothing of the digest to whoever has no key.
//!
//! What stages leave for each other while a run goes on, with raw ids, is sealed likewise, but under keys whose id
//! is drawn for each file: nothing of it can be read without the root key when a run was killed. Tables of a tier
//! lie in the clear in `staging/` until they are moved to the release: their key needs the digest of the plaintext.
//!
//! The ciphertext differs from run to run, because nonces are random. What is promised to be identical is
//! the plaintext, whose digest stands beside that of the ciphertext in the manifest.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hkdf::Hkdf;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::FileEntry;
use super::parquet::{Error, HashedFile, hex};
use crate::error::IoError;

/// Rows that are sealed at a time.
const BATCH_ROWS: usize = 8192;

/// 32 key bytes, overwritten when dropped and never shown.
#[derive(Clone)]
struct Secret([u8; 32]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    fn derive(&self, info: &str) -> Self {
        let mut bytes = [0; 32];
        // Only lengths over 255 * 32 bytes are refused.
        let refused = Hkdf::<Sha256>::new(None, &self.0).expand(info.as_bytes(), &mut bytes);
        debug_assert!(refused.is_ok());
        let secret = Self(bytes);
        bytes.zeroize();
        secret
    }
}

/// The key of a tier's files at rest. It opens no file itself; the keys of files are derived from it.
#[derive(Clone)]
pub struct RestKey {
    secret: Secret,
    kid: String,
    tier: String,
}

impl RestKey {
    /// A key from its bytes; `kid` names the root key that they come from.
    pub fn new(mut bytes: [u8; 32], kid: String, tier: &str) -> Self {
        let secret = Secret(bytes);
        bytes.zeroize();
        Self { secret, kid, tier: tier.to_owned() }
    }

    /// The key of the file at `path`, relative to the release root, whose plaintext has the digest
    /// `plaintext` (hex).
    pub fn file(&self, path: &str, plaintext: &str) -> FileKey {
        let id = self.secret.derive(&format!("strata/v1/fileid/{path}\n{plaintext}"));
        self.file_of(&hex(&id.0[..16]))
    }

    fn file_of(&self, id: &str) -> FileKey {
        let name = format!("strata/v1 {} {} {id}", self.kid, self.tier);
        FileKey { secret: self.secret.derive(&format!("strata/v1/file/{id}")), name }
    }

    /// The prefix of the names of its files' keys.
    fn names(&self) -> String {
        format!("strata/v1 {} {} ", self.kid, self.tier)
    }
}

/// The key of one file. It opens that file and no other.
#[derive(Clone)]
pub struct FileKey {
    secret: Secret,
    name: String,
}

impl FileKey {
    /// What the file calls its key, in the clear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself in base64, to be handed to a reader of the file. The caller keeps it from logs.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.secret.0))
    }

    fn encryption(&self) -> Result<Arc<FileEncryptionProperties>, ParquetError> {
        FileEncryptionProperties::builder(self.secret.0.to_vec())
            .with_footer_key_metadata(self.name.clone().into_bytes())
            .build()
    }
}

/// The keys that a run or a reader has; an empty ring opens what is not sealed.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<Keys>,
    decryption: Option<Arc<FileDecryptionProperties>>,
    work: Option<Arc<RestKey>>,
}

impl Keyring {
    /// A ring of the keys of tiers.
    ///
    /// # Errors
    /// Never in practice.
    pub fn of(keys: Vec<RestKey>) -> Result<Self, Error> {
        let keys = Arc::new(Keys(keys));
        let properties = FileDecryptionProperties::with_key_retriever(keys.clone()).build();
        let fault = |source| Error::Parquet { path: "keys of tiers".into(), source };
        Ok(Self { keys, decryption: Some(properties.map_err(fault)?), work: None })
    }

    /// The ring of a run: it also opens and seals, under `work`, what stages leave for each other.
    ///
    /// # Errors
    /// Never in practice.
    pub fn of_run(mut keys: Vec<RestKey>, work: RestKey) -> Result<Self, Error> {
        keys.push(work.clone());
        Ok(Self { work: Some(Arc::new(work)), ..Self::of(keys)? })
    }

    /// The settings of a table that stages leave for each other: sealed under a key of its own in a run.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn sealed(&self, properties: WriterPropertiesBuilder) -> Result<WriterProperties, Error> {
        let Some(work) = &self.work else { return Ok(properties.build()) };
        let fault = |source| Error::Parquet { path: "keys of work".into(), source };
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| fault(ParquetError::External(Box::new(e))))?;
        let key = work.file_of(&hex(&id)).encryption().map_err(fault)?;
        Ok(properties.with_file_encryption_properties(key).build())
    }

    /// Whether it has any key.
    pub fn is_empty(&self) -> bool {
        self.decryption.is_none()
    }

    /// What a reader of files is to be told; none without keys.
    pub fn decryption(&self) -> Option<Arc<FileDecryptionProperties>> {
        self.decryption.clone()
    }

    /// Options of a reader of a file that may be sealed.
    pub fn options(&self) -> ArrowReaderOptions {
        match &self.decryption {
            Some(keys) => {
                ArrowReaderOptions::new().with_file_decryption_properties(Arc::clone(keys))
            }
            None => ArrowReaderOptions::new(),
        }
    }

    /// A reader of a table that may be sealed.
    ///
    /// # Errors
    /// What is no Parquet file, or is sealed with a key that is not on the ring.
    pub fn open(&self, file: File) -> Result<ParquetRecordBatchReaderBuilder<File>, ParquetError> {
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, self.options())
    }

    /// The footer of the table of `entry`, sealed with the key of this very path and content if it says
    /// so: another sealed file in its place does not open.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn footer_of(
        &self,
        file: &File,
        entry: &FileEntry,
    ) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let Some(plaintext) = &entry.plaintext_sha256 else {
            let read = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
            return Ok(Arc::clone(read.metadata()));
        };
        let mut last = ParquetError::General("there is no key of this tier".into());
        for key in self.keys.0.iter().filter(|key| key.tier == entry.tier) {
            let key = key.file(&entry.path, plaintext);
            let keys = FileDecryptionProperties::builder(key.secret.0.to_vec()).build()?;
            let options = ArrowReaderOptions::new().with_file_decryption_properties(keys);
            match ArrowReaderMetadata::load(file, options) {
                Ok(read) => return Ok(Arc::clone(read.metadata())),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The footer of a table that may be sealed.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn metadata(&self, file: &File) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let read = ArrowReaderMetadata::load(file, self.options())?;
        Ok(Arc::clone(read.metadata()))
    }
}

/// Finds the key that a file names.
#[derive(Default)]
struct Keys(Vec<RestKey>);

impl KeyRetriever for Keys {
    fn retrieve_key(&self, name: &[u8]) -> Result<Vec<u8>, ParquetError> {
        let name = String::from_utf8_lossy(name);
        let found = self.0.iter().find_map(|key| Some((key, name.strip_prefix(&key.names())?)));
        match found {
            Some((key, id)) => Ok(key.file_of(id).secret.0.to_vec()),
            None => Err(ParquetError::General("it is sealed with another key".into())),
        }
    }
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}
redacted!(Secret, RestKey, FileKey, Keyring);

/// Writes the table `from` sealed below `root` as `entry` says where, with the same rows in the same row
/// groups, and returns its new entry. The plaintext stays where it is.
///
/// # Errors
/// What is no table, or cannot be read or written.
pub fn seal(
    from: &Path,
    root: &Path,
    entry: &FileEntry,
    key: &RestKey,
) -> Result<FileEntry, Error> {
    let fault = |source| Error::Parquet { path: entry.path.clone(), source };
    let plain = File::open(from).map_err(IoError::at("opening", from))?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let footer = ArrowReaderMetadata::load(&plain, options).map_err(fault)?;
    let key = key.file(&entry.path, &entry.sha256);
    let properties = as_written(footer.metadata())
        .with_file_encryption_properties(key.encryption().map_err(fault)?)
        .build();
    let target = HashedFile::create(root, &entry.path)?;
    let mut writer =
        ArrowWriter::try_new(target, footer.schema().clone(), Some(properties)).map_err(fault)?;
    let mut rows = 0;
    for group in 0..footer.metadata().num_row_groups() {
        let handle = plain.try_clone().map_err(IoError::at("opening", from))?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, footer.clone())
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(fault)?;
        for batch in reader {
            let batch =
                batch.map_err(|source| Error::Arrow { path: entry.path.clone(), source })?;
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(fault)?;
        }
        writer.flush().map_err(fault)?;
    }
    let (bytes, sha256) = writer.into_inner().map_err(fault)?.finish()?;
    Ok(FileEntry {
        rows: Some(rows),
        bytes,
        sha256,
        plaintext_sha256: Some(entry.sha256.clone()),
        ..entry.clone()
    })
}

/// The settings with which a file seems to have been written, as far as readers notice: order, tags,
/// compression, statistics, dictionaries, encodings, the size of pages and of row groups.
fn as_written(footer: &ParquetMetaData) -> WriterPropertiesBuilder {
    let file = footer.file_metadata();
    let rows = |group: &RowGroupMetaData| usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
    let longest = footer.row_groups().iter().map(rows).max();
    // The encoder writes this one itself.
    let tags = file.key_value_metadata().map(|pairs| {
        pairs.iter().filter(|pair| pair.key != parquet::arrow::ARROW_SCHEMA_META_KEY).cloned()
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(file.created_by().unwrap_or_default().to_owned())
        .set_key_value_metadata(tags.map(Iterator::collect))
        .set_max_row_group_row_count(longest.map(|rows| rows.max(1)));
    let Some(first) = footer.row_groups().first() else { return properties };
    properties = properties.set_sorting_columns(first.sorting_columns().cloned());
    if let Some(rows) = page_rows(footer) {
        properties = properties.set_data_page_row_count_limit(rows);
    }
    for column in first.columns() {
        let path = column.column_path().clone();
        let statistics = match column.statistics() {
            Some(_) => EnabledStatistics::Page,
            None => EnabledStatistics::None,
        };
        let compression = match column.compression() {
            // A footer does not say which level it was.
            Compression::ZSTD(_) => Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
            other => other,
        };
        properties = properties
            .set_column_statistics_enabled(path.clone(), statistics)
            .set_column_compression(path.clone(), compression)
            .set_column_dictionary_enabled(path.clone(), column.dictionary_page_offset().is_some());
        if let Some(encoding) = column.encodings().find(is_chosen) {
            properties = properties.set_column_encoding(path, encoding);
        }
    }
    properties
}

/// Whether an encoding is one that a writer was told to use.
fn is_chosen(encoding: &Encoding) -> bool {
    matches!(
        encoding,
        Encoding::DELTA_BINARY_PACKED
            | Encoding::DELTA_BYTE_ARRAY
            | Encoding::DELTA_LENGTH_BYTE_ARRAY
            | Encoding::BYTE_STREAM_SPLIT
    )
}

/// Rows of the longest first page, where a column has several.
fn page_rows(footer: &ParquetMetaData) -> Option<usize> {
    let columns = footer.offset_index()?.first()?;
    let second = columns.iter().filter_map(|column| column.page_locations().get(1));
    usize::try_from(second.map(|page| page.first_row_index).max()?).ok()
}
