//! The parameters of rules that have more than one: sets of concepts, answers, zip codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The concepts that a `suppress_concepts` rule stands for, and where they count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConceptSet {
    /// Concept ids, those of `file` among them once it is read.
    pub concepts: Vec<i64>,
    /// Name of a CSV file beside the policy (columns `concept_id`, `category`, `reason`, `date_added` and, if given, `decision`).
    pub file: Option<String>,
    /// Codes of the vocabulary that count too.
    pub codes: Vec<Codes>,
    /// Whether descendants in `concept_ancestor` count too.
    pub descendants: bool,
    /// Whether concepts at either end of `Maps to` count too.
    pub mapped: bool,
    /// Relationships of `concept_relationship` whose other end counts too.
    pub relationships: Vec<String>,
    /// Whether a concept that the vocabulary lacks is passed over; else the tier is not built.
    pub allow_missing: bool,
    /// Column patterns; empty for every concept-id column.
    pub columns: Vec<String>,
    /// Column patterns that do not count.
    pub except_columns: Vec<String>,
    /// Tables that stay whole.
    pub except_tables: Vec<String>,
    /// Only rows that meet all of these; a table without one of the columns is passed over.
    pub only: Vec<Condition>,
    /// Rows that meet one of these stay.
    pub except: Vec<Condition>,
}

/// Concepts by the shape of their code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// Vocabulary id; a `*` at the end stands for any ending (`ICD10*`).
    pub vocabulary: String,
    /// Regular expression found anywhere in `concept_code`; anchor it with `^` and `$`.
    pub regex: String,
    /// Only concepts of this class (`Question`, `Answer`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// A code in which this is found does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
}

/// A row's column holds one of the concepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Column, without a table.
    pub column: String,
    /// Concept ids.
    pub concepts: Vec<i64>,
}

/// Answers to a question, made coarser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generalisation {
    /// Column patterns in which values become coarser in every row; then there is no question.
    pub columns: Vec<String>,
    /// Concept ids of the question, in `observation_source_concept_id` or `observation_concept_id`.
    pub question: Vec<i64>,
    /// Answers and what they become.
    pub groups: Vec<Group>,
    /// For questions that take more than one answer.
    pub when_several: Option<Several>,
    /// Answers that become another when another question of the person was answered so.
    pub when_also: Vec<Also>,
    /// Answers that stay; needs `otherwise`.
    pub keep: Vec<i64>,
    /// What any answer that is in no list becomes; without it such answers stay.
    pub otherwise: Option<i64>,
    /// Whether of equal generalised answers of a person only the latest stays.
    pub keep_latest: bool,
}

/// Answers that become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Concept ids of the answers.
    pub from: Vec<i64>,
    /// Concept id they become.
    pub to: i64,
}

/// What answers become where the person gave more than one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Several {
    /// Answers that count; more than one row of a person among them makes this apply.
    pub among: Vec<i64>,
    /// Answers that stay as they are all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<i64>,
    /// Concept id they become.
    pub to: i64,
}

/// What an answer becomes where another question was answered so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Also {
    /// Concept ids of the answer.
    pub answer: Vec<i64>,
    /// Concept ids of the other question.
    pub question: Vec<i64>,
    /// Answers to the other question.
    pub answered: Vec<i64>,
    /// Concept id the answer becomes.
    pub to: i64,
}

/// Rare answers to a question, taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rare {
    /// Concept ids of the question.
    pub question: Vec<i64>,
    /// An answer of fewer rows becomes `to_concept`; an answer of exactly so many stays
    /// (GeneralizeStateByPopulation counts rows; of a question answered once they are people).
    pub min_rows: u64,
    /// Concept id rare answers become.
    pub to_concept: i64,
    /// Answers that stay however rare.
    pub keep: Vec<i64>,
}

/// Answers that the sites of a person's records contradict (ConflictingHpoStateGeneralize).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BySite {
    /// Concept ids of the question.
    pub question: Vec<i64>,
    /// What an answer becomes where the person has records from a site of another state.
    pub to_concept: i64,
    /// Answers that stay.
    pub keep: Vec<i64>,
}

/// Rows whose dates stay true in a tier of shifted dates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrueDates {
    /// Concept ids, surveys or versions of them.
    pub concepts: Vec<i64>,
    /// Column patterns in which they count.
    pub columns: Vec<String>,
    /// Whether the policy accepts that a true date beside shifted ones tells the shift of the person.
    pub accepted: bool,
}

/// What becomes of an area that a list does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unlisted {
    /// It becomes `000**`: the list names all areas.
    #[default]
    Hide,
    /// It stays: the list names the small areas.
    Keep,
}

/// Zip codes cut to three digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zip3 {
    /// Concept ids of the question; its answer is `value_as_string`.
    pub question: Vec<i64>,
    /// Name of a CSV file beside the policy: `zip3,population` and, if given, `to`, `state` (concept id of
    /// the answer) and `census_date`, which `min_population` needs.
    pub file: Option<String>,
    /// Areas of the file, once it is read, sorted by `zip3`.
    pub areas: Vec<Area>,
    /// With a file: an area of fewer people becomes `000**`.
    pub min_population: u64,
    /// People who gave this answer to this question have `000**`.
    pub hide_people: Vec<Answered>,
    /// What becomes of an area that is not in the file.
    pub unlisted: Unlisted,
    /// Concept ids of the question for the state: its answer becomes the state of an area that is merged
    /// into another.
    pub state_question: Vec<i64>,
    /// What the state becomes of people of `hide_people`.
    pub hidden_state: Option<i64>,
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Concept ids of the question.
    pub question: Vec<i64>,
    /// Concept ids of the answers.
    pub answers: Vec<i64>,
}

/// An area of a zip code's first three digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// The three digits.
    pub zip3: String,
    /// The area it is merged into; the same digits, or nothing, for one that stands alone.
    #[serde(default)]
    pub to: String,
    /// People who live there, of the merged area.
    pub population: u64,
    /// Concept id of the answer for the state of the merged area.
    #[serde(default)]
    pub state: Option<i64>,
    /// Day of the census that counted them, `yyyy-mm-dd`.
    #[serde(default)]
    pub census_date: Option<String>,
}

/// Rows near birth, removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearBirth {
    /// Rows with a date before 1 January of the birth year plus this go.
    pub years: u16,
    /// Tables that stay whole.
    pub except_tables: Vec<String>,
    /// Tables whose early dates are raised to the first day allowed; a row that ends before it goes.
    pub clip_tables: Vec<String>,
    /// Rows that stay: a column and its concepts.
    pub except: Vec<Condition>,
}

/// Concepts too new to be common, with the rows that hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentConcepts {
    /// A concept valid since fewer years before the reference date goes.
    pub years: u16,
    /// Vocabularies whose concepts stay.
    pub except_vocabularies: Vec<String>,
    /// Whether a tier without a vocabulary is built all the same.
    pub allow_missing: bool,
}

/// The ends of shifted streams, cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edges {
    /// Tables whose rows beyond the ends are removed.
    pub tables: Vec<String>,
    /// First day of collection, `yyyy-mm-dd`; without it the earliest day of each stream over all people
    /// who take part.
    pub first_day: Option<String>,
}

/// Texts that stay where text goes: those of one column in rows of some questions, or that are one of some
/// words, or both. Which rows a feed's own rules let pass does not matter: another word becomes null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepText {
    /// Column, `table.column` without patterns.
    pub column: String,
    /// Concept ids of the questions; none for any row. Only `observation` has questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub question: Vec<i64>,
    /// The words that stay; none for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}
