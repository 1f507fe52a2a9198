//! The `samples` table: who is in, by `sample_idx`, with per-sample quality.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};

use super::allele::Change;
use super::cohort::Cohort;
use super::summary::{SampleSums, Sum};
use super::tables::{samples_schema, table_tags};
use super::tally::{MISSING, Tally};
use super::{Error, Sex};
use crate::engine::{FileEntry, Job, TableFile};

struct Quality {
    call_rate: Option<f64>,
    het: i64,
    hom_alt: i64,
    singletons: i64,
    ti_tv: Option<f64>,
    het_hom: Option<f64>,
    ins_del: Option<f64>,
    inbreeding: Option<f64>,
}

fn ratio(a: u64, b: u64) -> Option<f64> {
    (b > 0).then(|| a as f64 / b as f64)
}

fn quality(tally: &Tally, sample: usize, female: bool) -> Quality {
    let parts = [&tally.autosomes, &tally.others];
    let [a, b] = parts.map(|p| p.sample(sample));
    let counts: [u64; 16] = std::array::from_fn(|i| a[i] + b[i]);
    let rows: u64 = parts.iter().map(|p| p.rows - if female { p.y_rows } else { 0 }).sum();
    let copies = |c: Change| {
        let at = c as usize * 3;
        counts[at] + 2 * counts[at + 1] + counts[at + 2]
    };
    let sum = |which: usize| (0..5).map(|k| counts[k * 3 + which]).sum::<u64>();
    let (het, hom_alt) = (sum(0), sum(1));
    let singletons: u64 =
        parts.iter().map(|p| p.singletons.get(sample).map_or(0, |&s| u64::from(s))).sum();
    Quality {
        call_rate: ratio(rows - counts[MISSING], rows),
        het: het as i64,
        hom_alt: hom_alt as i64,
        singletons: singletons as i64,
        ti_tv: ratio(copies(Change::Transition), copies(Change::Transversion)),
        het_hom: ratio(het, hom_alt),
        ins_del: ratio(copies(Change::Insertion), copies(Change::Deletion)),
        inbreeding: tally.autosomes.inbreeding(sample),
    }
}

/// Writes the table.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    job: &Job,
    callset: &str,
    cohort: &Cohort,
    tally: &Tally,
    sums: &SampleSums,
) -> Result<FileEntry, Error> {
    let n = cohort.len();
    let female = |i: usize| cohort.entries[i].sex == Some(Sex::Female);
    let all: Vec<Quality> = (0..n).map(|i| quality(tally, i, female(i))).collect();
    let ints = |value: fn(&Quality) -> i64| -> ArrayRef {
        let clamp = |v: i64| i32::try_from(v).unwrap_or(i32::MAX);
        Arc::new(Int32Array::from_iter_values(all.iter().map(|q| clamp(value(q)))))
    };
    let floats = |value: fn(&Quality) -> Option<f64>| -> ArrayRef {
        Arc::new(all.iter().map(value).collect::<Float64Array>())
    };
    let means = |sums: &[Sum]| -> ArrayRef {
        let mean = |i: usize| sums.get(i).and_then(|sum| sum.mean());
        Arc::new((0..n).map(mean).collect::<Float64Array>())
    };
    let sex = |e: &super::SampleEntry| {
        e.sex.map(|s| match s {
            Sex::Female => "female",
            Sex::Male => "male",
        })
    };
    let mut flags = ListBuilder::new(StringBuilder::new());
    (0..n).for_each(|_| flags.append(true));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..n as i32)),
        Arc::new(Int64Array::from_iter_values(cohort.entries.iter().map(|e| e.research_id))),
        Arc::new(cohort.entries.iter().map(sex).collect::<StringArray>()),
        Arc::new(StringArray::new_null(n)),
        Arc::new(cohort.entries.iter().map(|e| e.ancestry.as_deref()).collect::<StringArray>()),
        floats(|q| q.call_rate),
        ints(|q| q.het),
        ints(|q| q.hom_alt),
        ints(|q| q.singletons),
        floats(|q| q.ti_tv),
        floats(|q| q.het_hom),
        floats(|q| q.ins_del),
        floats(|q| q.inbreeding),
        means(&sums.dp),
        means(&sums.gq),
        Arc::new(flags.finish()),
    ];
    let schema = Arc::new(samples_schema());
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .map_err(Error::internal("writing samples"))?;
    let tags = table_tags(callset, "samples");
    let properties = crate::engine::parquet::properties(&tags, &[0]).build();
    let path = format!("controlled/genomics/{callset}/samples/part-0000.parquet");
    let mut file = TableFile::create(&job.out, &path, schema, tags, properties)?;
    file.write(&batch)?;
    Ok(file.finish()?)
}
