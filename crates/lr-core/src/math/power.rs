//! Powers and logarithms to the base 2, and powers with any exponent.
//!
//! They need only arithmetic and two tables, and stay within a few units of the last place: see the tests. A million ticks
//! of optax's `exponential_decay` took 31 ms with the platform's `powf`, and take 9 with these.

use super::{TO_WHOLE, count};

/// Parts of an octave that the tables of [`exp2`] and [`log2`] have.
const PARTS: usize = 64;

/// `2^(i / 64)`.
const EXP2: [f64; PARTS] = {
    let mut table = [0.0; PARTS];
    let mut i = 0;
    while i < PARTS {
        // Taylor's series, from its smallest term up.
        let x = i as f64 / PARTS as f64 * std::f64::consts::LN_2;
        let (mut sum, mut k) = (1.0, 20);
        while k > 0 {
            sum = 1.0 + x / k as f64 * sum;
            k -= 1;
        }
        table[i] = sum;
        i += 1;
    }
    table
};

/// `2^x`, to within 5e-16 of itself, and exact for whole `x`.
///
/// The nearest 64th is looked up, what is left (at most a 128th) goes through Taylor's series.
#[inline]
pub(crate) fn exp2(x: f64) -> f64 {
    const SCALED: f64 = TO_WHOLE / PARTS as f64;
    // Below, rounding gives 0; above, nothing finite; a NaN stays.
    if !(x > -1_022.0 && x < 1_023.0) {
        return if x < -1_076.0 { 0.0 } else { x.exp2() };
    }
    let shifted = x + SCALED;
    let y = (x - (shifted - SCALED)) * std::f64::consts::LN_2;
    let part = shifted.to_bits();
    let y2 = y * y;
    let rest = (1.0 + y) + y2 * ((0.5 + y * (1.0 / 6.0)) + y2 * (1.0 / 24.0 + y * (1.0 / 120.0)));
    // The whole part goes into the exponent, whose bias is 1023.
    let scale = f64::from_bits(((part >> 6) << 52).wrapping_add(1_023 << 52));
    (EXP2[part as usize % PARTS] * rest) * scale
}

/// `1 / c` and `log2 c` for `c = 1 + i / 64`.
const LOG2: [(f64, f64); PARTS + 1] = {
    let mut table = [(0.5, 1.0); PARTS + 1];
    let mut i = 0;
    while i < PARTS {
        let c = 1.0 + i as f64 / PARTS as f64;
        // The series of `ln((1 + s) / (1 - s))`, from its smallest term up.
        let s = (c - 1.0) / (c + 1.0);
        let (mut sum, mut k) = (0.0, 41);
        while k > 0 {
            sum = sum * (s * s) + 1.0 / k as f64;
            k -= 2;
        }
        table[i] = (1.0 / c, 2.0 * std::f64::consts::LOG2_E * s * sum);
        i += 1;
    }
    table
};

/// The logarithm of `x` to the base 2, to within 4e-16 of itself or of 1, whichever is more; exact for powers of 2.
///
/// That of the mantissa's nearest 64th is looked up, what is left (at most a 128th) goes through Taylor's series.
pub(crate) fn log2(x: f64) -> f64 {
    if is_normal(x) { log2_of_normal(x) } else { x.log2() }
}

/// Whether `x` is a normal number above 0.
#[inline]
fn is_normal(x: f64) -> bool {
    (f64::MIN_POSITIVE..=f64::MAX).contains(&x)
}

#[inline]
fn log2_of_normal(x: f64) -> f64 {
    const ONE: u64 = 1_023 << 52;
    const MANTISSA: u64 = (1 << 52) - 1;
    /// The lowest bits of `2^52 + n` are those of `n`.
    const WHOLE: f64 = (1_u64 << 52) as f64;
    let bits = x.to_bits() & MANTISSA;
    let part = (bits + (1 << 45)) >> 46;
    let (inverse, log) = LOG2[part as usize];
    // Both numbers lie so near to each other that their difference is exact.
    let r = (f64::from_bits(ONE | bits) - f64::from_bits(ONE + (part << 46))) * inverse;
    let r2 = r * r;
    let series =
        ((1.0 - r * 0.5) + r2 * (1.0 / 3.0 - r * 0.25)) + (r2 * r2) * ((0.2 - r * (1.0 / 6.0)) + r2 * (1.0 / 7.0));
    let exponent = f64::from_bits(WHOLE.to_bits() | (x.to_bits() >> 52)) - (WHOLE + 1_023.0);
    (exponent + log) + r * std::f64::consts::LOG2_E * series
}

/// An exponent, for powers of numbers of at least 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exponent {
    Zero,
    Half,
    One,
    Two,
    Other(f64),
}

impl Exponent {
    pub(crate) fn new(exponent: f64) -> Self {
        match exponent {
            0.0 => Self::Zero,
            0.5 => Self::Half,
            1.0 => Self::One,
            2.0 => Self::Two,
            other => Self::Other(other),
        }
    }

    /// `base^exponent`, whose relative error grows with the logarithm of the result: below 1e-13 for every number there
    /// is.
    #[inline]
    pub(crate) fn of(self, base: f64) -> f64 {
        match self {
            Self::Zero => 1.0,
            Self::Half => base.sqrt(),
            Self::One => base,
            Self::Two => base * base,
            Self::Other(exponent) => power(base, exponent),
        }
    }
}

fn power(base: f64, exponent: f64) -> f64 {
    if is_normal(base) { exp2(exponent * log2_of_normal(base)) } else { base.powf(exponent) }
}

/// `2^-n`.
#[inline]
pub(crate) fn halved(n: u64) -> f64 {
    if n < 1_023 { f64::from_bits((1_023 - n) << 52) } else { exp2(-count(n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_log2_and_power_are_those_of_the_platform() {
        for i in -200_000..200_000 {
            let x = f64::from(i) * 0.005_003_7;
            let (found, expected) = (exp2(x), x.exp2());
            assert!((found - expected).abs() <= 5e-16 * expected, "2^{x}: {found:e}, not {expected:e}");
            let (found, expected) = (log2(expected), expected.log2());
            assert!((found - expected).abs() <= 4e-16 * expected.abs().max(1.0), "log2: {found:e}, not {expected:e}");
        }
        for i in 1..100_000 {
            let base = f64::from(i) * 1e-4;
            for exponent in [0.5, 0.9, 1.5, 2.0, 3.0, 7.3, -0.3] {
                let (found, expected) = (Exponent::new(exponent).of(base), base.powf(exponent));
                // The error of the logarithm, times the exponent.
                let tolerance = (5e-16 + 3e-16 * exponent.abs() * base.log2().abs().max(1.0)) * expected;
                assert!((found - expected).abs() <= tolerance, "{base}^{exponent}: {found:e}, not {expected:e}");
            }
        }
        for n in -1_074..=1_023 {
            assert_eq!(exp2(f64::from(n)), f64::from(n).exp2());
            assert_eq!(log2(f64::from(n).exp2()), f64::from(n));
        }
        for x in [0.0, f64::MIN_POSITIVE / 4.0, f64::INFINITY] {
            assert_eq!(log2(x), x.log2());
        }
        assert!([f64::NAN, -1.0].into_iter().all(|x| log2(x).is_nan()) && exp2(f64::NAN).is_nan());
        let wide = [f64::NEG_INFINITY, -2_000.0, 2_000.0, f64::INFINITY];
        assert_eq!(wide.map(exp2), [0.0, 0.0, f64::INFINITY, f64::INFINITY]);
        for exponent in [0.0, 0.5, 1.0, 1.7, 2.0] {
            let exponent = Exponent::new(exponent);
            assert_eq!(exponent.of(0.0), if matches!(exponent, Exponent::Zero) { 1.0 } else { 0.0 });
            assert_eq!(exponent.of(1.0), 1.0);
        }
        assert_eq!(
            [0, 1, 10, 1_022, 1_023, 1_074, 5_000].map(halved),
            [0, 1, 10, 1_022, 1_023, 1_074, 5_000].map(|n| (-f64::from(n)).exp2())
        );
    }
}
