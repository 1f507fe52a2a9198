//! Reference blocks of a chromosome as changes of state, in order of position.

use super::values::{Levels, UNSTATED};
use crate::genotype::shard::keep::{Block, NO_STATE};

/// From `pos` on the sample has this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// 1-based position.
    pub pos: i32,
    /// Ordinal of the sample.
    pub sample: u32,
    /// State.
    pub state: u8,
    /// GQ and DP of the block.
    pub levels: Levels,
}

/// Joins blocks that touch and have the same state. Give it blocks in order of their start.
#[derive(Debug, Default)]
pub struct Coverage {
    /// By sample: last position, state and values of the block at hand.
    open: Vec<(i32, u8, Levels)>,
    waiting: Vec<Change>,
}

impl Coverage {
    /// Adds a block. Where it overlaps the one before, it has its way from its start on.
    pub fn add(&mut self, block: &Block) {
        let sample = block.sample as usize;
        if self.open.len() <= sample {
            self.open.resize(sample + 1, (0, NO_STATE, UNSTATED));
        }
        let (end, state, before) = self.open[sample];
        let Block { start: pos, sample: number, levels, .. } = *block;
        let change = Change { pos, sample: number, state: block.state, levels };
        if state != NO_STATE {
            if block.state == state && pos <= end.saturating_add(1) {
                if levels != before {
                    self.waiting.push(change);
                }
                self.open[sample] = (end.max(block.end), state, levels);
                return;
            }
            let stop = pos.min(end.saturating_add(1));
            self.waiting.push(Change { pos: stop, state: NO_STATE, levels: UNSTATED, ..change });
        }
        if block.state != NO_STATE {
            self.waiting.push(change);
        }
        self.open[sample] = (block.end, block.state, levels);
    }

    /// Takes the changes up to `pos`. All blocks that begin there or before must have been added.
    pub fn until(&mut self, pos: i32) -> Vec<Change> {
        for (sample, (end, state, _)) in (0u32..).zip(&mut self.open) {
            if *state != NO_STATE && *end < pos {
                *state = NO_STATE;
                let change = Change { pos: *end + 1, sample, state: NO_STATE, levels: UNSTATED };
                self.waiting.push(change);
            }
        }
        if self.waiting.is_empty() {
            return Vec::new();
        }
        // Stable: changes of one sample at one place are in their order.
        self.waiting.sort_by_key(|c| (c.pos, c.sample));
        let ready = self.waiting.partition_point(|c| c.pos <= pos);
        self.waiting.drain(..ready).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What blocks say of one position.
    fn naive(blocks: &[Block], sample: u32, pos: i32) -> u8 {
        let (mut end, mut state) = (0, NO_STATE);
        for b in blocks.iter().filter(|b| b.sample == sample && b.start <= pos) {
            let longer = b.state == state && b.start <= end + 1;
            (end, state) = (if longer { end.max(b.end) } else { b.end }, b.state);
        }
        if pos <= end { state } else { NO_STATE }
    }

    proptest! {
        #[test]
        fn changes_say_what_blocks_say(
            parts in prop::collection::vec((0i32..6, 0i32..9, 0u8..3, 0u32..3), 0..40),
            asks in prop::collection::vec(1i32..12, 0..30),
        ) {
            let mut coverage = Coverage::default();
            let (mut start, mut at) = (1, 0);
            let mut asks = asks.into_iter();
            let (mut got, mut blocks) = (Vec::new(), Vec::new());
            for (gap, length, state, sample) in parts {
                start += gap;
                let levels = UNSTATED;
                let block = Block { segment: 0, start, end: start + length, sample, state, levels };
                coverage.add(&block);
                blocks.push(block);
                if let Some(step) = asks.next() {
                    // Only what lies before the start of any later block may be asked for.
                    let pos = (at + step).min(start - 1);
                    if pos > at {
                        at = pos;
                        got.extend(coverage.until(at));
                        prop_assert!(got.last().is_none_or(|c| c.pos <= at));
                    }
                }
            }
            got.extend(coverage.until(i32::MAX));
            prop_assert!(got.is_sorted_by_key(|c| c.pos));
            let mut state = [0u8; 3];
            let mut changes = got.iter().peekable();
            for pos in 0..500 {
                while let Some(c) = changes.next_if(|c| c.pos <= pos) {
                    state[c.sample as usize] = c.state;
                }
                prop_assert_eq!(state, [0, 1, 2].map(|s| naive(&blocks, s, pos)), "at {}", pos);
            }
        }
    }
}
