//! Illumina array manifests (CSV): where probes lie and what their A and B alleles are on the plus strand.
//!
//! `SNP` gives A and B on the design strand, of which `RefStrand` says whether it is the plus (`+`) or minus
//! strand of the genome. With a reference sequence the allele that it has is REF; without one A is, and that
//! is noted. A/T and C/G look the same on both strands, so there only the strand field counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::fasta::Reference;
use super::{Error, region};
use crate::error::IoError;

/// Bases of the flanks of an indel that must be those of the reference.
const FLANK: usize = 8;

/// A probe whose alleles have a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// CHROM.
    pub chrom: String,
    /// 1-based position of REF.
    pub pos: i32,
    /// REF.
    pub reference: String,
    /// ALT.
    pub alt: String,
    /// Whether allele A is REF.
    pub a_is_ref: bool,
    /// Whether nothing but the order of A and B says that.
    pub provisional: bool,
    /// Whether the strand field is wrong: only the complement fits the reference.
    pub flipped: bool,
}

/// A probe.
#[derive(Debug, Clone)]
pub struct Probe {
    /// `Name`, as reports have it.
    pub name: String,
    /// 1-based line of the manifest.
    pub line: u64,
    /// A and B as the manifest writes them.
    pub snp: [u8; 2],
    /// Whether the design strand is TOP.
    pub top: Option<bool>,
    /// Whether the design strand is dbSNP's forward strand.
    pub forward: Option<bool>,
    /// Whether the design strand is the plus strand of the genome.
    pub plus: Option<bool>,
    /// Its place, or why it has none.
    pub placed: Result<Placed, &'static str>,
}

/// A manifest.
#[derive(Debug)]
pub struct Manifest {
    /// Where it lies.
    pub path: PathBuf,
    /// Probes, in file order.
    pub probes: Vec<Probe>,
    by_name: HashMap<String, u32>,
}

impl Manifest {
    /// Reads a manifest and places its probes.
    ///
    /// # Errors
    /// When a file cannot be read or the manifest lacks a column.
    pub fn read(path: &Path, reference: Option<&Path>) -> Result<Self, Error> {
        let bases = reference.map(Reference::open).transpose()?;
        let fault = |line, what| Error::Manifest { file: path.to_owned(), line, what };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(std::fs::File::open(path).map_err(IoError::at("opening", path))?);
        let mut columns: Option<Columns> = None;
        let mut manifest =
            Self { path: path.to_owned(), probes: Vec::new(), by_name: HashMap::new() };
        let mut record = csv::ByteRecord::new();
        loop {
            let more = reader.read_byte_record(&mut record);
            let line = record.position().map_or(0, csv::Position::line);
            if !more.map_err(|_| fault(line, "not CSV"))? {
                break;
            }
            match &columns {
                None => columns = Columns::find(&record),
                Some(_) if record.get(0).is_some_and(|c| c.starts_with(b"[Controls]")) => break,
                Some(columns) => {
                    let probe = columns.probe(&record, line, bases.as_ref());
                    let number = manifest.probes.len() as u32;
                    let first = *manifest.by_name.entry(probe.name.clone()).or_insert(number);
                    manifest.probes.push(probe);
                    manifest.tell_apart(first, number);
                }
            }
        }
        if columns.is_none() {
            return Err(fault(1, "no line with the columns Name, SNP, Chr and MapInfo"));
        }
        Ok(manifest)
    }

    /// Takes the place of two probes of one name that lie apart: a report's calls may be of either.
    fn tell_apart(&mut self, first: u32, second: u32) {
        let place = |i: u32| {
            let placed = &self.probes[i as usize].placed;
            match placed {
                Ok(placed) => Ok((placed.chrom.clone(), placed.pos)),
                Err(reason) => Err(*reason),
            }
        };
        if place(first) != place(second) {
            for i in [first, second] {
                self.probes[i as usize].placed = Err("repeated_probe_name");
            }
        }
    }

    /// The number of the probe of this name; the first of several.
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        self.by_name.get(std::str::from_utf8(name).ok()?).copied()
    }
}

/// Column numbers.
struct Columns {
    name: usize,
    snp: usize,
    chrom: usize,
    pos: usize,
    ilmn_id: Option<usize>,
    ilmn_strand: Option<usize>,
    ref_strand: Option<usize>,
    sequence: Option<usize>,
}

impl Columns {
    fn find(record: &csv::ByteRecord) -> Option<Self> {
        let at = |name: &str| record.iter().position(|c| c.eq_ignore_ascii_case(name.as_bytes()));
        Some(Self {
            name: at("Name")?,
            snp: at("SNP")?,
            chrom: at("Chr")?,
            pos: at("MapInfo")?,
            ilmn_id: at("IlmnID"),
            ilmn_strand: at("IlmnStrand"),
            ref_strand: at("RefStrand"),
            sequence: at("SourceSeq"),
        })
    }

    fn probe(&self, record: &csv::ByteRecord, line: u64, bases: Option<&Reference>) -> Probe {
        let text =
            |i: usize| String::from_utf8_lossy(record.get(i).unwrap_or_default()).into_owned();
        let may = |i: Option<usize>| i.map(&text).unwrap_or_default();
        let strand = may(self.ilmn_strand).to_ascii_uppercase();
        // rs123-131_T_F_456: TOP or BOT, forward or reverse.
        let id = may(self.ilmn_id);
        let parts: Vec<&str> = id.rsplit('_').collect();
        let side = |i: usize, yes: &str, no: &str| match parts.get(i) {
            Some(p) if *p == yes => Some(true),
            Some(p) if *p == no => Some(false),
            _ => None,
        };
        let top = match strand.as_str() {
            "TOP" => Some(true),
            "BOT" => Some(false),
            _ => side(2, "T", "B"),
        };
        let plus = match (may(self.ref_strand).as_str(), strand.as_str()) {
            ("+", _) | ("", "PLUS") => Some(true),
            ("-", _) | ("", "MINUS") => Some(false),
            _ => None,
        };
        let forward = side(1, "F", "R");
        let snp = text(self.snp);
        let letters = match snp.as_bytes() {
            [b'[', a, b'/', b, b']'] => [a.to_ascii_uppercase(), b.to_ascii_uppercase()],
            _ => [b'?'; 2],
        };
        let (chrom, pos) = (text(self.chrom), text(self.pos).parse().unwrap_or(0));
        let site = Site { chrom: &chrom, pos, snp: letters, plus, bases };
        let placed = site.place(&may(self.sequence));
        Probe { name: text(self.name), line, snp: letters, top, forward, plus, placed }
    }
}

/// What is known of a probe's place.
struct Site<'a> {
    chrom: &'a str,
    pos: i32,
    snp: [u8; 2],
    plus: Option<bool>,
    bases: Option<&'a Reference>,
}

/// The base of the other strand; 0 for no base.
pub fn complement(base: u8) -> u8 {
    match base {
        b'A' => b'T',
        b'C' => b'G',
        b'G' => b'C',
        b'T' => b'A',
        _ => 0,
    }
}

impl Site<'_> {
    fn place(&self, sequence: &str) -> Result<Placed, &'static str> {
        // XY is the pseudo-autosomal part of X in Illumina's names.
        let chrom = if self.chrom == "XY" { "X" } else { self.chrom };
        if self.pos < 1 || chrom == "0" || region::chrom(chrom.as_bytes()).is_none() {
            return Err("unplaced_probe");
        }
        match self.snp {
            [b'D', b'I'] | [b'I', b'D'] => self.indel(chrom, sequence),
            [a, b] if complement(a) != 0 && complement(b) != 0 && a != b => self.snv(chrom, a, b),
            _ => Err("bad_probe_alleles"),
        }
    }

    fn snv(&self, chrom: &str, a: u8, b: u8) -> Result<Placed, &'static str> {
        let palindromic = complement(a) == b;
        let turn = |yes: bool| if yes { (complement(a), complement(b)) } else { (a, b) };
        let stated = self.plus.map(|plus| turn(!plus));
        if stated.is_none() && palindromic {
            return Err("ambiguous_strand");
        }
        let base = match self.bases {
            Some(bases) => Some(base_at(bases, chrom, self.pos).ok_or("not_in_reference")?),
            None => None,
        };
        let (pair, flipped) = match (stated, base) {
            (None, None) => return Err("ambiguous_strand"),
            (Some(pair), None) => (pair, false),
            (Some(pair), Some(base)) if palindromic || pair.0 == base || pair.1 == base => {
                (pair, false)
            }
            (stated, Some(base)) => {
                let fits = |pair: &(u8, u8)| pair.0 == base || pair.1 == base;
                let pair = [turn(false), turn(true)].into_iter().find(fits);
                (pair.ok_or("ref_not_in_probe")?, stated.is_some())
            }
        };
        let a_is_ref = base.is_none_or(|base| pair.0 == base);
        if base.is_some_and(|base| !a_is_ref && pair.1 != base) {
            return Err("ref_not_in_probe");
        }
        let (reference, alt) = if a_is_ref { pair } else { (pair.1, pair.0) };
        Ok(Placed {
            chrom: chrom.to_owned(),
            pos: self.pos,
            reference: char::from(reference).to_string(),
            alt: char::from(alt).to_string(),
            a_is_ref,
            provisional: base.is_none(),
            flipped,
        })
    }

    /// `ACGT[-/GAT]CCAT`: the sequence is there (then D is the ALT) or not, as the flanks decide.
    fn indel(&self, chrom: &str, sequence: &str) -> Result<Placed, &'static str> {
        let parts = split_sequence(sequence).ok_or("indel_without_sequence")?;
        let bases = self.bases.ok_or("indel_without_sequence")?;
        let (mut left, mut inserted, mut right) = parts;
        match self.plus {
            Some(true) => {}
            Some(false) => {
                inserted = reverse(&inserted);
                (left, right) = (reverse(&right), reverse(&left));
            }
            None => return Err("ambiguous_strand"),
        }
        let length = inserted.len() as i32;
        let tail = left.len().saturating_sub(FLANK);
        let (left, right) = (&left[tail..], &right[..right.len().min(FLANK)]);
        let has = |from: i32, text: &[u8]| {
            (from..).zip(text).all(|(pos, b)| base_at(bases, chrom, pos) == Some(*b))
        };
        // MapInfo is the first base of what is deleted, or the one before it or before the insertion.
        let before = |pos: i32| has(pos - left.len() as i32 + 1, left);
        let mut found = Vec::new();
        for anchor in [self.pos - 1, self.pos] {
            if before(anchor) && has(anchor + 1, &inserted) && has(anchor + 1 + length, right) {
                found.push((anchor, true));
            }
            if before(anchor) && has(anchor + 1, right) {
                found.push((anchor, false));
            }
        }
        let &[(anchor, present)] = &found[..] else { return Err("indel_not_found") };
        let base = base_at(bases, chrom, anchor).ok_or("not_in_reference")?;
        let short = char::from(base).to_string();
        let long = short.clone() + &String::from_utf8_lossy(&inserted);
        let (reference, alt) = if present { (long, short) } else { (short, long) };
        let a_is_ref = (self.snp[0] == b'I') == present;
        let chrom = chrom.to_owned();
        Ok(Placed {
            chrom,
            pos: anchor,
            reference,
            alt,
            a_is_ref,
            provisional: false,
            flipped: false,
        })
    }
}

/// The base at a 1-based position, upper case; `None` where there is none or it is ambiguous.
fn base_at(reference: &Reference, chrom: &str, pos: i32) -> Option<u8> {
    let sequence = reference.sequence_of(&region::chrom(chrom.as_bytes())?.name)?;
    sequence.base(i64::from(pos)).filter(|&base| base != b'N')
}

type Sequence = (Vec<u8>, Vec<u8>, Vec<u8>);

fn split_sequence(sequence: &str) -> Option<Sequence> {
    let upper = sequence.to_ascii_uppercase();
    let (left, rest) = upper.split_once('[')?;
    let (alleles, right) = rest.split_once(']')?;
    let (first, second) = alleles.split_once('/')?;
    let inserted = if first == "-" { second } else { first };
    let bases = |text: &str| text.bytes().all(|b| complement(b) != 0);
    if (first == "-") == (second == "-") || inserted.is_empty() || !bases(inserted) {
        return None;
    }
    // Flanks may have IUPAC codes; what is next to the brackets must be bases.
    let known = |text: &str| bases(text) && !text.is_empty();
    let (left, right) =
        (&left[left.len().saturating_sub(FLANK)..], &right[..right.len().min(FLANK)]);
    (known(left) && known(right)).then(|| {
        (left.as_bytes().to_vec(), inserted.as_bytes().to_vec(), right.as_bytes().to_vec())
    })
}

fn reverse(text: &[u8]) -> Vec<u8> {
    text.iter().rev().map(|&b| complement(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Position, REF, ALT, provisional, flipped; or why there is no place.
    type Outcome = Result<(i32, String, String, bool, bool), &'static str>;

    fn manifest(fasta: Option<&str>, lines: &[&str]) -> Vec<Outcome> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.csv");
        let text = "Illumina, Inc.\n[Heading]\nAssay Count,4\n[Assay]\nIlmnID,Name,IlmnStrand,SNP,Chr,MapInfo,SourceSeq,RefStrand\n";
        std::fs::write(&path, format!("{text}{}\n[Controls]\n1,2,3\n", lines.join("\n"))).unwrap();
        let reference = dir.path().join("r.fa");
        fasta.inspect(|f| std::fs::write(&reference, f).unwrap());
        let read = Manifest::read(&path, fasta.map(|_| reference.as_path())).unwrap();
        let of = |p: &Probe| {
            p.placed.clone().map(|p| (p.pos, p.reference, p.alt, p.a_is_ref, p.flipped))
        };
        read.probes.iter().map(of).collect()
    }

    #[test]
    fn probes_without_a_reference() {
        let got = manifest(
            None,
            &[
                "a_T_F_1,a,TOP,[A/G],1,5,,+",
                "b_B_R_1,b,BOT,[T/C],1,6,,-",
                "c_T_F_1,c,TOP,[A/T],1,7,,-",
                "d_T_F_1,d,TOP,[A/G],1,8,,",
                "e_T_F_1,e,TOP,[A/G],0,0,,+",
                "f_T_F_1,f,TOP,[D/I],1,9,ACGT[-/A]ACGT,+",
                "g_T_F_1,g,PLUS,[C/G],XY,9,,",
            ],
        );
        let snv = |pos, r: &str, a: &str| Ok((pos, r.to_owned(), a.to_owned(), true, false));
        assert_eq!(
            got,
            [
                snv(5, "A", "G"),
                snv(6, "A", "G"),
                snv(7, "T", "A"),
                Err("ambiguous_strand"),
                Err("unplaced_probe"),
                Err("indel_without_sequence"),
                snv(9, "C", "G"),
            ]
        );
    }

    #[test]
    fn probes_of_one_name_that_lie_apart_have_no_place() {
        let lines = ["a,a,TOP,[A/G],1,5,,+", "b,b,TOP,[A/G],1,6,,+", "c,a,TOP,[A/G],1,7,,+"];
        let places: Vec<_> = manifest(None, &lines).into_iter().map(|p| p.map(|p| p.0)).collect();
        assert_eq!(places, [Err("repeated_probe_name"), Ok(6), Err("repeated_probe_name")]);
        // Two that lie together are for the assembler, which keeps the first.
        let lines = ["a,a,TOP,[A/G],1,5,,+", "c,a,TOP,[A/G],1,5,,+"];
        assert!(manifest(None, &lines).iter().all(Result::is_ok));
    }

    #[test]
    fn probes_with_a_reference() {
        //                    123456789012345678901234567890
        let fasta = ">chr1 x\nACGTTGCAAGGCTTACGATC\nGATTACAGGC\n>2\nAAAA\n";
        let got = manifest(
            Some(fasta),
            &[
                "a,a,TOP,[A/G],1,3,,+",
                "b,b,TOP,[A/C],1,3,,+",
                "c,c,TOP,[A/T],1,1,,-",
                "d,d,TOP,[A/C],1,1,,",
                "e,e,TOP,[A/G],1,4,,+",
                "f,f,TOP,[D/I],1,11,TGCAAG[-/GC]TTACGATC,+",
                "g,g,TOP,[I/D],1,19,TTACGATC[-/TTT]GATTACAG,+",
                "h,h,TOP,[D/I],1,11,GATCGTAA[-/GC]CTTGCA,-",
                "i,i,TOP,[D/I],1,25,GGGGGGGG[-/TTT]GATTACAG,+",
                "j,j,TOP,[A/G],1,99,,+",
                "k,k,TOP,[C/A],2,2,,+",
            ],
        );
        let at = |pos, r: &str, a: &str, a_is_ref, flipped| {
            Ok((pos, r.to_owned(), a.to_owned(), a_is_ref, flipped))
        };
        assert_eq!(
            got,
            [
                at(3, "G", "A", false, false),
                at(3, "G", "T", false, true),
                at(1, "A", "T", false, false),
                at(1, "A", "C", true, false),
                at(4, "T", "C", true, true),
                at(10, "GGC", "G", false, false),
                Err("indel_not_found"),
                at(10, "GGC", "G", false, false),
                Err("indel_not_found"),
                Err("not_in_reference"),
                at(2, "A", "C", false, false),
            ]
        );
    }
}
