//! What a stage hands back to the pipeline.

use serde::{Deserialize, Serialize};

use super::{FileEntry, Ledger};

/// The result of a stage: its books and its files, in an order that does not depend on threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutput {
    /// One account a table.
    pub ledger: Ledger,
    /// Release files written, sorted by path.
    pub files: Vec<FileEntry>,
}
