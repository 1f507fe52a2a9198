//! Each stage's work: from the workflow's words to the requests that the modules understand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::epoch::Naming;
use super::plan::{Stage, Work};
use super::{Error, Inputs, Project, record::write_private};
use crate::attack::{self, Truth};
use crate::config::{
    CallsetFeed, CivilDate, Curation, DateBasis, FeedSource, Periods, ShiftMode, Tier, TierPolicy,
    Unmapped,
};
use crate::curation;
use crate::derived;
use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger};
use crate::error::IoError;
use crate::genotype::{
    self, Annotation, CallsetRequest, Options, SampleEntry, SampleSheet, Selection, Sex,
};
use crate::identity::{
    self, AgeTable, AncestryTable, Key, PcTable, PersonId, Roster, SampleMap, SampleSex, SexTable,
    Standing, read_list,
};
use crate::omop::{self, Extract, ExtractRequest, Scope};
use crate::publish::{self, Previous, PublishRequest};
use crate::quality::report::{CheckSummary, RuleCount};
use crate::quality::{self, achilles, dqd};
use crate::release::{Manifest, digest_of, sync_names};
use crate::tier::{self, SiteExtract, TierRequest};
use crate::vocabulary::{self, UnmappedRequest, Vocabulary};

/// The root key, read from where the workflow says; made on the first run if it says so.
///
/// # Errors
/// When there is no usable key.
pub fn load_key(project: &Project) -> Result<Key, Error> {
    let source = &project.workflow.identity.key;
    if let Some(fd) = source.fd {
        return Ok(Key::load(Path::new(&format!("/dev/fd/{fd}")))?);
    }
    let path = project.path(source.file.clone().unwrap_or_default());
    if !source.create || path.exists() {
        return Ok(Key::load(&path)?);
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(IoError::at("creating", parent))?;
    }
    match Key::create(&path) {
        // Another first run was quicker; it is its key then.
        Err(_) if path.exists() => Ok(Key::load(&path)?),
        made => Ok(made?),
    }
}

/// Whether there is a root key to read; not before the first run of a workflow that makes its own.
pub fn has_key(project: &Project) -> bool {
    let source = &project.workflow.identity.key;
    source.file.as_ref().is_none_or(|file| project.path(file).exists())
}

/// Id of the root key, without making one: `new` when the first run will.
///
/// # Errors
/// When there is a key and it is not usable.
pub fn peek_key_id(project: &Project) -> Result<String, Error> {
    let create = project.workflow.identity.key.create;
    if create && !has_key(project) { Ok("new".into()) } else { Ok(load_key(project)?.kid()) }
}

/// A finished stage of an unfinished run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// Stage id.
    pub stage: String,
    /// Its content key.
    pub key: String,
    /// Books and files.
    pub output: StageOutput,
    /// Typed tables, for ingests of records.
    pub extract: Option<Extract>,
    /// The typed tables' files, relative to the stage's work folder.
    pub typed: Vec<FileEntry>,
}

impl Done {
    /// What is to be remembered of a stage that has made `made` in `work`.
    ///
    /// # Errors
    /// When a typed table cannot be read back.
    pub fn of(stage: &Stage, made: Made, work: &Path) -> Result<Self, Error> {
        let tables = made.extract.iter().flat_map(|extract| &extract.tables);
        let files: Vec<_> = tables
            .flat_map(|table| table.files().into_iter().map(move |path| (table, path)))
            .collect();
        let typed = files
            .into_par_iter()
            .map(|(table, path)| {
                let (bytes, sha256) = digest_of(&work.join(&path))?;
                Ok(FileEntry {
                    path,
                    tier: "quality".into(),
                    table: table.name.clone(),
                    rows: Some(table.rows),
                    bytes,
                    sha256,
                    plaintext_sha256: None,
                    schema: None,
                    vocabulary: None,
                })
            })
            .collect::<Result<_, IoError>>()?;
        let (stage, key) = (stage.id.clone(), stage.key.clone());
        Ok(Self { stage, key, output: made.output, extract: made.extract, typed })
    }

    /// Where a run keeps these.
    pub fn folder(staging: &Path) -> PathBuf {
        staging.join("done")
    }

    /// All of a run; what cannot be read counts as not finished.
    pub fn all(staging: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(Self::folder(staging)).into_iter().flatten().flatten();
        let paths =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "json"));
        let mut all: Vec<Self> = paths
            .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
            .collect();
        all.sort_by(|a, b| a.stage.cmp(&b.stage));
        all
    }

    /// One.
    ///
    /// # Errors
    /// When it is not there.
    pub fn read(staging: &Path, stage: &str) -> Result<Self, Error> {
        let found = Self::all(staging).into_iter().find(|done| done.stage == stage);
        found.ok_or_else(|| Error::Internal { what: format!("{stage} has not been finished") })
    }

    /// Marks the stage as finished.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, staging: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::Internal { what: format!("a stage cannot be recorded: {e}") })?;
        let folder = Self::folder(staging);
        write_private(&folder.join(format!("{}.json", self.stage)), &bytes)?;
        Ok(sync_names(&folder, [])?)
    }
}

/// What a stage has made.
#[derive(Default)]
pub struct Made {
    /// Books and release files.
    pub output: StageOutput,
    /// Typed tables, for ingests of records.
    pub extract: Option<Extract>,
}

impl From<StageOutput> for Made {
    fn from(output: StageOutput) -> Self {
        Self { output, extract: None }
    }
}

/// People whose records are left out, and why.
fn left_out(roster: &Roster) -> BTreeMap<i64, &'static str> {
    let reason = |standing| match standing {
        Standing::Participating { ehr: true, .. } => None,
        Standing::Participating { ehr: false, .. } => Some(curation::NO_EHR_CONSENT),
        Standing::Withdrawn => Some("withdrawn"),
        Standing::NoConsent => Some("no_primary_consent"),
    };
    roster.iter().filter_map(|(person, standing)| Some((person.0, reason(standing)?))).collect()
}

fn check_summary(result: dqd::CheckResult) -> CheckSummary {
    CheckSummary {
        check_name: result.check_name,
        cdm_table_name: result.cdm_table_name.to_lowercase(),
        cdm_field_name: result.cdm_field_name.unwrap_or_default().to_lowercase(),
        category: result.category,
        num_violated_rows: result.num_violated_rows,
        num_denominator_rows: result.num_denominator_rows,
        threshold: result.threshold_value.unwrap_or_default(),
        failed: result.failed == 1,
        not_applicable: result.not_applicable == 1,
        is_error: result.is_error == 1,
    }
}

/// What each curation rule did to each table, from the books of curation.
fn rule_counts(curated: &Extract) -> Vec<RuleCount> {
    let mut counts = Vec::new();
    for books in &curated.output.ledger.0 {
        let Some(table) = books.table.strip_prefix("curated/") else { continue };
        let did = [&books.excluded, &books.changed, &books.made];
        let rules: BTreeSet<&String> = did.iter().flat_map(|of| of.keys()).collect();
        counts.extend(rules.into_iter().map(|rule| RuleCount {
            rule: rule.clone(),
            table: table.to_owned(),
            removed: books.excluded.get(rule).copied().unwrap_or(0),
            changed: books.changed.get(rule).copied().unwrap_or(0),
            made: books.made.get(rule).copied().unwrap_or(0),
        }));
    }
    counts
}

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
            Work::Link => self.link().map(Made::from),
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

    fn vocabulary(&mut self, job: &Job) -> Result<Made, Error> {
        let Some(vocabulary) = &self.project.workflow.vocabulary else {
            return Ok(Made::default());
        };
        let request = ExtractRequest {
            site: "vocabulary".into(),
            path: self.project.path(&vocabulary.path),
            cdm: self.project.cdm(),
            scope: Scope::Vocabulary,
            shift_map: None,
            encoding: Default::default(),
            max_rejected: Default::default(),
        };
        let made = self.ingest(&Work::Vocabulary, &request, job)?;
        let stated = vocabulary.version.clone();
        if let Some((stated, tables)) = stated.zip(self.vocabulary_tables()) {
            let found = tables.vocabulary_version()?;
            if found.as_ref() != Some(&stated) {
                return Err(Error::VocabularyVersion { stated, found });
            }
        }
        Ok(made)
    }

    fn extract(&mut self, site: &str, job: &Job) -> Result<Made, Error> {
        let feed = &self.project.workflow.ehr[site];
        let whole = self.project.workflow.vocabulary.is_none();
        let request = ExtractRequest {
            site: site.to_owned(),
            path: self.project.path(&feed.path),
            cdm: feed.cdm,
            scope: if whole { Scope::Both } else { Scope::Records },
            shift_map: self.shift_map(feed.dates, feed.shift_map.as_deref())?,
            encoding: feed.encoding,
            max_rejected: feed.max_rejected,
        };
        self.ingest(&Work::Ehr(site.to_owned()), &request, job)
    }

    fn wearables(&mut self, name: &str, job: &Job) -> Result<Made, Error> {
        let feed = &self.project.workflow.wearables[name];
        let request = ExtractRequest {
            site: name.to_owned(),
            path: self.project.path(&feed.path),
            cdm: self.project.cdm(),
            scope: Scope::Wearables,
            encoding: Default::default(),
            max_rejected: Default::default(),
            shift_map: self.shift_map(feed.dates, feed.shift_map.as_deref())?,
        };
        self.ingest(&Work::Wearables(name.to_owned()), &request, job)
    }

    fn ingest(&mut self, work: &Work, request: &ExtractRequest, job: &Job) -> Result<Made, Error> {
        let extract = omop::ingest(request, job)?;
        let output = extract.output.clone();
        self.keep(work, extract.clone(), job.out.clone());
        Ok(Made { output, extract: Some(extract) })
    }

    fn shift_map(
        &self,
        dates: DateBasis,
        map: Option<&Path>,
    ) -> Result<Option<BTreeMap<i64, i32>>, Error> {
        match (dates, map) {
            (DateBasis::Shifted, Some(path)) => {
                Ok(Some(identity::shift_map(&self.project.path(path))?))
            }
            _ => Ok(None),
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

    /// Everybody in a person table is on the roster; the books say who takes part.
    fn link(&self) -> Result<StageOutput, Error> {
        let roster = self.roster()?;
        let mut persons: BTreeSet<PersonId> = BTreeSet::new();
        for (site, typed) in &self.extracts {
            let found = typed.extract.persons(&typed.root)?;
            let file = self.project.path(&self.project.workflow.ehr[site].path);
            persons.extend(found.into_iter().map(PersonId));
            identity::link::check_persons(roster, &file, persons.iter().copied())?;
        }
        let mut books = TableLedger::new("participants");
        for (_, standing) in roster.iter() {
            books.rows_in += 1;
            match standing {
                Standing::Participating { ehr, genomics } => {
                    books.rows_out += 1;
                    books.note("no_ehr_consent", u64::from(!ehr));
                    books.note("no_genomics_consent", u64::from(!genomics));
                }
                Standing::Withdrawn => books.exclude("withdrawn", 1),
                Standing::NoConsent => books.exclude("no_primary_consent", 1),
            }
        }
        if !self.extracts.is_empty() {
            books.note("no_ehr_record", identity::link::count_without_ehr(roster, &persons));
        }
        Ok(StageOutput { ledger: Ledger(vec![books]), files: Vec::new() })
    }

    fn callset(&self, name: &str, job: &Job) -> Result<StageOutput, Error> {
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
        }
    }

    fn sample_sheet(&self, name: &str, feed: &CallsetFeed) -> Result<SampleSheet, Error> {
        let participants = &self.project.workflow.participants;
        let roster = self.roster()?;
        let map_file = self.project.path(participants.samples.clone().unwrap_or_default());
        let map = SampleMap::read(&map_file)?;
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
        let known: std::collections::BTreeSet<&String> = names.iter().collect();
        let unmatched = listed.iter().filter(|sample| !known.contains(sample)).count() as u64;
        let unmapped = match participants.unmapped_samples {
            Unmapped::Error => identity::Unmapped::Error,
            Unmapped::Exclude => identity::Unmapped::Exclude,
        };
        let links = identity::link::callset(name, &names, &map, &map_file, roster, unmapped)?;
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

    /// Each tier is made from identified data with its own keys; the Controlled one has no shift key.
    fn tier(&self, tier: Tier, job: &Job) -> Result<StageOutput, Error> {
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

    /// The extracts as one, cleaned and completed.
    fn curate(&mut self, job: &Job) -> Result<Made, Error> {
        let settings = &self.project.workflow.curation;
        let roster = self.roster()?;
        let (extracts, anew) = self.records(settings);
        let feeds = self.extracts.keys().map(|name| &self.project.workflow.ehr[name]);
        let mut ehr: Vec<bool> = feeds.map(|feed| feed.source == FeedSource::Ehr).collect();
        ehr.resize(extracts.len(), false);
        let cutoff = settings.cutoff.unwrap_or(self.project.workflow.workflow.reference_date);
        let rules = curation::Rules::read(&self.project.curation_rules())?;
        let vocabulary = match self.vocabulary_tables().filter(|_| rules.vocabulary().is_some()) {
            Some(tables) => {
                let load = vocabulary::Load { ancestors: false, relations: true };
                Some(Vocabulary::open_parts(&tables, load, job)?)
            }
            None => None,
        };
        let request = curation::Request {
            extracts,
            ehr,
            rules,
            vocabulary,
            excluded: left_out(roster),
            deactivated: roster
                .deactivation_dates()
                .map(|(person, day)| (person.0, CivilDate(day).epoch_days()))
                .collect(),
            cutoff: cutoff.epoch_days(),
            sandbox: settings.sandbox,
            mapping: settings.mapping,
        };
        let extract = curation::curate(&request, job)?;
        let mut records = SiteExtract { extract, root: job.out.clone() };
        let vocabulary = self.vocabulary_tables();
        let (tables, ledger) = derived::build(
            &derived::Request {
                records: &records,
                vocabulary: vocabulary.as_ref(),
                folder: curation::SITE,
                eras: settings.eras,
                periods: settings.observation_periods == Periods::FirstToLast,
                summaries: !records.files("person").is_empty(),
                cutoff: cutoff.epoch_days(),
                reference_date: self.project.workflow.workflow.reference_date.epoch_days(),
                known: self.known(roster)?,
            },
            job,
        )?;
        let extract = &mut records.extract;
        extract.tables.extend(tables);
        extract.tables.sort_by(|a, b| a.name.cmp(&b.name));
        extract.output.ledger.0.extend(anew);
        extract.output.ledger.0.extend(ledger.0);
        let output = extract.output.clone();
        self.keep(&Work::Curate, extract.clone(), job.out.clone());
        Ok(Made { output, extract: Some(records.extract) })
    }

    /// The records of all feeds without the vocabulary, and the books of tables that are built anew.
    fn records(&self, settings: &Curation) -> (Vec<SiteExtract>, Vec<TableLedger>) {
        let mut anew: BTreeMap<&str, TableLedger> = BTreeMap::new();
        let eras = if settings.eras { &["condition_era", "drug_era", "dose_era"][..] } else { &[] };
        let periods = settings.observation_periods == Periods::FirstToLast;
        for name in eras.iter().copied().chain(periods.then_some("observation_period")) {
            anew.insert(name, TableLedger::new(format!("curated/{name}")));
        }
        let mut extracts = Vec::new();
        for typed in self.extracts.values().chain(self.wearables.values()) {
            let mut extract = typed.extract.clone();
            extract.tables.retain(|table| {
                if let Some(books) = anew.get_mut(table.name.as_str()) {
                    books.rows_in += table.rows;
                    books.exclude("built_anew", table.rows);
                    return false;
                }
                !omop::is_vocabulary(&table.name)
            });
            extracts.push(SiteExtract { extract, root: typed.root.clone() });
        }
        (extracts, anew.into_values().collect())
    }

    /// What other feeds say of people.
    fn known(&self, roster: &Roster) -> Result<derived::Known, Error> {
        let mut known = derived::Known::default();
        for (person, date) in roster.consent_dates() {
            known.consent.insert(person.0, CivilDate(date).epoch_days());
        }
        for (name, feed) in &self.project.workflow.callset {
            let sheet = self.sample_links(name, feed, roster)?;
            let people = sheet.into_iter().map(|person| person.0);
            let array = !feed.final_report.is_empty() || name.contains("array");
            if array { known.array.extend(people) } else { known.wgs.extend(people) }
        }
        Ok(known)
    }

    /// The people of a callset's included samples.
    fn sample_links(
        &self,
        name: &str,
        feed: &CallsetFeed,
        roster: &Roster,
    ) -> Result<Vec<PersonId>, Error> {
        let participants = &self.project.workflow.participants;
        let map_file = self.project.path(participants.samples.clone().unwrap_or_default());
        let map = SampleMap::read(&map_file)?;
        let listed = feed.exclude_samples.as_ref().map(|p| read_list(&self.project.path(p)));
        let listed = listed.transpose()?.unwrap_or_default();
        let names = genotype::all_sample_names(&self.inputs.paths(&format!("callset.{name}")))?;
        let unmapped = match participants.unmapped_samples {
            Unmapped::Error => identity::Unmapped::Error,
            Unmapped::Exclude => identity::Unmapped::Exclude,
        };
        let links = identity::link::callset(name, &names, &map, &map_file, roster, unmapped)?;
        let included = links.included.into_iter().filter(|l| !listed.contains(&l.sample));
        Ok(included.map(|linked| linked.person_id).collect())
    }

    /// Checks, analyses, unmapped codes and the page that shows them, of the curated records.
    fn quality(&self, job: &Job) -> Result<StageOutput, Error> {
        let (Some(settings), Some(curated)) = (&self.project.workflow.quality, &self.curated)
        else {
            return Err(Error::Internal { what: "quality without curated records".into() });
        };
        let reference_date = self.project.workflow.workflow.reference_date.0;
        let tables = SiteExtract { extract: curated.extract.clone(), root: curated.root.clone() };
        let vocabulary = self.vocabulary_tables();
        let mut output = StageOutput::default();
        let mut add = |more: StageOutput| {
            output.ledger.0.extend(more.ledger.0);
            output.files.extend(more.files);
        };
        let mut checks = Vec::new();
        if settings.checks {
            let request = dqd::Request {
                tables: tables.clone(),
                vocabulary: vocabulary.clone(),
                overrides: settings.thresholds.as_ref().map(|path| self.project.path(path)),
                reference_date,
            };
            let (made, results) = dqd::check(&request, job)?;
            checks = results.into_iter().map(check_summary).collect();
            add(made);
        }
        // What codes map to and are called; it goes before the analyses need the memory.
        let load = vocabulary::Load { ancestors: false, relations: true };
        let index = match &vocabulary {
            Some(tables) => Some(Vocabulary::open_parts(tables, load, job)?),
            None => None,
        };
        let unmapped = vocabulary::unmapped(
            &UnmappedRequest {
                extracts: &self.records(&self.project.workflow.curation).0,
                people: Some(&tables),
                vocabulary: index.as_ref(),
                min_persons: settings.min_persons,
                folder: "quality/vocabulary".into(),
            },
            job,
        )?;
        add(unmapped.output);
        drop(index);
        if settings.analyses {
            let request = achilles::Request {
                tables,
                vocabulary: vocabulary.clone(),
                small_cell_count: u64::from(settings.small_cell_count),
                reference_date,
            };
            add(achilles::analyse(&request, job)?);
            let page = quality::report::Request {
                title: &self.project.workflow.workflow.name,
                results: &job.out,
                vocabulary: vocabulary.as_ref(),
                small_cell_count: settings.small_cell_count.into(),
                checks: &checks,
                rules: &rule_counts(&curated.extract),
            };
            output.files.push(quality::report::write(&page, job)?);
        }
        output.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(output)
    }

    /// Attacks on the tiers, scored by who is who.
    fn privacy(&self, job: &Job, tree: &Path, files: Vec<FileEntry>) -> Result<StageOutput, Error> {
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

    fn publish(&self, job: &Job, tree: &Path, files: Vec<FileEntry>) -> Result<StageOutput, Error> {
        let programme = &self.project.workflow.workflow;
        let policy = self.project.public.as_ref();
        let policy = policy
            .ok_or_else(|| Error::Internal { what: "a public tier without a policy".into() })?;
        // Not the programme's name: a new name would draw all offsets again, and offsets that are drawn
        // again can be averaged away. Programmes differ by their root key.
        let key = self.naming.key().disclosure("programme");
        let prf = publish::prf_from_bits(move |text| key.bits(text));
        let request = PublishRequest {
            root: tree.to_owned(),
            files,
            callsets: self.project.workflow.callset.keys().cloned().collect(),
            policy: policy.clone(),
            prf: &prf,
            programme: programme.name.clone(),
            release: programme.release.clone(),
            reference_date: programme.reference_date.0,
            previous: self.published(),
        };
        Ok(publish::build(&request, job)?)
    }

    /// Every release of the store with a public tier: readers may hold any of them, so the new one is
    /// compared with all. One whose manifest cannot be read has been told of by then.
    fn published(&self) -> Vec<Previous> {
        let store = &self.project.store;
        let mut folders: Vec<PathBuf> = std::fs::read_dir(store.releases())
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        folders.sort();
        let manifests = folders
            .into_iter()
            .filter_map(|root| Some((Manifest::read(&root.join("MANIFEST.json")).ok()?, root)));
        manifests
            .filter(|(manifest, _)| manifest.files.iter().any(|f| f.tier == "public"))
            // Under another key everybody has another id: nobody can be followed, and what is sealed with
            // it does not open.
            .filter(|(manifest, _)| {
                let sealed = manifest.files.iter().any(|f| f.plaintext_sha256.is_some());
                !sealed || manifest.key_id == self.naming.key().kid()
            })
            .map(|(manifest, root)| {
                let files = manifest.files.into_iter().filter(|f| f.tier == "controlled").collect();
                Previous { root, files }
            })
            .collect()
    }
}
