//! `audit.jsonl`: who did what to a store and when, as a chain that cannot be mended unnoticed.
//!
//! One JSON object a line: `seq` (1, 2, 3 ...), `time` (UTC), `run`, `kind`, `fields`, `prev` (the hash of
//! the line before; 64 zeros in the first) and `hash`, the SHA-256 of the line as it is without `hash`.
//! Every line is on disk before what it announces is done. A line of kind `checkpoint` also holds an
//! HMAC with a key derived from the root key: who lacks the key can make a new chain, but no new
//! checkpoint. The last checkpoint stands in `audit.checkpoint` as well, so that a log cut short is
//! noticed; keep copies of it where the owner of the store cannot change them.
//!
//! The log holds digests, counts, names of stages and feeds, codes of errors and names of keys; nothing of
//! a person. It is outside of releases: it knows times, they do not.

mod check;
mod entry;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

pub use check::{AuditReport, check, knows};
pub use entry::{Entry, Kind};

use super::commit::sync_dir;
use super::{Current, Error, Layout, StoreLock};
use crate::error::IoError;
use check::{Reading, read};

/// What an entry says beside its kind, by name: strings, whole numbers and lists of them.
pub type Fields = BTreeMap<String, serde_json::Value>;

/// Makes the signatures of checkpoints. Whoever holds the key implements it.
pub trait Signer {
    /// Name of the key, never the key.
    fn key_id(&self) -> &str;
    /// HMAC-SHA256 of `message` in lower-case hex.
    fn sign(&self, message: &[u8]) -> String;
}

/// The fields of an entry.
///
/// ```
/// let fields = strata::release::audit::fields([("stage", "link".into()), ("rows_in", 3.into())]);
/// assert_eq!(fields.len(), 2);
/// ```
pub fn fields<const N: usize>(pairs: [(&str, serde_json::Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The open log of a store. Whoever has it holds the store's lock.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    path: PathBuf,
    checkpoint: PathBuf,
    run: String,
    /// Of the last entry.
    seq: u64,
    /// Of the last entry.
    hash: String,
    /// Bytes of the file, up to the end of the last entry.
    end: u64,
    /// A failed write or sync is final: what is on disk is not known any more.
    failed: bool,
    /// Epoch and kind of shift by key id, as entries `epoch` give them.
    epochs: BTreeMap<String, (u32, String)>,
}

impl AuditLog {
    /// Opens the log to go on with it as `run`, or begins one. The lock is what keeps two runs apart.
    ///
    /// A last line that was cut short, by a crash for one, is replaced by an entry `recovered` that gives
    /// its length and digest. A release that became current when a run died before it could say so is
    /// entered as `recovered` too.
    ///
    /// # Errors
    /// [`Error::AuditBroken`] when the chain does not hold or is shorter than its last checkpoint: nothing
    /// is added to a log that was tampered with. [`Error::UnknownRelease`]. [`Error::Io`].
    pub fn open(layout: &Layout, _lock: &StoreLock, run: &str, time: &str) -> Result<Self, Error> {
        let (path, checkpoint) = (layout.audit(), layout.audit_checkpoint());
        let reading = read(layout, &[])?;
        if let Some(flaw) = reading.findings.first() {
            return Err(Error::AuditBroken {
                place: flaw.place.clone(),
                why: flaw.message.clone(),
            });
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(IoError::at("opening", &path))?;
        let mut log = Self {
            file,
            path,
            checkpoint,
            run: run.to_owned(),
            seq: reading.seq,
            hash: reading.hash.clone(),
            end: reading.end,
            failed: false,
            epochs: reading.epochs.iter().filter_map(Entry::epoch).collect(),
        };
        log.settle(layout, &reading, time)?;
        if let Some(line) = reading.signed.filter(|_| !reading.beside) {
            // The run that signed died before it could put its checkpoint beside the log.
            log.write_checkpoint(&line)?;
        }
        Ok(log)
    }

    /// Brings the log up to what it finds.
    fn settle(&mut self, layout: &Layout, reading: &Reading, time: &str) -> Result<(), Error> {
        let current = Current::read(layout).ok().flatten();
        if reading.seq == 0 && reading.torn.is_none() {
            let mut said = fields([("version", env!("CARGO_PKG_VERSION").into())]);
            if let Some(current) = &current {
                said.insert("release".into(), current.release_id.clone().into());
                said.insert("manifest".into(), current.manifest_sha256.clone().into());
            }
            self.append(time, Kind::Opened, said)?;
            sync_dir(layout.root())?;
            return Ok(());
        }
        if let Some((bytes, digest)) = &reading.torn {
            let said = [
                ("what", "torn_line".into()),
                ("bytes", (*bytes).into()),
                ("sha256", digest.clone().into()),
            ];
            self.append(time, Kind::Recovered, fields(said))?;
        }
        if let Some(current) =
            current.filter(|c| !reading.committed.contains_key(&c.manifest_sha256))
        {
            if !reading.intended.contains_key(&current.manifest_sha256) {
                // What is reused of it would be signed as ours.
                return Err(Error::UnknownRelease { release: current.release_id });
            }
            let said = [
                ("what", "commit".into()),
                ("release", current.release_id.into()),
                ("manifest", current.manifest_sha256.into()),
            ];
            self.append(time, Kind::Recovered, fields(said))?;
        }
        Ok(())
    }

    /// Epoch and kind of shift (`days`, `weeks`) by id of each key that releases of this store were made with
    /// since the log began.
    pub fn epochs(&self) -> &BTreeMap<String, (u32, String)> {
        &self.epochs
    }

    /// Adds an entry; it is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written or synced. Nothing more can be added then.
    pub fn append(&mut self, time: &str, kind: Kind, fields: Fields) -> Result<(), Error> {
        let entry = self.next(time, kind, fields);
        let line = entry.line()?;
        self.put(&line, entry.hash()?)
    }

    fn next(&self, time: &str, kind: Kind, fields: Fields) -> Entry {
        Entry {
            seq: self.seq + 1,
            time: time.to_owned(),
            run: self.run.clone(),
            kind: kind.name().to_owned(),
            fields,
            prev: self.hash.clone(),
        }
    }

    /// Writes a line over what lies after the last entry, which is nothing or a torn line.
    fn put(&mut self, line: &str, hash: String) -> Result<(), Error> {
        if self.failed {
            return Err(Error::AuditFailed { path: self.path.display().to_string() });
        }
        self.failed = true;
        let text = format!("{line}\n");
        let end = self.end + text.len() as u64;
        self.file
            .write_all_at(text.as_bytes(), self.end)
            .and_then(|()| self.file.set_len(end))
            .and_then(|()| self.file.sync_all())
            .map_err(IoError::at("writing", &self.path))?;
        self.failed = false;
        (self.end, self.seq, self.hash) = (end, self.seq + 1, hash);
        Ok(())
    }

    /// Signs all there is so far: a `checkpoint` entry, and the same line in `audit.checkpoint`. Gives
    /// the line, fit to be kept elsewhere.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign(&mut self, time: &str, signer: &dyn Signer) -> Result<String, Error> {
        let said = fields([("key", signer.key_id().into())]);
        let mut entry = self.next(time, Kind::Checkpoint, said);
        let mac = signer.sign(&entry.signed()?);
        entry.fields.insert("mac".into(), mac.into());
        let line = entry.line()?;
        self.put(&line, entry.hash()?)?;
        self.write_checkpoint(&line)?;
        Ok(line)
    }

    /// Aside, synced, renamed: the file always holds a whole checkpoint.
    fn write_checkpoint(&self, line: &str) -> Result<(), Error> {
        let aside = self.checkpoint.with_extension("checkpoint.tmp");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| writeln!(file, "{line}").and_then(|()| file.sync_all()))
            .map_err(IoError::at("writing", &aside))?;
        std::fs::rename(&aside, &self.checkpoint).map_err(IoError::at("renaming", &aside))?;
        if let Some(folder) = self.checkpoint.parent() {
            sync_dir(folder)?;
        }
        Ok(())
    }
}
