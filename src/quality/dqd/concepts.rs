//! The facts of the vocabulary that checks ask for, of the concepts that occur.

use std::path::PathBuf;

use crate::engine::Job;

use super::books::Count;
use super::check::Rule;
use super::columns::{ints, texts};
use super::error::Error;
use super::lookup::IntMap;
use super::plan::Descendants;
use super::scan::Source;

/// A concept. Empty text and null are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concept {
    pub domain: String,
    pub class: String,
    /// Standard and not invalid.
    pub good: bool,
}

/// Concepts by id.
pub(super) type Concepts = IntMap<i64, Concept>;

/// Reads the concepts of `wanted` from the `concept` table.
pub(super) fn concepts(
    files: &[PathBuf],
    wanted: &IntMap<i64, ()>,
    job: &Job,
) -> Result<Concepts, Error> {
    let columns =
        ["concept_id", "domain_id", "concept_class_id", "standard_concept", "invalid_reason"];
    let read = |found: &mut Vec<(i64, Concept)>, batch: &_| {
        let id = ints("concept", batch, columns[0])?;
        let [domain, class, standard, invalid] =
            [1, 2, 3, 4].map(|i| texts("concept", batch, columns[i]));
        let (domain, class, standard, invalid) = (domain?, class?, standard?, invalid?);
        for i in 0..id.0.len() {
            let Some(id) = id.get(i).filter(|id| wanted.contains_key(id)) else { continue };
            let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let good = standard.get(i) == Some("S") && own(invalid.get(i)).is_empty();
            let concept = Concept { domain: own(domain.get(i)), class: own(class.get(i)), good };
            found.push((id, concept));
        }
        Ok(())
    };
    let states = Source::open(files, &job.keyring)?.scan(&columns, job, Vec::new, read)?;
    Ok(states.into_iter().flatten().collect())
}

/// Reads the descendants of `ancestors` from `concept_ancestor`.
pub(super) fn descendants(
    files: &[PathBuf],
    ancestors: &[i64],
    job: &Job,
) -> Result<Descendants, Error> {
    let columns = ["ancestor_concept_id", "descendant_concept_id"];
    let read = |found: &mut Vec<(i64, i64)>, batch: &_| {
        let ancestor = ints("concept_ancestor", batch, columns[0])?;
        let descendant = ints("concept_ancestor", batch, columns[1])?;
        for i in 0..ancestor.0.len() {
            let (Some(a), Some(d)) = (ancestor.get(i), descendant.get(i)) else { continue };
            if ancestors.contains(&a) {
                found.push((a, d));
            }
        }
        Ok(())
    };
    let mut all = Descendants::new();
    for (a, d) in Source::open(files, &job.keyring)?
        .scan(&columns, job, Vec::new, read)?
        .into_iter()
        .flatten()
    {
        *all.entry(a).or_default().entry(d).or_default() += 1;
    }
    Ok(all)
}

/// Rows that break `rule`, given the rows by concept of a column of a table with `rows` rows.
pub(super) fn judge(
    rule: &Rule,
    histogram: Option<&IntMap<i64, u64>>,
    rows: u64,
    concepts: &Concepts,
) -> Count {
    let mut count = Count { violated: 0, denominator: rows };
    if *rule == Rule::StandardValid {
        count.denominator = 0;
    }
    for (id, &n) in histogram.into_iter().flatten() {
        let concept = concepts.get(id);
        let known = |test: &dyn Fn(&Concept) -> bool| *id != 0 && concept.is_some_and(test);
        let wrong = match rule {
            Rule::ForeignKey { .. } => concept.is_none(),
            // A null domain or class is neither equal nor unequal.
            Rule::Domain(domain) => known(&|c| !c.domain.is_empty() && c.domain != *domain),
            Rule::Class(class) => known(&|c| !c.class.is_empty() && c.class != *class),
            Rule::StandardValid => {
                count.denominator += n;
                known(&|c| !c.good)
            }
            _ => false,
        };
        count.violated += n * u64::from(wrong);
    }
    count
}
