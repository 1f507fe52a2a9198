//! Whether the key, the kind of shift and the imported map may be used in a store that has releases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Error, Project};
use crate::config::ShiftMode;
use crate::identity::{self, ControlledKeys, IdScope, IdentityMap, Key, RegisteredKeys};
use crate::release::{AuditLog, IdentityRecord, Layout, Manifest, MapRecord};
use crate::tier;

/// How a run names people: the key, the workflow's settings and the map, read once.
pub(super) struct Naming<'a> {
    key: &'a Key,
    scope: IdScope,
    shift: ShiftMode,
    epoch: u32,
    map: Option<(Arc<IdentityMap>, bool)>,
}

impl<'a> Naming<'a> {
    /// Reads the map, if the workflow has one.
    pub fn of(project: &Project, key: &'a Key) -> Result<Self, Error> {
        let settings = &project.workflow.identity;
        let map = match &settings.map {
            Some(map) => {
                let rows = IdentityMap::read(&project.path(&map.file))?;
                Some((Arc::new(rows), map.derive_missing))
            }
            None => None,
        };
        let (scope, shift, epoch) = (settings.ids, settings.shift, settings.epoch);
        Ok(Self { key, scope, shift, epoch, map })
    }

    /// Keys of the Registered tier.
    pub fn registered(&self) -> RegisteredKeys {
        let keys = self.key.registered(self.scope, tier::row_tables()).with_shift(self.shift);
        match &self.map {
            Some((map, derive_missing)) => keys.with_map(map.clone(), *derive_missing),
            None => keys,
        }
    }

    /// Keys of the Controlled tier: of a map they are given the ids alone, and only if both tiers share
    /// them.
    pub fn controlled(&self) -> ControlledKeys {
        let keys = self.key.controlled(self.scope, tier::row_tables());
        match &self.map {
            Some((map, derive_missing)) if self.scope == IdScope::Shared => {
                keys.with_research_ids(Arc::new(map.research_ids()), *derive_missing)
            }
            _ => keys,
        }
    }

    /// The root key.
    pub fn key(&self) -> &'a Key {
        self.key
    }

    /// What the manifest says of it.
    pub fn record(&self) -> IdentityRecord {
        let map = self.map.as_ref().map(|(map, derive_missing)| MapRecord {
            rows: map.len() as u64,
            sha256: map.digest(map.len()).unwrap_or_default(),
            derive_missing: *derive_missing,
        });
        IdentityRecord { epoch: self.epoch, shift: self.shift, map }
    }

    /// Checks it against what the store was made with. Returns whether the key is new to the store.
    pub fn check(&self, project: &Project, log: &AuditLog, new_epoch: bool) -> Result<bool, Error> {
        let kid = self.key.kid();
        let manifests = manifests(&project.store);
        let known = with_releases(log.epochs().clone(), &manifests);
        let is_new = self.check_epoch(&kid, &known, new_epoch)?;
        let same_key = manifests.iter().filter(|manifest| manifest.key_id == kid);
        self.check_map(project, same_key)?;
        Ok(is_new)
    }

    /// Checks it against the releases of the store alone, as `validate` does, who neither opens the log
    /// nor begins an epoch: a key that is new to the store passes when the workflow's epoch is a new number,
    /// for whoever raises it will say `--new-epoch`.
    pub fn check_releases(&self, project: &Project) -> Result<(), Error> {
        let kid = self.key.kid();
        let manifests = manifests(&project.store);
        let known = with_releases(BTreeMap::new(), &manifests);
        let is_raised = known.values().all(|(epoch, _)| *epoch < self.epoch);
        self.check_epoch(&kid, &known, is_raised)?;
        self.check_map(project, manifests.iter().filter(|manifest| manifest.key_id == kid))
    }

    fn check_epoch(
        &self,
        kid: &str,
        known: &BTreeMap<String, (u32, String)>,
        new_epoch: bool,
    ) -> Result<bool, Error> {
        let (key, said) = (kid.to_owned(), self.epoch);
        if let Some((epoch, shift)) = known.get(kid) {
            if *epoch != said {
                return Err(identity::Error::EpochOfKey { key, said, known: *epoch }.into());
            }
            if shift != shift_name(self.shift) {
                return Err(identity::Error::ShiftModeChanged.into());
            }
            return Ok(false);
        }
        let Some(last) = known.values().map(|(epoch, _)| *epoch).max() else { return Ok(true) };
        if !new_epoch {
            let next = last.saturating_add(1);
            return Err(identity::Error::KeyChanged { key, next }.into());
        }
        if said <= last {
            return Err(identity::Error::EpochTaken { said, last }.into());
        }
        Ok(true)
    }

    /// Every map of an earlier release with this key is the beginning of this one.
    fn check_map<'m>(
        &self,
        project: &Project,
        earlier: impl Iterator<Item = &'m Manifest>,
    ) -> Result<(), Error> {
        for manifest in earlier {
            let Some(then) = &manifest.identity.map else { continue };
            let settings = project.workflow.identity.map.as_ref();
            let path = settings.map(|map| project.path(&map.file)).unwrap_or_default();
            let rows = usize::try_from(then.rows).unwrap_or(usize::MAX);
            let now = self.map.as_ref().and_then(|(map, _)| map.digest(rows));
            if now.as_ref() != Some(&then.sha256) {
                let release = manifest.release_id.clone();
                return Err(identity::Error::MapChanged { path, rows: then.rows, release }.into());
            }
        }
        Ok(())
    }
}

/// Epoch and kind of shift by key: what is known, and what releases say of other keys.
fn with_releases(
    mut known: BTreeMap<String, (u32, String)>,
    manifests: &[Manifest],
) -> BTreeMap<String, (u32, String)> {
    for manifest in manifests {
        let said = &manifest.identity;
        let of = (said.epoch, shift_name(said.shift).to_owned());
        known.entry(manifest.key_id.clone()).or_insert(of);
    }
    known
}

/// The word for a kind of shift in the audit log.
pub(super) fn shift_name(mode: ShiftMode) -> &'static str {
    match mode {
        ShiftMode::Days => "days",
        ShiftMode::Weeks => "weeks",
    }
}

/// The manifests of all releases of a store that can be read.
fn manifests(store: &Layout) -> Vec<Manifest> {
    let entries = std::fs::read_dir(store.releases()).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    let read = |folder: std::path::PathBuf| Manifest::read(&folder.join("MANIFEST.json")).ok();
    folders.into_iter().filter_map(read).collect()
}
