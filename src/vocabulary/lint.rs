//! What is odd about a concept set.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;
use serde::Serialize;

use super::resolve::{Codes, item_codes, stated_ids};
use super::{ConceptSet, Item, Standard, Validity, Vocabulary};

/// What is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// CONCEPT has no such id.
    Unknown,
    /// CONCEPT has no such code in the vocabulary named.
    UnknownCode,
    /// The concept is deleted or replaced.
    Invalid,
    /// The concept is neither standard nor a classification, and the item asks neither for the standard
    /// concepts nor for the mapped ones: it will not be found in `*_concept_id` columns.
    NonStandard,
    /// Concepts of the resolved set are of another domain than the set states.
    OutOfDomain,
    /// The id is stated twice on one side of the set.
    Duplicate,
    /// The id is stated, and another item's descendants have it already.
    Redundant,
    /// The excluded item takes nothing out.
    UselessExclude,
    /// The set stands for nothing.
    Empty,
}

impl Problem {
    /// The name as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::UnknownCode => "unknown_code",
            Self::Invalid => "invalid",
            Self::NonStandard => "non_standard",
            Self::OutOfDomain => "out_of_domain",
            Self::Duplicate => "duplicate",
            Self::Redundant => "redundant",
            Self::UselessExclude => "useless_exclude",
            Self::Empty => "empty",
        }
    }
}

/// One thing that is odd about a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the set.
    pub set: String,
    /// What is odd.
    pub problem: Problem,
    /// The concept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concept_id: Option<i64>,
    /// The code, as `vocabulary:code`, or the domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Concepts concerned.
    pub count: u64,
}

impl Finding {
    /// The concept or code and its set.
    pub fn subject(&self) -> String {
        let id = self.concept_id.map(|id| id.to_string());
        let what = id.or_else(|| self.code.clone()).unwrap_or_default();
        format!("{what} in `{}`", self.set)
    }
}

/// Adds what is odd about `set`, which resolved to `numbers`.
pub(super) fn check(
    vocabulary: &Vocabulary,
    name: &str,
    set: &ConceptSet,
    codes: &Codes,
    numbers: &RoaringBitmap,
    findings: &mut Vec<Finding>,
) {
    let mut lint = Lint { vocabulary, name, codes, findings };
    lint.side(&set.include, true);
    lint.side(&set.exclude, false);
    lint.useless(set);
    lint.domains(set, numbers);
    if numbers.is_empty() {
        lint.find(Problem::Empty, None, None, 0);
    }
}

struct Lint<'a> {
    vocabulary: &'a Vocabulary,
    name: &'a str,
    codes: &'a Codes,
    findings: &'a mut Vec<Finding>,
}

impl Lint<'_> {
    fn find(
        &mut self,
        problem: Problem,
        concept_id: Option<i64>,
        code: Option<String>,
        count: u64,
    ) {
        self.findings.push(Finding { set: self.name.to_owned(), problem, concept_id, code, count });
    }

    fn side(&mut self, items: &[Item], include: bool) {
        let mut seen = BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            for (vocabulary, code) in item_codes(item) {
                if !self.codes.contains_key(&(vocabulary.clone(), code.clone())) {
                    self.find(Problem::UnknownCode, None, Some(format!("{vocabulary}:{code}")), 1);
                }
            }
            for id in stated_ids(item, self.codes) {
                self.concept(id, item, include);
                if !seen.insert(id) {
                    self.find(Problem::Duplicate, Some(id), None, 1);
                } else if self.is_redundant(id, i, items) {
                    self.find(Problem::Redundant, Some(id), None, 1);
                }
            }
        }
    }

    fn concept(&mut self, id: i64, item: &Item, include: bool) {
        let Some(concept) = self.vocabulary.concept(id) else {
            self.find(Problem::Unknown, Some(id), None, 1);
            return;
        };
        if concept.validity != Validity::Valid {
            self.find(Problem::Invalid, Some(id), None, 1);
        }
        if include && concept.standard == Standard::No && !item.standard && !item.mapped {
            self.find(Problem::NonStandard, Some(id), None, 1);
        }
    }

    /// Whether another item that adds descendants (and no less of what maps to them) covers `id`.
    fn is_redundant(&self, id: i64, own: usize, items: &[Item]) -> bool {
        let item = &items[own];
        let valid = self.vocabulary.concept(id).is_some_and(|c| c.validity == Validity::Valid);
        let covers = |other: &Item| {
            other.descendants
                && !other.standard
                && (other.mapped || !item.mapped)
                && stated_ids(other, self.codes)
                    .any(|ancestor| ancestor != id && self.vocabulary.is_a(id, ancestor))
        };
        valid && !item.standard && items.iter().any(covers)
    }

    fn useless(&mut self, set: &ConceptSet) {
        if set.exclude.is_empty() {
            return;
        }
        let mut included = RoaringBitmap::new();
        for item in &set.include {
            included |= self.vocabulary.item(item, self.codes);
        }
        for item in &set.exclude {
            if included.is_disjoint(&self.vocabulary.item(item, self.codes)) {
                let first = stated_ids(item, self.codes).next();
                self.find(Problem::UselessExclude, first, None, 1);
            }
        }
    }

    /// One finding a foreign domain, with the number of concepts.
    fn domains(&mut self, set: &ConceptSet, numbers: &RoaringBitmap) {
        if set.domains.is_empty() {
            return;
        }
        let vocabulary = self.vocabulary;
        let mut counts = std::collections::BTreeMap::<&str, u64>::new();
        for number in numbers {
            let concept = vocabulary.facts.concept(number, vocabulary.ids.id(number));
            let domain = concept.map_or("", |c| c.domain);
            if !set.domains.iter().any(|d| d == domain) {
                *counts.entry(domain).or_default() += 1;
            }
        }
        for (domain, count) in counts {
            self.find(Problem::OutOfDomain, None, Some(domain.to_owned()), count);
        }
    }
}
