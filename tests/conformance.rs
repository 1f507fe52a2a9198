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

/// Files that must be refused and are read, by the start of their names, and why.
const READ_ANYWAY: &[(&str, &str)] = &[
    ("failed_body_alt_000", "IUPAC base in ALT: read as bases"),
    ("failed_body_ref_001", "IUPAC base in REF: read as bases"),
    (
        "failed_body_filter_004",
        "the same filter twice: a set either way (4.3); see the next for 4.2",
    ),
    ("failed_body_format_003", "a sign in a FORMAT key: the key is not used"),
    ("failed_body_format_004", "a FORMAT key that starts with a digit: the key is not used"),
    ("failed_body_format_007", "an escape in a FORMAT key: the key is not used"),
    ("failed_body_id_003", "the same ID twice: a set either way"),
    (
        "failed_body_info_0",
        "INFO values are read if selected only; one that does not fit is null then",
    ),
    ("failed_body_info_integer", "as before"),
    ("failed_body_sample_003", "more values than FORMAT has keys: GT is the first either way"),
    ("failed_body_sample_004", "a FORMAT value that is not selected has the wrong number"),
    ("failed_body_sample_005", "as before"),
    ("failed_body_sample_006", "as before"),
    ("failed_body_sample_007", "a FORMAT value that is not selected has the wrong type"),
    ("failed_body_sample_008", "as before"),
    ("failed_body_sample_009", "as before"),
    ("failed_body_sample_010", "a FORMAT value that is not selected has the wrong number"),
    ("failed_body_samples_ploidy", "PL has the wrong number of values: PL is not read"),
    (
        "failed_header_001",
        "FORMAT and no samples: sites-only, which a callset refuses (no_samples)",
    ),
    ("failed_meta_000", "a meta line without value: not used"),
    ("failed_meta_001", "quotes in a Description: not used"),
    ("failed_meta_003", "a meta line that is not closed: its fields are read"),
    ("failed_meta_006", "a quotation mark is missing: its other fields are read"),
    ("failed_meta_007", "as before"),
    ("failed_meta_008", "as before"),
    ("failed_meta_009", "a meta line with an empty value: not used"),
    ("failed_meta_alt", "ALT lines are not used"),
    ("failed_meta_assembly", "the assembly line is not used"),
    ("failed_meta_contig", "contig lines are used in BCF only; CHROM is checked by itself"),
    (
        "failed_meta_format",
        "FORMAT definitions of reserved keys: the key's meaning is the specification's",
    ),
    (
        "failed_meta_info",
        "INFO definitions are used if selected only, and then as the file has them",
    ),
    ("failed_meta_meta", "META lines are not used"),
    ("failed_meta_pedigree", "PEDIGREE lines and pedigree data bases are not used"),
    ("failed_meta_sample", "SAMPLE lines are not used"),
];

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

#[test]
fn what_must_fail_fails_or_is_named() {
    let files = files("failed");
    let (mut used, mut refused, mut quarantined, mut read) = (BTreeSet::new(), 0, 0, 0);
    let mut unnamed = Vec::new();
    for (name, path) in &files {
        match check(path, Genome::Grch38) {
            Err(_) => refused += 1,
            Ok(check) if !check.rejects.is_empty() => quarantined += 1,
            Ok(_) => match READ_ANYWAY.iter().find(|(start, _)| name.starts_with(start)) {
                Some(row) => {
                    used.insert(row);
                    read += 1;
                }
                None => unnamed.push(path),
            },
        }
    }
    println!("{refused} refused, {quarantined} quarantined, {read} read and named");
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    assert!(files.is_empty() || used.len() == READ_ANYWAY.len(), "a line is not needed: {used:#?}");
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
        1\t10\t.\tA\tG,T\t.\t.\tAF=0.5,0.1\n1\t11\t.\tA\tC\t.\t.\n";
    for (name, bytes) in
        [("s.vcf", text.as_bytes().to_vec()), ("s.vcf.gz", bgzf(text.as_bytes(), 64))]
    {
        let path = file(&dir, name, &bytes);
        let found = check(&path, Genome::Grch38).unwrap();
        assert_eq!((found.samples, found.records, found.rows), (0, 2, 2));
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
    for entry in std::fs::read_dir(root.join("src/genotype")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") {
            found.extend(codes(&std::fs::read_to_string(path).unwrap()));
        }
    }
    // A name of an error, not a reason.
    found.remove("bad_name");
    // A note about records that are used.
    found.remove("ref_mismatch_kept");
    assert!(found.len() >= 16, "{found:?}");
    let missing: Vec<_> = found.iter().filter(|c| !docs.contains(&format!("`{c}`"))).collect();
    assert!(missing.is_empty(), "not in docs/definitions.md: {missing:?}");
}
