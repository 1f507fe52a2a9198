//! What users see and build on, held still: the plan, the rules as explained, the schema of every table.
//! A change shows up as a difference to review (`INSTA_UPDATE=always cargo test --release --test snapshots`).

#[path = "support/programme.rs"]
mod programme;

use std::collections::BTreeMap;
use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use programme::Programme;

/// Release ids follow the sources of the program.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let id = word.trim_end();
        match id.rsplit_once('-') {
            Some((tag, hex)) if hex.len() == 12 && hex.chars().all(|c| c.is_ascii_hexdigit()) => {
                out += &format!("{tag}-<id>{}", &word[id.len()..]);
            }
            _ => out += word,
        }
    }
    out
}

#[test]
fn the_plan_of_a_first_run() {
    let programme = Programme::in_memory(60, 300);
    insta::assert_snapshot!(masked(&programme.strata(["plan", "w.toml"]).done().out));
}

#[test]
fn the_rules_explained() {
    let programme = Programme::in_memory(60, 300);
    insta::assert_snapshot!(programme.strata(["explain", "w.toml"]).done().out);
}

#[test]
fn the_schema_of_every_table() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let mut schemas: BTreeMap<String, String> = BTreeMap::new();
    for path in programme::tables_below(&programme.release()) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let relative = path.strip_prefix(programme.release()).unwrap();
        let table = relative.iter().filter(|part| {
            let part = part.to_string_lossy();
            !part.starts_with("part-") && !part.contains('=')
        });
        let table: Vec<String> = table.map(|p| p.to_string_lossy().into_owned()).collect();
        let columns: Vec<String> = builder
            .schema()
            .fields()
            .iter()
            .map(|f| {
                format!(
                    "  {} {}{}",
                    f.name(),
                    f.data_type(),
                    if f.is_nullable() { "?" } else { "" }
                )
            })
            .collect();
        let text = columns.join("\n");
        let name = table.join("/");
        let known = schemas.entry(name.clone()).or_insert_with(|| text.clone());
        assert_eq!(*known, text, "files of {name} differ in schema");
    }
    let all: Vec<String> = schemas.iter().map(|(name, text)| format!("{name}\n{text}")).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}
