//! The terms on which a stage runs: where it writes, how much it may use, whom it tells.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Keyring;

/// Hears how far a stage has come. Implementations must be cheap: hot loops call them per shard.
pub trait Progress: Send + Sync {
    /// Adds to the amount of work expected (in the stage's own unit, usually bytes).
    fn expect(&self, units: u64);
    /// Adds to the amount of work done.
    fn advance(&self, units: u64);
}

/// A [`Progress`] that nobody listens to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn expect(&self, _: u64) {}
    fn advance(&self, _: u64) {}
}

/// The terms on which a stage runs. Never changes what a stage writes, only how fast.
#[derive(Clone)]
pub struct Job {
    /// Root below which the stage writes its files, at their release-relative paths.
    pub out: PathBuf,
    /// Scratch folder of this stage for spill files; emptied by the pipeline.
    pub scratch: PathBuf,
    /// Number of worker threads, at least 1.
    pub threads: usize,
    /// Memory the stage may use, in bytes.
    pub memory: u64,
    /// Opens sealed tables of earlier stages.
    pub keyring: Keyring,
    /// Hears of progress.
    pub progress: Arc<dyn Progress>,
    /// Set when the user asked the run to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Job {
    /// A quiet job for tests and library users: `threads` workers, 1 GiB.
    pub fn quiet(out: impl Into<PathBuf>, threads: usize) -> Self {
        let out = out.into();
        let scratch = out.join(".scratch");
        Self {
            out,
            scratch,
            threads: threads.max(1),
            memory: 1 << 30,
            keyring: Keyring::default(),
            progress: Arc::new(Silent),
            cancel: Arc::new(AtomicBool::new(false)),
        }
    }

    /// How many pieces of work of so many bytes memory has room for at a time: at least one, at most one a
    /// thread.
    pub fn workers(&self, bytes: u64) -> usize {
        let room = usize::try_from(self.memory / bytes.max(1)).unwrap_or(usize::MAX);
        room.clamp(1, self.threads.max(1))
    }

    /// Fails once the user has asked the run to stop. Call it per shard or batch.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }
}

/// The run was asked to stop (SIGINT or SIGTERM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Cancelled;
