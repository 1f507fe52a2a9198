//! The stages of a run, what each depends on, and which would run and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Inputs, Project};
use crate::config::{CallsetFeed, Curation, IdScope, Tier};
use crate::engine::parquet::hex;
use crate::release::{Layout, Manifest};

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Vocabulary tables in.
    Vocabulary,
    /// A site's EHR extract in.
    Ehr(String),
    /// A wearables feed in.
    Wearables(String),
    /// Roster against extracts: who takes part.
    Link,
    /// The extracts united, cleaned by rules and completed.
    Curate,
    /// Checks and characterisation of the curated records.
    Quality,
    /// A callset in.
    Callset(String),
    /// An individual-level tier out.
    Tier(Tier),
    /// What the release promises, looked at in the tiers.
    Invariants,
    /// Attacks on the individual-level tiers, measured.
    Privacy,
    /// Public aggregates out.
    Publish,
}

impl Work {
    /// Whether later stages read more of it than its release files.
    fn is_intermediate(&self) -> bool {
        matches!(
            self,
            Self::Vocabulary | Self::Ehr(_) | Self::Wearables(_) | Self::Link | Self::Curate
        )
    }
}

/// What will be done about a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It runs.
    Run,
    /// Its files are taken from the current release.
    Reuse,
    /// An interrupted run of the same content has finished it.
    Resume,
}

/// One stage of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Stable id, e.g. `ingest.callset.wgs`.
    pub id: String,
    /// Stages whose output it reads.
    pub needs: Vec<String>,
    /// Content key.
    pub key: String,
    /// What the key is made of, each by digest; what differs is the reason to run.
    pub parts: BTreeMap<String, String>,
    /// What will be done.
    pub action: Action,
    /// Why.
    pub why: String,
    /// What it does.
    #[serde(skip)]
    pub work: Work,
}

/// A whole run, before it starts.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Id of the run; the same content has the same id, so that it can be resumed.
    pub run_id: String,
    /// Id of the release it makes.
    pub release_id: String,
    /// Full content key.
    pub content_key: String,
    /// The release that is current now, if any.
    pub current: Option<String>,
    /// Whether the current release already is this one.
    pub done: bool,
    /// Id of the root key; `new` before it is made.
    pub key_id: String,
    /// Size of all inputs, in bytes.
    pub input_bytes: u64,
    /// Stages in order.
    pub stages: Vec<Stage>,
}

impl Plan {
    /// Works out the stages of `project` and what must be done about each. `force`: stages that must
    /// run, and why. A damaged current release counts as none.
    pub fn make(
        project: &Project,
        inputs: &Inputs,
        key_id: &str,
        force: &BTreeMap<String, String>,
    ) -> Self {
        let mut stages = Draft { project, inputs, key_id, stages: Vec::new() }.draw();
        let content_key = content_key(project, key_id, &stages);
        let release_id = format!("{}-{}", project.workflow.workflow.release, &content_key[..12]);
        let current = readable_current(&project.store);
        let done = current.as_ref().is_some_and(|m| m.content_key == content_key);
        let run_id = format!("run-{}", &content_key[..12]);
        decide(&mut stages, current.as_ref(), &finished(&project.store, &run_id), force);
        Self {
            run_id,
            release_id,
            content_key,
            current: current.map(|m| m.release_id),
            done: done && force.is_empty(),
            key_id: key_id.to_owned(),
            input_bytes: inputs.bytes(),
            stages,
        }
    }

    /// The plan as a Mermaid flow chart.
    pub fn mermaid(&self) -> String {
        let node = |id: &str| id.replace(['.', '-'], "_");
        let mut chart = String::from("flowchart LR\n");
        for stage in &self.stages {
            let action = format!("{:?}", stage.action).to_lowercase();
            chart += &format!("  {}[\"{}<br/>{action}\"]\n", node(&stage.id), stage.id);
            for need in &stage.needs {
                chart += &format!("  {} --> {}\n", node(need), node(&stage.id));
            }
        }
        for stage in &self.stages {
            chart += &format!("  {} --> commit\n", node(&stage.id));
        }
        chart
    }
}

/// The program as a part of every key: its version and a digest of its sources.
const PROGRAM: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("STRATA_SOURCE"));

/// Lower-case hex SHA-256 of a text.
fn digest(text: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(text))
}

fn content_key(project: &Project, key_id: &str, stages: &[Stage]) -> String {
    let programme = &project.workflow.workflow;
    let mut text = format!(
        "{PROGRAM}\n{}\n{}\n{}\n{key_id} {}\n",
        programme.name,
        programme.release,
        programme.reference_date.0,
        project.workflow.identity.epoch
    );
    for stage in stages {
        text += &format!("{} {}\n", stage.id, stage.key);
    }
    digest(text)
}

/// Stages that an interrupted run of the same content has finished, with their keys.
fn finished(store: &Layout, run_id: &str) -> BTreeMap<String, String> {
    super::stage::Done::all(&store.staging_of(run_id))
        .into_iter()
        .map(|done| (done.stage, done.key))
        .collect()
}

struct Draft<'a> {
    project: &'a Project,
    inputs: &'a Inputs,
    key_id: &'a str,
    stages: Vec<Stage>,
}

impl Draft<'_> {
    fn draw(mut self) -> Vec<Stage> {
        let workflow = &self.project.workflow;
        let mut extracts: Vec<String> = Vec::new();
        if workflow.vocabulary.is_some() {
            let version = workflow.vocabulary.as_ref().and_then(|v| v.version.clone());
            let parts = [
                ("inputs", self.inputs.fingerprint("vocabulary")),
                ("config", version.unwrap_or_default()),
            ];
            extracts.push(self.add("ingest.vocabulary", Work::Vocabulary, &[], parts));
        }
        for (site, feed) in &workflow.ehr {
            let name = format!("ehr.{site}");
            let parts = [
                ("inputs", self.inputs.fingerprint(&name)),
                ("shift map", self.inputs.fingerprint(&format!("{name}.shift_map"))),
                (
                    "config",
                    format!(
                        "{:?} {:?} {:?} {:?}",
                        feed.cdm, feed.dates, feed.encoding, feed.max_rejected
                    ),
                ),
            ];
            extracts.push(self.add(&format!("ingest.{name}"), Work::Ehr(site.clone()), &[], parts));
        }
        for (name, of) in &workflow.wearables {
            let feed = format!("wearables.{name}");
            let parts = [
                ("inputs", self.inputs.fingerprint(&feed)),
                ("shift map", self.inputs.fingerprint(&format!("{feed}.shift_map"))),
                ("config", format!("{:?}", of.dates)),
            ];
            let work = Work::Wearables(name.clone());
            extracts.push(self.add(&format!("ingest.{feed}"), work, &[], parts));
        }
        let link = self.link(&extracts);
        let curated = self.curate(&extracts, &link);
        self.quality(&curated);
        let callsets = self.callsets();
        let tiers = self.tiers(&curated);
        self.invariants(&curated, &callsets, &tiers);
        self.privacy(&tiers);
        self.publish(&callsets, &tiers);
        self.stages
    }

    fn link(&mut self, extracts: &[String]) -> String {
        let parts = [("roster", self.inputs.fingerprint("roster"))];
        self.add("link", Work::Link, extracts, parts)
    }

    fn curate(&mut self, extracts: &[String], link: &str) -> String {
        let workflow = &self.project.workflow;
        let needs: Vec<String> = extracts.iter().cloned().chain([link.to_owned()]).collect();
        // Rules apply in order, wherever their files are.
        let rules = self.project.curation_rules();
        let order: Vec<_> = rules.iter().map(|p| p.file_name().unwrap_or_default()).collect();
        // Who is sequenced is part of the summary of a person.
        let callsets: String = (workflow.callset.keys())
            .map(|name| self.inputs.fingerprint_all(&format!("callset.{name}")))
            .collect();
        let settings = Curation { rules: Vec::new(), ..workflow.curation.clone() };
        let sources: Vec<_> = workflow.ehr.values().map(|feed| feed.source).collect();
        let parts = [
            ("rules", self.inputs.fingerprint("curation.rules")),
            ("callsets", callsets),
            ("sample map", self.inputs.fingerprint("samples")),
            ("roster", self.inputs.fingerprint("roster")),
            (
                "config",
                format!(
                    "{} {settings:?} {order:?} {sources:?}",
                    workflow.workflow.reference_date.0
                ),
            ),
        ];
        self.add("curate", Work::Curate, &needs, parts)
    }

    fn quality(&mut self, curated: &str) {
        let workflow = &self.project.workflow;
        let Some(quality) = &workflow.quality else { return };
        let parts = [
            ("thresholds", self.inputs.fingerprint("quality.thresholds")),
            (
                "config",
                format!(
                    "{} {} {} {} {} {}",
                    workflow.workflow.name,
                    workflow.workflow.reference_date.0,
                    quality.checks,
                    quality.analyses,
                    quality.small_cell_count,
                    quality.min_persons
                ),
            ),
        ];
        self.add("quality", Work::Quality, &[curated.to_owned()], parts);
    }

    fn callsets(&mut self) -> Vec<String> {
        let workflow = &self.project.workflow;
        let mut ids = Vec::new();
        for (name, feed) in &workflow.callset {
            let input = format!("callset.{name}");
            let parts = [
                ("inputs", self.inputs.fingerprint_all(&input)),
                ("roster", self.inputs.fingerprint("roster")),
                ("sample map", self.inputs.fingerprint("samples")),
                ("key", self.key_id.to_owned()),
                ("identity map", self.shared_map()),
                ("chromosomes", self.chromosomes(feed)),
                ("sealed", self.project.is_sealed(Tier::Controlled).to_string()),
                (
                    "config",
                    format!(
                        "{} {:?} {:?}",
                        feed.portable(),
                        workflow.participants.unmapped_samples,
                        workflow.identity.ids
                    ),
                ),
            ];
            ids.push(self.add(&format!("ingest.{input}"), Work::Callset(name.clone()), &[], parts));
        }
        ids
    }

    /// The imported map of ids and shifts.
    fn map(&self) -> String {
        let map = self.project.workflow.identity.map.as_ref();
        let derive_missing = map.map(|map| map.derive_missing);
        format!("{}{derive_missing:?}", self.inputs.fingerprint("identity.map"))
    }

    /// The same, where the Controlled tier takes ids from it.
    fn shared_map(&self) -> String {
        let shared = self.project.workflow.identity.ids == IdScope::Shared;
        if shared { self.map() } else { String::new() }
    }

    /// Which file is for which chromosome, by file name: moving the files changes nothing.
    fn chromosomes(&self, feed: &CallsetFeed) -> String {
        let files = self.project.chromosomes(feed).into_iter();
        files
            .map(|(path, chrom)| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{chrom} {name}\n")
            })
            .collect()
    }

    fn tiers(&mut self, curated: &str) -> Vec<String> {
        let workflow = &self.project.workflow;
        let policies = [
            (Tier::Controlled, &self.project.controlled),
            (Tier::Registered, &self.project.registered),
        ];
        let mut ids = Vec::new();
        for (tier, policy) in policies {
            let Some(policy) = policy else { continue };
            let needs = [curated.to_owned()];
            let is_shifted = tier == Tier::Registered;
            let states: Vec<_> =
                workflow.ehr.iter().filter_map(|(site, feed)| Some((site, feed.state?))).collect();
            let parts = [
                // With what was read from the files it names.
                ("policy", format!("{policy:?}")),
                ("sealed", self.project.is_sealed(tier).to_string()),
                ("key", self.key_id.to_owned()),
                ("identity map", if is_shifted { self.map() } else { self.shared_map() }),
                (
                    "config",
                    format!(
                        "{} {:?} {:?} {} {states:?}",
                        workflow.workflow.reference_date.0,
                        workflow.identity.ids,
                        is_shifted.then_some(workflow.identity.shift),
                        workflow.engine.person_buckets
                    ),
                ),
            ];
            ids.push(self.add(&format!("tier.{}", tier.name()), Work::Tier(tier), &needs, parts));
        }
        ids
    }

    fn invariants(&mut self, curated: &str, callsets: &[String], tiers: &[String]) {
        if tiers.is_empty() {
            return;
        }
        let workflow = &self.project.workflow;
        let needs: Vec<String> =
            [curated.to_owned()].iter().chain(callsets).chain(tiers).cloned().collect();
        let parts = [
            ("roster", self.inputs.fingerprint("roster")),
            ("sample map", self.inputs.fingerprint("samples")),
            ("key", self.key_id.to_owned()),
            ("identity map", self.map()),
            (
                "config",
                format!(
                    "{} {:?} {:?}",
                    workflow.workflow.reference_date.0,
                    workflow.identity.ids,
                    workflow.identity.shift
                ),
            ),
        ];
        self.add("invariants", Work::Invariants, &needs, parts);
    }

    /// Who is who is in the keys of the tiers, which need the roster alone.
    fn privacy(&mut self, tiers: &[String]) {
        let workflow = &self.project.workflow;
        let Some(privacy) = workflow.privacy.as_ref().filter(|_| tiers.len() == 2) else { return };
        let cutoff = workflow.curation.cutoff.unwrap_or(workflow.workflow.reference_date);
        let parts = [
            ("roster", self.inputs.fingerprint("roster")),
            ("config", format!("{} {}", privacy.max_people, cutoff.0)),
        ];
        self.add("privacy", Work::Privacy, tiers, parts);
    }

    fn publish(&mut self, callsets: &[String], tiers: &[String]) {
        let Some(policy) = &self.project.public else { return };
        let programme = &self.project.workflow.workflow;
        let controlled = tiers.iter().filter(|id| *id == "tier.controlled");
        let needs: Vec<String> = callsets.iter().chain(controlled).cloned().collect();
        let parts = [
            ("policy", serde_json::to_string(policy).unwrap_or_default()),
            ("key", self.key_id.to_owned()),
            (
                "config",
                format!(
                    "{}\n{}\n{}",
                    programme.name, programme.release, programme.reference_date.0
                ),
            ),
        ];
        self.add("publish", Work::Publish, &needs, parts);
    }

    fn add<const N: usize>(
        &mut self,
        id: &str,
        work: Work,
        needs: &[String],
        parts: [(&str, String); N],
    ) -> String {
        let mut parts: BTreeMap<String, String> =
            parts.into_iter().map(|(name, text)| (name.to_owned(), digest(text))).collect();
        parts.insert("program version".into(), digest(PROGRAM));
        for need in needs {
            let key = self.stages.iter().find(|s| s.id == *need).map(|s| s.key.clone());
            parts.insert(need.clone(), key.unwrap_or_default());
        }
        let text: String = parts.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        self.stages.push(Stage {
            id: id.to_owned(),
            needs: needs.to_vec(),
            key: digest(format!("{id}\n{text}")),
            parts,
            action: Action::Run,
            why: String::new(),
            work,
        });
        id.to_owned()
    }
}

/// The current release, if it can be read: a damaged one must not keep the next from being made.
pub(super) fn readable_current(store: &Layout) -> Option<Manifest> {
    Manifest::current(store).unwrap_or_else(|error| {
        tracing::warn!(%error, "the current release cannot be read and is not reused");
        None
    })
}

/// Later stages first: an intermediate stage is reused only if nothing that reads it must run.
fn decide(
    stages: &mut [Stage],
    current: Option<&Manifest>,
    finished: &BTreeMap<String, String>,
    force: &BTreeMap<String, String>,
) {
    for index in (0..stages.len()).rev() {
        let (head, tail) = stages.split_at_mut(index + 1);
        let stage = &mut head[index];
        let reader = tail.iter().find(|s| s.action == Action::Run && s.needs.contains(&stage.id));
        let old = current.and_then(|m| m.stages.get(&stage.id));
        let (action, why) = if let Some(why) = force.get(&stage.id) {
            (Action::Run, why.clone())
        } else if finished.get(&stage.id) == Some(&stage.key) {
            (Action::Resume, "an interrupted run has finished it".to_owned())
        } else if old.is_some_and(|old| old.key == stage.key) {
            match reader.filter(|_| stage.work.is_intermediate()) {
                Some(reader) => (Action::Run, format!("{} reads what it makes", reader.id)),
                None => (Action::Reuse, "unchanged since the current release".to_owned()),
            }
        } else {
            (Action::Run, reason(stage, old.map(|old| &old.parts)))
        };
        stage.action = action;
        stage.why = why;
    }
}

fn reason(stage: &Stage, old: Option<&BTreeMap<String, String>>) -> String {
    let Some(old) = old else { return "there is no earlier result".into() };
    let changed: Vec<&str> = stage
        .parts
        .iter()
        .filter(|(name, value)| old.get(*name) != Some(value))
        .map(|(name, _)| name.as_str())
        .chain(old.keys().filter(|name| !stage.parts.contains_key(*name)).map(String::as_str))
        .collect();
    format!("changed: {}", changed.join(", "))
}
