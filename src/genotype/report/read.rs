//! Reading the tables back, column by column.

use std::fs::File;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;

use super::figures::{Figures, Variant};
use super::people::{People, Person};
use crate::engine::{FileEntry, Job, parquet as engine_parquet};
use crate::error::IoError;
use crate::genotype::Error;
use crate::genotype::allele::VariantType;
use crate::genotype::region::{self, Kind};

const COLUMNS: [&str; 12] = [
    "pos",
    "ref",
    "alt",
    "variant_type",
    "filters",
    "was_split",
    "n_called",
    "n_missing",
    "ac",
    "an",
    "hwe_p",
    "excess_het_p",
];

/// Calls `each` with every batch of a file, of the columns that `wanted` names or of all.
fn batches(
    job: &Job,
    path: &str,
    wanted: Option<&[&str]>,
    mut each: impl FnMut(&RecordBatch),
) -> Result<(), Error> {
    let full = job.out.join(path);
    let fault = |source| engine_parquet::Error::Parquet { path: path.to_owned(), source };
    let file = File::open(&full).map_err(IoError::at("reading", &full))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fault)?;
    let mask = match wanted {
        Some(names) => ProjectionMask::columns(builder.parquet_schema(), names.iter().copied()),
        None => ProjectionMask::all(),
    };
    let reader = builder.with_projection(mask).build().map_err(fault)?;
    for batch in reader {
        job.check()?;
        each(&batch.map_err(Error::internal("reading a table back"))?);
    }
    Ok(())
}

fn of_table<'a>(files: &'a [FileEntry], table: &str) -> Vec<&'a FileEntry> {
    let mark = format!("/{table}/");
    let mut found: Vec<&FileEntry> = files
        .iter()
        .filter(|f| f.table == table && f.path.contains(&mark) && f.path.ends_with(".parquet"))
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Counts all variants.
pub fn variants(job: &Job, files: &[FileEntry]) -> Result<Figures, Error> {
    let parts: Vec<Result<Figures, Error>> = of_table(files, "variants")
        .into_par_iter()
        .map(|file| {
            let name = file.path.split("chrom=").nth(1).and_then(|rest| rest.split('/').next());
            let name = name.map(crate::engine::partition::of_folder);
            let chrom = region::chrom(name.as_deref().unwrap_or("?").as_bytes());
            let (rank, kind) = chrom.map_or((255, Kind::Other), |c| (c.rank, c.kind));
            let mut figures = Figures::default();
            let mut places = std::collections::BTreeMap::new();
            batches(job, &file.path, Some(&COLUMNS), |batch| {
                count(batch, kind == Kind::Autosome, &mut figures, &mut places);
            })?;
            figures.density.insert((rank, name.unwrap_or_else(|| "?".to_owned())), places);
            Ok(figures)
        })
        .collect();
    let mut all = Figures::default();
    for part in parts {
        all.merge(part?);
    }
    Ok(all)
}

fn count(
    batch: &RecordBatch,
    autosomal: bool,
    figures: &mut Figures,
    places: &mut std::collections::BTreeMap<u32, u64>,
) {
    let get = |name: &str| batch.column_by_name(name);
    let ints = |name: &str| get(name).and_then(|a| a.as_primitive_opt::<Int32Type>().cloned());
    let floats = |name: &str| get(name).and_then(|a| a.as_primitive_opt::<Float64Type>().cloned());
    let texts = |name: &str| get(name).and_then(|a| a.as_string_opt::<i32>().cloned());
    let (Some(pos), Some(ac), Some(an), Some(called), Some(missing)) =
        (ints("pos"), ints("ac"), ints("an"), ints("n_called"), ints("n_missing"))
    else {
        return;
    };
    let (Some(reference), Some(alt)) = (texts("ref"), texts("alt")) else { return };
    let names = get("variant_type")
        .and_then(|a| arrow::compute::cast(a, &arrow::datatypes::DataType::Utf8).ok());
    let names = names.as_ref().and_then(|a| a.as_string_opt::<i32>());
    let filters = get("filters").and_then(|a| a.as_list_opt::<i32>());
    let split = get("was_split").and_then(|a| a.as_boolean_opt());
    let hwe = [floats("hwe_p"), floats("excess_het_p")];
    for i in 0..batch.num_rows() {
        let kind = names.and_then(|n| VariantType::NAMES.iter().position(|k| *k == n.value(i)));
        figures.add(&Variant {
            kind: kind.unwrap_or(VariantType::Other as usize),
            reference: reference.value(i),
            alt: alt.value(i),
            ac: ac.value(i),
            an: an.value(i),
            called: [called.value(i), missing.value(i)],
            hwe: [0, 1].map(|k| hwe[k].as_ref().filter(|a| a.is_valid(i)).map(|a| a.value(i))),
            filter: match filters.filter(|f| f.is_valid(i)) {
                Some(f) => usize::from(f.value_length(i) > 0),
                None => 2,
            },
            split: split.is_some_and(|s| s.value(i)),
            autosomal,
        });
        *places.entry(pos.value(i).max(0) as u32 / 1_000_000).or_default() += 1;
    }
}

/// Reads `samples`.
pub fn people(job: &Job, files: &[FileEntry]) -> Result<People, Error> {
    let mut people = People::default();
    for file in of_table(files, "samples") {
        batches(job, &file.path, None, |batch| {
            let get = |name: &str| batch.column_by_name(name);
            let text = |name: &str, i: usize| {
                let a = get(name).and_then(|a| a.as_string_opt::<i32>())?;
                a.is_valid(i).then(|| a.value(i).to_owned())
            };
            let number = |name: &str, i: usize| {
                let a = get(name)?;
                if !a.is_valid(i) {
                    return None;
                }
                let float = a.as_primitive_opt::<Float64Type>().map(|a| a.value(i));
                let int = || a.as_primitive_opt::<Int32Type>().map(|a| f64::from(a.value(i)));
                float.or_else(int).filter(|x| x.is_finite())
            };
            for i in 0..batch.num_rows() {
                let id = get("person_id").and_then(|a| a.as_primitive_opt::<Int64Type>());
                let flags = get("flags").and_then(|a| a.as_list_opt::<i32>());
                let flags = flags.filter(|f| f.is_valid(i)).map(|f| f.value(i));
                let flags = flags
                    .as_ref()
                    .and_then(|f| f.as_string_opt::<i32>())
                    .map(|f| f.iter().flatten().map(str::to_owned).collect());
                people.all.push(Person {
                    idx: number("sample_idx", i).unwrap_or(0.0) as u32,
                    id: id.map_or(0, |a| a.value(i)),
                    sex: text("sex", i),
                    karyotype: text("karyotype", i),
                    group: text("ancestry", i),
                    flags: flags.unwrap_or_default(),
                    numbers: super::people::NUMBERS.map(|n| number(n, i)),
                });
            }
        })?;
    }
    people.group();
    Ok(people)
}
