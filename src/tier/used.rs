//! Looks at the data before tables are built: when a concept was first used. Only rows of people who take part
//! count, by true dates: who has left leaves no trace, and a concept that only they used early is as new as it
//! looks without them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::prelude::{DataFrame, SessionContext, ident};
use futures::StreamExt;

use super::functions::{DAY_MICROS, FIRST_DAY};
use super::rules::{self, Class};
use super::{Error, SiteExtract, TierRequest, id_map, table};
use crate::config::CivilDate;
use crate::omop::{FieldSpec, TableSpec, cdm};

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

    pub(super) fn last_day(&self) -> i32 {
        CivilDate(self.request.reference_date).epoch_days()
    }

    /// Ids of the people who take part.
    pub(super) async fn people(&self) -> Result<HashSet<i64>, Error> {
        let people = self.map.clone().filter(ident(id_map::GONE).is_null());
        let people = people.and_then(|p| p.select([ident(id_map::PERSON)]));
        let people = people.map_err(Error::query("person"))?.collect().await;
        let batches = people.map_err(Error::query("person"))?;
        let ids = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>());
        Ok(ids.flatten().collect())
    }
}

/// The tables about persons of an extract, but `person` itself.
pub(super) fn specs(site: &SiteExtract) -> impl Iterator<Item = &'static TableSpec> {
    let model = cdm(site.extract.cdm);
    let specs = site.extract.tables.iter().filter_map(|t| model.table(&t.name));
    specs.filter(|spec| rules::class(spec) == Class::PersonLevel)
}

/// The day on which what ends on a day of `field` began.
pub(super) fn start_of(spec: &TableSpec, field: &FieldSpec) -> Option<&'static str> {
    let named = [("end_datetime", "start_date"), ("end_date", "start_date"), ("last_", "first_")];
    let named = named.iter().map(|(end, start)| field.name.replace(end, start));
    let found = named.filter(|name| name != field.name).find_map(|name| spec.field(&name));
    let is_day = |f: &&FieldSpec| f.kind.data_type() == DataType::Date32;
    found.filter(is_day).map(|f| f.name).or(spec.start_date)
}

/// Whether something begins on a day of the column; it ends otherwise.
pub(super) fn is_start(column: &str) -> bool {
    column.contains("start_date") || column.starts_with("first_")
}

/// The column of dates beside a column of times.
pub(super) fn date_of(spec: &TableSpec, field: &FieldSpec) -> Option<&'static str> {
    let name = field.name.replace("datetime", "date");
    spec.field(&name).filter(|date| date.name != field.name).map(|date| date.name)
}

/// A day that says nothing of a person, as [`days`] gives it.
pub(super) const UNKNOWN: i32 = i32::MIN;

/// The days of a column of dates or times: [`UNKNOWN`] for null, for those that systems write for "not known"
/// and for those after the reference date. None when there is no value at all.
pub(super) fn days(column: &ArrayRef, last_day: i32) -> Option<Vec<i32>> {
    if column.null_count() == column.len() {
        return None;
    }
    let is_known = |day: &i32| (FIRST_DAY..=last_day).contains(day) && *day != 0;
    let known = |day: i32| if is_known(&day) { day } else { UNKNOWN };
    let mut days: Vec<i32> = match column.data_type() {
        DataType::Date32 => {
            column.as_primitive::<Date32Type>().values().iter().map(|day| known(*day)).collect()
        }
        _ => {
            let times = column.as_primitive::<TimestampMicrosecondType>().values().iter();
            let day = |time: &i64| i32::try_from(time.div_euclid(DAY_MICROS)).unwrap_or(UNKNOWN);
            times.map(|time| known(day(time))).collect()
        }
    };
    if let Some(nulls) = column.nulls() {
        let nulls = days.iter_mut().zip(nulls.iter());
        nulls.filter(|(_, valid)| !valid).for_each(|(day, _)| *day = UNKNOWN);
    }
    Some(days)
}

/// The rows of people who take part: those of a person mostly follow each other.
pub(super) fn runs(persons: &ArrayRef, people: &HashSet<i64>) -> Vec<(i64, Range<usize>)> {
    let ids = persons.as_primitive::<Int64Type>();
    let mut start = 0;
    let runs = ids.values().chunk_by(|a, b| a == b).filter_map(|run| {
        let rows = start..start + run.len();
        start = rows.end;
        let person = *run.first()?;
        (people.contains(&person) && ids.is_valid(rows.start)).then_some((person, rows))
    });
    runs.collect()
}

/// Notes the first use of the concepts of a batch: person, start, concepts.
fn note(first: &mut HashMap<i64, i32>, batch: &RecordBatch, people: &HashSet<i64>, last_day: i32) {
    let Some(days) = days(batch.column(1), last_day) else { return };
    let runs = runs(batch.column(0), people);
    for column in batch.columns().iter().skip(2) {
        if column.null_count() == column.len() {
            continue;
        }
        let concepts = column.as_primitive::<Int64Type>();
        // Most columns hold one concept for long: of a run only its first day is looked up.
        let mut run: Option<(i64, i32)> = None;
        for row in runs.iter().flat_map(|(_, rows)| rows.clone()) {
            let (concept, day) = (concepts.value(row), days[row]);
            if concept == 0 || day == UNKNOWN || concepts.is_null(row) {
                continue;
            }
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
