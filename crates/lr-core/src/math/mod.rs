//! The few formulas that several strategies share, made to cost a few nanoseconds.
//!
//! The cosine, the powers and the logarithm are this crate's own: they need only arithmetic, which makes them faster than
//! the platform's.

mod power;

use std::sync::Arc;

pub(crate) use power::{Exponent, exp2, halved, log2};

/// `base * factor`, held at the largest finite number where a growing factor leaves f64's range.
#[inline]
pub(crate) fn scaled(base: f64, factor: f64) -> f64 {
    // Capping the factor first keeps `0 * inf` from becoming NaN.
    capped(base * capped(factor))
}

/// The largest finite number instead of infinity. Unlike `min`, it lets NaN through, for the scheduler to see.
#[inline]
pub(crate) fn capped(number: f64) -> f64 {
    if number > f64::MAX { f64::MAX } else { number }
}

/// [`scaled`] for several groups.
#[inline]
pub(crate) fn scale_all(base_lrs: &[f64], factor: f64, rates: &mut [f64]) {
    for (rate, base_lr) in rates.iter_mut().zip(base_lrs) {
        *rate = scaled(*base_lr, factor);
    }
}

/// `cos(pi u)` for `u` from 0 to 1, to within 4e-16.
#[inline]
pub(crate) fn cos_pi(u: f64) -> f64 {
    // Folded to an eighth of a turn, where short Taylor series are exact to the last bit or two.
    if u <= 0.25 {
        cos_series(u)
    } else if u < 0.75 {
        sin_series(0.5 - u)
    } else {
        -cos_series(1.0 - u)
    }
}

/// Taylor's coefficients `(-1)^k / (2k)!`.
const COS: [f64; 9] = [
    1.0,
    -1.0 / 2.0,
    1.0 / 24.0,
    -1.0 / 720.0,
    1.0 / 40_320.0,
    -1.0 / 3_628_800.0,
    1.0 / 479_001_600.0,
    -1.0 / 87_178_291_200.0,
    1.0 / 20_922_789_888_000.0,
];

/// Taylor's coefficients `(-1)^k / (2k + 1)!`.
const SIN: [f64; 9] = [
    1.0,
    -1.0 / 6.0,
    1.0 / 120.0,
    -1.0 / 5_040.0,
    1.0 / 362_880.0,
    -1.0 / 39_916_800.0,
    1.0 / 6_227_020_800.0,
    -1.0 / 1_307_674_368_000.0,
    1.0 / 355_687_428_096_000.0,
];

#[inline]
fn cos_series(u: f64) -> f64 {
    let x = std::f64::consts::PI * u;
    polynomial(&COS, x * x)
}

#[inline]
fn sin_series(u: f64) -> f64 {
    let x = std::f64::consts::PI * u;
    x * polynomial(&SIN, x * x)
}

/// Estrin's scheme: the halves are independent, so they overlap in the processor, which Horner's would not.
#[inline]
fn polynomial(c: &[f64; 9], y: f64) -> f64 {
    let (y2, y4) = (y * y, (y * y) * (y * y));
    let low = (c[0] + c[1] * y) + (c[2] + c[3] * y) * y2;
    let high = (c[4] + c[5] * y) + (c[6] + c[7] * y) * y2;
    low + (high + c[8] * y4) * y4
}

/// The weight of the start at the part `u` of half a cosine: 1 at 0, 1/2 at 1/2, 0 at 1.
#[inline]
pub(crate) fn cosine_weight(u: f64) -> f64 {
    0.5 * (1.0 + cos_pi(u))
}

/// `start` at `u = 0`, `end` at `u = 1`, along half a cosine.
#[inline]
pub(crate) fn cosine_between(start: f64, end: f64, u: f64) -> f64 {
    weighted(start, end, cosine_weight(u))
}

/// `start` with weight `w`, `end` with the rest.
#[inline]
pub(crate) fn weighted(start: f64, end: f64, w: f64) -> f64 {
    end + (start - end) * w
}

/// `start` at `u = 0`, `end` at `u = 1`, along a line; exact at both ends.
#[inline]
pub(crate) fn linear_between(start: f64, end: f64, u: f64) -> f64 {
    if u >= 1.0 { end } else { start + (end - start) * u }
}

/// `part / whole`.
#[inline]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    count(part) / count(whole)
}

/// A count as a number.
///
/// Unsigned on purpose, though an `i64` is converted by a single instruction of x86-64: that one leaves half of its register
/// as it was, and so waits for whatever was computed there last, which in a row of steps is the rate of the step before.
/// That made 21 ns of 9.
#[inline]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

/// Division of counts by one and the same count. A processor takes many times longer to divide than to multiply, so
/// this multiplies by `2^64 / by`, rounded up: exact as long as both counts are below 2^32 (Granlund and Montgomery,
/// "Division by Invariant Integers using Multiplication", 1994); larger ones are divided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Divisor {
    by: u64,
    /// 0 where it is no use.
    reciprocal: u64,
}

impl Divisor {
    /// Division by `by`; 0 counts as 1.
    pub(crate) fn new(by: u64) -> Self {
        let by = by.max(1);
        let reciprocal = if by > 1 && u32::try_from(by).is_ok() { u64::MAX / by + 1 } else { 0 };
        Self { by, reciprocal }
    }

    pub(crate) fn get(self) -> u64 {
        self.by
    }

    /// `count / by`, rounded down.
    #[inline]
    pub(crate) fn of(self, count: u64) -> u64 {
        if self.reciprocal != 0 && u32::try_from(count).is_ok() {
            ((u128::from(count) * u128::from(self.reciprocal)) >> 64) as u64
        } else {
            count / self.by
        }
    }

    /// `count / by` and what is left.
    #[inline]
    pub(crate) fn with_rest(self, count: u64) -> (u64, u64) {
        let whole = self.of(count);
        (whole, count - whole * self.by)
    }
}

/// How many of `times`, which do not decrease, are not after `tick`.
#[inline]
pub(crate) fn reached(times: &[u64], tick: u64) -> usize {
    // A walk along a handful is foreseen by the processor, a search is not.
    const HANDFUL: usize = 8;
    if times.len() <= HANDFUL {
        times.iter().take_while(|time| **time <= tick).count()
    } else {
        times.partition_point(|time| *time <= tick)
    }
}

/// Adding and taking away this number, 1.5 * 2^52, rounds to the nearest whole number; in between, that number stands in
/// the lowest bits.
const TO_WHOLE: f64 = 6_755_399_441_055_744.0;

/// `|x - n|` for the even number `n` that is nearest to `x >= 0`: where `x` is in a wave that repeats every 2, from 0
/// to 1.
#[inline]
pub(crate) fn folded(x: f64) -> f64 {
    const EXACT: f64 = (1_u64 << 50) as f64;
    if x <= 1.0 {
        x
    } else if x < EXACT {
        (x - 2.0 * ((x * 0.5 + TO_WHOLE) - TO_WHOLE)).abs()
    } else {
        let u = x % 2.0;
        if u > 1.0 { 2.0 - u } else { u }
    }
}

/// The fraction of `x >= 0`.
#[inline]
pub(crate) fn fraction(x: f64) -> f64 {
    const EXACT: f64 = (1_u64 << 50) as f64;
    // The conversion to a whole number is one instruction; `trunc` is a call on processors before SSE 4.1.
    if x < EXACT { x - count(x as i64 as u64) } else { x.fract() }
}

/// The smaller and the larger of two.
#[inline]
pub(crate) fn ordered(a: f64, b: f64) -> (f64, f64) {
    (a.min(b), a.max(b))
}

/// Bits of the exponent that one level of [`Powers`] takes.
const LEVEL_BITS: u32 = 6;
const LEVEL: usize = 1 << LEVEL_BITS;
const LEVELS: u32 = 5;

/// Whole powers of one base from a table: `base^n` is the product of one entry per six bits of `n`, so it costs a few
/// multiplications, each entry being exact to the last bit. Exponents of 2^30 and more are left to `powf`.
#[derive(Clone)]
pub(crate) struct Powers {
    base: f64,
    table: Arc<[f64]>,
}

impl std::fmt::Debug for Powers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Powers").field(&self.base).finish()
    }
}

impl Powers {
    /// The powers of `base`, which must not be negative.
    pub(crate) fn new(base: f64) -> Self {
        let entry = |level: u32, digit: usize| base.powf((digit as u64 * (1 << (level * LEVEL_BITS))) as f64);
        let table = (0..LEVELS).flat_map(|level| (0..LEVEL).map(move |digit| entry(level, digit))).collect();
        Self { base, table }
    }

    /// `base^exponent`.
    #[inline]
    pub(crate) fn of(&self, exponent: u64) -> f64 {
        if exponent < LEVEL as u64 {
            return self.table[exponent as usize];
        }
        if exponent >> (LEVELS * LEVEL_BITS) != 0 {
            return self.base.powf(exponent as f64);
        }
        let (mut left, mut product) = (exponent as usize, 1.0);
        for level in self.table.chunks_exact(LEVEL) {
            product *= level[left % LEVEL];
            left >>= LEVEL_BITS;
            if left == 0 {
                break;
            }
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_is_the_cosine() {
        for i in 0..=100_000 {
            let u = f64::from(i) / 100_000.0;
            let expected = (std::f64::consts::PI * u).cos();
            assert!((cos_pi(u) - expected).abs() < 4e-16, "cos(pi {u}): {:e} off", cos_pi(u) - expected);
        }
        assert_eq!([0.0, 0.5, 1.0].map(cos_pi), [1.0, 0.0, -1.0]);
    }

    #[test]
    fn divisions_are_divisions() {
        let counts = (0..300).chain((0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        let counts: Vec<u64> = counts.chain([u64::MAX - 1, u64::MAX]).collect();
        for by in counts.iter().copied().filter(|by| *by > 0) {
            let divisor = Divisor::new(by);
            for count in counts
                .iter()
                .flat_map(|count| [*count, count.saturating_mul(by), count.wrapping_mul(by).wrapping_sub(1)])
            {
                assert_eq!(divisor.with_rest(count), (count / by, count % by), "{count} / {by}");
            }
        }
    }

    #[test]
    fn folds_and_fractions_are_exact() {
        for i in 0..100_000_u32 {
            let x = f64::from(i) * 0.001_7;
            assert_eq!(fraction(x), x.fract());
            let rest = x % 2.0;
            assert_eq!(folded(x), if rest > 1.0 { 2.0 - rest } else { rest });
        }
        assert_eq!([1e15, 1e15 + 1.0, 1e300].map(folded), [0.0, 1.0, 0.0]);
        assert_eq!([1e15 + 0.5, 1e300].map(fraction), [0.5, 0.0]);
    }

    #[test]
    fn as_many_are_reached_as_have_come() {
        for count in 0..20_u64 {
            let times: Vec<u64> = (0..count).map(|i| 10 * (i / 2)).collect();
            for tick in 0..120 {
                assert_eq!(reached(&times, tick), times.iter().filter(|time| **time <= tick).count());
            }
        }
    }

    #[test]
    fn powers_are_powers() {
        for base in [0.0, 1e-3, 0.5, 0.9999, 1.0, 1.0001, 3.0] {
            let powers = Powers::new(base);
            for exponent in (0..200).chain([4_095, 4_096, 262_144, 999_999, 1 << 29, 1 << 30, u64::MAX]) {
                let expected = base.powf(exponent as f64);
                let found = powers.of(exponent);
                assert!(
                    found == expected || ((found - expected) / expected).abs() < 1e-15,
                    "{base}^{exponent}: {found:e}, not {expected:e}"
                );
            }
        }
    }
}
