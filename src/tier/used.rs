//! Looks at the data before tables are built: when a concept was first used, between which days a stream
//! lies. Only rows of people who take part count, by true dates: who has left leaves no trace, and a
//! concept that only they used early is as new as it looks without them.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::prelude::{DataFrame, Expr, SessionContext, ident, lit, when};
use futures::StreamExt;

use super::functions::{DAY_MICROS, FIRST_DAY};
use super::rules::{self, Class};
use super::{Error, SiteExtract, TierRequest, id_map, table};
use crate::config::CivilDate;
use crate::config::policy::Edges;
use crate::omop::{FieldSpec, TableSpec, cdm};

/// First and last day of a column over all people, in days since 1970-01-01.
pub(super) type Ends = BTreeMap<(String, &'static str), (i32, i32)>;

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
        for site in &self.request.extracts {
            for spec in specs(site) {
                let Some(start) = spec.start_date else { continue };
                let concepts = spec.fields.iter().filter(|f| f.is_concept_id()).map(|f| f.name);
                let columns: Vec<&str> = std::iter::once(start).chain(concepts).collect();
                if columns.len() == 1 {
                    continue;
                }
                let rows = self.rows(site, spec).await?;
                let rows = rows.select(columns.into_iter().map(ident));
                let rows = rows.map_err(Error::query(spec.name))?;
                let mut rows = rows.execute_stream().await.map_err(Error::query(spec.name))?;
                while let Some(batch) = rows.next().await {
                    note(&mut first, &batch.map_err(Error::query(spec.name))?, self.last_day());
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
            let named = |t: &str| edges.tables.iter().chain(&edges.clip_tables).any(|n| n == t);
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

    fn last_day(&self) -> i32 {
        CivilDate(self.request.reference_date).epoch_days()
    }

    /// A column's value where its day says something of a person, else null.
    fn of_people(&self, field: &FieldSpec) -> Result<Expr, datafusion::error::DataFusionError> {
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

    async fn rows(&self, site: &SiteExtract, spec: &TableSpec) -> Result<DataFrame, Error> {
        let rows = table::scan(self.ctx, site, spec.name).await?;
        let (by, on) = (&["person_id"], &[id_map::PERSON]);
        let rows = rows
            .join(self.map.clone(), JoinType::Inner, by, on, None)
            .and_then(|d| d.filter(ident(id_map::GONE).is_null()));
        rows.map_err(Error::query(spec.name))
    }
}

/// The tables about persons of an extract, but `person` itself.
fn specs(site: &SiteExtract) -> impl Iterator<Item = &'static TableSpec> {
    let model = cdm(site.extract.cdm);
    let specs = site.extract.tables.iter().filter_map(|t| model.table(&t.name));
    specs.filter(|spec| rules::class(spec) == Class::PersonLevel)
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

fn note(first: &mut HashMap<i64, i32>, batch: &RecordBatch, last_day: i32) {
    let days: Vec<Option<i32>> = (0..batch.num_rows())
        .map(|i| {
            let known = |d: &i32| (FIRST_DAY..=last_day).contains(d) && *d != 0;
            day(batch.column(0), i).filter(known)
        })
        .collect();
    for column in batch.columns().iter().skip(1) {
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
