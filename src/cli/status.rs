//! `strata status`.

use std::path::Path;
use std::process::ExitCode;

use indicatif::{HumanBytes, HumanCount};

use super::args::Status;
use super::report::Failure;
use super::{print_json, print_line};
use crate::error::IoError;
use crate::pipeline::Project;
use crate::pipeline::record::{RunRecord, Status as RunStatus};
use crate::release::{Layout, Manifest};

/// The store that a user names by its folder or by a workflow file.
///
/// A folder that is not there is a misspelt one, not an empty store.
pub fn store_of(path: &Path) -> Result<Layout, Failure> {
    let meta = std::fs::metadata(path).map_err(IoError::at("opening", path))?;
    if meta.is_file() { Ok(Project::open(path)?.store) } else { Ok(Layout::new(path)) }
}

pub fn status(verb: &Status) -> Result<ExitCode, Failure> {
    let store = store_of(&verb.store)?;
    let manifest = Manifest::current(&store)?;
    let runs = runs(&store);
    if verb.json {
        let current = manifest.as_ref().map(|m| {
            serde_json::json!({
                "release_id": m.release_id,
                "programme": m.programme,
                "files": m.files.len(),
                "bytes": m.files.iter().map(|f| f.bytes).sum::<u64>(),
            })
        });
        print_json(&serde_json::json!({ "current": current, "runs": runs }))?;
        return Ok(ExitCode::SUCCESS);
    }
    match &manifest {
        None => print_line("no release yet"),
        Some(manifest) => describe(manifest),
    }
    for run in &runs {
        let status = match run.status {
            RunStatus::Running => "running or killed",
            RunStatus::Done => "done",
            RunStatus::Unchanged => "unchanged",
            RunStatus::Failed => "failed",
            RunStatus::Stopped => "stopped",
        };
        let error = run.error.as_ref().map(|e| format!("  {}", e.code)).unwrap_or_default();
        print_line(&format!(
            "{}  {}  {status} ({:.1} s){error}",
            run.started, run.run_id, run.seconds
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(manifest: &Manifest) {
    print_line(&format!("{} — {}", manifest.release_id, manifest.programme));
    for tier in ["controlled", "registered", "public", "quality"] {
        let files: Vec<_> = manifest.files.iter().filter(|f| f.tier == tier).collect();
        let rows = HumanCount(files.iter().filter_map(|f| f.rows).sum());
        let bytes = HumanBytes(files.iter().map(|f| f.bytes).sum());
        print_line(&format!("  {tier:11} {} files, {rows} rows, {bytes}", files.len()));
    }
}

/// Records of all runs, oldest first.
fn runs(store: &Layout) -> Vec<RunRecord> {
    let entries = std::fs::read_dir(store.runs()).into_iter().flatten().flatten();
    let mut runs: Vec<RunRecord> =
        entries.filter_map(|e| RunRecord::read(&e.path().join("run.json")).ok()).collect();
    runs.sort_by(|a, b| (&a.started, &a.run_id).cmp(&(&b.started, &b.run_id)));
    runs
}
