//! `strata explain`.

use std::process::ExitCode;

use super::args::{Explain, TierName};
use super::report::Failure;
use super::{print_json, print_line};
use crate::config::TierPolicy;
use crate::pipeline::Project;
use crate::tier;

pub fn explain(verb: &Explain) -> Result<ExitCode, Failure> {
    let project = Project::open(&verb.workflow)?;
    let tiers: [(TierName, &Option<TierPolicy>); 2] =
        [(TierName::Controlled, &project.controlled), (TierName::Registered, &project.registered)];
    let mut answer = serde_json::Map::new();
    for (name, policy) in tiers {
        let Some(policy) = policy else { continue };
        if verb.tier.is_some_and(|only| only != name) {
            continue;
        }
        let lines = tier::explain(policy, crate::omop::cdm(project.cdm()));
        let title = format!("{name:?}").to_lowercase();
        if verb.json {
            let lines = serde_json::to_value(&lines).map_err(Failure::internal)?;
            answer.insert(title, lines);
            continue;
        }
        print_line(&format!("{title}: {}", policy.policy.description));
        for (index, line) in lines.iter().enumerate() {
            print_line(&format!("  {:2}. {} [{}]", index + 1, line.id, line.kind));
            print_line(&format!("      {}", line.description));
            for (table, columns) in &line.tables {
                print_line(&format!("      {table}: {}", columns.join(", ")));
            }
        }
    }
    if verb.json {
        print_json(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}
