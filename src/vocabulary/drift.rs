//! What changed between two versions of the vocabulary, for the concepts that matter.
//!
//! The whole of CONCEPT is compared in counts; the concepts in use (in records, or in concept sets) are
//! compared one by one: facts, mappings and ancestors. Concept sets are resolved by both versions. Memory:
//! one full index while sets are resolved, then facts and relations of both versions, half of the job's
//! memory each; ancestors are compared for [`CHUNK`] concepts at a time, one pass over CONCEPT_ANCESTOR each.

mod rows;
mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use super::index::table_rows;
use super::{Concept, ConceptSets, Error, IdSet, Load, Resolution, Vocabulary, below};
use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger, parquet};
use crate::omop::SiteExtract;

/// Concepts whose ancestors are held at a time.
const CHUNK: usize = 250_000;

/// Two versions of the vocabulary, and what to compare.
pub struct DriftRequest<'a> {
    /// Typed vocabulary tables of the old version.
    pub old: &'a SiteExtract,
    /// Typed vocabulary tables of the new version.
    pub new: &'a SiteExtract,
    /// Concepts in use, e.g. by [`super::concepts_in_use`].
    pub in_use: Option<&'a IdSet>,
    /// Concept sets in use; their concepts are in use as well.
    pub sets: Option<&'a ConceptSets>,
    /// Folder of the report below `job.out`, e.g. `quality/vocabulary`.
    pub folder: String,
}

/// A concept set by two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetDrift {
    /// Name of the set.
    pub set: String,
    /// Concepts by the old version.
    pub old: u64,
    /// Concepts by the new version.
    pub new: u64,
    /// Concepts that only the new version has in it.
    pub added: u64,
    /// Concepts that only the old version has in it.
    pub removed: u64,
}

/// The report in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Version of the old vocabulary.
    pub old_version: Option<String>,
    /// Version of the new one.
    pub new_version: Option<String>,
    /// Concepts compared one by one; all of both versions when nothing says what is in use.
    pub concepts_in_use: u64,
    /// Concepts in use that neither version has.
    pub unknown_concepts: u64,
    /// Changes of the concepts in use, by kind.
    pub in_use: BTreeMap<&'static str, u64>,
    /// Changes of all concepts (`added`, `removed` and what CONCEPT says), by kind.
    pub all: BTreeMap<&'static str, u64>,
    /// Whether ancestors were compared: both versions must have some.
    pub ancestors_compared: bool,
    /// The concept sets.
    pub sets: Vec<SetDrift>,
    /// Files and books.
    #[serde(skip)]
    pub output: StageOutput,
}

/// Compares two versions and writes below `<folder>`: `drift.parquet` (`concept_id, change, old, new`, sorted;
/// changes are `added`, `removed`, `domain`, `vocabulary`, `class`, `standard`, `invalid_reason`, the
/// relations such as `maps_to` and `replaced_by` with their targets, `ancestor_added` and
/// `ancestor_removed`), `drift_sets.parquet` (`set, concept_id, change`) and `drift.json`, the summary.
/// Ancestors are compared for concepts that both versions have.
///
/// # Errors
/// When a table cannot be read, a report not written, or the indices do not fit into the job's memory.
pub fn drift(request: &DriftRequest<'_>, job: &Job) -> Result<Drift, Error> {
    let resolved = match request.sets {
        Some(sets) => Some((resolve(request.old, sets, job)?, resolve(request.new, sets, job)?)),
        None => None,
    };
    let half = Job { memory: job.memory / 2, ..job.clone() };
    let load = Load { ancestors: false, relations: true };
    let sides = Sides {
        old: Vocabulary::open_parts(request.old, load, &half)?,
        new: Vocabulary::open_parts(request.new, load, &half)?,
        ancestors: [request.old, request.new].map(|side| side.files("concept_ancestor")),
        with_ancestors: table_rows(request.old, "concept_ancestor")? > 0
            && table_rows(request.new, "concept_ancestor")? > 0,
    };
    let scope = scope(request, resolved.as_ref(), &sides);
    let mut drift = Drift {
        old_version: sides.old.version().map(str::to_owned),
        new_version: sides.new.version().map(str::to_owned),
        concepts_in_use: scope.len(),
        unknown_concepts: 0,
        in_use: BTreeMap::new(),
        all: sides.count_all(),
        ancestors_compared: sides.with_ancestors,
        sets: Vec::new(),
        output: StageOutput::default(),
    };
    let concepts = table::write_concepts(request, &sides, &scope, &mut drift, job)?;
    let mut files = vec![concepts];
    if let Some((old, new)) = &resolved {
        files.push(table::write_sets(request, old, new, &mut drift, job)?);
    }
    files.push(write_summary(request, &drift, job)?);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let ledger = files.iter().filter_map(|file| {
        let rows = file.rows?;
        Some(TableLedger { rows_in: rows, rows_out: rows, ..TableLedger::new(&file.table) })
    });
    drift.output = StageOutput { ledger: Ledger(ledger.collect()), files };
    Ok(drift)
}

fn resolve(side: &SiteExtract, sets: &ConceptSets, job: &Job) -> Result<Resolution, Error> {
    Vocabulary::open(side, job)?.resolve(sets, job)
}

/// The concepts to compare one by one.
fn scope(
    request: &DriftRequest<'_>,
    resolved: Option<&(Resolution, Resolution)>,
    sides: &Sides,
) -> IdSet {
    let mut scope = request.in_use.cloned().unwrap_or_default();
    if let Some((old, new)) = resolved {
        for id in old.sets.iter().chain(&new.sets).flat_map(|set| &set.concepts) {
            scope.insert(id.cast_signed());
        }
    } else if request.in_use.is_none() {
        for concept in sides.old.concepts().chain(sides.new.concepts()) {
            scope.insert(concept.id);
        }
    }
    scope
}

fn write_summary(request: &DriftRequest<'_>, drift: &Drift, job: &Job) -> Result<FileEntry, Error> {
    let path = below(&request.folder, "drift.json");
    let mut json = serde_json::to_vec_pretty(drift).unwrap_or_default();
    json.push(b'\n');
    Ok(parquet::write_bytes(&job.out, &path, "quality", "vocabulary/drift_summary", &json)?)
}

/// Both versions.
struct Sides {
    old: Vocabulary,
    new: Vocabulary,
    ancestors: [Vec<std::path::PathBuf>; 2],
    with_ancestors: bool,
}

impl Sides {
    /// Counts the changes of what CONCEPT says, over all concepts.
    fn count_all(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        let mut add = |change| *counts.entry(change).or_default() += 1;
        for old in self.old.concepts() {
            match self.new.concept(old.id) {
                None => add("removed"),
                Some(new) => {
                    facts(&old, &new).filter(|(_, old, new)| old != new).for_each(|c| add(c.0));
                }
            }
        }
        self.new.concepts().filter(|c| self.old.concept(c.id).is_none()).for_each(|_| add("added"));
        counts
    }
}

/// What CONCEPT says by two versions: name, old and new.
fn facts<'a>(
    old: &Concept<'a>,
    new: &Concept<'a>,
) -> impl Iterator<Item = (&'static str, &'a str, &'a str)> + use<'a> {
    [
        ("domain", old.domain, new.domain),
        ("vocabulary", old.vocabulary, new.vocabulary),
        ("class", old.class, new.class),
        (
            "standard",
            old.standard.code().unwrap_or_default(),
            new.standard.code().unwrap_or_default(),
        ),
        (
            "invalid_reason",
            old.validity.code().unwrap_or_default(),
            new.validity.code().unwrap_or_default(),
        ),
    ]
    .into_iter()
}
