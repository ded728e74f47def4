//! Random numbers that are a function of a key: where a window lies, which token is drawn.

/// SplitMix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014), started from a key of
/// three words, as `vision` has it for augmentation: what is drawn depends on the key alone, not on who asked before.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

/// The finalizer of SplitMix64: a bijection on 64 bits in which every input bit reaches every output bit.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl SplitMix64 {
    /// A generator for this key. Words are folded in one after the other, so their order matters.
    pub(crate) fn keyed(key: [u64; 3]) -> Self {
        Self(key.into_iter().fold(0, |state, word| mix(state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A whole number in `0..n`, by the high half of a product (biased by less than `n / 2^64`). 0 for `n = 0`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A real number in `[0, 1)`.
    pub(crate) fn fraction(&mut self) -> f64 {
        // 53 bits are what an f64 holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_any_word_give_other_numbers() {
        let first = |key| SplitMix64::keyed(key).next();
        let base = first([1, 2, 3]);
        assert_eq!(base, first([1, 2, 3]));
        for other in [[2, 2, 3], [1, 3, 3], [1, 2, 4], [2, 1, 3], [3, 2, 1]] {
            assert_ne!(base, first(other), "{other:?}");
        }
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut counts = [0_usize; 9];
        let mut sum = 0.0;
        for index in 0..90_000 {
            let mut random = SplitMix64::keyed([7, 1, index]);
            counts[random.below(9)] += 1;
            sum += random.fraction();
        }
        // Five standard deviations around the expected count.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
        assert!((sum / 90_000.0 - 0.5).abs() < 0.005, "{sum}");
    }
}
