//! Small extracts through the real ingest, tiers built from them, and ways to look at the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema, TimestampMicrosecondType};
use jiff::civil::{Date, date};
use jiff::{Span, Unit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use strata::config::policy::{DateBasis, TierPolicy};
use strata::engine::{Job, StageOutput, TableLedger};
use strata::identity::{IdScope, Key, PersonId, Roster, RowKeys, Standing, TierPeople};
use strata::omop::{self, CdmVersion, ExtractRequest, Scope};
use strata::tier::{self, Error, SiteExtract, TierRequest};
use tempfile::TempDir;

pub const MICROS: i64 = 86_400_000_000;
pub const PERSON: &str = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,\
                          birth_datetime,race_concept_id,ethnicity_concept_id,location_id,\
                          provider_id,care_site_id,person_source_value,gender_source_value,\
                          gender_source_concept_id,race_source_value,race_source_concept_id,\
                          ethnicity_source_value,ethnicity_source_concept_id\n";

/// Table name, header, rows.
pub type Csv<'a> = (&'a str, &'a str, &'a str);

pub fn takes_part() -> Standing {
    Standing::Participating { ehr: true, genomics: true }
}

pub fn policy(tier: &str, rules: &str) -> TierPolicy {
    let dates = if tier == "controlled" { "true" } else { "shifted" };
    let text = format!(
        "[policy]\nname = \"{tier}\"\ntier = \"{tier}\"\ndescription = \"d\"\ndates = \"{dates}\"\n\
         genomics = false\n{rules}\n[[rule]]\nid = \"ids\"\ndescription = \"d\"\n\
         kind = \"null_columns\"\n\
         columns = [\"person.person_source_value\", \"specimen.specimen_source_id\"]\n"
    );
    TierPolicy::parse(&text, Path::new("policy.toml")).unwrap()
}

/// Days since 1970-01-01.
pub fn day(text: &str) -> i32 {
    let end: Date = text.parse().unwrap();
    date(1970, 1, 1).until((Unit::Day, end)).unwrap().get_days()
}

pub fn civil(days: i32) -> Date {
    date(1970, 1, 1).checked_add(Span::new().days(days)).unwrap()
}

pub fn clock(micros: i64) -> String {
    let (s, us) = (micros / 1_000_000, micros % 1_000_000);
    format!("{:02}:{:02}:{:02}.{us:06}", s / 3600, s / 60 % 60, s % 60)
}

pub struct Fixture {
    dir: TempDir,
    sites: Vec<SiteExtract>,
    pub vocabulary: Option<SiteExtract>,
    pub site_states: Vec<(i64, SiteExtract)>,
    roster: Roster,
    pub reference: Date,
}

const VOCABULARY: [Csv<'static>; 3] = [
    (
        "concept",
        "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code,\
         valid_start_date,valid_end_date\n",
        "",
    ),
    (
        "concept_ancestor",
        "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,max_levels_of_separation\n",
        "",
    ),
    (
        "concept_relationship",
        "concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date\n",
        "",
    ),
];

impl Fixture {
    pub fn new(tables: &[Csv<'_>]) -> Self {
        let mut fixture = Self {
            dir: TempDir::new().unwrap(),
            sites: Vec::new(),
            vocabulary: None,
            site_states: Vec::new(),
            roster: Roster::default(),
            reference: date(2026, 1, 1),
        };
        fixture.site(CdmVersion::V5_4, tables);
        fixture.vocabulary(&[]);
        fixture
    }

    /// A fixture over folders of CSV files.
    pub fn of_folder(site: &Path, cdm: CdmVersion) -> Self {
        let mut fixture = Self {
            dir: TempDir::new().unwrap(),
            sites: Vec::new(),
            vocabulary: None,
            site_states: Vec::new(),
            roster: Roster::default(),
            reference: date(2026, 1, 1),
        };
        let records = fixture.ingest(site, cdm, Scope::Records);
        fixture.sites.push(records);
        fixture.vocabulary = Some(fixture.ingest(site, cdm, Scope::Vocabulary));
        fixture
    }

    fn ingest(&self, path: &Path, cdm: CdmVersion, scope: Scope) -> SiteExtract {
        let site = format!("site{}{scope:?}", self.sites.len());
        let root = self.dir.path().join(format!("in [{site}]*"));
        let job = Job::quiet(&root, 2);
        let request = ExtractRequest {
            site,
            path: path.to_path_buf(),
            cdm,
            scope,
            encoding: Default::default(),
            max_rejected: Default::default(),
            shift_map: None,
        };
        SiteExtract { extract: omop::ingest(&request, &job).unwrap(), root }
    }

    fn write(&self, name: &str, tables: &[Csv<'_>]) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (table, header, rows) in tables {
            std::fs::write(folder.join(format!("{table}.csv")), format!("{header}{rows}")).unwrap();
        }
        folder
    }

    pub fn site(&mut self, cdm: CdmVersion, tables: &[Csv<'_>]) {
        let folder = self.write(&format!("csv{}", self.sites.len()), tables);
        let extract = self.ingest(&folder, cdm, Scope::Records);
        self.sites.push(extract);
    }

    /// The vocabulary, in which tables that are not given have no rows.
    pub fn vocabulary(&mut self, tables: &[Csv<'_>]) {
        if let Some(before) = self.vocabulary.take() {
            std::fs::remove_dir_all(before.root).unwrap();
        }
        let mut all = tables.to_vec();
        let given = |name: &str| tables.iter().any(|table| table.0 == name);
        all.extend(VOCABULARY.iter().filter(|(name, ..)| !given(name)));
        let folder = self.write("vocabulary", &all);
        self.vocabulary = Some(self.ingest(&folder, CdmVersion::V5_4, Scope::Vocabulary));
    }

    /// Takes the vocabulary away, but for its table of concepts if `concepts`.
    pub fn without_vocabulary(&mut self, concepts: bool) {
        self.vocabulary = self.vocabulary.take().filter(|_| concepts);
        if let Some(vocabulary) = &mut self.vocabulary {
            vocabulary.extract.tables.retain(|table| table.name == "concept");
        }
    }

    /// Gives the sites, in order, these states; None for a site without one.
    pub fn states(&mut self, states: &[Option<i64>]) {
        let sites = states.iter().zip(&self.sites);
        self.site_states = sites.filter_map(|(s, site)| Some(((*s)?, site.clone()))).collect();
    }

    /// Adds a column of one number to a typed table of the first site.
    pub fn add_column(&self, table: &str, column: &str, number: i64) {
        let path = self.sites[0].files(table).remove(0);
        let file = std::fs::File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let rows = concat_batches(&schema, &batches).unwrap();
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(column, DataType::Int64, true)));
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(vec![number; rows.num_rows()])));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        std::fs::remove_file(&path).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }

    pub fn wearables(&mut self, tables: &[Csv<'_>]) {
        let folder = self.write("wearables", tables);
        let extract = self.ingest(&folder, CdmVersion::V5_4, Scope::Wearables);
        self.sites.push(extract);
    }

    pub fn roster(&mut self, people: impl IntoIterator<Item = (i64, Standing)>) {
        self.roster = Roster::from_entries(people.into_iter().map(|(p, s)| (PersonId(p), s)));
    }

    pub fn roster_file(&mut self, path: &Path) {
        self.roster = Roster::read(path).unwrap();
    }

    pub fn request(&self, policy: &TierPolicy) -> TierRequest {
        let key = Key::from_bytes([11; 32]).unwrap();
        let tables = tier::row_tables();
        let (people, rows) = if policy.policy.tier.name() == "controlled" {
            let keys = key.controlled(IdScope::PerTier, tables);
            (keys.people(&self.roster).unwrap(), keys.rows().clone())
        } else {
            let keys = key.registered(IdScope::PerTier, tables);
            (keys.people(&self.roster).unwrap(), keys.rows().clone())
        };
        TierRequest {
            consents_applied: false,
            policy: policy.clone(),
            people,
            rows,
            extracts: self.sites.clone(),
            vocabulary: self.vocabulary.clone(),
            site_states: self.site_states.clone(),
            reference_date: self.reference,
            buckets: 8,
        }
    }

    pub fn job(&self, threads: usize) -> Job {
        let out = tempfile::Builder::new().prefix("out").tempdir_in(self.dir.path()).unwrap();
        Job::quiet(out.keep(), threads)
    }

    pub fn build(&self, policy: &TierPolicy) -> Result<Built, Error> {
        self.build_on(policy, 2)
    }

    pub fn build_on(&self, policy: &TierPolicy, threads: usize) -> Result<Built, Error> {
        let request = self.request(policy);
        let job = self.job(threads);
        let output = tier::build(&request, &job)?;
        Ok(Built {
            output,
            out: job.out,
            people: request.people,
            rows: request.rows,
            policy_dates: policy.policy.dates,
        })
    }
}

#[derive(Debug)]
pub struct Built {
    pub output: StageOutput,
    pub out: PathBuf,
    people: TierPeople,
    rows: RowKeys,
    pub policy_dates: DateBasis,
}

impl Built {
    pub fn books(&self, table: &str) -> &TableLedger {
        let name = format!("omop/{table}");
        self.output.ledger.0.iter().find(|t| t.table == name).unwrap()
    }

    fn file(&self, path: &str) -> RecordBatch {
        let file = std::fs::File::open(self.out.join(path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    }

    /// All rows of a table, in the order of its files.
    pub fn table(&self, table: &str) -> RecordBatch {
        let files = self.output.files.iter().filter(|f| f.table == table);
        let batches: Vec<_> = files.map(|f| self.file(&f.path)).collect();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    pub fn ints(&self, table: &str, column: &str) -> Vec<Option<i64>> {
        ints(&self.table(table), column)
    }

    pub fn times(&self, table: &str, column: &str) -> Vec<Option<i64>> {
        let rows = self.table(table);
        let times = rows.column_by_name(column).unwrap();
        times.as_primitive::<TimestampMicrosecondType>().iter().collect()
    }

    pub fn texts(&self, table: &str, column: &str) -> Vec<Option<String>> {
        let rows = self.table(table);
        let texts = rows.column_by_name(column).unwrap().as_string::<i32>();
        texts.iter().map(|t| t.map(str::to_owned)).collect()
    }

    pub fn file_ints(&self, path: &str, column: &str) -> Vec<Option<i64>> {
        ints(&self.file(path), column)
    }

    pub fn file_dates(&self, path: &str, column: &str) -> Vec<Option<i32>> {
        let rows = self.file(path);
        rows.column_by_name(column).unwrap().as_primitive::<Date32Type>().iter().collect()
    }

    /// Raw row id, first date and research id of each row, by the tier's inverse row key.
    pub fn raw_rows(&self, table: &str, key: &str, date: &str) -> BTreeMap<i64, (i32, i64)> {
        let rows = self.table(table);
        let people = ints(&rows, "person_id");
        let dates = rows.column_by_name(date).unwrap().as_primitive::<Date32Type>();
        let row_key = self.rows.get(table).unwrap();
        let ids = ints(&rows, key).into_iter().map(|id| row_key.invert(id.unwrap()));
        ids.enumerate().map(|(i, id)| (id, (dates.value(i), people[i].unwrap()))).collect()
    }

    /// A number and a date of each row of a table.
    pub fn wearable_rows(&self, table: &str, number: &str, date: &str) -> Vec<(i64, i32)> {
        let rows = self.table(table);
        let dates = rows.column_by_name(date).unwrap().as_primitive::<Date32Type>();
        let numbers = ints(&rows, number).into_iter().map(Option::unwrap);
        numbers.enumerate().map(|(i, n)| (n, dates.value(i))).collect()
    }

    /// The same of a column of dates that may be null.
    pub fn dated_rows(&self, table: &str, number: &str, date: &str) -> Vec<(i64, Option<i32>)> {
        let rows = self.table(table);
        let dates = rows.column_by_name(date).unwrap().as_primitive::<Date32Type>();
        let numbers = ints(&rows, number).into_iter().map(Option::unwrap);
        numbers.zip(dates.iter()).collect()
    }

    /// Shift by research id.
    pub fn shifts(&self) -> BTreeMap<i64, i32> {
        let people = self.people.people.iter();
        people.map(|p| (p.research_id.0, i32::from(p.shift.unwrap()))).collect()
    }

    pub fn research(&self, person: i64) -> i64 {
        let found = self.people.people.iter().find(|p| p.person_id == PersonId(person));
        found.unwrap().research_id.0
    }

    pub fn shift(&self, person: i64) -> u16 {
        let found = self.people.people.iter().find(|p| p.person_id == PersonId(person));
        found.unwrap().shift.unwrap()
    }

    /// Row of a person in the person table.
    pub fn person_row(&self, person: i64) -> usize {
        let id = Some(self.research(person));
        self.ints("person", "person_id").iter().position(|p| *p == id).unwrap()
    }

    /// Start date and time of visits by their source value.
    pub fn by_source(&self) -> BTreeMap<String, (i32, i64)> {
        let rows = self.table("visit_occurrence");
        let names = rows.column_by_name("visit_source_value").unwrap().as_string::<i32>();
        let dates = rows.column_by_name("visit_start_date").unwrap();
        let times = rows.column_by_name("visit_start_datetime").unwrap();
        let (dates, times) =
            (dates.as_primitive::<Date32Type>(), times.as_primitive::<TimestampMicrosecondType>());
        (0..rows.num_rows())
            .map(|i| (names.value(i).to_owned(), (dates.value(i), times.value(i))))
            .collect()
    }

    /// Rule id, table, rows removed, rows changed.
    pub fn rules(&self) -> Vec<(String, String, i64, i64)> {
        let rows = self.table("rules");
        let text = |i: usize| rows.column(i).as_string::<i32>();
        let number = |i: usize| rows.column(i).as_primitive::<Int64Type>();
        (0..rows.num_rows())
            .map(|r| {
                let (rule, table) = (text(0).value(r).to_owned(), text(1).value(r).to_owned());
                (rule, table, number(2).value(r), number(3).value(r))
            })
            .collect()
    }

    fn released(&self) -> impl Iterator<Item = &str> {
        self.output.files.iter().filter(|f| f.tier != "quality").map(|f| f.path.as_str())
    }

    fn any_column(&self, holds: impl Fn(&dyn Array) -> bool) -> bool {
        self.released().any(|p| self.file(p).columns().iter().any(|c| holds(c.as_ref())))
    }

    pub fn holds_number(&self, number: i64) -> bool {
        self.any_column(|c| {
            c.data_type() == &DataType::Int64
                && c.as_primitive::<Int64Type>().iter().any(|v| v == Some(number))
        })
    }

    /// Whether a date or time column has a value on this day.
    pub fn holds_date(&self, date: i32) -> bool {
        self.any_column(|c| match c.data_type() {
            DataType::Date32 => c.as_primitive::<Date32Type>().iter().any(|d| d == Some(date)),
            DataType::Timestamp(..) => {
                let times = c.as_primitive::<TimestampMicrosecondType>();
                times.iter().flatten().any(|t| t.div_euclid(MICROS) == i64::from(date))
            }
            _ => false,
        })
    }

    /// Whether a text column, a file name or the bytes of a file hold the text.
    pub fn holds_text(&self, text: &str) -> bool {
        let in_column = |c: &dyn Array| {
            let words = cast(c, &DataType::Utf8).unwrap();
            words.as_string::<i32>().iter().flatten().any(|w| w.contains(text))
        };
        self.any_column(|c| c.data_type() == &DataType::Utf8 && in_column(c))
            || self.released().any(|p| p.contains(text))
            || self.holds_bytes(text.as_bytes())
    }

    /// Whether the bytes of a released file hold `bytes` (statistics and metadata are not compressed).
    pub fn holds_bytes(&self, bytes: &[u8]) -> bool {
        self.released().any(|p| {
            let file = std::fs::read(self.out.join(p)).unwrap();
            file.windows(bytes.len()).any(|w| w == bytes)
        })
    }
}

fn ints(rows: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    rows.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}
