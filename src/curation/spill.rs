//! Rows by bucket of persons, on disk: one file of [`Blocks`] a table and extract.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use rayon::prelude::*;

use super::{Error, Request};
use crate::engine::Job;
use crate::engine::parquet::create_private_dir;
use crate::engine::spill::Blocks;
use crate::error::IoError;
use crate::omop::{SiteExtract, TableSpec, former_name};

/// Rows a bucket has on average at most.
const BUCKET_ROWS: u64 = 1 << 18;
/// Most buckets: each is a file of every curated table.
const MOST_BUCKETS: u64 = 4096;
/// Rows that a worker puts in the order of buckets at a time.
const BATCH_ROWS: usize = 1 << 17;

/// Room for the row ids of each of several extracts.
const ROOM: i64 = 1_000_000_000_000_000;

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
    several: bool,
    rows: BTreeMap<(&'static str, usize), Scattered>,
}

/// The rows of one table of one extract.
struct Scattered {
    blocks: Blocks,
    /// The primary key, and the largest there is; 0 when all are below.
    key: Option<&'static str>,
    largest: i64,
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
        let rows_of = |name: &str, site: &SiteExtract| site.extract.table(name).map(|t| t.rows);
        // By table and extract that has it: number of rows, the largest first.
        let mut tasks: Vec<(u64, &'static str, usize)> = Vec::new();
        let mut sites: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
        for name in about.keys() {
            for (number, site) in request.extracts.iter().enumerate() {
                let Some(rows) = rows_of(name, site) else { continue };
                tasks.push((rows, name, number));
                sites.entry(name).or_default().push(number);
            }
        }
        tasks.sort_by_key(|(rows, ..)| std::cmp::Reverse(*rows));
        let rows: u64 = tasks.iter().map(|(rows, ..)| rows).sum();
        let buckets = rows.div_ceil(BUCKET_ROWS).clamp(1, MOST_BUCKETS) as u32;
        let root = job.scratch.join("buckets");
        create_private_dir(&root)?;
        job.progress.expect(rows * 2);
        let part = |&(_, name, number): &(u64, &'static str, usize)| {
            let path = root.join(format!("{name}-{number}.arrows"));
            let blocks = Blocks::create(&path, name, buckets)?;
            let mut scattered = Scattered { blocks, key: about[name].primary_key, largest: 0 };
            for path in request.extracts[number].files(name) {
                scatter(&path, name, &mut scattered, job)?;
            }
            Ok(((name, number), scattered))
        };
        // One table a worker.
        let rows = tasks.par_iter().with_max_len(1).map(part).collect::<Result<_, Error>>()?;
        let several = request.extracts.len() > 1;
        Ok(Self { buckets, sites, tables: about, several, rows })
    }

    /// Bytes on disk of the largest bucket.
    pub fn largest_bucket(&self) -> u64 {
        let bytes = |bucket| self.rows.values().map(|rows| rows.blocks.bytes(bucket)).sum::<u64>();
        (0..self.buckets).map(bytes).max().unwrap_or(0)
    }

    /// The largest row id of each table, of all extracts.
    pub fn largest(&self) -> BTreeMap<&'static str, i64> {
        let mut largest: BTreeMap<&'static str, i64> = BTreeMap::new();
        for ((name, site), rows) in &self.rows {
            let by = if self.several { ROOM.saturating_mul(*site as i64) } else { 0 };
            let of = largest.entry(name).or_insert(0);
            *of = rows.largest.saturating_add(by).max(*of);
        }
        largest
    }

    /// The rows of a bucket of one table from one extract, in the order of the input, with the columns
    /// of the specification.
    pub fn rows(&self, name: &'static str, site: usize, bucket: u32) -> Result<RecordBatch, Error> {
        let spec = &self.tables[name];
        let schema = spec.schema();
        let raise = self.several.then_some(site);
        let batches = self.rows[&(name, site)].blocks.read(bucket)?;
        let batches = batches.iter().map(|batch| conform(batch, spec, &schema, raise));
        let batches = batches.collect::<Result<Vec<_>, Error>>()?;
        match &batches[..] {
            [] => Ok(RecordBatch::new_empty(schema)),
            [only] => Ok(only.clone()),
            _ => concat_batches(&schema, &batches).map_err(Error::arrow(name)),
        }
    }
}

/// Appends the rows of one Parquet file to the blocks of their buckets.
fn scatter(path: &Path, name: &'static str, to: &mut Scattered, job: &Job) -> Result<(), Error> {
    let broken = |source| Error::Parquet { file: path.to_owned(), source };
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let builder = job.keyring.open(file).map_err(broken)?;
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(broken)? {
        job.check()?;
        let batch = batch.map_err(|e| broken(e.into()))?;
        let person = batch.column_by_name("person_id").map(|c| c.as_primitive::<Int64Type>());
        let Some(person) = person else {
            return Err(Error::Internal { what: format!("`{name}` has no person_id") });
        };
        let bucket = |person: &i64| bucket_of(*person, to.blocks.slots());
        let buckets: Vec<u32> = person.values().iter().map(bucket).collect();
        to.blocks.scatter(&batch, &buckets)?;
        let key = to.key.and_then(|key| batch.column_by_name(key));
        if let Some(ids) = key.and_then(|ids| ids.as_primitive_opt::<Int64Type>()) {
            to.largest = to.largest.max(arrow::compute::max(ids).unwrap_or(0));
        }
        job.progress.advance(batch.num_rows() as u64);
    }
    Ok(())
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
        let former = || former_name(field.name).and_then(|name| batch.column_by_name(name));
        let column = match batch.column_by_name(field.name).or_else(former) {
            Some(column) => column.clone(),
            None => new_null_array(&field.kind.data_type(), batch.num_rows()),
        };
        let id =
            field.name != "person_id" && (spec.row_id_table(field).is_some() || field.any_table);
        columns.push(match site.filter(|_| id) {
            Some(site) => {
                let people = people_among(batch, spec.name, field.name);
                raised(&column, site, (spec.name, field.name), people)?
            }
            None => column,
        });
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(Error::arrow(spec.name))
}

/// The id that extract `site` of several gave to a row, or the only one if there is no such number.
pub fn source_id(id: i64, site: Option<usize>) -> i64 {
    id - site.filter(|_| id != 0).map_or(0, |site| ROOM * site as i64)
}

/// Domain of facts about persons.
const PERSON: i64 = 56;

/// Which ids of a column that may point into any table are of people, who are the same in all extracts:
/// facts of the domain Person, and the subjects of cohorts.
fn people_among(batch: &RecordBatch, table: &str, column: &str) -> Option<Vec<bool>> {
    let domain = match (table, column) {
        ("cohort", "subject_id") => return Some(vec![true; batch.num_rows()]),
        ("fact_relationship", "fact_id_1") => "domain_concept_id_1",
        ("fact_relationship", "fact_id_2") => "domain_concept_id_2",
        _ => return None,
    };
    let domains = batch.column_by_name(domain)?.as_primitive_opt::<Int64Type>()?;
    Some(domains.iter().map(|domain| domain == Some(PERSON)).collect())
}

/// Ids of extract `site` raised by site * 10^15, but for those of `people`; 0 means "none" and stays.
fn raised(
    column: &ArrayRef,
    site: usize,
    (table, name): (&'static str, &'static str),
    people: Option<Vec<bool>>,
) -> Result<ArrayRef, Error> {
    let ids = column.as_primitive::<Int64Type>();
    let of_person = |i: usize| people.as_ref().is_some_and(|people| people[i]);
    let rows = || ids.iter().enumerate();
    if rows().any(|(i, id)| id.is_some_and(|id| !of_person(i) && !(0..ROOM).contains(&id))) {
        return Err(Error::LargeId { table, column: name });
    }
    let by = ROOM * site as i64;
    let raised =
        rows().map(|(i, id)| id.map(|id| if id == 0 || of_person(i) { id } else { id + by }));
    Ok(Arc::new(Int64Array::from_iter(raised)))
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
        let visits = ("visit_occurrence", "visit_occurrence_id");
        let raised_ids = raised(&ids, 2, visits, None).unwrap();
        let got: Vec<_> = raised_ids.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(got, [Some(0), None, Some(2_000_000_000_000_007)]);
        let large: ArrayRef = Arc::new(Int64Array::from(vec![1_000_000_000_000_000]));
        assert!(raised(&large, 1, ("t", "c"), None).is_err());
        // People are the same everywhere.
        let facts: Vec<(&str, ArrayRef)> = vec![
            ("domain_concept_id_1", Arc::new(Int64Array::from(vec![56, 21]))),
            ("fact_id_1", Arc::new(Int64Array::from(vec![7, 7]))),
        ];
        let facts = RecordBatch::try_from_iter(facts).unwrap();
        let people = people_among(&facts, "fact_relationship", "fact_id_1");
        let kept = raised(facts.column(1), 1, ("fact_relationship", "fact_id_1"), people).unwrap();
        assert_eq!(kept.as_primitive::<Int64Type>().values(), &[7, 1_000_000_000_000_007]);
    }
}
