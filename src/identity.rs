//! Who is who: keys, research ids, row ids, date shifts, the roster and the sample map.
//!
//! One root key derives one key per purpose ([`key`]). The process that writes the Controlled tier is
//! given [`ControlledKeys`], which hold no shift key; the one that writes the Registered tier is given
//! [`RegisteredKeys`]. Raw ids ([`PersonId`]) never leave a run: their `Debug` shows nothing.

use serde::{Deserialize, Serialize};

pub mod error;
pub mod key;
pub mod link;
pub mod map;
pub mod people;
pub mod roster;
pub mod row_key;
pub mod samples;
mod sheet;
mod shift_map;
pub mod unshift;

pub use error::Error;
pub use key::{AuditKey, ControlledKeys, DisclosureKey, IdScope, Key, RegisteredKeys, ShiftMode};
pub use link::{CallsetLinks, LinkedSample, Unmapped};
pub use map::{IdentityMap, ResearchIds};
pub use people::{ExcludedPerson, Exclusion, TierPeople, TierPerson};
pub use roster::{Roster, Standing};
pub use row_key::{RowKey, RowKeys, TextKey};
pub use samples::{AgeTable, AncestryTable, PcTable, SampleMap, SampleSex, SexTable, read_list};
pub use shift_map::shift_map;
pub use unshift::{Unshift, Unshifted};

/// A participant as the raw feeds name them. Never leaves the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub i64);

impl std::fmt::Debug for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonId(…)")
    }
}

/// A participant as a tier names them: 1..=2^63-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResearchId(pub i64);
