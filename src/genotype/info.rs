//! Selected INFO fields as typed columns.
//!
//! Whoever called the file computed INFO over all of its samples. Where some of them stay out (withdrawn,
//! without consent, unmapped), a field that counts samples, alleles, calls or reads of the file must not be
//! copied: the included samples' own counts are in `variants`, and subtracting them from `AC` or `AN` leaves
//! the genotype of the person who stays out, exactly so when there is one. Nobody can list the names under
//! which files hold counts, so only fields of [`ABOUT_SITES`] are copied then, and no other. Lists without a
//! declared length are withheld of records that lost an ALT, as their length tells of it. Such values are
//! null and the ledger notes `info_withheld:<FIELD>` with the rows concerned.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Int32Builder, ListBuilder, StringBuilder,
    StructArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Fields};

use super::Error;
use super::header::{InfoNumber, InfoType};
use super::shard::{Row, ShardRows};
use super::source::Source;

/// A selected field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoField {
    /// INFO id.
    pub id: String,
    /// Whether no value may be copied, because samples of the file stay out.
    pub withheld: bool,
    number: InfoNumber,
    ty: InfoType,
}

/// Fields that tell of the allele, its place or the quality of its reads, in lower case: what may be copied
/// where samples stay out.
///
/// Means and tests over reads (MQ, FS, SOR, VQSLOD and other scores) took in the reads of those who stay out,
/// but give none of their number back without the reads themselves. Two kinds do, and are not here: QD, as
/// QUAL / QD is the depth summed over the carriers, and rank sums (MQRankSum, ReadPosRankSum, BaseQRankSum),
/// which a record has only if somebody is het (GATK 4, `QualByDepth` and `RankSumTest`). Nor is BCSQ, whose
/// entries are of the haplotypes of samples (bcftools csq).
const ABOUT_SITES: [&str; 59] = [
    // Place and extent (VCF 4.5, section 3).
    "end",
    "svlen",
    "svtype",
    "svclaim",
    "cipos",
    "ciend",
    "cilen",
    "homlen",
    "homseq",
    "imprecise",
    "precise",
    "inseq",
    "svinsseq",
    "svinslen",
    "chr2",
    "end2",
    "mateid",
    "ru",
    "rul",
    "rb",
    "rus",
    "repid",
    "vartype",
    "variant_type",
    // Ancestral allele and membership of public sets.
    "aa",
    "db",
    "h2",
    "h3",
    "1000g",
    "rs",
    "rsid",
    "dbsnp",
    "clnsig",
    "clnrevstat",
    "alleleid",
    // Quality of the site.
    "mq",
    "fs",
    "sor",
    "vqslod",
    "culprit",
    "positive_train_site",
    "negative_train_site",
    "score",
    "calibration_sensitivity",
    "calibration",
    "extracted",
    "training",
    "as_mq",
    "as_fs",
    "as_sor",
    "as_vqslod",
    "as_culprit",
    "lcr",
    "segdup",
    // Consequences, by allele.
    "csq",
    "ann",
    "vep",
    "lof",
    "nmd",
];

/// Whether a field of this name may be copied where samples stay out, whatever its case.
fn about_site(id: &str) -> bool {
    ABOUT_SITES.iter().any(|known| known.eq_ignore_ascii_case(id))
}

/// Fields that count or sum over the samples of the file, in lower case. They are withheld of a merge.
const COUNTS: [&str; 40] = [
    "ac",
    "an",
    "af",
    "maf",
    "mac",
    "ns",
    "dp",
    "mleac",
    "mleaf",
    "exchet",
    "excesshet",
    "ac_het",
    "ac_hom",
    "ac_hemi",
    "inbreedingcoeff",
    "f",
    "nsamples",
    "ad",
    "adf",
    "adr",
    "dp4",
    "ao",
    "ro",
    "dpb",
    "dpra",
    "vardp",
    "ncc",
    "nmiss",
    "f_missing",
    "nhom",
    "nhet",
    "nhemi",
    "het",
    "hom",
    "hemi",
    "gtc",
    "nchromobs",
    "singleton",
    "doubleton",
    "call_rate",
];
/// What names of such fields start with.
const COUNT_STARTS: [&str; 9] =
    ["ac_", "an_", "af_", "hwe", "nhomalt", "faf", "grpmax", "popmax", "ns_"];
/// What names of such fields end with.
const COUNT_ENDS: [&str; 4] = ["_ac", "_an", "_af", "_maf"];

/// Whether a field of this name counts the samples of the file, whatever its case.
fn counts_samples(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    COUNTS.contains(&id.as_str())
        || COUNT_STARTS.iter().any(|start| id.starts_with(start))
        || COUNT_ENDS.iter().any(|end| id.ends_with(end))
}

/// A row of a shard.
type At<'a> = (&'a ShardRows, &'a Row);

/// Finds the selected fields in the headers.
///
/// `leaves_out` says whether samples of the files stay out.
///
/// # Errors
/// A field that a header lacks or that two headers define differently.
pub fn select(
    ids: &[String],
    sources: &[Source],
    leaves_out: bool,
) -> Result<Vec<InfoField>, Error> {
    let mut fields = Vec::new();
    for id in ids {
        let mut known = None;
        for source in sources {
            let file = || source.path.clone();
            let found = source.header.info.get(id);
            let Some(&found) = found else {
                return Err(Error::UnknownInfo { file: file(), field: id.clone() });
            };
            if *known.get_or_insert(found) != found {
                return Err(Error::InfoMismatch { file: file(), field: id.clone() });
            }
        }
        match known {
            Some((number, ty)) if !fields.iter().any(|f: &InfoField| f.id == *id) => {
                let withheld = leaves_out && !about_site(id);
                fields.push(InfoField { id: id.clone(), withheld, number, ty });
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// Checks that the header of `path` defines the selected fields as another does.
///
/// # Errors
/// A field of which it does not.
pub fn same(known: &[InfoField], fields: &[InfoField], path: &Path) -> Result<(), Error> {
    match known.iter().find(|f| !fields.contains(f)).or(fields.get(known.len())) {
        Some(f) => Err(Error::InfoMismatch { file: path.to_owned(), field: f.id.clone() }),
        None => Ok(()),
    }
}

/// The Arrow fields of the `info` struct.
pub fn arrow_fields(fields: &[InfoField]) -> Fields {
    fields
        .iter()
        .map(|f| {
            let item = match f.ty {
                InfoType::Integer => DataType::Int32,
                InfoType::Float => DataType::Float32,
                InfoType::Flag => DataType::Boolean,
                InfoType::Text => DataType::Utf8,
            };
            let ty = match f.number {
                InfoNumber::Many | InfoNumber::PerGenotype => DataType::new_list(item, true),
                _ => item,
            };
            Field::new(&f.id, ty, true)
        })
        .collect()
}

/// The `info` struct of `rows`.
pub fn column(fields: &[InfoField], rows: &[At<'_>]) -> ArrayRef {
    let types = arrow_fields(fields);
    let arrays = fields.iter().zip(&types).enumerate().map(|(k, (field, ty))| {
        if field.withheld {
            new_null_array(ty.data_type(), rows.len())
        } else {
            field.array(k, rows)
        }
    });
    let arrays = arrays.collect();
    Arc::new(StructArray::new(types, arrays, None))
}

macro_rules! typed {
    ($field:expr, $k:expr, $rows:expr, $builder:ty, $parse:expr) => {{
        if matches!($field.number, InfoNumber::Many | InfoNumber::PerGenotype) {
            let mut list = ListBuilder::new(<$builder>::new());
            for at in $rows {
                match $field.pick($k, at).filter(|v| **v != *b".") {
                    Some(value) => {
                        for item in value.split(|&b| b == b',') {
                            list.values().append_option($parse(item));
                        }
                        list.append(true);
                    }
                    None => list.append(false),
                }
            }
            Arc::new(list.finish()) as ArrayRef
        } else {
            let mut builder = <$builder>::new();
            for at in $rows {
                builder.append_option($field.pick($k, at).as_deref().and_then($parse));
            }
            Arc::new(builder.finish()) as ArrayRef
        }
    }};
}

impl InfoField {
    /// The column of field number `k`, which is this one.
    fn array(&self, k: usize, rows: &[At<'_>]) -> ArrayRef {
        match self.ty {
            InfoType::Integer => typed!(self, k, rows, Int32Builder, number::<i32>),
            InfoType::Float => typed!(self, k, rows, Float32Builder, number::<f32>),
            InfoType::Text => typed!(self, k, rows, StringBuilder, text),
            InfoType::Flag => {
                let mut builder = BooleanBuilder::new();
                for at in rows {
                    builder.append_value(self.value(k, at).is_some());
                }
                Arc::new(builder.finish())
            }
        }
    }

    /// Withholds the field if it tells of samples that are not in the callset. In a merge no file's counts
    /// are those of the callset, so they are withheld whoever is in.
    pub fn withhold(&mut self, leaves_out: bool, merge: bool) {
        self.withheld =
            (leaves_out && !about_site(&self.id)) || (merge && counts_samples(&self.id));
    }

    /// Appends `KEY=value;` for a record of one ALT, for which [`InfoField::pick`] gives `value`.
    pub fn restate(&self, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        if self.ty != InfoType::Flag {
            out.push(b'=');
            if self.number == InfoNumber::PerAllele {
                out.extend_from_slice(b".,");
            }
            out.extend_from_slice(value);
        }
        out.push(b';');
    }

    /// Whether the field's values of `row` are withheld though those of other rows are not.
    pub fn withheld_in(&self, row: &Row) -> bool {
        !self.withheld && row.reduced && self.number == InfoNumber::Many
    }

    /// The record's value.
    fn value<'a>(&self, k: usize, at: &At<'a>) -> Option<&'a [u8]> {
        if self.withheld_in(at.1) { None } else { at.0.info(at.1, k) }
    }

    /// The value for the row's allele; null when the record has the wrong number of values. Of values by
    /// genotype those of 0/0, 0/a and a/a, comma-joined.
    pub fn pick<'a>(&self, k: usize, at: &At<'a>) -> Option<Cow<'a, [u8]>> {
        self.of_allele(self.value(k, at)?, at.1)
    }

    /// Whether the record has another number of values than its alleles ask for. A lone `.` is no value.
    pub fn wrong_count(&self, k: usize, at: &At<'_>) -> bool {
        let value = self.value(k, at).filter(|v| *v != b".");
        value.is_some_and(|value| self.of_allele(value, at.1).is_none())
    }

    fn of_allele<'v>(&self, value: &'v [u8], row: &Row) -> Option<Cow<'v, [u8]>> {
        let (allele, alleles) = (usize::from(row.allele), usize::from(row.alleles));
        let parts = || value.split(|&b| b == b',');
        let nth = |at: usize, of: usize| {
            (parts().count() == of).then(|| parts().nth(at)).flatten().map(Cow::Borrowed)
        };
        match self.number {
            InfoNumber::PerAlt => nth(allele - 1, alleles),
            InfoNumber::PerAllele => nth(allele, alleles + 1),
            InfoNumber::PerGenotype => {
                let all: Vec<&[u8]> = parts().collect();
                if all.len() != (alleles + 1) * (alleles + 2) / 2 {
                    return None;
                }
                // Genotype j/k with j <= k is number k(k+1)/2 + j (VCF 4.5, section 1.6.2, GL).
                let het = allele * (allele + 1) / 2;
                Some(Cow::Owned([all[0], all[het], all[het + allele]].join(&b',')))
            }
            _ => Some(Cow::Borrowed(value)),
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn text(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|t| *t != ".")
}

#[cfg(test)]
mod tests {
    use super::{about_site, counts_samples};

    #[test]
    fn a_field_that_nobody_knows_is_not_about_the_site() {
        for id in [
            "N_HET",
            "N_HOMREF",
            "N_HOMALT",
            "N_BI_GENOS",
            "FREQ_HET",
            "CN_COUNT",
            "AC-XX",
            "n_alt_alleles",
            "AC0",
            "GC",
            "ALTCOUNT",
            "N_CARRIERS",
            "CALLS",
            "AC",
            "AN",
            "DP",
            "QD",
            "MQRankSum",
            "ReadPosRankSum",
            "BCSQ",
            "NAMES",
            "",
        ] {
            assert!(!about_site(id), "{id}");
        }
        for id in ["MQ", "FS", "SOR", "END", "SVLEN", "DB", "CSQ", "ANN", "VQSLOD", "SCORE", "AA"] {
            assert!(about_site(id), "{id}");
        }
        assert!(super::ABOUT_SITES.iter().all(|id| !counts_samples(id)));
    }

    #[test]
    fn fields_that_count_samples() {
        for id in [
            "AC",
            "AN",
            "AF",
            "MAF",
            "NS",
            "DP",
            "EAS_AF",
            "AC_afr",
            "AN_XX",
            "AF_eur",
            "MLEAC",
            "MLEAF",
            "HWE",
            "HWE_EUR",
            "ExcHet",
            "ExcessHet",
            "InbreedingCoeff",
            "nhomalt",
            "nhomalt_afr",
            "AC_Het",
            "AC_Hom",
            "AC_Hemi",
            "controls_AC",
            "nhomalt-eas",
            "AD",
            "DP4",
            "faf95",
        ] {
            assert!(counts_samples(id), "{id}");
        }
        for id in [
            "MQ",
            "QD",
            "FS",
            "SOR",
            "DB",
            "END",
            "SVLEN",
            "POSITIVE_TRAIN_SITE",
            "CSQ_ID",
            "VQSLOD",
        ] {
            assert!(!counts_samples(id), "{id}");
        }
    }
}
