//! How many rows each rule removed, changed and made.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::bucket::{Counts, Made, Notes};
use super::{Error, Request};
use crate::engine::parquet::{FileTags, TableFile, properties};
use crate::engine::{FileEntry, Job, TableLedger};
use crate::omop::TableSpec;

/// Counts over all buckets, by table and extract.
pub struct Books<'a> {
    request: &'a Request,
    counts: BTreeMap<(&'static str, usize), Counts>,
    notes: Notes,
}

impl<'a> Books<'a> {
    /// Empty books of the tables about persons.
    pub fn new(request: &'a Request, tables: &BTreeMap<&'static str, TableSpec>) -> Self {
        let mut counts = BTreeMap::new();
        for (name, _) in tables.iter().filter(|(_, t)| t.person_field) {
            for site in 0..request.extracts.len() {
                if request.extracts[site].extract.table(name).is_some() {
                    counts.insert((*name, site), Counts::default());
                }
            }
        }
        Self { request, counts, notes: Notes::new() }
    }

    /// Adds what a bucket says of `table`; its rows that are left.
    pub fn add(&mut self, table: &&'static str, made: &Made) -> u64 {
        let mut rows = 0;
        for ((_, what), n) in made.notes.iter().filter(|((name, _), _)| name == table) {
            *self.notes.entry((table, what.clone())).or_default() += n;
        }
        for ((name, site), counts) in made.counts.iter().filter(|((name, _), _)| name == table) {
            let of = self.counts.entry((name, *site)).or_default();
            of.rows_in += counts.rows_in;
            of.rows_out += counts.rows_out;
            rows += counts.rows_out;
            counts.excluded.iter().for_each(|(k, n)| *of.excluded.entry(k).or_default() += n);
            counts.removed.iter().for_each(|(k, n)| *of.removed.entry(*k).or_default() += n);
            counts.changed.iter().for_each(|(k, n)| *of.changed.entry(*k).or_default() += n);
            counts.made.iter().for_each(|(k, n)| *of.made.entry(*k).or_default() += n);
        }
        rows
    }

    /// One account a table, the rows of each extract as a note.
    pub fn ledger(&self) -> Vec<TableLedger> {
        let mut ledger: BTreeMap<&str, TableLedger> = BTreeMap::new();
        let several = self.request.extracts.len() > 1;
        for ((table, site), counts) in &self.counts {
            let of =
                ledger.entry(table).or_insert_with(|| TableLedger::new(format!("curated/{table}")));
            of.rows_in += counts.rows_in;
            of.rows_out += counts.rows_out;
            counts.excluded.iter().for_each(|(reason, n)| of.exclude(reason, *n));
            let id = |rule: &usize| self.request.rules.list[*rule].id.as_str();
            counts.removed.iter().for_each(|(rule, n)| of.exclude(id(rule), *n));
            counts.changed.iter().for_each(|(rule, n)| of.change(id(rule), *n));
            counts.made.iter().for_each(|(rule, n)| of.make(id(rule), *n));
            if several {
                let name = &self.request.extracts[*site].extract.site;
                of.note(&format!("rows_of:{name}"), counts.rows_out);
            }
        }
        for ((table, what), n) in &self.notes {
            if let Some(of) = ledger.get_mut(table) {
                of.note(what, *n);
            }
        }
        ledger.into_values().collect()
    }
}

/// `quality/curation/rules.parquet`: rule, table, extract, rows removed, rows changed, rows made. A row
/// that moves is removed from one table and made in another. Every rule has a row, also one that touched
/// nothing.
pub fn write(books: &Books<'_>, request: &Request, job: &Job) -> Result<FileEntry, Error> {
    let mut rows: Vec<(&str, &str, &str, [u64; 3])> = Vec::new();
    for (number, rule) in request.rules.list.iter().enumerate() {
        let before = rows.len();
        for ((table, site), counts) in &books.counts {
            let did = [&counts.removed, &counts.changed, &counts.made]
                .map(|of| of.get(&number).copied().unwrap_or(0));
            if did.iter().sum::<u64>() > 0 {
                let site = request.extracts[*site].extract.site.as_str();
                rows.push((&rule.id, table, site, did));
            }
        }
        if rows.len() == before {
            rows.push((&rule.id, "", "", [0; 3]));
        }
    }
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![
        text("rule_id"),
        text("table"),
        text("extract"),
        number("rows_removed"),
        number("rows_changed"),
        number("rows_made"),
    ]));
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.2))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| int(r.3[0])))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| int(r.3[1])))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| int(r.3[2])))),
        ],
    )
    .map_err(Error::arrow("rules"))?;
    let tags = FileTags {
        tier: "quality".into(),
        table: "curation_rules".into(),
        callset: None,
        date_basis: "none",
        vocabulary: None,
    };
    let properties = properties(&tags, &[]).build();
    let path = "quality/curation/rules.parquet";
    let mut file = TableFile::create(&job.out, path, schema, tags, properties)?;
    file.write(&batch)?;
    Ok(file.finish()?)
}
