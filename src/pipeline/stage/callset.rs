//! The genotype feeds, and whose samples they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Bench;
use crate::config::{CallsetFeed, Tier, Unmapped};
use crate::engine::{Job, StageOutput};
use crate::genotype::{
    self, Annotation, CallsetRequest, Options, SampleEntry, SampleSheet, Selection, Sex,
};
use crate::identity::{
    self, AgeTable, AncestryTable, PcTable, PersonId, SampleMap, SampleSex, SexTable, read_list,
};
use crate::pipeline::Error;

impl Bench<'_> {
    pub(super) fn callset(&self, name: &str, job: &Job) -> Result<StageOutput, Error> {
        let feed = &self.project.workflow.callset[name];
        let request = CallsetRequest {
            name: name.to_owned(),
            genome: feed.genome,
            files: self.inputs.paths(&format!("callset.{name}")),
            samples: self.sample_sheet(name, feed)?,
            info: feed.info.clone(),
            carriers: feed.carriers,
            options: self.options(name, feed),
        };
        Ok(genotype::ingest(&request, job)?)
    }

    fn options(&self, name: &str, feed: &CallsetFeed) -> Options {
        let resolved = |path: &Option<PathBuf>| path.as_ref().map(|p| self.project.path(p));
        let selections = feed.selection.iter().map(|(selection, of)| {
            let (bed, sites) = (resolved(&of.bed), resolved(&of.sites));
            (selection.clone(), Selection { bed, sites, ..of.clone() })
        });
        let annotations = feed.annotations.iter().map(|(annotation, of)| {
            let files = self.inputs.paths(&format!("callset.{name}.annotations.{annotation}"));
            (annotation.clone(), Annotation { files, info: of.info.clone() })
        });
        Options {
            chromosomes: self.project.chromosomes(feed),
            manifest: resolved(&feed.manifest),
            reference: resolved(&feed.reference),
            reference_mismatch: feed.reference_mismatch,
            exclude_variants: resolved(&feed.exclude_variants),
            consequences: feed.consequences.clone(),
            format: feed.format.clone(),
            quality: feed.quality,
            carriers_max_af: feed.carriers_max_af,
            calls: feed.calls.clone(),
            ref_block_min_gq: feed.ref_block_min_gq,
            strata: feed.strata.clone(),
            selections: selections.collect(),
            annotations: annotations.collect(),
            outlier_mads: feed.outlier_mads,
            strict: feed.strict,
            individuals: !self.project.is_sealed(Tier::Controlled),
        }
    }

    fn sample_sheet(&self, name: &str, feed: &CallsetFeed) -> Result<SampleSheet, Error> {
        let participants = &self.project.workflow.participants;
        let roster = self.roster()?;
        let ancestry = feed.ancestry.as_ref().map(|p| AncestryTable::read(&self.project.path(p)));
        let ancestry = ancestry.transpose()?.unwrap_or_default();
        let sex = feed.sex.as_ref().map(|p| SexTable::read(&self.project.path(p)));
        let sex = sex.transpose()?.unwrap_or_default();
        let age = feed.age.as_ref().map(|p| AgeTable::read(&self.project.path(p)));
        let age = age.transpose()?.unwrap_or_default();
        let pcs = feed.pcs.as_ref().map(|p| PcTable::read(&self.project.path(p)));
        let pcs = pcs.transpose()?.unwrap_or_default();
        let listed = feed.exclude_samples.as_ref().map(|p| read_list(&self.project.path(p)));
        let listed = listed.transpose()?.unwrap_or_default();
        let files = self.inputs.paths(&format!("callset.{name}"));
        let names = genotype::all_sample_names(&files)?;
        let known: BTreeSet<&String> = names.iter().collect();
        let unmatched = listed.iter().filter(|sample| !known.contains(sample)).count() as u64;
        let links = self.links(name, &names)?;
        // Of everybody who takes part, as the Controlled tier names them: whoever is linked is among them.
        let people = self.naming.controlled().people(roster)?.people;
        let ids: BTreeMap<PersonId, i64> =
            people.iter().map(|person| (person.person_id, person.research_id.0)).collect();
        let included = links.included.into_iter().filter_map(|linked| {
            let entry = SampleEntry {
                research_id: *ids.get(&linked.person_id)?,
                sex: sex.sexes.get(&linked.sample).map(|sex| match sex {
                    SampleSex::Female => Sex::Female,
                    SampleSex::Male => Sex::Male,
                }),
                ancestry: ancestry.groups.get(&linked.sample).cloned(),
                age: age.ages.get(&linked.sample).copied(),
                pcs: pcs.pcs.get(&linked.sample).cloned().unwrap_or_default(),
            };
            Some((linked.sample, entry))
        });
        let (left_out, included): (BTreeMap<_, _>, BTreeMap<_, _>) =
            included.partition(|(sample, _)| listed.contains(sample));
        let listed = left_out.into_keys().map(|sample| (sample, "exclusion_list"));
        let excluded = links.excluded.into_iter().chain(listed);
        Ok(SampleSheet {
            included,
            excluded: excluded.map(|(s, why)| (s, why.to_owned())).collect(),
            unmatched,
            exclude_unmapped: participants.unmapped_samples == Unmapped::Exclude,
        })
    }

    /// Which samples are whose.
    fn links(&self, name: &str, names: &[String]) -> Result<identity::link::CallsetLinks, Error> {
        let participants = &self.project.workflow.participants;
        let map_file = self.project.path(participants.samples.clone().unwrap_or_default());
        let map = SampleMap::read(&map_file)?;
        let unmapped = match participants.unmapped_samples {
            Unmapped::Error => identity::Unmapped::Error,
            Unmapped::Exclude => identity::Unmapped::Exclude,
        };
        Ok(identity::link::callset(name, names, &map, &map_file, self.roster()?, unmapped)?)
    }

    /// The people of a callset's included samples.
    pub(super) fn sample_links(
        &self,
        name: &str,
        feed: &CallsetFeed,
    ) -> Result<Vec<PersonId>, Error> {
        let listed = feed.exclude_samples.as_ref().map(|p| read_list(&self.project.path(p)));
        let listed = listed.transpose()?.unwrap_or_default();
        let names = genotype::all_sample_names(&self.inputs.paths(&format!("callset.{name}")))?;
        let links = self.links(name, &names)?;
        let included = links.included.into_iter().filter(|l| !listed.contains(&l.sample));
        Ok(included.map(|linked| linked.person_id).collect())
    }
}
