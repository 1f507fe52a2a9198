//! A bucket of people: its rows in memory, the rules applied, what is left written in order.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};

use super::early::Early;
use super::ids::Ids;
use super::sandbox::{Before, Images, write_removed};
use super::spill::Spill;
use super::{Error, NO_EHR_CONSENT, Request, SITE, apply, mapping};
use crate::engine::parquet::{FileTags, UnlistedTable, properties};
use crate::engine::{FileEntry, Job};
use crate::omop::{self, TableSpec};

/// [`Table::fate`] of a row that stays.
pub const KEPT: u16 = 0;
/// Of a row of a person who is left out; which reason, says the person.
pub const EXCLUDED: u16 = 1;
/// Of a `person` row of a person whom an earlier extract has.
pub const OTHER_SITE: u16 = 2;
/// Of a row that rule 0 removes; rule *n* is this plus *n*.
pub const FIRST_RULE: u16 = 3;

/// The rows of one table in a bucket.
pub struct Table {
    /// Its specification.
    pub spec: TableSpec,
    /// Columns of the specification.
    pub rows: RecordBatch,
    /// By row: the extract it comes from.
    pub site: Vec<u16>,
    /// By row: why it goes, or [`KEPT`].
    pub fate: Vec<u16>,
    /// By row that no extract has, all after those read: the rule that made it.
    pub made: Vec<u16>,
}

impl Table {
    /// Number of rows read.
    pub fn read(&self) -> usize {
        self.fate.len() - self.made.len()
    }

    /// Appends rows that rule `rule` makes from rows of these extracts.
    pub fn append(&mut self, rows: &RecordBatch, site: Vec<u16>, rule: u16) -> Result<(), Error> {
        let batch = concat_batches(&self.rows.schema(), [&self.rows, rows]);
        self.rows = batch.map_err(Error::arrow(self.spec.name))?;
        self.fate.resize(self.rows.num_rows(), KEPT);
        self.made.resize(self.made.len() + site.len(), rule);
        self.site.extend(site);
        Ok(())
    }
}

/// Rows by reason and rule, of one table and extract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows read.
    pub rows_in: u64,
    /// Rows left.
    pub rows_out: u64,
    /// Rows made, by rule.
    pub made: BTreeMap<usize, u64>,
    /// Rows of people who are left out, by reason.
    pub excluded: BTreeMap<&'static str, u64>,
    /// Rows removed, by rule.
    pub removed: BTreeMap<usize, u64>,
    /// Rows left with a value changed, by rule.
    pub changed: BTreeMap<usize, u64>,
}

/// What became of a bucket.
pub struct Made {
    /// Counts by table and extract.
    pub counts: BTreeMap<(&'static str, usize), Counts>,
    /// Files of rows removed and changed, and of where rows come from.
    pub kept: Vec<FileEntry>,
    /// What rules have to say.
    pub notes: Notes,
}

/// Counts of rows by table and what is worth telling of them.
pub type Notes = BTreeMap<(&'static str, String), u64>;

/// A bucket while rules are applied to it.
pub struct Bench {
    /// Its tables.
    pub tables: BTreeMap<&'static str, Table>,
    /// Rows changed.
    pub changed: Changes,
    /// Ids for rows that rules make.
    pub ids: Ids,
    /// What rules have to say.
    pub notes: Notes,
}

/// Reads, curates and writes bucket `part`.
pub fn make(
    part: u32,
    request: &Request,
    early: &Early,
    spill: &Spill,
    job: &Job,
) -> Result<Made, Error> {
    job.check()?;
    let (tables, ids) = (load(part, spill)?, Ids::of(part, spill));
    let mut bench = Bench { tables, changed: Changes::new(), ids, notes: Notes::new() };
    exclude(&mut bench.tables, request);
    let mut images = Images::default();
    for (number, rule) in request.rules.list.iter().enumerate() {
        job.check()?;
        let before = request.sandbox.then(|| Before::of(rule, &bench.tables));
        apply::apply(rule, number, (request, early), &mut bench)?;
        if let Some(before) = before {
            images.keep(number, before, &bench.changed, &bench.tables, request)?;
        }
    }
    let Bench { tables, changed, notes, .. } = bench;
    let mut made = Made { counts: BTreeMap::new(), kept: images.write(part, job)?, notes };
    for (name, table) in &tables {
        count(name, table, &changed, request, &mut made.counts);
        write(part, table, job)?;
        if request.mapping {
            made.kept.extend(mapping::write(part, table, request, job)?);
        }
        if request.sandbox {
            made.kept.extend(write_removed(part, table, request, job)?);
        }
        job.progress.advance(table.read() as u64);
    }
    Ok(made)
}

/// By table: by rule, the rows whose values it changed.
pub type Changes = BTreeMap<&'static str, BTreeMap<usize, Vec<usize>>>;

fn load(part: u32, spill: &Spill) -> Result<BTreeMap<&'static str, Table>, Error> {
    spill.tables.keys().map(|name| Ok((*name, read(name, part, spill)?))).collect()
}

/// The rows of one table in a bucket, of all extracts.
pub fn read(name: &'static str, part: u32, spill: &Spill) -> Result<Table, Error> {
    let spec = &spill.tables[name];
    let (mut batches, mut site) = (Vec::new(), Vec::new());
    for &number in &spill.sites[name] {
        let batch = spill.rows(name, number, part)?;
        site.resize(site.len() + batch.num_rows(), number as u16);
        batches.push(batch);
    }
    let rows = match &batches[..] {
        [only] => only.clone(),
        _ => concat_batches(&spec.schema(), &batches).map_err(Error::arrow(name))?,
    };
    let fate = vec![KEPT; rows.num_rows()];
    Ok(Table { spec: spec.clone(), rows, site, fate, made: Vec::new() })
}

/// The person of each row.
pub fn people(table: &Table) -> &[i64] {
    match table.rows.column_by_name("person_id") {
        Some(column) => column.as_primitive::<Int64Type>().values(),
        None => &[],
    }
}

/// Takes out people who are left out, and all `person` rows of a person but the first extract's.
fn exclude(tables: &mut BTreeMap<&'static str, Table>, request: &Request) {
    for table in tables.values_mut() {
        let ids = people(table);
        let gone: Vec<usize> = (0..ids.len())
            .filter(|&i| {
                let needed = request.ehr.get(usize::from(table.site[i])).is_none_or(|ehr| *ehr);
                let reason = request.excluded.get(&ids[i]);
                reason.is_some_and(|reason| needed || *reason != NO_EHR_CONSENT)
            })
            .collect();
        gone.into_iter().for_each(|i| table.fate[i] = EXCLUDED);
    }
    let Some(person) = tables.get_mut("person") else { return };
    let mut seen = std::collections::BTreeSet::new();
    let again: Vec<usize> = {
        let ids = people(person);
        (0..ids.len()).filter(|&i| person.fate[i] == KEPT && !seen.insert(ids[i])).collect()
    };
    again.into_iter().for_each(|i| person.fate[i] = OTHER_SITE);
}

fn count(
    name: &&'static str,
    table: &Table,
    changed: &Changes,
    request: &Request,
    counts: &mut BTreeMap<(&'static str, usize), Counts>,
) {
    let ids = people(table);
    for (i, person) in ids.iter().enumerate() {
        let of = counts.entry((*name, usize::from(table.site[i]))).or_default();
        match i.checked_sub(table.read()).and_then(|made| table.made.get(made)) {
            Some(rule) => *of.made.entry(usize::from(*rule)).or_default() += 1,
            None => of.rows_in += 1,
        }
        match table.fate[i] {
            KEPT => of.rows_out += 1,
            EXCLUDED => {
                let reason = request.excluded.get(person).copied().unwrap_or("excluded");
                *of.excluded.entry(reason).or_default() += 1;
            }
            OTHER_SITE => *of.excluded.entry("person_of_another_site").or_default() += 1,
            fate => *of.removed.entry(usize::from(fate - FIRST_RULE)).or_default() += 1,
        }
    }
    for (rule, rows) in changed.get(name).into_iter().flatten() {
        for &row in rows.iter().filter(|&&row| table.fate[row] == KEPT) {
            let of = counts.entry((*name, usize::from(table.site[row]))).or_default();
            *of.changed.entry(*rule).or_default() += 1;
        }
    }
}

/// Rows that are left, by person, start date, row id, and then as they came.
fn order(table: &Table) -> UInt32Array {
    let ids = people(table);
    let spec = &table.spec;
    let column = |name: &str| table.rows.column_by_name(name);
    let day: Box<dyn Fn(usize) -> i64> = match spec.start_date.and_then(column) {
        Some(c) if c.data_type() == &DataType::Date32 => {
            let days = c.as_primitive::<Date32Type>();
            Box::new(|i| if days.is_valid(i) { i64::from(days.value(i)) } else { i64::MIN })
        }
        Some(c) => {
            let times = c.as_primitive::<TimestampMicrosecondType>();
            Box::new(|i| if times.is_valid(i) { times.value(i) } else { i64::MIN })
        }
        None => Box::new(|_| 0),
    };
    let key = spec.primary_key.filter(|k| *k != "person_id").and_then(column);
    let key = key.filter(|c| c.data_type() == &DataType::Int64);
    let key = key.map(|c| c.as_primitive::<Int64Type>().values());
    let mut rows: Vec<(i64, i64, i64, u32)> = (0..ids.len())
        .filter(|&i| table.fate[i] == KEPT)
        .map(|i| (ids[i], day(i), key.map_or(0, |k| k[i]), i as u32))
        .collect();
    rows.sort_unstable();
    UInt32Array::from_iter_values(rows.into_iter().map(|r| r.3))
}

/// Tags of a file of curation.
pub fn tags(table: &str) -> FileTags {
    FileTags {
        tier: "quality".into(),
        table: table.into(),
        callset: None,
        date_basis: "true",
        vocabulary: None,
    }
}

fn write(part: u32, table: &Table, job: &Job) -> Result<(), Error> {
    let name = table.spec.name;
    let rows = take_record_batch(&table.rows, &order(table)).map_err(Error::arrow(name))?;
    let path = format!("{SITE}/{name}/part-{part:04}.parquet");
    let properties = omop::encodings(&table.spec, properties(&tags(name), &[]));
    let properties = job.keyring.sealed(properties)?;
    let mut file = UnlistedTable::unlisted(&job.out, &path, rows.schema(), tags(name), properties)?;
    file.write(&rows)?;
    file.close()?;
    Ok(())
}
