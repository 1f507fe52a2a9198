//! What rules did to a bucket, row by row, for those who may look: rows removed, and rows as they were
//! before a rule changed them. `rule_id` and `extract` come before the columns of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};

use super::bucket::{Changes, FIRST_RULE, Table, tags};
use super::rule::Rule;
use super::{Error, Request};
use crate::engine::parquet::{TableFile, properties};
use crate::engine::{FileEntry, Job};

/// Rows as they were before rules changed them, by table.
#[derive(Default)]
pub struct Images(BTreeMap<&'static str, Vec<RecordBatch>>);

/// The tables of a rule before it is applied.
pub struct Before(Vec<(&'static str, RecordBatch)>);

impl Before {
    /// Remembers the tables that a rule looks at. Columns are shared, not copied.
    pub fn of(rule: &Rule, tables: &BTreeMap<&'static str, Table>) -> Self {
        let named = rule.kind.tables().into_iter().filter_map(|name| tables.get(name));
        Self(named.map(|table| (table.spec.name, table.rows.clone())).collect())
    }
}

impl Images {
    /// Keeps the rows that rule `number` has changed.
    pub fn keep(
        &mut self,
        number: usize,
        before: Before,
        changed: &Changes,
        tables: &BTreeMap<&'static str, Table>,
        request: &Request,
    ) -> Result<(), Error> {
        for (name, rows) in before.0 {
            let Some(which) = changed.get(name).and_then(|rules| rules.get(&number)) else {
                continue;
            };
            let which: Vec<u32> = which.iter().map(|row| *row as u32).collect();
            let id = request.rules.list[number].id.as_str();
            let batch = labelled(name, &rows, &tables[name].site, &which, |_| id)?;
            self.0.entry(name).or_default().push(batch);
        }
        Ok(())
    }

    /// Writes `quality/curation/changed/<table>/part-<nnnn>.parquet`.
    pub fn write(&self, part: u32, job: &Job) -> Result<Vec<FileEntry>, Error> {
        let files = self.0.iter().map(|(name, rows)| write(part, "changed", name, rows, job));
        files.collect()
    }
}

/// The rows that rules remove, as they were read but for values that earlier rules changed; in
/// `quality/curation/removed/<table>/part-<nnnn>.parquet`.
pub fn write_removed(
    part: u32,
    table: &Table,
    request: &Request,
    job: &Job,
) -> Result<Option<FileEntry>, Error> {
    let name = table.spec.name;
    let gone: Vec<u32> =
        (0..table.fate.len()).filter(|&i| table.fate[i] >= FIRST_RULE).map(|i| i as u32).collect();
    if gone.is_empty() {
        return Ok(None);
    }
    let rule = |i: u32| {
        let number = usize::from(table.fate[i as usize] - FIRST_RULE);
        request.rules.list[number].id.as_str()
    };
    let batch = labelled(name, &table.rows, &table.site, &gone, rule)?;
    Ok(Some(write(part, "removed", name, &[batch], job)?))
}

/// Some rows, with the rule and the extract of each.
fn labelled<'a>(
    name: &str,
    rows: &RecordBatch,
    site: &[u16],
    which: &[u32],
    rule: impl Fn(u32) -> &'a str,
) -> Result<RecordBatch, Error> {
    let rules = which.iter().map(|i| rule(*i));
    let rules: ArrayRef = Arc::new(StringArray::from_iter_values(rules));
    let sites = which.iter().map(|i| i64::from(site[*i as usize]));
    let sites: ArrayRef = Arc::new(Int64Array::from_iter_values(sites));
    let rows = take_record_batch(rows, &UInt32Array::from(which.to_vec()));
    let rows = rows.map_err(Error::arrow(name))?;
    let lead = [("rule_id", DataType::Utf8), ("extract", DataType::Int64)]
        .map(|(name, kind)| Arc::new(Field::new(name, kind, false)));
    let fields: Vec<_> = lead.into_iter().chain(rows.schema().fields().iter().cloned()).collect();
    let columns: Vec<ArrayRef> =
        [rules, sites].into_iter().chain(rows.columns().iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::arrow(name))
}

fn write(
    part: u32,
    what: &str,
    name: &str,
    batches: &[RecordBatch],
    job: &Job,
) -> Result<FileEntry, Error> {
    let Some(first) = batches.first() else {
        return Err(Error::Internal { what: "a sandbox without rows".into() });
    };
    let path = format!("quality/curation/{what}/{name}/part-{part:04}.parquet");
    let properties = properties(&tags(name), &[]).build();
    let mut file = TableFile::create(&job.out, &path, first.schema(), tags(name), properties)?;
    batches.iter().try_for_each(|batch| file.write(batch))?;
    Ok(file.finish()?)
}
