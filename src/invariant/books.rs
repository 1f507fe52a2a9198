//! Books: rows in, rows out, rows in the footers, rows of one tier beside another's.

use std::collections::BTreeSet;

use super::scan::{Count, Tally, open};
use super::terms::Tier;
use super::{Error, Request, path_of};
use crate::config::policy::Action;

/// Rows of a table by the footers of its files.
fn rows(request: &Request<'_>, tier: &Tier<'_>, table: &str) -> Result<u64, Error> {
    let mut rows = 0;
    for file in tier.tables.get(table).into_iter().flatten() {
        let builder = open(request, &path_of(request, file), &file.path)?;
        rows += u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    }
    Ok(rows)
}

pub(super) fn look(request: &Request<'_>, tier: &Tier<'_>, tally: &mut Tally) -> Result<(), Error> {
    let mut booked = BTreeSet::new();
    for books in &tier.terms.books.0 {
        let excluded: u64 = books.excluded.values().sum();
        let written = rows(request, tier, &books.table)?;
        let right = books.rows_in == books.rows_out + excluded && books.rows_out == written;
        let count = Count { looked_at: 1 + written, violations: u64::from(!right) };
        tally.count("books_balance", tier.name, &books.table, count);
        booked.insert(books.table.as_str());
    }
    // A table that the books do not know.
    for table in tier.tables.keys().filter(|table| !booked.contains(table.as_str())) {
        let count = Count { looked_at: 1, violations: 1 };
        tally.count("books_balance", tier.name, table, count);
    }
    Ok(())
}

/// A row that the narrower tier has was removed by no rule that both share, so the wider one has it too or
/// has booked it under a rule of its own.
pub(super) fn rows_not_more(
    request: &Request<'_>,
    wide: &Tier<'_>,
    narrow: &Tier<'_>,
    tally: &mut Tally,
) -> Result<(), Error> {
    let shared: BTreeSet<&str> = wide
        .rules()
        .iter()
        .filter(|rule| narrow.rules().iter().any(|other| same(rule, other)))
        .map(|rule| rule.id.as_str())
        .collect();
    let ruled: BTreeSet<&str> = wide.rules().iter().map(|rule| rule.id.as_str()).collect();
    for books in &wide.terms.books.0 {
        if !narrow.tables.contains_key(&books.table) {
            continue;
        }
        let own = books
            .excluded
            .iter()
            .filter(|(why, _)| ruled.contains(why.as_str()) && !shared.contains(why.as_str()));
        let may: u64 = rows(request, wide, &books.table)? + own.map(|(_, n)| n).sum::<u64>();
        let has = rows(request, narrow, &books.table)?;
        let count = Count { looked_at: has, violations: has.saturating_sub(may) };
        tally.count("rows_not_more", narrow.name, &books.table, count);
    }
    Ok(())
}

/// Whether two rules remove the same rows. Rules that look at what is near birth or at answers may see other
/// things in other tiers, and rules of one kind count under the first that is met.
fn same(one: &crate::config::policy::Rule, other: &crate::config::policy::Rule) -> bool {
    let by_value = matches!(
        one.action,
        Action::SuppressConcepts(_)
            | Action::SuppressTables { .. }
            | Action::RemovePeopleByAge { .. }
            | Action::DropRecentConcepts(_)
            | Action::DropNearBirth(_)
    );
    by_value && one.action == other.action
}
