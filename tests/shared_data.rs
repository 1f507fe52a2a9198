//! The committed workflow on real public data: GiBleed joined to 1000 Genomes. Skipped without the data.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use programme::{skipped, strata, table};
use serde_json::Value;

/// The committed workflow in a folder of its own, its store and key there too.
struct Real {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Real {
    fn new() -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let data = here.join("../shared/data");
        if !data.exists() {
            skipped("no shared data");
            return None;
        }
        let data = data.canonicalize().unwrap();
        let text = fs::read_to_string(here.join("workflows/shared-data.toml")).unwrap();
        let text = text
            .replace("../../shared/data", data.to_str().unwrap())
            .replace("\"../out/", "\"")
            .replace("\"../configs", &format!("\"{}/configs", here.display()));
        assert!(!text.contains("\"../"), "a path of the workflow is not redirected");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w.toml"), text).unwrap();
        Some(Self { folder, data })
    }

    fn run(&self) {
        strata(self.folder.path(), ["run", "w.toml"]).done();
        let said = strata(self.folder.path(), ["verify", "w.toml", "--json"]).done();
        assert_eq!(said.json()["findings"], serde_json::json!([]));
    }

    fn release(&self) -> PathBuf {
        let store = self.folder.path().join("shared-data");
        store.join("releases").join(programme::current(&store).unwrap())
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.release().join("MANIFEST.json")).unwrap()).unwrap()
    }

    /// Records of a VCF: POS, REF, ALT, INFO.
    fn records(&self, name: &str) -> Vec<[String; 4]> {
        let mut text = String::new();
        let file = File::open(self.data.join("vcf").join(name)).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        let record = |line: &str| {
            let field: Vec<&str> = line.splitn(9, '\t').collect();
            [1, 3, 4, 7].map(|i| field[i].to_owned())
        };
        text.lines().filter(|line| !line.starts_with('#')).map(record).collect()
    }
}

/// Books of the tables of a stage, by table name.
fn books(manifest: &Value, stage: &str) -> BTreeMap<String, Value> {
    let ledger = manifest["stages"][stage]["ledger"].as_array().unwrap();
    ledger.iter().map(|t| (t["table"].as_str().unwrap().to_owned(), t.clone())).collect()
}

fn excluded(books: &Value) -> u64 {
    let reasons = books["excluded"].as_object().into_iter().flatten();
    reasons.map(|(_, n)| n.as_u64().unwrap()).sum()
}

/// The value of an INFO field.
fn info<'a>(text: &'a str, field: &str) -> &'a str {
    let of = |pair: &'a str| pair.strip_prefix(field)?.strip_prefix('=');
    text.split(';').find_map(of).unwrap_or_else(|| panic!("no {field}"))
}

/// Equal to as many digits as are printed.
#[track_caller]
fn assert_printed(text: &str, value: f64, place: &str) {
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let wanted: f64 = text.parse().unwrap();
    let margin = 0.5 * 10f64.powi(-i32::try_from(digits).unwrap()) + 1e-9;
    assert!((wanted - value).abs() <= margin, "{text} is printed, {value} computed at {place}");
}

/// Variants of a callset by (orig_pos, orig_ref, orig_alt, allele_index), with row numbers.
type Variants = BTreeMap<String, Vec<String>>;

fn rows_of(variants: &Variants) -> BTreeMap<[String; 4], usize> {
    let key = |i: usize| {
        ["orig_pos", "orig_ref", "orig_alt", "allele_index"].map(|c| variants[c][i].clone())
    };
    (0..variants["vid"].len()).map(|i| (key(i), i)).collect()
}

/// AC and AN of every allele equal the file's INFO; gives the number of records.
fn assert_counts(variants: &Variants, records: &[[String; 4]]) {
    let rows = rows_of(variants);
    let mut alleles = 0;
    for [pos, reference, alts, text] in records {
        for (k, ac) in info(text, "AC").split(',').enumerate() {
            let key = [pos.clone(), reference.clone(), alts.clone(), (k + 1).to_string()];
            let row = *rows.get(&key).unwrap_or_else(|| panic!("no variant of record {pos}"));
            assert_eq!(variants["ac"][row], ac, "AC at {pos}");
            assert_eq!(variants["an"][row], info(text, "AN"), "AN at {pos}");
            alleles += 1;
        }
    }
    assert_eq!(alleles, rows.len(), "variants without a record");
}

#[test]
fn real_data_give_the_stated_figures() {
    let Some(real) = Real::new() else { return };
    real.run();
    let (manifest, release) = (real.manifest(), real.release());

    let ingested = books(&manifest, "ingest.ehr.gibleed");
    let rows_in = |table: &str| ingested[&format!("omop/{table}")]["rows_in"].as_u64().unwrap();
    let wanted = [
        ("person", 2_694),
        ("condition_occurrence", 65_332),
        ("drug_exposure", 67_707),
        ("measurement", 44_053),
        ("procedure_occurrence", 37_409),
        ("observation", 1_477),
        ("observation_period", 5_343),
    ];
    assert_eq!(wanted.map(|(table, _)| (table, rows_in(table))), wanted);
    assert_eq!(ingested["omop/observation_period"]["excluded"]["orphan_person"], 2_649);
    for (table, involved) in [("drug_exposure", 8_768), ("measurement", 4_366), ("observation", 12)]
    {
        let books = &ingested[&format!("omop/{table}")];
        assert_eq!(books["noted"]["duplicate_key_rows_involved"], involved, "{table}");
        assert!(books["excluded"]["duplicate_key"].as_u64().unwrap() > 0, "{table}");
    }
    // Every reject has its place.
    let rejects = table(&release.join("quality/rejects/ehr"));
    let all: u64 = ingested.values().map(excluded).sum();
    assert_eq!(rejects["line"].len() as u64, all);

    // Rows in = rows out + excluded everywhere; each tier takes all that came in; files hold rows out.
    for stage in manifest["stages"].as_object().unwrap().keys() {
        for (table, books) in books(&manifest, stage) {
            let count = |key: &str| books[key].as_u64().unwrap();
            assert_eq!(count("rows_in"), count("rows_out") + excluded(&books), "{stage} {table}");
        }
    }
    let vocabulary = books(&manifest, "ingest.vocabulary");
    for tier in ["controlled", "registered"] {
        let mut seen = 0;
        for (table, books) in books(&manifest, &format!("tier.{tier}")) {
            let source = ingested.get(&table).or_else(|| vocabulary.get(&table));
            let Some(source) = source else { continue };
            assert_eq!(books["rows_in"], source["rows_out"], "{tier} {table}");
            let folder = format!("{tier}/{table}/");
            let files = manifest["files"].as_array().unwrap().iter();
            let files = files.filter(|f| f["path"].as_str().unwrap().starts_with(&folder));
            let rows: u64 = files.map(|f| f["rows"].as_u64().unwrap()).sum();
            assert_eq!(books["rows_out"], rows, "{tier} {table}");
            seen += 1;
        }
        assert!(seen >= 15, "{tier}: {seen} tables");
    }

    // chr21: AC and AN, and the frequency of each superpopulation to the printed precision.
    let records = real.records("plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz");
    assert_eq!(records.len(), 600);
    let variants = table(&release.join("controlled/genomics/chr21/variants"));
    assert_counts(&variants, &records);
    let rows = rows_of(&variants);
    let number = |column: String, row: usize| variants[&column][row].parse::<f64>().unwrap();
    for [pos, reference, alts, text] in &records {
        for k in 0..alts.split(',').count() {
            let row = rows[&[pos.clone(), reference.clone(), alts.clone(), (k + 1).to_string()]];
            for group in ["eas", "amr", "afr", "eur", "sas"] {
                let field = format!("{}_AF", group.to_uppercase());
                let printed = info(text, &field).split(',').nth(k).unwrap();
                let (ac, an) = (format!("ac_{group}"), format!("an_{group}"));
                assert_printed(printed, number(ac, row) / number(an, row), pos);
            }
            let af = number("ac".into(), row) / number("an".into(), row);
            assert!((number("af".into(), row) - af).abs() < 1e-12, "AF at {pos}");
        }
    }
    let samples = table(&release.join("controlled/genomics/chr21/samples"));
    assert_eq!(samples["sample_idx"].len(), 2_504);

    let records = real.records("shapeit4_1kg_chr20_300s.vcf.gz");
    assert_eq!(records.len(), 24_990);
    assert_counts(&table(&release.join("controlled/genomics/chr20/variants")), &records);
}

/// The same people after some withdrew and some took back a consent.
#[test]
fn real_data_without_the_withdrawn() {
    let Some(real) = Real::new() else { return };
    real.run();
    let before = real.release();
    let workflow = real.folder.path().join("w.toml");
    let text = fs::read_to_string(&workflow).unwrap();
    let text = text.replace("participants.csv", "participants_withdrawn.csv");
    fs::write(&workflow, text).unwrap();
    real.run();
    assert_ne!(before, real.release());
    let roster = real.data.join("link/participants_withdrawn.csv");
    let mut roster = csv::Reader::from_path(roster).unwrap();
    let rows = roster.deserialize().map(|row| row.unwrap());
    let rows: Vec<BTreeMap<String, String>> = rows.collect();
    let withdrawn = |row: &&BTreeMap<String, String>| row["withdrawal_status"] == "withdrawn";
    let count = rows.iter().filter(withdrawn).count();
    assert_eq!(count, 27);
    let manifest = real.manifest();
    assert_eq!(books(&manifest, "link")["participants"]["excluded"]["withdrawn"], count);
    let people = table(&real.release().join("controlled/omop/person"))["person_id"].len();
    let no_ehr = rows.iter().filter(|row| !withdrawn(row) && row["ehr_consent"] != "yes").count();
    assert_eq!(people, 2_694 - count - no_ehr);
    // Samples: those whose person is in with genomics consent.
    let mut map = csv::Reader::from_path(real.data.join("link/sample_person.csv")).unwrap();
    let mapped: Vec<String> = map.records().map(|row| row.unwrap()[1].to_owned()).collect();
    let stays = |row: &&BTreeMap<String, String>| {
        !withdrawn(row) && row["genomics_consent"] == "yes" && mapped.contains(&row["person_id"])
    };
    let samples = table(&real.release().join("controlled/genomics/chr21/samples"));
    assert_eq!(samples["person_id"].len(), rows.iter().filter(stays).count());
    let numbers = |release: &Path| -> BTreeMap<String, [i64; 2]> {
        let variants = table(&release.join("controlled/genomics/chr21/variants"));
        let number = |text: &String| text.parse::<i64>().unwrap();
        let counts =
            variants["an"].iter().zip(&variants["ac"]).map(|(an, ac)| [number(an), number(ac)]);
        variants["vid"].iter().cloned().zip(counts).collect()
    };
    let gone = 2_504 - samples["person_id"].len() as i64;
    assert!(gone > 0);
    let (old, new) = (numbers(&before), numbers(&real.release()));
    assert!(new.len() < old.len() && new.values().all(|[_, ac]| *ac > 0));
    for (vid, [an, _]) in &new {
        assert_eq!(old[vid][0] - an, 2 * gone, "{vid}");
    }
}
