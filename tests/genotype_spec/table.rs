//! Where genotype tools disagree, or where strata had to choose: one table that the test runs, that the
//! documentation is made of, and that every difference found by the oracles must name.
#![allow(clippy::allow_attributes, reason = "what is unused differs by test file")]
#![allow(dead_code, reason = "the oracles need names and records only")]

/// A situation, what the tools say of it, and what strata says.
pub struct Spec {
    /// Stable name.
    pub id: &'static str,
    /// The situation.
    pub title: &'static str,
    /// Whether the sexes of the sample sheet (six women, then six men) are given to strata.
    pub sexed: bool,
    /// Records: `CHROM POS ID REF ALT QUAL FILTER INFO FORMAT`, then the cells, separated by spaces.
    /// `6*0/0` repeats a cell.
    pub records: &'static [&'static str],
    /// Tool and what it says.
    pub tools: &'static [(&'static str, &'static str)],
    /// What strata says, for people.
    pub says: &'static str,
    /// Why.
    pub why: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// What strata says, for the test.
    pub checks: &'static [Check],
}

/// A statement on the tables.
pub enum Check {
    /// Columns of the row of `variants` with this vid; `null` stands for null.
    Row(&'static str, &'static [(&'static str, &'static str)]),
    /// There is no such row.
    NoRow(&'static str),
    /// Columns of the row of `samples` of this number.
    Sample(usize, &'static [(&'static str, &'static str)]),
    /// Number of a reason in the ledger, excluded or noted.
    Booked(&'static str, u64),
}

use Check::{Booked, NoRow, Row, Sample};

/// The row of that name.
pub fn find(id: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|s| s.id == id)
}

const BASE: Spec = Spec {
    id: "",
    title: "",
    sexed: false,
    records: &[],
    tools: &[],
    says: "",
    why: "",
    source: "",
    checks: &[],
};

/// All rows.
pub static SPECS: &[Spec] = &[
    Spec {
        id: "half_call",
        title: "Half calls: `./1`, `0/.`, `1/.`",
        records: &["20 100 . A G . PASS . GT ./1 0/. 1/. 1/1 1/1 1/1 0/1 0/1 4*0/0"],
        tools: &[
            ("bcftools", "AC/AN 10/21: the allele that is there counts as a haploid (Hemi) call"),
            ("plink2", "error unless told; with `--vcf-half-call missing` 8/18"),
            ("Hail", "8/18"),
            ("vcftools", "10/21"),
            ("sgkit", "AC/AN 10/21, but n_called 9"),
        ],
        says: "8/18; three people missing, also counted in `n_half`",
        why: "half a call is no genotype: it has no place in homozygotes, heterozygotes or Hardy-Weinberg, and counting \
              its allele alone favours the one that is there. `calls.half_calls` can make it a haploid call",
        source: "genomics reference 2.1",
        checks: &[Row(
            "chr20-100-A-G",
            &[
                ("ac", "8"),
                ("an", "18"),
                ("n_half", "3"),
                ("n_missing", "3"),
                ("n_called", "9"),
                ("call_rate", "0.75"),
            ],
        )],
        ..BASE
    },
    Spec {
        id: "half_call_of_another_alt",
        title: "Half call of another ALT: `./2` seen from ALT 1",
        records: &["20 150 . A G,T . PASS . GT ./2 1/2 10*0/0"],
        tools: &[("bcftools norm -m-", "./0 and ./1"), ("Hail", "missing for both ALTs")],
        says: "missing and half in both rows",
        why: "as for any half call; the row of ALT 1 must not gain a REF it was not given",
        source: "genomics reference 2.4",
        checks: &[
            Row("chr20-150-A-G", &[("ac", "1"), ("an", "22"), ("n_half", "1")]),
            Row("chr20-150-A-T", &[("ac", "1"), ("an", "22"), ("n_half", "1")]),
        ],
        ..BASE
    },
    Spec {
        id: "haploid_autosome",
        title: "Haploid calls on an autosome",
        records: &["20 200 . A G . PASS . GT 0 0 1 1 0/1 0/1 0/1 1/1 4*0/0"],
        tools: &[
            ("bcftools", "AN 20"),
            ("plink2, plink 1.9", "AN 24: a haploid call is homozygous"),
            ("Hail", "AN 20, but n_het 7 where 3 are, and its HWE takes haploid ALTs for hets"),
            ("vcftools", "AN 20"),
            ("sgkit", "AN 20, n_called 8 of 12"),
        ],
        says: "AN 20, n_het 3, two hemizygous REF and two hemizygous ALT, 12 called; HWE over the 8 diploid calls",
        why: "ploidy is what GT says unless karyotype and region say otherwise; haploid calls are calls, and tell \
              nothing of Hardy-Weinberg proportions",
        source: "genomics reference 2.1; hail#13149",
        checks: &[Row(
            "chr20-200-A-G",
            &[
                ("ac", "7"),
                ("an", "20"),
                ("n_het", "3"),
                ("n_hom_alt", "1"),
                ("n_hemi_ref", "2"),
                ("n_hemi_alt", "2"),
                ("n_called", "12"),
            ],
        )],
        ..BASE
    },
    Spec {
        id: "x_haploid_males",
        title: "chrX outside PAR, men haploid",
        sexed: true,
        records: &["X 5000000 . A G . PASS . GT 0/1 0/1 0/1 1/1 0/0 0/0 0 0 0 1 1 1"],
        tools: &[
            ("bcftools", "3 hets; HWE excludes haploid calls"),
            ("plink2", "one joint test of men and women (Graffelman and Weir)"),
            ("Hail", "9 hets"),
            ("vcftools", "skips the site"),
            ("sgkit", "3 hets, call rate 0.5"),
        ],
        says: "3 hets, 3 + 3 hemizygous, AN 18, call rate 1; `hwe_p` over diploid calls, which are women",
        why: "a man's one X is a full call",
        source: "genomics reference 2.1, 2.2",
        checks: &[Row(
            "chrX-5000000-A-G",
            &[
                ("ac", "8"),
                ("an", "18"),
                ("n_het", "3"),
                ("n_hemi_ref", "3"),
                ("n_hemi_alt", "3"),
                ("n_hom_alt", "1"),
                ("call_rate", "1"),
            ],
        )],
    },
    Spec {
        id: "x_diploid_males",
        title: "chrX outside PAR, men coded 0/0 and 1/1",
        sexed: true,
        records: &["X 5000100 . A G . PASS . GT 0/1 0/1 0/0 0/0 0/0 0/0 0/0 0/0 0/0 0/0 1/1 1/1"],
        tools: &[("bcftools, Hail, vcftools, sgkit", "AN 24"), ("plink2", "AN 18: sex-aware")],
        says: "AN 18; the men are hemizygous, in counts and in `carriers.gt`",
        why: "GATK and arrays write men so; counted as written, allele frequencies on X are wrong by sex ratio",
        source: "gnomAD adjusted_sex_ploidy_expr",
        checks: &[Row(
            "chrX-5000100-A-G",
            &[
                ("ac", "4"),
                ("an", "18"),
                ("n_hemi_ref", "4"),
                ("n_hemi_alt", "2"),
                ("n_hom_alt", "0"),
                ("n_het", "2"),
            ],
        )],
    },
    Spec {
        id: "x_het_males",
        title: "chrX outside PAR, heterozygous men",
        sexed: true,
        records: &["X 5000200 . A G . PASS . GT 0/1 1/1 1/1 0/0 0/0 0/0 0/1 0/1 1/1 0/0 0/0 0/0"],
        tools: &[
            ("bcftools, Hail, vcftools, sgkit", "AC/AN 9/24"),
            ("plink2", "7/18: a het counts one half; missing in its X HWE"),
        ],
        says: "two people missing, counted in `n_het_hap`; AC/AN 6/16",
        why: "a man cannot be heterozygous there: it is an error signal, to be counted and not averaged",
        source: "gnomAD adjusted_sex_ploidy_expr; plink2 --missing hethap",
        checks: &[Row(
            "chrX-5000200-A-G",
            &[
                ("ac", "6"),
                ("an", "16"),
                ("n_het_hap", "2"),
                ("n_missing", "2"),
                ("n_hemi_alt", "1"),
                ("n_hemi_ref", "3"),
            ],
        )],
    },
    Spec {
        id: "x_par",
        title: "chrX inside PAR, heterozygous men",
        sexed: true,
        records: &["X 20000 . A G . PASS . GT 6*0/0 3*0/1 3*0/0"],
        tools: &[("plink2", "diploid only after `--split-par`; else as outside PAR")],
        says: "diploid for everyone: AN 24, 3 hets",
        why: "PAR1 and PAR2 are on both sex chromosomes; borders by genome build",
        source: "GRC; genomics reference 2.1",
        checks: &[Row(
            "chrX-20000-A-G",
            &[("ac", "3"), ("an", "24"), ("n_het", "3"), ("n_missing", "0")],
        )],
    },
    Spec {
        id: "y_females",
        title: "chrY outside PAR, women called",
        sexed: true,
        records: &["Y 5000000 . A G . PASS . GT 6*0/0 0 0 0 1 1 ."],
        tools: &[
            ("bcftools, Hail, vcftools, sgkit", "the women are counted: AN 17"),
            ("plink2", "AN 5: men only"),
        ],
        says: "AN 5; women are neither called nor missing: call rate 5/6",
        why: "who has no Y cannot be missing there; a call rate over everyone would fail every variant on Y",
        source: "genomics reference 2.2; plink2",
        checks: &[Row(
            "chrY-5000000-A-G",
            &[
                ("ac", "2"),
                ("an", "5"),
                ("n_called", "5"),
                ("n_missing", "1"),
                ("call_rate", "0.8333333333333334"),
            ],
        )],
    },
    Spec {
        id: "y_without_sex",
        title: "chrY, sex not known",
        records: &["Y 5000100 . A G . PASS . GT 6*0/0 0 0 0 1 1 ."],
        tools: &[("plink2, plink 1.9", "nobody is counted"), ("bcftools, Hail", "as written")],
        says: "as written: AN 17",
        why: "without a sex there is no karyotype to correct by, and dropping everyone in silence is worse",
        source: "genomics reference 2.1 (ambiguous karyotype: unchanged)",
        checks: &[Row("chrY-5000100-A-G", &[("ac", "2"), ("an", "17"), ("n_missing", "1")])],
        ..BASE
    },
    Spec {
        id: "mt_diploid",
        title: "Mitochondrion coded diploid, with `0/1`",
        records: &["MT 100 . A G . PASS . GT 0/1 0/1 0/1 9*0/0"],
        tools: &[
            ("bcftools, Hail, vcftools, sgkit, plink 1.9", "AC/AN 3/24"),
            ("plink2", "1.5/12: a het counts one half"),
        ],
        says: "haploid: AN 9, three people missing and in `n_het_hap`",
        why: "one genome a cell line: heteroplasmy is a fraction and belongs in a field, not in GT",
        source: "genomics reference 2.1",
        checks: &[Row(
            "chrM-100-A-G",
            &[("ac", "0"), ("an", "9"), ("n_hemi_ref", "9"), ("n_het_hap", "3")],
        )],
        ..BASE
    },
    Spec {
        id: "hwe_midp",
        title: "Hardy-Weinberg of 5 / 5 / 2",
        records: &["20 300 . A G . PASS . GT 5*0/0 5*0/1 2*1/1"],
        tools: &[
            ("bcftools, vcftools, sgkit", "1.0: the plain exact p"),
            ("plink2, Hail", "mid-p .796 (plink2 with `midp`; plain 1)"),
        ],
        says: "`hwe_p` = .796, mid-p; `excess_het_p` likewise",
        why: "the plain exact test is conservative; with mid-p the type I error is near the nominal one",
        source: "Wigginton 2005; Graffelman and Moreno 2013; Hail",
        checks: &[Row("chr20-300-A-G", &[("hwe_p", "0.7965")])],
        ..BASE
    },
    Spec {
        id: "excess_het",
        title: "Twelve of twelve heterozygous",
        records: &["20 310 . A G . PASS . GT 12*0/1"],
        tools: &[
            ("bcftools, vcftools", "two-sided .00186, one-sided .00151: `P(hets >= seen)`"),
            ("plink2", "mid-p .00110"),
            ("Hail", "mid-p .00110, one-sided .000757: `P(hets > seen) + P(seen) / 2`"),
        ],
        says: "mid-p .00110 and .000757",
        why: "both by the same mid-p rule",
        source: "genomics reference 2.2",
        checks: &[Row("chr20-310-A-G", &[("hwe_p", "0.001098"), ("excess_het_p", "0.0007574")])],
        ..BASE
    },
    Spec {
        id: "monomorphic",
        title: "One allele only",
        records: &["20 320 . A G . PASS . GT 12*0/0"],
        tools: &[("bcftools", "HWE and ExcHet 1"), ("plink2, Hail", "mid-p .5")],
        says: "a row with AC 0 and AF 0; `hwe_p` .5",
        why: "mid-p of the only outcome is one half; it is no sign of anything and no reason for a null",
        source: "genomics reference 2.2",
        checks: &[Row(
            "chr20-320-A-G",
            &[("ac", "0"), ("af", "0"), ("hwe_p", "0.5"), ("excess_het_p", "0.5")],
        )],
        ..BASE
    },
    Spec {
        id: "all_missing",
        title: "Nobody called",
        records: &["20 330 . A G . PASS . GT 12*./."],
        tools: &[
            ("bcftools", "AF `.`, HWE 1"),
            ("plink2", "AF nan, mid-p .5"),
            ("Hail", "AF null, p .5"),
            ("vcftools", "-nan"),
            ("sgkit", "nan"),
        ],
        says: "AF null, AN 0, call rate 0, `hwe_p` .5",
        why: "a frequency of nothing is not known; null says so in every engine, NaN sorts above one",
        source: "genomics reference 2.2",
        checks: &[Row(
            "chr20-330-A-G",
            &[("an", "0"), ("af", "null"), ("call_rate", "0"), ("hwe_p", "0.5")],
        )],
        ..BASE
    },
    Spec {
        id: "dot_genotype",
        title: "Genotype `.` and trailing fields dropped",
        records: &["20 1100 . A G . PASS . GT:DP . .:3 ./.:1 0/1 0/0:2 7*0/0"],
        tools: &[
            ("bcftools, plink2, Hail, sgkit", "missing"),
            ("vcftools", "drops the HWE row, N_DATA 23"),
        ],
        says: "`.` is a missing call of any ploidy: 9 called, 3 missing",
        why: "VCF 4.3, 1.6.2",
        source: "VCF specification",
        checks: &[Row(
            "chr20-1100-A-G",
            &[("n_called", "9"), ("n_missing", "3"), ("n_half", "0"), ("an", "18")],
        )],
        ..BASE
    },
    Spec {
        id: "no_gt",
        title: "A record without GT",
        records: &["20 1150 . A G . PASS . DP 12*3"],
        tools: &[("bcftools", "AN 0"), ("Hail", "missing")],
        says: "a row with AN 0, noted as `record_without_gt`",
        why: "the site was seen; its genotypes were not",
        source: "genomics reference 2.1",
        checks: &[Row("chr20-1150-A-G", &[("an", "0"), ("n_missing", "12")])],
        ..BASE
    },
    Spec {
        id: "multiallelic_hwe",
        title: "Hardy-Weinberg of a record with two ALTs",
        records: &["20 400 . A G,T . PASS . GT 3*0/1 2*1/2 2*0/2 1/1 2/2 3*0/0"],
        tools: &[
            (
                "bcftools",
                "takes hets of other ALTs for REF and neglects their homozygotes (comment in its source)",
            ),
            ("plink2", "one test per allele, this one against all others"),
            ("Hail", "none before splitting; after it, this ALT against all others"),
        ],
        says: "one test per ALT against all others, on the row's own counts",
        why: "it is the test of the row that is there, and needs no other row",
        source: "genomics reference 2.2",
        checks: &[
            Row("chr20-400-A-G", &[("n_hom_ref", "6"), ("n_het", "5"), ("n_hom_alt", "1")]),
            Row("chr20-400-A-T", &[("n_hom_ref", "7"), ("n_het", "4"), ("n_hom_alt", "1")]),
        ],
        ..BASE
    },
    Spec {
        id: "plink1_two_alts",
        title: "More than one ALT in plink 1.9",
        records: &["20 410 . A G,T . PASS . GT 4*0/1 2*0/2 6*0/0"],
        tools: &[("plink 1.9", "keeps the commonest ALT; calls of the others are missing")],
        says: "both ALTs, nobody missing",
        why: "a format with two alleles cannot say it; the tables can",
        source: "plink 1.9 documentation",
        checks: &[
            Row("chr20-410-A-G", &[("ac", "4"), ("an", "24"), ("n_missing", "0")]),
            Row("chr20-410-A-T", &[("ac", "2"), ("an", "24")]),
        ],
        ..BASE
    },
    Spec {
        id: "star_allele",
        title: "`*` in ALT",
        records: &["20 500 . A *,G . PASS . GT 0/1 1/1 1/2 2/2 8*0/0"],
        tools: &[
            ("Hail", "counts it in AN; split drops the allele"),
            ("bcftools norm", "leaves records with `*` as they are"),
            ("plink2", "an allele as any other"),
        ],
        says: "no row of its own (`star_allele` in the books); its copies count in AN of the other ALTs as not this allele",
        why: "the base is deleted on that chromosome: it was looked at and is not the ALT",
        source: "genomics reference 2.1",
        checks: &[
            NoRow("chr20-500-A-*"),
            Row(
                "chr20-500-A-G",
                &[
                    ("ac", "3"),
                    ("an", "24"),
                    ("n_het", "1"),
                    ("n_hom_alt", "1"),
                    ("n_hom_ref", "10"),
                ],
            ),
            Booked("star_allele", 1),
        ],
        ..BASE
    },
    Spec {
        id: "non_ref_allele",
        title: "`<NON_REF>` and `<*>` of a gVCF",
        records: &[
            "20 510 . A G,<NON_REF> . PASS . GT 0/1 0/2 10*0/0",
            "20 520 . A <*> . PASS . GT 12*0/0",
        ],
        tools: &[("bcftools", "an allele as any other"), ("GATK", "a placeholder")],
        says: "no row; stripped before splitting, so that `was_split` is false. A record of it alone is a reference block",
        why: "it stands for whatever was not seen",
        source: "GATK gVCF; VCF 4.3, 5.5",
        checks: &[
            Row("chr20-510-A-G", &[("was_split", "false"), ("ac", "1"), ("an", "24")]),
            NoRow("chr20-520-A-<*>"),
            Booked("non_ref_allele", 1),
            Booked("reference_block", 1),
        ],
        ..BASE
    },
    Spec {
        id: "split_one_two",
        title: "`1/2` after the split",
        records: &["20 600 . A C,T . PASS . GT 1/2 11*0/0"],
        tools: &[
            ("bcftools norm -m-", "1/0 and 0/1 (or `.` for the other ALT on request)"),
            ("Hail split_multi_hts", "0/1 and 0/1"),
        ],
        says: "a het in both rows",
        why: "one copy of each; downcoding, as Hail",
        source: "genomics reference 2.4",
        checks: &[
            Row(
                "chr20-600-A-C",
                &[("n_het", "1"), ("ac", "1"), ("an", "24"), ("was_split", "true")],
            ),
            Row(
                "chr20-600-A-T",
                &[("n_het", "1"), ("ac", "1"), ("an", "24"), ("allele_index", "2")],
            ),
        ],
        ..BASE
    },
    Spec {
        id: "trimmed_alleles",
        title: "Alleles written longer than they are",
        records: &[
            "20 700 . CA CAT . PASS . GT 0/1 11*0/0",
            "20 710 . CAT CAC . PASS . GT 0/1 11*0/0",
        ],
        tools: &[
            ("Hail sample_qc", "`CA>CAT` is Complex, `CAT>CAC` a transition"),
            ("plink2", "`CAT>CAC` is no SNP"),
            ("bcftools stats", "types after its own trimming"),
        ],
        says: "trimmed first: an insertion at 701 and a transition at 712",
        why: "what a variant is must not depend on how the caller padded it",
        source: "genomics reference 2.3, 2.4",
        checks: &[
            Row(
                "chr20-701-A-AT",
                &[("variant_type", "insertion"), ("orig_pos", "700"), ("orig_ref", "CA")],
            ),
            Row("chr20-712-T-C", &[("variant_type", "snv")]),
            Sample(0, &[("n_het", "2")]),
        ],
        ..BASE
    },
    Spec {
        id: "symbolic",
        title: "Symbolic alleles",
        records: &[
            "20 800 . A <DEL> . PASS END=900 GT 0/1 11*0/0",
            "20 800 . A <DEL> . PASS END=950 GT 0/1 11*0/0",
            "20 960 . A G . PASS . GT 0/1 11*0/0",
        ],
        tools: &[(
            "bcftools, plink2, Hail",
            "two records of the same name; `rmdup` style tools drop one",
        )],
        says: "never trimmed, type symbolic, out of Ti/Tv and ins/del; of different extent they are different variants",
        why: "`<DEL>` names a class: without END the name is not the variant",
        source: "VCF 4.3, 1.6.1; contract of `vid`",
        checks: &[
            Row("chr20-800-A-<DEL>-900", &[("variant_type", "symbolic"), ("end", "900")]),
            Row("chr20-800-A-<DEL>-950", &[("variant_type", "symbolic"), ("end", "950")]),
            Sample(0, &[("ti_tv", "null"), ("n_het", "3")]),
        ],
        ..BASE
    },
    Spec {
        id: "duplicates",
        title: "The same variant twice",
        records: &[
            "20 1000 . A G . PASS . GT 0/1 11*0/0",
            "20 1000 . A G,T . PASS . GT 1/1 1/2 10*0/0",
        ],
        tools: &[
            ("bcftools, plink2, plink 1.9, Hail", "two rows of the same name"),
            ("bcftools norm -d", "keeps the first"),
        ],
        says: "the first in file order stays, the other is in `quality/rejects` as `duplicate_variant`",
        why: "joins by `vid` must find one row; which one is said",
        source: "definitions",
        checks: &[
            Row("chr20-1000-A-G", &[("ac", "1")]),
            Row("chr20-1000-A-T", &[("ac", "1")]),
            Booked("duplicate_variant", 1),
        ],
        ..BASE
    },
    Spec {
        id: "lower_case",
        title: "Lower-case bases",
        records: &["20 1010 . a g . PASS . GT 0/1 11*0/0"],
        tools: &[("bcftools", "keeps the case"), ("Hail", "keeps the case: another allele")],
        says: "upper case in `vid`, `ref`, `alt`; the source's own in `orig_*`",
        why: "case is masking, not sequence (VCF 4.3, 1.6.1: case-insensitive)",
        source: "VCF specification",
        checks: &[Row(
            "chr20-1010-A-G",
            &[("orig_ref", "a"), ("orig_alt", "g"), ("variant_type", "snv")],
        )],
        ..BASE
    },
    Spec {
        id: "iupac",
        title: "`A>N`",
        records: &["20 1020 . A N . PASS . GT 0/1 11*0/0"],
        tools: &[("Hail", "a SNP, counted as a transversion")],
        says: "an snv, counted as a transversion, as Hail",
        why: "N in ALT says only that the base is another one; who minds can filter on `alt`",
        source: "genomics reference 2.3",
        checks: &[Row("chr20-1020-A-N", &[("variant_type", "snv")])],
        ..BASE
    },
    Spec {
        id: "singletons",
        title: "What a singleton is",
        records: &["20 1200 . A G . PASS . GT 0/1 11*0/0", "20 1210 . A C . PASS . GT 1/1 11*0/0"],
        tools: &[
            ("Hail", "AC = 1: one"),
            ("bcftools stats PSC, plink2", "one carrier, hom counts too: two"),
            ("vcftools", "S (AC = 1) and D (private doubleton) apart"),
            ("All of Us callset statistics", "site not in gnomAD"),
        ],
        says: "`n_singleton` is AC = 1",
        why: "a count of alleles needs no second rule; variants of one carrier are another question with its own name",
        source: "genomics reference 2.3",
        checks: &[Sample(0, &[("n_singleton", "1"), ("n_het", "1"), ("n_hom_alt", "1")])],
        ..BASE
    },
    Spec {
        id: "private_sites",
        title: "Variants with one carrier",
        records: &["20 1250 . A G . PASS . GT 0/1 11*0/0", "20 1260 . A C . PASS . GT 1/1 11*0/0"],
        tools: &[("bcftools stats PSC, plink2", "call them singletons: two")],
        says: "`n_private_site` is 2, next to `n_singleton` 1",
        why: "both are in use; each has a name of its own",
        source: "genomics reference 2.3",
        checks: &[Sample(0, &[("n_singleton", "1"), ("n_private_site", "2")])],
        ..BASE
    },
    Spec {
        id: "ti_tv_units",
        title: "Units of Ti/Tv",
        records: &[
            "20 1300 . A G . PASS . GT 1/1 11*0/0",
            "20 1310 . C T . PASS . GT 0/1 11*0/0",
            "20 1320 . A C . PASS . GT 0/1 11*0/0",
        ],
        tools: &[
            ("Hail sample_qc", "allele copies: 3 / 1"),
            ("bcftools stats PSC, plink2", "genotypes: 2 / 1"),
        ],
        says: "allele copies: 3",
        why: "as Hail, whose cut-offs are in use; a hom-alt call is two mutations seen",
        source: "genomics reference 2.3, finding 6",
        checks: &[Sample(0, &[("ti_tv", "3"), ("het_hom_ratio", "2")])],
        ..BASE
    },
    Spec {
        id: "faf95",
        title: "Filtering allele frequency",
        records: &["20 1400 . A G . PASS . GT 5*0/1 7*0/0", "20 1410 . A G . PASS . GT 0/1 11*0/0"],
        tools: &[("Hail, gnomAD", "search in steps of 1e-6: 25 % low at AC 5 and AN 1.6 million")],
        says: "closed form: 5 % quantile of Gamma(AC) over AN; 0 below two copies",
        why: "exact at every AN, and faster",
        source: "genomics reference, finding 5; Whiffin 2017",
        checks: &[
            Row("chr20-1400-A-G", &[("faf95", "0.0820895")]),
            Row("chr20-1410-A-G", &[("faf95", "0")]),
        ],
        ..BASE
    },
    Spec {
        id: "f_inbreeding",
        title: "Inbreeding coefficient F of a sample",
        records: &[
            "20 1500 . A G . PASS . GT 1/1 0/1 0/1 9*0/0",
            "20 1510 . A C . PASS . GT 0/1 0/1 10*0/0",
        ],
        tools: &[
            ("Hail, plink2, plink 1.9", "E = sum(1 - 2pq)"),
            ("plink2 `--het small-sample`", "Nei's n / (n - 1)"),
        ],
        says: "the first: 1 - hets / sum(2pq) over called autosomal rows",
        why: "three tools agree on it; at the sizes of a programme n / (n - 1) is one",
        source: "genomics reference 2.3",
        // 2pq: 2 (4/24)(20/24) + 2 (2/24)(22/24) = 0.4305556
        checks: &[
            Sample(0, &[("f_inbreeding", "-1.3225806")]),
            Sample(3, &[("f_inbreeding", "1")]),
        ],
        ..BASE
    },
    Spec {
        id: "triploid",
        title: "Three and more alleles in a call",
        records: &["20 1600 . A G . PASS . GT 0/0/1 0/1/1 0/1 9*0/0"],
        tools: &[
            (
                "bcftools +fill-tags",
                "counts distinct alleles of a het call; may stop with an assertion",
            ),
            ("plink2, plink 1.9", "missing"),
            ("Hail", "refuses the file"),
            ("sgkit", "HWE raises on mixed ploidy"),
        ],
        says: "missing, noted as `unsupported_ploidy`",
        why: "the planes hold two bits; no human callset has such calls on purpose",
        source: "contract, section 4",
        checks: &[
            Row("chr20-1600-A-G", &[("ac", "1"), ("an", "20"), ("n_missing", "2")]),
            Booked("unsupported_ploidy", 2),
        ],
        ..BASE
    },
    Spec {
        id: "unknown_version",
        title: "Headers of VCF 4.3 to 4.5, or with the keys of a line in another order",
        records: &["20 1700 . A G . PASS . GT 0/1 11*0/0"],
        tools: &[
            ("bcftools, plink2", "read"),
            ("vcftools", "reads 4.3 with a warning"),
            ("Hail", "refuses 4.5, and `Type` before `Number`"),
        ],
        says: "read",
        why: "nothing in these versions changes what GT says; local alleles and the like are extra fields",
        source: "VCF specification",
        checks: &[Row("chr20-1700-A-G", &[("ac", "1")])],
        ..BASE
    },
    Spec {
        id: "text_limits",
        title: "Values in the wrong type, in a field that is not read",
        records: &["20 1800 . A G . PASS . GT:GQ 0/1:3.5 11*0/0:9"],
        tools: &[
            ("bcftools", "refuses the file when the header says Integer"),
            ("Hail", "refuses the file"),
        ],
        says: "the genotypes are read",
        why: "a float in GQ is no reason to lose the calls of a thousand people (seen in a public exome file)",
        source: "genomics reference 4",
        checks: &[Row("chr20-1800-A-G", &[("ac", "1"), ("an", "24")])],
        ..BASE
    },
    Spec {
        id: "filtered_calls",
        title: "A genotype whose FT is not PASS",
        records: &["20 1900 . A G . PASS . GT:FT 0/1:PASS 0/1:q10 0/1:. 9*0/0:PASS"],
        tools: &[("bcftools, plink2, Hail", "ignore FT"), ("All of Us", "no call")],
        says: "no call, apart: `n_filtered` 1, part of `n_missing`; `carriers.gt` 6",
        why: "the caller says it is not to be trusted; `calls.ft = false` keeps it",
        source: "genomics reference 1.3",
        checks: &[Row(
            "chr20-1900-A-G",
            &[("ac", "2"), ("an", "22"), ("n_missing", "1"), ("n_filtered", "1")],
        )],
        ..BASE
    },
];
