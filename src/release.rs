//! Releases: where they live, how one becomes current, how anyone can check one.
//!
//! A reader opens `CURRENT`, then `MANIFEST.json`, never a directory listing. A writer makes everything
//! in `staging/`, and one rename of `CURRENT` is the only moment at which a release begins to exist.

pub mod audit;
mod commit;
mod layout;
mod lock;
mod manifest;
mod verify;

pub use audit::{AuditLog, AuditReport, Signer};
pub use commit::{adopt, commit, sync_names};
pub use layout::{Layout, is_safe_path};
pub use lock::StoreLock;
pub use manifest::{
    Current, IdentityRecord, Input, MANIFEST_SCHEMA, Manifest, MapRecord, StageRecord,
};
pub use verify::{Finding, Verification, digest_of, verify};

use crate::error::{Coded, IoError};

/// A store or release that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Another run holds the store.
    #[error("another run is writing to this store ({holder})")]
    Locked {
        /// What the lock file says of the holder.
        holder: String,
    },
    /// `CURRENT` or a manifest is not what this program writes.
    #[error("{path} is not valid: {why}")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file changed between being written and being committed.
    #[error("{path} is not as it was written; nothing was committed")]
    Changed {
        /// Release-relative path.
        path: String,
    },
    /// The audit log is not as it was written.
    #[error("{place}: {why}; nothing was added to the audit log")]
    AuditBroken {
        /// Line of the log, or the file beside it.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// `CURRENT` names a release that the audit log knows nothing of.
    #[error(
        "CURRENT names {release}, and the audit log knows of no such manifest; nothing was done"
    )]
    UnknownRelease {
        /// The release.
        release: String,
    },
    /// An earlier entry could not be written.
    #[error("{path} could not be written before; nothing more is added to it")]
    AuditFailed {
        /// The log.
        path: String,
    },
    /// There is no release yet.
    #[error("{store} holds no release yet")]
    Empty {
        /// The store folder.
        store: String,
    },
    /// The release named does not exist.
    #[error("there is no release {id} in this store")]
    Unknown {
        /// The id asked for.
        id: String,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Locked { .. } => "release::locked",
            Self::Invalid { .. } => "release::invalid",
            Self::Changed { .. } => "release::changed",
            Self::AuditBroken { .. } => "audit::broken",
            Self::UnknownRelease { .. } => "audit::unknown_release",
            Self::AuditFailed { .. } => "audit::failed",
            Self::Empty { .. } => "release::empty",
            Self::Unknown { .. } => "release::unknown",
        }
    }
    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Locked { .. } => Some(
                "wait for it to end; the lock goes away with its process, however it ends".into(),
            ),
            Self::Changed { .. } => Some("check the disk, then run again".into()),
            Self::Empty { .. } => Some("make one with `strata run WORKFLOW`".into()),
            Self::Invalid { .. } => {
                Some("restore it from a copy, or run the workflow again".into())
            }
            Self::AuditBroken { .. } => Some(
                "find out who changed it (`strata verify STORE --audit`), and restore it from a copy; \
                 move it and audit.checkpoint aside to begin a new log"
                    .into(),
            ),
            Self::UnknownRelease { .. } => Some(
                "its manifest was changed, or it was put there from elsewhere: find out which (`strata verify`). \
                 Restore it from a copy, or remove CURRENT to make a release of which nothing is reused"
                    .into(),
            ),
            Self::AuditFailed { .. } => Some("check the disk, then run again".into()),
            Self::Unknown { .. } => None,
        }
    }
}
