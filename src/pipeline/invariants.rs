//! The invariants of a release: what a run and a manifest know is put to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::Error;
use super::record::StageRun;
use super::stage::Bench;
use crate::config::{CdmVersion, CivilDate, IdScope, ShiftMode, Tier, TierPolicy};
use crate::engine::{FileEntry, Job, Ledger, StageOutput};
use crate::identity::SampleMap;
use crate::invariant::{self, CuratedDates, Origin, Report, Request, TierTerms};
use crate::release::Manifest;

/// The tiers of a release with their policies, in the order of the pipeline.
fn tiers(
    policies: [Option<&TierPolicy>; 2],
    mut books: impl FnMut(&str) -> Option<Ledger>,
) -> Vec<TierTerms> {
    let made = policies.into_iter().flatten().filter_map(|policy| {
        let books = books(&format!("tier.{}", policy.policy.tier.name()))?;
        Some(TierTerms { policy: policy.clone(), books })
    });
    made.collect()
}

/// Looks at the staged tiers, keys at hand; writes what was found.
pub(super) fn look(
    bench: &Bench<'_>,
    job: &Job,
    tree: &Path,
    files: Vec<FileEntry>,
    made: &BTreeMap<String, StageOutput>,
) -> Result<StageOutput, Error> {
    let project = bench.project;
    let workflow = &project.workflow;
    let policies = [project.controlled.as_ref(), project.registered.as_ref()];
    let tiers = tiers(policies, |stage| made.get(stage).map(|made| made.ledger.clone()));
    let roster = bench.roster()?;
    let mut keys = Vec::new();
    for terms in &tiers {
        // Each tier with its own keys: those of the Controlled one have no way to a shift.
        keys.push(if terms.policy.policy.tier == Tier::Controlled {
            let keys = bench.naming.controlled();
            (keys.people(roster)?, keys.rows().clone())
        } else {
            let keys = bench.naming.registered();
            (keys.people(roster)?, keys.rows().clone())
        });
    }
    let samples = match &workflow.participants.samples {
        Some(path) => {
            let map = SampleMap::read(&project.path(path))?;
            map.iter().map(|(sample, _)| sample.to_owned()).collect()
        }
        None => BTreeSet::new(),
    };
    let reference_date = workflow.workflow.reference_date.0;
    let request = Request {
        root: tree,
        keyring: job.keyring.clone(),
        files: &files,
        tiers,
        cdm: project.cdm(),
        reference_date,
        cutoff: workflow.curation.cutoff.map_or(reference_date, |date| date.0),
        shared_ids: workflow.identity.ids == IdScope::Shared,
        curated_dates: project.curated_dates(),
        origin: bench.curated().map(|curated| Origin {
            curated,
            tiers: keys,
            samples,
            whole_weeks: workflow.identity.shift == ShiftMode::Weeks,
            without_ehr_consent: bench.without_ehr_consent(),
        }),
    };
    let report = invariant::check(&request, job)?;
    report.hold()?;
    Ok(report.write(job)?)
}

/// What the stage of the invariants says of itself: `24 invariants checked, 0 violated`.
pub(super) fn said(stage: &StageRun) -> Option<String> {
    let books = stage.ledger.0.iter().find(|books| books.table == "invariants")?;
    let violated = books.noted.get("violated").copied().unwrap_or(0);
    Some(format!("{} invariants checked, {violated} violated", books.rows_out))
}

/// What a manifest says of the terms of its release.
#[derive(Deserialize)]
struct Terms {
    cdm: Option<CdmVersion>,
    ids: IdScope,
    curation: CurationTerms,
    policies: Policies,
}

#[derive(Deserialize)]
struct CurationTerms {
    #[serde(default)]
    cutoff: Option<CivilDate>,
    #[serde(default)]
    dates: CuratedDates,
}

#[derive(Deserialize)]
struct Policies {
    controlled: Option<TierPolicy>,
    registered: Option<TierPolicy>,
}

/// Looks at a committed release. What needs keys is repeated from what its run found. None when the manifest
/// is of an earlier program and does not say enough.
pub(super) fn look_again(
    root: &Path,
    manifest: &Manifest,
    job: &Job,
) -> Result<Option<Report>, Error> {
    let Ok(terms) = serde_json::from_value::<Terms>(manifest.config.clone()) else {
        return Ok(None);
    };
    let (Some(cdm), Ok(reference_date)) = (terms.cdm, manifest.reference_date.parse()) else {
        return Ok(None);
    };
    let policies = [terms.policies.controlled.as_ref(), terms.policies.registered.as_ref()];
    let request = Request {
        root,
        keyring: job.keyring.clone(),
        files: &manifest.files,
        tiers: tiers(policies, |stage| manifest.stages.get(stage).map(|s| s.ledger.clone())),
        cdm,
        reference_date,
        cutoff: terms.curation.cutoff.map_or(reference_date, |date| date.0),
        shared_ids: terms.ids == IdScope::Shared,
        curated_dates: terms.curation.dates,
        origin: None,
    };
    let mut report = invariant::check(&request, job)?;
    let earlier = std::fs::read(root.join(Report::PATH)).ok();
    if let Some(earlier) = earlier.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        report.repeat(&earlier);
    }
    Ok(Some(report))
}
