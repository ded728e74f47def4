//! The innermost loop of the gradient of convolution's weights: the output's channels are the lanes.
//!
//! The output's gradient is turned so that all channels of a position lie side by side. A value of the input is
//! multiplied with a register of them; the sums of some channels of the input and of some taps in a row of the kernel
//! stay in registers while the loop runs over positions. The input is read in place; taps outside of it are skipped.

use std::ops::Range;

use super::correlate::{LINE, Target, write};
use super::memory::as_uninit;
use super::scratch;
use super::set::{InstructionSet, Kernel};
use super::shape::Conv;
use super::vector::Vector;

/// Some images and some channels of the input: one share of the work.
pub(crate) struct Share<'a> {
    pub(crate) set: InstructionSet,
    pub(crate) conv: &'a Conv,
    pub(crate) input: &'a [f32],
    /// Of the output.
    pub(crate) grad: &'a [f32],
    pub(crate) images: Range<usize>,
    pub(crate) channels: Range<usize>,
    /// Where its sums go, by term and lane, `pitch` lanes to a term.
    pub(crate) sums: &'a mut [f32],
    pub(crate) pitch: usize,
}

/// The rows of lanes that are summed in one go should stay in the second-level cache.
const GROUP: usize = 64 * 1024;

/// At most so many pieces of maps are summed in one go.
const PIECES: usize = 64;

/// After so many positions sums join those in memory: their error grows with their length.
const RUN: usize = 256;

/// Some rows of an image's map, and where their lanes begin.
#[derive(Clone, Copy, Default)]
struct Piece {
    image: usize,
    first: usize,
    rows: usize,
    lanes: usize,
}

impl Kernel for Share<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { set, conv, input, grad, images, channels, sums, pitch } = self;
        let [height, width] = conv.output;
        let map = height * width;
        let taps = conv.kernel[0] * conv.kernel[1];
        assert!(pitch == conv.outputs.next_multiple_of(V::LANES));
        // The first group writes all sums, which are not zeroed before.
        assert!(!images.is_empty() && map > 0);
        assert!(sums.len() == channels.len() * taps * pitch && channels.end <= conv.inputs);
        assert!(grad.len() == conv.batch * conv.outputs * map && images.end <= conv.batch);
        assert!(input.len() == conv.batch * conv.inputs * conv.size[0] * conv.size[1]);
        // Not `pitch`: sets with the same roundings shall give the same bits.
        let room = |rows: usize| rows * width * conv.outputs.next_multiple_of(16);
        let strip = (GROUP / room(1)).clamp(1, height);
        let room = room(strip);
        let at_once = (GROUP / room).clamp(1, PIECES);
        let mut kept = scratch::take([at_once * room]);
        let [lanes] = kept.slices();
        let mut pieces = [Piece::default(); PIECES];
        let (mut count, mut add) = (0, false);
        let end = images.end;
        for image in images {
            let grad = &grad[image * conv.outputs * map..][..conv.outputs * map];
            for first in (0..height).step_by(strip) {
                let piece = Piece { image, first, rows: strip.min(height - first), lanes: count * room };
                let here = &mut lanes[piece.lanes..][..room];
                turn::<V>(&grad[first * width..], conv.outputs, map, piece.rows * width, here);
                // The image is read in many places at a time, later.
                let channel = conv.size[0] * conv.size[1];
                let from = (image * conv.inputs + channels.start) * channel;
                if first == 0 {
                    for line in input[from..][..channels.len() * channel].chunks(LINE) {
                        V::prefetch(line.as_ptr());
                    }
                }
                pieces[count] = piece;
                count += 1;
                if count == at_once || (image + 1 == end && first + strip >= height) {
                    let (channels, pieces) = (channels.clone(), &pieces[..count]);
                    Group { set, conv, input, channels, pieces, lanes, pitch, add }.add::<V>(sums);
                    (count, add) = (0, true);
                }
            }
        }
    }
}

/// Maps of `length` positions, `map` numbers apart, by position and lane: in blocks of two registers of lanes, the last one
/// perhaps of one.
#[inline(always)]
fn turn<V: Vector>(maps: &[f32], channels: usize, map: usize, length: usize, lanes: &mut [f32]) {
    let pitch = channels.next_multiple_of(V::LANES);
    assert!(channels == 0 || maps.len() >= (channels - 1) * map + length);
    assert!(lanes.len() >= pitch * length);
    for channel in (0..channels).step_by(V::LANES) {
        let rows = V::LANES.min(channels - channel);
        let block = channel / (2 * V::LANES) * 2 * V::LANES;
        let wide = (2 * V::LANES).min(pitch - block);
        for first in (0..length).step_by(V::LANES) {
            let columns = V::LANES.min(length);
            // The last ones lie over those before.
            let first = first.min(length - columns);
            // What is turned next lies in as many places: the processor does not see it coming.
            for row in V::LANES..2 * V::LANES {
                V::prefetch(maps.as_ptr().wrapping_add((channel + row) * map + first));
            }
            // SAFETY: rows and columns end within the maps; of a block, `wide` numbers for each position come before.
            unsafe {
                let from = maps.as_ptr().add(channel * map + first);
                let to = lanes.as_mut_ptr().add(block * length + first * wide + channel - block);
                V::transpose(from, rows, columns, map, to, wide);
            }
        }
    }
}

/// What is summed in one go.
struct Group<'a> {
    set: InstructionSet,
    conv: &'a Conv,
    input: &'a [f32],
    channels: Range<usize>,
    pieces: &'a [Piece],
    lanes: &'a [f32],
    pitch: usize,
    /// Whether the sums have been written, and are added to.
    add: bool,
}

impl Group<'_> {
    #[inline(always)]
    fn add<V: Vector>(&self, sums: &mut [f32]) {
        let [down, across] = self.conv.kernel;
        let mut rows = Vec::new();
        for block in (0..self.pitch).step_by(2 * V::LANES) {
            let wide = (2 * V::LANES).min(self.pitch - block);
            rows.clear();
            let mut ends = Vec::with_capacity(down);
            for row in 0..down {
                self.rows(row, block, wide, &mut rows);
                ends.push(rows.len());
            }
            let mut column = 0;
            while column < across {
                let columns = match across - column {
                    _ if self.conv.dilation[1] > 1 => 1,
                    4 => 2,
                    left => left.min(5),
                };
                let mut channel = self.channels.start;
                while channel < self.channels.end {
                    let count = tile_of::<V>(columns, self.channels.end - channel);
                    let mut begin = 0;
                    for (row, &end) in ends.iter().enumerate() {
                        let first = ((channel - self.channels.start) * down + row) * across + column;
                        let sums = &mut sums[first * self.pitch + block..];
                        let rows = &rows[begin..end];
                        self.set.run(Tile { group: self, rows, wide, channel, channels: count, column, columns, sums });
                        begin = end;
                    }
                    channel += count;
                }
                column += columns;
            }
        }
    }

    /// The rows of the output at which a row of the kernel stands in the image.
    fn rows(&self, row: usize, block: usize, wide: usize, rows: &mut Vec<Row>) {
        let (conv, across) = (self.conv, self.conv.output[1]);
        for piece in self.pieces {
            assert!(piece.image < conv.batch && piece.first + piece.rows <= conv.output[0]);
            assert!(self.lanes.len() >= piece.lanes + (block + wide) * piece.rows * across);
            let of_piece = piece.lanes + block * piece.rows * across;
            let image = piece.image * conv.inputs * conv.size[0] * conv.size[1];
            rows.extend((0..piece.rows).filter_map(|y| {
                let row = (piece.first + y) * conv.stride[0] + row * conv.dilation[0];
                let row = row.checked_sub(conv.padding[0]).filter(|&row| row < conv.size[0])?;
                Some(Row { lanes: of_piece + y * across * wide, input: image + row * conv.size[1] })
            }));
        }
    }
}

/// A row of the output, and what a row of the kernel stands on there.
#[derive(Clone, Copy)]
struct Row {
    /// Where its lanes begin.
    lanes: usize,
    /// Where the row of the input's first channel begins.
    input: usize,
}

/// Channels of the next tile of this many columns, where so many are left: registers hold the sums of twelve terms, or of
/// six, and two registers of lanes. Each size is code of its own, so there are few.
fn tile_of<V: Vector>(columns: usize, left: usize) -> usize {
    let sizes: &[usize] = match (columns, V::LANES) {
        (1, 16) => &[8, 4, 1],
        (1, _) => &[6, 3, 1],
        (2, 16) => &[6, 1],
        (2, _) => &[3, 1],
        (3, 16) => &[4, 3, 1],
        (_, 16) | (3, _) => &[2, 1],
        _ => &[1],
    };
    sizes.iter().copied().find(|&size| size <= left).unwrap_or(1)
}

/// Some channels, one row of the kernel, some columns of it, one block of lanes.
struct Tile<'a> {
    group: &'a Group<'a>,
    rows: &'a [Row],
    wide: usize,
    channel: usize,
    channels: usize,
    column: usize,
    columns: usize,
    /// From the first channel, row and column on.
    sums: &'a mut [f32],
}

/// A function of its own: the compiler keeps sums in registers where it sees little else.
impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Group { conv, lanes, input, pitch, .. } = *self.group;
        let (channels, columns) = (self.channels, self.columns);
        assert!(self.wide == V::LANES || self.wide == 2 * V::LANES);
        assert!(self.channel + channels <= conv.inputs && self.column + columns <= conv.kernel[1]);
        let last = (channels - 1) * conv.kernel[0] * conv.kernel[1] + columns - 1;
        assert!(self.sums.len() >= last * pitch + self.wide);
        let planes = (self.channel + channels - 1) * conv.size[0] * conv.size[1] + conv.size[1];
        for row in self.rows {
            assert!(lanes.len() >= row.lanes + conv.output[1] * self.wide && input.len() >= row.input + planes);
        }
        macro_rules! sized {
            ($($c:literal $k:literal),*) => {
                // SAFETY: the asserts above.
                unsafe {
                    match (channels, columns, self.wide == V::LANES) {
                        $(
                            ($c, $k, true) => self.tile::<V, $c, $k, 1>(),
                            ($c, $k, false) => self.tile::<V, $c, $k, 2>(),
                        )*
                        _ => unreachable!("`tile_of` has other tiles"),
                    }
                }
            };
        }
        if V::LANES == 16 {
            sized!(1 1, 4 1, 8 1, 1 2, 6 2, 1 3, 3 3, 4 3, 1 5, 2 5);
        } else {
            sized!(1 1, 3 1, 6 1, 1 2, 3 2, 1 3, 2 3, 1 5);
        }
    }
}

impl Tile<'_> {
    /// `C` channels and `K` columns of the kernel times `N` registers of lanes.
    ///
    /// # Safety
    /// As [`run`](Kernel::run) asserts.
    #[inline(always)]
    unsafe fn tile<V: Vector, const C: usize, const K: usize, const N: usize>(self) {
        let Group { conv, input, lanes, pitch, mut add, .. } = *self.group;
        let (step, dilation) = (conv.stride[1], conv.dilation[1]);
        // Several columns only where there is no dilation: their places are constants of the code then.
        debug_assert!((K == 1 || dilation == 1) && self.wide == N * V::LANES);
        let [height, width] = conv.size;
        let (plane, across) = (height * width, conv.output[1]);
        // Column of the input under the first tap at position 0.
        let start = (self.column * dilation) as isize - conv.padding[1] as isize;
        let reach = start + (K - 1) as isize;
        // Positions at which all taps stand in the image.
        let low = (-start).max(0).unsigned_abs().div_ceil(step).min(across);
        let high = (width as isize - reach).max(0).unsigned_abs().div_ceil(step).clamp(low, across);
        let taps = conv.kernel[0] * conv.kernel[1];
        // Short sums are cut too.
        let run = (conv.batch * conv.output[0] * across / 4).clamp(32, RUN);
        // SAFETY: the caller's promise; a value of the input is read where its row and its column are in the image.
        unsafe {
            let mut values = [[[V::splat(0.0); N]; K]; C];
            let mut added = 0;
            for row in self.rows {
                if added >= run {
                    join(&mut values, self.sums.as_mut_ptr(), taps * pitch, pitch, add);
                    (added, add) = (0, true);
                }
                added += across;
                let of_row = lanes.as_ptr().add(row.lanes);
                let row = input.as_ptr().add(row.input + self.channel * plane).wrapping_offset(start);
                // One column of taps stands in the image or is skipped.
                let edges = if K == 1 { 0..0 } else { high..across };
                for x in (0..if K == 1 { 0 } else { low }).chain(edges) {
                    let mut registers = [V::splat(0.0); N];
                    for (n, register) in registers.iter_mut().enumerate() {
                        *register = V::load(of_row.add((x * N + n) * V::LANES));
                    }
                    for k in 0..K {
                        let at = x * step + k;
                        let column = start + at as isize;
                        if column < 0 || column >= width as isize {
                            continue;
                        }
                        for (c, values) in values.iter_mut().enumerate() {
                            let factor = V::splat(row.wrapping_add(c * plane + at).read());
                            for (value, register) in values[k].iter_mut().zip(registers) {
                                *value = factor.mul_add(register, *value);
                            }
                        }
                    }
                }
                let mut from = [row; C];
                for (c, from) in from.iter_mut().enumerate() {
                    *from = row.wrapping_add(c * plane);
                }
                let mut at = low * step;
                for x in low..high {
                    let mut registers = [V::splat(0.0); N];
                    for (n, register) in registers.iter_mut().enumerate() {
                        *register = V::load(of_row.add((x * N + n) * V::LANES));
                    }
                    for k in 0..K {
                        for (values, from) in values.iter_mut().zip(from) {
                            let factor = V::splat(from.wrapping_add(at + k).read());
                            for (value, register) in values[k].iter_mut().zip(registers) {
                                *value = factor.mul_add(register, *value);
                            }
                        }
                    }
                    at += step;
                }
            }
            join(&mut values, self.sums.as_mut_ptr(), taps * pitch, pitch, add);
        }
    }
}

/// Writes values as sums, or adds them to these, and sets them to zero.
///
/// # Safety
/// From `sums` on there are `N` registers for each column, `pitch` apart, and channel, `channel` apart.
#[inline(always)]
unsafe fn join<V: Vector, const C: usize, const K: usize, const N: usize>(
    values: &mut [[[V; N]; K]; C],
    sums: *mut f32,
    channel: usize,
    pitch: usize,
    add: bool,
) {
    for (c, values) in values.iter_mut().enumerate() {
        for (k, values) in values.iter_mut().enumerate() {
            for (n, value) in values.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    let sum = sums.add(c * channel + k * pitch + n * V::LANES);
                    if add { V::load(sum).add(*value) } else { *value }.store(sum);
                    *value = V::splat(0.0);
                }
            }
        }
    }
}

/// Adds up the sums of all shares of a register of lanes, block after block, and turns `(term, lane)` into `(lane, term)`.
pub(crate) struct Gather<'a> {
    /// Blocks of sums by term and lane.
    pub(crate) blocks: &'a [f32],
    pub(crate) terms: usize,
    pub(crate) pitch: usize,
    /// The first lane.
    pub(crate) lane: usize,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { blocks, terms, pitch, lane, out } = self;
        let lanes = out.len() / terms;
        let mut target = Target { out: as_uninit(out), pitch: terms, lanes };
        let mut sums = [0.0_f32; 64 * 16];
        assert!(lane + V::LANES <= pitch);
        for first in (0..terms).step_by(64) {
            let sums = &mut sums[..64.min(terms - first) * V::LANES];
            sums.fill(0.0);
            for block in blocks.chunks_exact(terms * pitch) {
                let rows = block[first * pitch..].chunks_exact(pitch);
                for (sums, row) in sums.chunks_exact_mut(V::LANES).zip(rows) {
                    // Of the next block.
                    V::prefetch(row.as_ptr().wrapping_add(terms * pitch + lane));
                    // SAFETY: a register of sums, and of a row, of which so many numbers come from `lane` on.
                    unsafe {
                        let sum = V::load(sums.as_ptr()).add(V::load(row.as_ptr().add(lane)));
                        sum.store(sums.as_mut_ptr());
                    }
                }
            }
            write::<V>(sums, V::LANES, first, &mut target);
        }
    }
}
