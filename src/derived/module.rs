//! Survey modules: which module a question belongs to, and the names of concepts.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Int64Type;

use super::Error;
use super::part::each_batch;
use super::physical::MEASURES;
use crate::engine::Keyring;
use crate::omop::SiteExtract;

/// Surveys of the All of Us programme and their versions: concept, concept of the module, name. The
/// monthly COPE surveys and the vaccine ("minute") surveys are versions of one module each.
const MODULES: &str = include_str!("modules.csv");

/// From a question to its module, and to what concepts are called.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    /// By module, version of a module, question or answer: the module.
    of: BTreeMap<i64, i64>,
    names: BTreeMap<i64, String>,
}

/// Concepts of the PPI vocabulary, and what lies above them.
#[derive(Default)]
struct Ppi {
    concepts: BTreeSet<i64>,
    /// Child and parent.
    parents: BTreeSet<(i64, i64)>,
    /// Descendant and module.
    above: BTreeSet<(i64, i64)>,
    /// Standard concepts that questions and answers map to.
    standard: BTreeSet<i64>,
}

impl Modules {
    /// Modules that are known by their concept, and the questions below them: by the relation "PPI parent
    /// code of" of the vocabulary, and where that says nothing by its ancestors. Without a vocabulary
    /// there are modules but neither questions nor their names.
    ///
    /// # Errors
    /// When a table of the vocabulary cannot be read.
    pub fn read(vocabulary: Option<&SiteExtract>) -> Result<Self, Error> {
        let mut modules = Self::default();
        for line in MODULES.lines().skip(1) {
            let mut cells = line.splitn(3, ',');
            let mut id = || cells.next().and_then(|cell| cell.parse::<i64>().ok());
            let (Some(survey), Some(module)) = (id(), id()) else { continue };
            modules.of.insert(survey, module);
            if let Some(name) = cells.next().filter(|name| !name.is_empty()) {
                modules.names.insert(survey, name.to_owned());
            }
        }
        if let Some(vocabulary) = vocabulary {
            let mut ppi = Ppi::default();
            modules.concepts(vocabulary, &mut ppi)?;
            modules.relations(vocabulary, &mut ppi)?;
            modules.ancestors(vocabulary, &mut ppi)?;
            modules.place(&ppi);
            modules.standard_names(vocabulary, &ppi)?;
        }
        Ok(modules)
    }

    /// The module of a question, of a version of a survey, or of a module itself.
    pub fn of(&self, concept: i64) -> Option<i64> {
        self.of.get(&concept).copied()
    }

    /// What a concept is called in the vocabulary; `None` for concepts that are neither of surveys nor
    /// units.
    pub fn name(&self, concept: i64) -> Option<&str> {
        self.names.get(&concept).map(String::as_str)
    }

    /// Names of the PPI concepts, of units and of physical measurements; the modules among them.
    fn concepts(&mut self, vocabulary: &SiteExtract, ppi: &mut Ppi) -> Result<(), Error> {
        let names = ["concept_id", "concept_name", "vocabulary_id", "concept_class_id"];
        for path in vocabulary.files("concept") {
            each_batch(&path, &names, &Keyring::default(), |batch| {
                let [Some(ids), Some(words), Some(vocabularies), Some(classes)] =
                    names.map(|n| batch.column_by_name(n))
                else {
                    return;
                };
                let ids = ids.as_primitive::<Int64Type>();
                let [words, vocabularies, classes] =
                    [words, vocabularies, classes].map(|c| c.as_string::<i32>());
                for row in (0..ids.len()).filter(|&row| ids.is_valid(row)) {
                    let (id, of) = (ids.value(row), text(vocabularies, row));
                    if of == "PPI" {
                        ppi.concepts.insert(id);
                        if text(classes, row) == "Module" {
                            self.of.entry(id).or_insert(id);
                        }
                    }
                    let named = of == "PPI" || of == "UCUM" || self.of.contains_key(&id);
                    if (named || MEASURES.contains(&id)) && !text(words, row).is_empty() {
                        self.names.insert(id, text(words, row).to_owned());
                    }
                }
            })?;
        }
        Ok(())
    }

    fn relations(&self, vocabulary: &SiteExtract, ppi: &mut Ppi) -> Result<(), Error> {
        let names = ["concept_id_1", "concept_id_2", "relationship_id"];
        for path in vocabulary.files("concept_relationship") {
            each_batch(&path, &names, &Keyring::default(), |batch| {
                let [Some(from), Some(to), Some(relations)] =
                    names.map(|n| batch.column_by_name(n))
                else {
                    return;
                };
                let [from, to] = [from, to].map(|c| c.as_primitive::<Int64Type>());
                let relations = relations.as_string::<i32>();
                for row in 0..batch.num_rows() {
                    let (from, to) = (from.value(row), to.value(row));
                    match text(relations, row) {
                        "Has PPI parent code" => drop(ppi.parents.insert((from, to))),
                        "PPI parent code of" => drop(ppi.parents.insert((to, from))),
                        "Maps to" | "Maps to value" if ppi.concepts.contains(&from) => {
                            ppi.standard.insert(to);
                        }
                        _ => {}
                    }
                }
            })?;
        }
        Ok(())
    }

    fn ancestors(&self, vocabulary: &SiteExtract, ppi: &mut Ppi) -> Result<(), Error> {
        let names = ["ancestor_concept_id", "descendant_concept_id"];
        for path in vocabulary.files("concept_ancestor") {
            each_batch(&path, &names, &Keyring::default(), |batch| {
                let [Some(above), Some(below)] = names.map(|n| batch.column_by_name(n)) else {
                    return;
                };
                let [above, below] = [above, below].map(|c| c.as_primitive::<Int64Type>());
                for (above, below) in above.iter().zip(below).filter_map(|(a, b)| a.zip(b)) {
                    if let Some(module) = self.of(above) {
                        ppi.above.insert((below, module));
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Gives every concept below a module its module, level by level; of two at the same distance the
    /// lesser. Answers that all modules share ("skip") get one too, but are no questions.
    fn place(&mut self, ppi: &Ppi) {
        loop {
            let mut found: BTreeMap<i64, i64> = BTreeMap::new();
            for (child, parent) in &ppi.parents {
                if let Some(module) = self.of(*parent).filter(|_| !self.of.contains_key(child)) {
                    let least = found.entry(*child).or_insert(module);
                    *least = module.min(*least);
                }
            }
            if found.is_empty() {
                break;
            }
            self.of.extend(found);
        }
        for &(below, module) in &ppi.above {
            self.of.entry(below).or_insert(module);
        }
    }

    fn standard_names(&mut self, vocabulary: &SiteExtract, ppi: &Ppi) -> Result<(), Error> {
        let names = ["concept_id", "concept_name"];
        for path in vocabulary.files("concept") {
            each_batch(&path, &names, &Keyring::default(), |batch| {
                let [Some(ids), Some(words)] = names.map(|n| batch.column_by_name(n)) else {
                    return;
                };
                let (ids, words) = (ids.as_primitive::<Int64Type>(), words.as_string::<i32>());
                for row in (0..ids.len()).filter(|&row| ids.is_valid(row)) {
                    let id = ids.value(row);
                    if ppi.standard.contains(&id) && !text(words, row).is_empty() {
                        self.names.entry(id).or_insert_with(|| text(words, row).to_owned());
                    }
                }
            })?;
        }
        Ok(())
    }
}

fn text(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}
