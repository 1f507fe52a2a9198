//! Bytes, time to write and time to count of the forms a row of `genotypes` could have.
//!
//! `cargo bench --bench layout [-- SAMPLES...]`; prints the tables of benches/results/layout.md. Genotypes
//! are made up: allele counts follow `k^-1.3` (about the spectrum of large sequenced cohorts), carriers are
//! random (no linkage: the worst case for planes), one variant in twenty has 0.1 to 2 % of calls missing.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints and may panic")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Array, ListBuilder, RecordBatch, UInt32Builder,
};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use strata::engine::Keyring;
use strata::genotype::Error;
use strata::genotype::query::{Genotypes, SampleSet, Span};

/// How rows are written.
#[derive(Clone, Copy)]
struct Form {
    /// A row is lists if at most one in so many samples has a bit set; 0: always, `None`: never.
    share: Option<usize>,
    codec: Compression,
    delta: bool,
    group_rows: usize,
    page_bytes: usize,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// het and hom-alt planes of a row.
type Row = (Vec<u8>, Vec<u8>);

fn rows(samples: usize, variants: usize) -> Vec<Row> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (a, top) = (-0.3f64, (2 * samples) as f64);
    (0..variants)
        .map(|_| {
            let (mut het, mut hom) =
                (vec![0u8; samples.div_ceil(8)], vec![0u8; samples.div_ceil(8)]);
            // The inverse of the distribution with density k^-1.3 on 1..2n.
            let u = random.unit();
            let copies = (1.0 + u * (top.powf(a) - 1.0)).powf(1.0 / a) as usize;
            for _ in 0..copies.min(2 * samples - 1) {
                let i = random.next() as usize % samples;
                let (byte, bit) = (i / 8, 1 << (i % 8));
                if het[byte] & bit > 0 {
                    het[byte] &= !bit;
                    hom[byte] |= bit;
                } else if hom[byte] & bit == 0 {
                    het[byte] |= bit;
                }
            }
            if random.next().is_multiple_of(20) {
                let missing = (0.001 + 0.019 * random.unit()) * samples as f64;
                for _ in 0..missing as usize {
                    let i = random.next() as usize % samples;
                    het[i / 8] |= 1 << (i % 8);
                    hom[i / 8] |= 1 << (i % 8);
                }
            }
            (het, hom)
        })
        .collect()
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b))
}

fn batch(rows: &[Row], first: usize, samples: usize, share: Option<usize>) -> RecordBatch {
    let bytes = samples.div_ceil(8) as i32;
    let mut planes = [0; 4].map(|_| FixedSizeBinaryBuilder::with_capacity(rows.len(), bytes));
    let item = Arc::new(Field::new_list_field(DataType::UInt32, false));
    let mut lists = [0; 4].map(|_| ListBuilder::new(UInt32Builder::new()).with_field(item.clone()));
    for (het, hom) in rows {
        let set: usize = het.iter().zip(hom).map(|(h, m)| (h | m).count_ones() as usize).sum();
        if share.is_some_and(|share| set * share <= samples) {
            planes.iter_mut().for_each(FixedSizeBinaryBuilder::append_null);
            for (i, (het, hom)) in het.chunks(8).zip(hom.chunks(8)).enumerate() {
                let (h, m) = (word(het), word(hom));
                for (list, word) in lists.iter_mut().zip([h & !m, m & !h, h & m]) {
                    let mut rest = word;
                    while rest != 0 {
                        list.values().append_value((i * 64) as u32 + rest.trailing_zeros());
                        rest &= rest - 1;
                    }
                }
            }
            lists[..3].iter_mut().for_each(|l| l.append(true));
            lists[3].append(false);
        } else {
            planes[0].append_value(het).unwrap();
            planes[1].append_value(hom).unwrap();
            planes[2].append_null();
            planes[3].append_null();
            lists.iter_mut().for_each(|l| l.append(false));
        }
    }
    let n = rows.len() as i32;
    let first = first as i32;
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(first..first + n)),
        Arc::new(Int32Array::from_iter_values((first..first + n).map(|i| 1 + i * 13))),
    ];
    arrays.extend(planes.iter_mut().map(|p| Arc::new(p.finish()) as ArrayRef));
    if share.is_some() {
        arrays.extend(lists.iter_mut().map(|l| Arc::new(l.finish()) as ArrayRef));
    }
    RecordBatch::try_new(schema(samples, share.is_some()), arrays).unwrap()
}

fn schema(samples: usize, lists: bool) -> Arc<Schema> {
    let plane =
        |name, null| Field::new(name, DataType::FixedSizeBinary(samples.div_ceil(8) as i32), null);
    let mut fields = vec![
        Field::new("variant_idx", DataType::Int32, false),
        Field::new("pos", DataType::Int32, false),
        plane("het", lists),
        plane("hom_alt", lists),
        plane("phase", true),
        plane("haploid", true),
    ];
    if lists {
        let list = DataType::new_list(DataType::UInt32, false);
        for name in ["het_idx", "hom_alt_idx", "missing_idx", "phase_idx"] {
            fields.push(Field::new(name, list.clone(), true));
        }
    }
    Arc::new(Schema::new(fields))
}

fn properties(form: Form) -> WriterProperties {
    let mut p = WriterProperties::builder()
        .set_compression(form.codec)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled("pos".into(), EnabledStatistics::Page)
        .set_column_encoding("variant_idx".into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding("pos".into(), Encoding::DELTA_BINARY_PACKED)
        .set_max_row_group_row_count(Some(form.group_rows))
        .set_data_page_size_limit(form.page_bytes);
    for list in ["het_idx", "hom_alt_idx", "missing_idx", "phase_idx"] {
        let path = ColumnPath::new(vec![list.into(), "list".into(), "item".into()]);
        let encoding = if form.delta { Encoding::DELTA_BINARY_PACKED } else { Encoding::PLAIN };
        p = p.set_column_encoding(path, encoding);
    }
    p.build()
}

fn write(path: &Path, rows: &[Row], samples: usize, form: Form) {
    let file = File::create(path).unwrap();
    let schema = schema(samples, form.share.is_some());
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties(form))).unwrap();
    for (i, part) in rows.chunks(form.group_rows).enumerate() {
        writer.write(&batch(part, i * form.group_rows, samples, form.share)).unwrap();
    }
    writer.close().unwrap();
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed(mut work: impl FnMut()) -> f64 {
    let one = |()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    median(std::iter::repeat_n((), 5).map(one).collect())
}

/// Counts in five groups and all; milliseconds.
fn query(path: &Path, samples: usize, sets: &[SampleSet], span: Span, expect: usize) -> (f64, u64) {
    let mut copies = 0;
    let time = timed(|| {
        let genotypes = Genotypes::open(&[path.to_owned()], samples, &Keyring::default()).unwrap();
        let mut seen = 0;
        copies = 0;
        genotypes
            .count(span, sets, |c| {
                seen += c.pos.len();
                copies += c.counts.iter().map(|c| u64::from(c.ac())).sum::<u64>();
                Ok::<_, Error>(true)
            })
            .unwrap();
        assert_eq!(seen, expect);
    });
    (time, copies)
}

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let sizes = [(2_500, 50_000), (20_000, 16_000), (100_000, 4_000), (1_000_000, 512)];
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("genotypes.parquet");
    for (samples, variants) in sizes {
        if !asked.is_empty() && !asked.contains(&samples) {
            continue;
        }
        let rows = rows(samples, variants);
        let sets: Vec<SampleSet> = std::iter::once(SampleSet::all(samples))
            .chain((0..5).map(|g| SampleSet::by(samples, |i| i % 5 == g)))
            .collect();
        println!("\n### {samples} samples, {variants} variants\n");
        println!(
            "| form | bytes a variant | write, us a variant | count 5 groups, us a variant | 200 variants, ms |"
        );
        println!("| --- | --- | --- | --- | --- |");
        let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap());
        // As the ingest has it: 64 MiB of planes, a power of two.
        let fit = ((64 << 20) / (2 * samples.div_ceil(8))).clamp(64, 8192);
        let group_rows = 1 << fit.ilog2();
        let base =
            Form { share: None, codec: zstd(1), delta: true, group_rows, page_bytes: 1 << 20 };
        let with = |share| Form { share: Some(share), ..base };
        let mut forms = vec![("planes, zstd 1".to_owned(), base)];
        forms.push(("planes, zstd 3".into(), Form { codec: zstd(3), ..base }));
        forms.push(("planes, snappy".into(), Form { codec: Compression::SNAPPY, ..base }));
        forms.push((
            "planes, not compressed".into(),
            Form { codec: Compression::UNCOMPRESSED, ..base },
        ));
        for rows in [1024, 32_768] {
            let name = format!("planes, zstd 1, {rows} rows a group");
            forms.push((name, Form { group_rows: rows, ..base }));
        }
        for kib in [128, 256, 512] {
            let name = format!("planes, zstd 1, pages of {kib} KiB");
            forms.push((name, Form { page_bytes: kib << 10, ..base }));
            let name = format!("lists up to 1 in 32, delta, pages of {kib} KiB");
            forms.push((name, Form { page_bytes: kib << 10, ..with(32) }));
        }
        for share in [1024, 256, 128, 64, 32, 16, 8] {
            forms.push((format!("lists up to 1 in {share}, delta"), with(share)));
        }
        forms.push(("lists up to 1 in 64, plain".into(), Form { delta: false, ..with(64) }));
        forms.push((
            "lists up to 1 in 64, delta, zstd 3".into(),
            Form { codec: zstd(3), ..with(64) },
        ));
        forms.push(("lists always, delta".into(), with(0)));
        let mut want = None;
        for (name, form) in forms {
            let wrote = timed(|| write(&path, &rows, samples, form)) / variants as f64 * 1e3;
            let bytes = path.metadata().unwrap().len() as f64 / variants as f64;
            let (time, copies) = query(&path, samples, &sets, Span::ALL, variants);
            assert_eq!(*want.get_or_insert(copies), copies);
            let middle = (variants / 2) as i32 * 13;
            let span = Span { start: middle + 2, end: middle + 200 * 13 + 1 };
            let (few, _) = query(&path, samples, &sets, span, 200);
            let time = time / variants as f64 * 1e3;
            println!(
                "| {name} ({} rows) | {bytes:.1} | {wrote:.2} | {time:.2} | {few:.2} |",
                form.group_rows
            );
        }
    }
}
