//! Carries out a plan: stages in order, then the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::plan::{Action, Stage};
use super::record::{RecordedError, Recorder, StageRun, Status, now};
use super::stage::{Bench, Done};
use super::{Error, Inputs, Plan, Project};
use crate::engine::parquet::create_private_dir;
use crate::engine::{Job, Progress, StageOutput};
use crate::error::{Coded, IoError};
use crate::identity::Key;
use crate::release::{
    Layout, MANIFEST_SCHEMA, Manifest, StageRecord, StoreLock, commit, digest_of,
};

/// Hears of a run's stages; the command line draws bars with it.
pub trait Listener: Send + Sync {
    /// Stage `index` of `total` starts; its progress goes to what is returned.
    fn stage_started(&self, stage: &Stage, index: usize, total: usize) -> Arc<dyn Progress>;
    /// A stage ended well.
    fn stage_finished(&self, run: &StageRun);
}

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Worker threads.
    pub threads: usize,
    /// Stages to run even if nothing changed.
    pub force: BTreeSet<String>,
    /// Set when the user asks to stop.
    pub cancel: Arc<AtomicBool>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The release that is current now.
    pub release_id: String,
    /// Whether there was nothing to do.
    pub unchanged: bool,
    /// Its folder.
    pub folder: PathBuf,
    /// Stages carried out.
    pub stages: Vec<StageRun>,
}

/// Runs `project` to a committed release.
///
/// # Errors
/// Whatever stops it; `CURRENT` is then as it was, and the same command goes on where it stopped.
pub fn run(
    project: &Project,
    inputs: &Inputs,
    key: &Key,
    options: &Options,
    listener: &dyn Listener,
) -> Result<Summary, Error> {
    create_store(&project.store)?;
    let plan = Plan::make(project, inputs, &key.kid(), &options.force)?;
    let _lock = StoreLock::acquire(&project.store, &plan.run_id)?;
    // Another run may have committed between the plan and the lock.
    let plan = Plan::make(project, inputs, &key.kid(), &options.force)?;
    let folder = project.store.release(&plan.release_id);
    clear_dead_runs(&project.store, &plan.run_id)?;
    // Stopped between its two last renames: the release is whole, only CURRENT was not told.
    let adopted = !plan.done && options.force.is_empty() && adopt(&project.store, &plan)?;
    if plan.done || adopted {
        remove(&project.store.staging_of(&plan.run_id))?;
        tracing::info!(release = plan.release_id, "nothing changed: the release is current");
        return Ok(Summary {
            release_id: plan.release_id,
            unchanged: plan.done,
            folder,
            stages: Vec::new(),
        });
    }
    let mut recorder = Recorder::start(project.store.run(&plan.run_id), &plan)?;
    let mut execution = Execution {
        project,
        inputs,
        plan: &plan,
        options,
        listener,
        staging: project.store.staging_of(&plan.run_id),
        bench: Bench::new(project, inputs, key),
        outputs: BTreeMap::new(),
    };
    match execution.carry_out(&mut recorder) {
        Ok(()) => {
            recorder.end(Status::Done, None)?;
            Ok(Summary {
                release_id: plan.release_id.clone(),
                unchanged: false,
                folder,
                stages: recorder.record.stages,
            })
        }
        Err(error) => {
            let status = if error.is_cancelled() { Status::Stopped } else { Status::Failed };
            let recorded =
                RecordedError { code: error.code().to_owned(), message: error.to_string() };
            // The run's own error matters more than a record that could not be written.
            if let Err(second) = recorder.end(status, Some(recorded)) {
                tracing::warn!(error = %second, "the run record could not be written");
            }
            Err(error)
        }
    }
}

fn adopt(store: &Layout, plan: &Plan) -> Result<bool, Error> {
    Ok(crate::release::adopt(store, &plan.release_id, &plan.content_key)?)
}

/// The store folder itself is open to readers of the public tier; what is private below it is 0700.
fn create_store(store: &Layout) -> Result<(), Error> {
    for folder in [store.root().to_owned(), store.releases()] {
        std::fs::create_dir_all(&folder).map_err(IoError::at("creating", &folder))?;
    }
    create_private_dir(&store.staging())?;
    create_private_dir(&store.runs())?;
    Ok(())
}

/// What other runs left in `staging/`: they are dead, for this run holds the lock.
fn clear_dead_runs(store: &Layout, run_id: &str) -> Result<(), Error> {
    let staging = store.staging();
    for entry in std::fs::read_dir(&staging).map_err(IoError::at("listing", &staging))? {
        let path = entry.map_err(IoError::at("listing", &staging))?.path();
        if path.file_name().is_some_and(|name| name != run_id) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Error> {
    let done =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match done {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(IoError::at("removing", path)(e).into())
        }
        _ => Ok(()),
    }
}

struct Execution<'a> {
    project: &'a Project,
    inputs: &'a Inputs,
    plan: &'a Plan,
    options: &'a Options,
    listener: &'a dyn Listener,
    staging: PathBuf,
    bench: Bench<'a>,
    outputs: BTreeMap<String, StageOutput>,
}

impl Execution<'_> {
    /// The release as it will be, file by file.
    fn tree(&self) -> PathBuf {
        self.staging.join("release")
    }

    fn work(&self, stage: &Stage) -> PathBuf {
        self.staging.join("work").join(&stage.id)
    }

    fn carry_out(&mut self, recorder: &mut Recorder) -> Result<(), Error> {
        for folder in [self.tree(), self.staging.join("work"), Done::folder(&self.staging)] {
            create_private_dir(&folder)?;
        }
        self.clear_unfinished()?;
        let total = self.plan.stages.len();
        for (index, stage) in self.plan.stages.iter().enumerate() {
            self.check()?;
            recorder.event("stage_started", &[("stage", stage.id.clone().into())])?;
            let progress = self.listener.stage_started(stage, index, total);
            let (started, clock) = (now(), Instant::now());
            let output = self.stage(stage, progress).map_err(|e| Error::at_stage(&stage.id, e))?;
            let run = StageRun {
                stage: stage.id.clone(),
                action: stage.action,
                why: stage.why.clone(),
                status: Status::Done,
                started,
                seconds: clock.elapsed().as_secs_f64(),
                ledger: output.ledger.clone(),
                files: output.files.clone(),
            };
            self.listener.stage_finished(&run);
            recorder.stage(run)?;
            self.outputs.insert(stage.id.clone(), output);
        }
        self.commit()
    }

    fn check(&self) -> Result<(), Error> {
        self.job(self.staging.clone(), Arc::new(crate::engine::job::Silent)).check()?;
        Ok(())
    }

    fn job(&self, out: PathBuf, progress: Arc<dyn Progress>) -> Job {
        Job {
            scratch: out.join("scratch"),
            out,
            threads: self.options.threads,
            memory: self.project.workflow.engine.memory_mib << 20,
            progress,
            cancel: self.options.cancel.clone(),
        }
    }

    /// Drops files of the release tree that no finished stage owns: their stage was interrupted.
    fn clear_unfinished(&self) -> Result<(), Error> {
        let owned: BTreeSet<PathBuf> = Done::all(&self.staging)
            .iter()
            .flat_map(|done| &done.output.files)
            .map(|file| self.tree().join(&file.path))
            .collect();
        let mut folders = vec![self.tree()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(IoError::at("listing", &folder))? {
                let path = entry.map_err(IoError::at("listing", &folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !owned.contains(&path) {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    fn stage(&mut self, stage: &Stage, progress: Arc<dyn Progress>) -> Result<StageOutput, Error> {
        match stage.action {
            Action::Resume => self.resume(stage),
            Action::Reuse => self.reuse(stage),
            Action::Run => self.make(stage, progress),
        }
    }

    fn make(&mut self, stage: &Stage, progress: Arc<dyn Progress>) -> Result<StageOutput, Error> {
        let work = self.work(stage);
        remove(&work)?;
        create_private_dir(&work)?;
        let job = self.job(work.clone(), progress);
        create_private_dir(&job.scratch)?;
        let files = self.files_of(&stage.needs);
        let made = self.bench.make(&stage.work, &job, &self.tree(), files)?;
        if let Some(table) = made.output.ledger.unbalanced().first() {
            return Err(Error::Unbalanced { table: table.table.clone() });
        }
        for file in &made.output.files {
            let (from, to) = (work.join(&file.path), self.tree().join(&file.path));
            if let Some(parent) = to.parent() {
                create_private_dir(parent)?;
            }
            std::fs::rename(&from, &to).map_err(IoError::at("moving", &from))?;
        }
        remove(&job.scratch)?;
        let done = Done {
            stage: stage.id.clone(),
            key: stage.key.clone(),
            output: made.output,
            extract: made.extract,
        };
        done.write(&self.staging)?;
        Ok(done.output)
    }

    /// Release files that the stages in `needs` have made.
    fn files_of(&self, needs: &[String]) -> Vec<crate::engine::FileEntry> {
        let outputs = needs.iter().filter_map(|need| self.outputs.get(need));
        outputs.flat_map(|output| output.files.iter().cloned()).collect()
    }

    fn resume(&mut self, stage: &Stage) -> Result<StageOutput, Error> {
        let done = Done::read(&self.staging, &stage.id)?;
        for file in &done.output.files {
            let (bytes, digest) = digest_of(&self.tree().join(&file.path))?;
            if (bytes, &digest) != (file.bytes, &file.sha256) {
                // The next run makes it again instead of finding the same damage.
                done.forget(&self.staging)?;
                return Err(crate::release::Error::Changed { path: file.path.clone() }.into());
            }
        }
        self.bench.restore(&stage.work, done.extract, self.work(stage));
        Ok(done.output)
    }

    /// Links the stage's files from the current release: they are immutable, so one inode serves both.
    fn reuse(&mut self, stage: &Stage) -> Result<StageOutput, Error> {
        let manifest = Manifest::current(&self.project.store)?;
        let missing = || Error::Internal { what: "a stage to reuse is not in the release".into() };
        let manifest = manifest.ok_or_else(missing)?;
        let record = manifest.stages.get(&stage.id).ok_or_else(missing)?;
        let from = self.project.store.release(&manifest.release_id);
        let mut files = Vec::new();
        for entry in manifest.files.iter().filter(|f| record.files.contains(&f.path)) {
            let (source, target) = (from.join(&entry.path), self.tree().join(&entry.path));
            if let Some(parent) = target.parent() {
                create_private_dir(parent)?;
            }
            std::fs::hard_link(&source, &target).map_err(IoError::at("linking", &source))?;
            files.push(entry.clone());
        }
        Ok(StageOutput { ledger: record.ledger.clone(), files })
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.check()?;
        self.inputs.check_unchanged()?;
        let manifest = self.manifest();
        commit(&self.project.store, &self.tree(), &manifest)?;
        remove(&self.staging)
    }

    fn manifest(&self) -> Manifest {
        let stages = self.plan.stages.iter().filter_map(|stage| {
            let output = self.outputs.get(&stage.id)?;
            let record = StageRecord {
                key: stage.key.clone(),
                parts: stage.parts.clone(),
                ledger: output.ledger.clone(),
                files: output.files.iter().map(|f| f.path.clone()).collect(),
            };
            Some((stage.id.clone(), record))
        });
        let mut files: Vec<_> = self.outputs.values().flat_map(|o| o.files.clone()).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Manifest {
            schema: MANIFEST_SCHEMA,
            release_id: self.plan.release_id.clone(),
            content_key: self.plan.content_key.clone(),
            programme: self.project.workflow.workflow.name.clone(),
            reference_date: self.project.workflow.workflow.reference_date.0.to_string(),
            strata_version: env!("CARGO_PKG_VERSION").into(),
            key_id: self.plan.key_id.clone(),
            config: self.project.portable_config(),
            inputs: self.inputs.list(),
            stages: stages.collect(),
            files,
        }
    }
}
