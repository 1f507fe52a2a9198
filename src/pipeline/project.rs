//! A workflow file opened: typed, its paths resolved, its policies read, every problem collected.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::{
    CdmVersion, DateBasis, Diagnostic, Document, Error, PolicyFile, PublicPolicy, Tier, TierPolicy,
    Workflow,
};
use crate::release::Layout;

/// An opened workflow: nothing in it is known to be wrong.
pub struct Project {
    /// The file as written.
    pub document: Document,
    /// The file as meant.
    pub workflow: Workflow,
    /// Folder that relative paths start from.
    base: PathBuf,
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
    /// Every unknown key, wrong value, bad path and bad policy at once.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let document = Document::read(path)?;
        let workflow: Workflow = document.parse()?;
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut problems = Problems { document: &document, base: &base, found: Vec::new() };
        problems.check_paths(&workflow);
        let controlled = problems.policy("tier.controlled", workflow.tier.controlled.as_ref());
        let registered = problems.policy("tier.registered", workflow.tier.registered.as_ref());
        let public = problems.policy("tier.public", workflow.tier.public.as_ref());
        problems.check_tiers(&workflow, controlled.as_ref(), registered.as_ref());
        let mut found = problems.found;
        if !found.is_empty() {
            found.sort_by(|a, b| (&a.file, a.span.start).cmp(&(&b.file, b.span.start)));
            return Err(Error::Invalid(found));
        }
        let store = Layout::new(normal(&base.join(&workflow.workflow.store)));
        Ok(Self { document, workflow, base, store, controlled, registered, public })
    }

    /// A path of the workflow file, from here.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        normal(&self.base.join(relative))
    }

    /// Ids of all stages, in order.
    pub fn stage_ids(&self) -> Vec<String> {
        let workflow = &self.workflow;
        let fixed = |there: bool, id: &str| there.then(|| id.to_owned());
        let mut ids: Vec<String> = Vec::new();
        ids.extend(fixed(workflow.vocabulary.is_some(), "ingest.vocabulary"));
        ids.extend(workflow.ehr.keys().map(|site| format!("ingest.ehr.{site}")));
        ids.push("link".into());
        ids.extend(workflow.callset.keys().map(|name| format!("ingest.callset.{name}")));
        ids.extend(fixed(self.controlled.is_some(), "tier.controlled"));
        ids.extend(fixed(self.registered.is_some(), "tier.registered"));
        ids.extend(fixed(self.public.is_some(), "publish"));
        ids
    }

    /// The CDM version the release follows: the newest of its extracts.
    pub fn cdm(&self) -> CdmVersion {
        let newest = self.workflow.ehr.values().map(|feed| feed.cdm).max();
        newest.unwrap_or(CdmVersion::V5_4)
    }

    /// The configuration as the manifest records it: what is meant, without paths and secrets.
    pub fn portable_config(&self) -> serde_json::Value {
        let workflow = &self.workflow;
        let ehr: serde_json::Map<_, _> = workflow
            .ehr
            .iter()
            .map(|(site, feed)| {
                (site.clone(), serde_json::json!({ "cdm": feed.cdm, "dates": feed.dates }))
            })
            .collect();
        let callset: serde_json::Map<_, _> = workflow
            .callset
            .iter()
            .map(|(name, feed)| {
                let config = serde_json::json!({
                    "genome": feed.genome,
                    "info": feed.info,
                    "carriers": feed.carriers,
                });
                (name.clone(), config)
            })
            .collect();
        serde_json::json!({
            "release": workflow.workflow.release,
            "unmapped_samples": workflow.participants.unmapped_samples,
            "ids": workflow.identity.ids,
            "person_buckets": workflow.engine.person_buckets,
            "ehr": ehr,
            "callset": callset,
            "policies": {
                "controlled": self.controlled,
                "registered": self.registered,
                "public": self.public,
            },
        })
    }

    /// Files of a callset, globs expanded, sorted.
    pub fn callset_files(&self, patterns: &[String]) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            patterns.iter().flat_map(|pattern| expand(&self.base, pattern)).collect();
        files.sort();
        files.dedup();
        files
    }
}

/// `a/../b` is `b`: messages and records are easier to read, and nothing is looked up.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir
                if matches!(
                    out.components().next_back(),
                    Some(std::path::Component::Normal(_))
                ) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = normal(&base.join(pattern));
    glob::glob(&pattern.to_string_lossy())
        .map(|found| found.flatten().collect())
        .unwrap_or_default()
}

struct Problems<'a> {
    document: &'a Document,
    base: &'a Path,
    found: Vec<Diagnostic>,
}

impl Problems<'_> {
    fn add(&mut self, key: &str, message: impl Into<String>, help: Option<String>) {
        self.found.push(self.document.problem_at(key, message, help));
    }

    fn check_paths(&mut self, workflow: &Workflow) {
        self.file("participants.roster", &workflow.participants.roster);
        match (&workflow.participants.samples, workflow.callset.is_empty()) {
            (Some(path), _) => self.file("participants.samples", path),
            (None, false) => {
                let help = "add samples = \"…\", a CSV with sample_id and person_id";
                self.add("participants", "a callset needs a sample map", Some(help.into()));
            }
            (None, true) => {}
        }
        self.check_key(workflow);
        if let Some(vocabulary) = &workflow.vocabulary {
            self.folder("vocabulary.path", &vocabulary.path);
        }
        for (site, feed) in &workflow.ehr {
            self.name("ehr", site);
            self.folder(&format!("ehr.{site}.path"), &feed.path);
            match (feed.dates, &feed.shift_map) {
                (DateBasis::Shifted, None) => self.add(
                    &format!("ehr.{site}.dates"),
                    "a shifted feed needs its shift_map",
                    Some("a CSV with person_id and shift (days its dates were moved back)".into()),
                ),
                (_, Some(path)) => self.file(&format!("ehr.{site}.shift_map"), path),
                _ => {}
            }
        }
        for (name, callset) in &workflow.callset {
            self.name("callset", name);
            for (index, pattern) in callset.vcf.iter().enumerate() {
                if expand(self.base, pattern).is_empty() {
                    let help = self.neighbour(Path::new(pattern));
                    self.add(&format!("callset.{name}.vcf.{index}"), "no file matches this", help);
                }
            }
            for (key, path) in [("ancestry", &callset.ancestry), ("sex", &callset.sex)] {
                if let Some(path) = path {
                    self.file(&format!("callset.{name}.{key}"), path);
                }
            }
        }
        if !workflow.callset.is_empty() && workflow.tier.controlled.is_none() {
            let help = "genotypes are written to the Controlled tier; add [tier.controlled]";
            self.add("callset", "needs the Controlled tier", Some(help.into()));
        }
        if workflow.ehr.is_empty() && workflow.callset.is_empty() {
            self.add(
                "workflow",
                "there is nothing to ingest",
                Some("add [ehr.…] or [callset.…]".into()),
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
            (Some(file), None) if !key.create => self.file("identity.key", file),
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

    fn file(&mut self, key: &str, path: &Path) {
        if !self.base.join(path).is_file() {
            let help = self.neighbour(path);
            self.add(key, "there is no such file", help);
        }
    }

    fn folder(&mut self, key: &str, path: &Path) {
        if !self.base.join(path).is_dir() {
            let help = self.neighbour(path);
            self.add(key, "there is no such folder", help);
        }
    }

    /// The file of the nearest name in the same folder, or how far the path exists.
    fn neighbour(&self, path: &Path) -> Option<String> {
        let wanted = path.file_name()?.to_string_lossy().into_owned();
        let parent = self.base.join(path.parent()?);
        let Ok(entries) = std::fs::read_dir(&parent) else {
            return Some(format!("the folder {} does not exist", normal(&parent).display()));
        };
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        crate::config::nearest(&wanted, names.iter().map(String::as_str))
            .map(|near| format!("did you mean `{near}`?"))
    }

    fn policy<T: DeserializeOwned + JsonSchema>(
        &mut self,
        key: &str,
        file: Option<&PolicyFile>,
    ) -> Option<T> {
        let file = file?;
        let path = normal(&self.base.join(&file.policy));
        if !path.is_file() {
            let help = self.neighbour(&file.policy);
            self.add(&format!("{key}.policy"), "there is no such file", help);
            return None;
        }
        match Document::read(&path).and_then(|document| document.parse()) {
            Ok(policy) => Some(policy),
            Err(Error::Invalid(problems)) => {
                self.found.extend(problems);
                None
            }
            Err(Error::Io(e)) => {
                self.add(&format!("{key}.policy"), e.to_string(), None);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_in_their_short_form() {
        assert_eq!(normal(Path::new("a/b/../c/./d")), Path::new("a/c/d"));
        assert_eq!(normal(Path::new("../x/../y")), Path::new("../y"));
    }
}
