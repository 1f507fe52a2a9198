//! Concept sets to concept ids, by the rules of Circe.
//!
//! Circe (`ConceptSetExpressionQueryBuilder`): the ids stated that CONCEPT has, valid or not; with
//! `descendants`, those of CONCEPT_ANCESTOR that CONCEPT has and that are valid; with `mapped`, every
//! concept that a valid `Maps to` leads from to one of these (the stated ids and their descendants of the
//! same item); then the same of the excluded items is subtracted. Two things are not Circe's: items by
//! code, and `standard`.

use std::collections::{BTreeMap, BTreeSet};

use roaring::{RoaringBitmap, RoaringTreemap};

use super::lint::{self, Finding, Problem};
use super::{ConceptSet, ConceptSets, Error, Item, Relation, Vocabulary};
use crate::engine::Job;

/// Concepts by code: `(vocabulary_id, concept_code)`.
pub(super) type Codes = BTreeMap<(String, String), Vec<i64>>;

/// The concepts that a set stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedSet {
    /// Name of the set.
    pub name: String,
    /// Its concepts, as the bits of their ids.
    pub concepts: RoaringTreemap,
}

impl ResolvedSet {
    /// Whether the set has `id`.
    pub fn contains(&self, id: i64) -> bool {
        self.concepts.contains(id.cast_unsigned())
    }

    /// Its concept ids, ascending.
    pub fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.concepts.iter().map(u64::cast_signed).collect();
        ids.sort_unstable();
        ids
    }
}

/// Sets with their concepts, and what is odd about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// Version of the vocabulary.
    pub version: Option<String>,
    /// The sets, by name.
    pub sets: Vec<ResolvedSet>,
    /// What is odd, by set and in the order of its items.
    pub findings: Vec<Finding>,
}

impl Resolution {
    /// The set called `name`.
    pub fn set(&self, name: &str) -> Option<&ResolvedSet> {
        self.sets.iter().find(|s| s.name == name)
    }

    /// Fails when a set names a concept or a code that the vocabulary lacks.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the first ten of them: they are of the sets, not of a person.
    pub fn require_known(&self) -> Result<(), Error> {
        let unknown = |f: &&Finding| matches!(f.problem, Problem::Unknown | Problem::UnknownCode);
        let count = self.findings.iter().filter(unknown).count();
        if count == 0 {
            return Ok(());
        }
        let first: Vec<String> =
            self.findings.iter().filter(unknown).take(10).map(Finding::subject).collect();
        Err(Error::Unknown { count, first: first.join(", ") })
    }
}

impl Vocabulary {
    /// The concepts of every set, and what is odd about the sets.
    ///
    /// # Errors
    /// When codes are to be looked up and CONCEPT cannot be read.
    pub fn resolve(&self, sets: &ConceptSets, job: &Job) -> Result<Resolution, Error> {
        let codes = self.find_codes(&stated_codes(sets), job)?;
        let mut resolution = Resolution {
            version: self.version().map(str::to_owned),
            sets: Vec::with_capacity(sets.sets.len()),
            findings: Vec::new(),
        };
        for (name, set) in &sets.sets {
            job.check()?;
            let [include, exclude] =
                [&set.include, &set.exclude].map(|items| self.items(items, &codes));
            let numbers = include - exclude;
            let mut concepts: RoaringTreemap =
                numbers.iter().map(|n| self.ids.id(n).cast_unsigned()).collect();
            concepts.optimize();
            lint::check(self, name, set, &codes, &numbers, &mut resolution.findings);
            resolution.sets.push(ResolvedSet { name: name.clone(), concepts });
        }
        Ok(resolution)
    }

    /// What items stand for together.
    fn items(&self, items: &[Item], codes: &Codes) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        for item in items {
            all |= self.item(item, codes);
        }
        all
    }

    /// The numbers of what one item stands for.
    pub(super) fn item(&self, item: &Item, codes: &Codes) -> RoaringBitmap {
        let mut stated: RoaringBitmap =
            stated_ids(item, codes).filter_map(|id| self.ids.number(id)).collect();
        if item.standard {
            let maps_to = self.pairs(Relation::MapsTo);
            stated = stated.iter().flat_map(|n| maps_to.of(n)).collect();
        }
        let mut numbers: RoaringBitmap = stated.iter().filter(|&n| self.facts.known(n)).collect();
        if item.descendants {
            for ancestor in &stated {
                // Rows of the index ascend.
                let valid = self.ancestry.of(ancestor).iter().copied();
                let valid = valid.filter(|&n| self.facts.known(n) && self.facts.valid(n));
                match RoaringBitmap::from_sorted_iter(valid) {
                    Ok(more) => numbers |= more,
                    Err(_) => numbers.extend(
                        self.ancestry
                            .of(ancestor)
                            .iter()
                            .copied()
                            .filter(|&n| self.facts.known(n) && self.facts.valid(n)),
                    ),
                }
            }
        }
        if item.mapped {
            let sources: RoaringBitmap = numbers.iter().flat_map(|n| self.sources.of(n)).collect();
            numbers |= sources;
        }
        numbers
    }
}

/// The ids an item states, by id or by code.
pub(super) fn stated_ids<'a>(item: &'a Item, codes: &'a Codes) -> impl Iterator<Item = i64> + 'a {
    let by_code = item_codes(item).filter_map(|key| codes.get(&key)).flatten();
    item.concepts.iter().chain(by_code).copied()
}

/// The codes an item states.
pub(super) fn item_codes(item: &Item) -> impl Iterator<Item = (String, String)> + '_ {
    let lists = item.codes.iter();
    lists.flat_map(|l| {
        l.code.iter().map(|code| (l.vocabulary.trim().to_owned(), code.trim().to_owned()))
    })
}

fn stated_codes(sets: &ConceptSets) -> BTreeSet<(String, String)> {
    let items = |set: &'_ ConceptSet| [set.include.clone(), set.exclude.clone()].concat();
    let all = sets.sets.values().flat_map(items);
    all.flat_map(|item| item_codes(&item).collect::<Vec<_>>()).collect()
}
