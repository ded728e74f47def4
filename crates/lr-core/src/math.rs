//! The few formulas that several strategies share.
//!
//! The cosine is this crate's own: it is exact at the quarters of a turn and needs only arithmetic, so that it gives the
//! same bits on every platform.

use std::sync::Arc;

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
#[inline]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

/// How many of `times`, which do not decrease, are not after `tick`.
#[inline]
pub(crate) fn reached(times: &[u64], tick: u64) -> usize {
    times.partition_point(|time| *time <= tick)
}

/// `|x - n|` for the even number `n` that is nearest to `x >= 0`: where `x` is in a wave that repeats every 2, from 0
/// to 1.
#[inline]
pub(crate) fn folded(x: f64) -> f64 {
    if x <= 1.0 {
        return x;
    }
    let u = x % 2.0;
    if u > 1.0 { 2.0 - u } else { u }
}

/// The smaller and the larger of two.
#[inline]
pub(crate) fn ordered(a: f64, b: f64) -> (f64, f64) {
    (a.min(b), a.max(b))
}

/// `base^exponent` for `base >= 0`; exact where the exponent is 0 or 1, correctly rounded for squares and square roots.
#[inline]
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    match exponent {
        0.0 => 1.0,
        0.5 => base.sqrt(),
        1.0 => base,
        2.0 => base * base,
        _ => base.powf(exponent),
    }
}

/// The bounds of a schedule that starts at `base_lr` and multiplies by `gamma` without end.
pub(crate) fn decay_bounds(base_lr: f64, gamma: f64) -> Option<(f64, f64)> {
    (gamma <= 1.0).then(|| if gamma == 1.0 { (base_lr, base_lr) } else { ordered(0.0, base_lr) })
}

/// Bits of the exponent that one level of [`Powers`] takes.
const LEVEL_BITS: u32 = 6;
const LEVEL: usize = 1 << LEVEL_BITS;
const LEVELS: u32 = 5;

/// Whole powers of one base from a table, for what decays at every tick: `base^n` is the product of one entry per six bits
/// of `n`, a few multiplications in place of a `powf` for each group. Exponents of 2^30 and more are left to `powf`.
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
