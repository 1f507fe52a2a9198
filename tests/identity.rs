//! Keys on disk, rosters, sample maps and their links.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use strata::error::Coded;
use strata::identity::{
    AncestryTable, Error, Exclusion, IdScope, Key, PersonId, Roster, SampleMap, SampleSex,
    SexTable, Standing, Unmapped, link,
};
use tempfile::TempDir;

const HEADER: &str = "person_id,primary_consent,primary_consent_date,ehr_consent,\
                      ehr_consent_date,genomics_consent,withdrawal_status,withdrawal_date\n";

fn file(dir: &TempDir, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join("input");
    std::fs::write(&path, text).unwrap();
    path
}

fn roster(text: impl AsRef<[u8]>) -> Result<Roster, Error> {
    let dir = TempDir::new().unwrap();
    Roster::read(&file(&dir, text))
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_created_key_loads_again_and_is_private() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    let made = Key::create(&path).unwrap();
    assert_eq!(Key::load(&path).unwrap().kid(), made.kid());
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o600, 65));
    assert!(matches!(Key::create(&path), Err(Error::Io(_))), "an existing key is never replaced");
    let other = Key::create(&dir.path().join("other")).unwrap();
    assert_ne!(other.kid(), made.kid());
}

#[test]
fn bad_key_files_are_refused_without_showing_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    let put = |text: &[u8], mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Key::load(&path)
    };
    let good = "c4".repeat(32);
    assert!(put(good.as_bytes(), 0o600).is_ok());
    assert!(put(good.as_bytes(), 0o400).is_ok());
    for mode in [0o640, 0o604, 0o660, 0o620, 0o644, 0o601] {
        assert_eq!(code(put(good.as_bytes(), mode)), "identity::key_readable_by_others");
    }
    assert_eq!(code(put(b"c4c4c4", 0o600)), "identity::key_malformed");
    assert_eq!(code(put("c4".repeat(200).as_bytes(), 0o600)), "identity::key_malformed");
    assert_eq!(code(put("00".repeat(32).as_bytes(), 0o600)), "identity::key_weak");
    assert_eq!(code(put(&[0; 32], 0o600)), "identity::key_weak");
    assert!(!format!("{}", put(b"c4c4c4", 0o600).unwrap_err()).contains("c4c4"));
    assert_eq!(code(Key::load(&dir.path().join("absent"))), "io::not_found");
    // A link is judged by what it leads to.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let linked = dir.path().join("link");
    symlink(&path, &linked).unwrap();
    assert_eq!(code(Key::load(&linked)), "identity::key_readable_by_others");
}

#[test]
fn reads_standings_from_comma_and_tab() {
    let rows = "1,yes,2020-01-01,yes,2020-01-01,no,not_withdrawn,\n\
                2,YES,2020-01-01,no,,yes,Not_Withdrawn,\n\
                3,yes,2020-01-01,yes,,yes,withdrawn,2021-05-05\n\
                4,no,,no,,no,not_withdrawn,\n\
                5,no,,no,,no,withdrawn,\n";
    let comma = roster(format!("{HEADER}{rows}")).unwrap();
    let tab = roster(format!("\u{feff}{HEADER}{rows}").replace(',', "\t")).unwrap();
    assert_eq!(comma, tab);
    let standings: Vec<Standing> = comma.iter().map(|(_, s)| s).collect();
    assert_eq!(
        standings,
        [
            Standing::Participating { ehr: true, genomics: false },
            Standing::Participating { ehr: false, genomics: true },
            Standing::Withdrawn,
            Standing::NoConsent,
            Standing::Withdrawn,
        ]
    );
}

#[test]
fn bad_rosters_say_where_and_never_what() {
    let good = "987654321,yes,2020-01-01,yes,2020-01-01,yes,not_withdrawn,\n";
    let cases: &[(&str, &str, &str)] = &[
        (
            &good.replace("not_withdrawn", "quux"),
            "identity::bad_value",
            "line 2, column withdrawal_status",
        ),
        (&good.replacen("yes", "quux", 1), "identity::bad_value", "line 2, column primary_consent"),
        (&good.replacen("yes", "", 1), "identity::bad_value", "not one of yes, no"),
        (&good.replace("987654321", "quux"), "identity::bad_value", "column person_id"),
        (&good.replacen("2020-01-01", "quux", 1), "identity::bad_value", "primary_consent_date"),
        (&format!("{good}{good}"), "identity::duplicate", "line 3: the person of line 2 again"),
        (&good.replace(",\n", "\n"), "identity::bad_row", "line 2"),
    ];
    for (rows, code, place) in cases {
        let error = roster(format!("{HEADER}{rows}")).unwrap_err();
        let text = format!("{error} {error:?} {:?}", error.help());
        assert_eq!(error.code(), *code, "{text}");
        assert!(text.contains(place), "{text}");
        assert!(!text.contains("987654321") && !text.contains("quux"), "{text}");
    }
    assert_eq!(code(roster([HEADER.as_bytes(), b"\xff\xfe"].concat())), "identity::bad_row");
}

#[test]
fn bad_headers_name_the_nearest_column() {
    let text = roster(HEADER.replace("ehr_consent,", "ehr_consnet,")).unwrap_err().to_string();
    assert!(text.contains("ehr_consnet; did you mean ehr_consent?"), "{text}");
    assert_eq!(code(roster(HEADER.replace(",genomics_consent", ""))), "identity::missing_column");
    assert_eq!(
        code(roster(HEADER.replace("ehr_consent_date", "ehr_consent"))),
        "identity::repeated_column"
    );
    // A file without a header shows none of its values.
    let text = roster("1234567,yes,2020-01-01\n").unwrap_err().to_string();
    assert!(!text.contains("1234567") && text.contains("header"), "{text}");
}

#[test]
fn reads_samples_ancestry_and_sex() {
    let dir = TempDir::new().unwrap();
    let map = SampleMap::read(&file(&dir, "sample_id,person_id\nS1,5\nS2,5\n")).unwrap();
    assert_eq!(map.person("S2"), Some(PersonId(5)));
    assert_eq!(
        code(SampleMap::read(&file(&dir, "sample_id,person_id\nS1,5\nS1,6\n"))),
        "identity::duplicate"
    );
    assert_eq!(
        code(SampleMap::read(&file(&dir, "sample_id,person_id\n,5\n"))),
        "identity::bad_value"
    );
    let text = "sample_id\tancestry_pred\tprobabilities\nS1\tEUR\t[0.1]\nS2\t\t[]\n";
    let table = AncestryTable::read(&file(&dir, text)).unwrap();
    assert_eq!(table.groups.into_iter().collect::<Vec<_>>(), [("S1".into(), "eur".into())]);
    let bad = "sample_id\tancestry_pred\nS1\te-u\n";
    assert_eq!(code(AncestryTable::read(&file(&dir, bad))), "identity::bad_value");
    let text = "sample_id\tsex\nS1\tMale\nS2\tunknown\nS3\tfemale\n";
    let sexes = SexTable::read(&file(&dir, text)).unwrap().sexes;
    assert_eq!(sexes.get("S1"), Some(&SampleSex::Male));
    assert_eq!((sexes.get("S2"), sexes.len()), (None, 2));
    assert_eq!(code(SexTable::read(&file(&dir, "sample_id\tsex\nS1\tm\n"))), "identity::bad_value");
}

fn takes_part(ehr: bool, genomics: bool) -> Standing {
    Standing::Participating { ehr, genomics }
}

#[test]
fn links_are_checked_both_ways() {
    let roster = Roster::from_entries([
        (PersonId(1), takes_part(true, true)),
        (PersonId(2), takes_part(true, false)),
        (PersonId(3), Standing::Withdrawn),
        (PersonId(4), Standing::NoConsent),
        (PersonId(5), takes_part(false, true)),
    ]);
    let file = Path::new("person.csv");
    assert!(link::check_persons(&roster, file, [1, 2, 3].map(PersonId)).is_ok());
    let error = link::check_persons(&roster, file, [1, 777, 777, 778].map(PersonId)).unwrap_err();
    assert_eq!(error.to_string(), "person.csv: 2 person(s) are not on the roster");
    assert_eq!(link::count_without_ehr(&roster, &BTreeSet::from([PersonId(1)])), 1);

    let map = |pairs: &[(&str, i64)]| {
        SampleMap::from_entries(pairs.iter().map(|(s, p)| ((*s).to_owned(), PersonId(*p))))
    };
    let all = map(&[("A", 1), ("B", 2), ("C", 3), ("D", 4), ("E", 1)]);
    let names = |s: &str| s.chars().map(String::from).collect::<Vec<_>>();
    let run = |samples: &str, map: &SampleMap, unmapped| {
        link::callset("wgs", &names(samples), map, file, &roster, unmapped)
    };
    let links = run("DCXBA", &all, Unmapped::Exclude).unwrap();
    assert_eq!(links.included.len(), 1);
    assert_eq!(links.included[0].sample, "A");
    let excluded: Vec<&str> = links.excluded.values().copied().collect();
    assert_eq!(
        excluded,
        ["no_genomics_consent", "withdrawn", "no_primary_consent", "unmapped_sample"]
    );
    assert_eq!((links.mapped_without_sample, links.people_without_sample), (1, 1));
    assert_eq!(code(run("AX", &all, Unmapped::Error)), "identity::unmapped_sample");
    assert_eq!(code(run("AE", &all, Unmapped::Error)), "identity::person_has_two_samples");
    assert_eq!(code(run("AA", &all, Unmapped::Error)), "identity::repeated_sample");
    let stray = map(&[("A", 99)]);
    assert_eq!(code(run("A", &stray, Unmapped::Error)), "identity::person_not_in_roster");
}

#[test]
fn only_the_registered_tier_has_shifts() {
    let roster = Roster::from_entries([
        (PersonId(1), takes_part(true, true)),
        (PersonId(2), takes_part(false, false)),
        (PersonId(3), Standing::Withdrawn),
        (PersonId(4), Standing::NoConsent),
    ]);
    let key = Key::from_bytes([1; 32]).unwrap();
    let none = [""; 0];
    let controlled = key.controlled(IdScope::PerTier, none).people(&roster).unwrap();
    let registered = key.registered(IdScope::PerTier, none).people(&roster).unwrap();
    assert!(controlled.people.iter().all(|p| p.shift.is_none()));
    assert!(registered.people.iter().all(|p| p.shift.is_some_and(|s| (1..=364).contains(&s))));
    assert_eq!(controlled.people.len(), 2);
    let reasons: Vec<Exclusion> = registered.excluded.iter().map(|e| e.reason).collect();
    assert_eq!(reasons, [Exclusion::Withdrawn, Exclusion::NoPrimaryConsent]);
    assert!(
        controlled
            .people
            .iter()
            .zip(&registered.people)
            .all(|(c, r)| c.research_id != r.research_id)
    );
}

#[test]
fn reads_the_shared_link_files() {
    let link = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/link");
    if !link.exists() {
        println!("skipped: no shared data");
        return;
    }
    let all = Roster::read(&link.join("participants.csv")).unwrap();
    assert_eq!(all.len(), 2694);
    let less = Roster::read(&link.join("participants_withdrawn.csv")).unwrap();
    assert_eq!(less.iter().filter(|(_, s)| *s == Standing::Withdrawn).count(), 27);
    let map = SampleMap::read(&link.join("sample_person.csv")).unwrap();
    assert_eq!(map.len(), 2504);
    assert!(link::check_samples(&all, &link.join("sample_person.csv"), &map).is_ok());
    assert_eq!(AncestryTable::read(&link.join("ancestry_preds.tsv")).unwrap().groups.len(), 2504);
    assert_eq!(SexTable::read(&link.join("sample_sex.tsv")).unwrap().sexes.len(), 2504);
}

#[test]
fn a_roster_may_say_from_which_day_on_people_are_followed_no_more() {
    let head = HEADER.replace('\n', ",deactivated\n");
    let rows = "1,yes,,yes,,yes,not_withdrawn,,2021-03-04\n2,yes,,yes,,yes,not_withdrawn,,\n";
    let roster = roster(format!("{head}{rows}")).unwrap();
    let days: Vec<_> = roster.deactivation_dates().collect();
    assert_eq!(days, [(PersonId(1), jiff::civil::date(2021, 3, 4))]);
    let wrong = self::roster(format!("{head}1,yes,,yes,,yes,not_withdrawn,,4.3.2021\n"));
    let error = wrong.unwrap_err().to_string();
    assert!(error.contains("deactivated") && !error.contains("4.3.2021"), "{error}");
}
