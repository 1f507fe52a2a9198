//! Carries out a plan: stages in order, then the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::audit::{Hands, Trail};
use super::epoch::Naming;
use super::plan::{Action, Stage, readable_current};
use super::record::{RecordedError, Recorder, StageRun, Status, close, now};
use super::stage::{Bench, Done};
use super::{Error, Inputs, Plan, Project, seal};
use crate::engine::parquet::create_private_dir;
use crate::engine::{FileEntry, Job, Keyring, Ledger, Progress, StageOutput};
use crate::error::{Coded, IoError};
use crate::identity::Key;
use crate::release::{
    Layout, MANIFEST_SCHEMA, Manifest, StageRecord, StoreLock, commit, digest_of, sync_names,
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
    /// Stages to run even if nothing changed, and why.
    pub force: BTreeMap<String, String>,
    /// Whether a key that is new to the store may be used.
    pub new_epoch: bool,
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

impl Summary {
    /// `24 invariants checked, 0 violated`, when the run has tiers.
    pub fn invariants(&self) -> Option<String> {
        self.stages.iter().find_map(super::invariants::said)
    }
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
    let mut options = options.clone();
    let plan = Plan::make(project, inputs, &key.kid(), &options.force);
    let lock = StoreLock::acquire(&project.store, &plan.run_id)?;
    let mut trail = Trail::open(&project.store, &lock, &plan.run_id, key)?;
    trail.start(project, inputs, &plan)?;
    let checked = Naming::of(project, key).and_then(|naming| {
        let is_new = naming.check(project, trail.log(), options.new_epoch)?;
        Ok((naming, is_new))
    });
    let (naming, is_new) = checked.inspect_err(|error| trail.failed(error))?;
    loop {
        // Made again under the lock: another run may have committed in between.
        let plan = Plan::make(project, inputs, &key.kid(), &options.force);
        let mut hands = Hands { naming: &naming, is_new, trail: &mut trail };
        let done = attempt(project, inputs, &plan, &options, listener, &mut hands);
        match done.inspect_err(|error| trail.failed(error)) {
            Err(error) => match error.damaged_stage() {
                Some(stage) if !options.force.contains_key(stage) => {
                    tracing::warn!(stage, "its files are damaged; it runs again");
                    let why = "its files were damaged".to_owned();
                    options.force.insert(stage.to_owned(), why);
                }
                _ => return Err(error),
            },
            done => return done,
        }
    }
}

fn attempt(
    project: &Project,
    inputs: &Inputs,
    plan: &Plan,
    options: &Options,
    listener: &dyn Listener,
    hands: &mut Hands<'_>,
) -> Result<Summary, Error> {
    let summary = |unchanged, stages| Summary {
        release_id: plan.release_id.clone(),
        unchanged,
        folder: project.store.release(&plan.release_id),
        stages,
    };
    clear_dead_runs(&project.store, &plan.run_id)?;
    let records = project.store.run(&plan.run_id);
    // Stopped between its two last renames: the release is whole, only CURRENT was not told.
    let adopted = !plan.done && options.force.is_empty() && adopt(&project.store, plan, hands)?;
    if plan.done || adopted {
        hands.trail.unchanged(&plan.release_id)?;
        remove(&project.store.staging_of(&plan.run_id))?;
        close(&records, if adopted { Status::Done } else { Status::Unchanged })?;
        tracing::info!(release = plan.release_id, "nothing changed: the release is current");
        return Ok(summary(plan.done, Vec::new()));
    }
    let mut recorder = Recorder::start(records, plan)?;
    let mut execution = Execution {
        project,
        inputs,
        plan,
        options,
        listener,
        staging: project.store.staging_of(&plan.run_id),
        bench: Bench::new(project, inputs, hands.naming),
        outputs: BTreeMap::new(),
        keyring: seal::ring_of_run(hands.naming.key())?,
        hands,
    };
    match execution.carry_out(&mut recorder) {
        Ok(()) => {
            recorder.end(Status::Done, None)?;
            Ok(summary(false, recorder.record.stages))
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

/// Makes a whole release of this content current that `CURRENT` was not told of.
fn adopt(store: &Layout, plan: &Plan, hands: &mut Hands<'_>) -> Result<bool, Error> {
    let path = store.release(&plan.release_id).join("MANIFEST.json");
    let Ok(manifest) = std::fs::read(&path) else { return Ok(false) };
    if !hands.trail.has_signed(store, &manifest)? {
        // It is made anew.
        return Ok(false);
    }
    hands.intend(&plan.release_id, &manifest)?;
    let adopted = crate::release::adopt(store, &plan.release_id, &plan.content_key)?;
    if adopted {
        hands.trail.committed(&plan.release_id, &manifest)?;
    }
    Ok(adopted)
}

/// The store folder itself is open to readers of the public tier; what is private below it is 0700.
pub(super) fn create_store(store: &Layout) -> Result<(), Error> {
    for folder in [store.root().to_owned(), store.releases()] {
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder).map_err(IoError::at("creating", &folder))?;
            // Whatever the umask; a folder that was there keeps the mode its owner gave it.
            std::fs::set_permissions(&folder, Permissions::from_mode(0o755))
                .map_err(IoError::at("opening up", &folder))?;
        }
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
        if path.file_name().is_some_and(|name| name != run_id) && !super::spool::is_alive(&path) {
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

struct Execution<'a, 'n> {
    project: &'a Project,
    inputs: &'a Inputs,
    plan: &'a Plan,
    options: &'a Options,
    listener: &'a dyn Listener,
    staging: PathBuf,
    bench: Bench<'a>,
    hands: &'a mut Hands<'n>,
    outputs: BTreeMap<String, StageOutput>,
    keyring: Keyring,
}

impl Execution<'_, '_> {
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
            self.hands.trail.stage_start(stage)?;
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
            self.hands.trail.stage_end(&stage.id, &output)?;
            self.listener.stage_finished(&run);
            if let Some(said) = super::invariants::said(&run) {
                recorder.record.invariants = Some(said);
            }
            recorder.stage(run)?;
            self.outputs.insert(stage.id.clone(), output);
        }
        let (started, clock) = (now(), Instant::now());
        recorder.event("stage_started", &[("stage", "commit".into())])?;
        self.commit()?;
        recorder.stage(StageRun {
            stage: "commit".into(),
            action: Action::Run,
            why: "every stage is done".into(),
            status: Status::Done,
            started,
            seconds: clock.elapsed().as_secs_f64(),
            ledger: Ledger::default(),
            files: Vec::new(),
        })
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
            keyring: self.keyring.clone(),
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
        let mut made = self.bench.make(&stage.work, &job, &self.tree(), files, &self.outputs)?;
        if let Some(table) = made.output.ledger.unbalanced().first() {
            return Err(Error::Unbalanced { table: table.table.clone() });
        }
        let keys = seal::sealing(self.project, self.hands.naming.key());
        let (files, threads) = (&made.output.files, self.options.threads);
        made.output.files = seal::place(files, (&work, &self.tree()), &keys, threads)?;
        remove(&job.scratch)?;
        let done = Done::of(stage, made, &work)?;
        // The mark that a stage is done must not outlive the names of its files.
        sync_names(&self.tree(), done.output.files.iter().map(|f| f.path.as_str()))?;
        sync_names(&work, done.typed.iter().map(|f| f.path.as_str()))?;
        done.write(&self.staging)?;
        Ok(done.output)
    }

    /// Release files that the stages in `needs` have made.
    fn files_of(&self, needs: &[String]) -> Vec<FileEntry> {
        let outputs = needs.iter().filter_map(|need| self.outputs.get(need));
        outputs.flat_map(|output| output.files.iter().cloned()).collect()
    }

    fn resume(&mut self, stage: &Stage) -> Result<StageOutput, Error> {
        let done = Done::read(&self.staging, &stage.id)?;
        let damaged = || Error::Damaged { stage: stage.id.clone() };
        let work = self.work(stage);
        let whole = done.output.files.iter().all(|file| is_whole(&self.tree(), file))
            && done.typed.iter().all(|file| is_whole(&work, file));
        if !whole {
            return Err(damaged());
        }
        self.bench.restore(&stage.work, done.extract, work);
        Ok(done.output)
    }

    /// Links the stage's files from the current release: they are immutable, so one inode serves both.
    fn reuse(&mut self, stage: &Stage) -> Result<StageOutput, Error> {
        let damaged = || Error::Damaged { stage: stage.id.clone() };
        let manifest = readable_current(&self.project.store).ok_or_else(damaged)?;
        let record = manifest.stages.get(&stage.id).ok_or_else(damaged)?;
        let from = self.project.store.release(&manifest.release_id);
        let wanted: BTreeSet<&str> = record.files.iter().map(String::as_str).collect();
        let mut files = Vec::new();
        for entry in manifest.files.iter().filter(|f| wanted.contains(f.path.as_str())) {
            if !is_whole(&from, entry) {
                return Err(damaged());
            }
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
        let (id, bytes) = (&manifest.release_id, manifest.to_bytes()?);
        self.hands.intend(id, &bytes)?;
        commit(&self.project.store, &self.tree(), &manifest)?;
        self.hands.trail.committed(id, &bytes)?;
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
            identity: self.hands.naming.record(),
            config: self.project.portable_config(),
            inputs: self.inputs.list(),
            stages: stages.collect(),
            files,
        }
    }
}

/// Whether a file is there with the bytes that were written.
fn is_whole(root: &Path, file: &FileEntry) -> bool {
    digest_of(&root.join(&file.path))
        .is_ok_and(|(bytes, digest)| (bytes, &digest) == (file.bytes, &file.sha256))
}
