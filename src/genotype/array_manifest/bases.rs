//! Single bases of a plain FASTA file.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::IoError;
use crate::genotype::{Error, region};

/// A mapped FASTA file, its contigs by the names that outputs use.
pub struct Bases {
    map: Mmap,
    contigs: HashMap<String, Contig>,
}

/// Where a contig's lines lie: all have the same length but the last.
struct Contig {
    start: usize,
    end: usize,
    line: usize,
    step: usize,
}

impl Bases {
    /// Maps the file and looks for its contigs.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        // SAFETY: the map is read-only and private to this process. As with every reader of a mapped
        // file, another process that shortens the file meanwhile would end this one with SIGBUS; inputs
        // of a run are immutable by contract.
        let map = unsafe { Mmap::map(&file) }.map_err(IoError::at("mapping", path))?;
        let mut contigs = HashMap::new();
        let starts: Vec<usize> =
            memchr::memchr_iter(b'>', &map).filter(|&at| at == 0 || map[at - 1] == b'\n').collect();
        for (i, &at) in starts.iter().enumerate() {
            let next = starts.get(i + 1).copied().unwrap_or(map.len());
            let Some(head) = memchr::memchr(b'\n', &map[at..next]) else { continue };
            let name = map[at + 1..at + head].split(u8::is_ascii_whitespace).next();
            let Some(chrom) = name.and_then(region::chrom) else { continue };
            let start = at + head + 1;
            let body = &map[start..next];
            let end = start + body.trim_ascii_end().len();
            let step = memchr::memchr(b'\n', body).map_or(body.len(), |n| n + 1).max(1);
            let line = body[..step.min(body.len())].trim_ascii_end().len();
            contigs.insert(chrom.name, Contig { start, end, line, step });
        }
        Ok(Self { map, contigs })
    }

    /// The base at a 1-based position, upper case; `None` where there is none or it is no base.
    pub fn base(&self, chrom: &str, pos: i32) -> Option<u8> {
        let contig = self.contigs.get(&region::chrom(chrom.as_bytes())?.name)?;
        let at = usize::try_from(pos).ok()?.checked_sub(1)?;
        if contig.line == 0 {
            return None;
        }
        let at = contig.start + at / contig.line * contig.step + at % contig.line;
        let base = self.map.get(at).filter(|_| at < contig.end)?.to_ascii_uppercase();
        b"ACGT".contains(&base).then_some(base)
    }
}
