//! What an ingest accepts, quarantines and refuses, on small hand-written extracts.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::engine::{Job, TableLedger};
use strata::error::Coded;
use strata::omop::{CdmVersion, Error, Extract, ExtractRequest, Scope, ingest};
use tempfile::TempDir;

/// A value that no message, reject or book may repeat.
const CANARY: &str = "987654321987";

const PERSON: &str = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,\
birth_datetime,race_concept_id,ethnicity_concept_id,person_source_value\n";
const DEATH: &str = "person_id,death_date,death_datetime,cause_source_value\n";
const NOTE: &str = "note_id,person_id,note_date,note_text\n";

struct Case {
    input: TempDir,
    output: TempDir,
    shift: Option<BTreeMap<i64, i32>>,
}

impl Case {
    /// An extract with persons 1, 2 and 3.
    fn new() -> Self {
        let case = Self {
            input: tempfile::tempdir().unwrap(),
            output: tempfile::tempdir().unwrap(),
            shift: None,
        };
        let rows: String =
            (1..=3).map(|p| format!("{p},8507,1980,3,{p},1980-03-0{p} 00:00:00,0,0,\n")).collect();
        case.with("person.csv", format!("{PERSON}{rows}"))
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.input.path().join(name), content).unwrap();
        self
    }

    fn run(&self) -> Result<Extract, Error> {
        let request = ExtractRequest {
            site: "s1".into(),
            path: self.input.path().to_path_buf(),
            cdm: CdmVersion::V5_4,
            scope: Scope::Both,
            shift_map: self.shift.clone(),
            encoding: Default::default(),
            max_rejected: Default::default(),
        };
        let result = ingest(&request, &Job::quiet(self.output.path(), 2));
        match &result {
            Ok(extract) => {
                assert!(extract.output.ledger.unbalanced().is_empty());
                let text = serde_json::to_string(extract).unwrap();
                assert!(!text.contains(CANARY), "{text}");
                let rejects = format!("{:?}", self.rejects());
                assert!(!rejects.contains(CANARY), "{rejects}");
            }
            Err(error) => {
                let text = format!("{error} {error:?} {:?}", error.help());
                assert!(!text.contains(CANARY), "{text}");
                assert!(!error.is_unexpected(), "{text}");
            }
        }
        result
    }

    fn code(&self) -> &'static str {
        self.run().map(|_| "ok").unwrap_or_else(|e| e.code())
    }

    fn table(&self, name: &str) -> RecordBatch {
        read(&self.output.path().join(format!("typed/s1/{name}.parquet")))
    }

    /// `file:line table column reason`, in the order of the file.
    fn rejects(&self) -> Vec<String> {
        let batch = read(&self.output.path().join("quality/rejects/ehr/s1.parquet"));
        let cell = |c: usize, row| array_value_to_string(batch.column(c), row).unwrap();
        (0..batch.num_rows())
            .map(|r| {
                let [file, line, table, column, reason] = [0, 1, 2, 3, 4].map(|c| cell(c, r));
                format!("{file}:{line} {table} {column} {reason}")
            })
            .collect()
    }
}

fn read(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn books<'a>(extract: &'a Extract, table: &str) -> &'a TableLedger {
    let name = format!("omop/{table}");
    extract.output.ledger.0.iter().find(|t| t.table == name).unwrap()
}

fn column(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap();
    (0..batch.num_rows()).map(|r| array_value_to_string(column, r).unwrap()).collect()
}

#[test]
fn bad_rows_are_quarantined_with_line_and_reason() {
    let text = format!(
        "\u{feff}{NOTE}\
         1,1,2020-01-01,\"two\nlines, and a \"\"quote\"\"\"\r\n\
         2,1,01/02/{CANARY},x\n\
         {CANARY}x,1,2020-01-01,x\n\
         1,2,2020-01-01,again\n\
         3,{CANARY},2020-01-01,nobody\n\
         ,1,2020-01-01,no key\n\
         4,,2020-01-01,no person\n\
         5,3.0,,fine without its date\n\
         6,3,2020-01-01,nul\0byte\n\
         ,,,\n\
         7,3,20200229,NA\n"
    );
    let case = Case::new().with("Note.CSV", text);
    let extract = case.run().unwrap();
    assert_eq!(
        case.rejects(),
        [
            "Note.CSV:4 note note_date unparsable_date",
            "Note.CSV:5 note note_id unparsable_integer",
            "Note.CSV:6 note note_id duplicate_key",
            "Note.CSV:7 note person_id orphan_person",
            "Note.CSV:8 note note_id missing_key",
            "Note.CSV:9 note person_id missing_key",
            "Note.CSV:11 note  nul_byte",
        ]
    );
    let notes = case.table("note");
    assert_eq!(column(&notes, "note_id"), ["1", "5", "7"]);
    assert_eq!(column(&notes, "note_date"), ["2020-01-01", "", "2020-02-29"]);
    assert_eq!(
        column(&notes, "note_text"),
        ["two\nlines, and a \"quote\"", "fine without its date", "NA"]
    );
    let books = books(&extract, "note");
    assert_eq!((books.rows_in, books.rows_out), (10, 3));
    assert_eq!(books.noted["required_missing:note_date"], 1);
    assert_eq!(books.noted["duplicate_key_rows_involved"], 2);
    assert_eq!(books.noted["empty_row"], 1);
    assert_eq!(books.noted["missing_column:note_title"], 1);
}

#[test]
fn a_wrong_encoding_is_refused_or_quarantined() {
    let utf16: Vec<u8> = format!("\u{feff}{DEATH}1,2020-01-01,,\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(Case::new().with("death.csv", &utf16).code(), "omop::encoding");
    assert_eq!(Case::new().with("death.csv", &utf16[2..]).code(), "omop::encoding");
    let mut header = DEATH.replace('\n', ",\u{e9}\n").into_bytes();
    header.retain(|&b| b != 0xC3);
    assert_eq!(Case::new().with("death.csv", header).code(), "omop::encoding");

    let latin = |rows: &str| [DEATH.as_bytes(), &rows.replace('E', "\u{1}").into_bytes()].concat();
    let as_latin1 = |mut bytes: Vec<u8>| {
        bytes.iter_mut().filter(|b| **b == 1).for_each(|b| *b = 0xE9);
        bytes
    };
    let most =
        as_latin1(latin("1,2020-01-01,,caf\u{1}\n2,2020-01-01,,caf\u{1}\n3,2020-01-01,,tea\n"));
    assert_eq!(Case::new().with("death.csv", most).code(), "omop::encoding");
    let few = as_latin1(latin("1,2020-01-01,,caf\u{1}\n2,2020-01-01,,tea\n3,2020-01-01,,tea\n"));
    let case = Case::new().with("death.csv", few);
    case.run().unwrap();
    assert_eq!(case.rejects(), ["death.csv:2 death  invalid_utf8"]);
}

#[test]
fn ragged_rows_are_quarantined_unless_most_are() {
    let rows = format!("1,2020-01-01,,x\n2,2020-01-01,,{CANARY},b\n3,2020-01-01,,x\n1,2020\n");
    let case = Case::new().with("death.csv", format!("{DEATH}{rows}"));
    case.run().unwrap();
    assert_eq!(case.rejects(), ["death.csv:3 death  ragged_row", "death.csv:5 death  ragged_row"]);

    let rows = format!("1,2020-01-01,,x\n2,2020-01-01,,{CANARY},b\n3,2020-01-01\n");
    let case = Case::new().with("death.csv", format!("{DEATH}{rows}"));
    let error = case.run().unwrap_err();
    assert_eq!(error.code(), "omop::ragged_rows");
    let text = error.to_string();
    assert!(
        text.ends_with(
            "death.csv: 2 rows do not have the 4 fields of the header, the first on lines 3, 4"
        ),
        "{text}"
    );
}

#[test]
fn headers_that_cannot_be_meant_are_refused() {
    let code = |text: &str| Case::new().with("death.csv", text).code();
    assert_eq!(code("person_id,death_date,Person_ID\n1,2020-01-01,1\n"), "omop::duplicate_column");
    assert_eq!(code("person_id,x_1,X_1\n1,2,3\n"), "omop::duplicate_column");
    assert_eq!(code("death_date\n2020-01-01\n"), "omop::missing_column");
    assert_eq!(code(&format!("{CANARY},2020-01-01,{CANARY}\n")), "omop::no_header");
    assert_eq!(code(&format!("column0,column1\n{CANARY},2020-01-01\n")), "omop::no_header");
    assert_eq!(code("column0,column1\n,\n"), "ok");
    assert_eq!(code(""), "ok");
    assert_eq!(code("person_id,death_date"), "ok");
    assert_eq!(code("column0,column1\nPERSON_ID,DEATH_DATE\n1,2020-01-01\n"), "ok");
}

#[test]
fn unknown_columns_and_files_are_noted_by_harmless_names_only() {
    let text = format!("PERSON_ID, death_date ,ward,{CANARY} Name,\n1,2020-01-01,{CANARY},x,\n");
    let case = Case::new()
        .with("DEATH.csv", text)
        .with("deaths.csv", "a\n")
        .with("README.md", "x")
        .with(&format!("{CANARY}.csv"), "x")
        .with("._death.csv", "x");
    let extract = case.run().unwrap();
    let noted = &books(&extract, "death").noted;
    assert_eq!((noted["unknown_column:ward"], noted["unknown_column"]), (1, 2));
    assert_eq!(column(&case.table("death"), "death_date"), ["2020-01-01"]);
    let noted = &extract.output.ledger.0[0].noted;
    assert_eq!(noted["unknown_table:deaths~death"], 1);
    assert_eq!(noted["unknown_table"], 1);
    assert_eq!(noted["unknown_file"], 1);
}

#[test]
fn text_that_never_ends_is_refused() {
    let open = format!("{NOTE}1,1,2020-01-01,\"{CANARY}\n2,1,2020-01-01,x\n");
    let case = Case::new().with("note.csv", open);
    assert_eq!(case.code(), "omop::unclosed_quote");
    assert!(case.input.path().join("note.csv").exists());
    let mut long = format!("{NOTE}1,1,2020-01-01,fine\n2,1,2020-01-01,").into_bytes();
    long.resize(long.len() + (11 << 20), b'x');
    let case = Case::new().with("note.csv", long);
    let error = case.run().unwrap_err();
    assert_eq!(error.code(), "omop::record_too_long");
    assert!(error.to_string().contains("the row on line 3 is longer than 10 MiB"), "{error}");
}

#[test]
fn lone_carriage_returns_end_rows() {
    let case = Case::new().with("death.csv", DEATH.replace('\n', "\r") + "1,2020-01-01,,x\r9,,,\r");
    case.run().unwrap();
    assert_eq!(column(&case.table("death"), "cause_source_value"), ["x"]);
    assert_eq!(case.rejects(), ["death.csv:3 death person_id orphan_person"]);
}

#[test]
fn gzip_is_told_by_its_bytes_and_a_cut_file_is_refused() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for i in 0..5000 {
        let header = if i == 0 { NOTE } else { "" };
        writeln!(gz, "{header}{i},1,2020-01-01,note number {}", i * 7919 % 5003).unwrap();
    }
    let gz = gz.finish().unwrap();
    let case = Case::new().with("note.csv", &gz);
    assert_eq!(case.run().unwrap().table("note").unwrap().rows, 5000);
    assert_eq!(Case::new().with("note.csv.gz", &gz[..gz.len() / 2]).code(), "omop::compressed");
    assert_eq!(Case::new().with("note.csv.gz", &gz[..gz.len() - 3]).code(), "omop::compressed");
    // Two members, as bgzip and `cat a.gz b.gz` make them.
    let mut two = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    two.write_all(b"9001,2,2020-01-01,second member\n").unwrap();
    let case = Case::new().with("note.csv.gz", [gz, two.finish().unwrap()].concat());
    assert_eq!(case.run().unwrap().table("note").unwrap().rows, 5001);
}

#[test]
fn a_table_has_one_source_or_a_folder_of_parts() {
    let death = format!("{DEATH}1,2020-01-01,,x\n");
    let case = Case::new().with("death.csv", &death).with("DEATH.csv.gz", &death);
    assert_eq!(case.code(), "omop::ambiguous_table");
    let case = Case::new();
    fs::create_dir(case.input.path().join("Note")).unwrap();
    let case = case
        .with("Note/part-2.csv", format!("{NOTE}2,2,2020-01-01,b\n1,1,2020-01-01,again\n"))
        .with("Note/part-1.csv", format!("{NOTE}1,1,2020-01-01,a\n"));
    case.run().unwrap();
    assert_eq!(column(&case.table("note"), "note_text"), ["a", "b"]);
    assert_eq!(case.rejects(), ["part-2.csv:3 note note_id duplicate_key"]);
}

#[test]
fn an_extract_needs_persons_and_tables() {
    let empty = tempfile::tempdir().unwrap();
    let request = |scope, site: &str| ExtractRequest {
        site: site.into(),
        path: empty.path().to_path_buf(),
        cdm: CdmVersion::V5_3,
        scope,
        shift_map: None,
        encoding: Default::default(),
        max_rejected: Default::default(),
    };
    let out = tempfile::tempdir().unwrap();
    let job = Job::quiet(out.path(), 1);
    let code = |request| ingest(&request, &job).unwrap_err().code();
    assert_eq!(code(request(Scope::Records, "s1")), "omop::no_tables");
    assert_eq!(code(request(Scope::Records, "../s1")), "omop::site_name");
    fs::write(empty.path().join("death.csv"), DEATH).unwrap();
    assert_eq!(code(request(Scope::Records, "s1")), "omop::no_person");
    assert_eq!(code(request(Scope::Vocabulary, "s1")), "omop::no_tables");
    job.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    fs::write(empty.path().join("person.csv"), PERSON).unwrap();
    assert_eq!(code(request(Scope::Records, "s1")), "run::stopped");
}

#[test]
fn shifted_dates_are_put_back() {
    let mut case = Case::new()
        .with("death.csv", format!("{DEATH}1,2020-03-01,2020-03-01 10:30:00,x\n2,2020-01-31,,\n"));
    case.shift = Some(BTreeMap::from([(1, 30), (2, 1), (3, 364), (4, 9)]));
    case.run().unwrap();
    let deaths = case.table("death");
    assert_eq!(column(&deaths, "death_date"), ["2020-03-31", "2020-02-01"]);
    assert_eq!(column(&deaths, "death_datetime"), ["2020-03-31T10:30:00", ""]);
    let persons = case.table("person");
    let expected = ["1980-03-31T00:00:00", "1980-03-03T00:00:00", "1981-03-02T00:00:00"];
    assert_eq!(column(&persons, "birth_datetime"), expected);
    assert_eq!(column(&persons, "year_of_birth"), ["1980", "1980", "1981"]);
    assert_eq!(column(&persons, "day_of_birth"), ["31", "3", "2"]);
}

#[test]
fn a_date_in_measurement_time_is_noted_and_leaves_a_shifted_feed() {
    let text = "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_time,\
        measurement_type_concept_id\n1,1,0,2020-01-01,2020-01-01,0\n2,1,0,2020-01-01,10:30:00,0\n";
    let mut case = Case::new().with("measurement.csv", text);
    let extract = case.run().unwrap();
    assert_eq!(books(&extract, "measurement").noted["date_in_measurement_time"], 1);
    let times = column(&case.table("measurement"), "measurement_time");
    assert_eq!(times, ["2020-01-01", "10:30:00"]);
    case.shift = Some((1..=3).map(|p| (p, 7)).collect());
    case.output = tempfile::tempdir().unwrap();
    let extract = case.run().unwrap();
    assert_eq!(books(&extract, "measurement").noted["date_in_measurement_time_dropped"], 1);
    assert_eq!(column(&case.table("measurement"), "measurement_time"), ["", "10:30:00"]);
    assert_eq!(column(&case.table("measurement"), "measurement_date"), ["2020-01-08"; 2]);
}

#[test]
fn a_person_without_a_shift_is_an_error() {
    let mut case = Case::new();
    case.shift = Some(BTreeMap::from([(1, 30)]));
    let error = case.run().unwrap_err();
    assert_eq!(error.code(), "omop::unshifted_person");
    assert!(error.to_string().starts_with("2 persons of table `person`"), "{error}");
}

#[test]
fn birth_parts_that_contradict_the_birth_date_are_left_and_noted() {
    let mut case =
        Case::new().with("person.csv", format!("{PERSON}1,0,1979,1,1,1980-03-01,0,0,\n"));
    case.shift = Some(BTreeMap::from([(1, 30)]));
    let extract = case.run().unwrap();
    assert_eq!(column(&case.table("person"), "year_of_birth"), ["1979"]);
    assert_eq!(column(&case.table("person"), "birth_datetime"), ["1980-03-31T00:00:00"]);
    assert_eq!(books(&extract, "person").noted["birth_parts_as_found"], 1);
}

#[test]
fn parquet_columns_of_other_types_are_read_by_the_same_rules() {
    let ids = Decimal128Array::from(vec![10_000, 20_000, 20_000, 30_500])
        .with_precision_and_scale(18, 3)
        .unwrap();
    let stamps = TimestampMillisecondArray::from(vec![0, 86_400_000, 0, 0]).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Measurement_ID", Arc::new(ids)),
        ("person_id", Arc::new(Int32Array::from(vec![1, 2, 3, 3]))),
        ("measurement_concept_id", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0]))),
        ("measurement_date", Arc::new(stamps)),
        ("value_as_number", Arc::new(StringArray::from(vec!["1.5", "NA", "", "2"]))),
        (
            "measurement_source_value",
            Arc::new(Float64Array::from(vec![65_363_002.0, 0.5, 1.0, 1.0])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let case = Case::new().with("measurement.parquet", writer.into_inner().unwrap());
    let extract = case.run().unwrap();
    let typed = case.table("measurement");
    assert_eq!(typed.column(0).as_primitive::<Int64Type>().values(), &[10, 20]);
    assert_eq!(column(&typed, "measurement_concept_id"), ["1", "2"]);
    assert_eq!(column(&typed, "measurement_date"), ["1970-01-01", "1970-01-02"]);
    assert_eq!(column(&typed, "value_as_number"), ["1.5", ""]);
    assert_eq!(column(&typed, "measurement_source_value"), ["65363002", "0.5"]);
    assert_eq!(
        case.rejects(),
        [
            "measurement.parquet:3 measurement measurement_id duplicate_key",
            "measurement.parquet:4 measurement measurement_id unparsable_integer",
        ]
    );
    assert_eq!(books(&extract, "measurement").noted["na_as_null"], 1);
}

#[test]
fn parquet_dates_beyond_the_calendar_are_quarantined() {
    let days = arrow::array::Date32Array::from(vec![i32::MAX, 0, -719_163]);
    let stamps = arrow::array::TimestampMicrosecondArray::from(vec![Some(0), Some(i64::MAX), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("person_id", Arc::new(arrow::array::UInt64Array::from(vec![1, 2, 3]))),
        ("death_date", Arc::new(days)),
        ("death_datetime", Arc::new(stamps)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let case = Case::new().with("death.parquet", writer.into_inner().unwrap());
    case.run().unwrap();
    assert_eq!(
        case.rejects(),
        [
            "death.parquet:1 death death_date unparsable_date",
            "death.parquet:2 death death_datetime unparsable_datetime",
            "death.parquet:3 death death_date unparsable_date",
        ]
    );
}

#[test]
fn parquet_that_cannot_be_the_table_is_refused() {
    assert_eq!(Case::new().with("death.parquet", "PAR1 not").code(), "omop::parquet");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("person_id", Arc::new(arrow::array::BooleanArray::from(vec![true]))),
        ("death_date", Arc::new(Int32Array::from(vec![20_200_101]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let case = Case::new().with("death.parquet", writer.into_inner().unwrap());
    let error = case.run().unwrap_err();
    assert_eq!(error.code(), "omop::column_type");
    assert!(error.to_string().contains("column `person_id` is Boolean"), "{error}");
}

#[test]
fn athena_files_keep_their_raw_quotes() {
    let concept = "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\t\
        standard_concept\tconcept_code\tvalid_start_date\tvalid_end_date\tinvalid_reason\n\
        1\t\"Quoted\" name, 5\" long\tDevice\tSNOMED\tx\tS\t07.0\t19700101\t20991231\t\n";
    let domain = "domain_id\tdomain_name\tdomain_concept_id\nDevice\tD\t1\nDevice\tE\t2\n";
    let case = Case::new().with("CONCEPT.csv", concept).with("DOMAIN.csv", domain);
    let extract = case.run().unwrap();
    let concepts = case.table("concept");
    assert_eq!(column(&concepts, "concept_name"), ["\"Quoted\" name, 5\" long"]);
    assert_eq!(column(&concepts, "concept_code"), ["07.0"]);
    assert_eq!(column(&concepts, "valid_end_date"), ["2099-12-31"]);
    assert_eq!(case.rejects(), ["DOMAIN.csv:3 domain domain_id duplicate_key"]);
    assert_eq!(books(&extract, "domain").noted["duplicate_key_rows_involved"], 2);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    /// Whatever the file holds: no panic, books that balance, and no line told that does not exist.
    #[test]
    fn any_text_is_read_or_refused(
        rows in proptest::collection::vec("[0-9]{0,3},[1-4]?,(2020-01-0[0-9])?,[a-z\",\r\né]{0,5}", 0..12),
        ends in proptest::collection::vec("\r\n|\n|\r", 12),
    ) {
        let mut text = NOTE.to_owned();
        for (row, end) in rows.iter().zip(&ends) {
            text.push_str(row);
            text.push_str(end);
        }
        let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
        let case = Case::new().with("note.csv", &text);
        if let Ok(extract) = case.run() {
            let books = books(&extract, "note");
            proptest::prop_assert_eq!(books.rows_out, case.table("note").num_rows() as u64);
            for reject in case.rejects() {
                let line = reject.split([':', ' ']).nth(1).unwrap().parse::<usize>().unwrap();
                proptest::prop_assert!((2..=lines).contains(&line));
            }
        }
    }
}
