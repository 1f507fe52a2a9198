//! The version of the vocabulary is in every table that holds its concepts, and may be pinned.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use programme::Programme;

/// What a Parquet file says of the vocabulary.
fn stated(path: &std::path::Path) -> Option<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    pairs.into_iter().find(|p| p.key == "strata.vocabulary_version").and_then(|p| p.value)
}

/// The version that the feed's VOCABULARY states.
fn version(programme: &Programme) -> String {
    let text = programme.read("feed/vocabulary/VOCABULARY.csv");
    let whole = text.lines().find(|line| line.starts_with("None\t")).unwrap();
    whole.split('\t').nth(3).unwrap().to_owned()
}

#[test]
fn every_output_with_concepts_says_their_version() {
    let programme = Programme::in_memory(60, 100);
    programme.edit("w.toml", |text| format!("{text}\n[quality]\n"));
    let version = version(&programme);
    programme.run().done();
    let manifest = programme.manifest();
    let mut found = 0;
    for file in manifest["files"].as_array().unwrap() {
        let (path, tier) = (file["path"].as_str().unwrap(), file["tier"].as_str().unwrap());
        let concepts = ["/omop/", "quality/achilles/", "quality/dqd/", "quality/vocabulary/"];
        let concepts = concepts.iter().any(|folder| path.contains(folder))
            || ["public/tables/concepts", "public/tables/demographics"]
                .iter()
                .any(|table| path.starts_with(table));
        if !concepts || !path.ends_with(".parquet") {
            continue;
        }
        found += 1;
        assert_eq!(file["vocabulary"], version.as_str(), "{tier} {path}");
        assert_eq!(
            stated(&programme.release().join(path)).as_deref(),
            Some(version.as_str()),
            "{path}"
        );
    }
    assert!(found > 60, "{found} files");
}

#[test]
fn another_version_than_the_pinned_one_stops_the_run() {
    let programme = Programme::in_memory(60, 100);
    let pin = |version: &str| {
        programme.edit("w.toml", |text| {
            let path = "path = \"feed/vocabulary\"\n";
            let start = text.find(path).unwrap() + path.len();
            let rest = text[start..].split_once("\n[").unwrap().1;
            format!("{}version = \"{version}\"\n\n[{rest}", &text[..start])
        });
    };
    pin("v5.0 01-JAN-99");
    programme.run().refused("vocabulary::version", &["v5.0 01-JAN-99"]);
    assert!(programme.current().is_none());
    let version = version(&programme);
    pin(&version);
    programme.run().done();
}
