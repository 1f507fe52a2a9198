//! Rules for concepts: standard ones, in the table of their domain.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, new_null_array};

use super::super::Error;
use super::super::cells::{self, Cells};
use super::super::domain::Domains;
use super::{Hand, pick, put};
use crate::omop::{FieldKind, TableSpec};
use crate::vocabulary::{Relation, Standard, Validity, Vocabulary};

/// What to do with a concept and source concept.
enum Mapping {
    /// Nothing: the concept is standard, or there is none at all.
    Stays,
    /// There is no standard concept for it.
    Nothing,
    /// These standard concepts, at least one, ascending, from this concept.
    To(i64, Vec<i64>),
}

fn mapping(concept: i64, source: i64, vocabulary: &Vocabulary) -> Mapping {
    let fact = |id: i64| vocabulary.concept(id).map(|c| (c.standard, c.validity));
    if fact(concept).is_some_and(|(standard, _)| standard == Standard::Standard) {
        return Mapping::Stays;
    }
    let from = if source == 0 { concept } else { source };
    if from == 0 {
        return Mapping::Stays;
    }
    let usable = |id: &i64| fact(*id) == Some((Standard::Standard, Validity::Valid));
    let mut to: Vec<i64> = vocabulary.related(from, Relation::MapsTo).filter(usable).collect();
    to.sort_unstable();
    to.dedup();
    if to.is_empty() { Mapping::Nothing } else { Mapping::To(from, to) }
}

impl Hand<'_> {
    /// Gives rows the standard concepts of their source concepts.
    pub fn standard_concepts(
        &mut self,
        tables: &[String],
        vocabulary: &Vocabulary,
    ) -> Result<(), Error> {
        tables.iter().try_for_each(|table| self.standard_concepts_of(table, vocabulary))
    }

    fn standard_concepts_of(&mut self, name: &str, vocabulary: &Vocabulary) -> Result<(), Error> {
        let Some((table, rows)) = self.kept(name) else { return Ok(()) };
        let Some((standard, source)) = cells::concept_names(table) else { return Ok(()) };
        let (concepts, sources) = (Cells::of(table, standard), Cells::of(table, &source));
        let mut known: HashMap<(i64, i64), Mapping> = HashMap::new();
        let (mut to, mut from) = (BTreeMap::new(), BTreeMap::new());
        let (mut more, mut nothing): (Vec<(usize, i64)>, u64) = (Vec::new(), 0);
        for i in rows {
            let pair = (concepts.int(i).unwrap_or(0), sources.int(i).unwrap_or(0));
            match known.entry(pair).or_insert_with(|| mapping(pair.0, pair.1, vocabulary)) {
                Mapping::Stays => {}
                Mapping::Nothing => nothing += 1,
                Mapping::To(concept, standard) => {
                    let mut standard = standard.iter().copied();
                    to.extend(standard.next().map(|first| (i, first)));
                    more.extend(standard.map(|other| (i, other)));
                    if pair.1 == 0 {
                        from.insert(i, *concept);
                    }
                }
            }
        }
        let name = table.spec.name;
        self.tell(name, "no_standard_concept", nothing);
        if to.is_empty() {
            return Ok(());
        }
        self.set(name, standard, &to)?;
        self.set(name, &source, &from)?;
        self.note(name, to.into_keys().collect());
        self.split(name, standard, &more)
    }

    /// Adds rows like others, with ids and concepts of their own.
    fn split(
        &mut self,
        name: &'static str,
        column: &str,
        more: &[(usize, i64)],
    ) -> Result<(), Error> {
        let Some(table) = self.tables.get(name) else { return Ok(()) };
        let Some(key) = table.spec.primary_key.filter(|_| !more.is_empty()) else { return Ok(()) };
        let rows: Vec<usize> = more.iter().map(|row| row.0).collect();
        let (batch, site) = (pick(table, &rows)?, rows.iter().map(|&i| table.site[i]).collect());
        let ids: ArrayRef = Arc::new(Int64Array::from(self.ids.take(name, rows.len())?));
        let concepts: ArrayRef = Arc::new(Int64Array::from_iter_values(more.iter().map(|r| r.1)));
        let batch = put(put(batch, key, ids)?, column, concepts)?;
        self.add(name, &batch, site)
    }

    /// Moves rows to the table of the domain of their concept.
    pub fn domains(&mut self, domains: &Domains, vocabulary: &Vocabulary) -> Result<(), Error> {
        let names: Vec<&str> = domains.tables().collect();
        let mut known: HashMap<i64, Option<usize>> = HashMap::new();
        for (from, name) in names.iter().enumerate() {
            let Some((table, rows)) = self.kept(name) else { continue };
            let concepts = domains.field("concept", from).unwrap_or_default();
            let concepts = Cells::of(table, concepts);
            let mut moves: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for i in rows {
                let Some(concept) = concepts.int(i).filter(|c| *c != 0) else { continue };
                let to = *known.entry(concept).or_insert_with(|| {
                    vocabulary.concept(concept).and_then(|c| domains.table_of(c.domain))
                });
                if let Some(to) = to.filter(|to| *to != from) {
                    moves.entry(to).or_default().push(i);
                }
            }
            for (to, rows) in moves {
                self.move_rows(domains, (from, name), (to, names[to]), rows)?;
            }
        }
        Ok(())
    }

    fn move_rows(
        &mut self,
        domains: &Domains,
        (from, name): (usize, &str),
        (to, target): (usize, &str),
        rows: Vec<usize>,
    ) -> Result<(), Error> {
        let Some(table) = self.tables.get(name) else { return Ok(()) };
        let source = table.spec.name;
        let Some(spec) = self.tables.get(target).map(|t| t.spec.clone()) else {
            // No extract has the table: the rows stay where they are, and are told of.
            self.tell(source, "no_table_of_domain", rows.len() as u64);
            return Ok(());
        };
        let site = rows.iter().map(|&i| table.site[i]).collect();
        let ids = self.ids.take(spec.name, rows.len())?;
        let batch = moved(domains, (from, &pick(table, &rows)?), (to, &spec), ids)?;
        self.take(source, rows);
        self.add(spec.name, &batch, site)
    }
}

/// Rows as those of another table.
fn moved(
    domains: &Domains,
    (from, rows): (usize, &RecordBatch),
    (to, spec): (usize, &TableSpec),
    ids: Vec<i64>,
) -> Result<RecordBatch, Error> {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    let of = |field: &str| {
        domains.source(from, to, field).and_then(|source| rows.column_by_name(source)).cloned()
    };
    let start = domains.field("start_date", from).and_then(|f| rows.column_by_name(f)).cloned();
    let column = |field: &crate::omop::FieldSpec| {
        if field.primary_key {
            return Ok(ids.clone());
        }
        let there = of(field.name);
        // What the model requires and no field says: the day of the row, the concept of none.
        let default = match field.kind {
            FieldKind::Date if field.required => start.clone(),
            FieldKind::Integer if field.required => {
                Some(Arc::new(Int64Array::from(vec![0; rows.num_rows()])) as ArrayRef)
            }
            _ => None,
        };
        match (there, default) {
            (Some(there), Some(default)) => {
                let known = arrow::compute::is_not_null(&there)?;
                arrow::compute::kernels::zip::zip(&known, &there, &default)
            }
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Ok(new_null_array(&field.kind.data_type(), rows.num_rows())),
        }
    };
    let columns = spec.fields.iter().map(column).collect::<Result<Vec<_>, _>>();
    columns
        .and_then(|columns| RecordBatch::try_new(spec.schema(), columns))
        .map_err(Error::arrow(spec.name))
}
