//! Which tables of a release are sealed, with whose key, and how readers come by the keys.

use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use zeroize::Zeroizing;

use super::audit::{Trail, user};
use super::query::on_threads;
use super::run::create_store;
use super::unshift::check_reason;
use super::{Error, Project, load_key};
use crate::config::Tier;
use crate::engine::parquet::{Error as EngineError, create_private_dir};
use crate::engine::{FileEntry, Keyring, RestKey, seal};
use crate::error::IoError;
use crate::identity::{self, Key};
use crate::release::audit::{Kind, fields};
use crate::release::{Manifest, StoreLock};

/// The tiers that can be sealed. The Public one is for everybody.
const TIERS: [Tier; 2] = [Tier::Controlled, Tier::Registered];

/// The ring of a run with `key`: it opens the sealed tables of its releases, and opens and seals what stages leave
/// for each other.
pub(super) fn ring_of_run(key: &Key) -> Result<Keyring, Error> {
    let tiers = TIERS.map(|tier| key.at_rest(tier.name()));
    Ok(Keyring::of_run(tiers.to_vec(), key.at_rest("work"))?)
}

/// What opens sealed tables of releases made with any of `keys`.
pub(super) fn keyring(keys: &[Key]) -> Result<Keyring, Error> {
    if keys.is_empty() {
        return Ok(Keyring::default());
    }
    let of = |key: &Key| TIERS.map(|tier| key.at_rest(tier.name()));
    Ok(Keyring::of(keys.iter().flat_map(of).collect())?)
}

/// The root keys at hand for what `path` names: those in `files`, or the one of a workflow file that has
/// made it already.
///
/// # Errors
/// When one cannot be used.
pub fn keys_of(path: &Path, files: &[PathBuf]) -> Result<Vec<Key>, Error> {
    if !files.is_empty() {
        let loaded: Result<_, identity::Error> = files.iter().map(|file| Key::load(file)).collect();
        return Ok(loaded?);
    }
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let project = Project::open(path)?;
    let there = super::has_key(&project);
    Ok(there.then(|| load_key(&project)).transpose()?.into_iter().collect())
}

/// The keys of the tiers that a workflow wants sealed.
pub(super) fn sealing(project: &Project, key: &Key) -> Vec<(&'static str, RestKey)> {
    let sealed = TIERS.into_iter().filter(|tier| project.is_sealed(*tier));
    sealed.map(|tier| (tier.name(), key.at_rest(tier.name()))).collect()
}

/// Moves what a stage has made in `work` to the release that is being made in `tree`, sealing the tables of
/// the tiers that `keys` are of; `threads` at a time.
pub(super) fn place(
    files: &[FileEntry],
    (work, tree): (&Path, &Path),
    keys: &[(&'static str, RestKey)],
    threads: usize,
) -> Result<Vec<FileEntry>, Error> {
    let place = |entry: &FileEntry| -> Result<FileEntry, Error> {
        let (from, to) = (work.join(&entry.path), tree.join(&entry.path));
        if let Some(parent) = to.parent() {
            create_private_dir(parent)?;
        }
        let key = keys.iter().find(|(tier, _)| *tier == entry.tier);
        let Some((_, key)) = key else {
            std::fs::rename(&from, &to).map_err(IoError::at("moving", &from))?;
            return Ok(entry.clone());
        };
        if entry.rows.is_none() {
            let what = format!("{} is no table and cannot be sealed", entry.path);
            return Err(Error::Internal { what });
        }
        let sealed = seal::seal(&from, tree, entry, key)?;
        std::fs::remove_file(&from).map_err(IoError::at("removing", &from))?;
        Ok(sealed)
    };
    on_threads(threads, || files.par_iter().map(place).collect())?
}

/// The key of one sealed table.
#[derive(Serialize)]
pub struct TableKey {
    /// Where it is, relative to the folder of the release.
    pub path: String,
    /// Its table: `person`, `variants`.
    pub table: String,
    /// Its columns of lists and structs, which DuckDB 2.0 cannot decrypt, whoever has written them.
    pub nested: Vec<String>,
    /// What the file calls its key.
    pub name: String,
    /// 32 bytes in base64, overwritten when dropped.
    #[serde(serialize_with = "revealed")]
    pub key: Zeroizing<String>,
}

fn revealed<S: serde::Serializer>(key: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(key)
}

/// The keys of tables of one tier of a release.
#[derive(Serialize)]
pub struct TableKeys {
    /// The release.
    pub release_id: String,
    /// Its folder.
    pub folder: PathBuf,
    /// `controlled` or `registered`.
    pub tier: String,
    /// By path.
    pub files: Vec<TableKey>,
}

/// The keys of the sealed tables of `tier` in the release `id` (the current one by default) of the
/// workflow's store, or of some `tables` alone, for `reason`. Who asks, why and for what is in the store's
/// audit log, signed, before anything is returned; so is a refusal.
///
/// # Errors
/// A release, tier or table that is not there or not sealed; a release of another key; a reason that says
/// nothing; a store that another run holds.
pub fn unlock(
    project: &Project,
    key: &Key,
    id: Option<&str>,
    tier: Tier,
    tables: &[String],
    reason: &str,
) -> Result<TableKeys, Error> {
    create_store(&project.store)?;
    let run = "unlock";
    let lock = StoreLock::acquire(&project.store, run)?;
    let mut trail = Trail::open(&project.store, &lock, run, key)?;
    let mut said = fields([("verb", run.into()), ("version", env!("CARGO_PKG_VERSION").into())]);
    said.extend(user());
    trail.say(Kind::Start, said)?;
    let mut asked = || -> Result<TableKeys, Error> {
        check_reason(reason)?;
        let manifest = super::query::manifest(&project.store, id)?;
        let keys = table_keys(project, key, &manifest, tier, tables)?;
        trail.key_use(&[&format!("enc/{}", tier.name())], None)?;
        let said = [
            ("reason", reason.into()),
            ("release", keys.release_id.clone().into()),
            ("tier", tier.name().into()),
            ("tables", tables.to_vec().into()),
            ("files", keys.files.len().into()),
            ("key", key.kid().into()),
        ];
        trail.say(Kind::Unlock, fields(said))?;
        trail.sign()?;
        Ok(keys)
    };
    let answered = asked();
    answered.inspect_err(|error| trail.failed(error))
}

fn table_keys(
    project: &Project,
    key: &Key,
    manifest: &Manifest,
    tier: Tier,
    tables: &[String],
) -> Result<TableKeys, Error> {
    if manifest.key_id != key.kid() {
        let (release, found) = (manifest.release_id.clone(), key.kid());
        return Err(Error::OtherKey { release, wanted: manifest.key_id.clone(), found });
    }
    let of_tier = manifest.files.iter().filter(|file| file.tier == tier.name());
    let sealed: Vec<_> =
        of_tier.filter_map(|file| Some((file, file.plaintext_sha256.as_ref()?))).collect();
    if sealed.is_empty() {
        let release = manifest.release_id.clone();
        return Err(Error::NotSealed { release, tier: tier.name().to_owned() });
    }
    if let Some(name) = tables.iter().find(|name| !sealed.iter().any(|(f, _)| f.table == **name)) {
        let mut known: Vec<&str> = sealed.iter().map(|(file, _)| file.table.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let (name, known) = (name.clone(), known.join(", "));
        return Err(Error::NoSuch { what: "sealed table", name, known });
    }
    let at_rest = key.at_rest(tier.name());
    let wanted = sealed.iter().filter(|(f, _)| tables.is_empty() || tables.contains(&f.table));
    let folder = project.store.release(&manifest.release_id);
    let folder = folder.canonicalize().map_err(IoError::at("opening", &folder))?;
    let keyring = Keyring::of(vec![at_rest.clone()])?;
    let files = wanted.map(|(file, plaintext)| {
        let key = at_rest.file(&file.path, plaintext);
        let nested = nested(&folder, file, &keyring)?;
        let (path, table) = (file.path.clone(), file.table.clone());
        Ok(TableKey { path, table, nested, name: key.name().to_owned(), key: key.reveal() })
    });
    let files = files.collect::<Result<_, Error>>()?;
    let (release_id, tier) = (manifest.release_id.clone(), tier.name().to_owned());
    Ok(TableKeys { release_id, folder, tier, files })
}

fn nested(folder: &Path, file: &FileEntry, keyring: &Keyring) -> Result<Vec<String>, Error> {
    let path = folder.join(&file.path);
    let open = File::open(&path).map_err(IoError::at("opening", &path))?;
    let fault = |source| EngineError::Parquet { path: file.path.clone(), source };
    let table = keyring.open(open).map_err(fault)?;
    let fields = table.schema().fields().iter().filter(|field| field.data_type().is_nested());
    Ok(fields.map(|field| field.name().clone()).collect())
}
