//! Small helpers of the genotype tests: requests, and tables read back as plain columns.
#![allow(clippy::allow_attributes, reason = "what is unused or panics differs by test file")]
#![allow(dead_code, clippy::panic, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::engine::{Job, StageOutput};
use strata::genotype::{
    CallsetRequest, Error, Genome, SampleEntry, SampleSheet, ingest, sample_names,
};

/// The shared test data, or `None` (with a printed reason) where it is absent.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(relative);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no shared data at {relative}");
    None
}

/// Every sample included; research ids run against the order of the file.
pub fn everyone(file: &Path, groups: &BTreeMap<String, String>) -> SampleSheet {
    let names = sample_names(file).unwrap();
    let n = names.len() as i64;
    let included = names
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let ancestry = groups.get(&name).cloned();
            (
                name,
                SampleEntry {
                    research_id: 7_000_000 + n - i as i64,
                    ancestry,
                    ..SampleEntry::default()
                },
            )
        })
        .collect();
    SampleSheet { included, ..SampleSheet::default() }
}

/// A request for one callset of `files`.
pub fn request(files: &[PathBuf], samples: SampleSheet) -> CallsetRequest {
    CallsetRequest {
        name: "wgs".into(),
        genome: Genome::Grch38,
        files: files.to_vec(),
        samples,
        info: Vec::new(),
        carriers: true,
        options: strata::genotype::Options::default(),
    }
}

/// Results of an ingest in a folder that goes away with it.
pub struct Run {
    pub dir: tempfile::TempDir,
    pub output: StageOutput,
}

/// Ingests with `threads`; the books must balance.
pub fn run(request: &CallsetRequest, threads: usize) -> Result<Run, Error> {
    let dir = tempfile::tempdir().unwrap();
    let output = ingest(request, &Job::quiet(dir.path(), threads))?;
    assert!(output.ledger.unbalanced().is_empty(), "{:?}", output.ledger);
    Ok(Run { dir, output })
}

/// Ingests all samples of a file.
pub fn run_all(file: &Path) -> Run {
    run(&request(&[file.to_owned()], everyone(file, &BTreeMap::new())), 2).unwrap()
}

/// A file written below a folder.
pub fn file(dir: &tempfile::TempDir, name: &str, text: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

impl Run {
    /// All rows of a table, parts in path order.
    pub fn table(&self, prefix: &str) -> Table {
        let mut batches = Vec::new();
        for entry in self.output.files.iter().filter(|f| f.path.contains(prefix)) {
            let file = std::fs::File::open(self.dir.path().join(&entry.path)).unwrap();
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            batches.push(RecordBatch::new_empty(builder.schema().clone()));
            batches.extend(builder.build().unwrap().map(Result::unwrap));
        }
        Table(concat_batches(&batches[0].schema(), &batches).unwrap())
    }

    pub fn variants(&self) -> Table {
        self.table("/variants/")
    }

    /// `(path, sha256)` of every file.
    pub fn digests(&self) -> Vec<(String, String)> {
        self.output.files.iter().map(|f| (f.path.clone(), f.sha256.clone())).collect()
    }

    pub fn ledger(&self) -> &strata::engine::TableLedger {
        &self.output.ledger.0[0]
    }
}

pub struct Table(pub RecordBatch);

impl Table {
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }
    pub fn column(&self, name: &str) -> &dyn Array {
        self.0.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
    }
    pub fn ints(&self, name: &str) -> Vec<i32> {
        self.column(name).as_primitive::<Int32Type>().values().to_vec()
    }
    pub fn longs(&self, name: &str) -> Vec<i64> {
        self.column(name).as_primitive::<Int64Type>().values().to_vec()
    }
    pub fn floats(&self, name: &str) -> Vec<Option<f64>> {
        let column = arrow::compute::cast(self.column(name), &DataType::Float64).unwrap();
        column.as_primitive::<Float64Type>().iter().collect()
    }
    pub fn texts(&self, name: &str) -> Vec<Option<String>> {
        let array = arrow::compute::cast(self.column(name), &arrow::datatypes::DataType::Utf8);
        array.unwrap().as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect()
    }
    pub fn bytes(&self, name: &str) -> Vec<Option<Vec<u8>>> {
        self.column(name).as_fixed_size_binary().iter().map(|b| b.map(<[u8]>::to_vec)).collect()
    }
}

/// Reads a gzip or plain text file whole.
pub fn read_text(path: &Path) -> String {
    use std::io::Read;
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text
}

/// Value of `key` in an INFO column.
pub fn info<'a>(text: &'a str, key: &str) -> &'a str {
    text.split(';').find_map(|f| f.strip_prefix(key)?.strip_prefix('=')).unwrap()
}

/// BGZF with blocks of `block` bytes of text each.
pub fn bgzf(text: &[u8], block: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut one = |part: &[u8]| {
        let mut c = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let mut data = vec![0; c.deflate_compress_bound(part.len())];
        let n = c.deflate_compress(part, &mut data).unwrap();
        out.extend([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, 0x42, 0x43, 2, 0]);
        out.extend(((n + 25) as u16).to_le_bytes());
        out.extend(&data[..n]);
        out.extend(libdeflater::crc32(part).to_le_bytes());
        out.extend((part.len() as u32).to_le_bytes());
    };
    text.chunks(block).for_each(&mut one);
    out.extend([
        0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, 0x42, 0x43, 2, 0, 0x1b, 0, 3, 0, 0, 0, 0, 0,
        0, 0, 0, 0,
    ]);
    out
}
