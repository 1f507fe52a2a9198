//! Everything that can be wrong with a workflow's inputs, found without running it.

use serde::Serialize;

use super::epoch::Naming;
use super::{Project, has_key, load_key, peek_key_id};
use crate::error::Coded;
use crate::genotype::{self, Annotation};
use crate::identity::{AncestryTable, Roster, SampleMap, SexTable, link};

/// One problem with an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable code.
    pub code: String,
    /// In words, with the place.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    fn of(error: &dyn Coded) -> Self {
        Self { code: error.code().into(), message: error.to_string(), help: error.help() }
    }
}

/// Checks the inputs of an opened project: key, roster, sample map, callset headers, sheets, policies.
///
/// Reads headers and small tables only. Problems come in the order of the workflow file.
pub fn validate(project: &Project) -> Vec<Problem> {
    let mut problems = Vec::new();
    let workflow = &project.workflow;
    // A key from an open file can be read once, and the run is to read it.
    if note(&mut problems, peek_key_id(project)).is_some()
        && workflow.identity.key.fd.is_none()
        && has_key(project)
    {
        let key = load_key(project);
        let fits = key.and_then(|key| Naming::of(project, &key)?.check_releases(project));
        note(&mut problems, fits);
    }
    let roster_path = project.path(&workflow.participants.roster);
    let roster = note(&mut problems, Roster::read(&roster_path));
    let map_path = workflow.participants.samples.as_ref().map(|p| project.path(p));
    let map = map_path.as_ref().and_then(|p| note(&mut problems, SampleMap::read(p)));
    if let (Some(roster), Some(map), Some(path)) = (&roster, &map, &map_path) {
        note(&mut problems, link::check_samples(roster, path, map));
    }
    for (name, feed) in &workflow.callset {
        if let Some(path) = &feed.ancestry {
            note(&mut problems, AncestryTable::read(&project.path(path)));
        }
        if let Some(path) = &feed.sex {
            note(&mut problems, SexTable::read(&project.path(path)));
        }
        for (annotation, of) in &feed.annotations {
            let of = Annotation { files: project.annotation_files(of), info: of.info.clone() };
            note(&mut problems, genotype::check_annotation(name, annotation, &of));
        }
        let mut files = project.callset_files(feed);
        // A stream that is looked into is gone for the run.
        files.retain(|file| !super::spool::is_stream(file));
        let names: Vec<Option<Vec<String>>> =
            files.iter().map(|file| note(&mut problems, genotype::sample_names(file))).collect();
        let (Some(roster), Some(map), Some(path)) = (&roster, &map, &map_path) else { continue };
        let samples = merged(names);
        if !samples.is_empty() {
            let unmapped = match workflow.participants.unmapped_samples {
                crate::config::Unmapped::Error => crate::identity::Unmapped::Error,
                crate::config::Unmapped::Exclude => crate::identity::Unmapped::Exclude,
            };
            note(&mut problems, link::callset(name, &samples, map, path, roster, unmapped));
        }
    }
    problems.dedup();
    problems
}

/// The samples of all files, each once.
fn merged(files: Vec<Option<Vec<String>>>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    files.into_iter().flatten().flatten().filter(|name| seen.insert(name.clone())).collect()
}

fn note<T, E: Coded>(problems: &mut Vec<Problem>, result: Result<T, E>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(Problem::of(&error));
            None
        }
    }
}
