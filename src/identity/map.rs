//! Ids and shifts that were given out elsewhere, in place of derived ones: an append-only map, as the
//! All of Us curation keeps one (`primary_pid_rid_mapping`; privacy reference 1.3).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use super::key::{MAX_SHIFT_DAYS, ShiftMode};
use super::sheet::{self, Columns};
use super::{Error, PersonId, ResearchId};
use crate::engine::parquet::hex;
use crate::error::IoError;

const COLUMNS: [&str; 3] = ["person_id", "research_id", "shift"];

/// Research id and shift by person, in the order of the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IdentityMap {
    rows: Vec<(PersonId, ResearchId, u16)>,
    places: BTreeMap<PersonId, usize>,
}

impl std::fmt::Debug for IdentityMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityMap({} people)", self.rows.len())
    }
}

/// What keys hold of a map.
pub(super) struct Imported<T> {
    pub map: Arc<T>,
    pub derive_missing: bool,
}

/// The research ids of a map, without its shifts: what the Controlled tier may have of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResearchIds(BTreeMap<PersonId, ResearchId>);

impl std::fmt::Debug for ResearchIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResearchIds({} people)", self.0.len())
    }
}

impl ResearchIds {
    /// The person's, if the map has the person.
    pub fn research_id(&self, person: PersonId) -> Option<ResearchId> {
        self.0.get(&person).copied()
    }
}

impl IdentityMap {
    /// Reads `person_id, research_id, shift`: Parquet when the file starts as one does, else comma or TAB
    /// separated. Ids are 64-bit integers, research ids above 0; shifts are days, 1 to 364.
    ///
    /// # Errors
    /// Unreadable file, wrong columns, a value out of range, a person or a research id twice; with file
    /// and line (of Parquet: row), never the value.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut draft = Draft::default();
        if is_parquet(path)? {
            draft.read_parquet(path)?;
        } else {
            let columns = Columns { required: &COLUMNS, optional: &[], others: false };
            sheet::read(path, &columns, |row| {
                let cells = COLUMNS.map(|column| row.get(column).parse().ok());
                draft.add(path, row.line, cells)
            })?;
        }
        Ok(draft.map)
    }

    /// Number of people.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Research id and shift of a person, if the map has the person.
    pub fn get(&self, person: PersonId) -> Option<(ResearchId, u16)> {
        let (_, id, shift) = self.rows.get(*self.places.get(&person)?)?;
        Some((*id, *shift))
    }

    /// Its research ids alone.
    pub fn research_ids(&self) -> ResearchIds {
        ResearchIds(self.rows.iter().map(|(person, id, _)| (*person, *id)).collect())
    }

    /// Lower-case hex SHA-256 of the first `rows` rows, by value: the same for CSV and Parquet. None when
    /// there are fewer.
    pub fn digest(&self, rows: usize) -> Option<String> {
        let mut hasher = Sha256::new();
        for (person, id, shift) in self.rows.get(..rows)? {
            hasher.update(person.0.to_be_bytes());
            hasher.update(id.0.to_be_bytes());
            hasher.update(shift.to_be_bytes());
        }
        Some(hex(&hasher.finalize()))
    }

    /// Shifts are whole weeks where weeks are asked for.
    pub(super) fn check_mode(&self, mode: ShiftMode) -> Result<(), Error> {
        let odd = self.rows.iter().filter(|(_, _, shift)| shift % 7 != 0).count() as u64;
        match mode {
            ShiftMode::Weeks if odd > 0 => Err(Error::ShiftNotWeeks { count: odd }),
            _ => Ok(()),
        }
    }
}

fn is_parquet(path: &Path) -> Result<bool, Error> {
    use std::io::Read;
    let mut start = Vec::new();
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    file.take(4).read_to_end(&mut start).map_err(IoError::at("reading", path))?;
    Ok(start == b"PAR1")
}

/// A map while it is read.
#[derive(Default)]
struct Draft {
    map: IdentityMap,
    /// Line of a person's and of a research id's first row.
    lines: Vec<u64>,
    ids: BTreeMap<ResearchId, usize>,
}

impl Draft {
    fn add(&mut self, path: &Path, line: u64, cells: [Option<i64>; 3]) -> Result<(), Error> {
        let bad = |at: usize, allowed| Error::BadValue {
            path: path.into(),
            line,
            column: COLUMNS[at],
            allowed,
        };
        let [person, id, shift] = cells;
        let person = PersonId(person.ok_or_else(|| bad(0, "the 64-bit integers"))?);
        let id = id.filter(|id| *id > 0).map(ResearchId);
        let id = id.ok_or_else(|| bad(1, "the 64-bit integers above 0"))?;
        let days = |days: &u16| (1..=MAX_SHIFT_DAYS).contains(days);
        let shift = shift.and_then(|shift| u16::try_from(shift).ok()).filter(days);
        let shift = shift.ok_or_else(|| bad(2, "whole days from 1 to 364"))?;
        let at = self.map.rows.len();
        let twice = [
            (self.map.places.insert(person, at), "person"),
            (self.ids.insert(id, at), "research id"),
        ];
        for (first, what) in twice {
            if let Some(first) = first {
                let first_line = self.lines.get(first).copied().unwrap_or(0);
                return Err(Error::Duplicate { path: path.into(), line, first_line, what });
            }
        }
        self.lines.push(line);
        self.map.rows.push((person, id, shift));
        Ok(())
    }

    fn read_parquet(&mut self, path: &Path) -> Result<(), Error> {
        let bad = || Error::BadParquet { path: path.into() };
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|_| bad())?;
        let schema = builder.schema().clone();
        if let Some(column) = COLUMNS.iter().find(|c| schema.field_with_name(c).is_err()) {
            return Err(Error::MissingColumn { path: path.into(), column });
        }
        let mut row = 0;
        for batch in builder.build().map_err(|_| bad())? {
            let batch = batch.map_err(|_| bad())?;
            let columns: Vec<_> =
                COLUMNS.iter().filter_map(|name| integers(&batch, name)).collect();
            let [person, id, shift] = columns.as_slice() else { return Err(bad()) };
            for i in 0..batch.num_rows() {
                row += 1;
                let cells = [person, id, shift].map(|array| {
                    let array = array.as_primitive::<Int64Type>();
                    array.is_valid(i).then(|| array.value(i))
                });
                self.add(path, row, cells)?;
            }
        }
        Ok(())
    }
}

/// A column as 64-bit integers, if it holds whole numbers.
fn integers(batch: &RecordBatch, name: &str) -> Option<arrow::array::ArrayRef> {
    let column = batch.column_by_name(name)?;
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let whole = column.data_type().is_integer();
    whole.then(|| cast_with_options(column, &DataType::Int64, &exact).ok()).flatten()
}
