//! The first and the last day of people's rows, and the days that many of them have in common: a stream that
//! begins with the programme, or on the day of an update, and one that runs to the day of the export tell a
//! person's shift by the day on which they are seen to begin or end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use datafusion::prelude::ident;
use futures::StreamExt;

use super::limits::{Ends, OpenDays};
use super::rules::{self, Touch};
use super::used::{self, UNKNOWN, Used};
use super::{Error, table};
use crate::config::CivilDate;
use crate::config::policy::{Action, Edges};
use crate::omop::TableSpec;

/// People who must have an end of their rows in common for it to be no chance; they must also be more than
/// [`TIMES`] as many as on a day of the [`AROUND`] before and after.
const COMMON: u64 = 5;
const TIMES: u64 = 3;
const AROUND: i32 = 30;

/// By table and column, what lies where.
type Columns<T> = BTreeMap<(String, &'static str), T>;

/// By table and column, between which days the streams of people lie.
pub(super) type Streams = Columns<Ends>;

/// By person, the first and the last day of the rows, in days since 1970-01-01.
type Spans = HashMap<i64, (i32, i32)>;

impl Used<'_> {
    /// Between which days the streams of a rule lie: by table and column the earliest day of people who
    /// take part, or the rule's first day, and the latest, at most the reference date; and whose streams begin
    /// or end on a day that they have in common.
    pub(super) async fn streams(&self, edges: &Edges) -> Result<Streams, Error> {
        let given = edges.first_day.as_deref().and_then(|day| day.parse().ok());
        let given = given.map(|day| CivilDate(day).epoch_days());
        let dates = |spec: &'static TableSpec| -> Vec<&'static str> {
            if !edges.tables.iter().any(|table| table == spec.name) {
                return Vec::new();
            }
            spec.fields.iter().filter(|f| rules::is_date(f)).map(|f| f.name).collect()
        };
        let stream = |spans: Spans| {
            let first = given.or(spans.values().map(|span| span.0).min())?;
            let last = spans.values().map(|span| span.1).max()?;
            let shared = |of: fn(&(i32, i32)) -> i32| -> Arc<HashMap<i64, i32>> {
                let common = common(&counted(spans.values().map(of)));
                let days = spans.iter().map(|(person, span)| (*person, of(span)));
                Arc::new(days.filter(|(_, day)| common.contains(day)).collect())
            };
            Some(Ends { first, last, starts: shared(|span| span.0), ends: shared(|span| span.1) })
        };
        self.of_columns(dates, stream).await
    }

    /// The days on which the open ends of a rule lie: the last day on which anything of people who take part
    /// ends, and every day that many of them have in common, for the extracts of sites end on days of their own;
    /// and so those on which many begin. One set for all columns: an end that is common in one table, or as a
    /// date, may be of few people in another, or as a time.
    pub(super) async fn open_days(&self, rule: &Action) -> Result<OpenDays, Error> {
        let columns = |starts: bool| {
            move |spec: &'static TableSpec| match rules::touch(rule, spec) {
                Touch::Columns(names) => {
                    names.into_iter().filter(|name| used::is_start(name) == starts).collect()
                }
                _ => Vec::new(),
            }
        };
        let ends = |spans: Spans| {
            let people = counted(spans.values().map(|span| span.1));
            let last = people.last_key_value().map(|(day, _)| *day);
            Some(common(&people).into_iter().chain(last).collect::<BTreeSet<i32>>())
        };
        let starts = |spans: Spans| Some(common(&counted(spans.values().map(|span| span.0))));
        let all = |days: Columns<BTreeSet<i32>>| {
            days.into_values().flatten().collect::<BTreeSet<i32>>().into_iter().collect()
        };
        Ok(OpenDays {
            starts: all(self.of_columns(columns(true), starts).await?),
            ends: all(self.of_columns(columns(false), ends).await?),
        })
    }

    /// What `reduce` makes of people's spans in the columns that `columns` names of each table.
    async fn of_columns<T>(
        &self,
        columns: impl Fn(&'static TableSpec) -> Vec<&'static str>,
        reduce: impl Fn(Spans) -> Option<T>,
    ) -> Result<Columns<T>, Error> {
        let people = self.people().await?;
        let specs = || self.request.extracts.iter().flat_map(used::specs);
        let tables: BTreeSet<&str> =
            specs().filter(|spec| !columns(spec).is_empty()).map(|spec| spec.name).collect();
        let mut found = Columns::new();
        for table in tables {
            for (column, spans) in self.spans(table, &columns, &people).await? {
                found.extend(reduce(spans).map(|made| ((table.to_owned(), column), made)));
            }
        }
        Ok(found)
    }

    /// The spans of columns of a table, over all sites.
    async fn spans(
        &self,
        table: &str,
        columns: impl Fn(&'static TableSpec) -> Vec<&'static str>,
        people: &HashSet<i64>,
    ) -> Result<BTreeMap<&'static str, Spans>, Error> {
        let mut found: BTreeMap<&'static str, Spans> = BTreeMap::new();
        for site in &self.request.extracts {
            let Some(spec) = used::specs(site).find(|spec| spec.name == table) else { continue };
            let columns = columns(spec);
            let rows = table::scan(self.ctx, site, spec.name).await?;
            let wanted = ["person_id"].iter().chain(&columns).map(|name| ident(*name));
            let rows = rows.select(wanted.collect::<Vec<_>>()).map_err(Error::query(spec.name))?;
            let mut rows = rows.execute_stream().await.map_err(Error::query(spec.name))?;
            while let Some(batch) = rows.next().await {
                let batch = batch.map_err(Error::query(spec.name))?;
                let runs = used::runs(batch.column(0), people);
                for (name, column) in columns.iter().zip(&batch.columns()[1..]) {
                    if let Some(days) = used::days(column, self.last_day()) {
                        widen(found.entry(name).or_default(), &runs, &days);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Widens the spans of people by the days of their rows.
fn widen(spans: &mut Spans, runs: &[(i64, Range<usize>)], days: &[i32]) {
    for (person, rows) in runs {
        let days = || days[rows.clone()].iter().copied().filter(|day| *day != UNKNOWN);
        if let (Some(first), Some(last)) = (days().min(), days().max()) {
            let span = spans.entry(*person).or_insert((first, last));
            *span = (span.0.min(first), span.1.max(last));
        }
    }
}

/// How many people there are to a day.
fn counted(days: impl Iterator<Item = i32>) -> BTreeMap<i32, u64> {
    let mut people = BTreeMap::new();
    days.for_each(|day| *people.entry(day).or_default() += 1);
    people
}

/// The days that so many people have in common that it is no chance. By the days around it, not by how many people
/// there are: a small site of a large programme is told from chance as well as a large one.
fn common(people: &BTreeMap<i32, u64>) -> BTreeSet<i32> {
    let is_common = |&(&day, &n): &(&i32, &u64)| {
        let around = people.range(day.saturating_sub(AROUND)..=day.saturating_add(AROUND));
        let others = around.map(|(_, n)| n).sum::<u64>() - n;
        n >= COMMON && n * 2 * AROUND as u64 > TIMES * others
    };
    people.iter().filter(is_common).map(|(day, _)| *day).collect()
}
