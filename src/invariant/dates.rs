//! Dates: none after the cut-off, none before birth, none at the edges of streams.

use super::Request;
use super::people::Born;
use super::scan::{Count, Look, Rows, Watch, at, days_within};
use super::terms::{Tier, about_persons, day, is_day, must_be_null, new_year};
use crate::config::policy::Action;
use crate::config::policy::parts::NearBirth;
use crate::omop::{FieldKind, FieldSpec, TableSpec};

/// Longest shift, in days.
const LONGEST: i64 = 364;

/// 2 January 1900: what systems write for "not known" is earlier, and goes with the shift.
const FIRST_DAY: i64 = -25_566;

pub(super) fn watches<'a>(
    request: &Request<'_>,
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    born: &'a Born,
) -> Vec<Watch<'a>> {
    if !about_persons(spec) || spec.name == "person" {
        return Vec::new();
    }
    let mut watches = Vec::new();
    for field in spec.fields.iter().filter(|f| is_day(f) && !must_be_null(tier, spec, f)) {
        if let Some(bounds) = bounds(request, tier, spec, field) {
            watches.push(within("dates_in_range", spec, field, bounds));
        }
        for rule in tier.rules() {
            if let Action::TruncateEdges(edges) = &rule.action
                && edges.tables.iter().any(|table| table == spec.name)
            {
                let first = edges.first_day.as_deref().and_then(|d| d.parse().ok()).map(day);
                let last = day(request.reference_date) - LONGEST;
                let bounds = (first.map_or(i64::MIN, |first| first - 1), last);
                watches.push(within("edges_cut", spec, field, bounds));
            }
        }
    }
    watches.extend(since_birth(request, tier, spec, born));
    watches
}

/// First and last day of a column, if anything promises them.
fn bounds(
    request: &Request<'_>,
    tier: &Tier<'_>,
    spec: &TableSpec,
    field: &FieldSpec,
) -> Option<(i64, i64)> {
    let ranges = request.curated_dates.in_range.iter();
    // Curation looks at dates; times follow theirs.
    let range = ranges
        .filter(|range| range.tables.iter().any(|table| table == spec.name))
        .filter_map(|range| new_year(i64::from(range.first_year)))
        .max()
        .filter(|_| field.kind == FieldKind::Date);
    let (back, first, last) = if tier.is_shifted() {
        let last = day(request.reference_date) - 1;
        (LONGEST, FIRST_DAY - LONGEST, last)
    } else {
        range?;
        (0, i64::MIN, i64::MAX)
    };
    let last = range.map_or(last, |_| last.min(day(request.cutoff) - i64::from(back > 0)));
    Some((range.map_or(first, |range| first.max(range - back)), last))
}

/// Every day of a column is within the bounds.
fn within<'a>(
    id: &'static str,
    spec: &TableSpec,
    field: &'static FieldSpec,
    (first, last): (i64, i64),
) -> Watch<'a> {
    let place = format!("{}.{}", spec.name, field.name);
    let watch = Watch::each(id, place, [field.name], move |rows| {
        let days = rows.days(field.name).unwrap_or_default();
        days.into_iter().flatten().map(|day| day < first || day > last).collect()
    });
    watch.or_settled(move |footer| days_within(footer, field.name, (first, last)))
}

/// No day of a row before the first that its person may have.
fn since_birth<'a>(
    request: &Request<'_>,
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    born: &'a Born,
) -> Option<Watch<'a>> {
    let place = || spec.name.to_owned();
    // The shift may take a birth across a new year, and so a record.
    let grace = i64::from(tier.is_shifted());
    let near = tier.rules().iter().find_map(|rule| match &rule.action {
        Action::DropNearBirth(near) => Some(near),
        _ => None,
    });
    if let Some(near) = near.filter(|near| !near.except_tables.iter().any(|t| t == spec.name)) {
        let days: Vec<&'static str> =
            spec.fields.iter().filter(|f| is_day(f)).map(|f| f.name).collect();
        let years = i64::from(near.years) - grace;
        let look =
            Since { born, days, years, near: Some(near), count: Count::default(), last: None };
        let except = near.except.iter().filter_map(|c| spec.field(&c.column)).map(|f| f.name);
        let columns: Vec<&'static str> =
            look.days.iter().copied().chain(except).chain(["person_id"]).collect();
        return (!look.days.is_empty())
            .then(|| Watch::of("dates_since_birth", place(), columns, look));
    }
    let curated = request.curated_dates.since_birth.iter().any(|table| table == spec.name);
    let start = spec.start_date.filter(|_| curated)?;
    let days = vec![start];
    let look = Since { born, days, years: -grace, near: None, count: Count::default(), last: None };
    Some(Watch::of("dates_since_birth", place(), [start, "person_id"], look))
}

struct Since<'a> {
    born: &'a Born,
    days: Vec<&'static str>,
    /// Years after that of birth in which records begin.
    years: i64,
    near: Option<&'a NearBirth>,
    count: Count,
    /// The last person and the first day allowed: rows are sorted by person.
    last: Option<(i64, Option<i64>)>,
}

impl Since<'_> {
    fn first_day(&mut self, person: i64) -> Option<i64> {
        match self.last {
            Some((last, first)) if last == person => first,
            _ => {
                let year = self.born.year(person);
                let first = year.and_then(|year| new_year(year + self.years));
                self.last = Some((person, first));
                first
            }
        }
    }
}

impl Look for Since<'_> {
    fn rows(&mut self, rows: &Rows<'_>) {
        let Some(people) = rows.ints("person_id") else { return };
        let days: Vec<Vec<Option<i64>>> =
            self.days.iter().filter_map(|column| rows.days(column)).collect();
        for i in 0..rows.len() {
            let Some(first) = at(people, i).and_then(|person| self.first_day(person)) else {
                continue;
            };
            let excepted = self.near.is_some_and(|near| {
                near.except.iter().any(|condition| {
                    let held = rows.ints(&condition.column).and_then(|ids| at(ids, i));
                    held.is_some_and(|id| condition.concepts.contains(&id))
                })
            });
            if !excepted {
                let early = days.iter().filter_map(|column| column[i]).any(|day| day < first);
                self.count.see(early);
            }
        }
    }
    fn end(&mut self) -> Count {
        self.count
    }
}

/// Whether a day is of the person and not of the system that wrote it: a shift moves no other.
pub(super) fn is_of_a_person(day: i64, last: i64) -> bool {
    day != 0 && day >= FIRST_DAY && day <= last
}
