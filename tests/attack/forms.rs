//! The forms in which a day, an id or a text may hide in a file.
#![allow(clippy::allow_attributes, reason = "what is unused differs by test file")]
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests; each test file uses a part")]

use std::fmt::Write as _;

use jiff::civil::{Date, date};
use jiff::{Span, Unit};

/// Forms of a day: twelve encodings in words or digits, some of them written in more than one way.
pub const DAY_FORMS: [&str; 12] = [
    "iso",
    "compact",
    "us",
    "european",
    "oracle",
    "ordinal",
    "epoch days",
    "epoch seconds",
    "epoch millis",
    "epoch micros",
    "excel serial",
    "julian day",
];

/// Days from 1970-01-01.
pub fn epoch(day: Date) -> i64 {
    i64::from(date(1970, 1, 1).until((Unit::Day, day)).unwrap().get_days())
}

/// The day so many days after 1970-01-01.
pub fn civil(days: i64) -> Date {
    date(1970, 1, 1).checked_add(Span::new().days(days)).unwrap()
}

/// The numbers that stand for a day at `second` of the day: form and number.
pub fn day_numbers(day: Date, second: i64) -> Vec<(&'static str, i64)> {
    let days = epoch(day);
    let compact =
        i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day());
    let mut numbers = vec![
        ("compact", compact),
        ("epoch days", days),
        // Day 1 is 1900-01-01, and 1900 has a 29 February that never was.
        ("excel serial", days + 25_569),
        ("julian day", days + 2_440_588),
    ];
    for at in [0, second] {
        let seconds = days * 86_400 + at;
        numbers.push(("epoch seconds", seconds));
        numbers.push(("epoch millis", seconds * 1_000));
        numbers.push(("epoch micros", seconds * 1_000_000));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The ways to write a day with signs between its parts, or in a run of eight digits: long enough to be looked
/// for anywhere in a file.
pub fn day_words(day: Date) -> Vec<(&'static str, String)> {
    let (y, m, d) = (day.year(), day.month(), day.day());
    let month = &day.strftime("%b").to_string();
    let mut words = vec![
        ("iso", format!("{y:04}-{m:02}-{d:02}")),
        ("compact", format!("{y:04}{m:02}{d:02}")),
        ("us", format!("{m:02}/{d:02}/{y:04}")),
        ("us", format!("{m}/{d}/{y:04}")),
        ("european", format!("{d:02}.{m:02}.{y:04}")),
        ("european", format!("{d}.{m}.{y:04}")),
        ("oracle", format!("{d:02}-{}-{y:04}", month.to_uppercase())),
        ("oracle", format!("{d:02} {month} {y:04}")),
        ("ordinal", format!("{y:04}-{:03}", day.day_of_year())),
    ];
    words.dedup_by(|a, b| a.1 == b.1);
    words
}

/// How a day is written in one of [`DAY_FORMS`], as text.
pub fn written(day: Date, second: i64, form: &str) -> String {
    let word = day_words(day).into_iter().find(|(name, _)| *name == form);
    let number = || day_numbers(day, second).into_iter().rfind(|(name, _)| *name == form);
    word.map(|(_, word)| word).unwrap_or_else(|| number().unwrap().1.to_string())
}

/// The bytes of a 64-bit number as files and memory hold it.
pub fn number_bytes(number: i64) -> [Vec<u8>; 2] {
    [number.to_le_bytes().to_vec(), number.to_be_bytes().to_vec()]
}

/// The ways to hide a text.
pub fn text_forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut hex = String::new();
    for byte in text.bytes() {
        write!(hex, "{byte:02x}").unwrap();
    }
    vec![
        ("text", text.as_bytes().to_vec()),
        ("lower case", text.to_lowercase().into_bytes()),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("hex", hex.into_bytes()),
        ("reversed", text.bytes().rev().collect()),
    ]
}
