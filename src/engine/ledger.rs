//! Rows in = rows out + rows excluded by reason: the books every stage keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of the rows of one table in one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLedger {
    /// Table name with its qualifiers, e.g. `omop/drug_exposure` or `genomics/wgs/variants`.
    pub table: String,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Rows not written, by reason code or rule id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub excluded: BTreeMap<String, u64>,
    /// Rows written that no row read is, by rule id: derived, split off, or moved here from another table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub made: BTreeMap<String, u64>,
    /// Rows written with at least one value changed, by rule id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<String, u64>,
    /// Facts worth telling that exclude nothing (e.g. `unknown_column`), by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub noted: BTreeMap<String, u64>,
}

impl TableLedger {
    /// An empty account for `table`.
    pub fn new(table: impl Into<String>) -> Self {
        Self { table: table.into(), ..Self::default() }
    }

    /// Books `rows` as excluded for `reason`; nothing when `rows` is 0.
    pub fn exclude(&mut self, reason: &str, rows: u64) {
        add(&mut self.excluded, reason, rows);
    }

    /// Books `rows` as made by `rule`; nothing when `rows` is 0.
    pub fn make(&mut self, rule: &str, rows: u64) {
        add(&mut self.made, rule, rows);
    }

    /// Books `rows` as changed by `rule`; nothing when `rows` is 0.
    pub fn change(&mut self, rule: &str, rows: u64) {
        add(&mut self.changed, rule, rows);
    }

    /// Notes `count` of `what`; nothing when `count` is 0.
    pub fn note(&mut self, what: &str, count: u64) {
        add(&mut self.noted, what, count);
    }

    /// Whether rows in + rows made = rows out + rows excluded.
    pub fn balances(&self) -> bool {
        self.rows_in + self.made.values().sum::<u64>()
            == self.rows_out + self.excluded.values().sum::<u64>()
    }
}

fn add(map: &mut BTreeMap<String, u64>, key: &str, n: u64) {
    if n > 0 {
        *map.entry(key.to_owned()).or_default() += n;
    }
}

/// The accounts of one stage, one entry a table, in the order they were opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(pub Vec<TableLedger>);

impl Ledger {
    /// The tables whose books do not balance.
    pub fn unbalanced(&self) -> Vec<&TableLedger> {
        self.0.iter().filter(|t| !t.balances()).collect()
    }
}
