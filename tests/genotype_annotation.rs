//! Annotation tables: fields of sites files joined to the variants by normalised allele.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]
#[path = "support/programme.rs"]
mod programme;
#[path = "genotype_support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int8Type, Int32Type};
use programme::Programme;
use proptest::prelude::*;
use strata::engine::TableLedger;
use strata::error::Coded;
use strata::genotype::{Annotation, CallsetRequest};
use support::{Run, Table, bgzf, everyone, file, request, run, shared};

const CONTIGS: &str = "##fileformat=VCFv4.2\n##contig=<ID=20>\n";
const COLUMNS: &str = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";

/// 11 to 24 are the repeat of Tan, Abecasis and Kang (2015).
const SEQUENCE: &str = ">20\nACGTACGTACGGGCACACACAGGGTTACGATCGATTTTTTTTTTACGT\n";

/// A callset of S0 and S1 from `CHROM POS REF ALT GT GT`.
fn callset(rows: &[&str]) -> String {
    let line = |row: &&str| {
        let f: Vec<&str> = row.split(' ').collect();
        format!("{}\t{}\t.\t{}\t{}\t.\t.\t.\tGT\t{}\t{}\n", f[0], f[1], f[2], f[3], f[4], f[5])
    };
    let rows: String = rows.iter().map(line).collect();
    format!("{CONTIGS}{COLUMNS}\tFORMAT\tS0\tS1\n{rows}")
}

const ROWS: [&str; 6] = [
    "20 13 GCA G 0/1 0/0",
    "20 14 C T,A 0/1 0/2",
    "20 25 T C 0/1 0/0",
    "20 28 CGA C 0/1 0/0",
    "20 45 A G 0/0 0/1",
    "21 5 A G 0/1 0/0",
];

const GNOMAD: &str = "##INFO=<ID=AF,Number=A,Type=Float,Description=\"x\">\n\
    ##INFO=<ID=AR,Number=R,Type=Integer,Description=\"x\">\n\
    ##INFO=<ID=GTC,Number=G,Type=Integer,Description=\"x\">\n\
    ##INFO=<ID=DB,Number=0,Type=Flag,Description=\"x\">\n\
    ##INFO=<ID=L,Number=.,Type=String,Description=\"x\">\n";

/// Sites from `CHROM POS REF ALT INFO`.
fn sites(header: &str, rows: &[&str]) -> String {
    let line = |row: &&str| {
        let f: Vec<&str> = row.split(' ').collect();
        format!("{}\t{}\t.\t{}\t{}\t.\t.\t{}\n", f[0], f[1], f[2], f[3], f[4])
    };
    let rows: String = rows.iter().map(line).collect();
    format!("##fileformat=VCFv4.2\n{header}{COLUMNS}\n{rows}")
}

fn gnomad() -> String {
    let rows = [
        "chr20 14 C A,T AF=0.1,0.2;AR=10,1,2;DB;L=x,y",
        "chr20 15 A G AF=0.5",
        "chr20 18 CAC C AF=0.03",
        "chr20 25 T . AF=0.7",
        "chr20 27 ACGAT ACT AF=0.04;AR=1",
        "chr20 45 A C AF=0.9",
        "chr20 45 A G AF=.",
    ];
    sites(GNOMAD, &rows)
}

fn prepared(dir: &tempfile::TempDir) -> CallsetRequest {
    let path = file(dir, "in.vcf", callset(&ROWS).as_bytes());
    let samples = everyone(&path, &BTreeMap::new());
    let mut request = request(&[path], samples);
    request.options.reference = Some(file(dir, "r.fa", SEQUENCE.as_bytes()));
    request
}

fn annotate(request: &mut CallsetRequest, name: &str, files: &[PathBuf], info: &[&str]) {
    let info = info.iter().map(|&f| f.to_owned()).collect();
    request.options.annotations.insert(name.to_owned(), Annotation { files: files.to_vec(), info });
}

fn with_gnomad(dir: &tempfile::TempDir) -> CallsetRequest {
    let mut request = prepared(dir);
    let path = file(dir, "g.vcf", gnomad().as_bytes());
    annotate(&mut request, "gnomad", &[path], &["AF", "AR", "GTC", "DB", "L"]);
    request
}

fn singles(table: &Table, name: &str) -> Vec<Option<f32>> {
    table.column(name).as_primitive::<Float32Type>().iter().collect()
}

/// The items of a list column, joined.
fn lists(table: &Table, name: &str) -> Vec<Option<String>> {
    let items = |list: arrow::array::ArrayRef| {
        let items = list.as_string::<i32>().iter().map(|t| t.unwrap_or("null").to_owned());
        items.collect::<Vec<_>>().join("|")
    };
    table.column(name).as_list::<i32>().iter().map(|list| list.map(items)).collect()
}

fn account<'a>(run: &'a Run, table: &str) -> &'a TableLedger {
    run.output.ledger.0.iter().find(|t| t.table == table).unwrap()
}

fn notes(run: &Run, name: &str) -> [u64; 4] {
    ["matched", "not_in_callset", "variants_without", "duplicate_site"].map(|what| {
        let note = run.ledger().noted.get(&format!("annotation:{name}:{what}"));
        note.copied().unwrap_or_default()
    })
}

fn refused(request: &CallsetRequest) -> (&'static str, String) {
    let error = run(request, 2).err().unwrap();
    (error.code(), error.to_string())
}

#[test]
fn sites_meet_variants_however_the_two_write_an_allele() {
    let dir = tempfile::tempdir().unwrap();
    let done = run(&with_gnomad(&dir), 2).unwrap();
    let table = done.table("/annotation_gnomad/");
    assert_eq!(table.ints("variant_idx"), [0, 1, 2, 4, 5]);
    assert_eq!(table.ints("pos"), [13, 14, 14, 28, 45]);
    let af = [Some(0.03), Some(0.1), Some(0.2), Some(0.04), None];
    assert_eq!(singles(&table, "AF"), af);
    // A record with one value too few of Number=R has none.
    let ar: Vec<_> = table.column("AR").as_primitive::<Int32Type>().iter().collect();
    assert_eq!(ar, [None, Some(1), Some(2), None, None]);
    let db: Vec<_> = table.column("DB").as_boolean().iter().flatten().collect();
    assert_eq!(db, [false, true, true, false, false]);
    let both = Some("x|y".to_owned());
    assert_eq!(lists(&table, "L"), [None, both.clone(), both, None, None]);
    let gtc = table.column("GTC").as_list::<i32>();
    assert!(gtc.iter().flatten().all(|list| list.len() == 3), "three genotypes of a row");
    let names: Vec<_> = table.0.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(
        names,
        ["variant_idx", "pos", "site_id", "site_filters", "AF", "AR", "GTC", "DB", "L"]
    );
    // 25 and all of chromosome 21 have no site; 15 and 45 A>C are no variants.
    assert_eq!(notes(&done, "gnomad"), [5, 2, 2, 0]);
    let account = account(&done, "genomics/wgs/annotation_gnomad");
    assert_eq!((account.rows_in, account.rows_out), (8, 5));
    assert_eq!(account.excluded["not_in_callset"], 2);
    assert_eq!(account.excluded["no_alt"], 1);
    // A chromosome without a site has a table without rows.
    let paths: Vec<_> = done.output.files.iter().map(|f| f.path.as_str()).collect();
    let empty = "controlled/genomics/wgs/annotation_gnomad/chrom=chr21/part-0000.parquet";
    assert!(paths.contains(&empty), "{paths:?}");
    let entry = done.output.files.iter().find(|f| f.path == empty).unwrap();
    assert_eq!((entry.rows, entry.table.as_str()), (Some(0), "annotation_gnomad"));
}

#[test]
fn without_the_reference_a_shifted_deletion_is_another_allele() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = with_gnomad(&dir);
    request.options.reference = None;
    let done = run(&request, 2).unwrap();
    assert_eq!(done.table("/annotation_gnomad/").ints("variant_idx"), [1, 2, 4, 5]);
    assert_eq!(notes(&done, "gnomad"), [4, 3, 3, 0]);
}

const CLINVAR: &str = "##ID=<Description=\"ClinVar Variation ID\">\n\
    ##INFO=<ID=ALLELEID,Number=1,Type=Integer,Description=\"the ClinVar Allele ID\">\n\
    ##INFO=<ID=CLNSIG,Number=.,Type=String,Description=\"Aggregate germline classification\">\n\
    ##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description=\"ClinVar review status\">\n";

#[test]
fn clinvar_has_classes_and_stars_and_the_first_of_equals() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    let rows = [
        "20 13 GCA G ALLELEID=1;CLNSIG=Pathogenic/Likely_pathogenic|other;CLNREVSTAT=criteria_provided,_multiple_submitters,_no_conflicts",
        "20 14 C A ALLELEID=2;CLNSIG=Benign;CLNREVSTAT=practice_guideline",
        "20 14 C T ALLELEID=3;CLNSIG=Conflicting,Benign;CLNREVSTAT=criteria_provided,_conflicting_classifications",
        "20 14 C T ALLELEID=4;CLNREVSTAT=practice_guideline",
        "20 25 T C ALLELEID=x;CLNREVSTAT=no_assertion_criteria_provided",
        "20 28 CGA C CLNREVSTAT=of_another_time",
        "20 45 A G ALLELEID=7",
    ];
    let text = sites(CLINVAR, &rows);
    let text = text.replace("13\t.\tGCA\tG\t.\t.", "13\t4711\tGCA\tG\t.\tAC0;RF");
    let text = text.replace("28\t.\tCGA\tC\t.\t.", "28\t.\tCGA\tC\t.\tPASS");
    let path = file(&dir, "clinvar.vcf", text.as_bytes());
    annotate(&mut request, "clinvar", &[path], &["ALLELEID", "CLNSIG", "CLNREVSTAT"]);
    let done = run(&request, 2).unwrap();
    let table = done.table("/annotation_clinvar/");
    let stars: Vec<_> = table.column("stars").as_primitive::<Int8Type>().iter().collect();
    assert_eq!(stars, [Some(2), Some(4), Some(1), Some(0), None, None]);
    let ids: Vec<_> = table.column("ALLELEID").as_primitive::<Int32Type>().iter().collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), None, None, Some(7)]);
    let (site, filters) = (table.texts("site_id"), lists(&table, "site_filters"));
    assert_eq!((site[0].as_deref(), site[1].as_deref()), (Some("4711"), None));
    assert_eq!((filters[0].as_deref(), filters[1].as_deref()), (Some("AC0|RF"), None));
    assert_eq!(filters[4].as_deref(), Some(""));
    let classes = lists(&table, "CLNSIG");
    assert_eq!(classes[0].as_deref(), Some("Pathogenic/Likely_pathogenic|other"));
    assert_eq!(classes[2].as_deref(), Some("Conflicting|Benign"));
    assert_eq!(notes(&done, "clinvar"), [6, 0, 1, 1]);
    let account = account(&done, "genomics/wgs/annotation_clinvar");
    assert_eq!(account.excluded["duplicate_variant"], 1);
    assert_eq!(account.noted["unknown_review_status"], 1);
    let rejects = done.table("quality/rejects/");
    assert_eq!(rejects.texts("file"), [Some("clinvar.vcf".to_owned())]);
    // Six lines of header, then the fourth record.
    assert_eq!(rejects.longs("line"), [10]);
    assert_eq!(rejects.texts("reason"), [Some("duplicate_variant".to_owned())]);
    request.options.strict = true;
    let (code, text) = refused(&request);
    assert_eq!(code, "genotype::rejected");
    assert!(text.contains("clinvar.vcf") && text.contains("line 10"), "{text}");
}

#[test]
fn sites_that_cannot_be_used_are_listed_behind_the_callsets_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    let path = file(&dir, "in.vcf", callset(&["20 14 G T 0/1 0/0", ROWS[2]]).as_bytes());
    request.files = vec![path];
    let bad = ["20 14 G T AF=0.1", "20 25 T C AF=0.2", "20 26 T !! AF=0.3"];
    for name in ["b", "a"] {
        let path = file(&dir, &format!("{name}.vcf"), sites(GNOMAD, &bad).as_bytes());
        annotate(&mut request, name, &[path], &["AF"]);
    }
    let done = run(&request, 2).unwrap();
    let rejects = done.table("quality/rejects/");
    let rows: Vec<_> = rejects
        .texts("file")
        .into_iter()
        .zip(rejects.longs("line"))
        .zip(rejects.texts("reason"))
        .map(|((file, line), reason)| format!("{} {line} {}", file.unwrap(), reason.unwrap()))
        .collect();
    let of = |name| [format!("{name}.vcf 8 ref_mismatch"), format!("{name}.vcf 10 bad_alt")];
    let expected = [&["in.vcf 4 ref_mismatch".to_owned()][..], &of("a"), &of("b")].concat();
    assert_eq!(rows, expected);
    assert_eq!(account(&done, "genomics/wgs/annotation_a").excluded["bad_record:bad_alt"], 1);
}

#[test]
fn what_is_written_does_not_depend_on_threads_or_on_how_the_file_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = Vec::new();
    let mut records = Vec::new();
    for pos in 1..3000 {
        let alt = ["A", "C", "G,T", "AT"][pos % 4];
        if pos % 3 > 0 {
            rows.push(format!("20 {} N {alt} 0/1 0/0", 10 * pos));
        }
        let af = if alt.contains(',') { "0.1,0.2" } else { "0.5" };
        records.push(format!("20 {} N {alt} AF={af};L={pos}", 10 * pos));
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let path = file(&dir, "in.vcf", callset(&rows).as_bytes());
    let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
    let text = sites(&format!("##contig=<ID=20>\n{GNOMAD}"), &records);
    let (head, tail) = text.split_at(text.find("20\t15000\t").unwrap());
    let header = &head[..head.find("20\t10\t").unwrap()];
    let second = format!("{header}{tail}");
    let mut packings: Vec<Vec<PathBuf>> = vec![
        vec![file(&dir, "a.vcf", text.as_bytes())],
        vec![file(&dir, "a.vcf.gz", &bgzf(text.as_bytes(), 97))],
        vec![file(&dir, "b.vcf.gz", &bgzf(text.as_bytes(), 60_000))],
        // In the wrong order.
        vec![file(&dir, "c2.vcf", second.as_bytes()), file(&dir, "c1.vcf", head.as_bytes())],
    ];
    let (vcf, bcf) = (packings[0][0].clone(), dir.path().join("a.bcf"));
    let args = ["view", "-Ob", "-o", bcf.to_str().unwrap(), vcf.to_str().unwrap()];
    packings.extend(tool("bcftools", &args).map(|_| vec![bcf.clone()]));
    let mut seen = Vec::new();
    for files in &packings {
        for threads in [1, 3] {
            annotate(&mut request, "x", files, &["AF", "L"]);
            let done = run(&request, threads).unwrap();
            assert_eq!(notes(&done, "x")[..2], [2500, 1249]);
            let mut digests = done.digests();
            digests.retain(|(path, _)| !path.starts_with("quality/genomics"));
            seen.push(digests);
        }
    }
    assert!(seen.iter().all(|digests| *digests == seen[0]));
}

#[test]
fn symbolic_alleles_meet_when_they_reach_equally_far() {
    let dir = tempfile::tempdir().unwrap();
    let end = "##INFO=<ID=END,Number=1,Type=Integer,Description=\"x\">\n";
    let text = callset(&["20 30 G <DEL> 0/1 0/0"]).replace("\t.\tGT", "\tEND=40\tGT");
    let path =
        file(&dir, "in.vcf", text.replacen(CONTIGS, &format!("{CONTIGS}{end}"), 1).as_bytes());
    let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
    for (name, info) in [("same", "END=40"), ("other", "END=41")] {
        let row = format!("chr20 30 G <DEL> {info}");
        let path = file(&dir, name, sites(end, &[row.as_str()]).as_bytes());
        annotate(&mut request, name, &[path], &["END"]);
    }
    let none = file(&dir, "none", sites(end, &[]).as_bytes());
    annotate(&mut request, "none", &[none], &["END"]);
    let done = run(&request, 2).unwrap();
    assert_eq!(notes(&done, "same"), [1, 0, 0, 0]);
    assert_eq!(notes(&done, "other"), [0, 1, 1, 0]);
    assert_eq!(notes(&done, "none"), [0, 0, 1, 0]);
    assert_eq!(done.table("/annotation_none/").len(), 0);
}

#[test]
fn merged_callsets_and_excluded_variants_are_annotated_as_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = with_gnomad(&dir);
    let text = std::fs::read_to_string(&whole.files[0]).unwrap();
    let without = |column: usize| {
        let line = |line: &str| {
            let mut fields: Vec<&str> = line.split('\t').collect();
            if fields.len() > 9 {
                fields.remove(column);
            }
            fields.join("\t") + "\n"
        };
        text.lines().map(line).collect::<String>()
    };
    let parts =
        [(9, "b.vcf"), (10, "a.vcf")].map(|(c, name)| file(&dir, name, without(c).as_bytes()));
    let mut merged = whole.clone();
    merged.files = parts.to_vec();
    for request in [&mut whole, &mut merged] {
        let list = file(&dir, "x.txt", b"20-14-C-T\n");
        request.options.exclude_variants = Some(list);
    }
    let (whole, merged) = (run(&whole, 2).unwrap(), run(&merged, 2).unwrap());
    let table = merged.table("/annotation_gnomad/");
    assert_eq!(table.ints("pos"), [13, 14, 28, 45]);
    assert_eq!(table.ints("variant_idx"), [0, 1, 3, 4]);
    assert_eq!(table.0, whole.table("/annotation_gnomad/").0);
    assert_eq!(notes(&merged, "gnomad"), notes(&whole, "gnomad"));
}

#[test]
fn an_unsorted_file_is_an_error_that_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    let rows = ["20 25 T C AF=0.2", "20 14 C T AF=0.3"];
    let path = file(&dir, "u.vcf", sites(GNOMAD, &rows).as_bytes());
    annotate(&mut request, "u", &[path], &["AF"]);
    let (code, text) = refused(&request);
    assert_eq!(code, "genotype::unsorted");
    assert!(text.contains("u.vcf, line 9"), "{text}");
    // So is a chromosome that comes up again.
    let rows = ["20 25 T C AF=0.2", "21 5 A G AF=0.3", "20 45 A G AF=0.3"];
    let path = file(&dir, "v.vcf", sites(GNOMAD, &rows).as_bytes());
    request.options.annotations.clear();
    annotate(&mut request, "v", &[path], &["AF"]);
    let (code, text) = refused(&request);
    assert_eq!((code, text.contains("v.vcf, line 10")), ("genotype::unsorted", true), "{text}");
}

#[test]
fn what_cannot_be_an_annotation_is_refused_before_a_record_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let good = file(&dir, "g.vcf", gnomad().as_bytes());
    let people = file(&dir, "p.vcf", callset(&ROWS).as_bytes());
    let twice = GNOMAD.replace("ID=L,", "ID=Pos,").replace("ID=DB,", "ID=CHROM,");
    let twice = file(&dir, "t.vcf", sites(&twice, &[]).as_bytes());
    let cases: [(&str, &[PathBuf], &[&str], &str); 6] = [
        ("x", &[people], &[], "genotype::annotation_samples"),
        ("x", std::slice::from_ref(&good), &["AF", "NONE"], "genotype::unknown_info"),
        ("x", std::slice::from_ref(&twice), &["Pos"], "genotype::annotation_column"),
        ("x", std::slice::from_ref(&twice), &["CHROM"], "genotype::annotation_column"),
        ("../x", std::slice::from_ref(&good), &[], "genotype::bad_name"),
        ("x", &[], &[], "genotype::no_files"),
    ];
    for (name, files, info, expected) in cases {
        let mut request = prepared(&dir);
        annotate(&mut request, name, files, info);
        assert_eq!(refused(&request).0, expected, "{files:?} {info:?}");
    }
}

#[test]
fn a_variant_that_only_a_left_out_sample_carries_is_not_annotated() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = with_gnomad(&dir);
    request.samples.included.remove("S1");
    request.samples.excluded.insert("S1".into(), "withdrawn".into());
    let done = run(&request, 2).unwrap();
    // S1 alone has 14 C>A and 45 A>G.
    let table = done.table("/annotation_gnomad/");
    assert_eq!(table.ints("pos"), [13, 14, 28]);
    assert_eq!(singles(&table, "AF"), [Some(0.03), Some(0.2), Some(0.04)]);
    assert_eq!(notes(&done, "gnomad"), [3, 4, 2, 0]);
    // As if S1 had never been in the file.
    let rows = ["20 13 GCA G 0/1 0/0", "20 14 C T 0/1 0/0", ROWS[2], ROWS[3], ROWS[5]];
    let text = callset(&rows).replace("\tS1", "");
    let text = text.replace("\t0/1\t0/0\n", "\t0/1\n");
    let mut other = with_gnomad(&dir);
    other.files = vec![file(&dir, "never.vcf", text.as_bytes())];
    other.samples = everyone(&other.files[0], &BTreeMap::new());
    let never = run(&other, 2).unwrap();
    let tables = |run: &Run| {
        let mut digests = run.digests();
        digests.retain(|(path, _)| path.contains("/annotation_gnomad/"));
        digests
    };
    assert_eq!(tables(&done), tables(&never));
    assert_eq!(notes(&done, "gnomad"), notes(&never, "gnomad"));
}

/// REF and ALT without what they share at the end, then at the start, down to a base.
fn trimmed(mut pos: i32, reference: &str, alt: &str) -> (i32, String, String) {
    let (mut r, mut a) = (reference.to_owned(), alt.to_owned());
    while r.len() > 1 && a.len() > 1 && r.chars().last() == a.chars().last() {
        r.pop();
        a.pop();
    }
    while r.len() > 1 && a.len() > 1 && r.chars().next() == a.chars().next() {
        r.remove(0);
        a.remove(0);
        pos += 1;
    }
    (pos, r, a)
}

type Record = (i32, String, Vec<String>);

fn records() -> impl Strategy<Value = Vec<Record>> {
    let alts = prop::collection::vec("[AC]{1,4}", 1..4);
    let record = (1i32..40, "[AC]{1,4}", alts).prop_map(|(pos, reference, mut alts)| {
        alts.retain(|alt| *alt != reference);
        alts.sort();
        alts.dedup();
        if alts.is_empty() {
            alts.push("G".to_owned());
        }
        (pos, reference, alts)
    });
    prop::collection::vec(record, 1..25).prop_map(|mut all| {
        all.sort_by_key(|(pos, ..)| *pos);
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// A join by the trimmed key, made the plain way, gives the same rows and values.
    #[test]
    fn the_join_is_that_of_a_map(variants in records(), known in records()) {
        let dir = tempfile::tempdir().unwrap();
        let line = |(pos, r, alts): &Record| format!("20 {pos} {r} {} 0/1 1/1", alts.join(","));
        let rows: Vec<String> = variants.iter().map(line).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let path = file(&dir, "in.vcf", callset(&rows).as_bytes());
        let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
        let mut next = 0;
        let mut map: HashMap<(i32, String, String), f32> = HashMap::new();
        let mut lines = Vec::new();
        for (pos, r, alts) in &known {
            let values: Vec<String> = alts.iter().map(|alt| {
                next += 1;
                map.entry(trimmed(*pos, r, alt)).or_insert(next as f32);
                next.to_string()
            }).collect();
            lines.push(format!("chr20 {pos} {r} {} AF={}", alts.join(","), values.join(",")));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let path = file(&dir, "s.vcf", sites(GNOMAD, &lines).as_bytes());
        annotate(&mut request, "s", &[path], &["AF"]);
        let done = run(&request, 2).unwrap();
        let (v, s) = (done.variants(), done.table("/annotation_s/"));
        let keys = v.ints("pos").into_iter().zip(v.texts("ref")).zip(v.texts("alt"));
        let expected: Vec<(i32, f32)> = keys.enumerate().filter_map(|(i, ((pos, r), a))| {
            map.get(&(pos, r.unwrap(), a.unwrap())).map(|af| (i as i32, *af))
        }).collect();
        let found: Vec<(i32, f32)> =
            s.ints("variant_idx").into_iter().zip(singles(&s, "AF").into_iter().flatten()).collect();
        prop_assert_eq!(notes(&done, "s")[0] as usize, expected.len());
        prop_assert_eq!(found, expected);
    }
}

/// A repetitive sequence, and places, lengths and ALTs of records on it.
type Haplotypes = (String, Vec<(usize, usize, String)>, Vec<(usize, usize, String)>);

fn haplotypes() -> impl Strategy<Value = Haplotypes> {
    let middle = "(A|C|AC|ACC|AAAA){6,16}".prop_map(|middle: String| format!("GTGT{middle}TGTG"));
    let records = || prop::collection::vec((0usize..64, 1usize..5, "[AC]{1,4}"), 1..20);
    (middle, records(), records())
}

/// `CHROM POS REF ALT` in order of POS, and the haplotype of each.
fn placed(sequence: &str, records: &[(usize, usize, String)]) -> Vec<(usize, String, String)> {
    let mut all: Vec<_> = records
        .iter()
        .filter_map(|(at, size, alt)| {
            let at = 4 + at % (sequence.len() - 8);
            let reference = &sequence[at..(at + size).min(sequence.len() - 4)];
            let haplotype =
                format!("{}{alt}{}", &sequence[..at], &sequence[at + reference.len()..]);
            (reference != alt)
                .then(|| (at + 1, format!("20 {} {reference} {alt}", at + 1), haplotype))
        })
        .collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// With a reference a site is a variant's exactly if both make the same sequence of it.
    #[test]
    fn equal_haplotypes_meet((sequence, variants, known) in haplotypes()) {
        let dir = tempfile::tempdir().unwrap();
        let (variants, known) = (placed(&sequence, &variants), placed(&sequence, &known));
        prop_assume!(!variants.is_empty());
        let rows: Vec<String> = variants.iter().map(|(_, row, _)| format!("{row} 0/1 1/1")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let path = file(&dir, "in.vcf", callset(&rows).as_bytes());
        let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
        request.options.reference = Some(file(&dir, "r.fa", format!(">20\n{sequence}\n").as_bytes()));
        let lines: Vec<String> = known.iter().map(|(_, row, _)| format!("{row} AF=1")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let path = file(&dir, "s.vcf", sites(GNOMAD, &lines).as_bytes());
        annotate(&mut request, "s", &[path], &["AF"]);
        let done = run(&request, 2).unwrap();
        let haplotypes = |all: &[(usize, String, String)]| {
            all.iter().map(|(.., h)| h.clone()).collect::<BTreeSet<String>>()
        };
        let (variants, known) = (haplotypes(&variants), haplotypes(&known));
        let both = variants.intersection(&known).count();
        prop_assert_eq!(done.variants().len(), variants.len());
        prop_assert_eq!(done.table("/annotation_s/").len(), both);
        let [matched, strangers, without, _] = notes(&done, "s").map(|n| n as usize);
        prop_assert_eq!((matched, strangers), (both, known.len() - both));
        prop_assert_eq!(without, variants.len() - both);
    }
}

/// Runs a tool; `None`, with a printed reason, where it is not installed.
fn tool(name: &str, args: &[&str]) -> Option<String> {
    match Command::new(name).args(args).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {name} is not installed");
            None
        }
        Err(error) => unreachable!("{error}"),
    }
}

/// Two of three records of `path`, without samples, as BGZF with an index.
fn thinned(dir: &tempfile::TempDir, path: &Path) -> Option<PathBuf> {
    let text = tool("bcftools", &["view", "-G", path.to_str().unwrap()])?;
    let mut n = 0;
    let kept: String = text
        .split_inclusive('\n')
        .filter(|line| {
            n += usize::from(!line.starts_with('#'));
            line.starts_with('#') || n % 3 > 0
        })
        .collect();
    let sites = file(dir, "sites.vcf.gz", &bgzf(kept.as_bytes(), 60_000));
    tool("bcftools", &["index", "-t", sites.to_str().unwrap()])?;
    Some(sites)
}

#[test]
fn bcftools_annotate_says_the_same_of_real_files() {
    let cases: [(&str, &[&str]); 2] = [
        ("vcf/shapeit4_1kg_chr20_300s.vcf.gz", &["AF", "AC"]),
        ("vcf/plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz", &["AF", "EAS_AF", "DP"]),
    ];
    for (name, fields) in cases {
        let Some(path) = shared(name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let Some(sites) = thinned(&dir, &path) else { return };
        let split = dir.path().join("split.vcf.gz");
        let (from, to) = (path.to_str().unwrap(), split.to_str().unwrap());
        // Two samples are enough to see that it is the join that is compared.
        let names = strata::genotype::sample_names(&path).unwrap();
        let few = dir.path().join("few.vcf.gz");
        tool(
            "bcftools",
            &["view", "-I", "-s", &names[..2].join(","), "-Oz", "-o", few.to_str().unwrap(), from],
        );
        tool("bcftools", &["norm", "-m-", "-Oz", "-o", to, few.to_str().unwrap()]);
        tool("bcftools", &["index", "-t", to]);
        let columns: Vec<String> = fields.iter().map(|f| format!("INFO/{f}")).collect();
        let (bare, annotated) = (dir.path().join("bare.bcf"), dir.path().join("annotated.bcf"));
        let (bare, annotated) = (bare.to_str().unwrap(), annotated.to_str().unwrap());
        tool("bcftools", &["annotate", "-x", "INFO", "-Ob", "-o", bare, to]);
        tool("bcftools", &["index", bare]);
        let site_path = sites.to_str().unwrap();
        tool(
            "bcftools",
            &["annotate", "-a", site_path, "-c", &columns.join(","), "-Ob", "-o", annotated, bare],
        );
        let values: Vec<String> = columns.iter().map(|c| format!("%{c}")).collect();
        let format = format!("%POS\\t%REF\\t%ALT\\t{}\\n", values.join("\\t"));
        let said = tool("bcftools", &["query", "-f", &format, annotated]).unwrap();
        let mut expected: BTreeMap<(i32, String, String), Vec<Option<f64>>> = BTreeMap::new();
        for line in said.lines() {
            let f: Vec<&str> = line.split('\t').collect();
            let key = trimmed(f[0].parse().unwrap(), f[1], f[2]);
            let values: Vec<Option<f64>> = f[3..].iter().map(|v| v.parse().ok()).collect();
            if values.iter().any(Option::is_some) {
                expected.entry(key).or_insert(values);
            }
        }
        let mut request = request(std::slice::from_ref(&few), everyone(&few, &BTreeMap::new()));
        annotate(&mut request, "x", &[sites], fields);
        let done = run(&request, 2).unwrap();
        let (v, x) = (done.variants(), done.table("/annotation_x/"));
        let (pos, refs, alts) = (v.ints("pos"), v.texts("ref"), v.texts("alt"));
        let columns: Vec<_> = fields.iter().map(|f| x.floats(f)).collect();
        let mut found = BTreeMap::new();
        for (i, idx) in x.ints("variant_idx").into_iter().enumerate() {
            let idx = idx as usize;
            let key = (pos[idx], refs[idx].clone().unwrap(), alts[idx].clone().unwrap());
            found.insert(key, columns.iter().map(|c| c[i]).collect::<Vec<_>>());
        }
        assert!(found.len() > 300);
        let close = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-5 * a.abs(),
            _ => a == b,
        };
        let same = |a: &[Option<f64>], b: &[Option<f64>]| a.iter().zip(b).all(|(a, b)| close(a, b));
        let differ: Vec<_> = expected
            .iter()
            .filter(|(key, values)| found.get(*key).is_none_or(|other| !same(values, other)))
            .collect();
        assert!(differ.is_empty(), "{name}: {} differ, {:?}", differ.len(), differ.first());
        assert_eq!(found.len(), expected.len(), "{name}");
    }
}

/// A sites file of every other variant of the current release, numbered.
fn numbered(programme: &Programme) -> String {
    let folder = programme.release().join("controlled/genomics/wgs/variants");
    let vids = programme::table(&folder).remove("vid").unwrap();
    let mut rows = Vec::new();
    for (n, vid) in vids.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        let [chrom, pos, reference, alt] = vid.split('-').collect::<Vec<_>>()[..] else { continue };
        rows.push(format!(
            "{chrom} {pos} {reference} {alt} ALLELEID={n};CLNREVSTAT=practice_guideline"
        ));
    }
    sites(CLINVAR, &rows.iter().map(String::as_str).collect::<Vec<_>>())
}

const SECTION: &str = "[callset.wgs.annotations.clinvar]\nfiles = [\"sites/*.vcf\"]\n\
    info = [\"ALLELEID\", \"CLNREVSTAT\"]\n";

#[test]
fn a_workflow_names_its_annotations_and_duckdb_joins_them() {
    let programme = Programme::new();
    programme.run().done();
    let text = numbered(&programme);
    std::fs::create_dir(programme.path("sites")).unwrap();
    programme.write("sites/clinvar.vcf", &text);
    programme.edit("w.toml", |w| format!("{w}\n{SECTION}"));
    programme.strata(["validate", "w.toml"]).done();
    programme.run().done();
    let manifest = programme.manifest();
    let inputs = manifest["inputs"].as_array().unwrap();
    let feed = "callset.wgs.annotations.clinvar";
    let input = inputs.iter().find(|i| i["feed"] == feed).unwrap();
    assert_eq!(input["bytes"], text.len());
    let genomics = programme.release().join("controlled/genomics/wgs");
    let table = programme::table(&genomics.join("annotation_clinvar"));
    let variants = programme::table(&genomics.join("variants"))["vid"].len();
    assert!(variants > 100);
    assert_eq!(table["variant_idx"].len(), variants.div_ceil(2));
    assert!(table["stars"].iter().all(|stars| stars == "4"));
    programme.strata(["verify", "store"]).done();
    // What the sites say is part of what the release is known by, and where they lie is not.
    let release = programme.current();
    programme.run().done();
    assert_eq!(programme.current(), release);
    std::fs::rename(programme.path("sites"), programme.path("moved")).unwrap();
    programme.replace("w.toml", "sites/*", "moved/*");
    programme.run().done();
    assert_eq!(programme.current(), release);
    programme.replace("moved/clinvar.vcf", "practice_guideline", "no_assertion_provided");
    programme.run().done();
    let other = programme.current();
    assert_ne!(other, release);
    programme.replace("moved/clinvar.vcf", "no_assertion_provided", "practice_guideline");
    programme.replace("w.toml", "\"ALLELEID\", ", "");
    programme.run().done();
    assert!(![release, other].contains(&programme.current()));
    programme.replace("w.toml", "[\"CLNREVSTAT\"]", "[\"ALLELEID\", \"NONE\"]");
    let said = programme.strata(["validate", "w.toml", "--json"]);
    assert!(said.out.contains("genotype::unknown_info"), "{said:?}");
    joined(&programme, variants);
}

/// Asks DuckDB for the number of the variant that each site is of.
fn joined(programme: &Programme, variants: usize) {
    let python = |code: &str| tool("python3", &["-c", code]);
    let Some(found) =
        python("import importlib.util as u; print(u.find_spec('duckdb') is not None)")
    else {
        return;
    };
    if found.trim() != "True" {
        return println!("skipped: python3 has no duckdb");
    }
    let root = programme.release().join("controlled/genomics/wgs");
    let code = format!(
        "import duckdb\nprint(*duckdb.sql(\"\"\"SELECT count(*), count(a.stars), min(a.stars) \
         FROM read_parquet('{root}/variants/*/*.parquet', hive_partitioning = true) v \
         LEFT JOIN read_parquet('{root}/annotation_clinvar/*/*.parquet', hive_partitioning = true) a \
         USING (chrom, variant_idx) WHERE a.pos IS NULL OR a.pos = v.pos\"\"\").fetchall()[0])",
        root = root.display()
    );
    let answer = python(&code).unwrap();
    assert_eq!(answer.trim(), format!("{variants} {} 4", variants.div_ceil(2)));
}
