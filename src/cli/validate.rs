//! `strata validate`.

use std::process::ExitCode;

use super::args::Workflow;
use super::report::Failure;
use super::{print_json, print_line};
use crate::config::{Diagnostic, Error};
use crate::pipeline::{self, Problem, Project};

pub fn validate(verb: &Workflow) -> Result<ExitCode, Failure> {
    let problems = match Project::open(&verb.workflow) {
        Ok(project) => pipeline::validate(&project),
        // With --json the answer is on stdout, whichever half of the checks it comes from.
        Err(Error::Invalid(places)) if verb.json => places.iter().map(problem).collect(),
        Err(error) => return Err(error.into()),
    };
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

fn problem(place: &Diagnostic) -> Problem {
    let Diagnostic { file, line, column, message, help, .. } = place;
    Problem {
        code: "config::invalid".into(),
        message: format!("{}:{line}:{column}: {message}", file.display()),
        help: help.clone(),
    }
}
