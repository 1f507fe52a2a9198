//! The genotype stage on small made files: the call model, the books, bad input, determinism.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use strata::error::Coded;
use strata::genotype::{CallsetRequest, SampleEntry, SampleSheet, Sex, sample_names};
use support::{Run, bgzf, everyone, file, request, run, run_all};

const META: &str = "##fileformat=VCFv4.2\n##FILTER=<ID=q10,Description=\"x\">\n\
    ##INFO=<ID=AF,Number=A,Type=Float,Description=\"a, b\">\n##INFO=<ID=DB,Number=0,Type=Flag,Description=\"x\">\n\
    ##INFO=<ID=AD,Number=R,Type=Integer,Description=\"x\">\n##INFO=<ID=NAMES,Number=.,Type=String,Description=\"x\">\n\
    ##INFO=<ID=GL,Number=G,Type=Float,Description=\"x\">\n";

fn vcf(samples: &[&str], records: &[&str]) -> String {
    let mut text = META.to_owned();
    text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT";
    for s in samples {
        text += "\t";
        text += s;
    }
    text += "\n";
    for r in records {
        text += &r.replace(' ', "\t");
        text += "\n";
    }
    text
}

fn sheet(names: &[(&str, i64, Option<Sex>)]) -> SampleSheet {
    let entry = |&(name, research_id, sex): &(&str, i64, Option<Sex>)| {
        (name.to_owned(), SampleEntry { research_id, sex, ..SampleEntry::default() })
    };
    SampleSheet { included: names.iter().map(entry).collect(), ..SampleSheet::default() }
}

fn ingest_text(text: &str, samples: Option<SampleSheet>) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let samples = samples.unwrap_or_else(|| everyone(&path, &BTreeMap::new()));
    run(&request(&[path], samples), 2).unwrap()
}

fn ingest_error(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf.gz", bytes);
    match sample_names(&path) {
        Err(e) => e.code().to_owned(),
        Ok(_) => {
            let sheet = everyone(&path, &BTreeMap::new());
            run(&request(&[path], sheet), 2).err().expect("must fail").code().to_owned()
        }
    }
}

#[test]
fn call_model() {
    let names = ["S1", "S2", "S3", "S4", "S5", "S6"];
    let run = ingest_text(
        &vcf(
            &names,
            &[
                "20 10 rs1 A G 50 PASS . GT 0|1 1|1 0|0 ./. ./1 1|0",
                "20 20 . A C,T . . . GT 1|2 2/1 0/2 . 0/0 2|2",
                "20 30 a;b C *,G . q10;q20 . GT:DP 0/1:1 1/1:2 0/2:3 2/2:4 0/0 ./.",
                "X 40 . C G . . . GT 0 1 0/1 1/1 . 0/0/1",
            ],
        ),
        None,
    );
    let t = run.variants();
    assert_eq!(
        t.texts("vid").into_iter().flatten().collect::<Vec<_>>(),
        ["chr20-10-A-G", "chr20-20-A-C", "chr20-20-A-T", "chr20-30-C-G", "chrX-40-C-G"]
    );
    assert_eq!(t.ints("variant_idx"), [0, 1, 2, 3, 0]);
    assert_eq!(t.ints("n_called"), [4, 5, 5, 5, 4]);
    assert_eq!(t.ints("n_missing"), [2, 1, 1, 1, 2]);
    assert_eq!(t.ints("n_half"), [1, 0, 0, 0, 0]);
    assert_eq!(t.ints("n_het"), [2, 2, 3, 1, 1]);
    assert_eq!(t.ints("n_hom_alt"), [1, 0, 1, 1, 1]);
    assert_eq!(t.ints("n_hom_ref"), [1, 3, 1, 3, 0]);
    assert_eq!(t.ints("n_hemi_ref"), [0, 0, 0, 0, 1]);
    assert_eq!(t.ints("n_hemi_alt"), [0, 0, 0, 0, 1]);
    assert_eq!(t.ints("ac"), [4, 2, 5, 3, 4]);
    assert_eq!(t.ints("an"), [8, 10, 10, 10, 6]);
    assert_eq!(t.texts("rsid"), [Some("rs1".into()), None, None, Some("a;b".into()), None]);
    assert_eq!(t.ints("allele_index"), [1, 1, 2, 2, 1]);
    // Research ids run backwards, so sample_idx 0 is S6.
    let g = run.table("/genotypes/");
    let plane = |name: &str, row: usize| g.bytes(name)[row].as_ref().map(|b| b[0]);
    assert_eq!(plane("het", 0), Some(0b10_0111)); // S1, S6; both planes: S4, S5
    assert_eq!(plane("hom_alt", 0), Some(0b01_0110));
    assert_eq!(plane("phase", 0), Some(0b10_0000)); // S1 is 0|1, S6 is 1|0
    assert_eq!(plane("phase", 1), Some(0)); // 1|2 reads 1|0 for the first ALT, 2/1 has no phase
    assert_eq!(plane("phase", 2), Some(0b10_0000)); // and 0|1 for the second
    assert_eq!(plane("phase", 3), None);
    let c = run.table("/carriers/chrom=chr20");
    let first: Vec<(i32, i32)> =
        c.ints("variant_idx").into_iter().zip(c.ints("sample_idx")).filter(|r| r.0 == 0).collect();
    assert_eq!(first, [(0, 0), (0, 1), (0, 2), (0, 4), (0, 5)]);
    let gts = c.texts("gt");
    assert_eq!(gts[..5].iter().flatten().collect::<Vec<_>>(), ["1", "4", "5", "2", "1"]);
    assert_eq!(
        c.texts("phased")[..5],
        [Some("true".into()), None, None, Some("true".into()), Some("true".into())]
    );
    let ledger = run.ledger();
    assert_eq!((ledger.rows_in, ledger.rows_out), (6, 5));
    assert_eq!(ledger.excluded["star_allele"], 1);
    assert_eq!(ledger.noted["half_call"], 1);
    assert_eq!(ledger.noted["unsupported_ploidy"], 1);
    assert!(!run.digests().iter().any(|(p, _)| p.contains("S1")));
}

#[test]
fn female_samples_are_not_expected_on_y() {
    let text = vcf(
        &["F1", "F2", "M1", "M2"],
        &["Y 5000000 . A G . . . GT 0/0 1/1 1 .", "Y 20000 . A G . . . GT 0/1 0/0 0/0 1/1"],
    );
    let mut lines: Vec<&str> = text.lines().collect();
    let n = lines.len();
    lines.swap(n - 1, n - 2);
    let text = lines.join("\n") + "\n";
    let people = sheet(&[
        ("F1", 4, Some(Sex::Female)),
        ("F2", 3, Some(Sex::Female)),
        ("M1", 2, Some(Sex::Male)),
        ("M2", 1, None),
    ]);
    let run = ingest_text(&text, Some(people));
    let t = run.variants();
    assert_eq!(t.ints("pos"), [20_000, 5_000_000]);
    assert_eq!(t.ints("n_called"), [4, 1]); // the first lies in PAR1
    assert_eq!(t.ints("n_missing"), [0, 1]);
    assert_eq!((t.ints("ac")[1], t.ints("an")[1]), (1, 1));
    let s = run.table("/samples/");
    assert_eq!(s.floats("call_rate"), [Some(0.5), Some(1.0), Some(1.0), Some(1.0)]);
    assert_eq!(run.table("/carriers/").ints("sample_idx"), [0, 3, 0, 1]);
}

#[test]
fn split_rows_are_trimmed_sorted_and_unique() {
    let run = ingest_text(
        &vcf(
            &["A"],
            &[
                "1 100 . CTTT C,CTT,CTTTT . . . GT 1/2",
                "1 100 . CAAAAAAAAG CAAAAAAAAT,<DEL> . . END=300 GT 0/1",
                "1 101 . A A . . . GT 0/0",
                "1 105 . A G . . . GT 0/1",
                "1 109 . G T . . . GT 0/1",
                "1 109 . g t,<NON_REF>,. . . . GT 0/1",
                "1 109 . g <NON_REF> . . . GT 0/1",
                "1 110 . G . . . . GT 0/0",
            ],
        ),
        None,
    );
    let t = run.variants();
    let vids: Vec<String> = t.texts("vid").into_iter().flatten().collect();
    assert_eq!(
        vids,
        [
            "chr1-100-C-CT",
            "chr1-100-CAAAAAAAAG-<DEL>-300",
            "chr1-100-CT-C",
            "chr1-100-CTTT-C",
            "chr1-105-A-G",
            "chr1-109-G-T"
        ]
    );
    assert_eq!(t.ints("orig_pos"), [100, 100, 100, 100, 105, 100]);
    assert_eq!(t.ints("end")[1], 300);
    let kinds: Vec<String> = t.texts("variant_type").into_iter().flatten().collect();
    assert_eq!(kinds, ["insertion", "symbolic", "deletion", "deletion", "snv", "snv"]);
    let ledger = run.ledger();
    assert_eq!(ledger.excluded["duplicate_variant"], 1);
    assert_eq!(ledger.excluded["bad_record:bad_alt"], 3);
    assert_eq!(ledger.excluded["bad_record:alt_is_ref"], 1);
    assert_eq!(ledger.excluded["reference_block"], 1);
    assert_eq!(ledger.excluded["no_alt"], 1);
    let header = META.lines().count() as i64 + 1;
    let rejects = run.table("quality/rejects");
    assert_eq!(rejects.longs("line"), [header + 3, header + 5, header + 6]);
}

#[test]
fn bad_records_keep_their_line_numbers() {
    let mut records = vec!["2 5 . A G . . . GT 0/0 0/1".to_owned(); 3];
    let bad = [
        ("2 x . A G . . . GT 0/0 0/1", "bad_pos"),
        ("2 0 . A G . . . GT 0/0 0/1", "bad_pos"),
        ("2 6 . Q G . . . GT 0/0 0/1", "bad_ref"),
        ("2 6 . A G;C . . . GT 0/0 0/1", "bad_alt"),
        ("2 6 . A G x . . GT 0/0 0/1", "bad_qual"),
        ("2 6 . A G . . . GT 0/0", "column_count"),
        ("2 6 . A G . . . GT 0/0 0/1 0/1", "column_count"),
        ("2 6 . A G . . . GT 0/0 0/2", "gt_allele_out_of_range"),
        ("2 6 . A G . . . GT 0/0 a/1", "gt_unparsable"),
        ("2 6 . A G . . . DP:GT 1:0/0 1:0/1", "gt_not_first"),
        ("../x 6 . A G . . . GT 0/0 0/1", "bad_contig"),
        ("2", "column_count"),
    ];
    for (i, (line, _)) in bad.iter().enumerate() {
        records.push((*line).to_owned());
        records.push(format!("2 {} . A G . . . GT 0/0 0/1", 10 + i));
    }
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let text = vcf(&["A", "B"], &records);
    let header = META.lines().count() as i64 + 1;
    let dir = tempfile::tempdir().unwrap();
    let plain = file(&dir, "in.vcf", text.as_bytes());
    let packed = file(&dir, "in.vcf.gz", &bgzf(text.as_bytes(), 37));
    for path in [plain, packed] {
        let run = run_all(&path);
        let rejects = run.table("quality/rejects");
        let got: Vec<(i64, String)> = rejects
            .longs("line")
            .into_iter()
            .zip(rejects.texts("reason").into_iter().flatten())
            .collect();
        let mut want: Vec<(i64, String)> = vec![
            (header + 2, "duplicate_variant".into()),
            (header + 3, "duplicate_variant".into()),
        ];
        want.extend(
            bad.iter().enumerate().map(|(i, (_, r))| (header + 4 + 2 * i as i64, (*r).to_owned())),
        );
        assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), want.into_iter().collect());
        assert_eq!(run.variants().len(), 1 + bad.len());
        assert_eq!(run.ledger().rows_in, 3 + 2 * bad.len() as u64);
    }
}

#[test]
fn bad_input_has_a_code() {
    let good = vcf(&["A", "B"], &["1 5 . A G . . . GT 0/0 0/1"]);
    let body = good.replace("\tA\tB\n", "\n").replace("\tFORMAT", "");
    for (bytes, code) in [
        (b"".to_vec(), "genotype::unknown_format"),
        (b"PK\x03\x04 something".to_vec(), "genotype::unknown_format"),
        (b"BZh91AY&SY".to_vec(), "genotype::unknown_format"),
        (body.into_bytes(), "genotype::no_samples"),
        (good.replace("\tA\tB\n", "\tA\tA\n").into_bytes(), "genotype::duplicate_sample"),
        (good.replace("##fileformat=VCF", "##file=VCF").into_bytes(), "genotype::header"),
        (good.trim_end().as_bytes().to_vec(), "genotype::cut_line"),
        (bgzf(good.trim_end().as_bytes(), 50), "genotype::cut_line"),
        (
            vcf(&["A"], &["1 5 . A G . . . GT 0/0", "1 4 . A G . . . GT 0/0"]).into_bytes(),
            "genotype::unsorted",
        ),
        (
            vcf(
                &["A"],
                &["1 5 . A G . . . GT 0/0", "2 4 . A G . . . GT 0/0", "chr1 6 . A G . . . GT 0/0"],
            )
            .into_bytes(),
            "genotype::unsorted",
        ),
    ] {
        assert_eq!(ingest_error(&bytes), code);
    }
    let mut flipped = bgzf(good.as_bytes(), 50);
    let at = flipped.len() - 28 - 6; // inside the CRC of the last block of text
    flipped[at] ^= 1;
    assert_eq!(ingest_error(&flipped), "genotype::bgzf_damaged");
}

#[test]
fn samples_must_match_the_sheet() {
    let text = vcf(&["A", "B", "C"], &["1 5 . A G . . . GT 0/1 0/0 1/1"]);
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let code =
        |s: SampleSheet| run(&request(std::slice::from_ref(&path), s), 1).err().map(|e| e.code());
    assert_eq!(code(sheet(&[("A", 1, None)])), Some("genotype::unmapped_sample"));
    let all = [("A", 1, None), ("B", 2, None), ("C", 2, None)];
    assert_eq!(code(sheet(&all)), Some("genotype::duplicate_person"));
    let mut nobody = SampleSheet { exclude_unmapped: true, ..SampleSheet::default() };
    assert_eq!(code(nobody.clone()), Some("genotype::nobody_included"));
    nobody.included = sheet(&[("C", 9, None), ("A", 8, None)]).included;
    nobody.excluded = BTreeMap::from([("C".to_owned(), "withdrawn".to_owned())]);
    let run = run(&request(&[path], nobody), 1).unwrap();
    assert_eq!(run.table("/samples/").longs("person_id"), [8]);
    assert_eq!(run.ledger().noted["sample_excluded:withdrawn"], 1);
    assert_eq!(run.ledger().noted["sample_excluded:unmapped_sample"], 1);
    assert_eq!(run.variants().ints("an"), [2]);
}

#[test]
fn info_fields_are_typed_and_picked_by_allele() {
    use arrow::array::AsArray;
    let text = vcf(
        &["A"],
        &[
            "1 5 . A G,T . PASS AF=0.25,0.5;AD=9,2,3;DB;NAMES=x,y;GL=0,1,2,3,4,5 GT 1/2",
            "1 6 . A G . . AF=.;AD=1;GL=1,2 GT 0/1",
        ],
    );
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let mut req = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
    req.info = ["AF", "AD", "DB", "NAMES", "GL"].map(str::to_owned).to_vec();
    let done = run(&req, 1).unwrap();
    let t = done.variants();
    let info = t.column("info").as_struct();
    let af: Vec<Option<f32>> =
        info.column(0).as_primitive::<arrow::datatypes::Float32Type>().iter().collect();
    assert_eq!(af, [Some(0.25), Some(0.5), None]);
    let ad: Vec<Option<i32>> =
        info.column(1).as_primitive::<arrow::datatypes::Int32Type>().iter().collect();
    assert_eq!(ad, [Some(2), Some(3), None]);
    assert_eq!(
        info.column(2).as_boolean().iter().collect::<Vec<_>>(),
        [Some(true), Some(true), Some(false)]
    );
    assert_eq!(info.column(3).as_list::<i32>().value_length(0), 2);
    // 0/0, 0/a and a/a.
    let gl = info.column(4).as_list::<i32>();
    let values =
        |i: usize| gl.value(i).as_primitive::<arrow::datatypes::Float32Type>().values().to_vec();
    assert_eq!((values(0), values(1)), (vec![0.0, 1.0, 2.0], vec![0.0, 3.0, 5.0]));
    assert!(arrow::array::Array::is_null(gl, 2));
    assert_eq!(done.ledger().noted["info_field_wrong_count:GL"], 1);
    assert_eq!(done.ledger().noted["info_field_wrong_count:AD"], 1);
    assert!(!done.ledger().noted.contains_key("info_field_wrong_count:AF"));
    req.info = vec!["NOPE".into()];
    assert_eq!(run(&req, 1).err().unwrap().code(), "genotype::unknown_info");
}

#[test]
fn symbolic_alleles_of_different_extent_are_different_variants() {
    let run = ingest_text(
        &vcf(
            &["A"],
            &[
                "1 100 . N <DEL> . . END=900 GT 0/1",
                "1 100 . N <DEL> . . SVTYPE=DEL;END=300 GT 1/1",
                "1 100 . N <DEL> . . END=300 GT 0/0",
                "1 100 . N <DEL> . . SVLEN=-200 GT 0/1",
                "1 100 . N <INS> . . END=100;SVLEN=50 GT 0/1",
                "1 100 . N <INS> . . END=100;SVLEN=70 GT 0/1",
                "1 100 . N <DEL>,<DUP> . . END=600;SVLEN=250,500 GT 1/2",
                "1 100 . N N]2:50] . . . GT 0/1",
            ],
        ),
        None,
    );
    let t = run.variants();
    assert_eq!(
        t.texts("vid").into_iter().flatten().collect::<Vec<_>>(),
        [
            "chr1-100-N-<DEL>-300",
            "chr1-100-N-<DEL>-350",
            "chr1-100-N-<DEL>-900",
            "chr1-100-N-<DUP>-600",
            "chr1-100-N-<INS>-50",
            "chr1-100-N-<INS>-70",
            "chr1-100-N-N]2:50]-100",
        ]
    );
    assert_eq!(t.ints("end"), [300, 350, 900, 600, 100, 100, 100]);
    assert_eq!(t.ints("ac"), [2, 1, 1, 1, 1, 1, 1]); // the first of equals is kept
    assert_eq!(run.ledger().excluded["duplicate_variant"], 2);
}

/// The file a caller would have written had the samples `out` never been there: without their columns,
/// without the ALTs that only they carry, and with alleles trimmed where an ALT went.
fn without(text: &str, out: &BTreeSet<String>) -> String {
    let header = text.lines().find(|l| l.starts_with("#CHROM")).unwrap();
    let gone: Vec<bool> = header.split('\t').map(|f| out.contains(f)).collect();
    let mut records: Vec<(usize, i64, String)> = Vec::new();
    let mut head = String::new();
    for line in text.lines() {
        let kept = line.split('\t').zip(&gone).filter(|(_, gone)| !**gone).map(|(f, _)| f);
        let mut f: Vec<String> = kept.map(str::to_owned).collect();
        if line.starts_with('#') {
            head += &if line.starts_with("##") { line.to_owned() } else { f.join("\t") };
            head += "\n";
            continue;
        }
        if f.len() < 10 {
            continue;
        }
        let named = |gt: &String, k: usize| {
            let gt = gt.split(':').next().unwrap();
            gt.split(['/', '|']).any(|a| a == (k + 1).to_string())
        };
        let alts: Vec<String> = f[4].split(',').map(str::to_owned).collect();
        let keep: Vec<usize> =
            (0..alts.len()).filter(|&k| f[9..].iter().any(|gt| named(gt, k))).collect();
        if keep.is_empty() {
            continue;
        }
        if keep.len() < alts.len() {
            let mut texts: Vec<String> = vec![f[3].clone()];
            texts.extend(keep.iter().map(|&k| alts[k].clone()));
            let plain = |t: &String| t != "*";
            let mut cut = |last: bool| loop {
                let bases = || texts.iter().filter(|t| plain(t));
                let end = |t: &String| if last { t.chars().last() } else { t.chars().next() };
                if bases().count() < 2 || bases().any(|t| t.len() < 2 || end(t) != end(&texts[0])) {
                    break;
                }
                for t in texts.iter_mut().filter(|t| plain(t)) {
                    if last {
                        t.pop();
                    } else {
                        t.remove(0);
                    }
                }
                if !last {
                    f[1] = (f[1].parse::<i64>().unwrap() + 1).to_string();
                }
            };
            cut(true);
            cut(false);
            f[3] = texts[0].clone();
            f[4] = texts[1..].join(",");
            for cell in &mut f[9..] {
                let (gt, rest) = cell.split_at(cell.find(':').unwrap_or(cell.len()));
                let new: String = gt
                    .split_inclusive(['/', '|'])
                    .map(|part| {
                        let (a, sep) = part.split_at(part.find(['/', '|']).unwrap_or(part.len()));
                        let new = a.parse::<usize>().map_or(a.to_owned(), |a| {
                            keep.iter().position(|k| k + 1 == a).map_or(0, |k| k + 1).to_string()
                        });
                        new + sep
                    })
                    .collect();
                *cell = new + rest;
            }
        }
        let chrom = f[0].parse().unwrap();
        records.push((chrom, f[1].parse().unwrap(), f.join("\t") + "\n"));
    }
    records.sort_by_key(|(chrom, pos, _)| (*chrom, *pos));
    head + &records.into_iter().map(|(_, _, line)| line).collect::<String>()
}

/// Table files, rejects aside, with their digests.
fn tables(run: &Run) -> Vec<(String, String)> {
    run.digests().into_iter().filter(|(path, _)| !path.starts_with("quality")).collect()
}

/// Ingests `text` with the samples `out` left out, and the same file without them; gives both.
fn left_out_and_absent(text: &str, out: &[&str]) -> (Run, Run) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "with.vcf", text.as_bytes());
    let gone: BTreeSet<String> = out.iter().map(|&s| s.to_owned()).collect();
    let groups = (0..40).map(|i| (format!("S{i}"), ["eur", "afr"][i % 2].to_owned())).collect();
    let mut people = everyone(&path, &groups);
    people.included.retain(|name, _| !gone.contains(name));
    let all = people.clone();
    for (i, name) in gone.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
        people.excluded.insert(name.clone(), ["withdrawn", "no_consent"][i % 2].to_owned());
    }
    people.exclude_unmapped = true;
    let absent = file(&dir, "without.vcf", without(text, &gone).as_bytes());
    (run(&request(&[path], people), 2).unwrap(), run(&request(&[absent], all), 2).unwrap())
}

#[test]
fn a_left_out_sample_leaves_no_trace() {
    let text = vcf(
        &["S0", "S1", "S2"],
        &[
            "1 10 rs1 A G . PASS . GT 0/1 0/0 0/0", // nothing left out
            "1 20 . A G . PASS . GT 0/0 0/1 0/0",   // private
            "1 30 rs5 CTTT C,CTT,CTTTT . PASS . GT 0/2 1/1 3/0", // the longest REF was only his
            "1 40 rs7 ACT TCT,ACG . PASS . GT 0/2 0/1 2|2", // trimmed at the front
            "1 42 . T G . PASS . GT 0/1 0/0 1/1",   // the same variant again
            "1 50 . G *,GA . PASS . GT 0/2 1/1 0/0", // a star of his own
            "1 60 . G T . PASS . GT ./1 0/0 ./.",   // half call of one who is in
            "1 70 . G T . PASS . GT 0/0 ./1 ./.",   // half call of one who is not
            "1 80 . C <DEL>,<DUP> . PASS . GT 0/2 1/0 0/0",
            "2 10 . C A,T . PASS . GT 0/0 1/2 0/0",
            "3 10 . C A . PASS . GT 0/0 0/0 0/0",
        ],
    );
    let (left_out, absent) = left_out_and_absent(&text, &["S1"]);
    assert_eq!(tables(&left_out), tables(&absent));
    let t = left_out.variants();
    assert_eq!(
        t.texts("vid").into_iter().flatten().collect::<Vec<_>>(),
        [
            "chr1-10-A-G",
            "chr1-30-C-CT",
            "chr1-30-CT-C",
            "chr1-42-T-G",
            "chr1-50-G-GA",
            "chr1-60-G-T",
            "chr1-80-C-<DUP>-80"
        ]
    );
    assert_eq!(t.ints("allele_index"), [1, 2, 1, 1, 1, 1, 1]);
    assert_eq!(t.ints("orig_pos"), [10, 30, 30, 42, 50, 60, 80]);
    let column = |name: &str| t.texts(name).into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(column("orig_alt"), ["G", "C,CTT", "C,CTT", "G", "GA", "T", "<DUP>"]);
    assert_eq!(column("orig_ref"), ["A", "CT", "CT", "T", "G", "G", "C"]);
    assert_eq!(column("was_split"), ["false", "true", "true", "false", "false", "false", "false"]);
    let ledger = left_out.ledger();
    assert_eq!(ledger.excluded["no_carrier"], 9);
    assert!(!ledger.excluded.contains_key("star_allele"));
    // With everybody in, rows that nobody carries stay.
    let all = ingest_text(&text, None);
    assert!(!all.ledger().excluded.contains_key("no_carrier"));
    assert_eq!(all.table("/variants/chrom=chr3/").ints("ac"), [0]);
}

#[test]
fn an_id_that_may_name_a_dropped_allele_is_withheld() {
    let text = vcf(
        &["S0", "S1"],
        &[
            "1 10 rs1;rs2 A G,T . . . GT 0/1 0/2",
            "1 20 rs3 A G,T . . . GT 0/1 0/2",
            "1 30 1:30:A:G a G . . . GT 0/1 0/0",
        ],
    );
    let mut people = sheet(&[("S0", 1, None)]);
    people.exclude_unmapped = true;
    let run = ingest_text(&text, Some(people));
    assert_eq!(
        run.variants().texts("rsid"),
        [None, Some("rs3".to_owned()), Some("1:30:A:G".to_owned())]
    );
    assert_eq!(run.ledger().noted["id_withheld"], 1);
}

#[test]
fn info_that_counts_left_out_samples_is_withheld() {
    use arrow::array::{Array, AsArray};
    let text = vcf(
        &["S0", "S1"],
        &[
            "1 5 . A G,T . . AF=0.25,0.5;AD=9,2,3;DB;NAMES=x,y;MQ=60;LOD=1.5,2.5;QS=1,2,3 GT 1/1 0/2",
            "1 6 . A G . . AF=0.5;MQ=50;LOD=3.5;QS=4,5 GT 0/1 0/1",
        ],
    )
    .replace(
        "#CHROM",
        "##INFO=<ID=MQ,Number=1,Type=Integer,Description=\"x\">\n\
         ##INFO=<ID=LOD,Number=A,Type=Float,Description=\"x\">\n\
         ##INFO=<ID=QS,Number=.,Type=Integer,Description=\"x\">\n#CHROM",
    );
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let mut people = sheet(&[("S0", 1, None)]);
    people.exclude_unmapped = true;
    let mut req = request(std::slice::from_ref(&path), people);
    req.info = ["AF", "AD", "DB", "NAMES", "MQ", "LOD", "QS"].map(str::to_owned).to_vec();
    let done = run(&req, 1).unwrap();
    let t = done.variants();
    assert_eq!(t.ints("pos"), [5, 6]);
    let info = t.column("info").as_struct();
    let nulls: Vec<usize> = info.columns().iter().map(|c| c.null_count()).collect();
    assert_eq!(nulls, [2, 2, 0, 2, 0, 0, 1]);
    let lod = info.column(5).as_primitive::<arrow::datatypes::Float32Type>();
    assert_eq!(lod.values().to_vec(), [1.5, 3.5]); // the allele's own, by its place in the file
    let noted = |f: &str| done.ledger().noted.get(&format!("info_withheld:{f}")).copied();
    assert_eq!(
        ["AF", "AD", "NAMES", "QS", "MQ", "LOD", "DB"].map(noted),
        [Some(2), Some(2), Some(2), Some(1), None, None, None]
    );
    // With everybody in nothing is withheld.
    req.samples = everyone(&path, &BTreeMap::new());
    let done = run(&req, 1).unwrap();
    assert!(!done.ledger().noted.keys().any(|k| k.starts_with("info_withheld")));
    let t = done.variants();
    assert_eq!(t.column("info").as_struct().column(0).null_count(), 0);
}

/// A file with every sort of record, `records` of them, from a fixed recurrence.
fn mixture(records: usize, samples: usize, seed: u64) -> String {
    let mut state = seed;
    let mut next = move |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let names: Vec<String> = (0..samples).map(|i| format!("S{i}")).collect();
    let mut lines = Vec::new();
    let (mut chrom, mut pos) = (1, 100);
    for _ in 0..records {
        if next(60) == 0 {
            (chrom, pos) = (chrom + 1, 100);
        }
        pos += next(4);
        let (r, a) = [
            ("A", "G"),
            ("C", "T,G"),
            ("CTT", "C,CT"),
            ("AAAAAG", "AAAAAT"),
            ("G", "*,GA"),
            ("T", "C"),
        ][next(6) as usize];
        let alleles = a.split(',').count() as u64 + 1;
        let extra = next(3) == 0;
        let mut line =
            format!("{chrom} {pos} . {r} {a} . PASS . GT{}", if extra { ":DP" } else { "" });
        let sep = if next(2) == 0 { '|' } else { '/' };
        for _ in 0..samples {
            let gt = match next(20) {
                0 => ".".to_owned(),
                1 => format!(".{sep}{}", next(alleles)),
                2 => next(alleles).to_string(),
                3..=6 => format!("{}{sep}{}", next(alleles), next(alleles)),
                _ => format!("0{sep}0"),
            };
            line += &format!(" {gt}{}", if extra { ":7" } else { "" });
        }
        lines.push(if next(50) == 0 { "broken".to_owned() } else { line });
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    vcf(&names, &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn digests(path: &PathBuf, threads: usize) -> Vec<(String, String)> {
    let groups = (0..40).map(|i| (format!("S{i}"), ["eur", "afr"][i % 2].to_owned())).collect();
    run(&request(std::slice::from_ref(path), everyone(path, &groups)), threads).unwrap().digests()
}

#[test]
fn bytes_do_not_depend_on_threads_or_compression() {
    let text = mixture(3000, 33, 5);
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.join("in.vcf")
    };
    let plain = folder("plain");
    std::fs::write(&plain, &text).unwrap();
    let packed = folder("packed");
    std::fs::write(&packed, bgzf(text.as_bytes(), 700)).unwrap();
    let gzip = folder("gzip");
    let mut encoder = flate2::write::GzEncoder::new(
        std::fs::File::create(&gzip).unwrap(),
        flate2::Compression::fast(),
    );
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
    // Rejects of BGZF have virtual offsets, which other files have not.
    let tables = |mut all: Vec<(String, String)>| {
        all.retain(|(path, _)| !path.starts_with("quality/rejects/"));
        all
    };
    let want = tables(digests(&plain, 1));
    for path in [&plain, &packed, &gzip] {
        let one = digests(path, 1);
        assert_eq!(digests(path, 3), one, "{}", path.display());
        assert_eq!(tables(one), want, "{}", path.display());
    }
    assert_eq!(digests(&plain, 1), digests(&gzip, 1));
}

#[test]
fn files_of_a_callset_in_any_order() {
    let text = mixture(1500, 8, 11);
    let (head, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with('#'));
    let dir = tempfile::tempdir().unwrap();
    let cut = |range: &[&str]| format!("{}\n{}\n", head.join("\n"), range.join("\n"));
    let whole = file(&dir, "whole.vcf", text.as_bytes());
    let files: Vec<PathBuf> = body
        .chunks(400)
        .enumerate()
        .map(|(i, part)| file(&dir, &format!("{}.vcf", 9 - i), cut(part).as_bytes()))
        .collect();
    let run_files = |files: &[PathBuf]| {
        let run = run(&request(files, everyone(&whole, &BTreeMap::new())), 2).unwrap();
        (run.digests(), run.ledger().clone())
    };
    let (forward, ledger) = run_files(&files);
    let mut backward = files.clone();
    backward.reverse();
    assert_eq!(run_files(&backward).0, forward);
    let (one, whole_ledger) = run_files(std::slice::from_ref(&whole));
    let tables = |d: &[(String, String)]| -> Vec<(String, String)> {
        d.iter().filter(|(p, _)| !p.starts_with("quality")).cloned().collect()
    };
    assert_eq!(tables(&one), tables(&forward));
    assert_eq!(ledger, whole_ledger);
    let other = file(&dir, "other.vcf", mixture(5, 7, 1).as_bytes());
    let mixed = request(&[files[0].clone(), other], everyone(&files[0], &BTreeMap::new()));
    assert_eq!(run(&mixed, 1).err().unwrap().code(), "genotype::different_samples");
}

#[test]
fn a_cut_bgzf_is_never_accepted() {
    let packed = bgzf(mixture(60, 5, 3).as_bytes(), 900);
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf.gz", &packed);
    let people = everyone(&path, &BTreeMap::new());
    assert!(run(&request(std::slice::from_ref(&path), people.clone()), 1).is_ok());
    for n in 0..packed.len() {
        std::fs::write(&path, &packed[..n]).unwrap();
        let error = sample_names(&path).expect_err("a cut file");
        assert!(
            ["genotype::bgzf_truncated", "genotype::gzip", "genotype::unknown_format"]
                .contains(&error.code()),
            "{} at {n}",
            error.code()
        );
        let req: CallsetRequest = request(std::slice::from_ref(&path), people.clone());
        assert!(
            strata::genotype::ingest(&req, &strata::engine::Job::quiet(dir.path().join("out"), 1))
                .is_err()
        );
    }
    // Trailing bytes that are no block are not accepted, another whole BGZF is.
    std::fs::write(&path, [&packed[..], b"x"].concat()).unwrap();
    assert!(sample_names(&path).is_err());
    let more = bgzf(b"90\t5\t.\tA\tG\t.\t.\t.\tGT\t0/1\t0/0\t0/0\t0/0\t0/0\n", 20);
    std::fs::write(&path, [&packed[..], &more[..]].concat()).unwrap();
    let run = run_all(&path);
    assert!(run.digests().iter().any(|(p, _)| p.contains("/chrom=90/")));
}

/// Rows as the definitions say, without any of the program's ways.
type Naive = BTreeMap<(String, i32, String, String), [i32; 5]>;

fn naive(text: &str) -> Naive {
    let mut rows = Naive::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && *l != "broken") {
        let f: Vec<&str> = line.split('\t').collect();
        for (k, alt) in f[4].split(',').enumerate().filter(|(_, a)| *a != "*") {
            let (mut r, mut a) = (f[3].to_owned(), alt.to_owned());
            let mut pos: i32 = f[1].parse().unwrap();
            while r.len() > 1 && a.len() > 1 && r.chars().last() == a.chars().last() {
                r.pop();
                a.pop();
            }
            while r.len() > 1 && a.len() > 1 && r.chars().next() == a.chars().next() {
                r.remove(0);
                a.remove(0);
                pos += 1;
            }
            let mut c = [0; 5]; // ac, an, het, missing, half
            for cell in &f[9..] {
                let gt: Vec<&str> = cell.split(':').next().unwrap().split(['/', '|']).collect();
                let missing = gt.iter().filter(|g| **g == ".").count();
                if missing > 0 {
                    c[3] += 1;
                    c[4] += i32::from(missing < gt.len());
                    continue;
                }
                let mine =
                    gt.iter().filter(|g| g.parse::<usize>().unwrap() == k + 1).count() as i32;
                c[0] += mine;
                c[1] += gt.len() as i32;
                c[2] += i32::from(gt.len() == 2 && mine == 1);
            }
            rows.entry((format!("chr{}", f[0]), pos, r, a)).or_insert(c);
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn counts_equal_the_naive_ones(seed in any::<u64>(), samples in 1usize..70, block in 60usize..3000) {
        let text = mixture(220, samples, seed);
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, "in.vcf.gz", &bgzf(text.as_bytes(), block));
        let done = run_all(&path);
        let mut want: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for ((chrom, pos, r, a), c) in naive(&text) {
            want.entry(chrom).or_default().push((pos, r, a, c));
        }
        for (chrom, rows) in want {
            let t = done.table(&format!("/variants/chrom={chrom}/"));
            let (refs, alts) = (t.texts("ref"), t.texts("alt"));
            let columns: Vec<Vec<i32>> =
                ["ac", "an", "n_het", "n_missing", "n_half"].iter().map(|n| t.ints(n)).collect();
            let got: Vec<_> = (0..t.len())
                .map(|i| {
                    let c: [i32; 5] = std::array::from_fn(|k| columns[k][i]);
                    (t.ints("pos")[i], refs[i].clone().unwrap(), alts[i].clone().unwrap(), c)
                })
                .collect();
            prop_assert_eq!(got, rows);
            prop_assert_eq!(t.ints("variant_idx"), (0..t.len() as i32).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whoever is left out, the tables are those of a file without them.
    #[test]
    fn left_out_samples_leave_no_trace(seed in any::<u64>(), samples in 2usize..9, out in 1usize..4) {
        let names: Vec<String> = (0..out.min(samples - 1)).map(|i| format!("S{}", i * 2 % samples)).collect();
        let out: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let out: Vec<&str> = out.into_iter().collect();
        let (left_out, absent) = left_out_and_absent(&mixture(200, samples, seed), &out);
        prop_assert_eq!(tables(&left_out), tables(&absent));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the bytes are, the answer is tables whose books balance or a typed error.
    #[test]
    fn damaged_text_never_panics(
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just(b'\t'), Just(b'\n'), Just(b'.'), Just(b','), Just(b'0'), Just(b'9'), Just(b':'), Just(b'<'),
            Just(0u8), Just(0xffu8), any::<u8>()
        ]), 1..12),
        compressed in any::<bool>(),
    ) {
        let mut text = mixture(30, 4, seed).into_bytes();
        for (at, byte) in edits {
            let i = at.index(text.len());
            text[i] = byte;
        }
        let bytes = if compressed { bgzf(&text, 300) } else { text };
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, "in.vcf", &bytes);
        let people = SampleSheet {
            exclude_unmapped: true,
            ..sheet(&[("S0", 1, None), ("S1", 2, Some(Sex::Female)), ("S2", 3, None), ("S3", 4, None)])
        };
        if let Err(e) = run(&request(&[path], people), 2) {
            prop_assert!(!e.is_unexpected(), "{e}");
        }
    }
}
