//! Rows of a table parted into slots, on disk.
//!
//! One file a table. Batches are put in the order of slots and written as blocks, each an Arrow stream of
//! its own without the columns that say one thing throughout: what is null is left out, of what is the same in
//! all rows one is kept in memory, as is where a slot's blocks are. Of the columns of the CDM many are such.
//!
//! Blocks are sealed (AES-256-GCM) under a key that is drawn for the file and kept in memory alone: of a run that
//! was killed nobody can read them.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::parquet::Error;
use crate::error::IoError;

/// The rows of one table on disk, and where those of each slot are.
pub struct Blocks {
    table: String,
    path: PathBuf,
    file: File,
    cipher: Cipher,
    at: Vec<Vec<Block>>,
    end: u64,
    /// Of each batch that was scattered, one row of the columns that are the same in all.
    same: Vec<RecordBatch>,
}

/// The rows of one batch in one slot.
#[derive(Clone)]
struct Block {
    bytes: Range<u64>,
    rows: u64,
    /// Index of the batch in [`Blocks::same`].
    batch: usize,
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
        let (table, path) = (table.to_owned(), path.to_owned());
        let cipher = Cipher::new().map_err(|e| Error::Arrow { path: table.clone(), source: e })?;
        Ok(Self { table, path, file, cipher, at, end: 0, same: Vec::new() })
    }

    /// Number of slots.
    pub fn slots(&self) -> u32 {
        self.at.len() as u32
    }

    /// Bytes of a slot's rows when they are read: those on disk, and some eight for each value that is not.
    pub fn bytes(&self, slot: u32) -> u64 {
        let bytes = |block: &Block| {
            let same = self.same[block.batch].num_columns() as u64;
            block.bytes.end - block.bytes.start + block.rows * same * 8
        };
        self.at[slot as usize].iter().map(bytes).sum()
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
        let said =
            (0..rows.num_columns()).filter(|&c| rows.column(c).null_count() < rows.num_rows());
        let (mut same, mut held): (Vec<usize>, Vec<usize>) =
            said.partition(|&c| is_same(rows.column(c)));
        if held.is_empty() {
            // Something must say how many rows a block has.
            held.extend(same.pop());
        }
        self.same.push(first_of(rows, &same).map_err(|e| self.arrow(e))?);
        let rows = rows.project(&held).and_then(|held| take_record_batch(&held, &order));
        let rows = rows.map_err(|e| self.arrow(e))?;
        let mut bytes: Vec<u8> = Vec::new();
        let mut start = 0;
        for (slot, &end) in ends.iter().enumerate() {
            if end > start {
                let from = self.end + bytes.len() as u64;
                let block = bytes.len();
                write(&rows.slice(start, end - start), &mut bytes)
                    .and_then(|()| self.cipher.seal(from, &mut bytes, block))
                    .map_err(|e| self.arrow(e))?;
                let bytes = from..self.end + bytes.len() as u64;
                let (rows, batch) = ((end - start) as u64, self.same.len() - 1);
                self.at[slot].push(Block { bytes, rows, batch });
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
        for Block { bytes: at, batch, .. } in &self.at[slot as usize] {
            bytes.resize((at.end - at.start) as usize, 0);
            let read = self.file.read_exact_at(&mut bytes, at.start);
            read.map_err(IoError::at("reading", &self.path))?;
            let plain = self.cipher.open(at.start, &mut bytes).map_err(|e| self.arrow(e))?;
            let stream = StreamReader::try_new(plain, None).map_err(|e| self.arrow(e))?;
            for rows in stream {
                let rows = rows.and_then(|rows| completed(&rows, &self.same[*batch]));
                batches.push(rows.map_err(|e| self.arrow(e))?);
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

/// Seals the blocks of one file, each by where it begins, which no other block of the file does.
struct Cipher(LessSafeKey);

impl Cipher {
    fn new() -> Result<Self, ArrowError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| Self::refused())?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals what `bytes` has from `from` on as the block at `start`, and appends the tag.
    fn seal(&self, start: u64, bytes: &mut Vec<u8>, from: usize) -> Result<(), ArrowError> {
        let nonce = Self::nonce(start);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), &mut bytes[from..]);
        bytes.extend_from_slice(tag.map_err(|_| Self::refused())?.as_ref());
        Ok(())
    }

    /// The block at `start` in the clear.
    fn open<'a>(&self, start: u64, bytes: &'a mut [u8]) -> Result<&'a [u8], ArrowError> {
        let plain = self.0.open_in_place(Self::nonce(start), Aad::empty(), bytes);
        plain.map(|plain| &*plain).map_err(|_| Self::refused())
    }

    fn nonce(start: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&start.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    fn refused() -> ArrowError {
        ArrowError::IpcError("a block is not what was written".into())
    }
}

fn write(rows: &RecordBatch, to: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut stream = StreamWriter::try_new(to, &rows.schema())?;
    stream.write(rows)?;
    stream.finish()
}

/// Whether all values of a column, none of which is null, are the same to the bit.
fn is_same(column: &ArrayRef) -> bool {
    if column.null_count() > 0 {
        return false;
    }
    if let Some(width) = column.data_type().primitive_width() {
        let data = column.to_data();
        let values = &data.buffers()[0][data.offset() * width..][..data.len() * width];
        return values[width..] == values[..values.len() - width];
    }
    let Some(texts) = column.as_string_opt::<i32>() else { return false };
    let mut texts = texts.iter();
    let first = texts.next();
    texts.all(|text| Some(text) == first)
}

/// The first row of some columns, apart from the others.
fn first_of(rows: &RecordBatch, columns: &[usize]) -> Result<RecordBatch, ArrowError> {
    if columns.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
    }
    take_record_batch(&rows.project(columns)?, &UInt32Array::from(vec![0]))
}

/// The rows with the columns that are the same in all.
fn completed(rows: &RecordBatch, same: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if same.num_columns() == 0 {
        return Ok(rows.clone());
    }
    let first = UInt32Array::from(vec![0; rows.num_rows()]);
    let repeated = take_record_batch(same, &first)?;
    let (schema, more) = (rows.schema(), same.schema());
    let fields: Vec<FieldRef> = schema.fields().iter().chain(more.fields()).cloned().collect();
    let columns = rows.columns().iter().chain(repeated.columns()).cloned().collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
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
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Int64Type};

    use super::*;

    #[test]
    fn columns_that_say_one_thing_are_found() {
        let arrays: [(ArrayRef, bool); 9] = [
            (Arc::new(Int64Array::from(vec![7, 7, 7])), true),
            (Arc::new(Int64Array::from(vec![7, 7, 8])), false),
            (Arc::new(Int64Array::from(vec![8, 7, 7]).slice(1, 2)), true),
            (Arc::new(Int64Array::from(vec![Some(7), None])), false),
            (Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN])), true),
            (Arc::new(Float64Array::from(vec![0.0, -0.0])), false),
            (Arc::new(StringArray::from(vec!["a", "a"])), true),
            (Arc::new(StringArray::from(vec!["a", ""])), false),
            (Arc::new(BooleanArray::from(vec![true, true])), false),
        ];
        for (array, same) in arrays {
            assert_eq!(is_same(&array), same, "{array:?}");
        }
    }

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
            Field::new("kind", DataType::Int64, true),
        ]));
        let batch = |from: i64, text: Option<&str>| {
            let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 100));
            let texts: ArrayRef = Arc::new(StringArray::from(vec![text; 100]));
            let kind: ArrayRef = Arc::new(Int64Array::from(vec![from + 1; 100]));
            RecordBatch::try_new(schema.clone(), vec![n, texts, kind]).unwrap()
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
        let kinds = even.column(2).as_primitive::<Int64Type>();
        assert!((0..50).all(|i| kinds.value(i) == n.value(i) / 100 * 100 + 1));
        // Nobody else can read a block, and one that was changed is noticed.
        let path = dir.path().join("t");
        let text = std::fs::read(&path).unwrap();
        assert!(!text.windows(8).any(|bytes| bytes == 77_i64.to_le_bytes()));
        let mut changed = text.clone();
        changed[100] ^= 1;
        std::fs::write(&path, changed).unwrap();
        assert!(blocks.read(2).is_err() || blocks.read(0).is_err());
        // A batch whose every column is the same in all rows has rows all the same.
        let mut blocks = Blocks::create(&dir.path().join("u"), "u", 2).unwrap();
        blocks.scatter(&batch(0, None).slice(0, 1), &[1]).unwrap();
        let one = widened(&blocks.read(1).unwrap()[0], &schema).unwrap();
        assert_eq!(one, batch(0, None).slice(0, 1));
    }
}
