//! The changes of some concepts, row by row.

use std::path::PathBuf;

use arrow::array::Array;

use super::{Sides, facts};
use crate::engine::Job;
use crate::vocabulary::ids::IdIndex;
use crate::vocabulary::scan::{Scan, ints};
use crate::vocabulary::{Error, IdSet, Relation, Vocabulary, ancestry};

/// One change of one concept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub concept: i64,
    pub change: &'static str,
    pub old: String,
    pub new: String,
}

/// The changes of `concepts`, sorted. `unknown` grows by the concepts that neither version has.
pub(super) fn rows(
    sides: &Sides,
    concepts: &[i64],
    unknown: &mut u64,
    job: &Job,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut in_both = IdSet::default();
    for &concept in concepts {
        let row = |change, old: &str, new: &str| Row {
            concept,
            change,
            old: old.to_owned(),
            new: new.to_owned(),
        };
        match (sides.old.concept(concept), sides.new.concept(concept)) {
            (None, None) => *unknown += 1,
            (None, Some(_)) => rows.push(row("added", "", "")),
            (Some(_), None) => rows.push(row("removed", "", "")),
            (Some(old), Some(new)) => {
                in_both.insert(concept);
                let changes = facts(&old, &new).filter(|(_, old, new)| old != new);
                rows.extend(changes.map(|(change, old, new)| row(change, old, new)));
                for relation in Relation::ALL {
                    let [old, new] =
                        [&sides.old, &sides.new].map(|v| targets(v, concept, relation));
                    if old != new {
                        rows.push(row(name(relation), &old, &new));
                    }
                }
            }
        }
    }
    if sides.with_ancestors {
        let index = in_both.number().ok_or(Error::TooMany { table: "concept" })?;
        ancestors(sides, &index, job, &mut rows)?;
    }
    rows.sort_unstable();
    Ok(rows)
}

fn name(relation: Relation) -> &'static str {
    match relation {
        Relation::MapsTo => "maps_to",
        Relation::MapsToValue => "maps_to_value",
        Relation::ReplacedBy => "replaced_by",
        Relation::SameAs => "same_as",
        Relation::PossiblyEquivalent => "possibly_equivalent",
        Relation::WasA => "was_a",
    }
}

/// The targets of a relation, ascending, with commas.
fn targets(vocabulary: &Vocabulary, concept: i64, relation: Relation) -> String {
    let mut ids: Vec<i64> = vocabulary.related(concept, relation).collect();
    ids.sort_unstable();
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    ids.join(",")
}

fn ancestors(
    sides: &Sides,
    concepts: &IdIndex,
    job: &Job,
    rows: &mut Vec<Row>,
) -> Result<(), Error> {
    let [old, new] = &sides.ancestors;
    let old = pairs(old, concepts, job)?;
    let new = pairs(new, concepts, job)?;
    let mut add = |(number, ancestor): (u32, i64), change| {
        let ancestor = ancestor.to_string();
        let (old, new) = if change == "ancestor_added" {
            (String::new(), ancestor)
        } else {
            (ancestor, String::new())
        };
        rows.push(Row { concept: concepts.id(number), change, old, new });
    };
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => (i, j) = (i + 1, j + 1),
            (Some(&a), b) if b.is_none_or(|b| a < *b) => {
                add(a, "ancestor_removed");
                i += 1;
            }
            (_, Some(&b)) => {
                add(b, "ancestor_added");
                j += 1;
            }
            // The guard above holds whenever there is no second.
            (_, None) => break,
        }
    }
    Ok(())
}

/// Number and ancestor of every pair whose descendant is one of `concepts`, sorted, each once.
fn pairs(files: &[PathBuf], concepts: &IdIndex, job: &Job) -> Result<Vec<(u32, i64)>, Error> {
    let mut pairs = Vec::new();
    let scan = Scan { table: "concept_ancestor", files, columns: &ancestry::COLUMNS };
    scan.each(job, |batch| {
        let (ancestor, descendant) = (ints(&batch[0]), ints(&batch[1]));
        for row in 0..ancestor.len() {
            if ancestor.is_null(row) || descendant.is_null(row) {
                continue;
            }
            if let Some(number) = concepts.number(descendant.value(row)) {
                pairs.push((number, ancestor.value(row)));
            }
        }
        Ok(())
    })?;
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}
