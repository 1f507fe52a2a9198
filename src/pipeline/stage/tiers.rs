//! The tiers, and the attacks on them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Bench;
use crate::attack::{self, Truth};
use crate::config::{ShiftMode, Tier, TierPolicy};
use crate::engine::{FileEntry, Job, StageOutput};
use crate::identity::PersonId;
use crate::pipeline::Error;
use crate::tier::{self, SiteExtract, TierRequest};

impl Bench<'_> {
    /// Each tier is made from identified data with its own keys; the Controlled one has no shift key.
    pub(super) fn tier(&self, tier: Tier, job: &Job) -> Result<StageOutput, Error> {
        let roster = self.roster()?;
        let policy = match tier {
            Tier::Controlled => self.project.controlled.as_ref(),
            _ => self.project.registered.as_ref(),
        };
        let policy: &TierPolicy =
            policy.ok_or_else(|| Error::Internal { what: "a tier without a policy".into() })?;
        let (people, rows) = if tier == Tier::Controlled {
            let keys = self.naming.controlled();
            (keys.people(roster)?, keys.rows().clone())
        } else {
            let keys = self.naming.registered();
            (keys.people(roster)?, keys.rows().clone())
        };
        let curated = self.curated.iter();
        let extracts = curated
            .map(|typed| SiteExtract { extract: typed.extract.clone(), root: typed.root.clone() });
        let sites = self.project.workflow.ehr.iter().filter_map(|(site, feed)| {
            let typed = self.extracts.get(site)?;
            let (extract, root) = (typed.extract.clone(), typed.root.clone());
            Some((feed.state?, SiteExtract { extract, root }))
        });
        let request = TierRequest {
            site_states: sites.collect(),
            policy: policy.clone(),
            people,
            rows,
            consents_applied: true,
            extracts: extracts.collect(),
            vocabulary: self.vocabulary_tables(),
            reference_date: self.project.workflow.workflow.reference_date.0,
            buckets: self.project.workflow.engine.person_buckets,
        };
        Ok(tier::build(&request, job)?)
    }

    /// Attacks on the tiers, scored by who is who.
    pub(super) fn privacy(
        &self,
        job: &Job,
        tree: &Path,
        files: Vec<FileEntry>,
    ) -> Result<StageOutput, Error> {
        let workflow = &self.project.workflow;
        let roster = self.roster()?;
        let controlled = self.naming.controlled().people(roster)?.people;
        let ids: BTreeMap<PersonId, i64> =
            controlled.iter().map(|person| (person.person_id, person.research_id.0)).collect();
        let registered = self.naming.registered().people(roster)?.people;
        let truth = registered.iter().filter_map(|person| {
            let truth = Truth { controlled: *ids.get(&person.person_id)?, shift: person.shift? };
            Some((person.research_id.0, truth))
        });
        let cutoff = workflow.curation.cutoff.unwrap_or(workflow.workflow.reference_date);
        let request = attack::Request {
            root: tree.to_owned(),
            files,
            truth: truth.collect(),
            max_people: workflow.privacy.clone().unwrap_or_default().max_people as usize,
            buckets: workflow.engine.person_buckets,
            weeks: workflow.identity.shift == ShiftMode::Weeks,
            last_day: cutoff.epoch_days(),
        };
        Ok(attack::measure(&request, job)?)
    }
}
