//! Participants by concept: how many distinct people have a concept at least once, in all, by sex and by
//! age at its first occurrence.
//!
//! One-way tables only (privacy reference 2.5): sex and age are never crossed. People without a row in the
//! tier's `person` table do not count; concept 0 ("no matching concept") is not a concept. Each person
//! counts once per concept, at the age of its first dated occurrence (All of Us reference 5.3, analysis
//! 3102), in completed years with the birthday taken as 15 June. A concept is published when its published
//! total is above 0; nothing depends on raw totals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{count, min};
use datafusion::logical_expr::lit;
use datafusion::prelude::DataFrame;

use super::disclosure::{Cell, PublishedCount, RawCount, protect};
use super::source::{SEXES, Source, age_at, age_band, age_bands, has, int64, name, require, sex};
use super::{Error, PublishRequest, schema};
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job, TableLedger};

const TABLE: &str = "participant_counts";

/// The domain tables: `(table, concept column, start date column)` by the OMOP CDM.
pub(super) const DOMAINS: [(&str, &str, &str); 7] = [
    ("condition_occurrence", "condition_concept_id", "condition_start_date"),
    ("device_exposure", "device_concept_id", "device_exposure_start_date"),
    ("drug_exposure", "drug_concept_id", "drug_exposure_start_date"),
    ("measurement", "measurement_concept_id", "measurement_date"),
    ("observation", "observation_concept_id", "observation_date"),
    ("procedure_occurrence", "procedure_concept_id", "procedure_date"),
    ("visit_occurrence", "visit_concept_id", "visit_start_date"),
];

/// Cells computed for each concept.
const CELLS: usize = 1 + SEXES.len() + 10;

/// A concept with its published counts.
#[derive(Debug, Clone)]
pub(super) struct PublishedConcept {
    /// OMOP table it was counted in.
    pub domain_table: &'static str,
    pub concept_id: i64,
    pub about: About,
    pub total: PublishedCount,
    pub by_sex: [PublishedCount; 3],
    pub by_age: [PublishedCount; 10],
}

/// What the vocabulary says of a concept.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub name: Option<String>,
    pub domain: Option<String>,
    pub vocabulary: Option<String>,
}

/// The written table.
pub(super) struct Concepts {
    pub file: FileEntry,
    pub ledger: TableLedger,
    pub published: Vec<PublishedConcept>,
}

#[derive(Default)]
struct RawCells {
    total: RawCount,
    by_sex: [RawCount; 3],
    by_age: [RawCount; 10],
}

/// Counts, protects and writes `participant_counts`.
pub(super) fn build(
    request: &PublishRequest<'_>,
    source: &Source,
    job: &Job,
) -> Result<Concepts, Error> {
    let mut ledger = TableLedger::new("public/participant_counts");
    let mut published = Vec::new();
    for (table, concept, date) in DOMAINS {
        job.check()?;
        for (concept_id, raw) in count_domain(source, table, concept, date)? {
            ledger.rows_in += CELLS as u64;
            let row = protect_concept(request, table, concept_id, &raw);
            if row.total.get() == 0 {
                ledger.exclude("published_zero", CELLS as u64);
            } else {
                ledger.rows_out += CELLS as u64;
                published.push(row);
            }
        }
    }
    let about = describe(source, published.iter().map(|c| c.concept_id).collect())?;
    for row in &mut published {
        row.about = about.get(&row.concept_id).cloned().unwrap_or_default();
    }
    let file = write(&published, request.vocabulary_version(), job)?;
    Ok(Concepts { file, ledger, published })
}

/// Distinct people by concept, sex and age band of one domain table, folded to the margins at once.
fn count_domain(
    source: &Source,
    table: &str,
    concept: &str,
    date: &str,
) -> Result<BTreeMap<i64, RawCells>, Error> {
    let mut counts: BTreeMap<i64, RawCells> = BTreeMap::new();
    let key = format!("omop/{table}");
    let Some(events) = source.frame(&key)? else { return Ok(counts) };
    require(&events, &key, &["person_id", concept, date])?;
    let people =
        source.required("omop/person", &["person_id", "gender_concept_id", "year_of_birth"])?;
    source.run(&key, domain_plan(events, people, concept, date), |batch| {
        let column = |i: usize| batch.column(i).as_primitive::<Int64Type>();
        let (concepts, sexes, bands, people) = (column(0), column(1), column(2), column(3));
        for row in 0..batch.num_rows() {
            let n = RawCount::new(people.value(row));
            let cells = counts.entry(concepts.value(row)).or_default();
            cells.total += n;
            if let Some(cell) = cells.by_sex.get_mut(ordinal(sexes.value(row))) {
                *cell += n;
            }
            if let Some(cell) = cells.by_age.get_mut(ordinal(bands.value(row))) {
                *cell += n;
            }
        }
        Ok(())
    })?;
    Ok(counts)
}

fn ordinal(value: i64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn domain_plan(
    events: DataFrame,
    people: DataFrame,
    concept: &str,
    date: &str,
) -> Result<DataFrame, DataFusionError> {
    let first = events
        .filter(name(concept).gt(lit(0i64)))?
        .select(vec![
            int64("person_id").alias("event_person"),
            int64(concept).alias("concept"),
            datafusion::logical_expr::cast(name(date), DataType::Date32).alias("day"),
        ])?
        .aggregate(
            vec![name("event_person"), name("concept")],
            vec![min(name("day")).alias("first_day")],
        )?;
    let people = people.select(vec![
        int64("person_id").alias("person"),
        sex(int64("gender_concept_id"))?.alias("sex"),
        int64("year_of_birth").alias("born"),
    ])?;
    first
        .join(people, JoinType::Inner, &["event_person"], &["person"], None)?
        .select(vec![
            name("concept"),
            name("sex"),
            age_band(age_at(name("first_day"), name("born"))?)?.alias("band"),
        ])?
        .aggregate(
            vec![name("concept"), name("sex"), name("band")],
            vec![count(lit(1i64)).alias("people")],
        )
}

fn protect_concept(
    request: &PublishRequest<'_>,
    table: &'static str,
    concept_id: i64,
    raw: &RawCells,
) -> PublishedConcept {
    let cell = |stratum: &str, category: &str, n: RawCount| {
        let id = format!("{table}/{concept_id}/{stratum}/{category}");
        protect(n, Cell { table: TABLE, id: &id }, &request.policy.disclosure, request.prf)
    };
    let bands = age_bands();
    PublishedConcept {
        domain_table: table,
        concept_id,
        about: About::default(),
        total: cell("total", "all", raw.total),
        by_sex: std::array::from_fn(|i| cell("sex", SEXES[i], raw.by_sex[i])),
        by_age: std::array::from_fn(|i| cell("age_band", bands[i], raw.by_age[i])),
    }
}

/// Name, domain and vocabulary of concepts; nothing for those the tier's vocabulary does not have.
pub(super) fn describe(
    source: &Source,
    wanted: BTreeSet<i64>,
) -> Result<BTreeMap<i64, About>, Error> {
    let mut about = BTreeMap::new();
    let Some(concepts) = source.frame("omop/concept")? else { return Ok(about) };
    require(&concepts, "omop/concept", &["concept_id"])?;
    let text = |column: &str| {
        let value = if has(&concepts, column) { name(column) } else { lit("") };
        datafusion::logical_expr::cast(value, DataType::Utf8).alias(format!("t_{column}"))
    };
    let columns = vec![
        int64("concept_id").alias("id"),
        text("concept_name"),
        text("domain_id"),
        text("vocabulary_id"),
    ];
    source.run("omop/concept", concepts.clone().select(columns), |batch| {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let texts: Vec<ArrayRef> = (1..4)
            .map(|i| cast(batch.column(i), &DataType::Utf8))
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Arrow { path: "omop/concept".into(), source })?;
        for row in (0..batch.num_rows()).filter(|&row| wanted.contains(&ids.value(row))) {
            let text = |i: usize| {
                let column = texts[i].as_string::<i32>();
                (column.is_valid(row) && !column.value(row).is_empty())
                    .then(|| column.value(row).to_owned())
            };
            about.insert(
                ids.value(row),
                About { name: text(0), domain: text(1), vocabulary: text(2) },
            );
        }
        Ok(())
    })?;
    Ok(about)
}

/// Writes the concepts as one row a cell.
fn write(
    published: &[PublishedConcept],
    vocabulary: Option<String>,
    job: &Job,
) -> Result<FileEntry, Error> {
    let tags = FileTags {
        tier: "public".into(),
        table: TABLE.into(),
        callset: None,
        date_basis: "none",
        vocabulary,
    };
    let mut file = TableFile::create(
        &job.out,
        schema::PARTICIPANT_COUNTS,
        schema::participant_counts(),
        tags.clone(),
        properties(&tags, &[0, 1]).build(),
    )?;
    for concepts in published.chunks(512) {
        file.write(&batch(concepts)?)?;
    }
    Ok(file.finish()?)
}

fn batch(concepts: &[PublishedConcept]) -> Result<RecordBatch, Error> {
    let bands = age_bands();
    let cells: Vec<(&PublishedConcept, &str, &str, PublishedCount)> = concepts
        .iter()
        .flat_map(|c| {
            let total = std::iter::once((c, "total", "all", c.total));
            let sexes = SEXES.iter().zip(c.by_sex).map(move |(s, n)| (c, "sex", *s, n));
            let ages = bands.into_iter().zip(c.by_age).map(move |(b, n)| (c, "age_band", b, n));
            total.chain(sexes).chain(ages)
        })
        .collect();
    let text = |f: fn(&PublishedConcept) -> Option<&str>| -> ArrayRef {
        Arc::new(cells.iter().map(|c| f(c.0)).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        text(|c| Some(c.domain_table)),
        Arc::new(cells.iter().map(|c| c.0.concept_id).collect::<Int64Array>()),
        text(|c| c.about.name.as_deref()),
        text(|c| c.about.domain.as_deref()),
        text(|c| c.about.vocabulary.as_deref()),
        Arc::new(cells.iter().map(|c| Some(c.1)).collect::<StringArray>()),
        Arc::new(cells.iter().map(|c| Some(c.2)).collect::<StringArray>()),
        Arc::new(cells.iter().map(|c| i64::try_from(c.3.get()).ok()).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(schema::participant_counts(), columns)
        .map_err(|source| Error::Arrow { path: schema::PARTICIPANT_COUNTS.into(), source })
}
