//! The innermost loop of convolution forward and of its input's gradient: the result's channels are the lanes.
//!
//! A value of the source is multiplied with the weights of a whole register of channels. The source is read where it
//! lies, image row by image row; taps above and below it are skipped, and so is the column to the left and to the right
//! of it. Wider padding takes a copy of the image with zeros around it.

use std::mem::MaybeUninit;

use super::scratch::{self, Scratch};
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// Sums over windows of a source, `(channel, row, column)`, by lane and position:
/// `out[l][y][x] = bias[l] + sum_cij weights[l][c][i][j] * source[c][y * stride + start + i * dilation][..]`, with zeros
/// outside of the source. Pairs are (rows, columns).
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    /// Of the source.
    pub(crate) channels: usize,
    pub(crate) lanes: usize,
    /// Of the source.
    pub(crate) size: [usize; 2],
    pub(crate) taps: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Where tap 0 stands in the source for position 0.
    pub(crate) start: [isize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) output: [usize; 2],
    /// A sum's terms are added up in runs of about so many, at most [`RUN`]: its error grows with the length of these.
    pub(crate) run: usize,
}

pub(crate) const RUN: usize = 160;

/// Into how many runs a sum is cut: four where they have 32 terms, and more where they would be longer than `run`.
fn runs(terms: usize, run: usize) -> usize {
    terms.div_ceil(run).max(terms.div_ceil(32).min(4)).max(1)
}

/// Numbers in a line of a cache, as far as that matters.
pub(crate) const LINE: usize = 16;

/// Positions of which the sums wait to be written together.
const WAITING: usize = 128;

/// Where the sums of some rows go: lane after lane, `pitch` apart.
pub(crate) struct Target<'a> {
    pub(crate) out: &'a mut [MaybeUninit<f32>],
    pub(crate) pitch: usize,
    /// Lanes that are wanted; the rest of the block is thrown away.
    pub(crate) lanes: usize,
}

/// Weights, and biases, of a block of lanes: `(channel, row, column, lane)`.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) weights: &'a [f32],
    pub(crate) bias: &'a [f32],
}

/// The weights of all lanes in blocks as wide as a tile, the last one perhaps half as wide.
pub(crate) struct Packed {
    terms: usize,
    /// Lanes of a block.
    wide: usize,
    weights: Scratch<1>,
    biases: Vec<f32>,
}

/// How the weights of a correlation lie in memory: `weights[channel * channels + lane * lanes + taps[tap]]`.
pub(crate) struct Layout<'a> {
    pub(crate) weights: &'a [f32],
    pub(crate) channel: usize,
    pub(crate) lane: usize,
    pub(crate) taps: &'a [usize],
}

impl Packed {
    /// For `registers` of this many lanes.
    pub(crate) fn new(registers: usize, of: &Correlation, layout: &Layout<'_>, bias: Option<&[f32]>) -> Self {
        let (terms, taps, lanes) = (of.terms(), layout.taps.len(), of.lanes);
        let (wide, padded) = (2 * registers, lanes.next_multiple_of(registers));
        let mut kept = scratch::take([padded * terms]);
        let [weights] = kept.slices();
        // Some channels at a time, so that lines of memory are written while they are in the cache.
        let channels = (64 / taps.max(1)).max(1);
        let pieces = weights.chunks_mut((wide * terms).max(1)).enumerate().flat_map(|(block, weights)| {
            let here = wide.min(padded - block * wide);
            let pieces = weights.chunks_mut((here * taps * channels).max(1)).enumerate();
            pieces.map(move |(piece, weights)| (block * wide, here, piece * channels, weights))
        });
        share(pieces, padded * terms >= 1 << 14, |(first, here, channel, weights)| {
            for lane in first..first + here {
                if lane >= lanes {
                    weights.iter_mut().skip(lane - first).step_by(here).for_each(|weight| *weight = 0.0);
                    continue;
                }
                for (at, rows) in weights.chunks_exact_mut(here * taps).enumerate() {
                    let from = &layout.weights[(channel + at) * layout.channel + lane * layout.lane..];
                    for (row, &tap) in rows.chunks_exact_mut(here).zip(layout.taps) {
                        row[lane - first] = from[tap];
                    }
                }
            }
        });
        let mut biases = vec![0.0; padded];
        if let Some(bias) = bias {
            biases[..lanes].copy_from_slice(bias);
        }
        Self { terms, wide, weights: kept, biases }
    }

    /// Lanes of a block, but for the last one.
    pub(crate) fn wide(&self) -> usize {
        self.wide
    }

    pub(crate) fn block(&self, block: usize) -> Block<'_> {
        let first = block * self.wide;
        let lanes = self.wide.min(self.biases.len() - first);
        Block {
            weights: &self.weights.first()[first * self.terms..][..lanes * self.terms],
            bias: &self.biases[first..][..lanes],
        }
    }
}

impl Correlation {
    pub(crate) fn terms(&self) -> usize {
        self.channels * self.taps[0] * self.taps[1]
    }

    /// The column of the last tap at the last position, from the first column of the first tap at the first position.
    fn reach(&self) -> usize {
        (self.output[1] - 1) * self.stride[1] + self.taps[1].saturating_sub(1) * self.dilation[1]
    }

    /// Whether at most one column to each side is outside of the source, under the first or the last tap alone.
    fn in_place(&self) -> bool {
        let last = self.start[1] + self.reach() as isize;
        let end = self.size[1] as isize;
        let inside = self.start[1] >= 0 && last < end;
        inside || (self.taps[1] > 1 && self.start[1] >= -1 && last <= end)
    }

    /// Numbers in a copy of the source.
    fn copied(&self) -> usize {
        if self.in_place() { 0 } else { self.channels * self.size[0] * (self.reach() + 1) }
    }

    /// A copy of the source that has all columns that a tap can stand in.
    #[inline(always)]
    fn copy<V: Vector>(&self, source: &[f32], copy: &mut [f32]) {
        let (width, wide, start) = (self.size[1], self.reach() + 1, self.start[1]);
        let from = (-start).max(0).unsigned_abs().min(wide);
        let skipped = start.max(0).unsigned_abs().min(width);
        let count = (width - skipped).min(wide - from);
        for (row, copy) in source.chunks_exact(width).zip(copy.chunks_exact_mut(wide)) {
            copy[..from].fill(0.0);
            copy[from + count..].fill(0.0);
            let (row, copy) = (&row[skipped..][..count], &mut copy[from..][..count]);
            // SAFETY: both have so many numbers.
            unsafe { V::copy(row.as_ptr(), copy.as_mut_ptr(), count) }
        }
    }

    /// The taps, of the rows, that stand in the source at output row `y`.
    fn rows_of_taps(&self, y: usize) -> std::ops::Range<usize> {
        let (top, dilation) = ((y * self.stride[0]) as isize + self.start[0], self.dilation[0]);
        let first = (-top).max(0).unsigned_abs().div_ceil(dilation);
        let end = (self.size[0] as isize - top).max(0).unsigned_abs().div_ceil(dilation).min(self.taps[0]);
        first.min(end)..end
    }

    /// The sums of output rows `rows`, of a block of lanes. `next` is what will be read after this: it is brought into the
    /// cache meanwhile, and so is where the sums go. The processor does not see it coming: what is read and written
    /// together lies in many pages.
    #[inline(always)]
    pub(crate) fn run<V: Vector>(
        &self,
        set: InstructionSet,
        source: &[f32],
        block: Block<'_>,
        rows: std::ops::Range<usize>,
        target: &mut Target<'_>,
        next: &[f32],
    ) {
        let (wide, width, terms) = (block.bias.len(), self.output[1], self.terms());
        assert!(wide == V::LANES || wide == 2 * V::LANES);
        assert!(block.weights.len() == terms * wide && source.len() == self.channels * self.size[0] * self.size[1]);
        assert!(target.lanes <= wide && rows.end <= self.output[0]);
        let length = rows.len() * width;
        assert!(target.lanes == 0 || target.out.len() >= (target.lanes - 1) * target.pitch + length);
        if terms == 0 || length == 0 {
            for (lane, &bias) in (0..target.lanes).zip(block.bias) {
                target.out[lane * target.pitch..][..length].fill(MaybeUninit::new(bias));
            }
            return;
        }
        let strip = (WAITING / width).max(1);
        let mut kept = scratch::take([self.copied(), strip * width * wide]);
        let [copy, sums] = kept.slices();
        let in_place = self.in_place();
        let (source, pitch, start) = if in_place {
            (source, self.size[1], self.start[1])
        } else {
            self.copy::<V>(source, copy);
            (&*copy, self.reach() + 1, 0)
        };
        let runs = runs(terms, self.run).min(self.channels).max(1);
        let channels = self.channels.div_ceil(runs).max(1);
        // Each number of positions and each stride is code of its own, so wide strides have less of it.
        let most = match (V::POSITIONS, self.stride[1]) {
            (14, 2) => 8,
            (14, 3..) => 2,
            (most, _) => most,
        };
        let tiles = width.div_ceil(most);
        for strip_rows in rows.clone().step_by(strip) {
            let here = strip_rows..rows.end.min(strip_rows + strip);
            let part = next.len().div_ceil(rows.len().div_ceil(strip));
            let from = (part * ((strip_rows - rows.start) / strip)).min(next.len());
            for line in next[from..next.len().min(from + part)].chunks(LINE) {
                V::prefetch(line.as_ptr());
            }
            let waiting = (here.start - rows.start) * width;
            for lane in 0..target.lanes {
                for line in target.out[lane * target.pitch + waiting..][..here.len() * width].chunks(LINE) {
                    V::prefetch(line.as_ptr().cast());
                }
            }
            for y in here.clone() {
                let taps = self.rows_of_taps(y);
                let top = (y * self.stride[0]) as isize + self.start[0];
                let mut x = 0;
                for tile in 0..tiles {
                    let count = (width - x).div_ceil(tiles - tile);
                    let column = (x * self.stride[1]) as isize + start;
                    let to = &mut sums[((y - here.start) * width + x) * wide..][..count * wide];
                    let last = column
                        + ((count - 1) * self.stride[1] + self.taps[1].saturating_sub(1) * self.dilation[1]) as isize;
                    set.run(Tile {
                        source,
                        plane: self.size[0] * pitch,
                        at: top * pitch as isize + column,
                        pitch: self.dilation[0] * pitch,
                        channels: self.channels,
                        run: channels,
                        taps: taps.clone(),
                        rows: self.taps[0],
                        columns: self.taps[1],
                        step: self.stride[1],
                        dilation: self.dilation[1],
                        left: column < 0,
                        right: last >= pitch as isize,
                        block,
                        count,
                        to,
                    });
                    x += count;
                }
            }
            let done = (here.start - rows.start) * width;
            write::<V>(&sums[..here.len() * width * wide], wide, done, target);
        }
    }
}

/// Puts sums, `(position, lane)`, where they belong, lane by lane from position `first` on.
#[inline(always)]
pub(crate) fn write<V: Vector>(sums: &[f32], wide: usize, first: usize, target: &mut Target<'_>) {
    let length = sums.len() / wide;
    let mut edge = [0.0_f32; 16 * 16];
    for position in (0..length).step_by(V::LANES) {
        let count = V::LANES.min(length);
        // The last ones lie over those before.
        let position = position.min(length - count);
        for lane in (0..target.lanes).step_by(V::LANES) {
            let lanes = V::LANES.min(target.lanes - lane);
            let from = &sums[position * wide + lane..];
            assert!(from.len() >= (count - 1) * wide + lanes);
            let to = &mut target.out[lane * target.pitch + first + position..];
            assert!(to.len() >= (lanes - 1) * target.pitch + count);
            // SAFETY: the asserts; what has fewer positions than a register goes through `edge`.
            unsafe {
                if count == V::LANES {
                    V::transpose(from.as_ptr(), count, lanes, wide, to.as_mut_ptr().cast(), target.pitch);
                } else {
                    V::transpose(from.as_ptr(), count, lanes, wide, edge.as_mut_ptr(), V::LANES);
                    for lane in 0..lanes {
                        let to = to.as_mut_ptr().cast::<f32>().add(lane * target.pitch);
                        V::copy(edge.as_ptr().add(lane * V::LANES), to, count);
                    }
                }
            }
        }
    }
}

/// Some positions of a row, a block of lanes, a run of channels. What it is made of is code that is compiled once.
struct Tile<'a> {
    source: &'a [f32],
    /// From one channel to the next.
    plane: usize,
    /// Where the first tap of the first channel stands for the first position; it may be outside.
    at: isize,
    /// From one row of taps to the next.
    pitch: usize,
    channels: usize,
    /// After so many channels sums join those before.
    run: usize,
    /// Rows of taps that stand in the source.
    taps: std::ops::Range<usize>,
    /// All rows of taps.
    rows: usize,
    columns: usize,
    /// From one position to the next.
    step: usize,
    /// From one column of taps to the next.
    dilation: usize,
    /// Whether the first tap is outside for the first position, the last one for the last position.
    left: bool,
    right: bool,
    block: Block<'a>,
    /// How many positions.
    count: usize,
    /// The sums, by position and lane.
    to: &'a mut [f32],
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let terms = self.rows * self.columns;
        let (count, wide) = (self.count, self.block.bias.len());
        assert!(wide == V::LANES || wide == 2 * V::LANES);
        assert!(self.to.len() == count * wide);
        assert!(self.block.weights.len() >= self.channels * terms * wide);
        if !self.taps.is_empty() && self.channels > 0 {
            // The least and the greatest place that is read.
            let start = self.at + (self.taps.start * self.pitch) as isize;
            let end = start
                + ((self.channels - 1) * self.plane + (self.taps.len() - 1) * self.pitch) as isize
                + ((self.columns - 1) * self.dilation + (count - 1) * self.step) as isize;
            assert!(start + isize::from(self.left) >= 0);
            assert!(end - isize::from(self.right) < self.source.len() as isize);
        }
        macro_rules! sized {
            ($step:literal: $($n:literal)*) => {
                // SAFETY: the asserts above.
                unsafe {
                    match (count, wide == V::LANES) {
                        $(($n, true) => self.tile::<V, $n, 1, $step>(), ($n, false) => self.tile::<V, $n, 2, $step>(),)*
                        _ => unreachable!("a tile has at most {} positions", V::POSITIONS),
                    }
                }
            };
        }
        // Registers are the most for the widest set: there it pays that the compiler knows how far positions are apart.
        match (V::POSITIONS, self.step) {
            (14, 1) => sized!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            (14, 2) => sized!(2: 1 2 3 4 5 6 7 8),
            (14, _) => sized!(0: 1 2),
            (6, _) => sized!(0: 1 2 3 4 5 6),
            (_, _) => sized!(0: 1 2 3),
        }
    }
}

impl Tile<'_> {
    /// `P` positions times `N` registers of lanes; `STEP` is 0 where it is known only when the program runs.
    ///
    /// # Safety
    /// As [`run`](Kernel::run) asserts: every tap of `taps` stands in the source at every position, but for the first tap
    /// at the first position where `left`, and the last one at the last where `right`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const P: usize, const N: usize, const STEP: usize>(self) {
        let step = if STEP == 0 { self.step } else { STEP };
        let each = N * V::LANES;
        debug_assert!(self.block.bias.len() == each && self.to.len() == P * each);
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; P];
            for sums in &mut sums {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(self.block.bias.as_ptr().add(n * V::LANES));
                }
            }
            let terms = self.rows * self.columns;
            let mut weights = self.block.weights.as_ptr().add(self.taps.start * self.columns * each);
            let mut plane = self.source.as_ptr().wrapping_offset(self.at + (self.taps.start * self.pitch) as isize);
            let skipped = (terms - self.taps.len() * self.columns) * each;
            // The columns of taps that the first and the last position have not: as numbers, for of two flags the compiler
            // would make four loops.
            let first = if self.left { 0 } else { self.columns };
            let last = if self.right { self.columns - 1 } else { self.columns };
            let mut done = 0;
            loop {
                for _ in 0..self.run.min(self.channels - done) {
                    let mut row = plane;
                    for _ in self.taps.clone() {
                        let mut from = row;
                        for column in 0..self.columns {
                            let mut values = [V::splat(0.0); N];
                            for (n, value) in values.iter_mut().enumerate() {
                                *value = V::load(weights.add(n * V::LANES));
                            }
                            weights = weights.wrapping_add(each);
                            for (p, sums) in sums.iter_mut().enumerate() {
                                if (p == 0 && column == first) || (p == P - 1 && column == last) {
                                    continue;
                                }
                                let factor = V::splat(from.wrapping_add(p * step).read());
                                for (sum, value) in sums.iter_mut().zip(values) {
                                    *sum = factor.mul_add(value, *sum);
                                }
                            }
                            from = from.wrapping_add(self.dilation);
                        }
                        row = row.wrapping_add(self.pitch);
                    }
                    plane = plane.wrapping_add(self.plane);
                    weights = weights.wrapping_add(skipped);
                }
                for (p, sums) in sums.iter_mut().enumerate() {
                    for (n, sum) in sums.iter_mut().enumerate() {
                        let to = self.to.as_mut_ptr().add(p * each + n * V::LANES);
                        if done > 0 { V::load(to).add(*sum) } else { *sum }.store(to);
                        *sum = V::splat(0.0);
                    }
                }
                done += self.run;
                if done >= self.channels {
                    return;
                }
            }
        }
    }
}
