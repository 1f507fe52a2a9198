//! Whether a log is as it was written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::entry::{Read, ZEROS, parse};
use super::{Entry, Signer};
use crate::engine::parquet::hex;
use crate::error::IoError;
use crate::release::{Current, Error, Finding, Layout};

/// What a check of the log found.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// Entries read.
    pub entries: u64,
    /// Checkpoints among them.
    pub checkpoints: u64,
    /// Checkpoints whose signature was checked: those of the keys given.
    pub signatures: u64,
    /// Line of the last checkpoint; lines up to it are protected.
    pub last_checkpoint: Option<u64>,
    /// Everything wrong, in the order of lines; empty when the log is as it was written.
    pub findings: Vec<Finding>,
}

/// Re-reads the log of a store. `signers`: the keys whose checkpoints are checked; with none, only the
/// chain is. `kept`: checkpoint lines that were kept elsewhere; each must still be in the log.
///
/// # Errors
/// Only when the log cannot be read at all; everything else is a [`Finding`] with its line:
/// `missing`, `format`, `hash`, `chain`, `sequence`, `torn`, `checkpoint`, `signature`, `commit`,
/// `permissions`.
pub fn check(
    layout: &Layout,
    signers: &[&dyn Signer],
    kept: &[String],
) -> Result<AuditReport, Error> {
    let mut reading = read(layout, kept)?;
    let mut signatures = 0;
    for (line, entry) in &reading.checkpoints {
        let key = entry.text("key").unwrap_or_default();
        let Some(signer) = signers.iter().find(|signer| signer.key_id() == key) else { continue };
        signatures += 1;
        if entry.text("mac") != Some(&signer.sign(&entry.signed()?)) {
            let why = "the checkpoint is not signed by the key it names";
            reading.findings.push(at(*line, "signature", why));
        }
    }
    if let (false, Some((line, entry))) = (signers.is_empty(), reading.checkpoints.last()) {
        let key = entry.text("key").unwrap_or_default();
        if !signers.iter().any(|signer| signer.key_id() == key) {
            let why = "the last checkpoint is signed by none of the keys given";
            reading.findings.push(at(*line, "other_key", why));
        }
    }
    if reading.torn.is_some() {
        let why = "the last line is cut short; the next run closes it with an entry `recovered`";
        reading.findings.push(at(reading.lines + 1, "torn", why));
    }
    check_current(layout, &mut reading);
    let path = layout.audit();
    let mode = std::fs::metadata(&path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        let why = "others than the owner can read it";
        reading.findings.push(Finding::new("audit.jsonl", "permissions", why));
    }
    Ok(AuditReport {
        entries: reading.lines,
        checkpoints: reading.checkpoints.len() as u64,
        signatures,
        last_checkpoint: reading.checkpoints.last().map(|(line, _)| *line),
        findings: reading.findings,
    })
}

/// The current release is one that the log tells of.
fn check_current(layout: &Layout, reading: &mut Reading) {
    let Ok(Some(current)) = Current::read(layout) else { return };
    let digest = &current.manifest_sha256;
    if !reading.committed.contains_key(digest) && !reading.intended.contains_key(digest) {
        let why = "the log does not tell of the current release";
        reading.findings.push(Finding::new("CURRENT", "commit", why));
    }
}

/// A finding at a line of the log.
fn at(line: u64, code: &'static str, why: &str) -> Finding {
    Finding::new(format!("audit.jsonl:{line}"), code, why)
}

/// A log read.
pub(super) struct Reading {
    /// Whole lines.
    pub lines: u64,
    /// Of the last entry; 0 without one.
    pub seq: u64,
    /// Of the last line.
    pub hash: String,
    /// Bytes of the whole lines.
    pub end: u64,
    /// Length and digest of what follows the last whole line.
    pub torn: Option<(u64, String)>,
    /// Checkpoints by line.
    pub checkpoints: Vec<(u64, Entry)>,
    /// The last of them as it is written.
    pub signed: Option<String>,
    /// Whether that is what `audit.checkpoint` holds.
    pub beside: bool,
    /// Digests of manifests that are said to have become current, with the first line that says so.
    pub committed: BTreeMap<String, u64>,
    /// Digests of manifests that were to.
    pub intended: BTreeMap<String, u64>,
    /// What is wrong with the chain.
    pub findings: Vec<Finding>,
    /// Entries of kind `epoch`.
    pub epochs: Vec<Entry>,
}

/// Whether the log says of a manifest of this digest that it became current, or was to; with `signers`, in an
/// entry that a checkpoint of one of them covers. True for a store without a log.
///
/// # Errors
/// When the log cannot be read.
pub fn knows(
    layout: &Layout,
    manifest_sha256: &str,
    signers: &[&dyn Signer],
) -> Result<bool, Error> {
    if !layout.audit().exists() {
        return Ok(true);
    }
    let reading = read(layout, &[])?;
    let said = [&reading.intended, &reading.committed];
    let Some(line) = said.into_iter().filter_map(|all| all.get(manifest_sha256)).min() else {
        return Ok(false);
    };
    if signers.is_empty() {
        return Ok(true);
    }
    for (_, checkpoint) in reading.checkpoints.iter().filter(|(at, _)| at > line) {
        let key = checkpoint.text("key").unwrap_or_default();
        let Some(signer) = signers.iter().find(|signer| signer.key_id() == key) else { continue };
        if checkpoint.text("mac") == Some(&signer.sign(&checkpoint.signed()?)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the log and checks its chain, that the checkpoint beside it is in it, and that those of `kept`
/// are.
pub(super) fn read(layout: &Layout, kept: &[String]) -> Result<Reading, Error> {
    let mut reading = Reading {
        lines: 0,
        seq: 0,
        hash: ZEROS.to_owned(),
        end: 0,
        torn: None,
        checkpoints: Vec::new(),
        signed: None,
        beside: false,
        committed: BTreeMap::new(),
        intended: BTreeMap::new(),
        findings: Vec::new(),
        epochs: Vec::new(),
    };
    let mut written = None;
    let mut wanted: Vec<(&str, String)> =
        kept.iter().map(|line| ("a checkpoint that was kept", line.clone())).collect();
    let beside = layout.audit_checkpoint();
    let has_checkpoint = match std::fs::read_to_string(&beside) {
        Ok(text) => {
            let line = text.strip_suffix('\n').unwrap_or(&text).to_owned();
            written = Some(line.clone());
            wanted.push(("the checkpoint in audit.checkpoint", line));
            true
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            let why = "it is not text";
            reading.findings.push(Finding::new("audit.checkpoint", "checkpoint", why));
            true
        }
        Err(e) => return Err(IoError::at("reading", &beside)(e).into()),
    };
    let path = layout.audit();
    match File::open(&path) {
        Ok(file) => {
            let mut lines = BufReader::with_capacity(1 << 16, file);
            let mut line = Vec::new();
            loop {
                line.clear();
                let n =
                    lines.read_until(b'\n', &mut line).map_err(IoError::at("reading", &path))?;
                if n == 0 {
                    break;
                }
                let Some(whole) = line.strip_suffix(b"\n") else {
                    reading.torn = Some((n as u64, hex(&Sha256::digest(&line))));
                    break;
                };
                let before = reading.checkpoints.len();
                reading.line(whole);
                if reading.checkpoints.len() > before {
                    reading.signed = Some(String::from_utf8_lossy(whole).into_owned());
                }
                reading.end += n as u64;
                wanted.retain(|(_, text)| text.as_bytes() != whole);
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if has_checkpoint || !kept.is_empty() {
                let why = "the log is gone, but there is a checkpoint of it";
                reading.findings.push(Finding::new("audit.jsonl", "missing", why));
            }
        }
        Err(e) => return Err(IoError::at("opening", &path)(e).into()),
    }
    reading.beside = written == reading.signed;
    if let (false, Some((line, _))) = (has_checkpoint, reading.checkpoints.last()) {
        let (line, why) = (*line, "audit.checkpoint is gone, but the log has this checkpoint");
        // A run may have died between its first two writes of a checkpoint.
        if reading.checkpoints.len() > 1 || line != reading.lines {
            reading.findings.push(at(line, "checkpoint", why));
        }
    }
    for (what, text) in wanted {
        let place = match parse(text.as_bytes()) {
            Read::Whole(entry, _) => entry.seq,
            _ => reading.lines + 1,
        };
        let why = format!("{what} is not this line: lines were cut off, or changed");
        reading.findings.push(at(place, "checkpoint", &why));
    }
    Ok(reading)
}

impl Reading {
    /// Takes in a whole line.
    fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        let number = self.lines;
        let (entry, hash) = match parse(line) {
            Read::Whole(entry, hash) => (Some(entry), Some(hash)),
            Read::Edited(entry, hash) => {
                let why = "the line is not what was hashed: it was edited";
                self.findings.push(at(number, "hash", why));
                (entry, Some(hash))
            }
            Read::NotALine => {
                self.findings.push(at(number, "format", "this is not a line of the log"));
                (None, None)
            }
        };
        if let Some(entry) = entry {
            self.follow(number, &entry);
            self.note(number, entry);
        } else {
            self.seq += 1;
        }
        if let Some(hash) = hash {
            self.hash = hash;
        }
    }

    /// An entry follows the one before by number and by hash.
    fn follow(&mut self, number: u64, entry: &Entry) {
        if entry.seq != self.seq + 1 {
            let why = format!("entry {} stands after entry {}", entry.seq, self.seq);
            self.findings.push(at(number, "sequence", &why));
        }
        if entry.prev != self.hash {
            let why = "it does not follow the line before: lines were dropped, added or swapped";
            self.findings.push(at(number, "chain", why));
        }
        if number == 1 && entry.kind != "opened" && entry.kind != "recovered" {
            self.findings.push(at(number, "sequence", "the log does not begin here"));
        }
        self.seq = entry.seq;
    }

    fn note(&mut self, number: u64, entry: Entry) {
        let manifest = entry.text("manifest").map(str::to_owned);
        match (entry.kind.as_str(), manifest) {
            ("commit" | "opened" | "recovered", Some(digest)) => {
                self.committed.entry(digest).or_insert(number);
            }
            ("commit_intent", Some(digest)) => {
                self.intended.entry(digest).or_insert(number);
            }
            ("checkpoint", _) => self.checkpoints.push((number, entry)),
            ("epoch", _) => self.epochs.push(entry),
            _ => {}
        }
    }
}
