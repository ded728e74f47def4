//! `gelu(x) = x Phi(x)` with the normal distribution function `Phi`, exactly (not by `tanh`), and its gradient.

use std::mem::MaybeUninit;

use super::exp::exp;
use super::memory::filled;
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// One thread's part.
const PART: usize = 1 << 13;

/// `Phi(-a) / phi(a)` (Mills' ratio) is `t (c0 + c1 t + ...)` with `t = 1 / (1 + a / 4.76...)`: fitted for `0 <= a <= 14` to a
/// relative error of 2e-8.
const T: f32 = 0.21;
const TERMS: [f32; 9] = [
    0.209_833_82,
    0.213_235_85,
    0.173_440_08,
    0.313_005_66,
    -0.235_426_93,
    0.875_806_4,
    -0.827_812_3,
    0.710_846_3,
    -0.179_614_78,
];
/// `1 / sqrt(2 pi)`.
const DENSITY_AT_0: f32 = 0.398_942_3;

/// `Phi(x)` and the density `phi(x)`.
#[inline(always)]
fn normal<V: Vector>(x: f32) -> (f32, f32) {
    let density = DENSITY_AT_0 * exp::<V>(-0.5 * x * x);
    let t = 1.0 / V::fused(T, x.abs(), 1.0);
    let mut sum = TERMS[8];
    for term in [TERMS[7], TERMS[6], TERMS[5], TERMS[4], TERMS[3], TERMS[2], TERMS[1], TERMS[0]] {
        sum = V::fused(sum, t, term);
    }
    let beyond = sum * t * density;
    (if x > 0.0 { 1.0 - beyond } else { beyond }, density)
}

#[inline(always)]
fn value<V: Vector>(x: f32) -> f32 {
    let y = x * normal::<V>(x).0;
    // 0 times infinity; torch gives 0 here too, and infinity at infinity.
    if x < -13.0 { -0.0 } else { y }
}

#[inline(always)]
fn slope<V: Vector>(x: f32) -> f32 {
    let (below, density) = normal::<V>(x);
    let slope = V::fused(x, density, below);
    let slope = if x < -13.0 { 0.0 } else { slope };
    if x > 13.0 { 1.0 } else { slope }
}

/// `gelu` of each number.
pub(crate) fn forward(set: InstructionSet, x: &[f32]) -> Vec<f32> {
    filled(x.len(), |out| {
        let parts = x.chunks(PART).zip(out.chunks_mut(PART));
        share(parts, x.len() >= 2 * PART, |(x, out)| set.run(Forward { x, out }));
    })
}

/// `grad[i] *= gelu'(x[i])`.
pub(crate) fn backward(set: InstructionSet, x: &[f32], grad: &mut [f32]) {
    assert_eq!(x.len(), grad.len());
    let parts = x.chunks(PART).zip(grad.chunks_mut(PART));
    share(parts, x.len() >= 2 * PART, |(x, grad)| set.run(Backward { x, grad }));
}

struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            out.write(value::<V>(x));
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    grad: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for (grad, &x) in self.grad.iter_mut().zip(self.x) {
            *grad *= slope::<V>(x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_torch() {
        let x = [f32::NEG_INFINITY, -1e20, -0.0, 0.0, 1e20, f32::INFINITY, f32::NAN];
        for set in InstructionSet::available() {
            let y = forward(set, &x);
            assert_eq!(y[..6], [0.0, 0.0, 0.0, 0.0, 1e20, f32::INFINITY], "{set}");
            assert!(y[6].is_nan());
            let mut slopes = [1.0; 7];
            backward(set, &x, &mut slopes);
            assert_eq!([slopes[0], slopes[1], slopes[4], slopes[5]], [0.0, 0.0, 1.0, 1.0], "{set}");
            assert!((slopes[2] - 0.5).abs() < 1e-6 && (slopes[3] - 0.5).abs() < 1e-6 && slopes[6].is_nan(), "{set}");
        }
    }
}
