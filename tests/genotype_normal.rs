//! Normalisation against a reference sequence: expected output of other tools, policies, order.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use strata::genotype::{CallsetRequest, Options, ReferenceMismatch};
use support::{Run, everyone, file, request, run, shared};

type Allele = (String, i32, String, String);

/// Ingests a file with a reference; a file without samples gets one that is heterozygous everywhere.
fn with_reference(path: &Path, reference: &Path, mismatch: ReferenceMismatch) -> Run {
    run(&request_of(path, reference, mismatch), 2).unwrap()
}

fn request_of(path: &Path, reference: &Path, mismatch: ReferenceMismatch) -> CallsetRequest {
    CallsetRequest {
        options: Options {
            reference: Some(reference.to_owned()),
            reference_mismatch: mismatch,
            ..Options::default()
        },
        ..request(&[path.to_owned()], everyone(path, &BTreeMap::new()))
    }
}

fn with_a_sample(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let fixed: Vec<&str> = line.split('\t').take(8).collect();
        out += &match line {
            _ if line.starts_with("##") => line.to_owned(),
            _ if line.starts_with('#') => format!("{}\tFORMAT\tS1", fixed.join("\t")),
            _ => format!("{}\tGT\t0/1", fixed.join("\t")),
        };
        out.push('\n');
    }
    out
}

fn chrom_of(path: &str) -> String {
    path.split("chrom=").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

/// The alleles of the `variants` table, in its order.
fn variants(run: &Run) -> Vec<Allele> {
    let mut all = Vec::new();
    for entry in run.output.files.iter().filter(|f| f.path.contains("/variants/")) {
        let table = run.table(&entry.path);
        let chrom = chrom_of(&entry.path);
        let rows = table.ints("pos").into_iter().zip(table.texts("ref")).zip(table.texts("alt"));
        all.extend(rows.map(|((pos, r), a)| (chrom.clone(), pos, r.unwrap(), a.unwrap())));
    }
    all
}

/// The alleles of VCF text, each once.
fn alleles(text: &str) -> BTreeSet<Allele> {
    let chrom = |c: &str| if c.starts_with("chr") { c.to_owned() } else { format!("chr{c}") };
    let records = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    records
        .map(|line| {
            let f: Vec<&str> = line.split('\t').collect();
            (chrom(f[0]), f[1].parse().unwrap(), f[3].to_uppercase(), f[4].to_uppercase())
        })
        .filter(|a| a.3 != "*" && a.3 != "<NON_REF>")
        .collect()
}

#[test]
fn alleles_are_where_other_tools_put_them() {
    let Some(dir) = shared("normalize") else { return };
    let twenty = dir.join("20_altered.fasta");
    let hg38 = dir.join("Homo_sapiens_assembly38.20.21_altered.fasta");
    let temp = tempfile::tempdir().unwrap();
    let cases = [
        ("01_IN_altered_biallelic", &twenty, Some("01_IN_altered_biallelic_bcftoolsnormalized")),
        (
            "01_IN_altered_multiallelic",
            &twenty,
            Some("01_IN_altered_multiallelic_vtdecompose_bcftoolsnormalized"),
        ),
        ("test_left_align_hg38_altered", &hg38, None),
        ("test_left_align_hg38_altered_symbolic", &hg38, None),
    ];
    for (name, reference, expected) in cases {
        let input = std::fs::read_to_string(dir.join(format!("{name}.vcf"))).unwrap();
        let has_samples = input.contains("\tFORMAT\t");
        let text = if has_samples { input } else { with_a_sample(&input) };
        let path = file(&temp, &format!("{name}.vcf"), text.as_bytes());
        let run = with_reference(&path, reference, ReferenceMismatch::Keep);
        let ours = variants(&run);
        assert!(ours.is_sorted_by_key(|a| (&a.0, a.1)), "{name}");
        let ours: BTreeSet<Allele> = ours.into_iter().collect();
        if let Some(expected) = expected {
            let text = std::fs::read_to_string(dir.join(format!("{expected}.vcf"))).unwrap();
            assert_eq!(ours, alleles(&text), "{name}");
        }
        let norm = Command::new("bcftools")
            .args(["norm", "-m-", "-f"])
            .args([reference.as_os_str(), path.as_os_str()])
            .output();
        match norm {
            Ok(done) if done.status.success() => {
                let text = String::from_utf8(done.stdout).unwrap();
                assert_eq!(ours, alleles(&text), "{name} beside bcftools norm");
            }
            _ => println!("skipped: bcftools norm does not run here"),
        }
    }
}

const FASTA: &str = ">chr1\nGGGCACACACAGGGAAAATTTTCCCCGGGG\n";

fn two_files(records: &[&str]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\n";
    let body: String = records.iter().map(|r| format!("{r}\t.\t.\t.\tGT\t0/1\n")).collect();
    let vcf = file(&temp, "in.vcf", format!("{header}{body}").as_bytes());
    let fasta = file(&temp, "r.fa", FASTA.as_bytes());
    (temp, vcf, fasta)
}

#[test]
fn rows_that_move_left_are_sorted_and_unique() {
    let records =
        ["1\t2\t.\tG\tT", "1\t4\t.\tC\tT", "1\t5\t.\tACA\tA", "1\t9\t.\tACA\tA", "1\t12\t.\tG\tC"];
    let (_temp, vcf, fasta) = two_files(&records);
    let run = with_reference(&vcf, &fasta, ReferenceMismatch::Reject);
    let short: Vec<(i32, String, String)> =
        variants(&run).into_iter().map(|(_, pos, r, a)| (pos, r, a)).collect();
    let want = [(2, "G", "T"), (3, "GCA", "G"), (4, "C", "T"), (12, "G", "C")];
    assert_eq!(short, want.map(|(p, r, a)| (p, r.to_owned(), a.to_owned())));
    assert_eq!(run.ledger().excluded["duplicate_variant"], 1);
    let table = run.variants();
    assert_eq!(table.ints("orig_pos"), [2, 5, 4, 12]);
    assert_eq!(table.texts("orig_ref")[1].as_deref(), Some("ACA"));
    assert_eq!(table.ints("end"), [2, 5, 4, 12]);
}

#[test]
fn a_ref_that_disagrees_follows_the_policy() {
    let records = ["1\t1\t.\tG\tT", "1\t2\t.\tT\tC", "1\t20\t.\tT\tA", "7\t3\t.\tA\tC"];
    let (_temp, vcf, fasta) = two_files(&records);
    let rejected = with_reference(&vcf, &fasta, ReferenceMismatch::Reject);
    assert_eq!(rejected.ledger().excluded["bad_record:ref_mismatch"], 1);
    assert_eq!(rejected.ledger().noted["contig_not_in_reference"], 1);
    assert_eq!(variants(&rejected).len(), 3);
    let kept = with_reference(&vcf, &fasta, ReferenceMismatch::Keep);
    assert_eq!(kept.ledger().noted["ref_mismatch_kept"], 1);
    assert_eq!(variants(&kept).len(), 4);
    let stopped = run(&request_of(&vcf, &fasta, ReferenceMismatch::Error), 2);
    let error = stopped.err().unwrap();
    assert_eq!(strata::error::Coded::code(&error), "genotype::reference_mismatch");
    assert!(error.to_string().contains("line 4"), "{error}");
}

#[test]
fn a_compressed_reference_is_refused() {
    let (temp, vcf, _) = two_files(&["1\t1\t.\tG\tT"]);
    let bad = file(&temp, "r.fa.gz", &[0x1f, 0x8b, 8, 0, 0]);
    let error = run(&request_of(&vcf, &bad, ReferenceMismatch::Reject), 1).err().unwrap();
    assert_eq!(strata::error::Coded::code(&error), "genotype::reference");
}
