//! Figures of the page, out of `achilles_results.csv`.

use std::collections::BTreeMap;

use arrow::array::Array;

use super::{Error, Request};
use crate::engine::Keyring;
use crate::error::IoError;
use crate::quality::achilles::table::{each_of_table, int};

/// Tables by hundreds of their analyses.
pub(super) const TABLES: [(u32, &str); 11] = [
    (200, "visit_occurrence"),
    (400, "condition_occurrence"),
    (600, "procedure_occurrence"),
    (700, "drug_exposure"),
    (800, "observation"),
    (900, "drug_era"),
    (1000, "condition_era"),
    (1300, "visit_detail"),
    (1800, "measurement"),
    (2100, "device_exposure"),
    (500, "death"),
];

/// Concepts listed a table.
const TOP: usize = 8;

/// Persons and records of a concept.
pub(super) struct Concept {
    pub name: String,
    pub persons: u64,
    pub records: u64,
}

/// One clinical table.
pub(super) struct Table {
    pub name: &'static str,
    pub records: u64,
    pub unmapped: u64,
    pub by_year: BTreeMap<i64, u64>,
    pub top: Vec<Concept>,
}

#[derive(Default)]
pub(super) struct Figures {
    pub persons: u64,
    /// Persons by age decile at first observation: female, male, other.
    pub ages: BTreeMap<i64, [u64; 3]>,
    pub observed: BTreeMap<i64, u64>,
    pub tables: Vec<Table>,
}

struct Row {
    analysis: u32,
    first: Option<i64>,
    second: Option<i64>,
    count: u64,
}

/// Reads the results and the names of the concepts to show.
pub(super) fn figures(request: &Request<'_>) -> Result<Figures, Error> {
    let path = request.results.join("quality/achilles/achilles_results.csv");
    let text = std::fs::read_to_string(&path).map_err(IoError::at("reading", &path))?;
    let rows: Vec<Row> = text.lines().skip(1).filter_map(row).collect();
    let mut figures = Figures::default();
    for row in &rows {
        let first = row.first.unwrap_or_default();
        match row.analysis {
            1 => figures.persons = row.count,
            102 => {
                let sex = match first {
                    8532 => 0,
                    8507 => 1,
                    _ => 2,
                };
                if let Some(age) = row.second {
                    figures.ages.entry(age.div_euclid(10)).or_default()[sex] += row.count;
                }
            }
            // Months of observation by year: the busiest month stands for the year.
            117 => {
                let most = figures.observed.entry(first / 100).or_default();
                *most = row.count.max(*most);
            }
            _ => {}
        }
    }
    let mut ids = Vec::new();
    for (base, name) in TABLES {
        let (table, concepts) = table(base, name, &rows);
        if table.records > 0 {
            figures.tables.push(table);
            ids.push(concepts);
        }
    }
    let names = names(request, &ids)?;
    for (table, ids) in figures.tables.iter_mut().zip(ids) {
        for (concept, id) in table.top.iter_mut().zip(ids) {
            concept.name = names.get(&id).cloned().unwrap_or_else(|| format!("concept {id}"));
        }
    }
    Ok(figures)
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.split(',').collect();
    Some(Row {
        analysis: cells.first()?.parse().ok()?,
        first: cells.get(1)?.parse().ok(),
        second: cells.get(2)?.parse().ok(),
        count: cells.last()?.parse().ok()?,
    })
}

fn table(base: u32, name: &'static str, rows: &[Row]) -> (Table, Vec<i64>) {
    let of = |n: u32| rows.iter().filter(move |r| r.analysis == base + n);
    let mut by_year: BTreeMap<i64, u64> = BTreeMap::new();
    // Deaths have no analysis of records by month; persons by month are as many.
    for row in of(if base == 500 { 2 } else { 20 }) {
        *by_year.entry(row.first.unwrap_or_default() / 100).or_default() += row.count;
    }
    let persons: BTreeMap<i64, u64> = of(0).filter_map(|r| Some((r.first?, r.count))).collect();
    let mut concepts: Vec<(i64, u64)> =
        of(1).filter_map(|r| Some((r.first?, r.count))).filter(|c| c.0 != 0).collect();
    concepts.sort_by_key(|&(id, n)| (std::cmp::Reverse(n), id));
    concepts.truncate(TOP);
    let top = concepts.iter().map(|&(id, records)| Concept {
        name: String::new(),
        persons: persons.get(&id).copied().unwrap_or_default(),
        records,
    });
    let unmapped = of(1).filter(|r| r.first.unwrap_or(0) == 0).map(|r| r.count).sum();
    let table = Table {
        name,
        records: of(1).map(|r| r.count).sum(),
        unmapped,
        by_year,
        top: top.collect(),
    };
    (table, concepts.into_iter().map(|c| c.0).collect())
}

fn names(request: &Request<'_>, ids: &[Vec<i64>]) -> Result<BTreeMap<i64, String>, Error> {
    let mut wanted: Vec<i64> = ids.iter().flatten().copied().collect();
    wanted.sort_unstable();
    let mut names = BTreeMap::new();
    let Some(vocabulary) = request.vocabulary else { return Ok(names) };
    let (columns, plain) = (["concept_id", "concept_name"], Keyring::default());
    each_of_table(vocabulary, "concept", &columns, &plain, |c| {
        let (ids, texts) = (c.ints("concept_id")?, c.texts("concept_name")?);
        for i in 0..c.rows() {
            let id = int(ids, i);
            if let Some(texts) = texts.filter(|t| t.is_valid(i))
                && wanted.binary_search(&id).is_ok()
            {
                names.insert(id, texts.value(i).to_owned());
            }
        }
        Ok(())
    })?;
    Ok(names)
}
