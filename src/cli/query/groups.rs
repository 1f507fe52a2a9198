//! The groups of samples that a query names.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::super::args::{Part, Query};
use super::super::report::Failure;
use super::stated;
use crate::error::IoError;
use crate::pipeline::query::{Sample, SampleSet};

/// The samples that a query is about, before they are divided.
pub fn base(verb: &Query, people: &[Sample]) -> Result<SampleSet, Failure> {
    if let Some(file) = &verb.samples {
        return listed(file, people);
    }
    if verb.ancestry.is_empty() {
        return Ok(SampleSet::all(people.len()));
    }
    let known: BTreeSet<&str> = people.iter().filter_map(|p| p.ancestry.as_deref()).collect();
    if let Some(unknown) = verb.ancestry.iter().find(|a| !known.contains(a.as_str())) {
        let known: Vec<&str> = known.into_iter().collect();
        let message = format!("no sample is of ancestry group {unknown}");
        return Err(stated("query::ancestry", message, &format!("there are {}", known.join(", "))));
    }
    let of = |p: &Sample| p.ancestry.as_ref().is_some_and(|a| verb.ancestry.contains(a));
    Ok(SampleSet::by(people.len(), |i| of(&people[i])))
}

/// All groups to count, with their names, in the order of the answer.
pub fn groups(verb: &Query, people: &[Sample]) -> Result<Vec<(String, SampleSet)>, Failure> {
    let mut bases = Vec::new();
    for group in &verb.group {
        let Some((name, file)) =
            group.split_once('=').filter(|(n, f)| !n.is_empty() && !f.is_empty())
        else {
            return Err(stated("query::group", "--group must be NAME=FILE", ""));
        };
        bases.push((name.to_owned(), listed(Path::new(file), people)?));
    }
    if bases.is_empty() {
        bases.push(("all".to_owned(), base(verb, people)?));
    }
    let Some(part) = verb.by else { return Ok(bases) };
    let value = |p: &Sample| -> String {
        let value = match part {
            Part::Ancestry => &p.ancestry,
            Part::Sex => &p.sex,
        };
        value.clone().unwrap_or_else(|| "unknown".to_owned())
    };
    let values: Vec<String> = people.iter().map(value).collect();
    let kinds: BTreeSet<&String> = values.iter().collect();
    let mut all = Vec::new();
    let alone = verb.group.is_empty();
    for (name, base) in bases {
        let parts = kinds.iter().map(|kind| {
            let title = if alone { (*kind).clone() } else { format!("{name}:{kind}") };
            (title, SampleSet::by(people.len(), |i| base.contains(i) && values[i] == **kind))
        });
        let parts: Vec<_> = parts.collect();
        all.push((name, base));
        all.extend(parts);
    }
    Ok(all)
}

/// The `sample_idx` of a person.
pub fn person(id: i64, people: &[Sample]) -> Result<u32, Failure> {
    let found = people.iter().position(|p| p.person_id == id);
    found.map(|i| i as u32).ok_or_else(|| {
        let help = "give a person_id of the Controlled tier, as in the column of samples";
        stated("query::person", "that person has no sample in this callset", help)
    })
}

/// Reads a file of research ids, one a line; a first line `person_id` and lines from `#` on are not ids.
fn listed(file: &Path, people: &[Sample]) -> Result<SampleSet, Failure> {
    let text = std::fs::read_to_string(file).map_err(IoError::at("reading", file))?;
    let index: HashMap<i64, u32> =
        people.iter().enumerate().map(|(i, p)| (p.person_id, i as u32)).collect();
    let (mut found, mut unknown, mut first) = (Vec::new(), 0u64, 0);
    for (number, line) in text.lines().enumerate() {
        let word = line.trim();
        if word.is_empty() || word.starts_with('#') || (number == 0 && word == "person_id") {
            continue;
        }
        match word.parse().ok().and_then(|id: i64| index.get(&id)) {
            Some(&i) => found.push(i),
            None => {
                first = if unknown == 0 { number + 1 } else { first };
                unknown += 1;
            }
        }
    }
    if unknown > 0 {
        let message = format!(
            "{}: {unknown} lines name no person of this callset (first: line {first})",
            file.display()
        );
        let help = "give person_id values of the Controlled tier, one a line; take out those without a sample";
        return Err(stated("query::samples", message, help));
    }
    Ok(SampleSet::of(people.len(), found))
}
