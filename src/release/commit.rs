//! The commit protocol (privacy reference 4.2): stage, sync, re-read, rename, then one rename of
//! `CURRENT`. Whatever stops it, `CURRENT` names a complete release, old or new.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Current, Error, Layout, Manifest, verify::digest_of};
use crate::engine::parquet::hex;
use crate::error::IoError;

/// Makes the tree at `staged` the current release.
///
/// `staged` holds exactly the files that `manifest` lists. It is on the same file system as the store.
///
/// # Errors
/// Any failure leaves `CURRENT` as it was. A failed sync is final and never retried.
pub fn commit(layout: &Layout, staged: &Path, manifest: &Manifest) -> Result<(), Error> {
    for entry in &manifest.files {
        let (bytes, digest) = digest_of(&staged.join(&entry.path))?;
        if (bytes, digest.as_str()) != (entry.bytes, entry.sha256.as_str()) {
            return Err(Error::Changed { path: entry.path.clone() });
        }
    }
    open_public(staged)?;
    let bytes = manifest.to_bytes()?;
    write_manifest(&staged.join("MANIFEST.json"), &bytes)?;
    sync_tree(staged)?;

    let target = layout.release(&manifest.release_id);
    std::fs::create_dir_all(layout.releases())
        .map_err(IoError::at("creating", layout.releases()))?;
    if target.exists() {
        // An older release of the same content, or one that was damaged: same id, same bytes wanted.
        if adopt(layout, &manifest.release_id, &manifest.content_key)? {
            return Ok(());
        }
        let aside = staged.with_file_name("damaged");
        std::fs::rename(&target, &aside).map_err(IoError::at("moving aside", &target))?;
    }
    std::fs::rename(staged, &target).map_err(IoError::at("renaming", staged))?;
    sync_dir(&layout.releases())?;
    point(layout, &manifest.release_id, &bytes)
}

/// Makes a release that is already in place current, if it is there, of this content and whole.
///
/// # Errors
/// When `CURRENT` cannot be written.
pub fn adopt(layout: &Layout, release_id: &str, content_key: &str) -> Result<bool, Error> {
    let target = layout.release(release_id);
    let path = target.join("MANIFEST.json");
    let Ok(bytes) = std::fs::read(&path) else { return Ok(false) };
    let Ok(manifest) = Manifest::from_bytes(&bytes, &path) else { return Ok(false) };
    let whole = manifest.content_key == content_key
        && manifest.files.iter().all(|entry| {
            digest_of(&target.join(&entry.path))
                .is_ok_and(|found| found == (entry.bytes, entry.sha256.clone()))
        });
    if whole {
        point(layout, release_id, &bytes)?;
    }
    Ok(whole)
}

fn point(layout: &Layout, release_id: &str, bytes: &[u8]) -> Result<(), Error> {
    Current { release_id: release_id.to_owned(), manifest_sha256: hex(&Sha256::digest(bytes)) }
        .write(layout)
}

/// The manifest counts the rows of private tables, so it is as private as they are.
fn write_manifest(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(IoError::at("creating", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(IoError::at("writing", path))?;
    Ok(())
}

/// Public files become world-readable now and not before; every other folder stays 0700.
fn open_public(staged: &Path) -> Result<(), Error> {
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(IoError::at("opening up", path))
    };
    mode(staged, 0o711)?;
    let public = staged.join("public");
    if public.is_dir() {
        for path in tree(&public)? {
            mode(&path, if path.is_dir() { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

/// Every folder and file at and below `root`, folders after what they hold.
fn tree(root: &Path) -> Result<Vec<std::path::PathBuf>, IoError> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(root).map_err(IoError::at("listing", root))?;
    for entry in entries {
        let path = entry.map_err(IoError::at("listing", root))?.path();
        if path.is_dir() {
            found.extend(tree(&path)?);
        } else {
            found.push(path);
        }
    }
    found.push(root.to_owned());
    Ok(found)
}

/// Syncs every folder, in any order: nothing refers to them yet. Files were synced as they were closed.
fn sync_tree(root: &Path) -> Result<(), IoError> {
    tree(root)?.par_iter().filter(|path| path.is_dir()).try_for_each(|path| sync_dir(path))
}

/// Syncs the folders that hold `files` (relative to `root`), from the deepest up to `root`.
///
/// # Errors
/// A failed sync is final.
pub fn sync_names<'a>(
    root: &Path,
    files: impl IntoIterator<Item = &'a str>,
) -> Result<(), IoError> {
    let mut folders = BTreeSet::from([root.to_owned()]);
    for file in files {
        let inside = root.join(file);
        let above = inside.ancestors().skip(1).take_while(|folder| *folder != root);
        folders.extend(above.map(Path::to_owned));
    }
    folders.iter().rev().try_for_each(|folder| sync_dir(folder))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), IoError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(IoError::at("syncing", dir))
}
