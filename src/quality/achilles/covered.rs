//! Persons by the months and years that their observation periods cover: analyses 109, 110, 116 and 117.
//!
//! A period covers decades and so hundreds of months; what is kept is where covering begins and ends, and
//! the counts are running sums of that.

use super::counts::{Counts, Key, Map};
use super::people::{Person, decile, month_of};
use super::scan::calendar;

/// Persons whose periods cover each of a row of places: +1 where covering begins, -1 after its end.
#[derive(Clone)]
struct Ends(Vec<i64>);

impl Ends {
    fn new(places: usize) -> Self {
        Self(vec![0; places + 1])
    }

    /// One more person, who covers these half-open ranges, sorted by start; what several cover counts once.
    fn add(&mut self, ranges: impl Iterator<Item = (usize, usize)>) {
        let mut done = 0;
        for (from, to) in ranges {
            let from = from.max(done);
            if from < to {
                self.0[from] += 1;
                self.0[to] -= 1;
                done = to;
            }
        }
    }

    /// Places that anybody covers, with how many.
    fn counts(&self) -> impl Iterator<Item = (usize, u64)> {
        let running = self.0.iter().scan(0, |sum: &mut i64, step| {
            *sum += step;
            Some(sum.unsigned_abs())
        });
        running.enumerate().filter(|&(_, n)| n > 0)
    }
}

/// First and last month of 117, as ordinals.
const MONTHS: (i64, i64) = (1900 * 12, 2099 * 12 + 11);

/// What all periods cover. Months are ordinals, year * 12 + month - 1.
pub(super) struct Covered {
    /// Months in which some period starts, and their years.
    months: Vec<i64>,
    years: Vec<i64>,
    /// 109, by place in `years` between the first and the last of them.
    whole_years: Ends,
    /// 110, by place in `months`.
    whole_months: Ends,
    /// 116, by place in `years`, of those of a sex and year of birth.
    by_age: Map<(i64, i64), Ends>,
    /// 117, by month since the first of [`MONTHS`].
    any: Ends,
}

impl Covered {
    /// Nobody yet; `months` are those in which some period starts, sorted.
    pub fn new(months: Vec<i64>) -> Self {
        let mut years: Vec<i64> = months.iter().map(|m| m.div_euclid(12)).collect();
        years.dedup();
        let span = years.first().zip(years.last()).map_or(0, |(first, last)| last - first + 1);
        Self {
            whole_years: Ends::new(usize::try_from(span).unwrap_or_default()),
            whole_months: Ends::new(months.len()),
            by_age: Map::default(),
            any: Ends::new(usize::try_from(MONTHS.1 - MONTHS.0 + 1).unwrap_or_default()),
            months,
            years,
        }
    }

    /// One more person with periods sorted by start.
    pub fn person(&mut self, person: &Person, periods: &[(i32, i32)]) {
        let Some(&first) = self.years.first() else { return };
        let last = self.years[self.years.len() - 1];
        let place = |n: i64| usize::try_from(n).unwrap_or_default();
        // Of periods that end early and start late, some end before others that started before them: the
        // ranges of whole months and years are sorted by start all the same.
        self.whole_years.add(periods.iter().map(|&period| {
            let (from, to) = whole_months(period);
            let (from, to) = ((from + 11).div_euclid(12), (to + 1).div_euclid(12));
            (place(from.max(first).max(1900) - first), place(to.min(last + 1).min(2100) - first))
        }));
        let at_month = |month: i64| self.months.partition_point(|&m| m < month);
        self.whole_months.add(periods.iter().map(|&period| {
            let (from, to) = whole_months(period);
            (at_month(from), at_month(to + 1))
        }));
        self.any.add(periods.iter().map(|&(start, end)| {
            let (from, to) = (month_of(start).max(MONTHS.0), month_of(end).min(MONTHS.1));
            (place(from - MONTHS.0), place(to + 1 - MONTHS.0))
        }));
        if person.listed && !periods.is_empty() {
            let years = &self.years;
            let at_year = |year: i64| years.partition_point(|&y| y < year);
            let of = self.by_age.entry((person.gender, person.born));
            of.or_insert_with(|| Ends::new(years.len())).add(periods.iter().map(
                |&(start, end)| {
                    let year = |day| month_of(day).div_euclid(12);
                    (at_year(year(start)), at_year(year(end) + 1))
                },
            ));
        }
    }

    /// Counts what was covered.
    pub fn finish(self, counts: &mut Counts) {
        let first = self.years.first().copied().unwrap_or_default();
        for (place, n) in self.whole_years.counts() {
            counts.add(Key(109, first + place as i64, 0, 0, 0), n);
        }
        for (place, n) in self.whole_months.counts() {
            counts.add(Key(110, calendar(self.months[place]), 0, 0, 0), n);
        }
        for (&(gender, born), ends) in &self.by_age {
            for (place, n) in ends.counts() {
                let year = self.years[place];
                counts.add(Key(116, year, gender, decile(year, born), 0), n);
            }
        }
        for (place, n) in self.any.counts() {
            counts.add(Key(117, calendar(MONTHS.0 + place as i64), 0, 0, 0), n);
        }
    }
}

/// First and last month that lie wholly in a period; the last before the first when there is none.
fn whole_months((start, end): (i32, i32)) -> (i64, i64) {
    let from = month_of(start);
    let begun = start > i32::MIN && month_of(start - 1) == from;
    // A month is whole when the day after the end is in a later one.
    let to = month_of(end.saturating_add(1)) - 1;
    (from + i64::from(begun), to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::achilles::people::year_month;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// As the SQL has it: a person counts once for a place that any of the periods covers.
    fn slowly(person: &Person, periods: &[(i32, i32)], months: &[i64]) -> BTreeSet<Key> {
        let mut seen = BTreeSet::new();
        let (low, high) = (months[0].div_euclid(12), months[months.len() - 1].div_euclid(12));
        for &(start, end) in periods {
            let days = |of: &dyn Fn(i32) -> bool| {
                let all: Vec<i32> = (-40_000..60_000).filter(|&day| of(day)).collect();
                all.iter().all(|&day| start <= day && day <= end)
            };
            for year in low.max(1900)..=high.min(2099) {
                if days(&|day| year_month(day).0 == year) {
                    seen.insert(Key(109, year, 0, 0, 0));
                }
            }
            for &month in months {
                if days(&|day| month_of(day) == month) {
                    seen.insert(Key(110, calendar(month), 0, 0, 0));
                }
                let year = month.div_euclid(12);
                if person.listed && (year_month(start).0..=year_month(end).0).contains(&year) {
                    let decile = decile(year, person.born);
                    seen.insert(Key(116, year, person.gender, decile, 0));
                }
            }
            for month in month_of(start)..=month_of(end) {
                if (MONTHS.0..=MONTHS.1).contains(&month) {
                    seen.insert(Key(117, calendar(month), 0, 0, 0));
                }
            }
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn running_sums_are_what_counting_each_place_gives(
            people in prop::collection::vec(
                (0i64..3, 1940i64..1945, prop::collection::vec((-9_000i32..2_000, -40i32..1_500), 0..4)),
                1..4,
            ),
        ) {
            let mut people: Vec<(Person, Vec<(i32, i32)>)> = people
                .into_iter()
                .enumerate()
                .map(|(i, (gender, born, periods))| {
                    let periods = periods.into_iter().map(|(start, days)| (start, start + days));
                    (Person::of(i as i64, gender, born), periods.collect())
                })
                .collect();
            people.iter_mut().for_each(|(_, periods)| periods.sort_unstable());
            let mut months: Vec<i64> =
                people.iter().flat_map(|(_, periods)| periods).map(|p| month_of(p.0)).collect();
            months.sort_unstable();
            months.dedup();
            prop_assume!(!months.is_empty());
            let mut covered = Covered::new(months.clone());
            let mut slow = Counts::default();
            for (person, periods) in &people {
                covered.person(person, periods);
                slowly(person, periods, &months).into_iter().for_each(|key| slow.add(key, 1));
            }
            let mut fast = Counts::default();
            covered.finish(&mut fast);
            prop_assert_eq!(fast.finish(0).rows, slow.finish(0).rows);
        }
    }
}
