//! Rows by bucket of persons, on disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;

use super::{Error, Request};
use crate::engine::Job;
use crate::engine::parquet::create_private_dir;
use crate::error::IoError;
use crate::omop::TableSpec;

/// Rows a bucket has on average at most.
const BUCKET_ROWS: u64 = 1 << 18;
/// Most buckets: as many files are open at a time.
const MOST_BUCKETS: u64 = 512;
/// Rows of a bucket that wait for being written.
const WAITING: usize = 4096;

/// The bucket of a person. Fibonacci hashing: ids that follow each other part evenly.
pub fn bucket_of(person: i64, buckets: u32) -> u32 {
    let mixed = (person as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((mixed * u64::from(buckets)) >> 32) as u32
}

/// The rows of all extracts by bucket, below the job's scratch folder.
pub struct Spill {
    /// Number of buckets.
    pub buckets: u32,
    /// By table: the extracts that have it, by index.
    pub sites: BTreeMap<&'static str, Vec<usize>>,
    /// By table: the columns of the specification.
    pub tables: BTreeMap<&'static str, TableSpec>,
    root: PathBuf,
}

impl Spill {
    /// Parts the rows of the tables about persons.
    pub fn of(
        request: &Request,
        tables: &BTreeMap<&'static str, TableSpec>,
        job: &Job,
    ) -> Result<Self, Error> {
        let about: BTreeMap<&'static str, TableSpec> =
            tables.iter().filter(|(_, t)| t.person_field).map(|(n, t)| (*n, t.clone())).collect();
        let count = |name: &str| -> u64 {
            request.extracts.iter().filter_map(|s| s.extract.table(name)).map(|t| t.rows).sum()
        };
        let rows: u64 = about.keys().map(|name| count(name)).sum();
        let buckets = rows.div_ceil(BUCKET_ROWS).clamp(1, MOST_BUCKETS) as u32;
        let root = job.scratch.join("buckets");
        create_private_dir(&root)?;
        let has = |name: &str| {
            let sites = request.extracts.iter().enumerate();
            sites.filter(|(_, s)| s.extract.table(name).is_some()).map(|(i, _)| i).collect()
        };
        let sites = about.keys().map(|name| (*name, has(name))).collect();
        let spill = Self { buckets, sites, tables: about, root };
        let mut tasks: Vec<(&'static str, usize)> = Vec::new();
        for (name, sites) in &spill.sites {
            tasks.extend(sites.iter().map(|site| (*name, *site)));
        }
        tasks.sort_by_key(|(name, site)| {
            std::cmp::Reverse(request.extracts[*site].extract.table(name).map_or(0, |t| t.rows))
        });
        job.progress.expect(rows * 2);
        // One table a worker, the largest first.
        tasks
            .into_par_iter()
            .with_max_len(1)
            .try_for_each(|(name, site)| spill.part(name, site, &request.extracts, job))?;
        Ok(spill)
    }

    fn path(&self, table: &str, site: usize, bucket: u32) -> PathBuf {
        self.root.join(format!("{table}-{site}-{bucket:03}.arrow"))
    }

    fn part(
        &self,
        name: &'static str,
        site: usize,
        extracts: &[crate::omop::SiteExtract],
        job: &Job,
    ) -> Result<(), Error> {
        let spec = &self.tables[name];
        let schema = spec.schema();
        let mut writers: Vec<Writer> =
            (0..self.buckets).map(|b| Writer::new(self.path(name, site, b), &schema)).collect();
        let several = extracts.len() > 1;
        for path in extracts[site].files(name) {
            let broken = |source| Error::Parquet { file: path.clone(), source };
            let file = File::open(&path).map_err(IoError::at("opening", &path))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
            for batch in builder.with_batch_size(1 << 15).build().map_err(broken)? {
                job.check()?;
                let batch = batch.map_err(|e| broken(e.into()))?;
                let batch = conform(&batch, spec, &schema, several.then_some(site))?;
                self.scatter(&batch, name, &mut writers)?;
                job.progress.advance(batch.num_rows() as u64);
            }
        }
        writers.into_iter().try_for_each(|writer| writer.finish(name))
    }

    fn scatter(
        &self,
        batch: &RecordBatch,
        name: &'static str,
        writers: &mut [Writer],
    ) -> Result<(), Error> {
        let person = batch.column_by_name("person_id").map(|c| c.as_primitive::<Int64Type>());
        let Some(person) = person else {
            return Err(Error::Internal { what: format!("`{name}` has no person_id") });
        };
        if let [only] = writers {
            return only.append(batch.clone(), name);
        }
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); writers.len()];
        for (row, id) in person.values().iter().enumerate() {
            rows[bucket_of(*id, self.buckets) as usize].push(row as u32);
        }
        for (writer, rows) in writers.iter_mut().zip(rows) {
            if !rows.is_empty() {
                let taken = take_record_batch(batch, &UInt32Array::from(rows));
                writer.append(taken.map_err(Error::arrow(name))?, name)?;
            }
        }
        Ok(())
    }

    /// The rows of a bucket of one table from one extract, in the order of the input.
    pub fn rows(&self, name: &'static str, site: usize, bucket: u32) -> Result<RecordBatch, Error> {
        let path = self.path(name, site, bucket);
        let schema = self.tables[name].schema();
        if !path.exists() {
            return Ok(RecordBatch::new_empty(schema));
        }
        let file = File::open(&path).map_err(IoError::at("opening", &path))?;
        let reader = FileReader::try_new_buffered(file, None).map_err(Error::arrow(name))?;
        let batches: Vec<RecordBatch> =
            reader.collect::<Result<_, _>>().map_err(Error::arrow(name))?;
        // Read once: the space is wanted back before the parts grow.
        std::fs::remove_file(&path).map_err(IoError::at("removing", &path))?;
        concat_batches(&schema, &batches).map_err(Error::arrow(name))
    }
}

/// The columns of the specification, ids kept apart from those of other extracts.
pub fn conform(
    batch: &RecordBatch,
    spec: &TableSpec,
    schema: &SchemaRef,
    site: Option<usize>,
) -> Result<RecordBatch, Error> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(spec.fields.len());
    for field in &spec.fields {
        let column = match batch.column_by_name(field.name) {
            Some(column) => column.clone(),
            None => new_null_array(&field.kind.data_type(), batch.num_rows()),
        };
        let id =
            field.name != "person_id" && (spec.row_id_table(field).is_some() || field.any_table);
        columns.push(match site.filter(|_| id) {
            Some(site) => raised(&column, site, spec.name, field.name)?,
            None => column,
        });
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(Error::arrow(spec.name))
}

/// Ids of extract `site` raised by site * 10^15; 0 means "none" and stays.
fn raised(
    column: &ArrayRef,
    site: usize,
    table: &'static str,
    name: &'static str,
) -> Result<ArrayRef, Error> {
    const ROOM: i64 = 1_000_000_000_000_000;
    let ids = column.as_primitive::<Int64Type>();
    if ids.iter().flatten().any(|id| !(0..ROOM).contains(&id)) {
        return Err(Error::LargeId { table, column: name });
    }
    let by = ROOM * site as i64;
    let raised = ids.iter().map(|id| id.map(|id| if id == 0 { 0 } else { id + by }));
    Ok(Arc::new(Int64Array::from_iter(raised)))
}

/// The file of a bucket, made when there is something for it.
struct Writer {
    path: PathBuf,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    rows: usize,
    file: Option<FileWriter<BufWriter<File>>>,
}

impl Writer {
    fn new(path: PathBuf, schema: &SchemaRef) -> Self {
        Self { path, schema: schema.clone(), waiting: Vec::new(), rows: 0, file: None }
    }

    fn append(&mut self, batch: RecordBatch, table: &str) -> Result<(), Error> {
        self.rows += batch.num_rows();
        self.waiting.push(batch);
        if self.rows >= WAITING { self.flush(table) } else { Ok(()) }
    }

    fn flush(&mut self, table: &str) -> Result<(), Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let batch = concat_batches(&self.schema, &self.waiting).map_err(Error::arrow(table))?;
        self.waiting.clear();
        self.rows = 0;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file =
                    File::create_new(&self.path).map_err(IoError::at("creating", &self.path))?;
                let options = IpcWriteOptions::default();
                let file =
                    FileWriter::try_new_with_options(BufWriter::new(file), &self.schema, options);
                self.file.insert(file.map_err(Error::arrow(table))?)
            }
        };
        file.write(&batch).map_err(Error::arrow(table))
    }

    fn finish(mut self, table: &str) -> Result<(), Error> {
        self.flush(table)?;
        match self.file {
            Some(mut file) => file.finish().map_err(Error::arrow(table)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_part_evenly_and_always_alike() {
        for buckets in [1, 2, 7, 64, 512] {
            let mut counts = vec![0; buckets as usize];
            (0..100_000).for_each(|p| counts[bucket_of(p * 10_000, buckets) as usize] += 1);
            let mean = 100_000 / buckets as usize;
            assert!(counts.iter().all(|&c| c > mean * 8 / 10 && c < mean * 12 / 10), "{buckets}");
        }
        assert_eq!((bucket_of(-1, 7), bucket_of(i64::MIN, 1)), (bucket_of(-1, 7), 0));
    }

    #[test]
    fn ids_of_extracts_are_kept_apart() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(7)]));
        let raised_ids = raised(&ids, 2, "visit_occurrence", "visit_occurrence_id").unwrap();
        let got: Vec<_> = raised_ids.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(got, [Some(0), None, Some(2_000_000_000_000_007)]);
        let large: ArrayRef = Arc::new(Int64Array::from(vec![1_000_000_000_000_000]));
        assert!(raised(&large, 1, "t", "c").is_err());
    }
}
