//! Survey modules by person: when taken, in which version, how much was answered.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{self, Answer, DONT_KNOW, PREFER_NOT, SKIP, named};
use super::module::Modules;
use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

const DAY: i64 = 24 * 3600 * 1_000_000;

/// `survey_module`: one row a person and module. A completion is a row of `survey_conduct`, or where the
/// module has none a day with answers. A question counts once, by the most that was said to it: answered,
/// don't know, prefer not to answer, skipped; one that was never asked does not count. The version is that
/// of the last completion.
pub struct SurveyModules<'a> {
    /// Modules and names.
    pub modules: &'a Modules,
}

/// What was said to a question, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Skipped,
    PreferNot,
    DontKnow,
    Answered,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        match answer.answer {
            Some(SKIP) => Self::Skipped,
            Some(concept) if PREFER_NOT.contains(&concept) => Self::PreferNot,
            Some(DONT_KNOW) => Self::DontKnow,
            _ => Self::Answered,
        }
    }
}

#[derive(Default)]
struct Taken {
    questions: BTreeMap<i64, Said>,
    /// Day of each row of `survey_conduct` and its version.
    conducts: Vec<(i32, Option<i64>)>,
    /// Days with answers.
    days: BTreeSet<i32>,
}

impl Derivation for SurveyModules<'_> {
    fn table(&self) -> &'static str {
        "survey_module"
    }

    fn sources(&self) -> Vec<Source> {
        answer::sources()
    }

    fn name(&self, concept: i64) -> Option<&str> {
        self.modules.name(concept)
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let conducts = answer::conducts(person, &sources[1], self.modules);
        let answers = answer::answers(person, &sources[0], &conducts, self.modules, |_| ());
        let mut taken: BTreeMap<i64, Taken> = BTreeMap::new();
        for conduct in &conducts {
            let module = taken.entry(conduct.module).or_default();
            module.conducts.push((conduct.end, conduct.version));
        }
        for answer in &answers {
            let module = taken.entry(answer.module).or_default();
            let said = module.questions.entry(answer.question).or_insert(Said::Skipped);
            *said = Said::of(answer).max(*said);
            module.days.extend(i32::try_from(answer.time.div_euclid(DAY)));
        }
        if let Some(unknown) = taken.remove(&0) {
            made.note("questions_without_module", unknown.questions.len() as u64);
        }
        for (module, taken) in taken {
            row(module, taken, made);
        }
    }
}

fn row(module: i64, taken: Taken, made: &mut Made) {
    let Taken { questions, mut conducts, days } = taken;
    if conducts.is_empty() {
        conducts = days.into_iter().map(|day| (day, None)).collect();
    }
    conducts.sort_unstable();
    let (Some(&(first, _)), Some(&(last, version))) = (conducts.first(), conducts.last()) else {
        return;
    };
    let [concept, survey] = named(Some(module));
    let [version, called] = named(version);
    let count = |wanted: Said| {
        Value::Int(questions.values().filter(|said| **said == wanted).count() as i64)
    };
    made.row([
        concept,
        survey,
        Value::Day(first),
        Value::Day(last),
        version,
        called,
        Value::Int(conducts.len() as i64),
        Value::Int(questions.len() as i64),
        count(Said::Answered),
        count(Said::Skipped),
        count(Said::PreferNot),
        count(Said::DontKnow),
    ]);
}
