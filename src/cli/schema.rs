//! `strata schema`.

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use super::args::{Schema, SchemaName};
use super::print_line;
use super::report::Failure;
use crate::config::{PublicPolicy, TierPolicy, Workflow};
use crate::error::IoError;
use crate::vocabulary::ConceptSets;

pub fn schema(verb: &Schema) -> Result<ExitCode, Failure> {
    if let Some(name) = verb.name {
        print_line(text(name)?.trim_end());
    }
    let Some(dir) = &verb.dir else { return Ok(ExitCode::SUCCESS) };
    let mut drifted = Vec::new();
    for name in SchemaName::value_variants() {
        let path = dir.join(file_name(*name));
        let wanted = text(*name)?;
        if !verb.check {
            std::fs::write(&path, wanted).map_err(IoError::at("writing", &path))?;
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&wanted) {
            drifted.push(path.display().to_string());
        }
    }
    if drifted.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let help = format!("write them again with `strata schema --dir {}`", dir.display());
    let message = format!("not what this version would write: {}", drifted.join(", "));
    Err(Failure::stated("cli::schema_drift", message, Some(help)))
}

fn file_name(name: SchemaName) -> &'static Path {
    Path::new(match name {
        SchemaName::Workflow => "workflow.json",
        SchemaName::Tier => "tier.json",
        SchemaName::Public => "public.json",
        SchemaName::ConceptSets => "concept_sets.json",
    })
}

fn text(name: SchemaName) -> Result<String, Failure> {
    let schema = match name {
        SchemaName::Workflow => schemars::schema_for!(Workflow),
        SchemaName::Tier => schemars::schema_for!(TierPolicy),
        SchemaName::Public => schemars::schema_for!(PublicPolicy),
        SchemaName::ConceptSets => schemars::schema_for!(ConceptSets),
    };
    let mut text = serde_json::to_string_pretty(&schema).map_err(Failure::internal)?;
    text.push('\n');
    Ok(text)
}
