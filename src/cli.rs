//! The command line: one file a verb. Only this module prints; results on stdout, the rest on stderr.

#![expect(clippy::print_stderr, reason = "this module alone prints")]

pub mod args;
mod explain;
mod init;
mod man;
mod plan;
mod progress;
mod query;
mod report;
mod run;
mod schema;
mod signal;
mod status;
mod synth;
mod unlock;
mod unshift;
mod validate;
mod verify;
mod vocabulary;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, LogFormat, Verb};
use report::Failure;

/// Parses the arguments, does what they say and gives the exit code: 0 done; 1 a stated problem with the
/// data, the configuration or a check; 2 usage or an unexpected error; 130 or 143 on a signal.
pub fn main() -> ExitCode {
    let args = Args::parse();
    start_log(&args);
    forbid_core_dumps();
    let done = match &args.verb {
        Verb::Init(verb) => init::init(verb),
        Verb::Validate(verb) => validate::validate(verb),
        Verb::Plan(verb) => plan::plan(verb),
        Verb::Run(verb) => run::run(verb, &args),
        Verb::Status(verb) => status::status(verb),
        Verb::Explain(verb) => explain::explain(verb),
        Verb::Verify(verb) => verify::verify(verb),
        Verb::Unshift(verb) => unshift::unshift(verb),
        Verb::Unlock(verb) => unlock::unlock(verb),
        Verb::Query(verb) => query::query(verb),
        Verb::Vocabulary(verb) => vocabulary::vocabulary(verb, &args),
        Verb::Schema(verb) => schema::schema(verb),
        Verb::Synth(verb) => synth::synth(verb, &args),
        Verb::Completions(verb) => man::completions(verb),
        Verb::Man(verb) => man::man(verb),
    };
    match done {
        Ok(code) => code,
        Err(failure) => report::show(&failure, args.log_format),
    }
}

/// Keys and records are in memory: a crash must not write it to a file. With 1 byte, rather than 0, the kernel hands
/// nothing to a collector either.
fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Core).maximum.map_or(1, |most| most.min(1));
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::warn!(%error, "core dumps cannot be forbidden");
    }
}

/// Logs go to stderr: text for people, one JSON object a line for machines.
fn start_log(args: &Args) {
    use tracing_subscriber::EnvFilter;
    let level = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        _ => "debug",
    };
    let filter = EnvFilter::new(format!("off,strata={level}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.with_target(false).without_time().init(),
    }
}

/// Prints a result as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    print_line(&text);
    Ok(())
}

/// Prints a line; a reader that has gone away (`| head`) is no error.
fn print_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
