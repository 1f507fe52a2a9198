//! The table of disagreements: what strata says in each situation, and the page that is made of it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;
#[path = "genotype_spec/table.rs"]
mod table;
#[path = "genotype_spec/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::path::Path;

use strata::genotype::{SampleEntry, SampleSheet, Sex};
use support::{Run, Table, file, request, run};
use table::{Check, SPECS, Spec};
use text::{NAMES, vcf};

fn sheet(sexed: bool) -> SampleSheet {
    let entry = |(i, name): (usize, &&str)| {
        let sex = if i < 6 { Sex::Female } else { Sex::Male };
        let entry = SampleEntry {
            research_id: 1 + i as i64,
            sex: sexed.then_some(sex),
            ..SampleEntry::default()
        };
        ((*name).to_owned(), entry)
    };
    SampleSheet {
        included: NAMES.iter().enumerate().map(entry).collect(),
        ..SampleSheet::default()
    }
}

fn ingest(spec: &Spec) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let version = if spec.id == "unknown_version" { "4.5" } else { "4.2" };
    let path = file(&dir, "in.vcf", vcf(version, spec.records).as_bytes());
    run(&request(&[path], sheet(spec.sexed)), 1).unwrap()
}

/// Whether a cell is what the table of disagreements says; numbers to the digits it gives.
fn is(table: &Table, row: usize, column: &str, want: &str) -> Result<(), String> {
    let Some(_) = table.0.column_by_name(column) else {
        return Err(format!("no column {column}"));
    };
    let got = table.texts(column)[row].clone().unwrap_or_else(|| "null".to_owned());
    let close = match (got.parse::<f64>(), want.parse::<f64>()) {
        (Ok(a), Ok(b)) => {
            let digits = want.trim_start_matches(['-', '0', '.']).replace('.', "").len().max(1);
            let tolerance =
                if want.contains('.') { b.abs() * 10f64.powi(1 - digits as i32) } else { 0.0 };
            (a - b).abs() <= tolerance
        }
        _ => got == want,
    };
    if close { Ok(()) } else { Err(format!("{column} is {got}, not {want}")) }
}

fn failures(spec: &Spec) -> Vec<String> {
    let run = ingest(spec);
    let (variants, samples) = (run.variants(), run.table("/samples/"));
    let vids = variants.texts("vid");
    let at = |vid: &str| vids.iter().position(|v| v.as_deref() == Some(vid));
    let mut failed = Vec::new();
    let mut note =
        |what: Result<(), String>| failed.extend(what.err().map(|e| format!("{}: {e}", spec.id)));
    for check in spec.checks {
        match check {
            Check::Row(vid, cells) => match at(vid) {
                Some(row) => cells.iter().for_each(|(c, want)| note(is(&variants, row, c, want))),
                None => note(Err(format!("no row {vid} among {vids:?}"))),
            },
            Check::NoRow(vid) => {
                if at(vid).is_some() {
                    note(Err(format!("a row {vid}")));
                }
            }
            Check::Sample(row, cells) => {
                cells.iter().for_each(|(c, want)| note(is(&samples, *row, c, want)));
            }
            Check::Booked(reason, want) => {
                let ledger = run.ledger();
                let got = ledger.excluded.get(*reason).or_else(|| ledger.noted.get(*reason));
                if got != Some(want) {
                    note(Err(format!("{reason} is {got:?}, not {want}")));
                }
            }
        }
    }
    failed
}

#[test]
fn strata_says_what_the_table_says() {
    let failed: Vec<String> = SPECS.iter().flat_map(failures).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_table_is_complete_in_itself() {
    let ids: BTreeSet<&str> = SPECS.iter().map(|s| s.id).collect();
    assert_eq!(ids.len(), SPECS.len(), "ids are unique");
    assert!(SPECS.len() >= 25);
    for spec in SPECS {
        assert!(
            !spec.title.is_empty() && !spec.says.is_empty() && !spec.why.is_empty(),
            "{}",
            spec.id
        );
        assert!(
            !spec.tools.is_empty() && !spec.checks.is_empty() && !spec.source.is_empty(),
            "{}",
            spec.id
        );
    }
}

fn page() -> String {
    let mut out = String::from(
        "# Where genotype tools disagree, and what strata says\n\n\
         Made from the table in `tests/genotype_spec/table.rs`, which the tests run: do not edit by hand\n\
         (`STRATA_UPDATE_DOCS=1 cargo test --release --test genotype_spec`). Twelve samples, six women and six men,\n\
         in this order. Tool versions: bcftools 1.16, plink2 2.00a3.5, plink 1.9, vcftools 0.1.16, Hail 0.2.139,\n\
         sgkit 0.10.\n\n| situation | strata |\n| --- | --- |\n",
    );
    for s in SPECS {
        let title = s.title.replace('|', "\\|");
        out += &format!("| [{title}](#{}) | {} |\n", s.id, s.says.replace('|', "\\|"));
    }
    for s in SPECS {
        out += &format!("\n<a id=\"{}\"></a>\n\n## {}\n\n```text\n", s.id, s.title);
        for r in s.records {
            out += &format!("{r}\n");
        }
        out += "```\n\n| | says |\n| --- | --- |\n";
        for (tool, says) in s.tools {
            out += &format!("| {tool} | {says} |\n");
        }
        out += &format!("| **strata** | {} |\n\nWhy: {}. ({})\n", s.says, s.why, s.source);
    }
    out
}

#[test]
fn the_page_is_made_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/disagreements.md");
    if std::env::var_os("STRATA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(have == page(), "docs/disagreements.md is out of date: run with STRATA_UPDATE_DOCS=1");
}

#[test]
fn cells_are_compared_to_the_digits_given() {
    let run = ingest(table::find("hwe_midp").unwrap_or_else(|| panic!("gone")));
    let t = run.variants();
    assert!(is(&t, 0, "hwe_p", "0.7965").is_ok());
    assert!(is(&t, 0, "hwe_p", "0.80").is_ok() && is(&t, 0, "hwe_p", "0.70").is_err());
    assert!(is(&t, 0, "ac", "9").is_ok() && is(&t, 0, "ac", "8").is_err());
    assert!(is(&t, 0, "no_such_column", "1").is_err());
}
