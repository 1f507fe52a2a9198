//! Who is who: keys, research ids, row ids, date shifts, the roster and the sample map.

use serde::{Deserialize, Serialize};

/// A participant as the raw feeds name them. Never leaves the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub i64);

impl std::fmt::Debug for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonId(…)")
    }
}

/// A participant as a tier names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResearchId(pub i64);
