//! `MANIFEST.json` and `CURRENT`: what a release is made of, and which one is current.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, Layout, is_safe_path};
use crate::config::ShiftMode;
use crate::engine::{FileEntry, Ledger, parquet::hex};
use crate::error::IoError;

/// Version of the manifest's own shape.
pub const MANIFEST_SCHEMA: u32 = 1;

/// One input, by content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// What the workflow calls it, e.g. `ehr.site_a`.
    pub feed: String,
    /// Which of the feed's files, in the order of their names. Names stay out: they may hold an id.
    pub part: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// Lower-case hex SHA-256.
    pub sha256: String,
}

/// A stage of the run that made a release: enough to reuse its files in a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Content key: input digests, resolved config, rule set and version.
    pub key: String,
    /// What the key is made of, each by digest.
    pub parts: BTreeMap<String, String>,
    /// Rows in, out and excluded.
    pub ledger: Ledger,
    /// Paths of the files it wrote.
    pub files: Vec<String>,
}

/// How the people of a release were named and their dates moved; no key, no id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Number of the key in the store.
    pub epoch: u32,
    /// By what dates of the Registered tier were moved: any number of days or whole weeks.
    pub shift: ShiftMode,
    /// The imported map, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapRecord>,
}

impl Default for IdentityRecord {
    fn default() -> Self {
        Self { epoch: 1, shift: ShiftMode::default(), map: None }
    }
}

/// An imported map of ids and shifts, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRecord {
    /// Number of its rows. A later map begins with the same.
    pub rows: u64,
    /// SHA-256 of its rows by value, in order.
    pub sha256: String,
    /// Whether people whom it lacks have derived ids.
    pub derive_missing: bool,
}

/// Everything a release is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this shape.
    pub schema: u32,
    /// `<release tag>-<first 12 hex digits of the content key>`.
    pub release_id: String,
    /// Full content key.
    pub content_key: String,
    /// Programme name.
    pub programme: String,
    /// Reference date of the workflow.
    pub reference_date: String,
    /// Version of the program.
    pub strata_version: String,
    /// Id of the root key (never the key).
    pub key_id: String,
    /// How people were named and dates moved.
    #[serde(default)]
    pub identity: IdentityRecord,
    /// Resolved configuration without paths and secrets.
    pub config: serde_json::Value,
    /// Inputs, sorted.
    pub inputs: Vec<Input>,
    /// Stages by id.
    pub stages: BTreeMap<String, StageRecord>,
    /// Files, sorted by path.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// The bytes of `MANIFEST.json`: the same for the same content.
    ///
    /// # Errors
    /// Never in practice; serialisation of plain data.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::Invalid { path: "MANIFEST.json".into(), why: e.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest and checks that its paths stay inside the release.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Invalid`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(IoError::at("reading", path))?;
        Self::from_bytes(&bytes, path)
    }

    pub(super) fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let invalid = |why: String| Error::Invalid { path: path.display().to_string(), why };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| invalid(e.to_string()))?;
        if manifest.schema != MANIFEST_SCHEMA {
            return Err(invalid(format!("manifest schema {} is not known", manifest.schema)));
        }
        match manifest.files.iter().find(|f| !is_safe_path(&f.path)) {
            Some(_) => Err(invalid("it lists a path outside the release".into())),
            None => Ok(manifest),
        }
    }

    /// Reads the manifest that `CURRENT` names, checking its digest; `None` when there is no release.
    ///
    /// # Errors
    /// When `CURRENT` or the manifest is damaged.
    pub fn current(layout: &Layout) -> Result<Option<Self>, Error> {
        let Some(current) = Current::read(layout)? else { return Ok(None) };
        let path = layout.release(&current.release_id).join("MANIFEST.json");
        let bytes = std::fs::read(&path).map_err(IoError::at("reading", &path))?;
        if hex(&Sha256::digest(&bytes)) != current.manifest_sha256 {
            let why = "its digest is not the one CURRENT names".into();
            return Err(Error::Invalid { path: path.display().to_string(), why });
        }
        Self::from_bytes(&bytes, &path).map(Some)
    }
}

/// What `CURRENT` says: two words on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Current {
    /// Id of the current release.
    pub release_id: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
}

impl Current {
    /// Reads `CURRENT`; `None` when the store has no release yet.
    ///
    /// # Errors
    /// When it cannot be read or is not two words.
    pub fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.current();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(IoError::at("reading", &path)(e).into()),
        };
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(id), Some(digest), None) if is_safe_path(id) && !id.contains('/') => {
                Ok(Some(Self { release_id: id.into(), manifest_sha256: digest.into() }))
            }
            _ => Err(Error::Invalid {
                path: path.display().to_string(),
                why: "it must hold a release id and a digest".into(),
            }),
        }
    }

    /// Makes this release current: write aside, sync, rename, sync the folder.
    pub(super) fn write(&self, layout: &Layout) -> Result<(), Error> {
        let aside = layout.root().join("CURRENT.tmp");
        let mut file = std::fs::File::create(&aside).map_err(IoError::at("creating", &aside))?;
        writeln!(file, "{} {}", self.release_id, self.manifest_sha256)
            .and_then(|()| file.sync_all())
            .map_err(IoError::at("writing", &aside))?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o644))
            .map_err(IoError::at("opening up", &aside))?;
        std::fs::rename(&aside, layout.current()).map_err(IoError::at("renaming", &aside))?;
        super::commit::sync_dir(layout.root())?;
        Ok(())
    }
}
