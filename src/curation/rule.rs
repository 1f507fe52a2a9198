//! Curation rules as data: one TOML file or several, read and checked before anything runs.
//!
//! ```toml
//! [[rule]]
//! id = "after_death"
//! description = "No record more than 30 days after death."
//! kind = "until_death"
//! tables = ["condition_occurrence", "drug_exposure"]
//! days = 30
//! after = ["wrong_date"]
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::unit::Units;
use crate::config::{CivilDate, nearest};
use crate::error::IoError;
use crate::omop::{CdmVersion, Family, FieldKind, TableSpec, cdm};

/// All rules of a run, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// The rules.
    pub list: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Name in the books, `[a-z0-9_]+`, unique.
    pub id: String,
    /// What it does and why.
    pub description: String,
    /// Rules that must come before it, because they change what it looks at.
    #[serde(default)]
    pub after: Vec<String>,
    /// Rules that must not come before it.
    #[serde(default)]
    pub before: Vec<String>,
    /// What it does.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a rule does. Bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Dates before a year or after the cut-off: the row goes when the date is a required one, else the
    /// date (and its datetime) becomes null.
    DatesInRange {
        /// Tables.
        tables: Vec<String>,
        /// First year that is believed.
        first_year: i16,
        /// Another first year, by table.
        #[serde(default)]
        first_year_of: BTreeMap<String, i16>,
    },
    /// Removes rows that start before birth or in a year more than so many years after that of birth.
    SinceBirth {
        /// Tables.
        tables: Vec<String>,
        /// Years.
        max_years: i64,
    },
    /// Removes rows whose later date is more than so many days after death.
    UntilDeath {
        /// Tables.
        tables: Vec<String>,
        /// Days.
        days: i32,
    },
    /// Removes rows whose concept and source concept are both 0 or null.
    AnyConcept {
        /// Tables.
        tables: Vec<String>,
    },
    /// Numbers outside bounds: the row goes, or the number becomes null and other columns are set.
    Numbers {
        /// Table.
        table: String,
        /// Column of numbers.
        column: String,
        /// Lowest number that stays.
        min: Option<f64>,
        /// Highest number that stays.
        max: Option<f64>,
        /// Numbers that do not stay, whatever the bounds.
        #[serde(default)]
        except: Vec<f64>,
        /// What happens.
        otherwise: Otherwise,
        /// The rule looks only at rows with one of these concepts ...
        #[serde(default)]
        concepts: Vec<i64>,
        /// ... in this column.
        concept_column: Option<String>,
        /// Integer columns that are set where the number becomes null.
        #[serde(default)]
        set: BTreeMap<String, i64>,
    },
    /// Removes rows of a text column whose value is none of these words.
    Words {
        /// Table.
        table: String,
        /// Column of texts.
        column: String,
        /// Words, compared without regard to case.
        words: Vec<String>,
    },
    /// An end before its start becomes null; where it is required, the start. An inpatient visit then
    /// ends with the last of the records that point to it.
    EndAfterStart {
        /// Tables.
        tables: Vec<String>,
    },
    /// A datetime on another day than its date gets the day of the date.
    DatetimeOfDate {
        /// Tables.
        tables: Vec<String>,
    },
    /// Removes measurements outside bounds, and with each those that it says are linked: of the same
    /// person, datetime and measurement type.
    LinkedExtremes {
        /// Bounds by concept.
        limits: Vec<Limit>,
    },
    /// Keeps the latest measurement of each of these concepts a person, by datetime, then row id.
    Latest {
        /// Concepts.
        concepts: Vec<i64>,
        /// Of rows with this `measurement_type_concept_id` only.
        measurement_type: Option<i64>,
    },
    /// Removes rows that have a value in none of these columns; a concept 0 is no value.
    WithValue {
        /// Table.
        table: String,
        /// Columns.
        columns: Vec<String>,
    },
    /// Removes deaths that cannot be: before a day, after the cut-off, of people who never answered a
    /// question of a survey, and before the day of an answer. A death without a date stays.
    ValidDeath {
        /// First day of a death that is believed.
        first_day: CivilDate,
        /// `observation_type_concept_id` of answers.
        survey_types: Vec<i64>,
    },
    /// Keeps the first death of each person, by type, date, datetime and extract; equals stay together. A
    /// death without a date goes when there is one with a date.
    PrimaryDeath {
        /// `death_type_concept_id` of deaths that come after all others.
        #[serde(default)]
        last_types: Vec<i64>,
    },
    /// Removes every row of people born before a year or too late to be of age, or too young when they
    /// consented.
    People {
        /// First year of birth.
        first_year: i64,
        /// The last year of birth is that of the cut-off less so many years.
        min_years: i64,
        /// Questions (`observation_source_concept_id`) whose first answer is the consent.
        #[serde(default)]
        consents: Vec<i64>,
        /// Completed years on the day of consent.
        #[serde(default)]
        min_age: i64,
    },
    /// Texts that are not of a form become another, and integer columns are set beside them.
    Texts(Texts),
    /// Removes answers to questions that the answer to an earlier question does not open.
    Branches {
        /// Which answers open which questions.
        branches: Vec<Branch>,
    },
    /// Measurements in a unit of a table get the unit that it says, `value_as_number`, `range_low` and
    /// `range_high` converted; a unit that the table lacks stays.
    Units {
        /// The table, relative to the rule file; see [`super::unit`].
        file: PathBuf,
        /// What it says.
        #[serde(skip)]
        units: Units,
    },
    /// Values of measurements whose concept has nothing but 0 and null in all rows of an extract become
    /// null.
    AllZero {},
    /// Of rows alike in these columns keeps the one of the lowest row id.
    Unique {
        /// Table.
        table: String,
        /// Columns.
        columns: Vec<String>,
    },
}

/// A form of text, and what comes in place of others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// Table.
    pub table: String,
    /// Column of texts.
    pub column: String,
    /// The rule looks only at rows with one of these concepts ...
    pub concepts: Vec<i64>,
    /// ... in this column.
    pub concept_column: String,
    /// The form.
    pub form: Form,
    /// The text in place of others.
    pub text: String,
    /// Integer columns that are set with it.
    #[serde(default)]
    pub set: BTreeMap<String, i64>,
}

/// A form of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A ZIP code of the United States: five digits, with or without a hyphen and four more.
    Zip,
}

impl Form {
    /// Whether a text is of the form.
    pub fn fits(self, text: &str) -> bool {
        let Self::Zip = self;
        let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|b| b.is_ascii_digit());
        match text.split_once('-') {
            Some((zip, more)) => digits(zip, 5) && digits(more, 4),
            None => digits(text, 5),
        }
    }
}

/// Answers to a question that open others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The question (`observation_source_concept_id`).
    pub parent: i64,
    /// Its answers that open the others, as source and as standard concepts: rows may have either.
    pub answers: Vec<i64>,
    /// The others.
    pub questions: Vec<i64>,
}

/// What happens to a number that cannot stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// Its row goes.
    Remove,
    /// It becomes null.
    Null,
}

/// Bounds of a physical measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// `measurement_concept_id`.
    pub concept: i64,
    /// Lowest value that stays.
    pub min: f64,
    /// Highest value that stays.
    pub max: f64,
    /// Concepts that go with an extreme value of this one.
    #[serde(default)]
    pub with: Vec<i64>,
}

/// The keys of each kind, beside `id`, `description`, `kind`, `after` and `before`.
const KEYS: [(&str, &[&str]); 19] = [
    ("dates_in_range", &["tables", "first_year", "first_year_of"]),
    ("since_birth", &["tables", "max_years"]),
    ("until_death", &["tables", "days"]),
    ("any_concept", &["tables"]),
    (
        "numbers",
        &[
            "table",
            "column",
            "min",
            "max",
            "except",
            "otherwise",
            "concepts",
            "concept_column",
            "set",
        ],
    ),
    ("words", &["table", "column", "words"]),
    ("end_after_start", &["tables"]),
    ("datetime_of_date", &["tables"]),
    ("linked_extremes", &["limits"]),
    ("latest", &["concepts", "measurement_type"]),
    ("with_value", &["table", "columns"]),
    ("unique", &["table", "columns"]),
    ("valid_death", &["first_day", "survey_types"]),
    ("primary_death", &["last_types"]),
    ("people", &["first_year", "min_years", "consents", "min_age"]),
    ("texts", &["table", "column", "concepts", "concept_column", "form", "text", "set"]),
    ("branches", &["branches"]),
    ("units", &["file"]),
    ("all_zero", &[]),
];

impl Kind {
    /// Tables it looks at or changes.
    pub fn tables(&self) -> Vec<&str> {
        match self {
            Self::DatesInRange { tables, .. }
            | Self::SinceBirth { tables, .. }
            | Self::UntilDeath { tables, .. }
            | Self::AnyConcept { tables }
            | Self::EndAfterStart { tables }
            | Self::DatetimeOfDate { tables } => tables.iter().map(String::as_str).collect(),
            Self::Numbers { table, .. }
            | Self::Words { table, .. }
            | Self::WithValue { table, .. }
            | Self::Unique { table, .. } => vec![table],
            Self::LinkedExtremes { .. }
            | Self::Latest { .. }
            | Self::Units { .. }
            | Self::AllZero {} => vec!["measurement"],
            Self::ValidDeath { .. } | Self::PrimaryDeath { .. } => vec!["death"],
            Self::Texts(texts) => vec![&texts.table],
            Self::Branches { .. } => vec!["observation"],
            // Every table about persons; `person` stands for them.
            Self::People { .. } => vec!["person"],
        }
    }

    /// Columns it names, with the kinds of value they may hold.
    fn columns(&self) -> Vec<(&str, &'static [FieldKind])> {
        const NUMBERS: &[FieldKind] = &[FieldKind::Float, FieldKind::Integer];
        const TEXTS: &[FieldKind] = &[FieldKind::Text];
        const IDS: &[FieldKind] = &[FieldKind::Integer];
        const ANY: &[FieldKind] = &[
            FieldKind::Integer,
            FieldKind::Float,
            FieldKind::Date,
            FieldKind::Timestamp,
            FieldKind::Text,
        ];
        match self {
            Self::Numbers { column, concept_column, set, .. } => {
                let mut columns = vec![(column.as_str(), NUMBERS)];
                columns.extend(concept_column.as_deref().map(|c| (c, IDS)));
                columns.extend(set.keys().map(|c| (c.as_str(), IDS)));
                columns
            }
            Self::Words { column, .. } => vec![(column, TEXTS)],
            Self::Texts(texts) => {
                let mut columns = vec![(texts.column.as_str(), TEXTS)];
                columns.push((&texts.concept_column, IDS));
                columns.extend(texts.set.keys().map(|c| (c.as_str(), IDS)));
                columns
            }
            Self::WithValue { columns, .. } | Self::Unique { columns, .. } => {
                columns.iter().map(|c| (c.as_str(), ANY)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Rules {
    /// Reads rule files, whose rules apply in this order.
    ///
    /// # Errors
    /// Unreadable file, bad TOML, an unknown key, table or column (with the nearest), an id twice, an
    /// order that `after` forbids.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut list: Vec<Rule> = Vec::new();
        for path in paths {
            let text = std::fs::read_to_string(path).map_err(IoError::at("reading", path))?;
            list.extend(parse(&text, path)?);
        }
        check(&list)?;
        Ok(Self { list })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default, rename = "rule")]
    rules: Vec<toml::Spanned<toml::Table>>,
}

/// The tables that the rules of a file name, as far as it can be read: they are inputs like the file itself.
pub fn tables_named(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rules = toml::from_str::<RuleFile>(&text).map(|file| file.rules).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = |rule: &toml::Spanned<toml::Table>| {
        rule.get_ref().get("file").and_then(|f| f.as_str()).map(|file| folder.join(file))
    };
    rules.iter().filter_map(named).collect()
}

fn parse(text: &str, path: &Path) -> Result<Vec<Rule>, Error> {
    let wrong = |at: usize, message: String| {
        let line = text.get(..at).unwrap_or("").matches('\n').count() + 1;
        Error::RuleFile { path: path.to_owned(), line, message }
    };
    let whole = |e: toml::de::Error| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned());
    let file: RuleFile = toml::from_str(text).map_err(whole)?;
    let mut rules = Vec::new();
    for entry in file.rules {
        let at = entry.span().start;
        let table = entry.into_inner();
        let kind = table.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| *name == kind) else {
            let near = nearest(&kind, KEYS.iter().map(|(name, _)| *name));
            return Err(wrong(at, unknown("kind", &kind, near)));
        };
        let known: Vec<&str> = ["id", "description", "kind", "after", "before"]
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(at, unknown("key", key, nearest(key, known.iter().copied()))));
        }
        let rule = table.try_into();
        let mut rule: Rule =
            rule.map_err(|e: toml::de::Error| wrong(at, e.message().to_owned()))?;
        if let Kind::Units { file, units } = &mut rule.kind {
            *units = Units::read(&path.parent().unwrap_or(Path::new("")).join(file))?;
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn unknown(what: &str, name: &str, near: Option<&str>) -> String {
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("unknown {what} `{name}`{hint}")
}

fn specs(table: &str) -> Vec<&'static TableSpec> {
    let versions = [CdmVersion::V5_4, CdmVersion::V5_3];
    versions.into_iter().filter_map(|v| cdm(v).table(table)).collect()
}

fn check(rules: &[Rule]) -> Result<(), Error> {
    for (number, rule) in rules.iter().enumerate() {
        let wrong = |message: String| Error::Rule { rule: rule.id.clone(), message };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if rule.id.is_empty() || !rule.id.chars().all(plain) {
            return Err(wrong("an id is lower-case letters, digits and _".into()));
        }
        if rules[..number].iter().any(|earlier| earlier.id == rule.id) {
            return Err(wrong("the id is taken by an earlier rule".into()));
        }
        if let Some(early) = rules[..number].iter().find(|r| rule.before.contains(&r.id)) {
            return Err(wrong(format!(
                "it must come before `{}`, which comes before it: name its file first",
                early.id
            )));
        }
        for after in &rule.after {
            if !rules[..number].iter().any(|earlier| earlier.id == *after) {
                return Err(wrong(format!(
                    "it must come after `{after}`, which does not come before it"
                )));
            }
        }
        for table in rule.kind.tables() {
            let specs = specs(table);
            if !specs.iter().any(|s| s.person_field && s.family != Family::Programme) {
                let near = cdm(CdmVersion::V5_4).nearest(table);
                return Err(wrong(unknown("table", table, near)));
            }
            for (column, kinds) in rule.kind.columns() {
                let field = specs.iter().find_map(|s| s.field(column));
                let names = specs.iter().flat_map(|s| s.fields.iter().map(|f| f.name));
                match field {
                    None => return Err(wrong(unknown("column", column, nearest(column, names)))),
                    Some(field) if !kinds.contains(&field.kind) => {
                        return Err(wrong(format!("`{table}.{column}` holds other values")));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Rules, Error> {
        let list = parse(text, Path::new("r.toml"))?;
        check(&list)?;
        Ok(Rules { list })
    }

    #[test]
    fn what_cannot_be_applied_is_refused_with_the_nearest_name() {
        let rule = |more: &str| format!("\n[[rule]]\nid = \"a\"\ndescription = \"d\"\n{more}\n");
        for (text, words) in [
            ("kind = \"until_deth\"\ntables = []\ndays = 1", "did you mean `until_death`"),
            ("kind = \"until_death\"\ntables = []\nday = 1", "did you mean `days`"),
            ("kind = \"until_death\"\ntables = []", "missing field `days`"),
            ("kind = \"any_concept\"\ntables = [\"drug_exposur\"]", "did you mean `drug_exposure`"),
            ("kind = \"any_concept\"\ntables = [\"concept\"]", "unknown table"),
            (
                "kind = \"unique\"\ntable = \"measurement\"\ncolumns = [\"value_as_nmber\"]",
                "did you mean `value_as_number`",
            ),
            (
                "kind = \"words\"\ntable = \"measurement\"\ncolumn = \"value_as_number\"\nwords = []",
                "holds other values",
            ),
            ("kind = \"any_concept\"\ntables = []\nafter = [\"b\"]", "must come after `b`"),
        ] {
            let error = read(&rule(text)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let first = rule("kind = \"any_concept\"\ntables = []");
        let then =
            "[[rule]]\nid = \"b\"\ndescription = \"d\"\nbefore = [\"a\"]\nkind = \"all_zero\"\n";
        let error = read(&(first + then)).unwrap_err().to_string();
        assert!(error.contains("must come before `a`"), "{error}");
        let twice = rule("kind = \"any_concept\"\ntables = []").repeat(2);
        assert!(read(&twice).unwrap_err().to_string().contains("taken"));
    }
}
