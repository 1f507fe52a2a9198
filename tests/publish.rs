//! The public tier, end to end on a small controlled tier.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "publish_fixture/mod.rs"]
mod fixture;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Int32Type, Int64Type, Schema};
use fixture::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::engine::{FileEntry, StageOutput};
use strata::error::Coded;
use strata::publish::{Error, Previous, audit};

const COUNTS: &str = "public/tables/participant_counts.parquet";
const DEMOGRAPHICS: &str = "public/tables/demographics.parquet";
const ALLELES: &str = "public/tables/allele_frequencies/callset=wgs/chr21.parquet";

fn read(root: &Path, path: &str) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(root.join(path)).unwrap());
    let mut reader = builder.unwrap().with_batch_size(1 << 20).build().unwrap();
    reader.next().unwrap().unwrap()
}

/// `(domain, concept, stratum, category) -> participants`
fn counts(root: &Path) -> BTreeMap<(String, i64, String, String), i64> {
    let batch = read(root, COUNTS);
    let text = |c: &str, row| batch[c].as_string::<i32>().value(row).to_owned();
    let int = |c: &str, row| batch[c].as_primitive::<Int64Type>().value(row);
    (0..batch.num_rows())
        .map(|r| {
            let key = (
                text("domain_table", r),
                int("concept_id", r),
                text("stratum", r),
                text("category", r),
            );
            (key, int("participants", r))
        })
        .collect()
}

struct Built {
    _scratch: tempfile::TempDir,
    root: std::path::PathBuf,
    controlled: Vec<FileEntry>,
    output: StageOutput,
}

fn built() -> Built {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().to_path_buf();
    let controlled = controlled(&root);
    let output = publish(&root, &controlled, &["wgs"], &root, 2, &keyed(b"k")).unwrap();
    Built { _scratch: scratch, root, controlled, output }
}

#[test]
fn publishes_protected_counts_that_balance_and_pass_the_audit() {
    let built = built();
    assert!(built.output.ledger.unbalanced().is_empty(), "{:?}", built.output.ledger);
    let report = audit(&built.root, &built.output.files).unwrap();
    assert!(report.passed(), "{:?}", report.findings);
    assert!(report.cells > 1_000 && report.variants > 100, "{report:?}");

    let counts = counts(&built.root);
    assert!(counts.values().all(|n| n % 20 == 0));
    // Neither the people outside the tier nor concept 0.
    assert!(counts.keys().all(|k| k.1 != 0));
    let people = counts[&("condition_occurrence".into(), 320_000, "total".into(), "all".into())];
    assert!(people > 400 && people < PEOPLE);
    // Every concept has all its cells, and a total above 0.
    assert!(counts.iter().filter(|(k, _)| k.2 == "total").all(|(_, n)| *n > 0));
    let concepts = counts.keys().filter(|k| k.2 == "total").count();
    assert_eq!(counts.len(), concepts * 14);

    // Left for a look at the page: the same files in the target folder.
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("publish-page");
    for file in &built.output.files {
        let to = page.join(&file.path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(built.root.join(&file.path), to).unwrap();
    }
}

#[test]
fn published_counts_stay_within_a_base_of_the_truth() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    // 143 people, each twice; 30 more of nobody in the tier.
    let rows: Vec<(i64, i64, i32)> =
        (1..=143).chain(1..=143).chain(9_000..9_030).map(|p| (p, 77, 18_262)).collect();
    let columns = ["condition_concept_id", "condition_start_date"];
    let files = vec![person(root, 1_000), events(root, "condition_occurrence", 0, columns, &rows)];
    publish(root, &files, &[], root, 1, &|_: &str, _: &str, _: u32| 0).unwrap();
    let counts = counts(root);
    let cell = |stratum: &str, category: &str| {
        counts[&("condition_occurrence".into(), 77, stratum.into(), category.into())]
    };
    assert_eq!(cell("total", "all"), 140);
    // Born (1930 + 37 p mod 75); at 2020-01-01 the birthday of 15 June is still to come.
    let in_band = |low: i64, high: i64| {
        (1..=143).filter(|p| (low..=high).contains(&(2020 - (1930 + p * 37 % 75) - 1))).count()
    };
    assert_eq!(cell("age_band", "60-69"), in_band(60, 69) as i64 / 20 * 20);
    assert_eq!(cell("age_band", "18-29"), in_band(18, 29) as i64 / 20 * 20);
    assert_eq!(cell("age_band", "89+"), 0);
}

#[test]
fn the_same_input_gives_the_same_bytes_on_any_number_of_threads() {
    let built = built();
    let out = tempfile::tempdir().unwrap();
    let again =
        publish(&built.root, &built.controlled, &["wgs"], out.path(), 1, &keyed(b"k")).unwrap();
    assert_eq!(built.output, again);
    let out = tempfile::tempdir().unwrap();
    let other =
        publish(&built.root, &built.controlled, &["wgs"], out.path(), 3, &keyed(b"other")).unwrap();
    let of = |o: &StageOutput, path: &str| {
        o.files.iter().find(|f| f.path == path).unwrap().sha256.clone()
    };
    assert_ne!(of(&built.output, COUNTS), of(&other, COUNTS), "the key decides the offsets");
    let (one, two) = (read(&built.root, ALLELES), read(out.path(), ALLELES));
    assert_eq!(&one["ac"], &two["ac"], "allele counts are exact or withheld");
    assert_ne!(&one["an"], &two["an"], "people without a call are rounded");
}

#[test]
fn edits_that_keep_the_protected_numbers_change_no_byte() {
    // P4: order, bars and selection must not depend on raw counts.
    let publish_with = |people_of: [i64; 3]| {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let mut rows: Vec<(i64, i64, i32)> = (1..=900).map(|p| (p, 1, 18_000)).collect();
        for (concept, n) in people_of.into_iter().enumerate() {
            // Born in 1970 and female: one sex and one age band.
            let same = (1..=9_000i64).filter(|p| p * 37 % 75 == 40 && p % 61 % 4 == 1);
            rows.extend(same.take(n as usize).map(|p| (p, concept as i64 + 10, 18_000)));
        }
        let columns = ["condition_concept_id", "condition_start_date"];
        let files =
            vec![person(root, 9_000), events(root, "condition_occurrence", 0, columns, &rows)];
        publish(root, &files, &[], root, 2, &|_: &str, _: &str, _: u32| 3).unwrap().files
    };
    // With u = 3: 17..=36 show as 20, 37..=56 as 40, up to 16 not at all.
    let one = publish_with([17, 37, 5]);
    assert_eq!(one, publish_with([36, 38, 16]));
    assert_eq!(one, publish_with([20, 38, 1]));
    assert_ne!(one, publish_with([16, 37, 5]));
}

#[test]
fn alleles_show_only_safe_numbers() {
    let built = built();
    let batch = read(&built.root, ALLELES);
    assert!(batch.column_by_name("ac_sas").is_none(), "a group of 50 people is not published");
    assert!(batch.num_rows() > 100 && batch.num_rows() < 400, "{}", batch.num_rows());
    let raw = read(&built.root, "controlled/genomics/wgs/variants/chrom=chr21/part-0000.parquet");
    let raw_row: BTreeMap<String, usize> =
        (0..400).map(|r| (raw["vid"].as_string::<i32>().value(r).to_owned(), r)).collect();
    let int = |b: &RecordBatch, c: &str, r: usize| {
        let column = arrow::compute::cast(&b[c], &arrow::datatypes::DataType::Int64).unwrap();
        let column = column.as_primitive::<Int64Type>().clone();
        column.is_valid(r).then(|| column.value(r))
    };
    let mut shown = 0;
    for row in 0..batch.num_rows() {
        let from = raw_row[batch["vid"].as_string::<i32>().value(row)];
        for (suffix, hom) in [("", "n_hom_alt"), ("_afr", "hom_afr"), ("_eur", "hom_eur")] {
            let Some(ac) = int(&batch, &format!("ac{suffix}"), row) else { continue };
            shown += 1;
            // What is shown is exact, and carriers are 0 or at least 21.
            assert_eq!(Some(ac), int(&raw, &format!("ac{suffix}"), from));
            let carriers = ac - int(&raw, hom, from).unwrap();
            assert!(carriers == 0 || carriers > 20);
        }
    }
    assert!(shown > batch.num_rows(), "groups are shown too");
}

#[test]
fn reads_only_files_that_are_listed() {
    let built = built();
    let out = tempfile::tempdir().unwrap();
    let without: Vec<FileEntry> =
        built.controlled.iter().filter(|f| !f.path.contains("drug_exposure")).cloned().collect();
    publish(&built.root, &without, &["wgs"], out.path(), 1, &keyed(b"k")).unwrap();
    assert!(counts(out.path()).keys().all(|k| k.0 == "condition_occurrence"));

    let nobody: Vec<FileEntry> =
        without.iter().filter(|f| !f.path.contains("/person/")).cloned().collect();
    let out = tempfile::tempdir().unwrap();
    let error = publish(&built.root, &nobody, &["wgs"], out.path(), 1, &keyed(b"k")).unwrap_err();
    assert!(matches!(error, Error::MissingTable { table } if table == "omop/person"));
}

/// Copies the public tier, changes one file and says which rules the audit finds broken.
fn planted(built: &Built, change: impl FnOnce(&Path, &mut Vec<FileEntry>)) -> Vec<&'static str> {
    let scratch = tempfile::tempdir().unwrap();
    let mut files = built.output.files.clone();
    for file in &files {
        let to = scratch.path().join(&file.path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(built.root.join(&file.path), to).unwrap();
    }
    change(scratch.path(), &mut files);
    let mut rules: Vec<_> =
        audit(scratch.path(), &files).unwrap().findings.iter().map(|f| f.rule).collect();
    rules.dedup();
    rules
}

fn replace(root: &Path, path: &str, tier: &str, batch: &RecordBatch) {
    std::fs::remove_file(root.join(path)).unwrap();
    write_batch(root, path, tier, batch);
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of(name).unwrap()] = column;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn set64(batch: &RecordBatch, name: &str, row: usize, value: i64) -> RecordBatch {
    let mut values: Vec<Option<i64>> = batch[name].as_primitive::<Int64Type>().iter().collect();
    values[row] = Some(value);
    with_column(batch, name, Arc::new(Int64Array::from(values)))
}

fn set32(batch: &RecordBatch, name: &str, row: usize, value: Option<i32>) -> RecordBatch {
    let mut values: Vec<Option<i32>> = batch[name].as_primitive::<Int32Type>().iter().collect();
    values[row] = value;
    with_column(batch, name, Arc::new(Int32Array::from(values)))
}

#[test]
fn the_audit_finds_planted_leaks_in_counts() {
    let built = built();
    assert!(planted(&built, |_, _| ()).is_empty());

    let counts = read(&built.root, COUNTS);
    let people = read(&built.root, DEMOGRAPHICS);
    let raw = planted(&built, |root, _| {
        replace(root, COUNTS, "public", &set64(&counts, "participants", 3, 7));
    });
    assert_eq!(raw, ["not_a_multiple"]);
    let raw = planted(&built, |root, _| {
        replace(root, DEMOGRAPHICS, "public", &set64(&people, "participants", 0, 2_399));
    });
    assert_eq!(raw, ["not_a_multiple"]);
    let empty = planted(&built, |root, _| {
        replace(root, COUNTS, "public", &set64(&counts, "participants", 0, 0));
    });
    assert_eq!(empty, ["empty_concept"]);
    let twice = planted(&built, |root, _| {
        let twice = arrow::compute::concat_batches(&people.schema(), [&people, &people]).unwrap();
        replace(root, DEMOGRAPHICS, "public", &twice);
    });
    assert_eq!(twice, ["repeated_cell"]);
    let tier = planted(&built, |root, _| replace(root, COUNTS, "controlled", &counts));
    assert_eq!(tier, ["wrong_tier"]);
    let column = planted(&built, |root, _| {
        let mut fields = counts.schema().fields().to_vec();
        fields.push(Arc::new(Field::new("person_id", arrow::datatypes::DataType::Int64, true)));
        let mut columns = counts.columns().to_vec();
        columns.push(ints(0..counts.num_rows() as i64));
        let wider = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        replace(root, COUNTS, "public", &wider);
    });
    assert_eq!(column, ["unknown_column"]);
}

#[test]
fn the_audit_finds_planted_leaks_in_alleles() {
    let built = built();
    let alleles = read(&built.root, ALLELES);
    let column = |c: &str| alleles[c].as_primitive::<Int32Type>().clone();
    let value = |c: &str, r: usize| column(c).is_valid(r).then(|| column(c).value(r));
    let plant =
        |batch: RecordBatch| planted(&built, |root, _| replace(root, ALLELES, "public", &batch));
    let full = ["afr", "amr", "eas", "eur"];
    let row = (0..alleles.num_rows())
        .find(|&r| {
            value("hom", r).is_some_and(|n| n > 0)
                && full.iter().all(|g| value(&format!("ac_{g}"), r).is_some())
        })
        .expect("a variant with all groups");
    assert!(plant(set32(&alleles, "hom", row, Some(3))).contains(&"variant_sensitive"));
    // Few carriers: nothing else of the cell matters.
    let rare = set32(&alleles, "ac_afr", row, Some(5));
    assert!(plant(rare).contains(&"variant_sensitive"));
    // The group is withheld, but the total less the others is 7.
    let others: i32 =
        ["amr", "eas", "eur"].iter().filter_map(|g| value(&format!("ac_{g}"), row)).sum();
    let mut hidden = set32(&alleles, "ac", row, Some(others + 7));
    for c in ["ac_afr", "an_afr", "hom_afr", "hom"] {
        hidden = set32(&hidden, c, row, None);
    }
    assert!(plant(hidden).contains(&"complement"));
    // A frequency that is not the quotient of the published counts carries more than they do.
    let an = value("an", row).map(|n| n - 2);
    assert!(plant(set32(&alleles, "an", row, an)).contains(&"frequency_not_derived"));
}

#[test]
fn the_audit_finds_planted_leaks_in_the_page_and_stray_files() {
    let built = built();
    let edit = |path: &'static str, from: &'static str, to: &'static str| {
        planted(&built, move |root, _| {
            let text = std::fs::read_to_string(root.join(path)).unwrap();
            assert!(text.contains(from), "{path} has no {from}");
            std::fs::write(root.join(path), text.replacen(from, to, 1)).unwrap();
        })
    };
    assert_eq!(edit("public/site/index.html", "\"n\":2400", "\"n\":2399"), ["not_a_multiple"]);
    let rows =
        std::fs::read_to_string(built.root.join("public/site/data/concepts-000.js")).unwrap();
    assert!(rows.starts_with("strataData(\"concepts\",[[") && rows.contains(",20,"));
    assert_eq!(edit("public/site/data/concepts-000.js", ",20,", ",19,"), ["not_a_multiple"]);
    assert_eq!(edit("public/protection.json", "\"base\": 20", "\"base\": 5"), ["weak_protection"]);
    let stray = planted(&built, |root, files| {
        let entry = FileEntry { path: "public/tables/raw.parquet".into(), ..files[0].clone() };
        std::fs::write(root.join(&entry.path), b"x").unwrap();
        files.push(entry);
    });
    assert_eq!(stray, ["unknown_file"]);
}

#[test]
fn the_page_stands_alone_and_escapes_what_it_shows() {
    let built = built();
    let page = std::fs::read_to_string(built.root.join("public/site/index.html")).unwrap();
    assert!(page.contains("Cedar &amp; Coast Cohort") && page.contains("2026q4r1"));
    for outside in ["src=\"http", "href=\"http", "@import", "fetch(", "innerHTML"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for script in page.match_indices("<script src=\"").map(|(at, tag)| &page[at + tag.len()..]) {
        let path = script.split('"').next().unwrap().replace("&#x2f;", "/");
        assert!(built.root.join("public/site").join(&path).is_file(), "{path}");
    }
}

#[test]
fn the_shipped_policy_is_valid_and_a_weak_one_is_refused() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tiers/public.toml"),
    )
    .unwrap();
    let shipped: strata::config::disclosure::PublicPolicy = toml::from_str(&text).unwrap();
    assert_eq!(shipped.check(), Ok(()));
    assert_eq!(shipped.disclosure, policy().disclosure);
    for (from, to) in [
        ("sensitive_max = 20", "sensitive_max = 10"),
        ("base = 20", "base = 10"),
        ("min_group = 100", "min_group = 5"),
        ("min_change = 21", "min_change = 20"),
        ("min_change = 21", "min_change = 1"),
        ("tier = \"public\"", "tier = \"controlled\""),
    ] {
        let weak: strata::config::disclosure::PublicPolicy =
            toml::from_str(&text.replace(from, to)).unwrap();
        assert!(weak.check().is_err(), "{to}");
    }
    let synthetic: strata::config::disclosure::PublicPolicy =
        toml::from_str(&text.replace("min_change = 21", "min_change = 0")).unwrap();
    assert_eq!(synthetic.check(), Ok(()));
    let unknown = text.replace("base = 20", "base = 20\nbias = 1");
    assert!(toml::from_str::<strata::config::disclosure::PublicPolicy>(&unknown).is_err());
}

const NOBODY_ASKS: fn(&str, &str, u32) -> u32 = |_, _, _| 0;

/// Publishes a callset `wgs` of these groups and reads what is public of it.
fn published(groups: &[Group<'_>], extra: Extra) -> (StageOutput, RecordBatch) {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    let mut files = vec![person(root, groups.iter().map(|g| g.1).sum())];
    files.extend(small_callset(root, "wgs", groups, extra));
    let output = publish(root, &files, &["wgs"], root, 1, &NOBODY_ASKS).unwrap();
    assert!(output.ledger.unbalanced().is_empty(), "{:?}", output.ledger);
    let path = root.join("public/tables/allele_frequencies/callset=wgs/chr20.parquet");
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batch = builder.build().unwrap().next().map(Result::unwrap);
    (output, batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<i32> {
    let column = batch[column].as_primitive::<Int32Type>();
    column.is_valid(row).then(|| column.value(row))
}

/// Cells excluded for a reason, over all tables.
fn excluded(output: &StageOutput, reason: &str) -> u64 {
    output.ledger.0.iter().filter_map(|t| t.excluded.get(reason)).sum()
}

#[test]
fn half_calls_are_missing_once() {
    let (_, batch) =
        published(&[("eur", 300, vec![[100, 0, 60]])], Extra { half: 60, ..Extra::default() });
    assert_eq!((number(&batch, "ac", 0), number(&batch, "an", 0)), (Some(100), Some(480)));
    assert_eq!(number(&batch, "an_eur", 0), Some(480));
}

#[test]
fn haploid_calls_on_an_autosome_withhold_the_allele_number() {
    let groups = [("eur", 300, vec![[100, 0, 0]]), ("afr", 300, vec![[90, 0, 0]])];
    let (_, plain) = published(&groups, Extra::default());
    assert_eq!(number(&plain, "an", 0), Some(1_200));
    let (output, batch) = published(&groups, Extra { hemi_ref: 8, ..Extra::default() });
    assert_eq!(number(&batch, "ac", 0), Some(190));
    for group in ["", "_eur", "_afr"] {
        assert_eq!(number(&batch, &format!("an{group}"), 0), None, "{group}");
        assert!(batch[format!("af{group}").as_str()].is_null(0), "{group}");
    }
    let noted: u64 = output.ledger.0.iter().filter_map(|t| t.noted.get("an_withheld")).sum();
    assert_eq!(noted, 3);
}

#[test]
fn a_variant_without_a_carrier_has_no_row() {
    let carriers = (0..=21).map(|n| [n, 0, 0]).collect();
    let (output, batch) = published(&[("eur", 300, carriers)], Extra::default());
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(number(&batch, "ac", 0), Some(21));
    assert_eq!(excluded(&output, "no_carrier"), 2);
    assert_eq!(excluded(&output, "variant_withheld"), 40);
}

#[test]
fn subtraction_over_all_variants_reveals_no_small_group() {
    for (outside, shown) in [(0, 2), (1, 1), (7, 1), (20, 1), (21, 2), (40, 2)] {
        // Which groups have few carriers, and so stay out, changes from variant to variant.
        let carriers = |g: i64| {
            (0..60).map(move |v| [[90, 5, 0, 60, 30][((v * 7 + g * 3) % 5) as usize], 0, 0])
        };
        let groups = [
            ("eur", 150, carriers(0).collect()),
            ("afr", 143, carriers(1).collect()),
            ("mid", outside, (0..60).map(|v| [(v % 3).min(outside), 0, 0]).collect()),
        ];
        let (output, batch) = published(&groups, Extra::default());
        assert!(batch.num_rows() > 30);
        // Nobody is missing: the largest AN of a group is twice its people.
        let people = |group: &str| -> Option<i32> {
            batch.column_by_name(&format!("an{group}"))?;
            (0..batch.num_rows()).filter_map(|row| number(&batch, &format!("an{group}"), row)).max()
        };
        let groups: Vec<i32> = ["_eur", "_afr", "_mid"].iter().filter_map(|g| people(g)).collect();
        assert_eq!(groups.len(), shown, "{outside}");
        let left = (people("").unwrap() - groups.iter().sum::<i32>()) / 2;
        assert!(left == 0 || left > 20, "{outside} outside: {left} left");
        assert_eq!(excluded(&output, "group_size") > 0, shown == 1);
    }
}

/// Publishes `callset` people of `all` when the current release has those of `before`.
fn after(before: [i64; 3], now: [i64; 3]) -> Result<StageOutput, Error> {
    let tier = |[all, first, callset]: [i64; 3]| {
        let scratch = tempfile::tempdir().unwrap();
        let mut files = vec![person(scratch.path(), all)];
        let extra = Extra { first, ..Extra::default() };
        let groups = [("eur", callset, vec![[100, 0, 0]])];
        files.extend(small_callset(scratch.path(), "wgs", &groups, extra));
        (scratch, files)
    };
    let ((old, old_files), (new, new_files)) = (tier(before), tier(now));
    let previous = Previous { root: old.path().into(), files: old_files };
    let (root, out) = (new.path(), new.path());
    publish_after(root, &new_files, &["wgs"], out, 1, &NOBODY_ASKS, Some(previous))
}

#[test]
fn a_release_that_differs_by_few_people_is_refused() {
    for (changed, few) in [(0, false), (1, true), (20, true), (21, false)] {
        let cases = [
            ("joined", [400, 1, 300], [400 + changed, 1, 300]),
            ("left", [400 + changed, 1, 300], [400, 1, 300]),
        ];
        for (what, before, now) in cases {
            let result = after(before, now);
            assert_eq!(result.is_err(), few, "{changed} {what}");
            let Err(error) = result else { continue };
            assert_eq!(error.code(), "publish::few_changed");
            assert!(error.help().unwrap().contains("take [tier.public] out"));
            assert!(!error.to_string().contains(|c: char| c.is_ascii_digit()), "{error}");
        }
    }
}

#[test]
fn a_callset_that_differs_by_few_people_publishes_no_alleles() {
    let withheld = |before, now| {
        let output = after(before, now).unwrap();
        let books = output.ledger.0.iter().find(|t| t.table.ends_with("/wgs")).unwrap().clone();
        books.excluded.get("few_changed").copied().unwrap_or(0) == books.rows_in
    };
    for (changed, few) in [(0, false), (1, true), (20, true), (21, false)] {
        assert_eq!(withheld([400, 1, 300], [400, 1, 300 + changed]), few, "{changed}");
    }
    // As many joined as left: the callset moves by ten people, or by eleven.
    assert!(withheld([400, 1, 300], [400, 11, 300]));
    assert!(!withheld([400, 1, 300], [400, 12, 300]));
}

#[test]
fn people_of_another_key_cannot_be_followed() {
    // Nobody of 5 is among 9: other ids, other offsets.
    let scratch = tempfile::tempdir().unwrap();
    let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
    let before = small_callset(
        &old,
        "wgs",
        &[("eur", 5, vec![[0, 0, 0]])],
        Extra { first: 90, ..Extra::default() },
    );
    let now = vec![person(&new, 9)];
    let previous = Previous { root: old, files: before };
    publish_after(&new, &now, &[], &new, 1, &NOBODY_ASKS, Some(previous)).unwrap();
}

#[test]
fn a_callset_of_nearly_the_same_people_publishes_no_alleles() {
    for (more, near) in [(0, false), (1, true), (20, true), (21, false)] {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let mut files = vec![person(root, 400)];
        for (name, people) in [("array", 300), ("wgs", 300 + more)] {
            files.extend(small_callset(
                root,
                name,
                &[("eur", people, vec![[100, 0, 0]])],
                Extra::default(),
            ));
        }
        // In the order they are shown, which is not that of their names.
        let output = publish(root, &files, &["wgs", "array"], root, 1, &NOBODY_ASKS).unwrap();
        assert!(output.ledger.unbalanced().is_empty());
        let has = |callset: &str| {
            let folder = format!("allele_frequencies/callset={callset}/");
            output.files.iter().any(|f| f.path.contains(&folder))
        };
        assert_eq!((has("array"), has("wgs")), (true, !near), "{more}");
        assert_eq!(excluded(&output, "near_copy"), if near { 2 } else { 0 });
    }
}

#[test]
fn a_folder_name_with_pattern_characters_means_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("st [a]*");
    let mut files = vec![person(&root, 400)];
    files.extend(small_callset(&root, "wgs", &[("eur", 300, vec![[100, 0, 0]])], Extra::default()));
    let output = publish(&root, &files, &["wgs"], &root, 1, &NOBODY_ASKS).unwrap();
    assert!(audit(&root, &output.files).unwrap().passed());
    assert_eq!(read(&root, DEMOGRAPHICS)["participants"].as_primitive::<Int64Type>().value(0), 400);
}
