//! `strata man` and `strata completions`.

use std::process::ExitCode;

use clap::CommandFactory;

use super::args::{Args, Completions, Man};
use super::print_line;
use super::report::Failure;
use crate::error::IoError;

pub fn completions(verb: &Completions) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(verb.shell, &mut Args::command(), "strata", &mut text);
    print_line(String::from_utf8_lossy(&text).trim_end());
    Ok(ExitCode::SUCCESS)
}

pub fn man(verb: &Man) -> Result<ExitCode, Failure> {
    if verb.markdown {
        print_line(reference().trim_end());
    }
    if let Some(out) = &verb.out {
        std::fs::create_dir_all(out).map_err(IoError::at("creating", out))?;
        clap_mangen::generate_to(Args::command(), out).map_err(IoError::at("writing", out))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every verb's `--help` in one Markdown page, at a fixed width.
fn reference() -> String {
    let mut text = String::from(
        "# Command-line reference\n\nMade by `strata man --markdown`; checked in CI.\n",
    );
    let mut command = Args::command().term_width(100);
    command.build();
    let mut section = |title: &str, help: String| {
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text += &format!("\n## `{title}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    };
    section("strata", command.render_help().to_string());
    for verb in command.get_subcommands_mut() {
        if verb.get_name() != "help" {
            let title = format!("strata {}", verb.get_name());
            let mut verb = verb.clone().term_width(100);
            section(&title, verb.render_help().to_string());
            for part in verb.get_subcommands_mut().filter(|part| part.get_name() != "help") {
                let title = format!("{title} {}", part.get_name());
                let mut part = part.clone().term_width(100);
                section(&title, part.render_help().to_string());
            }
        }
    }
    text
}
