//! Where a tool differs from strata: exactly what it says then, and the row of the spec table that says why.

use super::site::{Site, midp, plain};

/// A number compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Fact {
    Ac,
    An,
    Af,
    Het,
    HomRef,
    HomAlt,
    HemiAlt,
    Missing,
    Hwe,
    Excess,
}

use Fact::{Ac, Af, An, Excess, HemiAlt, Het, HomAlt, HomRef, Hwe, Missing};

/// A tool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tool {
    Bcftools,
    Plink2,
    Plink1,
    Hail,
}

/// A difference that is known: `says` gives the tool's number; `None` where it gives none.
pub struct Rule {
    pub tool: Tool,
    pub facts: &'static [Fact],
    /// Row of the spec table.
    pub spec: &'static str,
    pub applies: fn(&Site) -> bool,
    pub says: fn(&Site, Fact) -> Option<f64>,
}

const COUNTS: &[Fact] = &[Ac, An, Af, Het, HomRef, HomAlt, HemiAlt, Missing];
const ALL: &[Fact] = &[Ac, An, Af, Het, HomRef, HomAlt, HemiAlt, Missing, Hwe, Excess];

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

fn fill_tags(s: &Site, fact: Fact) -> Option<f64> {
    let [ac, an, het, hom, hemi, ns] = s.fill_tags();
    match fact {
        Ac => Some(ac),
        An => Some(an),
        Af => ratio(ac, an),
        Het => Some(het),
        HomAlt => Some(hom),
        HemiAlt => Some(hemi),
        Missing => Some(s.samples() - ns),
        HomRef | Hwe | Excess => None,
    }
}

/// bcftools counts alleles: REF homozygotes and every het there is, less the hets of this ALT.
fn fill_tags_hwe(s: &Site, fact: Fact) -> Option<f64> {
    let hets: f64 = (0..=s.n_alts()).map(|a| s.hets_of(a)).sum();
    let (het, nalt) = (s.hets_of(s.allele), 2.0 * s.homs_of(s.allele) + s.hets_of(s.allele));
    let p = plain(2.0 * s.homs_of(0) + hets - het, nalt, het);
    Some(if fact == Hwe { p.0 } else { p.1 })
}

fn plain_p(s: &Site, fact: Fact) -> Option<f64> {
    let (rr, ra, aa) = (s.with(2, 0), s.with(2, 1), s.with(2, 2));
    let p = plain(2.0 * rr + ra, 2.0 * aa + ra, ra);
    Some(if fact == Hwe { p.0 } else { p.1 })
}

/// Haploid calls taken as two copies.
fn doubled(s: &Site, fact: Fact) -> Option<f64> {
    let rr = s.with(2, 0) + s.with(1, 0);
    let (ra, aa) = (s.with(2, 1), s.with(2, 2) + s.with(1, 1));
    let (ac, an) = (2.0 * aa + ra, 2.0 * (rr + ra + aa));
    Some(match fact {
        Ac => ac,
        An => an,
        Af => return ratio(ac, an),
        Het => ra,
        HomRef => rr,
        HomAlt => aa,
        HemiAlt => 0.0,
        Missing => s.samples() - rr - ra - aa,
        Hwe => midp(rr, ra, aa).0,
        Excess => midp(rr, ra, aa).1,
    })
}

/// The calls of other ALTs are missing; haploid calls are two copies.
fn biallelic_only(s: &Site, fact: Fact) -> Option<f64> {
    let rr = s.homs_of(0) + s.with_only(0);
    let aa = s.homs_of(s.allele) + s.with_only(s.allele);
    let ra = s.pairs(0, s.allele);
    Some(match fact {
        Ac => 2.0 * aa + ra,
        An => 2.0 * (rr + ra + aa),
        Af => return ratio(2.0 * aa + ra, 2.0 * (rr + ra + aa)),
        Het => ra,
        HomRef => rr,
        HomAlt => aa,
        HemiAlt => 0.0,
        Missing => s.samples() - rr - ra - aa,
        Hwe => midp(rr, ra, aa).0,
        Excess => midp(rr, ra, aa).1,
    })
}

fn mitochondrial(s: &Site, fact: Fact) -> Option<f64> {
    let het = s.with(2, 1);
    let (r, a) = (s.with(2, 0) + s.with(1, 0), s.with(2, 2) + s.with(1, 1));
    Some(match fact {
        Ac => a + het / 2.0,
        An => r + a + het,
        Af => return ratio(a + het / 2.0, r + a + het),
        Het => het,
        HomRef | HomAlt => 0.0,
        HemiAlt => a,
        Missing => s.samples() - r - a - het,
        Hwe | Excess => return None,
    })
}

/// As written, two alleles a call: what a tool says of chrM that knows no ploidy.
fn as_written(s: &Site, fact: Fact) -> Option<f64> {
    let (rr, ra, aa) = (s.with(2, 0), s.with(2, 1), s.with(2, 2));
    let (r, a) = (s.with(1, 0), s.with(1, 1));
    let (ac, an) = (2.0 * aa + ra + a, 2.0 * (rr + ra + aa) + r + a);
    Some(match fact {
        Ac => ac,
        An => an,
        Af => return ratio(ac, an),
        Het => ra,
        HomRef => rr,
        HomAlt => aa,
        HemiAlt => a,
        Missing => s.samples() - rr - ra - aa - r - a,
        Hwe => midp(rr, ra, aa).0,
        Excess => midp(rr, ra, aa).1,
    })
}

fn hail_haploid(s: &Site, fact: Fact) -> Option<f64> {
    let (rr, ra, aa) = (s.with(2, 0), s.with(2, 1), s.with(2, 2));
    let in_test = ra + s.with(1, 1);
    match fact {
        Het => Some(ra + s.called(1)),
        Hwe => Some(midp(rr, in_test, aa).0),
        Excess => Some(midp(rr, in_test, aa).1),
        _ => None,
    }
}

fn nobody(_: &Site, fact: Fact) -> Option<f64> {
    (!matches!(fact, Af | Hwe | Excess)).then_some(0.0)
}

fn has_haploid(s: &Site) -> bool {
    s.called(1) > 0.0 && s.chrom != "M" && s.chrom != "Y"
}

/// All known differences; the first that applies and is exact explains a number.
pub static RULES: &[Rule] = &[
    Rule {
        tool: Tool::Bcftools,
        facts: ALL,
        spec: "no_gt",
        applies: |s| s.called(1) + s.called(2) + s.half_calls() + s.polyploid() == 0.0,
        says: |_, _| None,
    },
    Rule {
        tool: Tool::Bcftools,
        facts: COUNTS,
        spec: "half_call",
        applies: |s| s.half_calls() > 0.0 && s.polyploid() == 0.0,
        says: fill_tags,
    },
    Rule {
        tool: Tool::Bcftools,
        facts: COUNTS,
        spec: "triploid",
        applies: |s| s.polyploid() > 0.0,
        says: fill_tags,
    },
    Rule {
        tool: Tool::Bcftools,
        facts: &[Hwe, Excess],
        spec: "triploid",
        applies: |s| s.polyploid() > 0.0,
        says: |s, fact| {
            let [ac, an, het, ..] = s.fill_tags();
            let p = plain(an - ac, ac, het);
            Some(if fact == Hwe { p.0 } else { p.1 })
        },
    },
    Rule {
        tool: Tool::Bcftools,
        facts: &[Hwe, Excess],
        spec: "monomorphic",
        applies: |s| s.with(2, 1) + s.with(2, 2) == 0.0 || s.with(2, 0) + s.with(2, 1) == 0.0,
        says: |_, _| Some(1.0),
    },
    Rule {
        tool: Tool::Bcftools,
        facts: &[Hwe, Excess],
        spec: "hwe_midp",
        applies: |_| true,
        says: plain_p,
    },
    Rule {
        tool: Tool::Bcftools,
        facts: &[Hwe, Excess],
        spec: "multiallelic_hwe",
        applies: |s| s.n_alts() > 1,
        says: fill_tags_hwe,
    },
    Rule {
        tool: Tool::Plink2,
        facts: ALL,
        spec: "haploid_autosome",
        applies: has_haploid,
        says: doubled,
    },
    Rule {
        tool: Tool::Plink2,
        facts: ALL,
        spec: "y_without_sex",
        applies: |s| s.chrom == "Y",
        says: nobody,
    },
    Rule {
        tool: Tool::Plink2,
        facts: ALL,
        spec: "mt_diploid",
        applies: |s| s.chrom == "M",
        says: mitochondrial,
    },
    Rule {
        tool: Tool::Plink1,
        facts: ALL,
        spec: "plink1_two_alts",
        applies: |s| s.n_alts() > 1 && s.chrom != "Y",
        says: biallelic_only,
    },
    Rule {
        tool: Tool::Plink1,
        facts: ALL,
        spec: "haploid_autosome",
        applies: has_haploid,
        says: doubled,
    },
    Rule {
        tool: Tool::Plink1,
        facts: ALL,
        spec: "y_without_sex",
        applies: |s| s.chrom == "Y",
        says: nobody,
    },
    Rule {
        tool: Tool::Plink1,
        facts: ALL,
        spec: "mt_diploid",
        applies: |s| s.chrom == "M",
        says: doubled,
    },
    Rule {
        tool: Tool::Bcftools,
        facts: COUNTS,
        spec: "mt_diploid",
        applies: |s| s.chrom == "M",
        says: as_written,
    },
    Rule {
        tool: Tool::Hail,
        facts: ALL,
        spec: "mt_diploid",
        applies: |s| s.chrom == "M" && s.called(1) == 0.0,
        says: as_written,
    },
    Rule {
        tool: Tool::Hail,
        facts: &[Het, Hwe, Excess],
        spec: "haploid_autosome",
        applies: |s| s.called(1) > 0.0,
        says: hail_haploid,
    },
];

/// Files that a tool refuses, with the row of the spec table.
pub static REFUSED: &[(Tool, &str, &str)] = &[
    (Tool::Bcftools, "bio2zarr_mixed_ploidy.vcf.gz", "triploid"),
    (Tool::Plink1, "bio2zarr_field_type_combos.vcf.gz", "duplicates"),
    (Tool::Hail, "bio2zarr_field_type_combos.vcf.gz", "unknown_version"),
    (Tool::Hail, "bio2zarr_mixed_ploidy.vcf.gz", "triploid"),
    (Tool::Hail, "bio2zarr_triploid.vcf.gz", "unknown_version"),
    (Tool::Hail, "polyploid.vcf", "triploid"),
];
