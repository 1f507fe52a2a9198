//! `strata unshift`.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use super::args::Unshift;
use super::report::Failure;
use crate::error::IoError;
use crate::pipeline::{self, Project};

/// Where standard input is shown as in messages.
const STDIN: &str = "(standard input)";

pub fn unshift(verb: &Unshift) -> Result<ExitCode, Failure> {
    let project = Project::open(&verb.workflow)?;
    let name = verb.input.as_deref().unwrap_or(Path::new(STDIN));
    let mut asked = Vec::new();
    match &verb.input {
        Some(path) => asked = std::fs::read(path).map_err(IoError::at("reading", path))?,
        None => {
            let read = std::io::stdin().lock().read_to_end(&mut asked);
            read.map_err(IoError::at("reading", name))?;
        }
    }
    // Made before anything is asked: an answer that is in the log is not lost for want of a place.
    let out = verb.out.as_ref().map(|path| create(path)).transpose()?;
    // Never a new key: what was never used has moved nothing.
    if !pipeline::has_key(&project) {
        let what = "the key file of the workflow is not there";
        return Err(discard(verb, Failure::stated("identity::no_key", what, None)));
    }
    let answered = pipeline::load_key(&project)
        .and_then(|key| pipeline::unshift(&project, &key, name, &asked, &verb.reason));
    let answered = answered.map_err(|error| discard(verb, error.into()))?;
    let text = answered.to_csv();
    match (out, &verb.out) {
        (Some(mut file), Some(path)) => {
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(IoError::at("writing", path))?;
        }
        _ => super::print_line(text.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path) -> Result<std::fs::File, IoError> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    made.map_err(IoError::at("creating", path))
}

/// Takes the empty output away when there is no answer.
fn discard(verb: &Unshift, failure: Failure) -> Failure {
    if let Some(path) = &verb.out {
        let _ = std::fs::remove_file(path);
    }
    failure
}
