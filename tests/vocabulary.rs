//! The vocabulary: index, concept sets, reports.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]
#![expect(clippy::panic, reason = "a test may panic")]

#[path = "vocabulary_support/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::Int64Array;
use proptest::prelude::*;
use strata::engine::Job;
use strata::error::Coded;
use strata::omop::{CdmVersion, ExtractRequest, Scope, SiteExtract, ingest};
use strata::vocabulary::{
    ConceptSet, ConceptSets, DriftRequest, Error, IdSet, Item, Load, Problem, Relation, Standard,
    UnmappedRequest, Validity, Vocabulary, concepts_in_use, drift, typed_folder, unmapped, version,
};
use world::{World, duckdb, extract, ints, rows, table, texts};

#[expect(clippy::print_stdout, reason = "says why the test did nothing")]
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/omop").join(folder);
    if !path.is_dir() {
        println!("skipped: {folder} is not in the shared test data");
        return None;
    }
    Some(path)
}

fn read(path: &Path, cdm: CdmVersion, scope: Scope, root: &Path) -> SiteExtract {
    let (site, path) = ("site".to_owned(), path.to_owned());
    let request = ExtractRequest {
        site,
        path,
        cdm,
        scope,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    let extract = ingest(&request, &Job::quiet(root, 2)).unwrap();
    SiteExtract { extract, root: root.to_owned() }
}

fn sets(items: Vec<(&str, ConceptSet)>) -> ConceptSets {
    ConceptSets { sets: items.into_iter().map(|(name, set)| (name.to_owned(), set)).collect() }
}

fn item(concepts: &[i64], descendants: bool, mapped: bool) -> Item {
    Item { concepts: concepts.to_vec(), descendants, mapped, ..Item::default() }
}

// ---------------------------------------------------------------- resolution against brute force

const REASONS: [Option<&str>; 4] = [None, None, Some("D"), Some("U")];
const RELATIONS: [&str; 3] = ["Maps to", "Maps to", "Is a"];

fn any_id() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0i64..24, 1 => 65_530i64..65_540, 1 => 2_100_000_000i64..2_100_000_003,
        1 => (1i64 << 33)..(1 << 33) + 3]
}

fn any_world() -> impl Strategy<Value = World> {
    (
        proptest::collection::btree_set(any_id(), 1..30),
        proptest::collection::vec((any_id(), any_id()), 0..80),
        proptest::collection::vec((any_id(), any_id(), 0usize..3, 0usize..4), 0..40),
        proptest::collection::vec(0usize..4, 30),
    )
        .prop_map(|(ids, ancestors, relations, reasons)| World {
            concepts: ids
                .into_iter()
                .zip(reasons)
                .map(|(id, r)| (id, "SNOMED", format!("C{id}"), "Condition", Some("S"), REASONS[r]))
                .collect(),
            ancestors,
            relations: relations
                .into_iter()
                .map(|(a, b, r, v)| (a, b, RELATIONS[r], REASONS[v]))
                .collect(),
            version: "v5.0 TEST",
        })
}

fn any_item() -> impl Strategy<Value = Item> {
    let bools = (any::<bool>(), any::<bool>(), any::<bool>());
    (proptest::collection::vec(any_id(), 1..4), bools)
        .prop_map(|(ids, (d, m, s))| Item { standard: s && d != m, ..item(&ids, d, m) })
}

/// The definition, word for word: sets of ids, loops over all rows.
fn brute(world: &World, items: &[Item]) -> BTreeSet<i64> {
    let valid: BTreeMap<i64, bool> = world.concepts.iter().map(|c| (c.0, c.5.is_none())).collect();
    let maps: Vec<(i64, i64)> = world
        .relations
        .iter()
        .filter(|r| r.2 == "Maps to" && r.3.is_none())
        .map(|r| (r.0, r.1))
        .collect();
    let mut all = BTreeSet::new();
    for item in items {
        let mut stated: BTreeSet<i64> = item.concepts.iter().copied().collect();
        if item.standard {
            stated = maps.iter().filter(|m| stated.contains(&m.0)).map(|m| m.1).collect();
        }
        let mut found: BTreeSet<i64> =
            stated.iter().copied().filter(|id| valid.contains_key(id)).collect();
        if item.descendants {
            let below = world.ancestors.iter().filter(|a| stated.contains(&a.0)).map(|a| a.1);
            found.extend(below.filter(|id| valid.get(id) == Some(&true)));
        }
        if item.mapped {
            let sources: Vec<i64> =
                maps.iter().filter(|m| found.contains(&m.1)).map(|m| m.0).collect();
            found.extend(sources);
        }
        all.extend(found);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_set_resolves_as_it_is_defined(
        world in any_world(),
        include in proptest::collection::vec(any_item(), 1..4),
        exclude in proptest::collection::vec(any_item(), 0..3),
        parts in 0u32..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let site = world.write(folder.path(), parts);
        let job = Job::quiet(folder.path(), 1 + parts as usize);
        let vocabulary = Vocabulary::open(&site, &job).unwrap();
        let want: BTreeSet<i64> =
            &brute(&world, &include) - &brute(&world, &exclude);
        let set = ConceptSet { include, exclude, ..ConceptSet::default() };
        let resolution = vocabulary.resolve(&sets(vec![("a", set)]), &job).unwrap();
        let found = resolution.set("a").unwrap();
        prop_assert_eq!(found.ids(), want.iter().copied().collect::<Vec<_>>());
        prop_assert!(want.iter().all(|&id| found.contains(id)));
        // The index itself.
        let pairs: BTreeSet<(i64, i64)> = world.ancestors.iter().copied().collect();
        prop_assert_eq!(vocabulary.notes().ancestor_pairs, pairs.len() as u64);
        prop_assert_eq!(vocabulary.notes().duplicate_pairs, (world.ancestors.len() - pairs.len()) as u64);
        prop_assert_eq!(vocabulary.notes().concepts, world.concepts.len() as u64);
        for &(ancestor, descendant) in &pairs {
            prop_assert!(vocabulary.is_a(descendant, ancestor));
            prop_assert!(vocabulary.descendants(ancestor).all(|d| pairs.contains(&(ancestor, d))));
        }
    }
}

// ---------------------------------------------------------------- real vocabularies

/// Circe's SQL for one id per set, by DuckDB, as `id concept` lines. An id that CONCEPT lacks may have
/// descendants that it has.
fn circe_sql(concept: &str, ancestor: &str, relationship: &str) -> String {
    format!(
        "r = duckdb.sql('''
with c as (select cast(concept_id as bigint) as id, nullif(trim(invalid_reason), '') as bad from {concept}),
a as (select cast(ancestor_concept_id as bigint) as up, cast(descendant_concept_id as bigint) as down from {ancestor}),
m as (select cast(concept_id_1 as bigint) as source, cast(concept_id_2 as bigint) as target from {relationship}
      where relationship_id = 'Maps to' and nullif(trim(invalid_reason), '') is null),
base as (select id as root, id from c union
         select a.up, c.id from a join c on c.id = a.down where c.bad is null)
select root, id from base union select root, m.source from base join m on m.target = base.id
order by 1, 2''').fetchall()
print('\\n'.join(f'{{a}} {{b}}' for a, b in r))"
    )
}

fn resolve_each(vocabulary: &Vocabulary, site: &SiteExtract, job: &Job) -> String {
    let pairs =
        site.files("concept_ancestor").iter().flat_map(|file| rows(file)).collect::<Vec<_>>();
    let ancestors = pairs.iter().map(|row| row.split(' ').next().unwrap().parse().unwrap());
    let each = vocabulary.concepts().map(|c| c.id).chain(ancestors).map(|id: i64| {
        let set = ConceptSet { include: vec![item(&[id], true, true)], ..ConceptSet::default() };
        (format!("{id:020}"), set)
    });
    let resolution = vocabulary.resolve(&ConceptSets { sets: each.collect() }, job).unwrap();
    let mut text = String::new();
    for set in &resolution.sets {
        let root: i64 = set.name.parse().unwrap();
        set.ids().iter().for_each(|id| writeln!(text, "{root} {id}").unwrap());
    }
    text
}

fn assert_same_lines(found: &str, want: &str) {
    let [found, want] = [found, want].map(|t| t.lines().collect::<BTreeSet<_>>());
    let missing: Vec<_> = want.difference(&found).take(5).collect();
    let extra: Vec<_> = found.difference(&want).take(5).collect();
    assert_eq!((missing, extra), (Vec::new(), Vec::new()), "missing, extra");
    assert!(want.len() > 440, "{}", want.len());
}

#[test]
fn gibleed_resolves_as_duckdb_does() {
    let Some(path) = shared("gibleed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = read(&path, CdmVersion::V5_3, Scope::Vocabulary, folder.path());
    let job = Job::quiet(folder.path(), 2);
    let vocabulary = Vocabulary::open(&site, &job).unwrap();
    assert_eq!(vocabulary.version(), Some("v5.0 18-JAN-19"));
    assert_eq!(version(&site, &job).unwrap().as_deref(), Some("v5.0 18-JAN-19"));
    let notes = vocabulary.notes();
    assert_eq!(notes.ancestor_pairs + notes.duplicate_pairs, 65_690);
    assert_eq!(notes.concepts, site.extract.table("concept").unwrap().rows);
    assert!(vocabulary.bytes() < 20 << 20, "{}", vocabulary.bytes());
    let names = vocabulary.names(&[1_118_084].into_iter().collect(), &job).unwrap();
    assert_eq!(names[&1_118_084], ("140587".to_owned(), "celecoxib".to_owned()));
    let file =
        |table: &str| format!("read_csv('{}/{table}.csv.gz', all_varchar = true)", path.display());
    let sql = circe_sql(&file("concept"), &file("concept_ancestor"), &file("concept_relationship"));
    let Some(want) = duckdb(&sql) else { return };
    assert_same_lines(&resolve_each(&vocabulary, &site, &job), &want);
}

#[test]
fn the_tab_set_resolves_as_duckdb_does() {
    let Some(path) = shared("quirks-tab-100") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = read(&path, CdmVersion::V5_4, Scope::Vocabulary, folder.path());
    let job = Job::quiet(folder.path(), 2);
    let vocabulary = Vocabulary::open(&site, &job).unwrap();
    assert_eq!(vocabulary.version(), Some("v5.0 30-AUG-24"));
    let file = |table: &str| {
        let options = "delim = '\\t', quote = '', all_varchar = true, header = true";
        format!("read_csv('{}/{table}.csv', {})", path.display(), options.replace('\\', "\\\\"))
    };
    let sql = circe_sql(&file("CONCEPT"), &file("CONCEPT_ANCESTOR"), &file("CONCEPT_RELATIONSHIP"));
    let Some(want) = duckdb(&sql) else { return };
    assert_same_lines(&resolve_each(&vocabulary, &site, &job), &want);
}

#[test]
fn quoted_blanks_are_no_standard_concept() {
    let Some(path) = shared("synthea27nj") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = read(&path, CdmVersion::V5_4, Scope::Both, folder.path());
    let job = Job::quiet(folder.path(), 2);
    let vocabulary = Vocabulary::open(&site, &job).unwrap();
    assert_eq!(vocabulary.version(), Some("v5.0 09-APR-22*"));
    assert_eq!(vocabulary.notes().concepts, 2294);
    let count = |of: fn(Standard) -> bool| vocabulary.concepts().filter(|c| of(c.standard)).count();
    let with_s = std::fs::read_to_string(path.join("CONCEPT.csv")).unwrap();
    assert!(with_s.contains("\"\""), "the quirk is gone");
    let Some(want) = duckdb(&format!(
        "print(*duckdb.sql('''select count(*) filter (standard_concept = 'S'),
           count(*) filter (standard_concept = 'C') from
           read_csv('{}/CONCEPT.csv', all_varchar = true)''').fetchall()[0])",
        path.display()
    )) else {
        return;
    };
    let found = (count(|s| s == Standard::Standard), count(|s| s == Standard::Classification));
    assert_eq!(format!("{} {}\n", found.0, found.1), want);
    assert!(vocabulary.concepts().any(|c| c.validity == Validity::Updated));
    // Every concept in use that the shard has.
    let used = concepts_in_use(&site, &job).unwrap();
    assert!(!used.contains(0));
    assert!(used.iter().filter(|&id| vocabulary.concept(id).is_some()).count() > 200);
}

// ---------------------------------------------------------------- sets as files, lint, errors

fn small() -> World {
    let concept = |id, vocabulary, domain, standard, invalid| {
        (id, vocabulary, format!("c{id}"), domain, standard, invalid)
    };
    World {
        concepts: vec![
            concept(1, "SNOMED", "Condition", Some("S"), None),
            concept(2, "SNOMED", "Condition", Some("S"), None),
            concept(3, "SNOMED", "Observation", Some("S"), None),
            concept(4, "SNOMED", "Condition", None, Some("U")),
            concept(10, "ICD10CM", "Condition", None, None),
            concept(11, "ICD10CM", "Condition", None, None),
        ],
        ancestors: vec![(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (3, 3)],
        relations: vec![
            (10, 2, "Maps to", None),
            (11, 3, "Maps to", None),
            (11, 1, "Maps to", Some("D")),
            (4, 2, "Concept replaced by", None),
            (1, 1, "Maps to", None),
            (2, 2, "Maps to", None),
        ],
        version: "v5.0 OLD",
    }
}

#[test]
fn a_file_of_sets_is_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job::quiet(folder.path(), 1);
    let vocabulary = Vocabulary::open(&small().write(folder.path(), 0), &job).unwrap();
    let path = folder.path().join("sets.toml");
    std::fs::write(
        &path,
        r#"
[concept_set.all]
description = "d"
domains = ["Condition"]
include = [
  { concepts = [1, 2, 99], descendants = true },
  { concepts = [10, 4, 10] },
]
exclude = [{ concepts = [7], descendants = true }]

[concept_set.by_code]
include = [{ codes = { vocabulary = "ICD10CM", code = ["c11", "c12"] }, standard = true }]

[concept_set.nothing]
"#,
    )
    .unwrap();
    let sets = ConceptSets::read(&path).unwrap();
    let resolution = vocabulary.resolve(&sets, &job).unwrap();
    let ids = |name: &str| resolution.set(name).unwrap().ids();
    assert_eq!(ids("all"), [1, 2, 3, 4, 10], "4 is stated, so it stays although it is invalid");
    assert_eq!(ids("by_code"), [3]);
    assert_eq!(ids("nothing"), [0i64; 0]);
    let found: BTreeSet<(&str, &str, i64)> = resolution
        .findings
        .iter()
        .map(|f| (f.set.as_str(), f.problem.name(), f.concept_id.unwrap_or(-1)))
        .collect();
    let want = [
        ("all", "redundant", 2),
        ("all", "unknown", 99),
        ("all", "non_standard", 10),
        ("all", "non_standard", 4),
        ("all", "invalid", 4),
        ("all", "duplicate", 10),
        ("all", "unknown", 7),
        ("all", "useless_exclude", 7),
        ("all", "out_of_domain", -1),
        ("by_code", "unknown_code", -1),
        ("nothing", "empty", -1),
    ];
    assert_eq!(found, want.into_iter().collect());
    let error = resolution.require_known().unwrap_err();
    assert_eq!(error.code(), "vocabulary::unknown_concepts");
    assert!(error.to_string().contains("ICD10CM:c12 in `by_code`"), "{error}");
    let foreign = resolution.findings.iter().find(|f| f.problem == Problem::OutOfDomain).unwrap();
    assert_eq!((foreign.code.as_deref(), foreign.count), (Some("Observation"), 1));
}

#[test]
fn a_wrong_key_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sets.toml");
    std::fs::write(&path, "[concept_set.a]\ninclude = [{ concepts = [1], descendant = true }]\n")
        .unwrap();
    let error = ConceptSets::read(&path).unwrap_err();
    assert_eq!(error.code(), "config::invalid");
    let text = error.to_string();
    assert!(text.contains("sets.toml:2:") && text.contains("descendants"), "{text}");
}

#[test]
fn circe_json_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job::quiet(folder.path(), 1);
    let path = folder.path().join("pain.json");
    let json = r#"{"id": 7, "expression": {"items": [
        {"concept": {"CONCEPT_ID": 1, "CONCEPT_NAME": "x"}, "includeDescendants": true, "includeMapped": true},
        {"concept": {"CONCEPT_ID": 3}, "isExcluded": true, "includeMapped": true}]}}"#;
    // With the mark that some systems begin a file with.
    std::fs::write(&path, format!("\u{feff}{json}")).unwrap();
    let vocabulary = Vocabulary::open(&small().write(folder.path(), 0), &job).unwrap();
    let resolution = vocabulary.resolve(&ConceptSets::read(&path).unwrap(), &job).unwrap();
    assert_eq!(resolution.set("pain").unwrap().ids(), [1, 2, 10]);
    std::fs::write(&path, "{\"items\": [{}]}").unwrap();
    assert_eq!(ConceptSets::read(&path).unwrap_err().code(), "vocabulary::circe");
}

#[test]
fn what_cannot_be_opened_is_a_stated_problem() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job::quiet(folder.path(), 1);
    let site = small().write(folder.path(), 2);
    let little = Job { memory: 10_000, ..job.clone() };
    assert!(matches!(Vocabulary::open(&site, &little), Err(Error::Memory { .. })));
    let none = extract(folder.path(), Vec::new());
    assert!(matches!(Vocabulary::open(&none, &job), Err(Error::NoTable { table: "concept" })));
    let mut wrong = site.clone();
    wrong.extract.tables[1].path = "concept".into();
    let error = Vocabulary::open(&wrong, &job).unwrap_err();
    assert_eq!(error.code(), "vocabulary::missing_column");
    assert!(error.to_string().contains("ancestor_concept_id"), "{error}");
    std::fs::write(folder.path().join("concept/part-0001.parquet"), b"PAR1").unwrap();
    assert_eq!(Vocabulary::open(&site, &job).unwrap_err().code(), "vocabulary::parquet");
}

#[test]
fn parts_that_are_not_loaded_answer_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job::quiet(folder.path(), 1);
    small().write(folder.path(), 0);
    let site = typed_folder(folder.path(), CdmVersion::V5_4).unwrap().unwrap();
    let facts = Vocabulary::open_parts(&site, Load::FACTS, &job).unwrap();
    assert_eq!(facts.concept(3).unwrap().domain, "Observation");
    assert_eq!(facts.concept(3).unwrap().valid_start, Some(0));
    assert_eq!(facts.descendants(1).count(), 0);
    assert!(facts.is_a(1, 1) && !facts.is_a(2, 1));
    let all = Vocabulary::open(&site, &job).unwrap();
    assert!(all.is_a(2, 1) && !all.is_a(1, 2));
    assert_eq!(all.related(10, Relation::MapsTo).collect::<Vec<_>>(), [2]);
    assert_eq!(all.related(11, Relation::MapsTo).collect::<Vec<_>>(), [3], "one is deleted");
    assert_eq!(all.sources(2).collect::<Vec<_>>(), [2, 10]);
    assert_eq!(all.standard_for(4), [2], "by what replaces it");
    assert_eq!(all.versions()["SNOMED"], "2026-01");
}

// ---------------------------------------------------------------- unmapped codes

/// One row of `condition_occurrence`: person, concept, source concept, source value.
type Condition<'a> = (i64, Option<i64>, Option<i64>, Option<&'a str>);

fn conditions(root: &Path, rows: &[Condition<'_>], parts: u32) -> SiteExtract {
    let id = |of: fn(&Condition<'_>) -> Option<i64>| -> arrow::array::ArrayRef {
        std::sync::Arc::new(Int64Array::from_iter(rows.iter().map(of)))
    };
    let columns = [
        ("person_id", id(|r| Some(r.0))),
        ("condition_concept_id", id(|r| r.1)),
        ("condition_source_concept_id", id(|r| r.2)),
        ("condition_source_value", texts(rows.iter().map(|r| r.3))),
    ];
    extract(root, vec![table(root, "condition_occurrence", &columns, parts)])
}

fn report(
    site: &SiteExtract,
    vocabulary: Option<&Vocabulary>,
    threads: usize,
) -> (Vec<String>, Vec<u8>) {
    let out = tempfile::tempdir().unwrap();
    let request = UnmappedRequest {
        extracts: std::slice::from_ref(site),
        people: None,
        vocabulary,
        min_persons: 20,
        folder: "quality/vocabulary".into(),
    };
    let made = unmapped(&request, &Job::quiet(out.path(), threads)).unwrap();
    assert!(made.output.ledger.unbalanced().is_empty());
    let file = &made.output.files[0];
    assert_eq!(file.path, "quality/vocabulary/unmapped.parquet");
    let path = out.path().join(&file.path);
    let found = rows(&path);
    assert_eq!(file.rows, Some(found.len() as u64));
    (found, std::fs::read(path).unwrap())
}

#[test]
fn rare_values_are_summed_and_codes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(51);
    let fits = "y".repeat(50);
    let mut data: Vec<Condition<'_>> = Vec::new();
    for person in 1..=20 {
        data.push((person, Some(0), None, Some(" enough ")));
        data.push((person, Some(0), Some(0), Some("enough")));
        data.push((person, Some(0), None, Some(&long)));
        data.push((person, None, None, Some(&fits)));
        data.push((person, Some(0), None, Some("")));
        data.push((person, Some(2), Some(10), Some("mapped")));
        data.push((person, None, None, None));
    }
    for person in 1..=19 {
        data.push((person, Some(0), None, Some("too few")));
        data.push((person, Some(0), None, Some("too few")));
    }
    data.push((1, Some(0), None, Some("once")));
    data.push((1, Some(0), Some(10), Some("a text beside a concept")));
    data.push((1, Some(0), Some(4), None));
    data.push((2, Some(0), Some(4), None));
    data.push((1, Some(0), Some(777), Some("of no vocabulary")));
    let site = conditions(folder.path(), &data, 3);
    let job = Job::quiet(folder.path(), 2);
    let words = folder.path().join("vocabulary");
    let vocabulary = Vocabulary::open(&small().write(&words, 0), &job).unwrap();
    let (found, bytes) = report(&site, Some(&vocabulary), 2);
    let row = |rest: &str| format!("condition_occurrence condition_concept_id {rest}");
    let want = [
        // 38 rows of `too few`, 20 of the long text, `once` and the unknown concept.
        row("other - - - 4 60 0 - []"),
        row("value - - enough 1 40 0 20 []"),
        row(&format!("value - - {fits} 1 20 20 20 []")),
        row("none - - - 1 20 0 20 []"),
        row("concept SNOMED 4 c4 1 2 0 2 [2]"),
        row("concept ICD10CM 10 c10 1 1 0 1 [2]"),
    ];
    assert_eq!(found, want);
    // Neither threads nor files nor the order of rows matter.
    data.reverse();
    for (parts, threads) in [(0, 1), (5, 4)] {
        let other = folder.path().join(format!("{parts}"));
        let site = conditions(&other, &data, parts);
        assert_eq!(report(&site, Some(&vocabulary), threads).1, bytes);
    }
    // Without a vocabulary a source concept is a value like another.
    let (found, _) = report(&site, None, 1);
    assert_eq!(found[0], row("other - - - 6 63 0 - []"));
}

#[test]
fn unmapped_rows_of_gibleed_are_those_duckdb_counts() {
    let Some(path) = shared("gibleed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = read(&path, CdmVersion::V5_3, Scope::Both, folder.path());
    let job = Job::quiet(folder.path(), 2);
    let vocabulary = Vocabulary::open(&site, &job).unwrap();
    let request = UnmappedRequest {
        extracts: std::slice::from_ref(&site),
        people: None,
        vocabulary: Some(&vocabulary),
        min_persons: 20,
        folder: "quality/vocabulary".into(),
    };
    let made = unmapped(&request, &job).unwrap();
    assert!(made.output.ledger.unbalanced().is_empty());
    let coverage: BTreeMap<(&str, &str), (u64, u64)> =
        made.coverage.iter().map(|c| ((c.table, c.field), (c.rows_zero, c.rows))).collect();
    let mut script = String::new();
    for (table, field) in coverage.keys() {
        let file = site.files(table)[0].display().to_string();
        writeln!(
            script,
            "print('{table}', '{field}', *duckdb.sql('''select count(*) filter ({field} = 0),
               count(*) from read_parquet('{file}')''').fetchall()[0])"
        )
        .unwrap();
    }
    let Some(want) = duckdb(&script) else { return };
    let mut found = String::new();
    for ((table, field), (zero, all)) in &coverage {
        writeln!(found, "{table} {field} {zero} {all}").unwrap();
    }
    assert_eq!(found, want);
    assert!(coverage[&("measurement", "unit_concept_id")].0 > 40_000);
}

// ---------------------------------------------------------------- drift

fn changed() -> World {
    let mut new = small();
    new.version = "v5.0 NEW";
    new.concepts.retain(|c| c.0 != 11);
    new.concepts[1].4 = None;
    new.concepts[1].5 = Some("U");
    new.concepts[2].3 = "Condition";
    new.concepts.push((5, "SNOMED", "c5".into(), "Condition", Some("S"), None));
    new.ancestors = vec![(1, 1), (1, 2), (1, 3), (5, 3), (3, 3), (5, 5), (1, 5)];
    new.relations = vec![
        (10, 5, "Maps to", None),
        (10, 3, "Maps to", None),
        (2, 5, "Concept replaced by", None),
        (4, 2, "Concept replaced by", None),
        (1, 1, "Maps to", None),
    ];
    new
}

#[test]
fn every_change_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let old = small().write(&folder.path().join("old"), 0);
    let new = changed().write(&folder.path().join("new"), 2);
    let set = ConceptSet { include: vec![item(&[1], true, true)], ..ConceptSet::default() };
    let sets = sets(vec![("all", set)]);
    let run = |in_use: Option<&IdSet>, with_sets: bool, name: &str| {
        let request = DriftRequest {
            old: &old,
            new: &new,
            in_use,
            sets: with_sets.then_some(&sets),
            folder: "quality/vocabulary".into(),
        };
        let out = folder.path().join(name);
        let drift = drift(&request, &Job::quiet(&out, 2)).unwrap();
        (rows(&out.join("quality/vocabulary/drift.parquet")), drift, out)
    };
    let (found, all, _) = run(None, false, "all");
    let want = [
        "2 ancestor_removed 2 -",
        "2 invalid_reason - U",
        "2 maps_to 2 -",
        "2 replaced_by - 5",
        "2 standard S -",
        "3 ancestor_added - 5",
        "3 domain Observation Condition",
        "4 ancestor_removed 1 -",
        "5 added - -",
        "10 maps_to 2 3,5",
        "11 removed - -",
    ];
    assert_eq!(found, want);
    assert_eq!(all.old_version.as_deref(), Some("v5.0 OLD"));
    assert_eq!(all.new_version.as_deref(), Some("v5.0 NEW"));
    assert_eq!((all.concepts_in_use, all.unknown_concepts), (7, 0));
    let totals: Vec<(&str, u64)> = all.all.iter().map(|(k, v)| (*k, *v)).collect();
    assert_eq!(
        totals,
        [("added", 1), ("domain", 1), ("invalid_reason", 1), ("removed", 1), ("standard", 1)]
    );
    // In use by records: only these.
    let used: IdSet = [10, 1, 500].into_iter().collect();
    let (found, some, _) = run(Some(&used), false, "some");
    assert_eq!(found, ["10 maps_to 2 3,5"]);
    assert_eq!((some.concepts_in_use, some.unknown_concepts), (3, 1));
    assert_eq!(some.all, all.all);
    // In use by sets: 1 2 3 10 11 became 1 3 5 10.
    let (found, by_set, out) = run(Some(&IdSet::default()), true, "sets");
    assert_eq!(found.len(), 10, "{found:?}");
    let set = &by_set.sets[0];
    assert_eq!((set.old, set.new, set.added, set.removed), (5, 4, 1, 2));
    let rows = rows(&out.join("quality/vocabulary/drift_sets.parquet"));
    assert_eq!(rows, ["all 2 removed", "all 5 added", "all 11 removed"]);
    assert_eq!(by_set.output.files.len(), 3);
    assert!(by_set.output.ledger.unbalanced().is_empty());
}

#[test]
fn a_vocabulary_has_not_drifted_from_itself() {
    let Some(path) = shared("gibleed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = read(&path, CdmVersion::V5_3, Scope::Vocabulary, folder.path());
    let request =
        DriftRequest { old: &site, new: &site, in_use: None, sets: None, folder: String::new() };
    let drift = drift(&request, &Job::quiet(folder.path().join("out"), 2)).unwrap();
    assert!(drift.in_use.is_empty() && drift.all.is_empty(), "{drift:?}");
    assert!(drift.ancestors_compared);
    assert!(drift.concepts_in_use > 400);
}

#[test]
fn concepts_in_use_are_those_of_all_concept_columns() {
    let folder = tempfile::tempdir().unwrap();
    let data = [(1, Some(0), Some(10), None), (2, Some(2), None, None), (2, None, Some(4), None)];
    let site = conditions(folder.path(), &data, 2);
    let mut site = site;
    let person = [
        ("person_id", ints([1, 2])),
        ("gender_concept_id", ints([8507, 8532])),
        ("location_id", ints([77, 78])),
    ];
    site.extract.tables.push(table(folder.path(), "person", &person, 0));
    let used = concepts_in_use(&site, &Job::quiet(folder.path(), 2)).unwrap();
    assert_eq!(used.iter().collect::<Vec<_>>(), [2, 4, 10, 8507, 8532]);
}
