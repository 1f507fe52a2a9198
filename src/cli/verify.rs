//! `strata verify`.

use std::process::ExitCode;

use indicatif::{HumanBytes, HumanCount};

use super::args::Verify;
use super::report::Failure;
use super::{print_json, print_line};
use crate::pipeline;

pub fn verify(verb: &Verify) -> Result<ExitCode, Failure> {
    if verb.audit {
        return audit(verb);
    }
    let store = super::status::store_of(&verb.store)?;
    let manifest = pipeline::query::manifest(&store, verb.release.as_deref())?;
    let keys = pipeline::keys_of(&verb.store, &verb.key)?;
    let found = pipeline::verify(&store, &manifest, &keys)?;
    if verb.json {
        print_json(&found)?;
    } else {
        let unopened = found.unopened;
        let (found, invariants) = (&found.release, &found.invariants);
        if unopened {
            print_line("sealed tables were hashed and not opened; name the workflow or --key");
        }
        for finding in &found.findings {
            print_line(&format!("{}: {}: {}", finding.code, finding.place, finding.message));
        }
        if let Some(report) = invariants {
            let none = report.not_applicable();
            print_line(&format!("{}, {none} not applicable", report.summary()));
        }
        let (bytes, rows) = (HumanBytes(found.bytes), HumanCount(found.rows));
        let verdict = match found.findings.len() {
            0 => "is as promised".to_owned(),
            n => format!("is NOT as promised: {n} finding(s)"),
        };
        print_line(&format!(
            "{} {verdict} ({} files, {rows} rows, {bytes})",
            found.release_id, found.files
        ));
    }
    Ok(if found.release.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `strata verify --audit`: the log of the store, not a release.
fn audit(verb: &Verify) -> Result<ExitCode, Failure> {
    let store = super::status::store_of(&verb.store)?;
    let keys = pipeline::keys_of(&verb.store, &verb.key)?;
    let found = pipeline::check_audit(&store, &keys, &verb.checkpoint)?;
    let sound = found.findings.is_empty();
    if verb.json {
        print_json(&found)?;
    } else {
        for finding in &found.findings {
            print_line(&format!("{}: {}: {}", finding.code, finding.place, finding.message));
        }
        let verdict = match found.findings.len() {
            0 => "is as it was written".to_owned(),
            n => format!("is NOT as it was written: {n} finding(s)"),
        };
        let protected = match found.last_checkpoint {
            None => "no checkpoint yet".to_owned(),
            Some(line) => format!("last checkpoint on line {line}"),
        };
        let (entries, signed) = (HumanCount(found.entries), HumanCount(found.signatures));
        let of = HumanCount(found.checkpoints);
        print_line(&format!(
            "audit.jsonl {verdict} ({entries} entries, {protected}, {signed} of {of} signatures checked)"
        ));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
