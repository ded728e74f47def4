//! The sum that closes a residual block, with ReLU in the same pass, and its gradient.

use std::mem::MaybeUninit;

use super::memory::filled;
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// One thread's part.
const PART: usize = 1 << 14;

/// What is made of a number and another one.
pub(crate) trait Pairwise: Copy + Send + Sync {
    fn of(self, x: f32, y: f32) -> f32;
}

/// `max(x + y, 0)`, NaN where it is NaN.
#[derive(Clone, Copy)]
pub(crate) struct AddRelu;

impl Pairwise for AddRelu {
    #[inline(always)]
    fn of(self, x: f32, y: f32) -> f32 {
        let sum = x + y;
        if sum < 0.0 { 0.0 } else { sum }
    }
}

/// The gradient `x` where ReLU's output `y` is greater than 0 or NaN.
#[derive(Clone, Copy)]
pub(crate) struct ReluGradient;

impl Pairwise for ReluGradient {
    #[inline(always)]
    fn of(self, x: f32, y: f32) -> f32 {
        if y <= 0.0 { 0.0 } else { x }
    }
}

/// `x[i] = what.of(x[i], y[i])`.
pub(crate) fn in_place(what: impl Pairwise, set: InstructionSet, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len());
    let worth = x.len() >= 2 * PART;
    share(x.chunks_mut(PART).zip(y.chunks(PART)), worth, |(x, y)| set.run(InPlace { what, x, y }));
}

/// `out[i] = what.of(x[i], y[i])`.
pub(crate) fn made(what: impl Pairwise, set: InstructionSet, x: &[f32], y: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), y.len());
    filled(x.len(), |out| {
        let parts = x.chunks(PART).zip(y.chunks(PART)).zip(out.chunks_mut(PART));
        share(parts, x.len() >= 2 * PART, |((x, y), out)| set.run(Made { what, x, y, out }));
    })
}

struct InPlace<'a, P> {
    what: P,
    x: &'a mut [f32],
    y: &'a [f32],
}

impl<P: Pairwise> Kernel for InPlace<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for (x, &y) in self.x.iter_mut().zip(self.y) {
            *x = self.what.of(*x, y);
        }
    }
}

struct Made<'a, P> {
    what: P,
    x: &'a [f32],
    y: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl<P: Pairwise> Kernel for Made<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for ((out, &x), &y) in self.out.iter_mut().zip(self.x).zip(self.y) {
            out.write(self.what.of(x, y));
        }
    }
}
