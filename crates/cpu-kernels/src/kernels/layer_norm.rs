//! Layer norm over the rows of a matrix, and its gradients.

use std::mem::MaybeUninit;

use super::exp::{sum, sum_of_pairs};
use super::memory::filled;
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// Rows that one thread takes together: fixed, so that sums over rows have one order.
const ROWS: usize = 64;
/// Numbers for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 15;

/// What a row was normalised with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    mean: f32,
    /// `1 / sqrt(variance + epsilon)`.
    factor: f32,
}

/// `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta` by row, with the biased variance.
pub(crate) fn forward(
    set: InstructionSet,
    x: &[f32],
    gamma: &[f32],
    beta: Option<&[f32]>,
    epsilon: f64,
) -> (Vec<f32>, Vec<Row>) {
    let width = gamma.len();
    assert!(width > 0 && x.len().is_multiple_of(width) && beta.is_none_or(|beta| beta.len() == width));
    let mut rows = vec![Row::default(); x.len() / width];
    let out = filled(x.len(), |out| {
        let each = ROWS * width;
        let parts = x.chunks(each).zip(out.chunks_mut(each)).zip(rows.chunks_mut(ROWS));
        share(parts, x.len() >= WORTH_THREADS, |((x, out), rows)| {
            set.run(Forward { x, gamma, beta, epsilon: epsilon as f32, rows, out });
        });
    });
    (out, rows)
}

/// Turns the output's gradient into the input's; gives the gradients of `gamma` and `beta`.
pub(crate) fn backward(
    set: InstructionSet,
    x: &[f32],
    gamma: &[f32],
    rows: &[Row],
    grad: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let width = gamma.len();
    assert!(width > 0 && x.len() == rows.len() * width && grad.len() == x.len());
    let each = ROWS * width;
    // For each block of rows, the sums over them: of gamma, of beta.
    let mut partial = vec![0.0; rows.len().div_ceil(ROWS) * 2 * width];
    let parts = x.chunks(each).zip(grad.chunks_mut(each)).zip(rows.chunks(ROWS));
    share(parts.zip(partial.chunks_mut(2 * width)), x.len() >= WORTH_THREADS, |(((x, grad), rows), sums)| {
        set.run(Backward { x, gamma, rows, grad, sums });
    });
    let mut sums = vec![0.0; 2 * width];
    for block in partial.chunks_exact(2 * width) {
        sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
    }
    let of_beta = sums.split_off(width);
    (sums, of_beta)
}

struct Forward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: Option<&'a [f32]>,
    epsilon: f32,
    rows: &'a mut [Row],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.gamma.len();
        let each = 1.0 / width as f32;
        let lines = self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)).zip(self.rows);
        for ((x, out), row) in lines {
            let mean = sum(x, |x| x) * each;
            let variance = sum(x, |x| (x - mean) * (x - mean)) * each;
            *row = Row { mean, factor: 1.0 / (variance + self.epsilon).sqrt() };
            let scaled = x.iter().zip(self.gamma).map(|(x, gamma)| (x - mean) * row.factor * gamma);
            match self.beta {
                Some(beta) => out.iter_mut().zip(scaled).zip(beta).for_each(|((out, y), beta)| {
                    out.write(y + beta);
                }),
                None => out.iter_mut().zip(scaled).for_each(|(out, y)| {
                    out.write(y);
                }),
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    rows: &'a [Row],
    grad: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// With `n = (x - mean) * factor` and `g = grad * gamma`: `factor * (g - mean(g) - n * mean(g * n))`.
    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.gamma.len();
        let each = 1.0 / width as f32;
        let (of_gamma, of_beta) = self.sums.split_at_mut(width);
        let lines = self.x.chunks_exact(width).zip(self.grad.chunks_exact_mut(width)).zip(self.rows);
        for ((x, grad), &Row { mean, factor }) in lines {
            let sums = of_gamma.iter_mut().zip(of_beta.iter_mut()).zip(x.iter().zip(&mut *grad)).zip(self.gamma);
            for (((of_gamma, of_beta), (x, grad)), gamma) in sums {
                *of_gamma += *grad * ((x - mean) * factor);
                *of_beta += *grad;
                *grad *= gamma;
            }
            let mean_g = sum(grad, |g| g) * each;
            let mean_gn = sum_of_pairs(grad, x, |g, x| g * ((x - mean) * factor)) * each;
            for (grad, x) in grad.iter_mut().zip(x) {
                *grad = factor * (*grad - mean_g - (x - mean) * factor * mean_gn);
            }
        }
    }
}
