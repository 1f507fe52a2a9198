//! Re-checks a release from its bytes: digests, sizes, row counts, strays, permissions, books.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Error, Layout, Manifest};
use crate::engine::{FileEntry, Keyring, parquet::hex};
use crate::error::IoError;

/// Something that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Release-relative path, or the stage.
    pub place: String,
    /// Stable code: `missing`, `size`, `digest`, `rows`, `stray`, `permissions`, `tags`, `books`,
    /// `disclosure`, `invariant`, `sealed`, `other_key`, `manifest`; those of the audit log.
    pub code: &'static str,
    /// In words.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(place: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: place.into(), code, message: message.into() }
    }
}

/// What a check of a release found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The release checked.
    pub release_id: String,
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Rows counted.
    pub rows: u64,
    /// Everything wrong, sorted; empty when the release is as promised.
    pub findings: Vec<Finding>,
}

/// Size and lower-case hex SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of(path: &Path) -> Result<(u64, String), IoError> {
    let mut file = File::open(path).map_err(IoError::at("opening", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 18];
    let mut bytes = 0u64;
    loop {
        let n = file.read(&mut buffer).map_err(IoError::at("reading", path))?;
        if n == 0 {
            return Ok((bytes, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
}

/// Re-reads every byte of `manifest`'s release and compares.
///
/// # Errors
/// Only when the release folder itself cannot be read; everything else is a [`Finding`].
pub fn verify(
    layout: &Layout,
    manifest: &Manifest,
    keyring: &Keyring,
) -> Result<Verification, Error> {
    let root = layout.release(&manifest.release_id);
    if !root.is_dir() {
        return Err(Error::Unknown { id: manifest.release_id.clone() });
    }
    let files = manifest.files.par_iter();
    let mut findings: Vec<Finding> =
        files.flat_map_iter(|entry| check_file(&root, entry, keyring)).collect();
    findings.extend(strays(&root, manifest)?);
    findings.extend(check_folders(&root));
    for (stage, record) in &manifest.stages {
        findings.extend(record.ledger.unbalanced().into_iter().map(|table| {
            let message = format!("rows in of {} are not rows out plus excluded", table.table);
            Finding::new(stage.clone(), "books", message)
        }));
    }
    findings.sort();
    Ok(Verification {
        release_id: manifest.release_id.clone(),
        files: manifest.files.len() as u64,
        bytes: manifest.files.iter().map(|f| f.bytes).sum(),
        rows: manifest.files.iter().filter_map(|f| f.rows).sum(),
        findings,
    })
}

fn check_file(root: &Path, entry: &FileEntry, keyring: &Keyring) -> Vec<Finding> {
    let path = root.join(&entry.path);
    let finding = |code, message: String| vec![Finding::new(entry.path.clone(), code, message)];
    let (bytes, digest) = match digest_of(&path) {
        Ok(found) => found,
        Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => {
            return finding("missing", "the file is gone".into());
        }
        Err(e) => return finding("missing", format!("it cannot be read: {}", e.source)),
    };
    if bytes != entry.bytes {
        return finding("size", format!("{bytes} bytes, the manifest says {}", entry.bytes));
    }
    if digest != entry.sha256 {
        return finding("digest", "the bytes are not those that were committed".into());
    }
    let mut found = Vec::new();
    let mode = std::fs::metadata(&path).map_or(0, |m| m.permissions().mode());
    if entry.tier != "public" && mode & 0o077 != 0 {
        found.extend(finding("permissions", "others than the owner can read it".into()));
    }
    if let Some(rows) = entry.rows {
        found.extend(check_table(&path, entry, rows, keyring));
    }
    found
}

/// Row count and tags from the footer, not from what the writer said.
fn check_table(path: &Path, entry: &FileEntry, rows: u64, keyring: &Keyring) -> Option<Finding> {
    let finding = |code, message: String| Some(Finding::new(entry.path.clone(), code, message));
    // Without a key, the digest has to do.
    if entry.plaintext_sha256.is_some() && keyring.is_empty() {
        return None;
    }
    let footer = match File::open(path).map(|file| keyring.footer_of(&file, entry)) {
        Ok(Ok(footer)) => footer,
        _ if entry.plaintext_sha256.is_some() => {
            return finding("sealed", "the key of this place and content does not open it".into());
        }
        _ => return finding("rows", "it is not a readable Parquet file".into()),
    };
    let footer = footer.file_metadata();
    if u64::try_from(footer.num_rows()) != Ok(rows) {
        return finding("rows", format!("{} rows, the manifest says {rows}", footer.num_rows()));
    }
    let tier = footer.key_value_metadata().and_then(|pairs| {
        pairs.iter().find(|pair| pair.key == "strata.tier").and_then(|pair| pair.value.clone())
    });
    if tier.as_deref() != Some(&entry.tier) || !entry.path.starts_with(&format!("{}/", entry.tier))
    {
        return finding("tags", "its tier, its folder and the manifest do not agree".into());
    }
    None
}

/// Files that the manifest does not list.
fn strays(root: &Path, manifest: &Manifest) -> Result<Vec<Finding>, Error> {
    let listed: BTreeSet<&str> = manifest.files.iter().map(|f| f.path.as_str()).collect();
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(IoError::at("listing", &folder))? {
            let path = entry.map_err(IoError::at("listing", &folder))?.path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if relative != "MANIFEST.json" && !listed.contains(relative.as_str()) {
                found.push(Finding::new(relative, "stray", "the manifest does not list this file"));
            }
        }
    }
    Ok(found)
}

fn check_folders(root: &Path) -> Vec<Finding> {
    ["controlled", "registered", "quality", "MANIFEST.json"]
        .into_iter()
        .filter(|name| {
            std::fs::metadata(root.join(name)).is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
        })
        .map(|name| Finding::new(name, "permissions", "others than the owner can reach it"))
        .collect()
}
