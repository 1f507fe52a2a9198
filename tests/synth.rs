//! The made-up programme: the same bytes on any number of threads, and what `truth.json` says holds.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::MultiGzDecoder;
use strata::engine::job::Silent;
use strata::synth::{Error, SynthReport, SynthRequest, generate};

/// The request behind `testdata/quickstart`; its README names it too.
fn quickstart(out: &Path) -> SynthRequest {
    SynthRequest { persons: 300, variants: 2000, seed: 20260101, out: out.into(), threads: 2 }
}

fn made(persons: u32, variants: u32, seed: u64) -> (tempfile::TempDir, SynthReport) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_path_buf();
    let request = SynthRequest { persons, variants, seed, out, threads: 2 };
    let report = generate(&request, &Silent).unwrap();
    (dir, report)
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                out.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    out
}

fn assert_same_names(a: &Path, b: &Path, help: &str) {
    let names = |root| files(root).into_keys().collect::<Vec<_>>();
    assert_eq!(names(a), names(b), "{help}");
}

fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut text = String::new();
        MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        text
    } else {
        String::from_utf8(bytes).unwrap()
    }
}

/// Records of all VCF files: fixed columns and genotypes.
fn records(root: &Path, report: &SynthReport) -> Vec<(Vec<String>, Vec<String>)> {
    let mut out = Vec::new();
    for vcf in &report.vcf {
        for line in text(&root.join(&vcf.file)).lines().filter(|l| !l.starts_with('#')) {
            let mut fields = line.split('\t').map(str::to_owned);
            let fixed: Vec<String> = fields.by_ref().take(9).collect();
            out.push((fixed, fields.collect()));
        }
    }
    out
}

#[test]
fn same_bytes_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let out = |name: &str| dir.path().join(name);
    for (name, threads) in [("one", 1), ("three", 3)] {
        let request =
            SynthRequest { persons: 400, variants: 3000, seed: 7, out: out(name), threads };
        generate(&request, &Silent).unwrap();
    }
    assert_same_names(&out("one"), &out("three"), "threads must not show");
    let three = files(&out("three"));
    for (path, bytes) in files(&out("one")) {
        assert!(bytes == three[&path], "threads show in {}", path.display());
    }
    let request =
        SynthRequest { persons: 400, variants: 3000, seed: 8, out: out("other"), threads: 1 };
    generate(&request, &Silent).unwrap();
    assert_ne!(files(&out("one")), files(&out("other")), "the seed must matter");
}

#[test]
fn quickstart_is_what_the_program_makes() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/quickstart");
    if std::env::var_os("STRATA_UPDATE_TESTDATA").is_some() {
        let _ = std::fs::remove_dir_all(&committed);
        generate(&quickstart(&committed), &Silent).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    generate(&quickstart(dir.path()), &Silent).unwrap();
    let help = "testdata/README.md says how to make it again";
    assert_same_names(&committed, dir.path(), help);
    // By content: another release of a compressor may pack the same text differently.
    for path in files(&committed).keys() {
        let same = text(&committed.join(path)) == text(&dir.path().join(path));
        assert!(same, "{} differs. {help}", path.display());
    }
    let size: usize = files(&committed).values().map(Vec::len).sum();
    assert!(size <= 2 << 20, "{size} bytes are too many for a repository");
}

#[test]
fn tables_hold_what_truth_says() {
    let (dir, report) = made(600, 500, 3);
    let truth: serde_json::Value =
        serde_json::from_str(&text(&dir.path().join("truth.json"))).unwrap();
    assert_eq!(truth, serde_json::to_value(&report).unwrap());
    let person_ids: BTreeSet<String> = column(&text(&dir.path().join("omop/person.csv")), 0);
    for table in &report.tables {
        let text = text(&dir.path().join(&table.file));
        let mut lines = text.lines();
        let header = lines.next().unwrap();
        assert_eq!(lines.count() as u64, table.rows, "{}", table.file);
        let separator = if header.contains('\t') { b'\t' } else { b',' };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .quoting(separator == b',')
            .from_reader(text.as_bytes());
        let mut keys = BTreeSet::new();
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        for row in reader.records() {
            let row = row.expect("no ragged rows");
            if !table.file.starts_with("omop/") || table.file == "omop/cdm_source.csv" {
                continue;
            }
            let person = header.split(',').position(|c| c == "person_id");
            let date = header.split(',').position(|c| c.ends_with("_date"));
            if !keys.insert(row[0].to_owned()) {
                *found.entry("duplicate_key").or_default() += 1;
            } else if person.is_some_and(|p| !person_ids.contains(&row[p])) {
                *found.entry("orphan_person").or_default() += 1;
            } else if date.is_some_and(|d| row[d].parse::<jiff::civil::Date>().is_err()) {
                *found.entry("unparsable_date").or_default() += 1;
            }
        }
        assert_eq!(found, table.dirty, "{}", table.file);
    }
    let dirty: u64 = report.tables.iter().flat_map(|t| t.dirty.values()).sum();
    assert!(dirty > 10, "the quarantine must not stay empty");
    let roster = text(&dir.path().join("participants.csv"));
    assert_eq!(column(&roster, 0), person_ids);
    let withdrawn = roster.lines().filter(|l| l.contains(",withdrawn,")).count() as u64;
    assert_eq!(withdrawn, report.participants.withdrawn);
    assert_eq!(withdrawn, 6);
    assert!(report.participants.aged_88 >= 6 && report.participants.aged_89_and_over >= 12);
}

fn column(table: &str, at: usize) -> BTreeSet<String> {
    table.lines().skip(1).map(|l| l.split(',').nth(at).unwrap().to_owned()).collect()
}

#[test]
fn events_lie_between_birth_and_death() {
    let (dir, _) = made(500, 10, 11);
    let read = |file: &str| text(&dir.path().join(file));
    let births: BTreeMap<String, String> = read("omop/person.csv")
        .lines()
        .skip(1)
        .map(|l| l.split(',').collect::<Vec<_>>())
        .map(|f| (f[0].to_owned(), f[5][..10].to_owned()))
        .collect();
    let deaths: BTreeMap<String, String> = read("omop/death.csv")
        .lines()
        .skip(1)
        .map(|l| l.split(',').collect::<Vec<_>>())
        .map(|f| (f[0].to_owned(), f[1].to_owned()))
        .collect();
    assert!(!deaths.is_empty());
    for table in ["condition_occurrence", "visit_occurrence", "measurement", "observation"] {
        for line in read(&format!("omop/{table}.csv.gz")).lines().skip(1) {
            let f: Vec<&str> = line.split(',').collect();
            let Some(birth) = births.get(f[1]) else { continue };
            let date = f[3];
            if date.parse::<jiff::civil::Date>().is_err() {
                continue;
            }
            assert!(birth.as_str() < date && date < "2026-01-01", "{table}");
            assert!(deaths.get(f[1]).is_none_or(|d| date <= d.as_str()), "{table} after death");
        }
    }
}

#[test]
fn sites_look_like_a_sequenced_population() {
    let (dir, report) = made(1000, 6000, 5);
    let mut total = strata::synth::SiteCounts::default();
    report.vcf.iter().for_each(|v| total.add(&v.sites));
    assert_eq!(total.records, 6000);
    let share = |n: u64| n as f64 / total.records as f64;
    assert!(share(total.under_one_percent) > 0.6, "{total:?}");
    assert!((0.15..0.5).contains(&share(total.singletons)), "{total:?}");
    let ti_tv = total.transitions as f64 / total.transversions as f64;
    assert!((1.9..2.5).contains(&ti_tv), "{ti_tv}");
    assert!((0.06..0.10).contains(&share(total.insertions + total.deletions)), "{total:?}");
    assert!((0.002..0.01).contains(&share(total.multiallelic)), "{total:?}");
    let missing = total.missing_genotypes as f64 / (total.records * report.samples) as f64;
    assert!((0.0007..0.0013).contains(&missing), "{missing}");

    let mut last = (String::new(), 0_u32);
    for (fixed, genotypes) in records(dir.path(), &report) {
        assert_eq!(genotypes.len() as u64, report.samples);
        let pos: u32 = fixed[1].parse().unwrap();
        assert!(fixed[0] != last.0 || pos > last.1, "sorted, no two variants overlap");
        last = (fixed[0].clone(), pos + fixed[3].len() as u32 - 1);
        let alleles: Vec<&str> =
            genotypes.iter().filter(|g| *g != "./.").flat_map(|g| g.split('|')).collect();
        let count = |a: &str| alleles.iter().filter(|&&b| a == b).count();
        let ac = if fixed[4].contains(',') {
            format!("AC={},{};", count("1"), count("2"))
        } else {
            format!("AC={};", count("1"))
        };
        assert!(fixed[7].starts_with(&ac), "{} {ac}", fixed[7]);
        assert!(fixed[7].contains(&format!(";AN={};", alleles.len())), "{}", fixed[7]);
    }
}

#[test]
fn array_agrees_with_the_genomes() {
    let (dir, report) = made(200, 3000, 17);
    let genomes: BTreeMap<(String, String), Vec<String>> = records(dir.path(), &report)
        .into_iter()
        .map(|(f, g)| ((f[0].clone(), f[1].clone()), g))
        .collect();
    let array = text(&dir.path().join("array/array.vcf.gz"));
    let mut seen = 0;
    for line in array.lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let genome = &genomes[&(fields[0].to_owned(), fields[1].to_owned())];
        let phased: Vec<String> = fields[9..].iter().map(|g| g.replace('/', "|")).collect();
        let same = genome.iter().zip(&phased).all(|(g, a)| &g.replace('/', "|") == a);
        assert!(same && fields[2].starts_with("rs") && !line.contains('|'));
        seen += 1;
    }
    assert_eq!(seen, report.array_records);
    assert!(seen > 20, "{seen} records");
}

#[test]
fn groups_differ_as_populations_do() {
    let (dir, report) = made(1500, 1500, 9);
    let ancestry: Vec<String> = text(&dir.path().join("ancestry_preds.tsv"))
        .lines()
        .skip(1)
        .map(|l| l.split('\t').nth(1).unwrap().to_owned())
        .collect();
    // Hudson's estimator (Bhatia 2013), ratio of sums, common variants of afr and eur.
    let (mut between, mut within) = (0.0, 0.0);
    for (fixed, genotypes) in records(dir.path(), &report) {
        if fixed[4].contains(',') {
            continue;
        }
        let frequency = |group: &str| {
            let (mut ones, mut all) = (0.0, 0.0);
            for (g, a) in genotypes.iter().zip(&ancestry) {
                if a == group && g != "./." {
                    ones += g.matches('1').count() as f64;
                    all += 2.0;
                }
            }
            (ones / all, all)
        };
        let ((p, n), (q, m)) = (frequency("afr"), frequency("eur"));
        if (p + q) / 2.0 > 0.05 {
            between += (p - q).powi(2) - p * (1.0 - p) / (n - 1.0) - q * (1.0 - q) / (m - 1.0);
            within += p * (1.0 - q) + q * (1.0 - p);
        }
    }
    let fst = between / within;
    assert!((0.03..0.2).contains(&fst), "{fst}");
}

#[test]
fn risk_allele_raises_the_odds() {
    let (dir, report) = made(2500, 300, 1);
    let planted = report.association.as_ref().unwrap();
    assert!(planted.odds_ratio() > 1.3, "{planted:?}");
    // The same table, from the files a user has.
    let record = records(dir.path(), &report)
        .into_iter()
        .find(|(f, _)| f[0] == planted.chrom && f[1] == planted.pos.to_string())
        .unwrap();
    assert_eq!((&record.0[3], &record.0[4]), (&planted.reference, &planted.alt));
    let cases: BTreeSet<String> = text(&dir.path().join("omop/condition_occurrence.csv.gz"))
        .lines()
        .map(|l| l.split(',').collect::<Vec<_>>())
        .filter(|f| f[2] == planted.condition_concept_id.to_string())
        .map(|f| f[1].to_owned())
        .collect();
    let map = text(&dir.path().join("sample_person.csv"));
    let mut cells = [0_u64; 4];
    for (line, genotype) in map.lines().skip(1).zip(&record.1) {
        if genotype != "./." {
            let person = line.split(',').nth(1).unwrap();
            cells[2 * usize::from(!genotype.contains('1'))
                + usize::from(!cases.contains(person))] += 1;
        }
    }
    let truth = [
        planted.carriers_with,
        planted.carriers_without,
        planted.others_with,
        planted.others_without,
    ];
    assert_eq!(cells, truth);
}

#[test]
fn relatives_share_haplotypes() {
    let (dir, report) = made(600, 2000, 13);
    let names: Vec<String> = text(&dir.path().join("sample_person.csv"))
        .lines()
        .skip(1)
        .map(|l| l.split(',').next().unwrap().to_owned())
        .collect();
    let records = records(dir.path(), &report);
    let opposite = |a: usize, b: usize| {
        let far = |g: &(Vec<String>, Vec<String>)| {
            matches!((g.1[a].as_str(), g.1[b].as_str()), ("0|0", "1|1") | ("1|1", "0|0"))
        };
        records.iter().filter(|g| far(g)).count()
    };
    let different = |a: usize, b: usize| {
        let other =
            |g: &(Vec<String>, Vec<String>)| g.1[a] != g.1[b] && g.1[a] != "./." && g.1[b] != "./.";
        records.iter().filter(|g| other(g)).count()
    };
    let mut seen = BTreeSet::new();
    for pair in &report.relatives {
        let [Some(a), Some(b)] = &pair.sample_ids else { continue };
        let at = |name: &String| names.iter().position(|n| n == name).unwrap();
        match pair.relation {
            "parent_child" => assert_eq!(opposite(at(a), at(b)), 0, "one allele is shared"),
            "identical_twins" => assert_eq!(different(at(a), at(b)), 0),
            _ => {}
        }
        seen.insert(pair.relation);
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["identical_twins", "parent_child", "siblings"]
    );
    assert!(opposite(0, 1) + opposite(2, 3) > 10, "strangers are not alike");
}

#[test]
fn bcftools_agrees() {
    let version = Command::new("bcftools").arg("--version").output();
    if !version.is_ok_and(|v| v.status.success()) {
        println!("skipped: bcftools is not installed");
        return;
    }
    let (dir, report) = made(300, 900, 21);
    for vcf in &report.vcf {
        let path = dir.path().join(&vcf.file);
        let run = |arguments: &[&str]| {
            let out = Command::new("bcftools").args(arguments).arg(&path).output().unwrap();
            let errors = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success(), "{arguments:?}: {errors}");
            (String::from_utf8(out.stdout).unwrap(), errors)
        };
        let (stats, warnings) = run(&["stats"]);
        assert!(stats.contains(&format!("number of records:\t{}", vcf.sites.records)));
        assert!(!warnings.to_lowercase().contains("warn"), "{warnings}");
        let format = "%POS %REF %ALT %INFO/AC %INFO/AN\n";
        let (ours, _) = run(&["query", "-f", format]);
        let filled = dir.path().join("filled.vcf");
        let filled = filled.to_str().unwrap();
        let bare = Command::new("bcftools")
            .args(["+fill-tags", "-o", filled])
            .arg(&path)
            .args(["--", "-t", "AC,AN"])
            .status();
        assert!(bare.is_ok_and(|s| s.success()));
        let theirs =
            Command::new("bcftools").args(["query", "-f", format, filled]).output().unwrap();
        assert_eq!(ours, String::from_utf8(theirs.stdout).unwrap());
    }
}

#[test]
fn refuses_what_it_cannot_make() {
    use strata::error::Coded;
    let (dir, _) = made(1, 0, 1);
    let again = SynthRequest {
        persons: 1,
        variants: 0,
        seed: 1,
        out: dir.path().to_path_buf(),
        threads: 1,
    };
    let full = generate(&again, &Silent).unwrap_err();
    assert_eq!(full.code(), "synth::not_empty");
    let out = dir.path().join("new");
    let nobody = SynthRequest { persons: 0, out: out.clone(), ..again.clone() };
    assert_eq!(generate(&nobody, &Silent).unwrap_err().code(), "synth::no_persons");
    let endless = SynthRequest { variants: u32::MAX, out, ..again };
    assert!(matches!(generate(&endless, &Silent), Err(Error::TooManyVariants { .. })));
}

/// The size of the benches. Not run by default: it writes some hundred megabytes.
#[test]
#[ignore = "writes a programme of 2,500 people and 200,000 variants"]
fn bench_size_takes_well_under_a_minute() {
    let started = std::time::Instant::now();
    let (dir, report) = made(2500, 200_000, 1);
    let took = started.elapsed();
    let size: usize = files(dir.path()).values().map(Vec::len).sum();
    println!("{took:?}, {} samples, {size} bytes", report.samples);
    assert!(took.as_secs() < 40, "{took:?}");
}
