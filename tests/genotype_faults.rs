//! Inputs and workflows with a fault that must be said, counted or passed over, each as its rule says.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strata::error::Coded;
use strata::genotype::{Genome, SampleSheet, Selection, sample_names};
use support::{Run, bgzf, everyone, file, request, run};

fn vcf(names: &str, records: &[&str]) -> String {
    let mut text = format!(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{}\n",
        names.replace(' ', "\t")
    );
    for record in records {
        text += &record.replace(' ', "\t");
        text += "\n";
    }
    text
}

const RECORDS: [&str; 3] = [
    "chr1 5 . A G . . . GT 0/1 0/0",
    "chr1 6 . C T . . . GT 1/1 0/1",
    "chrX 3000000 . C T . . . GT 0/1 0/0",
];

struct Made {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn made(records: &[&str]) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", vcf("S1 S2", records).as_bytes());
    Made { dir, path }
}

impl Made {
    fn request(&self) -> strata::genotype::CallsetRequest {
        request(std::slice::from_ref(&self.path), everyone(&self.path, &BTreeMap::new()))
    }
}

fn code(request: &strata::genotype::CallsetRequest) -> (String, String) {
    let error = run(request, 1).err().unwrap();
    (error.code().to_owned(), error.to_string())
}

fn noted(run: &Run, what: &str) -> Option<u64> {
    run.ledger().noted.get(what).copied()
}

#[test]
fn an_exclusion_list_never_fails_in_silence() {
    let made = made(&RECORDS);
    let mut request = made.request();
    // The second record is damaged: what it names would come in.
    let sites = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\
        1\t5\t.\tA\tG\t.\t.\t.\n1\tx6\t.\tC\tT\t.\t.\t.\n";
    request.options.exclude_variants = Some(file(&made.dir, "out.vcf", sites.as_bytes()));
    let (code, said) = code(&request);
    assert_eq!(code, "genotype::list_record");
    assert!(said.contains("out.vcf, line 4"), "{said}");
    // Any usual name and case; one of three is nothing of the callset.
    for list in [&b"1-5-a-g\nNC_000001.11-6-C-t\nchr2-1-A-C\n"[..]] {
        for (name, bytes) in [("list", list.to_vec()), ("list.gz", bgzf(list, 7))] {
            request.options.exclude_variants = Some(file(&made.dir, name, &bytes));
            let done = run(&request, 1).unwrap();
            assert_eq!(done.ledger().excluded["exclusion_list"], 2);
            assert_eq!(noted(&done, "exclusion_unmatched"), Some(1));
        }
    }
}

#[test]
fn a_selection_says_what_it_did_not_find_and_needs_a_condition() {
    let made = made(&RECORDS);
    let mut request = made.request();
    let list = file(&made.dir, "list", b"chr1-5-A-G\nchr1-7-A-G\nchr1-8-A-G\n");
    let some = Selection { sites: Some(list), ..Selection::default() };
    request.options.selections = BTreeMap::from([("some".to_owned(), some)]);
    let done = run(&request, 2).unwrap();
    assert_eq!(noted(&done, "selection_unmatched:some"), Some(2));
    let padded = Selection { padding: 10, ..Selection::default() };
    request.options.selections = BTreeMap::from([("none".to_owned(), padded)]);
    assert_eq!(code(&request).0, "genotype::empty_selection");
}

#[test]
fn a_chromosome_under_any_name_has_its_rules() {
    let [one, two] = ["23", "X"].map(|x| {
        let records = ["NC_000001.11 5 . A G . . . GT 0/1 0/0", "# 3000000 . C T . . . GT 1/1 0/0"];
        let made =
            made(&[records[0], &records[1].replace('#', x), "GL1.1 7 . C T . . . GT 1/1 0/0"]);
        let mut request = made.request();
        for entry in request.samples.included.values_mut() {
            entry.sex = Some(strata::genotype::Sex::Male);
        }
        run(&request, 1).unwrap()
    });
    let t = one.variants();
    assert_eq!(t.ints("n_hemi_alt"), two.variants().ints("n_hemi_alt"));
    assert_eq!(t.ints("n_hemi_alt").iter().sum::<i32>(), 1);
    let vids: Vec<String> = t.texts("vid").into_iter().flatten().collect();
    assert!(
        vids.contains(&"chrX-3000000-C-T".to_owned()) && vids.contains(&"chr1-5-A-G".to_owned())
    );
    assert_eq!(noted(&one, "contig_of_unknown_kind"), Some(1));
    // The accession is GRCh38's.
    let made = made(&["chr1 4 . A G . . . GT 0/1 0/0", "NC_000001.11 5 . A G . . . GT 0/1 0/0"]);
    let mut request = made.request();
    request.genome = Genome::Grch37;
    assert_eq!(run(&request, 1).unwrap().ledger().excluded["bad_record:other_genome"], 1);
}

#[test]
fn a_group_may_not_take_the_name_of_a_column() {
    let made = made(&RECORDS);
    for (groups, want) in [
        (["adj", "eur"], "genotype::reserved_group"),
        (["EUR", "eur"], "genotype::duplicate_column"),
    ] {
        let groups: BTreeMap<String, String> =
            ["S1", "S2"].into_iter().zip(groups).map(|(s, g)| (s.into(), g.into())).collect();
        let request = request(std::slice::from_ref(&made.path), everyone(&made.path, &groups));
        assert_eq!(code(&request).0, want);
    }
}

#[test]
fn a_bad_genotype_of_somebody_who_stays_out_shows_nowhere() {
    for (bad, good) in [("0/x", "0/0"), ("0/9", "0/0"), ("0/x:5", "0/0:5"), ("", "0/0")] {
        let of = |cell: &str| {
            let format = if cell.contains(':') { "GT:DP" } else { "GT" };
            let more = if cell.contains(':') { ":1" } else { "" };
            let made = made(&[&format!("chr1 5 . A G . . . {format} 0/1{more} {cell}")]);
            let mut request = made.request();
            request.samples.included.remove("S2");
            request.samples.exclude_unmapped = true;
            run(&request, 1).unwrap()
        };
        let (bad, good) = (of(bad), of(good));
        assert_eq!(bad.ledger(), good.ledger());
        let tables = |run: &Run| -> Vec<(String, String)> {
            run.digests().into_iter().filter(|(path, _)| path.ends_with(".parquet")).collect()
        };
        assert_eq!(tables(&bad), tables(&good));
    }
}

#[test]
fn messages_of_a_merge_do_not_name_samples() {
    let dir = tempfile::tempdir().unwrap();
    let whole = |name: &str| vcf(name, &["chr1 9 . A G . . . GT 0/1"]);
    let turned = vcf("Bea", &["chr1 9 . A G . . . GT 0/1", "chr1 5 . A G . . . GT 0/1"]);
    let cut = whole("Bea").trim_end().to_owned();
    for (text, want) in [(turned, "genotype::unsorted"), (cut, "genotype::cut_line")] {
        let files = [
            file(&dir, "Ada.vcf", whole("Ada").as_bytes()),
            file(&dir, "Bea.vcf", text.as_bytes()),
        ];
        let mut sheet = everyone(&files[0], &BTreeMap::new());
        let mut other = everyone(&files[1], &BTreeMap::new());
        other.included.values_mut().for_each(|e| e.research_id += 1);
        sheet.included.extend(other.included);
        let (code, said) = code(&request(&files, sheet));
        assert_eq!(code, want);
        assert!(said.contains("part-00001") && !said.contains("Bea"), "{said}");
    }
    let files = [
        file(&dir, "Ada.vcf", whole("Ada").as_bytes()),
        file(&dir, "Bea.vcf", whole("Bea").as_bytes()),
        file(&dir, "Cid.vcf", b"no VCF"),
    ];
    let said = strata::genotype::all_sample_names(&files).unwrap_err().to_string();
    assert!(said.contains("part-00002") && !said.contains("Cid"), "{said}");
}

#[test]
fn a_callset_without_rows_says_why() {
    let made = made(&[
        "chr1 5 . A Q . . . GT 0/1 0/0",
        "chr1 6 . C . . . . GT 0/0 0/0",
        "chr1 7 . A ! . . . GT 0/1 0/0",
    ]);
    let (code, said) = code(&made.request());
    assert_eq!(code, "genotype::no_variants");
    assert!(said.contains("3 alleles") && said.contains("2 of them"), "{said}");
    assert!(said.contains("bad_record:bad_alt"), "{said}");
}

#[test]
fn blank_lines_at_the_end_are_nothing() {
    let text = vcf("S1 S2", &RECORDS);
    let of = |name: &str, text: &str, strict: bool, packed: bool| {
        let dir = tempfile::tempdir().unwrap();
        let bytes = if packed { bgzf(text.as_bytes(), 50) } else { text.as_bytes().to_vec() };
        let path = file(&dir, name, &bytes);
        let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
        request.options.strict = strict;
        run(&request, 2)
    };
    for packed in [false, true] {
        let blank = of("in.vcf", &format!("{text}\n\r\n\n"), true, packed).unwrap();
        assert_eq!(blank.ledger(), of("in.vcf", &text, true, packed).unwrap().ledger());
        // Between records they are what they were.
        let inside = text.replace("chrX", "\n\nchrX");
        let done = of("in.vcf", &format!("{inside}\n"), false, packed).unwrap();
        assert_eq!(done.ledger().excluded["bad_record:column_count"], 2);
        assert_eq!(done.ledger().rows_in, 5);
        let refused = of("in.vcf", &inside, true, packed).err().unwrap();
        assert_eq!(refused.code(), "genotype::rejected");
        assert!(refused.to_string().contains("line 5"), "{refused}");
    }
}

#[test]
fn messages_speak_of_the_file_at_hand() {
    let dir = tempfile::tempdir().unwrap();
    let said = |path: &Path| sample_names(path).unwrap_err().to_string();
    let bed = file(&dir, "x.bed", &[0x6c, 0x1b, 7, 0]);
    assert!(said(&bed).contains("third byte"), "{}", said(&bed));
    let bed = file(&dir, "y.bed", &[0x6c, 0x1b, 1, 0]);
    file(&dir, "y.fam", b"");
    assert!(!said(&bed).contains("header") && said(&bed).contains("no samples"));
}

#[test]
fn entries_of_the_list_of_samples_that_name_nobody_are_noted() {
    let made = made(&RECORDS);
    let mut request = made.request();
    request.samples = SampleSheet { unmatched: 3, ..request.samples };
    assert_eq!(noted(&run(&request, 1).unwrap(), "exclude_samples_unmatched"), Some(3));
}
