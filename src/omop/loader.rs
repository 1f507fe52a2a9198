//! One table on its way in: every row is checked, un-shifted if need be, and appended or quarantined.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use crate::config::TextEncoding;
use crate::engine::KeySet;
use crate::engine::parquet::properties;
use crate::engine::{FileTags, Job, TableLedger, UnlistedTable};

use super::ExtractTable;
use super::cdm::{FieldKind, TableSpec, is_vocabulary};
use super::error::Error;
use super::rejects::{Reject, TableRejects};
use super::unshift::Unshift;
use super::value::{Cell, Instant, Leniency, Reason};

const BATCH_ROWS: usize = 8192;

/// What the tables of one extract share.
pub struct Context<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// The terms of the stage.
    pub job: &'a Job,
    /// Persons of the extract; none while `person` itself is read, and for vocabularies.
    pub persons: Option<&'a KeySet>,
    /// Days to add back, for a feed whose dates arrive shifted.
    pub shift: Option<&'a BTreeMap<i64, i32>>,
    /// Encoding of the text files.
    pub encoding: TextEncoding,
}

/// What became of a table.
pub struct Loaded {
    /// The typed file.
    pub table: ExtractTable,
    /// Its books.
    pub ledger: TableLedger,
    /// Its quarantined rows.
    pub rejects: TableRejects,
    /// Its integer keys; for `person` the persons of the extract.
    pub keys: KeySet,
}

enum Builder {
    Integer(Int64Builder),
    Float(Float64Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Builder {
    fn new(kind: FieldKind) -> Self {
        match kind {
            FieldKind::Integer => Self::Integer(Int64Builder::new()),
            FieldKind::Float => Self::Float(Float64Builder::new()),
            FieldKind::Date => Self::Date(Date32Builder::new()),
            FieldKind::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            FieldKind::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends `cell`; a cell of another kind is null, which `value::parse` never makes.
    fn append(&mut self, cell: Cell, text: &str) {
        match (self, cell) {
            (Self::Integer(b), Cell::Integer(v)) => b.append_value(v),
            (Self::Integer(b), _) => b.append_null(),
            (Self::Float(b), Cell::Float(v)) => b.append_value(v),
            (Self::Float(b), _) => b.append_null(),
            (Self::Date(b), Cell::Date(v)) => b.append_value(v),
            (Self::Date(b), _) => b.append_null(),
            (Self::Timestamp(b), Cell::Timestamp(v)) => b.append_value(v),
            (Self::Timestamp(b), _) => b.append_null(),
            (Self::Text(b), Cell::Text(from, to)) => {
                b.append_option(text.get(from as usize..to as usize));
            }
            (Self::Text(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(b) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
        }
    }
}

/// The primary keys of the rows used so far.
#[derive(Default)]
struct Keys {
    seen: KeySet,
    /// Keys that came again.
    twice: KeySet,
    /// The same for text keys (`domain_id`), with whether they came again.
    texts: HashMap<Box<str>, bool>,
}

impl Keys {
    /// Whether the key is new.
    fn insert(&mut self, key: Cell, text: &str) -> bool {
        match key {
            Cell::Integer(key) => {
                let new = self.seen.insert(key);
                if !new {
                    self.twice.insert(key);
                }
                new
            }
            Cell::Text(from, to) => {
                let key = text.get(from as usize..to as usize).unwrap_or_default();
                match self.texts.get_mut(key) {
                    Some(again) => {
                        *again = true;
                        false
                    }
                    None => self.texts.insert(key.into(), false).is_none(),
                }
            }
            _ => true,
        }
    }

    fn duplicated(&self) -> u64 {
        self.twice.len() + self.texts.values().filter(|&&again| again).count() as u64
    }
}

/// Ids and dates rarely repeat enough for a dictionary to pay; as differences they are smaller and
/// quicker to write.
pub(crate) fn encodings(
    spec: &TableSpec,
    mut properties: WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    for field in &spec.fields {
        let id = field.name == "person_id" || spec.row_id_table(field).is_some();
        if id || matches!(field.kind, FieldKind::Date | FieldKind::Timestamp) {
            let column = ColumnPath::from(field.name);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties
}

/// Takes the rows of one table.
pub struct Loader<'a> {
    /// The table.
    pub spec: &'static TableSpec,
    /// What was done to values; readers count here.
    pub leniency: Leniency,
    /// The books; readers note here what rows do not tell.
    pub ledger: TableLedger,
    /// What the tables of the extract share.
    pub context: &'a Context<'a>,
    schema: SchemaRef,
    key: Option<usize>,
    person: Option<usize>,
    /// `measurement_time`, the text field in which extracts repeat the date.
    time_text: Option<usize>,
    dates_in_time: u64,
    /// Whether the current file has the field.
    present: Vec<bool>,
    required_missing: Vec<u64>,
    unshift: Option<Unshift>,
    keys: Keys,
    builders: Vec<Builder>,
    pending: usize,
    file: UnlistedTable,
    path: String,
    excluded: [u64; Reason::ALL.len()],
    empty_rows: u64,
    rejects: TableRejects,
}

impl<'a> Loader<'a> {
    /// Creates the typed file of `spec`.
    pub fn new(spec: &'static TableSpec, context: &'a Context<'a>) -> Result<Self, Error> {
        let path = format!("typed/{}/{}.parquet", context.site, spec.name);
        let tags = FileTags {
            tier: "quality".to_owned(),
            table: spec.name.to_owned(),
            callset: None,
            date_basis: "true",
            vocabulary: None,
        };
        let properties = encodings(spec, properties(&tags, &[]));
        // A vocabulary is nobody's.
        let properties = match is_vocabulary(spec.name) {
            true => properties.build(),
            false => context.job.keyring.sealed(properties)?,
        };
        let schema = spec.schema();
        let file =
            UnlistedTable::unlisted(&context.job.out, &path, schema.clone(), tags, properties)?;
        let mut ledger = TableLedger::new(format!("omop/{}", spec.name));
        ledger.noted.insert(format!("site:{}", context.site), 1);
        Ok(Self {
            spec,
            leniency: Leniency::default(),
            ledger,
            context,
            schema,
            key: spec.primary_key.and_then(|k| spec.position(k)),
            person: spec.position("person_id"),
            time_text: spec.position("measurement_time"),
            dates_in_time: 0,
            present: vec![true; spec.fields.len()],
            required_missing: vec![0; spec.fields.len()],
            unshift: context.shift.map(|_| Unshift::new(spec)),
            keys: Keys::default(),
            builders: spec.fields.iter().map(|f| Builder::new(f.kind)).collect(),
            pending: 0,
            file,
            path,
            excluded: [0; Reason::ALL.len()],
            empty_rows: 0,
            rejects: TableRejects::new(spec),
        })
    }

    /// Says that the rows to come are of the file `base_name`, which has the fields in `sources`.
    pub fn start_file(&mut self, base_name: String, sources: &[Option<usize>]) {
        self.rejects.files.push(base_name);
        for (ordinal, source) in sources.iter().enumerate() {
            self.present[ordinal] = source.is_some();
            if source.is_none() {
                let note = format!("missing_column:{}", self.spec.fields[ordinal].name);
                self.ledger.note(&note, 1);
            }
        }
    }

    /// Passes over a row without any value.
    pub fn skip_empty(&mut self) {
        self.empty_rows += 1;
    }

    /// Quarantines a row.
    pub fn reject(&mut self, line: u64, field: Option<usize>, reason: Reason) -> Result<(), Error> {
        self.ledger.rows_in += 1;
        self.excluded[reason as usize] += 1;
        let file = self.rejects.files.len().saturating_sub(1) as u32;
        let field = field.map(|f| f as u16);
        Ok(self.rejects.push(Reject { line, file, field, reason }, self.context.job)?)
    }

    /// Takes a row whose values could all be read. `cells` are by ordinal of the specification.
    pub fn accept(&mut self, line: u64, text: &str, cells: &mut [Cell]) -> Result<(), Error> {
        if let Err((field, reason)) = self.check(text, cells) {
            return self.reject(line, Some(field), reason);
        }
        self.ledger.rows_in += 1;
        self.ledger.rows_out += 1;
        self.find_date_in_time(text, cells);
        self.unshift(cells);
        for (ordinal, (builder, &cell)) in self.builders.iter_mut().zip(cells.iter()).enumerate() {
            if cell == Cell::Null && self.spec.fields[ordinal].required && self.present[ordinal] {
                self.required_missing[ordinal] += 1;
            }
            builder.append(cell, text);
        }
        self.pending += 1;
        if self.pending == BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// The checks that concern more than one value: keys present, person known, key new.
    fn check(&mut self, text: &str, cells: &[Cell]) -> Result<(), (usize, Reason)> {
        for ordinal in [self.key, self.person].into_iter().flatten() {
            if cells[ordinal] == Cell::Null {
                return Err((ordinal, Reason::MissingKey));
            }
        }
        if let (Some(persons), Some(ordinal)) = (self.context.persons, self.person)
            && let Cell::Integer(person) = cells[ordinal]
            && !persons.contains(person)
        {
            return Err((ordinal, Reason::OrphanPerson));
        }
        match self.key {
            Some(ordinal) if !self.keys.insert(cells[ordinal], text) => {
                Err((ordinal, Reason::DuplicateKey))
            }
            _ => Ok(()),
        }
    }

    /// Counts dates in `measurement_time`. Beside a moved date they would tell by how much it moved, so
    /// in a shifted feed they go; whoever moves dates later must see to them too.
    fn find_date_in_time(&mut self, text: &str, cells: &mut [Cell]) {
        if let Some(ordinal) = self.time_text
            && let Cell::Text(from, to) = cells[ordinal]
            && let Some(value) = text.get(from as usize..to as usize)
            && Instant::parse(value.trim().as_bytes()).is_some()
        {
            self.dates_in_time += 1;
            if self.unshift.is_some() {
                cells[ordinal] = Cell::Null;
            }
        }
    }

    fn unshift(&mut self, cells: &mut [Cell]) {
        if let (Some(unshift), Some(map)) = (&mut self.unshift, self.context.shift) {
            unshift.apply(cells, map);
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.pending == 0 {
            return Ok(());
        }
        self.pending = 0;
        let columns = self.builders.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|source| Error::Arrow { table: self.spec.name, source })?;
        self.file.write(&batch)?;
        self.context.job.check()?;
        Ok(())
    }

    /// Closes the typed file and the books.
    ///
    /// # Errors
    /// When the file cannot be written, and when a person of a shifted feed has no shift.
    pub fn finish(mut self) -> Result<Loaded, Error> {
        self.flush()?;
        let mut ledger = self.ledger;
        for reason in Reason::ALL {
            ledger.exclude(reason.code(), self.excluded[reason as usize]);
        }
        let surplus = self.excluded[Reason::DuplicateKey as usize];
        ledger.note("duplicate_key_rows_involved", surplus + self.keys.duplicated());
        ledger.note("empty_row", self.empty_rows);
        let date_in_time = match self.unshift {
            Some(_) => "date_in_measurement_time_dropped",
            None => "date_in_measurement_time",
        };
        ledger.note(date_in_time, self.dates_in_time);
        ledger.note("na_as_null", self.leniency.na_as_null);
        ledger.note("time_dropped", self.leniency.time_dropped);
        ledger.note("zone_dropped", self.leniency.zone_dropped);
        for (field, &count) in self.spec.fields.iter().zip(&self.required_missing) {
            ledger.note(&format!("required_missing:{}", field.name), count);
        }
        if let Some(unshift) = self.unshift {
            unshift.close(&mut ledger)?;
        }
        let rows = ledger.rows_out;
        self.file.close()?;
        Ok(Loaded {
            table: ExtractTable {
                name: self.spec.name.to_owned(),
                path: self.path,
                rows,
                parts: 0,
            },
            ledger,
            rejects: self.rejects,
            keys: self.keys.seen,
        })
    }
}
