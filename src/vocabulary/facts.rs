//! What CONCEPT says of each concept, in columns: 15 bytes a concept. Codes and names stay in the file.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type};

use super::ids::IdIndex;
use super::scan::{ints, text, texts};
use super::{Error, Notes};

/// The columns read, in the order of [`Facts::add`].
pub(super) const COLUMNS: [(&str, DataType); 8] = [
    ("concept_id", DataType::Int64),
    ("domain_id", DataType::Utf8),
    ("vocabulary_id", DataType::Utf8),
    ("concept_class_id", DataType::Utf8),
    ("standard_concept", DataType::Utf8),
    ("invalid_reason", DataType::Utf8),
    ("valid_start_date", DataType::Date32),
    ("valid_end_date", DataType::Date32),
];

/// Whether a concept is for use in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// `S`: the concept of an entity in records.
    Standard,
    /// `C`: a class above standard concepts.
    Classification,
    /// Null: a source concept.
    No,
}

impl Standard {
    /// As CONCEPT writes it.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Standard => Some("S"),
            Self::Classification => Some("C"),
            Self::No => None,
        }
    }
}

/// Whether a concept is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Validity {
    /// `invalid_reason` is null.
    Valid,
    /// `D`: deleted.
    Deleted,
    /// `U`: replaced by another.
    Updated,
    /// Any other reason.
    Other,
}

impl Validity {
    /// As CONCEPT writes it; `?` for reasons it does not define.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Valid => None,
            Self::Deleted => Some("D"),
            Self::Updated => Some("U"),
            Self::Other => Some("?"),
        }
    }

    pub(super) fn of(text: Option<&str>) -> Self {
        match text {
            None => Self::Valid,
            Some("D" | "d") => Self::Deleted,
            Some("U" | "u") => Self::Updated,
            Some(_) => Self::Other,
        }
    }
}

/// What CONCEPT says of a concept. Dates are days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concept<'a> {
    /// `concept_id`.
    pub id: i64,
    /// `domain_id`, e.g. `Condition`.
    pub domain: &'a str,
    /// `vocabulary_id`, e.g. `SNOMED`.
    pub vocabulary: &'a str,
    /// `concept_class_id`, e.g. `Ingredient`.
    pub class: &'a str,
    /// `standard_concept`.
    pub standard: Standard,
    /// `invalid_reason`.
    pub validity: Validity,
    /// `valid_start_date`.
    pub valid_start: Option<i32>,
    /// `valid_end_date`.
    pub valid_end: Option<i32>,
}

/// Words by number; number 0 is the empty one.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl Words {
    fn new() -> Self {
        Self { words: vec![String::new()], numbers: HashMap::new() }
    }

    fn number(&mut self, word: Option<&str>) -> Result<u16, Error> {
        let Some(word) = word else { return Ok(0) };
        if let Some(&number) = self.numbers.get(word) {
            return Ok(number);
        }
        let number =
            u16::try_from(self.words.len()).map_err(|_| Error::TooMany { table: "concept" })?;
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        Ok(number)
    }

    fn word(&self, number: u16) -> &str {
        &self.words[number as usize]
    }
}

const KNOWN: u8 = 1;
const NO_DATE: i32 = i32::MIN;

/// The facts, by number of the concept.
#[derive(Debug)]
pub(super) struct Facts {
    /// Bit 0: the concept is in CONCEPT; bits 1-2 [`Standard`]; bits 3-4 [`Validity`].
    flags: Vec<u8>,
    domain: Vec<u16>,
    vocabulary: Vec<u16>,
    class: Vec<u16>,
    valid: Vec<(i32, i32)>,
    domains: Words,
    vocabularies: Words,
    classes: Words,
}

impl Facts {
    /// Bytes a concept.
    pub const BYTES: u64 = 15;

    pub fn new(concepts: usize) -> Self {
        Self {
            flags: vec![0; concepts],
            domain: vec![0; concepts],
            vocabulary: vec![0; concepts],
            class: vec![0; concepts],
            valid: vec![(NO_DATE, NO_DATE); concepts],
            domains: Words::new(),
            vocabularies: Words::new(),
            classes: Words::new(),
        }
    }

    /// Adds a batch of CONCEPT with [`COLUMNS`]. Of two rows of one concept the first counts.
    pub fn add(
        &mut self,
        batch: &[ArrayRef],
        ids: &IdIndex,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let id = ints(&batch[0]);
        let [domain, vocabulary, class] = [1, 2, 3].map(|i| texts(&batch[i]));
        let [standard, invalid] = [4, 5].map(|i| texts(&batch[i]));
        let [start, end] = [6, 7].map(|i| batch[i].as_primitive::<Date32Type>());
        for row in 0..id.len() {
            if id.is_null(row) {
                notes.null_rows += 1;
                continue;
            }
            let n =
                ids.number(id.value(row)).ok_or_else(|| Error::Torn { table: "concept" })? as usize;
            if self.flags[n] & KNOWN != 0 {
                notes.duplicate_concepts += 1;
                continue;
            }
            notes.concepts += 1;
            self.flags[n] = flags(text(standard, row), text(invalid, row));
            self.domain[n] = self.domains.number(text(domain, row))?;
            self.vocabulary[n] = self.vocabularies.number(text(vocabulary, row))?;
            self.class[n] = self.classes.number(text(class, row))?;
            let [start, end] =
                [start, end].map(|d| if d.is_valid(row) { d.value(row) } else { NO_DATE });
            self.valid[n] = (start, end);
        }
        Ok(())
    }

    pub fn known(&self, number: u32) -> bool {
        self.flags[number as usize] & KNOWN != 0
    }

    pub fn valid(&self, number: u32) -> bool {
        validity(self.flags[number as usize]) == Validity::Valid
    }

    pub fn concept(&self, number: u32, id: i64) -> Option<Concept<'_>> {
        let n = number as usize;
        let flags = self.flags[n];
        let date = |days: i32| (days != NO_DATE).then_some(days);
        (flags & KNOWN != 0).then(|| Concept {
            id,
            domain: self.domains.word(self.domain[n]),
            vocabulary: self.vocabularies.word(self.vocabulary[n]),
            class: self.classes.word(self.class[n]),
            standard: match flags >> 1 & 3 {
                0 => Standard::No,
                1 => Standard::Standard,
                _ => Standard::Classification,
            },
            validity: validity(flags),
            valid_start: date(self.valid[n].0),
            valid_end: date(self.valid[n].1),
        })
    }
}

fn flags(standard: Option<&str>, invalid: Option<&str>) -> u8 {
    let standard = match standard {
        Some("S" | "s") => 1,
        Some("C" | "c") => 2,
        _ => 0,
    };
    let validity = match Validity::of(invalid) {
        Validity::Valid => 0,
        Validity::Deleted => 1,
        Validity::Updated => 2,
        Validity::Other => 3,
    };
    KNOWN | standard << 1 | validity << 3
}

fn validity(flags: u8) -> Validity {
    match flags >> 3 & 3 {
        0 => Validity::Valid,
        1 => Validity::Deleted,
        2 => Validity::Updated,
        _ => Validity::Other,
    }
}
