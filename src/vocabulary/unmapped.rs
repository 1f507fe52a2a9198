//! Codes without a standard concept, by frequency.
//!
//! A row of a record table is unmapped in a field `x_concept_id` when that is 0, or null beside a source
//! value or a source concept. Its source is the concept in `x_source_concept_id` when there is one, else
//! the text in `x_source_value`. The counts are exact; the plans spill, so that any number of distinct
//! values takes bounded memory.
//!
//! A source value can hold anything. Only values of at most [`MAX_TEXT`] characters that occur for at
//! least `min_persons` persons are written; the rows of all others are summed as one row of kind `other`.
//! A source concept that the vocabulary knows is a code and always written.

mod plan;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::prelude::{Expr, SessionContext};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{Error, IdSet, Standard, Validity, Vocabulary};
use crate::engine::session::{runtime, session};
use crate::engine::{Job, Ledger, StageOutput, TableLedger};
use crate::error::IoError;
use crate::omop::{SiteExtract, TableSpec, cdm, is_vocabulary};
use plan::{Kind, Pair};

/// Longest source value written, in characters: the width that the CDM gives `*_source_value`.
pub const MAX_TEXT: i32 = 50;

/// What to report on.
pub struct UnmappedRequest<'a> {
    /// The records as the sites sent them; rows in any order. Rules of curation remove rows without a
    /// concept, so that it is too late to look when they have been applied.
    pub extracts: &'a [SiteExtract],
    /// Whose rows count: those with a row in its `person`. Everybody's without it.
    pub people: Option<&'a SiteExtract>,
    /// Says which codes source concepts stand for and what they map to by now.
    pub vocabulary: Option<&'a Vocabulary>,
    /// Persons that a source value must occur for to be written; 20 is the sensible number.
    pub min_persons: u32,
    /// Folder of the report below `job.out`, e.g. `quality/vocabulary`.
    pub folder: String,
}

/// How well a field is mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldCoverage {
    /// CDM table.
    pub table: &'static str,
    /// Concept field.
    pub field: &'static str,
    /// Rows of the table, whosever they are.
    pub rows: u64,
    /// Rows where the field is 0.
    pub rows_zero: u64,
    /// Rows where the field is null beside a source.
    pub rows_null: u64,
}

/// The report.
#[derive(Debug, Clone)]
pub struct Unmapped {
    /// Every field looked at, by table and in its order.
    pub coverage: Vec<FieldCoverage>,
    /// The file `<folder>/unmapped.parquet` and its books: rows in = unmapped rows of the records = rows
    /// of the report's sources.
    pub output: StageOutput,
}

/// One source of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Source {
    kind: Kind,
    concept: Option<i64>,
    text: Option<String>,
    values: u64,
    rows: u64,
    rows_null: u64,
    persons: Option<u64>,
}

/// Counts the unmapped rows of every field of `request.extracts` that has a source and writes
/// `<folder>/unmapped.parquet`: `table, field, kind (concept, value, none, other), source_vocabulary,
/// source_concept_id, source_code, values, rows, rows_null, persons, suggested_concept_ids`, by table and
/// field, the most frequent first. Tables without `person_id` are not looked at.
///
/// # Errors
/// When a table cannot be read or the report not written.
pub fn unmapped(request: &UnmappedRequest<'_>, job: &Job) -> Result<Unmapped, Error> {
    let failed = |source| IoError { action: "starting", path: job.scratch.clone(), source };
    std::fs::create_dir_all(&job.scratch).map_err(failed)?;
    let runtime = runtime(job).map_err(failed)?;
    let found = runtime.block_on(all_fields(request, job))?;
    let names = match request.vocabulary {
        Some(vocabulary) => {
            let used = found.iter().flat_map(|f| &f.sources).filter_map(|s| s.concept);
            vocabulary.names(&used.collect::<IdSet>(), job)?
        }
        None => BTreeMap::new(),
    };
    let file = table::write(request, job, &found, &names)?;
    let mut ledger = TableLedger::new("vocabulary/unmapped");
    for field in &found {
        let unmapped = field.coverage.rows_zero + field.coverage.rows_null;
        ledger.rows_in += unmapped;
        ledger.rows_out += field.sources.iter().map(|s| s.rows).sum::<u64>();
        ledger.note(&format!("{}.{}", field.coverage.table, field.coverage.field), unmapped);
    }
    Ok(Unmapped {
        coverage: found.into_iter().map(|f| f.coverage).collect(),
        output: StageOutput { ledger: Ledger(vec![ledger]), files: vec![file] },
    })
}

/// A field and its sources, the most frequent first.
pub(super) struct FieldSources {
    coverage: FieldCoverage,
    sources: Vec<Source>,
}

async fn all_fields(request: &UnmappedRequest<'_>, job: &Job) -> Result<Vec<FieldSources>, Error> {
    let ctx = session(job).map_err(Error::query("unmapped"))?;
    let people = match request.people {
        Some(site) => {
            Some(plan::people(&ctx, plan::urls(std::slice::from_ref(site), "person")?).await?)
        }
        None => None,
    };
    let look = Look { ctx, request, people, job };
    let tables = request.extracts.iter().flat_map(|site| &site.extract.tables);
    let names: BTreeSet<&str> = tables.map(|table| table.name.as_str()).collect();
    let newest = request.extracts.iter().map(|site| site.extract.cdm).max();
    let specs = names.into_iter().filter(|name| !is_vocabulary(name));
    let specs = specs.filter_map(|name| newest.and_then(|version| cdm(version).table(name)));
    // Each question is small: several at a time.
    let fields = stream::iter(specs.filter(|spec| spec.person_field));
    let fields = fields.map(|spec| look.fields(spec)).buffered(job.threads);
    let fields: Vec<(FieldCoverage, Pair)> = fields.try_concat().await?;
    let found = stream::iter(fields).map(|(coverage, pair)| look.sources(coverage, pair));
    found.buffered(job.threads).try_collect().await
}

/// A look at the rows of people.
struct Look<'a> {
    ctx: SessionContext,
    request: &'a UnmappedRequest<'a>,
    /// Whether a row is one of the people that count.
    people: Option<Expr>,
    job: &'a Job,
}

impl Look<'_> {
    /// The fields of a table that have a source, and how many of its rows are unmapped.
    async fn fields(&self, spec: &'static TableSpec) -> Result<Vec<(FieldCoverage, Pair)>, Error> {
        let of = |site: &SiteExtract| site.extract.table(spec.name).map_or(0, |table| table.rows);
        let rows = self.request.extracts.iter().map(of).sum();
        let pairs = plan::pairs(spec);
        if rows == 0 || pairs.is_empty() {
            return Ok(Vec::new());
        }
        self.job.check()?;
        let urls = plan::urls(self.request.extracts, spec.name)?;
        let counts = plan::unmapped(&self.ctx, urls, self.people.as_ref(), &pairs).await;
        let counts = counts.map_err(Error::query(spec.name))?;
        let coverage = |pair: Pair, (rows_zero, rows_null)| {
            let (table, field) = (spec.name, pair.field);
            (FieldCoverage { table, field, rows, rows_zero, rows_null }, pair)
        };
        Ok(pairs.into_iter().zip(counts).map(|(pair, n)| coverage(pair, n)).collect())
    }

    /// The sources of the unmapped rows of a field.
    async fn sources(&self, coverage: FieldCoverage, pair: Pair) -> Result<FieldSources, Error> {
        let mut found = FieldSources { coverage, sources: Vec::new() };
        if found.coverage.rows_zero + found.coverage.rows_null == 0 {
            return Ok(found);
        }
        let (request, failed) = (self.request, Error::query(pair.table));
        let urls = plan::urls(request.extracts, pair.table)?;
        let people = self.people.as_ref();
        let sources = plan::sources(&self.ctx, urls, people, &pair, request.min_persons).await;
        let mut batches = sources.map_err(failed)?.execute_stream().await.map_err(failed)?;
        let mut rare = BTreeMap::new();
        while let Some(batch) = batches.next().await {
            self.job.check()?;
            found.add(&batch.map_err(failed)?, request, &mut rare);
        }
        found.sources.extend(rare.into_values());
        found.sources.sort_by(|a, b| {
            let key = |s: &Source| (s.kind, s.concept, s.text.clone());
            b.rows.cmp(&a.rows).then_with(|| key(a).cmp(&key(b)))
        });
        Ok(found)
    }
}

impl FieldSources {
    /// Takes a batch of [`plan::sources`]; what is rare and not a known code goes to `rare`.
    fn add(
        &mut self,
        batch: &RecordBatch,
        request: &UnmappedRequest<'_>,
        rare: &mut BTreeMap<Kind, Source>,
    ) {
        let int = |i: usize| batch.column(i).as_primitive::<Int64Type>();
        let count = |i: usize, row| u64::try_from(int(i).value(row)).unwrap_or(0);
        let text = batch.column(2).as_string::<i32>();
        for row in 0..batch.num_rows() {
            let mut source = Source {
                kind: Kind::of(int(0).value(row)),
                concept: int(1).is_valid(row).then(|| int(1).value(row)),
                text: text.is_valid(row).then(|| text.value(row).to_owned()),
                values: count(3, row),
                rows: count(4, row),
                rows_null: count(5, row),
                persons: int(6).is_valid(row).then(|| count(6, row)),
            };
            let known = |id| request.vocabulary.is_some_and(|v| v.concept(id).is_some());
            if source.kind == Kind::Concept
                && !source.concept.is_some_and(known)
                && source.persons.is_none_or(|p| p < u64::from(request.min_persons))
            {
                source = Source { kind: Kind::Other, concept: None, persons: None, ..source };
            }
            if source.kind != Kind::Other {
                self.sources.push(source);
                continue;
            }
            let other = rare.entry(Kind::Other).or_default();
            other.kind = Kind::Other;
            other.values += source.values;
            other.rows += source.rows;
            other.rows_null += source.rows_null;
        }
    }
}

impl Vocabulary {
    /// The valid standard concepts to use for `id`: where it maps to, else where what replaces it maps to;
    /// ascending.
    pub fn standard_for(&self, id: i64) -> Vec<i64> {
        use super::Relation::{MapsTo, PossiblyEquivalent, ReplacedBy, SameAs, WasA};
        let usable = |id: &i64| {
            self.concept(*id)
                .is_some_and(|c| c.standard == Standard::Standard && c.validity == Validity::Valid)
        };
        let mut found: BTreeSet<i64> = self.related(id, MapsTo).filter(usable).collect();
        for relation in [ReplacedBy, SameAs, PossiblyEquivalent, WasA] {
            if !found.is_empty() {
                break;
            }
            for other in self.related(id, relation) {
                found.extend(self.related(other, MapsTo).chain([other]).filter(usable));
            }
        }
        found.into_iter().collect()
    }
}
