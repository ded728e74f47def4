//! The order of data as a function of (seed, epoch), and the seeded split that holds a validation set out.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// In which order an epoch visits the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As stored; for validation and test sets.
    Sequential,
    /// A fresh permutation in every epoch, the same for the same seed and epoch on every machine.
    Shuffled {
        /// The seed of the run.
        seed: u64,
    },
}

impl Order {
    /// The indices `0..items` in the order of epoch `epoch`.
    ///
    /// ```
    /// use trainer::data::Order;
    /// let shuffled = Order::Shuffled { seed: 1 };
    /// assert_eq!(shuffled.indices(100, 3), shuffled.indices(100, 3));
    /// assert_ne!(shuffled.indices(100, 3), shuffled.indices(100, 4));
    /// assert_eq!(Order::Sequential.indices(3, 7), [0, 1, 2]);
    /// ```
    pub fn indices(self, items: usize, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..items).collect();
        if let Self::Shuffled { seed } = self {
            shuffle(&mut indices, &mut stream(seed, epoch));
        }
        indices
    }
}

/// Splits `0..items` into (kept, held out), where `held_out` is a fraction of at least 0 and below 1, rounded to whole
/// items. Both parts are in ascending order. The split depends on the seed alone.
///
/// ```
/// let (train, valid) = trainer::data::split(10, 0.2, 7);
/// assert_eq!((train.len(), valid.len()), (8, 2));
/// ```
pub fn split(items: usize, held_out: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    // No epoch of any run reaches this stream, so the split shares no randomness with the shuffles.
    const SPLIT: u64 = u64::MAX;
    let mut indices: Vec<usize> = (0..items).collect();
    shuffle(&mut indices, &mut stream(seed, SPLIT));
    let out = ((items as f64 * held_out).round() as usize).min(items);
    let mut valid = indices.split_off(items - out);
    indices.sort_unstable();
    valid.sort_unstable();
    (indices, valid)
}

/// ChaCha8 is specified bit for bit, so the order survives new versions of `rand`.
fn stream(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch);
    rng
}

/// Fisher and Yates, written out so that the order is ours and not that of a library's version.
fn shuffle(indices: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..indices.len()).rev() {
        // The modulo's bias is below 2^-32 for any data set of less than 2^32 items.
        let other = (rng.random::<u64>() % (last as u64 + 1)) as usize;
        indices.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_visits_every_item_once() {
        for epoch in 0..5 {
            let mut seen = Order::Shuffled { seed: 3 }.indices(257, epoch);
            assert_ne!(seen, (0..257).collect::<Vec<_>>());
            seen.sort_unstable();
            assert_eq!(seen, (0..257).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_is_pinned() {
        // A changed order would make old checkpoints resume into other data.
        assert_eq!(Order::Shuffled { seed: 42 }.indices(8, 0), PINNED);
    }
    const PINNED: [usize; 8] = [5, 3, 2, 6, 7, 4, 0, 1];

    #[test]
    fn the_parts_of_a_split_are_disjoint_and_complete() {
        for (items, held_out, expected) in [(1437, 0.1, 144), (10, 0.0, 0), (3, 0.5, 2), (0, 0.3, 0)] {
            let (train, valid) = split(items, held_out, 5);
            assert_eq!(valid.len(), expected, "{items} items, {held_out}");
            let mut all = [train, valid].concat();
            all.sort_unstable();
            assert_eq!(all, (0..items).collect::<Vec<_>>());
        }
        assert_ne!(split(100, 0.2, 1), split(100, 0.2, 2));
    }
}
