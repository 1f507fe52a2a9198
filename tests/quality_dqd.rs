//! Data quality as OHDSI's dashboard counts it: hand-counted cases, and OHDSI's own SQL side by side on
//! public data. The latter needs python3 with duckdb, duckcdm and rabbit-in-a-blender
//! (`STRATA_DQD_PYTHON` names another python) and the shared data, and is skipped without them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use strata::engine::Job;
use strata::omop::{CdmVersion, ExtractRequest, Scope, SiteExtract, ingest};
use strata::quality::dqd::{CheckResult, Request, check};
use tempfile::TempDir;

/// An extract read into typed tables.
struct Site {
    root: TempDir,
    tables: SiteExtract,
}

fn read(folder: &Path, cdm: CdmVersion) -> Site {
    let root = tempfile::tempdir().unwrap();
    let request = ExtractRequest {
        site: "s".into(),
        path: folder.to_path_buf(),
        cdm,
        scope: Scope::Both,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    let extract = ingest(&request, &Job::quiet(root.path(), 2)).unwrap();
    let tables = SiteExtract { extract, root: root.path().to_path_buf() };
    Site { root, tables }
}

impl Site {
    fn request(&self) -> Request {
        Request {
            tables: self.tables.clone(),
            vocabulary: None,
            overrides: None,
            reference_date: jiff::civil::date(2026, 1, 1),
        }
    }

    fn check(&self, request: &Request, threads: usize) -> (TempDir, Vec<CheckResult>) {
        let out = tempfile::tempdir_in(self.root.path()).unwrap();
        let (_, results) = check(request, &Job::quiet(out.path(), threads)).unwrap();
        (out, results)
    }
}

/// A small extract with known faults.
fn faulty() -> (TempDir, Site) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "person.csv",
        "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,birth_datetime,\
         race_concept_id,ethnicity_concept_id\n\
         1,8507,1980,3,5,,0,0\n2,8532,1990,,,,0,0\n3,8532,2000,1,1,2000-01-01 12:00:00,0,0\n",
    );
    write("death.csv", "person_id,death_date,death_type_concept_id\n2,2020-01-01,32817\n");
    write(
        "visit_occurrence.csv",
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,visit_type_concept_id\n\
         10,1,9202,2010-01-01,2010-01-02,32817\n11,2,9202,2021-06-01,2021-05-01,32817\n",
    );
    write(
        "observation_period.csv",
        "observation_period_id,person_id,observation_period_start_date,observation_period_end_date,period_type_concept_id\n\
         1,1,2010-01-01,2010-12-31,32817\n2,1,2011-01-01,2011-12-31,32817\n3,2,2010-01-01,2010-12-31,32817\n\
         4,2,2011-01-02,2011-12-31,32817\n",
    );
    write(
        "condition_occurrence.csv",
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_end_date,\
         condition_type_concept_id,condition_status_concept_id,condition_source_value,condition_status_source_value,visit_occurrence_id\n\
         1,1,26662,2010-01-05,,32817,,A,,10\n\
         2,2,26662,1989-12-31,,32817,0,B,x,11\n\
         3,3,0,1999-12-31,,32817,,B,x,\n\
         4,3,999,2010-02-01,2010-01-01,32817,,,,10\n",
    );
    write(
        "measurement.csv",
        "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,\
         value_as_number,unit_concept_id\n\
         1,1,3004249,2010-01-01,32817,120,8876\n2,1,3004249,2010-01-01,32817,120,9529\n\
         3,1,3004249,2010-01-01,32817,120,\n4,1,3004249,2010-01-01,32817,,0\n",
    );
    write(
        "concept.csv",
        "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,valid_end_date,invalid_reason\n\
         0,No matching concept,Metadata,None,Undefined,,0,1970-01-01,2099-12-31,\n\
         26662,Testicular hypofunction,Condition,SNOMED,Clinical Finding,S,1,1970-01-01,2099-12-31,\n\
         9202,Outpatient visit,Visit,Visit,Visit,S,2,1970-01-01,2099-12-31,\n\
         32817,EHR,Type Concept,Type Concept,Type Concept,S,3,1970-01-01,2099-12-31,\n\
         8507,MALE,Gender,Gender,Gender,S,M,1970-01-01,2099-12-31,\n\
         8532,FEMALE,Gender,Gender,Gender,,F,1970-01-01,2099-12-31,\n",
    );
    let site = read(folder.path(), CdmVersion::V5_4);
    (folder, site)
}

fn find<'a>(results: &'a [CheckResult], id: &str) -> &'a CheckResult {
    results.iter().find(|r| r.check_id == id).unwrap()
}

fn counts(results: &[CheckResult], id: &str) -> (u64, u64) {
    let result = find(results, id);
    (result.num_violated_rows, result.num_denominator_rows)
}

#[test]
fn faults_are_counted_as_by_hand() {
    let (_folder, site) = faulty();
    let (_out, results) = site.check(&site.request(), 2);
    let condition = |check: &str, field: &str| {
        counts(&results, &format!("field_{check}_condition_occurrence_{field}"))
    };
    // Person 3 lacks an observation period; those of person 1 touch, those of person 2 do not.
    assert_eq!(counts(&results, "table_measurepersoncompleteness_observation_period"), (1, 3));
    assert_eq!(
        counts(&results, "table_measureobservationperiodoverlap_observation_period"),
        (1, 2)
    );
    assert_eq!(condition("isforeignkey", "condition_concept_id"), (1, 4));
    assert_eq!(condition("standardconceptrecordcompleteness", "condition_concept_id"), (1, 4));
    // Two with a source value: a 0 and a null.
    assert_eq!(
        condition("standardconceptrecordcompleteness", "condition_status_concept_id"),
        (2, 2)
    );
    // Values A, B and null; B is mapped to 0 once.
    assert_eq!(condition("sourcevaluecompleteness", "condition_source_value"), (1, 3));
    // Before birth: 1989-12-31 of 1990, 1999-12-31 of 2000.
    assert_eq!(condition("plausibleafterbirth", "condition_start_date"), (2, 4));
    // 1 June counts when only the year is known: the same two.
    assert_eq!(condition("plausibletemporalafter", "condition_start_date"), (2, 4));
    assert_eq!(condition("plausiblestartbeforeend", "condition_start_date"), (1, 1));
    // Around visit 10 (7 days): 2010-01-05 is in, 2010-02-01 is not; visit 11 is years away.
    assert_eq!(condition("withinvisitdates", "condition_start_date"), (2, 3));
    assert_eq!(
        counts(&results, "field_plausiblebeforedeath_visit_occurrence_visit_start_date"),
        (1, 1)
    );
    assert_eq!(
        counts(&results, "concept_plausiblegender_condition_occurrence_condition_concept_id_26662"),
        (1, 2)
    );
    assert_eq!(counts(&results, "field_isstandardvalidconcept_person_gender_concept_id"), (2, 3));
    // The unit 0 is left out, a null unit is implausible unless -1 is listed.
    let unit = "concept_plausibleunitconceptids_measurement_measurement_concept_id_3004249";
    assert_eq!(counts(&results, unit), (2, 3));
}

#[test]
fn what_cannot_be_checked_says_why() {
    let (_folder, site) = faulty();
    let (_out, results) = site.check(&site.request(), 1);
    let missing = find(&results, "table_cdmtable_drug_exposure");
    assert_eq!((missing.failed, missing.num_violated_rows), (1, 1));
    let nothing = find(&results, "field_isrequired_drug_exposure_drug_exposure_id");
    assert_eq!(nothing.not_applicable, 1);
    assert_eq!(
        nothing.not_applicable_reason.as_deref(),
        Some("Table DRUG_EXPOSURE does not exist.")
    );
    let reason = |id: &str| find(&results, id).not_applicable_reason.as_deref();
    assert_eq!(
        reason("field_isforeignkey_person_location_id"),
        Some("Field PERSON.LOCATION_ID is not populated.")
    );
    assert_eq!(reason("field_measurevaluecompleteness_person_location_id"), None);
    assert_eq!(
        reason("concept_plausibleunitconceptids_measurement_measurement_concept_id_3004410"),
        Some("MEASUREMENT_CONCEPT_ID=3004410 is missing from the MEASUREMENT table.")
    );
    assert_eq!(reason("table_measureconditioneracompleteness_condition_era"), None);
    let error = results.iter().find(|r| r.check_name == "plausibleGenderUseDescendants").unwrap();
    assert_eq!((error.is_error, error.passed), (1, 0));
    for r in &results {
        assert_eq!(r.failed + r.passed + r.is_error + r.not_applicable, 1, "{}", r.check_id);
        assert!(r.num_violated_rows <= r.num_denominator_rows, "{}", r.check_id);
    }
}

#[test]
fn a_site_may_set_thresholds_of_its_own() {
    let (folder, site) = faulty();
    let file = folder.path().join("thresholds.csv");
    let id = "field_isforeignkey_condition_occurrence_condition_concept_id";
    let (_out, before) = site.check(&site.request(), 1);
    assert_eq!(find(&before, id).failed, 1);
    let header = "check_name,table,field,concept_id,unit_concept_id,threshold,notes\n";
    let line = "isForeignKey,condition_occurrence,CONDITION_CONCEPT_ID,,,25,local concepts\n";
    fs::write(&file, format!("{header}{line}")).unwrap();
    let request = Request { overrides: Some(file.clone()), ..site.request() };
    let (_out, after) = site.check(&request, 1);
    let result = find(&after, id);
    assert_eq!((result.failed, result.threshold_value), (0, Some(25.0)));
    assert_eq!(result.notes_value.as_deref(), Some("local concepts"));
    assert_eq!(
        find(&after, "field_isforeignkey_person_gender_concept_id").threshold_value,
        Some(0.0)
    );
    for bad in
        ["isForeignkeys,person,,,,1,\n", "isForeignKey,person,,,,101,\n", "isForeignKey,person\n"]
    {
        fs::write(&file, format!("{header}{bad}")).unwrap();
        let failure = check(&request, &Job::quiet(folder.path().join("x"), 1)).unwrap_err();
        assert!(failure.to_string().contains("thresholds.csv:2:"), "{failure}");
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let (_folder, site) = faulty();
    let bytes = |threads| {
        let (out, _) = site.check(&site.request(), threads);
        ["parquet", "csv", "json"].map(|ending| {
            fs::read(out.path().join(format!("quality/dqd/results.{ending}"))).unwrap()
        })
    };
    assert_eq!(bytes(1), bytes(4));
    let json: Value = serde_json::from_slice(&bytes(2)[2]).unwrap();
    assert_eq!(json["startTimestamp"][0], "2026-01-01 00:00:00");
    let checks = json["CheckResults"].as_array().unwrap();
    assert_eq!(json["Overview"]["countTotal"], checks.len());
    assert!(checks.iter().any(|c| c["checkId"] == "table_cdmtable_person"));
}

/// What OHDSI's viewer reads (DataQualityDashboard 2.8, `inst/shinyApps/www/js/loadResults.js`,
/// `htmlwidgets/lib/dqDashboardComponent.js`, `dqMetadataComponent.js`, `dqMetadataHeading.js`).
#[test]
fn the_viewer_finds_every_field_it_reads() {
    let (_folder, site) = faulty();
    let (out, _) = site.check(&site.request(), 2);
    let bytes = fs::read(out.path().join("quality/dqd/results.json")).unwrap();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    for top in ["startTimestamp", "executionTime", "CheckResults", "Metadata"] {
        assert!(json[top].is_array() && json[top][0] != Value::Null, "{top}");
    }
    let facts = json["Metadata"][0].as_object().unwrap();
    for fact in ["cdmSourceName", "dqdVersion"] {
        assert!(facts[fact].as_str().is_some_and(|text| !text.is_empty()), "{fact}");
    }
    let texts = [
        "checkName",
        "checkDescription",
        "checkLevel",
        "cdmTableName",
        "checkId",
        "category",
        "context",
        "executionTime",
        "queryText",
    ];
    let numbers = ["numViolatedRows", "pctViolatedRows", "numDenominatorRows"];
    let flags = ["isError", "notApplicable", "failed", "passed"];
    let (mut states, mut contexts, mut categories) = <(Vec<u64>, Vec<&str>, Vec<&str>)>::default();
    for check in json["CheckResults"].as_array().unwrap() {
        assert!(texts.iter().all(|t| check[t].is_string()), "{check}");
        assert!(numbers.iter().all(|n| check[n].is_number()), "{check}");
        assert!(flags.iter().all(|f| matches!(check[f].as_u64(), Some(0 | 1))), "{check}");
        // Shown as one of error, not applicable, fail, pass.
        let state: Vec<u64> = flags.iter().map(|f| check[f].as_u64().unwrap()).collect();
        assert_eq!(state.iter().sum::<u64>(), 1, "{check}");
        states.extend(state.iter().position(|on| *on == 1).map(|at| at as u64));
        if check["notApplicable"] == 1 {
            assert!(check["notApplicableReason"].is_string(), "{check}");
        }
        // Read as numbers or left out; never null, which the page would print.
        for optional in ["thresholdValue", "notesValue", "conceptId", "unitConceptId"] {
            assert_ne!(check.get(optional), Some(&Value::Null), "{check}");
        }
        contexts.push(check["context"].as_str().unwrap());
        categories.push(check["category"].as_str().unwrap());
    }
    let known = ["Completeness", "Conformance", "Plausibility"];
    categories.sort_unstable();
    categories.dedup();
    assert_eq!(categories, known);
    assert!(contexts.iter().all(|c| ["Verification", "Validation"].contains(c)));
    states.sort_unstable();
    states.dedup();
    assert_eq!(states, [0, 1, 2, 3], "there are checks in every state");
}

/// The extract with every table that has a `person_id` split by person into `parts` files.
fn split(site: &Site, parts: i64) -> SiteExtract {
    let root = site.root.path().join("parts");
    let mut extract = site.tables.extract.clone();
    for table in &mut extract.tables {
        let file = fs::File::open(site.root.path().join(&table.path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let folder = root.join(&table.name);
        fs::create_dir_all(&folder).unwrap();
        let by_person = schema.index_of("person_id").ok();
        table.parts = if by_person.is_some() { parts as u32 } else { 1 };
        for part in 0..i64::from(table.parts) {
            let file = fs::File::create(folder.join(format!("part-{part:04}.parquet"))).unwrap();
            let mut writer = ArrowWriter::try_new(file, schema.clone(), None).unwrap();
            for batch in &batches {
                let mine = |id: Option<i64>| Some(id.unwrap_or(0).rem_euclid(parts) == part);
                let batch = match by_person {
                    Some(column) => {
                        let ids = batch.column(column).as_primitive::<Int64Type>();
                        filter_record_batch(batch, &ids.iter().map(mine).collect()).unwrap()
                    }
                    None => batch.clone(),
                };
                writer.write(&batch).unwrap();
            }
            writer.close().unwrap();
        }
        table.path.clone_from(&table.name);
    }
    SiteExtract { extract, root }
}

#[test]
fn parts_by_person_give_the_same_results() {
    let mut sites = vec![faulty().1];
    sites.extend(shared("gibleed").map(|folder| read(&folder, CdmVersion::V5_3)));
    for site in sites {
        let (_out, whole) = site.check(&site.request(), 2);
        let tables = split(&site, 3);
        let vocabulary = Some(tables.clone());
        let (_out, parts) = site.check(&Request { tables, vocabulary, ..site.request() }, 3);
        assert_eq!(whole, parts);
    }
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/omop").join(name);
    if !path.exists() {
        println!("skipped: no shared data");
        return None;
    }
    path.canonicalize().ok()
}

/// OHDSI's SQL on the same typed tables: every count is equal.
fn agrees(name: &str, cdm: CdmVersion, at_least: u64) {
    let Some(folder) = shared(name) else { return };
    let site = read(&folder, cdm);
    let (out, results) = site.check(&site.request(), 2);
    let tables: BTreeMap<_, _> =
        site.tables.extract.tables.iter().map(|t| (&t.name, site.tables.files(&t.name))).collect();
    let job = json!({
        "cdm": cdm.name(),
        "date": "2026-01-01",
        "tables": tables,
        "results": out.path().join("quality/dqd/results.json"),
    });
    let path = out.path().join("job.json");
    fs::write(&path, job.to_string()).unwrap();
    let python = std::env::var("STRATA_DQD_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quality_oracle/dqd.py");
    let Ok(run) = Command::new(python).arg(script).arg(&path).output() else {
        println!("skipped: no python3");
        return;
    };
    if run.status.code() == Some(77) {
        println!("skipped: {}", String::from_utf8_lossy(&run.stdout).trim());
        return;
    }
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    println!("{name}: {} results; {report:#}", results.len());
    for list in ["differences", "missing", "extra"] {
        assert_eq!(report[list], json!([]), "{list}");
    }
    assert!(report["compared"].as_u64().unwrap() >= at_least);
}

#[test]
fn ohdsi_counts_the_same_on_gibleed() {
    agrees("gibleed", CdmVersion::V5_3, 1000);
}

#[test]
fn ohdsi_counts_the_same_on_synthea() {
    agrees("synthea27nj", CdmVersion::V5_4, 1000);
}

#[test]
fn ohdsi_counts_the_same_on_quirks() {
    agrees("quirks-tab-100", CdmVersion::V5_4, 700);
}

/// Speed on a folder of one's own: `STRATA_DQD_BENCH=/folder cargo test ... -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let Ok(folder) = std::env::var("STRATA_DQD_BENCH") else { return };
    let site = read(Path::new(&folder), CdmVersion::V5_3);
    let rows: u64 = site.tables.extract.tables.iter().map(|t| t.rows).sum();
    for threads in [1, 2] {
        let start = std::time::Instant::now();
        let (_out, results) = site.check(&site.request(), threads);
        let seconds = start.elapsed().as_secs_f64();
        println!("{rows} rows, {} checks, {threads} threads: {seconds:.2} s", results.len());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default());
}
