//! `strata validate`.

use std::process::ExitCode;

use super::args::Workflow;
use super::report::Failure;
use super::{print_json, print_line};
use crate::pipeline::{self, Project};

pub fn validate(verb: &Workflow) -> Result<ExitCode, Failure> {
    let project = Project::open(&verb.workflow)?;
    let problems = pipeline::validate(&project);
    if verb.json {
        print_json(&serde_json::json!({ "valid": problems.is_empty(), "problems": problems }))?;
    } else if problems.is_empty() {
        print_line(&format!("{} is valid", verb.workflow.display()));
    } else {
        for problem in &problems {
            print_line(&format!("{}: {}", problem.code, problem.message));
            if let Some(help) = &problem.help {
                print_line(&format!("  help: {help}"));
            }
        }
        print_line(&format!("{} problem(s)", problems.len()));
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
