//! Where people live, looked at before tables are built: answers that the states of sites contradict, and
//! the states of areas that are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{JoinType, Result as EngineResult};
use datafusion::prelude::{Expr, ident};
use futures::StreamExt;

use super::answers::{self, Facts, Reader};
use super::functions::{Compute, call};
use super::rules::{self, Class};
use super::{Error, id_map, table};
use crate::config::policy::{BySite, Zip3};
use crate::omop::cdm;

impl Reader<'_> {
    /// Answers of people who have records (rows of any table but `person`) from a site of another state.
    /// Answers that the rule keeps, and rows without an answer, say nothing of a state.
    pub(super) async fn contradicted(&self, rule: &BySite) -> Result<Facts, Error> {
        let states = self.states_of_sites().await?;
        let answers = self.answers(&rule.question).await?;
        let against = answers.iter().filter(|a| {
            let stated = a.concept != 0 && a.concept != rule.to_concept;
            let states = states.get(&a.person);
            stated
                && !rule.keep.contains(&a.concept)
                && states.is_some_and(|s| s.iter().any(|state| *state != a.concept))
        });
        let rows: BTreeSet<i64> = against.map(|a| a.row).collect();
        Ok(Facts { contradicted: rows.into_iter().collect(), ..Facts::default() })
    }

    /// By person, the states of the sites that gave records.
    async fn states_of_sites(&self) -> Result<BTreeMap<i64, BTreeSet<i64>>, Error> {
        let mut states: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for (state, site) in &self.request.site_states {
            let model = cdm(site.extract.cdm);
            let specs = site.extract.tables.iter().filter_map(|t| model.table(&t.name));
            for spec in specs.filter(|spec| rules::class(spec) == Class::PersonLevel) {
                let rows = table::scan(self.ctx, site, spec.name).await?;
                let rows = rows.select([ident("person_id")]).and_then(|d| d.distinct());
                let rows = rows.map_err(Error::query(spec.name))?;
                let rows = rows.collect().await.map_err(Error::query(spec.name))?;
                let people = rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>());
                for person in people.flatten() {
                    states.entry(person).or_default().insert(*state);
                }
            }
        }
        Ok(states)
    }

    /// People whose zip code is hidden, and the states of people whose area is merged into another, by
    /// their last answer (of equal times the one of the highest row id).
    pub(super) async fn zip(&self, zip: &Zip3) -> Result<Facts, Error> {
        let mut facts = self.hidden(&zip.hide_people).await?;
        let merged: BTreeMap<&str, i64> = zip
            .areas
            .iter()
            .filter(|a| a.to != a.zip3)
            .filter_map(|a| Some((a.zip3.as_str(), a.state?)))
            .collect();
        if zip.state_question.is_empty() || merged.is_empty() {
            return Ok(facts);
        }
        let texts = self.texts(&zip.question).await?;
        let mut last: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for a in self.answers(&zip.question).await? {
            let this = (a.micros, a.row);
            let before = last.entry(a.person).or_insert(this);
            *before = this.max(*before);
        }
        let state = |row: &i64| {
            let text = texts.get(row)?;
            let digits = text.get(..5).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
            merged.get(digits.get(..3)?).copied()
        };
        let states = last.into_iter().filter_map(|(person, (_, row))| Some((person, state(&row)?)));
        facts.states = Arc::new(states.collect());
        Ok(facts)
    }

    /// By row id (raised by site), the texts of answers of people who take part.
    async fn texts(&self, question: &[i64]) -> Result<BTreeMap<i64, String>, Error> {
        let name = answers::TABLE;
        let mut texts = BTreeMap::new();
        for (site, extract) in self.request.extracts.iter().enumerate() {
            if extract.extract.table(name).is_none() {
                continue;
            }
            let rows = table::scan(self.ctx, extract, name).await?;
            let (by, on) = (&["person_id"], &[id_map::PERSON]);
            let rows = rows
                .filter(answers::asks(question))
                .and_then(|d| d.join(self.map.clone(), JoinType::Inner, by, on, None))
                .and_then(|d| d.filter(ident(id_map::GONE).is_null()))
                .and_then(|d| d.select([ident("observation_id"), ident("value_as_string")]));
            let rows = rows.map_err(Error::query(name))?;
            let mut rows = rows.execute_stream().await.map_err(Error::query(name))?;
            while let Some(batch) = rows.next().await {
                let batch = batch.map_err(Error::query(name))?;
                let ids = batch.column(0).as_primitive::<Int64Type>().iter();
                let strings = batch.column(1).as_string::<i32>().iter();
                for (id, text) in ids.zip(strings) {
                    let (Some(id), Some(text)) = (id, text) else { continue };
                    texts.insert(id.saturating_add(self.offset(site)), text.to_owned());
                }
            }
        }
        Ok(texts)
    }
}

/// The value that a map has for a person, else the value as it is.
pub(super) fn of_person(rule: &str, map: &Arc<BTreeMap<i64, i64>>, now: Expr) -> Expr {
    struct OfPerson(Arc<BTreeMap<i64, i64>>);
    impl Compute for OfPerson {
        fn compute(&self, args: &[ArrayRef]) -> EngineResult<ArrayRef> {
            let [people, now] = [0, 1].map(|i| args[i].as_primitive::<Int64Type>());
            let mapped = |i: usize| {
                let person = people.is_valid(i).then(|| people.value(i));
                let new = person.and_then(|person| self.0.get(&person).copied());
                new.or_else(|| now.is_valid(i).then(|| now.value(i)))
            };
            let out: arrow::array::Int64Array = (0..now.len()).map(mapped).collect();
            Ok(Arc::new(out))
        }
    }
    let takes = vec![DataType::Int64, DataType::Int64];
    let args = vec![ident("person_id"), now];
    call(format!("of_person_{rule}"), takes, DataType::Int64, OfPerson(map.clone()), args)
}
