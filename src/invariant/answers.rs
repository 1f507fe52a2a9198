//! Answers to survey questions, as a tier's rules leave them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::Array;

use super::closure::IdSet;
use super::columns::ids;
use super::origin::OwnTier;
use super::scan::{Count, Look, Rows, Watch, all_null, at};
use super::terms::{Tier, about_persons, named};
use crate::config::policy::Action;
use crate::config::policy::parts::Generalisation;
use crate::omop::{FieldSpec, TableSpec};

const TABLE: &str = "observation";
const ANSWER: &str = "value_as_concept_id";

/// Answers that are none: prefer not to answer, skip, don't know, no matching answer.
const NO_ANSWER: [i64; 4] = [903_079, 903_096, 903_087, 1_177_221];

/// The closed sets of All of Us by question, and whether what is no answer is of the set.
const CLOSED: [(i64, &[i64], bool); 3] = [
    (1_585_845, &[1_585_846, 1_585_847, 2_000_000_009], true),
    (
        1_585_940,
        &[
            2_000_000_006,
            2_000_000_007,
            1_585_945,
            1_585_946,
            43_021_808,
            4_260_980,
            903_079,
            903_096,
            1_177_221,
        ],
        true,
    ),
    (1_585_952, &[2_000_000_004, 2_000_000_005], false),
];

/// Which rows answer a question: by the columns that name it, or by the row's id where a policy has taken
/// the source's own name of it.
pub(super) struct Asked {
    questions: IdSet,
    rows: Option<Arc<[i64]>>,
}

impl Asked {
    /// Columns that [`Asked::rows`] needs.
    pub const COLUMNS: [&'static str; 3] =
        ["observation_source_concept_id", "observation_concept_id", "observation_id"];

    pub fn by_columns(questions: Vec<i64>) -> Self {
        Self { questions: IdSet::new(questions), rows: None }
    }

    fn of(rule: &str, questions: &[i64], own: Option<&OwnTier<'_>>) -> Self {
        let rows = own.and_then(|own| own.asked.get(rule).cloned());
        Self { questions: IdSet::new(questions.iter().copied()), rows }
    }

    /// Of each row whether it answers.
    pub fn rows(&self, rows: &Rows<'_>) -> Vec<bool> {
        let [source, standard, row] = Self::COLUMNS.map(|column| rows.ints(column));
        let names = |array: Option<&arrow::array::Int64Array>, i| {
            array.and_then(|array| at(array, i)).is_some_and(|id| self.questions.has(id))
        };
        let listed = |i| {
            let id = row.and_then(|row| at(row, i));
            self.rows.as_ref().zip(id).is_some_and(|(rows, id)| rows.binary_search(&id).is_ok())
        };
        (0..rows.len()).map(|i| names(source, i) || names(standard, i) || listed(i)).collect()
    }
}

/// What rules make of answers: no later rule turns these into finer ones.
fn coarse(tier: &Tier<'_>) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for rule in tier.rules() {
        match &rule.action {
            Action::GeneraliseValues(g) => all.extend(made_by(g)),
            Action::GeneraliseSmall(rare) => all.extend([rare.to_concept]),
            _ => {}
        }
    }
    all
}

fn made_by(g: &Generalisation) -> BTreeSet<i64> {
    let groups = g.groups.iter().map(|group| group.to);
    let also = g.when_also.iter().map(|also| also.to);
    groups.chain(also).chain(g.when_several.iter().map(|s| s.to)).chain(g.otherwise).collect()
}

/// Answers that a rule leaves none of; with `true`, instead those that are all it leaves.
fn fine(g: &Generalisation, coarse: &BTreeSet<i64>) -> (IdSet, bool) {
    if g.otherwise.is_some() {
        return (IdSet::new(g.keep.iter().chain(coarse).copied()), true);
    }
    let from = g.groups.iter().flat_map(|group| group.from.iter().copied());
    (IdSet::new(from.filter(|id| !coarse.contains(id) && !g.keep.contains(id))), false)
}

pub(super) fn watches<'a>(
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    own: Option<&OwnTier<'_>>,
) -> Vec<Watch<'a>> {
    let mut watches = Vec::new();
    if !about_persons(spec) {
        return watches;
    }
    let coarse = coarse(tier);
    for rule in tier.rules() {
        match &rule.action {
            Action::GeneraliseValues(g) if !g.columns.is_empty() => {
                let fields =
                    spec.fields.iter().filter(|f| f.is_concept_id() && named(&g.columns, spec, f));
                watches.extend(fields.map(|field| of_column(spec, field, fine(g, &coarse))));
            }
            Action::GeneraliseValues(g) if spec.name == TABLE => {
                let asked = || Asked::of(&rule.id, &g.question, own);
                watches.push(of_question(&rule.id, asked(), fine(g, &coarse)));
                watches.extend(one_answer(&rule.id, g, asked()));
                for (question, set, strict) in CLOSED {
                    if g.question.contains(&question) {
                        watches.push(closed(question, set, strict, g, asked()));
                    }
                }
            }
            Action::Zip3(zip) if spec.name == TABLE => {
                watches.push(zip3(Asked::of(&rule.id, &zip.question, own)));
            }
            _ => {}
        }
    }
    if spec.name == TABLE {
        watches.push(skips(coarse));
    }
    watches
}

fn of_column<'a>(
    spec: &TableSpec,
    field: &'static FieldSpec,
    (set, allowed): (IdSet, bool),
) -> Watch<'a> {
    let place = format!("{}.{}", spec.name, field.name);
    Watch::each("answers_generalised", place, [field.name], move |rows| {
        let Some(values) = rows.ints(field.name) else { return Count::default() };
        values.iter().flatten().map(|id| set.has(id) != allowed).collect()
    })
}

fn columns() -> impl Iterator<Item = &'static str> {
    Asked::COLUMNS.into_iter().chain([ANSWER, "person_id"])
}

/// Answers in the rows that answer a question.
fn given(rows: &Rows<'_>, asked: &Asked) -> Vec<i64> {
    let asked = asked.rows(rows);
    let given = ids(rows, ANSWER).into_iter().zip(asked).filter(|(_, asked)| *asked);
    given.filter_map(|(id, _)| id.filter(|id| *id != 0)).collect()
}

fn of_question<'a>(rule: &str, asked: Asked, (set, allowed): (IdSet, bool)) -> Watch<'a> {
    Watch::each("answers_generalised", format!("{TABLE} ({rule})"), columns(), move |rows| {
        given(rows, &asked).into_iter().map(|id| set.has(id) != allowed).collect()
    })
}

fn closed<'a>(
    question: i64,
    set: &'static [i64],
    strict: bool,
    g: &Generalisation,
    asked: Asked,
) -> Watch<'a> {
    // A rule may cover questions of other surveys that have answers of their own.
    let alone = g.question == [question];
    let asked = if alone { asked } else { Asked::by_columns(vec![question]) };
    Watch::each("answers_closed", format!("{TABLE} ({question})"), columns(), move |rows| {
        let given = given(rows, &asked).into_iter();
        let given = given.filter(|id| strict || !NO_ANSWER.contains(id));
        given.map(|id| !set.contains(&id)).collect()
    })
}

/// A person's rows of a question that has one answer.
struct OneAnswer {
    asked: Asked,
    answers: IdSet,
    /// The last person and the number of answers: rows are sorted by person.
    last: Option<(i64, u64)>,
    count: Count,
}

impl OneAnswer {
    fn next(&mut self) {
        if let Some((_, answers)) = self.last.take() {
            self.count.see(answers > 1);
        }
    }
}

impl Look for OneAnswer {
    fn rows(&mut self, rows: &Rows<'_>) {
        let (people, answers) = (ids(rows, "person_id"), ids(rows, ANSWER));
        for (i, asked) in self.asked.rows(rows).into_iter().enumerate() {
            let (Some(person), Some(answer)) = (people[i], answers[i]) else { continue };
            if !asked || !self.answers.has(answer) {
                continue;
            }
            match &mut self.last {
                Some((last, answers)) if *last == person => *answers += 1,
                _ => {
                    self.next();
                    self.last = Some((person, 1));
                }
            }
        }
    }
    fn end(&mut self) -> Count {
        self.next();
        self.count
    }
}

fn one_answer<'a>(rule: &str, g: &Generalisation, asked: Asked) -> Option<Watch<'a>> {
    let several = g.when_several.as_ref().filter(|_| g.keep_latest)?;
    let answers = several.among.iter().copied().chain(made_by(g));
    let answers = IdSet::new(answers.filter(|id| !several.except.contains(id)));
    let look = OneAnswer { asked, answers, last: None, count: Count::default() };
    Some(Watch::of("one_answer", format!("{TABLE} ({rule})"), columns(), look))
}

fn skips<'a>(coarse: BTreeSet<i64>) -> Watch<'a> {
    const SOURCE: &str = "value_source_value";
    let watch = Watch::each("skips", TABLE, [SOURCE, ANSWER], move |rows| {
        let Some(sources) = rows.texts(SOURCE) else { return Count::default() };
        let answers = ids(rows, ANSWER);
        let skipped =
            (0..rows.len()).filter(|i| sources.is_valid(*i) && sources.value(*i) == "PMI_Skip");
        let right = |id: i64| id == 903_096 || id == 2_000_000_010 || coarse.contains(&id);
        skipped.map(|i| !answers[i].is_some_and(right)).collect()
    });
    watch.or_settled(|footer| all_null(footer, SOURCE).map(|_| Count::default()))
}

fn zip3<'a>(asked: Asked) -> Watch<'a> {
    let columns = Asked::COLUMNS.into_iter().chain(["value_as_string", "value_as_number"]);
    Watch::each("zip3", TABLE, columns, move |rows| {
        let texts = rows.texts("value_as_string");
        let asked = asked.rows(rows);
        let is_zip3 = |text: &str| {
            let bytes = text.as_bytes();
            bytes.len() == 5 && bytes[..3].iter().all(u8::is_ascii_digit) && &bytes[3..] == b"**"
        };
        let mut count = Count::default();
        for i in (0..rows.len()).filter(|i| asked[*i]) {
            let text = texts.filter(|t| t.is_valid(i)).map(|t| t.value(i));
            let number = rows.any("value_as_number").is_some_and(|a| a.is_valid(i));
            if text.is_some() || number {
                count.see(number || !text.is_some_and(is_zip3));
            }
        }
        count
    })
}
