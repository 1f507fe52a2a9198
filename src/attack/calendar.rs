//! The calendar of care: how likely a day of records is on a Sunday, on a Tuesday, on a federal holiday.

/// Kinds of days: Monday to Sunday, then federal holidays.
pub const KINDS: usize = 8;

/// The holiday kind.
const HOLIDAY: usize = 7;

/// The kind of a day, days since 1970-01-01 (a Thursday): 0 Monday to 6 Sunday, 7 a federal holiday of the United
/// States (5 U.S.C. 6103, on the day itself).
pub fn kind(day: i32) -> usize {
    if is_holiday(day) { HOLIDAY } else { (day + 3).rem_euclid(7) as usize }
}

/// Year, month and day of the month of a day since 1970-01-01 (Hinnant's algorithm).
fn civil(day: i32) -> (i32, i32, i32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i32::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn is_holiday(day: i32) -> bool {
    let (year, month, date) = civil(day);
    let weekday = (day + 3).rem_euclid(7);
    let nth = (date - 1) / 7 + 1;
    match (month, weekday) {
        (1 | 7 | 11 | 12, _) if [(1, 1), (7, 4), (11, 11), (12, 25)].contains(&(month, date)) => {
            true
        }
        (6, _) => date == 19 && year >= 2021,
        // Birthday of Martin Luther King, Washington's Birthday.
        (1, 0) | (2, 0) => nth == 3,
        // Memorial Day, the last Monday of May.
        (5, 0) => date > 24,
        (9, 0) => nth == 1,
        (10, 0) => nth == 2,
        (11, 3) => nth == 4,
        _ => false,
    }
}

/// How much likelier or less likely records are on a kind of day than on any day, as logarithms.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    logs: [f64; KINDS],
}

impl Calendar {
    /// Of days with records (people times days), between the first and the last of them. A kind of day that never
    /// has any counts as if it had half a one.
    pub fn of(days: impl IntoIterator<Item = i32>) -> Self {
        let (mut seen, mut total) = ([0_u64; KINDS], 0_u64);
        let (mut first, mut last) = (i32::MAX, i32::MIN);
        for day in days {
            seen[kind(day)] += 1;
            total += 1;
            (first, last) = (first.min(day), last.max(day));
        }
        let mut there = [0_u64; KINDS];
        for day in first..=last {
            there[kind(day)] += 1;
        }
        let all: u64 = there.iter().sum();
        let log = |k: usize| match (there[k], total) {
            (0, _) | (_, 0) => 0.0,
            (n, _) => {
                let share = (seen[k] as f64).max(0.5) / total as f64;
                (share / (n as f64 / all as f64)).ln()
            }
        };
        Self { logs: std::array::from_fn(log) }
    }

    /// The logarithm of how much likelier a day is than any day.
    pub fn log(&self, day: i32) -> f64 {
        self.logs[kind(day)]
    }

    /// How much likelier each kind of day is than any day.
    pub fn weights(&self) -> [f64; KINDS] {
        self.logs.map(|log| super::rounded(log.exp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i32 {
        let day: jiff::civil::Date = text.parse().unwrap();
        jiff::civil::date(1970, 1, 1).until((jiff::Unit::Day, day)).unwrap().get_days()
    }

    #[test]
    fn days_are_of_their_kind() {
        for (text, wanted) in [
            ("1970-01-01", 7),
            ("2024-02-29", 3),
            ("2023-01-16", 7),
            ("2023-02-20", 7),
            ("2023-05-29", 7),
            ("2023-05-22", 0),
            ("2021-06-19", 7),
            ("2019-06-19", 2),
            ("2023-07-04", 7),
            ("2023-09-04", 7),
            ("2023-10-09", 7),
            ("2023-11-11", 7),
            ("2023-11-23", 7),
            ("2023-11-30", 3),
            ("2023-12-25", 7),
            ("2023-12-24", 6),
        ] {
            assert_eq!(kind(day(text)), wanted, "{text}");
        }
    }

    #[test]
    fn weights_are_relative_to_the_days_there_are() {
        let all = day("2022-01-03")..day("2023-01-02");
        let even = Calendar::of(all.clone());
        assert!(even.weights().iter().all(|w| (w - 1.0).abs() < 0.01), "{even:?}");
        let worked = Calendar::of(all.filter(|d| kind(*d) < 5));
        let weights = worked.weights();
        assert!(weights[0] > 1.3 && weights[5] < 0.05 && weights[7] < 0.1, "{weights:?}");
    }
}
