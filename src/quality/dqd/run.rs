//! The run: what tables share is read first, then each table once, then concepts are judged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::engine::Job;
use crate::omop::{SiteExtract, cdm, is_vocabulary};

use super::books::{Books, Count};
use super::check::{Check, Rule};
use super::concepts::{self, Concepts};
use super::error::Error;
use super::lookup::IntMap;
use super::people::{self, KeySets, Persons, Spans};
use super::plan::{Descendants, Grounds, probes};
use super::probe::{self, World};
use super::scan::Source;
use super::verdict::{CheckResult, Finding, TableFacts, judge};
use super::{Request, output};

/// Rows by concept, of the columns of a table.
type Histograms = BTreeMap<&'static str, IntMap<i64, u64>>;

/// What remains of the tables once they are read.
#[derive(Default)]
struct Seen {
    facts: BTreeMap<&'static str, TableFacts>,
    /// By ordinal in the catalogue.
    counts: Vec<Count>,
    concepts: BTreeMap<&'static str, Histograms>,
    /// Persons of `condition_era`, and of `condition_occurrence` with a concept.
    eras: (Vec<u64>, BTreeSet<i64>),
    coded: (Vec<u64>, BTreeSet<i64>),
}

/// One run.
pub(super) struct Run<'a> {
    request: &'a Request,
    job: &'a Job,
}

impl<'a> Run<'a> {
    pub fn new(request: &'a Request, job: &'a Job) -> Self {
        Self { request, job }
    }

    /// Files of `table`; none when neither the tables nor the vocabulary have it.
    fn files(&self, table: &str) -> Option<Vec<PathBuf>> {
        let has = |e: &&SiteExtract| e.extract.table(table).is_some();
        let tables = Some(&self.request.tables);
        let vocabulary = self.request.vocabulary.as_ref();
        let order = if is_vocabulary(table) { [vocabulary, tables] } else { [tables, vocabulary] };
        order.into_iter().flatten().find(has).map(|e| e.files(table))
    }

    /// Version of the vocabulary that the records are checked with.
    pub fn vocabulary_version(&self) -> Result<Option<String>, Error> {
        let tables = self.request.vocabulary.as_ref().unwrap_or(&self.request.tables);
        Ok(tables.vocabulary_version()?)
    }

    /// The facts of `cdm_source`.
    pub fn metadata(&self) -> Result<Map<String, Value>, Error> {
        let files = self.files("cdm_source").unwrap_or_default();
        let spec = cdm(self.request.tables.extract.cdm).table("cdm_source");
        let fields: Vec<&str> = spec.into_iter().flat_map(|t| &t.fields).map(|f| f.name).collect();
        output::metadata(&files, &fields, self.job)
    }

    /// The results of `checks`, in their order.
    pub fn results(&self, checks: &[Check]) -> Result<Vec<CheckResult>, Error> {
        let persons = people::persons(&self.files("person").unwrap_or_default(), self.job)?;
        let deaths = self.spans("death", ["person_id", "death_date", "death_date"])?;
        let visit = ["visit_occurrence_id", "visit_start_date", "visit_end_date"];
        let visits = self.spans("visit_occurrence", visit)?;
        let descendants = self.descendants(checks)?;
        let keys = self.keys(checks)?;
        let world = World {
            persons: &persons,
            deaths: &deaths,
            visits: &visits,
            today: self.request.reference_date,
        };
        let mut seen = Seen { counts: vec![Count::default(); checks.len()], ..Seen::default() };
        let tables: BTreeSet<&'static str> = checks.iter().map(|c| c.table).collect();
        for table in tables {
            self.table(table, checks, (&keys, &descendants), &world, &mut seen)?;
        }
        let concepts = self.concepts(&seen)?;
        let findings: Vec<_> =
            checks.iter().enumerate().map(|(i, c)| self.finding(i, c, &seen, &concepts)).collect();
        Ok(judge(&findings, &seen.facts))
    }

    fn spans(&self, table: &str, columns: [&str; 3]) -> Result<Spans, Error> {
        match self.files(table) {
            Some(files) => people::spans(table, &files, columns, self.job),
            None => Ok(Spans::default()),
        }
    }

    fn descendants(&self, checks: &[Check]) -> Result<Descendants, Error> {
        let by_descendants = |c: &&Check| matches!(c.rule, Rule::DescendantsGender(_));
        let ancestors: Vec<i64> =
            checks.iter().filter(by_descendants).flat_map(Check::concepts).collect();
        let files = self.files("concept_ancestor").unwrap_or_default();
        concepts::descendants(&files, &ancestors, self.job)
    }

    fn keys(&self, checks: &[Check]) -> Result<KeySets, Error> {
        let mut sets = KeySets::new();
        for check in checks {
            let Rule::ForeignKey { table, field } = check.rule else { continue };
            if table == "concept" || sets.contains_key(&(table, field)) {
                continue;
            }
            if self.files(check.table).is_some()
                && let Some(files) = self.files(table)
            {
                sets.insert((table, field), people::keys(table, &files, field, self.job)?);
            }
        }
        Ok(sets)
    }

    /// Reads one table and keeps what it tells.
    fn table(
        &self,
        table: &'static str,
        all: &[Check],
        (keys, descendants): (&KeySets, &Descendants),
        world: &World<'_>,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        let Some(files) = self.files(table) else {
            seen.facts.insert(table, TableFacts::default());
            return Ok(());
        };
        let source = Source::open(&files, &self.job.keyring)?;
        let rows = source.rows();
        let (ordinals, checks): (Vec<usize>, Vec<&Check>) =
            all.iter().enumerate().filter(|(_, c)| c.table == table).unzip();
        let spec = cdm(self.request.tables.extract.cdm).table(table);
        let kind = |name: &str| spec.and_then(|s| s.field(name)).map(|f| f.kind);
        let today = self.request.reference_date;
        let grounds = Grounds { keys, descendants, today, source: &source, kind: &kind };
        let probes = probes(table, &checks, &grounds);
        let mut columns = BTreeSet::new();
        probes.iter().for_each(|p| p.columns(&mut columns));
        columns.retain(|c| source.has(c));
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let persons = world.persons.gender.len();
        let mut books = Books::new(checks.len(), persons);
        let new = || Books::new(checks.len(), persons);
        let apply = |books: &mut Books, batch: &_| probe::run(&probes, table, batch, world, books);
        for part in source.scan(&columns, self.job, new, apply)? {
            books.merge(part);
        }
        let mut facts = TableFacts { rows: Some(rows), nulls: BTreeMap::new() };
        for column in checks.iter().filter_map(|c| c.field).filter(|c| source.has(c)) {
            let counted = books.nulls.get(column).copied();
            let nulls = source.nulls(column).or(counted).unwrap_or_default();
            facts.nulls.insert(column, nulls);
        }
        settle(&checks, &facts, world.persons, &mut books);
        for (local, &global) in ordinals.iter().enumerate() {
            seen.counts[global] = books.counts[local];
        }
        match table {
            "condition_era" => seen.eras = (books.seen, books.strangers),
            "condition_occurrence" => seen.coded = (books.coded, books.coded_strangers),
            _ => {}
        }
        seen.concepts.insert(table, books.concepts);
        seen.facts.insert(table, facts);
        Ok(())
    }

    fn concepts(&self, seen: &Seen) -> Result<Concepts, Error> {
        let columns = seen.concepts.values().flat_map(BTreeMap::values);
        let wanted: IntMap<i64, ()> = columns.flatten().map(|(&id, _)| (id, ())).collect();
        let files = self.files("concept").unwrap_or_default();
        concepts::concepts(&files, &wanted, self.job)
    }

    fn finding<'c>(
        &self,
        ordinal: usize,
        check: &'c Check,
        seen: &Seen,
        concepts: &Concepts,
    ) -> Finding<'c> {
        let facts = seen.facts.get(check.table);
        let rows = facts.and_then(|f| f.rows);
        let needs = match check.rule {
            Rule::ForeignKey { table, .. } if is_vocabulary(table) => Some(table),
            Rule::Domain(_) | Rule::Class(_) | Rule::StandardValid => Some("concept"),
            Rule::DescendantsGender(_) => Some("concept_ancestor"),
            _ => None,
        };
        if let Some(table) = needs.filter(|t| self.files(t).is_none()) {
            let error = Some(format!("Table {} does not exist.", table.to_uppercase()));
            return Finding { check, count: Count::default(), error };
        }
        let count = match &check.rule {
            Rule::Table => Count { violated: u64::from(rows.is_none()), denominator: 1 },
            Rule::Field => {
                let found =
                    check.field.is_some_and(|f| facts.is_some_and(|t| t.nulls.contains_key(f)));
                Count { violated: u64::from(!found), denominator: 1 }
            }
            Rule::Eras => eras(seen),
            rule @ (Rule::ForeignKey { table: "concept", .. }
            | Rule::Domain(_)
            | Rule::Class(_)
            | Rule::StandardValid) => {
                let columns = seen.concepts.get(check.table);
                let histogram = columns.zip(check.field).and_then(|(c, f)| c.get(f));
                concepts::judge(rule, histogram, rows.unwrap_or_default(), concepts)
            }
            _ => seen.counts.get(ordinal).copied().unwrap_or_default(),
        };
        Finding { check, count, error: None }
    }
}

/// Fills in the counts that only the whole table tells.
fn settle(checks: &[&Check], facts: &TableFacts, persons: &Persons, books: &mut Books) {
    let rows = facts.rows.unwrap_or_default();
    for (i, check) in checks.iter().enumerate() {
        let nulls = check.field.and_then(|f| facts.nulls.get(f)).copied().unwrap_or_default();
        books.counts[i] = match check.rule {
            Rule::Required | Rule::Values => Count { violated: nulls, denominator: rows },
            Rule::Datatype => Count { violated: 0, denominator: rows },
            Rule::PrimaryKey => Count { violated: books.duplicates(), denominator: rows },
            Rule::Overlap => books.overlaps(),
            Rule::Persons => {
                let found: u32 = books.seen.iter().map(|w| w.count_ones()).sum();
                let known = persons.gender.len() as u64;
                Count { violated: known - u64::from(found), denominator: known }
            }
            Rule::SourceValues { .. } => source_values(i, books),
            _ => continue,
        };
    }
}

fn source_values(check: usize, books: &Books) -> Count {
    let (null, null_zero) = books.value_nulls.get(&check).copied().unwrap_or_default();
    let values = books.values.get(&check);
    let zero = values.into_iter().flat_map(|v| v.values()).filter(|&&zero| zero).count();
    Count {
        violated: zero as u64 + u64::from(null_zero),
        denominator: values.map_or(0, |v| v.len() as u64) + u64::from(null),
    }
}

/// Persons with a condition, and those of them without an era.
fn eras(seen: &Seen) -> Count {
    let (coded, strangers) = &seen.coded;
    let (era, era_strangers) = &seen.eras;
    let in_era = |word: usize| era.get(word).copied().unwrap_or_default();
    let bits = |test: &dyn Fn(usize, u64) -> u64| -> u64 {
        coded.iter().enumerate().map(|(i, &w)| u64::from(test(i, w).count_ones())).sum()
    };
    Count {
        violated: bits(&|i, w| w & !in_era(i)) + strangers.difference(era_strangers).count() as u64,
        denominator: bits(&|_, w| w) + strangers.len() as u64,
    }
}
