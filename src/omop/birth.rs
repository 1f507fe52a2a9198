//! The day of birth that a row of `person` states.

/// Days since 1970-01-01: the day of `birth_datetime` (microseconds since then), else of year, month and
/// day. What is not known is 1, and so is what no calendar has (30 February: the first of it; month 13: 1
/// January); a day without a month is not known. None without a year.
pub fn birth_day(
    time: Option<i64>,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
) -> Option<i32> {
    if let Some(time) = time {
        return i32::try_from(time.div_euclid(86_400_000_000)).ok();
    }
    let year = year?;
    let exact = month.zip(day).and_then(|(month, day)| civil(year, month, day));
    let first = || month.and_then(|month| civil(year, month, 1));
    exact.or_else(first).or_else(|| civil(year, 1, 1))
}

fn civil(year: i64, month: i64, day: i64) -> Option<i32> {
    let date = jiff::civil::Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    date.ok()?.since(epoch).ok().map(|span| span.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_or_impossible_is_the_first() {
        let day = |y, m, d| civil(y, m, d);
        let born = |month, of_month| birth_day(None, Some(1980), month, of_month);
        assert_eq!(born(Some(5), Some(20)), day(1980, 5, 20));
        assert_eq!(born(Some(5), None), day(1980, 5, 1));
        assert_eq!(born(None, None), day(1980, 1, 1));
        assert_eq!(born(None, Some(20)), day(1980, 1, 1));
        assert_eq!(born(Some(2), Some(30)), day(1980, 2, 1));
        assert_eq!(born(Some(13), Some(1)), day(1980, 1, 1));
        assert_eq!(birth_day(None, None, Some(5), Some(20)), None);
        assert_eq!(birth_day(Some(-1), Some(1980), None, None), Some(-1));
    }
}
