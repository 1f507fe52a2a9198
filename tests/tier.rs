//! Tiers built from small extracts: each kind of rule, dates, ids, people and determinism.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "tier/shared_data.rs"]
mod shared_data;
#[path = "tier/support.rs"]
#[expect(dead_code, reason = "shared with the other tests of tiers")]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use strata::config::policy::DateBasis;
use strata::error::Coded;
use strata::identity::Standing;
use strata::omop::CdmVersion;
use support::{Fixture, MICROS, PERSON, day, policy, takes_part};

const SHIFT: &str = "[[rule]]\nid = \"shift\"\nkind = \"shift_dates\"\ndescription = \"d\"\n";

fn rule(id: &str, body: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\ndescription = \"d\"\n{body}\n")
}

fn person(id: i64, year: &str, month: &str, day: &str, time: &str) -> String {
    format!("{id},8507,{year},{month},{day},{time},8527,38003564,,7,,source-{id},,,,,,\n")
}

const VISIT: &str = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,\
                     visit_start_datetime,visit_end_date,visit_end_datetime,visit_type_concept_id,\
                     provider_id,care_site_id,visit_source_value\n";

#[test]
fn age_counts_completed_years_of_true_birth_dates_on_the_reference_date() {
    // The reference date of the fixture is 2026-01-01.
    let people = [
        (1, person(1, "1937", "1", "1", "")),   // 89 today: out
        (2, person(2, "1937", "1", "2", "")),   // 89 tomorrow: in
        (3, person(3, "1936", "12", "31", "")), // out
        (4, person(4, "1936", "2", "29", "")),  // out
        (5, person(5, "1937", "", "", "")),     // perhaps 89: out
        (6, person(6, "1937", "1", "2", "1936-12-31 23:00:00")), // earliest statement counts: out
        (7, person(7, "", "", "", "")),         // unknown: out
        (8, person(8, "1990", "5", "5", "1990-05-05 00:00:00")), // in
    ];
    let rows: String = people.iter().map(|(_, r)| r.as_str()).collect();
    let visits: String =
        people.iter().map(|(p, _)| format!("{p}0,{p},1,2020-01-01,,2020-01-02,,1,,,\n")).collect();
    let mut fixture =
        Fixture::new(&[("person", PERSON, &rows), ("visit_occurrence", VISIT, &visits)]);
    fixture.roster(people.iter().map(|(p, _)| (*p, takes_part())));
    let rules = rule("old", "kind = \"remove_people_by_age\"\nmin_age = 89");
    let out = fixture.build(&policy("registered", &format!("{rules}{SHIFT}"))).unwrap();
    for table in ["person", "visit_occurrence"] {
        let books = out.books(table);
        assert_eq!((books.rows_in, books.rows_out), (8, 2), "{table}");
        assert_eq!(books.excluded, BTreeMap::from([("old".to_owned(), 6)]));
    }
    let left: BTreeSet<i64> = out.ints("person", "person_id").into_iter().flatten().collect();
    assert_eq!(left, [2, 8].map(|p| out.research(p)).into());
    let report = out.rules();
    assert!(report.contains(&("old".into(), "omop/visit_occurrence".into(), 6, 0)), "{report:?}");
}

#[test]
fn leap_day_birthdays_fall_on_the_first_of_march() {
    for (reference, left) in [("2025-02-28", 1), ("2025-03-01", 0)] {
        let mut fixture = Fixture::new(&[("person", PERSON, &person(1, "1936", "2", "29", ""))]);
        fixture.roster([(1, takes_part())]);
        fixture.reference = reference.parse().unwrap();
        let rules = rule("old", "kind = \"remove_people_by_age\"\nmin_age = 89");
        let out = fixture.build(&policy("controlled", &rules)).unwrap();
        assert_eq!(out.books("person").rows_out, left, "{reference}");
    }
}

#[test]
fn suppressed_tables_are_counted_and_not_written() {
    let note = "note_id,person_id,note_date,note_type_concept_id,note_class_concept_id,note_title,\
                note_text,encoding_concept_id,language_concept_id\n";
    let cost = "cost_id,cost_event_id,cost_domain_id,cost_type_concept_id\n";
    let source = "cdm_source_name,cdm_holder\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("note", note, "1,1,2020-01-01,1,1,t,secret,1,1\n2,1,2020-01-01,1,1,t,secret,1,1\n"),
        ("cost", cost, "1,1,Drug,1\n"),
        ("cdm_source", source, "the clinic,the holder\n"),
    ]);
    fixture.roster([(1, takes_part())]);
    let rules = rule("notes", "kind = \"suppress_tables\"\ntables = [\"note\"]");
    let out = fixture.build(&policy("controlled", &rules)).unwrap();
    assert_eq!(out.books("note").excluded, BTreeMap::from([("notes".to_owned(), 2)]));
    assert_eq!(out.books("cost").excluded, BTreeMap::from([("no_person_id".to_owned(), 1)]));
    assert_eq!(out.books("cdm_source").excluded, BTreeMap::from([("not_released".to_owned(), 1)]));
    let tables: BTreeSet<&str> = out.output.files.iter().map(|f| f.table.as_str()).collect();
    let vocabulary = ["concept", "concept_ancestor", "concept_relationship"];
    assert_eq!(tables, vocabulary.into_iter().chain(["person", "rules"]).collect());
}

#[test]
fn columns_are_nulled_and_only_changed_rows_counted() {
    let visits =
        "10,1,9202,2020-01-01,,2020-01-01,,1,77,,\n11,1,9202,2020-01-02,,2020-01-02,,1,,,x\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("visit_occurrence", VISIT, visits),
    ]);
    fixture.roster([(1, takes_part())]);
    let rules = rule("who", "kind = \"null_columns\"\ncolumns = [\"*.provider_id\"]");
    let out = fixture.build(&policy("controlled", &rules)).unwrap();
    assert_eq!(out.ints("visit_occurrence", "provider_id"), [None, None]);
    assert_eq!(out.ints("person", "provider_id"), [None]);
    assert_eq!(out.books("visit_occurrence").changed, BTreeMap::from([("who".to_owned(), 1)]));
    assert_eq!(out.texts("visit_occurrence", "visit_source_value"), [None, Some("x".into())]);
}

#[test]
fn free_text_is_nulled_but_for_the_exceptions() {
    let visits = "10,1,9202,2020-01-01,,2020-01-01,,1,77,,seen\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("visit_occurrence", VISIT, visits),
    ]);
    fixture.roster([(1, takes_part())]);
    let all = rule("text", "kind = \"null_free_text\"");
    let out = fixture.build(&policy("controlled", &all)).unwrap();
    assert_eq!(out.texts("visit_occurrence", "visit_source_value"), [None]);
    assert_eq!(out.texts("person", "person_source_value"), [None]);
    assert_eq!(
        out.books("person").changed,
        BTreeMap::from([("text".to_owned(), 1)]),
        "ids found nothing left"
    );
    let some = rule("text", "kind = \"null_free_text\"\nexcept = [\"visit_*.visit_source_value\"]");
    let out = fixture.build(&policy("controlled", &some)).unwrap();
    assert_eq!(out.texts("visit_occurrence", "visit_source_value"), [Some("seen".into())]);
    assert_eq!(out.texts("person", "person_source_value"), [None]);
}

#[test]
fn birth_dates_are_reduced() {
    let rows = person(1, "1990", "3", "9", "1990-03-09 04:05:06") + &person(2, "1991", "", "", "");
    let mut fixture = Fixture::new(&[("person", PERSON, &rows)]);
    fixture.roster([(1, takes_part()), (2, takes_part())]);
    let june = rule("birth", "kind = \"reduce_birth_date\"\nto = \"june_15\"");
    let out = fixture.build(&policy("controlled", &june)).unwrap();
    let at = |y: i64| out.person_row(if y == 1990 { 1 } else { 2 });
    for year in [1990, 1991] {
        assert_eq!(out.ints("person", "year_of_birth")[at(year)], Some(year));
        let expected = i64::from(day(&format!("{year}-06-15"))) * MICROS;
        assert_eq!(out.times("person", "birth_datetime")[at(year)], Some(expected));
    }
    assert_eq!(out.ints("person", "month_of_birth"), [None, None]);
    assert_eq!(out.ints("person", "day_of_birth"), [None, None]);
    assert_eq!(out.books("person").changed["birth"], 2);

    // In a shifted tier the year is that of the shifted birth date, and nothing finer is left.
    let year = format!("{SHIFT}{}", rule("birth", "kind = \"reduce_birth_date\"\nto = \"year\""));
    let out = fixture.build(&policy("registered", &year)).unwrap();
    for (p, birth) in [(1, "1990-03-09"), (2, "1991-06-15")] {
        let moved = day(birth) - i32::from(out.shift(p));
        let expected = i64::from(support::civil(moved).year());
        assert_eq!(out.ints("person", "year_of_birth")[out.person_row(p)], Some(expected));
    }
    assert_eq!(out.times("person", "birth_datetime"), [None, None]);
    assert_eq!(out.ints("person", "month_of_birth"), [None, None]);
}

#[test]
fn a_shifted_birth_date_keeps_its_distance_without_a_reduction() {
    let mut fixture =
        Fixture::new(&[("person", PERSON, &person(1, "1990", "3", "9", "1990-03-09 04:05:06"))]);
    fixture.roster([(1, takes_part())]);
    let out = fixture.build(&policy("registered", SHIFT)).unwrap();
    let moved = support::civil(day("1990-03-09") - i32::from(out.shift(1)));
    let parts =
        ["year_of_birth", "month_of_birth", "day_of_birth"].map(|c| out.ints("person", c)[0]);
    let expected = [i64::from(moved.year()), i64::from(moved.month()), i64::from(moved.day())];
    assert_eq!(parts, expected.map(Some));
}

/// A table of the vocabulary that is not there knows no concept: a rule that goes by it would remove nothing.
#[test]
fn a_vocabulary_without_the_tables_that_a_rule_goes_by_is_refused() {
    let persons = person(1, "1970", "1", "1", "");
    let header = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,\
                  visit_type_concept_id\n";
    let visits = "1,1,100,2020-01-01,2020-01-02,1\n";
    let mut fixture =
        Fixture::new(&[("person", PERSON, &persons), ("visit_occurrence", header, visits)]);
    fixture.roster([(1, takes_part())]);
    let refused = |fixture: &Fixture, body: &str| {
        let built = fixture.build(&policy("controlled", &rule("gone", body)));
        built.err().map(|error| error.code())
    };
    let named = "kind = \"suppress_concepts\"\nconcepts = [100]\nallow_missing = true";
    let alone = format!("{named}\ndescendants = false");
    let mapped = format!("{alone}\nmapped = true");
    let coded = "kind = \"suppress_concepts\"\ndescendants = false\nallow_missing = true\n\
                 codes = [{ vocabulary = \"PPI\", regex = \"x\" }]";
    let recent = "kind = \"drop_recent_concepts\"\nyears = 1\nallow_missing = true";
    for body in [named, &alone, &mapped, coded, recent] {
        assert_eq!(refused(&fixture, body), None, "{body}");
    }
    fixture.without_vocabulary(true);
    for (body, code) in [
        (named, Some("tier::no_vocabulary")),
        (&mapped, Some("tier::no_vocabulary")),
        (&alone, None),
        (coded, None),
        (recent, None),
    ] {
        assert_eq!(refused(&fixture, body), code, "{body}");
    }
    fixture.without_vocabulary(false);
    for body in [named, &mapped, coded, recent] {
        assert_eq!(refused(&fixture, body), Some("tier::no_vocabulary"), "{body}");
    }
    // Rows that hold what a rule names go whether the vocabulary knows it or not.
    let out = fixture.build(&policy("controlled", &rule("gone", &alone))).unwrap();
    assert_eq!(out.books("visit_occurrence").excluded["gone"], 1);
}

#[test]
fn concepts_are_suppressed_with_their_descendants() {
    let visits = "10,1,100,2020-01-01,,2020-01-01,,1,,,\n11,1,101,2020-01-01,,2020-01-01,,1,,,\n\
                  12,1,102,2020-01-01,,2020-01-01,,100,,,\n13,1,102,2020-01-01,,2020-01-01,,1,,,\n";
    let concept = "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code,\
                   valid_start_date,valid_end_date\n";
    let concepts = "100,a,d,v,c,x,1970-01-01,2099-12-31\n101,b,d,v,c,y,1970-01-01,2099-12-31\n";
    let ancestor = "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,\
                    max_levels_of_separation\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("visit_occurrence", VISIT, visits),
    ]);
    fixture.roster([(1, takes_part())]);
    fixture.vocabulary(&[
        ("concept", concept, concepts),
        ("concept_ancestor", ancestor, "100,100,0,0\n100,101,1,1\n"),
    ]);
    let build = |body: &str| {
        let body = format!("kind = \"suppress_concepts\"\n{body}");
        fixture.build(&policy("controlled", &rule("gone", &body)))
    };
    let removed = |body: &str| build(body).unwrap().books("visit_occurrence").excluded["gone"];
    assert_eq!(removed("concepts = [100]"), 3);
    assert_eq!(removed("concepts = [100]\ndescendants = false"), 2);
    let only = "concepts = [100]\ncolumns = [\"visit_occurrence.visit_concept_id\"]";
    assert_eq!(removed(only), 2);
    let error = build("concepts = [100, 555]").unwrap_err();
    assert_eq!(error.code(), "tier::concept_missing");
    assert!(!error.to_string().contains("555"));
    assert_eq!(removed("concepts = [100, 555]\nallow_missing = true"), 3);
    // The vocabulary itself is released whole, with its own dates.
    let out = build("concepts = [100]").unwrap();
    assert_eq!(out.ints("concept", "concept_id"), [Some(100), Some(101)]);
    assert_eq!(out.books("concept").rows_out, 2);

    fixture.vocabulary = None;
    let body = "kind = \"suppress_concepts\"\nconcepts = [100]";
    let error = fixture.build(&policy("controlled", &rule("gone", body))).unwrap_err();
    assert_eq!(error.code(), "tier::no_vocabulary");
}

#[test]
fn excluded_people_leave_no_trace() {
    let everybody: String = (1..=4).map(|p| person(p, "1990", "1", "1", "")).collect();
    let visit = |p: i64| format!("{p}0,{p},1,2020-01-01,,2020-01-02,,1,,,\n");
    let visits: String = (1..=4).map(visit).collect();
    let mut with =
        Fixture::new(&[("person", PERSON, &everybody), ("visit_occurrence", VISIT, &visits)]);
    let no_ehr = Standing::Participating { ehr: false, genomics: true };
    with.roster([
        (1, takes_part()),
        (2, Standing::Withdrawn),
        (3, Standing::NoConsent),
        (4, no_ehr),
    ]);
    let mut without = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("visit_occurrence", VISIT, &visit(1)),
    ]);
    without.roster([(1, takes_part())]);
    for (tier, rules) in [("controlled", ""), ("registered", SHIFT)] {
        let (a, b) = (
            with.build(&policy(tier, rules)).unwrap(),
            without.build(&policy(tier, rules)).unwrap(),
        );
        let released = |o: &support::Built| -> Vec<(String, String)> {
            let files = o.output.files.iter().filter(|f| f.tier != "quality");
            files.map(|f| (f.path.clone(), f.sha256.clone())).collect()
        };
        assert_eq!(released(&a), released(&b));
        let why = ["no_ehr_consent", "no_primary_consent", "withdrawn"].map(|r| (r.to_owned(), 1));
        assert_eq!(a.books("visit_occurrence").excluded, why.clone().into());
        assert_eq!(a.books("person").excluded, why.into());
    }
}

#[test]
fn a_person_missing_from_the_roster_stops_the_tier() {
    let rows = person(1, "1990", "1", "1", "") + &person(987_654, "1990", "1", "1", "");
    let mut fixture = Fixture::new(&[("person", PERSON, &rows)]);
    fixture.roster([(1, takes_part())]);
    let error = fixture.build(&policy("controlled", "")).unwrap_err();
    assert_eq!(error.code(), "tier::person_not_in_map");
    assert!(!format!("{error} {error:?}").contains("987654"));
}

#[test]
fn sites_are_kept_apart_and_a_person_counts_once() {
    let old_visit = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,\
                     visit_end_date,visit_type_concept_id,admitting_source_value\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("visit_occurrence", VISIT, "10,1,1,2020-01-01,,2020-01-02,,1,,,a\n"),
    ]);
    let both = person(1, "1990", "1", "1", "") + &person(2, "1990", "1", "1", "");
    let visits = "10,1,1,2020-01-01,2020-01-02,1,er\n11,2,1,2020-01-01,2020-01-02,1,er\n";
    fixture.site(
        CdmVersion::V5_3,
        &[("person", PERSON, &both), ("visit_occurrence", old_visit, visits)],
    );
    fixture.roster([(1, takes_part()), (2, takes_part())]);
    let out = fixture.build(&policy("controlled", "")).unwrap();
    let ids: BTreeSet<_> =
        out.ints("visit_occurrence", "visit_occurrence_id").into_iter().collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(out.books("person").excluded, BTreeMap::from([("duplicate_person".to_owned(), 1)]));
    assert_eq!(out.books("person").rows_out, 2);
    let texts = out.texts("visit_occurrence", "admitting_source_value");
    assert_eq!(texts.iter().flatten().count(), 2, "a column of the older CDM is kept");

    fixture.site(
        CdmVersion::V5_4,
        &[
            ("person", PERSON, &person(2, "1990", "1", "1", "")),
            ("visit_occurrence", VISIT, "1000000000000000,2,1,2020-01-01,,2020-01-02,,1,,,a\n"),
        ],
    );
    let error = fixture.build(&policy("controlled", "")).unwrap_err();
    assert_eq!(error.code(), "tier::row_id_too_large");
    assert!(error.to_string().contains("visit_occurrence_id"), "{error}");
    assert!(!error.to_string().contains("1000000000000000"));
}

#[test]
fn references_follow_the_rows_they_point_to() {
    let note = "note_id,person_id,note_date,note_event_id,note_event_field_concept_id,\
                note_type_concept_id,note_class_concept_id,note_text,encoding_concept_id,\
                language_concept_id,visit_occurrence_id\n";
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &person(1, "1990", "1", "1", "")),
        ("visit_occurrence", VISIT, "10,1,1,2020-01-01,,2020-01-02,,1,,,a\n"),
        ("note", note, "10,1,2020-01-01,10,1,1,1,x,1,1,10\n"),
    ]);
    fixture.roster([(1, takes_part())]);
    let (c, r) = (
        fixture.build(&policy("controlled", "")).unwrap(),
        fixture.build(&policy("registered", SHIFT)).unwrap(),
    );
    for out in [&c, &r] {
        let visit = out.ints("visit_occurrence", "visit_occurrence_id")[0].unwrap();
        assert_eq!(out.ints("note", "visit_occurrence_id"), [Some(visit)]);
        assert_ne!(out.ints("note", "note_id"), [Some(visit)], "tables have their own keys");
        assert_ne!(visit, 10);
        assert_eq!(out.ints("note", "note_event_id"), [None]);
        assert_eq!(out.books("note").changed["unresolved_reference"], 1);
    }
    assert_ne!(c.ints("note", "note_id"), r.ints("note", "note_id"), "tiers have their own keys");
}

#[test]
fn people_or_keys_of_another_tier_are_refused() {
    let mut fixture = Fixture::new(&[("person", PERSON, &person(1, "1990", "1", "1", ""))]);
    fixture.roster([(1, takes_part())]);
    let mut request = fixture.request(&policy("controlled", ""));
    request.people = fixture.request(&policy("registered", SHIFT)).people;
    let job = fixture.job(1);
    assert_eq!(strata::tier::build(&request, &job).unwrap_err().code(), "tier::other_tier");
    let mut request = fixture.request(&policy("controlled", ""));
    request.people.people[0].shift = Some(3);
    assert_eq!(strata::tier::build(&request, &job).unwrap_err().code(), "tier::other_tier");
    request.people.people[0].shift = None;
    request.buckets = 0;
    assert_eq!(strata::tier::build(&request, &job).unwrap_err().code(), "tier::buckets");
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let people: String = (1..=300).map(|p| person(p, "1980", "1", "1", "")).collect();
    // Many ties in person and date, rows out of order, more than one batch.
    let visits: String = (0..20_000)
        .map(|i| {
            let id = (i * 7919) % 20_000;
            format!(
                "{id},{},9202,2020-01-{:02},,2020-02-01,,1,,,v{id}\n",
                1 + id % 300,
                1 + id % 28
            )
        })
        .collect();
    let mut fixture =
        Fixture::new(&[("person", PERSON, &people), ("visit_occurrence", VISIT, &visits)]);
    fixture.roster((1..=300).map(|p| (p, takes_part())));
    let one = fixture.build_on(&policy("registered", SHIFT), 1).unwrap();
    let three = fixture.build_on(&policy("registered", SHIFT), 3).unwrap();
    assert_eq!(one.output, three.output);
    assert!(one.output.files.len() > 8, "several buckets");
    // Each file holds its own bucket, sorted by person, then date.
    for file in one.output.files.iter().filter(|f| f.table == "visit_occurrence") {
        let people = one.file_ints(&file.path, "person_id");
        let dates = one.file_dates(&file.path, "visit_start_date");
        let keys: Vec<_> = people.iter().zip(&dates).collect();
        assert!(keys.is_sorted(), "{}", file.path);
        let bucket = format!("/person_bucket={:03}/", people[0].unwrap() % 8);
        assert!(people.iter().all(|p| p.unwrap() % 8 == people[0].unwrap() % 8));
        assert!(file.path.contains(&bucket), "{}", file.path);
    }
}

/// Sorting more rows than the memory holds spills and changes no byte.
#[test]
fn little_memory_writes_the_same_bytes() {
    let people: String = (1..=500).map(|p| person(p, "1980", "1", "1", "")).collect();
    let visits: String = (0..400_000)
        .map(|i| {
            let id = (i * 7919) % 400_000;
            format!(
                "{id},{},9202,2020-01-{:02},,2020-02-01,,1,,,visit{id}\n",
                1 + id % 500,
                1 + id % 28
            )
        })
        .collect();
    let mut fixture =
        Fixture::new(&[("person", PERSON, &people), ("visit_occurrence", VISIT, &visits)]);
    fixture.roster((1..=500).map(|p| (p, takes_part())));
    let request = fixture.request(&policy("registered", SHIFT));
    let outputs = [1 << 30, 48 << 20].map(|memory| {
        let job = strata::engine::Job { memory, ..fixture.job(2) };
        strata::tier::build(&request, &job).unwrap()
    });
    assert_eq!(outputs[0], outputs[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Between any two dates of a person the distance in the Registered tier is the true one, and so is
    /// the time of day; and each date has moved by 1 to 364 days.
    #[test]
    fn intervals_are_kept(events in prop::collection::vec((1i64..6, 1i32..20_000, 0i64..MICROS), 1..60)) {
        let people: String = (1..6).map(|p| person(p, "1980", "6", "7", "")).collect();
        let visits: String = events.iter().enumerate().map(|(i, (p, at, time))| {
            let date = support::civil(*at);
            let time = support::clock(*time);
            format!("{i},{p},9202,{date},{date} {time},{date},,1,,,v{i}\n")
        }).collect();
        let mut fixture = Fixture::new(&[("person", PERSON, &people), ("visit_occurrence", VISIT, &visits)]);
        fixture.roster((1..6).map(|p| (p, takes_part())));
        let (c, r) = (
            fixture.build(&policy("controlled", "")).unwrap(),
            fixture.build(&policy("registered", SHIFT)).unwrap(),
        );
        let (truth, moved) = (c.by_source(), r.by_source());
        prop_assert_eq!(truth.len(), events.len());
        for (name, (date, time)) in &truth {
            let event: usize = name[1..].parse().unwrap();
            let (p, at, clock) = events[event];
            prop_assert_eq!(*date, at);
            let (new_date, new_time) = moved[name];
            let shift = i32::from(r.shift(p));
            prop_assert!((1..=364).contains(&shift));
            prop_assert_eq!(date - new_date, shift);
            prop_assert_eq!(new_time.rem_euclid(MICROS), clock);
            for (other, (other_date, other_time)) in &truth {
                if events[other[1..].parse::<usize>().unwrap()].0 == p {
                    prop_assert_eq!(other_date - date, moved[other].0 - new_date);
                    prop_assert_eq!(other_time - time, moved[other].1 - new_time);
                }
            }
        }
    }
}

/// One unusual date, id and word a column: none may be found in a tier, in values or in bytes.
#[test]
fn no_true_date_raw_id_or_word_reaches_a_tier() {
    let id = |n: i64| 777_000_111_222_000 + n;
    let people = format!(
        "{},8507,1971,7,19,1971-07-19 03:14:15,8527,38003564,{},{},{},canary-text,canary-text,,,,,\n",
        id(1),
        id(2),
        id(3),
        id(4)
    );
    let visits = format!(
        "{},{},9202,2011-11-13,2011-11-14 05:16:17,2011-11-15,2011-11-16 00:00:00,1,{},{},canary-text\n",
        id(5),
        id(1),
        id(3),
        id(4)
    );
    let measurement = "measurement_id,person_id,measurement_concept_id,measurement_date,\
                       measurement_datetime,measurement_time,measurement_type_concept_id,\
                       visit_occurrence_id\n";
    let measured =
        format!("{},{},3004249,2011-11-17,,2011-11-18 canary-text,1,{}\n", id(6), id(1), id(5));
    let mut fixture = Fixture::new(&[
        ("person", PERSON, &people),
        ("visit_occurrence", VISIT, &visits),
        ("measurement", measurement, &measured),
    ]);
    fixture.roster([(id(1), takes_part())]);
    let dates: Vec<i32> = [
        "1971-07-19",
        "2011-11-13",
        "2011-11-14",
        "2011-11-15",
        "2011-11-16",
        "2011-11-17",
        "2011-11-18",
    ]
    .map(day)
    .into();
    let ids: Vec<i64> = (1..=6).map(id).collect();
    let read = |tier: &str| {
        let path = format!("{}/configs/tiers/{tier}.toml", env!("CARGO_MANIFEST_DIR"));
        strata::config::policy::TierPolicy::read(path.as_ref()).unwrap()
    };
    for tier in ["controlled", "registered"] {
        let out = fixture.build(&read(tier)).unwrap();
        assert_eq!(out.books("visit_occurrence").rows_out, 1);
        assert!(!out.holds_text("canary") && !out.holds_text("777000111222"), "{tier}: text");
        for id in &ids {
            assert!(!out.holds_number(*id), "{tier}: an id as a value");
            assert!(!out.holds_bytes(&id.to_le_bytes()), "{tier}: an id in the bytes");
        }
        let mut hits = 0;
        for date in &dates {
            hits += usize::from(out.holds_date(*date));
            hits += usize::from(out.holds_bytes(&date.to_le_bytes()));
            hits += usize::from(out.holds_text(&support::civil(*date).to_string()));
            hits +=
                usize::from(out.holds_text(&support::civil(*date).to_string().replace('-', "")));
        }
        if tier == "registered" {
            assert_eq!(hits, 0, "a true date is in the registered tier");
            assert_eq!(out.policy_dates, DateBasis::Shifted);
        } else {
            assert!(hits >= 8, "the search finds dates where they are: {hits} hits");
        }
    }
}

#[test]
fn a_stopped_run_writes_no_table() {
    let mut fixture = Fixture::new(&[("person", PERSON, &person(1, "1990", "1", "1", ""))]);
    fixture.roster([(1, takes_part())]);
    let job = fixture.job(1);
    job.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = strata::tier::build(&fixture.request(&policy("controlled", "")), &job).unwrap_err();
    assert_eq!(error.code(), "run::stopped");
    assert!(!job.out.join("controlled").exists());
}
