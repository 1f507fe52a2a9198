//! Chromosome names and the parts of them in which ploidy depends on sex.

use super::{Genome, Sex};
use crate::engine::partition;

/// What kind of chromosome a name denotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1 to 22.
    Autosome,
    /// X.
    X,
    /// Y.
    Y,
    /// Mitochondrial.
    M,
    /// Any other contig.
    Other,
}

/// A chromosome, by the name that outputs use (`chr20`, `chrX`, `chrM`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chrom {
    /// Output name. In paths it is written as [`partition::folder`] says.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Order among chromosomes: 1 to 22, X, Y, M, then others.
    pub rank: u8,
}

/// Longest name of a contig that is used, in bytes.
const LONGEST_NAME: usize = 128;
/// Longest name of a folder that is made from one; file systems allow 255 with `chrom=` before it.
const LONGEST_FOLDER: usize = 200;

/// Whether a byte may be in a contig's name: `[0-9A-Za-z!#$%&*+./:;=?@^_|~-]` (VCF 4.3, section 1.4.7).
fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&*+./:;=?@^_|~-".contains(&byte)
}

/// Versions of the RefSeq accessions of chromosomes 1 to 22, X and Y in GRCh37; GRCh38 has the next of each
/// (NCBI assembly reports GCF_000001405.25 and .40).
const GRCH37: [u8; 24] =
    [10, 11, 11, 11, 9, 11, 13, 10, 11, 10, 9, 11, 10, 8, 9, 9, 10, 9, 9, 10, 8, 10, 10, 9];

/// Number (23 X, 24 Y, 26 MT) and genome (both, for MT) of a RefSeq accession as `NC_000023.11`.
fn accession(raw: &[u8]) -> Option<(u8, Option<Genome>)> {
    if !raw.get(..3)?.eq_ignore_ascii_case(b"NC_") {
        return None;
    }
    let (number, version) = std::str::from_utf8(&raw[3..]).ok()?.split_once('.')?;
    if number == "012920" && version == "1" {
        return Some((26, None));
    }
    let number: u8 = Some(number).filter(|n| n.len() == 6)?.parse().ok()?;
    let version: u8 = version.parse().ok()?;
    let old = *GRCH37.get(usize::from(number.checked_sub(1)?))?;
    match version.checked_sub(old)? {
        0 => Some((number, Some(Genome::Grch37))),
        1 => Some((number, Some(Genome::Grch38))),
        _ => None,
    }
}

/// Whether a CHROM value is the accession of another genome's chromosome.
pub fn of_other_genome(raw: &[u8], genome: Genome) -> bool {
    accession(raw).and_then(|(_, of)| of).is_some_and(|of| of != genome)
}

/// Reads a CHROM value: `20`, `chr20`, `Chr20`, `NC_000020.11`, PLINK's numbers. `None` when it is no contig name
/// of VCF 4.3, or too long.
pub fn chrom(raw: &[u8]) -> Option<Chrom> {
    let bare = match raw {
        [c, h, r, rest @ ..] if [*c, *h, *r].eq_ignore_ascii_case(b"chr") => rest,
        _ => raw,
    };
    let known = |name: String, kind, rank| Some(Chrom { name, kind, rank });
    let accession = accession(raw).map(|(number, _)| number.to_string());
    let bare = accession.as_ref().map_or(bare, |number| number.as_bytes());
    let upper = bare.get(..bare.len().min(4)).map(<[u8]>::to_ascii_uppercase);
    // 23 to 26 are PLINK's; XY is the pseudo-autosomal part of X, which positions tell.
    match upper.as_deref().filter(|u| u.len() == bare.len()).unwrap_or_default() {
        b"X" | b"23" | b"25" | b"XY" | b"PAR1" | b"PAR2" => {
            return known("chrX".into(), Kind::X, 23);
        }
        b"Y" | b"24" => return known("chrY".into(), Kind::Y, 24),
        b"M" | b"MT" | b"26" => return known("chrM".into(), Kind::M, 25),
        _ => {}
    }
    match bare {
        [d @ b'1'..=b'9'] => {
            return known(format!("chr{}", d - b'0'), Kind::Autosome, d - b'0');
        }
        [t @ b'1'..=b'2', d @ b'0'..=b'9'] => {
            let n = (t - b'0') * 10 + (d - b'0');
            if n <= 22 {
                return known(format!("chr{n}"), Kind::Autosome, n);
            }
        }
        _ => {}
    }
    let valid = raw.len() <= LONGEST_NAME
        && raw.first().is_some_and(|first| !b"*=".contains(first))
        && raw.iter().all(|&b| in_name(b));
    let name = valid.then(|| String::from_utf8_lossy(raw).into_owned())?;
    (partition::folder(&name).len() <= LONGEST_FOLDER).then_some(())?;
    known(name, Kind::Other, 255)
}

/// A part of the genome by how many copies people have of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// 1 to 22: two.
    Autosome,
    /// Pseudo-autosomal: two.
    Par,
    /// X outside PAR: XX two, XY one.
    X,
    /// Y outside PAR: XX none, XY one.
    Y,
    /// Mitochondrial: one.
    M,
    /// Any other contig: as the calls say.
    Other,
}

impl Region {
    /// The region of a 1-based position of a chromosome of this kind.
    pub fn of(genome: Genome, kind: Kind, pos: i32) -> Self {
        match kind {
            Kind::Autosome => Self::Autosome,
            Kind::X | Kind::Y if pseudo_autosomal(genome, kind, pos) => Self::Par,
            Kind::X => Self::X,
            Kind::Y => Self::Y,
            Kind::M => Self::M,
            Kind::Other => Self::Other,
        }
    }

    /// Whether somebody of this stated sex has one copy, so that a call is haploid.
    pub fn haploid(self, sex: Option<Sex>) -> bool {
        match self {
            Self::X | Self::Y => sex == Some(Sex::Male),
            Self::M => true,
            Self::Autosome | Self::Par | Self::Other => false,
        }
    }
}

/// Whether a 1-based position of chrX or chrY lies in a pseudo-autosomal region (GRC definitions).
fn pseudo_autosomal(genome: Genome, kind: Kind, pos: i32) -> bool {
    let regions: [(i32, i32); 2] = match (genome, kind) {
        (Genome::Grch38, Kind::X) => [(10_001, 2_781_479), (155_701_383, 156_030_895)],
        (Genome::Grch38, Kind::Y) => [(10_001, 2_781_479), (56_887_903, 57_217_415)],
        (Genome::Grch37, Kind::X) => [(60_001, 2_699_520), (154_931_044, 155_260_560)],
        (Genome::Grch37, Kind::Y) => [(10_001, 2_649_520), (59_034_050, 59_363_566)],
        _ => return false,
    };
    regions.iter().any(|&(a, b)| (a..=b).contains(&pos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contig_names_of_the_specification() {
        for name in ["HLA-A*01:01:01:01", "chrUn_KI270302v1", "a=b", "#x", "../x", "."] {
            assert_eq!(chrom(name.as_bytes()).unwrap().name, name);
        }
        for name in ["", "*x", "=x", "<ctg>", "a b", "a,b", "a(b", "a\"b", "\u{e4}", "a\\b", "a'b"]
        {
            assert_eq!(chrom(name.as_bytes()), None, "{name}");
        }
        let long = |n: usize, byte: &str| chrom(byte.repeat(n).as_bytes()).is_some();
        assert!(long(128, "a") && !long(129, "a") && long(66, "~") && !long(67, "~"));
    }

    #[test]
    fn a_chromosome_has_one_name_whatever_a_file_calls_it() {
        let name = |raw: &str| chrom(raw.as_bytes()).map(|c| (c.name, c.kind));
        for (want, kind, raws) in [
            ("chrX", Kind::X, "X x chrX CHRx 23 chr23 XY 25 NC_000023.10 nc_000023.11 PAR1 par2"),
            ("chrY", Kind::Y, "Y y chry 24 NC_000024.9 NC_000024.10"),
            ("chrM", Kind::M, "M MT mt chrM chrMT 26 NC_012920.1"),
            ("chr7", Kind::Autosome, "7 chr7 Chr7 NC_000007.13 NC_000007.14"),
            ("chr20", Kind::Autosome, "20 CHR20 NC_000020.10 NC_000020.11"),
        ] {
            for raw in raws.split(' ') {
                assert_eq!(name(raw), Some((want.to_owned(), kind)), "{raw}");
            }
        }
        for raw in ["NC_000023.9", "NC_000025.1", "NC_012920.2", "NC_7.1", "27", "chrUn", "XX"] {
            assert_eq!(name(raw), Some((raw.to_owned(), Kind::Other)), "{raw}");
        }
    }

    #[test]
    fn an_accession_tells_its_genome() {
        let other = |raw: &str, genome| of_other_genome(raw.as_bytes(), genome);
        assert!(other("NC_000001.10", Genome::Grch38) && other("NC_000001.11", Genome::Grch37));
        assert!(!other("NC_000001.10", Genome::Grch37) && !other("NC_000001.11", Genome::Grch38));
        assert!(!other("NC_012920.1", Genome::Grch37) && !other("chr1", Genome::Grch38));
    }
}
