//! A small controlled tier, written with arrow: 2,400 people, a callset of 2,300 of them in five ancestry
//! groups (one too small to publish), 46 concepts and 400 variants.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use strata::config::disclosure::{AllelePolicy, Disclosure, PolicyHead, PublicPolicy, SitePolicy};
use strata::engine::parquet::{FileTags, TableFile, properties};
use strata::engine::{FileEntry, Job, StageOutput};
use strata::publish::{Error, Previous, Prf, PublishRequest, build};

pub const PEOPLE: i64 = 2_400;

/// A fixed sequence of numbers, so that the fixture is the same everywhere.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
    pub fn chance(&mut self, p: f64) -> bool {
        (self.below(1 << 24) as f64) < p * (1 << 24) as f64
    }
}

pub fn keyed(key: &'static [u8]) -> impl Fn(&str, &str, u32) -> u32 + Send + Sync {
    move |table: &str, cell: &str, base: u32| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(&(table.len() as u64).to_be_bytes());
        mac.update(table.as_bytes());
        mac.update(cell.as_bytes());
        let tag = mac.finalize().into_bytes();
        let number = u64::from_be_bytes(tag[..8].try_into().expect("8 bytes"));
        (number % u64::from(base)) as u32
    }
}

pub fn policy() -> PublicPolicy {
    PublicPolicy {
        policy: PolicyHead { name: "test".into(), tier: strata::config::Tier::Public },
        disclosure: Disclosure::default(),
        alleles: AllelePolicy::default(),
        site: SitePolicy::default(),
    }
}

pub fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub fn write(root: &Path, path: &str, tier: &str, columns: Vec<(&str, ArrayRef)>) -> FileEntry {
    let fields: Vec<Field> =
        columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch =
        RecordBatch::try_new(schema.clone(), columns.into_iter().map(|c| c.1).collect()).unwrap();
    write_batch(root, path, tier, &batch)
}

pub fn write_batch(root: &Path, path: &str, tier: &str, batch: &RecordBatch) -> FileEntry {
    let tags = FileTags {
        tier: tier.into(),
        table: "t".into(),
        callset: None,
        date_basis: "true",
        vocabulary: None,
    };
    let properties = properties(&tags, &[]).build();
    let mut file = TableFile::create(root, path, batch.schema(), tags, properties).unwrap();
    file.write(batch).unwrap();
    file.finish().unwrap()
}

fn born(person: i64) -> i64 {
    1930 + (person * 37) % 75
}

pub fn person(root: &Path, people: i64) -> FileEntry {
    let each = || 1..=people;
    write(
        root,
        "controlled/omop/person/part-0000.parquet",
        "controlled",
        vec![
            ("person_id", ints(each())),
            (
                "gender_concept_id",
                ints(each().map(|p| [8507, 8532, 8532, 0][(p % 61 % 4) as usize])),
            ),
            ("year_of_birth", ints(each().map(born))),
            (
                "race_concept_id",
                ints(each().map(|p| [8527, 8527, 8516, 8515, 0][(p % 5) as usize])),
            ),
            (
                "ethnicity_concept_id",
                ints(each().map(|p| [38003564, 38003563][(p % 4 / 3) as usize])),
            ),
        ],
    )
}

/// `(person, concept, day)` rows as a domain table.
pub fn events(
    root: &Path,
    table: &str,
    bucket: u32,
    columns: [&str; 2],
    rows: &[(i64, i64, i32)],
) -> FileEntry {
    write(
        root,
        &format!("controlled/omop/{table}/person_bucket={bucket:03}/part-0000.parquet"),
        "controlled",
        vec![
            ("person_id", ints(rows.iter().map(|r| r.0))),
            (columns[0], ints(rows.iter().map(|r| r.1))),
            (columns[1], Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Date32Array>())),
        ],
    )
}

const CONDITIONS: [&str; 23] = [
    "Essential hypertension",
    "Type 2 diabetes mellitus",
    "Hyperlipidemia",
    "Osteoarthritis",
    "Asthma",
    "Gastroesophageal reflux disease",
    "Viral sinusitis",
    "Acute bronchitis",
    "Otitis media",
    "Atrial fibrillation",
    "Coronary arteriosclerosis",
    "Chronic kidney disease",
    "Major depressive disorder",
    "Anxiety disorder",
    "Migraine",
    "Hypothyroidism",
    "Obesity",
    "Osteoporosis",
    "Gastrointestinal hemorrhage",
    "Concussion with no loss of consciousness",
    "Psoriasis",
    "Rare disorder A",
    "Rare disorder B",
];
const DRUGS: [&str; 23] = [
    "Acetaminophen 325 MG Oral Tablet",
    "Aspirin 81 MG Oral Tablet",
    "Ibuprofen 200 MG Oral Tablet",
    "Metformin 500 MG Oral Tablet",
    "Lisinopril 10 MG Oral Tablet",
    "Simvastatin 20 MG Oral Tablet",
    "Celecoxib 200 MG Oral Capsule",
    "Diclofenac 75 MG Delayed Release Tablet",
    "Amoxicillin 250 MG",
    "Penicillin V 250 MG",
    "Levothyroxine 50 MCG",
    "Albuterol inhaler",
    "Omeprazole 20 MG",
    "Sertraline 50 MG",
    "Warfarin 5 MG",
    "Alendronate 70 MG",
    "Sumatriptan 50 MG",
    "Clopidogrel 75 MG",
    "Hydrocodone / Acetaminophen",
    "Insulin glargine",
    "Doxycycline 100 MG",
    "Rare drug A",
    "Rare drug B",
];

/// The whole fixture; returns the controlled tier's files.
pub fn controlled(root: &Path) -> Vec<FileEntry> {
    let mut numbers = Numbers(7);
    let mut files = vec![person(root, PEOPLE)];
    for (table, columns, names, first) in [
        (
            "condition_occurrence",
            ["condition_concept_id", "condition_start_date"],
            CONDITIONS,
            320_000,
        ),
        ("drug_exposure", ["drug_concept_id", "drug_exposure_start_date"], DRUGS, 1_110_000),
    ] {
        let mut buckets = [Vec::new(), Vec::new()];
        for (i, _) in names.iter().enumerate() {
            let share = if i >= 21 { 0.004 } else { 0.62 / (1.0 + i as f64 * 0.55) };
            for p in (1..=PEOPLE).filter(|p| p % 12 != 0) {
                let old = (2026 - born(p)) as f64 / 96.0;
                for _ in 0..=numbers.below(2) {
                    if numbers.chance(share * if i % 3 == 0 { old * 1.4 } else { 0.8 } / 1.5) {
                        let since = (born(p) - 1970) * 365 + 6_000 + i as i64 * 300;
                        let day = (since + numbers.below(15_000) as i64).min(20_400);
                        buckets[(p % 2) as usize].push((p, first + i as i64, day as i32));
                    }
                }
            }
        }
        // Someone who is not in the tier, and an unmapped row: neither may count.
        buckets[0].extend((0..100).map(|p| (90_000 + p, first, 18_000)));
        buckets[0].extend((1..=500).map(|p| (p, 0, 18_000)));
        for (bucket, rows) in buckets.iter().enumerate() {
            files.push(events(root, table, bucket as u32, columns, rows));
        }
    }
    let ids = || (0..23).map(|i| 320_000 + i).chain((0..23).map(|i| 1_110_000 + i));
    files.push(write(
        root,
        "controlled/omop/concept/part-0000.parquet",
        "controlled",
        vec![
            ("concept_id", ints(ids())),
            ("concept_name", texts(CONDITIONS.iter().chain(&DRUGS).map(|n| Some(*n)))),
            (
                "domain_id",
                texts(ids().map(|i| Some(if i < 1_000_000 { "Condition" } else { "Drug" }))),
            ),
            (
                "vocabulary_id",
                texts(ids().map(|i| Some(if i < 1_000_000 { "SNOMED" } else { "RxNorm" }))),
            ),
        ],
    ));
    files.extend(callset(root, &mut numbers));
    files
}

pub const GROUPS: [&str; 5] = ["afr", "amr", "eas", "eur", "sas"];

fn callset(root: &Path, numbers: &mut Numbers) -> Vec<FileEntry> {
    let people: Vec<i64> = (1..=2_300).collect();
    let group = |p: i64| match p % 46 {
        0..=12 => 0,
        13..=22 => 1,
        23..=27 => 2,
        28..=44 => 3,
        _ => 4,
    };
    let samples = write(
        root,
        "controlled/genomics/wgs/samples/part-0000.parquet",
        "controlled",
        vec![
            ("sample_idx", Arc::new((0..2_300).map(Some).collect::<Int32Array>())),
            ("person_id", ints(people.iter().copied())),
            ("sex", texts(people.iter().map(|p| Some(["female", "male"][(p % 2) as usize])))),
            ("ancestry", texts(people.iter().map(|&p| Some(GROUPS[group(p)])))),
        ],
    );
    let mut rows = Vec::new();
    for v in 0..400 {
        let mut counts = [[0i64; 4]; 6]; // ac, an, hom, missing; all first
        let common = (numbers.below(1000) as f64 / 1000.0).powi(4);
        let shares: Vec<f64> = (0..5)
            .map(|_| (common * (0.4 + numbers.below(160) as f64 / 100.0)).min(0.99))
            .collect();
        let miss = if v % 3 == 0 { 0.02 } else { 0.0 };
        for &p in &people {
            let g = group(p);
            let gt = if numbers.chance(miss) {
                None
            } else {
                Some(i64::from(numbers.chance(shares[g])) + i64::from(numbers.chance(shares[g])))
            };
            for cell in [0, g + 1] {
                match gt {
                    None => counts[cell][3] += 1,
                    Some(n) => {
                        counts[cell][0] += n;
                        counts[cell][1] += 2;
                        counts[cell][2] += i64::from(n == 2);
                    }
                }
            }
        }
        rows.push(counts);
    }
    let pos = |v: usize| 9_411_239 + 217 * v as i64;
    let vids: Vec<String> = (0..400).map(|v| format!("chr21-{}-G-A", pos(v))).collect();
    let rsids: Vec<String> = (0..400).map(|v| format!("rs{}", 181_691_356 + 13 * v)).collect();
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("vid".into(), texts(vids.iter().map(|v| Some(v.as_str())))),
        ("pos".into(), Arc::new((0..400).map(|v| Some(pos(v) as i32)).collect::<Int32Array>())),
        ("ref".into(), texts((0..400).map(|_| Some("G")))),
        ("alt".into(), texts((0..400).map(|_| Some("A")))),
        ("rsid".into(), texts(rsids.iter().map(|r| Some(r.as_str())))),
        ("variant_type".into(), texts((0..400).map(|_| Some("snv")))),
        ("ac".into(), ints(rows.iter().map(|r| r[0][0]))),
        ("an".into(), ints(rows.iter().map(|r| r[0][1]))),
        ("n_hom_alt".into(), ints(rows.iter().map(|r| r[0][2]))),
        ("n_missing".into(), ints(rows.iter().map(|r| r[0][3]))),
        ("n_called".into(), ints(rows.iter().map(|r| r[0][1] / 2))),
    ];
    for (g, name) in GROUPS.iter().enumerate() {
        for (i, c) in ["ac", "an", "hom"].iter().enumerate() {
            columns.push((format!("{c}_{name}"), ints(rows.iter().map(|r| r[g + 1][i]))));
        }
    }
    let columns = columns.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
    let path = "controlled/genomics/wgs/variants/chrom=chr21/part-0000.parquet";
    vec![samples, write(root, path, "controlled", columns)]
}

/// Ancestry, people, and per variant people with one copy, two copies and no call.
pub type Group<'a> = (&'a str, i64, Vec<[i64; 3]>);

/// What of a callset is not in its groups.
#[derive(Clone, Copy, Default)]
pub struct Extra {
    /// First research id.
    pub first: i64,
    /// How many of the missing people have half a call.
    pub half: i64,
    /// How many of the reference homozygotes of the last group have one copy only.
    pub hemi_ref: i64,
}

/// A callset `name` of `groups` on chromosome 20, people with ids from 1; variants as many as in the
/// groups' lists.
pub fn small_callset(
    root: &Path,
    name: &str,
    groups: &[Group<'_>],
    extra: Extra,
) -> Vec<FileEntry> {
    let first = extra.first.max(1);
    let ancestry: Vec<&str> =
        groups.iter().flat_map(|g| std::iter::repeat_n(g.0, g.1 as usize)).collect();
    let samples = write(
        root,
        &format!("controlled/genomics/{name}/samples/part-0000.parquet"),
        "controlled",
        vec![
            ("person_id", ints((0..ancestry.len() as i64).map(|i| first + i))),
            ("ancestry", texts(ancestry.iter().map(|a| Some(*a)))),
        ],
    );
    let variants = groups[0].2.len();
    let vids: Vec<String> = (0..variants).map(|v| format!("chr20-{}-G-A", 1_000 + v)).collect();
    let sum = |v: usize, f: &dyn Fn(&Group<'_>, [i64; 3]) -> i64| -> i64 {
        groups.iter().map(|g| f(g, g.2[v])).sum()
    };
    let an = |g: &Group<'_>, [_, _, missing]: [i64; 3]| 2 * (g.1 - missing);
    let each = |f: &dyn Fn(usize) -> i64| ints((0..variants).map(f));
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("vid".into(), texts(vids.iter().map(|v| Some(v.as_str())))),
        ("pos".into(), each(&|v| 1_000 + v as i64)),
        ("ref".into(), texts(vids.iter().map(|_| Some("G")))),
        ("alt".into(), texts(vids.iter().map(|_| Some("A")))),
        ("ac".into(), each(&|v| sum(v, &|_, [het, hom, _]| het + 2 * hom))),
        ("an".into(), each(&|v| sum(v, &an) - extra.hemi_ref)),
        ("n_hom_alt".into(), each(&|v| sum(v, &|_, [_, hom, _]| hom))),
        ("n_called".into(), each(&|v| sum(v, &an) / 2)),
        ("n_missing".into(), each(&|v| sum(v, &|_, [_, _, missing]| missing))),
        ("n_half".into(), each(&|_| extra.half)),
    ];
    for (g, group) in groups.iter().enumerate() {
        let short = if g + 1 == groups.len() { extra.hemi_ref } else { 0 };
        let of = |c: &str| format!("{c}_{}", group.0);
        columns.push((of("ac"), each(&|v| group.2[v][0] + 2 * group.2[v][1])));
        columns.push((of("an"), each(&|v| an(group, group.2[v]) - short)));
        columns.push((of("hom"), each(&|v| group.2[v][1])));
    }
    let columns = columns.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
    let path = format!("controlled/genomics/{name}/variants/chrom=chr20/part-0000.parquet");
    vec![samples, write(root, &path, "controlled", columns)]
}

/// Publishes `files` below `out`.
pub fn publish(
    root: &Path,
    files: &[FileEntry],
    callsets: &[&str],
    out: &Path,
    threads: usize,
    prf: &dyn Prf,
) -> Result<StageOutput, Error> {
    publish_after(root, files, callsets, out, threads, prf, None)
}

/// [`publish`] when `previous` is the current release.
pub fn publish_after(
    root: &Path,
    files: &[FileEntry],
    callsets: &[&str],
    out: &Path,
    threads: usize,
    prf: &dyn Prf,
    previous: Option<Previous>,
) -> Result<StageOutput, Error> {
    let request = PublishRequest {
        root: root.into(),
        files: files.to_vec(),
        callsets: callsets.iter().map(|c| (*c).to_owned()).collect(),
        policy: policy(),
        prf,
        programme: "Cedar & Coast Cohort".into(),
        release: "2026q4r1".into(),
        reference_date: jiff::civil::date(2026, 1, 1),
        previous: previous.into_iter().collect(),
    };
    build(&request, &Job::quiet(out, threads))
}
