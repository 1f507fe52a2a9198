//! Days of wearable data: minutes worn, heart rate, steps, sleep.

use std::collections::BTreeMap;

use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

/// Minutes with a heart rate that make a day one on which the device was worn: ten hours.
pub const VALID_MINUTES: i64 = 600;
/// Steps a day that are believed (Master et al., Nature Medicine 2022, on All of Us: 100 to 45,000).
pub const VALID_STEPS: std::ops::RangeInclusive<i64> = 100..=45_000;

/// Tables that days are made of.
pub const WEARABLES: [&str; 4] =
    ["heart_rate_intraday", "steps_intraday", "activity_summary", "sleep_daily_summary"];

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// `wearable_day`: one row a person and day with data of any kind.
///
/// A minute counts once however often it is given, with its last value in the order of the table;
/// heart rates of 0 or less are no wear. Steps are the sum of the minutes, or those of
/// `activity_summary` on days without minutes. Sleep counts to its `sleep_date`.
pub struct Days;

#[derive(Default)]
struct Day {
    worn: i64,
    beats: i64,
    lowest: Option<i64>,
    highest: Option<i64>,
    minute_steps: Option<i64>,
    steps: Option<i64>,
    sleep: Option<i64>,
}

/// Calls `see` with day and value of each minute of a person, once a minute.
fn minutes(person: i64, part: &Part, mut see: impl FnMut(i32, i64)) {
    let mut last: Option<(i64, Option<i64>)> = None;
    let mut give = |minute: i64, value: Option<i64>| {
        if let (Some(value), Ok(day)) = (value, i32::try_from((minute * MINUTE).div_euclid(DAY))) {
            see(day, value);
        }
    };
    let mut rows: Vec<usize> = part.of(person).collect();
    // Curated rows are in this order; a stable sort of them costs one look at each.
    rows.sort_by_key(|&row| part.rows.columns[1][row]);
    for row in rows {
        let Some(at) = part.rows.columns[1][row] else { continue };
        let minute = at.div_euclid(MINUTE);
        if let Some((before, value)) = last.filter(|(before, _)| *before != minute) {
            give(before, value);
        }
        // A row without a value says nothing against one with a value.
        let before = last.filter(|(before, _)| *before == minute).and_then(|(_, value)| value);
        last = Some((minute, part.rows.columns[2][row].or(before)));
    }
    if let Some((minute, value)) = last {
        give(minute, value);
    }
}

impl Derivation for Days {
    fn table(&self) -> &'static str {
        "wearable_day"
    }

    fn sources(&self) -> Vec<Source> {
        let columns = [
            ["datetime", "heart_rate_value"],
            ["datetime", "steps"],
            ["date", "steps"],
            ["sleep_date", "minute_asleep"],
        ];
        WEARABLES.into_iter().zip(columns.map(Vec::from)).collect()
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let mut days: BTreeMap<i32, Day> = BTreeMap::new();
        minutes(person, &sources[0], |day, rate| {
            if rate > 0 {
                let day = days.entry(day).or_default();
                (day.worn, day.beats) = (day.worn + 1, day.beats + rate);
                day.lowest = Some(day.lowest.map_or(rate, |low| low.min(rate)));
                day.highest = Some(day.highest.map_or(rate, |high| high.max(rate)));
            }
        });
        minutes(person, &sources[1], |day, steps| {
            *days.entry(day).or_default().minute_steps.get_or_insert(0) += steps.max(0);
        });
        for row in sources[2].of(person) {
            if let (Some(day), steps) =
                (sources[2].rows.day(1, row), sources[2].rows.columns[2][row])
            {
                let day = days.entry(day).or_default();
                day.steps = steps.or(day.steps);
            }
        }
        for row in sources[3].of(person) {
            if let (Some(day), Some(asleep)) =
                (sources[3].rows.day(1, row), sources[3].rows.columns[2][row])
            {
                *days.entry(day).or_default().sleep.get_or_insert(0) += asleep;
            }
        }
        let int = |n: Option<i64>| n.map_or(Value::Null, Value::Int);
        for (date, day) in days {
            let steps = day.minute_steps.or(day.steps);
            let mean = (day.worn > 0).then(|| day.beats as f64 / day.worn as f64);
            made.row([
                Value::Day(date),
                Value::Int(day.worn),
                mean.map_or(Value::Null, Value::Float),
                int(day.lowest),
                int(day.highest),
                int(steps),
                int(day.sleep),
                Value::Int(i64::from(day.worn >= VALID_MINUTES)),
                Value::Int(i64::from(steps.is_some_and(|n| VALID_STEPS.contains(&n)))),
            ]);
        }
    }
}
