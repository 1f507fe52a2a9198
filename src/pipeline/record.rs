//! What a run leaves behind about itself: `plan.json`, `events.jsonl` and `run.json`.
//!
//! These are for people and schedulers. They carry times, so they are not part of a release; they carry
//! no id, date, key or value of a person.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Action;
use super::{Error, Plan};
use crate::engine::{FileEntry, Ledger};
use crate::error::IoError;

/// Version of the shape of `run.json`.
pub const RUN_SCHEMA: u32 = 1;

/// How a run or stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Under way, or killed.
    Running,
    /// Done.
    Done,
    /// The current release already was this one.
    Unchanged,
    /// Ended with an error.
    Failed,
    /// Stopped by a signal.
    Stopped,
}

/// An error as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedError {
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    /// Stage id.
    pub stage: String,
    /// What was done about it.
    pub action: Action,
    /// Why.
    pub why: String,
    /// How it ended.
    pub status: Status,
    /// When it started (UTC).
    pub started: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Rows in, out and excluded by reason.
    pub ledger: Ledger,
    /// Files it wrote.
    pub files: Vec<FileEntry>,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this shape.
    pub schema: u32,
    /// Id of the run.
    pub run_id: String,
    /// Id of the release it makes.
    pub release_id: String,
    /// Version of the program.
    pub strata_version: String,
    /// How it ended.
    pub status: Status,
    /// When it started (UTC).
    pub started: String,
    /// When it ended (UTC).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Stages in order.
    pub stages: Vec<StageRun>,
    /// How many invariants of the release were checked and violated, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invariants: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<RecordedError>,
}

impl RunRecord {
    /// Reads a `run.json`.
    ///
    /// # Errors
    /// When it is absent or not a run record.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(IoError::at("reading", path))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::Record { path: path.to_owned(), why: e.to_string() })
    }
}

/// UTC now, to the second. Only records know the time.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes a run's records as it goes.
pub struct Recorder {
    folder: PathBuf,
    /// The record so far.
    pub record: RunRecord,
    clock: std::time::Instant,
}

impl Recorder {
    /// Starts the records of `plan` in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn start(folder: PathBuf, plan: &Plan) -> Result<Self, Error> {
        crate::engine::parquet::create_private_dir(&folder)?;
        let record = RunRecord {
            schema: RUN_SCHEMA,
            run_id: plan.run_id.clone(),
            release_id: plan.release_id.clone(),
            strata_version: env!("CARGO_PKG_VERSION").into(),
            status: Status::Running,
            started: now(),
            finished: None,
            seconds: 0.0,
            stages: Vec::new(),
            invariants: None,
            error: None,
        };
        let recorder = Self { folder, record, clock: std::time::Instant::now() };
        recorder.write("plan.json", &to_json(plan)?)?;
        recorder.event("run_started", &[])?;
        recorder.save()?;
        Ok(recorder)
    }

    /// Appends a line to `events.jsonl`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn event(&self, event: &str, fields: &[(&str, serde_json::Value)]) -> Result<(), Error> {
        let mut line = serde_json::Map::new();
        line.insert("time".into(), now().into());
        line.insert("run_id".into(), self.record.run_id.clone().into());
        line.insert("event".into(), event.into());
        line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let path = self.folder.join("events.jsonl");
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{}", serde_json::Value::Object(line)))
            .map_err(IoError::at("writing", &path))?;
        Ok(())
    }

    /// Books a finished stage.
    ///
    /// # Errors
    /// When the records cannot be written.
    pub fn stage(&mut self, stage: StageRun) -> Result<(), Error> {
        self.event(
            "stage_finished",
            &[("stage", stage.stage.clone().into()), ("seconds", stage.seconds.into())],
        )?;
        self.record.stages.push(stage);
        self.save()
    }

    /// Ends the records.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn end(&mut self, status: Status, error: Option<RecordedError>) -> Result<(), Error> {
        self.record.status = status;
        self.record.error = error;
        self.record.finished = Some(now());
        self.record.seconds = self.clock.elapsed().as_secs_f64();
        let code = self.record.error.as_ref().map(|e| e.code.clone());
        let status = serde_json::to_value(status).unwrap_or_default();
        self.event("run_finished", &[("status", status), ("error", code.into())])?;
        self.save()
    }

    fn save(&self) -> Result<(), Error> {
        self.write("run.json", &to_json(&self.record)?)
    }

    /// Aside and renamed, so that a reader never sees half a record.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        write_private(&self.folder.join(name), bytes)
    }
}

/// Brings a finished run's records to their end when there was nothing left to do.
///
/// # Errors
/// When they cannot be written.
pub fn close(folder: &Path, status: Status) -> Result<(), Error> {
    let Ok(mut record) = RunRecord::read(&folder.join("run.json")) else { return Ok(()) };
    if record.status != Status::Done {
        record.status = Status::Done;
        record.finished = Some(now());
        record.error = None;
    }
    let recorder = Recorder { folder: folder.to_owned(), record, clock: std::time::Instant::now() };
    let status = serde_json::to_value(status).unwrap_or_default();
    recorder.event("run_finished", &[("status", status)])?;
    recorder.save()
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(value)
        .map_err(|e| Error::Record { path: "run.json".into(), why: e.to_string() })
}

/// Replaces `path` with `bytes`, mode 0600, in one rename, synced.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let aside = path.with_extension("tmp");
    let _ = std::fs::remove_file(&aside);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(IoError::at("writing", &aside))?;
    std::fs::rename(&aside, path).map_err(IoError::at("renaming", &aside))?;
    Ok(())
}
