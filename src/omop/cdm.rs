//! The OMOP Common Data Model as data: one CSV of facts per version, parsed once.
//!
//! The files in `omop/cdm/` state table, field, type, whether a value is required, whether the field is
//! the primary key and which table it points into. They follow the OHDSI field-level specification
//! (<https://github.com/OHDSI/CommonDataModel>, `inst/csv`) and its DDL; where those leave a reference
//! unstated (for instance `note_nlp.note_id`) it is filled in, and the era dates of 5.3 are dates as in
//! 5.4. In the last column `*` marks a row id that may point into any table (`cost_event_id`,
//! `fact_id_1`, `measurement_event_id`). A further version is one more file and one more variant.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

pub use crate::config::CdmVersion;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// `integer` of the CDM: int64, whatever the width the specification asks for.
    Integer,
    /// `float` or `numeric`: float64.
    Float,
    /// `date`: date32, days since 1970-01-01.
    Date,
    /// `datetime`: timestamp in microseconds without zone.
    Timestamp,
    /// `varchar`: UTF-8 text; lengths of the specification are not enforced.
    Text,
}

impl FieldKind {
    /// The arrow type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Text => DataType::Utf8,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "integer" => Self::Integer,
            "float" => Self::Float,
            "date" => Self::Date,
            "datetime" => Self::Timestamp,
            "text" => Self::Text,
            _ => return None,
        })
    }
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSpec {
    /// Name, lower case.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether the specification asks for a value in every row.
    pub required: bool,
    /// Whether it is the table's primary key.
    pub primary_key: bool,
    /// The table it points into, when that is one table.
    pub foreign_table: Option<&'static str>,
    /// Whether it is a row id that points into a table named by another column (`cost_event_id`).
    pub any_table: bool,
}

impl FieldSpec {
    /// Whether it holds a concept id (`concept_id`, `*_concept_id`, `concept_id_1` ...).
    pub fn is_concept_id(&self) -> bool {
        self.kind == FieldKind::Integer
            && (self.foreign_table == Some("concept") || self.name == "concept_id")
    }
}

/// Where a table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// The OMOP CDM.
    Cdm,
    /// Records of surveys, by the All of Us names: `survey_conduct`, which the CDM has from 6.0. Its
    /// specification also adds `questionnaire_response_id`, the survey of an answer, to `observation`.
    Survey,
    /// Wearables, by the All of Us Fitbit names.
    Wearable,
    /// Made by the program.
    Programme,
}

/// One table of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Where it comes from.
    pub family: Family,
    /// Name, lower case.
    pub name: &'static str,
    /// Fields in the order of the specification, which is the column order of every file written.
    pub fields: Vec<FieldSpec>,
    /// The primary key field, for tables that have one.
    pub primary_key: Option<&'static str>,
    /// Whether the table has a `person_id`.
    pub person_field: bool,
    /// The date by which a person's rows are ordered: the first `date` field of a table with a
    /// `person_id` (`condition_start_date`, `measurement_date` ...), or of a wearables table the first
    /// `datetime`. None for `person` itself.
    pub start_date: Option<&'static str>,
}

/// What CDM 5.3 called a column that 5.4 gave another name: admission, discharge and the parent of a detail of
/// a visit (<https://ohdsi.github.io/CommonDataModel/cdm54Changes.html>).
pub fn former_name(column: &str) -> Option<&'static str> {
    Some(match column {
        "admitted_from_concept_id" => "admitting_source_concept_id",
        "admitted_from_source_value" => "admitting_source_value",
        "discharged_to_concept_id" => "discharge_to_concept_id",
        "discharged_to_source_value" => "discharge_to_source_value",
        "parent_visit_detail_id" => "visit_detail_parent_id",
        _ => return None,
    })
}

impl TableSpec {
    /// The field called `name` (lower case).
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Ordinal of the field called `name` (lower case).
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// The table whose row ids `field` holds: the table itself for a primary key, the one pointed into
    /// for a reference. None for concept ids, person ids, vocabulary keys and everything else; see
    /// [`FieldSpec::any_table`] for ids whose table another column names.
    pub fn row_id_table(&self, field: &FieldSpec) -> Option<&'static str> {
        let table = if field.primary_key { Some(self.name) } else { field.foreign_table }?;
        let re_keyed =
            field.kind == FieldKind::Integer && table != "person" && !is_vocabulary(table);
        re_keyed.then_some(table)
    }

    /// The arrow schema of the typed table: every field of the specification, all nullable.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.fields.iter().map(|f| Field::new(f.name, f.kind.data_type(), true)).collect();
        Schema::new(fields).into()
    }
}

/// One version of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdm {
    /// The version.
    pub version: CdmVersion,
    tables: BTreeMap<&'static str, TableSpec>,
}

impl Cdm {
    /// The table called `name` (lower case), also by a name that it once had.
    pub fn table(&self, name: &str) -> Option<&TableSpec> {
        // All of Us before version 8.
        let now = if name == "heart_rate_minute_level" { "heart_rate_intraday" } else { name };
        self.tables.get(now)
    }

    /// All tables of every family, by name.
    pub fn tables(&self) -> impl Iterator<Item = &TableSpec> {
        self.tables.values()
    }

    /// The table name closest to `name`, if one is close enough to be a slip.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        self.tables
            .keys()
            .map(|&table| (strsim::damerau_levenshtein(name, table), table))
            .filter(|&(distance, table)| distance * 3 <= table.len())
            .min()
            .map(|(_, table)| table)
    }

    fn parse(version: CdmVersion, text: &'static str) -> Self {
        let mut tables: BTreeMap<&'static str, TableSpec> = BTreeMap::new();
        read(&mut tables, Family::Cdm, text);
        read(&mut tables, Family::Survey, include_str!("cdm/all_of_us.csv"));
        read(&mut tables, Family::Wearable, include_str!("cdm/fitbit.csv"));
        read(&mut tables, Family::Programme, include_str!("cdm/programme.csv"));
        for spec in tables.values_mut().filter(|t| t.person_field) {
            let first = |kind| spec.fields.iter().find(|f| f.kind == kind).map(|f| f.name);
            let minute = || first(FieldKind::Timestamp).filter(|_| spec.family == Family::Wearable);
            spec.start_date = first(FieldKind::Date).or_else(minute);
        }
        Self { version, tables }
    }
}

fn read(tables: &mut BTreeMap<&'static str, TableSpec>, family: Family, text: &'static str) {
    for line in text.lines().skip(1) {
        let mut cells = line.split(',');
        let mut next = || cells.next().unwrap_or_default();
        let (table, name, kind) = (next(), next(), next());
        let (required, primary_key, foreign) = (next() == "yes", next() == "yes", next());
        // The checked-in files have no other kinds: `every_line_of_the_specification_is_read`.
        let Some(kind) = FieldKind::parse(kind) else { continue };
        let spec = tables.entry(table).or_insert_with(|| TableSpec {
            family,
            name: table,
            fields: Vec::new(),
            primary_key: None,
            person_field: false,
            start_date: None,
        });
        spec.primary_key = spec.primary_key.or(primary_key.then_some(name));
        spec.person_field |= name == "person_id";
        spec.fields.push(FieldSpec {
            name,
            kind,
            required,
            primary_key,
            foreign_table: (!foreign.is_empty() && foreign != "*").then_some(foreign),
            any_table: foreign == "*",
        });
    }
}

/// The model of `version`.
pub fn cdm(version: CdmVersion) -> &'static Cdm {
    static V5_3: LazyLock<Cdm> =
        LazyLock::new(|| Cdm::parse(CdmVersion::V5_3, include_str!("cdm/5.3.csv")));
    static V5_4: LazyLock<Cdm> =
        LazyLock::new(|| Cdm::parse(CdmVersion::V5_4, include_str!("cdm/5.4.csv")));
    static V5_5: LazyLock<Cdm> =
        LazyLock::new(|| Cdm::parse(CdmVersion::V5_5, include_str!("cdm/5.5.csv")));
    match version {
        CdmVersion::V5_3 => &V5_3,
        CdmVersion::V5_4 => &V5_4,
        CdmVersion::V5_5 => &V5_5,
    }
}

/// Whether `table` is one of the standardised vocabulary tables: no person, no row ids to hide.
pub fn is_vocabulary(table: &str) -> bool {
    matches!(
        table,
        "concept"
            | "vocabulary"
            | "domain"
            | "concept_class"
            | "concept_relationship"
            | "relationship"
            | "concept_synonym"
            | "concept_ancestor"
            | "source_to_concept_map"
            | "drug_strength"
            | "pack_content"
            | "concept_metadata"
            | "concept_relationship_metadata"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_specification_is_read() {
        let versions =
            [(CdmVersion::V5_3, 37, 396), (CdmVersion::V5_4, 39, 432), (CdmVersion::V5_5, 42, 456)];
        // All of Us has one field more.
        for (version, tables, fields) in versions {
            let cdm = cdm(version);
            let model = || cdm.tables().filter(|t| t.family == Family::Cdm);
            assert_eq!(model().count(), tables);
            assert_eq!(model().map(|t| t.fields.len()).sum::<usize>(), fields + 1);
            let wearables = cdm.tables().filter(|t| t.family == Family::Wearable);
            assert_eq!(wearables.map(|t| t.fields.len()).sum::<usize>(), 69);
            assert_eq!(cdm.table("sleep_level").unwrap().start_date, Some("sleep_date"));
            assert_eq!(cdm.table("steps_intraday").unwrap().start_date, Some("datetime"));
            for table in cdm.tables() {
                for field in &table.fields {
                    if let Some(target) = field.foreign_table {
                        assert!(cdm.table(target).is_some(), "{}.{}", table.name, field.name);
                    }
                }
            }
        }
    }

    #[test]
    fn kinds_of_5_4_are_those_of_the_specification() {
        let count = |kind| {
            let model = cdm(CdmVersion::V5_4).tables().filter(|t| t.family == Family::Cdm);
            let fields = model.flat_map(|t| &t.fields);
            fields.filter(|f| f.kind == kind).count()
        };
        assert_eq!(count(FieldKind::Integer), 222 + 1);
        assert_eq!(count(FieldKind::Date), 45);
        assert_eq!(count(FieldKind::Timestamp), 22);
        assert_eq!(count(FieldKind::Float), 25);
    }

    #[test]
    fn version_5_5_only_adds_to_5_4() {
        let newer = cdm(CdmVersion::V5_5);
        for table in cdm(CdmVersion::V5_4).tables() {
            let fields = &newer.table(table.name).unwrap().fields;
            let kept: Vec<_> =
                fields.iter().filter(|f| table.field(f.name).is_some()).cloned().collect();
            assert_eq!(kept, table.fields, "{}", table.name);
            let added = fields.iter().filter(|f| table.field(f.name).is_none());
            assert!(added.clone().all(|f| !f.required && !f.primary_key), "{}", table.name);
        }
        let older = cdm(CdmVersion::V5_4);
        let added: Vec<_> =
            newer.tables().map(|t| t.name).filter(|t| older.table(t).is_none()).collect();
        assert_eq!(added, ["concept_metadata", "concept_relationship_metadata", "pack_content"]);
        assert!(added.into_iter().all(is_vocabulary));
        let specimen = newer.table("specimen").unwrap();
        let visit = specimen.field("visit_occurrence_id").unwrap();
        assert_eq!(specimen.row_id_table(visit), Some("visit_occurrence"));
        assert_eq!(newer.table("observation").unwrap().start_date, Some("observation_date"));
    }

    #[test]
    fn keys_and_references_say_what_is_re_keyed() {
        let cdm = cdm(CdmVersion::V5_4);
        let visit = cdm.table("visit_occurrence").unwrap();
        let target = |t: &TableSpec, f: &str| t.row_id_table(t.field(f).unwrap());
        assert_eq!(target(visit, "visit_occurrence_id"), Some("visit_occurrence"));
        assert_eq!(target(visit, "preceding_visit_occurrence_id"), Some("visit_occurrence"));
        assert_eq!(target(visit, "care_site_id"), Some("care_site"));
        assert_eq!(target(visit, "person_id"), None);
        assert_eq!(target(visit, "visit_concept_id"), None);
        assert!(visit.field("visit_source_concept_id").unwrap().is_concept_id());
        assert_eq!(visit.start_date, Some("visit_start_date"));
        let detail = cdm.table("visit_detail").unwrap();
        assert_eq!(target(detail, "parent_visit_detail_id"), Some("visit_detail"));
        assert!(cdm.table("cost").unwrap().field("cost_event_id").unwrap().any_table);
        assert_eq!(cdm.table("person").unwrap().start_date, None);
        assert_eq!(cdm.nearest("devices_exposure"), Some("device_exposure"));
        assert_eq!(cdm.nearest("readme"), None);
    }

    #[test]
    fn versions_serialise_as_in_a_workflow() {
        let text = serde_json::to_string(&CdmVersion::V5_3).unwrap();
        assert_eq!(text, "\"5.3\"");
        assert_eq!(serde_json::from_str::<CdmVersion>("\"5.4\"").unwrap(), CdmVersion::V5_4);
    }
}
