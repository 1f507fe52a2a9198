//! What rules need to know before a table is built, and the expressions made of it: by which rows are
//! removed and what answers become.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, Expr, SessionContext, ident, lit, when};

use super::answers::{self, Facts, Reader};
use super::concepts::Lookup;
use super::limits::{self, OpenDays};
use super::rules::{self, Touch};
use super::spans::Streams;
use super::used::{self, Used};
use super::{Error, TierRequest, functions, id_map, places};
use crate::config::policy::parts::{ConceptSet, Condition, Generalisation, KeepText, Zip3};
use crate::config::policy::{Action, Rule};
use crate::omop::{FieldSpec, TableSpec};

/// By rule id, the concepts a rule stands for and what it knows of answers.
#[derive(Default)]
pub(super) struct Prepared {
    pub concepts: BTreeMap<String, Arc<[i64]>>,
    pub facts: BTreeMap<String, Facts>,
    /// By rule id, between which days its streams lie.
    pub streams: BTreeMap<String, Streams>,
    /// By rule id, the days on which open ends lie.
    pub open: BTreeMap<String, OpenDays>,
}

impl Prepared {
    pub(super) async fn new(
        ctx: &SessionContext,
        request: &TierRequest,
        map: &DataFrame,
    ) -> Result<Self, Error> {
        let mut prepared = Self::default();
        let reader = Reader { ctx, request, map };
        for Rule { id, action, .. } in &request.policy.rules {
            let lookup = |allow_missing| Lookup {
                ctx,
                vocabulary: request.vocabulary.as_ref(),
                rule: id,
                allow_missing,
            };
            let concepts = match action {
                // Nothing to look at, nothing to look up.
                Action::SuppressConcepts(_) | Action::DropRecentConcepts(_)
                    if !request
                        .extracts
                        .iter()
                        .flat_map(used::specs)
                        .any(|spec| matches!(rules::touch(action, spec), Touch::Rows(_))) =>
                {
                    continue;
                }
                Action::SuppressConcepts(set) => lookup(set.allow_missing).expand(set).await?,
                Action::DropRecentConcepts(r) => {
                    let used = match request.vocabulary {
                        Some(_) => Used { ctx, request, map }.first_use().await?,
                        None => BTreeMap::new(),
                    };
                    lookup(r.allow_missing).recent(r, request.reference_date, &used).await?
                }
                Action::GeneraliseValues(rule) => {
                    prepared.facts.insert(id.clone(), reader.generalise(rule).await?);
                    continue;
                }
                Action::GeneraliseSmall(rule) => {
                    prepared.facts.insert(id.clone(), reader.rare(rule).await?);
                    continue;
                }
                Action::GeneraliseBySite(rule) => {
                    prepared.facts.insert(id.clone(), reader.contradicted(rule).await?);
                    continue;
                }
                Action::Zip3(rule) => {
                    prepared.facts.insert(id.clone(), reader.zip(rule).await?);
                    continue;
                }
                Action::LeaveDatesTrue(rule) => {
                    let concepts: std::collections::BTreeSet<i64> =
                        rule.concepts.iter().copied().collect();
                    concepts.into_iter().collect()
                }
                Action::TruncateEdges(edges) => {
                    let streams = Used { ctx, request, map }.streams(edges).await?;
                    prepared.streams.insert(id.clone(), streams);
                    continue;
                }
                Action::OpenEnds { .. } => {
                    let open = Used { ctx, request, map }.open_days(action).await?;
                    prepared.open.insert(id.clone(), open);
                    continue;
                }
                _ => continue,
            };
            prepared.concepts.insert(id.clone(), concepts);
        }
        Ok(prepared)
    }

    /// The condition, on values as they came in, under which `rule` removes a row of the table.
    pub(super) fn removal(
        &self,
        spec: &TableSpec,
        rule: &Rule,
    ) -> Result<Option<Expr>, DataFusionError> {
        let held = |columns: &[&'static str]| {
            let set = self.concepts.get(&rule.id).filter(|set| !set.is_empty())?;
            let held = columns.iter().map(|c| functions::in_concepts(&rule.id, set, ident(*c)));
            held.reduce(Expr::or)
        };
        let touch = rules::touch(&rule.action, spec);
        Ok(match (&rule.action, touch) {
            (Action::SuppressConcepts(set), Touch::Rows(by)) => {
                held(&by).map(|met| except(&set.except, spec, only(set, met)))
            }
            (Action::DropRecentConcepts(_), Touch::Rows(by)) => held(&by),
            (Action::GeneraliseValues(_), Touch::Columns(_)) => {
                let repeats = self.facts.get(&rule.id).map(|f| &f.repeats);
                let repeats = repeats.filter(|r| !r.is_empty());
                let name = format!("{}_repeats", rule.id);
                repeats.map(|r| functions::in_concepts(&name, r, ident("observation_id")))
            }
            (Action::DropHours { hours, .. }, Touch::Rows(by)) => {
                let within = |c: &&'static str| limits::in_hours(&rule.id, hours, ident(*c));
                by.iter().map(within).reduce(Expr::or)
            }
            (Action::DropNearBirth(n), Touch::Rows(by) | Touch::Columns(by)) => {
                let early = by.iter().filter_map(|c| spec.field(c)).map(|f| {
                    let kind = f.kind.data_type();
                    let year = ident(id_map::BIRTH_YEAR);
                    (f.name, limits::near_birth(n.years, &kind, ident(f.name), year))
                });
                let met = if n.clip_tables.iter().any(|t| t == spec.name) {
                    // Only what is over before the first day goes; the rest is clipped.
                    early.map(|(c, e)| ident(c).is_null().or(e)).reduce(Expr::and)
                } else {
                    early.map(|(_, e)| e).reduce(Expr::or)
                };
                met.map(|met| except(&n.except, spec, met))
            }
            (Action::TruncateEdges(_), Touch::Rows(by)) => {
                let cut = by.iter().filter_map(|c| spec.field(c)).filter_map(|f| {
                    let streams = self.streams.get(&rule.id)?;
                    let ends = streams.get(&(spec.name.to_owned(), f.name))?.clone();
                    let name = format!("{}_{}_{}", rule.id, spec.name, f.name);
                    Some(limits::at_edge(&name, &f.kind.data_type(), ident(f.name), ends))
                });
                cut.reduce(Expr::or)
            }
            _ => None,
        })
    }

    /// The value of a column in its group, by the person's answers and then by the value.
    pub(super) fn coarser(
        &self,
        rule: &Rule,
        g: &Generalisation,
        now: Expr,
    ) -> Result<Expr, DataFusionError> {
        let none = Facts::default();
        let facts = self.facts.get(&rule.id).unwrap_or(&none);
        let list = |ids: &[i64]| ids.iter().map(|id| lit(*id)).collect::<Vec<_>>();
        let among = |ids: &[i64]| now.clone().in_list(list(ids), false).is_true();
        let mut branches = by_person(&rule.id, g, facts, &among);
        branches.extend(g.groups.iter().map(|g| (among(&g.from), g.to)));
        if let Some(to) = g.otherwise {
            branches.push((now.clone().is_not_null().and(!among(&g.keep)), to));
        }
        let mut value = now.clone();
        for (met, to) in branches.into_iter().rev() {
            value = when(met, lit(to)).otherwise(value)?;
        }
        Ok(value)
    }

    /// A date that is moved where it lies on an open day.
    pub(super) fn closed(
        &self,
        rule: &Rule,
        (spec, field): (&TableSpec, &FieldSpec),
        now: Expr,
        beside: Option<Expr>,
    ) -> Expr {
        let Some(open) = self.open.get(&rule.id) else { return now };
        let name = format!("{}_{}_{}", rule.id, spec.name, field.name);
        let (name, kind) = ((&name[..], used::is_start(field.name)), field.kind.data_type());
        limits::closed(name, &kind, now, beside, ident(id_map::SHIFT), open.clone())
    }

    /// Where the dates of a row stay true by `rule`, of kind `leave_dates_true`.
    pub(super) fn true_dates(&self, rule: &Rule, spec: &TableSpec) -> Option<Expr> {
        let Action::LeaveDatesTrue(_) = &rule.action else { return None };
        let Touch::Rows(by) = rules::touch(&rule.action, spec) else { return None };
        let set = self.concepts.get(&rule.id)?;
        let held = by.iter().map(|c| functions::in_concepts(&rule.id, set, ident(*c)));
        held.reduce(Expr::or)
    }

    /// What a `zip3` rule makes of the answer for the state: the state of the area into which the
    /// person's is merged, or none where the zip code is hidden.
    pub(super) fn state(
        &self,
        rule: &Rule,
        zip: &Zip3,
        now: Expr,
    ) -> Result<Expr, DataFusionError> {
        let Some(facts) = self.facts.get(&rule.id) else { return Ok(now) };
        let asked = || answers::asks(&zip.state_question);
        let mut value = now;
        if !facts.states.is_empty() {
            let known = value.clone().is_not_null();
            let new = places::of_person(&rule.id, &facts.states, value.clone());
            value = when(asked().and(known), new).otherwise(value)?;
        }
        let Some(to) = zip.hidden_state else { return Ok(value) };
        let name = format!("{}_hidden", rule.id);
        let hidden = functions::in_concepts(&name, &facts.hidden, ident("person_id"));
        let known = value.clone().is_not_null();
        when(asked().and(hidden).and(known), lit(to)).otherwise(value)
    }

    /// What `rule` makes of an answer; `now` is what earlier rules made of it.
    pub(super) fn answer(&self, rule: &Rule, now: Expr) -> Result<Expr, DataFusionError> {
        let none = Facts::default();
        let facts = self.facts.get(&rule.id).unwrap_or(&none);
        let among = |ids: &[i64]| {
            ident(answers::ANSWER).in_list(ids.iter().map(|id| lit(*id)).collect(), false)
        };
        match &rule.action {
            Action::GeneraliseValues(g) => generalised(&rule.id, g, facts, now),
            Action::GeneraliseSmall(rare) if !facts.rare.is_empty() => {
                let met = answers::asks(&rare.question).and(among(&facts.rare));
                when(met, lit(rare.to_concept)).otherwise(now)
            }
            Action::GeneraliseBySite(by) if !facts.contradicted.is_empty() => {
                let name = format!("{}_contradicted", rule.id);
                let row = ident("observation_id");
                let met = functions::in_concepts(&name, &facts.contradicted, row);
                when(met, lit(by.to_concept)).otherwise(now)
            }
            Action::Zip3(zip) => {
                let hidden = format!("{}_hidden", rule.id);
                let hidden = functions::in_concepts(&hidden, &facts.hidden, ident("person_id"));
                let asked = || answers::asks(&zip.question);
                let given = now.clone().is_not_null();
                let state = answers::asks(&zip.state_question);
                let no_text = now.clone().is_null();
                if !zip.state_question.is_empty() && zip.hidden_state.is_some() {
                    // The text of the state goes with it (DeidentifyAIANZip3Values).
                    let gone = state.and(hidden.clone()).or(no_text);
                    return when(gone, lit(ScalarValue::Utf8(None)))
                        .when(asked().and(hidden).and(given), lit("000**"))
                        .when(asked(), limits::zip3(&rule.id, zip, now.clone()))
                        .otherwise(now);
                }
                when(asked().and(hidden).and(given), lit("000**"))
                    .when(asked(), limits::zip3(&rule.id, zip, now.clone()))
                    .otherwise(now)
            }
            _ => Ok(now),
        }
    }
}

/// `met` in rows that meet every condition of the set.
fn only(set: &ConceptSet, met: Expr) -> Expr {
    set.only.iter().fold(met, |met, c| met.and(holds(c)))
}

fn holds(condition: &Condition) -> Expr {
    let ids = condition.concepts.iter().map(|id| lit(*id)).collect();
    ident(condition.column.as_str()).in_list(ids, false).is_true()
}

fn except(rows: &[Condition], spec: &TableSpec, met: Expr) -> Expr {
    let known = rows.iter().filter(|c| spec.field(&c.column).is_some());
    known.fold(met, |met, c| met.and(!holds(c)))
}

/// A text that stays in rows of some questions, or where it is one of some words.
pub(super) fn kept_text(
    keep: &[KeepText],
    table: &str,
    column: &str,
    now: Expr,
    null: Expr,
) -> Result<Expr, DataFusionError> {
    let name = format!("{table}.{column}");
    let stays = keep.iter().filter(|k| k.column == name).map(|k| {
        let asked = (!k.question.is_empty()).then(|| answers::asks(&k.question));
        let listed = k.words.iter().map(|word| lit(word.as_str())).collect::<Vec<Expr>>();
        let listed = (!listed.is_empty()).then(|| now.clone().in_list(listed, false).is_true());
        asked.into_iter().chain(listed).reduce(Expr::and).unwrap_or_else(|| lit(false))
    });
    match stays.reduce(Expr::or) {
        Some(stays) => when(stays, now).otherwise(null),
        None => Ok(null),
    }
}

/// Whether texts of the table say in which rows values stay.
pub(super) fn keeps(keep: &[KeepText], spec: &TableSpec) -> bool {
    keep.iter().any(|k| k.column.split('.').next() == Some(spec.name))
}

/// A value that stays in rows in which a text of the table, as it came in, is one of some words.
pub(super) fn kept_rows(
    keep: &[KeepText],
    spec: &TableSpec,
    now: Expr,
    null: Expr,
) -> Result<Expr, DataFusionError> {
    let stays = keep.iter().filter_map(|k| {
        let (_, column) = k.column.split_once('.').filter(|(table, _)| *table == spec.name)?;
        let words = k.words.iter().map(|word| lit(word.as_str())).collect();
        Some(ident(column).in_list(words, false).is_true())
    });
    match stays.reduce(Expr::and) {
        Some(stays) => when(stays, now).otherwise(null),
        None => Ok(null),
    }
}

/// What follows from other answers of the person: several of them first, then conflicts.
fn by_person(
    id: &str,
    rule: &Generalisation,
    facts: &Facts,
    among: &impl Fn(&[i64]) -> Expr,
) -> Vec<(Expr, i64)> {
    let person = |what: &str, people: &Arc<[i64]>| {
        functions::in_concepts(&format!("{id}_{what}"), people, ident("person_id"))
    };
    let mut branches: Vec<(Expr, i64)> = Vec::new();
    if let Some(s) = &rule.when_several {
        let met = person("several", &facts.several).and(!among(&s.except));
        branches.push((met, s.to));
    }
    for (n, (also, people)) in rule.when_also.iter().zip(&facts.also).enumerate() {
        let met = person(&format!("also_{n}"), people).and(among(&also.answer));
        branches.push((met, also.to));
    }
    branches
}

/// The generalised answer: several answers first, then conflicts, groups and the rest.
fn generalised(
    id: &str,
    rule: &Generalisation,
    facts: &Facts,
    now: Expr,
) -> Result<Expr, DataFusionError> {
    let asked = || answers::asks(&rule.question);
    let answer = || ident(answers::ANSWER);
    let list = |ids: &[i64]| ids.iter().map(|id| lit(*id)).collect::<Vec<_>>();
    let among = |ids: &[i64]| answer().in_list(list(ids), false).is_true();
    let mut branches = by_person(id, rule, facts, &among);
    branches.extend(rule.groups.iter().map(|g| (among(&g.from), g.to)));
    if let Some(to) = rule.otherwise {
        // A row without an answer says nothing.
        let given = answer().is_not_null().and(answer().not_eq(lit(0_i64)));
        branches.push((given.and(!among(&rule.keep)), to));
    }
    let mut branches = branches.into_iter();
    let Some((met, to)) = branches.next() else { return Ok(now) };
    let mut case = when(asked().and(met), lit(to));
    for (met, to) in branches {
        case = case.when(asked().and(met), lit(to));
    }
    case.otherwise(now)
}
