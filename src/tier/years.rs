//! Dates reduced to years, for the Safe Harbor of HIPAA (45 CFR 164.514(b)(2)(i)(C)): "all elements of
//! dates (except year)", and of ages over 89 the year too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::prelude::Expr;
use jiff::civil::{Date, date};

use super::functions::{Compute, DAY_MICROS, call};
use crate::config::CivilDate;

const EPOCH: Date = date(1970, 1, 1);

/// The first birth year that does not tell an age over `max_age` on `reference`. Whoever was born in an
/// earlier year is older than that on the day; people born in this one and in all before it are one
/// category, "born in this year or before".
pub(super) fn first_birth_year(max_age: u16, reference: Date) -> i32 {
    i32::from(reference.year()) - i32::from(max_age) - 1
}

/// 1 January of a date's year, times at 00:00. Null for days before the year `first` of people born
/// before it, or on a day that is not known: their years would tell an age in the category of the oldest.
pub(super) fn to_year(kind: &DataType, when: Expr, birth_year: Expr, first: i32) -> Expr {
    struct ToYear(i32);
    impl ToYear {
        fn day(&self, day: i64, born: Option<i32>) -> Option<i32> {
            let span = jiff::Span::new().try_days(day).ok()?;
            let year = EPOCH.checked_add(span).ok()?.year();
            let told = i32::from(year) < self.0 && born.is_none_or(|born| born < self.0);
            let start = Date::new(year, 1, 1).ok()?;
            (!told).then(|| CivilDate(start).epoch_days())
        }
    }
    impl Compute for ToYear {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let years = args[1].as_primitive::<Int32Type>();
            let born = |i: usize| years.is_valid(i).then(|| years.value(i));
            if *args[0].data_type() == DataType::Date32 {
                let days = args[0].as_primitive::<Date32Type>().iter().enumerate();
                let out = days.map(|(i, day)| self.day(day?.into(), born(i)));
                return Ok(Arc::new(out.collect::<Date32Array>()));
            }
            let times = args[0].as_primitive::<TimestampMicrosecondType>().iter().enumerate();
            let out = times.map(|(i, time)| {
                let day = self.day(time?.div_euclid(DAY_MICROS), born(i))?;
                Some(i64::from(day) * DAY_MICROS)
            });
            Ok(Arc::new(out.collect::<TimestampMicrosecondArray>()))
        }
    }
    let word = if *kind == DataType::Date32 { "date" } else { "time" };
    let takes = vec![kind.clone(), DataType::Int32];
    let name = format!("to_year_{first}_{word}");
    call(name, takes, kind.clone(), ToYear(first), vec![when, birth_year])
}
