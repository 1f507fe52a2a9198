//! `strata verify`.

use std::process::ExitCode;

use indicatif::{HumanBytes, HumanCount};

use super::args::Verify;
use super::report::Failure;
use super::{print_json, print_line};
use crate::pipeline;
use crate::release::{Error, Manifest, is_safe_path};

pub fn verify(verb: &Verify) -> Result<ExitCode, Failure> {
    let store = super::status::store_of(&verb.store)?;
    let manifest = match &verb.release {
        None => Manifest::current(&store)?
            .ok_or_else(|| Error::Empty { store: store.root().display().to_string() })?,
        Some(id) if is_safe_path(id) && !id.contains('/') && store.release(id).is_dir() => {
            Manifest::read(&store.release(id).join("MANIFEST.json"))?
        }
        Some(id) => return Err(Error::Unknown { id: id.clone() }.into()),
    };
    let found = pipeline::verify(&store, &manifest)?;
    if verb.json {
        print_json(&found)?;
    } else {
        for finding in &found.findings {
            print_line(&format!("{}: {}: {}", finding.code, finding.place, finding.message));
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
    Ok(if found.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
