//! The vocabulary in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arrow::array::Array;
use arrow::datatypes::DataType;

use super::ancestry::{self, Ancestry};
use super::facts::{self, Concept, Facts};
use super::ids::{IdIndex, IdSet};
use super::pairs::{self, Pairs, Relation, each_valid};
use super::scan::{Scan, ints, rows, text, texts};
use super::{Error, scan};
use crate::engine::Job;
use crate::omop::SiteExtract;

/// Which parts of a vocabulary to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// CONCEPT_ANCESTOR: 4 bytes a pair.
    pub ancestors: bool,
    /// The relations of [`Relation`]: 8 bytes a row, 16 for `Maps to`.
    pub relations: bool,
}

impl Load {
    /// Everything.
    pub const ALL: Self = Self { ancestors: true, relations: true };
    /// Only what CONCEPT says.
    pub const FACTS: Self = Self { ancestors: false, relations: false };
}

/// What was read, and what was left out of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notes {
    /// Concepts.
    pub concepts: u64,
    /// Rows of CONCEPT with an id that an earlier row has; the first counts.
    pub duplicate_concepts: u64,
    /// Ids in CONCEPT_ANCESTOR or CONCEPT_RELATIONSHIP that CONCEPT lacks.
    pub unknown_ids: u64,
    /// Distinct ancestor pairs.
    pub ancestor_pairs: u64,
    /// Repeats of ancestor pairs.
    pub duplicate_pairs: u64,
    /// Distinct pairs of the relations held.
    pub relations: u64,
    /// Rows without a concept id that they need.
    pub null_rows: u64,
}

/// A version of the standardised vocabulary: concepts, ancestors, mappings.
///
/// 8 million concepts, 81 million ancestor pairs and 10 million mappings take some 0.75 GB; codes and names
/// stay in their file and are looked up there.
#[derive(Debug)]
pub struct Vocabulary {
    pub(super) ids: IdIndex,
    pub(super) facts: Facts,
    pub(super) ancestry: Ancestry,
    relations: [Pairs; Relation::ALL.len()],
    /// `Maps to`, the other way round.
    pub(super) sources: Pairs,
    pub(super) concept_files: Vec<PathBuf>,
    version: Option<String>,
    versions: BTreeMap<String, String>,
    notes: Notes,
}

impl Vocabulary {
    /// Reads the typed tables `concept`, `concept_ancestor`, `concept_relationship` and `vocabulary` of
    /// `site`. All but `concept` may be absent.
    ///
    /// # Errors
    /// When there is no `concept`, a file cannot be read, or the index would not fit into `job.memory`.
    pub fn open(site: &SiteExtract, job: &Job) -> Result<Self, Error> {
        Self::open_parts(site, Load::ALL, job)
    }

    /// Reads only the parts named; what is left out answers as if it were empty.
    ///
    /// # Errors
    /// As [`Vocabulary::open`].
    pub fn open_parts(site: &SiteExtract, load: Load, job: &Job) -> Result<Self, Error> {
        let of = |wanted: bool, table| if wanted { site.files(table) } else { Vec::new() };
        let concept_files = site.files("concept");
        if concept_files.is_empty() {
            return Err(Error::NoTable { table: "concept" });
        }
        let tables = Tables {
            concept: concept_files,
            ancestor: of(load.ancestors, "concept_ancestor"),
            relationship: of(load.relations, "concept_relationship"),
            job,
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(job.threads).build();
        // Without threads of its own the work is done on this one.
        match pool {
            Ok(pool) => pool.install(|| tables.read(versions(site, job)?)),
            Err(_) => tables.read(versions(site, job)?),
        }
    }

    /// Version of the whole, e.g. `v5.0 30-AUG-24`: that of the vocabulary `None` in VOCABULARY.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Version of each vocabulary that states one, by `vocabulary_id`.
    pub fn versions(&self) -> &BTreeMap<String, String> {
        &self.versions
    }

    /// What was read and what was left out.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Bytes the index takes.
    pub fn bytes(&self) -> u64 {
        let relations: u64 = self.relations.iter().map(Pairs::bytes).sum();
        let facts = Facts::BYTES * self.ids.len() as u64;
        self.ids.bytes() + facts + self.ancestry.bytes() + relations + self.sources.bytes()
    }

    /// What CONCEPT says of `id`; None when it has no such row.
    pub fn concept(&self, id: i64) -> Option<Concept<'_>> {
        self.facts.concept(self.ids.number(id)?, id)
    }

    /// All concepts of CONCEPT, by number.
    pub fn concepts(&self) -> impl Iterator<Item = Concept<'_>> {
        // Concepts are fewer than 2^32.
        (0..self.ids.len() as u32).filter_map(|n| self.facts.concept(n, self.ids.id(n)))
    }

    /// The descendants of `id` by CONCEPT_ANCESTOR, itself among them if the table says so; in no
    /// particular order.
    pub fn descendants(&self, id: i64) -> impl Iterator<Item = i64> + '_ {
        let rows = self.ids.number(id).map_or(&[][..], |n| self.ancestry.of(n));
        rows.iter().map(|&n| self.ids.id(n))
    }

    /// Whether CONCEPT_ANCESTOR has the pair; of a concept and itself, always.
    pub fn is_a(&self, id: i64, ancestor: i64) -> bool {
        let numbers = || Some((self.ids.number(id)?, self.ids.number(ancestor)?));
        id == ancestor
            || numbers().is_some_and(|(n, a)| self.ancestry.of(a).binary_search(&n).is_ok())
    }

    /// Where a valid `relation` leads from `id`, in no particular order.
    pub fn related(&self, id: i64, relation: Relation) -> impl Iterator<Item = i64> + '_ {
        let pairs = &self.relations[relation as usize];
        let number = self.ids.number(id);
        number.into_iter().flat_map(|n| pairs.of(n)).map(|n| self.ids.id(n))
    }

    /// The concepts that `Maps to` leads from to `id`, in no particular order.
    pub fn sources(&self, id: i64) -> impl Iterator<Item = i64> + '_ {
        self.ids.number(id).into_iter().flat_map(|n| self.sources.of(n)).map(|n| self.ids.id(n))
    }

    /// The concepts with each of `codes`, pairs of `vocabulary_id` and `concept_code`; one pass over
    /// CONCEPT. Codes that no concept has are absent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_codes(
        &self,
        codes: &BTreeSet<(String, String)>,
        job: &Job,
    ) -> Result<BTreeMap<(String, String), Vec<i64>>, Error> {
        let mut found: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
        if codes.is_empty() {
            return Ok(found);
        }
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (vocabulary, code) in codes {
            wanted.entry(vocabulary).or_default().insert(code);
        }
        let columns = [
            ("concept_id", DataType::Int64),
            ("vocabulary_id", DataType::Utf8),
            ("concept_code", DataType::Utf8),
        ];
        let scan = Scan { table: "concept", files: &self.concept_files, columns: &columns };
        scan.each(job, |batch| {
            let (id, vocabulary, code) = (ints(&batch[0]), texts(&batch[1]), texts(&batch[2]));
            for row in 0..id.len() {
                let words = text(vocabulary, row).zip(text(code, row));
                let Some((vocabulary, code)) = words else { continue };
                if id.is_valid(row) && wanted.get(vocabulary).is_some_and(|w| w.contains(code)) {
                    let key = (vocabulary.to_owned(), code.to_owned());
                    found.entry(key).or_default().push(id.value(row));
                }
            }
            Ok(())
        })?;
        for ids in found.values_mut() {
            ids.sort_unstable();
            ids.dedup();
        }
        Ok(found)
    }

    /// Code and name of the concepts `wanted`; one pass over CONCEPT.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn names(
        &self,
        wanted: &IdSet,
        job: &Job,
    ) -> Result<BTreeMap<i64, (String, String)>, Error> {
        concept_names(&self.concept_files, wanted, job)
    }

    pub(super) fn pairs(&self, relation: Relation) -> &Pairs {
        &self.relations[relation as usize]
    }
}

/// Code and name of the concepts `wanted` in the files of a `concept` table.
///
/// # Errors
/// When a file cannot be read.
pub fn concept_names(
    files: &[PathBuf],
    wanted: &IdSet,
    job: &Job,
) -> Result<BTreeMap<i64, (String, String)>, Error> {
    let columns = [
        ("concept_id", DataType::Int64),
        ("concept_code", DataType::Utf8),
        ("concept_name", DataType::Utf8),
    ];
    let mut names = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(names);
    }
    Scan { table: "concept", files, columns: &columns }.each(job, |batch| {
        let (id, code, name) = (ints(&batch[0]), texts(&batch[1]), texts(&batch[2]));
        for row in (0..id.len()).filter(|&row| id.is_valid(row) && wanted.contains(id.value(row))) {
            let word = |column| text(column, row).unwrap_or_default().to_owned();
            names.entry(id.value(row)).or_insert_with(|| (word(code), word(name)));
        }
        Ok(())
    })?;
    Ok(names)
}

/// Version of the vocabulary of `site`, without opening it.
///
/// # Errors
/// When the `vocabulary` table cannot be read.
pub fn version(site: &SiteExtract, job: &Job) -> Result<Option<String>, Error> {
    Ok(versions(site, job)?.remove(WHOLE))
}

/// `vocabulary_id` of the row that states the version of the whole.
const WHOLE: &str = "None";

fn versions(site: &SiteExtract, job: &Job) -> Result<BTreeMap<String, String>, Error> {
    let columns = [("vocabulary_id", DataType::Utf8), ("vocabulary_version", DataType::Utf8)];
    let mut versions = BTreeMap::new();
    let files = site.files("vocabulary");
    Scan { table: "vocabulary", files: &files, columns: &columns }.each(job, |batch| {
        let (id, version) = (texts(&batch[0]), texts(&batch[1]));
        for row in 0..id.len() {
            if let Some((id, version)) = text(id, row).zip(text(version, row)) {
                versions.entry(id.to_owned()).or_insert_with(|| version.to_owned());
            }
        }
        Ok(())
    })?;
    Ok(versions)
}

/// The files of a vocabulary.
struct Tables<'a> {
    concept: Vec<PathBuf>,
    ancestor: Vec<PathBuf>,
    relationship: Vec<PathBuf>,
    job: &'a Job,
}

impl Tables<'_> {
    fn concepts(&self) -> Scan<'_> {
        Scan { table: "concept", files: &self.concept, columns: &facts::COLUMNS }
    }

    fn ancestors(&self) -> Scan<'_> {
        Scan { table: "concept_ancestor", files: &self.ancestor, columns: &ancestry::COLUMNS }
    }

    fn relationships(&self) -> Scan<'_> {
        let columns = &pairs::COLUMNS;
        Scan { table: "concept_relationship", files: &self.relationship, columns }
    }

    fn read(self, mut versions: BTreeMap<String, String>) -> Result<Vocabulary, Error> {
        let job = self.job;
        let ids = self.ids()?.number().ok_or(Error::TooMany { table: "concept" })?;
        let mut notes = Notes::default();
        let mut facts = Facts::new(ids.len());
        self.concepts().each(job, |batch| facts.add(batch, &ids, &mut notes))?;
        notes.unknown_ids = ids.len() as u64 - notes.concepts;
        let relations = self.relations(&ids, &mut notes)?;
        let sources = relations[Relation::MapsTo as usize].reversed();
        let mut vocabulary = Vocabulary {
            version: versions.remove(WHOLE),
            versions,
            ids,
            facts,
            ancestry: Ancestry::default(),
            relations,
            sources,
            concept_files: Vec::new(),
            notes: Notes::default(),
        };
        self.check_memory(&vocabulary)?;
        vocabulary.ancestry = Ancestry::read(&self.ancestors(), &vocabulary.ids, job, &mut notes)?;
        vocabulary.notes = notes;
        vocabulary.concept_files = self.concept;
        Ok(vocabulary)
    }

    /// Fails when the ancestors beside what `vocabulary` has so far would not fit.
    fn check_memory(&self, vocabulary: &Vocabulary) -> Result<(), Error> {
        let pairs = scan::rows(&self.ancestor)?;
        let need = vocabulary.bytes() + (pairs + vocabulary.ids.len() as u64) * 4;
        if need <= self.job.memory {
            return Ok(());
        }
        Err(Error::Memory { need_mib: need.div_ceil(1 << 20), memory_mib: self.job.memory >> 20 })
    }

    /// Every id of the three tables.
    fn ids(&self) -> Result<IdSet, Error> {
        let mut ids = IdSet::default();
        let columns = &facts::COLUMNS[..1];
        Scan { columns, ..self.concepts() }.each(self.job, |batch| {
            ids.insert_all(ints(&batch[0]));
            Ok(())
        })?;
        let ancestors = self.ancestors().fold(
            self.job,
            IdSet::default,
            |ids, batch| {
                batch.iter().for_each(|column| ids.insert_all(ints(column)));
                Ok(())
            },
            |mut a, b| {
                a.union(&b);
                a
            },
        )?;
        ids.union(&ancestors);
        drop(ancestors);
        self.relationships().each(self.job, |batch| {
            each_valid(batch, |_, from, to| {
                ids.insert(from);
                ids.insert(to);
            });
            Ok(())
        })?;
        Ok(ids)
    }

    fn relations(
        &self,
        ids: &IdIndex,
        notes: &mut Notes,
    ) -> Result<[Pairs; Relation::ALL.len()], Error> {
        let mut relations = Relation::ALL.map(|_| Vec::new());
        self.relationships().each(self.job, |batch| {
            let mut torn = false;
            notes.null_rows += each_valid(batch, |relation, from, to| {
                match ids.number(from).zip(ids.number(to)) {
                    Some(pair) => relations[relation as usize].push(pair),
                    None => torn = true,
                }
            });
            if torn { Err(Error::Torn { table: "concept_relationship" }) } else { Ok(()) }
        })?;
        let relations = relations.map(Pairs::new);
        notes.relations = relations.iter().map(|r| r.len() as u64).sum();
        Ok(relations)
    }
}

/// Rows of a table by the footers of its files.
pub(super) fn table_rows(site: &SiteExtract, table: &str) -> Result<u64, Error> {
    rows(&site.files(table))
}
