//! A small programme in which every invariant has something to look at: both tiers built for real, and the
//! means to spoil one table of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::config::policy::TierPolicy;
use strata::engine::parquet::{FileTags, TableFile, properties};
use strata::engine::{FileEntry, Job, Ledger, TableLedger};
use strata::identity::{IdScope, Key, PersonId, Roster, RowKeys, Standing, TierPeople};
use strata::invariant::{self, CuratedDates, DateRange, Origin, Report, Request, TierTerms};
use strata::omop::{self, CdmVersion, ExtractRequest, Scope, SiteExtract};
use strata::tier::{self, TierRequest};
use strata::{curation, omop::Extract};
use tempfile::TempDir;

/// Somebody too old for the Registered tier.
pub const OLD: i64 = 8_801;
/// On the roster, without a record.
pub const ABSENT: i64 = 8_899;
/// With records and without wearables.
pub const PLAIN: i64 = 8_805;

const RULES: &str = r#"
[[rule]]
id = "notes"
kind = "suppress_tables"
tables = ["note"]
description = "d"
[[rule]]
id = "secret"
kind = "suppress_concepts"
concepts = [500]
mapped = true
description = "d"
"#;

const CONTROLLED: &str = r#"
[[rule]]
id = "codes"
kind = "suppress_concepts"
codes = [{ vocabulary = "ICD10*", regex = "^V" }]
columns = ["condition_occurrence.*"]
descendants = false
description = "d"
[[rule]]
id = "first_years"
kind = "drop_near_birth"
years = 2
except_rows = [{ column = "observation_concept_id", concepts = [4013886] }]
description = "d"
[[rule]]
id = "zip"
kind = "zip3"
question = [1585250]
description = "d"
[[rule]]
id = "birth"
kind = "reduce_birth_date"
to = "june_15"
description = "d"
[[rule]]
id = "providers"
kind = "null_columns"
columns = ["*.provider_id"]
description = "d"
[[rule]]
id = "text"
kind = "null_free_text"
except = ["*.src_id", "observation.value_source_value"]
keep_text = [{ column = "observation.value_as_string", question = [1585250] }]
description = "d"
"#;

const REGISTERED: &str = r#"
[[rule]]
id = "old"
kind = "remove_people_by_age"
min_age = 89
description = "d"
[[rule]]
id = "recent"
kind = "drop_recent_concepts"
years = 1
description = "d"
[[rule]]
id = "race"
kind = "generalise_values"
question = [1586140]
when_several = { among = [1586141, 1586142, 1586143], except = [1586147], to = 2000000008 }
groups = [{ from = [1586141], to = 2000000001 }]
keep = [1586142, 1586143, 1586147]
otherwise = 2000000001
description = "d"
[[rule]]
id = "education"
kind = "generalise_values"
question = [1585940]
groups = [{ from = [1585941], to = 2000000007 }]
description = "d"
[[rule]]
id = "edges"
kind = "truncate_edges"
tables = ["device"]
first_day = "2020-01-01"
description = "d"
[[rule]]
id = "shift"
kind = "shift_dates"
description = "d"
[[rule]]
id = "birth"
kind = "reduce_birth_date"
to = "year"
description = "d"
[[rule]]
id = "columns"
kind = "null_columns"
columns = ["*.provider_id", "*.*_source_concept_id"]
description = "d"
[[rule]]
id = "text"
kind = "null_free_text"
except = ["*.src_id"]
description = "d"
"#;

fn policy(tier: &str, rules: &str) -> TierPolicy {
    let dates = if tier == "controlled" { "true" } else { "shifted" };
    let genomics = tier == "controlled";
    let text = format!(
        "[policy]\nname = \"{tier}\"\ntier = \"{tier}\"\ndescription = \"d\"\ndates = \"{dates}\"\n\
         genomics = {genomics}\n{RULES}{rules}"
    );
    TierPolicy::parse(&text, Path::new("policy.toml")).unwrap()
}

fn person(id: i64, born: i32) -> String {
    format!("{id},8507,{born},3,4,,8527,38003564\n")
}

/// Tables of records by name: header and rows.
fn records() -> Vec<(&'static str, String)> {
    let people: Vec<i64> = (OLD..OLD + 8).collect();
    let born = |p: i64| if p == OLD { 1930 } else { 1960 + i32::try_from(p - OLD).unwrap() };
    let rows = |row: &dyn Fn(i64) -> String| -> String { people.iter().map(|p| row(*p)).collect() };
    let mut persons = String::from(
        "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,birth_datetime,\
         race_concept_id,ethnicity_concept_id\n",
    );
    persons += &rows(&|p| person(p, born(p)));
    let mut visits = String::from(
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_start_datetime,\
         visit_end_date,visit_end_datetime,visit_type_concept_id,provider_id,visit_source_value\n",
    );
    visits += &rows(&|p| {
        format!("{p}1,{p},9202,2019-05-06,2019-05-06 10:00:00,2019-05-07,,44818517,77,seen\n")
    });
    let mut conditions = String::from(
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,\
         condition_type_concept_id,provider_id,visit_occurrence_id,condition_source_value\n",
    );
    // 500 is removed, 501 is below it, 502 maps to it, 600 is recent, 700 is a V code.
    let concepts = [400, 401, 500, 501, 502, 600, 700, 402];
    conditions += &rows(&|p| {
        let at = usize::try_from(p - OLD).unwrap();
        let a = format!("{p}2,{p},{},2018-02-03,32817,77,{p}1,x\n", concepts[at]);
        a + &format!("{p}3,{p},400,2017-02-03,32817,77,{p}1,x\n")
    });
    let mut answers = String::from(
        "observation_id,person_id,observation_concept_id,observation_date,\
         observation_type_concept_id,value_as_string,value_as_concept_id,\
         observation_source_concept_id,value_source_value\n",
    );
    answers += &rows(&|p| {
        let row = |n: i64, question: i64, text: &str, answer: &str, word: &str| {
            format!("{p}{n},{p},{question},2018-06-01,45905771,{text},{answer},{question},{word}\n")
        };
        let race = if p % 2 == 0 { "1586142" } else { "1586141" };
        [
            row(40, 1586140, "", race, ""),
            row(41, 1585940, "", "1585941", ""),
            row(42, 1585250, "60512", "", ""),
            row(43, 903000, "", "903096", "PMI_Skip"),
            row(44, 903001, "", "45877994", ""),
        ]
        .concat()
    });
    let mut conducted =
        String::from("survey_conduct_id,person_id,survey_concept_id,survey_start_date\n");
    conducted += &rows(&|p| format!("{p}5,{p},1586134,2018-06-01\n"));
    let note = "note_id,person_id,note_date,note_type_concept_id,note_class_concept_id,note_title,\
                note_text,encoding_concept_id,language_concept_id\n1,8802,2020-01-01,1,1,t,s,1,1\n";
    vec![
        ("person", persons),
        ("visit_occurrence", visits),
        ("condition_occurrence", conditions),
        ("observation", answers),
        ("survey_conduct", conducted),
        ("note", note.into()),
    ]
}

fn vocabulary() -> Vec<(&'static str, String)> {
    let mut concepts = String::from(
        "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,\
         concept_code,valid_start_date,valid_end_date,invalid_reason\n",
    );
    for (id, vocabulary, code, start) in [
        (400, "SNOMED", "a", "2000-01-01"),
        (401, "SNOMED", "b", "2000-01-01"),
        (402, "SNOMED", "c", "2000-01-01"),
        (500, "SNOMED", "d", "2000-01-01"),
        (501, "SNOMED", "e", "2000-01-01"),
        (502, "ICD10CM", "X1", "2000-01-01"),
        (600, "SNOMED", "f", "2025-06-01"),
        (700, "ICD10CM", "V20", "2000-01-01"),
    ] {
        concepts += &format!("{id},n,Condition,{vocabulary},c,S,{code},{start},2099-12-31,\n");
    }
    let below = "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,\
                 max_levels_of_separation\n500,500,0,0\n500,501,1,1\n";
    let related = "concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date,\
                   invalid_reason\n502,500,Maps to,2000-01-01,2099-12-31,\n";
    vec![
        ("concept", concepts),
        ("concept_ancestor", below.into()),
        ("concept_relationship", related.into()),
    ]
}

fn wearables() -> Vec<(&'static str, String)> {
    let mut days = String::from("person_id,date,steps,src_id\n");
    let mut devices = String::from("person_id,device_id,device_date,last_sync_time,src_id\n");
    for p in (OLD..OLD + 8).filter(|p| *p != PLAIN) {
        days += &format!("{p},2024-01-01,100,ptsc\n{p},2024-01-02,200,ptsc\n");
        // The first is in the middle of the stream and on a day of its own, the second at the stream's end.
        let day = 1 + p - OLD;
        devices += &format!("{p},dev{p},2021-06-0{day},2021-07-0{day} 00:00:00,ptsc\n");
        devices += &format!("{p},dev{p},2023-01-01,2023-02-01 00:00:00,ptsc\n");
    }
    vec![("activity_summary", days), ("device", devices)]
}

fn ingest(root: &Path, name: &str, scope: Scope, tables: Vec<(&str, String)>) -> SiteExtract {
    let folder = root.join(format!("csv-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    for (table, text) in tables {
        std::fs::write(folder.join(format!("{table}.csv")), text).unwrap();
    }
    let root = root.join(format!("typed-{name}"));
    let request = ExtractRequest {
        site: name.into(),
        path: folder,
        cdm: CdmVersion::V5_4,
        scope,
        encoding: Default::default(),
        max_rejected: Default::default(),
        shift_map: None,
    };
    SiteExtract { extract: omop::ingest(&request, &Job::quiet(&root, 2)).unwrap(), root }
}

/// Both tiers, whole or spoilt.
pub struct Tiers {
    _dir: TempDir,
    pub root: PathBuf,
    pub files: Vec<FileEntry>,
    pub books: Vec<(TierPolicy, Ledger)>,
    pub people: Vec<(TierPeople, RowKeys)>,
    curated: SiteExtract,
}

impl Tiers {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let curated = curated(dir.path());
        let root = dir.path().join("release");
        let mut made = Self {
            _dir: dir,
            root: root.clone(),
            files: Vec::new(),
            books: Vec::new(),
            people: Vec::new(),
            curated,
        };
        let takes_part = Standing::Participating { ehr: true, genomics: true };
        let roster = (OLD..OLD + 8).chain([ABSENT]).map(|p| (PersonId(p), takes_part));
        let roster = Roster::from_entries(roster);
        let words = made.root.parent().unwrap().to_owned();
        let vocabulary = ingest(&words, "vocabulary", Scope::Vocabulary, vocabulary());
        let key = Key::from_bytes([11; 32]).unwrap();
        for (policy, is_controlled) in
            [(policy("controlled", CONTROLLED), true), (policy("registered", REGISTERED), false)]
        {
            let (people, rows) = if is_controlled {
                let keys = key.controlled(IdScope::Shared, tier::row_tables());
                (keys.people(&roster).unwrap(), keys.rows().clone())
            } else {
                let keys = key.registered(IdScope::Shared, tier::row_tables());
                (keys.people(&roster).unwrap(), keys.rows().clone())
            };
            let request = TierRequest {
                consents_applied: true,
                site_states: Vec::new(),
                policy: policy.clone(),
                people: people.clone(),
                rows: rows.clone(),
                extracts: vec![made.curated.clone()],
                vocabulary: Some(vocabulary.clone()),
                reference_date: "2026-01-01".parse().unwrap(),
                buckets: 2,
            };
            let output = tier::build(&request, &Job::quiet(&root, 2)).unwrap();
            made.files.extend(output.files.into_iter().filter(|f| f.tier != "quality"));
            made.books.push((policy, output.ledger));
            made.people.push((people, rows));
        }
        made.add_samples("male");
        made
    }

    /// A genomic table of samples with a word in it.
    pub fn add_samples(&mut self, word: &str) {
        let path = "controlled/genomics/wgs/samples/part-0000.parquet";
        self.files.retain(|file| file.path != path);
        let _ = std::fs::remove_file(self.root.join(path));
        let schema = Arc::new(Schema::new(vec![
            Field::new("person_id", DataType::Int64, false),
            Field::new("sex", DataType::Utf8, true),
        ]));
        let person: ArrayRef = Arc::new(Int64Array::from(vec![self.research(PLAIN)]));
        let word: ArrayRef = Arc::new(StringArray::from(vec![word]));
        let rows = RecordBatch::try_new(schema, vec![person, word]).unwrap();
        self.write("controlled", path, "samples", "none", &rows);
    }

    fn write(
        &mut self,
        tier: &str,
        path: &str,
        table: &str,
        basis: &'static str,
        rows: &RecordBatch,
    ) {
        let _ = std::fs::remove_file(self.root.join(path));
        let tags = FileTags {
            tier: tier.into(),
            table: table.into(),
            callset: None,
            date_basis: basis,
            vocabulary: None,
        };
        let properties = properties(&tags, &[]).build();
        let mut file =
            TableFile::create(&self.root, path, rows.schema(), tags, properties).unwrap();
        file.write(rows).unwrap();
        let entry = file.finish().unwrap();
        self.files.retain(|file| file.path != path);
        self.files.push(entry);
    }

    fn basis(tier: &str) -> &'static str {
        if tier == "controlled" { "true" } else { "shifted" }
    }

    /// Adds a file of a table.
    pub fn add(&mut self, tier: &str, path: &str, rows: &RecordBatch) {
        let table = path.split('/').nth(2).unwrap().to_owned();
        self.write(tier, path, &table, Self::basis(tier), rows);
    }

    pub fn paths(&self, tier: &str, table: &str) -> Vec<String> {
        let of = |file: &&FileEntry| file.tier == tier && file.table == table;
        self.files.iter().filter(of).map(|file| file.path.clone()).collect()
    }

    pub fn rows(&self, path: &str) -> RecordBatch {
        let file = File::open(self.root.join(path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    }

    /// Makes another of each file of a table.
    pub fn spoil(&mut self, tier: &str, table: &str, make: impl Fn(RecordBatch) -> RecordBatch) {
        let paths = self.paths(tier, table);
        assert!(!paths.is_empty(), "{tier} has no {table}");
        for path in paths {
            let rows = make(self.rows(&path));
            self.write(tier, &path, table, Self::basis(tier), &rows);
        }
    }

    /// Rewrites a table as if its dates were otherwise.
    pub fn call_dates(&mut self, tier: &str, table: &str, basis: &'static str) {
        for path in self.paths(tier, table) {
            let rows = self.rows(&path);
            self.write(tier, &path, table, basis, &rows);
        }
    }

    pub fn books(&mut self, tier: &str, table: &str) -> &mut TableLedger {
        let of = |(policy, _): &&mut (TierPolicy, Ledger)| policy.policy.tier.name() == tier;
        let (_, books) = self.books.iter_mut().find(of).unwrap();
        books.0.iter_mut().find(|books| books.table.ends_with(&format!("/{table}"))).unwrap()
    }

    pub fn research(&self, person: i64) -> i64 {
        let people = &self.people[0].0.people;
        people.iter().find(|p| p.person_id == PersonId(person)).unwrap().research_id.0
    }

    pub fn check(&self, with_origin: bool) -> Report {
        self.check_on(with_origin, 2)
    }

    pub fn check_on(&self, with_origin: bool, threads: usize) -> Report {
        let date = |text: &str| text.parse().unwrap();
        let tiers = self
            .books
            .iter()
            .map(|(policy, books)| TierTerms { policy: policy.clone(), books: books.clone() });
        let dated = ["visit_occurrence"].map(str::to_owned).to_vec();
        let request = Request {
            root: &self.root,
            keyring: Default::default(),
            files: &self.files,
            tiers: tiers.collect(),
            cdm: CdmVersion::V5_4,
            reference_date: date("2026-01-01"),
            cutoff: date("2026-01-01"),
            shared_ids: true,
            curated_dates: CuratedDates {
                in_range: vec![DateRange { first_year: 1981, tables: dated }],
                since_birth: vec!["observation".into()],
            },
            origin: with_origin.then(|| Origin {
                curated: self.curated.clone(),
                tiers: self.people.clone(),
                samples: ["SAMPLE-1".to_owned()].into(),
                whole_weeks: false,
                without_ehr_consent: BTreeSet::new(),
            }),
        };
        invariant::check(&request, &Job::quiet(&self.root, threads)).unwrap()
    }
}

fn curated(root: &Path) -> SiteExtract {
    let records = ingest(root, "records", Scope::Records, records());
    let wearables = ingest(root, "wearables", Scope::Wearables, wearables());
    let root = root.join("curated");
    let request = curation::Request {
        deactivated: BTreeMap::new(),
        ehr: vec![true],
        vocabulary: None,
        extracts: vec![records, wearables],
        rules: curation::Rules { list: Vec::new() },
        excluded: BTreeMap::new(),
        cutoff: i32::MAX,
        sandbox: false,
        mapping: false,
    };
    let extract: Extract = curation::curate(&request, &Job::quiet(&root, 2)).unwrap();
    SiteExtract { extract, root }
}

/// The rows with one column made by `make` of its values, row by row.
pub fn ints(
    rows: &RecordBatch,
    column: &str,
    make: impl Fn(usize, Option<i64>) -> Option<i64>,
) -> RecordBatch {
    let old = rows.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    let new: Int64Array = old.iter().enumerate().map(|(i, value)| make(i, value)).collect();
    with(rows, column, Arc::new(new))
}

pub fn texts(
    rows: &RecordBatch,
    column: &str,
    make: impl Fn(usize, Option<&str>) -> Option<String>,
) -> RecordBatch {
    let old = rows.column_by_name(column).unwrap().as_string::<i32>();
    let new: StringArray = old.iter().enumerate().map(|(i, value)| make(i, value)).collect();
    with(rows, column, Arc::new(new))
}

pub fn dates(
    rows: &RecordBatch,
    column: &str,
    make: impl Fn(usize, Option<i32>) -> Option<i32>,
) -> RecordBatch {
    let old = rows.column_by_name(column).unwrap().as_primitive::<Date32Type>();
    let new: arrow::array::Date32Array =
        old.iter().enumerate().map(|(i, value)| make(i, value)).collect();
    with(rows, column, Arc::new(new))
}

pub fn with(rows: &RecordBatch, column: &str, array: ArrayRef) -> RecordBatch {
    let at = rows.schema().index_of(column).unwrap();
    let mut columns = rows.columns().to_vec();
    columns[at] = array;
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// The rows with one more column.
pub fn with_more(rows: &RecordBatch, column: &str, array: ArrayRef) -> RecordBatch {
    let others = (0..rows.num_columns()).filter(|c| rows.schema().field(*c).name() != column);
    let rows = rows.project(&others.collect::<Vec<_>>()).unwrap();
    let mut fields: Vec<Field> =
        rows.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new(column, array.data_type().clone(), true));
    let columns = rows.columns().iter().cloned().chain([array]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Some of the rows, in this order.
pub fn pick(rows: &RecordBatch, at: &[usize]) -> RecordBatch {
    let at = Int64Array::from_iter_values(at.iter().map(|i| i64::try_from(*i).unwrap()));
    let columns = rows.columns().iter().map(|c| take(c, &at, None).unwrap()).collect();
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

pub fn ids(rows: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    rows.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}

/// A batch of one row, null but for some numbers.
pub fn row(schema: Arc<Schema>, numbers: &[(&str, i64)]) -> RecordBatch {
    let column = |field: &Arc<Field>| -> ArrayRef {
        match numbers.iter().find(|(name, _)| name == field.name()) {
            Some((_, number)) => Arc::new(Int64Array::from(vec![*number])),
            None => arrow::array::new_null_array(field.data_type(), 1),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// One batch after the other.
pub fn chain(one: &RecordBatch, other: &RecordBatch) -> RecordBatch {
    concat_batches(&one.schema(), [one, other]).unwrap()
}
