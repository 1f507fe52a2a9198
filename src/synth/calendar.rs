//! Civil dates as days since 1970-01-01, by integer arithmetic alone (Hinnant's algorithms).

use std::fmt;

/// A calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// The programme's reference date, 2026-01-01: ages and cut-offs use it.
pub const REFERENCE: Day = Day::new(2026, 1, 1);

impl Day {
    /// The day of a proleptic Gregorian date.
    pub const fn new(year: i32, month: i32, day: i32) -> Self {
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Self(era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468)
    }

    /// Year, month and day of the month.
    pub const fn civil(self) -> (i32, i32, i32) {
        let z = self.0 + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        (yoe + era * 400 + (month <= 2) as i32, month, day)
    }

    /// This day moved by `days`.
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0 + days)
    }

    /// The birthday `years` later; 1 March for 29 February in a common year.
    pub const fn birthday(self, years: i32) -> Self {
        let (y, m, d) = self.civil();
        let leap = (y + years) % 4 == 0 && ((y + years) % 100 != 0 || (y + years) % 400 == 0);
        if m == 2 && d == 29 && !leap {
            Self::new(y + years, 3, 1)
        } else {
            Self::new(y + years, m, d)
        }
    }

    /// Completed years from this day of birth to `at`.
    pub const fn age(self, at: Self) -> i32 {
        let years = at.civil().0 - self.civil().0;
        if self.birthday(years).0 > at.0 { years - 1 } else { years }
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.civil();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

/// `YYYY-MM-DD HH:MM:00`; minutes of the day.
pub struct Moment(pub Day, pub u32);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02}:00", self.0, self.1 / 60 % 24, self.1 % 60)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_another_calendar(days in -100_000..200_000_i32) {
            let (y, m, d) = Day(days).civil();
            let theirs = jiff::civil::date(1970, 1, 1)
                .checked_add(jiff::Span::new().days(days))
                .unwrap();
            prop_assert_eq!((y as i16, m as i8, d as i8), (theirs.year(), theirs.month(), theirs.day()));
            prop_assert_eq!(Day::new(y, m, d), Day(days));
            prop_assert_eq!(Day(days).to_string(), theirs.to_string());
        }
    }

    #[test]
    fn ages_turn_on_the_birthday() {
        assert_eq!(Day::new(1937, 1, 1).age(REFERENCE), 89);
        assert_eq!(Day::new(1937, 1, 2).age(REFERENCE), 88);
        assert_eq!(Day::new(2000, 2, 29).age(Day::new(2001, 2, 28)), 0);
        assert_eq!(Day::new(2000, 2, 29).age(Day::new(2001, 3, 1)), 1);
    }
}
