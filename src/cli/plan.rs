//! `strata plan`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use indicatif::HumanBytes;

use super::args::Plan as PlanArgs;
use super::report::Failure;
use super::{print_json, print_line};
use crate::config::nearest;
use crate::pipeline::{Action, Inputs, Plan, Project, peek_key_id};

pub fn plan(verb: &PlanArgs) -> Result<ExitCode, Failure> {
    let mut project = Project::open(&verb.workflow)?;
    if verb.strict {
        project.be_strict();
    }
    check_stages(&project, &verb.force)?;
    let inputs = Inputs::gather(&project)?;
    let key_id = peek_key_id(&project)?;
    let plan = Plan::make(&project, &inputs, &key_id, &forced(&verb.force));
    if verb.json {
        print_json(&plan)?;
    } else if verb.dag {
        print_line(plan.mermaid().trim_end());
    } else {
        print_line(&describe(&plan));
    }
    Ok(ExitCode::SUCCESS)
}

/// Stages that the user wants to run, with that as the reason.
pub fn forced(stages: &[String]) -> BTreeMap<String, String> {
    stages.iter().map(|id| (id.clone(), "asked for with --force".to_owned())).collect()
}

fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    let current = plan.current.as_deref().unwrap_or("none yet");
    text += &format!("current release  {current}\n");
    text += &format!("inputs           {}\n", HumanBytes(plan.input_bytes));
    if plan.done {
        return text + "nothing changed: a run would do nothing";
    }
    text += &format!("would release    {}\n\n", plan.release_id);
    for stage in &plan.stages {
        let action = match stage.action {
            Action::Run => "run",
            Action::Reuse => "reuse",
            Action::Resume => "resume",
        };
        text += &format!("  {action:7} {:26} {}\n", stage.id, stage.why);
        if !stage.needs.is_empty() {
            text += &format!("  {:7} {:26}   after {}\n", "", "", stage.needs.join(", "));
        }
    }
    text + "  run     commit"
}

/// Fails on a stage name that the workflow does not have.
pub fn check_stages(project: &Project, names: &[String]) -> Result<(), Failure> {
    let known = project.stage_ids();
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let near = nearest(name, known.iter().map(String::as_str));
            let help = near
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("stages: {}", known.join(", ")));
            Err(Failure::stated(
                "cli::unknown_stage",
                format!("there is no stage `{name}`"),
                Some(help),
            ))
        }
    }
}
