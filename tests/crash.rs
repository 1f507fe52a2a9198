//! A run that is killed, stopped or met by another one: `CURRENT` always names a whole release, and the
//! next run finishes with the same bytes.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use programme::{Programme, STRATA, current, files_below};

/// Times that the run is killed.
const KILLS: u32 = 50;

/// Two workflows that share a store and no stage: their keys and reference dates differ.
fn add_second_workflow(programme: &Programme) {
    programme.write_key("key2", &"c3".repeat(32), 0o600);
    let text = programme.read("w.toml");
    let text = text.replace("\"key\"", "\"key2\"").replace("\"t1\"", "\"t2\"");
    let text = text.replace("\"key2\" }", "\"key2\" }\nepoch = 2");
    programme.write("w2.toml", text.replace("2026-01-01", "2025-07-01"));
}

/// The first run with a key of its own.
fn run_anew(programme: &Programme, file: &str) {
    programme.strata(["run", file, "--new-epoch"]).done();
}

fn start(programme: &Programme, file: &str) -> Child {
    let mut command = Command::new(STRATA);
    command.args(["run", file]).current_dir(programme.root());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Drops all releases but the current one, as a retention job would, so that a run has to work again.
fn drop_old_releases(programme: &Programme) {
    let keep = programme.current();
    for entry in fs::read_dir(programme.path("store/releases")).unwrap() {
        let entry = entry.unwrap();
        if Some(entry.file_name().to_string_lossy().into_owned()) != keep {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

/// Waits until the run has written `event` of `stage` in `events.jsonl`.
fn wait_for(programme: &Programme, child: &mut Child, event: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = files_below(&programme.path("store/runs")).into_iter().any(|path| {
            path.ends_with("events.jsonl") && fs::read_to_string(path).unwrap().contains(event)
        });
        if seen {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before {event}");
        assert!(Instant::now() < deadline, "no {event} in a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_at_fifty_moments() {
    let programme = Programme::in_memory(60, 300);
    add_second_workflow(&programme);
    // What undisturbed runs of both make, and how long they take.
    let mut undisturbed = Vec::new();
    let clock = Instant::now();
    for file in ["w.toml", "w2.toml"] {
        run_anew(&programme, file);
        undisturbed.push((programme.current(), programme.manifest_bytes()));
    }
    let mut full = clock.elapsed() / 2;
    assert_ne!(undisturbed[0].0, undisturbed[1].0);
    let (mut killed, mut old, mut unfinished) = (0, 0, 0);
    for i in 0..KILLS {
        let which = (i % 2) as usize;
        let file = ["w.toml", "w2.toml"][which];
        drop_old_releases(&programme);
        let before = programme.current();
        // The fractional parts of multiples of the golden ratio: spread evenly, in no order.
        let part = (f64::from(i) * 0.618_033_988_75).fract();
        let mut child = start(&programme, file);
        std::thread::sleep(full.mul_f64(part));
        signal(&child, "-KILL");
        let ended = child.wait().unwrap();
        let caught = ended.code().is_none();
        killed += u32::from(caught);
        // The first runs of a machine are slow: what is taken for the time of a run follows how many are caught.
        full = full.mul_f64(if caught { 1.05 } else { 0.8 });
        old += u32::from(programme.current() == before);
        unfinished += u32::from(files_below(&programme.path("store/staging")).len() > 1);

        let named = programme.current().unwrap();
        assert!([&before, &undisturbed[which].0].contains(&&Some(named.clone())), "kill {i}");
        let said = programme.strata(["verify", "store"]);
        assert_eq!(said.code, Some(0), "after kill {i} at {part:.3}: {said:?}");
        let said = programme.run_file(file);
        assert_eq!(said.code, Some(0), "run after kill {i} at {part:.3}: {said:?}");
        assert_eq!(programme.current(), undisturbed[which].0, "kill {i}");
        assert!(programme.manifest_bytes() == undisturbed[which].1, "other bytes after kill {i}");
        assert!(files_below(&programme.path("store/staging")).is_empty(), "kill {i} left work");
        let said =
            programme.strata(["verify", "store", "--audit", "--key", "key", "--key", "key2"]);
        assert_eq!(said.code, Some(0), "the log after kill {i} at {part:.3}: {said:?}");
    }
    programme.strata(["verify", "store"]).done();
    // The test is worth nothing if the runs had ended, or had not begun, before they were killed.
    assert!(killed >= KILLS / 2, "only {killed} of {KILLS} runs were killed");
    assert!(old >= KILLS / 6, "only {old} of {KILLS} were killed before the commit");
    assert!(unfinished >= KILLS / 10, "only {unfinished} of {KILLS} left unfinished work");
}

#[test]
fn killed_before_there_is_any_release() {
    let programme = Programme::in_memory(60, 300);
    for event in ["run_started", "\"ingest.callset.wgs\"", "\"tier.registered\"", "\"publish\""] {
        let mut child = start(&programme, "w.toml");
        wait_for(&programme, &mut child, event);
        signal(&child, "-KILL");
        child.wait().unwrap();
        if let Some(release) = programme.current() {
            assert!(programme.path("store/releases").join(release).is_dir());
            break;
        }
        let said = programme.strata(["verify", "store", "--log-format", "json"]);
        said.refused("release::empty", &["no release yet"]);
    }
    // What the killed runs finished is used, and the rest is made.
    let plan = programme.strata(["plan", "w.toml", "--json"]).done().json();
    let actions: Vec<_> = plan["stages"].as_array().unwrap().iter().collect();
    assert!(actions.iter().any(|stage| stage["action"] == "resume"), "{plan:#}");
    programme.run().done();
    programme.strata(["verify", "store"]).done();
}

/// A run stopped between the rename of the release and that of `CURRENT`.
#[test]
fn a_release_that_current_was_not_told_of_is_adopted() {
    let programme = Programme::in_memory(60, 300);
    add_second_workflow(&programme);
    programme.run().done();
    let before = fs::read(programme.path("store/CURRENT")).unwrap();
    run_anew(&programme, "w2.toml");
    let (wanted, manifest) = (programme.current(), programme.manifest_bytes());
    fs::write(programme.path("store/CURRENT"), &before).unwrap();
    fs::write(programme.path("store/CURRENT.tmp"), "half a li").unwrap();
    programme.strata(["verify", "store"]).done();
    programme.run_file("w2.toml").done();
    assert_eq!((programme.current(), programme.manifest_bytes()), (wanted, manifest));
}

/// The same, but the release is not whole: it is made again, not believed.
#[test]
fn a_damaged_release_is_not_adopted() {
    let programme = Programme::in_memory(60, 300);
    add_second_workflow(&programme);
    programme.run().done();
    let before = fs::read(programme.path("store/CURRENT")).unwrap();
    run_anew(&programme, "w2.toml");
    let manifest = programme.manifest_bytes();
    let table = programme::tables_below(&programme.release().join("controlled")).remove(0);
    fs::write(programme.path("store/CURRENT"), &before).unwrap();
    fs::write(&table, b"not what was written").unwrap();
    programme.run_file("w2.toml").done();
    assert!(programme.manifest_bytes() == manifest);
    programme.strata(["verify", "store"]).done();
}

#[test]
fn signals_stop_a_run_cleanly() {
    let programme = Programme::in_memory(60, 300);
    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let _ = fs::remove_dir_all(programme.store());
        let mut child = start(&programme, "w.toml");
        wait_for(&programme, &mut child, "stage_started");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        assert_eq!(programme.current(), None);
        let record = files_below(&programme.path("store/runs"))
            .into_iter()
            .find(|path| path.ends_with("run.json"))
            .unwrap();
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        assert_eq!(record["status"], "stopped", "{record:#}");
        assert_eq!(record["error"]["code"], "run::stopped", "{record:#}");
        let status = programme.strata(["status", "store"]).done();
        assert!(status.out.contains("no release yet") && status.out.contains("stopped"));
        programme.run().done();
        programme.strata(["verify", "store"]).done();
    }
}

#[test]
fn two_runs_at_once() {
    let programme = Programme::in_memory(200, 20_000);
    let mut first = start(&programme, "w.toml");
    wait_for(&programme, &mut first, "run_started");
    programme.run().refused("release::locked", &["another run", &first.id().to_string()]);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    programme.strata(["verify", "store"]).done();
    assert!(current(&programme.store()).is_some());
    let said = programme.run().done();
    assert!(said.out.contains("nothing changed"), "{said:?}");
}

/// What `verify` finds can be put right by the program itself.
#[test]
fn a_damaged_release_is_repaired() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let manifest = programme.manifest_bytes();
    let damage = || {
        let table = programme::tables_below(&programme.release().join("registered")).remove(0);
        let mut bytes = fs::read(&table).unwrap();
        bytes[9] ^= 4;
        fs::write(&table, bytes).unwrap();
        assert_eq!(programme.strata(["verify", "store"]).code, Some(1));
    };
    damage();
    programme.strata(["run", "w.toml", "--force", "tier.registered"]).done();
    assert!(programme.manifest_bytes() == manifest);
    programme.strata(["verify", "store"]).done();

    // A release made from it does not take damage over: the stage runs again.
    damage();
    programme.replace("policies/public.toml", "min_group = 100", "min_group = 150");
    programme.run().done();
    programme.strata(["verify", "store"]).done();

    // A manifest that is no manifest.
    let manifest = programme.manifest_bytes();
    fs::write(programme.release().join("MANIFEST.json"), "{").unwrap();
    programme.run().done();
    assert!(programme.manifest_bytes() == manifest);
    programme.strata(["verify", "store"]).done();
}

/// What a killed run left is read again before it is used; damage is found, and made anew.
#[test]
fn damaged_work_of_a_killed_run_is_not_used() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let manifest = programme.manifest_bytes();
    fs::remove_dir_all(programme.store()).unwrap();
    let mut child = start(&programme, "w.toml");
    wait_for(&programme, &mut child, "\"stage_finished\",\"stage\":\"tier.controlled\"");
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert_eq!(programme.current(), None, "it was too fast to be killed");
    let plan = programme.strata(["plan", "w.toml", "--json"]).done().json();
    let resumed = |id: &str| {
        let mut stages = plan["stages"].as_array().unwrap().iter();
        stages.any(|stage| stage["id"] == id && stage["action"] == "resume")
    };
    assert!(resumed("tier.controlled"), "{plan:#}");
    let staged = files_below(&programme.path("store/staging"));
    let is_person = |path: &&std::path::PathBuf| {
        path.display().to_string().ends_with("release/controlled/omop/person/part-0000.parquet")
    };
    let person = staged.iter().find(is_person).unwrap();
    let mut bytes = fs::read(person).unwrap();
    bytes[20] ^= 1;
    fs::write(person, bytes).unwrap();
    programme.run().done();
    assert!(programme.manifest_bytes() == manifest);
    programme.strata(["verify", "store"]).done();
}

/// Keys and records are in memory: what a crash leaves on disk must not hold them.
#[test]
fn no_core_is_dumped() {
    let programme = Programme::in_memory(60, 300);
    let mut child = start(&programme, "w.toml");
    let limits = format!("/proc/{}/limits", child.id());
    let core = || {
        let text = fs::read_to_string(&limits).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Max core file size"));
        line.map(|line| line.split_whitespace().skip(4).take(2).map(str::to_owned).collect())
    };
    let mut seen: Vec<Vec<String>> = Vec::new();
    while child.try_wait().unwrap().is_none() {
        seen.extend(core());
        std::thread::sleep(Duration::from_millis(2));
    }
    let last = seen.iter().rev().find(|limit| limit.iter().all(|at| at.parse::<u64>().is_ok()));
    assert!(last.is_some_and(|limit| limit.iter().all(|at| at == "0" || at == "1")), "{last:?}");
}
