//! The stage: a folder in, typed tables, books and rejects out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::engine::{Job, Ledger, StageOutput, TableLedger};

use super::cdm::{Family, TableSpec, cdm};
use super::error::Error;
use super::folder::{Format, Source, tables};
use super::loader::{Context, Loaded, Loader};
use super::{Extract, ExtractRequest, columnar, delimited, limit, rejects};

/// A table of the folder, ready to be read.
struct Task {
    spec: &'static TableSpec,
    sources: Vec<Source>,
}

impl Task {
    fn bytes(&self) -> u64 {
        self.sources.iter().map(|s| s.bytes).sum()
    }

    fn run(&self, context: &Context<'_>) -> Result<Loaded, Error> {
        context.job.check()?;
        let mut loader = Loader::new(self.spec, context)?;
        for source in &self.sources {
            match source.format {
                Format::Text => delimited::load(source, &mut loader, context.job)?,
                Format::Parquet => columnar::load(source, &mut loader, context.job)?,
            }
        }
        loader.finish()
    }
}

/// Reads the extract of `request` and writes its typed tables and rejects below `job.out`.
///
/// `person` is read first, so that rows of persons it lacks can be told; then one table a worker, the
/// largest first. Memory: a batch of rows, a row group being encoded and one compressed bitmap of keys
/// per table at work; rejects beyond some thousands wait in the scratch folder.
///
/// # Errors
/// See [`Error`]; when several tables fail, the first by name is reported. When more rows of a table are
/// quarantined than the request allows, everything has been written before the error is returned, so
/// that the rejects can be read.
pub fn ingest(request: &ExtractRequest, job: &Job) -> Result<Extract, Error> {
    let site = request.site.as_str();
    if !is_site_name(site) {
        return Err(Error::SiteName);
    }
    let mut notes = TableLedger::new("omop");
    notes.noted.insert(format!("site:{site}"), 1);
    let mut tasks = find_tasks(request, &mut notes)?;
    job.progress.expect(tasks.iter().map(Task::bytes).sum());

    let mut context = Context {
        site,
        job,
        persons: None,
        shift: request.shift_map.as_ref(),
        encoding: request.encoding,
    };
    let mut loaded = Vec::new();
    if let Some(person) = tasks.iter().position(|t| t.spec.name == "person") {
        loaded.push(tasks.remove(person).run(&context)?);
    }
    let persons = loaded.first_mut().map(|person| std::mem::take(&mut person.keys));
    context.persons = persons.as_ref();
    loaded.extend(run_all(tasks, &context)?);
    loaded.sort_by(|a, b| a.table.name.cmp(&b.table.name));
    collect(request, job, notes, loaded)
}

fn is_site_name(site: &str) -> bool {
    !site.is_empty() && site.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn find_tasks(request: &ExtractRequest, notes: &mut TableLedger) -> Result<Vec<Task>, Error> {
    let cdm = cdm(request.cdm);
    let mut found = tables(&request.path, cdm, notes)?;
    found.retain(|table, _| cdm.table(table).is_some_and(|spec| request.scope.has(spec)));
    if found.is_empty() {
        return Err(Error::NoTables { path: request.path.clone(), cdm: request.cdm.name() });
    }
    if request.scope.has_people() && !found.contains_key("person") {
        return Err(Error::NoPerson { path: request.path.clone() });
    }
    let mut tasks = Vec::new();
    for spec in cdm.tables().filter(|t| request.scope.has(t)) {
        match found.remove(spec.name) {
            Some(sources) => tasks.push(Task { spec, sources }),
            // The CDM does not ask for it.
            None if spec.family == Family::Survey => {}
            None => notes.note(&format!("missing_table:{}", spec.name), 1),
        }
    }
    Ok(tasks)
}

/// Runs `tasks`, the largest first, and returns their results in no particular order.
fn run_all(mut tasks: Vec<Task>, context: &Context<'_>) -> Result<Vec<Loaded>, Error> {
    tasks.sort_by_key(|t| (std::cmp::Reverse(t.bytes()), t.spec.name));
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(tasks.len()));
    std::thread::scope(|scope| {
        for _ in 0..context.job.threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = task.run(context);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((task.spec.name, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(name, _)| *name);
    results.into_iter().map(|(_, result)| result).collect()
}

fn collect(
    request: &ExtractRequest,
    job: &Job,
    notes: TableLedger,
    loaded: Vec<Loaded>,
) -> Result<Extract, Error> {
    let mut ledger = vec![notes];
    let mut tables = Vec::with_capacity(loaded.len());
    let mut quarantine = Vec::with_capacity(loaded.len());
    for table in loaded {
        ledger.push(table.ledger);
        tables.push(table.table);
        quarantine.push(table.rejects);
    }
    let rejects = rejects::write(&job.out, &request.site, quarantine)?;
    limit::check(request.max_rejected, &ledger[1..], &job.out.join(&rejects.path))?;
    Ok(Extract {
        site: request.site.clone(),
        cdm: request.cdm,
        tables,
        output: StageOutput { ledger: Ledger(ledger), files: vec![rejects] },
    })
}
