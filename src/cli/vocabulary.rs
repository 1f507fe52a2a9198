//! `strata vocabulary`.

pub mod args;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use self::args::{Drift, Reading, Resolve, Vocabulary as Verb, VocabularyVerb};
use super::args::Args;
use super::report::Failure;
use super::{print_json, print_line, signal};
use crate::engine::{Job, parquet};
use crate::error::IoError;
use crate::omop::{ExtractRequest, Scope, SiteExtract, ingest};
use crate::vocabulary::{
    ConceptSets, DriftRequest, IdSet, Resolution, Vocabulary, concepts_in_use, drift, typed_folder,
};

pub fn vocabulary(verb: &Verb, args: &Args) -> Result<ExitCode, Failure> {
    match &verb.verb {
        VocabularyVerb::Resolve(verb) => resolve(verb, args),
        VocabularyVerb::Drift(verb) => report_drift(verb, args),
    }
}

/// A scratch folder that goes when it is dropped.
struct Work {
    folder: PathBuf,
    job: Job,
    reading: crate::omop::CdmVersion,
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays behind is in the system's temporary folder, readable to its owner only.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Work {
    fn new(reading: &Reading, args: &Args) -> Result<Self, Failure> {
        let base = reading.work.clone().unwrap_or_else(std::env::temp_dir);
        let folder = base.join(format!("strata-vocabulary-{}", std::process::id()));
        parquet::create_private_dir(&folder)?;
        let threads = reading.threads.map(usize::from);
        let job = Job {
            out: folder.clone(),
            scratch: folder.join("scratch"),
            threads: threads
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
            memory: reading.memory << 20,
            keyring: Default::default(),
            progress: super::progress::units(args),
            cancel: signal::watch(),
        };
        Ok(Self { folder, job, reading: reading.cdm.into() })
    }

    /// The typed tables of `path`, which are read into the scratch folder if they are not typed already.
    fn tables(&self, path: &Path, name: &str, scope: Scope) -> Result<SiteExtract, Failure> {
        std::fs::metadata(path).map_err(IoError::at("opening", path))?;
        if scope == Scope::Vocabulary
            && let Some(typed) = typed_folder(path, self.reading)?
        {
            return Ok(typed);
        }
        let root = self.folder.join(name);
        let request = ExtractRequest {
            site: name.to_owned(),
            path: path.to_owned(),
            cdm: self.reading,
            scope,
            encoding: Default::default(),
            max_rejected: Default::default(),
            shift_map: None,
        };
        let job = Job { out: root.clone(), scratch: root.join("scratch"), ..self.job.clone() };
        Ok(SiteExtract { extract: ingest(&request, &job)?, root })
    }
}

fn resolve(verb: &Resolve, args: &Args) -> Result<ExitCode, Failure> {
    let mut sets = ConceptSets::read(&verb.sets)?;
    if let Some(name) = &verb.set {
        sets.sets.retain(|set, _| set == name);
        if sets.sets.is_empty() {
            let help = Some("see the [concept_set.<name>] sections of the file".to_owned());
            return Err(Failure::stated("vocabulary::set", "--set names no set of the file", help));
        }
    }
    let work = Work::new(&verb.reading, args)?;
    let tables = work.tables(&verb.vocabulary, "vocabulary", Scope::Vocabulary)?;
    let vocabulary = Vocabulary::open(&tables, &work.job)?;
    let resolution = vocabulary.resolve(&sets, &work.job)?;
    if verb.lint {
        return lint(verb, &resolution);
    }
    for finding in &resolution.findings {
        tracing::warn!("{}: {}", finding.problem.name(), finding.subject());
    }
    let names = if verb.names { names(&vocabulary, &resolution, &work)? } else { BTreeMap::new() };
    if verb.json {
        print_json(&as_json(&resolution))?;
    } else {
        print_sets(&resolution, verb.names.then_some(&names), &vocabulary);
    }
    Ok(ExitCode::SUCCESS)
}

type Names = BTreeMap<i64, (String, String)>;

fn names(vocabulary: &Vocabulary, sets: &Resolution, work: &Work) -> Result<Names, Failure> {
    let ids: IdSet = sets.sets.iter().flat_map(|set| set.ids()).collect();
    Ok(vocabulary.names(&ids, &work.job)?)
}

fn print_sets(resolution: &Resolution, names: Option<&Names>, vocabulary: &Vocabulary) {
    let more = names.map_or("", |_| "\tdomain_id\tvocabulary_id\tconcept_code\tconcept_name");
    print_line(&format!("concept_set\tconcept_id{more}"));
    for set in &resolution.sets {
        let mut text = String::new();
        for id in set.ids() {
            text += &format!("{}\t{id}", set.name);
            if let Some(names) = names {
                let (domain, of) =
                    vocabulary.concept(id).map_or(("", ""), |c| (c.domain, c.vocabulary));
                let (code, name) =
                    names.get(&id).map_or(("", ""), |(code, name)| (code.as_str(), name.as_str()));
                text += &format!("\t{domain}\t{of}\t{code}\t{}", name.replace(['\t', '\n'], " "));
            }
            text.push('\n');
            if text.len() > 1 << 16 {
                print_line(text.trim_end_matches('\n'));
                text.clear();
            }
        }
        if !text.is_empty() {
            print_line(text.trim_end_matches('\n'));
        }
    }
}

fn as_json(resolution: &Resolution) -> serde_json::Value {
    let sets: BTreeMap<&str, Vec<i64>> =
        resolution.sets.iter().map(|set| (set.name.as_str(), set.ids())).collect();
    json!({
        "vocabulary_version": resolution.version,
        "concept_sets": sets,
        "findings": resolution.findings,
    })
}

fn lint(verb: &Resolve, resolution: &Resolution) -> Result<ExitCode, Failure> {
    if verb.json {
        print_json(&resolution.findings)?;
    } else {
        print_line("concept_set\tproblem\tconcept_id\tcode\tcount");
        for f in &resolution.findings {
            let id = f.concept_id.map(|id| id.to_string()).unwrap_or_default();
            let code = f.code.as_deref().unwrap_or_default();
            print_line(&format!("{}\t{}\t{id}\t{code}\t{}", f.set, f.problem.name(), f.count));
        }
    }
    resolution.require_known()?;
    Ok(ExitCode::SUCCESS)
}

fn report_drift(verb: &Drift, args: &Args) -> Result<ExitCode, Failure> {
    let sets = verb.sets.as_deref().map(ConceptSets::read).transpose()?;
    let work = Work::new(&verb.reading, args)?;
    let old = work.tables(&verb.old, "old", Scope::Vocabulary)?;
    let new = work.tables(&verb.new, "new", Scope::Vocabulary)?;
    let in_use = match &verb.data {
        Some(data) => {
            let records = work.tables(data, "records", Scope::Records)?;
            Some(concepts_in_use(&records, &work.job)?)
        }
        None => None,
    };
    let request = DriftRequest {
        old: &old,
        new: &new,
        in_use: in_use.as_ref(),
        sets: sets.as_ref(),
        folder: String::new(),
    };
    let job =
        Job { out: verb.out.clone(), progress: Arc::clone(&work.job.progress), ..work.job.clone() };
    print_json(&drift(&request, &job)?)?;
    Ok(ExitCode::SUCCESS)
}
