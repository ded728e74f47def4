//! The cross-entropy of the softmax of rows, and its gradient.

use super::exp::{exp, greatest, sum};
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// Rows that one thread takes together: fixed, so that the sum over rows has one order.
const ROWS: usize = 64;
/// Numbers for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 14;

/// The mean of `ln sum_c e^x_c - x_target` over rows of `classes` numbers, and the logarithm of each row's sum.
///
/// # Panics
/// A target that is not below `classes`.
pub(crate) fn forward(set: InstructionSet, x: &[f32], classes: usize, targets: &[usize]) -> (f32, Vec<f32>) {
    assert!(classes > 0 && x.len() == targets.len() * classes && !targets.is_empty());
    assert!(targets.iter().all(|&target| target < classes), "a target is no class: {classes} classes");
    let mut log_sums = vec![0.0; targets.len()];
    let mut losses = vec![0.0_f64; targets.len().div_ceil(ROWS)];
    let parts = x.chunks(ROWS * classes).zip(targets.chunks(ROWS)).zip(log_sums.chunks_mut(ROWS));
    share(parts.zip(&mut losses), x.len() >= WORTH_THREADS, |(((x, targets), log_sums), loss)| {
        *loss = set.run(Forward { x, classes, targets, log_sums });
    });
    ((losses.iter().sum::<f64>() / targets.len() as f64) as f32, log_sums)
}

/// `factor * (softmax(x) - [c = target])`, written over `x`.
pub(crate) fn backward(
    set: InstructionSet,
    x: &mut [f32],
    classes: usize,
    targets: &[usize],
    log_sums: &[f32],
    factor: f32,
) {
    assert!(classes > 0 && x.len() == targets.len() * classes && log_sums.len() == targets.len());
    let worth = x.len() >= WORTH_THREADS;
    let parts = x.chunks_mut(ROWS * classes).zip(targets.chunks(ROWS)).zip(log_sums.chunks(ROWS));
    share(parts, worth, |((x, targets), log_sums)| set.run(Backward { x, classes, targets, log_sums, factor }));
}

struct Forward<'a> {
    x: &'a [f32],
    classes: usize,
    targets: &'a [usize],
    log_sums: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self) -> f64 {
        let rows = self.x.chunks_exact(self.classes).zip(self.targets).zip(self.log_sums);
        let mut total = 0.0;
        for ((x, &target), log_sum) in rows {
            let most = greatest(x);
            *log_sum = most + sum(x, |x| exp::<V>(x - most)).ln();
            total += f64::from(*log_sum - x[target]);
        }
        total
    }
}

struct Backward<'a> {
    x: &'a mut [f32],
    classes: usize,
    targets: &'a [usize],
    log_sums: &'a [f32],
    factor: f32,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = self.x.chunks_exact_mut(self.classes).zip(self.targets).zip(self.log_sums);
        for ((x, &target), &log_sum) in rows {
            for x in x.iter_mut() {
                *x = self.factor * exp::<V>(*x - log_sum);
            }
            x[target] -= self.factor;
        }
    }
}
