//! Convolution of images, `(image, channel, row, column)`, and its gradients.
//!
//! One scheme serves all sizes of kernels, strides, paddings and dilations. Forward and the input's gradient are
//! correlations: the latter of the output's gradient with the kernel turned round, one for each phase of the stride. The
//! weights' gradient has a loop of its own. In both the channels of the output are lanes, and images are read in place.
//!
//! Each result is one sum in one order, so images and channels are shared out among threads as is best; for the weights'
//! gradient in blocks that depend on the shape only. The same bits come out for every number of threads.

use std::mem::MaybeUninit;

use super::correlate::{Correlation, Layout, Packed, RUN, Target};
use super::memory::{as_uninit, exact_sum, filled};
use super::scratch;
use super::set::{InstructionSet, Kernel};
pub(crate) use super::shape::{Conv, output_length};
use super::share::share;
use super::vector::Vector;
use super::weights::{Gather, Share};

/// Work for which a second thread is worth its start: multiplications.
const WORTH_THREADS: usize = 1 << 16;

impl Conv {
    fn image(&self) -> usize {
        self.inputs * self.size[0] * self.size[1]
    }

    fn map(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Multiplications of a whole batch.
    fn work(&self) -> usize {
        self.batch * self.outputs * self.map() * self.inputs * self.taps()
    }

    /// `out[i][o][y][x] = bias[o] + sum weight[o][c][ky][kx] * input[i][c][y * stride + ky * dilation - padding][..]`.
    pub(crate) fn forward(&self, set: InstructionSet, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        assert_eq!(input.len(), self.batch * self.image());
        assert_eq!(weight.len(), self.outputs * self.inputs * self.taps());
        let of = Correlation {
            channels: self.inputs,
            lanes: self.outputs,
            size: self.size,
            taps: self.kernel,
            stride: self.stride,
            start: self.padding.map(|padding| -(padding as isize)),
            dilation: self.dilation,
            output: self.output,
            run: RUN,
        };
        let set = set.for_lanes(self.outputs);
        let taps: Vec<usize> = (0..self.taps()).collect();
        let layout = Layout { weights: weight, channel: taps.len(), lane: of.terms(), taps: &taps };
        let weights = Packed::new(set.lanes(), &of, &layout, bias);
        let phases = Phases { size: self.output, stride: [1, 1], all: vec![Phase { of, weights }] };
        self.by_blocks(set, &phases, input, self.outputs)
    }

    /// The gradient of the input, given that of the output.
    pub(crate) fn input_gradient(&self, set: InstructionSet, weight: &[f32], grad: &[f32]) -> Vec<f32> {
        assert_eq!(grad.len(), self.batch * self.outputs * self.map());
        assert_eq!(weight.len(), self.outputs * self.inputs * self.taps());
        let set = set.for_lanes(self.inputs);
        self.by_blocks(set, &Phases::transposed(self, set, weight), grad, self.inputs)
    }

    /// What `phases` make of each image of `source`, for `lanes` channels: shared out by image and block of lanes.
    fn by_blocks(&self, set: InstructionSet, phases: &Phases, source: &[f32], lanes: usize) -> Vec<f32> {
        let map = phases.size[0] * phases.size[1];
        filled(self.batch * lanes * map, |out| {
            let Some(Phase { weights, .. }) = phases.all.first() else { return };
            if source.is_empty() || out.is_empty() {
                out.fill(MaybeUninit::new(0.0));
                return;
            }
            let image = source.len() / self.batch;
            // The weights of a block and the images that use them should stay in the second-level cache.
            let together = (weights.block(0).weights.len() / image).clamp(1, 16);
            let mut blocks: Vec<_> = out
                .chunks_exact_mut(lanes * map)
                .enumerate()
                .flat_map(|(at, out)| {
                    out.chunks_mut(weights.wide() * map)
                        .enumerate()
                        .map(move |(block, out)| (at / together, block, at, out))
                })
                .collect();
            blocks.sort_by_key(|&(group, block, at, _)| (group, block, at));
            // Whoever takes an image takes all of its blocks, where there is enough for all threads.
            let some =
                (blocks.len() / (8 * rayon::current_num_threads())).clamp(1, together * lanes.div_ceil(weights.wide()));
            share(blocks.chunks_mut(some), self.work() >= WORTH_THREADS, |blocks| {
                let mut blocks = blocks.iter_mut().peekable();
                while let Some((_, block, at, out)) = blocks.next() {
                    let image_of = |at: usize| &source[at * image..][..image];
                    let next = blocks.peek().filter(|(.., next, _)| next != at).map(|(.., next, _)| image_of(*next));
                    let next = next.unwrap_or_default();
                    set.run(PhasesOfBlock { set, phases, block: *block, source: image_of(*at), next, out });
                }
            });
        })
    }

    /// The gradient of the weights, given that of the output.
    pub(crate) fn weight_gradient(&self, set: InstructionSet, input: &[f32], grad: &[f32]) -> Vec<f32> {
        assert_eq!(input.len(), self.batch * self.image());
        assert_eq!(grad.len(), self.batch * self.outputs * self.map());
        let terms = self.inputs * self.taps();
        let mut out = vec![0.0; self.outputs * terms];
        if self.work() == 0 {
            return out;
        }
        let set = set.for_lanes(self.outputs);
        let pitch = self.outputs.next_multiple_of(set.lanes());
        let shares = Shares::new(self);
        let mut kept = scratch::take([shares.blocks * terms * pitch]);
        let [blocks] = kept.slices();
        let each = shares.channels * self.taps() * pitch;
        let tasks = blocks
            .chunks_exact_mut(terms * pitch)
            .enumerate()
            .flat_map(|(block, sums)| sums.chunks_mut(each).enumerate().map(move |(share, sums)| (block, share, sums)));
        let worth = self.work() >= WORTH_THREADS;
        share(tasks, worth, |(block, share, sums)| {
            let channels = share * shares.channels..((share + 1) * shares.channels).min(self.inputs);
            let images = block * shares.images..((block + 1) * shares.images).min(self.batch);
            set.run(Share { set, conv: self, input, grad, images, channels, sums, pitch });
        });
        let (blocks, lanes) = (&*blocks, out.chunks_mut(set.lanes() * terms).enumerate());
        share(lanes, blocks.len() >= WORTH_THREADS, |(at, out)| {
            set.run(Gather { blocks, terms, pitch, lane: at * set.lanes(), out });
        });
        out
    }

    /// The gradient of the bias, given that of the output.
    pub(crate) fn bias_gradient(&self, grad: &[f32]) -> Vec<f32> {
        assert_eq!(grad.len(), self.batch * self.outputs * self.map());
        let mut out = vec![0.0; self.outputs];
        share(out.iter_mut().enumerate(), grad.len() >= WORTH_THREADS, |(output, out)| {
            let maps = grad.chunks_exact(self.map()).skip(output).step_by(self.outputs);
            *out = maps.map(exact_sum).sum::<f64>() as f32;
        });
        out
    }
}

/// A result that is made of several: position `(phase + stride * t)` of the result is position `t` of that phase.
struct Phases {
    /// Rows and columns of the result.
    size: [usize; 2],
    stride: [usize; 2],
    /// For each phase of the rows those of the columns.
    all: Vec<Phase>,
}

struct Phase {
    of: Correlation,
    weights: Packed,
}

impl Phases {
    /// The phases of the input's gradient.
    ///
    /// Input row `i = stride * t + q` gets from output row `o` what tap `k` of the kernel makes of it where
    /// `o * stride + k * dilation = i + padding`: for the taps with `k * dilation = q + padding` modulo the stride that
    /// is `o = t + start`, the same `start` for all `t`, and as far from each tap to the next. So the rows of one `q` are
    /// a convolution of stride 1 of the output's gradient with some of the taps, turned round; and columns likewise.
    fn transposed(conv: &Conv, set: InstructionSet, weight: &[f32]) -> Self {
        // The taps of a phase of an axis, with their `start`, in the order of these.
        let taps = |axis: usize, q: usize| -> Vec<(usize, isize)> {
            let (stride, moved) = (conv.stride[axis], q + conv.padding[axis]);
            let reach = |tap: usize| tap * conv.dilation[axis];
            let start = |tap: usize| (moved / stride) as isize - (reach(tap) / stride) as isize;
            let of_phase = (0..conv.kernel[axis]).rev().filter(|&tap| reach(tap) % stride == moved % stride);
            of_phase.map(|tap| (tap, start(tap))).collect()
        };
        let mut all = Vec::new();
        for down in 0..conv.stride[0] {
            for across in 0..conv.stride[1] {
                let mut axes = [taps(0, down), taps(1, across)];
                if axes.iter().any(Vec::is_empty) {
                    axes.fill(Vec::new());
                }
                let apart = |axis: &[(usize, isize)]| match axis {
                    [(_, first), (_, second), ..] => (second - first).unsigned_abs(),
                    _ => 1,
                };
                let of = Correlation {
                    channels: conv.outputs,
                    lanes: conv.inputs,
                    size: conv.output,
                    taps: [axes[0].len(), axes[1].len()],
                    stride: [1, 1],
                    start: [0, 1].map(|axis| axes[axis].first().map_or(0, |&(_, start)| start)),
                    dilation: [apart(&axes[0]), apart(&axes[1])],
                    output: [0, 1].map(|axis| {
                        let phase = [down, across][axis];
                        conv.size[axis].saturating_sub(phase).div_ceil(conv.stride[axis])
                    }),
                    // burn adds up the channels first and the taps then: short sums where there are few channels.
                    run: (4 * conv.outputs).clamp(32, RUN),
                };
                let rows = axes[0].iter();
                let taps: Vec<usize> =
                    rows.flat_map(|(y, _)| axes[1].iter().map(move |(x, _)| y * conv.kernel[1] + x)).collect();
                let layout =
                    Layout { weights: weight, channel: conv.inputs * conv.taps(), lane: conv.taps(), taps: &taps };
                let weights = Packed::new(set.lanes(), &of, &layout, None);
                all.push(Phase { of, weights });
            }
        }
        Self { size: conv.size, stride: conv.stride, all }
    }
}

/// One image and block of lanes of what some phases make.
struct PhasesOfBlock<'a> {
    set: InstructionSet,
    phases: &'a Phases,
    block: usize,
    source: &'a [f32],
    /// What is read after this.
    next: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

/// The maps of all phases that are made before they are put together should stay in the first-level cache.
const PHASES: usize = 1 << 13;

impl Kernel for PhasesOfBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { set, phases, block, source, next, out } = self;
        let [height, width] = phases.size;
        let [down, across] = phases.stride;
        let lanes = out.len() / (height * width);
        // Rows of a phase at a time, and the room for them.
        let (strip, map) = if phases.all.len() == 1 {
            (height, 0)
        } else {
            let row = lanes * width.div_ceil(across);
            let strip = (PHASES / (row * phases.all.len())).clamp(1, height.div_ceil(down));
            (strip, row * strip)
        };
        let mut kept = scratch::take([map * phases.all.len()]);
        let [maps] = kept.slices();
        for first in (0..height.div_ceil(down)).step_by(strip) {
            for (at, phase) in phases.all.iter().enumerate() {
                let end = phase.of.output[0].min(first + strip);
                let rows = first.min(end)..end;
                let mut target = if map == 0 {
                    Target { out: &mut *out, pitch: height * width, lanes }
                } else {
                    let pitch = strip * phase.of.output[1];
                    Target { out: &mut as_uninit(maps)[at * map..][..map], pitch, lanes }
                };
                let next = if at == 0 && first == 0 { next } else { &[] };
                phase.of.run::<V>(set, source, phase.weights.block(block), rows, &mut target, next);
            }
            if map == 0 {
                continue;
            }
            for (lane, out) in out.chunks_exact_mut(height * width).enumerate() {
                for (y, out) in out.chunks_exact_mut(width).enumerate().skip(first * down).take(strip * down) {
                    let line = |phase: usize| {
                        let (at, width) = (y % down * across + phase, phases.all[phase].of.output[1]);
                        &maps[at * map + (lane * strip + y / down - first) * width..][..width]
                    };
                    if across == 2 {
                        in_turns(line(0), line(1), out);
                        continue;
                    }
                    for phase in 0..across {
                        for (out, &value) in out.iter_mut().skip(phase).step_by(across).zip(line(phase)) {
                            out.write(value);
                        }
                    }
                }
            }
        }
    }
}

/// `even[0], odd[0], even[1], ...`
#[inline(always)]
fn in_turns(even: &[f32], odd: &[f32], out: &mut [MaybeUninit<f32>]) {
    let pairs = out.len() / 2;
    for ((pair, &even), &odd) in out.chunks_exact_mut(2).zip(&even[..pairs]).zip(&odd[..pairs]) {
        pair[0].write(even);
        pair[1].write(odd);
    }
    if out.len() % 2 == 1
        && let Some(last) = out.last_mut()
    {
        last.write(even[pairs]);
    }
}

/// How the weights' gradient is shared out: blocks of images, whose sums are added in the end, and parts of the input
/// channels. It depends on the shape only.
struct Shares {
    /// Images in a block.
    images: usize,
    blocks: usize,
    /// Channels in a part.
    channels: usize,
}

impl Shares {
    /// Shares to aim at: enough for many threads.
    const ALL: usize = 16;
    /// The sums of all blocks together may take so many numbers, 4 MiB.
    const SUMS: usize = 1 << 20;

    fn new(conv: &Conv) -> Self {
        // Every block of images has its own sums, to be added in the end; for every part of the channels the output's
        // gradient is turned once more.
        let sums = conv.inputs * conv.taps() * conv.outputs.next_multiple_of(16);
        let grads = conv.batch * conv.outputs.next_multiple_of(16) * conv.map();
        let most = Self::ALL.min(conv.batch).min(Self::SUMS / sums.max(1)).max(1);
        let parts = |blocks: usize| Self::ALL.div_ceil(blocks).min(conv.inputs);
        let missing = |blocks: usize| Self::ALL.saturating_sub(blocks * parts(blocks));
        let cost = |&blocks: &usize| (missing(blocks), blocks * sums + parts(blocks) * grads);
        let blocks = (1..=most).min_by_key(cost).unwrap_or(1);
        let images = conv.batch.div_ceil(blocks).max(1);
        Self {
            images,
            blocks: conv.batch.div_ceil(images).max(1),
            channels: conv.inputs.div_ceil(parts(blocks).max(1)).max(1),
        }
    }
}
