//! Illumina FinalReport long tables: a line for each sample and probe.
//!
//! A spool has the samples of a file, or some tens of them, in the order of the manifest's normalised rows.
//! Calls are kept as one byte a probe until all lines of a sample are read.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::Error;
use super::array_manifest::{Manifest, Probe, complement};
use crate::error::IoError;

pub mod spool;

/// Longest line accepted, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Whether a file is a FinalReport, from its first bytes; gzip is looked into.
///
/// # Errors
/// When it cannot be read.
pub fn is_report(path: &Path) -> Result<bool, Error> {
    let mut start = [0; 12];
    let mut file = open(path)?;
    let mut n = 0;
    while n < start.len() {
        // What is no gzip after all is told by whoever reads on.
        match file.read(&mut start[n..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => n += more,
        }
    }
    let start = &start[..n];
    Ok(start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).starts_with(b"[Header]"))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let mut file = File::open(path).map_err(IoError::at("opening", path))?;
    let mut magic = [0; 2];
    let n = file.read(&mut magic).map_err(IoError::at("reading", path))?;
    let whole = std::io::Cursor::new(magic[..n].to_vec()).chain(file);
    Ok(if magic == [0x1f, 0x8b] {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(whole)))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, whole))
    })
}

/// The notation of a report's alleles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// `A` and `B` as the manifest numbers them.
    Ab,
    /// The TOP strand.
    Top,
    /// dbSNP's forward strand.
    Forward,
    /// The plus strand of the genome.
    Plus,
    /// The design strand.
    Design,
}

impl Notation {
    /// In order of preference: the first needs no strand.
    const ALL: [(Self, &'static str); 5] = [
        (Self::Ab, "AB"),
        (Self::Top, "Top"),
        (Self::Plus, "Plus"),
        (Self::Forward, "Forward"),
        (Self::Design, "Design"),
    ];

    /// Whether `allele` is the probe's A (false) or B (true).
    fn read(self, allele: &[u8], probe: &Probe) -> Result<bool, &'static str> {
        let [allele] = *allele else { return Err("allele_not_of_probe") };
        let allele = allele.to_ascii_uppercase();
        let [a, b] = probe.snp;
        // D and I have no strand.
        let same = match self {
            _ if complement(a) == 0 || complement(b) == 0 => Some(true),
            Self::Ab | Self::Design => Some(true),
            Self::Top => probe.top,
            Self::Forward => probe.forward,
            Self::Plus => probe.plus.map(|plus| match &probe.placed {
                Ok(placed) => plus != placed.flipped,
                Err(_) => plus,
            }),
        };
        let pair = match (self, same) {
            (Self::Ab, _) => (b'A', b'B'),
            (_, Some(true)) => (a, b),
            (_, Some(false)) => (complement(a), complement(b)),
            // The alleles of two bases that are no pair tell their strand.
            (_, None) if complement(a) != b && [a, b].contains(&allele) => (a, b),
            (_, None) if complement(a) != b => (complement(a), complement(b)),
            (_, None) => return Err("ambiguous_strand"),
        };
        match allele {
            x if x == pair.0 => Ok(false),
            x if x == pair.1 => Ok(true),
            _ => Err("allele_not_of_probe"),
        }
    }
}

/// A report being read.
struct Report<'a> {
    path: &'a Path,
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
    separator: u8,
    columns: [usize; 4],
    notation: Notation,
}

impl<'a> Report<'a> {
    /// Reads up to the first line of data.
    fn open(path: &'a Path) -> Result<Self, Error> {
        let mut report = Self {
            path,
            input: open(path)?,
            line: Vec::new(),
            number: 0,
            separator: b'\t',
            columns: [0; 4],
            notation: Notation::Ab,
        };
        loop {
            if !report.next_line()? {
                return Err(report.fault("there is no `[Data]` line"));
            }
            if report.line.trim_ascii().trim_ascii_start().starts_with(b"[Data]") {
                break;
            }
        }
        if !report.next_line()? {
            return Err(report.fault("nothing follows the `[Data]` line"));
        }
        report.separator = if report.line.contains(&b'\t') { b'\t' } else { b',' };
        let names: Vec<Vec<u8>> = report.fields().map(|f| f.to_ascii_lowercase()).collect();
        let at = |name: &str| names.iter().position(|n| *n == name.to_ascii_lowercase().as_bytes());
        let found = Notation::ALL.iter().find_map(|(notation, name)| {
            let one = at(&format!("Allele1 - {name}"))?;
            Some((*notation, one, at(&format!("Allele2 - {name}"))?))
        });
        let (Some(snp), Some(sample)) = (at("SNP Name"), at("Sample ID")) else {
            return Err(report.fault("the columns `SNP Name` and `Sample ID` are not there"));
        };
        let Some((notation, one, two)) = found else {
            let what = "there are no columns `Allele1 - ...` and `Allele2 - ...` of AB, Top, Plus, Forward or Design";
            return Err(report.fault(what));
        };
        report.notation = notation;
        report.columns = [snp, sample, one, two];
        Ok(report)
    }

    fn fault(&self, what: &'static str) -> Error {
        Error::FinalReport { file: self.path.to_owned(), line: self.number, what }
    }

    fn next_line(&mut self) -> Result<bool, Error> {
        self.line.clear();
        let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.line);
        let n = read.map_err(IoError::at("reading", self.path))?;
        self.number += u64::from(n > 0);
        if n as u64 == MAX_LINE {
            return Err(Error::LineTooLong {
                file: self.path.to_owned(),
                limit: MAX_LINE as usize,
            });
        }
        if n > 0 && self.line.last() != Some(&b'\n') {
            return Err(Error::CutLine { file: self.path.to_owned() });
        }
        while self.line.last().is_some_and(|b| b"\r\n".contains(b)) {
            self.line.pop();
        }
        Ok(n > 0)
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.line.split(|&b| b == self.separator).map(<[u8]>::trim_ascii)
    }

    /// Probe name, sample and alleles of the line at hand.
    fn cell(&self) -> Option<[&[u8]; 4]> {
        let mut cell: [Option<&[u8]>; 4] = [None; 4];
        for (i, field) in self.fields().enumerate() {
            for (slot, &column) in cell.iter_mut().zip(&self.columns) {
                if column == i {
                    *slot = Some(field);
                }
            }
        }
        let [snp, sample, one, two] = cell;
        Some([snp?, sample?, one?, two?])
    }
}

/// The samples of a report in order of their first line, and whether the lines of each stand together.
///
/// # Errors
/// When it cannot be read or is no report.
pub fn samples(path: &Path) -> Result<(Vec<String>, bool), Error> {
    let mut report = Report::open(path)?;
    let mut seen = std::collections::HashSet::new();
    let (mut names, mut together): (Vec<String>, bool) = (Vec::new(), true);
    while report.next_line()? {
        let Some([_, sample, ..]) = report.cell() else { continue };
        if names.last().is_some_and(|last| last.as_bytes() == sample) {
            continue;
        }
        let name = std::str::from_utf8(sample).ok().filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| report.fault("the sample ID is empty or not UTF-8"))?;
        if seen.insert(name.to_owned()) {
            names.push(name.to_owned());
        } else {
            together = false;
        }
    }
    if names.is_empty() {
        return Err(Error::NoSamples { file: path.to_owned() });
    }
    Ok((names, together))
}

/// The manifest of a request.
///
/// # Errors
/// When it is not given, or as [`Manifest::read`].
pub fn manifest(request: &super::CallsetRequest, report: &Path) -> Result<Manifest, Error> {
    let options = &request.options;
    let Some(path) = &options.manifest else {
        return Err(Error::NoManifest { file: report.to_owned() });
    };
    Manifest::read(path, options.reference.as_deref())
}
