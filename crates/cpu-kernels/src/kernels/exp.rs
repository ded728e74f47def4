//! `e^x`, and sums and greatest values of rows, in a form that compilers turn into registers.

use super::vector::Vector;

/// Added to a number of moderate size, it leaves the nearest whole number in the last bits: `1.5 * 2^23`.
const ROUND: f32 = 12_582_912.0;
/// `ln 2` in two parts: the first has so few bits that its product with a whole number is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// The terms from `r^2` on of `e^r` for `|r| <= ln(2) / 2`, fitted to a relative error of 3e-9.
const TERMS: [f32; 5] = [0.499_999_93, 0.166_665_2, 0.041_668_39, 0.008_368_718, 0.001_381_461];
/// Below this a result would have fewer bits than others; what is smaller gives `e^-87`, 1.6e-38.
const LEAST: f32 = -87.0;
const MOST: f32 = 88.0;

/// `e^x`: `2^n e^r` with the whole number `n` nearest to `x / ln 2`. NaN for NaN.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: f32) -> f32 {
    // Not `clamp`: a comparison with NaN must leave NaN.
    let bounded = if x < LEAST { LEAST } else { x };
    let bounded = if bounded > MOST { MOST } else { bounded };
    let shifted = V::fused(bounded, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = V::fused(n, -LN_2[1], V::fused(n, -LN_2[0], bounded));
    let mut sum = TERMS[4];
    for term in [TERMS[3], TERMS[2], TERMS[1], TERMS[0]] {
        sum = V::fused(sum, r, term);
    }
    let power = V::fused(V::fused(sum, r, 1.0), r, 1.0);
    let scaled = f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x.is_nan() { x } else { scaled }
}

/// Sums are taken in so many lanes, whatever the register.
pub(crate) const LANES: usize = 32;

/// The sum of `f` over a slice.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += f(x);
    }
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    total(lanes)
}

/// The sum of `f` over pairs of two slices of one length.
#[inline(always)]
pub(crate) fn sum_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    debug_assert_eq!(x.len(), y.len());
    let mut lanes = [0.0; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for ((lane, &x), &y) in lanes.iter_mut().zip(x.remainder()).zip(y.remainder()) {
        *lane += f(x, y);
    }
    for (x, y) in x.zip(y) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(x, y);
        }
    }
    total(lanes)
}

/// The greatest number of a slice; NaN is passed over.
#[inline(always)]
pub(crate) fn greatest(x: &[f32]) -> f32 {
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = greater(*lane, x);
    }
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, x);
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, greater)
}

/// Lanes are added as a tree: half of them to the other half, until one is left.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::super::set::{InstructionSet, Kernel};
    use super::*;

    struct All<'a>(&'a [f32]);

    impl Kernel for All<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<V: Vector>(self) -> Vec<f32> {
            self.0.iter().map(|&x| exp::<V>(x)).collect()
        }
    }

    #[test]
    fn the_error_is_below_three_units_in_the_last_place() {
        // Miri is slow.
        let each = if cfg!(miri) { 997 } else { 1 };
        let x: Vec<f32> = (-870_000..=880_000).step_by(each).map(|i| i as f32 * 1e-4).collect();
        for set in InstructionSet::available() {
            for (&x, found) in x.iter().zip(set.run(All(&x))) {
                let expected = f64::from(x).exp();
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(error < 3.0 * f64::from(f32::EPSILON) / 2.0, "{set}: e^{x} = {expected}, found {found}");
            }
            let ends = set.run(All(&[f32::NEG_INFINITY, -1e9, 0.0, f32::NAN, f32::from_bits(0x7fc0_0001)]));
            assert!(ends[0] > 0.0 && ends[0] < 2e-38 && ends[1] == ends[0], "{set}: {ends:?}");
            assert_eq!(ends[2], 1.0);
            assert!(ends[3].is_nan() && ends[4].is_nan(), "{set}: {ends:?}");
        }
    }
}
