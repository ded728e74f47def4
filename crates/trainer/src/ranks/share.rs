//! Which batches of a window a rank has.

use std::ops::Range;

use strict_config::ConfigError;

use super::Communicator;
use crate::tree::{Node, Tree};

/// Refuses a setting that ranks cannot share, before any work.
pub(crate) fn check_share(ranks: &dyn Communicator, accumulate: usize) -> Result<(), ConfigError> {
    let size = ranks.size();
    if accumulate.is_multiple_of(size) {
        return Ok(());
    }
    let allowed = format!("a multiple of {size}, the number of processes: each takes as many batches of a step");
    Err(ConfigError::not_allowed("accumulate", accumulate, allowed))
}

/// A window of batches, shared by the ranks: rank `r` has the `r`-th block of neighbours, of equal size but where an
/// epoch's end cuts the window short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Batches of the window.
    batches: usize,
    /// Batches of a block.
    block: usize,
    rank: usize,
    ranks: usize,
}

impl Share {
    /// The share in a window of `batches` batches, of at most `accumulate`.
    pub(crate) fn new(ranks: &dyn Communicator, accumulate: usize, batches: usize) -> Self {
        let (rank, ranks) = (ranks.rank(), ranks.size());
        Self { batches: batches.min(accumulate), block: accumulate.div_ceil(ranks), rank, ranks }
    }

    /// The batches that a rank has, by their number in the window.
    pub(crate) fn of(&self, rank: usize) -> Range<usize> {
        (rank * self.block).min(self.batches)..((rank + 1) * self.block).min(self.batches)
    }

    /// Those of this rank.
    pub(crate) fn own(&self) -> Range<usize> {
        self.of(self.rank)
    }

    /// The number of each rank's batches.
    pub(crate) fn counts(&self) -> Vec<usize> {
        (0..self.ranks).map(|rank| self.of(rank).len()).collect()
    }

    /// The nodes that a rank's batches make, without their sums.
    pub(crate) fn nodes(&self, rank: usize) -> Vec<Node<()>> {
        let mut tree = Tree::default();
        self.of(rank).for_each(|batch| tree.push(Node::leaf(batch, ()), |(), ()| ()));
        tree.into_nodes()
    }

    /// The batches of an epoch that this rank has, from batch `first` on.
    pub(crate) fn of_epoch(ranks: &dyn Communicator, accumulate: usize, first: usize, batches: usize) -> Vec<usize> {
        let windows = (first..batches).step_by(accumulate.max(1));
        let own = |first: usize| {
            let share = Self::new(ranks, accumulate, batches - first).own();
            share.start + first..share.end + first
        };
        windows.flat_map(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_is_somebodys() {
        for (accumulate, ranks) in [(1, 1), (4, 1), (4, 2), (4, 4), (6, 2), (12, 3)] {
            for batches in 1..30 {
                let share = |rank| Share { batches: 0, block: accumulate / ranks, rank, ranks };
                let mut seen: Vec<usize> = Vec::new();
                for first in (0..batches).step_by(accumulate) {
                    for rank in 0..ranks {
                        let share = Share { batches: (batches - first).min(accumulate), ..share(rank) };
                        seen.extend(share.own().map(|batch| batch + first));
                    }
                }
                assert_eq!(seen, (0..batches).collect::<Vec<_>>(), "{accumulate} for {ranks}, {batches} in all");
            }
        }
    }

    #[test]
    fn a_block_of_a_power_of_two_is_one_node() {
        let share = |batches, block| Share { batches, block, rank: 0, ranks: 2 };
        assert_eq!([0, 1].map(|rank| share(8, 4).nodes(rank).len()), [1, 1]);
        assert_eq!([0, 1].map(|rank| share(6, 3).nodes(rank).len()), [2, 2]);
        assert_eq!([0, 1].map(|rank| share(5, 4).nodes(rank).len()), [1, 1]);
        assert_eq!([0, 1].map(|rank| share(3, 4).nodes(rank).len()), [2, 0]);
    }
}
