//! Each stage's work: from the workflow's words to the requests that the modules understand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::{Stage, Work};
use super::{Error, Inputs, Project, record::write_private};
use crate::config::{CallsetFeed, DateBasis, EhrFeed, Tier, TierPolicy, Unmapped};
use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger};
use crate::error::IoError;
use crate::genotype::{
    self, Annotation, CallsetRequest, Options, SampleEntry, SampleSheet, Selection, Sex,
};
use crate::identity::{
    self, AgeTable, AncestryTable, IdScope, Key, PcTable, PersonId, Roster, SampleMap, SampleSex,
    SexTable, Standing, read_list,
};
use crate::omop::{self, Extract, ExtractRequest, Scope};
use crate::publish::{self, Previous, PublishRequest};
use crate::release::{Manifest, digest_of, sync_names};
use crate::tier::{self, SiteExtract, TierRequest};

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

/// Id of the root key, without making one: `new` when the first run will.
///
/// # Errors
/// When there is a key and it is not usable.
pub fn peek_key_id(project: &Project) -> Result<String, Error> {
    let source = &project.workflow.identity.key;
    let absent = source.file.as_ref().is_some_and(|file| !project.path(file).exists());
    if absent && source.create { Ok("new".into()) } else { Ok(load_key(project)?.kid()) }
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
        let typed = tables
            .map(|table| {
                let (bytes, sha256) = digest_of(&work.join(&table.path))?;
                Ok(FileEntry {
                    path: table.path.clone(),
                    tier: "quality".into(),
                    table: table.name.clone(),
                    rows: Some(table.rows),
                    bytes,
                    sha256,
                    schema: None,
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

/// Typed tables and the folder they are in.
struct Typed {
    extract: Extract,
    root: PathBuf,
}

/// What is on the bench while a run works: what earlier stages left for later ones.
pub struct Bench<'a> {
    project: &'a Project,
    inputs: &'a Inputs,
    key: &'a Key,
    vocabulary: Option<Typed>,
    extracts: BTreeMap<String, Typed>,
}

impl<'a> Bench<'a> {
    /// An empty bench.
    pub fn new(project: &'a Project, inputs: &'a Inputs, key: &'a Key) -> Self {
        Self { project, inputs, key, vocabulary: None, extracts: BTreeMap::new() }
    }

    /// Does a stage's work below `job.out`. `tree` holds the release files that earlier stages made,
    /// `files` those that this one reads.
    ///
    /// # Errors
    /// Whatever stops it.
    pub fn make(
        &mut self,
        work: &Work,
        job: &Job,
        tree: &Path,
        files: Vec<FileEntry>,
    ) -> Result<Made, Error> {
        match work {
            Work::Vocabulary => self.vocabulary(job),
            Work::Ehr(site) => self.extract(site, job),
            Work::Link => self.link().map(Made::from),
            Work::Callset(name) => self.callset(name, job).map(Made::from),
            Work::Tier(tier) => self.tier(*tier, job).map(Made::from),
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
        };
        self.ingest(&Work::Vocabulary, &request, job)
    }

    fn extract(&mut self, site: &str, job: &Job) -> Result<Made, Error> {
        let feed = &self.project.workflow.ehr[site];
        let whole = self.project.workflow.vocabulary.is_none();
        let request = ExtractRequest {
            site: site.to_owned(),
            path: self.project.path(&feed.path),
            cdm: feed.cdm,
            scope: if whole { Scope::Both } else { Scope::Records },
            shift_map: self.shift_map(feed)?,
        };
        self.ingest(&Work::Ehr(site.to_owned()), &request, job)
    }

    fn ingest(&mut self, work: &Work, request: &ExtractRequest, job: &Job) -> Result<Made, Error> {
        let extract = omop::ingest(request, job)?;
        let output = extract.output.clone();
        self.keep(work, extract.clone(), job.out.clone());
        Ok(Made { output, extract: Some(extract) })
    }

    fn shift_map(&self, feed: &EhrFeed) -> Result<Option<BTreeMap<i64, i32>>, Error> {
        match (feed.dates, &feed.shift_map) {
            (DateBasis::Shifted, Some(path)) => {
                Ok(Some(identity::shift_map(&self.project.path(path))?))
            }
            _ => Ok(None),
        }
    }

    fn roster(&self) -> Result<Roster, Error> {
        Ok(Roster::read(&self.project.path(&self.project.workflow.participants.roster))?)
    }

    fn scope(&self) -> IdScope {
        self.project.workflow.identity.ids
    }

    /// Everybody in a person table is on the roster; the books say who takes part.
    fn link(&self) -> Result<StageOutput, Error> {
        let roster = self.roster()?;
        let mut persons: BTreeSet<PersonId> = BTreeSet::new();
        for (site, typed) in &self.extracts {
            let found = typed.extract.persons(&typed.root)?;
            let file = self.project.path(&self.project.workflow.ehr[site].path);
            persons.extend(found.into_iter().map(PersonId));
            identity::link::check_persons(&roster, &file, persons.iter().copied())?;
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
            books.note("no_ehr_record", identity::link::count_without_ehr(&roster, &persons));
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
        let links = identity::link::callset(name, &names, &map, &map_file, &roster, unmapped)?;
        let keys = self.key.controlled(self.scope(), tier::row_tables());
        let included = links.included.into_iter().map(|linked| {
            let entry = SampleEntry {
                research_id: keys.research_id(linked.person_id).0,
                sex: sex.sexes.get(&linked.sample).map(|sex| match sex {
                    SampleSex::Female => Sex::Female,
                    SampleSex::Male => Sex::Male,
                }),
                ancestry: ancestry.groups.get(&linked.sample).cloned(),
                age: age.ages.get(&linked.sample).copied(),
                pcs: pcs.pcs.get(&linked.sample).cloned().unwrap_or_default(),
            };
            (linked.sample, entry)
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
        let tables = tier::row_tables();
        let policy = match tier {
            Tier::Controlled => self.project.controlled.as_ref(),
            _ => self.project.registered.as_ref(),
        };
        let policy: &TierPolicy =
            policy.ok_or_else(|| Error::Internal { what: "a tier without a policy".into() })?;
        let (people, rows) = if tier == Tier::Controlled {
            let keys = self.key.controlled(self.scope(), tables);
            (keys.people(&roster)?, keys.rows().clone())
        } else {
            let keys = self.key.registered(self.scope(), tables);
            (keys.people(&roster)?, keys.rows().clone())
        };
        let (extracts, vocabulary) = self.sites();
        let request = TierRequest {
            policy: policy.clone(),
            people,
            rows,
            extracts,
            vocabulary,
            reference_date: self.project.workflow.workflow.reference_date.0,
            buckets: self.project.workflow.engine.person_buckets,
        };
        Ok(tier::build(&request, job)?)
    }

    /// The sites' extracts and the vocabulary: its own folder's, or the first site's.
    fn sites(&self) -> (Vec<SiteExtract>, Option<SiteExtract>) {
        let of = |typed: &Typed, wanted: fn(&str) -> bool| {
            let mut extract = typed.extract.clone();
            extract.tables.retain(|table| wanted(&table.name));
            SiteExtract { extract, root: typed.root.clone() }
        };
        if let Some(vocabulary) = &self.vocabulary {
            let sites = self.extracts.values().map(|site| of(site, |_| true)).collect();
            return (sites, Some(of(vocabulary, |_| true)));
        }
        let sites = self.extracts.values().map(|site| of(site, |t| !omop::is_vocabulary(t)));
        let vocabulary = self.extracts.values().next().map(|site| of(site, omop::is_vocabulary));
        (sites.collect(), vocabulary.filter(|v| !v.extract.tables.is_empty()))
    }

    fn publish(&self, job: &Job, tree: &Path, files: Vec<FileEntry>) -> Result<StageOutput, Error> {
        let programme = &self.project.workflow.workflow;
        let policy = self.project.public.as_ref();
        let policy = policy
            .ok_or_else(|| Error::Internal { what: "a public tier without a policy".into() })?;
        // Not the programme's name: a new name would draw all offsets again, and offsets that are drawn
        // again can be averaged away. Programmes differ by their root key.
        let key = self.key.disclosure("programme");
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
            .map(|(manifest, root)| {
                let files = manifest.files.into_iter().filter(|f| f.tier == "controlled").collect();
                Previous { root, files }
            })
            .collect()
    }
}
