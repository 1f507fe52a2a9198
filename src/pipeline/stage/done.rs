//! What a stage has made, and how a run remembers it.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::engine::{FileEntry, StageOutput};
use crate::error::IoError;
use crate::omop::Extract;
use crate::pipeline::record::write_private;
use crate::pipeline::{Error, Stage};
use crate::release::{digest_of, sync_names};

/// A finished stage of an unfinished run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// Stage id.
    pub stage: String,
    /// Its content key.
    pub key: String,
    /// Books and files.
    pub output: StageOutput,
    /// Typed tables, for ingests of records.
    pub extract: Option<Extract>,
    /// The typed tables' files, relative to the stage's work folder.
    pub typed: Vec<FileEntry>,
}

impl Done {
    /// What is to be remembered of a stage that has made `made` in `work`.
    ///
    /// # Errors
    /// When a typed table cannot be read back.
    pub fn of(stage: &Stage, made: Made, work: &Path) -> Result<Self, Error> {
        let tables = made.extract.iter().flat_map(|extract| &extract.tables);
        let files: Vec<_> = tables
            .flat_map(|table| table.files().into_iter().map(move |path| (table, path)))
            .collect();
        let typed = files
            .into_par_iter()
            .map(|(table, path)| {
                let (bytes, sha256) = digest_of(&work.join(&path))?;
                Ok(FileEntry {
                    path,
                    tier: "quality".into(),
                    table: table.name.clone(),
                    rows: Some(table.rows),
                    bytes,
                    sha256,
                    plaintext_sha256: None,
                    schema: None,
                    vocabulary: None,
                })
            })
            .collect::<Result<_, IoError>>()?;
        let (stage, key) = (stage.id.clone(), stage.key.clone());
        Ok(Self { stage, key, output: made.output, extract: made.extract, typed })
    }

    /// Where a run keeps these.
    pub fn folder(staging: &Path) -> PathBuf {
        staging.join("done")
    }

    /// All of a run; what cannot be read counts as not finished.
    pub fn all(staging: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(Self::folder(staging)).into_iter().flatten().flatten();
        let paths =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "json"));
        let mut all: Vec<Self> = paths
            .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
            .collect();
        all.sort_by(|a, b| a.stage.cmp(&b.stage));
        all
    }

    /// One.
    ///
    /// # Errors
    /// When it is not there.
    pub fn read(staging: &Path, stage: &str) -> Result<Self, Error> {
        let found = Self::all(staging).into_iter().find(|done| done.stage == stage);
        found.ok_or_else(|| Error::Internal { what: format!("{stage} has not been finished") })
    }

    /// Marks the stage as finished.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, staging: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::Internal { what: format!("a stage cannot be recorded: {e}") })?;
        let folder = Self::folder(staging);
        write_private(&folder.join(format!("{}.json", self.stage)), &bytes)?;
        Ok(sync_names(&folder, [])?)
    }
}

/// What a stage has made.
#[derive(Default)]
pub struct Made {
    /// Books and release files.
    pub output: StageOutput,
    /// Typed tables, for ingests of records.
    pub extract: Option<Extract>,
}

impl From<StageOutput> for Made {
    fn from(output: StageOutput) -> Self {
        Self { output, extract: None }
    }
}
