//! People: years of birth, ages, who is in which tier.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::Originals;
use super::scan::{Count, DAY, Tally, at, read};
use super::terms::{Tier, day};
use super::{Error, Request, path_of};
use crate::config::policy::{Action, BirthDate};
use arrow::array::Array;
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;

/// Years of birth by research id, as released.
#[derive(Debug, Default)]
pub(super) struct Born(BTreeMap<i64, Option<i64>>);

impl Born {
    pub fn read(request: &Request<'_>, tier: &Tier<'_>) -> Result<Self, Error> {
        let mut born = BTreeMap::new();
        for file in tier.files_of("person") {
            read(
                request,
                &path_of(request, file),
                &file.path,
                &["person_id", "year_of_birth"],
                |rows| {
                    let Some(people) = rows.ints("person_id") else { return Ok(()) };
                    let years = rows.ints("year_of_birth");
                    for (i, person) in people.iter().enumerate() {
                        if let Some(person) = person {
                            born.insert(person, years.and_then(|years| at(years, i)));
                        }
                    }
                    Ok(())
                },
            )?;
        }
        Ok(Self(born))
    }

    /// Whether the person is in `person`.
    pub fn has(&self, person: i64) -> bool {
        self.0.contains_key(&person)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Year of birth, if the person is there and it is known.
    pub fn year(&self, person: i64) -> Option<i64> {
        self.0.get(&person).copied().flatten()
    }

    /// Research ids, sorted.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }
}

/// The lowest age at which a policy removes people.
fn min_age(tier: &Tier<'_>) -> Option<i64> {
    let ages = tier.rules().iter().filter_map(|rule| match rule.action {
        Action::RemovePeopleByAge { min_age } => Some(i64::from(min_age)),
        _ => None,
    });
    ages.min()
}

pub(super) fn look(
    request: &Request<'_>,
    tier: &Tier<'_>,
    originals: Option<&Originals<'_>>,
    tally: &mut Tally,
) -> Result<(), Error> {
    let born = Born::read(request, tier)?;
    if let Some(limit) = min_age(tier) {
        // Moved back by at most 364 days, a birth is of the released year or the next; the youngest such
        // person is born on its last day.
        let grace = i64::from(tier.is_shifted());
        let now = i64::from(request.reference_date.year());
        let last_day = (request.reference_date.month(), request.reference_date.day()) == (12, 31);
        let had_birthday = i64::from(last_day && grace == 0);
        let ages = born.0.values().flatten().map(|year| now - year - grace - 1 + had_birthday);
        let count = ages.map(|youngest| youngest >= limit).collect();
        tally.count("ages_by_year", tier.name, "person.year_of_birth", count);
    }
    if let (Some(limit), Some(originals)) = (min_age(tier), originals)
        && let Some(own) = originals.of(tier.name)
    {
        let mut count = Count::default();
        for raw in born.ids().filter_map(|research| own.raw(research)) {
            // A birth that is not known cannot be shown to be recent enough.
            count.see(originals.age(raw).is_none_or(|age| age >= limit));
        }
        tally.count("ages_exact", tier.name, "person", count);
    }
    reduced(request, tier, tally)
}

/// What is left of birth dates.
fn reduced(request: &Request<'_>, tier: &Tier<'_>, tally: &mut Tally) -> Result<(), Error> {
    let last = tier.rules().iter().rev().find_map(|rule| match rule.action {
        Action::ReduceBirthDate { to } => Some(to),
        _ => None,
    });
    let Some(to) = last else { return Ok(()) };
    let columns = ["year_of_birth", "month_of_birth", "day_of_birth", "birth_datetime"];
    let mut count = Count::default();
    for file in tier.files_of("person") {
        read(request, &path_of(request, file), &file.path, &columns, |rows| {
            let whole = |column: &str| rows.any(column).is_none_or(|a| a.null_count() == a.len());
            let (months, days) = (whole("month_of_birth"), whole("day_of_birth"));
            let years = rows.ints("year_of_birth");
            let times = rows.any("birth_datetime");
            let times = times.and_then(|a| a.as_primitive_opt::<TimestampMicrosecondType>());
            for i in 0..rows.len() {
                let time = times.filter(|t| t.is_valid(i)).map(|t| t.value(i));
                let year = years.and_then(|years| at(years, i));
                let right = match (to, time) {
                    (_, None) => true,
                    (BirthDate::Year, Some(_)) => false,
                    (BirthDate::June15, Some(time)) => Some(time) == year.and_then(june_15),
                };
                let parts = (months || is_null(rows.ints("month_of_birth"), i))
                    && (days || is_null(rows.ints("day_of_birth"), i));
                count.see(!(right && parts));
            }
            Ok(())
        })?;
    }
    tally.count("birth_reduced", tier.name, "person", count);
    Ok(())
}

fn is_null(array: Option<&arrow::array::Int64Array>, row: usize) -> bool {
    array.is_none_or(|array| array.is_null(row))
}

fn june_15(year: i64) -> Option<i64> {
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, 6, 15).ok()?;
    Some(day(date) * DAY)
}

/// Who is in the narrower tier is in the wider one; who is not, is too old for it.
pub(super) fn subset(
    request: &Request<'_>,
    wide: &Tier<'_>,
    narrow: &Tier<'_>,
    originals: Option<&Originals<'_>>,
    tally: &mut Tally,
) -> Result<(), Error> {
    let (all, some) = (Born::read(request, wide)?, Born::read(request, narrow)?);
    let id = "people_subset";
    // People whom the wider tier removes and the narrower one does not are no slip of the narrower one.
    let comparable = match (min_age(wide), min_age(narrow)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow <= wide,
    };
    let Some(originals) = originals else {
        if request.shared_ids && comparable {
            let count = some.ids().map(|person| !all.has(person)).collect();
            tally.count(id, narrow.name, "person", count);
        }
        return Ok(());
    };
    let (Some(of_wide), Some(of_narrow)) = (originals.of(wide.name), originals.of(narrow.name))
    else {
        return Ok(());
    };
    let known: BTreeSet<i64> = some.ids().filter_map(|p| of_narrow.raw(p)).collect();
    if comparable {
        // Somebody whom no key leads back to is nobody's: that is `person_ids_new`.
        let wider: BTreeSet<i64> = all.ids().filter_map(|p| of_wide.raw(p)).collect();
        let count = known.iter().map(|raw| !wider.contains(raw)).collect();
        tally.count(id, narrow.name, "person", count);
    }
    let mut count = Count::default();
    for raw in all.ids().filter_map(|p| of_wide.raw(p)).filter(|raw| !known.contains(raw)) {
        let old =
            min_age(narrow).is_some_and(|limit| originals.age(raw).is_none_or(|age| age >= limit));
        tally.note("people_left_out", narrow.name, if old { "too_old" } else { "no_reason" }, 1);
        count.see(!old);
    }
    tally.count("people_left_out", narrow.name, "person", count);
    Ok(())
}
