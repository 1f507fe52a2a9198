//! A tiny synthetic programme in a folder of its own, and the program run on it as a user would.
#![allow(clippy::allow_attributes, reason = "what is unused or panics differs by test file")]
#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; each test file uses a part"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The program under test.
pub const STRATA: &str = env!("CARGO_BIN_EXE_strata");

/// The root key of every programme here: 64 hex digits.
pub const KEY: &str = "8f1d3c5b7a9e0246812345fedcba98760f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// What a finished process said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("not JSON: {e}\n{self:?}"))
    }

    /// The error line of `--log-format json`.
    pub fn error(&self) -> Value {
        let line = self.err.lines().find(|line| line.contains("\"code\""));
        let line = line.unwrap_or_else(|| panic!("no error was reported: {self:?}"));
        serde_json::from_str(line).unwrap()
    }

    /// The run went well.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The run was refused with exit code 1, this code, and a report that holds all `words`.
    #[track_caller]
    pub fn refused(self, code: &str, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        let error = self.error();
        assert_eq!(error["code"], code, "{self:?}");
        for word in words {
            assert!(error.to_string().contains(word), "no `{word}` in {error:#}");
        }
        self
    }
}

/// Runs the program in `folder`.
pub fn strata<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Said {
    said(Command::new(STRATA).args(args).current_dir(folder))
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A programme: `feed/`, `policies/`, `key` and `w.toml`; its store will be `store/`.
pub struct Programme {
    folder: tempfile::TempDir,
}

impl Programme {
    /// 60 people, 300 variants, on the default temporary file system.
    pub fn new() -> Self {
        Self::of(60, 300, tempfile::tempdir().unwrap())
    }

    /// The same in memory where there is such a file system: nothing waits for a disk.
    pub fn in_memory(persons: u32, variants: u32) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self::of(persons, variants, folder)
    }

    /// A programme of this size in `folder`.
    pub fn of(persons: u32, variants: u32, folder: tempfile::TempDir) -> Self {
        let programme = Self { folder };
        let (persons, variants) = (persons.to_string(), variants.to_string());
        let synth = ["synth", "--seed", "7", "--out", "feed", "--persons", &persons, "--variants"];
        programme.strata(synth.into_iter().chain([variants.as_str()])).done();
        programme.write_policies();
        programme.write_key("key", KEY, 0o600);
        programme.write("w.toml", workflow());
        programme
    }

    fn write_policies(&self) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tiers");
        fs::create_dir(self.path("policies")).unwrap();
        for tier in ["controlled.toml", "registered.toml", "public.toml"] {
            fs::copy(from.join(tier), self.path("policies").join(tier)).unwrap();
        }
        // Lists of concepts stand beside the policies that name them.
        for entry in fs::read_dir(&from).unwrap() {
            let list = entry.unwrap().path();
            if list.extension().is_some_and(|end| end == "csv") {
                fs::copy(&list, self.path("policies").join(list.file_name().unwrap())).unwrap();
            }
        }
        // Made-up people come and go one by one here; `tests/publish.rs` holds the rule to its number.
        self.replace("policies/public.toml", "min_change = 21", "min_change = 0");
    }

    /// The programme's folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path below it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// Runs the program in the programme's folder.
    pub fn strata<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        strata(self.root(), args)
    }

    /// `strata run w.toml`, errors in JSON.
    pub fn run(&self) -> Said {
        self.run_file("w.toml")
    }

    /// `strata run` of another workflow file, errors in JSON.
    pub fn run_file(&self, file: &str) -> Said {
        self.strata(["run", file, "--log-format", "json"])
    }

    /// Writes a file.
    pub fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(relative), text).unwrap();
    }

    /// Writes a key file with a mode.
    pub fn write_key(&self, relative: &str, hex: &str, mode: u32) {
        self.write(relative, format!("{hex}\n"));
        fs::set_permissions(self.path(relative), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The text of a file, unpacked when its name ends in `.gz`.
    pub fn read(&self, relative: &str) -> String {
        let mut text = String::new();
        let mut file = File::open(self.path(relative)).unwrap();
        if relative.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        } else {
            file.read_to_string(&mut text).unwrap();
        }
        text
    }

    /// Replaces a file by what `change` makes of its text; `.gz` files are packed again.
    pub fn edit(&self, relative: &str, change: impl FnOnce(String) -> String) {
        let text = change(self.read(relative));
        if relative.ends_with(".gz") {
            let file = File::create(self.path(relative)).unwrap();
            let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap();
        } else {
            self.write(relative, text);
        }
    }

    /// Replaces one text by another, which must be there, in a file.
    #[track_caller]
    pub fn replace(&self, relative: &str, from: &str, to: &str) {
        self.edit(relative, |text| {
            assert!(text.contains(from), "no `{from}` in {relative}");
            text.replacen(from, to, 1)
        });
    }

    /// Takes a rule out of a policy.
    #[track_caller]
    pub fn without_rule(&self, relative: &str, id: &str) {
        self.edit(relative, |text| {
            let start = text.find(&format!("[[rule]]\nid = \"{id}\"")).unwrap();
            let end = text[start + 1..].find("[[rule]]").map_or(text.len(), |at| start + 1 + at);
            format!("{}{}", &text[..start], &text[end..])
        });
    }

    /// Rows of a delimited file of the feed as header name to value.
    pub fn rows(&self, relative: &str) -> Vec<BTreeMap<String, String>> {
        let delimiter = if relative.ends_with(".tsv") { b'\t' } else { b',' };
        let text = self.read(relative);
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
        reader.deserialize().map(Result::unwrap).collect()
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The release that `CURRENT` names.
    pub fn current(&self) -> Option<String> {
        current(&self.store())
    }

    /// The folder of the current release.
    pub fn release(&self) -> PathBuf {
        self.store().join("releases").join(self.current().unwrap())
    }

    /// The bytes of the current manifest.
    pub fn manifest_bytes(&self) -> Vec<u8> {
        fs::read(self.release().join("MANIFEST.json")).unwrap()
    }

    /// The current manifest.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.manifest_bytes()).unwrap()
    }

    /// `run.json` of the run that made (or would have made) `release`.
    pub fn record(&self, release: &str) -> Value {
        let id = release.rsplit('-').next().unwrap();
        let path = self.store().join(format!("runs/run-{id}/run.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

/// The release that `CURRENT` of a store names.
pub fn current(store: &Path) -> Option<String> {
    let text = fs::read_to_string(store.join("CURRENT")).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// The workflow of a programme.
pub fn workflow() -> String {
    r#"[workflow]
name = "Trial"
release = "t1"
reference_date = 2026-01-01
store = "store"

[participants]
roster = "feed/participants.csv"
samples = "feed/sample_person.csv"

[identity]
key = { file = "key" }

[vocabulary]
path = "feed/vocabulary"

[ehr.site_a]
path = "feed/omop"
cdm = "5.4"
dates = "true"

[callset.wgs]
genome = "GRCh38"
vcf = ["feed/wgs/*"]
ancestry = "feed/ancestry_preds.tsv"
sex = "feed/sample_sex.tsv"

[tier.controlled]
policy = "policies/controlled.toml"
[tier.registered]
policy = "policies/registered.toml"
[tier.public]
policy = "policies/public.toml"

[engine]
person_buckets = 2
"#
    .into()
}

/// Every file below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The Parquet files below a folder, sorted.
pub fn tables_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = files_below(folder);
    found.retain(|path| path.extension() == Some(OsStr::new("parquet")));
    found
}

/// Columns of a Parquet file as text, by name; nulls are empty.
pub fn columns(path: &Path) -> BTreeMap<String, Vec<String>> {
    try_columns(path).unwrap_or_else(|| panic!("{} is not Parquet", path.display()))
}

fn try_columns(path: &Path) -> Option<BTreeMap<String, Vec<String>>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).ok()?;
    let options = FormatOptions::default();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in reader.schema().fields() {
        columns.insert(field.name().clone(), Vec::new());
    }
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let cells = ArrayFormatter::try_new(array, &options).unwrap();
            let values = (0..batch.num_rows()).map(|row| cells.value(row).to_string());
            columns.get_mut(field.name()).unwrap().extend(values);
        }
    }
    Some(columns)
}

/// All files of a table below `folder`, one after another, as columns of text.
pub fn table(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in tables_below(folder) {
        for (name, mut values) in columns(&path) {
            all.entry(name).or_default().append(&mut values);
        }
    }
    all
}

/// Whether `bytes` hold `word`.
pub fn holds(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

/// None of `words` is in what was said, in a run record or in a quality file, packed or unpacked.
#[track_caller]
pub fn assert_silent(programme: &Programme, said: &Said, words: &[&str]) {
    let mut texts: Vec<(PathBuf, Vec<u8>)> = vec![
        ("stdout".into(), said.out.clone().into_bytes()),
        ("stderr".into(), said.err.clone().into_bytes()),
    ];
    let is_internal = |path: &PathBuf| path.iter().any(|part| part == "runs" || part == "quality");
    for path in files_below(&programme.store()).into_iter().filter(is_internal) {
        if path.extension() == Some(OsStr::new("parquet")) {
            // A killed or failed run may leave one without its end.
            let cells: Vec<String> =
                try_columns(&path).into_iter().flatten().flat_map(|(_, values)| values).collect();
            texts.push((path.clone(), cells.join("\n").into_bytes()));
        }
        texts.push((path.clone(), fs::read(path).unwrap()));
    }
    for (place, bytes) in &texts {
        for word in words {
            assert!(!holds(bytes, word.as_bytes()), "{} repeats a value", place.display());
        }
    }
}

/// Says why a test did nothing.
pub fn skipped(why: &str) {
    println!("skipped: {why}");
}
