//! A derivation over all people: parts side by side, row ids by person.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use rayon::prelude::*;

use super::part::{self, Part};
use super::{Error, Request};
use crate::engine::parquet::{FileTags, UnlistedTable, properties};
use crate::engine::{Job, Keyring, TableLedger};
use crate::omop::{ExtractTable, FieldKind, TableSpec};

/// Facts for the books, by name.
type Notes = BTreeMap<&'static str, u64>;

/// What the books say of a part beside its rows.
#[derive(Default)]
struct Facts {
    notes: Notes,
    excluded: Notes,
}

fn add(all: &mut Notes, some: &Notes) {
    some.iter().for_each(|(what, n)| *all.entry(what).or_default() += n);
}

/// A value of a derived row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A day since 1970-01-01.
    Day(i32),
    /// Microseconds since 1970-01-01.
    Time(i64),
    /// A number.
    Float(f64),
    /// What a concept is called, by [`Derivation::name`].
    Name(i64),
    /// Nothing.
    Null,
}

/// Rows that a derivation makes, one value a field after `person_id` and the row id.
#[derive(Default)]
pub struct Made {
    values: Vec<Value>,
    rows: usize,
    /// Facts for the books, by name.
    pub notes: Notes,
    /// Rows of the sources that belong here and make none of their own, by reason.
    pub excluded: Notes,
}

impl Made {
    /// Appends a row.
    pub fn row<const N: usize>(&mut self, values: [Value; N]) {
        self.values.extend(values);
        self.rows += 1;
    }

    /// Counts rows of the sources that are left aside.
    pub fn exclude(&mut self, reason: &'static str, n: u64) {
        if n > 0 {
            *self.excluded.entry(reason).or_default() += n;
        }
    }

    /// Counts something for the books.
    pub fn note(&mut self, what: &'static str, n: u64) {
        if n > 0 {
            *self.notes.entry(what).or_default() += n;
        }
    }
}

/// A table to read, and of its columns those after `person_id`.
pub type Source = (&'static str, Vec<&'static str>);

/// A table that is made person by person.
pub trait Derivation: Sync {
    /// Name of the table; its specification says the columns.
    fn table(&self) -> &'static str;
    /// The tables it is made of. One without columns only says who has rows.
    fn sources(&self) -> Vec<Source>;
    /// What a concept is called, for text.
    fn name(&self, concept: i64) -> Option<&str> {
        let _ = concept;
        None
    }
    /// The rows of one person, in order. `sources` are as [`Derivation::sources`] lists them; column 0
    /// is `person_id`.
    fn person(&self, person: i64, sources: &[Part], made: &mut Made);
}

/// The specification of a table that a derivation makes.
fn spec(request: &Request<'_>, table: &'static str) -> Result<TableSpec, Error> {
    let cdm = crate::omop::cdm(request.records.extract.cdm);
    cdm.table(table)
        .cloned()
        .ok_or_else(|| Error::Internal { table, what: "it has no specification".into() })
}

/// Makes the table of `derivation`.
pub fn run(
    derivation: &dyn Derivation,
    request: &Request<'_>,
    job: &Job,
) -> Result<(ExtractTable, TableLedger), Error> {
    let name = derivation.table();
    let spec = spec(request, name)?;
    let sweep =
        Sweep { derivation, request, keyring: &job.keyring, parts: parts(derivation, request)? };
    let workers = job.workers(sweep.largest()?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.map_err(|e| Error::Internal { table: name, what: e.to_string() })?;
    // Row ids ascend by person whatever the parts are: counted first, given on the second pass.
    let keyed = spec.fields.first().is_some_and(|f| f.primary_key && f.name != "person_id");
    let first = if keyed { pool.install(|| sweep.first_ids(job))? } else { BTreeMap::new() };
    let written: Result<Vec<(u64, Facts)>, Error> = pool.install(|| {
        let parts = (0..sweep.parts.max(1)).into_par_iter();
        parts.map(|part| sweep.write(part, &spec, &first, job)).collect()
    });
    let mut books = TableLedger::new(format!("derived/{name}"));
    for (rows, facts) in written? {
        books.rows_out += rows;
        books.rows_in += rows + facts.excluded.values().sum::<u64>();
        facts.notes.into_iter().for_each(|(what, n)| books.note(what, n));
        facts.excluded.into_iter().for_each(|(reason, n)| books.exclude(reason, n));
    }
    let path = format!("{}/{name}", request.folder);
    let parts = u32::try_from(sweep.parts.max(1)).unwrap_or(u32::MAX);
    Ok((ExtractTable { name: name.into(), path, rows: books.rows_out, parts }, books))
}

/// The number of parts that all sources have.
fn parts(derivation: &dyn Derivation, request: &Request<'_>) -> Result<usize, Error> {
    let mut counts: BTreeSet<usize> = BTreeSet::new();
    for (table, _) in derivation.sources() {
        let n = request.records.files(table).len();
        if n > 0 {
            counts.insert(n);
        }
        if counts.len() > 1 {
            return Err(Error::Parts { table: table.to_owned() });
        }
    }
    Ok(counts.into_iter().next().unwrap_or(0))
}

struct Sweep<'a> {
    derivation: &'a dyn Derivation,
    request: &'a Request<'a>,
    keyring: &'a Keyring,
    parts: usize,
}

impl Sweep<'_> {
    fn sources(&self, part: usize) -> Result<Vec<Part>, Error> {
        let read = |(table, columns): Source| {
            let names: Vec<&str> = std::iter::once("person_id").chain(columns).collect();
            match self.request.records.files(table).get(part) {
                Some(path) if names.len() == 1 => Ok(Part::new(part::people(path, self.keyring)?)),
                Some(path) => Ok(Part::new(part::read(path, &names, self.keyring)?)),
                None => {
                    Ok(Part::new(part::Rows { columns: vec![Vec::new(); names.len()], len: 0 }))
                }
            }
        };
        self.derivation.sources().into_iter().map(read).collect()
    }

    /// Bytes in memory of the sources of the largest part.
    fn largest(&self) -> Result<u64, Error> {
        let mut parts = vec![0; self.parts];
        for (table, columns) in self.derivation.sources() {
            let width = (columns.len() + 1) * size_of::<Option<i64>>();
            for (part, path) in parts.iter_mut().zip(self.request.records.files(table)) {
                *part += part::length(&path, self.keyring)? * width as u64;
            }
        }
        Ok(parts.into_iter().max().unwrap_or(0))
    }

    /// Calls `see` for each person of a part, ascending, with the rows made.
    fn each(
        &self,
        part: usize,
        mut see: impl FnMut(i64, Made) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sources = self.sources(part)?;
        let people: BTreeSet<i64> = sources.iter().flat_map(Part::people).collect();
        for person in people {
            let mut made = Made::default();
            self.derivation.person(person, &sources, &mut made);
            see(person, made)?;
        }
        Ok(())
    }

    /// The first row id of each person with rows: persons ascending, from 1.
    fn first_ids(&self, job: &Job) -> Result<BTreeMap<i64, i64>, Error> {
        let counts: Result<Vec<Vec<(i64, usize)>>, Error> = (0..self.parts)
            .into_par_iter()
            .map(|part| {
                job.check()?;
                let mut counts = Vec::new();
                self.each(part, |person, made| {
                    if made.rows > 0 {
                        counts.push((person, made.rows));
                    }
                    Ok(())
                })?;
                Ok(counts)
            })
            .collect();
        let counts: BTreeMap<i64, usize> = counts?.into_iter().flatten().collect();
        let mut next = 1;
        let give = |(person, rows): (i64, usize)| {
            let first = next;
            next += rows as i64;
            (person, first)
        };
        Ok(counts.into_iter().map(give).collect())
    }

    fn write(
        &self,
        part: usize,
        spec: &TableSpec,
        first: &BTreeMap<i64, i64>,
        job: &Job,
    ) -> Result<(u64, Facts), Error> {
        job.check()?;
        let table = self.derivation.table();
        let tags = FileTags {
            tier: "quality".into(),
            table: table.into(),
            callset: None,
            date_basis: "true",
            vocabulary: None,
        };
        let path = format!("{}/{table}/part-{part:04}.parquet", self.request.folder);
        let properties = job.keyring.sealed(properties(&tags, &[]))?;
        let mut file = UnlistedTable::unlisted(&job.out, &path, spec.schema(), tags, properties)?;
        let mut columns = Columns::new(spec, self.derivation);
        let mut facts = Facts::default();
        self.each(part, |person, made| {
            add(&mut facts.notes, &made.notes);
            add(&mut facts.excluded, &made.excluded);
            columns.append(person, first.get(&person).copied(), &made);
            if columns.rows >= 1 << 16 { columns.flush(&mut file) } else { Ok(()) }
        })?;
        columns.flush(&mut file)?;
        Ok((file.close()?, facts))
    }
}

/// Columns in the making: the row id, if the table has one, `person_id`, then those of [`Made`].
struct Columns<'a> {
    spec: &'a TableSpec,
    derivation: &'a dyn Derivation,
    values: Vec<Vec<Value>>,
    rows: usize,
}

impl<'a> Columns<'a> {
    fn new(spec: &'a TableSpec, derivation: &'a dyn Derivation) -> Self {
        Self { spec, derivation, values: vec![Vec::new(); spec.fields.len()], rows: 0 }
    }

    fn append(&mut self, person: i64, first: Option<i64>, made: &Made) {
        let lead = usize::from(first.is_some());
        let width = self.spec.fields.len() - 1 - lead;
        for row in 0..made.rows {
            if let Some(first) = first {
                self.values[0].push(Value::Int(first + row as i64));
            }
            self.values[lead].push(Value::Int(person));
            for (k, column) in self.values[lead + 1..].iter_mut().enumerate() {
                column.push(made.values[row * width + k]);
            }
        }
        self.rows += made.rows;
    }

    fn flush(&mut self, file: &mut UnlistedTable) -> Result<(), Error> {
        let arrays = self.spec.fields.iter().zip(&mut self.values).map(|(field, values)| {
            let array = array(field.kind, values, self.derivation);
            values.clear();
            array
        });
        let batch = RecordBatch::try_new(self.spec.schema(), arrays.collect());
        let batch =
            batch.map_err(|e| Error::Internal { table: self.spec.name, what: e.to_string() })?;
        self.rows = 0;
        Ok(file.write(&batch)?)
    }
}

fn array(kind: FieldKind, values: &[Value], derivation: &dyn Derivation) -> ArrayRef {
    match kind {
        FieldKind::Date => Arc::new(Date32Array::from_iter(
            values.iter().map(|v| if let Value::Day(d) = v { Some(*d) } else { None }),
        )),
        FieldKind::Float => Arc::new(Float64Array::from_iter(
            values.iter().map(|v| if let Value::Float(x) = v { Some(*x) } else { None }),
        )),
        FieldKind::Timestamp => Arc::new(TimestampMicrosecondArray::from_iter(
            values.iter().map(|v| if let Value::Time(t) = v { Some(*t) } else { None }),
        )),
        FieldKind::Text => Arc::new(StringArray::from_iter(
            values.iter().map(|v| if let Value::Name(c) = v { derivation.name(*c) } else { None }),
        )),
        FieldKind::Integer => Arc::new(Int64Array::from_iter(
            values.iter().map(|v| if let Value::Int(n) = v { Some(*n) } else { None }),
        )),
    }
}
