//! The header of a VCF, and of the text inside a BCF: samples, INFO definitions, dictionaries.
//!
//! Lenient by design: only what strata uses is read, and a line that makes no sense is passed over, as
//! real headers break the specification in harmless ways (`##ID=<Description ..`, missing quotes).

use std::collections::HashMap;
use std::path::Path;

use super::Error;

/// Type of an INFO field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoType {
    /// `Integer`, 32 bits.
    Integer,
    /// `Float`, 32 bits.
    Float,
    /// `Flag`.
    Flag,
    /// `String` or `Character`.
    Text,
}

/// Number of an INFO field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoNumber {
    /// One value (`Number=1`, and flags).
    One,
    /// One per ALT allele.
    PerAlt,
    /// One per allele, REF first.
    PerAllele,
    /// One per genotype: not kept.
    PerGenotype,
    /// Any other count: kept as a list.
    Many,
}

/// What strata keeps of a header.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Sample names in column order.
    pub samples: Vec<String>,
    /// Header lines, to number the records.
    pub lines: u64,
    /// Number and type by INFO id.
    pub info: HashMap<String, (InfoNumber, InfoType)>,
    /// Descriptions of INFO fields that say how a value is divided (`CSQ`, `ANN`), by id.
    pub formats: HashMap<String, String>,
    /// BCF dictionary of FILTER, INFO and FORMAT ids.
    pub strings: Vec<String>,
    /// BCF dictionary of contigs.
    pub contigs: Vec<String>,
}

/// Parses header text that ends with the `#CHROM` line.
///
/// # Errors
/// When the first line is not `##fileformat=VCF`, `#CHROM` is missing or malformed, or a sample appears
/// twice. A header without samples is one of a sites-only file and no error.
pub fn parse(text: &[u8], path: &Path) -> Result<Header, Error> {
    let fault = |line, what| Error::Header { file: path.to_owned(), line, what };
    let mut header = Header::default();
    let mut dictionary = Dictionary::default();
    let mut done = false;
    for raw in text.split_inclusive(|&b| b == b'\n') {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        header.lines += 1;
        if header.lines == 1 && !is_version(line) {
            return Err(fault(1, "the first line is not `##fileformat=VCFv4.x`"));
        }
        if line.starts_with(b"##") {
            let line = String::from_utf8_lossy(line);
            read_meta(&line, &mut header, &mut dictionary);
        } else if line.starts_with(b"#CHROM\t") {
            read_columns(line, &mut header, path)?;
            done = true;
            break;
        } else {
            return Err(fault(header.lines, "neither a `##` line nor the `#CHROM` line"));
        }
    }
    if !done {
        return Err(fault(header.lines, "the `#CHROM` line is missing"));
    }
    header.strings = dictionary.finish();
    Ok(header)
}

/// `##fileformat=VCFv4.` and a number; of later 4.x only what strata knows is read.
fn is_version(line: &[u8]) -> bool {
    line.strip_prefix(b"##fileformat=VCFv4.")
        .is_some_and(|minor| (1..=2).contains(&minor.len()) && minor.iter().all(u8::is_ascii_digit))
}

fn read_columns(line: &[u8], header: &mut Header, path: &Path) -> Result<(), Error> {
    let fault = |what| Error::Header { file: path.to_owned(), line: header.lines, what };
    let columns: Vec<&[u8]> = line.split(|&b| b == b'\t').collect();
    const FIXED: [&[u8]; 8] =
        [b"#CHROM", b"POS", b"ID", b"REF", b"ALT", b"QUAL", b"FILTER", b"INFO"];
    if columns.len() < 8 || columns[..8] != FIXED {
        return Err(fault("the `#CHROM` line does not name the eight fixed columns"));
    }
    if columns.len() > 8 && columns[8] != b"FORMAT" {
        return Err(fault("column 9 of the `#CHROM` line is not FORMAT"));
    }
    // Sites-only: good for lists and annotations. A callset asks for samples itself.
    let cells = columns.get(9..).unwrap_or_default();
    let mut seen: HashMap<&[u8], usize> = HashMap::with_capacity(columns.len());
    for (i, name) in cells.iter().enumerate() {
        if name.is_empty() {
            return Err(fault("a sample name is empty"));
        }
        if let Some(first) = seen.insert(name, i + 1) {
            return Err(Error::DuplicateSample { file: path.to_owned(), first, second: i + 1 });
        }
    }
    let names: Result<Vec<String>, _> =
        cells.iter().map(|n| String::from_utf8(n.to_vec())).collect();
    header.samples = names.map_err(|_| fault("a sample name is not UTF-8"))?;
    Ok(())
}

/// Reads the `##` lines of a .pvar.
pub fn read_meta_lines(text: &[u8], header: &mut Header) {
    let mut dictionary = Dictionary::default();
    for line in text.split(|&b| b == b'\n').filter(|line| line.starts_with(b"##")) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        read_meta(&String::from_utf8_lossy(line), header, &mut dictionary);
    }
}

fn read_meta(line: &str, header: &mut Header, dictionary: &mut Dictionary) {
    let Some((kind, body)) = line[2..].split_once("=<") else { return };
    let attributes = attributes(body.strip_suffix('>').unwrap_or(body));
    let get = |key: &str| attributes.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let (Some(id), idx) = (get("ID"), get("IDX").and_then(|v| v.parse().ok())) else { return };
    match kind {
        "INFO" => {
            let ty = match get("Type") {
                Some("Integer") => InfoType::Integer,
                Some("Float") => InfoType::Float,
                Some("Flag") => InfoType::Flag,
                _ => InfoType::Text,
            };
            let number = match (get("Number"), ty) {
                (_, InfoType::Flag) | (Some("1"), _) => InfoNumber::One,
                (Some("A"), _) => InfoNumber::PerAlt,
                (Some("R"), _) => InfoNumber::PerAllele,
                (Some("G"), _) => InfoNumber::PerGenotype,
                _ => InfoNumber::Many,
            };
            header.info.insert(id.to_owned(), (number, ty));
            if let Some(text) = get("Description").filter(|text| text.contains('|')) {
                header.formats.insert(id.to_owned(), text.to_owned());
            }
            dictionary.add(id, idx);
        }
        "FILTER" | "FORMAT" => dictionary.add(id, idx),
        "contig" => {
            let at = idx.unwrap_or(header.contigs.len());
            // An index far beyond the number of lines is nonsense and would only cost memory.
            if at < 1 << 24 {
                header.contigs.resize(header.contigs.len().max(at + 1), String::new());
                header.contigs[at] = id.to_owned();
            }
        }
        _ => {}
    }
}

/// `key=value` pairs; commas inside quotes do not separate.
fn attributes(body: &str) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    let mut spans = Vec::new();
    for (i, c) in body.char_indices() {
        match c {
            '\\' if quoted && !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                spans.push((start, i));
                start = i + 1;
            }
            _ => {}
        }
        escaped = false;
    }
    spans.push((start, body.len()));
    for (a, b) in spans {
        let part = &body[a..b];
        if let Some((k, v)) = part.split_once('=') {
            pairs.push((k, v.trim_matches('"')));
        }
    }
    pairs
}

/// BCF string dictionary (BCF2 specification 6.2.1): PASS is 0, `IDX` decides when present.
#[derive(Default)]
struct Dictionary {
    ids: Vec<String>,
}

impl Dictionary {
    fn add(&mut self, id: &str, idx: Option<usize>) {
        if self.ids.is_empty() {
            self.ids.push("PASS".to_owned());
        }
        match idx {
            Some(at) if at < 1 << 24 => {
                self.ids.resize(self.ids.len().max(at + 1), String::new());
                self.ids[at] = id.to_owned();
            }
            Some(_) => {}
            None if self.ids.iter().any(|i| i == id) => {}
            None => self.ids.push(id.to_owned()),
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.ids.is_empty() {
            self.ids.push("PASS".to_owned());
        }
        self.ids
    }
}
