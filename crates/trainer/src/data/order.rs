//! The order of data as a function of (seed, epoch), and the seeded split that holds a validation set out.

use std::{fmt, sync::Arc};

use lr_core::fnv1a;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// In which order an epoch visits the items.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// As stored; for validation and test sets.
    Sequential,
    /// A fresh permutation in every epoch, the same for the same seed and epoch on every machine.
    Shuffled {
        /// The seed of the run.
        seed: u64,
    },
    /// As many draws as there are items, with replacement, each item as often as its weight says: torch's
    /// `WeightedRandomSampler`. The same draws for the same seed and epoch on every machine.
    Weighted {
        /// The seed of the run.
        seed: u64,
        /// One weight per item.
        weights: Weights,
    },
}

/// The weights of items that are drawn: item `i` with probability `w_i / sum w`.
#[derive(Clone, PartialEq)]
pub struct Weights {
    /// The sum of the weights up to each item.
    sums: Arc<[f64]>,
}

impl Weights {
    /// One weight per item, in any scale.
    ///
    /// # Errors
    /// A weight that is negative or not finite; no weight above 0.
    pub fn new(weights: &[f64]) -> Result<Self, ItemWeightsError> {
        if let Some(item) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(ItemWeightsError::Weight { item, weight: weights[item] });
        }
        let mut sum = 0.0;
        let sums: Arc<[f64]> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        if sum > 0.0 && sum.is_finite() { Ok(Self { sums }) } else { Err(ItemWeightsError::Sum { sum }) }
    }

    /// How many items have a weight.
    pub fn items(&self) -> usize {
        self.sums.len()
    }

    /// The item at a number of at least 0 and below 1: the first whose sum is above that part of the whole.
    fn at(&self, part: f64) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        // Rounding may reach the whole; the last item with a weight is the one that reaches it first.
        let sought = part * total;
        let found = self.sums.partition_point(|sum| *sum <= sought);
        if found < self.sums.len() { found } else { self.sums.partition_point(|sum| *sum < total) }
    }
}

/// Part of a loader's fingerprint: the weights by a checksum.
impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits: Vec<String> = self.sums.iter().map(|sum| format!("{:x} ", sum.to_bits())).collect();
        write!(f, "{} of checksum {:016x}", self.items(), fnv1a(&bits.concat()))
    }
}

/// Items that cannot be drawn by these weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ItemWeightsError {
    /// A weight is negative or not finite.
    #[error("the weight of item {item} is {weight}; allowed are finite numbers of at least 0")]
    Weight {
        /// Which, from 0.
        item: usize,
        /// Its weight.
        weight: f64,
    },
    /// There is nothing to draw.
    #[error("the weights of all items come to {sum}; at least one must be above 0, and their sum finite")]
    Sum {
        /// Their sum.
        sum: f64,
    },
    /// Another number of weights than of items.
    #[error("there are {items} items and {weights} weights; each item needs one")]
    Count {
        /// Items.
        items: usize,
        /// Weights.
        weights: usize,
    },
}

impl Order {
    /// The indices of `items` items in the order of epoch `epoch`; drawn ones are below the number of weights.
    ///
    /// ```
    /// use trainer::data::Order;
    /// let shuffled = Order::Shuffled { seed: 1 };
    /// assert_eq!(shuffled.indices(100, 3), shuffled.indices(100, 3));
    /// assert_ne!(shuffled.indices(100, 3), shuffled.indices(100, 4));
    /// assert_eq!(Order::Sequential.indices(3, 7), [0, 1, 2]);
    /// ```
    pub fn indices(&self, items: usize, epoch: u64) -> Vec<usize> {
        match self {
            Self::Sequential => (0..items).collect(),
            Self::Shuffled { seed } => {
                let mut indices: Vec<usize> = (0..items).collect();
                shuffle(&mut indices, &mut stream(*seed, epoch));
                indices
            }
            Self::Weighted { seed, weights } => {
                let mut rng = stream(*seed, epoch);
                // 53 bits: every number of an f64 in [0, 1) that is a multiple of 2^-53.
                let mut part = || (rng.random::<u64>() >> 11) as f64 / (1_u64 << 53) as f64;
                (0..items).map(|_| weights.at(part())).collect()
            }
        }
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
    fn items_are_drawn_as_often_as_their_weights_say() {
        let weights = Weights::new(&[0.0, 1.0, 3.0, 0.0]).expect("weights");
        let order = Order::Weighted { seed: 3, weights };
        let mut counts = [0_u32; 4];
        for epoch in 0..10 {
            order.indices(1_000, epoch).into_iter().for_each(|item| counts[item] += 1);
        }
        assert_eq!((counts[0], counts[3]), (0, 0));
        // 10,000 draws of 3/4: a deviation of 43 is one sigma.
        assert!((7_300..7_700).contains(&counts[2]), "{counts:?}");
        assert_eq!(order.indices(8, 2), order.clone().indices(8, 2));
        assert_ne!(order.indices(50, 0), order.indices(50, 1));
        assert_eq!(order.indices(8, 0), WEIGHTED, "a changed draw would make old checkpoints resume into other data");
        for (part, item) in [(0.0, 1), (0.2499, 1), (0.25, 2), (1.0 - f64::EPSILON / 2.0, 2), (1.0, 2)] {
            let Order::Weighted { weights, .. } = &order else { unreachable!() };
            assert_eq!(weights.at(part), item, "{part}");
        }
    }
    const WEIGHTED: [usize; 8] = [2, 1, 2, 1, 2, 2, 1, 1];

    #[test]
    fn weights_that_draw_nothing_are_refused() {
        let cases = [
            (&[1.0, -1.0][..], "the weight of item 1 is -1"),
            (&[f64::NAN], "the weight of item 0 is NaN"),
            (&[0.0, 0.0], "come to 0"),
            (&[], "come to 0"),
            (&[f64::MAX, f64::MAX], "come to inf"),
        ];
        for (weights, message) in cases {
            let error = Weights::new(weights).expect_err(message).to_string();
            assert!(error.contains(message), "{error}");
        }
    }

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
