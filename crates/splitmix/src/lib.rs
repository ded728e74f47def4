//! Random numbers that are a function of a key: where a window lies, how an image is flipped, what seeds a step.
//!
//! ```
//! use splitmix::SplitMix64;
//!
//! let (seed, epoch, item) = (42, 3, 17);
//! let drawn = SplitMix64::keyed([seed, epoch, item]).below(10);
//! assert_eq!(drawn, SplitMix64::keyed([seed, epoch, item]).below(10));
//! ```

/// SplitMix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014). Started from a key of
/// several words, what it draws depends on the key alone, not on which thread asks, or in which order.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

/// How far the state goes at each number: the golden ratio, as a part of 2^64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: a bijection on 64 bits in which every input bit reaches every output bit.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl SplitMix64 {
    /// The generator of this seed. Neighbouring seeds come out unrelated.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for this key. Words are folded in one after the other, so their order matters.
    pub fn keyed(key: [u64; 3]) -> Self {
        Self(key.into_iter().fold(0, |state, word| mix(state ^ word).wrapping_add(STEP)))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A whole number in `0..n`, by the high half of a product (biased by less than `n / 2^64`). 0 for `n = 0`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A whole number in `-n..=n`.
    pub fn within(&mut self, n: usize) -> isize {
        self.below(2 * n + 1) as isize - n as isize
    }

    /// A real number in `[0, 1)`.
    pub fn fraction(&mut self) -> f64 {
        // 53 bits are what an f64 holds.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A real number in `[-1, 1)`.
    pub fn symmetric(&mut self) -> f32 {
        // 24 bits are what an f32 holds.
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A normal number of mean 0 and deviation 1, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.fraction(), self.fraction());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// A fair coin.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the authors' own program, `splitmix64.c`, for seed 0.
    #[test]
    fn the_numbers_are_those_of_the_authors() {
        let mut random = SplitMix64::new(0);
        let found = [random.bits(), random.bits(), random.bits()];
        assert_eq!(found, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn keys_that_differ_in_any_word_give_other_numbers() {
        let first = |key| SplitMix64::keyed(key).bits();
        let base = first([1, 2, 3]);
        assert_eq!(base, first([1, 2, 3]));
        for other in [[2, 2, 3], [1, 3, 3], [1, 2, 4], [2, 1, 3], [3, 2, 1]] {
            assert_ne!(base, first(other), "{other:?}");
        }
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut random = SplitMix64::new(1);
        let drawn: Vec<f64> = (0..40_000).map(|_| random.normal()).collect();
        let moment = |power| drawn.iter().map(|x| x.powi(power)).sum::<f64>() / 40_000.0;
        // Five standard deviations of each moment.
        assert!(moment(1).abs() < 0.025 && (moment(2) - 1.0).abs() < 0.036, "{} {}", moment(1), moment(2));
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut counts = [0_usize; 9];
        let mut heads = 0;
        let (mut reals, mut fractions) = (0.0, 0.0);
        for index in 0..90_000 {
            let mut random = SplitMix64::keyed([7, 1, index]);
            counts[(random.within(4) + 4) as usize] += 1;
            heads += usize::from(random.coin());
            let (real, fraction) = (random.symmetric(), random.fraction());
            assert!((-1.0..1.0).contains(&real) && (0.0..1.0).contains(&fraction));
            reals += f64::from(real);
            fractions += fraction;
        }
        // Five standard deviations around the expected count.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
        assert!(heads.abs_diff(45_000) < 750, "{heads}");
        assert!((reals / 90_000.0).abs() < 0.01, "{reals}");
        assert!((fractions / 90_000.0 - 0.5).abs() < 0.005, "{fractions}");
    }
}
