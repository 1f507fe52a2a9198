//! `strata run`.

use std::process::ExitCode;

use super::args::{Args, Plan as PlanArgs, Run};
use super::progress::Bars;
use super::report::Failure;
use super::{print_json, print_line, signal};
use crate::pipeline::{self, Inputs, Options, Project};

pub fn run(verb: &Run, args: &Args) -> Result<ExitCode, Failure> {
    if verb.dry_run {
        return super::plan::plan(&PlanArgs {
            workflow: verb.workflow.clone(),
            json: verb.json,
            dag: false,
            force: verb.force.clone(),
            strict: verb.strict,
        });
    }
    let cancel = signal::watch();
    let mut project = Project::open(&verb.workflow)?;
    if verb.strict {
        project.be_strict();
    }
    super::plan::check_stages(&project, &verb.force)?;
    let threads = verb
        .threads
        .map(usize::from)
        .or(project.workflow.engine.threads)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    // Hashing and checking use the same number of threads as the stages.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(Failure::internal)?;
    let inputs = Inputs::gather(&project)?;
    let key = pipeline::load_key(&project)?;
    let force = super::plan::forced(&verb.force);
    let options = Options { threads, force, new_epoch: verb.new_epoch, cancel };
    let summary = pipeline::run(&project, &inputs, &key, &options, &Bars::new(args))?;
    if verb.json {
        print_json(&serde_json::json!({
            "release_id": summary.release_id,
            "folder": summary.folder,
            "unchanged": summary.unchanged,
            "invariants": summary.invariants(),
            "stages": summary.stages,
        }))?;
    } else if summary.unchanged {
        print_line(&format!("nothing changed: {} is current", summary.release_id));
    } else {
        print_line(&format!("released {}", summary.release_id));
        print_line(&format!("  folder  {}", summary.folder.display()));
        if let Some(invariants) = summary.invariants() {
            print_line(&format!("  checks  {invariants}"));
        }
        let page = summary.folder.join("public/site/index.html");
        if page.exists() {
            print_line(&format!("  browser {}", page.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
