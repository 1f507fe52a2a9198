//! The standardised vocabulary as an index: ancestors, mappings, concept sets.
//!
//! [`Vocabulary::open`] reads the typed vocabulary tables once into numbered columns: 81 million ancestor
//! pairs take 0.35 GB. On it stand concept sets ([`ConceptSets`], [`Vocabulary::resolve`]), the report of
//! codes without a standard concept ([`unmapped()`]) and the report of what changed between two versions
//! of the vocabulary ([`drift()`]).

mod ancestry;
mod circe;
mod drift;
mod error;
mod facts;
mod folder;
mod ids;
mod index;
mod lint;
mod pairs;
mod resolve;
mod scan;
mod set;
mod unmapped;
mod usage;

pub use drift::{Drift, DriftRequest, SetDrift, drift};
pub use error::Error;
pub use facts::{Concept, Standard, Validity};
pub use folder::typed_folder;
pub use ids::{IdIndex, IdSet};
pub use index::{Load, Notes, Vocabulary, concept_names, version};
pub use lint::{Finding, Problem};
pub use pairs::Relation;
pub use resolve::{Resolution, ResolvedSet};
pub use set::{CodeList, ConceptSet, ConceptSets, Item};
pub use unmapped::{FieldCoverage, MAX_TEXT, Unmapped, UnmappedRequest, unmapped};
pub use usage::concepts_in_use;

/// `name` in `folder`; a report's folder may be the root itself.
fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
