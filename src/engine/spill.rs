//! Rows of a table parted into slots, on disk.
//!
//! One file a table. Batches are put in the order of slots and written as blocks, each an Arrow stream of
//! its own without the columns that are null throughout; where a slot's blocks are is kept in memory.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::parquet::Error;
use crate::error::IoError;

/// The rows of one table on disk, and where those of each slot are.
pub struct Blocks {
    table: String,
    path: PathBuf,
    file: File,
    at: Vec<Vec<Range<u64>>>,
    end: u64,
}

impl Blocks {
    /// Creates the file of a table's rows, mode 0600, for slots 0 to `slots` - 1.
    ///
    /// # Errors
    /// When the file is there already or cannot be made.
    pub fn create(path: &Path, table: &str, slots: u32) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(IoError::at("creating", path))?;
        let at = vec![Vec::new(); slots as usize];
        Ok(Self { table: table.to_owned(), path: path.to_owned(), file, at, end: 0 })
    }

    /// Number of slots.
    pub fn slots(&self) -> u32 {
        self.at.len() as u32
    }

    /// Bytes on disk of a slot's rows.
    pub fn bytes(&self, slot: u32) -> u64 {
        self.at[slot as usize].iter().map(|at| at.end - at.start).sum()
    }

    /// Appends rows, each to its slot; within a slot they stay as they come.
    ///
    /// # Errors
    /// When the rows cannot be encoded or written.
    pub fn scatter(&mut self, rows: &RecordBatch, slots: &[u32]) -> Result<(), Error> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let (order, ends) = by_slot(slots, self.slots());
        let held: Vec<usize> = (0..rows.num_columns())
            .filter(|&c| rows.column(c).null_count() < rows.num_rows())
            .collect();
        let rows = rows.project(&held).and_then(|held| take_record_batch(&held, &order));
        let rows = rows.map_err(|e| self.arrow(e))?;
        let mut bytes: Vec<u8> = Vec::new();
        let mut start = 0;
        for (slot, &end) in ends.iter().enumerate() {
            if end > start {
                let from = self.end + bytes.len() as u64;
                write(&rows.slice(start, end - start), &mut bytes).map_err(|e| self.arrow(e))?;
                self.at[slot].push(from..self.end + bytes.len() as u64);
                start = end;
            }
        }
        self.file.write_all(&bytes).map_err(IoError::at("writing", &self.path))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// The batches of a slot. They lack columns that were null throughout, see [`widened`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, slot: u32) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        for at in &self.at[slot as usize] {
            bytes.resize((at.end - at.start) as usize, 0);
            let read = self.file.read_exact_at(&mut bytes, at.start);
            read.map_err(IoError::at("reading", &self.path))?;
            let stream = StreamReader::try_new(&bytes[..], None).map_err(|e| self.arrow(e))?;
            for batch in stream {
                batches.push(batch.map_err(|e| self.arrow(e))?);
            }
        }
        Ok(batches)
    }

    /// Deletes the file.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove(self) -> Result<(), Error> {
        Ok(std::fs::remove_file(&self.path).map_err(IoError::at("deleting", &self.path))?)
    }

    fn arrow(&self, source: ArrowError) -> Error {
        Error::Arrow { path: self.table.clone(), source }
    }
}

fn write(rows: &RecordBatch, to: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut stream = StreamWriter::try_new(to, &rows.schema())?;
    stream.write(rows)?;
    stream.finish()
}

/// The rows with all columns of `schema`, null where they lack one.
///
/// # Errors
/// When a column is of another type.
pub fn widened(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |f: &std::sync::Arc<arrow::datatypes::Field>| match rows.column_by_name(f.name()) {
        Some(column) => column.clone(),
        None => new_null_array(f.data_type(), rows.num_rows()),
    };
    RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect())
}

/// Rows in the order of their slots, those of one as they came, and where each slot ends.
fn by_slot(slot: &[u32], slots: u32) -> (UInt32Array, Vec<usize>) {
    let mut ends = vec![0_usize; slots as usize];
    slot.iter().for_each(|s| ends[*s as usize] += 1);
    let mut before = 0;
    // First where each starts; after the rows are put in place, where it ends.
    ends.iter_mut().for_each(|n| before += std::mem::replace(n, before));
    let mut order = vec![0_u32; slot.len()];
    for (row, slot) in slot.iter().enumerate() {
        let at = &mut ends[*slot as usize];
        order[*at] = row as u32;
        *at += 1;
    }
    (UInt32Array::from(order), ends)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    #[test]
    fn rows_come_in_the_order_of_slots() {
        for slots in [1, 2, 7, 64] {
            let slot: Vec<u32> = (0..1000_u32).map(|i| i * 7 % 91 % slots).collect();
            let (order, ends) = by_slot(&slot, slots);
            let keys: Vec<(u32, u32)> =
                order.values().iter().map(|&r| (slot[r as usize], r)).collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "{slots}");
            for (s, end) in ends.iter().enumerate() {
                assert_eq!(*end, keys.iter().filter(|(k, _)| *k as usize <= s).count());
            }
        }
    }

    #[test]
    fn what_is_scattered_is_read_back_slot_by_slot() {
        let dir = tempfile::TempDir::new().unwrap();
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("text", DataType::Utf8, true),
        ]));
        let batch = |from: i64, text: Option<&str>| {
            let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 100));
            let texts: ArrayRef = Arc::new(StringArray::from(vec![text; 100]));
            RecordBatch::try_new(schema.clone(), vec![n, texts]).unwrap()
        };
        let mut blocks = Blocks::create(&dir.path().join("t"), "t", 3).unwrap();
        for (from, text) in [(0, Some("a")), (100, None)] {
            let rows = batch(from, text);
            let slots: Vec<u32> = (0..100).map(|i| if i < 50 { 2 } else { i % 2 * 2 }).collect();
            blocks.scatter(&rows, &slots).unwrap();
        }
        blocks.scatter(&batch(0, None).slice(0, 0), &[]).unwrap();
        let rows = |slot| {
            let batches = blocks.read(slot).unwrap();
            let wide: Vec<_> = batches.iter().map(|b| widened(b, &schema).unwrap()).collect();
            concat_batches(&schema, &wide).unwrap()
        };
        assert_eq!((rows(0).num_rows(), rows(1).num_rows(), rows(2).num_rows()), (50, 0, 150));
        assert_eq!(blocks.bytes(1), 0);
        let even = rows(0);
        let n = even.column(0).as_primitive::<Int64Type>();
        let expected: Vec<i64> = (0..200).filter(|i| i % 100 >= 50 && i % 2 == 0).collect();
        assert_eq!(n.values().to_vec(), expected);
        assert_eq!(even.column(1).null_count(), 25);
    }
}
