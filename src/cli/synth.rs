//! `strata synth`.

use std::process::ExitCode;

use super::args::{Args, Synth};
use super::print_line;
use super::report::Failure;
use crate::error::Coded;
use crate::synth::{SynthRequest, generate};

pub fn synth(verb: &Synth, args: &Args) -> Result<ExitCode, Failure> {
    let threads = verb.threads.map(usize::from);
    let request = SynthRequest {
        persons: verb.persons,
        variants: verb.variants,
        seed: verb.seed,
        out: verb.out.clone(),
        threads: threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    generate(&request, super::progress::units(args).as_ref())
        .map_err(|e| Failure::stated(e.code(), e.to_string(), e.help()))?;
    print_line(&format!("wrote {}", verb.out.display()));
    Ok(ExitCode::SUCCESS)
}
