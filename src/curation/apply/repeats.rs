//! Rules for answers that a person gives to a question beside others, or again.

use std::collections::{BTreeMap, BTreeSet};

use super::super::bucket::{Table, people};
use super::super::cells::Cells;
use super::super::facts::DAY;
use super::super::rule::Repeats;
use super::Hand;

/// A response: its id, or for rows without one 0 and the time of the answer.
type Response = (i64, i64);
/// Person, question and, of questions with several answers, the answer.
type Asked = (i64, i64, i64);

impl Hand<'_> {
    /// Removes answers that say that none applies beside others of the same person and question, or, if they
    /// `stay`, those others.
    pub fn exclusive(&mut self, questions: &[i64], answers: &[i64], stay: bool) {
        let Some((table, rows)) = self.kept("observation") else { return };
        let question = Cells::of(table, "observation_source_concept_id");
        let answer = Cells::of(table, "value_as_concept_id");
        let people = people(table);
        // Rows that may go, and who has given to which question what takes them away.
        let mut may_go: Vec<(usize, (i64, i64))> = Vec::new();
        let mut taken: BTreeSet<(i64, i64)> = BTreeSet::new();
        for i in rows {
            let Some(asked) = question.int(i).filter(|q| questions.contains(q)) else { continue };
            let key = (people[i], asked);
            // No answer is no other answer.
            let Some(answer) = answer.int(i).filter(|answer| *answer != 0) else { continue };
            if answers.contains(&answer) == stay {
                taken.insert(key);
            } else {
                may_go.push((i, key));
            }
        }
        let gone: Vec<usize> =
            may_go.into_iter().filter(|(_, key)| taken.contains(key)).map(|(i, _)| i).collect();
        self.take("observation", gone);
    }

    /// Removes answers of all responses but the last to each question.
    pub fn last_answers(&mut self, rule: &Repeats) {
        let Some((table, rows)) = self.kept("observation") else { return };
        let recurring = self.responses(&rule.recurring);
        let gone = Answers::of(table).repeats(rows, rule, &recurring);
        self.take("observation", gone);
    }

    /// The responses to some surveys.
    fn responses(&self, surveys: &[i64]) -> BTreeSet<i64> {
        let Some((table, rows)) = self.kept("survey_conduct") else { return BTreeSet::new() };
        let id = Cells::of(table, "survey_conduct_id");
        let survey = ["survey_concept_id", "survey_source_concept_id"].map(|c| Cells::of(table, c));
        let is = |i: usize| survey.iter().any(|s| s.int(i).is_some_and(|s| surveys.contains(&s)));
        rows.into_iter().filter(|&i| is(i)).filter_map(|i| id.int(i)).collect()
    }
}

/// The columns of answers.
struct Answers<'a> {
    people: &'a [i64],
    of_type: Cells<'a>,
    question: Cells<'a>,
    answer: Cells<'a>,
    number: Cells<'a>,
    text: Cells<'a>,
    /// `questionnaire_response_id`, and `observation_event_id` for rows without one.
    named: [Cells<'a>; 2],
    time: Cells<'a>,
    date: Cells<'a>,
    id: Cells<'a>,
}

impl<'a> Answers<'a> {
    fn of(table: &'a Table) -> Self {
        let cells = |name: &str| Cells::of(table, name);
        Self {
            people: people(table),
            of_type: cells("observation_type_concept_id"),
            question: cells("observation_source_concept_id"),
            answer: cells("value_as_concept_id"),
            number: cells("value_as_number"),
            text: cells("value_as_string"),
            named: [cells("questionnaire_response_id"), cells("observation_event_id")],
            time: cells("observation_datetime"),
            date: cells("observation_date"),
            id: cells("observation_id"),
        }
    }

    /// When a question was answered.
    fn at(&self, i: usize) -> i64 {
        let day = || self.date.day(i).map_or(i64::MIN, |day| i64::from(day) * DAY);
        self.time.time(i).unwrap_or_else(day)
    }

    fn named(&self, i: usize) -> Option<i64> {
        self.named.iter().find_map(|ids| ids.int(i).filter(|id| *id != 0))
    }

    fn response(&self, i: usize) -> Response {
        self.named(i).map_or_else(|| (0, self.at(i)), |id| (id, 0))
    }

    fn asked(&self, i: usize, rule: &Repeats, recurring: &BTreeSet<i64>) -> Option<Asked> {
        let question = self.question.int(i).filter(|q| *q != 0)?;
        let again = self.named(i).is_some_and(|r| recurring.contains(&r));
        if again || !self.of_type.int(i).is_some_and(|t| rule.survey_types.contains(&t)) {
            return None;
        }
        let several = rule.multiple.contains(&question);
        let answer = if several { self.answer.int(i).unwrap_or(0) } else { 0 };
        Some((self.people[i], question, answer))
    }

    /// Rows of responses that are not the last, and of alike answers of one response all but one.
    fn repeats(
        &self,
        rows: Vec<usize>,
        rule: &Repeats,
        recurring: &BTreeSet<i64>,
    ) -> BTreeSet<usize> {
        let answers: Vec<(usize, Asked)> =
            rows.into_iter().filter_map(|i| Some((i, self.asked(i, rule, recurring)?))).collect();
        let mut given: BTreeMap<Asked, BTreeMap<Response, i64>> = BTreeMap::new();
        for (i, asked) in &answers {
            let of = given.entry(*asked).or_default().entry(self.response(*i)).or_insert(i64::MIN);
            *of = self.at(*i).max(*of);
        }
        let last: BTreeMap<Asked, Response> = given
            .into_iter()
            .filter_map(|(asked, responses)| {
                let last = responses.into_iter().max_by_key(|(response, at)| (*at, *response))?;
                Some((asked, last.0))
            })
            .collect();
        let (mut stay, mut gone) = (Vec::new(), BTreeSet::new());
        for (i, asked) in answers {
            if last.get(&asked) == Some(&self.response(i)) {
                stay.push((asked, i));
            } else {
                gone.insert(i);
            }
        }
        gone.extend(self.alike(stay));
        gone
    }

    fn alike(&self, mut rows: Vec<(Asked, usize)>) -> Vec<usize> {
        rows.sort_by_key(|(_, i)| std::cmp::Reverse((self.id.int(*i), *i)));
        let mut seen = BTreeSet::new();
        rows.retain(|(asked, i)| {
            let number = self.number.float(*i).map(f64::to_bits);
            !seen.insert((*asked, self.answer.int(*i), number, self.text.text(*i)))
        });
        rows.into_iter().map(|(_, i)| i).collect()
    }
}
