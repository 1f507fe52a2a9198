//! Roster, extracts, sample map and callsets, checked against each other both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Error, Exclusion, PersonId, Roster, SampleMap, Standing};

/// Checks that everybody in an extract's person table is on the roster.
///
/// # Errors
/// [`Error::PersonNotInRoster`] with the file and how many, never who.
pub fn check_persons(
    roster: &Roster,
    file: &Path,
    persons: impl IntoIterator<Item = PersonId>,
) -> Result<(), Error> {
    let unknown: BTreeSet<PersonId> =
        persons.into_iter().filter(|p| roster.standing(*p).is_none()).collect();
    none_unknown(file, unknown.len())
}

/// Checks that everybody in the sample map is on the roster. `file` is the map's path.
///
/// # Errors
/// [`Error::PersonNotInRoster`] with the file and how many, never who.
pub fn check_samples(roster: &Roster, file: &Path, map: &SampleMap) -> Result<(), Error> {
    check_persons(roster, file, map.iter().map(|(_, p)| p))
}

fn none_unknown(file: &Path, count: usize) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    Err(Error::PersonNotInRoster { file: file.to_path_buf(), count: count as u64 })
}

/// How many people who take part, with EHR consent, are in none of the extracts' person tables.
pub fn count_without_ehr(roster: &Roster, persons: &BTreeSet<PersonId>) -> u64 {
    let expected = |s| matches!(s, Standing::Participating { ehr: true, .. });
    roster.iter().filter(|(p, s)| expected(*s) && !persons.contains(p)).count() as u64
}

/// What to do with samples of a callset that the map does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unmapped {
    /// Stop.
    #[default]
    Error,
    /// Leave them out and count them.
    Exclude,
}

/// A sample that goes into a callset.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkedSample {
    /// Name in the callset's header.
    pub sample: String,
    /// Whose it is.
    pub person_id: PersonId,
}

/// A callset's samples after linking.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallsetLinks {
    /// Samples that go in, in the order of the header.
    pub included: Vec<LinkedSample>,
    /// Samples that stay out, by name, with the reason code: `unmapped_sample`, `withdrawn`,
    /// `no_primary_consent` or `no_genomics_consent`.
    pub excluded: BTreeMap<String, &'static str>,
    /// Samples of the map that are not in the callset.
    pub mapped_without_sample: u64,
    /// People with genomics consent who have no sample in the callset.
    pub people_without_sample: u64,
}

impl std::fmt::Debug for LinkedSample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkedSample(…)")
    }
}

impl std::fmt::Debug for CallsetLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (inside, outside) = (self.included.len(), self.excluded.len());
        write!(f, "CallsetLinks({inside} samples, {outside} left out)")
    }
}

/// Links a callset's samples (`samples`: names in header order) with people.
///
/// # Errors
/// A sample named twice, an unmapped sample under [`Unmapped::Error`], a mapped person who is not on
/// the roster, two samples of one person in the callset.
pub fn callset(
    name: &str,
    samples: &[String],
    map: &SampleMap,
    map_file: &Path,
    roster: &Roster,
    unmapped: Unmapped,
) -> Result<CallsetLinks, Error> {
    check_unique(name, samples)?;
    check_samples(roster, map_file, map)?;
    let mut links = CallsetLinks::default();
    let mut samples_of: BTreeMap<PersonId, u32> = BTreeMap::new();
    for sample in samples {
        let Some(person_id) = map.person(sample) else {
            links.excluded.insert(sample.clone(), "unmapped_sample");
            continue;
        };
        *samples_of.entry(person_id).or_default() += 1;
        match reason_out(roster.standing(person_id)) {
            None => links.included.push(LinkedSample { sample: sample.clone(), person_id }),
            Some(reason) => drop(links.excluded.insert(sample.clone(), reason)),
        }
    }
    let count = links.excluded.values().filter(|r| **r == "unmapped_sample").count() as u64;
    let first = samples.iter().position(|sample| map.person(sample).is_none());
    if let (Some(first), Unmapped::Error) = (first, unmapped) {
        let (callset, map) = (name.to_owned(), map_file.to_owned());
        return Err(Error::UnmappedSample { callset, map, first: first + 1, count });
    }
    let twice = samples_of.values().filter(|n| **n > 1).count() as u64;
    if twice > 0 {
        let (callset, map) = (name.to_owned(), map_file.to_owned());
        return Err(Error::PersonHasTwoSamples { callset, map, count: twice });
    }
    let present: BTreeSet<&str> = samples.iter().map(String::as_str).collect();
    links.mapped_without_sample = map.iter().filter(|(s, _)| !present.contains(s)).count() as u64;
    links.people_without_sample = roster
        .iter()
        .filter(|(p, s)| reason_out(Some(*s)).is_none() && !samples_of.contains_key(p))
        .count() as u64;
    Ok(links)
}

/// Why a person's sample stays out, if it does.
fn reason_out(standing: Option<Standing>) -> Option<&'static str> {
    match standing {
        Some(Standing::Participating { genomics: true, .. }) => None,
        Some(Standing::Participating { genomics: false, .. }) => Some("no_genomics_consent"),
        Some(Standing::Withdrawn) => Some(Exclusion::Withdrawn.reason()),
        Some(Standing::NoConsent) | None => Some(Exclusion::NoPrimaryConsent.reason()),
    }
}

fn check_unique(name: &str, samples: &[String]) -> Result<(), Error> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        if let Some(before) = first.insert(sample, at) {
            let callset = name.to_owned();
            return Err(Error::RepeatedSample { callset, first: before + 1, second: at + 1 });
        }
    }
    Ok(())
}
