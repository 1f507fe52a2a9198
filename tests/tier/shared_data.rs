//! GiBleed, 2,694 persons, through the committed policies. Skipped where the shared data are absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strata::config::policy::TierPolicy;
use strata::omop::CdmVersion;

use crate::support::{Built, Fixture};

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if data.exists() {
        return Some(data);
    }
    println!("skipped: no shared data");
    None
}

fn committed(tier: &str) -> TierPolicy {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tiers");
    TierPolicy::read(&configs.join(format!("{tier}.toml"))).unwrap()
}

fn gibleed(data: &Path, roster: &str) -> Fixture {
    let mut fixture = Fixture::of_folder(&data.join("omop/gibleed"), CdmVersion::V5_3);
    fixture.roster_file(&data.join("link").join(roster));
    fixture
}

/// Rows in = rows out + rows excluded, and the files hold the rows out.
fn assert_accounted(built: &Built) {
    for books in &built.output.ledger.0 {
        assert!(books.balances(), "{}", books.table);
        let name = books.table.trim_start_matches("omop/");
        let files = built.output.files.iter().filter(|f| f.table == name && f.tier != "quality");
        let written: u64 = files.map(|f| f.rows.unwrap()).sum();
        assert_eq!(written, books.rows_out, "{}", books.table);
    }
}

/// Persons of at least 89 years on 2026-01-01 in the CSV itself: born on or before 1937-01-01.
fn oldest(data: &Path) -> u64 {
    let file = std::fs::File::open(data.join("omop/gibleed/person.csv.gz")).unwrap();
    let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let born = |r: csv::StringRecord| {
        let part = |i: usize| r[i].parse::<i32>().unwrap();
        (part(2), part(3), part(4))
    };
    rows.records().filter(|r| born(r.as_ref().unwrap().clone()) <= (1937, 1, 1)).count() as u64
}

#[test]
fn gibleed_is_accounted_for_in_both_tiers() {
    let Some(data) = data() else { return };
    let fixture = gibleed(&data, "participants.csv");
    let controlled = fixture.build(&committed("controlled")).unwrap();
    let registered = fixture.build(&committed("registered")).unwrap();
    for built in [&controlled, &registered] {
        assert_accounted(built);
        let rows_in = ["condition_occurrence", "procedure_occurrence", "observation_period"]
            .map(|t| built.books(t).rows_in);
        assert_eq!(rows_in, [65_332, 37_409, 2_694]);
        assert!(built.books("concept").rows_out > 400);
    }
    assert_eq!(controlled.books("person").rows_out, 2_694);
    // 2,466 begin or end before 1 January of the birth year plus two, by the CSV files themselves.
    let early = BTreeMap::from([("first_years".to_owned(), 2_466)]);
    assert_eq!(controlled.books("condition_occurrence").excluded, early);
    let old = oldest(&data);
    assert!(old > 0);
    let books = registered.books("person");
    assert_eq!(books.excluded, BTreeMap::from([("age_89".to_owned(), old)]));
    assert_eq!(books.rows_out, 2_694 - old);
    assert_eq!(books.changed["date_shift"], 2_694 - old);

    // Every condition of both tiers, row by row: moved by exactly its person's shift.
    let start = "condition_start_date";
    let rows = |b: &Built| b.raw_rows("condition_occurrence", "condition_occurrence_id", start);
    let mut whole = committed("controlled");
    whole.rules.retain(|rule| rule.id != "first_years");
    let whole = fixture.build(&whole).unwrap();
    let (truth, moved, shifts) = (rows(&whole), rows(&registered), registered.shifts());
    assert_eq!(moved.len() as u64, registered.books("condition_occurrence").rows_out);
    for (id, (date, person)) in &moved {
        // The first day of the epoch is what systems write for "not known": null in Registered.
        if truth[id].0 != 0 {
            assert_eq!(truth[id].0 - date, shifts[person]);
        }
    }
}

#[test]
fn gibleed_without_the_withdrawn_and_without_ehr_consent() {
    let Some(data) = data() else { return };
    let built =
        gibleed(&data, "participants_withdrawn.csv").build(&committed("registered")).unwrap();
    assert_accounted(&built);
    let excluded = &built.books("person").excluded;
    assert_eq!((excluded["withdrawn"], excluded["no_ehr_consent"]), (27, 30));
}

#[test]
fn gibleed_is_the_same_on_one_and_three_threads() {
    let Some(data) = data() else { return };
    let fixture = gibleed(&data, "participants.csv");
    for tier in ["controlled", "registered"] {
        let one = fixture.build_on(&committed(tier), 1).unwrap();
        let three = fixture.build_on(&committed(tier), 3).unwrap();
        assert_eq!(one.output, three.output, "{tier}");
    }
}
