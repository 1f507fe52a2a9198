//! The reference sequence: a mapped FASTA file, read by position.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{Error, region};
use crate::error::IoError;

/// Where a sequence lies in the file.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Offset of its first base.
    start: usize,
    /// Offset behind its last line.
    end: usize,
    /// Bases.
    length: usize,
    /// Bases a line.
    bases: usize,
    /// Bytes a line, line end included.
    width: usize,
}

/// A reference sequence.
pub struct Reference {
    map: Mmap,
    entries: HashMap<String, Entry>,
    path: PathBuf,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reference({} sequences)", self.entries.len())
    }
}

impl Reference {
    /// Maps and indexes a plain FASTA file. An index beside it is not needed and not read.
    ///
    /// # Errors
    /// When it cannot be read, is no FASTA (or is compressed), or has lines of different length within a
    /// sequence.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        // SAFETY: the map is read-only and private; inputs of a run are immutable by contract, as for
        // every mapped input (see `Source::open`).
        let map = unsafe { Mmap::map(&file) }.map_err(IoError::at("mapping", path))?;
        let mut reference = Self { entries: HashMap::new(), path: path.to_owned(), map };
        reference.index()?;
        Ok(reference)
    }

    fn fault(&self, offset: usize, what: &'static str) -> Error {
        Error::Reference { file: self.path.clone(), offset: offset as u64, what }
    }

    fn index(&mut self) -> Result<(), Error> {
        if !self.map.starts_with(b">") {
            return Err(self.fault(0, "it does not start with `>`"));
        }
        let mut at = 0;
        while at < self.map.len() {
            let header = memchr::memchr(b'\n', &self.map[at..])
                .ok_or_else(|| self.fault(at, "a header line without a sequence"))?;
            let start = at + header + 1;
            let name = self.map[at + 1..start]
                .split(|b| b.is_ascii_whitespace())
                .next()
                .unwrap_or_default();
            let name = region::chrom(name).map(|c| c.name);
            let entry = self.sequence(start)?;
            at = entry.end;
            // The first of two sequences with one name, as indexes have it.
            if let Some(name) = name {
                self.entries.entry(name).or_insert(entry);
            }
        }
        Ok(())
    }

    /// Measures the sequence whose lines start at `start`: all of one length, but for the last.
    fn sequence(&self, start: usize) -> Result<Entry, Error> {
        let mut entry = Entry { start, end: start, length: 0, bases: 0, width: 0 };
        let mut short = false;
        while entry.end < self.map.len() && self.map[entry.end] != b'>' {
            let rest = &self.map[entry.end..];
            let width = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
            let line = rest[..width].strip_suffix(b"\n").unwrap_or(&rest[..width]);
            let bases = line.strip_suffix(b"\r").unwrap_or(line).len();
            if bases > 0 && short {
                return Err(self.fault(entry.end, "lines of a sequence differ in length"));
            }
            if entry.length == 0 {
                (entry.bases, entry.width) = (bases, width);
            } else {
                short = bases < entry.bases;
                if bases > entry.bases {
                    return Err(self.fault(entry.end, "lines of a sequence differ in length"));
                }
            }
            entry.length += bases;
            entry.end += width;
        }
        Ok(entry)
    }

    /// The sequence of a chromosome by its output name (`chr20`).
    pub fn sequence_of(&self, chrom: &str) -> Option<Sequence<'_>> {
        self.entries.get(chrom).map(|&entry| Sequence { map: &self.map, entry })
    }
}

/// One sequence of the reference.
#[derive(Clone, Copy)]
pub struct Sequence<'a> {
    map: &'a [u8],
    entry: Entry,
}

impl Sequence<'_> {
    /// The base at a 1-based position, upper case; anything but `ACGT` is `N`. `None` behind either end.
    pub fn base(&self, pos: i64) -> Option<u8> {
        let i = usize::try_from(pos - 1).ok().filter(|&i| i < self.entry.length)?;
        let at = self.entry.start + i / self.entry.bases * self.entry.width + i % self.entry.bases;
        Some(match self.map.get(at)?.to_ascii_uppercase() {
            base @ (b'A' | b'C' | b'G' | b'T') => base,
            _ => b'N',
        })
    }

    /// Whether REF at a 1-based position is what the sequence has, in any case. An ambiguous base of the
    /// sequence, as an ambiguous base of REF, agrees with every base.
    pub fn agrees(&self, pos: i32, reference: &[u8]) -> bool {
        let same = |i: usize, base: u8| {
            let base = base.to_ascii_uppercase();
            self.base(i64::from(pos) + i as i64)
                .is_some_and(|own| own == base || own == b'N' || !b"ACGT".contains(&base))
        };
        reference.iter().enumerate().all(|(i, &base)| same(i, base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Reference, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.fa");
        std::fs::write(&path, text).unwrap();
        Reference::open(&path)
    }

    #[test]
    fn bases_by_position() {
        let reference = open(">20 some words\nACGT\nacgt\nRY\n>chrX\nTTTT").unwrap();
        let twenty = reference.sequence_of("chr20").unwrap();
        let text: Vec<u8> = (0..12).map(|p| twenty.base(p).unwrap_or(b'-')).collect();
        assert_eq!(text, b"-ACGTACGTNN-");
        assert!(twenty.agrees(3, b"gtA") && !twenty.agrees(3, b"gtC") && twenty.agrees(8, b"TCC"));
        assert!(!twenty.agrees(10, b"AA") && !twenty.agrees(0, b"A"));
        assert_eq!(reference.sequence_of("chrX").unwrap().base(4), Some(b'T'));
        assert!(reference.sequence_of("chr1").is_none());
    }

    #[test]
    fn ragged_and_foreign_files_are_refused() {
        for text in ["ACGT\n", ">a\nAC\nACG\n", ">a\nACG\nAC\nACG\n", ">a"] {
            assert!(matches!(open(text), Err(Error::Reference { .. })), "{text}");
        }
        let windows = open(">1\r\nACG\r\nAC\r\n").unwrap();
        assert_eq!(windows.sequence_of("chr1").unwrap().base(5), Some(b'C'));
    }
}
