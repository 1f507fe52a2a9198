//! A callset's section of the workflow file (contract section 8).

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reference genome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Genome {
    /// GRCh37 (hg19).
    #[serde(rename = "GRCh37")]
    Grch37,
    /// GRCh38 (hg38).
    #[serde(rename = "GRCh38")]
    Grch38,
}

/// One callset. Its files come as one of `vcf`, `vcf_list`, `vcf_by_chrom`, `bed`, `pgen` and
/// `final_report`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallsetFeed {
    /// Reference genome of the calls.
    pub genome: Genome,
    /// VCF, VCF.gz, BCF or gVCF files, globs allowed; `-` is standard input. Files with the same samples
    /// are parts by position, files with other samples are merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-path" = "glob"))]
    pub vcf: Vec<String>,
    /// Text file of such files or globs, one a line, relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub vcf_list: Option<PathBuf>,
    /// File or glob by chromosome (`chr1 = "..."`); records of other chromosomes are rejected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-path" = "glob"))]
    pub vcf_by_chrom: BTreeMap<String, String>,
    /// PLINK 1 .bed files, with .bim and .fam beside them; globs allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-path" = "glob"))]
    pub bed: Vec<String>,
    /// PLINK 2 .pgen files, with .pvar (or .pvar.zst) and .psam beside them; globs allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-path" = "glob"))]
    pub pgen: Vec<String>,
    /// Illumina FinalReport long tables; globs allowed. Needs `manifest`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-path" = "glob"))]
    pub final_report: Vec<String>,
    /// Illumina array manifest (CSV) that places the probes of `final_report`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub manifest: Option<PathBuf>,
    /// Reference sequence (FASTA, plain). With it REF is checked and alleles are left-aligned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub reference: Option<PathBuf>,
    /// What to do with a record whose REF is not what the reference has.
    #[serde(default)]
    pub reference_mismatch: ReferenceMismatch,
    /// TSV: sample_id, ancestry_pred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["sample_id", "ancestry_pred"]))]
    pub ancestry: Option<PathBuf>,
    /// TSV: sample_id, sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["sample_id", "sex"]))]
    pub sex: Option<PathBuf>,
    /// TSV: sample_id, age (completed years). For age histograms of carriers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["sample_id", "age"]))]
    pub age: Option<PathBuf>,
    /// TSV: sample_id, PC1, PC2 ... Outlier flags are then of residuals on these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["sample_id", "PC1"]))]
    pub pcs: Option<PathBuf>,
    /// Samples to leave out, one id a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub exclude_samples: Option<PathBuf>,
    /// Variants to leave out: one vid a line, or a sites VCF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub exclude_variants: Option<PathBuf>,
    /// INFO fields to keep in `variants.info`.
    #[serde(default)]
    pub info: Vec<String>,
    /// INFO field of VEP (`CSQ`) or snpEff (`ANN`) consequences, for the `consequences` table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequences: Option<String>,
    /// FORMAT fields to keep in `carriers`. Reading any also gives mean depth and quality.
    #[serde(default)]
    pub format: Vec<FormatField>,
    /// Whether to write the `quality` table: DP, GQ and AD of ALT of every called cell.
    #[serde(default)]
    pub quality: bool,
    /// Whether to write the `carriers` table.
    #[serde(default = "yes")]
    pub carriers: bool,
    /// Highest allele frequency of a variant that has rows in `carriers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub carriers_max_af: Option<f64>,
    /// What counts as a call.
    #[serde(default)]
    pub calls: CallRules,
    /// Lowest GQ at which a gVCF reference block is a call.
    #[serde(default = "ref_block_min_gq")]
    #[schemars(range(min = 0, max = 99))]
    pub ref_block_min_gq: u8,
    /// Strata of the `variant_freq` table; without any there is no such table.
    #[serde(default)]
    pub strata: Vec<Stratum>,
    /// Named subsets of variants, a column each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selection: BTreeMap<String, Selection>,
    /// Sites files (ClinVar, gnomAD ...) whose INFO fields are joined to the variants, a table each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, AnnotationFeed>,
    /// Median absolute deviations from the median of an ancestry group beyond which a sample is flagged.
    #[serde(default = "outlier_mads")]
    #[schemars(range(min = 1, max = 100))]
    pub outlier_mads: f64,
    /// Fail at the first record that cannot be used, instead of counting it.
    #[serde(default)]
    pub strict: bool,
}

fn yes() -> bool {
    true
}

fn ref_block_min_gq() -> u8 {
    20
}

fn outlier_mads() -> f64 {
    4.0
}

/// What to do with a record whose REF is not what the reference has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceMismatch {
    /// Reject and count it.
    #[default]
    Reject,
    /// Keep it as written, not left-aligned, and count it.
    Keep,
    /// Stop.
    Error,
}

/// A FORMAT field that `carriers` can keep.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum FormatField {
    /// Genotype quality.
    GQ,
    /// Read depth.
    DP,
    /// Reads by allele.
    AD,
}

/// A set of strata of the `variant_freq` table.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Stratum {
    /// By stated sex.
    Sex,
    /// By ancestry and stated sex.
    AncestrySex,
    /// Calls that pass `calls.adj`, in all and by ancestry.
    Adj,
}

/// What counts as a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallRules {
    /// Whether a call whose FT is neither PASS nor missing is no call (`filtered`).
    pub ft: bool,
    /// What a half call (`./1`) is.
    pub half_calls: HalfCalls,
    /// Lowest GQ of an adj call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_gq: Option<u8>,
    /// Lowest DP of an adj call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_dp: Option<u32>,
    /// Lowest share of the ALT in the reads (AD) of an adj het.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub min_ab: Option<f64>,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            ft: true,
            half_calls: HalfCalls::default(),
            min_gq: None,
            min_dp: None,
            min_ab: None,
        }
    }
}

impl CallRules {
    /// Whether there is an adj mask.
    pub fn has_adj(&self) -> bool {
        self.min_gq.is_some() || self.min_dp.is_some() || self.min_ab.is_some()
    }
}

/// What a half call (`./1`) is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HalfCalls {
    /// Not called, and counted as half.
    #[default]
    Missing,
    /// A haploid call of the allele that is there.
    Haploid,
    /// Stop.
    Error,
}

/// A named subset of variants: those that meet any of the keys that are there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Allele frequency above this in any ancestry group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub af_above: Option<f64>,
    /// Allele count above this in any ancestry group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ac_above: Option<u32>,
    /// Regions (BED) that the variant overlaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub bed: Option<PathBuf>,
    /// Bases added on both sides of each region.
    pub padding: u32,
    /// Variants: one vid a line, or a sites VCF (ClinVar, for one).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file"))]
    pub sites: Option<PathBuf>,
}

/// Sites files whose INFO fields are joined to the variants by normalised allele.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotationFeed {
    /// VCF, VCF.gz or BCF files without samples, sorted, globs allowed; together they are one list.
    #[schemars(extend("x-path" = "glob"))]
    pub files: Vec<String>,
    /// INFO fields to keep, a column each.
    #[serde(default)]
    pub info: Vec<String>,
}

/// Keys whose values are places and not meanings.
const PATHS: [&str; 15] = [
    "vcf",
    "vcf_list",
    "bed",
    "pgen",
    "final_report",
    "manifest",
    "reference",
    "ancestry",
    "sex",
    "age",
    "pcs",
    "exclude_samples",
    "exclude_variants",
    "sites",
    "files",
];

impl CallsetFeed {
    /// The section without its paths: what is meant, wherever the files are.
    pub fn portable(&self) -> serde_json::Value {
        // The keys of these are names, which may be those of paths.
        const NAMED: [&str; 2] = ["selection", "annotations"];
        fn strip(value: &mut serde_json::Value, named: bool) {
            if let Some(table) = value.as_object_mut() {
                table.retain(|key, _| named || !PATHS.contains(&key.as_str()));
                for (key, value) in table {
                    strip(value, !named && NAMED.contains(&key.as_str()));
                }
            }
        }
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(table) = value.as_object_mut() {
            table.remove("vcf_by_chrom");
        }
        strip(&mut value, false);
        value
    }

    /// The one way in which the files are given, and whether it is the only one.
    pub fn ways(&self) -> Vec<&'static str> {
        [
            ("vcf", !self.vcf.is_empty()),
            ("vcf_list", self.vcf_list.is_some()),
            ("vcf_by_chrom", !self.vcf_by_chrom.is_empty()),
            ("bed", !self.bed.is_empty()),
            ("pgen", !self.pgen.is_empty()),
            ("final_report", !self.final_report.is_empty()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_keeps_names_that_are_those_of_paths() {
        let text = "genome = \"GRCh38\"\nvcf = [\"a.vcf\"]\nsex = \"s.tsv\"\n\
            [annotations.sex]\nfiles = [\"b.vcf\"]\ninfo = [\"AF\"]\n[selection.bed]\nbed = \"x.bed\"\npadding = 3\n";
        let feed: CallsetFeed = toml::from_str(text).unwrap();
        let portable = feed.portable();
        assert_eq!(portable["annotations"], serde_json::json!({ "sex": { "info": ["AF"] } }));
        assert_eq!(portable["selection"]["bed"], serde_json::json!({ "padding": 3 }));
        assert!(portable.get("vcf").is_none() && portable.get("sex").is_none());
        assert!(!portable.to_string().contains(".vcf"));
    }
}
