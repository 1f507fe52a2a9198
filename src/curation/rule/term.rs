//! What rules are made of: forms of text, branches of a survey, bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Words that stay though they are not of the form, without regard to case.
    #[serde(default)]
    pub except: Vec<String>,
    /// The text in place of others; without one they stay.
    pub text: Option<String>,
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
    /// A number.
    Number,
}

impl Form {
    /// Whether a text is of the form.
    pub fn fits(self, text: &str) -> bool {
        let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Zip => match text.split_once('-') {
                Some((zip, more)) => digits(zip, 5) && digits(more, 4),
                None => digits(text, 5),
            },
            // `nan` and `inf` are words.
            Self::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
        }
    }
}

/// Which answers are repeats. A response is the rows of one `observation_event_id` (the response's
/// `survey_conduct_id`); without one, those of one datetime. Of alike answers of a response the one of the
/// highest row id stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeats {
    /// `observation_type_concept_id` of answers.
    pub survey_types: Vec<i64>,
    /// Questions of which the last response with each answer stays.
    #[serde(default)]
    pub multiple: Vec<i64>,
    /// Surveys (`survey_concept_id`) that people answer again and again: their answers are no repeats.
    #[serde(default)]
    pub recurring: Vec<i64>,
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
