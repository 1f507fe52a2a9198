//! `strata query` as an analyst meets it: groups, formats, carriers, refusals.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::BTreeMap;

use programme::Programme;

/// Rows of a TSV answer by column name.
fn rows(out: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = out.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let row = |line: &str| {
        names.iter().map(|n| (*n).to_owned()).zip(line.split('\t').map(str::to_owned)).collect()
    };
    lines.map(row).collect()
}

fn sum(rows: &[&BTreeMap<String, String>], column: &str) -> i64 {
    rows.iter().map(|r| r[column].parse::<i64>().unwrap()).sum()
}

#[test]
fn an_analyst_counts_groups_and_lists_carriers() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let ask = |more: &[&str]| {
        let base = ["query", "store", "--log-format", "json"];
        programme.strata(base.iter().chain(more).copied())
    };
    let whole = ask(&["--callset", "wgs", "--by", "ancestry"]).done().out;
    assert_eq!(whole, ask(&["--by", "ancestry", "--threads", "1"]).done().out);
    let all = rows(&whole);
    let mut by_variant: BTreeMap<&str, Vec<&BTreeMap<String, String>>> = BTreeMap::new();
    all.iter().for_each(|r| by_variant.entry(&r["vid"]).or_default().push(r));
    assert!(by_variant.len() > 100, "{}", by_variant.len());
    for group in by_variant.values() {
        assert_eq!(group[0]["group"], "all");
        for column in ["n_called", "n_missing", "n_het", "n_hom_alt", "n_hemi_alt", "ac", "an"] {
            assert_eq!(sum(&group[..1], column), sum(&group[1..], column), "{column}");
        }
    }
    let with_carriers =
        by_variant.values().find(|g| g[0]["ac"].parse::<i32>().unwrap() > 2).unwrap();
    let one = with_carriers[0];
    let vid = one["vid"].as_str();
    assert_eq!(rows(&ask(&["--variant", vid]).done().out), std::slice::from_ref(one));
    let bare = vid.trim_start_matches("chr").to_ascii_lowercase();
    assert_eq!(rows(&ask(&["--variant", &bare]).done().out), std::slice::from_ref(one));
    let carriers = rows(&ask(&["--variant", vid, "--carriers"]).done().out);
    let people: Vec<&str> = carriers.iter().map(|r| r["person_id"].as_str()).collect();
    let expected = ["n_het", "n_hom_alt", "n_hemi_alt"].map(|c| sum(&[one], c)).iter().sum::<i64>();
    assert_eq!(people.len() as i64, expected);
    assert!(carriers.is_sorted_by_key(|r| r["sample_idx"].parse::<u32>().unwrap()));
    programme.write("some.txt", format!("person_id\n# carriers\n{}\n", people.join("\n")));
    let some = rows(&ask(&["--variant", vid, "--samples", "some.txt"]).done().out);
    assert_eq!((&some[0]["ac"], &some[0]["group"]), (&one["ac"], &"all".to_owned()));
    let named = ask(&["--variant", vid, "--group", "case=some.txt", "--by", "sex"]).done();
    let named = rows(&named.out);
    assert_eq!(named[0]["group"], "case");
    assert!(named[1..].iter().all(|r| r["group"].starts_with("case:")));
    assert_eq!(sum(&[&named[0]], "ac"), sum(&named[1..].iter().collect::<Vec<_>>(), "ac"));
    let theirs = rows(&ask(&["--person", people[0]]).done().out);
    assert!(theirs.iter().any(|r| r["vid"] == vid));
    assert!(theirs.iter().all(|r| r["person_id"] == people[0]));
    let json = ask(&["--variant", vid, "--format", "json"]).done().out;
    let json: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((&json["vid"], json["ac"].to_string()), (&vid.into(), one["ac"].clone()));
    assert_eq!(rows(&ask(&["--limit", "7"]).done().out).len(), 7);
    let two = ask(&["--by", "ancestry", "--columns", "af,vid"]).done().out;
    assert_eq!(two.lines().next(), Some("af\tvid"));
    let pairs = |rows: &[BTreeMap<String, String>]| -> Vec<(String, String)> {
        rows.iter().map(|r| (r["vid"].clone(), r["af"].clone())).collect()
    };
    assert_eq!(pairs(&rows(&two)), pairs(&all));
    let release = programme.release();
    let same = ["query", release.to_str().unwrap(), "--by", "ancestry"];
    assert_eq!(programme.strata(same).done().out, whole);
}

#[test]
fn a_parquet_answer_is_private_and_holds_the_same_rows() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    let ask = ["query", "store", "--format", "parquet", "--out", "answer.parquet"];
    programme.strata(ask).done();
    let path = programme.path("answer.parquet");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let file = std::fs::File::open(&path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1 << 20);
    let n: usize = reader.unwrap().map(|b| b.unwrap().num_rows()).sum();
    let text = programme.strata(["query", "store"]).done().out;
    assert_eq!(n, text.lines().count() - 1);
    let again = programme.strata(ask.iter().copied().chain(["--log-format", "json"]));
    assert_eq!(again.code, Some(1), "{again:?}");
}

#[test]
fn what_a_release_has_not_is_refused_without_naming_people() {
    let programme = Programme::in_memory(60, 300);
    programme.run().done();
    programme.write("bad.txt", "12345\nnobody\n");
    let ask = |more: &[&str]| {
        let base = ["query", "store", "--log-format", "json"];
        programme.strata(base.iter().chain(more).copied())
    };
    ask(&["--callset", "array"]).refused("query::unknown", &["wgs"]);
    ask(&["--region", "chr9"]).refused("query::unknown", &["chr20"]);
    ask(&["--region", "chr20:9-3"]).refused("query::region", &[]);
    ask(&["--region", "chr20:x"]).refused("query::region", &[]);
    ask(&["--variant", "chr20-1-A-G"]).refused("query::variant", &[]);
    ask(&["--ancestry", "xyz"]).refused("query::ancestry", &["eur"]);
    ask(&["--group", "case"]).refused("query::group", &[]);
    ask(&["--columns", "vid,aff"]).refused("query::columns", &["did you mean `af`?"]);
    ask(&["--person", "5"]).refused("query::person", &[]);
    ask(&["--release", "none"]).refused("release::unknown", &[]);
    let said = ask(&["--samples", "bad.txt"]);
    assert!(!said.err.contains("nobody") && !said.err.contains("12345"), "{}", said.err);
    assert_eq!(said.out, "");
    said.refused("query::samples", &["2 lines", "line 1"]);
    assert_eq!(ask(&["--format", "parquet"]).code, Some(2));
    assert_eq!(ask(&["--carriers"]).code, Some(2));
}
