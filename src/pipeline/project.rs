//! A workflow file opened: typed, its paths resolved, its policies read, every problem collected.

mod problems;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::problems::Problems;
use crate::config::{
    AnnotationFeed, CallsetFeed, CdmVersion, Document, Error, PublicPolicy, Tier, TierPolicy,
    Workflow, expand,
};
use crate::curation;
use crate::curation::rule::Kind;
use crate::invariant::{CuratedDates, DateRange};
use crate::release::Layout;

/// An opened workflow: nothing in it is known to be wrong.
pub struct Project {
    /// The file as written.
    pub document: Document,
    /// The file as meant.
    pub workflow: Workflow,
    /// Where releases go.
    pub store: Layout,
    /// Policy of the Controlled tier.
    pub controlled: Option<TierPolicy>,
    /// Policy of the Registered tier.
    pub registered: Option<TierPolicy>,
    /// Policy of the Public tier.
    pub public: Option<PublicPolicy>,
}

impl Project {
    /// Opens a workflow file with all it refers to.
    ///
    /// # Errors
    /// Every unknown key, wrong value, bad path, missing column and bad policy at once.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let document = Document::read(path)?;
        let parsed: Result<Workflow, Error> = document.parse();
        let mut problems = Problems::of(&document);
        let controlled = problems.tier_policy("tier.controlled.policy");
        let registered = problems.tier_policy("tier.registered.policy");
        let public = problems.public_policy("tier.public.policy");
        let workflow = match parsed {
            Ok(workflow) => {
                problems.check_sections(&workflow);
                problems.check_tiers(&workflow, controlled.as_ref(), registered.as_ref());
                Some(workflow)
            }
            Err(Error::Invalid(more)) => {
                problems.found.extend(more);
                None
            }
            Err(other) => return Err(other),
        };
        let mut found = problems.found;
        match workflow {
            Some(workflow) if found.is_empty() => {
                let store = Layout::new(document.resolve(&workflow.workflow.store));
                Ok(Self { document, workflow, store, controlled, registered, public })
            }
            _ => {
                found.sort_by(|a, b| (&a.file, a.span.start).cmp(&(&b.file, b.span.start)));
                found.dedup();
                Err(Error::Invalid(found))
            }
        }
    }

    /// Makes every callset strict. It is part of what a stage is known by: none that was not strict is reused.
    pub fn be_strict(&mut self) {
        self.workflow.callset.values_mut().for_each(|feed| feed.strict = true);
    }

    /// A path of the workflow file, from here.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.document.resolve(relative)
    }

    /// Ids of all stages, in order.
    pub fn stage_ids(&self) -> Vec<String> {
        let workflow = &self.workflow;
        let fixed = |there: bool, id: &str| there.then(|| id.to_owned());
        let mut ids: Vec<String> = Vec::new();
        ids.extend(fixed(workflow.vocabulary.is_some(), "ingest.vocabulary"));
        ids.extend(workflow.ehr.keys().map(|site| format!("ingest.ehr.{site}")));
        ids.extend(workflow.wearables.keys().map(|name| format!("ingest.wearables.{name}")));
        ids.push("link".into());
        ids.push("curate".into());
        ids.extend(fixed(workflow.quality.is_some(), "quality"));
        ids.extend(workflow.callset.keys().map(|name| format!("ingest.callset.{name}")));
        ids.extend(fixed(self.controlled.is_some(), "tier.controlled"));
        ids.extend(fixed(self.registered.is_some(), "tier.registered"));
        let has_tier = self.controlled.is_some() || self.registered.is_some();
        ids.extend(fixed(has_tier, "invariants"));
        let both = self.controlled.is_some() && self.registered.is_some();
        ids.extend(fixed(both && workflow.privacy.is_some(), "privacy"));
        ids.extend(fixed(self.public.is_some(), "publish"));
        ids
    }

    /// The CDM version the release follows: the newest of its extracts.
    pub fn cdm(&self) -> CdmVersion {
        let newest = self.workflow.ehr.values().map(|feed| feed.cdm).max();
        newest.unwrap_or(CdmVersion::V5_4)
    }

    /// Whether the tables of a tier are encrypted at rest.
    pub fn is_sealed(&self, tier: Tier) -> bool {
        let tiers = &self.workflow.tier;
        let file = match tier {
            Tier::Controlled => tiers.controlled.as_ref(),
            Tier::Registered => tiers.registered.as_ref(),
            Tier::Public => None,
        };
        file.is_some_and(|file| file.encrypt)
    }

    /// The configuration as the manifest records it: what is meant, without paths and secrets.
    pub fn portable_config(&self) -> serde_json::Value {
        let workflow = &self.workflow;
        let ehr: serde_json::Map<_, _> = workflow
            .ehr
            .iter()
            .map(|(site, feed)| {
                let mut meant = serde_json::json!({
                    "cdm": feed.cdm,
                    "source": feed.source,
                    "dates": feed.dates,
                    "encoding": feed.encoding,
                });
                if let Some(state) = feed.state {
                    meant["state"] = state.into();
                }
                (site.clone(), meant)
            })
            .collect();
        let callset: serde_json::Map<_, _> =
            workflow.callset.iter().map(|(name, feed)| (name.clone(), feed.portable())).collect();
        let tiers = [Tier::Controlled, Tier::Registered];
        let sealed: Vec<_> =
            tiers.into_iter().filter(|tier| self.is_sealed(*tier)).map(Tier::name).collect();
        serde_json::json!({
            "release": workflow.workflow.release,
            "cdm": self.cdm(),
            "unmapped_samples": workflow.participants.unmapped_samples,
            "ids": workflow.identity.ids,
            "person_buckets": workflow.engine.person_buckets,
            "ehr": ehr,
            "wearables": workflow.wearables.keys().collect::<Vec<_>>(),
            "curation": {
                "sandbox": workflow.curation.sandbox,
                "mapping": workflow.curation.mapping,
                "cutoff": workflow.curation.cutoff,
                "observation_periods": workflow.curation.observation_periods,
                "eras": workflow.curation.eras,
                "dates": self.curated_dates(),
            },
            "quality": workflow.quality.as_ref().map(|quality| serde_json::json!({
                "checks": quality.checks,
                "analyses": quality.analyses,
                "small_cell_count": quality.small_cell_count,
                "min_persons": quality.min_persons,
            })),
            "privacy": workflow.privacy,
            "callset": callset,
            "sealed": sealed,
            "policies": {
                "controlled": self.controlled,
                "registered": self.registered,
                "public": self.public,
            },
        })
    }

    /// What the rules of curation promise of dates; nothing, when they cannot be read, which a run tells.
    pub fn curated_dates(&self) -> CuratedDates {
        let mut dates = CuratedDates::default();
        let rules = curation::Rules::read(&self.curation_rules());
        for rule in rules.map(|rules| rules.list).unwrap_or_default() {
            match rule.kind {
                Kind::DatesInRange { tables, first_year, first_year_of } => {
                    for (table, year) in &first_year_of {
                        let tables = vec![table.clone()];
                        dates.in_range.push(DateRange { first_year: *year, tables });
                    }
                    let tables = tables.into_iter().filter(|t| !first_year_of.contains_key(t));
                    dates.in_range.push(DateRange { first_year, tables: tables.collect() });
                }
                Kind::SinceBirth { tables, .. } => dates.since_birth.extend(tables),
                _ => {}
            }
        }
        dates
    }

    /// Rule files of curation in the order in which they apply: as written, those of a glob by name.
    pub fn curation_rules(&self) -> Vec<PathBuf> {
        let patterns = self.workflow.curation.rules.iter();
        patterns.flat_map(|pattern| expand(self.document.folder(), pattern)).collect()
    }

    /// Files of a callset, globs and lists expanded, sorted.
    pub fn callset_files(&self, feed: &CallsetFeed) -> Vec<PathBuf> {
        let folder = self.document.folder();
        let standard_input = feed.vcf.iter().filter(|p| *p == "-").map(PathBuf::from);
        let mut files: Vec<PathBuf> = [&feed.vcf, &feed.bed, &feed.pgen, &feed.final_report]
            .into_iter()
            .flatten()
            .chain(feed.vcf_by_chrom.values())
            .flat_map(|pattern| expand(folder, pattern))
            .chain(standard_input)
            .collect();
        if let Some(list) = &feed.vcf_list {
            files.extend(listed(&self.path(list)));
        }
        files.sort();
        files.dedup();
        files
    }

    /// Files of an annotation, globs expanded, sorted.
    pub fn annotation_files(&self, feed: &AnnotationFeed) -> Vec<PathBuf> {
        let folder = self.document.folder();
        let mut files: Vec<PathBuf> = feed.files.iter().flat_map(|p| expand(folder, p)).collect();
        files.sort();
        files.dedup();
        files
    }

    /// Files that belong to others of a callset by name: `.bim` and `.fam`, `.pvar` and `.psam`.
    pub fn companions(&self, feed: &CallsetFeed) -> Vec<PathBuf> {
        let beside = |path: &Path| -> Vec<PathBuf> {
            let names: &[&str] = match path.extension().and_then(|e| e.to_str()) {
                Some("bed") => &["bim", "fam"],
                Some("pgen") => &["pvar", "pvar.zst", "psam"],
                _ => &[],
            };
            names.iter().map(|e| path.with_extension(e)).filter(|p| p.exists()).collect()
        };
        self.callset_files(feed).iter().flat_map(|path| beside(path)).collect()
    }

    /// The chromosome that a file of `vcf_by_chrom` is for, by path.
    pub fn chromosomes(&self, feed: &CallsetFeed) -> BTreeMap<PathBuf, String> {
        let pairs = feed.vcf_by_chrom.iter().flat_map(|(chrom, pattern)| {
            expand(self.document.folder(), pattern).into_iter().map(|p| (p, chrom.clone()))
        });
        pairs.collect()
    }
}

/// The files that a list names, globs expanded.
fn listed(list: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    patterns(&text).flat_map(|(_, pattern)| expand(folder_of(list), pattern)).collect()
}

/// The lines of a list with their 1-based numbers; blank ones and those that start with `#` are passed over.
fn patterns(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn folder_of(list: &Path) -> &Path {
    list.parent().unwrap_or(Path::new(""))
}
