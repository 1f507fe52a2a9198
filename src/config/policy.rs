//! Tier policy files: rules as data, reviewed by people who do not read Rust.
//!
//! ```toml
//! #:schema ../schema/tier.json
//! [policy]
//! name = "registered"
//! tier = "registered"
//! description = "…"
//! dates = "shifted"
//! genomics = false
//!
//! [[rule]]
//! id = "age_89"
//! kind = "remove_people_by_age"
//! min_age = 89
//! description = "…"
//! ```
//!
//! Tables and columns are those of the OMOP CDM. A column pattern is `table.column`, where each part may
//! hold `*` for any run of characters: `person.race_source_value`, `*.provider_id`, `note.*`.
//! Whether patterns name anything is checked by `tier::check`, which knows the CDM.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tier;
use crate::error::{Coded, IoError};

/// A tier policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierPolicy {
    /// What the policy as a whole states.
    pub policy: PolicyHead,
    /// The rules. Rows are removed by the values they came with; changes are made in this order.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// What a policy states of its tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyHead {
    /// Name of the policy.
    pub name: String,
    /// The tier it makes: `controlled` or `registered`.
    pub tier: Tier,
    /// What the tier is for, in a sentence or two.
    pub description: String,
    /// Whether dates are true or shifted. Shifted needs a `shift_dates` rule, true forbids one.
    pub dates: DateBasis,
    /// Whether the tier has genomic tables.
    pub genomics: bool,
}

/// What the dates of a tier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateBasis {
    /// As they happened.
    True,
    /// Moved back by one number of days a person, 1 to 364.
    Shifted,
}

impl DateBasis {
    /// The word used in policies and file metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Shifted => "shifted",
        }
    }
}

/// A rule: what it is called, why it is there, what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RuleEntry", into = "RuleEntry")]
pub struct Rule {
    /// Name in ledgers and `quality/rules`, `[a-z0-9_]+`, unique in the policy.
    pub id: String,
    /// What the rule does and why, for reviewers.
    pub description: String,
    /// What it does.
    pub action: Action,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Removes every row of people of at least `min_age` years on the reference date, by true birth
    /// date. An unknown month or day counts as the earliest; without a birth year the person goes too.
    RemovePeopleByAge {
        /// Completed years.
        min_age: u16,
    },
    /// Leaves whole tables out.
    SuppressTables {
        /// Table names, without patterns.
        tables: Vec<String>,
    },
    /// Makes columns null.
    NullColumns {
        /// Column patterns.
        columns: Vec<String>,
    },
    /// Makes every text column of the tables about persons null, but for some.
    NullFreeText {
        /// Column patterns that stay.
        except: Vec<String>,
    },
    /// Coarsens the birth date of `person`.
    ReduceBirthDate {
        /// To what.
        to: BirthDate,
    },
    /// Moves every date of a person back by the person's shift, the birth date with it; text columns
    /// that may hold times (`measurement_time`) become null.
    ShiftDates,
    /// Removes rows in which one of the columns holds one of the concepts.
    SuppressConcepts {
        /// Concept ids.
        concepts: Vec<i64>,
        /// Whether descendants in `concept_ancestor` count too.
        descendants: bool,
        /// Column patterns; empty for every concept-id column.
        columns: Vec<String>,
        /// Whether a concept that the vocabulary lacks is passed over; else the tier is not built.
        allow_missing: bool,
    },
}

/// What is left of a birth date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BirthDate {
    /// The year; `birth_datetime` becomes 15 June of it at 00:00, month and day null (the Controlled
    /// tier of All of Us).
    #[serde(rename = "june_15")]
    June15,
    /// The year only; `birth_datetime`, month and day null.
    Year,
}

/// Kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Needs `min_age`.
    RemovePeopleByAge,
    /// Needs `tables`.
    SuppressTables,
    /// Needs `columns`.
    NullColumns,
    /// Takes `except`.
    NullFreeText,
    /// Needs `to`.
    ReduceBirthDate,
    /// Takes nothing.
    ShiftDates,
    /// Needs `concepts`; takes `descendants` (default true), `columns` and `allow_missing`.
    SuppressConcepts,
}

/// A rule as the file writes it: which keys go with which kind is checked on conversion.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    /// Name in ledgers and `quality/rules`, `[a-z0-9_]+`, unique in the policy.
    id: String,
    /// What the rule does.
    kind: Kind,
    /// What the rule does and why, for reviewers.
    description: String,
    /// `remove_people_by_age`: completed years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_age: Option<u16>,
    /// `suppress_tables`: table names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<String>>,
    /// `null_columns`, `suppress_concepts`: column patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    /// `null_free_text`: column patterns that stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except: Option<Vec<String>>,
    /// `reduce_birth_date`: to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<BirthDate>,
    /// `suppress_concepts`: concept ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concepts: Option<Vec<i64>>,
    /// `suppress_concepts`: whether descendants count too (default true).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    descendants: Option<bool>,
    /// `suppress_concepts`: whether a concept the vocabulary lacks is passed over (default false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_missing: Option<bool>,
}

impl TryFrom<RuleEntry> for Rule {
    type Error = String;

    fn try_from(mut e: RuleEntry) -> Result<Self, String> {
        let kind = e.kind;
        let id = e.id.clone();
        let needs = |key: &str| format!("rule {id} ({}) needs the key {key}", kind_name(kind));
        let action = match kind {
            Kind::RemovePeopleByAge => Action::RemovePeopleByAge {
                min_age: e.min_age.take().ok_or_else(|| needs("min_age"))?,
            },
            Kind::SuppressTables => {
                Action::SuppressTables { tables: e.tables.take().ok_or_else(|| needs("tables"))? }
            }
            Kind::NullColumns => {
                Action::NullColumns { columns: e.columns.take().ok_or_else(|| needs("columns"))? }
            }
            Kind::NullFreeText => {
                Action::NullFreeText { except: e.except.take().unwrap_or_default() }
            }
            Kind::ReduceBirthDate => {
                Action::ReduceBirthDate { to: e.to.take().ok_or_else(|| needs("to"))? }
            }
            Kind::ShiftDates => Action::ShiftDates,
            Kind::SuppressConcepts => Action::SuppressConcepts {
                concepts: e.concepts.take().ok_or_else(|| needs("concepts"))?,
                descendants: e.descendants.take().unwrap_or(true),
                columns: e.columns.take().unwrap_or_default(),
                allow_missing: e.allow_missing.take().unwrap_or(false),
            },
        };
        match e.left_over() {
            Some(key) => Err(format!("rule {id}: a {} rule has no key {key}", kind_name(kind))),
            None => Ok(Self { id, description: e.description, action }),
        }
    }
}

impl RuleEntry {
    /// A key that was given and not taken by the rule's kind.
    fn left_over(&self) -> Option<&'static str> {
        let keys = [
            ("min_age", self.min_age.is_some()),
            ("tables", self.tables.is_some()),
            ("columns", self.columns.is_some()),
            ("except", self.except.is_some()),
            ("to", self.to.is_some()),
            ("concepts", self.concepts.is_some()),
            ("descendants", self.descendants.is_some()),
            ("allow_missing", self.allow_missing.is_some()),
        ];
        keys.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
    }
}

impl From<Rule> for RuleEntry {
    fn from(rule: Rule) -> Self {
        let mut e = Self {
            id: rule.id,
            kind: rule.action.kind(),
            description: rule.description,
            min_age: None,
            tables: None,
            columns: None,
            except: None,
            to: None,
            concepts: None,
            descendants: None,
            allow_missing: None,
        };
        match rule.action {
            Action::RemovePeopleByAge { min_age } => e.min_age = Some(min_age),
            Action::SuppressTables { tables } => e.tables = Some(tables),
            Action::NullColumns { columns } => e.columns = Some(columns),
            Action::NullFreeText { except } => e.except = Some(except),
            Action::ReduceBirthDate { to } => e.to = Some(to),
            Action::ShiftDates => {}
            Action::SuppressConcepts { concepts, descendants, columns, allow_missing } => {
                e.concepts = Some(concepts);
                e.descendants = Some(descendants);
                e.columns = Some(columns);
                e.allow_missing = Some(allow_missing);
            }
        }
        e
    }
}

impl Action {
    fn kind(&self) -> Kind {
        match self {
            Self::RemovePeopleByAge { .. } => Kind::RemovePeopleByAge,
            Self::SuppressTables { .. } => Kind::SuppressTables,
            Self::NullColumns { .. } => Kind::NullColumns,
            Self::NullFreeText { .. } => Kind::NullFreeText,
            Self::ReduceBirthDate { .. } => Kind::ReduceBirthDate,
            Self::ShiftDates => Kind::ShiftDates,
            Self::SuppressConcepts { .. } => Kind::SuppressConcepts,
        }
    }

    /// The word for the kind in policy files.
    pub fn kind_name(&self) -> &'static str {
        kind_name(self.kind())
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::RemovePeopleByAge => "remove_people_by_age",
        Kind::SuppressTables => "suppress_tables",
        Kind::NullColumns => "null_columns",
        Kind::NullFreeText => "null_free_text",
        Kind::ReduceBirthDate => "reduce_birth_date",
        Kind::ShiftDates => "shift_dates",
        Kind::SuppressConcepts => "suppress_concepts",
    }
}

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The text is no policy.
    #[error("{}, line {line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong; names the key and the keys that would do.
        message: String,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Parse { .. } => "config::policy",
        }
    }
}

impl TierPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Unreadable file, bad TOML, unknown, misplaced or missing keys; with the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(IoError::at("reading", path))?;
        Self::parse(&text, path)
    }

    /// Parses a policy's text; `path` is for messages.
    ///
    /// # Errors
    /// As [`TierPolicy::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            Error::Parse { path: path.to_path_buf(), line, message: e.message().to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[policy]\nname = \"x\"\ntier = \"registered\"\ndescription = \"d\"\n\
                        dates = \"shifted\"\ngenomics = false\n";

    fn parse(rules: &str) -> Result<TierPolicy, Error> {
        TierPolicy::parse(&format!("{HEAD}{rules}"), Path::new("p.toml"))
    }

    #[test]
    fn parses_and_writes_itself_back() {
        let rules = "[[rule]]\nid = \"a\"\nkind = \"suppress_concepts\"\nconcepts = [1, 2]\n\
                     description = \"d\"\n[[rule]]\nid = \"b\"\nkind = \"shift_dates\"\n\
                     description = \"d\"\n";
        let policy = parse(rules).unwrap();
        let concepts = Action::SuppressConcepts {
            concepts: vec![1, 2],
            descendants: true,
            columns: vec![],
            allow_missing: false,
        };
        assert_eq!(policy.rules[0].action, concepts);
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(TierPolicy::parse(&text, Path::new("p")).unwrap(), policy);
    }

    #[test]
    fn misplaced_keys_are_errors_with_their_line() {
        for (rule, message) in [
            ("kind = \"shift_dates\"\nmin_age = 3", "no key min_age"),
            ("kind = \"remove_people_by_age\"", "needs the key min_age"),
            ("kind = \"shift_dates\"\nmin_ages = 3", "min_ages"),
            ("kind = \"shift_date\"", "shift_date"),
        ] {
            let text = format!("\n[[rule]]\nid = \"a\"\ndescription = \"d\"\n{rule}\n");
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            let line: usize =
                error.split("line ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
            assert!((8..=13).contains(&line), "{error}");
        }
        assert!(parse("[other]\n").is_err());
    }
}
