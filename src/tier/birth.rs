//! Birth dates and ages. Ages are completed years on the reference date, by true birth date: the same
//! reckoning as `FLOOR((yyyymmdd(today) - yyyymmdd(birth)) / 10000)` of the All of Us curation code, so
//! someone born on 29 February has the birthday on 1 March of a common year.

use jiff::civil::{Date, date};
use jiff::{Span, Unit};

const DAY_MICROS: i64 = 86_400_000_000;
const EPOCH: Date = date(1970, 1, 1);

/// Year, month and day of birth as stated.
pub(super) type Parts = [Option<i64>; 3];

/// The earliest birth date that the columns allow: an age is never understated. Unknown month and day
/// are 1 January (or the first of the month); an earlier `birth_datetime` wins.
pub(super) fn earliest(parts: Parts, time: Option<i64>) -> Option<Date> {
    let [year, month, day] = parts;
    let stated = year.and_then(|y| {
        civil(y, month.unwrap_or(1), day.unwrap_or(1))
            .or_else(|| civil(y, month?, 1))
            .or_else(|| civil(y, 1, 1))
    });
    let exact = time.and_then(day_of);
    match (stated, exact) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The birth date to shift: the stated one, completed from `birth_datetime` when that is of the same
/// year, and else 15 June of the year.
pub(super) fn likely(parts: Parts, time: Option<i64>) -> Option<Date> {
    let [year, month, day] = parts;
    let exact = time.and_then(day_of);
    let Some(year) = year else { return exact };
    let stated = month.zip(day).and_then(|(m, d)| civil(year, m, d));
    stated
        .or_else(|| exact.filter(|e| i64::from(e.year()) == year))
        .or_else(|| month.and_then(|m| civil(year, m, 15)))
        .or_else(|| june_15(year))
}

/// Completed years at `reference`; negative before birth.
pub(super) fn age(birth: Date, reference: Date) -> i32 {
    let years = i32::from(reference.year()) - i32::from(birth.year());
    let had_birthday = (reference.month(), reference.day()) >= (birth.month(), birth.day());
    if had_birthday { years } else { years - 1 }
}

/// 15 June of `year`.
pub(super) fn june_15(year: i64) -> Option<Date> {
    civil(year, 6, 15)
}

/// `date` moved back by `days`.
pub(super) fn back(date: Date, days: i32) -> Option<Date> {
    date.checked_sub(Span::new().try_days(i64::from(days)).ok()?).ok()
}

/// Microseconds from 1970-01-01 to the start of `date`.
pub(super) fn midnight_micros(date: Date) -> i64 {
    let days = EPOCH.until((Unit::Day, date)).map_or(0, |span| i64::from(span.get_days()));
    days * DAY_MICROS
}

fn day_of(micros: i64) -> Option<Date> {
    let days = Span::new().try_days(micros.div_euclid(DAY_MICROS)).ok()?;
    EPOCH.checked_add(days).ok()
}

fn civil(year: i64, month: i64, day: i64) -> Option<Date> {
    Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_turn_on_the_birthday() {
        let at = date(2026, 1, 1);
        assert_eq!(age(date(1937, 1, 1), at), 89);
        assert_eq!(age(date(1937, 1, 2), at), 88);
        assert_eq!(age(date(1936, 12, 31), at), 89);
        let leap = date(1936, 2, 29);
        assert_eq!(age(leap, date(2025, 2, 28)), 88);
        assert_eq!(age(leap, date(2025, 3, 1)), 89);
        assert_eq!(age(leap, date(2028, 2, 29)), 92);
        assert_eq!(age(leap, date(2028, 2, 28)), 91);
        assert_eq!(age(date(2026, 1, 2), at), -1);
    }

    #[test]
    fn an_unknown_day_never_understates_an_age() {
        let time = |d| Some(midnight_micros(d));
        assert_eq!(earliest([Some(1937), None, None], None), Some(date(1937, 1, 1)));
        assert_eq!(earliest([Some(1937), Some(5), None], None), Some(date(1937, 5, 1)));
        assert_eq!(earliest([Some(1937), Some(2), Some(30)], None), Some(date(1937, 2, 1)));
        assert_eq!(
            earliest([Some(1937), Some(5), Some(9)], time(date(1937, 5, 8))),
            Some(date(1937, 5, 8))
        );
        assert_eq!(earliest([None; 3], time(date(1937, 5, 8))), Some(date(1937, 5, 8)));
        assert_eq!(earliest([None; 3], None), None);
    }

    #[test]
    fn a_birth_date_to_shift_is_the_stated_one() {
        let time = Some(midnight_micros(date(1937, 5, 8)) + 3_600_000_000);
        assert_eq!(likely([Some(1937), Some(2), Some(3)], time), Some(date(1937, 2, 3)));
        assert_eq!(likely([Some(1937), None, None], time), Some(date(1937, 5, 8)));
        assert_eq!(likely([Some(1938), None, None], time), Some(date(1938, 6, 15)));
        assert_eq!(likely([None; 3], time), Some(date(1937, 5, 8)));
        assert_eq!(back(date(2001, 3, 1), 1), Some(date(2001, 2, 28)));
        assert_eq!(midnight_micros(date(1969, 12, 31)), -DAY_MICROS);
    }
}
