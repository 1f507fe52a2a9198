//! Each stage's work: from the workflow's words to the requests that the modules understand.

mod callset;
mod curate;
mod done;
mod feeds;
mod public;
mod quality;
mod tiers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use done::{Done, Made};

use super::epoch::Naming;
use super::plan::Work;
use super::{Error, Inputs, Project};
use crate::config::FeedSource;
use crate::engine::{FileEntry, Job, StageOutput};
use crate::identity::Roster;
use crate::omop::{self, Extract};
use crate::tier::SiteExtract;

/// Typed tables and the folder they are in.
struct Typed {
    extract: Extract,
    root: PathBuf,
}

/// What is on the bench while a run works: what earlier stages left for later ones.
pub struct Bench<'a> {
    pub(super) project: &'a Project,
    inputs: &'a Inputs,
    pub(super) naming: &'a Naming<'a>,
    vocabulary: Option<Typed>,
    extracts: BTreeMap<String, Typed>,
    wearables: BTreeMap<String, Typed>,
    curated: Option<Typed>,
    roster: OnceLock<Roster>,
}

impl<'a> Bench<'a> {
    /// An empty bench.
    pub fn new(project: &'a Project, inputs: &'a Inputs, naming: &'a Naming<'a>) -> Self {
        Self {
            project,
            inputs,
            naming,
            vocabulary: None,
            extracts: BTreeMap::new(),
            wearables: BTreeMap::new(),
            curated: None,
            roster: OnceLock::new(),
        }
    }

    /// Does a stage's work below `job.out`. `tree` holds the release files that earlier stages made,
    /// `files` those that this one reads, `made` what each earlier stage has made.
    ///
    /// # Errors
    /// Whatever stops it.
    pub fn make(
        &mut self,
        work: &Work,
        job: &Job,
        tree: &Path,
        files: Vec<FileEntry>,
        made: &BTreeMap<String, StageOutput>,
    ) -> Result<Made, Error> {
        match work {
            Work::Vocabulary => self.vocabulary(job),
            Work::Ehr(site) => self.extract(site, job),
            Work::Wearables(name) => self.wearables(name, job),
            Work::Link => self.link(&job.keyring).map(Made::from),
            Work::Curate => self.curate(job),
            Work::Quality => self.quality(job).map(Made::from),
            Work::Callset(name) => self.callset(name, job).map(Made::from),
            Work::Tier(tier) => self.tier(*tier, job).map(Made::from),
            Work::Invariants => {
                super::invariants::look(self, job, tree, files, made).map(Made::from)
            }
            Work::Privacy => self.privacy(job, tree, files).map(Made::from),
            Work::Publish => self.publish(job, tree, files).map(Made::from),
        }
    }

    /// Puts back what a finished stage of an interrupted run left for later ones.
    pub fn restore(&mut self, work: &Work, extract: Option<Extract>, root: PathBuf) {
        if let Some(extract) = extract {
            self.keep(work, extract, root);
        }
    }

    fn keep(&mut self, work: &Work, extract: Extract, root: PathBuf) {
        match work {
            Work::Vocabulary => self.vocabulary = Some(Typed { extract, root }),
            Work::Ehr(site) => drop(self.extracts.insert(site.clone(), Typed { extract, root })),
            Work::Wearables(name) => {
                self.wearables.insert(name.clone(), Typed { extract, root });
            }
            Work::Curate => self.curated = Some(Typed { extract, root }),
            _ => {}
        }
    }

    /// Tables with rows of people who need not have given EHR consent.
    pub(super) fn without_ehr_consent(&self) -> BTreeSet<String> {
        let feeds = &self.project.workflow.ehr;
        let own = self.extracts.iter().filter(|(name, _)| feeds[*name].source != FeedSource::Ehr);
        let own = own.map(|(_, typed)| typed).chain(self.wearables.values());
        let mut tables: BTreeSet<String> =
            own.flat_map(|typed| &typed.extract.tables).map(|table| table.name.clone()).collect();
        if !tables.is_empty() {
            let model = omop::cdm(self.project.cdm());
            let made = model.tables().filter(|table| table.family == omop::Family::Programme);
            tables.extend(made.map(|table| table.name.to_owned()));
            let built =
                ["wearable_day", "observation_period", "condition_era", "drug_era", "dose_era"];
            tables.extend(built.map(str::to_owned));
        }
        tables
    }

    /// The roster, read once.
    pub(super) fn roster(&self) -> Result<&Roster, Error> {
        if let Some(roster) = self.roster.get() {
            return Ok(roster);
        }
        let path = self.project.path(&self.project.workflow.participants.roster);
        let roster = Roster::read(&path)?;
        Ok(self.roster.get_or_init(|| roster))
    }

    /// The curated records.
    pub(super) fn curated(&self) -> Option<SiteExtract> {
        let curated = self.curated.as_ref()?;
        Some(SiteExtract { extract: curated.extract.clone(), root: curated.root.clone() })
    }

    /// The vocabulary tables: those of its own folder, or of the first site that has concepts.
    fn vocabulary_tables(&self) -> Option<SiteExtract> {
        let first =
            || self.extracts.values().find(|typed| typed.extract.table("concept").is_some());
        let typed = self.vocabulary.as_ref().or_else(first)?;
        let mut extract = typed.extract.clone();
        extract.tables.retain(|table| omop::is_vocabulary(&table.name));
        (!extract.tables.is_empty()).then(|| SiteExtract { extract, root: typed.root.clone() })
    }
}
