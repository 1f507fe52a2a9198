//! The hidden columns of a plan: booked, and the rows that go taken out.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use crate::engine::TableLedger;

/// What has become of rows so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Rows that stay.
    kept: u64,
    /// Rows removed, by reason.
    excluded: BTreeMap<String, u64>,
    /// Rows that stay changed, by position of the rule among those of the plan.
    changed: Vec<u64>,
    /// Rows of people who are not in the id map.
    pub strangers: u64,
}

impl Tally {
    /// For a plan with so many rules that change values.
    pub fn new(rules: usize) -> Self {
        Self { changed: vec![0; rules], ..Self::default() }
    }

    /// Books rows whose first `released` columns are followed by the hidden ones of a plan; returns the
    /// rows that stay, hidden columns still with them.
    pub fn keep(&mut self, rows: &RecordBatch, released: usize) -> Result<RecordBatch, ArrowError> {
        let why = rows.column(released + 1).as_string::<i32>();
        let known = rows.column(released + 2);
        self.strangers += known.null_count() as u64;
        for reason in why.iter().flatten() {
            match self.excluded.get_mut(reason) {
                Some(rows) => *rows += 1,
                None => drop(self.excluded.insert(reason.to_owned(), 1)),
            }
        }
        let stays: BooleanArray =
            (0..rows.num_rows()).map(|i| Some(why.is_null(i) && known.is_valid(i))).collect();
        let kept = filter_record_batch(rows, &stays)?;
        self.kept += kept.num_rows() as u64;
        for (i, rows) in self.changed.iter_mut().enumerate() {
            *rows += kept.column(released + 3 + i).as_boolean().true_count() as u64;
        }
        Ok(kept)
    }

    /// Enters it in the books of the table; `rules` are those of the plan that change values.
    pub fn book(&self, ledger: &mut TableLedger, rules: &[String]) {
        ledger.rows_out += self.kept;
        self.excluded.iter().for_each(|(reason, rows)| ledger.exclude(reason, *rows));
        for (rule, rows) in rules.iter().zip(&self.changed) {
            ledger.change(rule, *rows);
        }
    }
}
