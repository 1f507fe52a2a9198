//! Looks at the data before tables are built: when a concept was first used, between which days a stream
//! lies. Only rows of people who take part count, by true dates: who has left leaves no trace, and a
//! concept that only they used early is as new as it looks without them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::prelude::{DataFrame, Expr, SessionContext, ident, lit, when};
use futures::StreamExt;

use super::functions::{DAY_MICROS, FIRST_DAY};
use super::rules::{self, Class, Touch};
use super::{Error, SiteExtract, TierRequest, id_map, table};
use crate::config::CivilDate;
use crate::config::policy::{Action, Edges};
use crate::omop::{FieldSpec, TableSpec, cdm};

/// First and last day of a column over all people, in days since 1970-01-01.
pub(super) type Ends = BTreeMap<(String, &'static str), (i32, i32)>;

/// By table and column, the days on which open ends lie, in days since 1970-01-01, sorted.
pub(super) type OpenDays = BTreeMap<(String, &'static str), Arc<[i32]>>;

/// A look at the rows of people who take part.
pub(super) struct Used<'a> {
    pub ctx: &'a SessionContext,
    pub request: &'a TierRequest,
    pub map: &'a DataFrame,
}

impl Used<'_> {
    /// By concept, the first day on which a row of people who take part holds it, by the row's start.
    /// Days that systems write for "not known" are no use.
    pub(super) async fn first_use(&self) -> Result<BTreeMap<i64, i32>, Error> {
        let mut first = HashMap::new();
        let people = self.people().await?;
        for site in &self.request.extracts {
            for spec in specs(site) {
                let Some(start) = spec.start_date else { continue };
                let concepts = spec.fields.iter().filter(|f| f.is_concept_id()).map(|f| f.name);
                let columns: Vec<&str> = ["person_id", start].into_iter().chain(concepts).collect();
                if columns.len() == 2 {
                    continue;
                }
                let rows = table::scan(self.ctx, site, spec.name).await?;
                let rows = rows.select(columns.into_iter().map(ident));
                let rows = rows.map_err(Error::query(spec.name))?;
                let mut rows = rows.execute_stream().await.map_err(Error::query(spec.name))?;
                while let Some(batch) = rows.next().await {
                    let batch = batch.map_err(Error::query(spec.name))?;
                    note(&mut first, &batch, &people, self.last_day());
                }
            }
        }
        Ok(first.into_iter().collect())
    }

    /// Between which days the streams of a rule lie: by table and column the earliest day of people who
    /// take part, or the rule's first day, and the latest, at most the reference date.
    pub(super) async fn ends(&self, edges: &Edges) -> Result<Ends, Error> {
        let mut ends = Ends::new();
        let given = edges.first_day.as_deref().and_then(|day| day.parse().ok());
        let given = given.map(|day| CivilDate(day).epoch_days());
        for site in &self.request.extracts {
            let named = |t: &str| edges.tables.iter().any(|n| n == t);
            for spec in specs(site).filter(|spec| named(spec.name)) {
                let dates: Vec<&FieldSpec> =
                    spec.fields.iter().filter(|f| rules::is_date(f)).collect();
                let of_people = dates.iter().map(|f| self.of_people(f));
                let of_people = of_people.collect::<Result<Vec<Expr>, _>>();
                let of_people = of_people.map_err(Error::query(spec.name))?;
                let bounds = of_people.into_iter().flat_map(|e| [min(e.clone()), max(e)]);
                let rows = self.rows(site, spec).await?;
                let rows = rows.aggregate(Vec::new(), bounds.collect());
                let rows = rows.map_err(Error::query(spec.name))?;
                let rows = rows.collect().await.map_err(Error::query(spec.name))?;
                let Some(row) = rows.first().filter(|row| row.num_rows() > 0) else { continue };
                for (i, field) in dates.iter().enumerate() {
                    let [first, last] = [2 * i, 2 * i + 1].map(|at| day(row.column(at), 0));
                    let (Some(first), Some(last)) = (first, last) else { continue };
                    let first = given.unwrap_or(first);
                    let ends = ends.entry((spec.name.to_owned(), field.name));
                    let ends = ends.or_insert((first, last));
                    *ends = (ends.0.min(first), ends.1.max(last));
                }
            }
        }
        Ok(ends)
    }

    /// The days on which the open ends of a rule lie, by table and column: the last day on which anything
    /// of people who take part ends, and every day of the 363 before it on which more than 20 of them, and
    /// more than 1 % of those with such a day, end for good: extracts of sites end on days of their own.
    pub(super) async fn open_days(&self, rule: &Action) -> Result<OpenDays, Error> {
        let mut people: BTreeMap<(String, &'static str), BTreeMap<i32, u64>> = BTreeMap::new();
        for site in &self.request.extracts {
            for spec in specs(site) {
                let Touch::Columns(names) = rules::touch(rule, spec) else { continue };
                let fields: Vec<_> = names.iter().filter_map(|name| spec.field(name)).collect();
                let last = fields.iter().map(|f| Ok(max(self.of_people(f)?)));
                let last: Result<Vec<Expr>, _> = last.collect();
                let last = last.map_err(Error::query(spec.name))?;
                let rows = table::scan(self.ctx, site, spec.name).await?;
                let rows = rows.aggregate(vec![ident("person_id")], last);
                let rows = self.who_take_part(rows.map_err(Error::query(spec.name))?);
                let rows = rows.map_err(Error::query(spec.name))?;
                let mut rows = rows.execute_stream().await.map_err(Error::query(spec.name))?;
                while let Some(batch) = rows.next().await {
                    let batch = batch.map_err(Error::query(spec.name))?;
                    for (column, field) in batch.columns()[1..].iter().zip(&fields) {
                        let ends = people.entry((spec.name.to_owned(), field.name)).or_default();
                        for day in (0..batch.num_rows()).filter_map(|i| day(column, i)) {
                            *ends.entry(day).or_default() += 1;
                        }
                    }
                }
            }
        }
        let open = people.into_iter().map(|(column, ends)| (column, open(&ends).into()));
        Ok(open.collect())
    }

    fn last_day(&self) -> i32 {
        CivilDate(self.request.reference_date).epoch_days()
    }

    /// A column's value where its day says something of a person, else null.
    fn of_people(&self, field: &FieldSpec) -> Result<Expr, DataFusionError> {
        let time = |day: i32| i64::from(day) * DAY_MICROS;
        let at = |day: i32| match field.kind.data_type() {
            DataType::Date32 => lit(ScalarValue::Date32(Some(day))),
            _ => lit(ScalarValue::TimestampMicrosecond(Some(time(day)), None)),
        };
        let now = || ident(field.name);
        let epoch = now().lt(at(0)).or(now().gt_eq(at(1)));
        let known = now().gt_eq(at(FIRST_DAY)).and(now().lt(at(self.last_day() + 1))).and(epoch);
        when(known, now()).end()
    }

    /// Ids of the people who take part.
    async fn people(&self) -> Result<HashSet<i64>, Error> {
        let people = self.map.clone().filter(ident(id_map::GONE).is_null());
        let people = people.and_then(|p| p.select([ident(id_map::PERSON)]));
        let people = people.map_err(Error::query("person"))?.collect().await;
        let batches = people.map_err(Error::query("person"))?;
        let ids = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>());
        Ok(ids.flatten().collect())
    }

    async fn rows(&self, site: &SiteExtract, spec: &TableSpec) -> Result<DataFrame, Error> {
        let rows = table::scan(self.ctx, site, spec.name).await?;
        self.who_take_part(rows).map_err(Error::query(spec.name))
    }

    fn who_take_part(&self, rows: DataFrame) -> Result<DataFrame, DataFusionError> {
        let (by, on) = (&["person_id"], &[id_map::PERSON]);
        rows.join(self.map.clone(), JoinType::Inner, by, on, None)?
            .filter(ident(id_map::GONE).is_null())
    }
}

/// The tables about persons of an extract, but `person` itself.
fn specs(site: &SiteExtract) -> impl Iterator<Item = &'static TableSpec> {
    let model = cdm(site.extract.cdm);
    let specs = site.extract.tables.iter().filter_map(|t| model.table(&t.name));
    specs.filter(|spec| rules::class(spec) == Class::PersonLevel)
}

/// The open days among the days on which people end.
fn open(ends: &BTreeMap<i32, u64>) -> Vec<i32> {
    let Some((&last, _)) = ends.last_key_value() else { return Vec::new() };
    let people: u64 = ends.values().sum();
    let year = ends.range(last.saturating_sub(363)..);
    let many = |day: i32, n: u64| day == last || (n > 20 && n * 100 > people);
    year.filter(|&(&day, &n)| many(day, n)).map(|(&day, _)| day).collect()
}

/// The day on which what ends on a day of `field` began.
pub(super) fn start_of(spec: &TableSpec, field: &FieldSpec) -> Option<&'static str> {
    let named = [("end_datetime", "start_date"), ("end_date", "start_date"), ("last_", "first_")];
    let named = named.iter().map(|(end, start)| field.name.replace(end, start));
    let found = named.filter(|name| name != field.name).find_map(|name| spec.field(&name));
    let is_day = |f: &&FieldSpec| f.kind.data_type() == DataType::Date32;
    found.filter(is_day).map(|f| f.name).or(spec.start_date)
}

/// Day of a row's date or time.
fn day(column: &ArrayRef, row: usize) -> Option<i32> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Date32 => Some(column.as_primitive::<Date32Type>().value(row)),
        _ => {
            let time = column.as_primitive::<TimestampMicrosecondType>().value(row);
            i32::try_from(time.div_euclid(DAY_MICROS)).ok()
        }
    }
}

/// Notes the first use of the concepts of a batch: person, start, concepts.
fn note(first: &mut HashMap<i64, i32>, batch: &RecordBatch, people: &HashSet<i64>, last_day: i32) {
    let persons = batch.column(0).as_primitive::<Int64Type>();
    // Rows of a person follow each other.
    let mut last = (None, false);
    let days: Vec<Option<i32>> = (0..batch.num_rows())
        .map(|i| {
            let person = persons.is_valid(i).then(|| persons.value(i));
            if person != last.0 {
                last = (person, person.is_some_and(|person| people.contains(&person)));
            }
            let known = |d: &i32| last.1 && (FIRST_DAY..=last_day).contains(d) && *d != 0;
            day(batch.column(1), i).filter(known)
        })
        .collect();
    for column in batch.columns().iter().skip(2) {
        if column.null_count() == column.len() {
            continue;
        }
        // Most columns hold one concept for long: of a run only its first day is looked up.
        let mut run: Option<(i64, i32)> = None;
        for (concept, day) in column.as_primitive::<Int64Type>().iter().zip(&days) {
            let (Some(concept), Some(day)) = (concept.filter(|c| *c != 0), *day) else { continue };
            match &mut run {
                Some((of, earliest)) if *of == concept => *earliest = day.min(*earliest),
                _ => {
                    keep(first, run);
                    run = Some((concept, day));
                }
            }
        }
        keep(first, run);
    }
}

fn keep(first: &mut HashMap<i64, i32>, run: Option<(i64, i32)>) {
    if let Some((concept, day)) = run {
        first.entry(concept).and_modify(|d| *d = day.min(*d)).or_insert(day);
    }
}
