//! Many files with different samples into one callset: the same tables as from one file with all of them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use strata::error::Coded;
use strata::genotype::{CallsetRequest, SampleEntry, SampleSheet, all_sample_names};
use support::{Run, bgzf, file, read_text, request, run, shared};

/// Everybody in the files, with research ids that depend on the name alone.
fn sheet(files: &[PathBuf]) -> SampleSheet {
    let names = all_sample_names(files).unwrap();
    let id = |name: &str| name.bytes().fold(7i64, |h, b| (h * 131 + i64::from(b)) % 1_000_003);
    let groups = ["afr", "eur", "sas"];
    let entry = |name: String| {
        let research_id = id(&name);
        let ancestry = Some(groups[research_id as usize % 3].to_owned());
        (name, SampleEntry { research_id, ancestry, ..SampleEntry::default() })
    };
    SampleSheet { included: names.into_iter().map(entry).collect(), ..SampleSheet::default() }
}

fn ingest(files: &[PathBuf]) -> Run {
    run(&request(files, sheet(files)), 2).unwrap()
}

/// A VCF text: header lines, sample names, records as columns.
struct Vcf {
    meta: String,
    names: Vec<String>,
    records: Vec<Vec<String>>,
}

impl Vcf {
    fn read(text: &str, most: usize) -> Self {
        let (mut meta, mut names, mut records) = (String::new(), Vec::new(), Vec::new());
        for line in text.lines() {
            let fields = || line.split('\t').map(str::to_owned).collect::<Vec<_>>();
            if line.starts_with("##") {
                meta += line;
                meta += "\n";
            } else if line.starts_with('#') {
                names = fields().split_off(9);
            } else if records.len() < most {
                records.push(fields());
            }
        }
        Self { meta, names, records }
    }

    /// The text of the columns `of`, and of records for which `keep` says so.
    fn columns(&self, of: &[usize], keep: impl Fn(usize) -> bool) -> String {
        let mut text = self.meta.clone() + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT";
        of.iter().for_each(|&i| text += &format!("\t{}", self.names[i]));
        text += "\n";
        for (_, r) in self.records.iter().enumerate().filter(|(i, _)| keep(*i)) {
            text += &r[..9].join("\t");
            of.iter().for_each(|&i| text += &format!("\t{}", r[9 + i]));
            text += "\n";
        }
        text
    }
}

/// Tables but not the rejects, which are by file.
fn tables(run: &Run) -> Vec<(String, String)> {
    run.digests().into_iter().filter(|(path, _)| !path.starts_with("quality")).collect()
}

fn balanced(run: &Run) {
    assert!(run.output.ledger.unbalanced().is_empty(), "{:?}", run.ledger());
}

#[test]
fn one_file_per_sample_gives_the_tables_of_one_file() {
    let Some(path) = shared("vcf/shapeit4_1kg_chr20_300s.vcf.gz") else { return };
    let vcf = Vcf::read(&read_text(&path), 2000);
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<usize> = (0..vcf.names.len()).collect();
    let whole = file(&dir, "all.vcf", vcf.columns(&all, |_| true).as_bytes());
    let mut parts: Vec<PathBuf> = all
        .iter()
        .map(|&i| {
            let text = vcf.columns(&[i], |_| true);
            // Formats may be mixed.
            if i % 2 == 0 {
                file(&dir, &format!("{i}.vcf.gz"), &bgzf(text.as_bytes(), 40_000))
            } else {
                file(&dir, &format!("{i}.vcf"), text.as_bytes())
            }
        })
        .collect();
    let want = ingest(&[whole]);
    assert_eq!(want.variants().len(), 2000);
    let got = ingest(&parts);
    assert_eq!(tables(&got), tables(&want));
    assert_eq!(got.ledger().excluded["merged_row"], 2000 * 299);
    balanced(&got);
    // Any order of files, any number of threads, the rejects too.
    parts.reverse();
    parts.swap(3, 100);
    let again = run(&request(&parts, sheet(&parts)), 3).unwrap();
    assert_eq!(again.digests(), got.digests());
}
