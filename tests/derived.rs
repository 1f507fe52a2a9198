//! Derived tables side by side with the scripts of the OMOP CDM, and by their boundaries.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use strata::derived::{self, Known, Request};
use strata::engine::Job;
use strata::omop::{self, CdmVersion, ExtractRequest, Scope, SiteExtract};

fn ingest(path: &Path, cdm: CdmVersion, root: &Path) -> SiteExtract {
    ingest_of(Scope::Both, path, cdm, root)
}

fn ingest_of(scope: Scope, path: &Path, cdm: CdmVersion, root: &Path) -> SiteExtract {
    let request = ExtractRequest {
        site: "site".into(),
        path: path.to_owned(),
        cdm,
        scope,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    let extract = omop::ingest(&request, &Job::quiet(root, 2)).unwrap();
    SiteExtract { extract, root: root.to_owned() }
}

fn request(records: &SiteExtract) -> Request<'_> {
    Request {
        records,
        vocabulary: Some(records),
        folder: "derived",
        eras: true,
        periods: true,
        summaries: true,
        cutoff: i32::MAX,
        reference_date: 20_454,
        known: Known::default(),
    }
}

/// A folder of CSV tables with what a person needs.
fn feed(tables: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in tables {
        std::fs::write(dir.path().join(format!("{name}.csv")), text).unwrap();
    }
    dir
}

/// Integer and date columns of a derived table, row by row.
fn rows(root: &Path, table: &str) -> Vec<Vec<Option<i64>>> {
    let mut rows = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("derived").join(table))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let reader =
            ParquetRecordBatchReader::try_new(std::fs::File::open(file).unwrap(), 1 << 16).unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            for i in 0..batch.num_rows() {
                let cell = |c: &arrow::array::ArrayRef| {
                    if arrow::array::Array::is_null(c, i) {
                        return None;
                    }
                    match c.data_type() {
                        arrow::datatypes::DataType::Int64 => {
                            Some(c.as_primitive::<Int64Type>().value(i))
                        }
                        arrow::datatypes::DataType::Date32 => {
                            Some(i64::from(c.as_primitive::<Date32Type>().value(i)))
                        }
                        _ => None,
                    }
                };
                rows.push(batch.columns().iter().map(cell).collect());
            }
        }
    }
    rows
}

fn shared(relative: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(relative);
    if !path.exists() {
        println!("skipped: {relative} is not beside the checkout");
        return None;
    }
    Some(path)
}

#[test]
fn eras_equal_those_of_the_scripts_of_the_cdm() {
    let Some(path) = shared("omop/gibleed") else { return };
    let python = Command::new("python3").args(["-c", "import duckdb"]).output();
    if !python.is_ok_and(|o| o.status.success()) {
        return println!("skipped: python3 has no duckdb");
    }
    let dir = tempfile::tempdir().unwrap();
    let records = ingest(&path, CdmVersion::V5_3, dir.path());
    let (tables, ledger) = derived::build(&request(&records), &Job::quiet(dir.path(), 2)).unwrap();
    assert!(ledger.unbalanced().is_empty());
    let made: BTreeMap<&str, u64> = tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    assert_eq!((made["person_summary"], made["observation_period"]), (2694, 2694));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/derived_support/eras.py");
    let typed = dir.path().join("typed/site");
    let out = Command::new("python3")
        .arg(script)
        .args([typed, dir.path().join("derived")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    println!("{said}{}", String::from_utf8_lossy(&out.stderr));
    let lines: Vec<Vec<&str>> = said.lines().map(|l| l.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(line[1].parse::<u64>().unwrap() > 50_000 && line[1] == line[2], "{line:?}");
        assert_eq!(line[3], "0", "{line:?}");
    }
}

const PERSON: &str = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,ethnicity_concept_id\n\
    1,8507,1950,3,15,0,0\n2,8532,1990,,,0,0\n";

#[test]
fn boundaries_of_eras_stays_and_periods() {
    let visits = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,visit_type_concept_id\n\
        1,1,9203,2020-01-01,2020-01-02,0\n2,1,9201,2020-01-02,2020-01-05,0\n3,1,9201,2020-01-06,2020-01-07,0\n\
        4,1,9201,2020-01-09,2020-01-10,0\n5,1,9202,2020-01-04,2020-01-04,0\n6,2,9202,2020-01-04,2020-01-04,0\n";
    let conditions = "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_end_date,condition_type_concept_id\n\
        1,1,7,2020-01-01,2020-01-10,0\n2,1,7,2020-02-09,2020-02-09,0\n3,1,7,2020-03-11,2020-03-11,0\n\
        4,1,0,2020-01-01,,0\n5,2,7,2020-01-01,,0\n6,2,7,2020-02-01,2020-02-05,0\n";
    let feed = feed(&[
        ("person", PERSON),
        ("visit_occurrence", visits),
        ("condition_occurrence", conditions),
    ]);
    let day = |y, m, d| {
        let since = jiff::civil::date(y, m, d).since(jiff::civil::date(1970, 1, 1)).unwrap();
        Some(i64::from(since.get_days()))
    };
    let dir = tempfile::tempdir().unwrap();
    let records = ingest(feed.path(), CdmVersion::V5_4, dir.path());
    let (_, ledger) = derived::build(&request(&records), &Job::quiet(dir.path(), 2)).unwrap();
    let eras = ledger.0.iter().find(|t| t.table == "derived/condition_era").unwrap();
    assert_eq!(eras.noted.get("without_concept"), Some(&1));
    // 30 days from one end to the next start are one era, 31 are two; an open end is the next day.
    assert_eq!(
        rows(dir.path(), "condition_era"),
        [
            vec![Some(1), Some(1), Some(7), day(2020, 1, 1), day(2020, 2, 9), Some(2)],
            vec![Some(2), Some(1), Some(7), day(2020, 3, 11), day(2020, 3, 11), Some(1)],
            vec![Some(3), Some(2), Some(7), day(2020, 1, 1), day(2020, 2, 5), Some(2)],
        ]
    );
    // The emergency visit of the day before and the outpatient one within count to the stay; a stay that
    // begins two days after the last is another.
    assert_eq!(
        rows(dir.path(), "visit_stay"),
        [
            vec![Some(1), Some(1), day(2020, 1, 1), day(2020, 1, 7), Some(9201), Some(4)],
            vec![Some(2), Some(1), day(2020, 1, 9), day(2020, 1, 10), Some(9201), Some(1)],
        ]
    );
    let periods = rows(dir.path(), "observation_period");
    assert_eq!(periods[0][2..4], [day(2020, 1, 1), day(2020, 3, 11)]);
    assert_eq!(periods[1][2..4], [day(2020, 1, 1), day(2020, 2, 5)]);
    let summary = rows(dir.path(), "person_summary");
    // has_ehr, then ages at consent (unknown) and on 2026-01-01, then counts.
    assert_eq!(summary[0][..2], [Some(1), Some(1)]);
    assert_eq!(summary[0][7..10], [None, Some(75), Some(4)]);
    assert_eq!(summary[1][7..10], [None, Some(36), Some(2)]);
}

#[test]
fn what_is_made_does_not_depend_on_threads() {
    let Some(path) = shared("omop/synthea27nj") else { return };
    let made = |threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        let records = ingest(&path, CdmVersion::V5_4, dir.path());
        let (tables, _) =
            derived::build(&request(&records), &Job::quiet(dir.path(), threads)).unwrap();
        let bytes = |t: &omop::ExtractTable| -> Vec<Vec<u8>> {
            t.files().iter().map(|f| std::fs::read(dir.path().join(f)).unwrap()).collect()
        };
        tables.iter().map(|t| (t.name.clone(), t.rows, bytes(t))).collect::<Vec<_>>()
    };
    let one = made(1);
    let may_be_empty = [
        "dose_era",
        "drug_era",
        "physical_measurement",
        "survey_answer",
        "survey_module",
        "visit_stay",
    ];
    assert!(
        one.iter().all(|(name, rows, _)| *rows > 0 || may_be_empty.contains(&name.as_str())),
        "{:?}",
        one.iter().map(|t| (&t.0, t.1)).collect::<Vec<_>>()
    );
    assert!(one == made(4));
}

#[test]
fn days_of_wearables_count_each_minute_once() {
    let mut rates = String::from("person_id,datetime,heart_rate_value\n");
    // 600 minutes of one day, one of them three times, last without a rate; 599 of the next.
    for day in [1, 2] {
        for minute in 0..(601 - day) {
            rates += &format!(
                "1,2024-03-0{day} {:02}:{:02}:00,{}\n",
                minute / 60,
                minute % 60,
                60 + day
            );
        }
    }
    rates += "1,2024-03-01 00:00:30,90\n1,2024-03-01 00:00:45,\n1,2024-03-01 23:00:00,\n1,2024-03-01 23:01:00,0\n";
    let steps = "person_id,datetime,steps\n1,2024-03-01 08:00:00,60\n1,2024-03-01 08:01:00,40\n";
    let activity = "person_id,date,steps\n1,2024-03-01,5000\n1,2024-03-03,45001\n1,2024-03-03,\n";
    let sleep = "person_id,sleep_date,minute_asleep\n1,2024-03-03,100\n1,2024-03-03,20\n";
    let feed = feed(&[
        ("heart_rate_minute_level", &rates),
        ("steps_intraday", steps),
        ("activity_summary", activity),
        ("sleep_daily_summary", sleep),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let records = ingest_of(Scope::Wearables, feed.path(), CdmVersion::V5_4, dir.path());
    assert_eq!(records.extract.table("heart_rate_intraday").unwrap().rows, 1203);
    let asked = Request { vocabulary: None, eras: false, periods: false, ..request(&records) };
    derived::build(&asked, &Job::quiet(dir.path(), 2)).unwrap();
    let days = rows(dir.path(), "wearable_day");
    let int = |n: i64| Some(n);
    assert_eq!(days.len(), 3);
    // person, date, worn, mean (a float), low, high, steps, sleep, worn long enough, steps believed.
    assert_eq!(days[0][2..], [int(600), None, int(61), int(90), int(100), None, int(1), int(1)]);
    assert_eq!(days[1][2..], [int(599), None, int(62), int(62), None, None, int(0), int(0)]);
    assert_eq!(days[2][2..], [int(0), None, None, None, int(45_001), int(120), int(0), int(0)]);
}

#[test]
fn no_end_is_cut_to_the_cutoff() {
    // An end that all cut rows share would, shifted, tell the shift.
    let conditions = "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_end_date,condition_type_concept_id\n\
        1,1,7,2020-01-01,2020-03-01,0\n2,1,8,2020-02-02,2020-02-03,0\n3,2,7,2020-02-01,,0\n";
    let feed = feed(&[("person", PERSON), ("condition_occurrence", conditions)]);
    let dir = tempfile::tempdir().unwrap();
    let records = ingest(feed.path(), CdmVersion::V5_4, dir.path());
    let day = |y, m, d| {
        let since = jiff::civil::date(y, m, d).since(jiff::civil::date(1970, 1, 1)).unwrap();
        since.get_days()
    };
    let asked = Request { cutoff: day(2020, 2, 1), ..request(&records) };
    derived::build(&asked, &Job::quiet(dir.path(), 1)).unwrap();
    let of = |y, m, d| Some(i64::from(day(y, m, d)));
    let eras = rows(dir.path(), "condition_era");
    assert_eq!(eras.len(), 2);
    assert_eq!(eras[0][2..5], [Some(7), of(2020, 1, 1), of(2020, 3, 1)]);
    assert_eq!(eras[1][2..5], [Some(7), of(2020, 2, 1), of(2020, 2, 2)]);
    let periods = rows(dir.path(), "observation_period");
    assert_eq!(periods[0][2..4], [of(2020, 1, 1), of(2020, 1, 1)]);
}
