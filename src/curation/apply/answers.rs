//! Rules for answers of surveys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use super::super::Error;
use super::super::bucket::people;
use super::super::cells::Cells;
use super::super::rule::{Branch, Texts};
use super::{Hand, replace};

impl Hand<'_> {
    /// Puts another text and other concepts where a text is not of the form asked for.
    pub fn texts(&mut self, rule: &Texts) -> Result<(), Error> {
        let Some((table, rows)) = self.kept(&rule.table) else { return Ok(()) };
        let name = table.spec.name;
        let said = Cells::of(table, &rule.column);
        let concept = Cells::of(table, &rule.concept_column);
        let wrong: BTreeSet<usize> = rows
            .into_iter()
            .filter(|&i| concept.int(i).is_some_and(|c| rule.concepts.contains(&c)))
            .filter(|&i| said.text(i).is_some_and(|text| !rule.form.fits(text)))
            .filter(|&i| {
                let said = said.text(i).unwrap_or_default();
                !rule.except.iter().any(|word| word.eq_ignore_ascii_case(said))
            })
            .collect();
        let Cells::Text(old) = said else { return Ok(()) };
        if wrong.is_empty() {
            return Ok(());
        }
        if let Some(text) = rule.text.as_deref() {
            let texts = old.iter().enumerate();
            let new = texts.map(|(i, t)| if wrong.contains(&i) { Some(text) } else { t });
            let new: ArrayRef = Arc::new(StringArray::from_iter(new));
            if let Some(table) = self.tables.get_mut(name) {
                replace(table, &rule.column, new)?;
            }
        }
        for (column, value) in &rule.set {
            let to = wrong.iter().map(|&i| (i, *value)).collect();
            self.set(name, column, &to)?;
        }
        self.note(name, wrong.into_iter().collect());
        Ok(())
    }

    /// Removes answers to questions that the answers to an earlier question do not open: where the earlier
    /// question has answers of the person, none of them among those that open the question.
    pub fn branches(&mut self, branches: &[Branch]) {
        let Some((table, rows)) = self.kept("observation") else { return };
        let question = Cells::of(table, "observation_source_concept_id");
        let answer = Cells::of(table, "value_as_concept_id");
        let people = people(table);
        let parents: BTreeSet<i64> = branches.iter().map(|b| b.parent).collect();
        let mut given: BTreeMap<(i64, i64), BTreeSet<i64>> = BTreeMap::new();
        for &i in &rows {
            if let Some(q) = question.int(i).filter(|q| parents.contains(q)) {
                given.entry((people[i], q)).or_default().extend(answer.int(i));
            }
        }
        let closed = |&i: &usize| {
            let Some(asked) = question.int(i) else { return false };
            branches.iter().filter(|b| b.questions.contains(&asked)).any(|b| {
                let given = given.get(&(people[i], b.parent));
                given.is_some_and(|given| !given.iter().any(|a| b.answers.contains(a)))
            })
        };
        let gone: Vec<usize> = rows.into_iter().filter(closed).collect();
        self.take("observation", gone);
    }
}
