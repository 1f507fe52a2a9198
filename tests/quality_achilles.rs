//! Achilles analyses: a small extract worked out by hand, invariance, and OHDSI's own SQL as oracle.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use strata::engine::Job;
use strata::omop::{CdmVersion, ExtractRequest, Scope, SiteExtract, ingest};
use strata::quality::achilles::{Request, analyse};
use strata::quality::report;

fn extract(folder: &Path, out: &Path, cdm: CdmVersion, scope: Scope) -> SiteExtract {
    let request = ExtractRequest {
        site: "site_a".into(),
        path: folder.to_path_buf(),
        cdm,
        scope,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    let extract = ingest(&request, &Job::quiet(out, 2)).unwrap();
    SiteExtract { extract, root: out.to_path_buf() }
}

fn request(tables: SiteExtract, small_cell_count: u64) -> Request {
    Request {
        vocabulary: Some(tables.clone()),
        tables,
        small_cell_count,
        reference_date: "2026-01-01".parse().unwrap(),
    }
}

type Rows = BTreeMap<(String, Vec<String>), u64>;

fn results(out: &Path) -> Rows {
    let text = std::fs::read_to_string(out.join("quality/achilles/achilles_results.csv")).unwrap();
    let row = |line: &str| {
        let cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let strata = cells[1..6].iter().filter(|s| !s.is_empty()).cloned().collect();
        ((cells[0].clone(), strata), cells[6].parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

fn get(rows: &Rows, analysis: u16, strata: &[&str]) -> Option<u64> {
    let strata = strata.iter().map(|&s| s.to_owned()).collect();
    rows.get(&(analysis.to_string(), strata)).copied()
}

/// Three persons: one seen twice with a drug, one whose records lie outside observation, one unobserved.
fn small(folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "person.csv",
        "person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id\n\
         3,8507,1950,0,0\n1,8532,1980,8527,0\n2,8507,1995,8527,0\n",
    );
    write(
        "observation_period.csv",
        "observation_period_id,person_id,observation_period_start_date,observation_period_end_date,\
         period_type_concept_id\n1,1,2010-01-01,2011-12-31,0\n2,2,2010-03-15,2010-06-30,0\n\
         3,1,2013-01-01,2013-02-28,0\n",
    );
    write(
        "drug_exposure.csv",
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,\
         drug_exposure_end_date,drug_type_concept_id,quantity\n\
         1,1,77,2010-05-01,2010-05-02,9,10\n2,2,77,2010-01-01,2010-01-02,9,99\n\
         3,1,77,2011-05-01,2011-05-02,9,30\n4,3,88,2010-05-01,2010-05-02,9,1\n\
         5,2,77,2010-06-30,2010-07-02,9,20\n6,1,88,2010-05-09,2010-05-09,9,\n",
    );
    write("death.csv", "person_id,death_date,death_type_concept_id\n3,2012-01-01,5\n");
}

#[test]
fn a_small_extract_is_counted_as_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let typed = dir.path().join("typed");
    let tables = extract(dir.path(), &typed, CdmVersion::V5_4, Scope::Records);
    let out = dir.path().join("out");
    let output = analyse(&request(tables, 0), &Job::quiet(&out, 2)).unwrap();
    assert!(output.ledger.unbalanced().is_empty());
    let rows = results(&out);
    let drugs = output.ledger.0.iter().find(|t| t.table == "achilles/drug_exposure").unwrap();
    assert_eq!(drugs.rows_in, 6);
    for (analysis, strata, count) in [
        (1, &[][..], Some(3)),
        (2, &["8507"], Some(2)),
        (11, &["1950", "8507"], None),
        (11, &["1980", "8532"], Some(1)),
        (101, &["30"], Some(1)),
        (101, &["15"], Some(1)),
        (109, &["2010"], Some(1)),
        (109, &["2011"], Some(1)),
        (110, &["201003"], Some(1)),
        (113, &["2"], Some(1)),
        (116, &["2010", "8532", "3"], Some(1)),
        (117, &["201004"], Some(2)),
        (117, &["201212"], None),
        (700, &["77"], Some(2)),
        (701, &["77"], Some(3)),
        (701, &["88"], Some(1)),
        (702, &["77", "201005"], Some(1)),
        (704, &["77", "2010", "8532", "3"], Some(1)),
        (705, &["77", "9"], Some(3)),
        (720, &["201005"], Some(2)),
        (791, &["77", "1"], Some(2)),
        (791, &["77", "2"], Some(1)),
        (2000, &[], Some(0)),
        (2004, &["0100100", "0.3333333333333333"], Some(1)),
    ] {
        assert_eq!(get(&rows, analysis, strata), count, "analysis {analysis} {strata:?}");
    }
    let dist = std::fs::read_to_string(out.join("quality/achilles/achilles_results_dist.csv"));
    let dist = dist.unwrap();
    assert!(dist.lines().any(|l| l == "717,77,,,,,3,10,30,20,10,20,10,10,30,30"), "{dist}");
}

#[test]
fn threads_memory_and_repetition_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let typed = dir.path().join("typed");
    let tables = extract(dir.path(), &typed, CdmVersion::V5_4, Scope::Records);
    let run = |name: &str, threads: usize, memory: u64| {
        let out = dir.path().join(name);
        let job = Job { memory, ..Job::quiet(&out, threads) };
        analyse(&request(tables.clone(), 0), &job).unwrap().files
    };
    let one = run("one", 1, 1 << 30);
    assert_eq!(one, run("two", 3, 1 << 30));
    // Room for two rows a pass: the persons are taken in slices.
    assert_eq!(one, run("three", 2, 4 * 16 * 2));
}

#[test]
fn small_cells_are_left_out_on_request() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let typed = dir.path().join("typed");
    let tables = extract(dir.path(), &typed, CdmVersion::V5_4, Scope::Records);
    let out = dir.path().join("out");
    analyse(&request(tables, 2), &Job::quiet(&out, 1)).unwrap();
    let rows = results(&out);
    assert_eq!(get(&rows, 701, &["77"]), Some(3));
    assert!(rows.iter().all(|(_, &n)| n > 2));
}

#[expect(clippy::print_stdout, reason = "says why the test did nothing")]
fn compare(name: &str, cdm: CdmVersion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data: PathBuf = root.join("../shared/data/omop").join(name);
    if !data.is_dir() {
        println!("skipped: {name} is not in the shared test data");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tables = extract(&data, dir.path(), cdm, Scope::Both);
    let out = dir.path().join("out");
    analyse(&request(tables, 0), &Job::quiet(&out, 2)).unwrap();
    let python = std::env::var("STRATA_ORACLE_PYTHON").unwrap_or_else(|_| "python3".into());
    let oracle = Command::new(python)
        .arg(root.join("tests/quality_oracle/achilles.py"))
        .arg(dir.path().join("typed/site_a"))
        .arg(out.join("quality/achilles"))
        .output();
    let Ok(oracle) = oracle else {
        println!("skipped: no python3");
        return;
    };
    let said = String::from_utf8_lossy(&oracle.stdout).into_owned();
    println!("{name}: {said}{}", String::from_utf8_lossy(&oracle.stderr));
    if oracle.status.code() == Some(77) {
        println!("skipped: {said}");
        return;
    }
    assert!(oracle.status.success(), "{name}: {said}");
}

#[test]
fn gibleed_agrees_with_achilles() {
    compare("gibleed", CdmVersion::V5_3);
}

#[test]
fn synthea_agrees_with_achilles() {
    compare("synthea27nj", CdmVersion::V5_4);
}

#[test]
fn the_tab_set_agrees_with_achilles() {
    compare("quirks-tab-100", CdmVersion::V5_4);
}

#[test]
fn the_page_is_self_contained_and_shows_counts_checks_and_rules() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let typed = dir.path().join("typed");
    let tables = extract(dir.path(), &typed, CdmVersion::V5_4, Scope::Records);
    let out = dir.path().join("out");
    let job = Job::quiet(&out, 1);
    analyse(&request(tables, 0), &job).unwrap();
    let check = |name: &str, failed: bool| report::CheckSummary {
        check_name: name.into(),
        cdm_table_name: "drug_exposure".into(),
        cdm_field_name: "drug_concept_id".into(),
        category: "Conformance".into(),
        num_violated_rows: 3,
        num_denominator_rows: 6,
        threshold: 0.0,
        failed,
        not_applicable: false,
        is_error: false,
    };
    let rule = report::RuleCount {
        rule: "drop_<future>".into(),
        table: "death".into(),
        removed: 12_345,
        changed: 0,
        made: 0,
    };
    // A check that could not be run has neither passed nor failed.
    let unrun = report::CheckSummary { is_error: true, ..check("fkDomain", false) };
    let request = report::Request {
        title: "A & B",
        results: &out,
        vocabulary: None,
        small_cell_count: 0,
        checks: &[check("isRequired", true), check("isForeignKey", false), unrun],
        rules: &[rule],
    };
    let entry = report::write(&request, &job).unwrap();
    assert_eq!(entry.path, "quality/ehr_report.html");
    let html = std::fs::read_to_string(out.join(entry.path)).unwrap();
    for text in [
        "A &amp; B",
        "1 of 2",
        "could not be run",
        "50.0 %",
        "drop_&lt;future&gt;",
        "12,345",
        "concept 77",
    ] {
        assert!(html.contains(text), "{text} is not on the page");
    }
    assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
}
