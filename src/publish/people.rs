//! Who is in a tier, and what a difference of two sets of people would tell.
//!
//! Exact allele counts of nearly the same people, subtracted, are those of the few who differ (privacy
//! reference 2.5 item 5 and 2.7): of two releases, and of two callsets of one release. Ids of everyone are
//! held in memory, 8 bytes each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ProjectionMask;

use super::Error;
use super::source::tables;
use crate::engine::{FileEntry, Job};
use crate::error::IoError;

/// Research ids, each list sorted and without repeats.
#[derive(Default)]
pub(super) struct Participants {
    /// People of `person` and of all callsets.
    everyone: Vec<i64>,
    /// People of `samples`, by callset.
    callsets: BTreeMap<String, Vec<i64>>,
}

impl Participants {
    /// Reads the ids of the controlled tier's files among `files`, which lie below `root`.
    pub fn read(root: &Path, files: &[FileEntry], job: &Job) -> Result<Self, Error> {
        let mut people = Self::default();
        for (table, paths) in tables(files) {
            let callset =
                table.strip_prefix("genomics/").and_then(|rest| rest.strip_suffix("/samples"));
            if callset.is_none() && table != "omop/person" {
                continue;
            }
            let mut ids = Vec::new();
            for path in &paths {
                job.check()?;
                read_ids(root, path, job, &mut ids)?;
            }
            people.everyone.extend(&ids);
            if let Some(callset) = callset {
                people.callsets.insert(callset.to_owned(), as_set(ids));
            }
        }
        people.everyone = as_set(people.everyone);
        Ok(people)
    }

    /// Fails when fewer than `min_change` people, but some, differ from `before`. Gives the callsets of which
    /// that is so: their allele counts would tell of those few. Sets without a common member are of
    /// different keys (or one is empty): nobody can be followed from one to the other.
    pub fn check_change(&self, before: &Self, min_change: u32) -> Result<Vec<String>, Error> {
        let few = |now: &[i64], before: &[i64]| {
            (1..u64::from(min_change)).contains(&differing(now, before))
        };
        let apart = self.everyone.len() + before.everyone.len();
        if differing(&self.everyone, &before.everyone) == apart as u64 {
            return Ok(Vec::new());
        }
        if few(&self.everyone, &before.everyone) {
            return Err(Error::FewChanged);
        }
        let both =
            self.callsets.iter().filter_map(|(c, now)| Some((c, now, before.callsets.get(c)?)));
        Ok(both.filter(|(_, now, old)| few(now, old)).map(|(name, ..)| name.clone()).collect())
    }

    /// Callsets that differ by 1 to `sensitive_max` people from one before them by name which is none.
    pub fn near_copies(&self, callsets: &[String], sensitive_max: u32) -> BTreeSet<String> {
        let names: BTreeSet<&String> = callsets.iter().collect();
        let mut kept: Vec<&[i64]> = Vec::new();
        let mut near = BTreeSet::new();
        for (name, people) in self.callsets.iter().filter(|(name, _)| names.contains(name)) {
            let few = 1..=u64::from(sensitive_max);
            if kept.iter().any(|other| few.contains(&differing(people, other))) {
                near.insert(name.clone());
            } else {
                kept.push(people);
            }
        }
        near
    }
}

fn as_set(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn read_ids(root: &Path, path: &str, job: &Job, ids: &mut Vec<i64>) -> Result<(), Error> {
    let full = root.join(path);
    let file = File::open(&full).map_err(IoError::at("opening", &full))?;
    let parquet = |source| Error::Parquet { path: path.to_owned(), source };
    let arrow = |source| Error::Arrow { path: path.to_owned(), source };
    let builder = job.keyring.open(file).map_err(parquet)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["person_id"]);
    for batch in builder.with_projection(mask).build().map_err(parquet)? {
        let batch = batch.map_err(arrow)?;
        let column = batch.column_by_name("person_id").ok_or_else(|| Error::MissingColumn {
            table: path.to_owned(),
            column: "person_id".into(),
        })?;
        let column = cast(column, &DataType::Int64).map_err(arrow)?;
        ids.extend(column.as_primitive::<Int64Type>().iter().flatten());
    }
    Ok(())
}

/// Size of the symmetric difference of two sorted lists without repeats.
fn differing(one: &[i64], other: &[i64]) -> u64 {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        match a.cmp(b) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                common += 1;
                i += 1;
                j += 1;
            }
        }
    }
    (one.len() + other.len() - 2 * common) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn differing_is_the_symmetric_difference(
            one in proptest::collection::btree_set(0i64..60, 0..40),
            other in proptest::collection::btree_set(0i64..60, 0..40),
        ) {
            let list = |set: &BTreeSet<i64>| set.iter().copied().collect::<Vec<_>>();
            let expected = one.symmetric_difference(&other).count() as u64;
            prop_assert_eq!(differing(&list(&one), &list(&other)), expected);
        }
    }

    #[test]
    fn a_near_copy_is_compared_with_callsets_that_are_published() {
        let ids = |n: std::ops::Range<i64>| n.collect::<Vec<_>>();
        let callsets = BTreeMap::from([
            ("a".to_owned(), ids(0..500)),
            ("b".to_owned(), ids(0..515)),
            ("c".to_owned(), ids(0..530)),
            ("d".to_owned(), ids(0..500)),
        ]);
        let names: Vec<String> = callsets.keys().rev().cloned().collect();
        let people = Participants { everyone: ids(0..530), callsets };
        // c differs from a by 30 and from b, which is not published, by 15; d is a itself.
        assert_eq!(people.near_copies(&names, 20), BTreeSet::from(["b".to_owned()]));
        assert!(people.near_copies(&names[..1], 20).is_empty());
    }
}
