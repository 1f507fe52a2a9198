//! Relations between concepts, as sorted pairs of numbers.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::scan::{ints, text, texts};

/// The columns read of `concept_relationship`.
pub(super) const COLUMNS: [(&str, DataType); 4] = [
    ("concept_id_1", DataType::Int64),
    ("concept_id_2", DataType::Int64),
    ("relationship_id", DataType::Utf8),
    ("invalid_reason", DataType::Utf8),
];

/// A relation that leads from a concept to the one to use instead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// `Maps to`: from a source concept (or itself) to standard ones.
    MapsTo,
    /// `Maps to value`: the value part of an entity that is a question and its answer.
    MapsToValue,
    /// `Concept replaced by`.
    ReplacedBy,
    /// `Concept same_as to`.
    SameAs,
    /// `Concept poss_eq to`.
    PossiblyEquivalent,
    /// `Concept was_a to`.
    WasA,
}

impl Relation {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::MapsTo,
        Self::MapsToValue,
        Self::ReplacedBy,
        Self::SameAs,
        Self::PossiblyEquivalent,
        Self::WasA,
    ];

    /// The `relationship_id`.
    pub fn id(self) -> &'static str {
        match self {
            Self::MapsTo => "Maps to",
            Self::MapsToValue => "Maps to value",
            Self::ReplacedBy => "Concept replaced by",
            Self::SameAs => "Concept same_as to",
            Self::PossiblyEquivalent => "Concept poss_eq to",
            Self::WasA => "Concept was_a to",
        }
    }

    /// The relation with this `relationship_id`.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.id() == id)
    }
}

/// Hands the valid rows of a batch with [`COLUMNS`] and a known relation to `each`. Gives the rows left out
/// because an id is null.
pub(super) fn each_valid(batch: &[ArrayRef], mut each: impl FnMut(Relation, i64, i64)) -> u64 {
    let (from, to) = (ints(&batch[0]), ints(&batch[1]));
    let (relation, invalid) = (texts(&batch[2]), texts(&batch[3]));
    let mut null_rows = 0;
    for row in 0..from.len() {
        let Some(relation) = text(relation, row).and_then(Relation::parse) else { continue };
        if from.is_null(row) || to.is_null(row) {
            null_rows += 1;
        } else if text(invalid, row).is_none() {
            each(relation, from.value(row), to.value(row));
        }
    }
    null_rows
}

/// Pairs, sorted and without repeats: 8 bytes each.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<(u32, u32)>);

impl Pairs {
    pub fn new(mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        pairs.shrink_to_fit();
        Self(pairs)
    }

    /// The same pairs the other way round.
    pub fn reversed(&self) -> Self {
        let mut pairs: Vec<_> = self.0.iter().map(|&(a, b)| (b, a)).collect();
        pairs.sort_unstable();
        Self(pairs)
    }

    /// What `from` leads to, ascending.
    pub fn of(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        let start = self.0.partition_point(|p| p.0 < from);
        self.0[start..].iter().take_while(move |p| p.0 == from).map(|p| p.1)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn bytes(&self) -> u64 {
        self.0.len() as u64 * 8
    }
}
