//! Tables about persons: their rows parted by person bucket on disk, then put in order and written bucket
//! by bucket, as many at a time as there are threads and memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, RecordBatch, UInt32Array, make_comparator,
};
use arrow::compute::{SortOptions, concat_batches, take_record_batch};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::task::JoinSet;

use super::Error;
use super::id_map::PARTS;
use super::sink::Files;
use super::table::TablePlan;
use super::tally::Tally;
use crate::engine::spill::{Blocks, widened};
use crate::engine::{FileEntry, Job, TableLedger};

/// Rows of a part of a bucket, on average at most; they are put in order in memory.
const PART_ROWS: u64 = 1 << 18;
/// Rows that are parted at a time, for each part of a bucket: blocks get some 300 rows with 100 buckets.
const BATCH_ROWS: usize = 1 << 15;
/// Memory that putting a part in order takes, as a multiple of its bytes on disk: as read, as one batch, in
/// order, and what the encoder holds.
const COPIES: u64 = 4;

/// Writes a table's rows and books them. Returns the files in the order of their buckets.
pub(super) async fn write(
    plan: TablePlan,
    files: &Files<'_>,
    buckets: u32,
    ledger: &mut TableLedger,
    job: &Job,
) -> Result<Vec<FileEntry>, Error> {
    let table = plan.spec.name;
    let parts = parts(ledger.rows_in, buckets);
    let streams = plan.rows.execute_stream_partitioned().await.map_err(Error::query(table))?;
    let mut tasks = JoinSet::new();
    for (number, rows) in streams.into_iter().enumerate() {
        let path = job.scratch.join(format!("{table}-{number}.arrows"));
        let task = Scatter {
            blocks: Blocks::create(&path, table, buckets * parts)?,
            tally: Tally::new(plan.changes.len()),
            schema: files.schema.clone(),
            parts,
            table,
            job: job.clone(),
        };
        tasks.spawn(task.run(rows));
    }
    let mut spilled = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (blocks, tally) =
            done.map_err(|e| Error::query(table)(DataFusionError::ExecutionJoin(Box::new(e))))??;
        if tally.strangers > 0 {
            return Err(Error::PersonNotInMap { table: table.to_owned(), rows: tally.strangers });
        }
        tally.book(ledger, &plan.changes);
        spilled.push(blocks);
    }
    let sorted = Sorted { spilled: &spilled, files, parts, job };
    let mut written = sorted.write(buckets)?;
    if written.is_empty() {
        // A table without rows gets one empty file, so that readers find it.
        written.push(files.create(Some(0))?.finish()?);
    }
    for blocks in spilled {
        blocks.remove()?;
    }
    Ok(written)
}

/// Parts of a bucket for a table of so many rows: a power of two, at most [`PARTS`].
fn parts(rows: u64, buckets: u32) -> u32 {
    let wanted = rows.div_ceil(u64::from(buckets) * PART_ROWS).clamp(1, u64::from(PARTS));
    (wanted as u32).next_power_of_two()
}

/// One stream of rows on its way to the disk.
struct Scatter {
    blocks: Blocks,
    tally: Tally,
    schema: SchemaRef,
    parts: u32,
    table: &'static str,
    job: Job,
}

impl Scatter {
    async fn run(mut self, mut rows: SendableRecordBatchStream) -> Result<(Blocks, Tally), Error> {
        let mut pending: Vec<RecordBatch> = Vec::new();
        let mut held = 0;
        while let Some(batch) = rows.next().await {
            self.job.check()?;
            let batch = batch.map_err(Error::query(self.table))?;
            let released = self.schema.fields().len();
            let kept = self.tally.keep(&batch, released);
            // The slot is the first hidden column.
            let kept = kept.and_then(|kept| kept.project(&(0..=released).collect::<Vec<_>>()));
            let kept = kept.map_err(Error::arrow(self.table))?;
            held += kept.num_rows();
            pending.push(kept);
            if held >= BATCH_ROWS * self.parts as usize {
                self.flush(&mut pending)?;
                held = 0;
            }
            self.job.progress.advance(batch.num_rows() as u64);
        }
        self.flush(&mut pending)?;
        Ok((self.blocks, self.tally))
    }

    fn flush(&mut self, pending: &mut Vec<RecordBatch>) -> Result<(), Error> {
        let Some(first) = pending.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &*pending).map_err(Error::arrow(self.table))?;
        pending.clear();
        let released = self.schema.fields().len();
        let slots = rows.column(released).as_primitive::<Int32Type>();
        let slots: Vec<u32> =
            slots.values().iter().map(|s| s.cast_unsigned() / (PARTS / self.parts)).collect();
        let rows = rows.project(&(0..released).collect::<Vec<_>>());
        self.blocks.scatter(&rows.map_err(Error::arrow(self.table))?, &slots)?;
        Ok(())
    }
}

/// The file of a bucket; none when it has no rows.
type Written = Result<Option<FileEntry>, Error>;

/// Parted rows, to be put in order and written.
struct Sorted<'a> {
    spilled: &'a [Blocks],
    files: &'a Files<'a>,
    parts: u32,
    job: &'a Job,
}

impl Sorted<'_> {
    fn write(&self, buckets: u32) -> Result<Vec<FileEntry>, Error> {
        let next = AtomicU32::new(0);
        let done: Mutex<Vec<(u32, Written)>> = Mutex::default();
        let work = || {
            loop {
                let bucket = next.fetch_add(1, Ordering::Relaxed);
                if bucket >= buckets {
                    return;
                }
                let made = self.bucket(bucket);
                if made.is_err() {
                    // The others stop at their next bucket.
                    next.store(buckets, Ordering::Relaxed);
                }
                let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                done.push((bucket, made));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.workers(buckets) {
                scope.spawn(work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.sort_by_key(|(bucket, _)| *bucket);
        done.into_iter().filter_map(|(_, made)| made.transpose()).collect()
    }

    /// How many parts memory has room for at a time, at most one a thread.
    fn workers(&self, buckets: u32) -> usize {
        let bytes = |slot| self.spilled.iter().map(|b| b.bytes(slot)).sum::<u64>();
        let largest = (0..buckets * self.parts).map(bytes).max().unwrap_or(0);
        self.job.workers(largest * COPIES)
    }

    /// Writes the file of a bucket.
    fn bucket(&self, bucket: u32) -> Written {
        let mut file = None;
        for slot in bucket * self.parts..(bucket + 1) * self.parts {
            self.job.check()?;
            let rows = self.rows(slot)?;
            if rows.num_rows() == 0 {
                continue;
            }
            let file = match &mut file {
                Some(file) => file,
                none => none.insert(self.files.create(Some(bucket))?),
            };
            file.write(&rows)?;
        }
        Ok(file.map(|file| file.finish()).transpose()?)
    }

    /// A slot's rows, in order.
    fn rows(&self, slot: u32) -> Result<RecordBatch, Error> {
        let schema = &self.files.schema;
        let mut batches = Vec::new();
        for blocks in self.spilled {
            for batch in blocks.read(slot)? {
                batches.push(widened(&batch, schema).map_err(Error::arrow(self.files.table))?);
            }
        }
        let rows = concat_batches(schema, &batches);
        drop(batches);
        let rows =
            rows.and_then(|rows| take_record_batch(&rows, &in_order(&rows, &self.files.order)?));
        rows.map_err(Error::arrow(self.files.table))
    }
}

/// The order of rows by the columns `order`, then by all others, null first: equal rows alone may stand
/// either way, so that the order in which rows come says nothing.
fn in_order(rows: &RecordBatch, order: &[i32]) -> Result<UInt32Array, ArrowError> {
    let mut columns: Vec<&ArrayRef> = order.iter().map(|c| rows.column(*c as usize)).collect();
    let others = (0..rows.num_columns()).filter(|c| !order.contains(&(*c as i32)));
    columns.extend(others.map(|c| rows.column(c)));
    let options = SortOptions { descending: false, nulls_first: true };
    let compare: Vec<DynComparator> = columns
        .iter()
        .map(|c| make_comparator(c.as_ref(), c.as_ref(), options))
        .collect::<Result<_, _>>()?;
    let numbers: Vec<Vec<i64>> = columns.iter().take(3).map_while(|c| numbers(c)).collect();
    let key = |i: usize| [0, 1, 2].map(|k| numbers.get(k).map_or(0, |column| column[i]));
    let mut keys: Vec<([i64; 3], u32)> = (0..rows.num_rows()).map(|i| (key(i), i as u32)).collect();
    // Rows come in runs that are in order already, which a stable sort merges.
    keys.sort_by(|(a, i), (b, j)| {
        let rest = || compare.iter().map(|c| c(*i as usize, *j as usize)).find(|o| o.is_ne());
        a.cmp(b).then_with(|| rest().unwrap_or(std::cmp::Ordering::Equal))
    });
    Ok(UInt32Array::from_iter_values(keys.into_iter().map(|(_, i)| i)))
}

/// Whole numbers that stand in the order of a column's values, null lowest; none for other types.
fn numbers(column: &ArrayRef) -> Option<Vec<i64>> {
    let values: Vec<i64> = match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values().to_vec(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
        }
        DataType::Date32 => {
            column.as_primitive::<Date32Type>().values().iter().map(|d| i64::from(*d)).collect()
        }
        _ => return None,
    };
    let Some(nulls) = column.nulls() else { return Some(values) };
    let lowest = |(value, valid)| if valid { value } else { i64::MIN };
    Some(values.into_iter().zip(nulls.iter()).map(lowest).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::compute::{SortColumn, lexsort_to_indices};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn large_tables_have_more_parts() {
        let rows = [0, 1, 26_214_400, 26_214_401, 100_000_000, 10_000_000_000];
        assert_eq!(rows.map(|rows| parts(rows, 100)), [1, 1, 1, 2, 4, PARTS]);
    }

    proptest! {
        /// As arrow's own sort by the same columns.
        #[test]
        fn rows_are_put_in_order(
            rows in prop::collection::vec(
                (0..3_i64, prop::option::of(-2..2_i64), prop::option::of("[ab]{0,2}"), -1.0..1.0),
                0..60,
            ),
        ) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter(rows.iter().map(|r| r.2.clone()))),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0))),
                Arc::new(Int64Array::from_iter(rows.iter().map(|r: &(i64, Option<i64>, _, f64)| r.1))),
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.3))),
            ];
            let kinds = columns.iter().map(|c| c.data_type().clone());
            let fields: Vec<Field> = kinds.enumerate()
                .map(|(i, kind)| Field::new(format!("c{i}"), kind, true)).collect();
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
            let by = |c: usize| SortColumn { values: batch.column(c).clone(), options: None };
            let expected = lexsort_to_indices(&[1, 2, 0, 3].map(by), None).unwrap();
            let got = in_order(&batch, &[1, 2]).unwrap();
            let taken = |order| take_record_batch(&batch, order).unwrap();
            prop_assert_eq!(taken(&got), taken(&expected));
        }
    }
}
