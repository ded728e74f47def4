//! Convolution of images, `(image, channel, row, column)`, and its gradients.
//!
//! One scheme serves all sizes of kernels, strides, paddings and dilations: a [`Panel`] per image (or strip of it) and
//! a table of offsets, one for each term of the sum. The input's gradient is a convolution of the output's gradient
//! with the kernel turned round, one for each phase of the stride; the weights' gradient takes the same panels, with
//! the output's channels as lanes.
//!
//! Images are shared out among threads, for the weights' gradient in blocks that depend on the shape only: the same
//! bits come out for every number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::memory::{as_uninit, filled, parallel, sum};
use super::panel::{Axis, Panel, strip};
use super::scratch;
use super::set::{InstructionSet, Kernel};
use super::tile::{LANE_BLOCK, Lanes, Offsets, PACK, SLACK, Segment, Target, pack, positions, products};
use super::vector::Vector;

/// The shapes of a convolution without groups; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conv {
    pub(crate) batch: usize,
    /// Channels of the input.
    pub(crate) inputs: usize,
    /// Channels of the output.
    pub(crate) outputs: usize,
    /// Height and width of the input.
    pub(crate) size: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Rows above, columns to the left.
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Height and width of the output, by [`output_length`].
    pub(crate) output: [usize; 2],
}

/// Positions of a kernel along an axis, `None` where it does not fit or a number is 0 that may not be.
pub(crate) fn output_length(
    length: usize,
    kernel: usize,
    stride: usize,
    (before, after): (usize, usize),
    dilation: usize,
) -> Option<usize> {
    let reach = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let room = length.checked_add(before)?.checked_add(after)?.checked_sub(reach)?;
    (dilation > 0).then_some(room.checked_div(stride)? + 1)
}

/// A sorted list without repetitions.
fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Where a value is in a list that holds it.
fn place<T: Ord + Copy>(values: &[T], value: T) -> usize {
    values.binary_search(&value).unwrap_or_default()
}

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

    /// The panel of `channels` of the input, and the offsets of its taps: channels outermost, then rows, then columns.
    fn input_panel(&self, channels: usize) -> (Panel, Offsets) {
        let [down, across] = self.stride;
        let row_of = |y: usize| y * self.dilation[0];
        let phases = distinct((0..self.kernel[0]).map(|y| row_of(y) % down));
        let extra = row_of(self.kernel[0] - 1) / down;
        let per_row = channels * self.kernel[1] * phases.len() * self.output[1];
        let panel = Panel {
            channels,
            size: self.size,
            rows: Axis {
                step: down,
                starts: phases.iter().map(|&phase| phase as isize - self.padding[0] as isize).collect(),
            },
            columns: Axis {
                step: across,
                starts: (0..self.kernel[1])
                    .map(|x| (x * self.dilation[1]) as isize - self.padding[1] as isize)
                    .collect(),
            },
            width: self.output[1],
            strip: strip(self.output[0], extra, per_row),
            extra,
        };
        let mut offsets = Vec::with_capacity(channels * self.taps());
        for channel in 0..channels {
            for y in 0..self.kernel[0] {
                for x in 0..self.kernel[1] {
                    let (phase, row) = (place(&phases, row_of(y) % down), row_of(y) / down);
                    offsets.push(panel.offset(channel, phase, row, x));
                }
            }
        }
        (panel, offsets.into_iter().collect())
    }

    /// `out[i][o][y][x] = bias[o] + sum weight[o][c][ky][kx] * input[i][c][y * stride + ky * dilation - padding][..]`.
    pub(crate) fn forward(&self, set: InstructionSet, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        assert_eq!(input.len(), self.batch * self.image());
        assert_eq!(weight.len(), self.outputs * self.inputs * self.taps());
        let (panel, offsets) = self.input_panel(self.inputs);
        let terms = offsets.len();
        let weights = pack(self.outputs, terms, |row, term| weight[row * terms + term]);
        let mut biases = vec![0.0; self.outputs.div_ceil(PACK) * PACK];
        if let Some(bias) = bias {
            biases[..self.outputs].copy_from_slice(bias);
        }
        let image = |(input, out): (&[f32], &mut [MaybeUninit<f32>])| {
            set.run(ForwardImage {
                conv: self,
                panel: &panel,
                offsets: &offsets,
                weights: &weights,
                biases: &biases,
                input,
                out,
            });
        };
        filled(self.batch * self.outputs * self.map(), |out| {
            let (each, of) = (self.image(), self.outputs * self.map());
            if each == 0 || of == 0 {
                out.fill(MaybeUninit::new(0.0));
            } else if parallel(self.work(), WORTH_THREADS) {
                input.par_chunks_exact(each).zip(out.par_chunks_exact_mut(of)).for_each(image);
            } else {
                input.chunks_exact(each).zip(out.chunks_exact_mut(of)).for_each(image);
            }
        })
    }

    /// The gradient of the input, given that of the output.
    pub(crate) fn input_gradient(&self, set: InstructionSet, weight: &[f32], grad: &[f32]) -> Vec<f32> {
        assert_eq!(grad.len(), self.batch * self.outputs * self.map());
        assert_eq!(weight.len(), self.outputs * self.inputs * self.taps());
        let transposed = Transposed::new(self, weight);
        let image = |(grad, out): (&[f32], &mut [MaybeUninit<f32>])| {
            set.run(InputGradient { conv: self, transposed: &transposed, grad, out });
        };
        filled(self.batch * self.image(), |out| {
            let (each, of) = (self.outputs * self.map(), self.image());
            if each == 0 || of == 0 {
                out.fill(MaybeUninit::new(0.0));
            } else if parallel(self.work(), WORTH_THREADS) {
                grad.par_chunks_exact(each).zip(out.par_chunks_exact_mut(of)).for_each(image);
            } else {
                grad.chunks_exact(each).zip(out.chunks_exact_mut(of)).for_each(image);
            }
        })
    }

    /// The gradient of the weights, given that of the output.
    pub(crate) fn weight_gradient(&self, set: InstructionSet, input: &[f32], grad: &[f32]) -> Vec<f32> {
        assert_eq!(input.len(), self.batch * self.image());
        assert_eq!(grad.len(), self.batch * self.outputs * self.map());
        let (terms, pitch) = (self.inputs * self.taps(), self.outputs.next_multiple_of(LANE_BLOCK));
        if self.work() == 0 {
            return vec![0.0; self.outputs * terms];
        }
        // Where eight lanes are enough, sixteen would be half idle.
        let eight = set == InstructionSet::Avx512 && self.outputs <= 8;
        let set = if eight { InstructionSet::Avx2 } else { set };
        let shares = Shares::new(self);
        let (panel, offsets) = self.input_panel(shares.channels.min(self.inputs));
        let mut partial = vec![0.0; shares.blocks * terms * pitch];
        let each = shares.channels * self.taps() * pitch;
        let tasks: Vec<(usize, usize, &mut [f32])> = partial
            .chunks_exact_mut(terms * pitch)
            .enumerate()
            .flat_map(|(block, out)| out.chunks_mut(each).enumerate().map(move |(share, out)| (block, share, out)))
            .collect();
        let task = |(block, share, out): (usize, usize, &mut [f32])| {
            let channels = share * shares.channels..((share + 1) * shares.channels).min(self.inputs);
            let narrow;
            let (panel, offsets) = if channels.len() == panel.channels {
                (&panel, &offsets)
            } else {
                narrow = self.input_panel(channels.len());
                (&narrow.0, &narrow.1)
            };
            let images = block * shares.images..((block + 1) * shares.images).min(self.batch);
            set.run(WeightGradient { conv: self, panel, offsets, input, grad, images, channels, pitch, out });
        };
        if parallel(self.work(), WORTH_THREADS) {
            tasks.into_par_iter().for_each(task);
        } else {
            tasks.into_iter().for_each(task);
        }
        self.gather(&partial, pitch)
    }

    /// The gradient of the bias, given that of the output.
    pub(crate) fn bias_gradient(&self, grad: &[f32]) -> Vec<f32> {
        assert_eq!(grad.len(), self.batch * self.outputs * self.map());
        let mut out = vec![0.0_f64; self.outputs];
        for (at, map) in grad.chunks_exact(self.map()).enumerate() {
            out[at % self.outputs] += f64::from(sum(map));
        }
        out.into_iter().map(|sum| sum as f32).collect()
    }

    /// Sums the blocks in their order, and turns `(term, output)` into `(output, term)`.
    fn gather(&self, partial: &[f32], pitch: usize) -> Vec<f32> {
        let terms = self.inputs * self.taps();
        let mut out = vec![0.0; self.outputs * terms];
        let part = |(group, out): (usize, &mut [f32])| {
            for partial in partial.chunks_exact(terms * pitch) {
                for (term, row) in partial.chunks_exact(pitch).enumerate() {
                    let row = &row[group * LANE_BLOCK..][..LANE_BLOCK];
                    for (out, value) in out.iter_mut().skip(term).step_by(terms).zip(row) {
                        *out += value;
                    }
                }
            }
        };
        if parallel(partial.len(), WORTH_THREADS) {
            out.par_chunks_mut(LANE_BLOCK * terms).enumerate().for_each(part);
        } else {
            out.chunks_mut(LANE_BLOCK * terms).enumerate().for_each(part);
        }
        out
    }
}

/// One image of [`Conv::forward`].
struct ForwardImage<'a> {
    conv: &'a Conv,
    panel: &'a Panel,
    offsets: &'a Offsets,
    weights: &'a [f32],
    biases: &'a [f32],
    input: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for ForwardImage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { conv, panel, offsets, weights, biases, input, out } = self;
        let [height, width] = conv.output;
        let mut kept = scratch::take([panel.len() + SLACK]);
        let [buffer] = kept.slices();
        for first in (0..height).step_by(panel.strip) {
            let rows = panel.strip.min(height - first);
            panel.fill::<V>(input, first, rows, buffer);
            let mut target = Target { out: &mut out[first * width..], pitch: height * width, rows: conv.outputs };
            positions::<V>(rows * width, offsets, weights, biases, buffer, &mut target);
        }
    }
}

/// What the input's gradient is computed with.
///
/// Input row `i = stride * t + q` gets from output row `o` what tap `k` of the kernel makes of it where
/// `o * stride + k * dilation = i + padding`: for the taps with `k * dilation = q + padding` modulo the stride that is
/// `o = t + start`, the same `start` for all `t`. So the rows of one `q`, a phase, are a convolution of stride 1 of the
/// output's gradient with some of the taps; and columns likewise.
struct Transposed {
    panel: Panel,
    /// Rows and columns of a phase.
    size: [usize; 2],
    /// For each `q` of the rows those of the columns.
    phases: Vec<Phase>,
    biases: Vec<f32>,
}

/// The input positions of one remainder by the stride; without offsets, no tap reaches them.
struct Phase {
    offsets: Offsets,
    weights: Vec<f32>,
}

impl Transposed {
    fn new(conv: &Conv, weight: &[f32]) -> Self {
        // The taps of a phase of an axis, with their `start`.
        let taps = |axis: usize, q: usize| {
            let (stride, moved) = (conv.stride[axis], q + conv.padding[axis]);
            (0..conv.kernel[axis]).filter_map(move |tap| {
                let reach = tap * conv.dilation[axis];
                (reach % stride == moved % stride).then(|| (tap, (moved / stride) as isize - (reach / stride) as isize))
            })
        };
        let starts =
            [0, 1].map(|axis| distinct((0..conv.stride[axis]).flat_map(|q| taps(axis, q)).map(|(_, start)| start)));
        let size = [0, 1].map(|axis| conv.size[axis].div_ceil(conv.stride[axis]));
        let [top, furthest] = [starts[0].first(), starts[0].last()].map(|start| start.copied().unwrap_or_default());
        let extra = (furthest - top).unsigned_abs();
        let per_row = conv.outputs * starts[1].len() * size[1];
        let panel = Panel {
            channels: conv.outputs,
            size: conv.output,
            rows: Axis { step: 1, starts: vec![top] },
            columns: Axis { step: 1, starts: starts[1].clone() },
            width: size[1],
            strip: strip(size[0], extra, per_row),
            extra,
        };
        let mut phases = Vec::new();
        for down in 0..conv.stride[0] {
            for across in 0..conv.stride[1] {
                let mut offsets = Vec::new();
                let mut sources = Vec::new();
                for output in 0..conv.outputs {
                    for (y, row) in taps(0, down) {
                        for (x, column) in taps(1, across) {
                            let row = (row - top).unsigned_abs();
                            offsets.push(panel.offset(output, 0, row, place(&starts[1], column)));
                            sources.push((output * conv.inputs * conv.kernel[0] + y) * conv.kernel[1] + x);
                        }
                    }
                }
                let weights =
                    pack(conv.inputs, sources.len(), |input, term| weight[sources[term] + input * conv.taps()]);
                phases.push(Phase { offsets: offsets.into_iter().collect(), weights });
            }
        }
        Self { panel, size, phases, biases: vec![0.0; conv.inputs.div_ceil(PACK) * PACK] }
    }

    /// Puts the phases' maps of rows `first..first + rows` where they belong in the input's gradient.
    #[inline(always)]
    fn interleave(
        &self,
        conv: &Conv,
        first: usize,
        rows: usize,
        maps: &[f32],
        map: usize,
        out: &mut [MaybeUninit<f32>],
    ) {
        let [height, width] = conv.size;
        let [down, across] = conv.stride;
        for (input, out) in out.chunks_exact_mut(height * width).enumerate() {
            let lines = out.chunks_exact_mut(width).enumerate().skip(first * down).take(rows * down);
            for (y, out) in lines {
                let at = input * self.panel.strip * self.size[1] + (y / down - first) * self.size[1];
                let line = |phase: usize| &maps[(y % down * across + phase) * map + at..][..self.size[1]];
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

/// One image of [`Conv::input_gradient`].
struct InputGradient<'a> {
    conv: &'a Conv,
    transposed: &'a Transposed,
    grad: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { conv, transposed, grad, out } = self;
        let Transposed { panel, size, phases, biases, .. } = transposed;
        let whole = conv.stride == [1, 1];
        let most = panel.strip * size[1];
        let map = if whole { 0 } else { conv.inputs * most };
        let mut kept = scratch::take([panel.len() + SLACK, phases.len() * map]);
        let [buffer, maps] = kept.slices();
        for first in (0..size[0]).step_by(panel.strip) {
            let rows = panel.strip.min(size[0] - first);
            panel.fill::<V>(grad, first, rows, buffer);
            let length = rows * size[1];
            if whole {
                // One phase, whose positions are the input's.
                let Some(Phase { offsets, weights, .. }) = phases.first() else { return };
                let mut target =
                    Target { out: &mut out[first * size[1]..], pitch: size[0] * size[1], rows: conv.inputs };
                positions::<V>(length, offsets, weights, biases, buffer, &mut target);
                continue;
            }
            for (phase, map) in phases.iter().zip(maps.chunks_exact_mut(map)) {
                let mut target = Target { out: as_uninit(map), pitch: most, rows: conv.inputs };
                positions::<V>(length, &phase.offsets, &phase.weights, biases, buffer, &mut target);
            }
            transposed.interleave(conv, first, rows, maps, map, out);
        }
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
    /// Parts to aim at: enough for many threads.
    const TASKS: usize = 32;
    /// The sums of all blocks together may take so many numbers, 4 MiB.
    const SUMS: usize = 1 << 20;

    fn new(conv: &Conv) -> Self {
        let sums = conv.inputs * conv.taps() * conv.outputs.next_multiple_of(LANE_BLOCK);
        let blocks = (Self::SUMS / sums.max(1)).clamp(1, Self::TASKS).min(conv.batch.max(1));
        let images = conv.batch.div_ceil(blocks).max(1);
        let blocks = conv.batch.div_ceil(images).max(1);
        let parts = (Self::TASKS / 2).div_ceil(blocks).min(conv.inputs.max(1));
        Self { images, blocks, channels: conv.inputs.div_ceil(parts).max(1) }
    }
}

/// One share of [`Conv::weight_gradient`].
struct WeightGradient<'a> {
    conv: &'a Conv,
    panel: &'a Panel,
    offsets: &'a Offsets,
    input: &'a [f32],
    grad: &'a [f32],
    images: std::ops::Range<usize>,
    channels: std::ops::Range<usize>,
    pitch: usize,
    out: &'a mut [f32],
}

/// The panels and rows of lanes that are summed in one go should stay in the second-level cache.
const GROUP: usize = 128 * 1024;

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { conv, panel, offsets, input, grad, images, channels, pitch, out } = self;
        let [height, width] = conv.output;
        let plane = conv.size[0] * conv.size[1];
        let most = panel.strip * width;
        let rows_of_lanes = most * pitch;
        let at_once = (GROUP / (panel.len() + rows_of_lanes).max(1)).clamp(1, 64);
        let mut kept = scratch::take([at_once * panel.len(), at_once * rows_of_lanes]);
        let [panels, lanes] = kept.slices();
        let mut segments = [Segment { panel: 0, lanes: 0, length: 0 }; 64];
        let mut filled = 0;
        for image in images {
            let from = &input[image * conv.image() + channels.start * plane..][..channels.len() * plane];
            let grad = &grad[image * conv.outputs * conv.map()..][..conv.outputs * conv.map()];
            for first in (0..height).step_by(panel.strip) {
                let rows = panel.strip.min(height - first);
                let segment =
                    Segment { panel: filled * panel.len(), lanes: filled * rows_of_lanes, length: rows * width };
                panel.fill::<V>(from, first, rows, &mut panels[segment.panel..][..panel.len()]);
                let lanes_here = &mut lanes[segment.lanes..][..rows_of_lanes];
                as_lanes::<V>(&grad[first * width..], conv.outputs, conv.map(), segment.length, lanes_here, most);
                segments[filled] = segment;
                filled += 1;
                if filled == at_once {
                    products::<V>(
                        &segments[..filled],
                        offsets,
                        panels,
                        Lanes { values: lanes, most, used: conv.outputs },
                        out,
                        pitch,
                    );
                    filled = 0;
                }
            }
        }
        products::<V>(
            &segments[..filled],
            offsets,
            panels,
            Lanes { values: lanes, most, used: conv.outputs },
            out,
            pitch,
        );
    }
}

/// `maps`, `map` numbers apart, as [`Lanes`] of `length` positions.
#[inline(always)]
fn as_lanes<V: Vector>(maps: &[f32], channels: usize, map: usize, length: usize, lanes: &mut [f32], most: usize) {
    assert!(channels == 0 || maps.len() >= (channels - 1) * map + length);
    assert!(length <= most && lanes.len() >= channels.next_multiple_of(LANE_BLOCK) * most);
    for first in (0..length).step_by(V::LANES) {
        let columns = V::LANES.min(length - first);
        for channel in (0..channels).step_by(V::LANES) {
            let rows = V::LANES.min(channels - channel);
            let to = Lanes::place(channel, most) + first * LANE_BLOCK;
            // SAFETY: rows and columns end within the maps, `LANES` divides the block.
            unsafe {
                let from = maps.as_ptr().add(channel * map + first);
                V::transpose(from, rows, columns, map, lanes.as_mut_ptr().add(to), LANE_BLOCK);
            }
        }
    }
}
