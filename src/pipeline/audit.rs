//! What a run says of itself in the store's audit log.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::epoch::{Naming, shift_name};
use super::plan::{Stage, Work};
use super::record::now;
use super::{Error, Inputs, Plan, Project};
use crate::config::Tier;
use crate::engine::StageOutput;
use crate::engine::parquet::hex;
use crate::error::{Coded, IoError};
use crate::identity::{AuditKey, Key};
use crate::release::audit::{Fields, Kind, fields};
use crate::release::{AuditLog, AuditReport, IdentityRecord, Layout, Signer, StoreLock};

impl Signer for AuditKey {
    fn key_id(&self) -> &str {
        self.kid()
    }
    fn sign(&self, message: &[u8]) -> String {
        self.mac(message)
    }
}

/// The audit log in the hands of a run.
pub(super) struct Trail {
    log: AuditLog,
    key: AuditKey,
}

impl Trail {
    /// Opens the log of `store` as `run`, under the store's lock.
    pub fn open(store: &Layout, lock: &StoreLock, run: &str, key: &Key) -> Result<Self, Error> {
        let key = key.audit();
        check_current(store, &key)?;
        let begins = !store.audit().exists();
        let mut trail = Self { log: AuditLog::open(store, lock, run, &now())?, key };
        if begins && super::plan::readable_current(store).is_some() {
            // A log that begins beside a release takes it over as it is.
            trail.sign()?;
        }
        Ok(trail)
    }

    /// Whether the log has a signed entry of a manifest.
    pub fn has_signed(&self, store: &Layout, manifest: &[u8]) -> Result<bool, Error> {
        let digest = hex(&Sha256::digest(manifest));
        Ok(crate::release::audit::knows(store, &digest, &[&self.key])?)
    }

    /// The log itself.
    pub fn log(&self) -> &AuditLog {
        &self.log
    }

    /// A key that is about to be that of a release for the first time.
    pub fn epoch(&mut self, identity: &IdentityRecord) -> Result<(), Error> {
        let said = [
            ("key", self.key.kid().into()),
            ("epoch", identity.epoch.into()),
            ("shift", shift_name(identity.shift).into()),
        ];
        self.say(Kind::Epoch, fields(said))
    }

    /// An entry, on disk when this returns.
    pub fn say(&mut self, kind: Kind, said: Fields) -> Result<(), Error> {
        Ok(self.log.append(&now(), kind, said)?)
    }

    /// What is about to be run, with what program, configuration and inputs.
    pub fn start(&mut self, project: &Project, inputs: &Inputs, plan: &Plan) -> Result<(), Error> {
        let config = project.portable_config().to_string();
        let mut said = fields([
            ("verb", "run".into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("program", env!("STRATA_SOURCE").into()),
            ("config", hex(&Sha256::digest(config)).into()),
            ("release", plan.release_id.clone().into()),
            ("content_key", plan.content_key.clone().into()),
            ("key", plan.key_id.clone().into()),
        ]);
        said.extend(user());
        self.say(Kind::Start, said)?;
        for (feed, files, bytes, sha256) in inputs.feeds() {
            let said = [
                ("feed", feed.into()),
                ("files", files.into()),
                ("bytes", bytes.into()),
                ("sha256", sha256.into()),
            ];
            self.say(Kind::Input, fields(said))?;
        }
        Ok(())
    }

    /// A stage that is about to run, be resumed or be reused; which keys it will use, if it runs.
    pub fn stage_start(&mut self, stage: &Stage) -> Result<(), Error> {
        let action = serde_json::to_value(stage.action).unwrap_or_default();
        let said = fields([("stage", stage.id.clone().into()), ("action", action)]);
        self.say(Kind::StageStart, said)?;
        let purposes = purposes(&stage.work);
        if stage.action != super::Action::Run || purposes.is_empty() {
            return Ok(());
        }
        self.key_use(purposes, Some(&stage.id))
    }

    /// Derived keys that are about to be used.
    pub fn key_use(&mut self, purposes: &[&str], stage: Option<&str>) -> Result<(), Error> {
        let mut said =
            fields([("key", self.key.kid().into()), ("purposes", purposes.to_vec().into())]);
        said.extend(stage.map(|stage| ("stage".to_owned(), stage.into())));
        self.say(Kind::KeyUse, said)
    }

    /// A stage that is done, with its rows and files as numbers.
    pub fn stage_end(&mut self, stage: &str, output: &StageOutput) -> Result<(), Error> {
        let tables = &output.ledger.0;
        let excluded: u64 = tables.iter().flat_map(|table| table.excluded.values()).sum();
        let said = [
            ("stage", stage.into()),
            ("rows_in", tables.iter().map(|table| table.rows_in).sum::<u64>().into()),
            ("rows_out", tables.iter().map(|table| table.rows_out).sum::<u64>().into()),
            ("rows_excluded", excluded.into()),
            ("files", output.files.len().into()),
            ("bytes", output.files.iter().map(|file| file.bytes).sum::<u64>().into()),
        ];
        self.say(Kind::StageEnd, fields(said))
    }

    /// The release that is about to become current, signed: if the run dies before it can say that it is, the next
    /// one knows that nobody else put it there.
    pub fn intend(&mut self, release_id: &str, manifest: &[u8]) -> Result<(), Error> {
        self.say(Kind::CommitIntent, release(release_id, manifest))?;
        self.sign()
    }

    /// The release that is current now, and a signature over all that led to it.
    pub fn committed(&mut self, release_id: &str, manifest: &[u8]) -> Result<(), Error> {
        self.say(Kind::Commit, release(release_id, manifest))?;
        self.sign()
    }

    /// There was nothing to do.
    pub fn unchanged(&mut self, release_id: &str) -> Result<(), Error> {
        self.say(Kind::Unchanged, fields([("release", release_id.into())]))
    }

    /// A signed checkpoint.
    pub fn sign(&mut self) -> Result<(), Error> {
        self.log.sign(&now(), &self.key)?;
        Ok(())
    }

    /// What stopped the run, by code: messages name paths. That the log cannot be written is no reason to
    /// hide what went wrong before.
    pub fn failed(&mut self, error: &Error) {
        let mut said = fields([("code", error.code().into())]);
        if let Error::Stage { stage, .. } = error {
            said.insert("stage".into(), stage.clone().into());
        }
        if let Err(second) = self.say(Kind::Failure, said) {
            tracing::warn!(error = %second, "the audit log could not be written");
        }
    }
}

/// The manifest of the current release, of which a run may reuse files and sign for them, is the one that was
/// signed for. Of a release of another key nothing is reused.
fn check_current(store: &Layout, key: &AuditKey) -> Result<(), Error> {
    let Some(manifest) = super::plan::readable_current(store) else { return Ok(()) };
    if manifest.key_id != key.kid() {
        return Ok(());
    }
    let path = store.release(&manifest.release_id).join("MANIFEST.json");
    let (_, digest) = crate::release::digest_of(&path)?;
    if crate::release::audit::knows(store, &digest, &[key])? {
        return Ok(());
    }
    Err(crate::release::Error::UnknownRelease { release: manifest.release_id }.into())
}

/// What a run has of keys and the audit log.
pub(super) struct Hands<'a> {
    /// How people are named.
    pub naming: &'a Naming<'a>,
    /// Whether no release of the store was made with the key.
    pub is_new: bool,
    /// What is said of it.
    pub trail: &'a mut Trail,
}

impl Hands<'_> {
    /// Says which release is about to become current, and with what new key.
    pub fn intend(&mut self, release_id: &str, manifest: &[u8]) -> Result<(), Error> {
        if self.is_new {
            self.trail.epoch(&self.naming.record())?;
            self.is_new = false;
        }
        self.trail.intend(release_id, manifest)
    }
}

fn release(id: &str, manifest: &[u8]) -> Fields {
    fields([("release", id.into()), ("manifest", hex(&Sha256::digest(manifest)).into())])
}

/// The user who runs the program, by number, where the system tells.
pub(super) fn user() -> Option<(String, serde_json::Value)> {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").ok()?;
    Some(("user".to_owned(), own.uid().into()))
}

/// Derived keys that a stage's work uses, by purpose.
fn purposes(work: &Work) -> &'static [&'static str] {
    match work {
        Work::Callset(_) => &["rid/controlled"],
        Work::Tier(Tier::Controlled) => &["rid/controlled", "rowid/controlled"],
        Work::Tier(_) => &["rid/registered", "rowid/registered", "shift"],
        Work::Privacy => &["rid/controlled", "rid/registered", "shift"],
        Work::Publish => &["sdc"],
        _ => &[],
    }
}

/// Checks the audit log of `store`: the chain of its lines; with keys, the signatures of its checkpoints;
/// and that checkpoints kept elsewhere (files of one or more lines) are still in it.
///
/// # Errors
/// When the log, a key file or a checkpoint file cannot be read; what is wrong with the log is a finding.
pub fn check_audit(
    store: &Layout,
    keys: &[Key],
    checkpoints: &[PathBuf],
) -> Result<AuditReport, Error> {
    let keys: Vec<AuditKey> = keys.iter().map(Key::audit).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    let kept: Vec<Vec<String>> =
        checkpoints.iter().map(|path| lines(path)).collect::<Result<_, _>>()?;
    Ok(crate::release::audit::check(store, &signers, &kept.concat())?)
}

fn lines(path: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(IoError::at("reading", path))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
