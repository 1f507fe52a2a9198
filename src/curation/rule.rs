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
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Error;
use super::domain::Domains;
use super::unit::Units;
use crate::config::CivilDate;
use crate::error::IoError;

mod body;
mod check;
mod columns;
mod file;
mod term;

pub(super) use file::unknown;

pub use body::{BodyMass, BodySize, Scale};
pub use file::tables_named;
pub use term::{Branch, Form, Limit, Otherwise, Repeats, Texts};

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
    /// Removes rows whose later date is more than so many days after death; of `person`, rows whose
    /// `birth_datetime` is.
    UntilDeath {
        /// Tables.
        tables: Vec<String>,
        /// Days.
        days: i32,
    },
    /// Removes rows whose later date is the day on which their person was deactivated, or after it.
    UntilDeactivated {
        /// Tables.
        tables: Vec<String>,
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
        /// Extracts whose deaths come after all others.
        #[serde(default)]
        last_extracts: Vec<String>,
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
    /// Removes answers that say that none applies where the person gives the question others too, or those
    /// others.
    ExclusiveAnswers {
        /// Questions (`observation_source_concept_id`).
        questions: Vec<i64>,
        /// Such answers, as source and as standard concepts: rows may have either.
        answers: Vec<i64>,
        /// Whether they stay and the others go.
        #[serde(default)]
        stay: bool,
    },
    /// Keeps the last response of a person to each question, with all its answers; see [`Repeats`].
    LastAnswers(Repeats),
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
    /// Heights and weights get one unit, inferred from their numbers; see [`BodySize`].
    BodySize(BodySize),
    /// Makes rows of body mass index; see [`BodyMass`].
    BodyMass(BodyMass),
    /// Rows whose concept is 0, null or not standard get the standard concepts that the source concept, or
    /// without one the concept, `Maps to`; of several each has a row.
    StandardConcepts {
        /// Tables.
        tables: Vec<String>,
    },
    /// Rows whose concept is of the domain of another table move there.
    Domains {
        /// Tables, their domains and fields, relative to the rule file.
        file: PathBuf,
        /// What it says.
        #[serde(skip)]
        domains: Domains,
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
            list.extend(file::parse(&text, path)?);
        }
        check::check(&list)?;
        Ok(Self { list })
    }

    /// The first rule that needs a vocabulary.
    pub fn vocabulary(&self) -> Option<&Rule> {
        let needs = |rule: &&Rule| {
            matches!(rule.kind, Kind::StandardConcepts { .. } | Kind::Domains { .. })
        };
        self.list.iter().find(needs)
    }
}
