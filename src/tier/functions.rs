//! The scalar functions of tier plans. Their names, `Debug` and equality show tier, table, column or
//! rule only: a plan that is printed or logged shows no key and no value of a person.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array};
use arrow::array::{PrimitiveArray, StringArray, TimestampMicrosecondArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit};
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::birth;
use super::error::RowError;
use crate::config::policy::BirthDate;
use crate::identity::{RowKey, TextKey};

/// First id of the second site: ids of site n are raised by n times this (as All of Us does for rows
/// of its own making, `1e15`).
pub(super) const SITE_STEP: i64 = 1_000_000_000_000_000;

pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// What a function computes; the only part that differs between them.
pub(super) trait Compute: Send + Sync {
    fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef>;
}

/// A scalar function known by its name alone.
struct Function<C> {
    name: String,
    signature: Signature,
    returns: DataType,
    compute: C,
}

impl<C> fmt::Debug for Function<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
// Within a plan the name says all: it carries tier, table, column or rule.
impl<C> PartialEq for Function<C> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl<C> Eq for Function<C> {}
impl<C> Hash for Function<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<C: Compute + 'static> ScalarUDFImpl for Function<C> {
    fn name(&self) -> &str {
        &self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        // Constant arguments come as arrays of one row; the engine checks the length of what goes back.
        let arrays = if args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
            args.args.iter().map(|a| a.to_array(args.number_rows)).collect::<Result<_>>()?
        } else {
            arrays
        };
        self.compute.compute(&arrays).map(ColumnarValue::Array)
    }
}

pub(super) fn call(
    name: String,
    takes: Vec<DataType>,
    returns: DataType,
    compute: impl Compute + 'static,
    args: Vec<Expr>,
) -> Expr {
    let signature = Signature::exact(takes, Volatility::Immutable);
    ScalarUDF::new_from_impl(Function { name, signature, returns, compute }).call(args)
}

/// The id raised by the site's number times 10^15; an id outside 0..10^15 fails.
pub(super) fn site_id(table: &str, column: &str, site: usize, id: Expr) -> Expr {
    struct SiteId {
        table: String,
        column: String,
        site: usize,
        offset: Option<i64>,
    }
    impl Compute for SiteId {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let raise = |id: i64| match self.offset {
                Some(offset) if (0..SITE_STEP).contains(&id) => id.checked_add(offset),
                _ => None,
            };
            let ids = args[0].as_primitive::<Int64Type>();
            let out = ids.iter().map(|id| id.map(|id| raise(id).ok_or(())).transpose());
            let out: std::result::Result<Int64Array, ()> = out.collect();
            let (table, column) = (self.table.clone(), self.column.clone());
            let error = RowError::RowIdTooLarge { table, column, site: self.site + 1 };
            Ok(Arc::new(out.map_err(|()| DataFusionError::External(Box::new(error)))?))
        }
    }
    let offset = i64::try_from(site).ok().and_then(|s| s.checked_mul(SITE_STEP));
    let compute = SiteId { table: table.into(), column: column.into(), site, offset };
    let name = format!("site_{site}_{table}_{column}");
    call(name, vec![DataType::Int64], DataType::Int64, compute, vec![id])
}

/// The tier's id for a row id of `table`.
pub(super) fn re_key(tier: &str, table: &str, key: &RowKey, id: Expr) -> Expr {
    struct ReKey(RowKey);
    impl Compute for ReKey {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let ids = args[0].as_primitive::<Int64Type>();
            if ids.null_count() == ids.len() {
                return Ok(args[0].clone());
            }
            let mut out = ids.values().to_vec();
            self.0.permute_all(&mut out);
            Ok(Arc::new(Int64Array::new(out.into(), ids.nulls().cloned())))
        }
    }
    let name = format!("re_key_{tier}_{table}");
    call(name, vec![DataType::Int64], DataType::Int64, ReKey(key.clone()), vec![id])
}

/// The tier's id for an id of `table` that is text.
pub(super) fn re_key_text(tier: &str, table: &str, key: &TextKey, id: Expr) -> Expr {
    struct ReKey(TextKey);
    impl Compute for ReKey {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let ids = args[0].as_string::<i32>();
            let out: StringArray = ids.iter().map(|id| id.map(|id| self.0.pseudonym(id))).collect();
            Ok(Arc::new(out))
        }
    }
    let name = format!("re_key_text_{tier}_{table}");
    call(name, vec![DataType::Utf8], DataType::Utf8, ReKey(key.clone()), vec![id])
}

/// First day that a record can be of, in days since 1970-01-01: 2 January 1900. Earlier days, the first
/// of 1900 with them, are what systems write for "not known".
pub(super) const FIRST_DAY: i32 = -25_566;

/// A day that says something of a person, and not of the system that wrote it. 9999-12-31, 1900-01-01 or
/// the first day of the epoch are the same for everybody: moved back they would spell out the shift.
fn is_of_a_person(day: i64, last_day: i32) -> bool {
    (i64::from(FIRST_DAY)..=i64::from(last_day)).contains(&day) && day != 0
}

/// A date or time moved back by `days`; null when either is, and for days before 1900, the epoch and
/// days after `last_day`, which nobody's record can be of. Civil time throughout: the time of day stays,
/// and no zone is passed through.
pub(super) fn shift_back(kind: &DataType, when: Expr, days: Expr, last_day: i32) -> Expr {
    struct ShiftBack {
        last_day: i32,
    }
    impl Compute for ShiftBack {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let days = args[1].as_primitive::<Int32Type>();
            match args[0].data_type() {
                DataType::Date32 => {
                    let dates = args[0].as_primitive::<Date32Type>().iter();
                    let kept =
                        dates.map(|d| d.filter(|d| is_of_a_person(i64::from(*d), self.last_day)));
                    let out: Date32Array =
                        kept.zip(days).map(|(date, days)| Some(date? - days?)).collect();
                    Ok(Arc::new(out))
                }
                DataType::Timestamp(TimeUnit::Microsecond, None) => {
                    let times = args[0].as_primitive::<TimestampMicrosecondType>().iter();
                    let kept = times.map(|t| {
                        t.filter(|t| is_of_a_person(t.div_euclid(DAY_MICROS), self.last_day))
                    });
                    let out: TimestampMicrosecondArray = kept
                        .zip(days)
                        .map(|(time, days)| Some(time? - i64::from(days?) * DAY_MICROS))
                        .collect();
                    Ok(Arc::new(out))
                }
                other => internal_err!("shift_back does not take {other}"),
            }
        }
    }
    let name = match kind {
        DataType::Date32 => "shift_back_date",
        _ => "shift_back_time",
    };
    let takes = vec![kind.clone(), DataType::Int32];
    call(name.into(), takes, kind.clone(), ShiftBack { last_day }, vec![when, days])
}

fn too_early((): ()) -> DataFusionError {
    DataFusionError::External(Box::new(RowError::DateOutOfRange))
}

/// Whether a column holds one of a rule's concepts; `concepts` sorted. False for null.
pub(super) fn in_concepts(rule: &str, concepts: &Arc<[i64]>, column: Expr) -> Expr {
    struct InConcepts(Arc<[i64]>);
    impl Compute for InConcepts {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let ids = args[0].as_primitive::<Int64Type>();
            let (Some(&first), Some(&last), true) =
                (self.0.first(), self.0.last(), ids.null_count() < ids.len())
            else {
                return Ok(Arc::new(BooleanArray::from(vec![false; ids.len()])));
            };
            // Many columns hold one concept for long.
            let mut run = (0, self.0.binary_search(&0).is_ok());
            let held = |i: usize| {
                let id = ids.value(i);
                if id != run.0 {
                    let within = (first..=last).contains(&id);
                    run = (id, within && self.0.binary_search(&id).is_ok());
                }
                run.1 && ids.is_valid(i)
            };
            Ok(Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(ids.len(), held), None)))
        }
    }
    let compute = InConcepts(concepts.clone());
    let name = format!("in_concepts_{rule}");
    call(name, vec![DataType::Int64], DataType::Boolean, compute, vec![column])
}

/// The birth date as the four columns of `person` state it.
pub(super) struct BirthColumns {
    /// `year_of_birth`, `month_of_birth`, `day_of_birth`, int64.
    pub parts: [Expr; 3],
    /// `birth_datetime`, timestamp.
    pub time: Expr,
}

/// Which column of a shifted birth date is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum BirthPart {
    /// `year_of_birth`.
    Year,
    /// `month_of_birth`.
    Month,
    /// `day_of_birth`.
    Day,
}

/// A part of the birth date moved back by `days`. The date is that of year, month and day, completed
/// from `birth_datetime` where it is of the same year, and else 15 June; a part stays null where it was.
pub(super) fn shifted_birth(part: BirthPart, birth: &BirthColumns, days: Expr) -> Expr {
    struct ShiftedBirth(BirthPart);
    impl Compute for ShiftedBirth {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let [y, m, d] = [0, 1, 2].map(|i| args[i].as_primitive::<Int64Type>());
            let times = args[3].as_primitive::<TimestampMicrosecondType>();
            let days = args[4].as_primitive::<Int32Type>();
            let at = |a: &Int64Array, i: usize| a.is_valid(i).then(|| a.value(i));
            let out = (0..y.len()).map(|i| {
                let stated = match self.0 {
                    BirthPart::Year => at(y, i),
                    BirthPart::Month => at(m, i),
                    BirthPart::Day => at(d, i),
                };
                let parts = [at(y, i), at(m, i), at(d, i)];
                let time = times.is_valid(i).then(|| times.value(i));
                let (true, Some(_)) = (days.is_valid(i), stated) else { return Ok(None) };
                let date =
                    birth::likely(parts, time).and_then(|date| birth::back(date, days.value(i)));
                date.map(|date| {
                    Some(match self.0 {
                        BirthPart::Year => i64::from(date.year()),
                        BirthPart::Month => i64::from(date.month()),
                        BirthPart::Day => i64::from(date.day()),
                    })
                })
                .ok_or(())
            });
            let out: std::result::Result<Int64Array, ()> = out.collect();
            Ok(Arc::new(out.map_err(too_early)?))
        }
    }
    let takes =
        vec![DataType::Int64, DataType::Int64, DataType::Int64, time_type(), DataType::Int32];
    let [y, m, d] = birth.parts.clone();
    let name = match part {
        BirthPart::Year => "shifted_birth_year",
        BirthPart::Month => "shifted_birth_month",
        BirthPart::Day => "shifted_birth_day",
    };
    let args = vec![y, m, d, birth.time.clone(), days];
    call(name.into(), takes, DataType::Int64, ShiftedBirth(part), args)
}

/// `birth_datetime` as a reduction leaves it: 15 June of the year at 00:00, or null.
pub(super) fn reduced_birth_time(to: BirthDate, year: Expr) -> Expr {
    struct Reduced(BirthDate);
    impl Compute for Reduced {
        fn compute(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
            let years = args[0].as_primitive::<Int64Type>();
            let time = |year| match self.0 {
                BirthDate::June15 => birth::june_15(year).map(birth::midnight_micros),
                BirthDate::Year => None,
            };
            let out: PrimitiveArray<TimestampMicrosecondType> =
                years.iter().map(|year| year.and_then(time)).collect();
            Ok(Arc::new(out))
        }
    }
    let name = match to {
        BirthDate::June15 => "birth_june_15",
        BirthDate::Year => "birth_year_only",
    };
    call(name.into(), vec![DataType::Int64], time_type(), Reduced(to), vec![year])
}

pub(super) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_everybody_has_are_nobodys() {
        let day = |y, m, d| {
            let date = jiff::civil::date(y, m, d);
            i64::from(crate::config::CivilDate(date).epoch_days())
        };
        let last = i32::try_from(day(2026, 1, 1)).unwrap();
        for (y, m, d) in [(1900, 1, 2), (1969, 12, 31), (1970, 1, 2), (2026, 1, 1)] {
            assert!(is_of_a_person(day(y, m, d), last), "{y}-{m}-{d}");
        }
        for (y, m, d) in
            [(1900, 1, 1), (1899, 12, 31), (1, 1, 1), (1970, 1, 1), (2026, 1, 2), (9999, 12, 31)]
        {
            assert!(!is_of_a_person(day(y, m, d), last), "{y}-{m}-{d}");
        }
    }
}
