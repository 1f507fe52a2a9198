//! Finding people of the Registered tier in the Controlled tier.
//!
//! *Keys*: the same person id; the same row id; the same rank among the people in the order of ids; the same
//! place in the files of a table; the bucket whose tables have the most similar numbers of rows. With ids per
//! tier these find as many people as guessing does. *Content*: sex, race, ethnicity and year of birth; and by table
//! the concepts of a person's rows, the days between them, and both. These are what the tiers are for, so that
//! some people can always be found by them: the rate says how many.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::tables::{self, RECORDS};
use super::trail::{Index, Trail, mixed};
use super::{Error, Request, rate, rounded};
use crate::engine::Job;

/// Most rows of a table whose places are compared.
const PLACES: usize = 1_000_000;

/// How many people were found by something that says nothing of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyMatch {
    /// What was compared.
    pub by: String,
    /// What was compared with something of the other tier: people, or rows for places.
    pub compared: u64,
    /// How many of them were the right person's.
    pub matched: u64,
    /// How many would be by chance.
    pub by_chance: f64,
}

impl KeyMatch {
    /// Whether no more is matched than chance explains: three standard deviations and three above what is
    /// expected.
    pub fn is_chance(&self) -> bool {
        (self.matched as f64) <= self.by_chance + 3.0 * self.by_chance.sqrt() + 3.0
    }
}

/// How many people were found by what their rows say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContentMatch {
    /// What was compared.
    pub by: String,
    /// People of whom it is known.
    pub people: usize,
    /// People for whom it names one person of the other tier.
    pub named: usize,
    /// People for whom that is the right one.
    pub right: usize,
    /// `right` of all people attacked.
    pub rate: f64,
}

/// What the attack found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Linkage {
    /// People of the Registered tier who were attacked.
    pub people: usize,
    /// People of the Controlled tier among whom they were looked for.
    pub among: usize,
    /// By what says nothing of them.
    pub keys: Vec<KeyMatch>,
    /// By what their rows say.
    pub content: Vec<ContentMatch>,
}

/// Carries out the attack.
///
/// # Errors
/// When a file cannot be read.
pub fn measure(request: &Request, job: &Job) -> Result<Linkage, Error> {
    let targets = request.targets(job)?;
    let registered = tables::people(request, "registered", job)?;
    let controlled = tables::people(request, "controlled", job)?;
    let mut keys = vec![
        person_ids(request, &targets, &controlled),
        ranks(request, &registered, &controlled),
        buckets(request, &registered, &controlled),
    ];
    for table in RECORDS {
        keys.push(row_ids(request, table, &targets, job)?);
        keys.push(places(request, table, controlled.len(), job)?);
    }
    let mut content = demographics(request, &targets, job)?;
    let mut votes: BTreeMap<i64, BTreeMap<i64, u32>> = BTreeMap::new();
    for table in RECORDS {
        content.extend(records(request, table, &targets, &mut votes, job)?);
    }
    content.push(voted(request, targets.len(), &votes));
    Ok(Linkage { people: targets.len(), among: controlled.len(), keys, content })
}

fn is_right(request: &Request, registered: i64, controlled: i64) -> bool {
    request.truth.get(&registered).is_some_and(|truth| truth.controlled == controlled)
}

fn person_ids(request: &Request, targets: &BTreeSet<i64>, controlled: &[i64]) -> KeyMatch {
    let found = |id: &&i64| controlled.binary_search(id).is_ok() && is_right(request, **id, **id);
    let matched = targets.iter().filter(found).count() as u64;
    KeyMatch { by: "person_id".into(), compared: targets.len() as u64, matched, by_chance: 0.0 }
}

/// Whoever is the nth of one tier is the nth of the other, or, as one tier has fewer people, about the nth.
fn ranks(request: &Request, registered: &[i64], controlled: &[i64]) -> KeyMatch {
    let mut matched = 0;
    for (rank, id) in registered.iter().enumerate() {
        let scaled = rank * controlled.len() / registered.len().max(1);
        let guesses: BTreeSet<usize> = [rank, scaled].into();
        let named = guesses.into_iter().filter_map(|at| controlled.get(at));
        matched += u64::from(named.into_iter().any(|other| is_right(request, *id, *other)));
    }
    let by_chance = 2.0 * rate(registered.len(), controlled.len());
    let compared = registered.len() as u64;
    KeyMatch { by: "rank of the person".into(), compared, matched, by_chance: rounded(by_chance) }
}

/// Rows of each table by bucket.
fn sizes(request: &Request, tier: &str) -> BTreeMap<i64, BTreeMap<String, u64>> {
    let mut sizes: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
    for file in request.files.iter().filter(|f| f.tier == tier) {
        let bucket = file.path.split("person_bucket=").nth(1);
        let bucket = bucket.and_then(|rest| rest.split('/').next()?.parse().ok());
        if let (Some(bucket), Some(rows)) = (bucket, file.rows) {
            *sizes.entry(bucket).or_default().entry(file.table.clone()).or_default() += rows;
        }
    }
    sizes
}

fn distance(a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>) -> u64 {
    let tables: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let rows = |of: &BTreeMap<String, u64>, table: &String| of.get(table).copied().unwrap_or(0);
    tables.into_iter().map(|table| rows(a, table).abs_diff(rows(b, table))).sum()
}

/// The people of a bucket are those of the bucket whose tables have the most similar numbers of rows.
fn buckets(request: &Request, registered: &[i64], controlled: &[i64]) -> KeyMatch {
    let of = |id: i64| id.rem_euclid(i64::from(request.buckets.max(1)));
    let mut people: BTreeMap<i64, u64> = BTreeMap::new();
    for id in controlled {
        *people.entry(of(*id)).or_default() += 1;
    }
    let others = sizes(request, "controlled");
    let mut nearest: BTreeMap<i64, i64> = BTreeMap::new();
    for (bucket, sizes) in sizes(request, "registered") {
        let best = others.iter().min_by_key(|(_, other)| distance(&sizes, other));
        nearest.extend(best.map(|(other, _)| (bucket, *other)));
    }
    let (mut compared, mut matched, mut by_chance) = (0, 0, 0.0);
    for id in registered {
        let Some(guess) = nearest.get(&of(*id)) else { continue };
        let truth = request.truth.get(id).map(|truth| of(truth.controlled));
        compared += 1;
        matched += u64::from(truth == Some(*guess));
        let there = people.get(guess).copied().unwrap_or(0);
        by_chance += there as f64 / controlled.len().max(1) as f64;
    }
    let by = "bucket with the most similar numbers of rows".into();
    KeyMatch { by, compared, matched, by_chance: rounded(by_chance) }
}

/// Rows of one id in both tiers are one person's.
fn row_ids(
    request: &Request,
    table: &str,
    targets: &BTreeSet<i64>,
    job: &Job,
) -> Result<KeyMatch, Error> {
    let key = format!("{table}_id");
    let columns = ["person_id", key.as_str()];
    let mut ids: HashSet<i64> = HashSet::new();
    tables::scan(request, ("registered", table), &columns, job, |rows| {
        for row in 0..rows[0].len() {
            let person = tables::int(&rows[0], row).filter(|person| targets.contains(person));
            ids.extend(person.and_then(|_| tables::int(&rows[1], row)));
        }
    })?;
    let mut matched = 0;
    tables::scan(request, ("controlled", table), &columns, job, |rows| {
        for row in 0..rows[1].len() {
            matched += u64::from(tables::int(&rows[1], row).is_some_and(|id| ids.contains(&id)));
        }
    })?;
    Ok(KeyMatch { by: key, compared: ids.len() as u64, matched, by_chance: 0.0 })
}

/// The nth rows of the files of a table are one person's.
fn places(request: &Request, table: &str, among: usize, job: &Job) -> Result<KeyMatch, Error> {
    let mut people = [Vec::new(), Vec::new()];
    for (tier, people) in ["registered", "controlled"].into_iter().zip(&mut people) {
        tables::scan(request, (tier, table), &["person_id"], job, |rows| {
            let left = PLACES - people.len();
            let here = (0..rows[0].len().min(left)).filter_map(|row| tables::int(&rows[0], row));
            people.extend(here);
        })?;
    }
    let [registered, controlled] = people;
    let compared = registered.len().min(controlled.len());
    let pairs = || registered.iter().zip(&controlled);
    let matched = pairs().filter(|(a, b)| is_right(request, **a, **b)).count() as u64;
    // A person's rows stand together: by chance whole runs of them meet, not rows.
    let runs: BTreeSet<(&i64, &i64)> = pairs().collect();
    let right = runs.iter().filter(|(a, b)| is_right(request, **a, **b)).count() as u64;
    let by = format!("{table}: place in the files, runs of people ({matched} of {compared} rows)");
    let by_chance = rate(runs.len(), among);
    Ok(KeyMatch { by, compared: runs.len() as u64, matched: right, by_chance })
}

/// Sex, race and ethnicity, with and without the year of birth.
fn demographics(
    request: &Request,
    targets: &BTreeSet<i64>,
    job: &Job,
) -> Result<Vec<ContentMatch>, Error> {
    let columns = [
        "person_id",
        "gender_concept_id",
        "race_concept_id",
        "ethnicity_concept_id",
        "year_of_birth",
    ];
    let told = |tier: &str| -> Result<BTreeMap<i64, (u64, i64)>, Error> {
        let mut told = BTreeMap::new();
        tables::scan(request, (tier, "person"), &columns, job, |rows| {
            for row in 0..rows[0].len() {
                let value = |column: usize| tables::int(&rows[column], row).unwrap_or_default();
                let said = [1, 2, 3]
                    .into_iter()
                    .fold(0, |said, column| mixed(said ^ value(column).cast_unsigned()));
                told.insert(value(0), (said, value(4)));
            }
        })?;
        Ok(told)
    };
    let (registered, controlled) = (told("registered")?, told("controlled")?);
    let (mut by_sex, mut by_year) = (Index::default(), BTreeMap::<(u64, i64), Vec<i64>>::new());
    for (person, (said, year)) in &controlled {
        by_sex.add(*said, *person);
        by_year.entry((*said, *year)).or_default().push(*person);
    }
    // A shifted birthday is in the true year or in the one before.
    let in_years = |said: u64, year: i64| -> Option<i64> {
        let years = [year, year + 1];
        let mut people = years.iter().filter_map(|y| by_year.get(&(said, *y))).flatten();
        let first = people.next();
        if people.next().is_none() { first.copied() } else { None }
    };
    let matches = |by: &str, name: &dyn Fn(u64, i64) -> Option<i64>| {
        let told = targets.iter().filter_map(|person| Some((*person, *registered.get(person)?)));
        let named = told.map(|(person, (said, year))| (person, name(said, year)));
        counted(request, by.to_owned(), targets.len(), named)
    };
    Ok(vec![
        matches("sex, race and ethnicity", &|said, _| by_sex.only(said)),
        matches("sex, race, ethnicity and year of birth", &in_years),
    ])
}

/// Counts people and whom they are taken for.
fn counted(
    request: &Request,
    by: String,
    targets: usize,
    people: impl Iterator<Item = (i64, Option<i64>)>,
) -> ContentMatch {
    let mut found = ContentMatch { by, people: 0, named: 0, right: 0, rate: 0.0 };
    for (person, named) in people {
        found.people += 1;
        found.named += usize::from(named.is_some());
        found.right += usize::from(named.is_some_and(|other| is_right(request, person, other)));
    }
    found.rate = rate(found.right, targets);
    found
}

/// What is said of each person of a tier by the rows of a table: concepts, gaps, both.
fn trails(
    request: &Request,
    (tier, table): (&str, &str),
    chosen: impl Fn(i64) -> bool,
    job: &Job,
) -> Result<BTreeMap<i64, [u64; 3]>, Error> {
    let Some(spec) = tables::spec(table) else { return Ok(BTreeMap::new()) };
    let (Some(start), Some(concept)) = (spec.start_date, tables::concept(spec)) else {
        return Ok(BTreeMap::new());
    };
    let mut said: BTreeMap<i64, [u64; 3]> = BTreeMap::new();
    let mut open: Option<(i64, Trail)> = None;
    let mut close = |open: Option<(i64, Trail)>| {
        said.extend(open.map(|(person, t)| (person, [t.concepts(), t.gaps(), t.story()])));
    };
    let columns = ["person_id", start, concept];
    // Rows are sorted by person, so that one trail at a time is open.
    tables::scan(request, (tier, table), &columns, job, |rows| {
        for row in 0..rows[0].len() {
            let Some(person) = tables::int(&rows[0], row).filter(|p| chosen(*p)) else { continue };
            if open.as_ref().is_none_or(|(before, _)| *before != person) {
                close(open.replace((person, Trail::default())));
            }
            let (day, what) = (tables::day(&rows[1], row), tables::int(&rows[2], row));
            if let Some((_, trail)) = &mut open {
                trail.add(day.unwrap_or_default(), what.unwrap_or_default());
            }
        }
    })?;
    close(open.take());
    Ok(said)
}

/// People by the rows of a table; who is named by it gets a vote.
fn records(
    request: &Request,
    table: &str,
    targets: &BTreeSet<i64>,
    votes: &mut BTreeMap<i64, BTreeMap<i64, u32>>,
    job: &Job,
) -> Result<Vec<ContentMatch>, Error> {
    let registered = trails(request, ("registered", table), |p| targets.contains(&p), job)?;
    let mut indexes: [Index; 3] = Default::default();
    for (person, said) in trails(request, ("controlled", table), |_| true, job)? {
        for (index, said) in indexes.iter_mut().zip(said) {
            index.add(said, person);
        }
    }
    let names = ["concepts", "days between rows", "concepts and days between rows"];
    let mut matches = Vec::new();
    for (kind, (name, index)) in names.into_iter().zip(&indexes).enumerate() {
        let named = registered.iter().map(|(person, said)| (*person, index.only(said[kind])));
        for (person, other) in named.clone() {
            if let Some(other) = other {
                *votes.entry(person).or_default().entry(other).or_default() += 1;
            }
        }
        matches.push(counted(request, format!("{table}: {name}"), targets.len(), named));
    }
    Ok(matches)
}

/// Everything together: who is named most often.
fn voted(
    request: &Request,
    targets: usize,
    votes: &BTreeMap<i64, BTreeMap<i64, u32>>,
) -> ContentMatch {
    let named = votes.iter().map(|(person, votes)| {
        let most = votes.iter().max_by_key(|(_, votes)| **votes);
        (*person, most.map(|(other, _)| *other))
    });
    counted(request, "all of these together".into(), targets, named)
}
