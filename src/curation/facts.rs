//! What rules need to know of each person: birth and death.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};

use super::bucket::{KEPT, Table};
use super::cells::Cells;
use crate::omop::birth_day;

/// Microseconds a day.
pub const DAY: i64 = 86_400_000_000;

/// A person's birth and death, days since 1970-01-01.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Birth, as [`birth_day`] has it.
    pub birth: Option<i32>,
    /// Year of birth.
    pub birth_year: Option<i64>,
    /// Death: the earliest date of the rows of `death` that are left.
    pub death: Option<i32>,
}

/// Facts of the people of a bucket, from what is left of `person` and `death`.
pub fn of(tables: &BTreeMap<&'static str, Table>) -> BTreeMap<i64, Facts> {
    let mut facts: BTreeMap<i64, Facts> = BTreeMap::new();
    if let Some(table) = tables.get("person") {
        let int = |name: &str| Cells::of(table, name);
        let (ids, years) = (int("person_id"), int("year_of_birth"));
        let (months, days) = (int("month_of_birth"), int("day_of_birth"));
        let times = table.rows.column_by_name("birth_datetime");
        let times = times.map(|c| c.as_primitive::<TimestampMicrosecondType>());
        for i in (0..table.rows.num_rows()).filter(|&i| table.fate[i] == KEPT) {
            let Some(person) = ids.int(i) else { continue };
            let year = years.int(i);
            let time = times.filter(|t| t.is_valid(i)).map(|t| t.value(i));
            let birth = birth_day(time, year, months.int(i), days.int(i));
            let fact = facts.entry(person).or_default();
            (fact.birth, fact.birth_year) = (birth, year);
        }
    }
    if let Some(table) = tables.get("death") {
        let person = table.rows.column_by_name("person_id").map(|c| c.as_primitive::<Int64Type>());
        let date = table.rows.column_by_name("death_date").map(|c| c.as_primitive::<Date32Type>());
        if let (Some(person), Some(date)) = (person, date) {
            for i in
                (0..table.rows.num_rows()).filter(|&i| table.fate[i] == KEPT && date.is_valid(i))
            {
                let fact = facts.entry(person.value(i)).or_default();
                let day = date.value(i);
                fact.death = Some(fact.death.map_or(day, |d| d.min(day)));
            }
        }
    }
    facts
}
