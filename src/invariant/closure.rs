//! The concepts that the rules of a policy stand for, worked out from the vocabulary tables of the release:
//! a fixed point over the edges as they come, where the tiers ask for neighbours set by set.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::Array;
use regex::Regex;

use super::scan::{Rows, at, read};
use super::terms::{Tier, day};
use super::{Error, Request, path_of};
use crate::config::policy::Action;
use crate::config::policy::parts::{Codes, ConceptSet};
use crate::engine::Job;

/// A set of ids that says of most ids at once that they are not in it.
#[derive(Debug, Default)]
pub(super) struct IdSet {
    sieve: Vec<u64>,
    ids: Vec<i64>,
}

const SIEVE_BITS: u32 = 18;

fn slot(id: i64) -> usize {
    let hash = id.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The top bits: at most 2^18.
    (hash >> (64 - SIEVE_BITS)) as usize
}

impl IdSet {
    pub fn new(ids: impl IntoIterator<Item = i64>) -> Self {
        let ids: BTreeSet<i64> = ids.into_iter().collect();
        let mut sieve = vec![0; 1 << (SIEVE_BITS - 6)];
        for id in &ids {
            sieve[slot(*id) / 64] |= 1u64 << (slot(*id) % 64);
        }
        Self { sieve, ids: ids.into_iter().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub fn has(&self, id: i64) -> bool {
        let slot = slot(id);
        !self.ids.is_empty()
            && self.sieve[slot / 64] >> (slot % 64) & 1 == 1
            && self.ids.binary_search(&id).is_ok()
    }
}

/// By rule id, the concepts of rules that remove rows by concept.
pub(super) type Sets = BTreeMap<String, IdSet>;

/// Works out the sets of all rules of a tier.
pub(super) fn resolve(request: &Request<'_>, tier: &Tier<'_>, job: &Job) -> Result<Sets, Error> {
    let mut sets = Sets::new();
    let rules: Vec<(&str, &ConceptSet)> = tier
        .rules()
        .iter()
        .filter_map(|rule| match &rule.action {
            Action::SuppressConcepts(set) => Some((rule.id.as_str(), set)),
            _ => None,
        })
        .collect();
    let reader = Reader { request, tier, job };
    // A bit a rule.
    for rules in rules.chunks(64) {
        let mut members = Members::default();
        for (bit, (_, set)) in rules.iter().enumerate() {
            for id in &set.concepts {
                members.add(*id, 1 << bit);
            }
        }
        reader.codes(rules, &mut members)?;
        reader.close(rules, &mut members)?;
        for (bit, (id, _)) in rules.iter().enumerate() {
            sets.insert((*id).to_owned(), IdSet::new(members.of(1 << bit)));
        }
    }
    for rule in tier.rules() {
        if let Action::DropRecentConcepts(recent) = &rule.action {
            let found = reader.recent(i64::from(recent.years), &recent.except_vocabularies)?;
            sets.insert(rule.id.clone(), IdSet::new(found));
        }
    }
    Ok(sets)
}

/// Which sets a concept is in.
#[derive(Default)]
struct Members(HashMap<i64, u64>);

impl Members {
    fn sets(&self, id: i64) -> u64 {
        self.0.get(&id).copied().unwrap_or(0)
    }
    /// Adds a concept to sets; whether that was new.
    fn add(&mut self, id: i64, sets: u64) -> bool {
        if sets == 0 {
            return false;
        }
        let has = self.0.entry(id).or_default();
        let new = sets & !*has != 0;
        *has |= sets;
        new
    }
    fn of(&self, set: u64) -> impl Iterator<Item = i64> {
        self.0.iter().filter(move |(_, sets)| **sets & set != 0).map(|(id, _)| *id)
    }
}

struct Reader<'a> {
    request: &'a Request<'a>,
    tier: &'a Tier<'a>,
    job: &'a Job,
}

impl Reader<'_> {
    fn each(
        &self,
        table: &str,
        columns: &[&str],
        mut each: impl FnMut(&Rows<'_>),
    ) -> Result<(), Error> {
        for file in self.tier.files_of(table) {
            read(self.request, &path_of(self.request, file), &file.path, columns, |rows| {
                self.job.check()?;
                each(rows);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Adds concepts by the shape of their codes.
    fn codes(&self, rules: &[(&str, &ConceptSet)], members: &mut Members) -> Result<(), Error> {
        let mut shapes: Vec<(u64, &Codes, Regex, Option<Regex>)> = Vec::new();
        for (bit, (_, set)) in rules.iter().enumerate() {
            for codes in &set.codes {
                let except = codes.except.as_deref().and_then(|e| Regex::new(e).ok());
                let Ok(shape) = Regex::new(&codes.regex) else { continue };
                shapes.push((1 << bit, codes, shape, except));
            }
        }
        if shapes.is_empty() {
            return Ok(());
        }
        let columns = ["concept_id", "concept_code", "vocabulary_id", "concept_class_id"];
        self.each("concept", &columns, |rows| {
            let text = |column| rows.texts(column);
            let (Some(ids), Some(codes), Some(names), Some(classes)) = (
                rows.ints("concept_id"),
                text("concept_code"),
                text("vocabulary_id"),
                text("concept_class_id"),
            ) else {
                return;
            };
            for i in (0..rows.len()).filter(|i| ids.is_valid(*i) && codes.is_valid(*i)) {
                let (code, name) = (codes.value(i), names.is_valid(i).then(|| names.value(i)));
                let class = classes.is_valid(i).then(|| classes.value(i));
                for (set, of, shape, except) in &shapes {
                    let named = match (of.vocabulary.strip_suffix('*'), name) {
                        (_, None) => false,
                        (Some(start), Some(name)) => name.starts_with(start),
                        (None, Some(name)) => name == of.vocabulary,
                    };
                    let classed = of.class.is_none() || of.class.as_deref() == class;
                    if named
                        && classed
                        && shape.is_match(code)
                        && !except.as_ref().is_some_and(|e| e.is_match(code))
                    {
                        members.add(ids.value(i), *set);
                    }
                }
            }
        })
    }

    /// Adds what the sets reach, pass after pass over all edges, until a pass adds nothing; then what the
    /// members of mapped sets map to.
    fn close(&self, rules: &[(&str, &ConceptSet)], members: &mut Members) -> Result<(), Error> {
        let mut down = 0;
        let mut mapped = 0;
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for (bit, (_, set)) in rules.iter().enumerate() {
            let own: u64 = 1 << bit;
            down |= if set.descendants { own } else { 0 };
            if set.mapped {
                mapped |= own;
                *kinds.entry("Maps to").or_default() |= own;
            }
            for kind in &set.relationships {
                *kinds.entry(kind).or_default() |= own;
            }
        }
        loop {
            let mut grew = false;
            if down != 0 {
                let [from, to] = ["ancestor_concept_id", "descendant_concept_id"];
                self.edges("concept_ancestor", from, to, |from, to, _| {
                    grew |= members.add(to, members.sets(from) & down);
                })?;
            }
            if !kinds.is_empty() {
                // Backwards: what points at a member.
                let [from, to] = ["concept_id_2", "concept_id_1"];
                self.edges("concept_relationship", from, to, |from, to, kind| {
                    let sets = kind.and_then(|kind| kinds.get(kind)).copied().unwrap_or(0);
                    if sets != 0 {
                        grew |= members.add(to, members.sets(from) & sets);
                    }
                })?;
            }
            if !grew {
                break;
            }
        }
        if mapped == 0 {
            return Ok(());
        }
        let mut forward: Vec<(i64, u64)> = Vec::new();
        let [from, to] = ["concept_id_1", "concept_id_2"];
        self.edges("concept_relationship", from, to, |from, to, kind| {
            if kind == Some("Maps to") {
                forward.push((to, members.sets(from) & mapped));
            }
        })?;
        forward.retain(|(_, sets)| *sets != 0);
        for (id, sets) in forward {
            members.add(id, sets);
        }
        Ok(())
    }

    /// Edges of a table, 0 ("no matching concept") at neither end.
    fn edges(
        &self,
        table: &str,
        from: &str,
        to: &str,
        mut each: impl FnMut(i64, i64, Option<&str>),
    ) -> Result<(), Error> {
        let related = table == "concept_relationship";
        let columns: Vec<&str> =
            [from, to].into_iter().chain(related.then_some("relationship_id")).collect();
        self.each(table, &columns, |rows| {
            let (Some(a), Some(b)) = (rows.ints(from), rows.ints(to)) else { return };
            let kinds = rows.texts("relationship_id");
            for i in 0..rows.len() {
                if let (Some(a), Some(b)) = (at(a, i), at(b, i))
                    && b != 0
                {
                    each(a, b, kinds.filter(|k| k.is_valid(i)).map(|k| k.value(i)));
                }
            }
        })
    }

    /// Concepts that began within so many years before the reference date, or later.
    fn recent(&self, years: i64, except: &[String]) -> Result<BTreeSet<i64>, Error> {
        let first = years_before(self.request.reference_date, years);
        let mut found = BTreeSet::new();
        self.each("concept", &["concept_id", "valid_start_date", "vocabulary_id"], |rows| {
            let (Some(ids), Some(starts)) =
                (rows.ints("concept_id"), rows.days("valid_start_date"))
            else {
                return;
            };
            let names = rows.texts("vocabulary_id");
            for i in (0..rows.len()).filter(|i| ids.is_valid(*i)) {
                let stays = names.is_some_and(|names| {
                    names.is_valid(i) && except.iter().any(|name| name == names.value(i))
                });
                let fresh = starts[i].is_some_and(|start| start >= first);
                if fresh && !stays && ids.value(i) != 0 {
                    found.insert(ids.value(i));
                }
            }
        })?;
        Ok(found)
    }
}

/// The day so many years before; 29 February is the 28th of a common year.
fn years_before(date: jiff::civil::Date, years: i64) -> i64 {
    let year = i16::try_from(i64::from(date.year()) - years).unwrap_or(i16::MIN);
    let on = |day| jiff::civil::Date::new(year, date.month(), day);
    on(date.day()).or_else(|_| on(28)).map_or(i64::MIN, day)
}
