//! The one-way direction of the modules (ARCHITECTURE.md), read from the sources.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which top-level modules each may name. `config` and `error` are leaves.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let stage = ["config", "error", "engine"];
    let with = |more: &[&'static str]| [&stage[..], more].concat();
    BTreeMap::from([
        ("error", vec![]),
        ("config", vec!["error"]),
        ("engine", vec!["config", "error"]),
        ("genotype", with(&[])),
        ("omop", with(&[])),
        ("vocabulary", with(&["omop"])),
        ("curation", with(&["omop", "vocabulary", "derived"])),
        ("derived", with(&["omop", "vocabulary"])),
        ("quality", with(&["omop", "vocabulary"])),
        ("identity", with(&[])),
        ("synth", with(&[])),
        ("attack", with(&["omop"])),
        ("release", with(&[])),
        ("tier", with(&["identity", "omop"])),
        ("publish", with(&["identity", "release"])),
        ("invariant", with(&["identity", "omop"])),
        (
            "pipeline",
            with(&[
                "attack",
                "genotype",
                "omop",
                "vocabulary",
                "curation",
                "derived",
                "quality",
                "identity",
                "tier",
                "publish",
                "invariant",
                "release",
            ]),
        ),
        ("cli", with(&["pipeline", "release", "tier", "omop", "vocabulary", "synth"])),
    ])
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Code without comments and in-file tests, which may reach anywhere.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn module_of(path: &Path, root: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules named as `crate::x` or inside `crate::{x::…, y}`.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    ',' | '}' if depth == 0 => {
                        found.insert(word(group[start..i].trim_start()));
                        start = i + 1;
                        if c == '}' {
                            break;
                        }
                    }
                    '}' => depth -= 1,
                    _ => {}
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found.remove("");
    found
}

#[test]
fn modules_import_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = allowed();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for path in sources(&root) {
        let module = module_of(&path, &root);
        if module == "lib" || module == "main" {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no rule"));
        for name in named(&code(&path)) {
            let known = allowed.contains_key(name.as_str());
            if known && name != module && !may.contains(&name.as_str()) {
                wrong.push(format!(
                    "{} imports {name}",
                    path.strip_prefix(&root).unwrap().display()
                ));
            }
        }
        seen.insert(module);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen.len(), allowed.len(), "a module of the rules is gone: {seen:?}");
}

#[test]
fn the_scanner_sees_what_it_must() {
    let code =
        "use crate::{config::{A, B}, engine, genotype::x};\nuse crate::omop;\ncrate::tier::f();";
    let found: Vec<String> = named(code).into_iter().collect();
    assert_eq!(found, ["config", "engine", "genotype", "omop", "tier"]);
}

#[test]
fn only_genotype_knows_genomic_formats_and_only_cli_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let module = module_of(&path, &root);
        let code = code(&path);
        if module != "genotype" {
            for word in ["noodles", "memmap2"] {
                assert!(!code.contains(word), "{} names {word}", path.display());
            }
        }
        if module != "cli" {
            for word in ["println!", "print!(", "eprintln!"] {
                assert!(!code.contains(word), "{} prints", path.display());
            }
        }
        assert!(path.file_name().unwrap() != "mod.rs", "{}", path.display());
    }
}

#[test]
fn stages_do_not_read_the_clock_or_the_environment() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let module = module_of(&path, &root);
        if [
            "genotype",
            "omop",
            "vocabulary",
            "wearable",
            "curation",
            "derived",
            "quality",
            "identity",
            "tier",
            "publish",
            "synth",
            "config",
        ]
        .contains(&module.as_str())
        {
            let code = code(&path);
            for word in ["SystemTime", "Instant::now", "Timestamp::now", "env::var", "Zoned::now"] {
                assert!(!code.contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

/// A person's shift is taken away in many places and added in two: the desk that un-shifts, and the ingest
/// of a feed that arrives shifted, by the feed's own map.
#[test]
fn nothing_else_adds_a_shift() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let may_add = ["identity/unshift.rs", "omop/unshift.rs"];
    // Where a word holds `shift` and means bits, steps of a keyboard or the like.
    let other_shifts = ["genotype", "synth", "engine"];
    let mut seen = BTreeSet::new();
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap().display().to_string();
        if other_shifts.contains(&module_of(&path, &root).as_str()) {
            continue;
        }
        // It tries every shift in turn; a person's own it only compares with.
        if relative == "attack/shift.rs" {
            continue;
        }
        let code = code(&path);
        if may_add.contains(&relative.as_str()) {
            assert!(added_days(&code).is_some(), "{relative} no longer adds: mend this test");
            seen.insert(relative);
            continue;
        }
        let knows_shifts = code.to_lowercase().contains("shift");
        if let Some(line) = added_days(&code).filter(|_| knows_shifts) {
            panic!("{relative} adds days where shifts are known: {line}");
        }
    }
    assert_eq!(seen.len(), 2);
}

/// The first line that adds what is named like a shift or like days to something.
fn added_days(code: &str) -> Option<&str> {
    let added = |line: &&str| {
        // What stands between quotes is words.
        let line: String = line.split('"').step_by(2).collect::<String>().to_lowercase();
        let about = ["shift", "days"].iter().any(|word| {
            let sums = [
                format!("+ {word}"),
                format!("+ i64::from({word}"),
                format!("+ i64::from(*{word}"),
            ];
            let calls = ["checked_add(", "saturating_add(", "wrapping_add(", ".add("];
            sums.iter().any(|sum| line.contains(sum))
                || calls.iter().any(|call| {
                    let rest = line.split(call).nth(1);
                    rest.is_some_and(|rest| rest.contains(word))
                })
        });
        about || line.contains("neg(shift") || line.contains("(-shift") || line.contains("(-days")
    };
    code.lines().find(added)
}

#[test]
fn the_test_for_shifts_sees_what_it_must() {
    for wrong in [
        "let d = date + shift;",
        "Some(time? + i64::from(days?) * DAY)",
        "date.checked_add(shift.days())",
        "v.saturating_add(days)",
        "date.saturating_sub(-shift)",
    ] {
        assert!(added_days(wrong).is_some(), "{wrong}");
    }
    for right in ["date - shift", "i64::from(days?) * DAY", "check(&shift, &days)"] {
        assert!(added_days(right).is_none(), "{right}");
    }
}
