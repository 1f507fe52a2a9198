//! `achilles_result_concept_count`: records and persons by concept, with and without descendants.

use std::collections::BTreeMap;

use super::counts::{CountRow, Map};
use super::error::Error;
use super::table::{each_of_table, int};
use crate::engine::Keyring;
use crate::omop::SiteExtract;

/// Analyses whose first stratum is a concept and whose count is of records; the largest counts.
const RECORDS: [u16; 16] =
    [2, 4, 5, 201, 301, 401, 501, 505, 601, 701, 801, 901, 1001, 1201, 1801, 2101];
/// Analyses whose second stratum is a concept and whose counts are summed.
const SECOND: [u16; 8] = [405, 605, 705, 805, 807, 1805, 1807, 2105];
/// Analyses of persons by concept; the largest counts.
const PERSONS: [u16; 9] = [200, 400, 600, 700, 800, 900, 1000, 1800, 2100];

/// Counts of one concept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ConceptCount {
    pub records: u64,
    pub descendant_records: u64,
    pub persons: u64,
    pub descendant_persons: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Own {
    first: Option<u64>,
    second: Option<u64>,
    persons: Option<u64>,
}

impl Own {
    /// Achilles unites its two lists, so equal counts are one.
    fn lists(&self) -> Vec<u64> {
        let mut lists: Vec<u64> = self.first.into_iter().chain(self.second).collect();
        lists.dedup();
        lists
    }
}

/// Concepts with a count of their own or of a descendant, by id. A concept in both of Achilles' lists has
/// its descendants' sum once per list, as in the original.
pub(super) fn count(
    rows: &[CountRow],
    vocabulary: Option<&SiteExtract>,
) -> Result<BTreeMap<i64, ConceptCount>, Error> {
    let own = own(rows);
    let mut counts: BTreeMap<i64, ConceptCount> = BTreeMap::new();
    let mut add = |ancestor: i64, of: &Own| {
        let count = counts.entry(ancestor).or_default();
        count.descendant_records += of.lists().iter().sum::<u64>();
        count.descendant_persons += of.persons.unwrap_or(0);
    };
    for (&id, of) in &own {
        add(id, of);
    }
    if let Some(vocabulary) = vocabulary {
        let names = ["ancestor_concept_id", "descendant_concept_id"];
        each_of_table(vocabulary, "concept_ancestor", &names, &Keyring::default(), |c| {
            let (above, below) = (c.ints(names[0])?, c.ints(names[1])?);
            for i in 0..c.rows() {
                let (above, below) = (int(above, i), int(below, i));
                if let Some(of) = own.get(&below).filter(|_| above != below) {
                    add(above, of);
                }
            }
            Ok(())
        })?;
    }
    for (id, of) in own {
        let lists = of.lists();
        let count = counts.entry(id).or_default();
        count.records = lists.iter().copied().max().unwrap_or(0);
        count.descendant_records *= lists.len().max(1) as u64;
        count.persons = of.persons.unwrap_or(0);
    }
    Ok(counts)
}

fn own(rows: &[CountRow]) -> Map<i64, Own> {
    let mut own: Map<i64, Own> = Map::default();
    let concept = |row: &CountRow, at: usize| row.strata[at].as_ref()?.parse::<i64>().ok();
    for row in rows {
        let n = row.count;
        if RECORDS.contains(&row.analysis)
            && let Some(id) = concept(row, 0)
        {
            let first = &mut own.entry(id).or_default().first;
            *first = (*first).max(Some(n));
        }
        if SECOND.contains(&row.analysis)
            && let Some(id) = concept(row, 1)
        {
            let second = &mut own.entry(id).or_default().second;
            *second = Some(second.unwrap_or(0) + n);
        }
        if PERSONS.contains(&row.analysis)
            && let Some(id) = concept(row, 0)
        {
            let persons = &mut own.entry(id).or_default().persons;
            *persons = (*persons).max(Some(n));
        }
    }
    own
}
