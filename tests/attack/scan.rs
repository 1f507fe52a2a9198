//! A scanner of everything a run leaves: names and bytes of files, and of Parquet files the pages unpacked,
//! dictionaries and all, the values of every column, and the statistics of row groups and pages.
#![allow(clippy::allow_attributes, reason = "what is unused differs by test file")]
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests; each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use jiff::civil::Date;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::{FileReader, SerializedFileReader};
use regex::bytes::Regex;

use super::forms::{day_numbers, day_words, epoch, number_bytes, text_forms};

const DAY: i64 = 86_400_000_000;

/// The form of a time as a 64-bit number in bytes.
pub const BINARY: &str = "epoch seconds, millis or micros in binary";

/// What is looked for: a label of where it was planted, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Canary {
    /// A true date, with a second of that day.
    Date(Date, i64),
    /// A raw id.
    Id(i64),
    /// A name or a free text.
    Text(String),
}

/// One find: which canary, in which form, where and in which part of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    pub canary: String,
    pub form: &'static str,
    pub place: String,
    pub part: &'static str,
}

/// A form and the canaries that look so.
type Meaning = (&'static str, usize);

/// Looks for many canaries at once.
pub struct Scanner {
    labels: Vec<String>,
    /// Of bytes anywhere.
    pattern: Regex,
    bytes: HashMap<Vec<u8>, Meaning>,
    /// Of numbers in columns, and of runs of digits in columns of text.
    numbers: HashMap<i64, Meaning>,
    /// Of days in columns of dates and times.
    days: HashMap<i64, usize>,
}

impl Scanner {
    pub fn new<'a>(canaries: impl IntoIterator<Item = (&'a String, &'a Canary)>) -> Self {
        let (mut labels, mut bytes) = (Vec::new(), HashMap::new());
        let (mut numbers, mut days) = (HashMap::new(), HashMap::new());
        for (label, canary) in canaries {
            let at = labels.len();
            labels.push(label.clone());
            match canary {
                Canary::Date(day, second) => {
                    days.insert(epoch(*day), at);
                    for (form, word) in day_words(*day) {
                        bytes.insert(word.into_bytes(), (form, at));
                    }
                    for (form, number) in day_numbers(*day, *second) {
                        numbers.insert(number, (form, at));
                        // Anything smaller is in some bytes by chance.
                        if form.starts_with("epoch ") && number > 100_000_000 {
                            bytes.insert(number.to_string().into_bytes(), (form, at));
                            for binary in number_bytes(number) {
                                bytes.insert(binary, (BINARY, at));
                            }
                        }
                    }
                }
                Canary::Id(id) => {
                    numbers.insert(*id, ("number", at));
                    bytes.insert(id.to_string().into_bytes(), ("digits", at));
                    bytes.insert(format!("{id:x}").into_bytes(), ("hex digits", at));
                    for binary in number_bytes(*id) {
                        bytes.insert(binary, ("binary", at));
                    }
                }
                Canary::Text(text) => {
                    for (form, word) in text_forms(text) {
                        bytes.insert(word, (form, at));
                    }
                }
            }
        }
        let mut words: Vec<&Vec<u8>> = bytes.keys().collect();
        words.sort_unstable();
        let literal = |word: &&Vec<u8>| -> String {
            word.iter().map(|byte| format!("\\x{byte:02x}")).collect()
        };
        let pattern: Vec<String> = words.iter().map(literal).collect();
        let pattern = regex::bytes::RegexBuilder::new(&format!("(?-u:{})", pattern.join("|")))
            .size_limit(1 << 28)
            .build();
        Self { labels, pattern: pattern.unwrap(), bytes, numbers, days }
    }

    /// Every find in the bytes of `part`.
    pub fn bytes(&self, place: &str, part: &'static str, text: &[u8], hits: &mut BTreeSet<Hit>) {
        self.bytes_with_times(place, part, text, 0, hits);
    }

    /// The same, but times in binary count from byte `times` on only: the difference of two times, of which
    /// columns of times are made, is as good a time.
    fn bytes_with_times(
        &self,
        place: &str,
        part: &'static str,
        text: &[u8],
        times: usize,
        hits: &mut BTreeSet<Hit>,
    ) {
        for found in self.pattern.find_iter(text) {
            let meaning = self.bytes[found.as_bytes()];
            if meaning.0 != BINARY || found.start() >= times {
                self.hit(meaning, place, part, hits);
            }
        }
    }

    fn hit(&self, meaning: Meaning, place: &str, part: &'static str, hits: &mut BTreeSet<Hit>) {
        let (form, at) = meaning;
        let (canary, place) = (self.labels[at].clone(), place.to_owned());
        hits.insert(Hit { canary, form, place, part });
    }

    /// Every find in the values of a column.
    pub fn values(
        &self,
        place: &str,
        part: &'static str,
        column: &dyn Array,
        hits: &mut BTreeSet<Hit>,
    ) {
        let mut number = |value: i64| {
            if let Some(meaning) = self.numbers.get(&value) {
                self.hit(*meaning, place, part, hits);
            }
        };
        match column.data_type() {
            DataType::Date32 => {
                for value in column.as_primitive::<Date32Type>().iter().flatten() {
                    if let Some(at) = self.days.get(&i64::from(value)) {
                        self.hit(("date", *at), place, part, hits);
                    }
                }
            }
            DataType::Timestamp(..) => {
                let micros =
                    cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
                for value in micros.as_primitive::<TimestampMicrosecondType>().iter().flatten() {
                    if let Some(at) = self.days.get(&value.div_euclid(DAY)) {
                        self.hit(("time", *at), place, part, hits);
                    }
                }
            }
            kind if kind.is_integer() => {
                let wide = cast(column, &DataType::Int64).unwrap();
                wide.as_primitive::<Int64Type>().iter().flatten().for_each(&mut number);
            }
            kind if kind.is_floating() => {
                let wide = cast(column, &DataType::Float64).unwrap();
                let whole = wide.as_primitive::<Float64Type>().iter().flatten();
                whole.filter(|v| v.fract() == 0.0).for_each(|v| number(v as i64));
            }
            _ => self.cells(place, part, column, hits),
        }
    }

    /// Columns of text, of lists, of bytes: as they are shown, and the numbers in them.
    fn cells(&self, place: &str, part: &'static str, column: &dyn Array, hits: &mut BTreeSet<Hit>) {
        let options = FormatOptions::default();
        let cells = ArrayFormatter::try_new(column, &options).unwrap();
        let mut all = String::new();
        for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
            let cell = cells.value(row).to_string();
            for digits in cell.split(|c: char| !c.is_ascii_digit()).filter(|d| !d.is_empty()) {
                if let Some(meaning) = digits.parse().ok().and_then(|n: i64| self.numbers.get(&n)) {
                    self.hit(*meaning, place, part, hits);
                }
            }
            all.push_str(&cell);
            all.push('\n');
        }
        self.bytes(place, part, all.as_bytes(), hits);
    }

    /// Every find in a file, whatever it is, and in its name below `root`.
    pub fn file(&self, root: &Path, path: &Path, hits: &mut BTreeSet<Hit>) {
        let place = path.strip_prefix(root).unwrap_or(path).display().to_string();
        self.bytes(&place, "file name", place.as_bytes(), hits);
        let bytes = fs::read(path).unwrap();
        let mut end = 0;
        if path.extension().is_some_and(|end| end == "parquet") {
            // A killed run may leave one without its end: there the bytes have to do.
            end = self.pages(&place, path, hits).unwrap_or_default();
            self.columns(&place, path, hits);
        }
        self.bytes_with_times(&place, "bytes", &bytes, end, hits);
    }

    /// Looks into the pages, unpacked; returns the offset of what comes after them.
    fn pages(&self, place: &str, path: &Path, hits: &mut BTreeSet<Hit>) -> Option<usize> {
        let mut end = 0;
        let reader = SerializedFileReader::new(File::open(path).unwrap()).ok()?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).unwrap();
            for column in 0..group.num_columns() {
                let (start, length) = group.metadata().column(column).byte_range();
                end = end.max((start + length) as usize);
                for page in group.get_column_page_reader(column).unwrap() {
                    let page = page.unwrap();
                    let packed = page.encoding() == Encoding::DELTA_BINARY_PACKED;
                    let (part, bytes) = match page {
                        Page::DictionaryPage { buf, .. } => ("dictionary", buf),
                        Page::DataPage { buf, .. } | Page::DataPageV2 { buf, .. } => ("page", buf),
                    };
                    let times = if packed { usize::MAX } else { 0 };
                    self.bytes_with_times(place, part, &bytes, times, hits);
                }
            }
        }
        Some(end)
    }

    fn columns(&self, place: &str, path: &Path, hits: &mut BTreeSet<Hit>) {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let file = File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options);
        let Ok(reader) = reader else { return };
        let metadata = reader.metadata().clone();
        for pair in metadata.file_metadata().key_value_metadata().into_iter().flatten() {
            let text = format!("{}={}", pair.key, pair.value.as_deref().unwrap_or_default());
            self.bytes(place, "metadata", text.as_bytes(), hits);
        }
        let schema = reader.schema().clone();
        for field in schema.fields() {
            let groups = metadata.row_groups();
            let statistics =
                StatisticsConverter::try_new(field.name(), &schema, reader.parquet_schema());
            let Ok(statistics) = statistics else { continue };
            let mut found =
                vec![statistics.row_group_mins(groups), statistics.row_group_maxes(groups)];
            if let (Some(columns), Some(offsets)) =
                (metadata.column_index(), metadata.offset_index())
            {
                let all: Vec<usize> = (0..groups.len()).collect();
                found.push(statistics.data_page_mins(columns, offsets, &all));
                found.push(statistics.data_page_maxes(columns, offsets, &all));
            }
            for values in found.into_iter().flatten() {
                self.values(&format!("{place} {}", field.name()), "statistics", &values, hits);
            }
        }
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                self.values(&format!("{place} {}", field.name()), "values", column, hits);
            }
        }
    }

    /// Every find in `files`.
    pub fn files(&self, root: &Path, files: &[PathBuf]) -> BTreeSet<Hit> {
        let mut hits = BTreeSet::new();
        for path in files {
            self.file(root, path, &mut hits);
        }
        hits
    }
}

/// Finds by canary, as a message.
pub fn shown(hits: &BTreeSet<Hit>) -> String {
    let mut by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for hit in hits {
        let text = format!("{} in {} of {}", hit.form, hit.part, hit.place);
        by.entry(&hit.canary).or_default().push(text);
    }
    by.iter()
        .take(40)
        .map(|(canary, at)| format!("{canary}: {}\n", at[..at.len().min(3)].join("; ")))
        .collect()
}
