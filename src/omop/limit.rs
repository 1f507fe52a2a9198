//! How much of a table may be quarantined before the ingest fails.

use std::path::Path;

use crate::config::RejectLimit;
use crate::engine::TableLedger;

use super::error::Error;

/// Checks the books of the tables against `limit`.
///
/// # Errors
/// [`Error::TooManyRejected`] for the first table over the limit.
pub fn check(limit: RejectLimit, books: &[TableLedger], rejects: &Path) -> Result<(), Error> {
    let over: Vec<&TableLedger> = books.iter().filter(|b| is_over(limit, b)).collect();
    let Some(first) = over.first() else { return Ok(()) };
    let mut reasons: Vec<(&str, u64)> =
        first.excluded.iter().map(|(reason, &count)| (reason.as_str(), count)).collect();
    reasons.sort_by_key(|&(reason, count)| (std::cmp::Reverse(count), reason));
    let reasons: Vec<String> =
        reasons.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    Err(Error::TooManyRejected {
        table: first.table.trim_start_matches("omop/").to_owned(),
        rejected: rejected(first),
        rows: first.rows_in,
        limit: words(limit),
        reasons: reasons.join(", "),
        others: over.len() - 1,
        rejects: rejects.to_path_buf(),
    })
}

fn rejected(books: &TableLedger) -> u64 {
    books.excluded.values().sum()
}

fn is_over(limit: RejectLimit, books: &TableLedger) -> bool {
    let rejected = rejected(books);
    let rows = limit.rows.is_some_and(|most| rejected > most);
    // Row counts are far below 2^53, so both sides are as exact as the fraction is written.
    let fraction = limit.fraction.is_some_and(|most| rejected as f64 > most * books.rows_in as f64);
    rows || fraction
}

fn words(limit: RejectLimit) -> String {
    let rows = limit.rows.map(|most| format!("{most} rows"));
    let fraction = limit.fraction.map(|most| format!("fraction {most}"));
    rows.into_iter().chain(fraction).collect::<Vec<_>>().join(" or ")
}
