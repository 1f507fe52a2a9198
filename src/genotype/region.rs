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

/// Reads a CHROM value. `None` when it is no contig name of VCF 4.3, or too long.
pub fn chrom(raw: &[u8]) -> Option<Chrom> {
    let bare = match raw {
        [c, h, r, rest @ ..] if [*c, *h, *r].eq_ignore_ascii_case(b"chr") => rest,
        _ => raw,
    };
    let known = |name: String, kind, rank| Some(Chrom { name, kind, rank });
    match bare {
        b"X" => return known("chrX".into(), Kind::X, 23),
        b"Y" => return known("chrY".into(), Kind::Y, 24),
        b"M" | b"MT" => return known("chrM".into(), Kind::M, 25),
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
}
