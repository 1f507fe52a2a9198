//! The quality report: its numbers are the tables', its bytes are theirs alone, and it names nobody.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use strata::genotype::{Sex, sample_names};
use support::{Run, bgzf, everyone, file, read_text, request, run, shared};

const REPORT: &str = "quality/genomics/wgs/report.html";

fn page(run: &Run) -> String {
    std::fs::read_to_string(run.dir.path().join(REPORT)).unwrap().replace("&#x2f;", "/")
}

fn groups() -> BTreeMap<String, String> {
    let Some(path) = shared("link/ancestry_preds.tsv") else { return BTreeMap::new() };
    let pair = |l: &str| {
        l.split_once('\t').map(|(a, b)| (a.to_owned(), b.split('\t').next().unwrap().to_owned()))
    };
    read_text(&path).lines().skip(1).filter_map(pair).collect()
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn tile(page: &str, name: &str) -> String {
    let at = page
        .find(&format!("<dt>{name}</dt><dd>"))
        .unwrap_or_else(|| unreachable!("no tile {name}"));
    let rest = &page[at..];
    rest[rest.find("<dd>").unwrap() + 4..rest.find("</dd>").unwrap()].to_owned()
}

/// The counts in the words shown on pointing at the bars of one plot.
fn bars(page: &str, about: &str) -> BTreeMap<String, u64> {
    let svg = page
        .split(&format!("aria-label=\"{about}\""))
        .nth(1)
        .unwrap()
        .split("</svg>")
        .next()
        .unwrap();
    let mut out = BTreeMap::new();
    for title in svg.split("<title>").skip(1) {
        let title = title.split("</title>").next().unwrap();
        let (name, rest) = title.split_once(": ").unwrap();
        let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        *out.entry(name.replace("&lt;", "<")).or_default() +=
            digits.replace(',', "").parse::<u64>().unwrap();
    }
    out
}

fn vcf(samples: usize, records: usize) -> String {
    let mut text =
        String::from("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT");
    (0..samples).for_each(|s| text += &format!("\tNAME_{s}_{}", s * 7919 % 1000));
    text.push('\n');
    let mut state = 12345u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let chroms = ["1", "2", "22", "X"];
    for r in 0..records {
        let chrom = chroms[r * chroms.len() / records];
        let (reference, alt) =
            [("A", "G"), ("C", "T"), ("A", "C"), ("A", "ATT"), ("CAG", "C"), ("A", "<DEL>")]
                [next() as usize % 6];
        text += &format!("{chrom}\t{}\t.\t{reference}\t{alt}\t.\tPASS\t.\tGT", 1_000_000 + 900 * r);
        let common = next() % 20 + 1;
        for _ in 0..samples {
            text += ["\t0/0", "\t0/1", "\t1/1", "\t./."][match next() % (6 * common) {
                0 => 1,
                1 if next() % 2 == 0 => 2,
                2 if next() % 5 == 0 => 3,
                _ => 0,
            }];
        }
        text.push('\n');
    }
    text
}

fn made(text: &str, threads: usize) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let mut sheet = everyone(&path, &BTreeMap::new());
    for (i, entry) in sheet.included.values_mut().enumerate() {
        entry.ancestry = ["afr", "eur", "eas"].get(i % 4).map(|g| (*g).to_owned());
        entry.sex = [Sex::Female, Sex::Male].get(i % 3).copied();
    }
    run(&request(&[path], sheet), threads).unwrap()
}

fn check_numbers(run: &Run) {
    let page = page(run);
    let (v, s) = (run.variants(), run.table("/samples/"));
    assert_eq!(tile(&page, "variants"), thousands(v.len()));
    assert_eq!(tile(&page, "people"), thousands(s.len()));
    let kinds = v.texts("variant_type");
    let of = |k: &str| kinds.iter().filter(|x| x.as_deref() == Some(k)).count();
    assert_eq!(tile(&page, "SNVs"), thousands(of("snv")));
    assert_eq!(
        tile(&page, "insertions and deletions"),
        thousands(of("insertion") + of("deletion"))
    );
    let (called, missing): (i64, i64) = v
        .ints("n_called")
        .iter()
        .zip(v.ints("n_missing"))
        .fold((0, 0), |t, (&c, m)| (t.0 + i64::from(c), t.1 + i64::from(m)));
    let share = 100.0 * called as f64 / (called + missing) as f64;
    let shown: f64 = tile(&page, "genotypes called").trim_end_matches(" %").parse().unwrap();
    assert!((shown - share).abs() <= 0.05, "{shown} {share}");
    // Every bar of the spectrum, from the tables.
    let (ac, an) = (v.ints("ac"), v.ints("an"));
    let count = |is: &dyn Fn(usize) -> bool| (0..v.len()).filter(|&i| is(i)).count() as u64;
    let spectrum = bars(&page, "Variants by allele frequency");
    assert_eq!(spectrum.values().sum::<u64>(), v.len() as u64);
    let get = |name: &str| spectrum.get(name).copied().unwrap_or(0);
    assert_eq!(get("none"), count(&|i| ac[i] == 0));
    assert_eq!(get("1 copy"), count(&|i| ac[i] == 1));
    assert_eq!(get("2 copies"), count(&|i| ac[i] == 2));
    let between = |low: f64, high: f64| {
        count(&|i| {
            let af = f64::from(ac[i]) / f64::from(an[i].max(1));
            ac[i] > 2 && (low..high).contains(&af)
        })
    };
    assert_eq!(get("< 5 %"), between(0.02, 0.05));
    assert_eq!(get("< 50 %"), between(0.2, 0.5));
    assert_eq!(get("50 % +"), between(0.5, 1.1));
    let (refs, alts) = (v.texts("ref"), v.texts("alt"));
    let ti = count(&|i| {
        let change = format!("{}{}", refs[i].as_ref().unwrap(), alts[i].as_ref().unwrap());
        ["AG", "GA", "CT", "TC"].contains(&change.as_str())
    });
    let tv = of("snv") as u64 - ti;
    assert_eq!(
        tile(&page, "Ti/Tv"),
        if tv > 0 { format!("{:.2}", ti as f64 / tv as f64) } else { "–".into() }
    );
    let density = bars(&page, "Variants by chromosome and megabase");
    assert_eq!(density.values().sum::<u64>(), v.len() as u64);
    let rates = s.floats("call_rate");
    let by_person = bars(&page, "People by share of missing calls");
    assert_eq!(by_person.values().sum::<u64>(), rates.iter().flatten().count() as u64);
    assert_eq!(
        by_person.get("none").copied().unwrap_or(0),
        rates.iter().flatten().filter(|r| **r >= 1.0).count() as u64
    );
    let ledger = run.ledger();
    for (reason, n) in &ledger.excluded {
        let line =
            format!("<code>{reason}</code></th><td class=\"n\">{}</td>", thousands(*n as usize));
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn numbers_are_those_of_the_tables() {
    check_numbers(&made(&vcf(60, 900), 2));
    for name in ["vcf/hail_sample_1kg_chr20_100s.vcf.gz", "vcf/hail_sample2_multiallelic.vcf.gz"] {
        let Some(path) = shared(name) else { continue };
        check_numbers(
            &run(&request(std::slice::from_ref(&path), everyone(&path, &groups())), 2).unwrap(),
        );
    }
}

#[test]
fn bytes_follow_from_the_tables_alone() {
    let text = vcf(40, 700);
    let one = page(&made(&text, 1));
    assert_eq!(page(&made(&text, 4)), one);
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "other_name.vcf.gz", &bgzf(text.as_bytes(), 999));
    let plain = file(&dir, "in.vcf", text.as_bytes());
    let report =
        |p: &Path| page(&run(&request(&[p.to_owned()], everyone(p, &BTreeMap::new())), 3).unwrap());
    assert_eq!(report(&path), report(&plain));
}

#[test]
fn it_is_private_and_asks_for_nothing() {
    let run = made(&vcf(30, 200), 2);
    let entry = run.output.files.iter().find(|f| f.path == REPORT).unwrap();
    assert_eq!((entry.tier.as_str(), entry.rows), ("quality", None));
    let mode = std::fs::metadata(run.dir.path().join(REPORT)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let page = page(&run);
    for word in ["<script", "http:", "https:", " src=", "url(", "@import", "NAME_", "NaN", "inf"] {
        assert!(!page.contains(word), "{word}");
    }
    if let Some(path) = shared("vcf/hail_sample_1kg_chr20_100s.vcf.gz") {
        let run = support::run_all(&path);
        let page = self::page(&run);
        assert!(sample_names(&path).unwrap().iter().all(|n| !page.contains(n.as_str())));
    }
}

#[test]
fn a_callset_without_calls_has_a_report() {
    let missing = made(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tNAME_1\n1\t5\t.\tA\tG\t.\t.\t.\tGT\t./.\n",
        1,
    );
    check_numbers_of_missing(&self::page(&missing));
}

fn check_numbers_of_missing(page: &str) {
    assert_eq!(tile(page, "genotypes called"), "0 %");
    assert!(!page.contains("NaN") && !page.contains(" inf"));
}

#[test]
fn memory_and_size_do_not_grow_with_people() {
    let small = page(&made(&vcf(50, 60), 2)).len();
    let large = page(&made(&vcf(3000, 60), 2)).len();
    assert!(large < small + 400_000, "{small} {large}");
    println!("{small} bytes for 50 people, {large} for 3,000");
}

/// Keeps pages to look at: `STRATA_REPORTS=folder cargo test --release --test genotype_report pages`.
#[test]
fn pages_to_look_at() {
    let Some(folder) = std::env::var_os("STRATA_REPORTS") else { return };
    let keep = |name: &str, run: &Run| {
        std::fs::write(Path::new(&folder).join(format!("{name}.html")), page(run)).unwrap();
    };
    keep("made", &made(&vcf(400, 4000), 2));
    for name in [
        "plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz",
        "shapeit4_1kg_chr20_300s.vcf.gz",
        "hail_sample2_multiallelic.vcf.gz",
    ] {
        let Some(path) = shared(&format!("vcf/{name}")) else { continue };
        let run =
            run(&request(std::slice::from_ref(&path), everyone(&path, &groups())), 2).unwrap();
        keep(name, &run);
    }
    if let Some(extra) = std::env::var_os("STRATA_REPORT_VCF") {
        let path = std::path::PathBuf::from(extra);
        keep(
            "extra",
            &run(&request(std::slice::from_ref(&path), everyone(&path, &groups())), 2).unwrap(),
        );
    }
}
