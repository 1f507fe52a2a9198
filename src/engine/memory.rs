//! The memory that queries share: what can spill leaves room for what cannot.

use std::fmt::{self, Display};
use std::sync::Mutex;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// Part of the memory that greedy operators never get, as 1 in so many.
const HEADROOM: usize = 8;

/// Part of what greedy operators share that sorts leave to merges, as 1 in so many.
const MERGES: usize = 4;

/// A pool that divides its memory evenly among greedy operators of a kind and keeps one part in
/// [`HEADROOM`] for the others.
///
/// Greedy are a sort, which fills all it may before it spills, and the merge of its spilled files,
/// which reads as many at a time as it may. The merge of the sorted partitions is neither and can do
/// with no less than it asks for; in DataFusion's `FairSpillPool` it may find nothing left.
#[derive(Debug)]
pub struct SharedPool {
    size: usize,
    state: Mutex<State>,
}

/// What an operator does with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Fills memory, then spills.
    Sort,
    /// Merges spilled files, as many as it has room for.
    Merge,
    /// Needs what it asks for.
    Other,
}

impl Kind {
    fn of(consumer: &MemoryConsumer) -> Self {
        if consumer.can_spill() {
            Self::Sort
        } else if consumer.name().starts_with("ExternalSorterMerge") {
            Self::Merge
        } else {
            Self::Other
        }
    }
}

/// By [`Kind`].
#[derive(Debug, Default)]
struct State {
    consumers: [usize; 3],
    used: [usize; 3],
}

impl State {
    fn total(&self) -> usize {
        self.used.iter().sum()
    }

    /// Bytes that a reservation may grow by.
    fn free(&self, size: usize, reservation: &MemoryReservation) -> usize {
        let kind = Kind::of(reservation.consumer());
        let rest = size.saturating_sub(self.total());
        if kind == Kind::Other {
            return rest;
        }
        let kept = (size / HEADROOM).saturating_sub(self.used[Kind::Other as usize]);
        let shared = size.saturating_sub(kept + self.used[Kind::Other as usize]);
        // Sorts that fill everything would leave nothing to the merge of one that is done first.
        let merges = if kind == Kind::Sort { shared / MERGES } else { 0 };
        let share = (shared - merges) / self.consumers[kind as usize].max(1);
        let kept = kept + merges.saturating_sub(self.used[Kind::Merge as usize]);
        rest.saturating_sub(kept).min(share.saturating_sub(reservation.size()))
    }
}

impl SharedPool {
    /// A pool of `size` bytes.
    pub fn new(size: usize) -> Self {
        Self { size, state: Mutex::default() }
    }

    fn used(&self, of: &MemoryReservation, change: impl FnOnce(&mut usize)) {
        self.with(|s| change(&mut s.used[Kind::of(of.consumer()) as usize]));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared(pool_size: {})", self.size)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.with(|s| s.consumers[Kind::of(consumer) as usize] += 1);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.with(|s| s.consumers[Kind::of(consumer) as usize] -= 1);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used(reservation, |used| *used += additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used(reservation, |used| *used -= shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.with(|s| {
            let free = s.free(self.size, reservation);
            if additional > free {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "{} asks for {additional} bytes; {free} of {} are left to it",
                    reservation.consumer().name(),
                    self.size
                )));
            }
            s.used[Kind::of(reservation.consumer()) as usize] += additional;
            Ok(())
        })
    }

    fn reserved(&self) -> usize {
        self.with(|s| s.total())
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_cannot_spill_finds_room_next_to_full_sorts() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(800));
        let sort = |name| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (a, b) = (sort("a"), sort("b"));
        assert!(a.try_grow(263).is_err());
        assert!(a.try_grow(262).is_ok() && b.try_grow(262).is_ok());
        let files = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool);
        assert!(files.try_grow(177).is_err());
        assert!(files.try_grow(176).is_ok());
        let merge = MemoryConsumer::new("SortPreservingMergeExec[0]").register(&pool);
        assert!(merge.try_grow(100).is_ok());
        assert!(merge.try_grow(1).is_err());
        drop(a);
        assert!(merge.try_grow(262).is_ok());
        assert_eq!(pool.reserved(), 800);
        assert!(b.try_grow(1).is_err());
        drop((b, files, merge));
        assert_eq!(pool.reserved(), 0);
    }
}
