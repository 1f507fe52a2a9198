//! The conformance files of the VCF specification: what must pass passes, what must fail is refused or
//! quarantined with a reason, or strata says here why it reads it all the same. And what a reject says.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use strata::error::Coded;
use strata::genotype::{Check, Error, Genome, check};
use support::{bgzf, everyone, file, request, run, shared};

/// Every file that must be refused, one a line: version, name, what is wrong with it in its own words
/// (`CauseOfFailure`), what strata does (an error's code, reasons of rejects, or `read`), and for what is
/// read why that does no harm.
const FAILED: &str = include_str!("conformance_failed.tsv");

/// Files that must pass, with records that strata quarantines, and why.
const QUARANTINED: &[(&str, &str, &str)] = &[
    ("complexfile_passed_000", "bad_contig", "`<ctg>` as CHROM cannot be a folder"),
    (
        "passed_body_alt",
        "gt_allele_out_of_range",
        "a GT of 1 in a record without ALT contradicts itself",
    ),
    ("passed_body_chrom", "bad_contig", "signs that a folder cannot have"),
    ("passed_body_id", "bad_contig", "signs that a folder cannot have"),
    ("passed_body_id", "bad_pos", "POS 0, a telomere, is no base of the reference"),
    ("passed_body_pos", "bad_contig", "signs that a folder cannot have"),
    ("passed_body_pos", "bad_pos", "POS 0, a telomere, is no base of the reference"),
    (
        "passed_symbolic_duplicates",
        "duplicate_variant",
        "equal POS, REF, ALT and extent: one variant",
    ),
];

fn files(kind: &str) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for version in ["4.2", "4.3"] {
        let Some(folder) = shared(&format!("conformance/vcf/{version}/{kind}")) else { continue };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            files.push((name, path));
        }
    }
    files.sort();
    files
}

#[test]
fn what_must_pass_passes() {
    let files = files("passed");
    let mut used = BTreeSet::new();
    for (name, path) in &files {
        let check =
            check(path, Genome::Grch38).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for reason in check.rejects.keys() {
            let row = QUARANTINED.iter().find(|(n, r, _)| n == name && r == reason);
            used.insert(row.unwrap_or_else(|| panic!("{}: {reason}", path.display())));
        }
        let rejected: u64 = check.rejects.values().sum();
        assert!(rejected < check.records.max(1), "{}: nothing is left", path.display());
    }
    assert!(files.is_empty() || used.len() == QUARANTINED.len(), "a line is not needed: {used:?}");
}

/// What strata does with a file.
fn outcome(path: &Path) -> String {
    match check(path, Genome::Grch38) {
        Err(e) => e.code().to_owned(),
        Ok(check) if check.rejects.is_empty() => "read".to_owned(),
        Ok(check) => check.rejects.into_keys().collect::<Vec<_>>().join(" "),
    }
}

/// What a file says is wrong with it.
fn cause(path: &Path) -> String {
    let text = std::fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|l| l.strip_prefix("##CauseOfFailure="));
    line.unwrap_or("-").trim().replace('\t', " ")
}

#[test]
fn what_must_fail_fails_or_is_named() {
    let mut found = Vec::new();
    for (name, path) in files("failed") {
        let version = path.ancestors().nth(2).unwrap().file_name().unwrap().to_string_lossy();
        found.push([version.into_owned(), name, cause(&path), outcome(&path)].join("\t"));
    }
    found.sort();
    let mut named = Vec::new();
    for line in FAILED.lines() {
        let (facts, why) = line.rsplit_once('\t').unwrap();
        assert_eq!(why != "-", facts.ends_with("\tread"), "what is read has a reason: {line}");
        named.push(facts);
    }
    if found.is_empty() {
        return;
    }
    let other: Vec<_> = found.iter().filter(|line| !named.contains(&line.as_str())).collect();
    assert!(other.is_empty(), "not in conformance_failed.tsv: {other:#?}");
    assert_eq!(found, named, "lines of no file, or out of order");
    let read = named.iter().filter(|facts| facts.ends_with("\tread")).count();
    println!("{} refused or quarantined, {read} read and named", named.len() - read);
}

/// Cells and names of a VCF text that no message may repeat.
fn secrets(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|l| !l.starts_with("##"));
    let cells = lines.flat_map(|l| l.split('\t').skip(9));
    cells.filter(|c| c.len() > 2).collect()
}

#[test]
fn no_message_repeats_a_value() {
    for (_, path) in files("failed").into_iter().chain(files("passed")) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let said = match check(&path, Genome::Grch38) {
            Ok(Check { rejects, .. }) => format!("{rejects:?}"),
            Err(e) => {
                let name = path.to_string_lossy().into_owned();
                format!("{e} {e:?} {}", e.help().unwrap_or_default()).replace(&name, "")
            }
        };
        for secret in secrets(&text) {
            assert!(!said.contains(secret), "{}: {said}", path.display());
        }
    }
}

const HEADER: &str = "##fileformat=VCFv4.2\n\
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n";

/// Records of one chromosome, every tenth of which has a bad REF.
fn records(n: u32) -> String {
    let line = |i: u32| {
        let reference = if i % 10 == 3 { "?" } else { "A" };
        format!("1\t{}\trs{i}\t{reference}\tG\t.\t.\t.\tGT\t0|1\t0|0\n", 100 + i)
    };
    HEADER.to_owned() + &(0..n).map(line).collect::<String>()
}

#[test]
fn strict_names_the_first_record_whatever_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let text = records(500);
    for (name, bytes) in
        [("a.vcf", text.as_bytes().to_vec()), ("a.vcf.gz", bgzf(text.as_bytes(), 700))]
    {
        let path = file(&dir, name, &bytes);
        let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
        assert_eq!(run(&request, 2).unwrap().ledger().excluded["bad_record:bad_ref"], 50);
        request.options.strict = true;
        let Err(error) = run(&request, 2) else { panic!("{name} must be refused") };
        assert_eq!(error.code(), "genotype::rejected");
        assert!(matches!(error, Error::Rejected { line: 6, reason: "bad_ref", .. }), "{error:?}");
        assert!(error.help().unwrap().contains("--strict"));
    }
}

#[test]
fn virtual_offsets_lead_to_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = records(500);
    for block in [40, 333, 5000] {
        let bytes = bgzf(text.as_bytes(), block);
        let path = file(&dir, "a.vcf.gz", &bytes);
        let run = run(&request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new())), 2)
            .unwrap();
        let rejects = run.table("quality/rejects");
        let lines: Vec<&str> = text.lines().collect();
        let offsets = rejects.longs("virtual_offset");
        assert_eq!(offsets.len(), 50);
        for (line, offset) in rejects.longs("line").into_iter().zip(offsets) {
            let (at, within) = ((offset >> 16) as usize, (offset & 0xffff) as usize);
            assert!(within < block, "a line starts in the block that has its first byte");
            let mut rest = String::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[at..]);
            std::io::Read::read_to_string(&mut decoder, &mut rest).unwrap();
            assert!(rest[within..].starts_with(lines[line as usize - 1]), "line {line}");
        }
    }
}

#[test]
fn sites_only_files_are_read_and_are_no_callset() {
    let dir = tempfile::tempdir().unwrap();
    let text = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\
        1\t10\t.\tA\tG,T\t.\t.\tAF=0.5,0.1\n1\t11\t.\tA\tC\t.\t.\n\
        X\t3000000\t.\tA\tC\t.\t.\t.\nY\t3000000\t.\tA\tC\t.\t.\t.\nMT\t9\t.\tA\tC\t.\t.\t.\n";
    for (name, bytes) in
        [("s.vcf", text.as_bytes().to_vec()), ("s.vcf.gz", bgzf(text.as_bytes(), 64))]
    {
        let path = file(&dir, name, &bytes);
        let found = check(&path, Genome::Grch38).unwrap();
        assert_eq!((found.samples, found.records, found.rows), (0, 5, 5));
        assert_eq!(found.rejects, BTreeMap::from([("column_count", 1)]));
        let error = strata::genotype::sample_names(&path).unwrap_err();
        assert_eq!(error.code(), "genotype::no_samples");
        let sheet = strata::genotype::SampleSheet::default();
        let error = run(&request(&[path], sheet), 1).err().unwrap();
        assert_eq!(error.code(), "genotype::no_samples");
    }
}

/// String literals of a source, tests aside, that look like reason codes.
fn codes(source: &str) -> BTreeSet<String> {
    const STARTS: [&str; 11] = [
        "bad_",
        "gt_",
        "alt_is",
        "column_",
        "malformed_",
        "too_many_",
        "allele_too",
        "duplicate_v",
        "ref_mismatch",
        "moved_too",
        "other_chrom",
    ];
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap();
    let code = source.lines().filter(|l| !l.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let plain = |t: &&str| t.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let literals = code.split('"').skip(1).step_by(2).filter(plain);
    literals.filter(|t| STARTS.iter().any(|s| t.starts_with(s))).map(str::to_owned).collect()
}

#[test]
fn every_reason_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/definitions.md")).unwrap();
    let mut found = BTreeSet::new();
    let mut folders = vec![root.join("src/genotype")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.extend(codes(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    // A name of an error, not a reason.
    found.remove("bad_name");
    // A note about records that are used.
    found.remove("ref_mismatch_kept");
    // The head of a count in the books, with the reason behind it.
    found.remove("bad_record");
    assert!(found.len() >= 16, "{found:?}");
    let missing: Vec<_> = found.iter().filter(|c| !docs.contains(&format!("`{c}`"))).collect();
    assert!(missing.is_empty(), "not in docs/definitions.md: {missing:?}");
}
