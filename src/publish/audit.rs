//! The self-check: reads the public bytes only, as an outsider would, and looks for numbers that say too
//! much.
//!
//! Independent of the code that made the numbers: it knows the closed schema and the published parameters
//! of the protection, not the raw data, the key or the policy's file. Run by [`super::build`] before it
//! returns and by `strata verify`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::disclosure::allele::Region;
use super::source::{SEXES, age_bands};
use super::{Error, concepts::DOMAINS, schema};
use crate::config::disclosure::Missing;
use crate::engine::FileEntry;
use crate::error::IoError;

/// Something in the public bytes that may not be there. Names the file and the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Release-relative path.
    pub file: String,
    /// Rule that is broken.
    pub rule: &'static str,
    /// Row in the file, 0-based, where there is one.
    pub row: Option<u64>,
}

/// What the audit looked at and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Counts of people looked at.
    pub cells: u64,
    /// Variants looked at.
    pub variants: u64,
    /// What may not be there; empty when all is well.
    pub findings: Vec<Finding>,
}

impl AuditReport {
    /// Whether nothing was found.
    pub fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, file: &str, rule: &'static str, row: Option<u64>) {
        self.findings.push(Finding { file: file.to_owned(), rule, row });
    }
}

/// Audits the public files among `files`, which lie below `root`.
///
/// Rules: `unknown_file`, `unknown_column`, `wrong_tier`, `weak_protection`, `not_a_multiple`,
/// `unknown_category`, `repeated_cell`, `empty_concept`, `variant_sensitive` (a class of people in 1..S),
/// `frequency_not_derived`, `complement` (total less groups gives a withheld group away), `unreadable`.
///
/// # Errors
/// When a file cannot be opened or the parameters of the protection are missing.
pub fn audit(root: &Path, files: &[FileEntry]) -> Result<AuditReport, Error> {
    let mut report = AuditReport::default();
    let public: Vec<&FileEntry> = files.iter().filter(|f| f.path.starts_with("public/")).collect();
    let Some(protection) = read_protection(root, &public)? else {
        report.find(schema::PROTECTION, "weak_protection", None);
        return Ok(report);
    };
    if protection.sensitive_max < 20
        || protection.base < protection.sensitive_max
        || protection.min_group < 2 * (protection.sensitive_max + 1)
    {
        report.find(schema::PROTECTION, "weak_protection", None);
    }
    for file in public {
        let path = file.path.as_str();
        match path {
            schema::PROTECTION => {}
            schema::PARTICIPANT_COUNTS => audit_counts(root, path, &protection, &mut report)?,
            schema::DEMOGRAPHICS => audit_demographics(root, path, &protection, &mut report)?,
            _ if is_allele_file(path) => audit_alleles(root, path, &protection, &mut report)?,
            _ if is_site_file(path) => super::site::audit(root, path, &protection, &mut report)?,
            _ => report.find(path, "unknown_file", None),
        }
    }
    Ok(report)
}

fn read_protection(root: &Path, files: &[&FileEntry]) -> Result<Option<schema::Protection>, Error> {
    if !files.iter().any(|f| f.path == schema::PROTECTION) {
        return Ok(None);
    }
    let path = root.join(schema::PROTECTION);
    let bytes = std::fs::read(&path).map_err(IoError::at("reading", &path))?;
    Ok(serde_json::from_slice(&bytes).ok())
}

fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:*".contains(&b))
}

fn is_allele_file(path: &str) -> bool {
    path.strip_prefix(schema::ALLELE_FREQUENCIES)
        .and_then(|rest| rest.strip_suffix(".parquet"))
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(callset, chrom)| plain(callset) && plain(chrom))
}

fn is_site_file(path: &str) -> bool {
    let Some(rest) = path.strip_prefix(schema::SITE) else { return false };
    rest == "index.html"
        || rest.strip_prefix("data/").and_then(|f| f.strip_suffix(".js")).is_some_and(plain)
}

/// Reads a table with exactly the columns of `expected`; none, with a finding, when it is another.
fn read_table(
    root: &Path,
    path: &str,
    expected: impl FnOnce(&Schema) -> Option<Schema>,
    report: &mut AuditReport,
) -> Result<Option<ParquetRecordBatchReader>, Error> {
    let full = root.join(path);
    let file = File::open(&full).map_err(IoError::at("opening", &full))?;
    let Ok(builder) = ParquetRecordBatchReaderBuilder::try_new(file) else {
        report.find(path, "unreadable", None);
        return Ok(None);
    };
    let found = builder.schema().clone();
    let same = expected(&found).is_some_and(|e| {
        let describe = |s: &Schema| -> Vec<(String, DataType)> {
            s.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
        };
        describe(&e) == describe(&found)
    });
    if !same {
        report.find(path, "unknown_column", None);
        return Ok(None);
    }
    let tags = builder.metadata().file_metadata().key_value_metadata();
    let public = tags.is_some_and(|tags| {
        tags.iter().any(|t| t.key == "strata.tier" && t.value.as_deref() == Some("public"))
    });
    if !public {
        report.find(path, "wrong_tier", None);
    }
    let Ok(reader) = builder.with_batch_size(8192).build() else {
        report.find(path, "unreadable", None);
        return Ok(None);
    };
    Ok(Some(reader))
}

/// Whether `n` may be a published count of people.
pub(super) fn is_rounded(n: i64, protection: &schema::Protection) -> bool {
    n >= 0 && n % i64::from(protection.base.max(1)) == 0
}

fn audit_counts(
    root: &Path,
    path: &str,
    protection: &schema::Protection,
    report: &mut AuditReport,
) -> Result<(), Error> {
    let expected = |_: &Schema| Some(schema::participant_counts().as_ref().clone());
    let Some(batches) = read_table(root, path, expected, report)? else { return Ok(()) };
    let mut row_number = 0;
    // The cell before, to see repeats: rows are sorted by domain and concept.
    let mut seen: BTreeMap<(String, String), ()> = BTreeMap::new();
    let mut concept = (String::new(), 0);
    for batch in batches {
        let Ok(batch) = batch else {
            report.find(path, "unreadable", None);
            break;
        };
        let text = |i: usize| batch.column(i).as_string::<i32>();
        let ids = batch.column(1).as_primitive::<Int64Type>();
        let counts = batch.column(7).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (domain, stratum, category) =
                (text(0).value(row), text(5).value(row), text(6).value(row));
            let n = counts.value(row);
            if !is_rounded(n, protection) {
                report.find(path, "not_a_multiple", Some(row_number));
            }
            let known = match stratum {
                "total" => category == "all",
                "sex" => SEXES.contains(&category),
                "age_band" => age_bands().contains(&category),
                _ => false,
            };
            if !known || !DOMAINS.iter().any(|d| d.0 == domain) {
                report.find(path, "unknown_category", Some(row_number));
            }
            if stratum == "total" && n == 0 {
                report.find(path, "empty_concept", Some(row_number));
            }
            if (concept.0.as_str(), concept.1) != (domain, ids.value(row)) {
                concept = (domain.to_owned(), ids.value(row));
                seen.clear();
            }
            // A cell published twice could be averaged.
            if seen.insert((stratum.to_owned(), category.to_owned()), ()).is_some() {
                report.find(path, "repeated_cell", Some(row_number));
            }
            report.cells += 1;
            row_number += 1;
        }
    }
    Ok(())
}

fn audit_demographics(
    root: &Path,
    path: &str,
    protection: &schema::Protection,
    report: &mut AuditReport,
) -> Result<(), Error> {
    let expected = |_: &Schema| Some(schema::demographics().as_ref().clone());
    let Some(batches) = read_table(root, path, expected, report)? else { return Ok(()) };
    let mut row_number = 0;
    let mut seen = BTreeMap::new();
    for batch in batches {
        let Ok(batch) = batch else {
            report.find(path, "unreadable", None);
            break;
        };
        let dimensions = batch.column(0).as_string::<i32>();
        let categories = batch.column(1).as_string::<i32>();
        let counts = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let cell = (dimensions.value(row).to_owned(), categories.value(row).to_owned());
            if !is_rounded(counts.value(row), protection) {
                report.find(path, "not_a_multiple", Some(row_number));
            }
            if !schema::DIMENSIONS.contains(&cell.0.as_str()) {
                report.find(path, "unknown_category", Some(row_number));
            }
            if seen.insert(cell, ()).is_some() {
                report.find(path, "repeated_cell", Some(row_number));
            }
            report.cells += 1;
            row_number += 1;
        }
    }
    Ok(())
}

/// Public numbers of one variant in one group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub ac: Option<i64>,
    pub an: Option<i64>,
    pub hom: Option<i64>,
}

/// Checks one variant, everyone first and then the groups; the rule that is broken, if any.
///
/// Missing people cannot be checked from public bytes alone: the number of people in a group is not among
/// them. The rule for them is tested where the raw figures are ([`super::disclosure::allele`]).
pub(super) fn check_variant(
    cells: &[Figures],
    region: Region,
    protection: &schema::Protection,
) -> Option<&'static str> {
    let limit = i64::from(protection.sensitive_max);
    let bad = |n: i64| n < 0 || (1..=limit).contains(&n);
    for cell in cells {
        let Some(ac) = cell.ac else {
            if cell.an.is_some() || cell.hom.is_some() {
                return Some("variant_sensitive");
            }
            continue;
        };
        let safe = match cell.hom {
            Some(hom) => !bad(hom) && !bad(ac - hom) && !bad(ac - 2 * hom),
            None => ac > limit,
        };
        let hom_ref_safe = match (cell.an, cell.hom, region) {
            (Some(an), Some(hom), Region::Autosome) => ac <= an && !bad(an / 2 - ac + hom),
            (Some(an), _, _) => ac <= an,
            (None, _, _) => true,
        };
        if !safe || !hom_ref_safe {
            return Some("variant_sensitive");
        }
    }
    let (total, groups) = cells.split_first()?;
    // A row of its own says that more than `limit` people carry it, or it may not be there.
    if total.ac? == 0 {
        return Some("variant_sensitive");
    }
    let residual = |column: fn(&Figures) -> Option<i64>| match column(total) {
        Some(all) if !groups.is_empty() => all - groups.iter().filter_map(column).sum::<i64>(),
        _ => 0,
    };
    // Rounded numbers do not add up, and are not meant to.
    let exact = protection.missing == Missing::Withhold || region != Region::Autosome;
    let alleles = if exact { residual(|c| c.an) } else { 0 };
    let telling = bad(residual(|c| c.ac))
        || bad(residual(|c| c.hom))
        || alleles < 0
        || (1..=2 * limit).contains(&alleles);
    telling.then_some("complement")
}

fn audit_alleles(
    root: &Path,
    path: &str,
    protection: &schema::Protection,
    report: &mut AuditReport,
) -> Result<(), Error> {
    let mut groups: Vec<String> = Vec::new();
    let expected = |found: &Schema| {
        groups = found
            .fields()
            .iter()
            .filter_map(|f| f.name().strip_prefix("ac_").map(str::to_owned))
            .collect();
        let allowed = groups.iter().all(|g| protection.groups.contains(g));
        allowed.then(|| schema::allele_frequencies(&groups).as_ref().clone())
    };
    let Some(batches) = read_table(root, path, expected, report)? else { return Ok(()) };
    let chrom = path.rsplit('/').next().and_then(|f| f.strip_suffix(".parquet")).unwrap_or("");
    let region = Region::of(chrom);
    let mut row_number = 0;
    for batch in batches {
        let Ok(batch) = batch else {
            report.find(path, "unreadable", None);
            break;
        };
        let table = figures_of(&batch, groups.len(), path)?;
        for row in 0..batch.num_rows() {
            let value = |c: &Int64Array| c.is_valid(row).then(|| c.value(row));
            let cells: Vec<Figures> = table
                .iter()
                .map(|[ac, an, hom]| Figures { ac: value(ac), an: value(an), hom: value(hom) })
                .collect();
            if let Some(rule) = check_variant(&cells, region, protection) {
                report.find(path, rule, Some(row_number));
            }
            if !frequencies_derived(&batch, row, &cells) {
                report.find(path, "frequency_not_derived", Some(row_number));
            }
            report.variants += 1;
            row_number += 1;
        }
    }
    Ok(())
}

/// AC, AN and homozygotes of everyone and of each group.
fn figures_of(
    batch: &RecordBatch,
    groups: usize,
    path: &str,
) -> Result<Vec<[Int64Array; 3]>, Error> {
    let int = |i: usize| {
        cast(batch.column(i), &DataType::Int64)
            .map(|c| c.as_primitive::<Int64Type>().clone())
            .map_err(|source| Error::Arrow { path: path.to_owned(), source })
    };
    (0..=groups).map(|g| Ok([int(7 + 4 * g)?, int(8 + 4 * g)?, int(10 + 4 * g)?])).collect()
}

/// Whether every frequency is the quotient of the published counts.
fn frequencies_derived(batch: &RecordBatch, row: usize, cells: &[Figures]) -> bool {
    cells.iter().enumerate().all(|(g, cell)| {
        let af = batch.column(9 + 4 * g).as_primitive::<arrow::datatypes::Float64Type>();
        let expected = match (cell.ac, cell.an) {
            (Some(ac), Some(an)) if an > 0 => Some(ac as f64 / an as f64),
            _ => None,
        };
        expected == af.is_valid(row).then(|| af.value(row))
    })
}

/// Records a finding of another part of the public tier.
pub(super) fn find(report: &mut AuditReport, file: &str, rule: &'static str) {
    report.find(file, rule, None);
}
