//! `strata init`.

use std::io::Write;
use std::process::ExitCode;

use super::args::Init;
use super::print_line;
use super::report::Failure;
use crate::error::IoError;

const TEMPLATE: &str = include_str!("init/workflow.toml");

pub fn init(verb: &Init) -> Result<ExitCode, Failure> {
    std::fs::File::create_new(&verb.out)
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()))
        .map_err(IoError::at("creating", &verb.out))?;
    print_line(&format!("wrote {}; edit it, then: strata validate {0}", verb.out.display()));
    Ok(ExitCode::SUCCESS)
}
