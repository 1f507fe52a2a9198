//! Many files with different samples into one callset: the same tables as from one file with all of them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use proptest::prelude::*;
use strata::error::Coded;
use strata::genotype::{
    CallRules, CallsetRequest, FormatField, SampleEntry, SampleSheet, all_sample_names,
};
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

/// A generator of numbers; the same seed gives the same ones.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

const META: &str = "##fileformat=VCFv4.3\n##INFO=<ID=MQ,Number=1,Type=Integer,Description=\"x\">\n\
    ##INFO=<ID=DB,Number=0,Type=Flag,Description=\"x\">\n##INFO=<ID=SC,Number=A,Type=Float,Description=\"x\">\n\
    ##INFO=<ID=RR,Number=R,Type=Integer,Description=\"x\">\n##INFO=<ID=TX,Number=.,Type=String,Description=\"x\">\n\
    ##INFO=<ID=AC,Number=A,Type=Integer,Description=\"x\">\n##INFO=<ID=END,Number=1,Type=Integer,Description=\"x\">\n";

/// Records of every kind, duplicates and bad ones among them.
fn mixture(dice: &mut Dice, records: usize, samples: usize) -> Vcf {
    let names = (0..samples).map(|i| format!("S{i}")).collect();
    let mut rows = Vec::new();
    let mut pos = 5_000_000;
    for i in 0..records {
        let chrom = ["2", "10", "X"][i * 3 / records];
        pos += dice.roll(3);
        let sites = [
            "A G",
            "A C,G",
            "CAAAG CAAAT,C",
            "C *,G",
            "A <DEL>",
            "A <DEL>",
            "A .",
            "T TA,<NON_REF>",
            "G A,C,T",
            "A A,C",
        ];
        let (reference, alt) = dice.pick(&sites).split_once(' ').unwrap();
        let alts = alt.split(',').count();
        let mut info = vec![format!("MQ={}", dice.roll(60)), format!("TX=a,{i}")];
        if dice.roll(2) == 0 {
            info.push("DB".into());
        }
        if alt == "<DEL>" {
            info.push(format!("END={}", pos + 10 * (1 + dice.roll(2))));
        }
        info.push(format!("SC={}", vec!["0.5"; alts].join(",")));
        info.push(format!(
            "RR={}",
            (0..=alts).map(|k| k.to_string()).collect::<Vec<_>>().join(",")
        ));
        let mut row: Vec<String> = vec![chrom.into(), pos.to_string()];
        row.extend([(*dice.pick(&[".", "rs7", "b;a"])).into(), reference.into(), alt.into()]);
        row.extend([
            (*dice.pick(&[".", "30.5"])).into(),
            (*dice.pick(&[".", "PASS", "z;q10"])).into(),
        ]);
        row.extend([info.join(";"), "GT".into()]);
        let common = dice.roll(3) == 0;
        for _ in 0..samples {
            let allele = |dice: &mut Dice| match dice.roll(if common { 4 } else { 12 }) {
                0 if alt != "." => (1 + dice.roll(alts)).to_string(),
                1 if !common => ".".to_owned(),
                _ => "0".to_owned(),
            };
            let (a, b) = (allele(dice), allele(dice));
            let cell = match dice.roll(12) {
                0 => a,
                1 => "0/0/1".to_owned().replace('1', if alt == "." { "0" } else { "1" }),
                k => format!("{a}{}{b}", if k < 6 { '|' } else { '/' }),
            };
            row.push(cell);
        }
        rows.push(row);
    }
    Vcf { meta: META.to_owned(), names, records: rows }
}

fn with_info(files: &[PathBuf], sheet: SampleSheet) -> CallsetRequest {
    let mut request = request(files, sheet);
    request.info = ["MQ", "DB", "SC", "RR", "TX"].map(str::to_owned).to_vec();
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn groups_of_samples_give_the_tables_of_one_file(seed in any::<u64>(), samples in 2usize..20, most in 1usize..6) {
        let mut dice = Dice(seed);
        let vcf = mixture(&mut dice, 150, samples);
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<usize> = (0..samples).collect();
        let whole = file(&dir, "whole.vcf", vcf.columns(&all, |_| true).as_bytes());
        let mut rest: Vec<usize> = all;
        let mut files = Vec::new();
        while !rest.is_empty() {
            let size = (1 + dice.roll(most)).min(rest.len());
            let mut group: Vec<usize> = (0..size).map(|_| rest.swap_remove(dice.roll(rest.len()))).collect();
            let n = files.len();
            if dice.roll(2) == 0 {
                files.push(file(&dir, &format!("{n}.vcf"), vcf.columns(&group, |_| true).as_bytes()));
                continue;
            }
            // Two parts, the columns of the second in another order.
            let cut = 50 + dice.roll(50);
            let cut = (cut..150).find(|&i| vcf.records[i][..2] != vcf.records[i - 1][..2]).unwrap_or(149);
            files.push(file(&dir, &format!("{n}a.vcf"), vcf.columns(&group, |i| i < cut).as_bytes()));
            group.reverse();
            let text = vcf.columns(&group, |i| i >= cut);
            files.insert(0, file(&dir, &format!("{n}b.vcf.gz"), &bgzf(text.as_bytes(), 900)));
        }
        let people = sheet(std::slice::from_ref(&whole));
        let want = run(&with_info(std::slice::from_ref(&whole), people.clone()), 1).unwrap();
        let got = run(&with_info(&files, people.clone()), 2).unwrap();
        prop_assert_eq!(tables(&got), tables(&want));
        prop_assert!(got.output.ledger.unbalanced().is_empty(), "{:?}", got.ledger());
        files.reverse();
        let again = run(&with_info(&files, people), 1).unwrap();
        prop_assert_eq!(again.digests(), got.digests());
    }
}

/// Genotypes by vid and sample name, as `carriers` and counts have them: 0 hom-ref, 1 het, 2 hom-alt, 3
/// hemi-alt, 4 half, 5 missing.
fn calls(run: &Run, sheet: &SampleSheet) -> BTreeMap<(String, String), i32> {
    let mut order: Vec<(&i64, &String)> =
        sheet.included.iter().map(|(n, e)| (&e.research_id, n)).collect();
    order.sort();
    let mut calls = BTreeMap::new();
    let mut paths: Vec<String> = run.digests().into_iter().map(|(p, _)| p).collect();
    paths.retain(|p| p.contains("/variants/"));
    for path in paths {
        let chrom = path.split('/').find(|p| p.starts_with("chrom=")).unwrap();
        let vids = run.table(&format!("/variants/{chrom}/")).texts("vid");
        for vid in vids.iter().flatten() {
            order.iter().for_each(|(_, n)| _ = calls.insert((vid.clone(), (*n).clone()), 0));
        }
        let c = run.table(&format!("/carriers/{chrom}/"));
        let gts = c.texts("gt");
        let cells = c.ints("variant_idx").into_iter().zip(c.ints("sample_idx")).zip(gts);
        for ((variant, sample), gt) in cells {
            let vid = vids[variant as usize].clone().unwrap();
            let name = order[sample as usize].1.clone();
            calls.insert((vid, name), gt.unwrap().parse().unwrap());
        }
    }
    calls
}

fn text(names: &str, records: &[&str]) -> String {
    let columns = format!("#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT {names}\n");
    let body: String = records.iter().map(|r| format!("{r}\n")).collect();
    META.to_owned() + &(columns + &body).replace(' ', "\t")
}

fn of(calls: &BTreeMap<(String, String), i32>, vid: &str, names: &[&str]) -> Vec<i32> {
    names.iter().map(|n| calls[&(vid.to_owned(), (*n).to_owned())]).collect()
}

#[test]
fn a_row_that_a_file_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        file(
            &dir,
            "a.vcf",
            text(
                "A",
                &["20 10 . A G . . . GT 0|1", "20 30 . A . . . . GT 0/0", "20 40 . A C . . . GT 1"],
            )
            .as_bytes(),
        ),
        // Another ALT at the place of the first: nobody has two of three alleles uncalled.
        file(
            &dir,
            "b.vcf",
            text(
                "B",
                &[
                    "20 10 . A T 5 q10 . GT 1/1",
                    "20 20 . C G,T . . . GT 1/2",
                    "20 30 . A C . . . GT 0/1",
                ],
            )
            .as_bytes(),
        ),
        // An indel at the same place says nothing of the base.
        file(
            &dir,
            "c.vcf",
            text(
                "C",
                &[
                    "20 10 rs1 A AG . PASS . GT 0/1",
                    "20 20 . C T . . . GT 0/0",
                    "20 40 . A G . . . GT ./1",
                ],
            )
            .as_bytes(),
        ),
    ];
    let people = sheet(&files);
    let run = run(&request(&files, people.clone()), 2).unwrap();
    let got = calls(&run, &people);
    let names = ["A", "B", "C"];
    assert_eq!(of(&got, "chr20-10-A-G", &names), [1, 0, 5]);
    assert_eq!(of(&got, "chr20-10-A-T", &names), [0, 2, 5]);
    assert_eq!(of(&got, "chr20-10-A-AG", &names), [5, 5, 1]);
    assert_eq!(of(&got, "chr20-20-C-G", &names), [5, 1, 0]);
    assert_eq!(of(&got, "chr20-20-C-T", &names), [5, 1, 0]);
    assert_eq!(of(&got, "chr20-30-A-C", &names), [0, 1, 5]);
    assert_eq!(of(&got, "chr20-40-A-C", &names), [3, 5, 5]);
    assert_eq!(of(&got, "chr20-40-A-G", &names), [0, 5, 4]);
    let t = run.variants();
    let row = t.texts("vid").iter().position(|v| v.as_deref() == Some("chr20-20-C-T")).unwrap();
    // The record that names fewer ALTs describes the row.
    assert_eq!(t.texts("orig_alt")[row].as_deref(), Some("T"));
    assert_eq!(run.ledger().excluded["merged_row"], 1);
    assert_eq!(run.ledger().excluded["no_alt"], 1);
}

#[test]
fn a_sample_may_not_be_in_files_of_other_samples() {
    let dir = tempfile::tempdir().unwrap();
    let record = ["20 10 . A G . . . GT 0|1 0|0"];
    let files = [
        file(&dir, "a.vcf", text("A B", &record).as_bytes()),
        file(&dir, "b.vcf", text("B C", &record).as_bytes()),
    ];
    let error = run(&request(&files, sheet(&files)), 1).err().unwrap();
    assert_eq!(error.code(), "genotype::different_samples");
}

#[test]
fn files_of_one_chromosome_each() {
    let dir = tempfile::tempdir().unwrap();
    let two = text("A B", &["20 10 . A G . . . GT 0|1 0|0", "21 10 . A G . . . GT 0|1 1|1"]);
    let swapped = text("B A", &["20 10 . A G . . . GT 0|1 0|0", "21 10 . A C . . . GT 0|1 1|1"]);
    let files = [file(&dir, "x.vcf", two.as_bytes()), file(&dir, "y.vcf", swapped.as_bytes())];
    let people = sheet(&files);
    let mut asked = request(&files, people.clone());
    asked.options.chromosomes =
        [(files[0].clone(), "chr20".to_owned()), (files[1].clone(), "21".to_owned())].into();
    let run = run(&asked, 2).unwrap();
    let got = calls(&run, &people);
    assert_eq!(got.len(), 4);
    assert_eq!(of(&got, "chr20-10-A-G", &["A", "B"]), [1, 0]);
    assert_eq!(of(&got, "chr21-10-A-C", &["A", "B"]), [2, 1]);
    assert_eq!(run.ledger().excluded["bad_record:other_chromosome"], 2);
}

#[test]
fn a_left_out_sample_leaves_no_trace_in_a_merge() {
    let dir = tempfile::tempdir().unwrap();
    let a = [
        "20 10 x A G,T . . . GT 0/1 2/2",
        "20 20 . C G . . . GT 0/0 0/1",
        "20 30 . C G . . . GT ./. 0/1",
    ];
    // As a caller would have written it without B: ALTs that only B has are gone.
    let alone =
        ["20 10 . A G . . . GT 0/1", "20 20 . C . . . . GT 0/0", "20 30 . C . . . . GT ./."];
    let others = text("C", &["20 10 . A T . . . GT 0/1", "20 20 . C G . . . GT 1/1"]);
    let both = file(&dir, "in.vcf", text("A B", &a).as_bytes());
    let one = file(&dir, "in2.vcf", text("A", &alone).as_bytes());
    let left = file(
        &dir,
        "d.vcf",
        text("D", &["20 20 . C T . . . GT 1/1", "20 50 . C T . . . GT bad"]).as_bytes(),
    );
    let other = file(&dir, "other.vcf", others.as_bytes());
    let mut people = sheet(&[both.clone(), other.clone(), left.clone()]);
    for name in ["B", "D"] {
        people.included.remove(name).unwrap();
        people.excluded.insert(name.into(), "withdrawn".into());
    }
    let got = run(&request(&[both, other.clone(), left], people.clone()), 2).unwrap();
    let want = run(&request(&[one, other], people.clone()), 2).unwrap();
    assert_eq!(tables(&got), tables(&want));
    assert_eq!(got.variants().len(), 3);
    assert_eq!(of(&calls(&got, &people), "chr20-20-C-G", &["A", "C"]), [0, 2]);
    // The file of somebody who is out is not even looked at.
    assert!(!got.ledger().excluded.contains_key("bad_record:gt_unparsable"));
}

#[test]
fn hundreds_of_files_go_through_levels() {
    let mut dice = Dice(5);
    let vcf = mixture(&mut dice, 60, 150);
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<usize> = (0..150).collect();
    let whole = file(&dir, "whole.vcf", vcf.columns(&all, |_| true).as_bytes());
    let files: Vec<PathBuf> = all
        .iter()
        .map(|&i| file(&dir, &format!("{i}.vcf"), vcf.columns(&[i], |_| true).as_bytes()))
        .collect();
    let people = sheet(std::slice::from_ref(&whole));
    let want = run(&with_info(&[whole], people.clone()), 1).unwrap();
    let got = run(&with_info(&files, people), 2).unwrap();
    assert_eq!(tables(&got), tables(&want));
}

/// What a gVCF says of each position and of each allele, read the obvious way.
struct Gvcf {
    calls: BTreeMap<String, (i32, i32)>,
    spans: Vec<(i32, i32, bool)>,
}

fn trimmed(chrom: &str, pos: i32, reference: &str, alt: &str) -> String {
    let (mut r, mut a, mut pos) = (reference.as_bytes(), alt.as_bytes(), pos);
    while r.len() > 1 && a.len() > 1 && r.last() == a.last() {
        (r, a) = (&r[..r.len() - 1], &a[..a.len() - 1]);
    }
    while r.len() > 1 && a.len() > 1 && r[0] == a[0] {
        (r, a, pos) = (&r[1..], &a[1..], pos + 1);
    }
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    let chrom = if chrom.starts_with("chr") { chrom.to_owned() } else { format!("chr{chrom}") };
    format!("{chrom}-{pos}-{}-{}", text(r), text(a))
}

impl Gvcf {
    fn read(path: &Path, least: i32) -> Self {
        let mut gvcf = Self { calls: BTreeMap::new(), spans: Vec::new() };
        for line in read_text(path).lines().filter(|l| !l.starts_with('#')) {
            let f: Vec<&str> = line.split('\t').collect();
            let pos: i32 = f[1].parse().unwrap();
            let cell: BTreeMap<&str, &str> = f[8].split(':').zip(f[9].split(':')).collect();
            let called: Vec<usize> =
                cell["GT"].split(['/', '|']).filter_map(|a| a.parse().ok()).collect();
            assert_eq!(called.len(), 2, "the test knows diploid calls only");
            if f[4] == "<NON_REF>" {
                let end = f[7].strip_prefix("END=").map_or(pos, |e| e.parse().unwrap());
                gvcf.spans.push((
                    pos,
                    end,
                    called == [0, 0] && cell["GQ"].parse::<i32>().unwrap() >= least,
                ));
                continue;
            }
            gvcf.spans.push((pos, pos + f[3].len() as i32 - 1, true));
            for (i, alt) in
                f[4].split(',').enumerate().filter(|(_, a)| !["<NON_REF>", "*"].contains(a))
            {
                let copies = called.iter().filter(|&&a| a == i + 1).count();
                gvcf.calls.insert(trimmed(f[0], pos, f[3], alt), (pos, copies as i32));
            }
        }
        gvcf
    }

    fn call(&self, vid: &str) -> i32 {
        if let Some(&(_, copies)) = self.calls.get(vid) {
            return copies;
        }
        let pos: i32 = vid.split('-').nth(1).unwrap().parse().unwrap();
        let (mut end, mut said) = (0, false);
        for &(start, last, yes) in self.spans.iter().take_while(|s| s.0 <= pos) {
            end = if yes == said && start <= end + 1 { end.max(last) } else { last };
            said = yes;
        }
        if said && pos <= end { 0 } else { 5 }
    }
}

#[test]
fn gvcfs_fill_rows_from_reference_blocks() {
    let names = ["HG00187", "HG00190"];
    let files: Vec<PathBuf> =
        names.iter().filter_map(|n| shared(&format!("gvcf/{n}.hg38.g.vcf.gz"))).collect();
    if files.len() < 2 {
        return;
    }
    let people = sheet(&files);
    for least in [0, 20, 50] {
        let mut asked = request(&files, people.clone());
        asked.options.ref_block_min_gq = least;
        let run = run(&asked, 2).unwrap();
        let got = calls(&run, &people);
        let want: Vec<Gvcf> = files.iter().map(|f| Gvcf::read(f, i32::from(least))).collect();
        let vids: std::collections::BTreeSet<&String> =
            want.iter().flat_map(|g| g.calls.keys()).collect();
        assert_eq!(got.len(), 2 * vids.len());
        let mut filled = 0;
        for vid in vids {
            for (name, gvcf) in names.iter().zip(&want) {
                assert_eq!(
                    got[&(vid.clone(), (*name).to_owned())],
                    gvcf.call(vid),
                    "{vid} {name} {least}"
                );
                filled += usize::from(!gvcf.calls.contains_key(vid) && gvcf.call(vid) == 0);
            }
        }
        assert!(filled > 1, "{filled}");
        assert_eq!(run.ledger().excluded["reference_block"], 960 + 973);
    }
}

#[test]
fn gvcfs_agree_with_bcftools_where_it_has_a_call() {
    let names = ["HG00187", "HG00190"];
    let files: Vec<PathBuf> =
        names.iter().filter_map(|n| shared(&format!("gvcf/{n}.hg38.g.vcf.gz"))).collect();
    let there = std::process::Command::new("bcftools").arg("--version").output();
    if files.len() < 2 || there.is_err() {
        println!("skipped: no bcftools or no data");
        return;
    }
    let script = "bcftools merge --gvcf - -Ou \"$1\" \"$2\" | bcftools norm -m - -Ou | bcftools query -f '%CHROM\\t%POS\\t%REF\\t%ALT[\\t%GT]\\n'";
    let out =
        std::process::Command::new("sh").args(["-c", script, "sh"]).args(&files).output().unwrap();
    let people = sheet(&files);
    let mut asked = request(&files, people.clone());
    asked.options.ref_block_min_gq = 0;
    let got = calls(&run(&asked, 2).unwrap(), &people);
    let mut compared = 0;
    for line in String::from_utf8(out.stdout).unwrap().lines() {
        let f: Vec<&str> = line.split('\t').collect();
        if f[3].starts_with('<') || f[3] == "*" || f[3] == "." {
            continue;
        }
        let vid = trimmed(f[0], f[1].parse().unwrap(), f[2], f[3]);
        for (name, gt) in names.iter().zip(&f[4..]).filter(|(_, gt)| !gt.contains('.')) {
            let copies = gt.matches('1').count() as i32;
            assert_eq!(got[&(vid.clone(), (*name).to_owned())], copies, "{vid} {name}");
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn one_gvcf_alone_gives_its_variants() {
    let Some(path) = shared("gvcf/CEUTrio.20.21.gatk3.4.g.vcf.bgz") else { return };
    let run = ingest(&[path]);
    assert_eq!(run.ledger().excluded["reference_block"], 18_580);
    assert!(!run.ledger().excluded.contains_key("no_alt"));
    assert!(run.variants().len() >= 1330);
}

/// A manifest and a report of the SNVs of a VCF, in some notation.
struct Array {
    manifest: String,
    sequence: String,
    probes: Vec<[char; 2]>,
}

fn complement(base: char) -> char {
    match base {
        'A' => 'T',
        'C' => 'G',
        'G' => 'C',
        'T' => 'A',
        other => other,
    }
}

/// Which of `a_is_ref`, plus, TOP, forward probe `i` is.
fn bits(i: usize) -> [bool; 4] {
    [0, 1, 2, 3].map(|k| i >> k & 1 == 1)
}

impl Array {
    fn of(vcf: &Vcf, always_a: bool) -> Self {
        let mut manifest = "Illumina, Inc.,,\n[Heading],,\nLoci Count,9\n[Assay],,\nIlmnID,Name,IlmnStrand,SNP,Chr,MapInfo,SourceSeq,RefStrand\n".to_owned();
        let last: usize = vcf.records.last().unwrap()[1].parse().unwrap();
        let mut bases = vec!['N'; last];
        let mut probes = Vec::new();
        for (i, r) in vcf.records.iter().enumerate() {
            let [a_is_ref, plus, top, forward] = bits(i);
            let [reference, alt] = [3, 4].map(|k| r[k].chars().next().unwrap());
            bases[r[1].parse::<usize>().unwrap() - 1] = reference;
            let pair = if a_is_ref || always_a { [reference, alt] } else { [alt, reference] };
            let design = if plus { pair } else { pair.map(complement) };
            let (t, f) = (if top { "T" } else { "B" }, if forward { "F" } else { "R" });
            manifest += &format!(
                "{}-131_{t}_{f}_1,{},{},[{}/{}],20,{},,{}\n",
                r[2],
                r[2],
                if top { "TOP" } else { "BOT" },
                design[0],
                design[1],
                r[1],
                if plus { "+" } else { "-" }
            );
            probes.push(design);
        }
        manifest +=
            "x_T_F_1,nowhere,TOP,[A/G],0,0,,+\nx_T_F_1,both,TOP,[A/T],20,77,,\n[Controls],,\n";
        let mut sequence = ">chr20\n".to_owned();
        for line in bases.chunks(60) {
            sequence.extend(line);
            sequence.push('\n');
        }
        Self { manifest, sequence, probes }
    }

    fn report(
        &self,
        vcf: &Vcf,
        samples: &[usize],
        notation: &str,
        by_sample: bool,
        separator: char,
    ) -> String {
        let mut text = format!(
            "[Header]\r\nGSGT Version\t2.0\r\n[Data]\r\nSNP Name\tSample ID\tAllele1 - {notation}\tAllele2 - {notation}\tGC Score\r\n"
        );
        let mut lines = Vec::new();
        for (i, r) in vcf.records.iter().enumerate() {
            let [a_is_ref, plus, top, forward] = bits(i);
            let design = self.probes[i];
            let reference = r[3].chars().next().unwrap();
            let on_plus = if plus { design } else { design.map(complement) };
            let a_is_ref = a_is_ref || on_plus[0] == reference;
            let shown = match notation {
                "AB" => ['A', 'B'],
                "Top" => {
                    if top {
                        design
                    } else {
                        design.map(complement)
                    }
                }
                "Forward" => {
                    if forward {
                        design
                    } else {
                        design.map(complement)
                    }
                }
                "Plus" => on_plus,
                _ => design,
            };
            for &s in samples {
                let alleles: Vec<char> = r[9 + s]
                    .split('/')
                    .map(
                        |a| if a == "." { '-' } else { shown[usize::from((a == "1") == a_is_ref)] },
                    )
                    .collect();
                lines.push((
                    if by_sample { s } else { i },
                    format!("{}\t{}\t{}\t{}\t0.9\r\n", r[2], vcf.names[s], alleles[0], alleles[1]),
                ));
            }
        }
        lines.sort_by_key(|(key, _)| *key);
        lines.push((
            0,
            format!(
                "nowhere\t{0}\tA\tA\t0.9\r\nstranger\t{0}\tA\tA\t0.9\r\n",
                vcf.names[samples[0]]
            ),
        ));
        text.extend(lines.into_iter().map(|(_, line)| line));
        text.replace('\t', &separator.to_string())
    }
}

#[test]
fn a_final_report_gives_the_tables_of_its_genotypes() {
    let Some(path) = shared("vcf/shapeit4_1kg_chr20_300s.vcf.gz") else { return };
    let mut vcf = Vcf::read(&read_text(&path), 900);
    let mut last = String::new();
    vcf.records.retain(|r| {
        r[3].len() == 1 && r[4].len() == 1 && std::mem::replace(&mut last, r[1].clone()) != r[1]
    });
    let samples = 40;
    vcf.names.truncate(samples);
    for (i, r) in vcf.records.iter_mut().enumerate() {
        r[2] = format!("probe{i}");
        r[5..9].clone_from_slice(&[".", ".", ".", "GT"].map(str::to_owned));
        for (s, cell) in r[9..].iter_mut().enumerate() {
            *cell = if (i * 7 + s) % 50 == 0 { "./.".to_owned() } else { cell.replace('|', "/") };
        }
    }
    assert!(vcf.records.len() > 300);
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<usize> = (0..samples).collect();
    let whole = file(&dir, "whole.vcf", vcf.columns(&all, |_| true).as_bytes());
    let people = sheet(std::slice::from_ref(&whole));
    let want = run(&request(&[whole], people.clone()), 1).unwrap();
    let cases = [
        ("AB", true, '\t'),
        ("Top", false, ','),
        ("Forward", true, '\t'),
        ("Plus", true, '\t'),
        ("Design", false, '\t'),
    ];
    for (notation, by_sample, separator) in cases {
        for reference in [true, false] {
            let array = Array::of(&vcf, !reference);
            let manifest = file(&dir, "manifest.csv", array.manifest.as_bytes());
            let fasta = file(&dir, "ref.fa", array.sequence.as_bytes());
            let parts = [&all[..25], &all[25..]].map(|part| {
                let text = array.report(&vcf, part, notation, by_sample, separator);
                file(&dir, &format!("{}.txt", part[0]), text.as_bytes())
            });
            let mut asked = request(&parts, people.clone());
            asked.options.manifest = Some(manifest);
            asked.options.reference = reference.then_some(fasta);
            let got = run(&asked, 2).unwrap();
            assert_eq!(tables(&got), tables(&want), "{notation} {reference}");
            let books = got.ledger();
            assert_eq!(books.noted["probe_placed"], vcf.records.len() as u64);
            assert_eq!(books.noted["probe:ambiguous_strand"], 1);
            assert_eq!(books.excluded["probe:unplaced_probe"], 2);
            assert_eq!(books.excluded["bad_record:unknown_probe"], 2);
            assert_eq!(books.noted.contains_key("provisional_ref"), !reference);
        }
    }
    // Without a manifest it is an error that says so.
    let error = run(&request(&[dir.path().join("0.txt")], people), 1).err().unwrap();
    assert_eq!(error.code(), "genotype::no_manifest");
}

/// `cargo test --release --test genotype_merge -- --ignored --nocapture`
#[test]
#[ignore = "measures: 2,000 files of 5,000 sites"]
fn thousands_of_files() {
    let (samples, sites) = (2000, 5000);
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let shares: Vec<usize> = (0..sites).map(|_| [2, 5, 20, 100, 1000][dice.roll(5)]).collect();
    let files: Vec<PathBuf> = (0..samples)
        .map(|s| {
            let mut text = META.to_owned()
                + &format!("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS{s}\n");
            for (i, &share) in shares.iter().enumerate() {
                let mut allele = || usize::from(dice.roll(share) == 0);
                let (a, b) = (allele(), allele());
                text += &format!("20\t{}\trs{i}\tA\tG\t.\tPASS\t.\tGT\t{a}/{b}\n", 1000 + 300 * i);
            }
            file(&dir, &format!("{s}.vcf"), text.as_bytes())
        })
        .collect();
    let people = sheet(&files);
    let start = std::time::Instant::now();
    let got = run(&request(&files, people), 2).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    println!("{samples} files of {sites} sites: {seconds:.2} s, {peak}");
    assert_eq!(got.variants().len(), sites);
}

/// Records with FORMAT fields, every cell of which may be missing, cut off or unusable.
fn with_fields(dice: &mut Dice, records: usize, samples: usize) -> Vcf {
    let names = (0..samples).map(|i| format!("S{i}")).collect();
    let value = |dice: &mut Dice, most: usize| match dice.roll(12) {
        0 => ".".to_owned(),
        1 => "-1".to_owned(),
        _ => dice.roll(most).to_string(),
    };
    let mut rows = Vec::new();
    for i in 0..records {
        let sites = ["A G", "A C,G", "CAA CAT,C", "C *,G", "G A,C,T", "A <DEL>"];
        let (reference, alt) = dice.pick(&sites).split_once(' ').unwrap();
        let alts = alt.split(',').count();
        let formats = ["GT:AD:DP:GQ", "GT:GQ:FT:AD", "GT:DP", "GT", "GT:FT:DP:GQ:AD:PL"];
        let format = *dice.pick(&formats);
        let chrom = ["7", "X"][i * 2 / records];
        let mut row: Vec<String> = [chrom, &(5_000_000 + 10 * i).to_string(), ".", reference, alt]
            .map(str::to_owned)
            .to_vec();
        row.extend([".", "PASS", "MQ=3", format].map(str::to_owned));
        for _ in 0..samples {
            let mut cell = Vec::new();
            for key in format.split(':') {
                cell.push(match key {
                    "GT" => {
                        let allele = |dice: &mut Dice| match dice.roll(9) {
                            0 => ".".to_owned(),
                            k => k.saturating_sub(7 - alts.min(3)).min(alts).to_string(),
                        };
                        let (a, b) = (allele(dice), allele(dice));
                        format!("{a}{}{b}", dice.pick(&["/", "|"]))
                    }
                    "AD" => {
                        let count = 1 + alts + usize::from(dice.roll(15) == 0);
                        (0..count).map(|_| value(dice, 60)).collect::<Vec<_>>().join(",")
                    }
                    "FT" => (*dice.pick(&["PASS", ".", "q10", "PASS"])).to_owned(),
                    "PL" => "0,1,2".to_owned(),
                    _ => value(dice, 130),
                });
            }
            cell.truncate(if dice.roll(10) == 0 { 1 + dice.roll(cell.len()) } else { cell.len() });
            row.push(cell.join(":"));
        }
        rows.push(row);
    }
    Vcf { meta: META.to_owned(), names, records: rows }
}

fn fields_of(files: &[PathBuf], mut people: SampleSheet, calls: CallRules) -> CallsetRequest {
    for entry in people.included.values_mut() {
        let id = entry.research_id;
        entry.age = (id % 5 != 0).then_some(25 + (id % 60) as u16);
    }
    let mut asked = request(files, people);
    asked.options.format = vec![FormatField::AD, FormatField::DP, FormatField::GQ];
    asked.options.quality = true;
    asked.options.calls = calls;
    asked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fields_of_groups_give_the_tables_of_one_file(seed in any::<u64>(), samples in 2usize..90, most in 1usize..6, adj in any::<bool>()) {
        let mut dice = Dice(seed);
        let vcf = with_fields(&mut dice, 60, samples);
        let dir = tempfile::tempdir().unwrap();
        let mut rest: Vec<usize> = (0..samples).collect();
        let whole = file(&dir, "whole.vcf", vcf.columns(&rest, |_| true).as_bytes());
        let mut files = Vec::new();
        while !rest.is_empty() {
            let size = (1 + dice.roll(most)).min(rest.len());
            let group: Vec<usize> = (0..size).map(|_| rest.swap_remove(dice.roll(rest.len()))).collect();
            let text = vcf.columns(&group, |_| true);
            files.push(file(&dir, &format!("{}.vcf", files.len()), text.as_bytes()));
        }
        let calls = if adj {
            CallRules { min_gq: Some(20), min_dp: Some(10), min_ab: Some(0.2), ..CallRules::default() }
        } else {
            CallRules::default()
        };
        let people = sheet(std::slice::from_ref(&whole));
        let want = run(&fields_of(&[whole], people.clone(), calls.clone()), 1).unwrap();
        prop_assume!(files.len() > 1);
        let got = run(&fields_of(&files, people.clone(), calls.clone()), 2).unwrap();
        prop_assert!(want.table("/quality/").len() > 0 && want.table("/carriers/").ints("ad_alt").iter().any(|&v| v > 0));
        prop_assert_eq!(tables(&got), tables(&want));
        for noted in ["format_value_unusable", "filtered_call"] {
            prop_assert_eq!(got.ledger().noted.get(noted), want.ledger().noted.get(noted));
        }
        files.reverse();
        let again = run(&fields_of(&files, people, calls), 1).unwrap();
        prop_assert_eq!(again.digests(), got.digests());
    }
}

#[test]
fn a_real_file_split_by_sample_gives_its_depths_and_qualities() {
    let Some(path) = shared("vcf/hail_sample_1kg_chr20_100s.vcf.gz") else { return };
    let vcf = Vcf::read(&read_text(&path), 400);
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<usize> = (0..vcf.names.len()).collect();
    let whole = file(&dir, "all.vcf", vcf.columns(&all, |_| true).as_bytes());
    let parts: Vec<PathBuf> = all
        .iter()
        .map(|&i| file(&dir, &format!("{i}.vcf"), vcf.columns(&[i], |_| true).as_bytes()))
        .collect();
    let people = sheet(std::slice::from_ref(&whole));
    let calls = CallRules { min_gq: Some(20), min_dp: Some(10), ..CallRules::default() };
    let want = run(&fields_of(&[whole], people.clone(), calls.clone()), 2).unwrap();
    let got = run(&fields_of(&parts, people, calls), 2).unwrap();
    assert!(want.variants().floats("mean_dp").iter().flatten().any(|&dp| dp > 0.0));
    assert_eq!(tables(&got), tables(&want));
}

/// GQ, DP and AD of the ALT of all samples in `quality`, by row.
fn qualities(run: &Run) -> Vec<[Vec<Option<u16>>; 3]> {
    let table = run.table("/quality/");
    let column = |name: &str, i: usize| {
        let cells = table.column(name).as_fixed_size_list().value(i);
        cells.as_primitive::<arrow::datatypes::UInt16Type>().iter().collect()
    };
    (0..table.len()).map(|i| ["gq", "dp", "ad_alt"].map(|name| column(name, i))).collect()
}

#[test]
fn rows_that_a_file_lacks_have_the_values_of_blocks_and_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let a = [
        "20 10 . A G . . . GT:AD:DP:GQ 0/1:7,5:12:40",
        "20 30 . C T . . . GT:AD:DP:GQ 1/1:0,9:9:27",
        "20 60 . C T . . . GT:AD:DP:GQ 0/1:4,5:9:30",
    ];
    let b = [
        "20 1 . A <NON_REF> . . END=20 GT:DP:GQ:MIN_DP 0/0:31:50:28",
        "20 21 . A <NON_REF> . . END=40 GT:DP:GQ 0/0:30:70",
        "20 41 . A <NON_REF> . . END=59 GT:DP:GQ:MIN_DP 0/0:3:9:2",
        "20 60 . C G,<NON_REF> . . . GT:AD:DP:GQ 0/1:6,7,0:13:99",
    ];
    let files = [
        file(&dir, "a.vcf", text("A", &a).as_bytes()),
        file(&dir, "b.g.vcf", text("B", &b).as_bytes()),
    ];
    let person = |research_id| SampleEntry { research_id, ..SampleEntry::default() };
    let included = [("A".to_owned(), person(1)), ("B".to_owned(), person(2))].into();
    let people = SampleSheet { included, ..SampleSheet::default() };
    let run = run(&fields_of(&files, people, CallRules::default()), 2).unwrap();
    let two = |a, b| vec![a, b];
    assert_eq!(run.variants().ints("pos"), [10, 30, 60, 60]);
    let got = qualities(&run);
    // MIN_DP of the block, else DP; a block says nothing of AD.
    assert_eq!(got[0], [two(Some(40), Some(50)), two(Some(12), Some(28)), two(Some(5), None)]);
    assert_eq!(got[1], [two(Some(27), Some(70)), two(Some(9), Some(30)), two(Some(9), None)]);
    // Of an ALT that the record does not name GQ and DP are known.
    assert_eq!(got[2], [two(Some(30), Some(99)), two(Some(9), Some(13)), two(None, Some(7))]);
    assert_eq!(got[3], [two(Some(30), Some(99)), two(Some(9), Some(13)), two(Some(5), None)]);
    assert_eq!(run.variants().floats("mean_dp")[..2], [Some(20.0), Some(19.5)]);
    let means = run.table("/samples/").floats("mean_dp");
    // A record counts once, a row that a block fills too.
    assert_eq!(means, [Some(10.0), Some((28.0 + 30.0 + 13.0) / 3.0)]);
}

#[test]
fn consequences_of_a_merge_are_those_of_one_file() {
    let csq = "##INFO=<ID=CSQ,Number=.,Type=String,Description=\"VEP. Format: Allele|Consequence|IMPACT|\
        SYMBOL|Gene|Feature|BIOTYPE|CANONICAL|MANE_SELECT|HGVSc|HGVSp|ALLELE_NUM|RANK\">\n";
    let meta = |names: &str, records: &[&str]| {
        text(names, records).replacen("#CHROM", &(csq.to_owned() + "#CHROM"), 1)
    };
    let one = "20 10 . CA C,CAA . . CSQ=-|frameshift_variant|HIGH|GONE|G9|T9|x|||||1|1,A|intron_variant|LOW|ONE|G1|T1|y|YES||||2|1 GT";
    let dir = tempfile::tempdir().unwrap();
    let two = "20 20 . G T . . CSQ=T|stop_gained|HIGH|TWO|G2|T2|y|||||1|7 GT";
    let whole = meta("A B C", &[&format!("{one} 0/1 0/2 0/0"), &format!("{two} 0/1 0/1 0/1")]);
    let whole = file(&dir, "whole.vcf", whole.as_bytes());
    // A's and B's records name the ALT of their own alone; what is not read of an entry may differ.
    let only_a = "20 10 . CA C . . CSQ=-|frameshift_variant|HIGH|GONE|G9|T9|x|||||1|1 GT 0/1";
    let only_b = "20 10 . C CA . . CSQ=A|intron_variant|LOW|ONE|G1|T1|y|YES||||1|5 GT 0/1";
    let other = "20 20 . G T . . CSQ=T|missense_variant|LOW|TWO|G2|T2|y|||||1|7 GT 0/1";
    let none = "20 20 . G T . . . GT 0/1";
    let split = |second: [&str; 3]| {
        let parts = [
            ("A", vec![only_a, second[0]]),
            ("B", vec![only_b, second[1]]),
            ("C", vec![second[2]]),
        ];
        let write = |(name, records): (&str, Vec<&str>)| {
            file(&dir, &format!("{name}.vcf"), meta(name, &records).as_bytes())
        };
        parts.map(write)
    };
    let person = |research_id| SampleEntry { research_id, ..SampleEntry::default() };
    let included = ["A", "B", "C"].into_iter().zip(1..).map(|(n, id)| (n.to_owned(), person(id)));
    let people = SampleSheet { included: included.collect(), ..SampleSheet::default() };
    let ask = |files: &[PathBuf]| {
        let mut asked = request(files, people.clone());
        asked.options.consequences = Some("CSQ".into());
        run(&asked, 2).unwrap()
    };
    let table = |run: &Run| {
        let table = run.table("/consequences/");
        ["consequence", "gene", "transcript"].map(|name| table.texts(name))
    };
    let want = ask(&[whole]);
    assert_eq!(want.table("/consequences/").len(), 3);
    let same = format!("{two} 0/1");
    let got = ask(&split([&same, none, &same]));
    assert_eq!(table(&got), table(&want));
    assert_eq!(
        got.variants().texts("worst_consequence"),
        want.variants().texts("worst_consequence")
    );
    assert!(!got.ledger().noted.contains_key("consequences_differ"), "{:?}", got.ledger());
    // The first file that has any: by the least research id of its people, whatever its name.
    let mut files = split([none, other, &same]).to_vec();
    let got = ask(&files);
    assert_eq!(table(&got)[0][2].as_deref(), Some("missense_variant"));
    assert_eq!(got.ledger().noted["consequences_differ"], 1);
    files.reverse();
    assert_eq!(ask(&files).digests(), got.digests());
}

#[test]
fn info_by_genotype_of_a_merge_is_that_of_one_file() {
    let meta = |names: &str, records: &[&str]| {
        let line = "##INFO=<ID=GP,Number=G,Type=Integer,Description=\"x\">\n#CHROM";
        text(names, records).replacen("#CHROM", line, 1)
    };
    let records = [
        "20 10 . A C,G . . GP=1,2,3,4,5,6 GT",
        "20 20 . A C . . GP=7,8,9 GT",
        "20 30 . A C . . GP=7,8 GT",
    ];
    let with = |calls: &str| records.map(|r| format!("{r} {calls}"));
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, names: &str, calls: &str| {
        let lines = with(calls);
        file(&dir, name, meta(names, &lines.each_ref().map(String::as_str)).as_bytes())
    };
    let whole = write("whole.vcf", "A B", "0/1 1/1");
    let files = [write("a.vcf", "A", "0/1"), write("b.vcf", "B", "1/1")];
    let people = sheet(std::slice::from_ref(&whole));
    let ask = |files: &[PathBuf]| {
        let mut asked = request(files, people.clone());
        asked.info = vec!["GP".into()];
        run(&asked, 1).unwrap()
    };
    let (want, got) = (ask(&[whole]), ask(&files));
    assert_eq!(tables(&got), tables(&want));
    assert_eq!(want.ledger().noted["info_field_wrong_count:GP"], 1);
    assert_eq!(got.ledger().noted["info_field_wrong_count:GP"], 2);
}

/// `cargo test --release --test genotype_merge hundreds_with -- --ignored --nocapture`
#[test]
#[ignore = "measures: 400 files of 5,000 sites with fields"]
fn hundreds_with_fields() {
    let (samples, sites) = (400, 5000);
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let shares: Vec<usize> = (0..sites).map(|_| [2, 5, 20, 100, 1000][dice.roll(5)]).collect();
    let files: Vec<PathBuf> = (0..samples)
        .map(|s| {
            let mut text = META.to_owned()
                + &format!("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS{s}\n");
            for (i, &share) in shares.iter().enumerate() {
                let mut allele = || usize::from(dice.roll(share) == 0);
                let (a, b) = (allele(), allele());
                let (x, y, gq) = (dice.roll(30), dice.roll(30), dice.roll(99));
                let pos = 1000 + 300 * i;
                text += &format!(
                    "20\t{pos}\trs{i}\tA\tG\t.\tPASS\t.\tGT:AD:DP:GQ\t{a}/{b}:{x},{y}:{}:{gq}\n",
                    x + y
                );
            }
            file(&dir, &format!("{s}.vcf"), text.as_bytes())
        })
        .collect();
    let people = sheet(&files);
    let fields = std::env::var_os("WITHOUT_FIELDS").is_none();
    let asked = if fields {
        fields_of(&files, people, CallRules { min_gq: Some(20), ..CallRules::default() })
    } else {
        request(&files, people)
    };
    let start = std::time::Instant::now();
    let got = run(&asked, 2).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    println!("{samples} files of {sites} sites, fields {fields}: {seconds:.2} s, {peak}");
    assert_eq!(got.variants().len(), sites);
}
