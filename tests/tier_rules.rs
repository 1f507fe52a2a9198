//! The committed rules one by one, at their boundaries; makes docs/tiers.md.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "tier/support.rs"]
#[expect(dead_code, reason = "shared with the other tests of tiers")]
mod support;

use std::path::{Path, PathBuf};

use strata::config::policy::{Action, TierPolicy};
use support::{Built, Fixture, PERSON, day, policy, takes_part};

const OBSERVATION: &str = "observation_id,person_id,observation_concept_id,observation_date,\
    observation_datetime,observation_type_concept_id,value_as_string,value_as_concept_id,\
    observation_source_concept_id\n";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn pack(name: &str) -> TierPolicy {
    TierPolicy::read(&root(&format!("configs/tiers/{name}.toml"))).unwrap()
}

fn pack_has(name: &str, rule: &str) -> bool {
    pack(name).rules.iter().any(|r| r.id == rule)
}

/// The pack with one of its rules, and what every tier needs.
fn alone(name: &str, rule: &str) -> TierPolicy {
    let mut policy = pack(name);
    assert!(policy.rules.iter().any(|r| r.id == rule), "{rule}");
    policy.rules.retain(|r| {
        let needed = matches!(r.action, Action::ShiftDates | Action::NullFreeText { .. });
        needed || r.id == rule
    });
    for rule in &mut policy.rules {
        rule.after.clear();
    }
    policy
}

/// Person, question, answer.
type Row = (i64, i64, i64);

struct Case {
    rule: &'static str,
    what: &'static str,
    rows: &'static [Row],
    /// Answers released, sorted.
    answers: &'static [i64],
}

const CASES: &[Case] = &[
    Case {
        rule: "race",
        what: "two races become one \u{201c}more than one population\u{201d}",
        rows: &[(1, 1586140, 1586143), (1, 1586140, 1586146)],
        answers: &[2000000008],
    },
    Case {
        rule: "race",
        what: "Hispanic beside one race leaves both as they are",
        rows: &[(1, 1586140, 1586147), (1, 1586140, 1586146)],
        answers: &[1586146, 1586147],
    },
    Case {
        rule: "race",
        what: "Hispanic beside two races stays, the races become one",
        rows: &[(1, 1586140, 1586147), (1, 1586140, 1586146), (1, 1586140, 1586142)],
        answers: &[1586147, 2000000008],
    },
    Case {
        rule: "race",
        what: "American Indian or Alaska Native alone becomes \u{201c}another single population\u{201d}",
        rows: &[(1, 1586140, 1586141)],
        answers: &[2000000001],
    },
    Case {
        rule: "race",
        what: "races of two people are not counted together",
        rows: &[(1, 1586140, 1586143), (2, 1586140, 1586146)],
        answers: &[1586143, 1586146],
    },
    Case {
        rule: "race",
        what: "answers to other questions stay",
        rows: &[(1, 5, 1586141)],
        answers: &[1586141],
    },
    Case {
        rule: "race",
        what: "an answer that no list knows is generalised",
        rows: &[(1, 1586140, 77)],
        answers: &[2000000001],
    },
    Case {
        rule: "orientation",
        what: "straight alone stays",
        rows: &[(1, 1585899, 1585900)],
        answers: &[1585900],
    },
    Case {
        rule: "orientation",
        what: "straight beside another answer does not stay",
        rows: &[(1, 1585899, 1585900), (1, 1585899, 1585901)],
        answers: &[2000000003],
    },
    Case {
        rule: "gender",
        what: "man with male sex at birth stays",
        rows: &[(1, 1585838, 1585839), (1, 1585845, 1585846)],
        answers: &[1585839, 1585846],
    },
    Case {
        rule: "gender",
        what: "man with female sex at birth is generalised",
        rows: &[(1, 1585838, 1585839), (1, 1585845, 1585847)],
        answers: &[1585847, 2000000002],
    },
    Case {
        rule: "gender",
        what: "woman with male sex at birth is generalised",
        rows: &[(1, 1585838, 1585840), (1, 1585845, 1585846)],
        answers: &[1585846, 2000000002],
    },
    Case {
        rule: "gender",
        what: "two answers are one",
        rows: &[(1, 1585838, 1585839), (1, 1585838, 1585841)],
        answers: &[2000000002],
    },
    Case {
        rule: "sex_at_birth",
        what: "intersex and no answer are one, male stays",
        rows: &[(1, 1585845, 1585848), (2, 1585845, 903079), (3, 1585845, 1585846)],
        answers: &[1585846, 2000000009, 2000000009],
    },
    Case {
        rule: "education",
        what: "some high school and some college stay, the ends are one each",
        rows: &[
            (1, 1585940, 1585944),
            (2, 1585940, 1585945),
            (3, 1585940, 1585946),
            (4, 1585940, 1585947),
        ],
        answers: &[1585945, 1585946, 2000000006, 2000000007],
    },
    Case {
        rule: "employment",
        what: "employed or not, in both surveys",
        rows: &[(1, 1585952, 1585953), (2, 1332843, 1333197)],
        answers: &[2000000004, 2000000005],
    },
    Case {
        rule: "education",
        what: "an answer that no list knows is removed, no answer stays no answer",
        rows: &[(1, 1585940, 77), (2, 1585940, 903096), (3, 1585940, 4260980)],
        answers: &[903096, 4260980, 2000000010],
    },
    Case {
        rule: "employment",
        what: "an answer that no list knows is removed",
        rows: &[(1, 1585952, 77), (2, 1332843, 903079)],
        answers: &[903079, 2000000010],
    },
    Case {
        rule: "insurance",
        what: "two rare insurances of a person are one row",
        rows: &[(1, 1332737, 1332904), (1, 1332737, 1333140)],
        answers: &[1333127],
    },
    Case {
        rule: "indian_health_service",
        what: "the answer becomes a general one",
        rows: &[(1, 9, 1384516), (2, 9, 43529111)],
        answers: &[1384595, 43528423],
    },
    Case {
        rule: "registered_questions",
        what: "a question of the list goes, its neighbour stays",
        rows: &[(1, 43529061, 1), (2, 43529062, 2)],
        answers: &[2],
    },
    Case {
        rule: "shared_surveys",
        what: "a question of the list goes",
        rows: &[(1, 765974, 1), (2, 765975, 2)],
        answers: &[2],
    },
];

/// A row of `observation`: type, concept, source concept (the question) and answer.
type Record = (i64, i64, i64, i64);

/// Which rows a rule removes.
struct Gone {
    packs: &'static [&'static str],
    rule: &'static str,
    what: &'static str,
    removed: &'static [Record],
    kept: &'static [Record],
}

const ALL: &[&str] = &["registered", "controlled", "controlled-plus"];
const SURVEY: i64 = 45905771;

/// Concepts of the cases: id, vocabulary, class, code.
const CODES: &[(i64, &str, &str, &str)] = &[
    (101, "PPI", "Question", "ExtraConsent_SignatureName"),
    (102, "PPI", "Question", "PIIName_First"),
    (103, "PPI", "Question", "StreetAddress_AddressLine1"),
    (104, "PPI", "Question", "StreetAddress_PIIState"),
    (105, "PPI", "Question", "SecondaryContactInfo_Who"),
    (106, "PPI", "Answer", "SecondaryContactInfo_Yes"),
    (107, "PPI", "Question", "SocialSecurity_Number"),
    (108, "PPI", "Answer", "SocialSecurity_Given"),
    (109, "LOINC", "Question", "PIIName_First"),
    (111, "PPI", "Question", "OverallHealth_FreeText"),
    (112, "PPI", "Question", "notes"),
    (113, "PPI", "Question", "keynotes"),
    (121, "PPI", "Question", "CancerHistory_WhichConditions"),
    (122, "PPI", "Question", "OutsideTravel6MonthWhere"),
    (123, "PPI", "Question", "OutsideTravel6Month"),
    (131, "PPI", "Question", "SitePairing_Name"),
    (132, "PPI", "Question", "PIIBirthplace_Country"),
    (133, "PPI", "Question", "Country"),
    (141, "ICD9CM", "c", "E910.1"),
    (142, "ICD9CM", "c", "E911"),
    (143, "ICD9CM", "c", "E928.0"),
    (144, "ICD9CM", "c", "E928.1"),
    (145, "ICD9CM", "c", "E8101"),
    (146, "ICD9CM", "c", "E850"),
    (147, "ICD10CM", "c", "Z38.00"),
    (148, "ICD10CM", "c", "Y35.0"),
    (149, "ICD10CM", "c", "Y34"),
    (150, "ICD10CM", "c", "W74"),
    (151, "ICD10CM", "c", "W75"),
];

const GONE: &[Gone] = &[
    Gone {
        packs: ALL,
        rule: "residence",
        what: "a street address (1585246) goes, the question after it stays",
        removed: &[(SURVEY, 0, 1585246, 7)],
        kept: &[(SURVEY, 0, 1585247, 7)],
    },
    Gone {
        packs: ALL,
        rule: "birth_facts",
        what: "date and place of birth go, as question, as concept and as answer",
        removed: &[(SURVEY, 0, 1585259, 7), (32817, 4083587, 0, 7), (32817, 1, 0, 3022007)],
        kept: &[(32817, 4083588, 0, 7)],
    },
    Gone {
        packs: ALL,
        rule: "explicit_identifiers",
        what: "names, addresses and signatures go by code, the state and answers by class stay",
        removed: &[
            (SURVEY, 0, 101, 7),
            (SURVEY, 0, 102, 7),
            (SURVEY, 0, 103, 7),
            (SURVEY, 0, 105, 7),
            (SURVEY, 0, 107, 7),
        ],
        kept: &[(SURVEY, 0, 104, 7), (SURVEY, 0, 106, 7), (SURVEY, 0, 108, 7), (SURVEY, 0, 109, 7)],
    },
    Gone {
        packs: ALL,
        rule: "survey_free_text",
        what: "FreeText and notes go, keynotes stays",
        removed: &[(SURVEY, 0, 111, 7), (SURVEY, 0, 112, 7)],
        kept: &[(SURVEY, 0, 113, 7)],
    },
    Gone {
        packs: ALL,
        rule: "cancer_answers",
        what: "which cancers and where to go, whether somebody travelled stays",
        removed: &[(SURVEY, 0, 121, 7), (SURVEY, 0, 122, 7)],
        kept: &[(SURVEY, 0, 123, 7)],
    },
    Gone {
        packs: ALL,
        rule: "wear_consent",
        what: "the consent to WEAR (2100000010 to 2100000012) goes, its answers alone do not matter",
        removed: &[
            (SURVEY, 0, 2100000010, 7),
            (SURVEY, 2100000011, 0, 7),
            (SURVEY, 2100000012, 0, 7),
        ],
        kept: &[(SURVEY, 0, 5, 2100000009)],
    },
    Gone {
        packs: ALL,
        rule: "section_participation",
        what: "903632 goes",
        removed: &[(SURVEY, 0, 903632, 7)],
        kept: &[(SURVEY, 0, 903633, 7)],
    },
    Gone {
        packs: &["controlled", "controlled-plus"],
        rule: "places",
        what: "sites and countries by code go",
        removed: &[(SURVEY, 0, 131, 7), (SURVEY, 0, 132, 7)],
        kept: &[(SURVEY, 0, 133, 7)],
    },
    Gone {
        packs: ALL,
        rule: "shared_surveys",
        what: "even numbers from 765974 to 766002 go, odd ones stay",
        removed: &[(SURVEY, 0, 765974, 7), (SURVEY, 0, 766002, 7), (SURVEY, 0, 40192502, 7)],
        kept: &[(SURVEY, 0, 765975, 7), (SURVEY, 0, 766004, 7)],
    },
    Gone {
        packs: &["registered"],
        rule: "registered_surveys",
        what: "765938 to 765952 go, the ids on either side stay",
        removed: &[(SURVEY, 0, 765938, 7), (SURVEY, 0, 765952, 7)],
        kept: &[(SURVEY, 0, 765937, 7), (SURVEY, 0, 765953, 7)],
    },
    Gone {
        packs: &["registered"],
        rule: "registered_questions",
        what: "43528945 to 43529061 go as questions, the ids on either side and answers stay",
        removed: &[(SURVEY, 0, 43528945, 7), (SURVEY, 43529061, 0, 7)],
        kept: &[(SURVEY, 0, 43528944, 7), (SURVEY, 0, 43529062, 7), (SURVEY, 0, 5, 43529000)],
    },
    Gone {
        packs: &["registered"],
        rule: "ehr_demographics",
        what: "race, religion and date of birth go as concepts, not as answers",
        removed: &[(32817, 4013886, 0, 7), (32817, 4271761, 0, 7), (32817, 4135376, 0, 7)],
        kept: &[(32817, 5, 0, 4013886)],
    },
    Gone {
        packs: &["registered"],
        rule: "ehr_answers",
        what: "an answer of the list goes, but from rows whose type says survey; no type says nothing",
        removed: &[(32817, 5, 0, 45876350), (0, 5, 0, 45876350), (4567, 5, 0, 3043579)],
        kept: &[(SURVEY, 5, 0, 45876350), (32862, 5, 0, 45876350), (32865, 5, 0, 45876350)],
    },
    Gone {
        packs: &["registered"],
        rule: "reported_causes",
        what: "E910.1, E928.0, E8101, Z38.00, Y35.0 and W74 go; E911, E928.1, E850, Y34 and W75 stay",
        removed: &[
            (32817, 0, 141, 7),
            (32817, 0, 143, 7),
            (32817, 0, 145, 7),
            (32817, 0, 147, 7),
            (32817, 0, 148, 7),
            (32817, 0, 150, 7),
        ],
        kept: &[
            (32817, 0, 142, 7),
            (32817, 0, 144, 7),
            (32817, 0, 146, 7),
            (32817, 0, 149, 7),
            (32817, 0, 151, 7),
        ],
    },
];

/// Boundaries that have a test of their own: pack, rule, what, name of the test.
const BOUNDARIES: &[(&str, &str, &str, &str)] = &[
    (
        "registered",
        "age_89",
        "89 on the reference date goes, 89 on the day after stays; without a month of birth the earliest counts",
        "age_counts_completed_years_of_true_birth_dates_on_the_reference_date",
    ),
    (
        "registered",
        "state",
        "199 rows of a state are hidden, 200 are not",
        "a_state_of_199_people_is_hidden_and_one_of_200_is_not",
    ),
    (
        "registered",
        "state_of_sites",
        "a state that one site of the person contradicts is hidden",
        "a_state_that_a_site_contradicts_is_hidden",
    ),
    (
        "registered",
        "race_of_person",
        "8657 becomes 2000000001; two answers on race make the person's race 2000000008, one of a small group makes it 2000000001",
        "people_are_generalised_as_their_answers_are",
    ),
    (
        "registered",
        "gender_of_person",
        "male beside the answers woman or born female is generalised; male beside man and born male stays",
        "people_are_generalised_as_their_answers_are",
    ),
    (
        "controlled",
        "race_of_person",
        "two answers on race make the person's race 2000000008, one leaves it",
        "people_are_generalised_as_their_answers_are",
    ),
    (
        "registered",
        "recent_concepts",
        "a concept of a year before the reference date goes, one a day older stays",
        "concepts_are_found_by_code_age_and_relation",
    ),
    (
        "registered",
        "clock_changes",
        "00:59:59.999999 and 03:00 stay, 01:00 and 02:59:59.999999 go",
        "hours_of_changing_clocks_are_left_out",
    ),
    (
        "registered",
        "clock_changes_by_zone",
        "minutes of Fat Burn stay, those of Out of Range are null",
        "hours_of_changing_clocks_are_left_out",
    ),
    (
        "registered",
        "stream_edges",
        "a stream that runs to the reference date ends on that day less 364 for everybody",
        "streams_end_on_one_day_for_everybody",
    ),
    (
        "registered",
        "open_ends",
        "an end on the last day of the data is that day less 364 for everybody",
        "open_ends_are_one_day_for_everybody",
    ),
    (
        "controlled",
        "vehicle_accidents",
        "E810 goes, E8101 stays; V49 goes as ICD-10, not as PPI",
        "concepts_are_found_by_code_age_and_relation",
    ),
    (
        "controlled",
        "first_years",
        "31 December of the year after that of birth goes, 1 January of the next stays",
        "the_first_years_of_life_are_left_out",
    ),
    (
        "controlled",
        "zip3",
        "60512 and 60512-1234 become 605**, 12 Elm Street null, and of whom answers American Indian 000**",
        "zip_codes_are_cut",
    ),
    (
        "safe-harbor",
        "zip3",
        "an area of 20,000 people is 000**, one of 20,001 is told",
        "the_safe_harbor_tells_areas_of_more_than_20000_people",
    ),
];

fn observation(rows: &[Row]) -> (String, String, Vec<i64>) {
    let mut people: Vec<i64> = rows.iter().map(|r| r.0).collect();
    people.sort_unstable();
    people.dedup();
    let persons = people
        .iter()
        .map(|p| format!("{p},8507,1990,1,1,,8657,38003564,,7,,s{p},,,,,,\n"))
        .collect();
    let line = |(n, (p, q, a)): (usize, &Row)| {
        format!("{},{p},0,2020-01-0{},,45905771,,{a},{q}\n", n + 1, n % 9 + 1)
    };
    (persons, rows.iter().enumerate().map(line).collect(), people)
}

/// The fixture holds the folder of the files.
fn build(policy: &TierPolicy, rows: &[Row]) -> (Fixture, Built) {
    let (persons, rows, people) = observation(rows);
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, &rows)]);
    fixture.roster(people.into_iter().map(|p| (p, takes_part())));
    let out = fixture.build(policy).unwrap();
    (fixture, out)
}

#[test]
fn answers_are_generalised_at_every_boundary() {
    for case in CASES {
        let (_fixture, out) = build(&alone("registered", case.rule), case.rows);
        let mut answers: Vec<i64> =
            out.ints("observation", "value_as_concept_id").into_iter().flatten().collect();
        answers.sort_unstable();
        assert_eq!(answers, case.answers, "{}: {}", case.rule, case.what);
        assert!(out.books("observation").balances());
    }
}

#[test]
fn a_state_of_199_people_is_hidden_and_one_of_200_is_not() {
    let rows: Vec<Row> =
        (1..=399).map(|p| (p, 1585249, if p <= 199 { 1585262 } else { 1585263 })).collect();
    let (_fixture, out) = build(&alone("registered", "state"), &rows);
    let answers = out.ints("observation", "value_as_concept_id");
    let count = |id| answers.iter().filter(|a| **a == Some(id)).count();
    assert_eq!((count(2000000011), count(1585262), count(1585263)), (199, 0, 200));
    assert_eq!(out.books("observation").changed["state"], 199);
}

#[test]
fn zip_codes_are_cut() {
    let persons =
        "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n2,8507,1990,1,1,,8527,38003564,,7,,b,,,,,,\n";
    let rows = "1,1,0,2020-01-01,,1,60512,,1585250\n2,1,0,2020-01-01,,1,60512-1234,,1585250\n\
                3,1,0,2020-01-01,,1,12 Elm Street,,1585250\n4,1,0,2020-01-01,,1,60512,,7\n\
                5,2,0,2020-01-01,,1,60512,,1585250\n6,2,0,2020-01-01,,1,,1586141,1586140\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, persons), ("observation", OBSERVATION, rows)]);
    fixture.roster([(1, takes_part()), (2, takes_part())]);
    let texts = |policy: &TierPolicy| {
        let out = fixture.build(policy).unwrap();
        let mut texts: Vec<_> =
            out.texts("observation", "value_as_string").into_iter().flatten().collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&alone("controlled", "zip3")), ["000**", "605**", "605**"]);
    assert!(texts(&alone("registered", "race")).is_empty());

    let dir = tempfile::tempdir().unwrap();
    let zips = |areas: &str| {
        let mut policy = alone("controlled", "zip3");
        let header = "zip3,to,population,state,census_date";
        std::fs::write(dir.path().join("z.csv"), format!("{header}\n{areas}")).unwrap();
        for rule in &mut policy.rules {
            if let Action::Zip3(zip) = &mut rule.action {
                (zip.file, zip.min_population) = (Some("z.csv".into()), 20_001);
            }
        }
        policy.load_files(dir.path()).unwrap();
        texts(&policy)
    };
    assert_eq!(zips("605,604,20001,,2020-04-01\n"), ["000**", "604**", "604**"]);
    assert_eq!(zips("605,605,20000,,2020-04-01\n"), ["000**", "000**", "000**"]);
    assert_eq!(zips("606,606,90000,,2020-04-01\n"), ["000**", "000**", "000**"]);
}

#[test]
fn the_first_years_of_life_are_left_out() {
    // Of the second the columns state two years: the later one counts, which is the one released.
    let persons = "1,8507,1990,12,31,,8527,38003564,,7,,a,,,,,,\n\
                   2,8507,1990,1,1,1989-12-31 20:00:00,8527,38003564,,7,,b,,,,,,\n";
    let rows = "1,1,0,1991-12-31,,1,,1,5\n2,1,0,1992-01-01,,1,,2,5\n3,1,4271761,1990-12-31,,1,,3,5\n\
         4,2,0,1991-12-31,,1,,4,5\n5,2,0,1992-01-01,,1,,5,5\n";
    let periods = "observation_period_id,person_id,observation_period_start_date,\
                   observation_period_end_date,period_type_concept_id\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, persons),
        ("observation", OBSERVATION, rows),
        (
            "observation_period",
            periods,
            "1,1,1990-12-31,2020-01-01,1\n2,1,1990-12-31,1991-12-31,1\n",
        ),
    ]);
    fixture.roster([(1, takes_part()), (2, takes_part())]);
    let out = fixture.build(&alone("controlled", "first_years")).unwrap();
    let mut answers = out.ints("observation", "value_as_concept_id");
    answers.sort();
    assert_eq!(answers, [Some(2), Some(3), Some(5)]);
    assert_eq!(out.books("observation").excluded["first_years"], 2);
    let raw = out.raw_rows(
        "observation_period",
        "observation_period_id",
        "observation_period_start_date",
    );
    assert_eq!(
        raw.iter().map(|(id, row)| (*id, row.0)).collect::<Vec<_>>(),
        [(1, day("1992-01-01"))]
    );
}

#[test]
fn concepts_are_found_by_code_age_and_relation() {
    let concept = "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code,\
                   valid_start_date,valid_end_date\n";
    let concepts = "10,a,d,ICD9CM,c,E8101,1970-01-01,2099-12-31\n11,a,d,ICD9CM,c,E810,1970-01-01,2099-12-31\n\
                    12,a,d,ICD10CM,c,V49,1970-01-01,2099-12-31\n13,a,d,PPI,c,V49,1970-01-01,2099-12-31\n\
                    20,a,d,S,c,x,2025-01-01,2099-12-31\n21,a,d,S,c,y,2024-12-31,2099-12-31\n\
                    22,a,d,PPI,c,z,2025-06-01,2099-12-31\n30,a,d,S,c,p,1970-01-01,2099-12-31\n\
                    31,a,d,S,c,q,1970-01-01,2099-12-31\n32,a,d,S,c,r,1970-01-01,2099-12-31\n\
                    444074,a,d,S,c,s,1970-01-01,2099-12-31\n";
    let relation = "concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date\n";
    // 30 is due to an accident, 31 is below it, 32 maps to that; the accident maps to 21.
    let relations = "30,444074,Has due to,1970-01-01,2099-12-31\n32,31,Maps to,1970-01-01,2099-12-31\n\
                     444074,21,Maps to,1970-01-01,2099-12-31\n";
    let ancestor = "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,\
                    max_levels_of_separation\n";
    let all = [10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 444074];
    let rows: Vec<Row> = all.iter().map(|id| (1, *id, *id)).collect();
    let (persons, rows, _) = observation(&rows);
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, &rows)]);
    fixture.roster([(1, takes_part())]);
    fixture.vocabulary(&[
        ("concept", concept, concepts),
        ("concept_relationship", relation, relations),
        ("concept_ancestor", ancestor, "30,31,1,1\n"),
    ]);
    let kept = |policy: &TierPolicy| {
        let out = fixture.build(policy).unwrap();
        let mut kept: Vec<i64> =
            out.ints("observation", "value_as_concept_id").into_iter().flatten().collect();
        kept.sort_unstable();
        kept
    };
    assert_eq!(kept(&alone("controlled", "vehicle_accidents")), [10, 13, 20, 21, 22]);
    let recent = alone("registered", "recent_concepts");
    assert_eq!(kept(&recent), [10, 11, 12, 13, 21, 22, 30, 31, 32, 444074]);
}

/// A fixture with rows of `observation`, numbered from 1, and the vocabulary of [`CODES`].
fn recorded(rows: &[Record]) -> Fixture {
    let line = |(n, (of, concept, source, answer)): (usize, &Record)| {
        format!("{},1,{concept},2020-01-01,,{of},,{answer},{source}\n", n + 1)
    };
    let rows: String = rows.iter().enumerate().map(line).collect();
    let person = "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, person), ("observation", OBSERVATION, &rows)]);
    fixture.roster([(1, takes_part())]);
    let concepts: String = CODES
        .iter()
        .map(|(id, of, class, code)| {
            format!("{id},a,d,{of},{class},{code},1970-01-01,2099-12-31\n")
        })
        .collect();
    let concept = "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code,\
                   valid_start_date,valid_end_date\n";
    fixture.vocabulary(&[("concept", concept, &concepts)]);
    fixture
}

#[test]
fn concepts_are_suppressed_at_every_boundary() {
    for case in GONE {
        let rows: Vec<Record> = case.removed.iter().chain(case.kept).copied().collect();
        let fixture = recorded(&rows);
        for pack in case.packs {
            let out = fixture.build(&alone(pack, case.rule)).unwrap();
            let said = format!("{pack} {}: {}", case.rule, case.what);
            let books = out.books("observation");
            assert!(books.balances(), "{said}");
            let removed = u64::try_from(case.removed.len()).unwrap();
            assert_eq!(books.excluded.get(case.rule), Some(&removed), "{said}");
            let columns = ["observation_concept_id", "value_as_concept_id"];
            let [mut concepts, mut answers] = columns.map(|column| out.ints("observation", column));
            let (mut wanted, mut with): (Vec<_>, Vec<_>) =
                case.kept.iter().map(|row| (Some(row.1), Some(row.3))).unzip();
            for list in [&mut concepts, &mut answers, &mut wanted, &mut with] {
                list.sort_unstable();
            }
            assert_eq!((concepts, answers), (wanted, with), "{said}");
        }
    }
}

#[test]
fn people_are_generalised_as_their_answers_are() {
    // The gender and the race that the health record states, and what the person answered.
    type Told = (i64, i64, &'static [(i64, i64)]);
    let people: [Told; 9] = [
        (8507, 8527, &[]),
        (8507, 8657, &[(1586140, 1586141)]),
        (8507, 8527, &[(1586140, 1586141)]),
        (8507, 8516, &[(1586140, 1586143), (1586140, 1586146)]),
        (8507, 8527, &[(1585838, 1585839), (1585845, 1585846)]),
        (8507, 8527, &[(1585838, 1585840)]),
        (8507, 8527, &[(1585845, 1585847)]),
        (8532, 8527, &[(1585838, 1585839), (1585838, 1585840)]),
        (8521, 8527, &[]),
    ];
    let mut persons = String::new();
    let mut rows = String::new();
    for (p, (gender, race, answers)) in people.iter().enumerate().map(|(p, of)| (p + 1, of)) {
        persons += &format!("{p},{gender},{},1,1,,{race},38003564,,7,,a,,,,,,\n", 1950 + p);
        for (n, (question, answer)) in answers.iter().enumerate() {
            rows += &format!("{},{p},0,2020-01-01,,1,,{answer},{question}\n", p * 10 + n);
        }
    }
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, &rows)]);
    fixture.roster((1..=9).map(|p| (p, takes_part())));
    let made = |pack: &str, rule: &str, column: &str| {
        let out = fixture.build(&alone(pack, rule)).unwrap();
        let values = out.ints("person", column);
        (1..=9).map(|p| values[out.person_row(p)].unwrap()).collect::<Vec<_>>()
    };
    let (one, several, other) = (2000000001, 2000000008, 2000000002);
    assert_eq!(
        made("registered", "race_of_person", "race_concept_id"),
        [8527, one, one, several, 8527, 8527, 8527, 8527, 8527]
    );
    assert_eq!(
        made("registered", "gender_of_person", "gender_concept_id"),
        [8507, 8507, 8507, 8507, 8507, other, other, other, other]
    );
    assert_eq!(
        made("controlled", "race_of_person", "race_concept_id"),
        [8527, 8657, 8527, several, 8527, 8527, 8527, 8527, 8527]
    );
    assert_eq!(
        made("controlled", "gender_of_person", "gender_concept_id"),
        [8507, 8507, 8507, 8507, 8507, 8507, 8507, other, 8521]
    );
}

#[test]
fn hours_of_changing_clocks_are_left_out() {
    let person = "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n";
    let mut fixture = Fixture::new(&[("person", PERSON, person)]);
    fixture.roster([(1, takes_part())]);
    let at = ["00:59:59.999999", "01:00:00", "02:59:59.999999", "03:00:00"];
    let rows: String =
        at.iter().enumerate().map(|(n, at)| format!("1,2020-01-01 {at},{n}\n")).collect();
    let zones = "1,2020-01-01,Out of Range,1300,1500\n1,2020-01-01,Fat Burn,80,600\n";
    fixture.wearables(&[
        ("heart_rate_intraday", "person_id,datetime,heart_rate_value\n", &rows),
        ("steps_intraday", "person_id,datetime,steps\n", &rows),
        ("heart_rate_summary", "person_id,date,zone_name,minute_in_zone,calorie_count\n", zones),
    ]);
    let out = fixture.build(&alone("registered", "clock_changes")).unwrap();
    for (table, column) in
        [("heart_rate_intraday", "heart_rate_value"), ("steps_intraday", "steps")]
    {
        let mut kept = out.ints(table, column);
        kept.sort_unstable();
        assert_eq!(kept, [Some(0), Some(3)], "{table}");
        let books = out.output.ledger.0.iter().find(|t| t.table.ends_with(table)).unwrap();
        assert_eq!(books.excluded["clock_changes"], 2);
    }
    let out = fixture.build(&alone("registered", "clock_changes_by_zone")).unwrap();
    let mut minutes = out.ints("heart_rate_summary", "minute_in_zone");
    minutes.sort_unstable();
    assert_eq!(minutes, [None, Some(80)]);
}

/// Whatever the shift, a stream that runs to the reference date is seen to end on one day.
#[test]
fn streams_end_on_one_day_for_everybody() {
    let people = 1..=5_i64;
    let persons: String =
        people.clone().map(|p| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n")).collect();
    let last = day("2026-01-01");
    let line = |p: i64, ago: i32| {
        let date = support::civil(last - ago);
        format!("{},{p},0,{date},,1,,1,5\n", p * 1000 + i64::from(ago))
    };
    let rows: String = people.clone().flat_map(|p| (0..800).map(move |ago| line(p, ago))).collect();
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, &rows)]);
    fixture.roster(people.clone().map(|p| (p, takes_part())));
    let first = support::civil(last - 799);
    let edges = format!(
        "[[rule]]\nid = \"edges\"\nkind = \"truncate_edges\"\ndescription = \"d\"\n\
         tables = [\"observation\"]\nfirst_day = \"{first}\"\n\
         [[rule]]\nid = \"shift\"\nkind = \"shift_dates\"\ndescription = \"d\"\n"
    );
    let out = fixture.build(&policy("registered", &edges)).unwrap();
    let rows = out.raw_rows("observation", "observation_id", "observation_date");
    for p in people {
        let dates: Vec<i32> =
            rows.iter().filter(|(id, _)| *id / 1000 == p).map(|(_, row)| row.0).collect();
        let bounds = (dates.iter().min().copied(), dates.iter().max().copied());
        assert_eq!(bounds, (Some(last - 800), Some(last - 364)), "shift {}", out.shift(p));
        assert_eq!(dates.len(), 437);
    }
}

/// Five people whose streams begin on one day, and end on another, years after the first of all: they are seen to begin on one day
/// as well. Four are too few to be more than chance, and nothing is cut of theirs.
#[test]
fn streams_that_begin_together_are_seen_to_begin_on_one_day() {
    for together in [4, 5] {
        let people = 1..=9_i64;
        let person = |p: i64| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n");
        let persons: String = people.clone().map(person).collect();
        let last = day("2026-01-01");
        // The streams of the others begin each on a day of its own, and go on for two years.
        let begins = |p: i64| if p <= together { last - 1200 } else { last - 2000 - p as i32 };
        let line = |p: i64, at: i32| {
            format!("{},{p},0,{},,1,,1,5\n", p * 10_000 + i64::from(last - at), support::civil(at))
        };
        let rows: String = people
            .clone()
            .flat_map(|p| (begins(p)..begins(p) + 730).map(move |at| line(p, at)))
            .collect();
        let mut fixture =
            Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, &rows)]);
        fixture.roster(people.clone().map(|p| (p, takes_part())));
        let edges = "[[rule]]\nid = \"edges\"\nkind = \"truncate_edges\"\ndescription = \"d\"\n\
                     tables = [\"observation\"]\n\
                     [[rule]]\nid = \"shift\"\nkind = \"shift_dates\"\ndescription = \"d\"\n";
        let out = fixture.build(&policy("registered", edges)).unwrap();
        let rows = out.raw_rows("observation", "observation_id", "observation_date");
        for p in people {
            let dates = || rows.iter().filter(|(id, _)| *id / 10_000 == p).map(|(_, row)| row.0);
            let first = dates().min().unwrap();
            let shifted = begins(p) - i32::from(out.shift(p));
            // The first of all begins, shifted, by the day before it began.
            let own = shifted.max(begins(9) - 1);
            let wanted = if together == 5 && p <= 5 { last - 1201 } else { own };
            assert_eq!(first, wanted, "{together} together, person {p}");
            if together == 5 && p <= 5 {
                // They end together as well.
                assert_eq!(dates().max().unwrap(), last - 1200 + 729 - 364, "{p}");
            }
        }
    }
}

/// What ends with the data is seen to end on one day for everybody, or when it begins; what had ended before
/// is as long as it was.
#[test]
fn open_ends_are_one_day_for_everybody() {
    let people = 1..=6_i64;
    let persons: String =
        people.clone().map(|p| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n")).collect();
    // The data ends 40 days before the reference date; the last two people's spans ended long before.
    let last = day("2026-01-01") - 40;
    let end = |p: i64| if p > 4 { last - 900 } else { last };
    // The fourth person's began a week before the end.
    let start = |p: i64| if p == 4 { last - 7 } else { day("2010-03-04") };
    let row =
        |p: i64| format!("{p}0,{p},{},{},1\n", support::civil(start(p)), support::civil(end(p)));
    let periods = "observation_period_id,person_id,observation_period_start_date,\
                   observation_period_end_date,period_type_concept_id\n";
    let rows: String = people.clone().map(row).collect();
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation_period", periods, &rows)]);
    fixture.roster(people.clone().map(|p| (p, takes_part())));
    let ends = "[[rule]]\nid = \"ends\"\nkind = \"open_ends\"\ndescription = \"d\"\n\
                 columns = [\"observation_period.observation_period_end_date\"]\n\
                 [[rule]]\nid = \"shift\"\nkind = \"shift_dates\"\ndescription = \"d\"\n";
    let out = fixture.build(&policy("registered", ends)).unwrap();
    let table = "observation_period";
    let found = out.raw_rows(table, "observation_period_id", "observation_period_end_date");
    let starts = out.raw_rows(table, "observation_period_id", "observation_period_start_date");
    for p in people {
        let shift = i32::from(out.shift(p));
        let wanted = match p {
            1..=3 => last - 364,
            4 => (last - 364).max(last - 7 - shift),
            _ => last - 900 - shift,
        };
        assert_eq!(found[&(p * 10)].0, wanted, "{p}");
        assert_eq!(starts[&(p * 10)].0, start(p) - shift, "{p}");
    }
    assert!(out.books(table).changed["ends"] >= 3);
    for wrong in ["period_type_concept_id", "nothing"] {
        let wrong = ends.replace("observation_period_end_date", wrong);
        assert!(fixture.build(&policy("registered", &wrong)).is_err());
    }
}

/// Two sites with extracts of their own days: all periods of a site begin on one day and end on another, and a few
/// conditions end with them. Shifted, these days are those less 364 for everybody; a time beside such a day is null.
#[test]
fn open_days_of_sites_tell_no_shift() {
    let people = 1..=14_i64;
    let persons: String =
        people.clone().map(|p| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n")).collect();
    let last = day("2026-01-01") - 10;
    let start = |p: i64| if p <= 7 { last - 4000 } else { last - 3000 };
    let end = |p: i64| if p <= 7 { last } else { last - 180 };
    let civil = support::civil;
    let row = |p: i64| format!("{p}0,{p},{},{},1\n", civil(start(p)), civil(end(p)));
    let periods = "observation_period_id,person_id,observation_period_start_date,\
                   observation_period_end_date,period_type_concept_id\n";
    let periods = (periods, people.clone().map(row).collect::<String>());
    // Only three conditions go on: too few for the day to be common among conditions. The fourth was over before.
    let conditions = "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,\
                      condition_end_date,condition_end_datetime,condition_type_concept_id\n";
    let over = |p: i64| if p == 11 { last - 600 } else { end(p) };
    let row = |p: i64| {
        let (from, to) = (civil(last - 2500), civil(over(p)));
        format!("{p}1,{p},1,{from},{to},{to} 09:00:00,1\n")
    };
    let conditions = (conditions, (8..=11).map(row).collect::<String>());
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &persons),
        ("observation_period", periods.0, &periods.1),
        ("condition_occurrence", conditions.0, &conditions.1),
    ]);
    fixture.roster(people.clone().map(|p| (p, takes_part())));
    let columns = [
        "observation_period.observation_period_start_date",
        "observation_period.observation_period_end_date",
        "condition_occurrence.condition_end_date",
        "condition_occurrence.condition_end_datetime",
    ];
    let rules = format!(
        "[[rule]]\nid = \"ends\"\nkind = \"open_ends\"\ndescription = \"d\"\ncolumns = {columns:?}\n\
         [[rule]]\nid = \"shift\"\nkind = \"shift_dates\"\ndescription = \"d\"\n"
    );
    let out = fixture.build(&policy("registered", &rules)).unwrap();
    let table = "observation_period";
    let starts = out.raw_rows(table, "observation_period_id", "observation_period_start_date");
    let ends = out.raw_rows(table, "observation_period_id", "observation_period_end_date");
    for p in people {
        assert_eq!(starts[&(p * 10)].0, start(p) - 364, "{p}");
        assert_eq!(ends[&(p * 10)].0, end(p) - 364, "{p}");
    }
    let table = "condition_occurrence";
    let ends = out.raw_rows(table, "condition_occurrence_id", "condition_end_date");
    let rows = out.table(table);
    let times = rows.column_by_name("condition_end_datetime").unwrap();
    assert_eq!((rows.num_rows(), times.null_count()), (4, 3));
    for p in 8..=11 {
        let shifted = over(p) - i32::from(out.shift(p));
        assert_eq!(ends[&(p * 10 + 1)].0, if p == 11 { shifted } else { end(p) - 364 }, "{p}");
    }
}

/// A list of small areas: 19,999 and 20,000 people are hidden, 20,001 are not, nor is what is not listed.
#[test]
fn the_safe_harbor_tells_areas_of_more_than_20000_people() {
    let persons = "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n";
    let rows = "1,1,0,2020-01-01,,1,60112,,1585250\n2,1,0,2020-01-01,,1,60212,,1585250\n\
                3,1,0,2020-01-01,,1,60312-1234,,1585250\n4,1,0,2020-01-01,,1,60412,,1585250\n\
                5,1,0,2020-01-01,,1,03601,,1585250\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, persons), ("observation", OBSERVATION, rows)]);
    fixture.roster([(1, takes_part())]);
    let texts = |policy: &TierPolicy| {
        let out = fixture.build(policy).unwrap();
        let mut texts: Vec<_> =
            out.texts("observation", "value_as_string").into_iter().flatten().collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&pack("safe-harbor")), ["000**", "601**", "602**", "603**", "604**"]);
    let dir = tempfile::tempdir().unwrap();
    let list = |lines: &str| {
        let mut policy = pack("safe-harbor");
        policy.rules.retain(|r| ["zip3", "years", "free_text"].contains(&r.id.as_str()));
        let name = "safe_harbor_zip3_2000.csv";
        std::fs::write(dir.path().join(name), lines).unwrap();
        policy.load_files(dir.path()).map(|()| policy)
    };
    let lines = "zip3,population,census_date\n601,19999,2020-04-01\n602,20000,2020-04-01\n\
                 603,20001,2020-04-01\n";
    assert_eq!(texts(&list(lines).unwrap()), ["000**", "000**", "036**", "603**", "604**"]);
    let undated = list("zip3,population\n601,19999\n").unwrap_err().1;
    assert!(undated.contains("census_date"), "{undated}");
}

/// Ages 89 and over at the reference date, 2026-01-01: whoever is over 89 is in one category, and no year
/// of theirs tells more.
#[test]
fn the_safe_harbor_leaves_years() {
    let born =
        [(1, 1990, 5, 6), (2, 1936, 1, 2), (3, 1936, 1, 1), (4, 1935, 12, 31), (5, 1920, 2, 3)];
    let persons: String = born
        .iter()
        .map(|(p, y, m, d)| {
            format!(
                "{p},8507,{y},{m},{d},{y}-{m:02}-{d:02} 08:00:00,8527,38003564,,7,,a{p},,,,,,\n"
            )
        })
        .collect();
    let rows: String = (1..=5)
        .map(|p| {
            format!(
                "{p}1,{p},0,2019-07-08,2019-07-08 09:10:11,1,,{p},5\n\
                 {p}2,{p},0,1935-07-08,1935-07-08 09:10:11,1,,{p},5\n\
                 {p}3,{p},0,1936-07-08,,1,,{p},5\n"
            )
        })
        .collect();
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, &rows)]);
    fixture.roster((1..=5).map(|p| (p, takes_part())));
    let out = fixture.build(&pack("safe-harbor")).unwrap();
    let years = |p: i64| out.ints("person", "year_of_birth")[out.person_row(p)];
    assert_eq!((1..=5).map(years).collect::<Vec<_>>(), [1990, 1936, 1936, 1936, 1936].map(Some));
    for column in ["month_of_birth", "day_of_birth"] {
        assert!(out.ints("person", column).iter().all(Option::is_none), "{column}");
    }
    assert!(out.times("person", "birth_datetime").iter().all(Option::is_none));
    let dates = out.dated_rows("observation", "value_as_concept_id", "observation_date");
    let of = |p: i64| {
        let mut dates: Vec<_> = dates.iter().filter(|(of, _)| *of == p).map(|(_, d)| *d).collect();
        dates.sort();
        dates
    };
    let year = |y: i32| Some(day(&format!("{y}-01-01")));
    assert_eq!(of(1), [year(1935), year(1936), year(2019)]);
    assert_eq!(of(2), [year(1935), year(1936), year(2019)]);
    assert_eq!(of(4), [None, year(1936), year(2019)]);
    assert_eq!(of(5), [None, year(1936), year(2019)]);
    let mut times = out.times("observation", "observation_datetime");
    times.sort();
    times.dedup();
    let at = |y: i32| year(y).map(|d| i64::from(d) * support::MICROS);
    assert_eq!(times, [None, at(1935), at(2019)]);
}

/// The answer on the state against the states of sites with records, by the workflow.
#[test]
fn a_state_that_a_site_contradicts_is_hidden() {
    let persons = |people: &[i64]| -> String {
        people.iter().map(|p| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n")).collect()
    };
    let asked = |people: &[(i64, i64)]| -> String {
        let line = |(p, a): &(i64, i64)| format!("{p},{p},0,2020-01-01,,1,,{a},1585249\n");
        people.iter().map(line).collect()
    };
    let record = |p: i64| format!("9{p},{p},0,2020-01-01,,1,,1,5\n");
    // 1 agrees with the site, 2 does not, 3 has a row of person only, 4 has none, 5 does not say,
    // 6 agrees with one of two sites, 7 has records of a site without a state.
    let answers = [(1, 10), (2, 11), (3, 11), (4, 11), (5, 903096), (6, 10), (7, 11)];
    let programme = (persons(&[1, 2, 3, 4, 5, 6, 7]), asked(&answers));
    let a = (persons(&[1, 2, 3, 5, 6]), [1, 2, 5, 6].map(record).concat());
    let b = (persons(&[6]), record(6));
    let c = (persons(&[7]), record(7));
    let tables = |of: &'static (String, String)| {
        [("person", PERSON, of.0.as_str()), ("observation", OBSERVATION, of.1.as_str())]
    };
    let [programme, a, b, c] = [programme, a, b, c].map(|of| &*Box::leak(Box::new(of)));
    let mut fixture = Fixture::new(&tables(programme));
    for site in [a, b, c] {
        fixture.site(strata::omop::CdmVersion::V5_4, &tables(site));
    }
    fixture.states(&[None, Some(10), Some(11), None]);
    fixture.roster((1..=7).map(|p| (p, takes_part())));
    let out = fixture.build(&alone("registered", "state_of_sites")).unwrap();
    let mut kept: Vec<i64> =
        out.ints("observation", "value_as_concept_id").into_iter().flatten().collect();
    kept.retain(|id| *id != 1);
    kept.sort_unstable();
    // Hidden: 2 and 6.
    assert_eq!(kept, [10, 11, 11, 11, 903096, 2000000011, 2000000011]);
    assert_eq!(out.books("observation").changed["state_of_sites"], 2);
}

/// The state follows a merged area, and goes with a hidden zip code, its text too.
#[test]
fn the_state_follows_the_area() {
    let people = 1..=4_i64;
    let persons: String =
        people.clone().map(|p| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n")).collect();
    // 1 lives in an area merged into one of state 11, 2 in one that stands alone, 3 moved out of the
    // first, 4 is hidden.
    let rows = "1,1,0,2020-01-01,,1,60512,,1585250\n2,2,0,2020-01-01,,1,60612,,1585250\n\
                3,3,0,2020-01-01,,1,60512,,1585250\n4,3,0,2021-01-01,,1,60612,,1585250\n\
                5,4,0,2020-01-01,,1,60512,,1585250\n6,4,0,2020-01-01,,1,,1586141,1586140\n\
                11,1,0,2020-01-01,,1,IL,10,1585249\n12,2,0,2020-01-01,,1,IL,10,1585249\n\
                13,3,0,2020-01-01,,1,IL,10,1585249\n14,4,0,2020-01-01,,1,IL,10,1585249\n\
                21,1,0,2020-01-01,,1,,10,7\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("observation", OBSERVATION, rows)]);
    fixture.roster(people.map(|p| (p, takes_part())));
    let mut policy = alone("controlled", "zip3");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("z.csv"),
        "zip3,to,population,state\n605,606,30000,11\n606,606,30000,11\n",
    )
    .unwrap();
    for rule in &mut policy.rules {
        if let Action::Zip3(zip) = &mut rule.action {
            zip.file = Some("z.csv".into());
        }
    }
    policy.load_files(dir.path()).unwrap();
    let out = fixture.build(&policy).unwrap();
    let mut states: Vec<i64> =
        out.ints("observation", "value_as_concept_id").into_iter().flatten().collect();
    states.sort_unstable();
    assert_eq!(states, [10, 10, 10, 11, 1586141, 2000000011]);
    let mut texts: Vec<_> =
        out.texts("observation", "value_as_string").into_iter().flatten().collect();
    texts.sort();
    assert_eq!(texts, ["000**", "606**", "606**", "606**", "606**"]);
}

/// Rows of surveys that a policy names stay true, and only those.
#[test]
fn an_accepted_survey_keeps_its_true_dates() {
    let persons = "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n";
    let rows = "1,1,0,2020-05-10,2020-05-10 11:12:13,1,,1,2100000002\n2,1,0,2020-05-10,,1,,2,5\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, persons), ("observation", OBSERVATION, rows)]);
    fixture.roster([(1, takes_part())]);
    let rules = "[[rule]]\nid = \"covid\"\nkind = \"leave_dates_true\"\ndescription = \"d\"\n\
                 concepts = [2100000002]\ncolumns = [\"observation.observation_source_concept_id\"]\n\
                 i_accept_that_this_reveals_the_shift = true\n\
                 [[rule]]\nid = \"shift\"\nkind = \"shift_dates\"\ndescription = \"d\"\n";
    let accepted = policy("registered", rules);
    let out = fixture.build(&accepted).unwrap();
    let rows = out.raw_rows("observation", "observation_id", "observation_date");
    let (date, shift) = (day("2020-05-10"), i32::from(out.shift(1)));
    assert_eq!((rows[&1].0, rows[&2].0), (date, date - shift));
    let time = i64::from(date) * support::MICROS + (11 * 3600 + 12 * 60 + 13) * 1_000_000;
    assert!(out.times("observation", "observation_datetime").contains(&Some(time)));
    let count = out.rules().into_iter().find(|r| r.0 == "covid" && r.1 == "omop/observation");
    assert_eq!(count.unwrap().3, 1);
    let refused = policy("registered", &rules.replace("= true", "= false"));
    let error = fixture.build(&refused).unwrap_err().to_string();
    assert!(error.contains("reveal the shift"), "{error}");
}

/// People with a row every day to the reference date; by person the first and last day released, and
/// the shift.
fn daily(policy: &TierPolicy) -> Vec<(i32, i32, u16)> {
    let people = 1..=40_i64;
    let persons: String =
        people.clone().map(|p| format!("{p},8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n")).collect();
    let last = day("2026-01-01");
    // The day is told again in the steps, to find whose row it is.
    let line = |p: i64, ago: i32| format!("{p},{},{}\n", support::civil(last - ago), p);
    let rows: String = people.clone().flat_map(|p| (0..800).map(move |ago| line(p, ago))).collect();
    let mut fixture = Fixture::new(&[("person", PERSON, &persons)]);
    fixture.wearables(&[("activity_summary", "person_id,date,steps\n", &rows)]);
    fixture.roster(people.clone().map(|p| (p, takes_part())));
    let out = fixture.build(policy).unwrap();
    let rows = out.wearable_rows("activity_summary", "steps", "date");
    let bounds = people.map(|p| {
        let dates = rows.iter().filter(|(of, _)| *of == p).map(|(_, date)| *date);
        (dates.clone().min().unwrap(), dates.max().unwrap(), out.shift(p))
    });
    bounds.collect()
}

/// Mutual information, in bits, between what is seen and the shift.
fn information(seen: &[(i32, u16)]) -> f64 {
    let n = seen.len() as f64;
    let share = |f: &dyn Fn(&(i32, u16)) -> bool| seen.iter().filter(|x| f(x)).count() as f64 / n;
    let pairs: std::collections::BTreeSet<_> = seen.iter().collect();
    let bits = pairs.into_iter().map(|pair| {
        let (both, a) = (share(&|x| x == pair), share(&|x| x.0 == pair.0));
        both * (both / (a * share(&|x| x.1 == pair.1))).log2()
    });
    bits.sum()
}

/// The ends of daily streams tell nothing of the shift with the rule of the pack, and all without it.
#[test]
fn ends_of_wearable_streams_tell_nothing_of_the_shift() {
    let ends = daily(&alone("registered", "stream_edges"));
    let last = day("2026-01-01");
    assert!(ends.iter().all(|(first, end, _)| (*first, *end) == (last - 800, last - 364)));
    let firsts: Vec<(i32, u16)> = ends.iter().map(|(first, _, shift)| (*first, *shift)).collect();
    let lasts: Vec<(i32, u16)> = ends.iter().map(|(_, last, shift)| (*last, *shift)).collect();
    assert_eq!((information(&firsts), information(&lasts)), (0.0, 0.0));

    let ends = daily(&alone("registered", "state"));
    let lasts: Vec<(i32, u16)> = ends.iter().map(|(_, last, shift)| (*last, *shift)).collect();
    assert!(information(&lasts) > 4.0, "{}", information(&lasts));
}

/// A concept of 1970-01-01 began when it was first used, by true dates of people who take part.
#[test]
fn a_concept_without_a_beginning_began_when_it_was_first_used() {
    let concept = "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code,\
                   valid_start_date,valid_end_date\n";
    let line = |id: i64, vocabulary: &str, start: &str| {
        format!("{id},a,d,{vocabulary},c,x{id},{start},2099-12-31\n")
    };
    let concepts = [
        line(10, "S", "1970-01-01"),
        line(11, "S", "1970-01-01"),
        line(12, "PPI", "1970-01-01"),
        line(13, "S", "2024-12-31"),
        line(14, "S", "1970-01-01"),
        line(15, "S", "1970-01-01"),
    ];
    // 10 is first used a year before the reference date, 11 a day earlier, 14 earlier by somebody who has
    // withdrawn, 15 on a day that systems write for everybody.
    let rows = "1,1,0,2025-01-01,,1,,10,0\n2,1,0,2024-12-31,,1,,11,0\n3,1,0,2025-06-01,,1,,11,0\n\
                4,1,0,2025-06-01,,1,,12,0\n5,1,0,2025-06-01,,1,,13,0\n6,1,0,2025-06-01,,1,,14,0\n\
                7,2,0,2010-06-01,,1,,14,0\n8,1,0,1900-01-01,,1,,15,0\n9,1,0,2025-06-01,,1,,15,0\n";
    let persons =
        "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n2,8507,1990,1,1,,8527,38003564,,7,,b,,,,,,\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, persons), ("observation", OBSERVATION, rows)]);
    fixture.roster([(1, takes_part()), (2, strata::identity::Standing::Withdrawn)]);
    fixture.vocabulary(&[("concept", concept, &concepts.concat())]);
    let out = fixture.build(&alone("registered", "recent_concepts")).unwrap();
    let mut kept: Vec<i64> =
        out.ints("observation", "value_as_concept_id").into_iter().flatten().collect();
    kept.sort_unstable();
    assert_eq!(kept, [11, 11, 12, 13]);
}

/// Dates where no date is declared: in text, as days since an epoch, as the serial number of a
/// spreadsheet, in columns that the CDM knows and in columns that it does not.
#[test]
fn dates_in_other_columns_are_not_released() {
    let serial = 43_987; // 2020-06-05 as a spreadsheet counts.
    let epoch = 1_591_351_200; // The same day in seconds since 1970.
    let persons = "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n";
    let header = "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_time,\
                  measurement_type_concept_id,value_source_value,unit_source_value,\
                  note_date,collected_serial,collected_epoch,measurement_source_value\n";
    let row = format!(
        "1,1,3004249,2020-06-05,10:00 on 2020-06-05,32817,{serial},20200605,2020-06-05,{serial},\
         {epoch},on 5 June 2020\n"
    );
    let mut fixture = Fixture::new(&[("person", PERSON, persons), ("measurement", header, &row)]);
    fixture.roster([(1, takes_part())]);
    for (name, shows) in [("minimal", true), ("registered", false), ("safe-harbor", false)] {
        let out = fixture.build(&pack(name)).unwrap();
        assert_eq!(out.books("measurement").rows_out, 1, "{name}");
        for text in ["2020-06-05", "20200605", "43987", "5 June", "10:00 on"] {
            assert!(!out.holds_text(text), "{name} tells {text}");
        }
        for number in [serial, epoch, 20_200_605] {
            assert!(!out.holds_number(number), "{name} tells {number}");
        }
        assert_eq!(out.holds_date(day("2020-06-05")), shows, "{name}");
    }
}

/// A typed table with a column that the CDM does not declare is refused before any table is built.
#[test]
fn an_undeclared_column_is_refused() {
    let persons = "1,8507,1990,1,1,,8527,38003564,,7,,a,,,,,,\n";
    let rows = "1,1,0,2020-01-01,,1,,1,5\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, persons), ("observation", OBSERVATION, rows)]);
    fixture.roster([(1, takes_part())]);
    fixture.add_column("observation", "collected_epoch", 1_591_351_200);
    let error = fixture.build(&pack("minimal")).unwrap_err();
    assert_eq!(strata::error::Coded::code(&error), "tier::undeclared_column");
    let said = error.to_string();
    assert!(said.contains("observation") && said.contains("collected_epoch"), "{said}");
    assert!(!said.contains("1591351200"), "{said}");
}

#[test]
fn every_rule_has_a_line_in_the_docs() {
    let mut page = String::from(
        "# Tier policies\n\nThe rules of `configs/tiers/*.toml`, in order, with what the tests hold them to. This page \
         is made by\n`STRATA_UPDATE_DOCS=1 cargo test --release --test tier_rules`.\n",
    );
    for name in ["registered", "controlled", "controlled-plus", "safe-harbor", "minimal"] {
        let policy = pack(name);
        page += &format!("\n## {name}\n\n{}\n", policy.policy.description);
        for (number, rule) in policy.rules.iter().enumerate() {
            let (id, kind) = (&rule.id, rule.action.kind_name());
            page += &format!("\n### {}. `{id}` ({kind})\n\n", number + 1);
            page += &format!("{} {}\n", rule.action.kind_line(), rule.description);
            let answers =
                CASES.iter().filter(|c| name == "registered" && c.rule == rule.id).map(|c| c.what);
            let gone = GONE.iter().filter(|c| c.packs.contains(&name) && c.rule == rule.id);
            let apart = BOUNDARIES.iter().filter(|(pack, of, ..)| *pack == name && *of == rule.id);
            let cases: Vec<&str> =
                answers.chain(gone.map(|c| c.what)).chain(apart.map(|c| c.2)).collect();
            if !cases.is_empty() {
                page.push('\n');
            }
            for case in cases {
                page += &format!("- {case}\n");
            }
        }
    }
    let tests = [include_str!("tier_rules.rs"), include_str!("tier.rs")];
    for (pack, rule, _, test) in BOUNDARIES {
        let known =
            pack_has(pack, rule) && tests.iter().any(|t| t.contains(&format!("fn {test}(")));
        assert!(known, "{pack} {rule} {test}");
    }
    let path = root("docs/tiers.md");
    if std::env::var_os("STRATA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "docs/tiers.md");
}
