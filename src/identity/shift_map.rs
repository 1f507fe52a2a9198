//! The shift map of a feed whose dates arrive already moved.

use std::collections::BTreeMap;
use std::path::Path;

use super::roster::person_id;
use super::sheet::{self, Columns};
use super::{Error, PersonId};

/// Reads `person_id, shift`: by raw id, the days (1 to 364) that the feed moved the person's dates back.
///
/// # Errors
/// Unreadable file, wrong columns, a value out of range, a person named twice.
pub fn shift_map(path: &Path) -> Result<BTreeMap<i64, i32>, Error> {
    let columns = Columns { required: &["person_id", "shift"], optional: &[], others: false };
    let mut seen: BTreeMap<PersonId, (u64, i32)> = BTreeMap::new();
    sheet::read(path, &columns, |row| {
        let shift = row.get("shift").parse().ok().filter(|days| (1..=364).contains(days));
        let shift = shift.ok_or_else(|| row.bad("shift", "whole days from 1 to 364"))?;
        match seen.insert(person_id(&row)?, (row.line, shift)) {
            Some((first, _)) => Err(row.duplicate(first, "person")),
            None => Ok(()),
        }
    })?;
    Ok(seen.into_iter().map(|(person, (_, shift))| (person.0, shift)).collect())
}
