//! Answers to surveys, from observations and the surveys that they were given in.

use std::cmp::Reverse;

use super::module::Modules;
use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

/// Left blank (`PMI_Skip`).
pub const SKIP: i64 = 903_096;
/// Prefer not to answer: of the PPI vocabulary, and the standard concept that it maps to.
pub const PREFER_NOT: [i64; 2] = [903_079, 1_177_221];
/// Don't know.
pub const DONT_KNOW: i64 = 903_087;

/// Type concepts of observations that come from a survey: "observation recorded from a survey", "patient
/// filled survey", "survey".
const SURVEY_TYPES: [i64; 3] = [45_905_771, 32_862, 32_883];

const DAY: i64 = 24 * 3600 * 1_000_000;

/// One answer of a person to one question. A question with several answers has as many rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// When, microseconds since 1970-01-01.
    pub time: i64,
    /// The module; 0 for unknown.
    pub module: i64,
    /// The question.
    pub question: i64,
    /// The answer, unless it is a number.
    pub answer: Option<i64>,
    /// Bits of the answer, if it is a number.
    pub number: Option<i64>,
    /// Version of the module, if stated.
    pub version: Option<i64>,
}

/// A survey that a person took.
pub struct Conduct {
    id: Option<i64>,
    /// The module; 0 for unknown.
    pub module: i64,
    /// Version of the module, if stated.
    pub version: Option<i64>,
    start: i32,
    /// Last day, days since 1970-01-01.
    pub end: i32,
}

/// What [`answers`] reads: observations, then surveys.
pub fn sources() -> Vec<Source> {
    vec![
        (
            "observation",
            vec![
                "observation_date",
                "observation_datetime",
                "observation_concept_id",
                "observation_source_concept_id",
                "observation_type_concept_id",
                "value_as_concept_id",
                "value_as_number",
                "observation_event_id",
                "questionnaire_response_id",
            ],
        ),
        (
            "survey_conduct",
            vec![
                "survey_conduct_id",
                "survey_concept_id",
                "survey_source_concept_id",
                "survey_start_date",
                "survey_end_date",
            ],
        ),
    ]
}

/// The surveys of a person that have a date, in the order of the table.
pub fn conducts(person: i64, part: &Part, modules: &Modules) -> Vec<Conduct> {
    let rows = part.of(person).filter_map(|row| {
        let concept = |column: usize| part.rows.columns[column][row].filter(|c| *c != 0);
        let (survey, source) = (concept(2), concept(3));
        let module = [survey, source].into_iter().flatten().find_map(|c| modules.of(c));
        let module = module.or(survey).unwrap_or(0);
        let (start, end) = (part.rows.day(4, row), part.rows.day(5, row));
        let start = start.or(end)?;
        let version = source.into_iter().chain(survey).find(|c| *c != module);
        let end = end.unwrap_or(start).max(start);
        Some(Conduct { id: part.rows.columns[1][row], module, version, start, end })
    });
    rows.collect()
}

/// The answers of a person in the order of [`Answer`], each once. `left` hears why an observation that
/// belongs to a survey is none: `without_date`, `without_coded_answer` (free text, which no table takes
/// over), `repeated_answer`.
pub fn answers(
    person: i64,
    observations: &Part,
    conducts: &[Conduct],
    modules: &Modules,
    mut left: impl FnMut(&'static str),
) -> Vec<Answer> {
    let mut answers = Vec::new();
    for row in observations.of(person) {
        let Some((question, conduct)) = survey_row(observations, row, conducts, modules) else {
            continue;
        };
        let value = |column: usize| observations.rows.columns[column][row];
        let Some(day) = observations.rows.day(1, row) else {
            left("without_date");
            continue;
        };
        let (answer, number) = (value(6).filter(|c| *c != 0), value(7));
        if answer.is_none() && number.is_none() {
            left("without_coded_answer");
            continue;
        }
        let known = modules.of(question);
        let conduct = conduct.or_else(|| {
            // Without a reference the survey is the one of the module that was open on the day.
            conducts
                .iter()
                .rev()
                .find(|c| Some(c.module) == known && c.start <= day && day <= c.end)
        });
        answers.push(Answer {
            time: value(2).unwrap_or(i64::from(day) * DAY),
            module: known.or(conduct.map(|c| c.module)).unwrap_or(0),
            question,
            answer,
            number,
            version: conduct.and_then(|c| c.version),
        });
    }
    // Of the same answer once with a version and once without the one with stays.
    let what = |a: &Answer| (a.time, a.module, a.question, a.answer, a.number);
    answers.sort_by_key(|a| (what(a), Reverse(a.version)));
    let all = answers.len();
    answers.dedup_by_key(|a| what(a));
    (answers.len()..all).for_each(|_| left("repeated_answer"));
    answers
}

/// Question and survey of an observation that answers one: its question is below a module, it points to
/// a survey of the person, or its type says so.
fn survey_row<'a>(
    part: &Part,
    row: usize,
    conducts: &'a [Conduct],
    modules: &Modules,
) -> Option<(i64, Option<&'a Conduct>)> {
    let value = |column: usize| part.rows.columns[column][row].filter(|v| *v != 0);
    let (standard, source) = (value(3), value(4));
    let placed = [source, standard].into_iter().flatten().find(|c| modules.of(*c).is_some());
    let question = placed.or(source).or(standard)?;
    let by_id = |id: Option<i64>| conducts.iter().find(|c| id.is_some() && c.id == id);
    // `observation_event_id` may be of any table: one that happens to be that of a survey of another module
    // points elsewhere.
    let event = by_id(value(8));
    let event = event.filter(|c| modules.of(question).is_none_or(|m| m == c.module));
    let conduct = by_id(value(9)).or(event);
    let says = value(5).is_some_and(|kind| SURVEY_TYPES.contains(&kind));
    (placed.is_some() || conduct.is_some() || says).then_some((question, conduct))
}

/// The number of a person's observations that belong to surveys.
pub fn count(person: i64, observations: &Part, conducts: &[Conduct], modules: &Modules) -> usize {
    let rows = observations.of(person);
    rows.filter(|&row| survey_row(observations, row, conducts, modules).is_some()).count()
}

/// `survey_answer`: one row an answer, with the columns of the All of Us `ds_survey` and the module, the
/// number of the answer among those to the question, and its number if it is one. Text is that of the
/// vocabulary. A question that was not asked has no row; one that was skipped has the answer "skip".
pub struct Answers<'a> {
    /// Modules and names.
    pub modules: &'a Modules,
}

/// A concept and its name.
pub fn named(concept: Option<i64>) -> [Value; 2] {
    concept.map_or([Value::Null; 2], |c| [Value::Int(c), Value::Name(c)])
}

impl Derivation for Answers<'_> {
    fn table(&self) -> &'static str {
        "survey_answer"
    }

    fn sources(&self) -> Vec<Source> {
        sources()
    }

    fn name(&self, concept: i64) -> Option<&str> {
        self.modules.name(concept)
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let conducts = conducts(person, &sources[1], self.modules);
        let left = |reason| made.exclude(reason, 1);
        let answers = answers(person, &sources[0], &conducts, self.modules, left);
        let same = |a: &Answer, b: &Answer| {
            (a.time, a.module, a.question) == (b.time, b.module, b.question)
        };
        for group in answers.chunk_by(same) {
            for (answer, place) in group.iter().zip(1..) {
                let [module, survey] = named(Some(answer.module).filter(|m| *m != 0));
                let [question, asked] = named(Some(answer.question));
                let [concept, said] = named(answer.answer);
                let [version, called] = named(answer.version);
                let number = answer.number.map(|bits| Value::Float(f64::from_bits(bits as u64)));
                made.row([
                    Value::Time(answer.time),
                    survey,
                    question,
                    asked,
                    concept,
                    said,
                    version,
                    called,
                    module,
                    Value::Int(place),
                    number.unwrap_or(Value::Null),
                ]);
            }
        }
    }
}
