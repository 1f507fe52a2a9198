//! Imported identity maps, epochs of keys, whole weeks, and the desk that adds shifts back.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use jiff::ToSpan;
use jiff::civil::Date;
use parquet::arrow::ArrowWriter;
use programme::{KEY, Programme, STRATA, Said, holds, table};
use strata::error::Coded;
use strata::identity::{Error, IdScope, IdentityMap, Key, PersonId, Roster, ShiftMode, Standing};

const REASON: &str = "safety report of study twelve";

fn programme() -> Programme {
    Programme::in_memory(60, 300)
}

/// `strata unshift w.toml` of a text.
fn unshift(programme: &Programme, text: &str, reason: &str) -> Said {
    let args = ["unshift", "w.toml", "--log-format", "json", "--reason", reason];
    let mut child = Command::new(STRATA)
        .args(args)
        .current_dir(programme.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Condition start dates of a tier by person, sorted.
fn dates(programme: &Programme, tier: &str) -> BTreeMap<String, Vec<String>> {
    let rows = table(&programme.release().join(tier).join("omop/condition_occurrence"));
    let mut dates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (person, date) in rows["person_id"].iter().zip(&rows["condition_start_date"]) {
        dates.entry(person.clone()).or_default().push(date.clone());
    }
    dates.values_mut().for_each(|dates| dates.sort());
    dates
}

fn log(programme: &Programme) -> Vec<serde_json::Value> {
    let text = programme.read("store/audit.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// With one id for both tiers the Controlled tier says what the answers must be.
fn shared(programme: &Programme) {
    programme.replace(
        "w.toml",
        "key = { file = \"key\" }",
        "key = { file = \"key\" }\nids = \"shared\"",
    );
}

#[test]
fn true_dates_come_back_and_the_log_says_so() {
    let programme = programme();
    shared(&programme);
    programme.run().done();
    let (controlled, registered) =
        (dates(&programme, "controlled"), dates(&programme, "registered"));
    let mut asked = String::from("research_id,date\n");
    let mut rows = 0;
    for (person, dates) in &registered {
        for date in dates {
            asked += &format!("{person},{date}\n");
            rows += 1;
        }
    }
    assert!(rows > 50);
    let said = unshift(&programme, &asked, REASON).done();
    let mut answered: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in said.out.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        answered.entry(cells[0].into()).or_default().push(cells[2].into());
    }
    answered.values_mut().for_each(|dates| dates.sort());
    // The Registered tier has fewer rows (recent ones are cut off); each has its like in the Controlled.
    let mut moved = 0;
    for (person, dates) in &answered {
        let there: BTreeSet<&String> = controlled[person].iter().collect();
        assert!(dates.iter().all(|date| there.contains(date)), "a date that never was");
        moved += usize::from(dates != &registered[person]);
    }
    assert_eq!(moved, registered.len());
    let log = log(&programme);
    let last: Vec<&str> =
        log[log.len() - 4..].iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(last, ["start", "key_use", "unshift", "checkpoint"]);
    let entry = &log[log.len() - 2]["fields"];
    assert_eq!((&entry["rows"], &entry["people"]), (&rows.into(), &registered.len().into()));
    assert_eq!(entry["reason"], REASON);
    programme.strata(["verify", "w.toml", "--audit"]).done();
    let bytes = fs::read(programme.path("store/audit.jsonl")).unwrap();
    for (person, dates) in &answered {
        assert!(!holds(&bytes, person.as_bytes()));
        assert!(dates.iter().all(|date| !holds(&bytes, date.as_bytes())));
    }
    // To a file of its owner's, which must not be there.
    programme.write("asked.csv", &asked);
    let to_file =
        ["unshift", "w.toml", "--reason", REASON, "--in", "asked.csv", "--out", "true.csv"];
    programme.strata(to_file).done();
    assert_eq!(programme.read("true.csv").trim_end(), said.out.trim_end());
    let mode = fs::metadata(programme.path("true.csv")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(programme.strata(to_file).code, Some(1));
}

#[test]
fn what_cannot_be_answered_is_refused_without_an_echo() {
    let programme = programme();
    let no_release = unshift(&programme, "research_id,date\n5,2020-01-01\n", REASON);
    no_release.refused("identity::key_changed", &[]);
    programme.run().done();
    let person = dates(&programme, "registered").into_keys().next().unwrap();
    let stranger = "4611686018427387904";
    let asked = format!("research_id,date\n{person},2019-03-04\n{stranger},2019-03-04\n");
    let refused = |text: &str, reason: &str, code: &str| {
        let said = unshift(&programme, text, reason);
        for word in [stranger, &person, "2019-03-04", "2019-03-99"] {
            assert!(!said.err.contains(word) && !said.out.contains(word), "{code} echoes a value");
        }
        assert_eq!(said.out, "", "{code}");
        said.refused(code, &[]);
        let log = log(&programme);
        let last = log.last().unwrap();
        assert_eq!((&last["kind"], &last["fields"]["code"]), (&"failure".into(), &code.into()));
    };
    let one = format!("research_id,date\n{person},2019-03-04\n");
    refused(&asked, REASON, "identity::unknown_research_id");
    refused(&format!("research_id,date\n{person},2019-03-99\n"), REASON, "identity::bad_value");
    refused(
        &format!("research_id,when\n{person},2019-03-04\n"),
        REASON,
        "identity::unknown_column",
    );
    refused(&one, "why not", "identity::reason");
    refused(&one, &format!("about {person}"), "identity::reason");
    refused(&one, "what was on 2019-03-04", "identity::reason");
    let log = fs::read(programme.path("store/audit.jsonl")).unwrap();
    assert!(!holds(&log, person.as_bytes()) && !holds(&log, b"2019-03-04"));
    programme.strata(["verify", "w.toml", "--audit"]).done();
    // A reason is asked for, and ids of the other tier are nobody's.
    assert_eq!(programme.strata(["unshift", "w.toml"]).code, Some(2));
    let controlled = dates(&programme, "controlled").into_keys().next().unwrap();
    refused(
        &format!("research_id,date\n{controlled},2019-03-04\n"),
        REASON,
        "identity::unknown_research_id",
    );
    // Nor are those of another key; and there must be one.
    programme.write_key("key", &"c3".repeat(32), 0o600);
    unshift(&programme, &one, REASON).refused("identity::key_changed", &[]);
    fs::remove_file(programme.path("key")).unwrap();
    assert_eq!(unshift(&programme, &one, REASON).code, Some(1));
}

/// Who withdrew has no id any more, whatever an older release says.
#[test]
fn nothing_is_said_of_who_withdrew() {
    let programme = programme();
    programme.run().done();
    let before: BTreeSet<String> = dates(&programme, "registered").into_keys().collect();
    programme.edit("feed/participants.csv", |text| {
        let withdrawn = |line: &str| line.replace("not_withdrawn", "withdrawn") + "\n";
        let (head, rows) = text.split_once('\n').unwrap();
        let (out, stay): (Vec<_>, Vec<_>) = rows.lines().enumerate().partition(|(i, _)| *i < 20);
        let out: String = out.iter().map(|(_, line)| withdrawn(line)).collect();
        let stay: String = stay.iter().map(|(_, line)| format!("{line}\n")).collect();
        format!("{head}\n{out}{stay}")
    });
    programme.run().done();
    let after: BTreeSet<String> = dates(&programme, "registered").into_keys().collect();
    let gone: Vec<&String> = before.difference(&after).collect();
    assert!(gone.len() > 3 && after.is_subset(&before));
    for person in gone {
        let said = unshift(&programme, &format!("research_id,date\n{person},2019-03-04\n"), REASON);
        said.refused("identity::unknown_research_id", &["line 2"]);
    }
}

/// The key may come by a descriptor, which can be read once only; the desk waits for no run that holds the store.
#[test]
fn keys_by_descriptor_and_a_store_that_is_held() {
    let programme = programme();
    programme.run().done();
    let person = dates(&programme, "registered").into_keys().next().unwrap();
    programme.write("asked.csv", format!("research_id\tdate\n{person}\t2019-03-04 10:11:12\n"));
    programme.replace("w.toml", "{ file = \"key\" }", "{ fd = 9 }");
    let shell = |verb: &str| {
        let script = format!("umask 077; {STRATA} {verb} 9< key");
        programme::said(Command::new("sh").args(["-c", &script]).current_dir(programme.root()))
    };
    let desk = format!("unshift w.toml --reason '{REASON}' --in asked.csv");
    let said = shell(&desk).done();
    assert!(said.out.lines().nth(1).unwrap().contains("T10:11:12"), "{said:?}");
    shell("verify w.toml --audit").done();
    let layout = strata::release::Layout::new(programme.store());
    let _lock = strata::release::StoreLock::acquire(&layout, "other").unwrap();
    shell(&format!("{desk} --log-format json")).refused("release::locked", &["other"]);
}

/// A wearables feed of shifted dates is moved forward by its map; a person without a shift stops it.
#[test]
fn a_shifted_wearables_feed_is_moved_forward() {
    use strata::engine::Job;
    use strata::omop::{self, CdmVersion, ExtractRequest, Scope};
    let dir = tempfile::tempdir().unwrap();
    let feed = dir.path().join("feed");
    fs::create_dir(&feed).unwrap();
    fs::write(
        feed.join("steps_intraday.csv"),
        "person_id,datetime,steps\n7,2020-02-28 10:11:00,5\n",
    )
    .unwrap();
    let ingest = |shifts: &[(i64, i32)]| {
        let out = dir.path().join(format!("out{}", shifts.len()));
        let request = ExtractRequest {
            site: "fitbit".into(),
            path: feed.clone(),
            cdm: CdmVersion::V5_4,
            scope: Scope::Wearables,
            encoding: Default::default(),
            max_rejected: Default::default(),
            shift_map: Some(shifts.iter().copied().collect()),
        };
        omop::ingest(&request, &Job::quiet(&out, 1)).map(|extract| (extract, out))
    };
    let error = ingest(&[]).unwrap_err();
    assert_eq!(error.code(), "omop::unshifted_person");
    let (extract, out) = ingest(&[(7, 2)]).unwrap();
    let path = out.join(&extract.table("steps_intraday").unwrap().path);
    let time = programme::columns(&path)["datetime"][0].clone();
    assert!(time.starts_with("2020-03-01") && time.contains("10:11:00"), "{time}");
}

#[test]
fn a_new_key_needs_a_new_epoch() {
    let programme = programme();
    programme.run().done();
    let manifest = programme.manifest();
    assert_eq!(manifest["identity"], serde_json::json!({ "epoch": 1, "shift": "days" }));
    programme.write_key("key", &"c3".repeat(32), 0o600);
    let before = programme.current();
    programme.run().refused("identity::key_changed", &["epoch = 2", "--new-epoch"]);
    let validate = || {
        let said = programme.strata(["validate", "w.toml", "--json"]);
        said.json()["problems"].to_string()
    };
    assert!(validate().contains("identity::key_changed"), "{}", validate());
    let anew = ["run", "w.toml", "--new-epoch", "--log-format", "json"];
    programme.strata(anew).refused("identity::epoch_taken", &["epoch = 2"]);
    assert_eq!(programme.current(), before);
    programme.replace("w.toml", "\"key\" }", "\"key\" }\nepoch = 2");
    programme.run().refused("identity::key_changed", &[]);
    assert!(!validate().contains("identity::"), "{}", validate());
    programme.strata(anew).done();
    assert_eq!(programme.manifest()["identity"]["epoch"], 2);
    assert_ne!(programme.manifest()["key_id"], manifest["key_id"]);
    // Known by now; and the old key is still that of its own epoch.
    programme.run().done();
    programme.write_key("key", KEY, 0o600);
    programme.run().refused("identity::epoch_of_key", &["epoch = 1"]);
    programme.replace("w.toml", "epoch = 2", "epoch = 1");
    programme.run().done();
    assert_eq!(programme.manifest()["identity"]["epoch"], 1);
    let epochs: Vec<_> = log(&programme).into_iter().filter(|e| e["kind"] == "epoch").collect();
    assert_eq!(epochs.len(), 2);
    // The log knows keys whose releases are gone.
    for entry in fs::read_dir(programme.path("store/releases")).unwrap() {
        let path = entry.unwrap().path();
        if path != programme.release() {
            fs::remove_dir_all(path).unwrap();
        }
    }
    programme.write_key("key", &"d4".repeat(32), 0o600);
    programme.replace("w.toml", "epoch = 1", "epoch = 2");
    programme.strata(anew).refused("identity::epoch_taken", &["epoch = 3"]);
}

fn weekday(date: &str) -> jiff::civil::Weekday {
    date.parse::<Date>().unwrap().weekday()
}

#[test]
fn whole_weeks_keep_the_day_of_the_week() {
    let programme = programme();
    shared(&programme);
    programme.replace("w.toml", "ids = \"shared\"", "ids = \"shared\"\nshift = \"weeks\"");
    programme.run().done();
    assert_eq!(programme.manifest()["identity"]["shift"], "weeks");
    let (controlled, registered) =
        (dates(&programme, "controlled"), dates(&programme, "registered"));
    let mut people = 0;
    for (person, dates) in &registered {
        let there = &controlled[person];
        // Dates of all rows that stayed; the first is the first of both unless rows were taken out.
        if dates.len() != there.len() {
            continue;
        }
        people += 1;
        for (moved, date) in dates.iter().zip(there) {
            assert_eq!(weekday(moved), weekday(date));
            assert!(moved < date);
        }
    }
    assert!(people > 5);
    // While the key stays, so does the kind of shift.
    programme.replace("w.toml", "\"weeks\"", "\"days\"");
    programme.run().refused("identity::shift_mode_changed", &["new key"]);
}

/// A map for everybody on the roster: research ids 9000.. and shifts 10, 11 ...
fn map_rows(programme: &Programme) -> Vec<(i64, i64, u16)> {
    let people = programme.rows("feed/participants.csv");
    let ids = people.iter().map(|row| row["person_id"].parse().unwrap());
    ids.zip(0..).map(|(person, i)| (person, 9_000_000_000_000 + i64::from(i), 10 + i)).collect()
}

fn map_csv(rows: &[(i64, i64, u16)]) -> String {
    let lines = rows.iter().map(|(person, id, shift)| format!("{person},{id},{shift}\n"));
    format!("person_id,research_id,shift\n{}", lines.collect::<String>())
}

fn map_parquet(path: &Path, rows: &[(i64, i64, u16)]) {
    let person: Int64Array = rows.iter().map(|row| row.0).collect();
    let id: Int64Array = rows.iter().map(|row| row.1).collect();
    let shift: Int32Array = rows.iter().map(|row| i32::from(row.2)).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("person_id", Arc::new(person)),
        ("research_id", Arc::new(id)),
        ("shift", Arc::new(shift)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn with_map(programme: &Programme) {
    programme.replace(
        "w.toml",
        "key = { file = \"key\" }",
        "key = { file = \"key\" }\nmap = { file = \"map.csv\" }",
    );
}

#[test]
fn an_imported_map_comes_before_what_is_derived() {
    let programme = programme();
    with_map(&programme);
    let rows = map_rows(&programme);
    programme.write("map.csv", map_csv(&rows[..50]));
    programme.run().refused("identity::missing_from_map", &["derive_missing"]);
    programme.write("map.csv", map_csv(&rows));
    programme.run().done();
    let manifest = programme.manifest();
    let said = &manifest["identity"]["map"];
    assert_eq!((&said["rows"], &said["derive_missing"]), (&rows.len().into(), &false.into()));
    // The Registered tier has the map's ids, the Controlled one, per tier, its own.
    let ids: BTreeSet<String> = rows.iter().map(|row| row.1.to_string()).collect();
    let registered = dates(&programme, "registered");
    assert!(registered.keys().all(|id| ids.contains(id)));
    assert!(dates(&programme, "controlled").keys().all(|id| !ids.contains(id)));
    // And its shifts: what the desk adds back is what the map says.
    let (id, shift) = rows
        .iter()
        .map(|row| (row.1.to_string(), row.2))
        .find(|(id, _)| registered.contains_key(id))
        .unwrap();
    let date = &registered[&id][0];
    let said = unshift(&programme, &format!("research_id,date\n{id},{date}\n"), REASON).done();
    let moved = date.parse::<Date>().unwrap().checked_add(i64::from(shift).days()).unwrap();
    assert_eq!(said.out.lines().nth(1).unwrap(), format!("{id},{date},{moved}"));

    // Parquet with the same rows is the same map; rows are added at the end and nowhere else.
    map_parquet(&programme.path("map.parquet"), &rows);
    programme.replace("w.toml", "map.csv", "map.parquet");
    programme.run().done();
    assert_eq!(programme.manifest()["identity"], manifest["identity"]);
    programme.replace("w.toml", "map.parquet", "map.csv");
    let mut more = rows.clone();
    more.push((1, 9, 364));
    programme.write("map.csv", map_csv(&more));
    programme.run().done();
    more[3].2 += 1;
    programme.write("map.csv", map_csv(&more));
    programme.run().refused("identity::map_changed", &["rows are not those"]);
    programme.write("map.csv", map_csv(&rows));
    programme.run().refused("identity::map_changed", &[]);
    programme.replace("w.toml", "map = { file = \"map.csv\" }", "");
    programme.run().refused("identity::map_changed", &[]);
}

#[test]
fn a_shared_map_names_people_alike_in_both_tiers_and_in_callsets() {
    let programme = programme();
    shared(&programme);
    with_map(&programme);
    let rows = map_rows(&programme);
    programme.write("map.csv", map_csv(&rows));
    programme.run().done();
    let ids: BTreeSet<String> = rows.iter().map(|row| row.1.to_string()).collect();
    for tier in ["controlled", "registered"] {
        assert!(dates(&programme, tier).keys().all(|id| ids.contains(id)), "{tier}");
    }
    let samples = table(&programme.release().join("controlled/genomics/wgs/samples"));
    assert!(!samples["person_id"].is_empty());
    assert!(samples["person_id"].iter().all(|id| ids.contains(id)));
    // Whom the map lacks has derived ones, if that is said.
    programme.write_key("key", &"c3".repeat(32), 0o600);
    programme.replace("w.toml", "\"map.csv\" }", "\"map.csv\", derive_missing = true }\nepoch = 2");
    programme.write("map.csv", map_csv(&rows[..20]));
    programme.strata(["run", "w.toml", "--new-epoch"]).done();
    let people = dates(&programme, "registered");
    let (known, derived): (Vec<_>, Vec<_>) = people.keys().partition(|id| ids.contains(*id));
    assert!(!known.is_empty() && !derived.is_empty());
}

fn read(text: &str) -> Result<IdentityMap, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("map.csv");
    fs::write(&path, text).unwrap();
    IdentityMap::read(&path)
}

#[test]
fn maps_that_are_none_are_refused_by_line() {
    let head = "person_id,research_id,shift\n1,901,7\n";
    let cases = [
        ("2,901,7\n", "identity::duplicate", "line 3: the research id of line 2"),
        ("1,902,7\n", "identity::duplicate", "line 3: the person of line 2"),
        ("2,902,0\n", "identity::bad_value", "line 3, column shift"),
        ("2,902,365\n", "identity::bad_value", "column shift"),
        ("2,0,7\n", "identity::bad_value", "column research_id"),
        ("2,-902,7\n", "identity::bad_value", "column research_id"),
        ("x,902,7\n", "identity::bad_value", "column person_id"),
        ("2,902\n", "identity::bad_row", "line 3"),
    ];
    assert_eq!(read(head).unwrap().get(PersonId(1)).unwrap().1, 7);
    for (row, code, words) in cases {
        let error = read(&format!("{head}{row}")).unwrap_err();
        assert_eq!(error.code(), code, "{row}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("902"), "{error}");
    }
    assert_eq!(read("person_id,shift\n").unwrap_err().code(), "identity::missing_column");
    let error = read("person_id,research_id,shift,import_date\n").unwrap_err();
    assert_eq!(error.code(), "identity::unknown_column");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.parquet");
    map_parquet(&path, &[(1, 901, 7), (2, 902, 7), (1, 903, 7)]);
    let error = IdentityMap::read(&path).unwrap_err();
    assert!(error.to_string().contains("line 3: the person of line 1"), "{error}");
    fs::write(&path, b"PAR1 and no more").unwrap();
    assert_eq!(IdentityMap::read(&path).unwrap_err().code(), "identity::bad_parquet");
}

#[test]
fn a_map_of_days_is_no_map_of_weeks() {
    let map = Arc::new(read("person_id,research_id,shift\n1,901,7\n2,902,8\n").unwrap());
    let takes_part = Standing::Participating { ehr: true, genomics: true };
    let roster = Roster::from_entries([1, 2].map(|p| (PersonId(p), takes_part)));
    let keys = |mode| {
        let key = Key::from_bytes([5; 32]).unwrap();
        key.registered(IdScope::PerTier, [""; 0]).with_shift(mode).with_map(map.clone(), false)
    };
    assert!(keys(ShiftMode::Days).people(&roster).is_ok());
    let error = keys(ShiftMode::Weeks).people(&roster).unwrap_err();
    assert!(matches!(error, Error::ShiftNotWeeks { count: 1 }));
    // Two people who meet under one id, one by the map and one by the key, are told of.
    let derived = keys(ShiftMode::Days).research_id(PersonId(3)).0;
    let map = read(&format!("person_id,research_id,shift\n1,{derived},7\n")).unwrap();
    let key = Key::from_bytes([5; 32]).unwrap();
    let keys = key.registered(IdScope::PerTier, [""; 0]).with_map(Arc::new(map), true);
    let roster = Roster::from_entries([1, 3].map(|p| (PersonId(p), takes_part)));
    assert!(matches!(keys.people(&roster), Err(Error::ResearchIdCollision { .. })));
}
