//! `strata explain`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::args::{Explain, TierName};
use super::report::Failure;
use super::{print_json, print_line};
use crate::config::TierPolicy;
use crate::pipeline::Project;
use crate::release::{Error, Manifest, is_safe_path};
use crate::tier::{self, RuleLine};

pub fn explain(verb: &Explain) -> Result<ExitCode, Failure> {
    let project = Project::open(&verb.workflow)?;
    let release = verb.release.as_deref().map(|id| release(verb, id)).transpose()?;
    let tiers: [(TierName, &Option<TierPolicy>); 2] =
        [(TierName::Controlled, &project.controlled), (TierName::Registered, &project.registered)];
    let mut answer = serde_json::Map::new();
    for (name, policy) in tiers {
        let Some(policy) = policy else { continue };
        if verb.tier.is_some_and(|only| only != name) {
            continue;
        }
        let mut lines = tier::explain(policy, crate::omop::cdm(project.cdm()));
        if let Some(root) = &release {
            tier::count_rows(&mut lines, root, policy.policy.tier.name())
                .map_err(crate::pipeline::Error::from)?;
        }
        let title = format!("{name:?}").to_lowercase();
        if verb.json {
            let lines = serde_json::to_value(&lines).map_err(Failure::internal)?;
            answer.insert(title, lines);
            continue;
        }
        print_line(&format!("{title}: {}", policy.policy.description));
        for (index, line) in lines.iter().enumerate() {
            print_rule(index + 1, line);
        }
    }
    if verb.json {
        print_json(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_rule(number: usize, line: &RuleLine) {
    print_line(&format!("  {number:2}. {} [{}]", line.id, line.kind));
    print_line(&format!("      {}", line.description));
    for (table, columns) in &line.tables {
        print_line(&format!("      {table}: {}", columns.join(", ")));
    }
    let Some(rows) = &line.rows else { return };
    let touched = rows.iter().filter(|(_, n)| n.removed + n.changed > 0);
    let mut none = true;
    for (table, n) in touched {
        none = false;
        print_line(&format!(
            "      > {table}: {} row(s) removed, {} changed",
            n.removed, n.changed
        ));
    }
    if none {
        print_line("      > no row touched");
    }
}

/// The folder of a release of the workflow's store; `current` is the one in use.
fn release(verb: &Explain, id: &str) -> Result<PathBuf, Failure> {
    let store = super::status::store_of(&verb.workflow)?;
    if id == "current" {
        let manifest = Manifest::current(&store)?
            .ok_or_else(|| Error::Empty { store: store.root().display().to_string() })?;
        return Ok(store.release(&manifest.release_id));
    }
    if is_safe_path(id) && !id.contains('/') && store.release(id).is_dir() {
        return Ok(store.release(id));
    }
    Err(Error::Unknown { id: id.to_owned() }.into())
}
