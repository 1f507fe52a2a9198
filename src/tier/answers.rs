//! Answers to survey questions, looked at once before the tables are built: who gave several, whose
//! answers conflict, which repeated answers go, which answers are of few rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::JoinType;
use datafusion::prelude::{DataFrame, Expr, SessionContext, ident, lit};
use futures::StreamExt;

use super::functions::{DAY_MICROS, SITE_STEP};
use super::{Error, TierRequest, id_map, table};
use crate::config::policy::parts::{Answered, Generalisation, Rare};

/// The table of answers.
pub(super) const TABLE: &str = "observation";
/// Columns that name the question, the source's own first.
pub(super) const QUESTION: [&str; 2] = ["observation_source_concept_id", "observation_concept_id"];
/// Column that holds the answer.
pub(super) const ANSWER: &str = "value_as_concept_id";

/// What a rule needs to know of people and rows; each list sorted.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// People with more than one answer.
    pub several: Arc<[i64]>,
    /// By `when_also` of the rule, people who answered the other question so.
    pub also: Vec<Arc<[i64]>>,
    /// Row ids (raised by site) of repeated generalised answers.
    pub repeats: Arc<[i64]>,
    /// Answers of few rows.
    pub rare: Arc<[i64]>,
    /// People whose zip code is hidden.
    pub hidden: Arc<[i64]>,
    /// Row ids (raised by site) of answers that a site contradicts.
    pub contradicted: Arc<[i64]>,
    /// By person, the state of the area into which theirs is merged.
    pub states: Arc<BTreeMap<i64, i64>>,
}

/// One answer.
pub(super) struct Answer {
    pub person: i64,
    pub row: i64,
    pub micros: i64,
    pub concept: i64,
}

/// Whether a row answers one of the questions.
pub(super) fn asks(question: &[i64]) -> Expr {
    let ids = || question.iter().map(|id| lit(*id)).collect::<Vec<_>>();
    let held = QUESTION.map(|c| ident(c).in_list(ids(), false));
    let [source, standard] = held;
    // Three-valued: a null column says nothing, and must not hide what the other says.
    source.is_true().or(standard.is_true())
}

/// Reads answers of people who take part in the tier.
pub(super) struct Reader<'a> {
    pub ctx: &'a SessionContext,
    pub request: &'a TierRequest,
    pub map: &'a DataFrame,
}

impl Reader<'_> {
    pub(super) async fn answers(&self, question: &[i64]) -> Result<Vec<Answer>, Error> {
        let mut all = Vec::new();
        for (site, extract) in self.request.extracts.iter().enumerate() {
            if extract.extract.table(TABLE).is_none() {
                continue;
            }
            let columns =
                ["person_id", "observation_id", "observation_date", "observation_datetime", ANSWER];
            let rows = table::scan(self.ctx, extract, TABLE).await?;
            let rows = rows
                .filter(asks(question))
                .and_then(|d| {
                    let on = &[id_map::PERSON];
                    d.join(self.map.clone(), JoinType::Inner, &["person_id"], on, None)
                })
                .and_then(|d| d.filter(ident(id_map::GONE).is_null()))
                .and_then(|d| d.select(columns.map(ident)));
            let rows = rows.map_err(Error::query(TABLE))?;
            let mut rows = rows.execute_stream().await.map_err(Error::query(TABLE))?;
            let offset = self.offset(site);
            while let Some(batch) = rows.next().await {
                take(&mut all, &batch.map_err(Error::query(TABLE))?, offset);
            }
        }
        all.sort_unstable_by_key(|a| (a.person, a.concept, a.micros, a.row));
        Ok(all)
    }

    /// What is added to row ids of an extract, so that those of several stay apart.
    pub(super) fn offset(&self, site: usize) -> i64 {
        match self.request.extracts.len() {
            1 => 0,
            _ => i64::try_from(site).unwrap_or(i64::MAX).saturating_mul(SITE_STEP),
        }
    }

    /// People who gave one of the answers.
    pub(super) async fn people(&self, of: &Answered) -> Result<BTreeSet<i64>, Error> {
        let answers = self.answers(&of.question).await?;
        Ok(answers.iter().filter(|a| of.answers.contains(&a.concept)).map(|a| a.person).collect())
    }

    pub(super) async fn hidden(&self, hide: &[Answered]) -> Result<Facts, Error> {
        let mut people = BTreeSet::new();
        for of in hide {
            people.extend(self.people(of).await?);
        }
        Ok(Facts { hidden: people.into_iter().collect(), ..Facts::default() })
    }

    pub(super) async fn generalise(&self, rule: &Generalisation) -> Result<Facts, Error> {
        let answers = self.answers(&rule.question).await?;
        let mut several = BTreeMap::<i64, u64>::new();
        if let Some(s) = &rule.when_several {
            for a in answers.iter().filter(|a| s.among.contains(&a.concept)) {
                *several.entry(a.person).or_default() += 1;
            }
        }
        let several: BTreeSet<i64> =
            several.into_iter().filter(|(_, n)| *n > 1).map(|(p, _)| p).collect();
        let mut also = Vec::new();
        for other in &rule.when_also {
            let of = Answered { question: other.question.clone(), answers: other.answered.clone() };
            also.push(self.people(&of).await?);
        }
        let repeats = match rule.keep_latest && rule.columns.is_empty() {
            true => repeats(rule, &answers, &several, &also),
            false => Vec::new().into(),
        };
        let also = also.into_iter().map(|people| people.into_iter().collect()).collect();
        Ok(Facts { several: several.into_iter().collect(), also, repeats, ..Facts::default() })
    }

    pub(super) async fn rare(&self, rule: &Rare) -> Result<Facts, Error> {
        let answers = self.answers(&rule.question).await?;
        let mut rows: BTreeMap<i64, u64> = BTreeMap::new();
        for a in &answers {
            *rows.entry(a.concept).or_default() += 1;
        }
        let few = rows
            .iter()
            .filter(|(answer, rows)| **rows < rule.min_rows && !rule.keep.contains(answer));
        Ok(Facts { rare: few.map(|(answer, _)| *answer).collect(), ..Facts::default() })
    }
}

/// What the rule makes of an answer.
fn generalised(
    rule: &Generalisation,
    answer: &Answer,
    several: &BTreeSet<i64>,
    also: &[BTreeSet<i64>],
) -> Option<i64> {
    let id = answer.concept;
    if let Some(s) = &rule.when_several
        && several.contains(&answer.person)
        && !s.except.contains(&id)
    {
        return Some(s.to);
    }
    for (other, people) in rule.when_also.iter().zip(also) {
        if other.answer.contains(&id) && people.contains(&answer.person) {
            return Some(other.to);
        }
    }
    if let Some(group) = rule.groups.iter().find(|g| g.from.contains(&id)) {
        return Some(group.to);
    }
    rule.otherwise.filter(|_| !rule.keep.contains(&id))
}

/// Rows of generalised answers that a later one repeats.
fn repeats(
    rule: &Generalisation,
    answers: &[Answer],
    several: &BTreeSet<i64>,
    also: &[BTreeSet<i64>],
) -> Arc<[i64]> {
    let mut latest: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for a in answers {
        let Some(to) = generalised(rule, a, several, also) else { continue };
        let this = (a.micros, a.row);
        let kept = latest.entry((a.person, to)).or_insert(this);
        if *kept < this {
            gone.insert(kept.1);
            *kept = this;
        } else if *kept > this {
            gone.insert(this.1);
        }
    }
    gone.into_iter().collect()
}

fn take(all: &mut Vec<Answer>, batch: &RecordBatch, offset: i64) {
    let [person, row] = [0, 1].map(|i| batch.column(i).as_primitive::<Int64Type>());
    let dates = batch.column(2).as_primitive::<Date32Type>();
    let times = batch.column(3).as_primitive::<TimestampMicrosecondType>();
    let concept = batch.column(4).as_primitive::<Int64Type>();
    for i in (0..batch.num_rows()).filter(|i| person.is_valid(*i) && row.is_valid(*i)) {
        let date = || dates.is_valid(i).then(|| i64::from(dates.value(i)) * DAY_MICROS);
        let time = times.is_valid(i).then(|| times.value(i)).or_else(date);
        all.push(Answer {
            person: person.value(i),
            row: row.value(i).saturating_add(offset),
            micros: time.unwrap_or(i64::MIN),
            concept: if concept.is_valid(i) { concept.value(i) } else { 0 },
        });
    }
}
