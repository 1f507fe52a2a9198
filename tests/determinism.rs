//! Same inputs, configuration and key give the same bytes; what changes, and only that, is made again;
//! who withdraws is gone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use programme::{Programme, STRATA, columns, said, table, tables_below};

/// Copies a folder's files in this order: directory entries are made in another order.
fn copy(from: &Path, to: &Path, backwards: bool) {
    let mut files = programme::files_below(from);
    if backwards {
        files.reverse();
    }
    for file in files {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// A twin of a programme: the same files, made in another order, nothing run yet.
fn twin(programme: &Programme, backwards: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["policies", "feed"] {
        copy(&programme.path(part), &folder.path().join(part), backwards);
    }
    fs::copy(programme.path("key"), folder.path().join("key")).unwrap();
    fs::copy(programme.path("w.toml"), folder.path().join("w.toml")).unwrap();
    folder
}

/// Digests of every file of the current release of a store, and of its manifest.
fn bytes_of(store: &Path) -> Vec<(String, Vec<u8>)> {
    let release = store.join("releases").join(programme::current(store).unwrap());
    let name = |path: &Path| path.strip_prefix(&release).unwrap().display().to_string();
    programme::files_below(&release).iter().map(|p| (name(p), fs::read(p).unwrap())).collect()
}

/// The same release, file by file.
#[track_caller]
fn assert_same(one: &Path, other: &Path, what: &str) {
    assert_eq!(programme::current(one), programme::current(other), "{what}");
    let (one, other) = (bytes_of(one), bytes_of(other));
    assert!(one.len() > 50);
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&one), names(&other), "{what}");
    for ((name, a), (_, b)) in one.iter().zip(&other) {
        assert!(a == b, "{what}: {name} differs");
    }
}

#[test]
fn threads_and_surroundings_change_nothing() {
    let programme = Programme::in_memory(120, 3000);
    programme.strata(["run", "w.toml", "--threads", "1"]).done();
    let runs: [(&str, &[&str], &str, bool); 5] = [
        ("2 threads", &["TZ=Pacific/Kiritimati", "LANG=tr_TR.UTF-8"], "-j2", false),
        ("3 threads", &["TZ=America/Los_Angeles", "LC_ALL=C", "HOME=/"], "-j3", true),
        ("umask 0", &["RUST_LOG=trace", "NO_COLOR=1"], "-j2", true),
        ("umask 077", &["TMPDIR=/nowhere", "COLUMNS=3"], "-j1", false),
        ("from elsewhere", &["RAYON_NUM_THREADS=7", "TOKIO_WORKER_THREADS=5"], "-j2", true),
    ];
    for (name, environment, threads, backwards) in runs {
        let folder = twin(&programme, backwards);
        let mask = if name == "umask 077" { "077" } else { "000" };
        let elsewhere = name == "from elsewhere";
        let (start, file) = match elsewhere {
            true => (Path::new("/"), folder.path().join("w.toml")),
            false => (folder.path(), "w.toml".into()),
        };
        let script = format!("umask {mask}; exec env {} \"$@\"", environment.join(" "));
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", STRATA, "run", threads]).arg(file).current_dir(start);
        said(&mut command).done();
        assert_same(&programme.store(), &folder.path().join("store"), name);
        let said = programme::strata(folder.path(), ["verify", "store"]);
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
    }
}

#[test]
fn nothing_changed_nothing_done() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let before = bytes_of(&programme.store());
    let runs = programme::files_below(&programme.path("store/runs"));
    let said = programme.run().done();
    assert!(said.out.contains("nothing changed"), "{said:?}");
    assert!(bytes_of(&programme.store()) == before);
    assert_eq!(programme::files_below(&programme.path("store/runs")), runs);
    let plan = programme.strata(["plan", "w.toml"]).done();
    assert!(plan.out.contains("nothing changed"), "{plan:?}");
    // New times on old bytes are no change.
    for file in programme::files_below(&programme.path("feed")) {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    assert!(programme.run().done().out.contains("nothing changed"));
    // A comment is no change either; a release tag is.
    programme.edit("w.toml", |text| format!("# a remark\n{text}"));
    assert!(programme.run().done().out.contains("nothing changed"));
    programme.replace("w.toml", "\"t1\"", "\"t2\"");
    assert!(programme.run().done().out.contains("released t2-"));
}

/// What a run did about each stage.
fn actions(programme: &Programme) -> BTreeMap<String, (String, String)> {
    let record = programme.record(&programme.current().unwrap());
    let text = |stage: &serde_json::Value, key: &str| stage[key].as_str().unwrap().to_owned();
    let stages = record["stages"].as_array().unwrap().iter();
    stages.map(|s| (text(s, "stage"), (text(s, "action"), text(s, "why")))).collect()
}

#[test]
fn a_changed_policy_runs_its_tier_again() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let old = programme.release();
    programme.replace("policies/registered.toml", "min_age = 89", "min_age = 70");
    programme.run().done();
    let done = actions(&programme);
    assert_eq!(done["tier.registered"].0, "run");
    assert_eq!(done["tier.registered"].1, "changed: policy");
    for stage in ["ingest.callset.wgs", "tier.controlled", "publish"] {
        assert_eq!(done[stage], ("reuse".into(), "unchanged since the current release".into()));
    }
    // What the tier reads is made again, for the release does not keep it.
    for stage in ["ingest.ehr.site_a", "ingest.vocabulary", "link"] {
        let (action, why) = &done[stage];
        assert!(action == "run" && why.ends_with("reads what it makes"), "{stage}: {why}");
    }
    let people = |release: &Path| table(&release.join("registered/omop/person"))["person_id"].len();
    assert!(people(&programme.release()) < people(&old), "nobody of 70 to 88 in 60 people");
    programme.strata(["verify", "store"]).done();

    // The Controlled tier's policy decides what can be published, so that is made again too.
    programme.replace("policies/controlled.toml", "\"june_15\"", "\"year\"");
    programme.run().done();
    let done = actions(&programme);
    for (stage, action) in [
        ("tier.controlled", "run"),
        ("publish", "run"),
        ("tier.registered", "reuse"),
        ("ingest.callset.wgs", "reuse"),
    ] {
        assert_eq!(done[stage].0, action, "{stage}: {done:?}");
    }
    assert!(done["publish"].1.contains("tier.controlled"), "{done:?}");

    // And the public policy touches nothing else.
    programme.replace("policies/public.toml", "min_group = 100", "min_group = 150");
    programme.run().done();
    let done = actions(&programme);
    let ran: Vec<&String> = done.iter().filter(|(_, d)| d.0 == "run").map(|(s, _)| s).collect();
    assert_eq!(ran, ["commit", "publish"]);
    programme.strata(["verify", "store"]).done();
}

#[test]
fn a_forced_stage_gives_the_same_bytes() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let before = bytes_of(&programme.store());
    let force = ["run", "w.toml", "--force", "ingest.callset.wgs", "--force", "tier.controlled"];
    programme.strata(force).done();
    let done = actions(&programme);
    assert_eq!(done["ingest.callset.wgs"].1, "asked for with --force");
    assert!(bytes_of(&programme.store()) == before);
}

/// Ids of people in a table.
fn people(folder: &Path) -> BTreeSet<String> {
    table(folder).remove("person_id").unwrap_or_default().into_iter().collect()
}

/// AC and AN by variant.
fn allele_counts(release: &Path) -> BTreeMap<String, (i64, i64)> {
    let rows = table(&release.join("controlled/genomics/wgs/variants"));
    let number = |text: &String| text.parse::<i64>().unwrap();
    let counts = rows["ac"].iter().zip(&rows["an"]).map(|(ac, an)| (number(ac), number(an)));
    rows["vid"].iter().cloned().zip(counts).collect()
}

/// What the samples of `gone` add to AC and AN of each variant, from the carriers table.
fn share_of(release: &Path, gone: &BTreeSet<String>) -> BTreeMap<String, (i64, i64)> {
    let callset = release.join("controlled/genomics/wgs");
    let samples = table(&callset.join("samples"));
    let indices: BTreeSet<&String> = samples["sample_idx"]
        .iter()
        .zip(&samples["person_id"])
        .filter(|(_, person)| gone.contains(*person))
        .map(|(index, _)| index)
        .collect();
    assert_eq!(indices.len(), gone.len());
    let mut shares = BTreeMap::new();
    for chromosome in fs::read_dir(callset.join("variants")).unwrap() {
        let chromosome = chromosome.unwrap().file_name();
        let variants = table(&callset.join("variants").join(&chromosome));
        let vids: BTreeMap<&String, &String> =
            variants["variant_idx"].iter().zip(&variants["vid"]).collect();
        for vid in vids.values() {
            shares.insert((*vid).clone(), (0, 2 * indices.len() as i64));
        }
        let carriers = table(&callset.join("carriers").join(&chromosome));
        for row in 0..carriers["gt"].len() {
            if !indices.contains(&carriers["sample_idx"][row]) {
                continue;
            }
            let share = shares.get_mut(vids[&carriers["variant_idx"][row]]).unwrap();
            match carriers["gt"][row].as_str() {
                "1" => share.0 += 1,
                "2" => share.0 += 2,
                "5" => share.1 -= 2,
                other => panic!("gt {other} on an autosome"),
            }
        }
    }
    shares
}

#[test]
fn withdrawn_people_leave_no_trace() {
    let programme = Programme::in_memory(80, 600);
    programme.run().done();
    let old = programme.release();
    // Three people with a sample and a record, who take part until now.
    let sampled: BTreeSet<String> = programme
        .rows("feed/sample_person.csv")
        .into_iter()
        .map(|mut row| row.remove("person_id").unwrap())
        .collect();
    let is_full = |row: &BTreeMap<String, String>| {
        row["withdrawal_status"] == "not_withdrawn"
            && ["primary_consent", "ehr_consent", "genomics_consent"]
                .iter()
                .all(|c| row[*c] == "yes")
            && sampled.contains(&row["person_id"])
    };
    let mut leaving = programme.rows("feed/participants.csv");
    leaving.retain(is_full);
    leaving.truncate(3);
    assert_eq!(leaving.len(), 3);
    programme.edit("feed/participants.csv", |text| {
        let left = |line: &str| leaving.iter().any(|row| line.starts_with(&row["person_id"]));
        let changed = |line: &str| match left(line) {
            true => line.replace("not_withdrawn,", "withdrawn,2025-12-01") + "\n",
            false => format!("{line}\n"),
        };
        text.lines().map(changed).collect()
    });
    programme.run().done();
    let new = programme.release();
    assert_ne!(old, new);
    programme.strata(["verify", "store"]).done();

    let mut gone_samples = BTreeSet::new();
    for (tier, minimum) in [("controlled", 3), ("registered", 2)] {
        let place = format!("{tier}/omop/person");
        let (before, after) = (people(&old.join(&place)), people(&new.join(&place)));
        let gone: BTreeSet<String> = before.difference(&after).cloned().collect();
        // Everybody else has the same id as before.
        assert!(after.is_subset(&before), "{tier}");
        assert!(gone.len() >= minimum && gone.len() <= 3, "{tier}: {}", gone.len());
        for file in tables_below(&new) {
            for (column, values) in columns(&file) {
                let trace = values.iter().any(|value| gone.contains(value));
                assert!(!trace, "{tier} id in {column} of {}", file.display());
            }
        }
        let records = |release: &Path| people(&release.join(tier).join("omop/observation"));
        assert!(!records(&old).is_disjoint(&gone), "nothing to remove in {tier}");
        if tier == "controlled" {
            gone_samples = gone;
        }
    }
    let (before, after) = (allele_counts(&old), allele_counts(&new));
    let shares = share_of(&old, &gone_samples);
    assert_eq!(before.len(), shares.len());
    assert!(after.len() < before.len(), "what only they carried is gone");
    assert!(shares.values().any(|share| share.0 > 0));
    for (vid, (ac, an)) in &before {
        let share = shares[vid];
        match after.get(vid) {
            Some(now) => assert_eq!(*now, (ac - share.0, an - share.1), "{vid}"),
            None => assert_eq!(*ac, share.0, "{vid}"),
        }
    }
    let books = programme.manifest();
    let books = &books["stages"]["link"]["ledger"][0]["excluded"]["withdrawn"];
    assert!(books.as_u64().unwrap() >= 3, "{books}");
}

#[test]
fn a_changed_roster_is_seen_by_all_stages_that_read_it() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    programme.edit("feed/participants.csv", |text| text.replacen(",yes,", ",no,", 1));
    let plan = programme.strata(["plan", "w.toml", "--json"]).done().json();
    let stages = plan["stages"].as_array().unwrap();
    let why = |id: &str| {
        let stage = stages.iter().find(|stage| stage["id"] == id).unwrap();
        assert_eq!(stage["action"], "run", "{stage:#}");
        stage["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(why("link"), "changed: roster");
    assert_eq!(why("ingest.callset.wgs"), "changed: roster");
    assert_eq!(why("curate"), "changed: link, roster");
    assert_eq!(why("tier.controlled"), "changed: curate");
    assert_eq!(why("tier.registered"), "changed: curate");
    assert_eq!(why("publish"), "changed: ingest.callset.wgs, tier.controlled");
    assert!(why("ingest.ehr.site_a").ends_with("reads what it makes"));
}

/// A table may be a folder of parts; a part is an input like any other.
#[test]
fn a_changed_part_of_a_table_is_seen() {
    let programme = Programme::in_memory(60, 300);
    let text = programme.read("feed/omop/death.csv");
    fs::remove_file(programme.path("feed/omop/death.csv")).unwrap();
    fs::create_dir(programme.path("feed/omop/death")).unwrap();
    programme.write("feed/omop/death/part-0.csv", &text);
    programme.run().done();
    let deaths = |programme: &Programme| {
        table(&programme.release().join("controlled/omop/death"))["person_id"].len()
    };
    let before = deaths(&programme);
    assert!(before > 0);
    let header = text.lines().next().unwrap();
    programme.write("feed/omop/death/part-0.csv", format!("{header}\n"));
    assert!(programme.run().done().out.contains("released"));
    let left = tables_below(&programme.release().join("controlled/omop/death"));
    let rows: usize = left.iter().map(|path| columns(path)["person_id"].len()).sum();
    assert_eq!(rows, 0);
}

/// Moves the dates of a delimited table back by each person's days; the birth date's parts with it.
fn move_back(text: &str, days: &BTreeMap<String, i64>) -> String {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).unwrap();
    for record in reader.records() {
        let mut cells: Vec<String> = record.unwrap().iter().map(str::to_owned).collect();
        if let Some(back) = at("person_id").and_then(|person| days.get(&cells[person])) {
            for (place, column) in header.iter().enumerate() {
                let is_date = column.ends_with("_date") || column.ends_with("datetime");
                let cell = cells[place].clone();
                let Some((day, time)) = cell.split_at_checked(10).filter(|_| is_date) else {
                    continue;
                };
                let Ok(day) = day.parse::<jiff::civil::Date>() else { continue };
                let moved = day - jiff::Span::new().days(*back);
                cells[place] = format!("{moved}{time}");
                if column == "birth_datetime" {
                    let parts = [moved.year().into(), moved.month().into(), moved.day().into()];
                    let names = ["year_of_birth", "month_of_birth", "day_of_birth"];
                    for (name, part) in names.into_iter().zip::<[i32; 3]>(parts) {
                        cells[at(name).unwrap()] = part.to_string();
                    }
                }
            }
        }
        writer.write_record(&cells).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// A feed that arrives shifted gives the release that the true feed gives.
#[test]
fn a_shifted_feed_is_put_back() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let digests = |programme: &Programme| -> BTreeMap<String, String> {
        let manifest = programme.manifest();
        let files = manifest["files"].as_array().unwrap().iter();
        let text = |file: &serde_json::Value, key: &str| file[key].as_str().unwrap().to_owned();
        files.map(|file| (text(file, "path"), text(file, "sha256"))).collect()
    };
    let (before, release) = (digests(&programme), programme.current());
    let people = programme.rows("feed/omop/person.csv");
    let days: BTreeMap<String, i64> =
        (1..).zip(&people).map(|(i, row)| (row["person_id"].clone(), i * 37 % 364 + 1)).collect();
    for file in programme::files_below(&programme.path("feed/omop")) {
        let relative = file.strip_prefix(programme.root()).unwrap().display().to_string();
        programme.edit(&relative, |text| move_back(&text, &days));
    }
    let mut map: String = days.iter().map(|(person, days)| format!("{person},{days}\n")).collect();
    // Rows of people whom the person table does not have are in the feed too.
    let known = programme.rows("feed/participants.csv");
    for row in known.iter().filter(|row| !days.contains_key(&row["person_id"])) {
        map += &format!("{},1\n", row["person_id"]);
    }
    programme.write("feed/shifts.csv", format!("person_id,shift\n{map}"));
    let shifted = "dates = \"shifted\"\nshift_map = \"feed/shifts.csv\"";
    programme.replace("w.toml", "dates = \"true\"", shifted);
    let said = programme.run();
    if said.code == Some(1) && said.error()["code"] == "omop::unshifted_person" {
        panic!("the feed has people whom neither table has: {said:?}");
    }
    said.done();
    assert_ne!(programme.current(), release);
    let after = digests(&programme);
    let differ: Vec<&String> =
        before.iter().filter(|(path, sha)| after.get(*path) != Some(sha)).map(|(p, _)| p).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(before.len(), after.len());

    // Somebody whom the map does not have is an error, and not named.
    let person = people[3]["person_id"].clone();
    programme.edit("feed/shifts.csv", |text| {
        let kept = text.lines().filter(|line| !line.starts_with(&person));
        kept.map(|line| format!("{line}\n")).collect()
    });
    let said = programme.run().refused("omop::unshifted_person", &["ingest.ehr.site_a", "map"]);
    assert!(!said.err.contains(&person));
}
