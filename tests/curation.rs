//! Curation: each rule of `configs/curation` at its boundaries, extracts united, nothing lost.
#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::curation::{self, Request, Rules};
use strata::engine::Job;
use strata::error::Coded;
use strata::omop::{self, CdmVersion, ExtractRequest, Scope, SiteExtract};
use strata::vocabulary::Vocabulary;

const RULES: &str = "configs/curation/all_of_us.toml";
/// All rule files, in the order in which they apply.
fn rule_files() -> [PathBuf; 5] {
    ["participants", "standard", "adults", "all_of_us", "values"]
        .map(|name| root(&format!("configs/curation/{name}.toml")))
}

fn root(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn ingest(name: &str, feed: &Path, cdm: CdmVersion, scope: Scope, out: &Path) -> SiteExtract {
    let request = ExtractRequest {
        site: name.into(),
        path: feed.to_owned(),
        cdm,
        scope,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    let out = out.join(name);
    let extract = omop::ingest(&request, &Job::quiet(&out, 2)).unwrap();
    SiteExtract { extract, root: out }
}

fn request(extracts: Vec<SiteExtract>, rules: Rules) -> Request {
    let ehr = vec![true; extracts.len()];
    Request {
        extracts,
        ehr,
        rules,
        excluded: BTreeMap::new(),
        deactivated: BTreeMap::from([(2, day(2020, 6, 1))]),
        cutoff: day(2026, 1, 1),
        sandbox: true,
        mapping: true,
        vocabulary: None,
    }
}

fn day(year: i16, month: i8, day: i8) -> i32 {
    let since = jiff::civil::date(year, month, day).since(jiff::civil::date(1970, 1, 1));
    since.unwrap().get_days()
}

/// The vocabulary of an extract that has one.
fn vocabulary_of(site: &SiteExtract, out: &Path) -> Option<Vocabulary> {
    site.extract.table("concept")?;
    Some(Vocabulary::open(site, &Job::quiet(out, 1)).unwrap())
}

/// The rows of a curated table, all parts.
fn rows(root: &Path, extract: &omop::Extract, table: &str) -> RecordBatch {
    let table = extract.table(table).unwrap();
    let mut batches = Vec::new();
    for file in table.files() {
        let file = std::fs::File::open(root.join(file)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = builder.schema().clone();
        batches.push(RecordBatch::new_empty(schema));
        batches.extend(builder.build().unwrap().map(Result::unwrap));
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// A cell as people write it.
fn cell(batch: &RecordBatch, column: &str, row: usize) -> String {
    let column = batch.column_by_name(column).unwrap();
    if column.is_null(row) {
        return String::new();
    }
    let epoch = jiff::civil::date(1970, 1, 1);
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            epoch.checked_add(jiff::Span::new().days(days)).unwrap().to_string()
        }
        DataType::Timestamp(..) => {
            let at = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let at = epoch.at(0, 0, 0, 0).checked_add(jiff::Span::new().microseconds(at));
            at.unwrap().to_string()
        }
        _ => column.as_string::<i32>().value(row).to_owned(),
    }
}

const PERSON: &str = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,ethnicity_concept_id\n\
    1,8507,1950,3,15,0,0\n2,8532,1990,,,0,0\n3,8532,1830,1,1,0,0\n";

const VISIT: &str = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,visit_type_concept_id";
const CONDITION: &str = "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_start_datetime,condition_end_date,condition_type_concept_id,condition_source_concept_id,visit_occurrence_id";
const DRUG: &str = "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_exposure_end_date,drug_type_concept_id,refills,days_supply";
const OBSERVATION: &str = "observation_id,person_id,observation_concept_id,observation_date,observation_type_concept_id,value_as_number,value_as_concept_id,observation_source_concept_id";
const MEASUREMENT: &str = "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,measurement_type_concept_id,value_as_number,unit_concept_id";
const DEATH: &str = "person_id,death_date,death_type_concept_id";
const DEATH_TIMES: &str =
    "person_id,death_date,death_datetime,death_type_concept_id,cause_concept_id";
const ANSWER: &str = "observation_id,person_id,observation_concept_id,observation_date,observation_type_concept_id,value_as_string,value_as_concept_id,observation_source_concept_id";
const RESPONSE: &str = "observation_id,person_id,observation_concept_id,observation_date,observation_datetime,observation_type_concept_id,value_as_concept_id,observation_source_concept_id,observation_event_id,value_as_number";
const CONDUCT: &str =
    "survey_conduct_id,person_id,survey_concept_id,survey_start_date,survey_end_date";
const PEOPLE_COLUMNS: &str =
    "person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id";
const PEOPLE: &str = "1,0,1970,0,0\n2,0,1970,0,0\n3,0,1970,0,0\n4,0,1970,0,0\n5,0,1970,0,0\n6,0,1970,0,0\n7,0,1970,0,0\n8,0,1970,0,0\n9,0,1970,0,0\n10,0,1970,0,0\n11,0,1970,0,0\n12,0,1970,0,0\n13,0,1970,0,0\n14,0,1970,0,0\n15,0,1970,0,0";
const CONCEPT: &str = "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,valid_end_date,invalid_reason";
const CONCEPTS: &str = "10,a,Condition,X,C,S,a,1970-01-01,2099-12-31,\n11,b,Observation,X,C,S,b,1970-01-01,2099-12-31,\n12,c,Measurement,X,C,S,c,1970-01-01,2099-12-31,\n\
    13,d,Condition,X,C,,d,1970-01-01,2019-12-31,D\n14,v,Visit,X,C,S,v,1970-01-01,2099-12-31,\n15,g,Drug,X,C,S,g,1970-01-01,2099-12-31,\n\
    100,one,Condition,Y,C,,1,1970-01-01,2099-12-31,\n101,two,Condition,Y,C,,2,1970-01-01,2099-12-31,\n102,none,Condition,Y,C,,3,1970-01-01,2099-12-31,\n103,old,Condition,Y,C,,4,1970-01-01,2099-12-31,";
const RELATIONSHIP: &str =
    "concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date,invalid_reason";
const RELATIONSHIPS: &str = "100,10,Maps to,1970-01-01,2099-12-31,\n101,11,Maps to,1970-01-01,2099-12-31,\n101,10,Maps to,1970-01-01,2099-12-31,\n\
    102,10,Is a,1970-01-01,2099-12-31,\n103,13,Maps to,1970-01-01,2099-12-31,\n103,10,Maps to,1970-01-01,2019-12-31,D";
const RANGES: &str = "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number,range_low,range_high,unit_concept_id";

/// What a rule does to some rows.
struct Case {
    rule: &'static str,
    what: &'static str,
    tables: &'static [(&'static str, &'static str, &'static str)],
    table: &'static str,
    /// A column, and its values in the rows that stay.
    column: &'static str,
    stay: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        rule: "wrong_date",
        what: "1980-12-31 goes, 1981-01-01 and the cut-off stay, the day after goes",
        tables: &[(
            "visit_occurrence",
            VISIT,
            "1,1,9202,1980-12-31,1981-01-02,0\n2,1,9202,1981-01-01,1981-01-01,0\n3,1,9202,2026-01-01,2026-01-01,0\n4,1,9202,2026-01-02,2026-01-02,0",
        )],
        table: "visit_occurrence",
        column: "visit_occurrence_id",
        stay: &["2", "3"],
    },
    Case {
        rule: "wrong_date",
        what: "observations from 1901 on; of two dates the one that need not be there becomes null",
        tables: &[
            ("observation", OBSERVATION, "1,3,9,1900-12-31,0,,,\n2,3,9,1901-01-01,0,,,"),
            (
                "condition_occurrence",
                CONDITION,
                "5,1,7,2020-01-01,,2026-01-02,0,0,\n6,1,7,2020-01-01,,2026-01-01,0,0,",
            ),
        ],
        table: "condition_occurrence",
        column: "condition_end_date",
        stay: &["", "2026-01-01"],
    },
    Case {
        rule: "negative_age",
        what: "the day before birth goes, the day of birth stays; an unknown day of birth is 1 January",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,9,1950-03-14,0,,,\n2,1,9,1950-03-15,0,,,\n3,2,9,1989-12-31,0,,,\n4,2,9,1990-01-01,0,,,",
        )],
        table: "observation",
        column: "observation_id",
        stay: &["2", "4"],
    },
    Case {
        rule: "negative_age",
        what: "150 years after the year of birth stay, 151 go; a death before birth goes",
        tables: &[
            ("condition_occurrence", CONDITION, "1,3,7,1980-12-31,,,0,0,\n2,3,7,1981-01-01,,,0,0,"),
            ("death", DEATH, "1,1950-03-14,0\n2,2020-01-01,0"),
        ],
        table: "death",
        column: "person_id",
        stay: &["2"],
    },
    Case {
        rule: "end_before_start",
        what: "an end before its start becomes null, an end on the day of the start stays",
        tables: &[(
            "condition_occurrence",
            CONDITION,
            "1,1,7,2020-01-02,,2020-01-01,0,0,\n2,1,7,2020-01-02,,2020-01-02,0,0,",
        )],
        table: "condition_occurrence",
        column: "condition_end_date",
        stay: &["", "2020-01-02"],
    },
    Case {
        rule: "end_before_start",
        what: "an end that the model requires becomes the start",
        tables: &[("drug_exposure", DRUG, "1,1,7,2020-01-02,2020-01-01,0,,")],
        table: "drug_exposure",
        column: "drug_exposure_end_date",
        stay: &["2020-01-02"],
    },
    Case {
        rule: "end_before_start",
        what: "a visit ends with its start, an inpatient one with the last record of it",
        tables: &[
            (
                "visit_occurrence",
                VISIT,
                "1,1,9202,2020-01-02,2020-01-01,0\n2,1,9201,2020-02-02,2020-02-01,0",
            ),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,7,2020-02-03,,2020-02-09,0,0,2\n2,1,7,2020-01-20,,,0,0,1",
            ),
        ],
        table: "visit_occurrence",
        column: "visit_end_date",
        stay: &["2020-01-02", "2020-02-09"],
    },
    Case {
        rule: "datetime_of_date",
        what: "a datetime of another day gets the day of the date and keeps its time",
        tables: &[(
            "condition_occurrence",
            CONDITION,
            "1,1,7,2020-01-02,2020-01-03 10:30:00,,0,0,\n2,1,7,2020-01-02,2020-01-02 23:59:59,,0,0,",
        )],
        table: "condition_occurrence",
        column: "condition_start_datetime",
        stay: &["2020-01-02T10:30:00", "2020-01-02T23:59:59"],
    },
    Case {
        rule: "drug_refills",
        what: "10 refills stay, 11 go, none stated stays",
        tables: &[(
            "drug_exposure",
            DRUG,
            "1,1,7,2020-01-02,,0,10,\n2,1,7,2020-01-02,,0,11,\n3,1,7,2020-01-02,,0,,",
        )],
        table: "drug_exposure",
        column: "drug_exposure_id",
        stay: &["1", "3"],
    },
    Case {
        rule: "drug_days_supply",
        what: "180 days stay, 181 go",
        tables: &[("drug_exposure", DRUG, "1,1,7,2020-01-02,,0,,180\n2,1,7,2020-01-02,,0,,181")],
        table: "drug_exposure",
        column: "drug_exposure_id",
        stay: &["1"],
    },
    Case {
        rule: "survey_numbers",
        what: "0 and 99 stay, -1 and 100 become null; other questions are not looked at",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,9,2020-01-01,0,0,,1585795\n2,1,9,2020-01-01,0,99,,1586162\n3,1,9,2020-01-01,0,-1,,1585795\n4,1,9,2020-01-01,0,100,,1585873\n5,1,9,2020-01-01,0,100,,1585874",
        )],
        table: "observation",
        column: "value_as_number",
        stay: &["0", "99", "", "", "100"],
    },
    Case {
        rule: "survey_numbers",
        what: "a number that becomes null has the concept of an invalid value",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,9,2020-01-01,0,99,,1585795\n2,1,9,2020-01-01,0,100,,1585795",
        )],
        table: "observation",
        column: "value_as_concept_id",
        stay: &["", "2000000010"],
    },
    Case {
        rule: "survey_cigarettes_a_day",
        what: "255 stays, 256 becomes null",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,9,2020-01-01,0,255,,1585820\n2,1,9,2020-01-01,0,256,,1585820",
        )],
        table: "observation",
        column: "value_as_number",
        stay: &["255", ""],
    },
    Case {
        rule: "placeholder_number",
        what: "9999999 becomes null, 9999998 stays",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,3,2020-01-01,,0,9999999,\n2,1,3,2020-01-01,,0,9999998,",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &["", "9999998"],
    },
    Case {
        rule: "physical_extremes",
        what: "height 89 goes and 90 stays, 228 stays and 229 goes; weight 29.9 goes, 30 and 250 stay, 250.1 goes; index 9.9 goes, 10 and 125 stay, 125.1 goes",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,903133,2020-01-01,,0,89,\n2,1,903133,2020-01-02,,0,90,\n3,1,903133,2020-01-03,,0,228,\n4,1,903133,2020-01-04,,0,229,\n\
            5,1,903121,2020-01-05,,0,29.9,\n6,1,903121,2020-01-06,,0,30,\n7,1,903121,2020-01-07,,0,250,\n8,1,903121,2020-01-08,,0,250.1,\n\
            9,1,903124,2020-01-09,,0,9.9,\n10,1,903124,2020-01-10,,0,10,\n11,1,903124,2020-01-11,,0,125,\n12,1,903124,2020-01-12,,0,125.1,",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["2", "3", "6", "7", "10", "11"],
    },
    Case {
        rule: "physical_extremes",
        what: "an extreme height takes the index of its visit, not the weight, not another time's or another type's; an extreme index takes both",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,903133,2020-01-01,2020-01-01 10:00:00,5,89,\n2,1,903124,2020-01-01,2020-01-01 10:00:00,5,20,\n3,1,903121,2020-01-01,2020-01-01 10:00:00,5,70,\n\
            4,1,903124,2020-01-01,2020-01-01 11:00:00,5,20,\n5,1,903124,2020-01-01,2020-01-01 10:00:00,6,20,\n6,1,903118,2020-01-01,2020-01-01 10:00:00,5,120,\n\
            7,2,903124,2020-01-01,2020-01-01 10:00:00,5,126,\n8,2,903133,2020-01-01,2020-01-01 10:00:00,5,170,\n9,2,903121,2020-01-01,2020-01-01 10:00:00,5,70,",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["3", "4", "5", "6"],
    },
    Case {
        rule: "physical_latest",
        what: "the latest of a person and concept stays, by time, then row id; other concepts all stay",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,903133,2020-01-01,,0,170,\n2,1,903133,2020-01-02,,0,171,\n3,1,903133,2020-01-02,,0,172,\n4,2,903133,2019-01-01,,0,160,\n5,1,3,2020-01-01,,0,1,\n6,1,3,2020-01-02,,0,1,",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["5", "3", "6", "4"],
    },
    Case {
        rule: "physical_extremes",
        what: "a measurement with a standard concept is known by its source concept",
        tables: &[(
            "measurement",
            "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number,measurement_source_concept_id",
            "1,1,3036277,2020-01-01,0,89,903133\n2,1,3036277,2020-01-02,0,90,903133\n3,1,3036277,2020-01-03,0,89,0",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["2", "3"],
    },
    Case {
        rule: "zero_concepts",
        what: "a row with a source concept alone stays, one with neither goes",
        tables: &[(
            "condition_occurrence",
            CONDITION,
            "1,1,0,2020-01-01,,,0,5,\n2,1,0,2020-01-01,,,0,0,\n3,1,0,2020-01-01,,,0,,\n4,1,7,2020-01-01,,,0,0,",
        )],
        table: "condition_occurrence",
        column: "condition_occurrence_id",
        stay: &["1", "4"],
    },
    Case {
        rule: "measurement_repeats",
        what: "of measurements alike the lowest row id stays; another person's or another value stays",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "3,1,3,2020-01-01,,0,5,8\n2,1,3,2020-01-01,,0,5,8\n4,2,3,2020-01-01,,0,5,8\n5,1,3,2020-01-01,,0,6,8",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["2", "5", "4"],
    },
    Case {
        rule: "after_death",
        what: "30 days after death stay, 31 go; the later of start and end decides; the living stay",
        tables: &[
            ("death", DEATH, "1,2020-06-01,0"),
            (
                "drug_exposure",
                DRUG,
                "1,1,7,2020-07-01,,0,,\n2,1,7,2020-07-02,,0,,\n3,1,7,2020-05-01,2020-07-02,0,,\n4,2,7,2024-01-01,,0,,",
            ),
        ],
        table: "drug_exposure",
        column: "drug_exposure_id",
        stay: &["1", "4"],
    },
    Case {
        rule: "primary_death",
        what: "the first date stays, of equal dates the first time, ties stay together; none beside a date goes, alone it stays",
        tables: &[(
            "death",
            DEATH_TIMES,
            "1,2020-01-02,,0,1\n1,2020-01-01,,0,2\n1,2020-01-01,2020-01-01 08:00:00,0,3\n2,2020-01-01,,0,4\n2,2020-01-01,,0,5",
        )],
        table: "death",
        column: "cause_concept_id",
        stay: &["3", "4", "5"],
    },
    Case {
        rule: "survey_household",
        what: "0 and 19 people stay, -1 and 20 become null; likewise people under 18",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,0,2020-01-01,0,-1,,1585889\n2,1,0,2020-01-01,0,0,,1585889\n3,1,0,2020-01-01,0,19,,1333023\n4,1,0,2020-01-01,0,20,,1585890\n5,1,0,2020-01-01,0,20,,1",
        )],
        table: "observation",
        column: "value_as_number",
        stay: &["", "0", "19", "", "20"],
    },
    Case {
        rule: "survey_large_household",
        what: "10 people stay, 11 become the concept of 11 or more",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,0,2020-01-01,0,10,,1585889\n2,1,0,2020-01-01,0,11,,1333015\n3,1,0,2020-01-01,0,11,,1585890",
        )],
        table: "observation",
        column: "value_as_concept_id",
        stay: &["", "2000000013", ""],
    },
    Case {
        rule: "survey_many_minors",
        what: "5 people under 18 stay, 6 become the concept of 6 or more",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,0,2020-01-01,0,5,,1585890\n2,1,0,2020-01-01,0,6,,1333023\n3,1,0,2020-01-01,0,6,,1585889",
        )],
        table: "observation",
        column: "value_as_concept_id",
        stay: &["", "2000000012", ""],
    },
    Case {
        rule: "survey_zip",
        what: "60512 and 60512-0001 stay; 6051, 605123, 60512-1 and words become 00000; other questions stay",
        tables: &[(
            "observation",
            ANSWER,
            "1,1,0,2020-01-01,0,60512,,1585250\n2,1,0,2020-01-01,0,60512-0001,,1585250\n3,1,0,2020-01-01,0,6051,,1585250\n4,1,0,2020-01-01,0,605123,,1585250\n5,1,0,2020-01-01,0,60512-1,,1585250\n6,1,0,2020-01-01,0,none,,1585250\n7,1,0,2020-01-01,0,none,,7",
        )],
        table: "observation",
        column: "value_as_string",
        stay: &["60512", "60512-0001", "00000", "00000", "00000", "00000", "none"],
    },
    Case {
        rule: "all_zero",
        what: "a concept with 0 alone becomes null, one with another number stays",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,5,2020-01-01,,0,0,\n2,1,5,2020-01-02,,0,0,\n3,1,6,2020-01-03,,0,0,\n4,2,6,2020-01-01,,0,3,",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &["", "", "0", "3"],
    },
    Case {
        rule: "units",
        what: "Fahrenheit becomes Celsius, gram becomes kilogram, range and all; a unit without a conversion stays",
        tables: &[(
            "measurement",
            RANGES,
            "1,1,3020891,2020-01-01,0,212,32,122,9289\n2,1,3025315,2020-01-02,0,70500,,,8504\n3,1,3025315,2020-01-03,0,70,,,9529",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &["100", "70.5", "70"],
    },
    Case {
        rule: "units",
        what: "the range is converted too",
        tables: &[("measurement", RANGES, "1,1,3020891,2020-01-01,0,212,32,122,9289")],
        table: "measurement",
        column: "range_high",
        stay: &["50"],
    },
    Case {
        rule: "survey_race_none",
        what: "beside none of these a race, no answer and a skip go; without it all stay; another person's and other questions' stay",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,0,2020-01-01,45905771,,1586142,1586140\n2,1,0,2020-01-01,45905771,,1586148,1586140\n3,1,0,2021-01-01,45905771,,903096,1586140\n\
            4,2,0,2020-01-01,45905771,,1586142,1586140\n5,2,0,2020-01-01,45905771,,1586143,1586140\n6,1,0,2022-01-01,45905771,,903096,1585838",
        )],
        table: "observation",
        column: "observation_id",
        stay: &["2", "6", "4", "5"],
    },
    Case {
        rule: "survey_race_alone",
        what: "no answer and a skip go beside a race; alone and beside each other they stay; another person's and other questions' stay",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,0,2020-01-01,45905771,,1586142,1586140\n3,1,0,2021-01-01,45905771,,903079,1586140\n4,1,0,2021-01-01,45905771,,903096,1586140\n\
            5,2,0,2020-01-01,45905771,,903096,1586140\n6,2,0,2020-01-01,45905771,,903079,1586140\n7,1,0,2022-01-01,45905771,,903096,1585838",
        )],
        table: "observation",
        column: "observation_id",
        stay: &["1", "7", "5", "6"],
    },
    Case {
        rule: "survey_repeats",
        what: "the last response to a question stays with all its answers, by time, then response; a question of several answers keeps each answer's last; other questions and types stay",
        tables: &[(
            "observation",
            RESPONSE,
            "1,1,0,2020-01-01,,45905771,5,77,100,\n2,1,0,2020-01-02,,45905771,6,77,101,\n3,1,0,2020-01-02,,45905771,7,77,101,\n\
            4,1,0,2020-01-01,,45905771,5,78,100,\n5,1,0,2020-01-01,,1,5,77,100,\n6,1,0,2020-01-01,,45905771,8,1586140,100,\n7,1,0,2020-01-02,,45905771,8,1586140,101,\n8,1,0,2020-01-01,,45905771,9,1586140,100,\n\
            9,2,0,2020-01-01,2020-01-01 08:00:00,45905771,5,77,,\n10,2,0,2020-01-01,2020-01-01 09:00:00,45905771,6,77,,",
        )],
        table: "observation",
        column: "observation_id",
        stay: &["4", "5", "8", "2", "3", "7", "10"],
    },
    Case {
        rule: "survey_repeats",
        what: "of alike answers of one response one stays; the answers of a survey that recurs all stay",
        tables: &[
            (
                "observation",
                RESPONSE,
                "1,1,0,2020-01-01,,45905771,5,77,100,\n2,1,0,2020-01-01,,45905771,5,77,100,\n3,1,0,2020-01-01,,45905771,5,77,100,3\n\
                4,1,0,2020-05-01,,45905771,5,79,200,\n5,1,0,2020-06-01,,45905771,5,79,201,\n6,1,0,2020-05-01,,45905771,5,80,200,\n7,1,0,2020-06-01,,45905771,5,80,300,",
            ),
            (
                "survey_conduct",
                CONDUCT,
                "100,1,1586134,2020-01-01,2020-01-01\n200,1,2100000002,2020-05-01,2020-05-01\n201,1,2100000003,2020-06-01,2020-06-01\n300,1,1585855,2020-06-01,2020-06-01",
            ),
        ],
        table: "observation",
        column: "observation_id",
        stay: &["2", "3", "4", "6", "5", "7"],
    },
    Case {
        rule: "survey_repeats",
        what: "a response is named row by row, by questionnaire_response_id or else by observation_event_id: what one extract fills says nothing of another's rows",
        tables: &[
            (
                "observation",
                "observation_id,person_id,observation_concept_id,observation_date,observation_type_concept_id,value_as_concept_id,observation_source_concept_id,observation_event_id,questionnaire_response_id",
                "1,1,0,2020-05-01,45905771,5,79,200,\n2,1,0,2020-06-01,45905771,5,79,201,\n3,2,0,2020-06-01,45905771,5,80,,300\n4,2,0,2020-07-01,45905771,5,80,200,301",
            ),
            (
                "survey_conduct",
                CONDUCT,
                "200,1,2100000002,2020-05-01,2020-05-01\n201,1,2100000003,2020-06-01,2020-06-01\n300,2,1585855,2020-06-01,2020-06-01\n301,2,1585855,2020-07-01,2020-07-01",
            ),
        ],
        table: "observation",
        column: "observation_id",
        stay: &["1", "2", "4"],
    },
    Case {
        rule: "survey_household_words",
        what: "words become the concept of an invalid value, numbers and pmi_skip stay, and so do other questions' words",
        tables: &[(
            "observation",
            ANSWER,
            "1,1,0,2020-01-01,0,five,,1585889\n2,1,0,2020-01-01,0,5,,1333015\n3,1,0,2020-01-01,0,PMI_Skip,,1585890\n4,1,0,2020-01-01,0,nan,,1333023\n5,1,0,2020-01-01,0,-1.5,,1585889\n6,1,0,2020-01-01,0,five,,7\n7,1,0,2020-01-01,0,,,1585889",
        )],
        table: "observation",
        column: "value_as_concept_id",
        stay: &["2000000010", "", "", "2000000010", "", "", ""],
    },
    Case {
        rule: "after_death",
        what: "a person born 31 days after death goes, 30 days after stays, and one whose time of birth is not known",
        tables: &[
            (
                "person",
                "person_id,gender_concept_id,year_of_birth,birth_datetime,race_concept_id,ethnicity_concept_id",
                "1,0,2020,2020-07-01 23:00:00,0,0\n2,0,2020,2020-07-02 00:00:00,0,0\n3,0,2021,,0,0",
            ),
            ("death", DEATH, "1,2020-06-01,0\n2,2020-06-01,0\n3,2020-06-01,0"),
        ],
        table: "person",
        column: "person_id",
        stay: &["1", "3"],
    },
    Case {
        rule: "after_deactivation",
        what: "the day before deactivation stays, the day itself goes; the later of start and end decides; who is not deactivated stays",
        tables: &[(
            "drug_exposure",
            DRUG,
            "1,2,7,2020-05-31,2020-05-31,0,,\n2,2,7,2020-06-01,,0,,\n3,2,7,2020-05-01,2020-06-01,0,,\n4,1,7,2024-01-01,,0,,",
        )],
        table: "drug_exposure",
        column: "drug_exposure_id",
        stay: &["4", "1"],
    },
    Case {
        rule: "primary_death",
        what: "the programme's own report comes last though it is earlier, and stays alone",
        tables: &[(
            "death",
            DEATH_TIMES,
            "1,2020-01-01,,32809,1\n1,2020-01-02,,32817,2\n2,2020-01-01,,32809,3",
        )],
        table: "death",
        column: "cause_concept_id",
        stay: &["2", "3"],
    },
    Case {
        rule: "body_size",
        what: "heights of 0.9 to 2.3, 3 to 7.5, 36 to 89.9 and 90 to 230 become centimetres, those between and beyond go",
        tables: &[
            ("person", PEOPLE_COLUMNS, PEOPLE),
            (
                "measurement",
                MEASUREMENT,
                "1,1,3036277,2020-01-01,,0,0.89,\n2,2,3036277,2020-01-01,,0,0.9,\n3,3,3036277,2020-01-01,,0,2.3,\n4,4,3036277,2020-01-01,,0,2.31,\n5,5,3036277,2020-01-01,,0,2.99,\n6,6,3036277,2020-01-01,,0,3,\n7,7,3036277,2020-01-01,,0,7.5,\n8,8,3036277,2020-01-01,,0,7.51,\n9,9,3036277,2020-01-01,,0,35.9,\n10,10,3036277,2020-01-01,,0,36,\n11,11,3036277,2020-01-01,,0,89.9,\n12,12,3036277,2020-01-01,,0,89.95,\n13,13,3036277,2020-01-01,,0,90,\n14,14,3036277,2020-01-01,,0,230,\n15,15,3036277,2020-01-01,,0,230.1,",
            ),
        ],
        table: "measurement",
        column: "value_as_number",
        stay: &["90", "229.99999999999997", "91.44", "228.6", "91.44", "228.346", "90", "230"],
    },
    Case {
        rule: "body_size",
        what: "heights of nine and eleven tenths of the person's median stay, those beyond go",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,3023540,2020-01-01,,0,170,8582\n2,1,3023540,2020-01-02,,0,170,8582\n3,1,3023540,2020-01-03,,0,170,8582\n4,1,3023540,2020-01-04,,0,152,8582\n5,1,3023540,2020-01-05,,0,153,8582\n6,1,3023540,2020-01-06,,0,187,8582\n7,1,3023540,2020-01-07,,0,188,8582",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &["170", "170", "170", "153", "187"],
    },
    Case {
        rule: "body_size",
        what: "a median of 60 to 110 is kilograms, of 120 to 300 pounds, above 1200 ounces; other medians leave the weight",
        tables: &[
            ("person", PEOPLE_COLUMNS, PEOPLE),
            (
                "measurement",
                MEASUREMENT,
                "1,1,3025315,2020-01-01,,0,59.9,1\n2,2,3025315,2020-01-01,,0,60,2\n3,3,3025315,2020-01-01,,0,110,3\n4,4,3025315,2020-01-01,,0,111,4\n5,5,3025315,2020-01-01,,0,119,5\n6,6,3025315,2020-01-01,,0,120,6\n7,7,3025315,2020-01-01,,0,300,7\n8,8,3025315,2020-01-01,,0,301,8\n9,9,3025315,2020-01-01,,0,1200,9\n10,10,3025315,2020-01-01,,0,1200.5,10",
            ),
        ],
        table: "measurement",
        column: "value_as_number",
        stay: &[
            "59.9",
            "60",
            "110",
            "111",
            "119",
            "54.431642928422384",
            "136.07910732105597",
            "301",
            "1200",
            "34.033565799172194",
        ],
    },
    Case {
        rule: "body_size",
        what: "and its unit",
        tables: &[
            ("person", PEOPLE_COLUMNS, PEOPLE),
            (
                "measurement",
                MEASUREMENT,
                "1,1,3025315,2020-01-01,,0,59.9,1\n2,2,3025315,2020-01-01,,0,60,2\n3,3,3025315,2020-01-01,,0,110,3\n4,4,3025315,2020-01-01,,0,111,4\n5,5,3025315,2020-01-01,,0,119,5\n6,6,3025315,2020-01-01,,0,120,6\n7,7,3025315,2020-01-01,,0,300,7\n8,8,3025315,2020-01-01,,0,301,8\n9,9,3025315,2020-01-01,,0,1200,9\n10,10,3025315,2020-01-01,,0,1200.5,10",
            ),
        ],
        table: "measurement",
        column: "unit_concept_id",
        stay: &["1", "9529", "9529", "4", "5", "9529", "9529", "8", "9", "9529"],
    },
    Case {
        rule: "body_size",
        what: "1.5 and 3 times the person's median are pounds, 24 and 50 times ounces; half of it stays, what is less, or between and beyond, goes",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,3013762,2020-01-01,,0,70,9529\n2,1,3013762,2020-01-02,,0,70,9529\n3,1,3013762,2020-01-03,,0,70,9529\n4,1,3013762,2020-01-04,,0,70,9529\n5,1,3013762,2020-01-05,,0,70,9529\n6,1,3013762,2020-01-06,,0,70,9529\n7,1,3013762,2020-01-07,,0,70,9529\n8,1,3013762,2020-01-08,,0,34.9,9529\n9,1,3013762,2020-01-09,,0,35,9529\n10,1,3013762,2020-01-10,,0,104,9529\n11,1,3013762,2020-01-11,,0,105,9529\n12,1,3013762,2020-01-12,,0,210,9529\n13,1,3013762,2020-01-13,,0,211,9529\n14,1,3013762,2020-01-14,,0,1679,9529\n15,1,3013762,2020-01-15,,0,1680,9529\n16,1,3013762,2020-01-16,,0,3500,9529\n17,1,3013762,2020-01-17,,0,3501,9529",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &[
            "70",
            "70",
            "70",
            "70",
            "70",
            "70",
            "70",
            "35",
            "104",
            "47.62768756236959",
            "95.25537512473917",
            "47.627147474060216",
            "99.22322390429211",
        ],
    },
    Case {
        rule: "body_size",
        what: "the programme's own measurements and the number for none stay",
        tables: &[(
            "measurement",
            "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number,measurement_source_concept_id",
            "1,1,3036277,2020-01-01,0,20,903133\n2,1,3036277,2020-01-02,0,9999999,0\n3,1,3036277,2020-01-03,0,20,0",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &["20", "9999999"],
    },
    Case {
        rule: "body_mass_index",
        what: "height and weight of one datetime and type make an index; another time, another type, a height of 0 and an index that is there make none",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,903133,2020-01-01,2020-01-01 10:00:00,5,175,\n2,1,903121,2020-01-01,2020-01-01 10:00:00,5,70,\n3,1,903121,2020-01-02,2020-01-02 10:00:00,5,71,\n4,1,903133,2020-01-02,2020-01-02 11:00:00,5,175,\n\
            5,1,903121,2020-01-03,,5,72,\n6,1,903133,2020-01-03,,6,175,\n7,1,903133,2020-01-04,,5,0,\n8,1,903121,2020-01-04,,5,73,\n\
            9,2,903133,2020-01-01,,5,175,\n10,2,903121,2020-01-01,,5,70,\n11,2,903124,2020-01-01,,5,23,",
        )],
        table: "measurement",
        column: "value_as_number",
        stay: &[
            "175",
            "70",
            "22.857142857142858",
            "71",
            "175",
            "72",
            "175",
            "0",
            "73",
            "175",
            "70",
            "23",
        ],
    },
    Case {
        rule: "body_mass_index",
        what: "its row has an id above all others",
        tables: &[(
            "measurement",
            MEASUREMENT,
            "1,1,903133,2020-01-01,,5,175,\n70,1,903121,2020-01-01,,5,70,\n900,2,7,2020-01-01,,5,1,",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["1", "70", "901", "900"],
    },
    Case {
        rule: "standard_concepts",
        what: "a concept of 0 or not standard becomes that which the source concept maps to; a standard one stays, and what maps to none, or to one that is not valid",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            ("concept_relationship", RELATIONSHIP, RELATIONSHIPS),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,0,2020-01-01,,,0,100,\n2,1,102,2020-01-01,,,0,100,\n3,1,11,2020-01-01,,,0,100,\n4,1,0,2020-01-01,,,0,102,\n5,1,102,2020-01-01,,,0,103,\n6,1,100,2020-01-01,,,0,,\n7,1,0,2020-01-01,,,0,0,\n8,1,77,2020-01-01,,,0,78,",
            ),
        ],
        table: "condition_occurrence",
        column: "condition_concept_id",
        stay: &["10", "10", "11", "0", "102", "10", "0", "77"],
    },
    Case {
        rule: "standard_concepts",
        what: "of several standard concepts each has a row",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            ("concept_relationship", RELATIONSHIP, RELATIONSHIPS),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,0,2020-01-01,,,0,101,\n9,1,0,2020-01-02,,,0,100,",
            ),
        ],
        table: "condition_occurrence",
        column: "condition_concept_id",
        stay: &["10", "11", "10"],
    },
    Case {
        rule: "standard_concepts",
        what: "rows that are split off have ids above all others",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            ("concept_relationship", RELATIONSHIP, RELATIONSHIPS),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,0,2020-01-01,,,0,101,\n9,1,0,2020-01-02,,,0,100,",
            ),
        ],
        table: "condition_occurrence",
        column: "condition_occurrence_id",
        stay: &["1", "10", "9"],
    },
    Case {
        rule: "standard_concepts",
        what: "a concept without a source concept becomes it",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            ("concept_relationship", RELATIONSHIP, RELATIONSHIPS),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,100,2020-01-01,,,0,,\n2,1,10,2020-01-01,,,0,,",
            ),
        ],
        table: "condition_occurrence",
        column: "condition_source_concept_id",
        stay: &["100", ""],
    },
    Case {
        rule: "domains",
        what: "rows of other domains leave the table; what is of its own, of none, of one without a table here or not known stays",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,10,2020-01-01,,,0,0,\n2,1,11,2020-01-01,,,0,0,\n3,1,14,2020-01-01,,,0,0,\n4,1,0,2020-01-01,,,0,0,\n5,1,77,2020-01-01,,,0,0,\n6,1,15,2020-01-01,,,0,0,",
            ),
            ("observation", OBSERVATION, "1,1,11,2020-01-01,0,,,"),
        ],
        table: "condition_occurrence",
        column: "condition_occurrence_id",
        stay: &["1", "3", "4", "5", "6"],
    },
    Case {
        rule: "domains",
        what: "and come to theirs under an id above all others",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            ("condition_occurrence", CONDITION, "1,1,11,2020-01-03,,,0,100,8"),
            ("measurement", MEASUREMENT, "1,1,12,2020-01-01,,0,5,\n2,1,11,2020-01-02,,0,6,"),
            ("observation", OBSERVATION, "40,1,11,2020-01-01,0,,,"),
        ],
        table: "observation",
        column: "observation_id",
        stay: &["40", "42", "41"],
    },
    Case {
        rule: "domains",
        what: "with value, source concept and visit",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            ("condition_occurrence", CONDITION, "1,1,11,2020-01-03,,,0,100,8"),
            ("measurement", MEASUREMENT, "2,1,11,2020-01-02,,0,6,"),
            ("observation", OBSERVATION, "40,1,11,2020-01-01,0,,,7"),
        ],
        table: "observation",
        column: "observation_source_concept_id",
        stay: &["7", "", "100"],
    },
    Case {
        rule: "domains",
        what: "an end that the table requires and the row lacks is its start",
        tables: &[
            ("concept", CONCEPT, CONCEPTS),
            (
                "condition_occurrence",
                CONDITION,
                "1,1,15,2020-01-03,,,0,100,\n2,1,15,2020-01-04,,2020-02-01,0,100,",
            ),
            ("drug_exposure", DRUG, "1,2,15,2020-01-02,2020-01-02,0,,"),
        ],
        table: "drug_exposure",
        column: "drug_exposure_end_date",
        stay: &["2020-01-03", "2020-02-01", "2020-01-02"],
    },
    Case {
        rule: "adults",
        what: "born 1899 or in the year of the cut-off less 16 goes, 1900 and less 17 stay; 18 on the day of consent stays, a day younger goes",
        tables: &[
            (
                "person",
                "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,ethnicity_concept_id",
                "1,0,1899,1,1,0,0\n2,0,1900,1,1,0,0\n3,0,2009,1,1,0,0\n4,0,2010,1,1,0,0\n5,0,2000,6,2,0,0\n6,0,2000,6,2,0,0",
            ),
            (
                "observation",
                OBSERVATION,
                "1,5,0,2018-06-02,0,,,1585482\n2,6,0,2018-06-01,0,,,1585482\n3,1,0,2018-06-01,0,,,7",
            ),
        ],
        table: "person",
        column: "person_id",
        stay: &["2", "3", "5"],
    },
    Case {
        rule: "adults",
        what: "with all their rows",
        tables: &[
            (
                "person",
                "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,ethnicity_concept_id",
                "1,0,1899,1,1,0,0\n2,0,1900,1,1,0,0",
            ),
            ("observation", OBSERVATION, "1,1,0,2018-06-02,0,,,7\n2,2,0,2018-06-01,0,,,7"),
        ],
        table: "observation",
        column: "observation_id",
        stay: &["2"],
    },
    Case {
        rule: "valid_death",
        what: "2016-12-31 goes, 2017-01-01 stays; a death on the day of the last answer stays, the day before goes; without answers it goes",
        tables: &[
            (
                "death",
                DEATH,
                "1,2016-12-31,0\n1,2017-01-01,1\n2,2020-05-05,2\n2,2020-05-04,3\n3,2020-05-05,4",
            ),
            (
                "observation",
                OBSERVATION,
                "1,1,0,2016-01-01,45905771,,,7\n2,2,0,2020-05-05,45905771,,,7\n3,3,0,2016-01-01,1,,,7",
            ),
        ],
        table: "death",
        column: "death_type_concept_id",
        stay: &["1", "2"],
    },
    Case {
        rule: "smoking_questions",
        what: "a yes opens the questions, as source or as standard concept, a no or a skip closes them, an unasked question closes nothing",
        tables: &[(
            "observation",
            OBSERVATION,
            "1,1,0,2020-01-01,0,,45877994,1585857\n2,1,0,2020-01-01,0,20,,1585820\n3,2,0,2020-01-01,0,,1585859,1585857\n4,2,0,2020-01-01,0,20,,1585820\n5,2,0,2020-01-01,0,20,,7\n6,3,0,2020-01-01,0,20,,1585820",
        )],
        table: "observation",
        column: "observation_id",
        stay: &["1", "2", "3", "5", "6"],
    },
    Case {
        rule: "measurement_without_value",
        what: "a number stays, a concept 0 is no value",
        tables: &[(
            "measurement",
            "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number,value_as_concept_id",
            "1,1,5,2020-01-01,0,0,\n2,1,5,2020-01-01,0,,0\n3,1,5,2020-01-01,0,,9\n4,1,5,2020-01-01,0,,",
        )],
        table: "measurement",
        column: "measurement_id",
        stay: &["1", "3"],
    },
];

/// Rules on wearables, which have tests of their own.
const WORDS: [&str; 4] = ["sleep_levels", "heart_rate_zones", "main_sleep", "main_sleep_of_levels"];

fn feed(tables: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("person.csv"), PERSON).unwrap();
    for (name, header, rows) in tables {
        std::fs::write(dir.path().join(format!("{name}.csv")), format!("{header}\n{rows}\n"))
            .unwrap();
    }
    dir
}

#[test]
fn each_rule_keeps_to_its_boundaries() {
    let all = Rules::read(&rule_files()).unwrap();
    for case in CASES {
        let feed = feed(case.tables);
        let out = tempfile::tempdir().unwrap();
        let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
        let mut rule = all.list.iter().find(|r| r.id == case.rule).unwrap().clone();
        rule.after.clear();
        let vocabulary = vocabulary_of(&extract, out.path());
        let mut request = request(vec![extract], Rules { list: vec![rule] });
        request.vocabulary = vocabulary;
        let root = out.path().join("curate");
        let extract = curation::curate(&request, &Job::quiet(&root, 2)).unwrap();
        let batch = rows(&root, &extract, case.table);
        let got: Vec<String> =
            (0..batch.num_rows()).map(|i| cell(&batch, case.column, i)).collect();
        assert_eq!(got, case.stay, "{}: {}", case.rule, case.what);
        assert!(extract.output.ledger.unbalanced().is_empty());
    }
}

#[test]
fn every_rule_has_a_case_and_a_line_in_the_docs() {
    let all = Rules::read(&rule_files()).unwrap();
    let tested: BTreeSet<&str> = CASES.iter().map(|c| c.rule).chain(WORDS).collect();
    let ids: BTreeSet<&str> = all.list.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids, tested);
    let mut page = String::from(
        "# Curation rules\n\nThe rules of `configs/curation/participants.toml`, `standard.toml`, `adults.toml`, `all_of_us.toml` and `values.toml`, in order, with what the tests hold them to. \
         This page is made by\n`STRATA_UPDATE_DOCS=1 cargo test --test curation`.\n",
    );
    for rule in &all.list {
        page += &format!("\n## `{}`\n\n{}\n\n", rule.id, rule.description);
        page += &format!("Tables: {}.\n", rule.kind.tables().join(", "));
        let cases: Vec<&Case> = CASES.iter().filter(|c| c.rule == rule.id).collect();
        if !cases.is_empty() {
            page.push('\n');
        }
        for case in cases {
            page += &format!("- {}\n", case.what);
        }
    }
    let path = root("docs/curation.md");
    if std::env::var_os("STRATA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "docs/curation.md");
}

#[test]
fn sleep_levels_are_those_of_devices() {
    let dir = tempfile::tempdir().unwrap();
    let text = "person_id,sleep_date,is_main_sleep,level,start_datetime,duration_in_min\n\
        1,2020-01-01,true,REM,2020-01-01 01:00:00,5\n1,2020-01-01,true,wake,2020-01-01 02:00:00,5\n\
        1,2020-01-01,true,asleeep,2020-01-01 03:00:00,5\n1,2020-01-01,true,,2020-01-01 04:00:00,5\n";
    std::fs::write(dir.path().join("sleep_level.csv"), text).unwrap();
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("f", dir.path(), CdmVersion::V5_4, Scope::Wearables, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let extract =
        curation::curate(&request(vec![extract], all), &Job::quiet(out.path(), 1)).unwrap();
    let batch = rows(out.path(), &extract, "sleep_level");
    let levels: Vec<String> = (0..batch.num_rows()).map(|i| cell(&batch, "level", i)).collect();
    assert_eq!(levels, ["REM", "wake"]);
}

#[test]
fn words_of_wearables_are_those_of_devices() {
    for (table, header, column, stay) in [
        ("heart_rate_summary", "person_id,date,zone_name", "zone_name", "FAT BURN"),
        ("sleep_daily_summary", "person_id,sleep_date,is_main_sleep", "is_main_sleep", "False"),
        ("sleep_level", "person_id,sleep_date,level,is_main_sleep", "is_main_sleep", "1"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let level = if table == "sleep_level" { "deep," } else { "" };
        let row = |word: &str| format!("1,2020-01-01,{level}{word}\n");
        let text = format!("{header}\n{}{}{}", row(stay), row("at Bob's"), row(""));
        std::fs::write(dir.path().join(format!("{table}.csv")), text).unwrap();
        let out = tempfile::tempdir().unwrap();
        let extract = ingest("f", dir.path(), CdmVersion::V5_4, Scope::Wearables, out.path());
        let all = Rules::read(&[root(RULES)]).unwrap();
        let extract =
            curation::curate(&request(vec![extract], all), &Job::quiet(out.path(), 1)).unwrap();
        let batch = rows(out.path(), &extract, table);
        let mut words: Vec<String> =
            (0..batch.num_rows()).map(|i| cell(&batch, column, i)).collect();
        words.sort();
        assert_eq!(words, ["", stay], "{table}");
        assert!(extract.output.ledger.unbalanced().is_empty());
    }
}

#[test]
fn a_death_that_cannot_be_takes_neither_records_nor_the_real_one() {
    let feed = feed(&[
        ("death", DEATH, "1,2015-01-01,0\n1,2020-01-01,0"),
        ("observation", OBSERVATION, "1,1,9,2018-01-01,45905771,,,7"),
        ("drug_exposure", DRUG, "1,1,7,2019-07-01,,0,,"),
    ]);
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let root = out.path().join("curated");
    let [first, _, _, second, _] = rule_files();
    let rules = Rules::read(&[first.clone(), second.clone()]).unwrap();
    let extract = curation::curate(&request(vec![extract], rules), &Job::quiet(&root, 1)).unwrap();
    let deaths = rows(&root, &extract, "death");
    assert_eq!((deaths.num_rows(), cell(&deaths, "death_date", 0)), (1, "2020-01-01".into()));
    assert_eq!(rows(&root, &extract, "drug_exposure").num_rows(), 1);
    let turned = Rules::read(&[second, first]).unwrap_err().to_string();
    assert!(turned.contains("valid_death") && turned.contains("must come before"), "{turned}");
}

#[test]
fn rows_that_move_or_are_made_are_in_the_books_of_both_tables() {
    let feed = feed(&[
        ("concept", CONCEPT, CONCEPTS),
        ("concept_relationship", RELATIONSHIP, RELATIONSHIPS),
        // Maps to a condition and an observation: a row stays and one moves.
        (
            "condition_occurrence",
            CONDITION,
            "1,1,0,2020-01-01,,,0,101,\n2,1,15,2020-01-01,,,0,0,\n3,1,102,2020-01-01,,,0,102,",
        ),
        ("observation", OBSERVATION, "1,1,11,2020-01-01,0,,,"),
    ]);
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let vocabulary = vocabulary_of(&extract, out.path());
    let rules = Rules::read(&[root("configs/curation/standard.toml")]).unwrap();
    let mut request = request(vec![extract], rules);
    let refused = curation::curate(&request, &Job::quiet(out.path().join("none"), 1));
    assert_eq!(refused.unwrap_err().code(), "curation::no_vocabulary");
    request.vocabulary = vocabulary;
    let root = out.path().join("curated");
    let made = curation::curate(&request, &Job::quiet(&root, 1)).unwrap();
    assert!(made.output.ledger.unbalanced().is_empty());
    let books = |table: &str| {
        made.output.ledger.0.iter().find(|t| t.table == format!("curated/{table}")).unwrap()
    };
    let (from, to) = (books("condition_occurrence"), books("observation"));
    assert_eq!((from.rows_in, from.rows_out, to.rows_in, to.rows_out), (3, 3, 1, 2));
    assert_eq!((from.made["standard_concepts"], from.excluded["domains"]), (1, 1));
    assert_eq!((from.changed["standard_concepts"], to.made["domains"]), (1, 1));
    assert_eq!((from.noted["no_standard_concept"], from.noted["no_table_of_domain"]), (1, 1));
    let file = std::fs::File::open(root.join("quality/curation/rules.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let counts: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let line = |row: usize| {
        ["rule_id", "table", "rows_removed", "rows_changed", "rows_made"]
            .map(|column| cell(&counts[0], column, row))
            .join(" ")
    };
    assert_eq!(
        (0..counts[0].num_rows()).map(line).collect::<Vec<_>>(),
        [
            "standard_concepts condition_occurrence 0 1 1",
            "domains condition_occurrence 1 0 0",
            "domains observation 0 0 1",
        ]
    );
    // A concept must be standard before its domain counts.
    let turned: Vec<_> = request.rules.list.iter().rev().cloned().collect();
    request.rules.list = turned;
    let made = curation::curate(&request, &Job::quiet(out.path().join("turned"), 1)).unwrap();
    assert_eq!(made.table("observation").unwrap().rows, 1);
}

#[test]
fn an_index_is_made_before_extremes_go() {
    let feed = feed(&[(
        "measurement",
        MEASUREMENT,
        "1,1,903133,2020-01-01,,5,100,\n2,1,903121,2020-01-01,,5,200,",
    )]);
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let rows_after = |ids: [&str; 2]| {
        let pick = |id: &&str| all.list.iter().find(|r| r.id == **id).unwrap().clone();
        let list = ids.iter().map(pick).collect();
        let root = out.path().join(ids[0]);
        let made = curation::curate(
            &request(vec![extract.clone()], Rules { list }),
            &Job::quiet(&root, 1),
        );
        made.unwrap().table("measurement").unwrap().rows
    };
    // An index of 200 takes height and weight with it, if it is there.
    assert_eq!(rows_after(["body_mass_index", "physical_extremes"]), 0);
    assert_eq!(rows_after(["physical_extremes", "body_mass_index"]), 3);
    let mut turned = [root(RULES), root("configs/curation/adults.toml")];
    let error = Rules::read(&turned).unwrap_err().to_string();
    assert!(error.contains("body_size") && error.contains("must come before"), "{error}");
    turned.reverse();
    assert!(Rules::read(&turned).is_ok());
}

#[test]
fn the_sandbox_keeps_rows_as_they_were() {
    let feed = feed(&[(
        "measurement",
        MEASUREMENT,
        "1,1,3,2020-01-01,,0,9999999,\n2,1,3,2020-01-01,,0,5,",
    )]);
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let mut request = request(vec![extract], all);
    let root = out.path().join("curated");
    let made = curation::curate(&request, &Job::quiet(&root, 1)).unwrap();
    let path = "quality/curation/changed/measurement/part-0000.parquet";
    assert!(made.output.files.iter().any(|f| f.path == path && f.rows == Some(1)));
    let file = std::fs::File::open(root.join(path)).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(cell(&batch, "rule_id", 0), "placeholder_number");
    assert_eq!(cell(&batch, "value_as_number", 0), "9999999");
    assert_eq!(cell(&rows(&root, &made, "measurement"), "value_as_number", 0), "");
    request.sandbox = false;
    let made = curation::curate(&request, &Job::quiet(out.path().join("closed"), 1)).unwrap();
    assert!(!made.output.files.iter().any(|f| f.path.contains("/changed/")));
}

/// Extracts of two versions of the CDM are one of the newer: what it has renamed is where it belongs.
#[test]
fn extracts_of_two_versions_are_one_of_the_newer() {
    let header = |from: &str, to: &str, text: &str| {
        format!("{VISIT},{from}_concept_id,{to}_concept_id,{to}_{text}")
    };
    let new = header("admitted_from", "discharged_to", "source_value");
    let old = header("admitting_source", "discharge_to", "source_value");
    let one = feed(&[("visit_occurrence", &new, "1,1,9201,2020-01-01,2020-01-02,0,11,12,home")]);
    let two = feed(&[("visit_occurrence", &old, "1,2,9201,2020-01-01,2020-01-02,0,21,22,ward")]);
    let out = tempfile::tempdir().unwrap();
    let site = |name, feed: &tempfile::TempDir, version| {
        ingest(name, feed.path(), version, Scope::Both, out.path())
    };
    let extracts = vec![site("a", &one, CdmVersion::V5_4), site("b", &two, CdmVersion::V5_3)];
    let request = request(extracts, Rules { list: Vec::new() });
    let root = out.path().join("curated");
    let made = curation::curate(&request, &Job::quiet(&root, 1)).unwrap();
    let visits = rows(&root, &made, "visit_occurrence");
    let schema = visits.schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let model = strata::omop::cdm(CdmVersion::V5_4).table("visit_occurrence").unwrap();
    assert_eq!(names, model.fields.iter().map(|f| f.name).collect::<Vec<_>>());
    let columns =
        ["admitted_from_concept_id", "discharged_to_concept_id", "discharged_to_source_value"];
    let mut found: Vec<[String; 3]> =
        (0..visits.num_rows()).map(|i| columns.map(|name| cell(&visits, name, i))).collect();
    found.sort();
    assert_eq!(found, [["11", "12", "home"], ["21", "22", "ward"]]);
}

#[test]
fn the_mapping_leads_back_to_the_rows_of_the_extracts() {
    let one = feed(&[(
        "measurement",
        MEASUREMENT,
        "7,1,3025315,2020-01-01,,0,70,\n8,1,3,2020-01-01,,0,9999999,",
    )]);
    let two = feed(&[(
        "measurement",
        MEASUREMENT,
        "7,2,903133,2020-01-01,,5,170,\n9,2,903121,2020-01-01,,5,70,",
    )]);
    let out = tempfile::tempdir().unwrap();
    let site = |name, feed: &tempfile::TempDir| {
        ingest(name, feed.path(), CdmVersion::V5_4, Scope::Both, out.path())
    };
    let extracts = vec![site("north", &one), site("south", &two)];
    let mut all = Rules::read(&[root("configs/curation/adults.toml"), root(RULES)]).unwrap();
    all.list.retain(|rule| rule.id == "body_mass_index");
    let mut request = request(extracts, all);
    let root = out.path().join("curated");
    let made = curation::curate(&request, &Job::quiet(&root, 1)).unwrap();
    let path = "quality/curation/mapping/measurement/part-0000.parquet";
    assert!(made.output.files.iter().any(|f| f.path == path));
    let file = std::fs::File::open(root.join(path)).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let map = reader.next().unwrap().unwrap();
    let columns = ["measurement_id", "src_measurement_id", "src_hpo_id", "rule_id"];
    let mut found: Vec<[String; 4]> =
        (0..map.num_rows()).map(|i| columns.map(|name| cell(&map, name, i))).collect();
    found.sort();
    let made_id = found.iter().find(|row| row[3] == "body_mass_index").unwrap()[0].clone();
    let mut wanted = vec![
        ["7", "7", "north", ""],
        ["8", "8", "north", ""],
        ["1000000000000007", "7", "south", ""],
        ["1000000000000009", "9", "south", ""],
        [&made_id, "", "south", "body_mass_index"],
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    // Every row that is left, and no other.
    let rows = rows(&root, &made, "measurement");
    let mut ids: Vec<String> =
        (0..rows.num_rows()).map(|i| cell(&rows, "measurement_id", i)).collect();
    ids.sort();
    assert_eq!(ids, found.iter().map(|row| row[0].clone()).collect::<Vec<_>>());
    request.mapping = false;
    let made = curation::curate(&request, &Job::quiet(out.path().join("closed"), 1)).unwrap();
    assert!(!made.output.files.iter().any(|f| f.path.contains("/mapping/")));
}

#[test]
fn rows_that_rules_make_are_the_same_on_any_number_of_threads() {
    use std::fmt::Write;
    // More rows than one bucket holds, of two extracts with the same ids.
    let mut text = format!("{MEASUREMENT}\n");
    let mut people = format!("{PEOPLE_COLUMNS}\n");
    for person in 0..90_000_i64 {
        writeln!(people, "{person},0,1970,0,0").unwrap();
        let (height, weight) = (150 + person % 50, 50 + person % 60);
        for (n, concept, value) in [(1, 903133, height), (2, 903121, weight), (3, 3025315, weight)]
        {
            writeln!(text, "{},{person},{concept},2020-01-01,,5,{value},", person * 3 + n).unwrap();
        }
    }
    let out = tempfile::tempdir().unwrap();
    let feed = tempfile::tempdir().unwrap();
    std::fs::write(feed.path().join("measurement.csv"), text).unwrap();
    std::fs::write(feed.path().join("person.csv"), people).unwrap();
    let site = |name| ingest(name, feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let sites = vec![site("a"), site("b")];
    let all = Rules::read(&[root("configs/curation/adults.toml"), root(RULES)]).unwrap();
    let curate = |threads: usize| {
        let mut list = all.list.clone();
        // Both extracts' rows stay apart.
        list.retain(|rule| ["body_size", "body_mass_index"].contains(&rule.id.as_str()));
        let mut request = request(sites.clone(), Rules { list });
        request.sandbox = false;
        let root = out.path().join(format!("c{threads}"));
        let made = curation::curate(&request, &Job::quiet(&root, threads)).unwrap();
        let batch = rows(&root, &made, "measurement");
        (made, batch)
    };
    let (made, batch) = curate(1);
    assert!(made == curate(4).0 && batch == curate(3).1);
    assert!(made.table("measurement").unwrap().parts > 1);
    assert!(made.output.ledger.unbalanced().is_empty());
    let books = made.output.ledger.0.iter().find(|t| t.table == "curated/measurement").unwrap();
    // One index a person: of two extracts' equal visits one.
    assert_eq!((books.rows_in, books.made["body_mass_index"]), (540_000, 90_000));
    let ids = batch.column_by_name("measurement_id").unwrap().as_primitive::<Int64Type>();
    let distinct: BTreeSet<i64> = ids.values().iter().copied().collect();
    assert_eq!(distinct.len(), batch.num_rows());
}

#[test]
fn what_is_worn_ends_with_deactivation() {
    let dir = tempfile::tempdir().unwrap();
    let text = "person_id,datetime,steps\n2,2020-05-31 23:59:00,5\n2,2020-06-01 00:00:00,5\n1,2021-01-01 00:00:00,5\n";
    std::fs::write(dir.path().join("steps_intraday.csv"), text).unwrap();
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("f", dir.path(), CdmVersion::V5_4, Scope::Wearables, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let extract =
        curation::curate(&request(vec![extract], all), &Job::quiet(out.path(), 1)).unwrap();
    let batch = rows(out.path(), &extract, "steps_intraday");
    let people: Vec<String> = (0..batch.num_rows()).map(|i| cell(&batch, "person_id", i)).collect();
    assert_eq!(people, ["1", "2"]);
    assert_eq!(extract.output.ledger.0[0].excluded["after_deactivation"], 1);
}

#[test]
fn deaths_of_one_extract_come_last() {
    let sites = [("healthpro", "1,2020-01-01,0"), ("b", "1,2020-02-02,0")];
    let out = tempfile::tempdir().unwrap();
    let sites: Vec<SiteExtract> = sites
        .iter()
        .map(|(name, rows)| {
            let feed = feed(&[("death", DEATH, rows)]);
            ingest(name, feed.path(), CdmVersion::V5_4, Scope::Both, out.path())
        })
        .collect();
    let all = Rules::read(&[root(RULES)]).unwrap();
    let root = out.path().join("curated");
    let extract = curation::curate(&request(sites, all), &Job::quiet(&root, 1)).unwrap();
    let deaths = rows(&root, &extract, "death");
    assert_eq!((deaths.num_rows(), cell(&deaths, "death_date", 0)), (1, "2020-02-02".into()));
}

#[test]
fn an_answer_that_excludes_others_is_weighed_before_repeats_go() {
    // A later skip must not take the earlier race with it.
    let feed = feed(&[(
        "observation",
        RESPONSE,
        "1,1,0,2020-01-01,,45905771,1586142,1586140,100,\n2,1,0,2020-02-01,,45905771,903096,1586140,101,",
    )]);
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let of = |ids: [&str; 2], several: bool| {
        let pick = |id: &&str| all.list.iter().find(|r| r.id == **id).unwrap().clone();
        let mut list: Vec<_> = ids.iter().map(pick).collect();
        for rule in &mut list {
            rule.after.clear();
            if let (strata::curation::rule::Kind::LastAnswers(repeats), false) =
                (&mut rule.kind, several)
            {
                repeats.multiple.clear();
            }
        }
        let root = out.path().join(format!("{}{several}", ids[0]));
        let request = request(vec![extract.clone()], Rules { list });
        let made = curation::curate(&request, &Job::quiet(&root, 1)).unwrap();
        let batch = rows(&root, &made, "observation");
        (0..batch.num_rows()).map(|i| cell(&batch, "observation_id", i)).collect::<Vec<_>>()
    };
    assert_eq!(of(["survey_race_alone", "survey_repeats"], false), ["1"]);
    assert_eq!(of(["survey_repeats", "survey_race_alone"], false), ["2"]);
}

#[test]
fn death_is_checked_before_it_ends_records() {
    // A death before birth goes first: it must not take the person's records with it.
    let feed = feed(&[
        ("death", DEATH, "1,1940-01-01,0"),
        ("drug_exposure", DRUG, "1,1,7,2020-07-01,,0,,"),
    ]);
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("a", feed.path(), CdmVersion::V5_4, Scope::Both, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let curate = |rules: Rules, name: &str| {
        let root = out.path().join(name);
        let extract =
            curation::curate(&request(vec![extract.clone()], rules), &Job::quiet(&root, 1));
        rows(&root, &extract.unwrap(), "drug_exposure").num_rows()
    };
    assert_eq!(curate(all.clone(), "in_order"), 1);
    let mut turned = all;
    turned.list.reverse();
    turned.list.iter_mut().for_each(|rule| rule.after.clear());
    assert_eq!(curate(turned, "turned"), 0);
}

#[test]
fn extracts_are_united_without_a_clash() {
    let visits = "7,1,9202,2020-01-01,2020-01-01,0\n8,2,9202,2020-01-01,2020-01-01,0";
    let first = feed(&[
        ("visit_occurrence", VISIT, visits),
        ("condition_occurrence", CONDITION, "1,1,7,2020-01-01,,,0,0,7\n2,2,7,2020-01-01,,,0,0,0"),
    ]);
    let second = feed(&[
        ("visit_occurrence", VISIT, "7,1,9202,2021-01-01,2021-01-01,0"),
        ("condition_occurrence", CONDITION, "1,1,7,2021-01-01,,,0,0,7"),
    ]);
    let out = tempfile::tempdir().unwrap();
    let sites = vec![
        ingest("a", first.path(), CdmVersion::V5_4, Scope::Both, out.path()),
        ingest("b", second.path(), CdmVersion::V5_3, Scope::Both, out.path()),
    ];
    let mut request = request(sites, Rules::default());
    request.excluded.insert(2, "withdrawn");
    let extract = curation::curate(&request, &Job::quiet(out.path(), 2)).unwrap();
    assert_eq!(extract.cdm, CdmVersion::V5_4);
    let people = rows(out.path(), &extract, "person");
    assert_eq!(
        (0..people.num_rows()).map(|i| cell(&people, "person_id", i)).collect::<Vec<_>>(),
        ["1", "3"]
    );
    let conditions = rows(out.path(), &extract, "condition_occurrence");
    let ids = |column: &str| -> Vec<String> {
        (0..conditions.num_rows()).map(|i| cell(&conditions, column, i)).collect()
    };
    assert_eq!(ids("condition_occurrence_id"), ["1", "1000000000000001"]);
    assert_eq!(ids("visit_occurrence_id"), ["7", "1000000000000007"]);
    let books = |table: &str| {
        extract.output.ledger.0.iter().find(|t| t.table == format!("curated/{table}")).unwrap()
    };
    assert_eq!(books("person").excluded["person_of_another_site"], 2);
    assert_eq!(books("person").excluded["withdrawn"], 2);
    assert_eq!(books("condition_occurrence").excluded["withdrawn"], 1);
    assert_eq!(
        (
            books("visit_occurrence").noted["rows_of:a"],
            books("visit_occurrence").noted["rows_of:b"]
        ),
        (1, 1)
    );
    assert!(extract.output.ledger.unbalanced().is_empty());
}

#[test]
fn real_extracts_keep_their_rows_and_their_bytes() {
    let path = root("../shared/data/omop/synthea27nj");
    if !path.exists() {
        return println!("skipped: the real extracts are not beside the checkout");
    }
    let out = tempfile::tempdir().unwrap();
    let extract = ingest("s", &path, CdmVersion::V5_4, Scope::Both, out.path());
    let all = Rules::read(&[root(RULES)]).unwrap();
    let curate = |threads: usize| {
        let root = out.path().join(format!("c{threads}"));
        let request = request(vec![extract.clone()], all.clone());
        let made = curation::curate(&request, &Job::quiet(&root, threads)).unwrap();
        let files = made.tables.iter().flat_map(|t| t.files());
        let bytes: Vec<Vec<u8>> = files.map(|f| std::fs::read(root.join(f)).unwrap()).collect();
        (made, bytes, root)
    };
    let (made, bytes, root) = curate(1);
    let (again, same, _) = curate(4);
    assert!(made == again && bytes == same);
    assert!(made.output.ledger.unbalanced().is_empty());
    for books in &made.output.ledger.0 {
        let table = books.table.strip_prefix("curated/").unwrap();
        assert_eq!(books.rows_in, extract.extract.table(table).unwrap().rows, "{table}");
        assert_eq!(made.table(table).unwrap().rows, books.rows_out, "{table}");
    }
    let removed: u64 = made.output.ledger.0.iter().flat_map(|t| t.excluded.values()).sum();
    let kept = made.output.files.iter().filter(|f| f.path.contains("/removed/"));
    assert_eq!(removed, kept.filter_map(|f| f.rows).sum::<u64>());
    // Sorted by person and date.
    let batch = rows(&root, &made, "measurement");
    let person = batch.column_by_name("person_id").unwrap().as_primitive::<Int64Type>();
    let date = batch.column_by_name("measurement_date").unwrap().as_primitive::<Date32Type>();
    let keys: Vec<_> = (0..batch.num_rows()).map(|i| (person.value(i), date.value(i))).collect();
    assert!(keys.is_sorted() && keys.len() > 5000, "{}", keys.len());
}
