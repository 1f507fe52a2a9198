//! Tables at rest under a key (privacy reference 3.3, P27, P28): what is on disk says nothing, opens with
//! the key of its place and content alone, does not change unnoticed, and is read by pyarrow and DuckDB.
#![expect(clippy::unwrap_used, reason = "a test may panic and say what it measured")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use arrow::array::{Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use base64::Engine;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::PageIndexPolicy;
use programme::{KEY, Programme, files_below, holds};
use serde_json::Value;
use sha2::{Digest, Sha256};
use strata::engine::parquet::{hex, properties};
use strata::engine::seal::seal;
use strata::engine::{FileEntry, FileTags, Keyring, RestKey, TableFile};
use strata::identity::Key;

const PATH: &str = "controlled/omop/person/part-0000.parquet";
const CANARY: &str = "CANARY-7f3a-zebra";

fn tier_key(byte: u8, tier: &str) -> RestKey {
    Key::from_bytes([byte; 32]).unwrap().at_rest(tier)
}

fn ring(keys: Vec<RestKey>) -> Keyring {
    Keyring::of(keys).unwrap()
}

fn rows(n: usize) -> RecordBatch {
    let count = i64::try_from(n).unwrap();
    let schema = Schema::new(vec![
        Field::new("person_id", DataType::Int64, false),
        Field::new("canary_column", DataType::Utf8, true),
        Field::new("start_date", DataType::Date32, false),
        Field::new("value_as_number", DataType::Float64, true),
    ]);
    let text = |i: usize| (!i.is_multiple_of(5)).then(|| format!("{CANARY}-{}", i % 11));
    let dates = (0..n).map(|i| 19_000 + i32::try_from(i % 365).unwrap());
    let values = (0..n).map(|i| (!i.is_multiple_of(3)).then_some(i as f64 / 7.0));
    RecordBatch::try_new(
        schema.into(),
        vec![
            std::sync::Arc::new(Int64Array::from_iter_values(0..count)),
            std::sync::Arc::new((0..n).map(text).collect::<StringArray>()),
            std::sync::Arc::new(Date32Array::from_iter_values(dates)),
            std::sync::Arc::new(values.collect::<Float64Array>()),
        ],
    )
    .unwrap()
}

/// `rows` as a table in `root/plain`, in groups of 5,000 rows, and sealed in `root/sealed`.
fn sealed(root: &Path, rows: &RecordBatch, key: &RestKey) -> (FileEntry, FileEntry) {
    let tags = FileTags {
        tier: "controlled".into(),
        table: "person".into(),
        callset: None,
        date_basis: "true",
        vocabulary: None,
    };
    let properties = properties(&tags, &[0]).set_max_row_group_row_count(Some(5_000)).build();
    let from = root.join("plain");
    let mut file = TableFile::create(&from, PATH, rows.schema(), tags, properties).unwrap();
    file.write(rows).unwrap();
    let plain = file.finish().unwrap();
    let sealed = seal(&from.join(PATH), &root.join("sealed"), &plain, key).unwrap();
    (plain, sealed)
}

/// All rows of a file, or the reader's refusal.
fn read(path: &Path, keyring: &Keyring) -> Result<Vec<RecordBatch>, String> {
    // With the page indexes, so that every module of the file is opened.
    let options = keyring.options().with_page_index_policy(PageIndexPolicy::Required);
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .and_then(|builder| builder.with_batch_size(1 << 20).build());
    reader.map_err(|e| e.to_string())?.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

#[test]
fn keys_of_files_are_hkdf_of_path_and_content() {
    // Computed with Python's hmac from RFC 5869.
    let key = tier_key(7, "controlled").file(PATH, &"ab".repeat(32));
    assert_eq!(key.name(), "strata/v1 9eb02449 controlled 7414f4741b8dcba2cc788e48752a7e17");
    assert_eq!(*key.reveal(), "BVl14Yt6VIkXE1UJm4Onb2TxzXqUDpDPqppTMDCm34o=");
    let others = [
        tier_key(7, "controlled").file("controlled/omop/death/part-0000.parquet", &"ab".repeat(32)),
        tier_key(7, "controlled").file(PATH, &"cd".repeat(32)),
        tier_key(7, "registered").file(PATH, &"ab".repeat(32)),
        tier_key(8, "controlled").file(PATH, &"ab".repeat(32)),
    ];
    assert!(others.iter().all(|other| *other.reveal() != *key.reveal()));
    let shown = format!("{key:?} {:?} {:?}", tier_key(7, "controlled"), ring(Vec::new()));
    assert_eq!(shown, "FileKey(…) RestKey(…) Keyring(…)");
}

#[test]
fn a_sealed_table_has_the_same_rows_groups_order_and_tags() {
    let root = tempfile::tempdir().unwrap();
    let rows = rows(12_345);
    let (plain, sealed) = sealed(root.path(), &rows, &tier_key(7, "controlled"));
    assert_eq!(sealed.plaintext_sha256.as_deref(), Some(plain.sha256.as_str()));
    assert_ne!(sealed.sha256, plain.sha256);
    assert_eq!((sealed.rows, &sealed.schema), (plain.rows, &plain.schema));
    let keyring = ring(vec![tier_key(7, "registered"), tier_key(7, "controlled")]);
    let (from, to) = (root.path().join("plain").join(PATH), root.path().join("sealed").join(PATH));
    assert_eq!(read(&to, &keyring).unwrap(), vec![rows]);
    let open = |path: &Path| keyring.open(File::open(path).unwrap()).unwrap().metadata().clone();
    let (before, after) = (open(&from), open(&to));
    let groups = |m: &parquet::file::metadata::ParquetMetaData| -> Vec<i64> {
        m.row_groups().iter().map(|group| group.num_rows()).collect()
    };
    assert_eq!(groups(&before), [5_000, 5_000, 2_345]);
    assert_eq!(groups(&after), groups(&before));
    let (before, after) = (before.row_group(1), after.row_group(1));
    assert_eq!(after.sorting_columns(), before.sorting_columns());
    for (a, b) in after.columns().iter().zip(before.columns()) {
        assert_eq!(a.statistics(), b.statistics(), "{}", b.column_path());
        assert_eq!(a.compression(), b.compression());
        assert!(a.crypto_metadata().is_some(), "a column is not encrypted");
    }
    let mode = fs::metadata(&to).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_file_opens_in_its_own_place_with_its_own_key_alone() {
    let root = tempfile::tempdir().unwrap();
    let (_, entry) = sealed(root.path(), &rows(100), &tier_key(7, "controlled"));
    let path = root.path().join("sealed").join(PATH);
    let own = ring(vec![tier_key(7, "controlled")]);
    assert!(read(&path, &own).is_ok());
    for keyring in [
        Keyring::default(),
        ring(vec![tier_key(7, "registered")]),
        ring(vec![tier_key(8, "controlled")]),
    ] {
        assert!(read(&path, &keyring).is_err());
    }
    let opens = |entry: &FileEntry| own.footer_of(&File::open(&path).unwrap(), entry).is_ok();
    assert!(opens(&entry));
    // Another file of the tier in its place, an older one of the same place, one that is not sealed.
    let path_of = |path: &str| FileEntry { path: path.into(), ..entry.clone() };
    assert!(!opens(&path_of("controlled/omop/death/part-0000.parquet")));
    assert!(!opens(&FileEntry { plaintext_sha256: Some("ab".repeat(32)), ..entry.clone() }));
    assert!(!opens(&FileEntry { plaintext_sha256: None, ..entry.clone() }));
}

/// No flipped bit makes a reader return other rows. The few that it does not refuse are in the clear part
/// (magic, lengths), and the manifest's digest is over these bytes too.
#[test]
fn a_flipped_bit_never_gives_other_rows() {
    let root = tempfile::tempdir().unwrap();
    let keyring = ring(vec![tier_key(7, "controlled")]);
    let (_, entry) = sealed(root.path(), &rows(60), &tier_key(7, "controlled"));
    let path = root.path().join("sealed").join(PATH);
    let bytes = fs::read(&path).unwrap();
    let truth = read(&path, &keyring).unwrap();
    let (mut refused, mut same) = (0, 0);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        let (_, digest) = strata::release::digest_of(&path).unwrap();
        assert_ne!(digest, entry.sha256);
        match read(&path, &keyring) {
            Err(_) => refused += 1,
            Ok(found) => {
                assert_eq!(found, truth, "byte {at}");
                same += 1;
            }
        }
    }
    println!("{refused} of {} flips refused by the reader, {same} without effect", bytes.len());
    assert!(same * 10 < bytes.len(), "{same} of {} flips went unnoticed", bytes.len());
}

/// A programme whose two tiers are sealed, with the root key of all programmes here.
fn programme() -> Programme {
    let programme = Programme::in_memory(60, 300);
    programme.edit("w.toml", |text| {
        let text = text.replace("controlled.toml\"", "controlled.toml\"\nencrypt = true");
        text.replace("registered.toml\"", "registered.toml\"\nencrypt = true")
    });
    programme
}

fn tier_files(manifest: &Value) -> Vec<&Value> {
    let files = manifest["files"].as_array().unwrap();
    files.iter().filter(|f| f["tier"] == "controlled" || f["tier"] == "registered").collect()
}

/// By path, a digest of each file.
fn digests(manifest: &Value, of: &str) -> BTreeMap<String, Value> {
    let files = tier_files(manifest).into_iter();
    files.map(|f| (f["path"].as_str().unwrap().to_owned(), f[of].clone())).collect()
}

#[test]
fn nothing_of_two_sealed_tiers_is_on_disk() {
    let plain = Programme::in_memory(60, 300);
    plain.run().done();
    let sealed = programme();
    let said = sealed.run().done();
    let words: [&[u8]; 6] =
        [b"PAR1", b"person_id", b"strata.table", b"hom_alt", b"ARROW:schema", b"person_bucket"];
    let scan = |programme: &Programme, tier: &str| -> usize {
        let files = files_below(&programme.release().join(tier));
        assert!(!files.is_empty());
        let found = files.iter().map(|path| {
            let bytes = fs::read(path).unwrap();
            words.iter().filter(|word| holds(&bytes, word)).count()
        });
        found.sum()
    };
    for tier in ["controlled", "registered"] {
        assert!(scan(&plain, tier) > 100, "the control must find them");
        // A file names its key by id; a path never is in it.
        assert_eq!(scan(&sealed, tier), 0);
    }
    for path in files_below(&sealed.release().join("controlled")) {
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE"), "{}", path.display());
    }
    // No key, in any form, is in the store or in what the run said.
    let root = Key::from_bytes(std::array::from_fn(|i| {
        u8::from_str_radix(&KEY[2 * i..2 * i + 2], 16).unwrap()
    }));
    let at_rest = root.unwrap().at_rest("controlled");
    let manifest = sealed.manifest();
    let mut keys: Vec<Vec<u8>> = vec![KEY.as_bytes().to_vec()];
    for file in tier_files(&manifest).into_iter().filter(|f| f["tier"] == "controlled").take(40) {
        let text = |name: &str| file[name].as_str().unwrap();
        let key = at_rest.file(text("path"), text("plaintext_sha256")).reveal();
        let raw = base64::prelude::BASE64_STANDARD.decode(&*key).unwrap();
        keys.push(strata::engine::parquet::hex(&raw).into_bytes());
        keys.push(key.trim_end_matches('=').as_bytes().to_vec());
        keys.push(raw);
    }
    let mut texts: Vec<Vec<u8>> =
        files_below(&sealed.store()).iter().map(|path| fs::read(path).unwrap()).collect();
    texts.extend([said.out.into_bytes(), said.err.into_bytes()]);
    for text in &texts {
        assert!(keys.iter().all(|key| !holds(text, key)), "a key is on disk or in a log");
    }
    // What the release says of itself is what the plain one says.
    let digests_of = |manifest: &Value, of| digests(manifest, of);
    assert_eq!(digests_of(&manifest, "plaintext_sha256"), digests_of(&plain.manifest(), "sha256"));
}

#[test]
fn plaintexts_are_the_same_on_any_number_of_threads_and_ciphertexts_are_not() {
    let runs: Vec<Value> = ["1", "4"]
        .iter()
        .map(|threads| {
            let programme = programme();
            programme.strata(["run", "w.toml", "--threads", threads]).done();
            programme.manifest()
        })
        .collect();
    let plain = |i: usize| digests(&runs[i], "plaintext_sha256");
    assert!(plain(0).values().all(Value::is_string));
    assert_eq!(plain(0), plain(1));
    let cipher = |i: usize| digests(&runs[i], "sha256");
    assert!(cipher(0).iter().all(|(path, digest)| cipher(1)[path] != *digest));
}

#[test]
fn verify_and_query_open_with_the_key_alone() {
    let programme = programme();
    programme.run().done();
    programme.write_key("other", &"31".repeat(32), 0o600);
    let verified = |args: &[&str]| {
        let said = programme.strata([&["verify"], args, &["--json"]].concat());
        (said.code, said.json())
    };
    let (code, whole) = verified(&["w.toml"]);
    assert_eq!((code, &whole["unopened"]), (Some(0), &false.into()));
    assert!(whole["invariants"].as_array().is_some_and(|found| found.len() > 20));
    let (code, keyless) = verified(&["store"]);
    assert_eq!((code, &keyless["unopened"]), (Some(0), &true.into()));
    assert!(keyless["invariants"].is_null());
    assert_eq!(verified(&["store", "--key", "key"]).1, whole);
    let (code, wrong) = verified(&["store", "--key", "other"]);
    assert_eq!(code, Some(1));
    let codes: Vec<&Value> =
        wrong["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
    assert_eq!(codes, ["other_key"], "one word, not one a table");

    let query = |args: &[&str]| {
        let args = [&["query"], args, &["--region", "chr20", "--log-format", "json"]].concat();
        programme.strata(args)
    };
    query(&["store"]).refused("seal::no_key", &["sealed", "--key"]);
    assert_eq!(query(&["store", "--key", "other"]).code, Some(1));
    let plain = Programme::in_memory(60, 300);
    plain.run().done();
    let region = ["--region", "chr20", "--by", "ancestry"];
    let plain_answer = plain.strata([&["query", "store"], &region[..]].concat()).done().out;
    assert!(plain_answer.lines().count() > 100);
    assert_eq!(query(&["w.toml", "--by", "ancestry"]).done().out, plain_answer);
    assert_eq!(query(&["store", "--key", "key", "--by", "ancestry"]).done().out, plain_answer);
    // Carriers read the planes of phase and the lists as well.
    let vid = plain_answer.lines().nth(1).unwrap().split('\t').next().unwrap();
    let carriers = ["--variant", vid, "--carriers", "--missing"];
    let plain_carriers = plain.strata([&["query", "store"], &carriers[..]].concat()).done().out;
    let sealed = programme.strata([&["query", "w.toml"], &carriers[..]].concat()).done().out;
    assert_eq!(sealed, plain_carriers);
}

/// Two sealed tables that change places, manifest and all, are found by whoever has the key.
#[test]
fn swapped_tables_are_found() {
    let programme = programme();
    programme.run().done();
    let release = programme.release();
    let paths = ["condition_occurrence", "measurement"]
        .map(|table| format!("controlled/omop/{table}/person_bucket=000/part-0000.parquet"));
    let [a, b] = paths.each_ref().map(|path| release.join(path));
    let kept = release.join("kept");
    fs::rename(&a, &kept).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&kept, &b).unwrap();
    let path = release.join("MANIFEST.json");
    let mut manifest = programme.manifest();
    let files = manifest["files"].as_array_mut().unwrap();
    let at = paths.each_ref().map(|path| files.iter().position(|f| f["path"] == **path).unwrap());
    for of in ["sha256", "bytes"] {
        let first = files[at[0]][of].clone();
        files[at[0]][of] = files[at[1]][of].clone();
        files[at[1]][of] = first;
    }
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    let id = programme.current().unwrap();
    let said = programme.strata(["verify", "w.toml", "--release", &id, "--json"]);
    assert_eq!(said.code, Some(1));
    let said = said.json();
    let found: Vec<&Value> =
        said["findings"].as_array().unwrap().iter().filter(|f| f["code"] == "sealed").collect();
    let places: Vec<&str> = found.iter().map(|f| f["place"].as_str().unwrap()).collect();
    assert_eq!(places, paths);
}

#[test]
fn sealed_stages_are_reused_read_again_and_made_anew_when_the_seal_changes() {
    let programme = programme();
    programme.run().done();
    let first = programme.manifest();
    // Another public policy: the sealed callset and tier are linked and read by the page.
    programme.replace("policies/public.toml", "name = \"", "name = \"other ");
    programme.run().done();
    let second = programme.manifest();
    assert_ne!(first["release_id"], second["release_id"]);
    assert_eq!(digests(&first, "sha256"), digests(&second, "sha256"));
    programme.replace("w.toml", "registered.toml\"\nencrypt = true", "registered.toml\"");
    programme.run().done();
    let third = programme.manifest();
    for file in tier_files(&third) {
        assert_eq!(file["plaintext_sha256"].is_string(), file["tier"] == "controlled");
    }
    let of = |manifest: &Value, tier: &str| -> BTreeMap<String, Value> {
        let all = digests(manifest, "sha256").into_iter();
        all.filter(|(path, _)| path.starts_with(tier)).collect()
    };
    assert_eq!(of(&third, "controlled"), of(&second, "controlled"));
    assert!(
        ParquetRecordBatchReaderBuilder::try_new(
            File::open(programme.release().join("registered/omop/person/part-0000.parquet"))
                .unwrap()
        )
        .is_ok()
    );
}

fn unlock(programme: &Programme, args: &[&str]) -> programme::Said {
    let all =
        [&["unlock", "w.toml", "--log-format", "json", "--reason", "study 12"], args].concat();
    programme.strata(all)
}

#[test]
fn keys_are_given_out_for_a_reason_and_with_an_entry_in_the_log() {
    let programme = programme();
    programme.run().done();
    let log = || fs::read_to_string(programme.store().join("audit.jsonl")).unwrap();
    let before = log().lines().count();
    let out = ["--tier", "controlled", "--out", "keys.json"];
    let short =
        [&["unlock", "w.toml", "--reason", "no", "--log-format", "json"], &out[..]].concat();
    programme.strata(short).refused("identity::reason", &[]);
    assert!(!programme.path("keys.json").exists(), "an empty answer is left");
    unlock(&programme, &[&out[..], &["--table", "persn"]].concat())
        .refused("query::unknown", &["person"]);
    unlock(&programme, &[&out[..], &["--table", "person"]].concat()).done();
    let keys: Value = serde_json::from_str(&programme.read("keys.json")).unwrap();
    assert_eq!(keys["files"].as_array().unwrap().len(), 1);
    assert_eq!(
        fs::metadata(programme.path("keys.json")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Never over a file that is there.
    assert_eq!(unlock(&programme, &out).code, Some(1));
    let said: Vec<Value> =
        log().lines().skip(before).map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = said.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    let expected =
        ["start", "failure", "start", "failure", "start", "key_use", "unlock", "checkpoint"];
    assert_eq!(kinds, expected);
    assert_eq!(said[6]["fields"]["reason"], "study 12");
    assert_eq!(said[6]["fields"]["tables"], serde_json::json!(["person"]));
    let key = keys["files"][0]["key"].as_str().unwrap();
    assert!(!log().contains(key));
    programme.strata(["verify", "w.toml", "--audit"]).done();
    // Of a release that is not sealed there is none.
    let plain = Programme::in_memory(20, 50);
    plain.run().done();
    unlock(&plain, &out).refused("seal::not_sealed", &[]);
}

#[test]
fn pyarrow_and_duckdb_read_the_same_rows() {
    let has = Command::new("python3").args(["-c", "import duckdb, pyarrow"]).output();
    if !has.is_ok_and(|o| o.status.success()) {
        programme::skipped("python3 has no duckdb and pyarrow");
        return;
    }
    let (plain, sealed) = (Programme::in_memory(60, 300), programme());
    plain.run().done();
    sealed.run().done();
    for (format, out) in [("json", "keys.json"), ("duckdb", "keys.sql")] {
        unlock(&sealed, &["--tier", "controlled", "--format", format, "--out", out]).done();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/sealed.py");
    let said = programme::said(Command::new("python3").arg(script).args([
        sealed.path("keys.json"),
        sealed.path("keys.sql"),
        plain.release(),
    ]));
    let said = said.done();
    println!("{}", said.out.trim());
    assert!(said.out.contains(" tables are the same"), "{said:?}");
}

#[test]
fn rows_that_curation_keeps_are_refused_beside_a_sealed_tier() {
    let programme = programme();
    programme.edit("w.toml", |text| {
        assert!(!text.contains("[curation]"));
        format!("{text}\n[curation]\nsandbox = true\nmapping = true\n")
    });
    let said = programme.strata(["validate", "w.toml"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(said.err.matches("lies unsealed beside a sealed tier").count(), 2, "{}", said.err);
    programme.edit("w.toml", |text| text.replace("encrypt = true", ""));
    assert_eq!(programme.strata(["validate", "w.toml"]).code, Some(0));
}

/// Whoever has no key cannot put a table of their own into a release: neither a plain one in the place of a sealed
/// one nor changed bytes, with manifest and CURRENT made to agree, pass, and no later run takes them over.
#[test]
fn forged_tables_are_found_and_not_taken_over() {
    for plain in [true, false] {
        let programme = programme();
        programme.run().done();
        let path = "controlled/omop/measurement/person_bucket=000/part-0000.parquet";
        let target = programme.release().join(path);
        let mut bytes = fs::read(&target).unwrap();
        if plain {
            let other = Programme::in_memory(60, 300);
            other.run().done();
            bytes = fs::read(other.release().join(path)).unwrap();
        } else {
            bytes[60] ^= 4;
        }
        fs::write(&target, &bytes).unwrap();
        let mut manifest = programme.manifest();
        let entry =
            manifest["files"].as_array_mut().unwrap().iter_mut().find(|f| f["path"] == path);
        let entry = entry.unwrap().as_object_mut().unwrap();
        entry["bytes"] = bytes.len().into();
        entry["sha256"] = hex(&Sha256::digest(&bytes)).into();
        if plain {
            entry.remove("plaintext_sha256");
        }
        let text = serde_json::to_vec(&manifest).unwrap();
        fs::write(programme.release().join("MANIFEST.json"), &text).unwrap();
        let id = programme.current().unwrap();
        let current = programme.read("store/CURRENT").replace(
            programme.read("store/CURRENT").split_whitespace().nth(1).unwrap(),
            &hex(&Sha256::digest(&text)),
        );
        programme.write("store/CURRENT", &current);
        assert_eq!(programme.current().unwrap(), id);
        let said = programme.strata(["verify", "w.toml"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains("manifest: MANIFEST.json"), "{said:?}");
        // An entry that says otherwise, chained as any other, is not signed.
        let log = programme.read("store/audit.jsonl");
        programme.replace("w.toml", "release = \"", "release = \"x");
        programme.run().refused("audit::unknown_release", &["CURRENT"]);
        assert_eq!(programme.read("store/audit.jsonl"), log);
    }
}

/// What lies beside sealed tables says nothing of single people.
#[test]
fn the_report_of_a_sealed_callset_shows_nobody() {
    let path = "quality/genomics/wgs/report.html";
    let [plain, sealed] = [Programme::in_memory(60, 300), programme()].map(|programme| {
        programme.run().done();
        fs::read_to_string(programme.release().join(path)).unwrap()
    });
    assert!(plain.contains("research id"));
    assert!(!sealed.contains("research id") && sealed.contains("Single people are not shown"));
    assert!(sealed.len() * 3 < plain.len() * 2, "plots with a point a person are gone");
}
