//! Values as OMOP extracts write them, read from bytes.
//!
//! Lenient where the meaning is beyond doubt (`10204.0` is an integer, `1937-12-1` a date, `T` or a
//! space before the time), strict elsewhere: no day-first dates, no `inf`, no hexadecimal.

use super::cdm::FieldKind;

/// Microseconds in a day.
pub const DAY_US: i64 = 86_400_000_000;

/// First and last day that can be written: 0001-01-01 and 9999-12-31.
pub const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

/// One value of a row. Text is a range of the row's own text, so that a row needs no allocation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00, no zone.
    Timestamp(i64),
    /// Byte range in the row's text.
    Text(u32, u32),
}

/// Why a row could not be used. The code is what rejects and books call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Not an integer of 64 bits.
    UnparsableInteger,
    /// Not a finite number.
    UnparsableFloat,
    /// Not a date.
    UnparsableDate,
    /// Not a date with a time.
    UnparsableDatetime,
    /// A primary key that an earlier row of the table has.
    DuplicateKey,
    /// A person that the extract's `person` table lacks.
    OrphanPerson,
    /// No primary key or no person id.
    MissingKey,
    /// Bytes that are no text in the feed's encoding.
    InvalidUtf8,
    /// A NUL byte.
    NulByte,
    /// A quoted field that runs over a line end and goes on after its closing quote: a stray quote has
    /// drawn several rows into one.
    TornQuote,
    /// More or fewer fields than the header.
    Ragged,
}

impl Reason {
    /// All reasons, in the order of their ordinals.
    pub const ALL: [Self; 11] = [
        Self::UnparsableInteger,
        Self::UnparsableFloat,
        Self::UnparsableDate,
        Self::UnparsableDatetime,
        Self::DuplicateKey,
        Self::OrphanPerson,
        Self::MissingKey,
        Self::InvalidUtf8,
        Self::NulByte,
        Self::TornQuote,
        Self::Ragged,
    ];

    /// The reason code.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnparsableInteger => "unparsable_integer",
            Self::UnparsableFloat => "unparsable_float",
            Self::UnparsableDate => "unparsable_date",
            Self::UnparsableDatetime => "unparsable_datetime",
            Self::DuplicateKey => "duplicate_key",
            Self::OrphanPerson => "orphan_person",
            Self::MissingKey => "missing_key",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NulByte => "nul_byte",
            Self::TornQuote => "torn_quote",
            Self::Ragged => "ragged_row",
        }
    }
}

/// Things done to values that are worth telling and exclude nothing; counted per value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leniency {
    /// `NA` in a column that is not text, read as null.
    pub na_as_null: u64,
    /// A time of day other than midnight in a date column, dropped.
    pub time_dropped: u64,
    /// A zone (`Z`, `+01:00`) after a time; the wall-clock time is kept, the zone dropped.
    pub zone_dropped: u64,
}

/// Reads `bytes` as a value of `kind`; `start` is where they stand in the row's text.
///
/// Empty is null for every kind, text included, whether it stood in quotes or not (exporters differ, and
/// OMOP has no empty text). `NA` is text in a text field and null in others. Blanks around anything but text are ignored.
///
/// # Errors
/// The reason code for the kind.
pub fn parse(
    kind: FieldKind,
    bytes: &[u8],
    start: u32,
    leniency: &mut Leniency,
) -> Result<Cell, Reason> {
    if bytes.is_empty() {
        return Ok(Cell::Null);
    }
    if kind == FieldKind::Text {
        return Ok(Cell::Text(start, start + bytes.len() as u32));
    }
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return Ok(Cell::Null);
    }
    if bytes == b"NA" {
        leniency.na_as_null += 1;
        return Ok(Cell::Null);
    }
    match kind {
        FieldKind::Text | FieldKind::Integer => {
            integer(bytes).map(Cell::Integer).ok_or(Reason::UnparsableInteger)
        }
        FieldKind::Float => float(bytes).map(Cell::Float).ok_or(Reason::UnparsableFloat),
        FieldKind::Date => {
            let instant = Instant::parse(bytes).ok_or(Reason::UnparsableDate)?;
            leniency.time_dropped += u64::from(instant.time_us != 0);
            Ok(Cell::Date(instant.days))
        }
        FieldKind::Timestamp => {
            let instant = Instant::parse(bytes).ok_or(Reason::UnparsableDatetime)?;
            leniency.zone_dropped += u64::from(instant.zone);
            Ok(Cell::Timestamp(i64::from(instant.days) * DAY_US + instant.time_us))
        }
    }
}

/// An integer, optionally signed, optionally with a fraction of zeros (`10204.0`).
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let whole = match digits.iter().position(|&b| b == b'.') {
        Some(dot) if digits[dot + 1..].iter().all(|&b| b == b'0') => &digits[..dot],
        Some(_) => return None,
        None => digits,
    };
    if whole.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in whole {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Downwards, so that the least value of all can be read.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A finite decimal number.
pub fn float(bytes: &[u8]) -> Option<f64> {
    let plain = bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    let value: f64 = plain.then(|| std::str::from_utf8(bytes).ok())??.parse().ok()?;
    value.is_finite().then_some(value)
}

/// A date with an optional time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// Days since 1970-01-01.
    pub days: i32,
    /// Microseconds since midnight.
    pub time_us: i64,
    /// Whether a zone was written.
    pub zone: bool,
}

impl Instant {
    /// `YYYY-MM-DD` (month and day may lack the leading zero) or `YYYYMMDD`, then optionally a blank or
    /// `T` and `HH:MM[:SS[.f]]`, then optionally `Z` or `±HH[[:]MM]`. Digits of the second beyond the
    /// sixth are cut off.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor { bytes };
        let year = at.number(4, 4)?;
        let (month, day) = if at.skip(b'-') {
            let month = at.number(1, 2)?;
            if !at.skip(b'-') {
                return None;
            }
            (month, at.number(1, 2)?)
        } else {
            (at.number(2, 2)?, at.number(2, 2)?)
        };
        let days = days_from_civil(year, month, day)?;
        if at.bytes.is_empty() {
            return Some(Self { days, time_us: 0, zone: false });
        }
        if !at.skip(b'T') && !at.skip(b' ') {
            return None;
        }
        let time_us = at.time()?;
        let zone = at.zone()?;
        Some(Self { days, time_us, zone })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl Cursor<'_> {
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.bytes.first() == Some(&byte);
        if found {
            self.bytes = &self.bytes[1..];
        }
        found
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.bytes.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if digits < least {
            return None;
        }
        let (number, rest) = self.bytes.split_at(digits);
        self.bytes = rest;
        Some(number.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(1, 2)?;
        if !self.skip(b':') {
            return None;
        }
        let minute = self.number(2, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.skip(b':') {
            second = self.number(2, 2)?;
            if self.skip(b'.') {
                micros = self.fraction()?;
            }
        }
        let valid = hour < 24 && minute < 60 && second < 60;
        let seconds = i64::from((hour * 60 + minute) * 60 + second);
        valid.then_some(seconds * 1_000_000 + micros)
    }

    fn fraction(&mut self) -> Option<i64> {
        let digits = self.bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let (fraction, rest) = self.bytes.split_at(digits);
        self.bytes = rest;
        let micros =
            (0..6).fold(0, |n, i| n * 10 + fraction.get(i).map_or(0, |b| i64::from(b - b'0')));
        (digits > 0).then_some(micros)
    }

    /// Whether a zone follows; None when what follows is something else.
    fn zone(&mut self) -> Option<bool> {
        self.skip(b' ');
        if self.bytes.is_empty() {
            return Some(false);
        }
        if !self.skip(b'Z') {
            if !self.skip(b'+') && !self.skip(b'-') {
                return None;
            }
            let hours = self.number(2, 2)?;
            self.skip(b':');
            let minutes = if self.bytes.is_empty() { 0 } else { self.number(2, 2)? };
            if hours > 14 || minutes > 59 {
                return None;
            }
        }
        self.bytes.is_empty().then_some(true)
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar, year 1 to 9999; None when there is
/// no such day. (H. Hinnant, "chrono-compatible low-level date algorithms".)
pub fn days_from_civil(year: u32, month: u32, day: u32) -> Option<i32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=last).contains(&day) {
        return None;
    }
    let y = year - u32::from(month <= 2);
    let (era, year_of_era) = (y / 400, y % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era) as i32 - 719_468)
}

/// Year, month and day of a day counted from 1970-01-01; the inverse of [`days_from_civil`].
pub fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(kind: FieldKind, text: &str) -> Result<Cell, Reason> {
        parse(kind, text.as_bytes(), 0, &mut Leniency::default())
    }

    #[test]
    fn integers_as_extracts_write_them() {
        for (text, value) in [
            ("10204", 10204),
            ("10204.0", 10204),
            ("-7", -7),
            ("+7.", 7),
            (" 12 ", 12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(read(FieldKind::Integer, text), Ok(Cell::Integer(value)), "{text}");
        }
        for text in ["1.5", "9223372036854775808", "1e5", "0x10", "-", ".0", "1 2", "١"] {
            assert_eq!(read(FieldKind::Integer, text), Err(Reason::UnparsableInteger), "{text}");
        }
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(read(FieldKind::Float, "98.6"), Ok(Cell::Float(98.6)));
        assert_eq!(read(FieldKind::Float, "-1e-3"), Ok(Cell::Float(-0.001)));
        for text in ["inf", "nan", "1e999", "1,5", "--1", "e"] {
            assert_eq!(read(FieldKind::Float, text), Err(Reason::UnparsableFloat), "{text}");
        }
    }

    #[test]
    fn null_is_empty_and_na_but_never_in_text() {
        let mut leniency = Leniency::default();
        for kind in [FieldKind::Integer, FieldKind::Float, FieldKind::Date, FieldKind::Timestamp] {
            assert_eq!(parse(kind, b"NA", 0, &mut leniency), Ok(Cell::Null));
            assert_eq!(parse(kind, b"  ", 0, &mut leniency), Ok(Cell::Null));
        }
        assert_eq!(leniency.na_as_null, 4);
        assert_eq!(parse(FieldKind::Text, b"NA", 3, &mut leniency), Ok(Cell::Text(3, 5)));
        assert_eq!(parse(FieldKind::Text, b"", 3, &mut leniency), Ok(Cell::Null));
        assert_eq!(leniency.na_as_null, 4);
    }

    #[test]
    fn dates_as_extracts_write_them() {
        let day = days_from_civil(1937, 12, 1).unwrap();
        for text in ["1937-12-1", "1937-12-01", "19371201", "1937-12-01 00:00:00"] {
            assert_eq!(read(FieldKind::Date, text), Ok(Cell::Date(day)), "{text}");
        }
        for text in
            ["1937-13-01", "1937-02-29", "37-12-01", "01/12/1937", "1937-12", "1937-12-01x", "0"]
        {
            assert_eq!(read(FieldKind::Date, text), Err(Reason::UnparsableDate), "{text}");
        }
        assert_eq!(days_from_civil(1970, 1, 1), Some(0));
        assert_eq!(days_from_civil(2000, 2, 29), Some(11_016));
        assert_eq!(days_from_civil(1900, 2, 29), None);
    }

    #[test]
    fn times_keep_the_wall_clock() {
        let mut leniency = Leniency::default();
        let midnight = i64::from(days_from_civil(2023, 10, 10).unwrap()) * DAY_US;
        let time = midnight + ((4 * 60 + 17) * 60 + 47) * 1_000_000;
        for (text, value) in [
            ("2023-10-10T04:17:47Z", time),
            ("2023-10-10 04:17:47", time),
            ("2023-10-10 04:17:47.5", time + 500_000),
            ("2023-10-10 04:17:47.123456789", time + 123_456),
            ("2023-10-10T04:17:47-05:00", time),
            ("2023-10-10 04:17:47+00", time),
            ("2023-10-10", midnight),
            ("20231010 04:17", time - 47_000_000),
        ] {
            let cell = parse(FieldKind::Timestamp, text.as_bytes(), 0, &mut leniency);
            assert_eq!(cell, Ok(Cell::Timestamp(value)), "{text}");
        }
        assert_eq!(leniency.zone_dropped, 3);
        for text in ["2023-10-10 24:00:00", "2023-10-10 1:2", "2023-10-10T", "2023-10-10 01:00 PM"]
        {
            assert_eq!(read(FieldKind::Timestamp, text), Err(Reason::UnparsableDatetime), "{text}");
        }
        parse(FieldKind::Date, b"2023-10-10 04:17:47", 0, &mut leniency).unwrap();
        assert_eq!(leniency.time_dropped, 1);
    }

    proptest! {
        #[test]
        fn every_day_comes_back(days in DAYS) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year as u32, month, day), Some(days));
            let padded = format!("{year:04}-{month:02}-{day:02}");
            let bare = format!("{year:04}-{month}-{day}");
            let packed = format!("{year:04}{month:02}{day:02}");
            for text in [padded, bare, packed] {
                prop_assert_eq!(read(FieldKind::Date, &text), Ok(Cell::Date(days)));
            }
        }

        #[test]
        fn every_time_comes_back(days in DAYS, time in 0..DAY_US) {
            let (year, month, day) = civil_from_days(days);
            let (second, micros) = (time / 1_000_000, time % 1_000_000);
            let (hour, minute) = (second / 3600, second / 60 % 60);
            let text = format!(
                "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}.{micros:06}",
                second % 60
            );
            let value = i64::from(days) * DAY_US + time;
            prop_assert_eq!(read(FieldKind::Timestamp, &text), Ok(Cell::Timestamp(value)));
        }

        #[test]
        fn every_integer_comes_back(value: i64) {
            prop_assert_eq!(integer(value.to_string().as_bytes()), Some(value));
            prop_assert_eq!(integer(format!("{value}.00").as_bytes()), Some(value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for kind in [FieldKind::Integer, FieldKind::Float, FieldKind::Date, FieldKind::Timestamp] {
                let _ = parse(kind, &bytes, 0, &mut Leniency::default());
            }
        }
    }
}
