//! A workflow file opened: typed, its paths resolved, its policies read, every problem collected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::{
    AnnotationFeed, CallsetFeed, CdmVersion, DateBasis, Diagnostic, Document, Error, PublicPolicy,
    Stratum, Tier, TierPolicy, Workflow, expand,
};
use crate::curation;
use crate::curation::rule::Kind;
use crate::invariant::{CuratedDates, DateRange};
use crate::release::Layout;
use crate::tier;

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
        let mut problems = Problems { document: &document, found: Vec::new() };
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

struct Problems<'a> {
    document: &'a Document,
    found: Vec<Diagnostic>,
}

impl Problems<'_> {
    fn add(&mut self, key: &str, message: impl Into<String>, help: Option<String>) {
        self.found.push(self.document.problem_at(key, message, help));
    }

    fn check_sections(&mut self, workflow: &Workflow) {
        if workflow.participants.samples.is_none() && !workflow.callset.is_empty() {
            let help = "add samples = \"…\", a CSV with sample_id and person_id";
            self.add("participants", "a callset needs a sample map", Some(help.into()));
        }
        let release = &workflow.workflow.release;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if !release.starts_with(|c: char| c.is_ascii_alphanumeric()) || !release.chars().all(plain)
        {
            let help = "use lower-case letters, digits, ., _ and -, e.g. 2026q4r1".to_owned();
            self.add("workflow.release", "this tag cannot be part of a release id", Some(help));
        }
        self.check_key(workflow);
        for (site, feed) in &workflow.ehr {
            self.name("ehr", site);
            if site == "vocabulary" {
                self.add("ehr.vocabulary", "this name is taken by [vocabulary]", None);
            }
            if feed.max_rejected.fraction.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
                let key = format!("ehr.{site}.max_rejected");
                self.add(&key, "the fraction must be between 0 and 1", None);
            }
            if (feed.dates, &feed.shift_map) == (DateBasis::Shifted, &None) {
                let help = "a CSV with person_id and shift (days its dates were moved back)";
                let key = format!("ehr.{site}.dates");
                self.add(&key, "a shifted feed needs its shift_map", Some(help.into()));
            }
        }
        for (name, feed) in &workflow.wearables {
            if (feed.dates, &feed.shift_map) == (DateBasis::Shifted, &None) {
                let help = "a CSV with person_id and shift (days its dates were moved back)";
                let key = format!("wearables.{name}.dates");
                self.add(&key, "a shifted feed needs its shift_map", Some(help.into()));
            }
        }
        for (name, feed) in &workflow.callset {
            self.name("callset", name);
            self.check_files(name, feed);
            self.check_named_files(name, feed);
        }
        self.check_standard_input(workflow);
        if !workflow.callset.is_empty() && workflow.tier.controlled.is_none() {
            let help = "genotypes are written to the Controlled tier; add [tier.controlled]";
            self.add("callset", "needs the Controlled tier", Some(help.into()));
        }
        let records = !workflow.ehr.is_empty() || !workflow.wearables.is_empty();
        if !records && workflow.callset.is_empty() {
            self.add(
                "workflow",
                "there is nothing to ingest",
                Some("add [ehr.…], [wearables.…] or [callset.…]".into()),
            );
        }
        if workflow.tier.public.is_some() && workflow.tier.controlled.is_none() {
            let help = "the Public tier is made from the Controlled tier; add [tier.controlled]";
            self.add("tier.public", "needs the Controlled tier", Some(help.into()));
        }
        if workflow.tier.public.is_some() && workflow.ehr.is_empty() {
            let help = "its counts are of people in an EHR extract; add [ehr.…] or take it out";
            self.add("tier.public", "the Public tier needs an extract", Some(help.into()));
        }
    }

    /// Standard input is one stream, and of VCF or BCF.
    fn check_standard_input(&mut self, workflow: &Workflow) {
        let mut taken = false;
        for (name, feed) in &workflow.callset {
            let mine = feed.vcf.iter().filter(|p| *p == "-").count();
            if mine > 1 || (mine == 1 && taken) {
                let what = "standard input can be read once only";
                self.add(&format!("callset.{name}.vcf"), what, None);
            }
            taken |= mine > 0;
            let others =
                [("bed", &feed.bed), ("pgen", &feed.pgen), ("final_report", &feed.final_report)];
            for (key, files) in others {
                if files.iter().any(|p| p == "-") {
                    let what = "standard input is for vcf only";
                    self.add(&format!("callset.{name}.{key}"), what, None);
                }
            }
        }
    }

    /// Every file that a list or a map of chromosomes names is there: one that is not would be missed in
    /// silence.
    fn check_named_files(&mut self, name: &str, feed: &CallsetFeed) {
        if let Some(list) = &feed.vcf_list {
            let (key, list) = (format!("callset.{name}.vcf_list"), self.document.resolve(list));
            match std::fs::read_to_string(&list) {
                Ok(text) => {
                    for (line, pattern) in patterns(&text) {
                        if expand(folder_of(&list), pattern).is_empty() {
                            let what = format!("no file matches line {line} of the list");
                            self.add(&key, what, Some("take the line out or mend it".into()));
                        }
                    }
                }
                Err(_) if list.is_file() => self.add(&key, "the list is not readable text", None),
                Err(_) => {}
            }
        }
        for (chrom, pattern) in &feed.vcf_by_chrom {
            let key = format!("callset.{name}.vcf_by_chrom");
            if crate::genotype::query::chrom_name(chrom).is_none() {
                let help = "write chr1, 1, X ... as the files do";
                self.add(&key, format!("`{chrom}` is no chromosome"), Some(help.into()));
            }
            if expand(self.document.folder(), pattern).is_empty() {
                self.add(&key, format!("no file matches that of `{chrom}`"), None);
            }
        }
    }

    /// A callset's files come in one way.
    fn check_files(&mut self, name: &str, feed: &CallsetFeed) {
        let ways = feed.ways();
        if ways.len() != 1 {
            let help = "one of: vcf, vcf_list, vcf_by_chrom, bed, pgen, final_report";
            let what = if ways.is_empty() { "has no files" } else { "has files of several kinds" };
            self.add(&format!("callset.{name}"), what, Some(help.into()));
        }
        if feed.strata.contains(&Stratum::Adj) && !feed.calls.has_adj() {
            let help = "set min_gq, min_dp or min_ab in its `calls`";
            self.add(&format!("callset.{name}.strata"), "adj needs a threshold", Some(help.into()));
        }
        for (annotation, of) in &feed.annotations {
            let key = format!("callset.{name}.annotations.{annotation}");
            if of.files.is_empty() || of.files.iter().any(|file| file == "-") {
                let what = "needs files; standard input is for vcf only";
                self.add(&format!("{key}.files"), what, None);
            }
            self.name(&format!("callset.{name}.annotations"), annotation);
        }
        if !feed.final_report.is_empty() && feed.manifest.is_none() {
            let help = "the probes' positions and alleles are in the array's manifest (CSV)";
            let key = format!("callset.{name}.final_report");
            self.add(&key, "needs `manifest`", Some(help.into()));
        }
    }

    /// A policy file stands under the tier it was written for.
    fn check_tiers(
        &mut self,
        workflow: &Workflow,
        controlled: Option<&TierPolicy>,
        registered: Option<&TierPolicy>,
    ) {
        let wanted = [(Tier::Controlled, controlled), (Tier::Registered, registered)];
        for (tier, policy) in wanted {
            if policy.is_some_and(|policy| policy.policy.tier != tier) {
                let key = format!("tier.{}.policy", tier.name());
                self.add(&key, "this policy is for another tier", None);
            }
        }
        if !workflow.callset.is_empty() && controlled.is_some_and(|p| !p.policy.genomics) {
            let help = "set genomics = true in the policy, or take the callsets out";
            self.add("tier.controlled", "its policy has no genomics", Some(help.into()));
        }
    }

    fn check_key(&mut self, workflow: &Workflow) {
        let key = &workflow.identity.key;
        match (&key.file, key.fd) {
            (Some(_), Some(_)) | (None, None) => {
                let help = "key = { file = \"…\" } or key = { fd = 3 }";
                self.add("identity.key", "name one file or one descriptor", Some(help.into()));
            }
            (Some(file), None) if !key.create && !self.document.resolve(file).exists() => {
                let help = "create = true makes it on the first run";
                self.add("identity.key.file", "there is no such file", Some(help.into()));
            }
            _ => {}
        }
    }

    /// Feed names become folder names and stage ids.
    fn name(&mut self, section: &str, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            let help = "use letters, digits, _ and -".to_owned();
            self.add(&format!("{section}.{name}"), "this name cannot be a folder name", Some(help));
        }
    }

    /// A tier's policy, checked against the CDM; problems stand at the rule.
    fn tier_policy(&mut self, key: &str) -> Option<TierPolicy> {
        let (document, mut policy): (_, TierPolicy) = self.policy(key)?;
        let path = self.document.resolve(self.document.text_at(key)?);
        let folder = path.parent().unwrap_or(Path::new(""));
        if let Err((rule, what)) = policy.load_files(folder) {
            let help = "the file stands beside the policy".to_owned();
            self.found.push(document.problem_at(&format!("rule.{rule}.file"), what, Some(help)));
        }
        for problem in tier::check(&policy) {
            let rule = problem.rule.as_ref();
            let index = rule.and_then(|id| policy.rules.iter().position(|rule| rule.id == *id));
            let place = index.map_or("policy".to_owned(), |index| format!("rule.{index}.id"));
            self.found.push(document.problem_at(&place, problem.to_string(), None));
        }
        Some(policy)
    }

    fn public_policy(&mut self, key: &str) -> Option<PublicPolicy> {
        let (document, policy): (_, PublicPolicy) = self.policy(key)?;
        if let Err(problem) = policy.check() {
            self.found.push(document.problem_at("disclosure", problem.to_string(), None));
        }
        Some(policy)
    }

    /// The policy file that the workflow names at `key`; whether it is there was checked with the rest.
    fn policy<T: DeserializeOwned + JsonSchema>(&mut self, key: &str) -> Option<(Document, T)> {
        let path = self.document.resolve(self.document.text_at(key)?);
        if !path.is_file() {
            return None;
        }
        let read = Document::read(&path).and_then(|document| {
            let policy = document.parse()?;
            Ok((document, policy))
        });
        match read {
            Ok(found) => Some(found),
            Err(Error::Invalid(problems)) => {
                self.found.extend(problems);
                None
            }
            Err(Error::Io(e)) => {
                self.add(key, e.to_string(), None);
                None
            }
        }
    }
}
