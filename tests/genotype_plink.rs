//! PLINK inputs: real files against what PLINK says of them, round trips, damaged files.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use strata::error::Coded;
use strata::genotype::{SampleSheet, sample_names};
use support::{Run, everyone, file, read_text, request, run, run_all, shared};

/// Runs a program; `None` (with a printed reason) where it is not installed.
fn tool(name: &str, arguments: &[&str]) -> Option<()> {
    match Command::new(name).args(arguments).output() {
        Ok(done) => {
            let text = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{name} {arguments:?}: {text}");
            Some(())
        }
        Err(_) => {
            println!("skipped: {name} is not installed");
            None
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The table's rows as columns by name.
fn table(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = read_text(path);
    let mut lines = text.lines().map(|l| l.split_whitespace().map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        for (name, value) in names.iter().zip(line) {
            columns.entry(name.trim_start_matches('#').to_owned()).or_default().push(value);
        }
    }
    columns
}

fn numbers(column: &[String]) -> Vec<i32> {
    column.iter().map(|v| v.parse().unwrap()).collect()
}

/// Digests of the tables, less those of rejects, which name the file.
fn tables(run: &Run) -> Vec<(String, String)> {
    run.digests().into_iter().filter(|(path, _)| path.starts_with("controlled")).collect()
}

/// Copies a .bed with another .bim.
fn with_bim(dir: &tempfile::TempDir, bed: &Path, change: impl Fn(&str) -> String) -> PathBuf {
    let to = dir.path().join("copy.bed");
    std::fs::copy(bed, &to).unwrap();
    std::fs::copy(bed.with_extension("fam"), to.with_extension("fam")).unwrap();
    let bim = read_text(&bed.with_extension("bim"));
    let lines: Vec<String> = bim.lines().map(change).collect();
    std::fs::write(to.with_extension("bim"), lines.join("\n")).unwrap();
    to
}

#[test]
fn phase1_counts_are_those_of_plink() {
    let Some(bed) = shared("plink/1kg_phase1/1kg_phase1.bed") else { return };
    let run = run_all(&bed);
    let t = run.variants();
    assert_eq!((t.len(), run.ledger().noted["provisional_ref"]), (14_079, 14_079));
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("p");
    let prefix = bed.with_extension("");
    let plain = ["--bfile", text(&prefix), "--keep-allele-order", "--out", text(&out)];
    let Some(()) = tool("plink1.9", &[&plain[..], &["--freqx", "--hardy", "--missing"]].concat())
    else {
        return;
    };
    let ids = t.texts("rsid");
    let row: BTreeMap<&str, usize> =
        ids.iter().enumerate().map(|(i, id)| (id.as_deref().unwrap(), i)).collect();
    // freqx has tabs and names with blanks.
    let freqx = read_text(&out.with_extension("frqx"));
    let counts = ["n_hom_alt", "n_het", "n_hom_ref"].map(|n| t.ints(n));
    let missing = t.ints("n_missing");
    let mut compared = 0;
    for line in freqx.lines().skip(1) {
        let f: Vec<&str> = line.split('\t').collect();
        let i = row[f[1]];
        for k in 0..3 {
            assert_eq!(counts[k][i].to_string(), f[4 + k], "{k} of row {i}");
        }
        assert_eq!(missing[i].to_string(), f[9]);
        compared += 1;
    }
    assert_eq!(compared, t.len());
    let hardy = table(&out.with_extension("hwe"));
    let mut compared = 0;
    for (k, test) in hardy["TEST"].iter().enumerate().filter(|(_, test)| test.starts_with("ALL")) {
        let i = row[hardy["SNP"][k].as_str()];
        let want = format!("{}/{}/{}", counts[0][i], counts[1][i], counts[2][i]);
        assert_eq!(hardy["GENO"][k], want, "{test}");
        compared += 1;
    }
    assert_eq!(compared, t.len());
    let rate = run.table("/samples/").floats("call_rate");
    let people = table(&out.with_extension("imiss"));
    for (i, want) in numbers(&people["N_MISS"]).into_iter().enumerate() {
        // Research ids run against the order of the file.
        let missing = (1.0 - rate[rate.len() - 1 - i].unwrap()) * t.len() as f64;
        assert!((missing - f64::from(want)).abs() < 1e-6, "sample {i}: {missing} {want}");
    }
}

#[test]
fn missing_calls_are_those_of_the_values() {
    let Some(bed) = shared("plink/some_missing/some_missing.bed") else { return };
    let npy = std::fs::read(bed.with_extension("val.npy")).unwrap();
    let head = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let words = String::from_utf8_lossy(&npy[..head]).into_owned();
    assert!(words.contains("<f8") && words.contains("(100, 100)"), "{words}");
    let fortran = words.contains("'fortran_order': True");
    let values: Vec<f64> =
        npy[head..].chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect();
    // Counts of A1 by sample and variant, NaN where missing.
    let value = |s: usize, v: usize| values[if fortran { v * 100 + s } else { s * 100 + v }];
    let run = run_all(&bed);
    let t = run.variants();
    assert_eq!(t.len(), 100);
    // Chromosomes come in table order, those of the .bim may not.
    let names = read_text(&bed.with_extension("bim"));
    let of_name: BTreeMap<&str, usize> =
        names.lines().enumerate().map(|(i, l)| (l.split('\t').nth(1).unwrap(), i)).collect();
    let g = run.table("/genotypes/");
    let (het, hom, ids) = (g.bytes("het"), g.bytes("hom_alt"), t.texts("rsid"));
    let (mut seen, mut missing) = ([0; 4], 0);
    for row in 0..100 {
        let v = of_name[ids[row].as_deref().unwrap()];
        for s in 0..100 {
            let bit = |p: &Option<Vec<u8>>| {
                usize::from(p.as_ref().unwrap()[(99 - s) / 8] >> ((99 - s) % 8) & 1)
            };
            let code = bit(&het[row]) + 2 * bit(&hom[row]);
            seen[code] += 1;
            let count = value(s, v);
            missing += usize::from(count.is_nan());
            let want = [0.0, 1.0, 2.0][code.min(2)];
            assert!(
                if code == 3 { count.is_nan() } else { count == want },
                "{v} {s}: {count} {code}"
            );
        }
    }
    assert!(missing > 100 && seen.iter().all(|&n| n > 30), "{seen:?}");
}

#[test]
fn alleles_that_are_no_bases_are_rejected_and_counted() {
    let Some(bed) = shared("plink/toydata/toydata.5chrom.bed") else { return };
    let dir = tempfile::tempdir().unwrap();
    // L and H are no bases, but H is a code for three of them: the rest is rejected for its REF.
    let refused = run(&request(std::slice::from_ref(&bed), everyone_of(&bed)), 2).err().unwrap();
    assert_eq!(refused.code(), "genotype::no_variants");
    let said = refused.to_string();
    assert!(said.contains("10000 alleles") && said.contains("9863 of them"), "{said}");
    // With bases instead, counts are PLINK's.
    let bed = with_bim(&dir, &bed, |line| line.replace("\tL", "\tA").replace("\tH", "\tC"));
    let run = run_all(&bed);
    let out = dir.path().join("o");
    let prefix = bed.with_extension("");
    let arguments = ["--bfile", text(&prefix), "--geno-counts", "--out", text(&out)];
    let Some(()) = tool("plink2", &arguments) else { return };
    let want = table(&out.with_extension("gcount"));
    let t = run.variants();
    for (ours, theirs) in [
        ("n_hom_ref", "HOM_REF_CT"),
        ("n_het", "HET_REF_ALT_CTS"),
        ("n_hom_alt", "TWO_ALT_GENO_CTS"),
    ] {
        assert_eq!(t.ints(ours), numbers(&want[theirs]), "{ours}");
    }
    assert_eq!(t.ints("n_missing"), numbers(&want["MISSING_CT"]));
}

#[test]
fn phase3_pgen_says_what_its_vcf_says() {
    let (Some(pgen), Some(vcf)) = (
        shared("pgen/chr21_phase3_start/chr21_phase3_start.pgen"),
        shared("vcf/plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz"),
    ) else {
        return;
    };
    let (a, b) = (run_all(&pgen), run_all(&vcf));
    assert_eq!(a.ledger().noted.get("dosage_not_read"), None);
    let (t, u) = (a.variants(), b.variants());
    let (g, h) = (a.table("/genotypes/"), b.table("/genotypes/"));
    let of_vcf: BTreeMap<String, usize> =
        u.texts("vid").into_iter().enumerate().map(|(i, v)| (v.unwrap(), i)).collect();
    let columns =
        ["pos", "end", "n_called", "n_missing", "n_het", "n_hom_alt", "n_hom_ref", "ac", "an"];
    let ints = columns.map(|c| (t.ints(c), u.ints(c)));
    let texts = ["ref", "alt", "rsid", "variant_type", "qual"].map(|c| (t.texts(c), u.texts(c)));
    let planes = ["het", "hom_alt", "phase"].map(|c| (g.bytes(c), h.bytes(c)));
    // 485 records, three of which have a second ALT.
    assert_eq!((t.len(), a.ledger().rows_in), (488, 488));
    let mut compared = 0;
    for (i, vid) in t.texts("vid").into_iter().enumerate() {
        // Three records with two ALTs are not in the VCF.
        let Some(&j) = of_vcf.get(&vid.unwrap()) else { continue };
        compared += 1;
        ints.iter().for_each(|(a, b)| assert_eq!(a[i], b[j]));
        texts.iter().for_each(|(a, b)| assert_eq!(a[i], b[j]));
        planes.iter().for_each(|(a, b)| assert_eq!(a[i], b[j]));
    }
    assert_eq!(compared, 482);
    // With them, everything is as in the VCF that plink2 makes of it.
    let dir = tempfile::tempdir().unwrap();
    let (prefix, out) = (pgen.with_extension(""), dir.path().join("o"));
    let arguments = ["--pfile", text(&prefix), "vzs", "--export", "vcf", "--out", text(&out)];
    let Some(()) = tool("plink2", &arguments) else { return };
    assert_eq!(tables(&run_all(&out.with_extension("vcf"))), tables(&a));
}

/// A genotype matrix as VCF. Rows repeat with few changes, some are flipped, rare, common or empty.
fn random_vcf(seed: u64, samples: usize, variants: usize, multi: bool, phased: bool) -> String {
    let mut state = seed | 1;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n
    };
    let mut out = String::from(
        "##fileformat=VCFv4.2\n##contig=<ID=20>\n##contig=<ID=21>\n##FILTER=<ID=q,Description=\"x\">\n##INFO=<ID=AA,Number=1,Type=Integer,Description=\"x\">\n##FORMAT=<ID=GT,Number=1,Type=String,Description=\"x\">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT",
    );
    (0..samples).for_each(|i| out += &format!("\tS{i}"));
    let mut last: Vec<[usize; 2]> = vec![[0, 0]; samples];
    for v in 0..variants {
        let alts =
            if multi && v % 3 == 1 { 2 + random(if v % 9 == 1 { 18 } else { 3 }) } else { 1 };
        let style = random(7);
        let cells: Vec<[usize; 2]> = (0..samples)
            .map(|s| {
                let any = |random: &mut dyn FnMut(usize) -> usize| match random(5) {
                    0 => [9999; 2],
                    _ => [random(alts + 1), random(alts + 1)],
                };
                let fit = |c: [usize; 2]| if c[0] == 9999 { c } else { c.map(|a| a.min(alts)) };
                match style {
                    0 => any(&mut random),
                    1 if random(40) > 0 => [0, 0],
                    2 if random(40) > 0 => [1, 1],
                    3 | 4 if random(30) > 0 => fit(last[s]),
                    // The same, flipped.
                    5 if random(30) > 0 => fit(last[s]).map(|a| if a < 2 { 1 - a } else { a }),
                    6 if random(30) > 0 && v % 2 == 0 => [9999; 2],
                    6 if random(30) > 0 => [[0, 0], [9999; 2]][random(2)],
                    _ => any(&mut random),
                }
            })
            .collect();
        let bases = [
            "G", "T", "AC", "AG", "AT", "GA", "GC", "GG", "TT", "TA", "TC", "TG", "CC", "CT",
            "AAA", "AAC", "AAG", "AAT", "ACA", "ACC", "ACG", "ACT",
        ];
        let filter = ["PASS", ".", "q"][random(3)];
        let (chrom, pos) = (20 + 2 * v / variants, 100 + 3 * v);
        let id = if random(3) == 0 { ".".to_owned() } else { format!("rs{v}") };
        out += &format!(
            "\n{chrom}\t{pos}\t{id}\tC\t{}\t{}\t{filter}\tAA={v}\tGT",
            bases[..alts].join(","),
            v % 50
        );
        for [a, b] in &cells {
            let name = |a: usize| if a == 9999 { ".".to_owned() } else { a.to_string() };
            let (a, b) = if phased { (a, b) } else { (a.min(b), a.max(b)) };
            out += &format!("\t{}{}{}", name(*a), if phased { '|' } else { '/' }, name(*b));
        }
        last = cells;
    }
    out + "\n"
}

fn everyone_of(path: &Path) -> SampleSheet {
    everyone(path, &BTreeMap::new())
}

/// The VCF as PLINK writes it with `make`.
fn converted(dir: &tempfile::TempDir, vcf: &Path, program: &str, make: &[&str]) -> Option<PathBuf> {
    let out = dir.path().join(format!("out{}", make.len()));
    let plain = ["--vcf", text(vcf), "--out", text(&out), "--threads", "1"];
    tool(program, &[&plain[..], make].concat())?;
    Some(out)
}

#[test]
fn pgen_gives_the_tables_of_its_vcf() {
    for (seed, samples, multi, phased) in [
        (1, 61, true, true),
        (2, 301, true, true),
        (3, 300, true, false),
        (4, 70, false, true),
        (5, 1000, false, false),
        (6, 3, true, true),
        (7, 1, false, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let vcf = file(&dir, "in.vcf", random_vcf(seed, samples, 400, multi, phased).as_bytes());
        let Some(out) = converted(&dir, &vcf, "plink2", &["--make-pgen", "vzs"]) else { return };
        let pgen = out.with_extension("pgen");
        let mut a = request(std::slice::from_ref(&vcf), everyone_of(&vcf));
        a.info = vec!["AA".to_owned()];
        let mut b = request(std::slice::from_ref(&pgen), everyone_of(&pgen));
        b.info = vec!["AA".to_owned()];
        let want = run(&a, 2).unwrap();
        let got = run(&b, 2).unwrap();
        assert!(want.variants().len() >= 400);
        assert_eq!(tables(&got), tables(&want), "seed {seed}");
        assert_eq!(tables(&run(&b, 5).unwrap()), tables(&want));
        // The same with samples left out.
        for r in [&mut a, &mut b] {
            let last = format!("S{}", samples / 2);
            if samples > 1 && r.samples.included.remove(&last).is_some() {
                r.samples.excluded.insert(last, "withdrawn".to_owned());
            }
        }
        assert_eq!(tables(&run(&b, 2).unwrap()), tables(&run(&a, 2).unwrap()), "seed {seed}");
    }
}

#[test]
fn record_types_of_the_round_trips_are_all_of_the_specification() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 1..4 {
        let text = random_vcf(seed, 301, 400, true, true);
        let vcf = file(&dir, &format!("in{seed}.vcf"), text.as_bytes());
        let Some(out) = converted(&dir, &vcf, "plink2", &["--make-pgen"]) else { return };
        let data = std::fs::read(out.with_extension("pgen")).unwrap();
        assert!(data[2] == 0x10 && data[11] & 4 == 4, "types of eight bits");
        // One block: an offset, then 400 types.
        seen.extend(data[20..420].iter().map(|k| k & 31));
    }
    let main: std::collections::BTreeSet<u8> = seen.iter().map(|k| k & 7).collect();
    assert_eq!(main.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 7]);
    assert!(seen.iter().any(|k| k & 24 == 24) && seen.iter().any(|k| k & 24 == 8));
}

/// Writes a .bed of genotype codes (rows are variants), in either order.
fn write_bed(path: &Path, codes: &[Vec<u8>], sample_major: bool) {
    let mut out = vec![0x6c, 0x1b, u8::from(!sample_major)];
    let turned: Vec<Vec<u8>> =
        (0..codes[0].len()).map(|s| codes.iter().map(|row| row[s]).collect()).collect();
    for row in if sample_major { &turned[..] } else { codes } {
        for four in row.chunks(4) {
            out.push(four.iter().enumerate().fold(0, |sum, (i, code)| sum | code << (2 * i)));
        }
    }
    std::fs::write(path, out).unwrap();
}

fn write_set(dir: &Path, name: &str, codes: &[Vec<u8>], bim: &str, sample_major: bool) -> PathBuf {
    let path = dir.join(name);
    write_bed(&path, codes, sample_major);
    std::fs::write(path.with_extension("bim"), bim).unwrap();
    let fam: String = (0..codes[0].len()).map(|i| format!("F{i} S{i} 0 0 0 -9\n")).collect();
    std::fs::write(path.with_extension("fam"), fam).unwrap();
    path
}

#[test]
fn bed_gives_the_tables_of_its_vcf_in_either_order() {
    for (seed, samples) in [(11, 65), (12, 400), (13, 4), (14, 31)] {
        let dir = tempfile::tempdir().unwrap();
        let vcf = random_vcf(seed, samples, 301, false, false);
        // .bim has no QUAL, FILTER and INFO.
        let bare = vcf.lines().map(|line| {
            let mut f: Vec<&str> = line.split('\t').collect();
            if !line.starts_with('#') {
                f.splice(5..8, [".", ".", "."]);
            }
            f.join("\t") + "\n"
        });
        let bare: String = bare.collect();
        let vcf = file(&dir, "in.vcf", bare.as_bytes());
        let want = run_all(&vcf);
        let codes: Vec<Vec<u8>> = bare
            .lines()
            .filter(|l| !l.starts_with('#'))
            .map(|l| {
                let code = |gt| match gt {
                    "0/0" => 3,
                    "0/1" => 2,
                    "1/1" => 0,
                    _ => 1,
                };
                l.split('\t').skip(9).map(code).collect()
            })
            .collect();
        let bim: Vec<String> = bare
            .lines()
            .filter(|l| !l.starts_with('#'))
            .map(|l| {
                let f: Vec<&str> = l.split('\t').collect();
                format!("{}\t{}\t0\t{}\t{}\t{}\n", f[0], f[2], f[1], f[4], f[3])
            })
            .collect();
        for sample_major in [false, true] {
            let bed = write_set(dir.path(), "own.bed", &codes, &bim.concat(), sample_major);
            assert_eq!(tables(&run_all(&bed)), tables(&want), "{seed} {sample_major}");
            // In any order of variants.
            let order: Vec<usize> = (0..codes.len()).map(|i| i * 113 % codes.len()).collect();
            let shuffled: Vec<Vec<u8>> = order.iter().map(|&i| codes[i].clone()).collect();
            let lines: String = order.iter().map(|&i| bim[i].replace('\t', "  ")).collect();
            let bed = write_set(dir.path(), "mixed.bed", &shuffled, &lines, sample_major);
            assert_eq!(tables(&run_all(&bed)), tables(&want), "{seed} {sample_major} mixed");
        }
        for (program, make) in [
            ("plink2", &["--make-bed"][..]),
            ("plink1.9", &["--make-bed", "--keep-allele-order", "--double-id"][..]),
        ] {
            let Some(out) = converted(&dir, &vcf, program, make) else { continue };
            let bed = out.with_extension("bed");
            if program == "plink1.9" {
                // PLINK 1.9 sets alleles that nobody has to 0; elsewhere all is the same.
                let got = run_all(&bed).variants().texts("vid");
                let want = want.variants().texts("vid");
                assert!(
                    got.iter().all(|vid| want.contains(vid)) && got.len() * 10 > want.len() * 8
                );
            } else {
                assert_eq!(tables(&run_all(&bed)), tables(&want), "{seed} {program}");
            }
        }
    }
}

#[test]
fn chromosome_codes_and_unknown_alleles() {
    let dir = tempfile::tempdir().unwrap();
    let bim = "26 m 0 50 T C\n25 p 0 20000 G A\n23 x 0 5000000 G A\n24 y 0 3000000 T A\n\
               chr2 . 0 7 AT A\nXY q 0 15000 T C\n0 u 0 0 A C\n1 mono 0 9 0 G\n1 bad 0 10 A 0\n1 short 0 11 A\n";
    let codes = vec![vec![2, 3, 0, 1, 3]; 10];
    let mut codes = codes;
    codes[7] = vec![3, 3, 3, 1, 3];
    let bed = write_set(dir.path(), "x.bed", &codes, bim, false);
    let run = run_all(&bed);
    let vids: Vec<String> = run.variants().texts("vid").into_iter().flatten().collect();
    let by_path = [
        "chr2-7-A-AT",
        "chrM-50-C-T",
        "chrX-15000-C-T",
        "chrX-20000-A-G",
        "chrX-5000000-A-G",
        "chrY-3000000-A-T",
    ];
    assert_eq!(vids, by_path);
    // On MT two equal alleles are one, and a het is no call.
    assert_eq!(run.variants().ints("ac"), [3, 1, 3, 3, 3, 3]);
    assert_eq!(run.variants().ints("n_missing"), [1, 2, 1, 1, 1, 1]);
    let excluded = &run.ledger().excluded;
    assert_eq!((excluded["no_alt"], excluded["bad_record:bad_pos"]), (1, 1));
    assert_eq!((excluded["bad_record:bad_ref"], excluded["bad_record:column_count"]), (1, 1));
    // Rejects name the line of the .bim.
    let rejects = run.table("rejects/");
    let mut rows: Vec<(i64, String)> = rejects
        .longs("line")
        .into_iter()
        .zip(rejects.texts("reason").into_iter().flatten())
        .collect();
    rows.sort();
    assert_eq!(
        rows,
        [(7, "bad_pos".to_owned()), (9, "bad_ref".to_owned()), (10, "column_count".to_owned())]
    );
}

fn code_of(path: &Path) -> String {
    if let Err(error) = sample_names(path) {
        return error.code().to_owned();
    }
    let sheet = SampleSheet { exclude_unmapped: true, ..everyone_of(path) };
    run(&request(&[path.to_owned()], sheet), 2).err().map_or("none".into(), |e| e.code().to_owned())
}

#[test]
fn files_that_do_not_go_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let codes = vec![vec![2, 3, 0, 1, 3]; 3];
    let bim = "1 a 0 1 A C\n1 b 0 2 A C\n1 c 0 3 A C\n";
    let bed = write_set(dir.path(), "x.bed", &codes, bim, false);
    assert_eq!(code_of(&bed), "none");
    assert_eq!(sample_names(&bed).unwrap(), ["S0", "S1", "S2", "S3", "S4"]);
    let data = std::fs::read(&bed).unwrap();
    for (change, code) in [
        (data[..data.len() - 1].to_vec(), "genotype::plink_size"),
        ([&data[..], &[0]].concat(), "genotype::plink_size"),
        ([&data[..], &[0, 0]].concat(), "genotype::plink_size"),
        (data[..3].to_vec(), "genotype::plink_size"),
        ([&data[..4], &[0xff], &data[5..]].concat(), "genotype::plink_mismatch"),
        // Modes of .pgen would look for other files.
        ([&[0x6c, 0x1b, 3], &data[3..]].concat(), "genotype::plink_mismatch"),
        (data[..2].to_vec(), "genotype::plink_mismatch"),
    ] {
        std::fs::write(&bed, change).unwrap();
        assert_eq!(code_of(&bed), code);
    }
    std::fs::write(&bed, &data).unwrap();
    let fam = bed.with_extension("fam");
    let whole = read_text(&fam);
    std::fs::write(&fam, whole.lines().take(4).collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(code_of(&bed), "genotype::plink_size");
    // As many bytes, other samples: a bit behind the last one tells.
    std::fs::write(&fam, whole.lines().chain(["F S9", "F S10"]).collect::<Vec<_>>().join("\n"))
        .unwrap();
    assert_eq!(code_of(&bed), "none");
    std::fs::write(&bed, [&data[..4], &[0x0f], &data[5..]].concat()).unwrap();
    std::fs::write(&fam, &whole).unwrap();
    assert_eq!(code_of(&bed), "genotype::plink_mismatch");
    std::fs::write(&bed, &data).unwrap();
    std::fs::write(bed.with_extension("bim"), bim.replace("1 b", "\n1 b")).unwrap();
    assert_eq!(code_of(&bed), "genotype::plink_text");
    std::fs::remove_file(bed.with_extension("bim")).unwrap();
    assert_eq!(code_of(&bed), "genotype::missing_companion");
    std::fs::remove_file(fam).unwrap();
    assert_eq!(sample_names(&bed).unwrap_err().code(), "genotype::missing_companion");
}

#[test]
fn pgen_modes_and_dosages() {
    let dir = tempfile::tempdir().unwrap();
    let vcf = file(&dir, "in.vcf", random_vcf(21, 37, 60, false, false).as_bytes());
    let Some(out) = converted(&dir, &vcf, "plink2", &["--make-pgen"]) else { return };
    let want = run_all(&out.with_extension("pgen"));
    // Fixed width, as bytes of the specification: header, then rows of two bits.
    let fixed = dir.path().join("fixed.pgen");
    let text_of = read_text(&vcf);
    let mut bytes = vec![0x6c, 0x1b, 2, 60, 0, 0, 0, 37, 0, 0, 0, 0x40];
    for line in text_of.lines().filter(|l| !l.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').skip(9).collect();
        for four in cells.chunks(4) {
            let code =
                |gt: &&str| ["0/0", "0/1", "1/1", "./."].iter().position(|g| g == gt).unwrap();
            bytes.push(
                four.iter().enumerate().fold(0, |sum, (i, gt)| sum | (code(gt) as u8) << (2 * i)),
            );
        }
    }
    std::fs::write(&fixed, bytes).unwrap();
    for e in ["pvar", "psam"] {
        std::fs::copy(out.with_extension(e), fixed.with_extension(e)).unwrap();
    }
    let got = run_all(&fixed);
    assert_eq!(tables(&got), tables(&want));
    assert_eq!(got.ledger().noted.get("provisional_ref"), None);
    // Mode 1 under the name of a .pgen.
    let Some(bed) = converted(&dir, &vcf, "plink2", &["--make-bed", "--double-id"]) else { return };
    let one = dir.path().join("one.pgen");
    std::fs::copy(bed.with_extension("bed"), &one).unwrap();
    for e in ["pvar", "psam"] {
        std::fs::copy(out.with_extension(e), one.with_extension(e)).unwrap();
    }
    assert_eq!(tables(&run_all(&one)), tables(&want));
    // Dosages beside hard calls: the calls are read, the dosages noted.
    let mut dosages = String::new();
    for (i, line) in text_of.lines().enumerate() {
        let mut line = line.to_owned();
        if line.starts_with("##FORMAT") {
            line += "\n##FORMAT=<ID=DS,Number=A,Type=Float,Description=\"x\">";
        } else if !line.starts_with('#') {
            let mut f: Vec<String> = line.split('\t').map(str::to_owned).collect();
            f[8] += ":DS";
            for (k, cell) in f[9..].iter_mut().enumerate() {
                let value = match cell.as_str() {
                    "0/0" => "0.07",
                    "0/1" => "1.02",
                    "1/1" => "1.96",
                    _ => "0.5",
                };
                if i % 2 == 0 && (i % 4 == 0 || k % 9 == 0) {
                    *cell += &format!(":{value}");
                } else {
                    *cell += ":.";
                }
            }
            line = f.join("\t");
        }
        dosages += &line;
        dosages += "\n";
    }
    let vcf = file(&dir, "ds.vcf", dosages.as_bytes());
    let make = ["--make-pgen", "--double-id", "dosage=DS"];
    let out = dir.path().join("ds");
    let arguments = ["--vcf", text(&vcf), make[2], "--make-pgen", "--out", text(&out)];
    let Some(()) = tool("plink2", &arguments) else { return };
    let got = run_all(&out.with_extension("pgen"));
    assert!(got.ledger().noted["dosage_not_read"] > 20);
    let counts = table_of_counts(&dir, &out);
    for (ours, theirs) in ["n_hom_ref", "n_het", "n_hom_alt", "n_missing"].iter().zip(counts) {
        assert_eq!(got.variants().ints(ours), theirs, "{ours}");
    }
}

/// Hom-ref, het, hom-alt and missing counts by plink2.
fn table_of_counts(dir: &tempfile::TempDir, prefix: &Path) -> [Vec<i32>; 4] {
    let out = dir.path().join("counts");
    tool("plink2", &["--pfile", text(prefix), "--geno-counts", "--out", text(&out)]).unwrap();
    let t = table(&out.with_extension("gcount"));
    ["HOM_REF_CT", "HET_REF_ALT_CTS", "TWO_ALT_GENO_CTS", "MISSING_CT"].map(|c| numbers(&t[c]))
}

/// A .pgen of [`random_vcf`] beside its texts, for damage.
fn intact() -> Option<(tempfile::TempDir, PathBuf, Vec<u8>, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let vcf = file(&dir, "in.vcf", random_vcf(31, 301, 120, true, true).as_bytes());
    let out = converted(&dir, &vcf, "plink2", &["--make-pgen", "vzs"])?;
    let pgen = out.with_extension("pgen");
    let (data, pvar) =
        (std::fs::read(&pgen).unwrap(), std::fs::read(out.with_extension("pvar.zst")).unwrap());
    Some((dir, pgen, data, pvar))
}

#[test]
fn damaged_pgen_never_panics_and_a_cut_one_is_never_accepted() {
    let Some((_dir, pgen, data, pvar)) = intact() else { return };
    assert_eq!(code_of(&pgen), "none");
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases: 300, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut codes = BTreeMap::<String, u32>::new();
    let flips = proptest::collection::vec((0..data.len(), 1u8..=255), 1..6);
    runner
        .run(&(flips, 0..data.len(), proptest::bool::ANY), |(flips, cut, shorten)| {
            let mut damaged = data.clone();
            flips.iter().for_each(|&(at, mask)| damaged[at] ^= mask);
            if shorten {
                damaged = data[..cut].to_vec();
            }
            std::fs::write(&pgen, &damaged).unwrap();
            let code = if cut < 3 && shorten { "short".into() } else { code_of(&pgen) };
            prop_assert!(!shorten || code != "none", "cut at {}", cut);
            prop_assert!(code != "genotype::internal", "{:?} {}", flips, cut);
            Ok(())
        })
        .unwrap();
    std::fs::write(&pgen, &data).unwrap();
    for k in 1..60 {
        let at = k * data.len() / 61;
        let mut damaged = data.clone();
        damaged[at] ^= 1 << (k % 8);
        std::fs::write(&pgen, damaged).unwrap();
        *codes.entry(code_of(&pgen)).or_default() += 1;
    }
    assert!(codes.len() > 1 && !codes.contains_key("genotype::internal"), "{codes:?}");
    std::fs::write(&pgen, &data).unwrap();
    let path = pgen.with_extension("pvar.zst");
    for cut in (0..pvar.len()).step_by(97) {
        std::fs::write(&path, &pvar[..cut]).unwrap();
        let code = code_of(&pgen);
        assert!(code != "none" && code != "genotype::internal", "{cut} {code}");
    }
}
