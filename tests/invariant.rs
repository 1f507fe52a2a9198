//! Each invariant of a release is looked at, holds for what the program makes, and is the one that tells when
//! its promise is broken.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "support/programme.rs"]
mod programme;
#[path = "invariant_support/tiers.rs"]
mod tiers;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use programme::Programme;
use strata::invariant::{self, Needs, Report};
use tiers::*;

fn violated(report: &Report) -> BTreeSet<&str> {
    report.violated().map(|outcome| outcome.id.as_str()).collect()
}

/// Ids of invariants that found nothing to look at.
fn idle(report: &Report) -> Vec<&'static str> {
    let looked = |id: &str| report.outcomes.iter().any(|o| o.id == id && o.looked_at > 0);
    invariant::all().iter().map(|of| of.id).filter(|id| !looked(id)).collect()
}

fn day(text: &str) -> i32 {
    let date: jiff::civil::Date = text.parse().unwrap();
    strata::config::CivilDate(date).epoch_days()
}

/// Breaks one promise.
type Break = fn(&mut Tiers);

/// By invariant, what breaks it and nothing else.
const BREAKS: [(&str, Break); 33] =
    [
        ("columns_declared", |t| {
            t.spoil("registered", "condition_occurrence", |rows| {
                let more: ArrayRef = Arc::new(Int64Array::from(vec![1; rows.num_rows()]));
                with_more(&rows, "zip_code", more)
            });
        }),
        ("tables_left_out", |t| {
            let note = strata::omop::cdm(strata::omop::CdmVersion::V5_4).table("note").unwrap();
            let rows = row(note.schema(), &[("person_id", t.research(OLD))]);
            t.add("controlled", "controlled/omop/note/person_bucket=000/part-0000.parquet", &rows);
            let books = t.books("controlled", "note");
            (books.rows_in, books.rows_out) = (books.rows_in + 1, 1);
        }),
        ("columns_null", |t| {
            t.spoil("registered", "visit_occurrence", |rows| {
                ints(&rows, "provider_id", |_, _| Some(77))
            });
        }),
        ("free_text_null", |t| {
            t.spoil("registered", "condition_occurrence", |rows| {
                texts(&rows, "condition_source_value", |i, _| (i == 0).then(|| "E11".into()))
            });
        }),
        ("concepts_suppressed", |t| {
            // 502 is not listed: it maps to what is.
            t.spoil("controlled", "condition_occurrence", |rows| {
                ints(&rows, "condition_concept_id", |i, id| if i == 0 { Some(502) } else { id })
            });
        }),
        ("concepts_recent", |t| {
            t.spoil("registered", "condition_occurrence", |rows| {
                ints(&rows, "condition_concept_id", |i, id| if i == 0 { Some(600) } else { id })
            });
        }),
        ("birth_reduced", |t| {
            t.spoil("controlled", "person", |rows| ints(&rows, "month_of_birth", |_, _| Some(6)));
        }),
        ("dates_in_range", |t| {
            // Of somebody who is in this tier alone, so that there is nothing to compare with.
            let old = t.research(OLD);
            t.spoil("controlled", "visit_occurrence", |rows| {
                let people = ids(&rows, "person_id");
                dates(&rows, "visit_end_date", |i, date| {
                    if people[i] == Some(old) { Some(day("2026-01-02")) } else { date }
                })
            });
        }),
        ("dates_since_birth", |t| {
            let old = t.research(OLD);
            t.spoil("controlled", "condition_occurrence", |rows| {
                let people = ids(&rows, "person_id");
                dates(&rows, "condition_start_date", |i, date| {
                    if people[i] == Some(old) { Some(day("1931-12-31")) } else { date }
                })
            });
        }),
        ("edges_cut", |t| {
            t.spoil("registered", "device", |rows| {
                let late = i64::from(day("2025-06-01")) * 86_400_000_000;
                let times = TimestampMicrosecondArray::from(vec![late; rows.num_rows()]);
                with(&rows, "last_sync_time", Arc::new(times))
            });
        }),
        ("ages_by_year", |t| {
            t.spoil("registered", "person", |rows| {
                ints(&rows, "year_of_birth", |i, year| if i == 0 { Some(1935) } else { year })
            });
        }),
        ("answers_generalised", |t| {
            t.spoil("registered", "observation", |rows| {
                ints(&rows, "value_as_concept_id", |_, id| {
                    if id == Some(2_000_000_001) { Some(1_586_141) } else { id }
                })
            });
        }),
        ("answers_closed", |t| {
            t.spoil("registered", "observation", |rows| {
                ints(&rows, "value_as_concept_id", |_, id| {
                    if id == Some(2_000_000_007) { Some(1_585_949) } else { id }
                })
            });
        }),
        ("one_answer", |t| {
            t.spoil("registered", "observation", |rows| {
                let questions = ids(&rows, "observation_concept_id");
                let is_other = |i: usize| questions[i] == Some(903_001);
                let rows = ints(&rows, "value_as_concept_id", |i, id| {
                    if is_other(i) { Some(1_586_143) } else { id }
                });
                ints(&rows, "observation_concept_id", |i, id| {
                    if is_other(i) { Some(1_586_140) } else { id }
                })
            });
        }),
        ("skips", |t| {
            t.spoil("controlled", "observation", |rows| {
                ints(&rows, "value_as_concept_id", |_, id| {
                    if id == Some(903_096) { Some(45_877_994) } else { id }
                })
            });
        }),
        ("zip3", |t| {
            t.spoil("controlled", "observation", |rows| {
                texts(&rows, "value_as_string", |_, text| text.map(|_| "60512".into()))
            });
        }),
        ("wearables_people", |t| {
            let absent = t.research(ABSENT);
            t.spoil("registered", "activity_summary", |rows| {
                // Without a source, of which another invariant would tell.
                let rows = texts(&rows, "src_id", |i, text| text.filter(|_| i > 0).map(Into::into));
                ints(&rows, "person_id", |i, id| if i == 0 { Some(absent) } else { id })
            });
        }),
        ("wearables_dates", |t| {
            t.spoil("registered", "activity_summary", |rows| dates(&rows, "date", |_, _| None));
        }),
        ("devices_new", |t| {
            t.spoil("registered", "device", |rows| {
                texts(&rows, "device_id", |_, _| Some("Charge 3".into()))
            });
        }),
        ("same_sources", |t| {
            t.spoil("registered", "activity_summary", |rows| {
                texts(&rows, "src_id", |_, _| Some("EHR 7".into()))
            });
        }),
        ("genomics_left_out", |t| {
            let mut entry = t.files.iter().find(|f| f.table == "samples").unwrap().clone();
            entry.path = "registered/genomics/wgs/variants/part-0000.parquet".into();
            (entry.tier, entry.table) = ("registered".into(), "variants".into());
            t.files.push(entry);
        }),
        ("date_basis", |t| t.call_dates("registered", "visit_occurrence", "true")),
        ("books_balance", |t| {
            t.spoil("registered", "condition_occurrence", |rows| {
                pick(&rows, &(1..rows.num_rows()).collect::<Vec<_>>())
            });
        }),
        ("rows_not_more", |t| {
            for _ in 0..4 {
                t.spoil("registered", "visit_occurrence", |rows| chain(&rows, &rows));
            }
            let paths = t.paths("registered", "visit_occurrence");
            let rows: usize = paths.iter().map(|path| t.rows(path).num_rows()).sum();
            let books = t.books("registered", "visit_occurrence");
            let more = rows as u64 - books.rows_out;
            (books.rows_in, books.rows_out) = (books.rows_in + more, books.rows_out + more);
        }),
        ("person_ids_new", |t| {
            t.spoil("controlled", "condition_occurrence", |rows| {
                ints(&rows, "person_id", |i, id| if i == 0 { Some(OLD) } else { id })
            });
        }),
        ("consents", |t| {
            let plain = t.research(PLAIN);
            let people = t.people[0].0.people.iter_mut();
            people.filter(|p| p.research_id.0 == plain).for_each(|p| p.genomics = false);
        }),
        ("row_ids_new", |t| {
            t.spoil("controlled", "condition_occurrence", |rows| {
                ints(
                    &rows,
                    "visit_occurrence_id",
                    |i, id| if i == 0 { Some(OLD * 10 + 1) } else { id },
                )
            });
        }),
        ("sample_ids_new", |t| t.add_samples("SAMPLE-1")),
        ("ages_exact", |t| {
            let old = t.research(OLD);
            t.spoil("registered", "person", |rows| {
                chain(&rows, &row(rows.schema(), &[("person_id", old)]))
            });
            let books = t.books("registered", "person");
            books.rows_out += 1;
            books.rows_in += 1;
        }),
        ("people_subset", |t| {
            let plain = t.research(PLAIN);
            t.spoil("controlled", "person", |rows| {
                let people = ids(&rows, "person_id");
                let stay = (0..people.len()).filter(|i| people[*i] != Some(plain));
                pick(&rows, &stay.collect::<Vec<_>>())
            });
            let books = t.books("controlled", "person");
            books.rows_out -= 1;
            books.exclude("withdrawn", 1);
        }),
        ("people_left_out", |t| {
            let plain = t.research(PLAIN);
            t.spoil("registered", "person", |rows| {
                let people = ids(&rows, "person_id");
                let stay = (0..people.len()).filter(|i| people[*i] != Some(plain));
                pick(&rows, &stay.collect::<Vec<_>>())
            });
            let books = t.books("registered", "person");
            books.rows_out -= 1;
            books.exclude("withdrawn", 1);
        }),
        ("shift_range", |t| {
            let absent = t.research(ABSENT);
            let people = t.people[1].0.people.iter_mut();
            people.filter(|p| p.research_id.0 == absent).for_each(|p| p.shift = Some(365));
        }),
        ("shift_exact", |t| {
            t.spoil("registered", "visit_occurrence", |rows| {
                dates(&rows, "visit_end_date", |_, date| date.map(|date| date - 1))
            });
        }),
    ];

#[test]
fn a_release_as_it_is_made_holds_every_invariant() {
    let report = Tiers::new().check(true);
    let said: Vec<String> = report.violated().map(invariant::Outcome::line).collect();
    assert_eq!(said, Vec::<String>::new());
    // Nothing passes for want of rows; one has no column to look at yet.
    assert_eq!(idle(&report), ["survey_conducts"]);
    assert!(report.outcomes.iter().all(|o| o.applicable == (o.looked_at > 0)));
    assert!(report.outcomes.iter().all(|o| o.applicable != o.why.is_some()));
}

#[test]
fn every_invariant_has_a_break_and_is_the_one_to_tell() {
    let broken: BTreeSet<&str> =
        BREAKS.iter().map(|(id, _)| *id).chain(["survey_conducts"]).collect();
    let known: BTreeSet<&str> = invariant::all().iter().map(|of| of.id).collect();
    assert_eq!(broken, known);
    for (id, spoil) in BREAKS {
        let mut tiers = Tiers::new();
        spoil(&mut tiers);
        let report = tiers.check(true);
        let said: Vec<String> = report.violated().map(invariant::Outcome::line).collect();
        assert_eq!(violated(&report), BTreeSet::from([id]), "{said:#?}");
        let error = report.hold().unwrap_err().to_string();
        assert!(error.starts_with(id), "{error}");
        // What needs only the release is seen without keys, too.
        let of = invariant::all().iter().find(|of| of.id == id).unwrap();
        let seen = violated(&tiers.check(false)).contains(id);
        assert!(seen == (of.needs == Needs::Release) || id == "people_subset", "{id}");
    }
}

#[test]
fn surveys_and_their_answers_point_at_each_other() {
    let respond = |t: &mut Tiers, response: &dyn Fn(Option<i64>) -> Option<i64>| {
        let conducts: Vec<(Option<i64>, Option<i64>)> = t
            .paths("controlled", "survey_conduct")
            .iter()
            .map(|path| t.rows(path))
            .flat_map(|rows| {
                let people = ids(&rows, "person_id");
                people.into_iter().zip(ids(&rows, "survey_conduct_id")).collect::<Vec<_>>()
            })
            .collect();
        t.spoil("controlled", "observation", |rows| {
            let of = |person: &Option<i64>| {
                let found = conducts.iter().find(|(who, _)| who == person);
                response(found.and_then(|(_, id)| *id))
            };
            let ids: Int64Array = ids(&rows, "person_id").iter().map(of).collect();
            with_more(&rows, "questionnaire_response_id", Arc::new(ids))
        });
    };
    let mut tiers = Tiers::new();
    respond(&mut tiers, &|id| id);
    let report = tiers.check(false);
    assert_eq!(violated(&report), BTreeSet::new());
    let looked = report.outcomes.iter().find(|o| o.id == "survey_conducts").unwrap();
    assert_eq!(looked.looked_at, 16);
    let mut tiers = Tiers::new();
    respond(&mut tiers, &|id| id.map(|id| id ^ 1));
    assert!(violated(&tiers.check(false)).contains("survey_conducts"));
}

#[test]
fn a_chance_meeting_of_ids_is_no_raw_id() {
    // The research id of one person is the raw id of another: not a leak of the latter.
    let mut tiers = Tiers::new();
    let other = tiers.research(OLD + 1);
    for (people, _) in &mut tiers.people {
        let raw = |p: &strata::identity::TierPerson| p.person_id.0;
        let at = people.people.iter().position(|p| raw(p) == ABSENT).unwrap();
        people.people[at].person_id = strata::identity::PersonId(other);
    }
    assert_eq!(violated(&tiers.check(true)), BTreeSet::new());
    // That of a person which is the person's own raw id is.
    let mut tiers = Tiers::new();
    let own = tiers.research(OLD);
    for (people, _) in &mut tiers.people {
        people.people.iter_mut().filter(|p| p.research_id.0 == own).for_each(|p| {
            p.person_id = strata::identity::PersonId(own);
        });
    }
    assert!(violated(&tiers.check(true)).contains("person_ids_new"));
}

#[test]
fn records_need_a_consent_of_their_own() {
    let mut tiers = Tiers::new();
    let plain = tiers.research(PLAIN);
    let people = tiers.people[1].0.people.iter_mut();
    people.filter(|p| p.research_id.0 == plain).for_each(|p| p.ehr = false);
    let report = tiers.check(true);
    assert_eq!(violated(&report), BTreeSet::from(["consents"]));
    let at = report.violated().next().unwrap();
    assert_eq!((at.tier.as_str(), at.places["person"]), ("registered", 1));
}

#[test]
fn threads_change_nothing() {
    let tiers = Tiers::new();
    assert_eq!(tiers.check_on(true, 1), tiers.check_on(true, 4));
}

/// The packs on a synthetic programme with wearables, curated by the committed rules.
fn with_everything() -> Programme {
    let programme = Programme::in_memory(60, 100);
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/curation");
    for file in ["all_of_us.toml", "units.csv"] {
        std::fs::copy(rules.join(file), programme.path(file)).unwrap();
    }
    programme.replace(
        "w.toml",
        "[callset.wgs]",
        "[curation]\nrules = [\"all_of_us.toml\"]\n[wearables.fitbit]\npath = \"feed/wearables\"\n\
         [callset.wgs]",
    );
    programme
}

#[test]
fn a_run_checks_and_verify_checks_again() {
    let programme = with_everything();
    let said = programme.strata(["run", "w.toml"]).done();
    assert!(said.out.contains(" invariants checked, 0 violated"), "{}", said.out);
    let record = programme.record(&programme.current().unwrap());
    assert_eq!(record["invariants"], "30 invariants checked, 0 violated");
    let release = programme.release();
    let found = programme
        .read(&format!("store/releases/{}/quality/invariants.json", programme.current().unwrap()));
    let report: Report = serde_json::from_str(&found).unwrap();
    assert_eq!(violated(&report), BTreeSet::new());
    // The feed has no recent concepts, no ids of devices and nothing of the others.
    let none = ["concepts_recent", "skips", "devices_new", "same_sources"];
    assert_eq!(idle(&report), none);
    let said = programme.strata(["verify", "store"]).done();
    assert!(said.out.contains(&report.summary()), "{}", said.out);
    let json = programme.strata(["verify", "store", "--json"]).done().json();
    let again: Report = serde_json::from_value(json["invariants"].clone()).unwrap();
    for (first, second) in report.outcomes.iter().zip(&again.outcomes) {
        let same =
            |o: &invariant::Outcome| (o.id.clone(), o.tier.clone(), o.looked_at, o.violations);
        assert_eq!(same(first), same(second));
    }
    // A spoilt table of the release: digest and invariant tell.
    let folder = release.join("registered/omop/person");
    let path = programme::tables_below(&folder).remove(0);
    let tiers = Tiers::new();
    let rows = tiers.rows(path.to_str().unwrap());
    let rows = ints(&rows, "month_of_birth", |_, _| Some(6));
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let said = programme.strata(["verify", "store"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("invariant: registered: birth_reduced is violated"), "{}", said.out);
}

#[test]
fn a_violation_stops_the_run_before_its_commit() {
    let programme = with_everything();
    // The policy lets the source's word for an answer stand, and the feed contradicts itself.
    let exempt = "except = [\n    \"observation.value_source_value\",";
    programme.replace("policies/controlled.toml", "except = [\n", &format!("{exempt}\n"));
    programme.edit("feed/omop/observation.csv.gz", |text| {
        text.replacen("WhatRaceEthnicity_White", "PMI_Skip", 1)
    });
    let said = programme.run().refused("invariant::violated", &["skips", "docs/invariants.md"]);
    assert_eq!(programme.current(), None);
    assert!(!programme.store().join("releases").read_dir().unwrap().any(|_| true));
    programme::assert_silent(&programme, &said, &["42000"]);
}

#[test]
fn a_policy_that_forgets_a_rule_stops_the_run() {
    let programme = with_everything();
    programme.replace("policies/registered.toml", "\"person_summary.has_wgs\", ", "");
    programme.run().refused("invariant::violated", &["genomics_left_out", "has_wgs"]);
    assert_eq!(programme.current(), None);
}

#[test]
fn the_page_lists_every_invariant() {
    let page = invariant::docs();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/invariants.md");
    if std::env::var_os("STRATA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "docs/invariants.md");
    assert!(invariant::all().iter().all(|of| page.contains(of.id)));
}
