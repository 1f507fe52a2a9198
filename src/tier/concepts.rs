//! The concepts of a rule from the vocabulary: by id, by the shape of a code, by age, closed over
//! descendants, mappings and neighbours until nothing is added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Int64Type};
use datafusion::prelude::{Expr, SessionContext, ident, lit};
use futures::StreamExt;
use regex::Regex;

use super::{Error, SiteExtract, table};
use crate::config::CivilDate;
use crate::config::policy::parts::{Codes, ConceptSet, RecentConcepts};

/// Rounds of a closure. Real vocabularies close in a few; more would be a loop of our own making.
const MAX_ROUNDS: usize = 64;

/// A rule's look at the vocabulary.
pub(super) struct Lookup<'a> {
    pub ctx: &'a SessionContext,
    pub vocabulary: Option<&'a SiteExtract>,
    /// Rule id, for messages.
    pub rule: &'a str,
    pub allow_missing: bool,
}

impl Lookup<'_> {
    /// The sorted concept ids that a `suppress_concepts` rule stands for.
    ///
    /// # Errors
    /// When the vocabulary lacks a table that the rule goes by. Unless missing concepts are allowed: when it lacks an
    /// id, or no code of it has a wanted shape.
    pub(super) async fn expand(&self, set: &ConceptSet) -> Result<Arc<[i64]>, Error> {
        let mut all: BTreeSet<i64> = set.concepts.iter().copied().collect();
        let id = "concept_id";
        match self.column("concept", id, id, &all, None).await? {
            Some(known) => {
                let count = all.difference(&known).count();
                if count > 0 && !self.allow_missing {
                    return Err(Error::ConceptMissing { rule: self.rule.to_owned(), count });
                }
            }
            None if self.allow_missing => {}
            None => return Err(self.missing("concept")),
        }
        for codes in &set.codes {
            let found = self.by_code(codes).await?;
            if found.is_empty() && !self.allow_missing {
                return Err(Error::ConceptMissing { rule: self.rule.to_owned(), count: 1 });
            }
            all.extend(found);
        }
        self.close(set, &mut all).await?;
        Ok(all.into_iter().collect())
    }

    /// A concept may be missing where a rule allows it; a table that says which concepts there are may not: a rule
    /// that knows none of them would remove nothing and look as if it had.
    fn missing(&self, table: &'static str) -> Error {
        Error::NoVocabulary { rule: self.rule.to_owned(), table }
    }

    /// Adds what the set's relations reach, round by round, until a round adds nothing.
    async fn close(&self, set: &ConceptSet, all: &mut BTreeSet<i64>) -> Result<(), Error> {
        let mut kinds: Vec<&str> = set.relationships.iter().map(String::as_str).collect();
        if set.mapped {
            kinds.push("Maps to");
        }
        let mut edge = all.clone();
        for _ in 0..MAX_ROUNDS {
            let mut found = BTreeSet::new();
            if set.descendants {
                let (from, to) = ("ancestor_concept_id", "descendant_concept_id");
                match self.column("concept_ancestor", from, to, &edge, None).await? {
                    Some(more) => found.extend(more),
                    None => return Err(self.missing("concept_ancestor")),
                }
            }
            if !kinds.is_empty() {
                // What points at the set. The other way leads to what is wider (an accident code maps to
                // "injury"), and its descendants would be half the vocabulary.
                let wanted = kinds.iter().map(|k| lit(*k)).collect();
                let kind = ident("relationship_id").in_list(wanted, false);
                let (from, to) = ("concept_id_2", "concept_id_1");
                match self.column("concept_relationship", from, to, &edge, Some(kind)).await? {
                    Some(more) => found.extend(more),
                    None => return Err(self.missing("concept_relationship")),
                }
            }
            // 0 is "no matching concept": everything unmapped would hang on it.
            edge = found.into_iter().filter(|id| *id != 0 && !all.contains(id)).collect();
            if edge.is_empty() {
                break;
            }
            all.extend(&edge);
        }
        if set.mapped {
            let kind = ident("relationship_id").eq(lit("Maps to"));
            let (from, to) = ("concept_id_1", "concept_id_2");
            let found = self.column("concept_relationship", from, to, all, Some(kind)).await?;
            all.extend(found.into_iter().flatten().filter(|id| *id != 0));
        }
        Ok(())
    }

    /// Concepts whose code has the shape.
    async fn by_code(&self, codes: &Codes) -> Result<BTreeSet<i64>, Error> {
        let columns = ["concept_id", "concept_code", "vocabulary_id", "concept_class_id"];
        // Checked with the policy; a shape that is none finds nothing, and nothing found is an error.
        let Ok(shape) = Regex::new(&codes.regex) else { return Ok(BTreeSet::new()) };
        let except = codes.except.as_deref().and_then(|e| Regex::new(e).ok());
        let mut found = BTreeSet::new();
        let Some(site) = self.vocabulary.filter(|v| v.extract.table("concept").is_some()) else {
            return Err(self.missing("concept"));
        };
        let of_vocabulary = |name: &str| match codes.vocabulary.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == codes.vocabulary,
        };
        let rows = table::scan(self.ctx, site, "concept").await?.select(columns.map(ident));
        let rows = rows.map_err(Error::query("concept"))?;
        let mut rows = rows.execute_stream().await.map_err(Error::query("concept"))?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(Error::query("concept"))?;
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let [code, name, class] = [1, 2, 3].map(|i| batch.column(i).as_string::<i32>());
            for i in (0..batch.num_rows()).filter(|i| code.is_valid(*i) && name.is_valid(*i)) {
                let text = code.value(i);
                let fits = of_vocabulary(name.value(i))
                    && codes
                        .class
                        .as_deref()
                        .is_none_or(|c| class.is_valid(i) && class.value(i) == c)
                    && shape.is_match(text)
                    && !except.as_ref().is_some_and(|e| e.is_match(text));
                if fits && ids.is_valid(i) {
                    found.insert(ids.value(i));
                }
            }
        }
        Ok(found)
    }

    /// Concepts that began `years` before `reference` or later. One valid since 1970-01-01, which says
    /// nothing, or since no day began on the first day of `used` (RecentConceptSuppression); without such
    /// a day it stays, for no dated row holds it.
    pub(super) async fn recent(
        &self,
        rule: &RecentConcepts,
        reference: jiff::civil::Date,
        used: &BTreeMap<i64, i32>,
    ) -> Result<Arc<[i64]>, Error> {
        let Some(site) = self.vocabulary.filter(|v| v.extract.table("concept").is_some()) else {
            return Err(self.missing("concept"));
        };
        let span = jiff::Span::new().try_years(i64::from(rule.years));
        let first = span.and_then(|span| reference.checked_sub(span));
        let first = first.map(|date| CivilDate(date).epoch_days()).unwrap_or(i32::MIN);
        let columns = ["concept_id", "valid_start_date", "vocabulary_id"];
        let rows = table::scan(self.ctx, site, "concept").await?.select(columns.map(ident));
        let rows = rows.map_err(Error::query("concept"))?;
        let mut rows = rows.execute_stream().await.map_err(Error::query("concept"))?;
        let mut found = BTreeSet::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(Error::query("concept"))?;
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let starts = batch.column(1).as_primitive::<Date32Type>();
            let names = batch.column(2).as_string::<i32>();
            for i in (0..batch.num_rows()).filter(|i| ids.is_valid(*i)) {
                let stated = starts.is_valid(i).then(|| starts.value(i)).filter(|day| *day != 0);
                let start = stated.or_else(|| used.get(&ids.value(i)).copied());
                let stays = names.is_valid(i)
                    && rule.except_vocabularies.iter().any(|v| v == names.value(i));
                if start.is_some_and(|day| day >= first) && !stays {
                    found.insert(ids.value(i));
                }
            }
        }
        found.remove(&0);
        Ok(found.into_iter().collect())
    }

    /// Values of `to` in the rows of a vocabulary table whose `from` is one of `ids` and that meet
    /// `also`; None without the table.
    async fn column(
        &self,
        name: &str,
        from: &str,
        to: &str,
        ids: &BTreeSet<i64>,
        also: Option<Expr>,
    ) -> Result<Option<BTreeSet<i64>>, Error> {
        let Some(site) = self.vocabulary.filter(|v| v.extract.table(name).is_some()) else {
            return Ok(None);
        };
        if ids.is_empty() {
            return Ok(Some(BTreeSet::new()));
        }
        // Concept ids are the policy's, not a person's: they may be literals.
        let mut met = ident(from).in_list(ids.iter().map(|id| lit(*id)).collect(), false);
        if let Some(also) = also {
            met = met.and(also);
        }
        let rows = table::scan(self.ctx, site, name).await?;
        let rows = rows.filter(met).and_then(|d| d.select([ident(to)])).map_err(Error::query(name));
        let batches = rows?.collect().await.map_err(Error::query(name))?;
        let values = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().iter());
        Ok(Some(values.flatten().collect()))
    }
}
