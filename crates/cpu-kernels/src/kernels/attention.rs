//! Causal self-attention of several heads, and its gradient.
//!
//! Query, key and value are read where one linear layer wrote them, `(window, place, query | key | value)`, and the result is
//! written as the next one reads it: nothing is copied or transposed. The matrix of weights is computed for a few
//! places at a time, only up to the place itself, and again in the backward pass, which keeps two numbers of each row:
//! memory grows with the length of a window, not with its square (Dao et al., *FlashAttention*, 2022).
//!
//! A window is one thread's work, so the same bits come out for every number of threads.

use std::mem::MaybeUninit;

use super::exp::{LANES, exp, greatest, sum, sum_of_pairs};
use super::memory::{as_uninit, filled};
use super::product::{Matrix, Out, Product};
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

    /// Where query (0), key (1) or value (2) of a head begin at a place of a window of `qkv`, or of its gradient.
    fn part(&self, part: usize, head: usize, place: usize) -> usize {
        (3 * place + part) * self.width() + head * self.of_head
    }

    /// Where a head begins at a place of a window of the output, or of its gradient.
    fn of_output(&self, head: usize, place: usize) -> usize {
        place * self.width() + head * self.of_head
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
        let mut buffers = scratch::take([ROWS * padded(self.context)]);
        let [weights] = buffers.slices();
        let (of_head, pitch) = (self.of_head, 3 * self.width());
        for (head, kept) in kept.chunks_exact_mut(self.context).enumerate() {
            let part =
                |part, place, places| Matrix::new(&qkv[self.part(part, head, place)..], [places, of_head], pitch);
            for (first, end) in self.blocks() {
                let (rows, wide) = (end - first, padded(end));
                let weights = &mut weights[..rows * wide];
                let target = Out::new(as_uninit(weights), [rows, end], wide);
                multiply(set, part(0, first, rows), part(1, 0, end).turned(), target, false);
                set.run(Softmax { weights, wide, first, scale: self.scale(), kept: &mut kept[first..end] });
                let out = Out::new(&mut out[self.of_output(head, first)..], [rows, of_head], self.width());
                multiply(set, Matrix::new(weights, [rows, end], wide), part(2, 0, end), out, false);
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
        let mut buffers = scratch::take([ROWS * padded(self.context); 2]);
        let [weights, slopes] = buffers.slices();
        let (of_head, pitch) = (self.of_head, 3 * self.width());
        for (head, kept) in kept.chunks_exact(self.context).enumerate() {
            let part =
                |part, place, places| Matrix::new(&qkv[self.part(part, head, place)..], [places, of_head], pitch);
            // From the last block, which reaches all keys and values, so that the others find a sum to add to.
            for (first, end) in self.blocks().rev() {
                let (rows, wide) = (end - first, padded(end));
                let (weights, slopes) = (&mut weights[..rows * wide], &mut slopes[..rows * wide]);
                let (queries, keys, values) = (part(0, first, rows), part(1, 0, end), part(2, 0, end));
                let grads = Matrix::new(&grad[self.of_output(head, first)..], [rows, of_head], self.width());
                let size = [rows, end];
                multiply(set, queries, keys.turned(), Out::new(as_uninit(weights), size, wide), false);
                multiply(set, grads, values.turned(), Out::new(as_uninit(slopes), size, wide), false);
                let kept = &kept[first..end];
                set.run(SoftmaxGradient { weights, slopes, wide, first, scale: self.scale(), kept });
                let [weights, slopes] = [Matrix::new(weights, size, wide), Matrix::new(slopes, size, wide)];
                let add = end < self.context;
                let mut target = |part, place, places, left, right, add| {
                    let out = &mut out[self.part(part, head, place)..];
                    multiply(set, left, right, Out::new(out, [places, of_head], pitch), add);
                };
                target(2, 0, end, weights.turned(), grads, add);
                target(1, 0, end, slopes.turned(), queries, add);
                target(0, first, rows, slopes, keys, false);
            }
        }
    }
}

/// `out = left * right`, or `out += left * right`, on this thread.
fn multiply(set: InstructionSet, left: Matrix<'_>, right: Matrix<'_>, out: Out<'_>, add: bool) {
    set.run(Product { left, right, bias: None, add, out });
}

/// Rows of weights are so long that they are whole registers.
fn padded(places: usize) -> usize {
    places.next_multiple_of(LANES)
}

/// Products of queries and keys to weights: rows of `wide` numbers, of which row `i` has `first + i + 1` that count. What
/// comes later in a row may be anything, and becomes 0.
struct Softmax<'a> {
    weights: &'a mut [f32],
    wide: usize,
    first: usize,
    scale: f32,
    kept: &'a mut [Row],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for ((row, weights), of_row) in self.weights.chunks_exact_mut(self.wide).enumerate().zip(self.kept) {
            let count = self.first + row + 1;
            let (weights, beyond) = weights.split_at_mut(padded(count));
            beyond.fill(0.0);
            weights[count..].fill(f32::NEG_INFINITY);
            let most = greatest(weights);
            for weight in &mut *weights {
                *weight = exp::<V>((*weight - most) * self.scale);
            }
            weights[count..].fill(0.0);
            let factor = 1.0 / sum(weights, |weight| weight);
            for weight in weights {
                *weight *= factor;
            }
            *of_row = Row { most, factor };
        }
    }
}

/// Products to weights `p` once more, and the gradients of the weights, `g`, to those of the products:
/// `scale * p * (g - sum(p * g))`; both 0 for what comes later.
struct SoftmaxGradient<'a> {
    weights: &'a mut [f32],
    slopes: &'a mut [f32],
    wide: usize,
    first: usize,
    scale: f32,
    kept: &'a [Row],
}

impl Kernel for SoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = self.weights.chunks_exact_mut(self.wide).zip(self.slopes.chunks_exact_mut(self.wide));
        for ((row, (weights, slopes)), &Row { most, factor }) in rows.enumerate().zip(self.kept) {
            let count = self.first + row + 1;
            slopes[count..].fill(0.0);
            let (weights, beyond) = weights.split_at_mut(padded(count));
            beyond.fill(0.0);
            for weight in &mut *weights {
                *weight = exp::<V>((*weight - most) * self.scale) * factor;
            }
            weights[count..].fill(0.0);
            let slopes = &mut slopes[..weights.len()];
            let mean = sum_of_pairs(weights, slopes, |weight, slope| weight * slope);
            for (slope, weight) in slopes.iter_mut().zip(&*weights) {
                *slope = self.scale * weight * (*slope - mean);
            }
            slopes[count..].fill(0.0);
        }
    }
}
