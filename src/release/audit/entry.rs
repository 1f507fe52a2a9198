//! One line of the log: how it is written, hashed, signed and read back.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Fields;
use crate::engine::parquet::hex;
use crate::release::Error;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The log begins; `release` and `manifest` when the store had a current release already.
    Opened,
    /// What a run that died left unsaid: `what` is `torn_line` (`bytes`, `sha256`), `commit` or
    /// `unknown_release` (`release`, `manifest`).
    Recovered,
    /// A run or verb begins: `version`, `program`, `config` (digest), `release`, `content_key`, `key`.
    Start,
    /// One feed of the run: `feed`, `files`, `bytes`, `sha256`.
    Input,
    /// A key is about to be that of a release for the first time: `key`, `epoch`, `shift`.
    Epoch,
    /// Derived keys are about to be used: `key`, `purposes`, `stage`.
    KeyUse,
    /// A stage begins: `stage`, `action`.
    StageStart,
    /// A stage is done: `stage`, `rows_in`, `rows_out`, `rows_excluded`, `files`, `bytes`.
    StageEnd,
    /// A release is about to become current: `release`, `manifest` (its SHA-256).
    CommitIntent,
    /// It is.
    Commit,
    /// A signature over all lines before: `key`, `mac`.
    Checkpoint,
    /// Nothing to do: `release`.
    Unchanged,
    /// A run or verb failed: `code`, `stage` if it was in one.
    Failure,
    /// Shifts are about to be added back: `reason`, `rows`, `people`, `key`.
    Unshift,
    /// Keys of sealed tables are about to be given out: `reason`, `release`, `tier`, `tables`, `files`, `key`.
    Unlock,
}

impl Kind {
    /// The word in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Recovered => "recovered",
            Self::Start => "start",
            Self::Input => "input",
            Self::Epoch => "epoch",
            Self::KeyUse => "key_use",
            Self::StageStart => "stage_start",
            Self::StageEnd => "stage_end",
            Self::CommitIntent => "commit_intent",
            Self::Commit => "commit",
            Self::Checkpoint => "checkpoint",
            Self::Unchanged => "unchanged",
            Self::Failure => "failure",
            Self::Unshift => "unshift",
            Self::Unlock => "unlock",
        }
    }
}

/// One entry, without its hash. The order of its fields is the order in the line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Place in the log, from 1.
    pub seq: u64,
    /// When (UTC, to the second).
    pub time: String,
    /// Which run.
    pub run: String,
    /// A word of [`Kind`].
    pub kind: String,
    /// What it says.
    pub fields: Fields,
    /// Hash of the line before.
    pub prev: String,
}

/// `prev` of the first line.
pub(super) const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What stands between an entry and its hash.
const MARK: &str = ",\"hash\":\"";
/// Bytes from there to the end of the line.
const TAIL: usize = MARK.len() + 64 + 2;

impl Entry {
    /// The entry as canonical JSON: what is hashed.
    fn body(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|e| Error::Invalid { path: "audit.jsonl".into(), why: e.to_string() })
    }

    /// Lower-case hex SHA-256 of the entry.
    pub(super) fn hash(&self) -> Result<String, Error> {
        Ok(digest(&self.body()?))
    }

    /// The whole line, without its end.
    pub(super) fn line(&self) -> Result<String, Error> {
        let body = self.body()?;
        let hash = digest(&body);
        let open = body.strip_suffix('}').unwrap_or(&body);
        Ok(format!("{open}{MARK}{hash}\"}}"))
    }

    /// What the signature of a checkpoint is made of: the entry without the signature. Through `prev` it
    /// stands for every line before.
    pub(super) fn signed(&self) -> Result<Vec<u8>, Error> {
        let mut unsigned = self.clone();
        unsigned.fields.remove("mac");
        Ok(format!("strata/v1/audit-checkpoint\n{}", unsigned.body()?).into_bytes())
    }

    /// Key id, epoch and kind of shift of an entry `epoch`.
    pub(super) fn epoch(&self) -> Option<(String, (u32, String))> {
        let epoch = self.fields.get("epoch").and_then(serde_json::Value::as_u64)?;
        let shift = self.text("shift")?.to_owned();
        Some((self.text("key")?.to_owned(), (u32::try_from(epoch).ok()?, shift)))
    }

    /// A text field.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(serde_json::Value::as_str)
    }
}

fn digest(body: &str) -> String {
    hex(&Sha256::digest(body.as_bytes()))
}

/// A line read back.
pub(super) enum Read {
    /// An entry and the hash that its line states, which is its own.
    Whole(Entry, String),
    /// It is not a line of a log.
    NotALine,
    /// It is one, but for a hash that is not its own: it was edited. With the entry, if it is one.
    Edited(Option<Entry>, String),
}

/// Reads a line, without its end.
pub(super) fn parse(line: &[u8]) -> Read {
    let Ok(text) = std::str::from_utf8(line) else { return Read::NotALine };
    let Some(at) = text.len().checked_sub(TAIL).filter(|at| text.is_char_boundary(*at)) else {
        return Read::NotALine;
    };
    let (open, tail) = text.split_at(at);
    let stated = tail.strip_prefix(MARK).and_then(|rest| rest.strip_suffix("\"}"));
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let Some(stated) = stated.filter(|hash| hash.bytes().all(is_digit)) else {
        return Read::NotALine;
    };
    let body = format!("{open}}}");
    let entry: Option<Entry> = serde_json::from_str(&body).ok();
    // Written in one way only: no repeated key, no blank.
    let canonical = entry.filter(|entry| entry.body().is_ok_and(|again| again == body));
    match canonical {
        Some(entry) if digest(&body) == stated => Read::Whole(entry, stated.to_owned()),
        Some(entry) => Read::Edited(Some(entry), stated.to_owned()),
        None => Read::Edited(None, stated.to_owned()),
    }
}
