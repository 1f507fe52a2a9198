//! Who takes part: people by sex, age, race, ethnicity, ancestry and kind of data.
//!
//! Participants are the distinct people of the tier: those in `person` and those in the `samples` of a
//! published callset. Age is in completed years at the reference date, the birthday taken as 15 June.
//! `ancestry` is over people in a published callset (the first group by name, should callsets differ);
//! `data` counts people with any row in the domain tables (`ehr`), in any callset (`genomics`), in each
//! callset and in each domain table. Sex, age bands and totals are always listed; other categories when
//! their published count is above 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{count, min};
use datafusion::logical_expr::{cast, lit};
use datafusion::prelude::DataFrame;

use super::concepts::{DOMAINS, describe};
use super::disclosure::{Cell, PublishedCount, RawCount, protect};
use super::source::{NOT_STATED, SEXES, Source, age_band_of, age_bands, has, int64, name};
use super::{Error, PublishRequest, schema};
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job, TableLedger};

const TABLE: &str = "demographics";

/// A published cell.
#[derive(Debug, Clone)]
pub(super) struct PublishedCategory {
    pub dimension: &'static str,
    pub category: String,
    pub concept_id: Option<i64>,
    pub participants: PublishedCount,
}

/// The written table.
pub(super) struct Demographics {
    pub file: FileEntry,
    pub ledger: TableLedger,
    pub published: Vec<PublishedCategory>,
}

/// A raw cell: its address and what it is called.
struct RawCategory {
    dimension: &'static str,
    category: String,
    concept_id: Option<i64>,
    always: bool,
    people: RawCount,
}

/// Counts, protects and writes `demographics`.
pub(super) fn build(
    request: &PublishRequest<'_>,
    source: &Source,
    job: &Job,
) -> Result<Demographics, Error> {
    let mut raw = of_people(request, source)?;
    raw.extend(of_ancestry(request, source)?);
    raw.extend(of_data(request, source)?);

    let mut ledger = TableLedger::new("public/demographics");
    let mut published = Vec::new();
    for cell in raw {
        ledger.rows_in += 1;
        // Concepts are addressed by id: a renamed concept keeps its offset.
        let id = match cell.concept_id {
            Some(concept) => format!("{}/{concept}", cell.dimension),
            None => format!("{}/{}", cell.dimension, cell.category),
        };
        let address = Cell { table: TABLE, id: &id };
        let participants = protect(cell.people, address, &request.policy.disclosure, request.prf);
        if participants.get() == 0 && !cell.always {
            ledger.exclude("published_zero", 1);
            continue;
        }
        ledger.rows_out += 1;
        published.push(PublishedCategory {
            dimension: cell.dimension,
            category: cell.category,
            concept_id: cell.concept_id,
            participants,
        });
    }
    name_concepts(source, &mut published)?;
    let file = write(&published, request.vocabulary_version(), job)?;
    Ok(Demographics { file, ledger, published })
}

/// Everyone in a callset: `(sample_person, ancestry)`, one row a person.
fn sampled(request: &PublishRequest<'_>, source: &Source) -> Result<Option<DataFrame>, Error> {
    let mut all: Option<DataFrame> = None;
    for callset in &request.callsets {
        let table = format!("genomics/{callset}/samples");
        let Some(samples) = source.frame(&table)? else { continue };
        super::source::require(&samples, &table, &["person_id"])?;
        let ancestry = if has(&samples, "ancestry") { name("ancestry") } else { lit("") };
        let query =
            |source: DataFusionError| Error::Query { table: table.clone(), source: source.into() };
        let samples = samples
            .select(vec![
                int64("person_id").alias("sample_person"),
                cast(ancestry, DataType::Utf8).alias("group"),
            ])
            .map_err(query)?;
        all = Some(match all {
            None => samples,
            Some(before) => before.union(samples).map_err(query)?,
        });
    }
    all.map(|frame| {
        frame
            .aggregate(vec![name("sample_person")], vec![min(name("group")).alias("group")])
            .map_err(|source| Error::Query { table: "samples".into(), source: source.into() })
    })
    .transpose()
}

/// Participants in all, by sex, age band, race and ethnicity.
fn of_people(request: &PublishRequest<'_>, source: &Source) -> Result<Vec<RawCategory>, Error> {
    let columns = [
        "person_id",
        "gender_concept_id",
        "year_of_birth",
        "race_concept_id",
        "ethnicity_concept_id",
    ];
    let person = source.required("omop/person", &columns)?;
    let plan = people_plan(person, sampled(request, source)?);

    let mut total = RawCount::default();
    let mut sexes = [RawCount::default(); 3];
    let mut bands = [RawCount::default(); 10];
    let mut races: BTreeMap<i64, RawCount> = BTreeMap::new();
    let mut ethnicities: BTreeMap<i64, RawCount> = BTreeMap::new();
    let date = request.reference_date;
    let before_birthday = (date.month(), date.day()) < (6, 15);
    source.run("omop/person", plan, |batch| {
        let column = |i: usize| batch.column(i).as_primitive::<Int64Type>();
        let (sex, born, race, ethnicity, people) =
            (column(0), column(1), column(2), column(3), column(4));
        for row in 0..batch.num_rows() {
            let n = RawCount::new(people.value(row));
            total += n;
            sexes[match sex.is_valid(row).then(|| sex.value(row)) {
                Some(8532) => 0,
                Some(8507) => 1,
                _ => 2,
            }] += n;
            let age = born
                .is_valid(row)
                .then(|| i64::from(date.year()) - born.value(row) - i64::from(before_birthday));
            bands[age_band_of(age)] += n;
            let concept = |c: &Int64Array| if c.is_valid(row) { c.value(row) } else { 0 };
            *races.entry(concept(race)).or_default() += n;
            *ethnicities.entry(concept(ethnicity)).or_default() += n;
        }
        Ok(())
    })?;

    let listed = |dimension, category: &str, people| RawCategory {
        dimension,
        category: category.to_owned(),
        concept_id: None,
        always: true,
        people,
    };
    let mut raw = vec![listed("participants", "all", total)];
    raw.extend(SEXES.iter().zip(sexes).map(|(s, n)| listed("sex", s, n)));
    raw.extend(age_bands().iter().zip(bands).map(|(b, n)| listed("age_band", b, n)));
    for (dimension, counts) in [("race", races), ("ethnicity", ethnicities)] {
        raw.extend(counts.into_iter().map(|(concept, people)| RawCategory {
            dimension,
            category: String::new(),
            concept_id: Some(concept),
            always: false,
            people,
        }));
    }
    Ok(raw)
}

/// `(gender, born, race, ethnicity, people)` over the people of `person` and of the samples.
fn people_plan(
    person: DataFrame,
    samples: Option<DataFrame>,
) -> Result<DataFrame, DataFusionError> {
    let person = person.select(vec![
        int64("person_id").alias("person"),
        int64("gender_concept_id").alias("gender"),
        int64("year_of_birth").alias("born"),
        int64("race_concept_id").alias("race"),
        int64("ethnicity_concept_id").alias("ethnicity"),
    ])?;
    let everyone = match samples {
        None => person,
        Some(samples) => {
            let samples = samples.select(vec![name("sample_person")])?;
            person.join(samples, JoinType::Full, &["person"], &["sample_person"], None)?
        }
    };
    let by = ["gender", "born", "race", "ethnicity"].map(name).to_vec();
    everyone.aggregate(by, vec![count(lit(1i64)).alias("people")])
}

/// People in a callset, by predicted ancestry.
fn of_ancestry(request: &PublishRequest<'_>, source: &Source) -> Result<Vec<RawCategory>, Error> {
    let Some(samples) = sampled(request, source)? else { return Ok(Vec::new()) };
    let plan = samples.aggregate(vec![name("group")], vec![count(lit(1i64)).alias("people")]);
    let allowed = &request.policy.alleles.groups;
    let mut groups: BTreeMap<String, RawCount> = BTreeMap::new();
    source.run("samples", plan, |batch| {
        let names = arrow::compute::cast(batch.column(0), &DataType::Utf8)
            .map_err(|source| Error::Arrow { path: "samples".into(), source })?;
        let names = names.as_string::<i32>();
        let people = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let group = if names.is_valid(row) { names.value(row) } else { "" };
            let known = allowed.iter().any(|g| g == group);
            let group = if known { group } else { NOT_STATED };
            *groups.entry(group.to_owned()).or_default() += RawCount::new(people.value(row));
        }
        Ok(())
    })?;
    let order = |group: &str| allowed.iter().position(|g| g == group).unwrap_or(usize::MAX);
    let mut groups: Vec<(String, RawCount)> = groups.into_iter().collect();
    groups.sort_by_key(|(group, _)| order(group));
    let cell = |(category, people)| RawCategory {
        dimension: "ancestry",
        category,
        concept_id: None,
        always: false,
        people,
    };
    Ok(groups.into_iter().map(cell).collect())
}

/// People by the kind of data there is of them.
fn of_data(request: &PublishRequest<'_>, source: &Source) -> Result<Vec<RawCategory>, Error> {
    let person = source.required("omop/person", &["person_id"])?;
    let mut cells = Vec::new();
    let mut push = |category: String, people| {
        cells.push(RawCategory {
            dimension: "data",
            category,
            concept_id: None,
            always: false,
            people,
        });
    };
    let mut with_ehr: Option<DataFrame> = None;
    for (table, _, _) in DOMAINS {
        let key = format!("omop/{table}");
        let Some(events) = source.frame(&key)? else { continue };
        super::source::require(&events, &key, &["person_id"])?;
        let query =
            |source: DataFusionError| Error::Query { table: key.clone(), source: source.into() };
        let people = of_tier(events, person.clone()).map_err(query)?;
        push(table.to_owned(), count_rows(source, &key, people.clone())?);
        with_ehr = Some(match with_ehr {
            None => people,
            Some(before) => before.union(people).map_err(query)?,
        });
    }
    if let Some(people) = with_ehr {
        let people = people
            .distinct()
            .map_err(|source| Error::Query { table: "ehr".into(), source: source.into() })?;
        push("ehr".into(), count_rows(source, "ehr", people)?);
    }
    for callset in &request.callsets {
        let key = format!("genomics/{callset}/samples");
        let Some(samples) = source.frame(&key)? else { continue };
        let people = samples
            .select(vec![int64("person_id").alias("sample_person")])
            .and_then(DataFrame::distinct)
            .map_err(|source| Error::Query { table: key.clone(), source: source.into() })?;
        push(format!("callset {callset}"), count_rows(source, &key, people)?);
    }
    if let Some(samples) = sampled(request, source)? {
        push("genomics".into(), count_rows(source, "samples", samples)?);
    }
    Ok(cells)
}

/// Distinct people of a table who are in `person`.
fn of_tier(events: DataFrame, person: DataFrame) -> Result<DataFrame, DataFusionError> {
    let people = person.select(vec![int64("person_id").alias("person")])?;
    events.select(vec![int64("person_id").alias("event_person")])?.distinct()?.join(
        people,
        JoinType::LeftSemi,
        &["event_person"],
        &["person"],
        None,
    )
}

fn count_rows(source: &Source, table: &str, frame: DataFrame) -> Result<RawCount, Error> {
    let mut people = RawCount::default();
    let plan = frame.aggregate(vec![], vec![count(lit(1i64)).alias("people")]);
    source.run(table, plan, |batch| {
        let column = batch.column(0).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            people += RawCount::new(column.value(row));
        }
        Ok(())
    })?;
    Ok(people)
}

/// Calls races and ethnicities by their concept's name.
fn name_concepts(source: &Source, published: &mut [PublishedCategory]) -> Result<(), Error> {
    let wanted: BTreeSet<i64> =
        published.iter().filter_map(|c| c.concept_id).filter(|&c| c != 0).collect();
    let about = describe(source, wanted)?;
    for cell in published {
        let Some(concept) = cell.concept_id else { continue };
        cell.category = match about.get(&concept).and_then(|a| a.name.clone()) {
            Some(known) => known,
            None if concept == 0 => NOT_STATED.to_owned(),
            None => well_known(concept).map_or_else(|| format!("concept {concept}"), str::to_owned),
        };
    }
    Ok(())
}

/// OMOP's race and ethnicity concepts, for extracts whose vocabulary leaves them out (Athena: vocabularies
/// Race and Ethnicity).
fn well_known(concept: i64) -> Option<&'static str> {
    Some(match concept {
        8515 => "Asian",
        8516 => "Black or African American",
        8522 => "Other Race",
        8527 => "White",
        8552 => "Unknown",
        8557 => "Native Hawaiian or Other Pacific Islander",
        8657 => "American Indian or Alaska Native",
        38003563 => "Hispanic or Latino",
        38003564 => "Not Hispanic or Latino",
        _ => return None,
    })
}

fn write(
    published: &[PublishedCategory],
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
    let schema = schema::demographics();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(published.iter().map(|c| Some(c.dimension)).collect::<StringArray>()),
        Arc::new(published.iter().map(|c| Some(c.category.as_str())).collect::<StringArray>()),
        Arc::new(published.iter().map(|c| c.concept_id).collect::<Int64Array>()),
        Arc::new(
            published
                .iter()
                .map(|c| i64::try_from(c.participants.get()).ok())
                .collect::<Int64Array>(),
        ),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .map_err(|source| Error::Arrow { path: schema::DEMOGRAPHICS.into(), source })?;
    let properties = properties(&tags, &[]).build();
    let mut file = TableFile::create(&job.out, schema::DEMOGRAPHICS, schema, tags, properties)?;
    file.write(&batch)?;
    Ok(file.finish()?)
}
