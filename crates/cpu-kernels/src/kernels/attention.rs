//! Causal self-attention of several heads, and its gradient.
//!
//! Query, key and value are read where one linear layer wrote them, `(window, place, query | key | value)`, and the result is
//! written as the next one reads it: nothing is copied or transposed. The matrix of weights is computed for a few
//! places at a time, only up to the place itself, and again in the backward pass, which keeps two numbers of each row:
//! memory grows with the length of a window, not with its square (Dao et al., *FlashAttention*, 2022).
//!
//! A window is one thread's work, so the same bits come out for every number of threads.

use std::mem::MaybeUninit;

use super::exp::{exp, greatest, sum, sum_of_pairs};
use super::memory::{as_uninit, filled};
use super::scratch;
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// Places whose weights are computed together.
const ROWS: usize = 64;
/// Multiplications for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 16;

/// The shapes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) windows: usize,
    /// Places in a window.
    pub(crate) context: usize,
    pub(crate) heads: usize,
    /// Numbers in the query, the key and the value of a head.
    pub(crate) of_head: usize,
}

/// What a row of weights was made with: `exp(scale * (product - most)) * factor`. Not the logarithm of the sum alone, whose
/// rounding would be a relative error of every weight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    most: f32,
    factor: f32,
}

/// A matrix in a slice: where it begins, and how far its rows and its columns lie apart.
#[derive(Clone, Copy)]
struct At {
    first: usize,
    row: usize,
    column: usize,
}

impl At {
    /// The last number of that many rows and columns is inside of a slice of that length.
    fn fits(self, rows: usize, columns: usize, length: usize) -> bool {
        rows > 0 && columns > 0 && self.first + (rows - 1) * self.row + (columns - 1) * self.column < length
    }

    fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    fn at_row(self, row: usize) -> Self {
        Self { first: self.first + row * self.row, ..self }
    }
}

/// `out = left right`, or `out += left right`: `(m, k)` times `(k, n)`, on this thread.
fn product(
    [m, n, k]: [usize; 3],
    (out, out_at): (&mut [MaybeUninit<f32>], At),
    add: bool,
    (left, left_at): (&[f32], At),
    (right, right_at): (&[f32], At),
) {
    assert!(out_at.fits(m, n, out.len()) && left_at.fits(m, k, left.len()) && right_at.fits(k, n, right.len()));
    // SAFETY: the three matrices lie inside of their slices; `out` is read only where the caller has written it (`add`).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr().cast::<f32>().add(out_at.first),
            out_at.column as isize,
            out_at.row as isize,
            add,
            left.as_ptr().add(left_at.first),
            left_at.column as isize,
            left_at.row as isize,
            right.as_ptr().add(right_at.first),
            right_at.column as isize,
            right_at.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

impl Attention {
    pub(crate) fn width(&self) -> usize {
        self.heads * self.of_head
    }

    fn work(&self) -> usize {
        self.windows * self.context * self.context * self.width()
    }

    /// `1 / sqrt(of_head)`, by which products of queries and keys are multiplied.
    fn scale(&self) -> f32 {
        1.0 / (self.of_head as f32).sqrt()
    }

    /// Query (0), key (1) or value (2) of a head in a window of `qkv`, or of its gradient.
    fn part(&self, part: usize, head: usize) -> At {
        At { first: part * self.width() + head * self.of_head, row: 3 * self.width(), column: 1 }
    }

    /// A head in a window of the output, or of its gradient.
    fn of_output(&self, head: usize) -> At {
        At { first: head * self.of_head, row: self.width(), column: 1 }
    }

    /// Blocks of places: the first place of each, and the one after its last.
    fn blocks(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> + use<> {
        let context = self.context;
        (0..context.div_ceil(ROWS)).map(move |block| (block * ROWS, ((block + 1) * ROWS).min(context)))
    }

    /// The output, and the rows of weights: `(window, head, place)`.
    pub(crate) fn forward(&self, set: InstructionSet, qkv: &[f32]) -> (Vec<f32>, Vec<Row>) {
        let (context, width) = (self.context, self.width());
        assert!(qkv.len() == self.windows * context * 3 * width && !qkv.is_empty());
        let mut kept = vec![Row::default(); self.windows * self.heads * context];
        let out = filled(self.windows * context * width, |out| {
            let windows = qkv.chunks_exact(3 * context * width).zip(out.chunks_exact_mut(context * width));
            let windows = windows.zip(kept.chunks_exact_mut(self.heads * context));
            share(windows, self.work() >= WORTH_THREADS, |((qkv, out), kept)| {
                self.forward_window(set, qkv, out, kept);
            });
        });
        (out, kept)
    }

    fn forward_window(&self, set: InstructionSet, qkv: &[f32], out: &mut [MaybeUninit<f32>], kept: &mut [Row]) {
        let mut buffers = scratch::take([ROWS * self.context]);
        let [weights] = buffers.slices();
        for (head, kept) in kept.chunks_exact_mut(self.context).enumerate() {
            let [query, key, value] = [0, 1, 2].map(|part| self.part(part, head));
            for (first, end) in self.blocks() {
                let rows = end - first;
                let of_weights = At { first: 0, row: end, column: 1 };
                let target = (as_uninit(weights), of_weights);
                product([rows, end, self.of_head], target, false, (qkv, query.at_row(first)), (qkv, key.transposed()));
                let weights = &mut weights[..rows * end];
                set.run(Softmax { weights, end, first, scale: self.scale(), kept: &mut kept[first..end] });
                let target = (&mut *out, self.of_output(head).at_row(first));
                product([rows, self.of_head, end], target, false, (weights, of_weights), (qkv, value));
            }
        }
    }

    /// The gradient of `qkv`, given that of the output.
    pub(crate) fn backward(&self, set: InstructionSet, qkv: &[f32], kept: &[Row], grad: &[f32]) -> Vec<f32> {
        let (context, width) = (self.context, self.width());
        assert!(qkv.len() == self.windows * context * 3 * width && grad.len() * 3 == qkv.len() && !qkv.is_empty());
        assert!(kept.len() == self.windows * self.heads * context);
        filled(qkv.len(), |out| {
            let windows = qkv.chunks_exact(3 * context * width).zip(kept.chunks_exact(self.heads * context));
            let targets = grad.chunks_exact(context * width).zip(out.chunks_exact_mut(3 * context * width));
            share(windows.zip(targets), self.work() >= WORTH_THREADS, |((qkv, kept), (grad, out))| {
                self.backward_window(set, qkv, kept, grad, out);
            });
        })
    }

    fn backward_window(
        &self,
        set: InstructionSet,
        qkv: &[f32],
        kept: &[Row],
        grad: &[f32],
        out: &mut [MaybeUninit<f32>],
    ) {
        let mut buffers = scratch::take([ROWS * self.context, ROWS * self.context]);
        let [weights, slopes] = buffers.slices();
        for (head, kept) in kept.chunks_exact(self.context).enumerate() {
            let [query, key, value] = [0, 1, 2].map(|part| self.part(part, head));
            let of_output = self.of_output(head);
            // From the last block, which reaches all keys and values, so that the others find a sum to add to.
            for (first, end) in self.blocks().rev() {
                let rows = end - first;
                let add = end < self.context;
                let of_weights = At { first: 0, row: end, column: 1 };
                let (queries, grads) = ((qkv, query.at_row(first)), (grad, of_output.at_row(first)));
                let size = [rows, end, self.of_head];
                product(size, (as_uninit(weights), of_weights), false, queries, (qkv, key.transposed()));
                product(size, (as_uninit(slopes), of_weights), false, grads, (qkv, value.transposed()));
                {
                    let (weights, slopes) = (&mut weights[..rows * end], &mut slopes[..rows * end]);
                    set.run(SoftmaxGradient {
                        weights,
                        slopes,
                        end,
                        first,
                        scale: self.scale(),
                        kept: &kept[first..end],
                    });
                }
                let transposed = of_weights.transposed();
                let by_key = [end, self.of_head, rows];
                product(by_key, (&mut *out, value), add, (weights, transposed), grads);
                product(by_key, (&mut *out, key), add, (slopes, transposed), queries);
                let target = (&mut *out, query.at_row(first));
                product([rows, self.of_head, end], target, false, (slopes, of_weights), (qkv, key));
            }
        }
    }
}

/// Products of queries and keys to weights: rows of `end` numbers, of which row `i` has `first + i + 1` that count.
struct Softmax<'a> {
    weights: &'a mut [f32],
    end: usize,
    first: usize,
    scale: f32,
    kept: &'a mut [Row],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for ((row, weights), of_row) in self.weights.chunks_exact_mut(self.end).enumerate().zip(self.kept) {
            let (before, later) = weights.split_at_mut(self.first + row + 1);
            let most = greatest(before);
            for weight in before.iter_mut() {
                *weight = exp::<V>((*weight - most) * self.scale);
            }
            let factor = 1.0 / sum(before, |weight| weight);
            for weight in before.iter_mut() {
                *weight *= factor;
            }
            later.fill(0.0);
            *of_row = Row { most, factor };
        }
    }
}

/// Products to weights `p` once more, and the gradients of the weights, `g`, to those of the products:
/// `scale * p * (g - sum(p * g))`.
struct SoftmaxGradient<'a> {
    weights: &'a mut [f32],
    slopes: &'a mut [f32],
    end: usize,
    first: usize,
    scale: f32,
    kept: &'a [Row],
}

impl Kernel for SoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = self.weights.chunks_exact_mut(self.end).zip(self.slopes.chunks_exact_mut(self.end));
        for ((row, (weights, slopes)), &Row { most, factor }) in rows.enumerate().zip(self.kept) {
            let (weights, later) = weights.split_at_mut(self.first + row + 1);
            let (slopes, later_slopes) = slopes.split_at_mut(self.first + row + 1);
            for weight in weights.iter_mut() {
                *weight = exp::<V>((*weight - most) * self.scale) * factor;
            }
            let mean = sum_of_pairs(weights, slopes, |weight, slope| weight * slope);
            for (slope, weight) in slopes.iter_mut().zip(&*weights) {
                *slope = self.scale * weight * (*slope - mean);
            }
            later.fill(0.0);
            later_slopes.fill(0.0);
        }
    }
}
