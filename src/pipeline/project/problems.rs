//! What is wrong with a workflow beyond its schema: what does not go together, what is not there, bad policies.

use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{folder_of, patterns};
use crate::config::{
    CallsetFeed, DateBasis, Diagnostic, Document, Error, PublicPolicy, Stratum, Tier, TierPolicy,
    Workflow, expand,
};
use crate::tier;

/// What is wrong with a workflow beyond its schema.
pub(super) struct Problems<'a> {
    document: &'a Document,
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Problems<'a> {
    pub(super) fn of(document: &'a Document) -> Self {
        Self { document, found: Vec::new() }
    }

    fn add(&mut self, key: &str, message: impl Into<String>, help: Option<String>) {
        self.found.push(self.document.problem_at(key, message, help));
    }

    pub(super) fn check_sections(&mut self, workflow: &Workflow) {
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
        self.check_sandbox(workflow);
        if workflow.tier.public.is_some() && workflow.ehr.is_empty() {
            let help = "its counts are of people in an EHR extract; add [ehr.…] or take it out";
            self.add("tier.public", "the Public tier needs an extract", Some(help.into()));
        }
    }

    /// What curation keeps of rows has raw ids and is not sealed: beside a sealed tier it would give away more
    /// than the tier does.
    fn check_sandbox(&mut self, workflow: &Workflow) {
        let tiers = [&workflow.tier.controlled, &workflow.tier.registered];
        if !tiers.into_iter().flatten().any(|tier| tier.encrypt) {
            return;
        }
        let kept = [("sandbox", workflow.curation.sandbox), ("mapping", workflow.curation.mapping)];
        for (key, _) in kept.into_iter().filter(|(_, kept)| *kept) {
            let help = "it has raw ids: make it in a store of its own, without encrypt";
            let what = "lies unsealed beside a sealed tier";
            self.add(&format!("curation.{key}"), what, Some(help.into()));
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
    pub(super) fn check_tiers(
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
    pub(super) fn tier_policy(&mut self, key: &str) -> Option<TierPolicy> {
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

    pub(super) fn public_policy(&mut self, key: &str) -> Option<PublicPolicy> {
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
