//! Scalar functions of rules that go by day of birth, by the edge of a stream or by zip code. Like those
//! of [`super::functions`] they are known by their names, which hold no value of a person.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, StringArray};
use arrow::array::{TimestampMicrosecondArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue};
use datafusion::prelude::{Expr, ident, lit};

use super::functions::{Compute, DAY_MICROS, call, time_type};
use super::id_map;
use crate::config::CivilDate;
use crate::config::policy::{Unlisted, Zip3};

const HOUR_MICROS: i64 = 3_600_000_000;

/// Where a row's day, if it has one, meets a condition on the row's number and day.
fn where_day(array: &ArrayRef, mut met: impl FnMut(usize, i64) -> bool) -> BooleanBuffer {
    let len = array.len();
    if array.null_count() == len {
        return BooleanBuffer::new_unset(len);
    }
    let valid = |i: usize| array.is_valid(i);
    if *array.data_type() == DataType::Date32 {
        let days = array.as_primitive::<Date32Type>();
        return BooleanBuffer::collect_bool(len, |i| valid(i) && met(i, days.value(i).into()));
    }
    let times = array.as_primitive::<TimestampMicrosecondType>();
    BooleanBuffer::collect_bool(len, |i| valid(i) && met(i, times.value(i).div_euclid(DAY_MICROS)))
}

/// Whether a time lies in one of some hours of the day; false for null.
pub(super) fn in_hours(name: &str, hours: &[u8], when: Expr) -> Expr {
    struct InHours([bool; 24]);
    impl Compute for InHours {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let times = args[0].as_primitive::<TimestampMicrosecondType>();
            let met = |i: usize| {
                let hour = times.value(i).rem_euclid(DAY_MICROS) / HOUR_MICROS;
                times.is_valid(i) && usize::try_from(hour).is_ok_and(|hour| self.0[hour])
            };
            let met = BooleanBuffer::collect_bool(times.len(), met);
            Ok(Arc::new(BooleanArray::new(met, None)))
        }
    }
    let within = std::array::from_fn(|hour| hours.iter().any(|h| usize::from(*h) == hour));
    call(
        format!("in_hours_{name}"),
        vec![time_type()],
        DataType::Boolean,
        InHours(within),
        vec![when],
    )
}

/// 1 January of the birth year plus `years`; a birth year that is not known allows no day.
fn first_day(birth_year: Option<i32>, years: u16) -> i64 {
    let year = birth_year.and_then(|y| i16::try_from(y.checked_add(i32::from(years))?).ok());
    let day = year.and_then(|y| jiff::civil::Date::new(y, 1, 1).ok());
    day.map_or(i64::MAX, |d| i64::from(CivilDate(d).epoch_days()))
}

fn kind_word(kind: &DataType) -> &'static str {
    if *kind == DataType::Date32 { "date" } else { "time" }
}

/// Whether a day is before the first that a rule allows the person; false for null.
pub(super) fn near_birth(years: u16, kind: &DataType, when: Expr, birth_year: Expr) -> Expr {
    struct NearBirth(u16);
    impl Compute for NearBirth {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let born = args[1].as_primitive::<Int32Type>();
            // Rows of a person follow each other.
            let (mut year, mut first) = (None, first_day(None, self.0));
            let early = |i: usize, day: i64| {
                let this = born.is_valid(i).then(|| born.value(i));
                if this != year {
                    (year, first) = (this, first_day(this, self.0));
                }
                day < first
            };
            Ok(Arc::new(BooleanArray::new(where_day(&args[0], early), None)))
        }
    }
    let name = format!("near_birth_{years}_{}", kind_word(kind));
    let takes = vec![kind.clone(), DataType::Int32];
    call(name, takes, DataType::Boolean, NearBirth(years), vec![when, birth_year])
}

/// A day raised to the first that a rule allows the person.
pub(super) fn clipped(years: u16, kind: &DataType, when: Expr, birth_year: Expr) -> Expr {
    struct Clipped(u16);
    impl Compute for Clipped {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let born = args[1].as_primitive::<Int32Type>();
            let floor = |i: usize| {
                let first = first_day(born.is_valid(i).then(|| born.value(i)), self.0);
                (first != i64::MAX).then_some(first)
            };
            if *args[0].data_type() == DataType::Date32 {
                let at = args[0].as_primitive::<Date32Type>();
                let raise =
                    |(i, day): (usize, Option<i32>)| Some(day?.max(i32::try_from(floor(i)?).ok()?));
                return Ok(Arc::new(at.iter().enumerate().map(raise).collect::<Date32Array>()));
            }
            let at = args[0].as_primitive::<TimestampMicrosecondType>();
            let raise = |(i, time): (usize, Option<i64>)| Some(time?.max(floor(i)? * DAY_MICROS));
            let out: TimestampMicrosecondArray = at.iter().enumerate().map(raise).collect();
            Ok(Arc::new(out))
        }
    }
    let name = format!("clip_birth_{years}_{}", kind_word(kind));
    call(
        name,
        vec![kind.clone(), DataType::Int32],
        if *kind == DataType::Date32 { DataType::Date32 } else { time_type() },
        Clipped(years),
        vec![when, birth_year],
    )
}

/// Whether a shifted day lies where the streams of some people have ended, or not begun: see [`Ends`].
/// `name` says rule and column, not the days: they may be one person's.
pub(super) fn at_edge(name: &str, kind: &DataType, when: Expr, ends: Ends) -> Expr {
    struct AtEdge(Ends);
    impl Compute for AtEdge {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let shifts = args[1].as_primitive::<Int32Type>();
            let persons = args[2].as_primitive::<Int64Type>();
            // Rows of a person follow each other.
            let (mut person, (mut first, mut last)) = (None, self.0.of(None));
            let out = where_day(&args[0], |i, day| {
                let this = persons.is_valid(i).then(|| persons.value(i));
                if this != person {
                    (person, (first, last)) = (this, self.0.of(this));
                }
                shifts.is_null(i) || !(first..=last).contains(&(day - i64::from(shifts.value(i))))
            });
            Ok(Arc::new(BooleanArray::new(out, None)))
        }
    }
    let name = format!("at_edge_{name}_{}", kind_word(kind));
    let takes = vec![kind.clone(), DataType::Int32, DataType::Int64];
    let args = vec![when, ident(id_map::SHIFT), ident("person_id")];
    call(name, takes, DataType::Boolean, AtEdge(ends), args)
}

/// The days on which what goes on is said to end, or to have begun, in days since 1970-01-01, sorted.
#[derive(Clone, Default)]
pub(super) struct OpenDays {
    pub starts: Arc<[i32]>,
    pub ends: Arc<[i32]>,
}

impl OpenDays {
    fn has(&self, start: bool, day: i64) -> bool {
        let days = if start { &self.starts } else { &self.ends };
        i32::try_from(day).is_ok_and(|day| days.binary_search(&day).is_ok())
    }
}

/// A column of days moved where they are open: shifted, such a day is the day less 364, the largest shift, for
/// everybody, or the start of the row if that is later. A time is null where its day or its date is open, and so is
/// everything of people without a shift. `beside` is the row's start, for an end, and the date of a time.
pub(super) fn closed(
    (name, start): (&str, bool),
    kind: &DataType,
    when: Expr,
    beside: Option<Expr>,
    shift: Expr,
    open: OpenDays,
) -> Expr {
    struct Closed {
        open: OpenDays,
        start: bool,
    }
    impl Closed {
        fn day(&self, day: i32, shift: i32, begins: Option<i32>) -> i32 {
            if !self.open.has(self.start, day.into()) {
                return day;
            }
            let moved = day - (364 - shift);
            match begins.filter(|_| !self.start) {
                // An open start has moved as far itself.
                Some(begins) if !self.open.has(true, begins.into()) => moved.max(begins),
                _ => moved,
            }
        }
    }
    impl Compute for Closed {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let shifts = args[1].as_primitive::<Int32Type>().iter();
            let beside = args[2].as_primitive::<Date32Type>().iter();
            if *args[0].data_type() != DataType::Date32 {
                let at = args[0].as_primitive::<TimestampMicrosecondType>().iter();
                let kept = at.zip(shifts).zip(beside).map(|((time, shift), date)| {
                    let days = [Some(time?.div_euclid(DAY_MICROS)), date.map(i64::from)];
                    let open = days.into_iter().flatten().any(|d| self.open.has(self.start, d));
                    time.filter(|_| !open).and(shift.and(time))
                });
                return Ok(Arc::new(kept.collect::<TimestampMicrosecondArray>()));
            }
            let at = args[0].as_primitive::<Date32Type>().iter();
            let moved = at.zip(shifts).zip(beside);
            let moved = moved.map(|((day, shift), begins)| Some(self.day(day?, shift?, begins)));
            Ok(Arc::new(moved.collect::<Date32Array>()))
        }
    }
    let name = format!("closed_{name}_{}", kind_word(kind));
    let kinds = vec![kind.clone(), DataType::Int32, DataType::Date32];
    let out = if *kind == DataType::Date32 { DataType::Date32 } else { time_type() };
    let beside = beside.unwrap_or_else(|| lit(ScalarValue::Date32(None)));
    call(name, kinds, out, Closed { open, start }, vec![when, shift, beside])
}

/// The last and the first day of streams, days since 1970-01-01. Every shift is 1 to 364 days: a stream that runs
/// from `first` to `last`, cut to the shifted days from `first - 1` to `last - 364`, is whole for everybody and its
/// ends are the same.
#[derive(Clone)]
pub(super) struct Ends {
    pub last: i32,
    pub first: i32,
    /// By person, the first day of a stream that begins when many others do: it is cut as if all did.
    pub starts: Arc<HashMap<i64, i32>>,
    /// The same of the last day of a stream that ends when many others do.
    pub ends: Arc<HashMap<i64, i32>>,
}

impl Ends {
    /// The first and the last shifted day of a person's stream that stay. A stream of less than a year has none.
    fn of(&self, person: Option<i64>) -> (i64, i64) {
        let own = |days: &HashMap<i64, i32>| person.and_then(|person| days.get(&person).copied());
        let first = own(&self.starts).map_or(self.first, |own| own.max(self.first));
        let last = own(&self.ends).map_or(self.last, |own| own.min(self.last));
        (i64::from(first) - 1, i64::from(last) - 364)
    }
}

/// A zip code cut to its area: `60512-1234` becomes `605**`. Text that begins with no five digits is
/// null: it may be an address.
pub(super) fn zip3(rule: &str, zip: &Zip3, text: Expr) -> Expr {
    struct Cut {
        areas: Option<BTreeMap<String, Option<String>>>,
        unlisted: Unlisted,
    }
    impl Cut {
        fn cut(&self, text: &str) -> Option<String> {
            let digits = text.get(..5).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
            let zip = digits.get(..3)?;
            let Some(areas) = &self.areas else { return Some(format!("{zip}**")) };
            let area = match (areas.get(zip), self.unlisted) {
                (Some(area), _) => area.as_deref(),
                (None, Unlisted::Keep) => Some(zip),
                (None, Unlisted::Hide) => None,
            };
            Some(format!("{}**", area.unwrap_or("000")))
        }
    }
    impl Compute for Cut {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            if *args[0].data_type() == DataType::Null {
                return Ok(new_null_array(&DataType::Utf8, args[0].len()));
            }
            let texts = args[0].as_string::<i32>().iter();
            Ok(Arc::new(texts.map(|t| t.and_then(|t| self.cut(t))).collect::<StringArray>()))
        }
    }
    let areas = zip.file.is_some().then(|| {
        let area = |a: &crate::config::policy::parts::Area| {
            (a.zip3.clone(), (a.population >= zip.min_population).then(|| a.to.clone()))
        };
        zip.areas.iter().map(area).collect()
    });
    call(
        format!("zip3_{rule}"),
        vec![DataType::Utf8],
        DataType::Utf8,
        Cut { areas, unlisted: zip.unlisted },
        vec![text],
    )
}
