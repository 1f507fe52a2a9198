//! Survey answers, survey modules and physical measurements: by their boundaries, by property, and
//! through the program beside DuckDB's reading of the same release.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use programme::{Programme, skipped, table};
use proptest::prelude::*;
use strata::derived::{self, Known, Request};
use strata::engine::{Job, TableLedger};
use strata::omop::{self, CdmVersion, ExtractRequest, Scope, SiteExtract};

const PERSON: &str = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,ethnicity_concept_id\n\
    1,8507,1950,3,15,0,0\n2,8532,1990,,,0,0\n";
const CONCEPT: &str = "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,valid_end_date,invalid_reason\n\
    1586134,The Basics,Observation,PPI,Module,S,TheBasics,19700101,20991231,\n\
    500,My Module,Observation,PPI,Module,S,mine,19700101,20991231,\n\
    501,First question,Observation,PPI,Question,S,q1,19700101,20991231,\n\
    502,Second question,Observation,PPI,Question,S,q2,19700101,20991231,\n\
    503,Question by ancestry,Observation,PPI,Question,S,q3,19700101,20991231,\n\
    511,One,Observation,PPI,Answer,,a1,19700101,20991231,\n\
    512,Two,Observation,PPI,Answer,,a2,19700101,20991231,\n\
    903096,PMI: Skip,Observation,PPI,Answer,,PMI_Skip,19700101,20991231,\n\
    903079,PMI: Prefer Not To Answer,Observation,PPI,Answer,,PMI_PNA,19700101,20991231,\n\
    903087,PMI: Dont Know,Observation,PPI,Answer,,PMI_DK,19700101,20991231,\n\
    903133,Height,Measurement,PPI,Clinical Observation,S,height,19700101,20991231,\n\
    8582,centimeter,Unit,UCUM,Unit,S,cm,19700101,20991231,\n\
    777,Something clinical,Observation,SNOMED,Finding,S,x,19700101,20991231,\n";
const RELATIONSHIP: &str = "concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date,invalid_reason\n\
    501,500,Has PPI parent code,19700101,20991231,\n502,501,Has PPI parent code,19700101,20991231,\n\
    501,511,PPI parent code of,19700101,20991231,\n501,512,PPI parent code of,19700101,20991231,\n";
const ANCESTOR: &str = "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,max_levels_of_separation\n\
    1586134,503,1,1\n";
const CONDUCT: &str = "survey_conduct_id,person_id,survey_concept_id,survey_start_date,survey_end_date,survey_source_concept_id\n";
const OBSERVATION: &str = "observation_id,person_id,observation_concept_id,observation_date,observation_datetime,observation_type_concept_id,value_as_number,value_as_string,value_as_concept_id,observation_source_concept_id,observation_event_id\n";

/// Ingests tables, derives, and gives the books.
fn build(tables: &[(&str, &str)], root: &Path) -> BTreeMap<String, TableLedger> {
    let feed = tempfile::tempdir().unwrap();
    let vocabulary = [
        ("concept", CONCEPT),
        ("concept_relationship", RELATIONSHIP),
        ("concept_ancestor", ANCESTOR),
        ("person", PERSON),
    ];
    for (name, text) in vocabulary.iter().chain(tables) {
        std::fs::write(feed.path().join(format!("{name}.csv")), text).unwrap();
    }
    let request = ExtractRequest {
        site: "site".into(),
        path: feed.path().to_owned(),
        cdm: CdmVersion::V5_4,
        scope: Scope::Both,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    let job = Job::quiet(root, 2);
    let extract = omop::ingest(&request, &job).unwrap();
    let records = SiteExtract { extract, root: root.to_owned() };
    let request = Request {
        records: &records,
        vocabulary: Some(&records),
        folder: "derived",
        eras: false,
        periods: false,
        summaries: true,
        cutoff: i32::MAX,
        reference_date: 20_454,
        known: Known::default(),
    };
    let (_, ledger) = derived::build(&request, &job).unwrap();
    assert!(ledger.unbalanced().is_empty());
    ledger.0.into_iter().map(|books| (books.table.clone(), books)).collect()
}

/// Some columns of a derived table, row by row, nulls empty.
fn rows(root: &Path, name: &str, wanted: &[&str]) -> Vec<Vec<String>> {
    let columns = table(&root.join("derived").join(name));
    let length = columns["person_id"].len();
    (0..length).map(|i| wanted.iter().map(|c| columns[*c][i].clone()).collect()).collect()
}

const ANSWER: [&str; 10] = [
    "person_id",
    "survey_datetime",
    "survey",
    "question",
    "answer_concept_id",
    "answer",
    "survey_version_concept_id",
    "survey_version_name",
    "answer_number",
    "value_as_number",
];

#[test]
fn answers_come_from_observations_of_surveys_alone() {
    let conducts = format!(
        "{CONDUCT}10,1,500,2020-01-01,2020-01-01,500\n11,1,2100000003,2020-06-03,2020-06-03,2100000003\n\
         12,1,999999,2021-01-01,2021-01-01,0\n"
    );
    let observations = format!(
        "{OBSERVATION}\
         1,1,501,2020-01-01,2020-01-01 10:00:00,32865,,,512,501,10\n\
         2,1,501,2020-01-01,2020-01-01 10:00:00,32865,,,511,501,10\n\
         3,1,501,2020-01-01,2020-01-01 10:00:00,32865,,,511,501,10\n\
         4,1,502,2020-01-01,,32865,7.5,secret,0,502,0\n\
         5,1,502,2020-01-01,2020-01-01 10:00:00,32865,,secret,0,502,10\n\
         6,1,0,2020-06-03,,45905771,,,903096,888,11\n\
         7,1,777,2020-01-01,,32817,3,,0,0,0\n\
         8,1,777,2021-01-01,,32817,,,511,0,12\n\
         9,2,503,2019-05-05,2019-05-05 08:00:00,32865,,,903079,0,10\n\
         10,2,777,2019-05-05,,32883,1,,0,0,0\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let books = build(&[("survey_conduct", &conducts), ("observation", &observations)], dir.path());
    let made = rows(dir.path(), "survey_answer", &ANSWER);
    let made: Vec<Vec<&str>> =
        made.iter().map(|r| r.iter().map(String::as_str).collect()).collect();
    // A value without a time has that of midnight; two answers are two rows, numbered by concept; the
    // version is that of the survey; a question outside the vocabulary has no name.
    let (early, late) = ("2020-01-01T00:00:00", "2020-01-01T10:00:00");
    let cope = "COVID-19 Participant Experience (COPE) Survey";
    assert_eq!(
        made,
        [
            ["1", early, "My Module", "Second question", "", "", "", "", "1", "7.5"],
            ["1", late, "My Module", "First question", "511", "One", "", "", "1", ""],
            ["1", late, "My Module", "First question", "512", "Two", "", "", "2", ""],
            [
                "1",
                "2020-06-03T00:00:00",
                cope,
                "",
                "903096",
                "PMI: Skip",
                "2100000003",
                "COPE survey of June 2020",
                "1",
                ""
            ],
            ["1", "2021-01-01T00:00:00", "", "", "511", "One", "", "", "1", ""],
            ["2", "2019-05-05T00:00:00", "", "", "", "", "", "", "1", "1.0"],
            [
                "2",
                "2019-05-05T08:00:00",
                "The Basics",
                "Question by ancestry",
                "903079",
                "PMI: Prefer Not To Answer",
                "",
                "",
                "1",
                ""
            ],
        ]
    );
    let books = &books["derived/survey_answer"];
    assert_eq!((books.rows_in, books.rows_out), (9, 7));
    assert_eq!(books.excluded["repeated_answer"], 1);
    assert_eq!(books.excluded["without_coded_answer"], 1);
    let summary = rows(dir.path(), "person_summary", &["has_survey", "has_ehr"]);
    assert_eq!(summary, [["1", "1"], ["1", "0"]]);
}

#[test]
fn modules_count_each_question_once_by_the_most_that_was_said() {
    let conducts = format!(
        "{CONDUCT}10,1,500,2020-01-01,2020-01-02,500\n11,1,500,2021-02-01,2021-02-03,600\n\
         20,2,1586134,2019-01-01,,1586134\n"
    );
    // 501 is skipped at first and answered later; 502 is never answered; 503 was answered without a survey.
    let observations = format!(
        "{OBSERVATION}\
         1,1,501,2020-01-01,,32865,,,903096,501,10\n2,1,501,2021-02-01,,32865,,,511,501,11\n\
         3,1,502,2020-01-01,,32865,,,903096,502,10\n4,1,502,2021-02-01,,32865,,,903079,502,11\n\
         5,1,503,2018-03-04,,32865,,,903087,503,0\n6,1,503,2018-03-05,,32865,,,903087,503,0\n"
    );
    let dir = tempfile::tempdir().unwrap();
    build(&[("survey_conduct", &conducts), ("observation", &observations)], dir.path());
    let columns = [
        "person_id",
        "survey_concept_id",
        "first_survey_date",
        "last_survey_date",
        "survey_version_concept_id",
        "completion_count",
        "question_count",
        "answered_count",
        "skip_count",
        "prefer_not_to_answer_count",
        "dont_know_count",
    ];
    assert_eq!(
        rows(dir.path(), "survey_module", &columns),
        [
            ["1", "500", "2020-01-02", "2021-02-03", "600", "2", "2", "1", "0", "1", "0"],
            ["1", "1586134", "2018-03-04", "2018-03-05", "", "2", "1", "0", "0", "0", "1"],
            ["2", "1586134", "2019-01-01", "2019-01-01", "", "1", "0", "0", "0", "0", "0"],
        ]
    );
}

#[test]
fn physical_measurements_are_means_of_their_readings() {
    let header = "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,measurement_type_concept_id,value_as_number,unit_concept_id,measurement_source_concept_id\n";
    let measurements = format!(
        "{header}1,1,3036277,2020-01-01,2020-01-01 09:00:00,0,170,8582,903133\n\
         2,1,3036277,2020-01-01,2020-01-01 09:00:00,0,171,8582,903133\n\
         3,1,903133,2020-01-01,2020-01-01 09:00:00,0,67,9330,0\n\
         4,1,3036277,2020-01-01,2020-01-01 09:00:00,0,,8582,903133\n\
         5,1,3036277,2020-01-01,,0,180,8582,0\n6,2,0,2020-02-02,,0,1,0,903120\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let books = build(&[("measurement", &measurements)], dir.path());
    let columns = [
        "person_id",
        "measurement_datetime",
        "measurement",
        "value_as_number",
        "unit_concept_id",
        "unit_concept_name",
        "reading_count",
    ];
    let at = "2020-01-01T09:00:00";
    assert_eq!(
        rows(dir.path(), "physical_measurement", &columns),
        [
            ["1", at, "Height", "170.5", "8582", "centimeter", "2"],
            ["1", at, "Height", "67.0", "9330", "", "1"],
        ]
    );
    let books = &books["derived/physical_measurement"];
    assert_eq!((books.rows_in, books.rows_out), (4, 2));
    assert_eq!((books.excluded["without_number"], books.excluded["in_the_mean"]), (1, 1));
    // A pregnancy remark is of the programme's visit, a height of the hospital's is not.
    let summary = rows(dir.path(), "person_summary", &["has_physical_measurement", "has_ehr"]);
    assert_eq!(summary, [["1", "1"], ["1", "0"]]);
}

/// An observation: question, day, answer concept, number, survey, type; and who.
type Drawn = (i64, usize, u32, i64, Option<u8>, i64, i64);

fn drawn() -> impl Strategy<Value = Drawn> {
    (
        1..=2_i64,
        0..5_usize,
        1..4_u32,
        prop::sample::select(vec![0, 511, 512, 903_096, 903_079, 903_087]),
        prop::option::weighted(0.2, 0..9_u8),
        prop::sample::select(vec![0, 10, 11, 20, 4711]),
        prop::sample::select(vec![32_865, 32_817, 45_905_771]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn rows_in_are_rows_out_and_left_aside(drawn in prop::collection::vec(drawn(), 0..80)) {
        let questions = [501, 502, 503, 777, 0];
        let mut observations = OBSERVATION.to_owned();
        let mut belongs = 0;
        for (i, (person, question, day, answer, number, event, kind)) in drawn.iter().enumerate() {
            let (row, number) = (i + 1, number.map(|n| n.to_string()).unwrap_or_default());
            let source = questions[*question];
            observations += &format!(
                "{row},{person},{source},2020-01-0{day},,{kind},{number},,{answer},{source},{event}\n"
            );
            let theirs = matches!((person, event), (1, 10 | 11) | (2, 20));
            // An observation without any question answers none.
            belongs += u64::from(source != 0 && (source < 600 || theirs || *kind == 45_905_771));
        }
        let conducts = format!(
            "{CONDUCT}10,1,500,2020-01-01,2020-01-01,500\n11,1,1586134,2020-01-01,2020-01-02,0\n\
             20,2,500,2020-01-02,2020-01-03,500\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let books =
            build(&[("survey_conduct", &conducts), ("observation", &observations)], dir.path());
        let answers = &books["derived/survey_answer"];
        prop_assert_eq!(answers.rows_in, belongs);
        let made = rows(dir.path(), "survey_answer", &ANSWER);
        prop_assert_eq!(made.len() as u64, answers.rows_out);
        let distinct: BTreeSet<_> = made.iter().collect();
        prop_assert_eq!(distinct.len(), made.len());
        let columns = ["question_count", "answered_count", "skip_count",
            "prefer_not_to_answer_count", "dont_know_count"];
        for row in rows(dir.path(), "survey_module", &columns) {
            let row: Vec<u64> = row.iter().map(|n| n.parse().unwrap()).collect();
            prop_assert_eq!(row[0], row[1..].iter().sum::<u64>());
        }
    }
}

/// A programme with wearables, curated by the rules that the project carries.
fn curated() -> Programme {
    let programme = Programme::of(400, 50, tempfile::tempdir().unwrap());
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/curation");
    for (from, to) in [("all_of_us.toml", "curation.toml"), ("units.csv", "units.csv")] {
        std::fs::copy(rules.join(from), programme.path("policies").join(to)).unwrap();
    }
    programme.edit("w.toml", |text| {
        format!(
            "{text}\n[wearables.fitbit]\npath = \"feed/wearables\"\n[curation]\nrules = [\"policies/curation.toml\"]\n"
        )
    });
    programme
}

#[test]
fn tiers_hold_what_duckdb_finds_in_them() {
    let programme = curated();
    programme.run().done();
    let release = programme.release();
    let (registered, controlled) = (release.join("registered"), release.join("controlled"));
    // The dated survey is in the Controlled tier alone, and no version is in the Registered tier.
    let of = |tier: &Path, name: &str| table(&tier.join("omop").join(name));
    let theirs = of(&controlled, "survey_answer");
    assert!(theirs["survey_concept_id"].iter().any(|c| c == "1333342"));
    assert!(theirs["survey_version_name"].iter().any(|c| c == "COPE Survey May 2020"));
    for name in ["survey_answer", "survey_module", "survey_conduct"] {
        let ours = of(&registered, name);
        assert!(ours["person_id"].len() > 100, "{name}");
        let dated = ["1333342", "2100000002"];
        assert!(!ours["survey_concept_id"].iter().any(|c| dated.contains(&c.as_str())), "{name}");
        for column in ["survey_version_concept_id", "survey_version_name"] {
            assert!(ours.get(column).is_none_or(|c| c.iter().all(String::is_empty)), "{name}");
        }
    }
    let asked = &of(&registered, "observation")["observation_concept_id"];
    assert!(!asked.iter().any(|c| c == "2100100001"));
    // An answer names its survey by the tier's own id; who has both tiers cannot join them by it.
    let surveys = |tier: &Path| -> BTreeSet<String> {
        let conducts = of(tier, "survey_conduct").remove("survey_conduct_id").unwrap();
        let named = of(tier, "observation").remove("questionnaire_response_id").unwrap();
        let named: BTreeSet<String> = named.into_iter().filter(|id| !id.is_empty()).collect();
        let conducts: BTreeSet<String> = conducts.into_iter().collect();
        let lost = named.difference(&conducts).count();
        // In Registered the dated survey is gone with all its answers.
        assert!(named.len() > 300 && lost == 0, "{} named, {lost} without a survey", named.len());
        named
    };
    let raw: BTreeSet<String> = programme
        .rows("feed/omop/survey_conduct.csv")
        .into_iter()
        .map(|mut row| row.remove("survey_conduct_id").unwrap())
        .collect();
    let (ours, theirs) = (surveys(&registered), surveys(&controlled));
    assert!(ours.is_disjoint(&theirs) && ours.is_disjoint(&raw) && theirs.is_disjoint(&raw));
    // Words of closed lists stay, and names of concepts; a device is in no tier.
    for tier in [&registered, &controlled] {
        let words = |path: &str, column: &str| -> BTreeSet<String> {
            table(&tier.join(path))[column].iter().cloned().collect()
        };
        let levels = words("wearables/sleep_level", "level");
        assert_eq!(levels.into_iter().collect::<Vec<_>>(), ["deep", "light", "wake"]);
        assert!(words("wearables/heart_rate_summary", "zone_name").contains("Fat Burn"));
        assert!(words("wearables/sleep_level", "is_main_sleep").contains("true"));
        assert!(words("omop/survey_answer", "answer").contains("PMI: Skip"));
        assert_eq!(words("omop/physical_measurement", "measurement").len(), 8);
        assert!(!tier.join("wearables/device").exists());
    }
    // Who has what is said of those who have rows of it, and of nobody else.
    let people = of(&controlled, "person_summary");
    for (flag, folders) in [
        ("has_survey", &["omop/survey_answer"][..]),
        ("has_physical_measurement", &["omop/physical_measurement"]),
        ("has_fitbit", &["wearables/activity_summary", "wearables/sleep_level"]),
    ] {
        let flags = people["person_id"].iter().zip(&people[flag]);
        let said: BTreeSet<&String> = flags.filter(|(_, has)| *has == "1").map(|p| p.0).collect();
        let tables: Vec<_> = folders.iter().map(|f| table(&controlled.join(f))).collect();
        let have: BTreeSet<&String> = tables.iter().flat_map(|t| &t["person_id"]).collect();
        assert!(said == have && said.len() > 20, "{flag}");
    }
    let python = Command::new("python3").args(["-c", "import duckdb"]).output();
    if !python.is_ok_and(|o| o.status.success()) {
        return skipped("python3 has no duckdb");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/derived_support/survey.py");
    let out = Command::new("python3")
        .arg(script)
        .args([controlled, programme.path("feed/vocabulary")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    println!("{said}{}", String::from_utf8_lossy(&out.stderr));
    let lines: Vec<Vec<&str>> = said.lines().map(|l| l.split(' ').collect()).collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!(line[1].parse::<u64>().unwrap() > 500 && line[1] == line[2], "{line:?}");
        assert_eq!(line[3], "0", "{line:?}");
    }
}

#[test]
fn odd_words_and_places_of_residence_stay_out_of_every_tier() {
    let programme = curated();
    programme.replace("feed/wearables/heart_rate_summary.csv.gz", ",Fat Burn,", ",call Bob,");
    programme.replace("feed/wearables/sleep_level.csv.gz", ",true,", ",Bob's bed,");
    // A zip code as a number is no text, and is not released either.
    programme.edit("feed/omop/observation.csv.gz", |text| {
        let zip_as_number = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            if line.contains("StreetAddress_PIIZIP") {
                cells.swap(6, 7);
            }
            cells.join(",") + "\n"
        };
        text.lines().map(zip_as_number).collect()
    });
    programme.run().done();
    for tier in ["registered", "controlled"] {
        for (name, column) in
            [("survey_answer", "question_concept_id"), ("observation", "observation_concept_id")]
        {
            let rows = table(&programme.release().join(tier).join("omop").join(name));
            let asked = &rows[column];
            assert!(asked.iter().any(|c| c == "1585711"));
            for (i, _) in asked.iter().enumerate().filter(|(_, c)| *c == "1585250") {
                // The Controlled tier has the first three digits of what is written as text.
                assert_eq!(
                    (tier, name, rows["value_as_number"][i].as_str()),
                    ("controlled", "observation", "")
                );
                let text = &rows["value_as_string"][i];
                assert!(text.is_empty() || text.ends_with("**"), "a whole zip code");
            }
        }
        let folder = programme.release().join(tier).join("wearables");
        let zones = &table(&folder.join("heart_rate_summary"))["zone_name"];
        assert!(zones.iter().all(|z| z == "Fat Burn" || z == "Out of Range"));
        let sleep = &table(&folder.join("sleep_level"))["is_main_sleep"];
        assert!(sleep.iter().all(|s| s == "true"));
    }
}

/// What a tier generalises in `observation` must not stand in `survey_answer` as it was given.
#[test]
fn answers_that_are_generalised_are_not_told_beside() {
    let programme = curated();
    // Everybody who tells a race tells a state as well.
    programme.edit("feed/omop/observation.csv.gz", |text| {
        let told = text.lines().filter(|line| line.contains(",1586140,"));
        let state = told.map(|line| {
            let (id, rest) = line.split_once(',').unwrap();
            let id = id.parse::<i64>().unwrap() + 900_000_000;
            format!("{id},{}\n", rest.replace("1586140", "1585249"))
        });
        let states: String = state.collect();
        assert!(!states.is_empty());
        format!("{text}{states}")
    });
    programme.run().done();
    let of =
        |tier: &str, name: &str| table(&programme.release().join(tier).join("omop").join(name));
    const RACE: &str = "1586140";
    let given = of("controlled", "survey_answer");
    assert!(given["question_concept_id"].iter().any(|q| q == RACE), "nothing to hide");
    // Where a zip code is hidden the state is, in observation: it is told there alone.
    const STATE: &str = "1585249";
    let stands = of("controlled", "observation")["observation_source_concept_id"].clone();
    assert!(stands.iter().any(|q| q == STATE));
    assert!(given["question_concept_id"].iter().all(|q| q != STATE));
    let told = of("registered", "survey_answer");
    let generalised = [
        RACE, "1585899", "1585838", "1585845", "1585940", "1585952", "1332843", "1332737",
        "1585249",
    ];
    assert!(!told["question_concept_id"].is_empty());
    assert!(told["question_concept_id"].iter().all(|q| !generalised.contains(&q.as_str())));
    let rows = of("registered", "observation");
    let kept = [
        "1586142",
        "1586143",
        "1586146",
        "1586147",
        "1586148",
        "903079",
        "903096",
        "2000000001",
        "2000000008",
    ];
    let race: Vec<&String> = (rows["observation_concept_id"].iter())
        .zip(&rows["value_as_concept_id"])
        .filter(|(question, _)| *question == RACE)
        .map(|(_, answer)| answer)
        .collect();
    assert!(
        !race.is_empty() && race.iter().all(|answer| kept.contains(&answer.as_str())),
        "{race:?}"
    );
}
