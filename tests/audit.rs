//! The audit log: what a run writes into it, what happens to it in a crash, and that no change of it
//! before its last checkpoint goes unnoticed.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use programme::{Programme, holds};
use proptest::prelude::*;
use serde_json::Value;
use strata::error::Coded;
use strata::identity::Key;
use strata::release::audit::{self, Kind, Signer, fields};
use strata::release::{AuditLog, Layout, StoreLock};
use tempfile::TempDir;

const NOW: &str = "2026-01-02T03:04:05Z";

fn key(byte: u8) -> strata::identity::AuditKey {
    Key::from_bytes([byte; 32]).unwrap().audit()
}

/// A store with a log of two commits and some entries after the last checkpoint.
fn store() -> (TempDir, Layout) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let layout = Layout::new(dir.path());
    {
        let mut log = open(&layout).unwrap();
        for release in ["a", "b"] {
            for stage in ["link", "curate"] {
                let said = fields([("stage", stage.into()), ("rows_in", 3.into())]);
                log.append(NOW, Kind::StageEnd, said).unwrap();
            }
            let said = fields([("release", release.into()), ("manifest", "00".into())]);
            log.append(NOW, Kind::Commit, said).unwrap();
            log.sign(NOW, &key(7)).unwrap();
        }
        log.append(NOW, Kind::Unchanged, fields([("release", "b".into())])).unwrap();
    }
    (dir, layout)
}

fn open(layout: &Layout) -> Result<AuditLog, strata::release::Error> {
    // Another test's process holds what it inherits until it begins with its program.
    let lock = (0..200).find_map(|_| {
        let lock = StoreLock::acquire(layout, "run-1").ok();
        lock.or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            None
        })
    });
    let lock = lock.unwrap();
    AuditLog::open(layout, &lock, "run-1", NOW)
}

/// Codes and places of what is found.
fn found(layout: &Layout) -> Vec<(String, String)> {
    let key = key(7);
    let report = audit::check(layout, &[&key as &dyn Signer], &[]).unwrap();
    report.findings.into_iter().map(|f| (f.code.to_owned(), f.place)).collect()
}

fn codes(layout: &Layout) -> Vec<String> {
    found(layout).into_iter().map(|(code, _)| code).collect()
}

fn lines(layout: &Layout) -> Vec<String> {
    let text = fs::read_to_string(layout.audit()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn put(layout: &Layout, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(layout.audit(), text).unwrap();
}

#[test]
fn a_log_as_it_was_written_is_found_so() {
    let (_dir, layout) = store();
    assert_eq!(found(&layout), []);
    let key = key(7);
    let report = audit::check(&layout, &[&key as &dyn Signer], &[]).unwrap();
    assert_eq!((report.entries, report.checkpoints, report.signatures), (10, 2, 2));
    assert_eq!(report.last_checkpoint, Some(9));
    let mode = fs::metadata(layout.audit()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // What is beside the log is its last checkpoint.
    let beside = fs::read_to_string(layout.audit_checkpoint()).unwrap();
    assert_eq!(beside.trim_end(), lines(&layout)[8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any byte of any line, the last as well, made another.
    #[test]
    fn any_edited_byte_is_found(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let (_dir, layout) = store();
        let mut bytes = fs::read(layout.audit()).unwrap();
        let at = at.index(bytes.len());
        let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
        bytes[at] ^= flip;
        fs::write(layout.audit(), bytes).unwrap();
        let found = found(&layout);
        prop_assert!(!found.is_empty(), "byte {at} of line {line}");
        // The first finding is at the line, or at the one that no longer follows it.
        let near = [line, line + 1].map(|line| format!("audit.jsonl:{line}"));
        prop_assert!(near.contains(&found[0].1), "{found:?} is not at {line}");
    }

    /// Whatever the file holds, it is told to be no log, and nothing is added.
    #[test]
    fn any_bytes_are_no_log(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        let (_dir, layout) = store();
        fs::remove_file(layout.audit_checkpoint()).unwrap();
        fs::write(layout.audit(), &bytes).unwrap();
        prop_assert!(!found(&layout).is_empty());
        let broken = bytes.contains(&b'\n');
        prop_assert_eq!(open(&layout).is_err(), broken, "a torn first line alone is mended");
    }

    /// Any bytes cut out of the part that the last checkpoint protects.
    #[test]
    fn any_bytes_cut_out_are_found(from in any::<prop::sample::Index>(), n in 1..400usize) {
        let (_dir, layout) = store();
        let protected = lines(&layout)[..9].iter().map(|line| line.len() + 1).sum::<usize>();
        let mut bytes = fs::read(layout.audit()).unwrap();
        let from = from.index(protected);
        bytes.drain(from..(from + n).min(protected));
        fs::write(layout.audit(), bytes).unwrap();
        prop_assert!(!found(&layout).is_empty(), "{n} bytes from {from}");
    }
}

#[test]
fn every_line_dropped_swapped_or_doubled_is_found() {
    let (_dir, layout) = store();
    let whole = lines(&layout);
    for line in 0..9 {
        let mut less = whole.clone();
        less.remove(line);
        put(&layout, &less);
        assert!(!found(&layout).is_empty(), "line {} dropped", line + 1);
        let mut more = whole.clone();
        more.insert(line, whole[line].clone());
        put(&layout, &more);
        assert!(!found(&layout).is_empty(), "line {} doubled", line + 1);
        for other in line + 1..whole.len() {
            let mut swapped = whole.clone();
            swapped.swap(line, other);
            put(&layout, &swapped);
            let place = format!("audit.jsonl:{}", line + 1);
            assert_eq!(found(&layout)[0].1, place, "lines {line} and {other} swapped");
        }
    }
}

#[test]
fn every_truncation_before_the_last_checkpoint_is_found() {
    let (_dir, layout) = store();
    let whole = fs::read(layout.audit()).unwrap();
    let protected = lines(&layout)[..9].iter().map(|line| line.len() + 1).sum::<usize>();
    for end in 0..protected {
        fs::write(layout.audit(), &whole[..end]).unwrap();
        assert!(codes(&layout).contains(&"checkpoint".to_owned()), "cut to {end} bytes");
    }
    // What follows the last checkpoint may be lost unnoticed, if a whole line is; a part of one is told.
    fs::write(layout.audit(), &whole[..protected]).unwrap();
    assert_eq!(codes(&layout), [""; 0]);
    fs::write(layout.audit(), &whole[..protected + 10]).unwrap();
    assert_eq!(found(&layout), [("torn".to_owned(), "audit.jsonl:10".to_owned())]);
    fs::remove_file(layout.audit()).unwrap();
    assert_eq!(codes(&layout)[0], "missing");
}

/// Whoever has no key can make the chain anew, but not its checkpoints.
#[test]
fn a_chain_made_anew_needs_the_key() {
    let (_dir, layout) = store();
    let forge = |mac_key: u8, name: Option<&str>| {
        fs::remove_file(layout.audit()).unwrap();
        fs::remove_file(layout.audit_checkpoint()).unwrap();
        let mut log = open(&layout).unwrap();
        log.append(NOW, Kind::StageEnd, fields([("stage", "nothing".into())])).unwrap();
        struct Forger(strata::identity::AuditKey, String);
        impl Signer for Forger {
            fn key_id(&self) -> &str {
                &self.1
            }
            fn sign(&self, message: &[u8]) -> String {
                self.0.mac(message)
            }
        }
        let own = key(mac_key);
        let id = name.map_or_else(|| own.kid().to_owned(), str::to_owned);
        log.sign(NOW, &Forger(own, id)).unwrap();
    };
    forge(8, Some(key(7).kid()));
    assert_eq!(codes(&layout), ["signature"], "signed with another key under the name of this");
    forge(8, None);
    assert_eq!(codes(&layout), ["other_key"], "signed with another key");
    assert_eq!(audit::check(&layout, &[], &[]).unwrap().findings, [], "the chain alone holds");
    // With a checkpoint that was kept elsewhere no key is needed to see it.
    let (_other, real) = store();
    let kept = vec![lines(&real)[8].clone()];
    assert_eq!(audit::check(&real, &[], &kept).unwrap().findings, []);
    let report = audit::check(&layout, &[], &kept).unwrap();
    assert_eq!(report.findings[0].code, "checkpoint");
    assert_eq!(report.findings[0].place, "audit.jsonl:9");
}

#[test]
fn a_torn_last_line_is_closed_by_the_next_run() {
    let (_dir, layout) = store();
    let whole = fs::read(layout.audit()).unwrap();
    let protected = lines(&layout)[..9].iter().map(|line| line.len() + 1).sum::<usize>();
    for end in protected + 1..whole.len() {
        fs::write(layout.audit(), &whole[..end]).unwrap();
        drop(open(&layout).unwrap());
        assert_eq!(found(&layout), [], "cut to {end} bytes");
        let last: Value = serde_json::from_str(&lines(&layout)[9]).unwrap();
        assert_eq!(
            (&last["kind"], &last["fields"]["what"]),
            (&"recovered".into(), &"torn_line".into())
        );
        assert_eq!(last["fields"]["bytes"], end - protected);
    }
    // Longer than what takes its place.
    let mut long = whole[..protected].to_vec();
    long.extend([0u8; 3000]);
    fs::write(layout.audit(), long).unwrap();
    drop(open(&layout).unwrap());
    assert_eq!((found(&layout), lines(&layout).len()), (vec![], 10));
    // The very first line.
    fs::remove_file(layout.audit_checkpoint()).unwrap();
    fs::write(layout.audit(), &whole[..20]).unwrap();
    drop(open(&layout).unwrap());
    assert_eq!((found(&layout), lines(&layout).len()), (vec![], 1));
}

#[test]
fn nothing_is_added_to_a_log_that_was_tampered_with() {
    let (_dir, layout) = store();
    let whole = lines(&layout);
    let mut edited = whole.clone();
    edited[2] = edited[2].replace("\"rows_in\":3", "\"rows_in\":2");
    put(&layout, &edited);
    let error = open(&layout).unwrap_err();
    assert_eq!(error.code(), "audit::broken");
    assert!(error.to_string().contains("audit.jsonl:3"), "{error}");
    put(&layout, &whole[..5]);
    assert_eq!(open(&layout).unwrap_err().code(), "audit::broken");
    assert_eq!(lines(&layout), whole[..5]);
    fs::remove_file(layout.audit()).unwrap();
    assert_eq!(open(&layout).unwrap_err().code(), "audit::broken");
}

#[test]
fn a_checkpoint_that_was_not_put_beside_the_log_is() {
    let (_dir, layout) = store();
    fs::write(layout.audit_checkpoint(), format!("{}\n", lines(&layout)[4])).unwrap();
    assert_eq!(found(&layout), [], "an older checkpoint is a checkpoint");
    drop(open(&layout).unwrap());
    let beside = fs::read_to_string(layout.audit_checkpoint()).unwrap();
    assert_eq!(beside.trim_end(), lines(&layout)[8]);
    fs::remove_file(layout.audit_checkpoint()).unwrap();
    assert_eq!(codes(&layout), ["checkpoint"]);
}

fn entries(programme: &Programme) -> Vec<Value> {
    let text = fs::read_to_string(programme.path("store/audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_run_says_what_it_does() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let first = entries(&programme);
    let kinds_of_first = kinds(&first);
    assert_eq!(kinds_of_first[..3], ["opened", "start", "input"]);
    assert_eq!(
        kinds_of_first[kinds_of_first.len() - 4..],
        ["commit_intent", "checkpoint", "commit", "checkpoint"]
    );
    let manifest = programme.manifest();
    // Every stage begins and ends, with the rows of its books.
    for (stage, record) in manifest["stages"].as_object().unwrap() {
        let of = |kind: &str| {
            first.iter().find(|e| e["kind"] == kind && e["fields"]["stage"] == *stage).cloned()
        };
        assert_eq!(of("stage_start").unwrap()["fields"]["action"], "run");
        let end = of("stage_end").unwrap();
        let rows: u64 = record["ledger"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["rows_in"].as_u64().unwrap())
            .sum();
        assert_eq!(end["fields"]["rows_in"], rows, "{stage}");
    }
    let key_use = |stage: &str| {
        let of = first.iter().find(|e| e["kind"] == "key_use" && e["fields"]["stage"] == stage);
        of.unwrap()["fields"].clone()
    };
    let registered = key_use("tier.registered");
    assert_eq!(registered["key"], manifest["key_id"]);
    assert!(registered["purposes"].to_string().contains("shift"));
    assert!(!key_use("tier.controlled")["purposes"].to_string().contains("shift"));
    let digest = fs::read_to_string(programme.path("store/CURRENT")).unwrap();
    let digest = digest.split_whitespace().nth(1).unwrap();
    assert!(first.iter().any(|e| e["kind"] == "commit" && e["fields"]["manifest"] == digest));

    // Nothing to do is said as well, and a failure by its code alone.
    programme.run().done();
    assert_eq!(kinds(&entries(&programme)).last(), Some(&"unchanged"));
    programme
        .edit("feed/participants.csv", |text| text.lines().take(3).collect::<Vec<_>>().join("\n"));
    programme.run().refused("identity::person_not_in_roster", &[]);
    let all = entries(&programme);
    let last = all.last().unwrap();
    assert_eq!((&last["kind"], &last["fields"]["stage"]), (&"failure".into(), &"link".into()));
    assert_eq!(last["fields"]["code"], "identity::person_not_in_roster");

    for args in [&["verify", "store", "--audit"][..], &["verify", "w.toml", "--audit"]] {
        programme.strata(args).done();
    }
    let said = programme.strata(["verify", "store", "--audit", "--key", "key", "--json"]).done();
    assert_eq!(said.json()["signatures"], 2);
    programme.write_key("other", &"c3".repeat(32), 0o600);
    let said = programme.strata(["verify", "store", "--audit", "--key", "other"]);
    assert!(said.code == Some(1) && said.out.starts_with("other_key: audit.jsonl:"), "{said:?}");

    // An edited line is named, and the next run adds nothing.
    programme.edit("store/audit.jsonl", |text| text.replacen("\"files\":", "\"filEs\":", 1));
    let said = programme.strata(["verify", "store", "--audit"]);
    assert!(said.code == Some(1) && said.out.starts_with("hash: audit.jsonl:3"), "{said:?}");
    programme.run().refused("audit::broken", &["audit.jsonl:3"]);
}

/// Ids, names, texts, dates of people and keys: none in the log, whatever the run met.
#[test]
fn nothing_of_a_person_is_in_the_log() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    programme.replace("feed/participants.csv", "not_withdrawn", "withdrawn");
    programme.run().done();
    programme
        .edit("feed/sample_person.csv", |text| text.lines().take(9).collect::<Vec<_>>().join("\n"));
    programme.run().refused("identity::unmapped_sample", &[]);
    let log = fs::read(programme.path("store/audit.jsonl")).unwrap();
    assert!(log.len() > 5000);
    for row in programme.rows("feed/participants.csv") {
        for value in row.values().filter(|value| value.len() >= 10 && !value.contains("withdrawn"))
        {
            assert!(!holds(&log, value.as_bytes()), "a value of the roster");
        }
    }
    for row in programme.rows("feed/sample_person.csv") {
        assert!(!holds(&log, row["sample_id"].as_bytes()), "a sample");
    }
    for row in programme.rows("feed/omop/person.csv") {
        let source = &row["person_source_value"];
        assert!(source.is_empty() || !holds(&log, source.as_bytes()), "a source value");
    }
    let release = programme.release();
    for tier in ["controlled", "registered"] {
        for id in &programme::table(&release.join(tier).join("omop/person"))["person_id"] {
            assert!(!holds(&log, id.as_bytes()), "a research id");
        }
    }
    assert!(!holds(&log, programme::KEY.as_bytes()));
    let root = programme.root().display().to_string();
    assert!(!holds(&log, root.as_bytes()), "a path");
}

#[test]
fn a_commit_that_a_killed_run_did_not_enter_is_entered() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let text = programme.read("store/audit.jsonl");
    // As a run killed after the rename of CURRENT leaves it: no commit, no checkpoint.
    let lines: Vec<&str> = text.lines().collect();
    let cut = format!("{}\n", lines[..lines.len() - 2].join("\n"));
    programme.write("store/audit.jsonl", &cut);
    fs::remove_file(programme.path("store/audit.checkpoint")).unwrap();
    programme.strata(["verify", "store", "--audit"]).done();
    programme.run().done();
    let all = entries(&programme);
    let recovered = all.iter().find(|e| e["kind"] == "recovered").unwrap();
    assert_eq!(recovered["fields"]["what"], "commit");
    programme.strata(["verify", "store", "--audit"]).done();
    // One that the log never heard of is told apart.
    let cut = format!("{}\n", lines[..lines.len() - 4].join("\n"));
    programme.write("store/audit.jsonl", &cut);
    fs::remove_file(programme.path("store/audit.checkpoint")).unwrap();
    let said = programme.strata(["verify", "store", "--audit"]);
    assert!(said.out.starts_with("commit: CURRENT"), "{said:?}");
    programme.run().refused("audit::unknown_release", &["CURRENT"]);
    let said = programme.strata(["verify", "store"]);
    assert!(said.code == Some(1) && said.out.contains("manifest: MANIFEST.json"), "{said:?}");
    // Whoever takes it away has a release of which nothing was reused.
    fs::remove_file(programme.path("store/CURRENT")).unwrap();
    programme.run().done();
    programme.strata(["verify", "store", "--audit"]).done();
    assert!(Path::new(&programme.path("store/audit.jsonl")).is_file());
}
