//! The `samples` table: who is in, by `sample_idx`, with per-sample quality.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};

use super::allele::Change;
use super::cohort::Cohort;
use super::karyotype::{self, Signal};
use super::outlier::{Peers, Side};
use super::tables::{samples_schema, table_tags};
use super::tally::{MISSING, Part, Tally};
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
    ti: i64,
    tv: i64,
    insertions: i64,
    deletions: i64,
    private: i64,
    het_hap: i64,
}

fn ratio(a: u64, b: u64) -> Option<f64> {
    (b > 0).then(|| a as f64 / b as f64)
}

fn quality(tally: &Tally, sample: usize, female: bool) -> Quality {
    let parts = tally.parts();
    let by_part = parts.map(|p| p.sample(sample));
    let counts: [u64; 16] = std::array::from_fn(|i| by_part.iter().map(|c| c[i]).sum());
    let rows = parts.iter().map(|p| p.rows).sum::<u64>() - if female { tally.y.rows } else { 0 };
    let copies = |c: Change| {
        let at = c as usize * 3;
        counts[at] + 2 * counts[at + 1] + counts[at + 2]
    };
    let sum = |which: usize| (0..5).map(|k| counts[k * 3 + which]).sum::<u64>();
    let (het, hom_alt) = (sum(0), sum(1));
    let singletons: u64 =
        parts.iter().map(|p| p.singletons.get(sample).map_or(0, |&s| u64::from(s))).sum();
    // Of samples stated female, calls on Y are contrary too, but no hets of one copy.
    let on_y = if female { 0 } else { Part::value(&tally.y.contrary, sample) };
    let het_hap =
        Part::value(&tally.x.contrary, sample) + on_y + Part::value(&tally.others.contrary, sample);
    Quality {
        call_rate: ratio(rows - counts[MISSING], rows),
        het: het as i64,
        hom_alt: hom_alt as i64,
        singletons: singletons as i64,
        ti_tv: ratio(copies(Change::Transition), copies(Change::Transversion)),
        het_hom: ratio(het, hom_alt),
        ins_del: ratio(copies(Change::Insertion), copies(Change::Deletion)),
        inbreeding: tally.autosomes.inbreeding(sample),
        ti: copies(Change::Transition) as i64,
        tv: copies(Change::Transversion) as i64,
        insertions: copies(Change::Insertion) as i64,
        deletions: copies(Change::Deletion) as i64,
        private: parts.iter().map(|p| Part::value(&p.private, sample)).sum::<u64>() as i64,
        het_hap: het_hap as i64,
    }
}

/// What is compared among samples, under the name of its flag.
type Metric = (&'static str, Side, fn(&Quality) -> Option<f64>);

const METRICS: [Metric; 9] = [
    ("outlier_call_rate", Side::Low, |q| q.call_rate),
    ("outlier_ti_tv", Side::Both, |q| q.ti_tv),
    ("outlier_het_hom_ratio", Side::Both, |q| q.het_hom),
    ("outlier_ins_del_ratio", Side::Both, |q| q.ins_del),
    ("outlier_n_singleton", Side::Both, |q| Some(q.singletons as f64)),
    ("outlier_f_inbreeding", Side::Both, |q| q.inbreeding),
    ("outlier_n_snp", Side::Both, |q| Some((q.ti + q.tv) as f64)),
    ("outlier_n_insertion", Side::Both, |q| Some(q.insertions as f64)),
    ("outlier_n_deletion", Side::Both, |q| Some(q.deletions as f64)),
];

/// The flags of all samples: outliers in the order of [`METRICS`], then what the sex chromosomes say.
fn flags(
    cohort: &Cohort,
    all: &[Quality],
    karyotypes: &[Option<&'static str>],
    mads: f64,
) -> ArrayRef {
    let people = cohort.entries.iter().map(|e| (e.ancestry.as_deref(), e.pcs.as_slice()));
    let peers = Peers::new(people);
    let outside = METRICS.map(|(name, side, value)| {
        (name, peers.outliers(all.iter().map(value).collect(), mads, side))
    });
    let mut flags = ListBuilder::new(StringBuilder::new());
    for (i, entry) in cohort.entries.iter().enumerate() {
        let outliers = outside.iter().filter(|(_, is)| is[i]).map(|(name, _)| *name);
        for flag in outliers.chain(karyotype::flag(karyotypes[i], entry.sex)) {
            flags.values().append_value(flag);
        }
        flags.append(true);
    }
    Arc::new(flags.finish())
}

/// Writes the table; a sample is flagged beyond `mads` median absolute deviations.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    job: &Job,
    callset: &str,
    cohort: &Cohort,
    tally: &Tally,
    mads: f64,
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
    let null = |_: &Quality| None;
    let sex = |e: &super::SampleEntry| {
        e.sex.map(|s| match s {
            Sex::Female => "female",
            Sex::Male => "male",
        })
    };
    let signals: Vec<Signal> = (0..n).map(|i| Signal::of(tally, i, female(i))).collect();
    let y = karyotype::y_informative(&signals);
    let karyotypes: Vec<_> = signals.iter().map(|s| karyotype::karyotype(s, y)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..n as i32)),
        Arc::new(Int64Array::from_iter_values(cohort.entries.iter().map(|e| e.research_id))),
        Arc::new(cohort.entries.iter().map(sex).collect::<StringArray>()),
        Arc::new(karyotypes.iter().collect::<StringArray>()),
        Arc::new(cohort.entries.iter().map(|e| e.ancestry.as_deref()).collect::<StringArray>()),
        floats(|q| q.call_rate),
        ints(|q| q.het),
        ints(|q| q.hom_alt),
        ints(|q| q.singletons),
        floats(|q| q.ti_tv),
        floats(|q| q.het_hom),
        floats(|q| q.ins_del),
        floats(|q| q.inbreeding),
        floats(null),
        floats(null),
        flags(cohort, &all, &karyotypes, mads),
        Arc::new(signals.iter().map(|s| s.f_x).collect::<Float64Array>()),
        Arc::new(signals.iter().map(|s| s.y_call_rate).collect::<Float64Array>()),
        ints(|q| q.ti + q.tv),
        ints(|q| q.ti),
        ints(|q| q.tv),
        ints(|q| q.insertions),
        ints(|q| q.deletions),
        ints(|q| q.private),
        ints(|q| q.het_hap),
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
