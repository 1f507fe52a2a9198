//! The ground every stage stands on: the query session, the Parquet writer, the row ledger and the
//! terms on which a stage runs. Knows nothing of genomes, records or tiers.

pub mod job;
pub mod keys;
pub mod ledger;
mod memory;
pub mod output;
pub mod parquet;
pub mod partition;
pub mod seal;
pub mod session;
pub mod spill;

pub use job::{Cancelled, Job, Progress};
pub use keys::KeySet;
pub use ledger::{Ledger, TableLedger};
pub use output::StageOutput;
pub use parquet::{FileEntry, FileTags, TableFile, UnlistedTable};
pub use seal::{FileKey, Keyring, RestKey};
