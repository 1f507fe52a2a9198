//! The tier's id map: one row a person of the roster, joined with every table about persons.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, SessionContext, ident};
use futures::StreamExt;
use jiff::civil::Date;
use rayon::prelude::*;

use super::rules::reason;
use super::{Error, TierRequest, birth, table};
use crate::config::policy::Action;

/// Raw person id, the join key.
pub(super) const PERSON: &str = "__person_id";
/// Research id; null for people who are left out.
pub(super) const RESEARCH: &str = "__research_id";
/// Days to move dates back; null in a tier of true dates.
pub(super) const SHIFT: &str = "__shift";
/// Part of the person's bucket: bucket * [`PARTS`] + part. Parts follow each other by research id.
pub(super) const SLOT: &str = "__slot";
/// Parts of a bucket, of as many people each.
pub(super) const PARTS: u32 = 16;
/// Why the person is left out; null for those who are not.
pub(super) const GONE: &str = "__gone";
/// 0-based number of the site whose `person` row the person has; null without one.
pub(super) const OWNER: &str = "__owner";
/// Year of birth, the latest that is stated; null when it is not known.
pub(super) const BIRTH_YEAR: &str = "__birth_year";
/// Always true: null after the join means that the person is not on the roster.
pub(super) const KNOWN: &str = "__known";

/// What the sites' `person` tables say of one person.
#[derive(Clone, Copy)]
struct PersonRow {
    /// First site with a row.
    site: usize,
    /// Earliest birth date over the sites.
    birth: Option<Date>,
    /// Latest year of birth over the sites and columns: what is near birth by any of them is.
    year: Option<i32>,
}

/// The id map as a table of the session.
pub(super) async fn id_map(
    ctx: &SessionContext,
    request: &TierRequest,
) -> Result<DataFrame, Error> {
    let rows = person_rows(ctx, request).await?;
    let batch = batch(request, &rows).map_err(arrow_error)?;
    let known = batch.column(0).as_primitive::<Int64Type>().values();
    let strangers = rows.keys().filter(|p| known.binary_search(p).is_err()).count();
    if strangers > 0 {
        return Err(Error::PersonNotInMap { table: "person".into(), rows: strangers as u64 });
    }
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]);
    let table = table.and_then(|t| ctx.read_table(Arc::new(t)));
    table.map_err(Error::query("person"))
}

fn arrow_error(source: arrow::error::ArrowError) -> Error {
    Error::Arrow { table: "person".into(), source }
}

async fn person_rows(
    ctx: &SessionContext,
    request: &TierRequest,
) -> Result<HashMap<i64, PersonRow>, Error> {
    let mut people: HashMap<i64, PersonRow> = HashMap::new();
    for (site, extract) in request.extracts.iter().enumerate() {
        if extract.extract.table("person").is_none() {
            continue;
        }
        let columns =
            ["person_id", "year_of_birth", "month_of_birth", "day_of_birth", "birth_datetime"];
        let rows = table::scan(ctx, extract, "person").await?.select(columns.map(ident));
        let rows = rows.map_err(Error::query("person"))?;
        let mut rows = rows.execute_stream().await.map_err(Error::query("person"))?;
        while let Some(batch) = rows.next().await {
            add_rows(&mut people, site, &batch.map_err(Error::query("person"))?);
        }
    }
    Ok(people)
}

fn add_rows(people: &mut HashMap<i64, PersonRow>, site: usize, batch: &RecordBatch) {
    let [ids, y, m, d] = [0, 1, 2, 3].map(|i| batch.column(i).as_primitive::<Int64Type>());
    let times = batch.column(4).as_primitive::<TimestampMicrosecondType>();
    for i in (0..batch.num_rows()).filter(|i| ids.is_valid(*i)) {
        let parts = [y, m, d].map(|a| a.is_valid(i).then(|| a.value(i)));
        let birth = birth::earliest(parts, times.is_valid(i).then(|| times.value(i)));
        let stated = parts[0].and_then(|year| i32::try_from(year).ok());
        let year = stated.max(birth.map(|birth| i32::from(birth.year())));
        let row = people.entry(ids.value(i)).or_insert(PersonRow { site, birth, year });
        row.year = row.year.max(year);
        row.birth = match (row.birth, birth) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// One row of the map, before it becomes columns.
struct Entry<'a> {
    person: i64,
    row: Option<PersonRow>,
    research: Option<i64>,
    shift: Option<i32>,
    gone: Option<&'a str>,
}

fn batch(
    request: &TierRequest,
    rows: &HashMap<i64, PersonRow>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for p in &request.people.people {
        let (person, row) = (p.person_id.0, rows.get(&p.person_id.0).copied());
        let birth = row.and_then(|r| r.birth);
        let consented = p.ehr || request.consents_applied;
        let gone = if consented { too_old(request, birth) } else { Some(reason::NO_EHR_CONSENT) };
        let shift = p.shift.map(i32::from);
        entries.push(Entry { person, row, research: Some(p.research_id.0), shift, gone });
    }
    for p in &request.people.excluded {
        let (person, row) = (p.person_id.0, rows.get(&p.person_id.0).copied());
        let gone = Some(p.reason.reason());
        entries.push(Entry { person, row, research: None, shift: None, gone });
    }
    entries.sort_unstable_by_key(|e| e.person);
    let research: Vec<Option<i64>> = entries.iter().map(|e| e.research).collect();
    let slot: Int32Array = slots(request.buckets, &research).into();
    let owner = |e: &Entry<'_>| e.row.map(|r| i32::try_from(r.site).unwrap_or(i32::MAX));
    let person: Int64Array = entries.iter().map(|e| Some(e.person)).collect();
    let research: Int64Array = research.into();
    let shift: Int32Array = entries.iter().map(|e| e.shift).collect();
    let gone: StringArray = entries.iter().map(|e| e.gone).collect();
    let owner: Int32Array = entries.iter().map(owner).collect();
    let year = |e: &Entry<'_>| e.row.and_then(|r| r.year);
    let birth_year: Int32Array = entries.iter().map(year).collect();
    let known: BooleanArray = entries.iter().map(|_| Some(true)).collect();
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let schema = Schema::new(vec![
        field(PERSON, DataType::Int64),
        field(RESEARCH, DataType::Int64),
        field(SHIFT, DataType::Int32),
        field(SLOT, DataType::Int32),
        field(GONE, DataType::Utf8),
        field(OWNER, DataType::Int32),
        field(BIRTH_YEAR, DataType::Int32),
        field(KNOWN, DataType::Boolean),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(person),
            Arc::new(research),
            Arc::new(shift),
            Arc::new(slot),
            Arc::new(gone),
            Arc::new(owner),
            Arc::new(birth_year),
            Arc::new(known),
        ],
    )
}

/// The slot of each research id.
fn slots(buckets: u32, ids: &[Option<i64>]) -> Vec<Option<i32>> {
    let bucket = |id: i64| id % i64::from(buckets);
    let known = ids.iter().enumerate().filter_map(|(at, id)| Some((bucket((*id)?), (*id)?, at)));
    let mut known: Vec<(i64, i64, usize)> = known.collect();
    known.par_sort_unstable();
    let mut slots = vec![None; ids.len()];
    for people in known.chunk_by(|a, b| a.0 == b.0) {
        for (rank, &(bucket, _, at)) in people.iter().enumerate() {
            let part = rank as u64 * u64::from(PARTS) / people.len() as u64;
            slots[at] = Some((bucket * i64::from(PARTS)) as i32 + part as i32);
        }
    }
    slots
}

/// The first age rule that removes a person of this birth date. An unknown birth date is removed: a rule
/// that cannot be checked does not pass.
fn too_old(request: &TierRequest, birth: Option<Date>) -> Option<&str> {
    let rule = request.policy.rules.iter().find(|rule| match rule.action {
        Action::RemovePeopleByAge { min_age } => {
            birth.is_none_or(|b| birth::age(b, request.reference_date) >= i32::from(min_age))
        }
        _ => false,
    });
    rule.map(|rule| rule.id.as_str())
}
