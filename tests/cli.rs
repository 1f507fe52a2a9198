//! The command line as users and schedulers meet it: help, JSON, exit codes, what `verify` notices.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use programme::{Programme, Said, strata, tables_below};
use serde_json::Value;

const VERBS: [&str; 13] = [
    "init",
    "validate",
    "plan",
    "run",
    "status",
    "explain",
    "verify",
    "query",
    "vocabulary",
    "schema",
    "synth",
    "completions",
    "man",
];

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_verb_has_help_with_an_example() {
    let help = strata(here(), ["--help"]).done().out;
    for verb in VERBS {
        assert!(help.contains(verb), "{verb} is not in the help");
        let said = strata(here(), [verb, "--help"]).done();
        let example = format!("strata {verb}");
        let (_, after) = said.out.split_once("Example").unwrap_or_else(|| panic!("{verb}"));
        assert!(after.contains(&example), "{}", said.out);
    }
    assert!(help.contains("Exit codes"), "{help}");
}

#[test]
fn usage_errors_exit_with_2() {
    for wrong in [&["rum"][..], &["run"], &["run", "w.toml", "--threads", "0"], &["schema"], &[]] {
        let said = strata(here(), wrong);
        assert_eq!(said.code, Some(2), "{wrong:?}: {said:?}");
        assert!(said.out.is_empty(), "{said:?}");
    }
    assert!(strata(here(), ["rum"]).err.contains("run"), "no suggestion");
}

#[test]
fn a_missing_workflow_file_is_a_stated_problem() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["run", "plan", "validate", "explain"] {
        let said = strata(folder.path(), [verb, "nowhere.toml", "--log-format", "json"]);
        said.refused("io::not_found", &["nowhere.toml"]);
    }
}

#[test]
fn a_store_that_is_not_there_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["status", "verify"] {
        let said = strata(folder.path(), [verb, "stroe", "--log-format", "json"]);
        said.refused("io::not_found", &["stroe"]);
    }
    std::fs::create_dir(folder.path().join("store")).unwrap();
    assert!(strata(folder.path(), ["status", "store"]).done().out.contains("no release yet"));
}

#[test]
fn init_then_validate_names_all_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    strata(folder.path(), ["init", "--out", "w.toml"]).done();
    let said = strata(folder.path(), ["init", "--out", "w.toml"]);
    assert_eq!(said.code, Some(1), "an existing file is not replaced: {said:?}");
    let said = strata(folder.path(), ["validate", "w.toml", "--log-format", "json"]);
    let said = said.refused("config::invalid", &[]);
    let problems = said.error()["problems"].to_string();
    let json = strata(folder.path(), ["validate", "w.toml", "--json"]);
    assert_eq!((json.code, json.json()["valid"].as_bool()), (Some(1), Some(false)));
    let stated = said.error()["problems"].as_array().unwrap().len();
    assert_eq!(json.json()["problems"].as_array().unwrap().len(), stated);
    let text = fs::read_to_string(folder.path().join("w.toml")).unwrap();
    for key in [
        "roster",
        "samples",
        "path = \"data/vocabulary\"",
        "path = \"data/omop\"",
        "vcf",
        "ancestry",
        "sex",
        "controlled.toml",
        "registered.toml",
        "public.toml",
    ] {
        let line = text.lines().position(|line| line.contains(key)).unwrap() + 1;
        assert!(problems.contains(&format!("w.toml:{line}:")), "{key}, line {line}: {problems}");
    }
}

#[test]
fn validate_reports_all_problems_of_the_inputs() {
    let programme = Programme::new();
    let said = programme.strata(["validate", "w.toml", "--json"]).done();
    assert_eq!(said.json(), serde_json::json!({ "valid": true, "problems": [] }));
    programme.replace("feed/participants.csv", "not_withdrawn", "maybe");
    programme.write_key("key", "short", 0o600);
    programme.write("feed/wgs/wgs.chr20.vcf.gz", "no VCF");
    let said = programme.strata(["validate", "w.toml", "--json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let answer = said.json();
    let codes: Vec<&str> = answer["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["code"].as_str().unwrap())
        .collect();
    let wanted = ["identity::key_malformed", "identity::bad_value", "genotype::unknown_format"];
    for code in wanted {
        assert!(codes.contains(&code), "{code} is not in {codes:?}");
    }
    assert_eq!(answer["valid"], false);
    assert!(!programme.store().exists(), "validate wrote something");
}

#[test]
fn schemas_are_those_committed() {
    strata(here(), ["schema", "--dir", "configs/schema", "--check"]).done();
    let folder = tempfile::tempdir().unwrap();
    strata(folder.path(), ["schema", "--dir", "."]).done();
    fs::write(folder.path().join("tier.json"), "{}").unwrap();
    let check = ["schema", "--dir", ".", "--check", "--log-format", "json"];
    strata(folder.path(), check).refused("cli::schema_drift", &["tier.json"]);
    for name in ["workflow", "tier", "public", "concept-sets"] {
        let schema = strata(here(), ["schema", name]).done().json();
        assert!(schema["properties"].is_object(), "{name}");
    }
}

#[test]
fn read_only_verbs_answer_in_json() {
    let programme = Programme::new();
    let plan = programme.strata(["plan", "w.toml", "--json"]).done().json();
    assert_eq!(plan["current"], Value::Null);
    assert_eq!(plan["done"], false);
    let release = plan["release_id"].as_str().unwrap();
    let key = plan["content_key"].as_str().unwrap();
    assert_eq!(release, format!("t1-{}", &key[..12]));
    let stages = plan["stages"].as_array().unwrap();
    let ids: Vec<&str> = stages.iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        [
            "ingest.vocabulary",
            "ingest.ehr.site_a",
            "link",
            "curate",
            "ingest.callset.wgs",
            "tier.controlled",
            "tier.registered",
            "invariants",
            "publish",
        ]
    );
    for stage in stages {
        assert_eq!(stage["action"], "run");
        assert_eq!(stage["key"].as_str().unwrap().len(), 64);
        assert!(!stage["why"].as_str().unwrap().is_empty());
    }
    assert!(!programme.store().exists(), "plan wrote something");
    let status = programme.strata(["status", "w.toml", "--json"]).done().json();
    assert_eq!(status, serde_json::json!({ "current": null, "runs": [] }));

    let run = programme.strata(["run", "w.toml", "--json", "--quiet"]).done();
    assert_eq!(run.json()["release_id"], release);
    assert_eq!(run.json()["unchanged"], false);
    assert_eq!(run.json()["stages"].as_array().unwrap().len(), ids.len() + 1);
    assert_eq!(run.err, "", "--quiet");
    let status = programme.strata(["status", "store", "--json"]).done().json();
    assert_eq!(status["current"]["release_id"], release);
    assert_eq!(status["runs"][0]["status"], "done");
    let verify = programme.strata(["verify", "w.toml", "--json"]).done().json();
    assert_eq!(verify["release_id"], release);
    assert_eq!(verify["findings"], serde_json::json!([]));
    assert_eq!(verify["files"].as_u64(), status["current"]["files"].as_u64());
    let explain = programme.strata(["explain", "w.toml", "--json"]).done().json();
    for tier in ["controlled", "registered"] {
        let policy = fs::read_to_string(programme.path(&format!("policies/{tier}.toml"))).unwrap();
        let rules = explain[tier].as_array().unwrap();
        assert_eq!(rules.len(), policy.matches("[[rule]]").count(), "{tier}");
        for rule in rules {
            let id = rule["id"].as_str().unwrap();
            assert!(policy.contains(&format!("id = \"{id}\"")), "{tier}: {id}");
            assert!(rule["tables"].is_object() && rule["description"].is_string(), "{rule:#}");
        }
    }
    let one = ["explain", "w.toml", "--tier", "registered", "--json"];
    assert_eq!(programme.strata(one).done().json().as_object().unwrap().len(), 1);
    let of = ["explain", "w.toml", "--tier", "registered", "--release", "current", "--json"];
    let rules = programme.strata(of).done().json();
    let rows = |rule: &Value| rule["rows"].as_object().unwrap().clone();
    let rules = rules["registered"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rows(rule).values().all(|n| n["removed"].is_u64())));
    let moved = rules.iter().find(|rule| rule["kind"] == "shift_dates").unwrap();
    assert!(rows(moved)["omop/person"]["changed"].as_u64().unwrap() > 0, "{moved:#}");
    let said = programme.strata(["explain", "w.toml", "--release", release]).done().out;
    assert!(said.contains("      > omop/person: 0 row(s) removed, "), "{said}");
    assert!(explain["registered"][0].get("rows").is_none());
    assert_eq!(programme.strata(["explain", "w.toml", "--release", "other"]).code, Some(1));
    let dag = programme.strata(["plan", "w.toml", "--dag"]).done().out;
    assert!(dag.starts_with("flowchart LR") && dag.contains("tier_controlled --> publish"));
    let dry = programme.strata(["run", "w.toml", "--dry-run", "--json"]).done().json();
    assert_eq!(dry["done"], true);
}

#[test]
fn json_logs_are_json_lines_on_stderr_only() {
    let programme = Programme::new();
    let said = programme.strata(["run", "w.toml", "--log-format", "json", "-v"]).done();
    assert!(said.out.starts_with("released t1-"), "{said:?}");
    let lines: Vec<Value> =
        said.err.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |text: &str| lines.iter().filter(|l| l.to_string().contains(text)).count();
    assert_eq!((of("stage started"), of("stage finished")), (9, 9), "{}", said.err);
    for line in &lines {
        assert!(line["level"].is_string(), "{line}");
    }
    // Nothing but JSON at any level, failures among it.
    let said = programme.strata(["run", "w.toml", "--log-format", "json", "-vv", "--force", "x"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said:?}");
}

#[test]
fn a_misspelt_stage_is_corrected() {
    let programme = Programme::new();
    for verb in ["run", "plan"] {
        let args = [verb, "w.toml", "--force", "ingest.calset.wgs", "--log-format", "json"];
        let said = programme.strata(args);
        said.refused("cli::unknown_stage", &["did you mean `ingest.callset.wgs`?"]);
    }
    assert!(!programme.store().exists());
}

/// Runs `verify`, which must find `code` at `place`.
#[track_caller]
fn finds(programme: &Programme, code: &str, place: &str) {
    let said: Said = programme.strata(["verify", "store", "--json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let answer = said.json();
    let findings = answer["findings"].as_array().unwrap();
    let found = findings.iter().any(|f| f["code"] == code && f["place"] == place);
    assert!(found, "no {code} at {place}: {answer:#}");
    let text = programme.strata(["verify", "store"]);
    assert_eq!(text.code, Some(1));
    assert!(text.out.contains(place) && text.out.contains("NOT as promised"), "{}", text.out);
}

#[test]
fn verify_notices_what_is_not_as_committed() {
    let programme = Programme::new();
    programme.run().done();
    let release = programme.release();
    let relative = |path: &Path| path.strip_prefix(&release).unwrap().display().to_string();
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let whole = |programme: &Programme| programme.strata(["verify", "store"]).done();
    let file: PathBuf = tables_below(&release.join("registered")).remove(0);
    let name = relative(&file);
    let bytes = fs::read(&file).unwrap();

    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&file, &flipped).unwrap();
    finds(&programme, "digest", &name);
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    finds(&programme, "size", &name);
    fs::remove_file(&file).unwrap();
    finds(&programme, "missing", &name);
    fs::write(&file, &bytes).unwrap();
    mode(&file, 0o644);
    finds(&programme, "permissions", &name);
    mode(&file, 0o600);
    whole(&programme);

    let stray = release.join("registered/omop/note.parquet");
    fs::write(&stray, &bytes).unwrap();
    finds(&programme, "stray", "registered/omop/note.parquet");
    fs::remove_file(&stray).unwrap();
    mode(&release.join("controlled"), 0o755);
    finds(&programme, "permissions", "controlled");
    mode(&release.join("controlled"), 0o700);
    whole(&programme);

    // A manifest that was changed is not the one that CURRENT names.
    let manifest = programme.manifest_bytes();
    let text = String::from_utf8(manifest.clone()).unwrap();
    fs::write(release.join("MANIFEST.json"), text.replacen("\"rows\": ", "\"rows\": 1", 1))
        .unwrap();
    let verify = ["verify", "store", "--log-format", "json"];
    programme.strata(verify).refused("release::invalid", &["MANIFEST.json", "digest"]);
    fs::write(release.join("MANIFEST.json"), "{}").unwrap();
    let id = programme.current().unwrap();
    let named = ["verify", "store", "--release", &id, "--log-format", "json"];
    programme.strata(named).refused("release::invalid", &["MANIFEST.json"]);
    fs::write(release.join("MANIFEST.json"), manifest).unwrap();
    whole(&programme);
    for bad in ["../x", "none", "a/b"] {
        let named = ["verify", "store", "--release", bad, "--log-format", "json"];
        programme.strata(named).refused("release::unknown", &[]);
    }
    fs::write(programme.path("store/CURRENT"), "one two three\n").unwrap();
    programme.strata(verify).refused("release::invalid", &["CURRENT"]);
}

/// A folder that strangers may read does not make what is in it public; a public file that only the
/// owner can read is of no use to the public.
#[test]
fn tiers_have_the_rights_of_the_contract() {
    let programme = Programme::new();
    programme.run().done();
    let release = programme.release();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut folders = vec![programme.store(), release.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_public = path.starts_with(release.join("public"));
            let is_private = ["controlled", "registered", "quality"]
                .iter()
                .any(|tier| path.starts_with(release.join(tier)))
                || path.starts_with(programme.path("store/runs"));
            match (path.is_dir(), is_public, is_private) {
                (true, true, _) => assert_eq!(mode(&path), 0o755, "{}", path.display()),
                (false, true, _) => assert_eq!(mode(&path), 0o644, "{}", path.display()),
                (true, _, true) => assert_eq!(mode(&path), 0o700, "{}", path.display()),
                (false, _, true) => assert_eq!(mode(&path), 0o600, "{}", path.display()),
                _ => {}
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert_eq!(mode(&release.join("MANIFEST.json")), 0o600);
}

#[test]
fn completions_and_man_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = strata(here(), ["completions", shell]).done().out;
        for verb in VERBS {
            assert!(text.contains(verb), "{shell}: {verb}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    strata(folder.path(), ["man", "--out", "man"]).done();
    for verb in VERBS {
        let page = fs::read_to_string(folder.path().join(format!("man/strata-{verb}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains("Example"), "{verb}");
    }
    let reference = strata(here(), ["man", "--markdown"]).done().out;
    assert!(VERBS.iter().all(|verb| reference.contains(&format!("## `strata {verb}`"))));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "\"$0\" schema workflow | head -1", programme::STRATA]);
    let said = programme::said(&mut command).done();
    assert_eq!(said.out.trim(), "{");
    assert!(!said.err.contains("panicked"), "{}", said.err);
}
