//! Feeds as programmes send them, from the file to the release: codes that nothing maps, extracts of two versions
//! of the CDM, rows that stray quotes draw together, a vocabulary that comes with the second site.

#[path = "support/programme.rs"]
mod programme;

use std::fs;

use programme::{Programme, columns, table};

const PROCEDURES: &str = "feed/omop/procedure_occurrence.csv.gz";

/// A programme with the rules of curation, whatever they are named.
fn programme(rules: &str, more: &str) -> Programme {
    let programme = Programme::in_memory(60, 50);
    let rules = format!("{}/configs/curation/{rules}", env!("CARGO_MANIFEST_DIR"));
    programme.edit("w.toml", |text| format!("{text}\n[curation]\nrules = [\"{rules}\"]\n{more}"));
    programme
}

/// People of the roster with a withdrawal status.
fn people(programme: &Programme, status: &str) -> Vec<String> {
    let rows = programme.rows("feed/participants.csv");
    let of = |row: &&std::collections::BTreeMap<String, String>| {
        row["withdrawal_status"] == status && (status == "withdrawn" || row["ehr_consent"] == "yes")
    };
    rows.iter().filter(of).map(|row| row["person_id"].clone()).collect()
}

/// Rules remove rows without a concept; the report of unmapped codes has them all the same, but those of people who
/// have left.
#[test]
fn codes_that_nothing_maps_are_told_though_rules_remove_their_rows() {
    let programme = programme("all_of_us.toml", "\n[quality]\nmin_persons = 3\n");
    let (here, gone) = (people(&programme, "not_withdrawn"), people(&programme, "withdrawn"));
    assert!(here.len() >= 4 && !gone.is_empty());
    let row = |n: usize, person: &str, code: &str| {
        format!("{},{person},0,2020-01-01,,,,32817,0,1,,,,{code},0,\n", 900_000_000 + n)
    };
    let mut rows: String =
        here.iter().take(4).enumerate().map(|(n, p)| row(n, p, "LOCAL-7")).collect();
    rows += &gone
        .iter()
        .cycle()
        .take(5)
        .enumerate()
        .fold(String::new(), |rows, (n, person)| rows + &row(100 + n, person, "LOCAL-OF-GONE"));
    programme.edit(PROCEDURES, |text| text + &rows);
    programme.run().done();
    let found = columns(&programme.release().join("quality/vocabulary/unmapped.parquet"));
    let at = found["source_code"].iter().position(|code| code == "LOCAL-7").unwrap();
    assert_eq!((found["rows"][at].as_str(), found["persons"][at].as_str()), ("4", "4"));
    assert_eq!(found["field"][at], "procedure_concept_id");
    assert!(!found["source_code"].iter().any(|code| code == "LOCAL-OF-GONE"));
    // The rule did remove them.
    let rules = columns(&programme.release().join("quality/curation/rules.parquet"));
    let zero = (0..rules["rule_id"].len()).find(|&i| {
        rules["rule_id"][i] == "zero_concepts" && rules["table"][i] == "procedure_occurrence"
    });
    assert!(zero.is_some_and(|i| rules["rows_removed"][i].parse::<u64>().unwrap() >= 4));
}

/// A site with CDM 5.3 beside one with 5.4 is released; its vocabulary serves both.
#[test]
fn extracts_of_two_versions_are_released_together() {
    let programme = Programme::in_memory(60, 50);
    let old = programme.path("feed/old");
    fs::create_dir(&old).unwrap();
    for entry in fs::read_dir(programme.path("feed/omop")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, old.join(path.file_name().unwrap())).unwrap();
    }
    for entry in fs::read_dir(programme.path("feed/vocabulary")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, old.join(path.file_name().unwrap())).unwrap();
    }
    let renamed = [
        ("admitted_from_concept_id", "admitting_source_concept_id"),
        ("discharged_to_concept_id", "discharge_to_concept_id"),
    ];
    for (new, old) in renamed {
        programme.replace("feed/old/visit_occurrence.csv.gz", new, old);
    }
    programme.edit("w.toml", |text| {
        let text = text.replace("[vocabulary]\npath = \"feed/vocabulary\"\n\n", "");
        text.replace(
            "[callset.wgs]",
            "[ehr.site_b]\npath = \"feed/old\"\ncdm = \"5.3\"\ndates = \"true\"\n\n[callset.wgs]",
        )
    });
    programme.run().done();
    let visits = table(&programme.release().join("controlled/omop/visit_occurrence"));
    assert!(visits.contains_key("admitted_from_concept_id"));
    assert!(!visits.contains_key("admitting_source_concept_id"));
    assert!(visits["visit_concept_id"].len() > 50);
    assert!(programme.release().join("controlled/omop/concept").is_dir());
}

/// Two stray quotes in one column make text of all that is between them: every line of it is quarantined.
#[test]
fn rows_between_stray_quotes_are_counted_and_not_believed() {
    let programme = Programme::in_memory(20, 50);
    let mut lines = 0;
    programme.edit(PROCEDURES, |text| {
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        lines = rows.len() as u64 - 1;
        let value = rows[0].split(',').position(|name| name == "procedure_source_value").unwrap();
        for (row, stray) in [(3, "\"A"), (9, "tube 5\"")] {
            let mut cells: Vec<String> = rows[row].split(',').map(str::to_owned).collect();
            cells[value] = stray.to_owned();
            rows[row] = cells.join(",");
        }
        rows.join("\n") + "\n"
    });
    programme.run().done();
    let manifest = programme.manifest();
    let books = manifest["stages"]["ingest.ehr.site_a"]["ledger"].as_array().unwrap();
    let named = |of: &&serde_json::Value| {
        of["table"].as_str().is_some_and(|t| t.ends_with("procedure_occurrence"))
    };
    let of = books.iter().find(named).unwrap();
    assert_eq!(of["rows_in"], lines);
    assert_eq!(of["excluded"]["torn_quote"], 7, "{of}");
    assert_eq!(of["rows_out"], lines - 7);
}
