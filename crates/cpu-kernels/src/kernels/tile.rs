//! The two innermost loops of convolution: small products of matrices that stay in registers.
//!
//! Both read one operand through a table of offsets, which makes a convolution a product of matrices without its
//! matrix ever being written: see [`Panel`](super::panel::Panel).

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::memory::parallel;
use super::vector::Vector;

/// How many output channels are packed together.
pub(crate) const PACK: usize = 8;

/// At most so many lanes beyond the last position are read from a panel and thrown away.
pub(crate) const SLACK: usize = 48;

/// So many terms are added up before their sum joins the others': the error of a sum grows with its length.
const RUN: usize = 32;

/// Offsets into a panel, one for each term of a sum, and the greatest of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Offsets {
    table: Vec<u32>,
    greatest: usize,
}

impl FromIterator<usize> for Offsets {
    fn from_iter<I: IntoIterator<Item = usize>>(offsets: I) -> Self {
        let table: Vec<u32> = offsets.into_iter().map(|offset| offset as u32).collect();
        let greatest = table.iter().copied().max().unwrap_or_default() as usize;
        Self { table, greatest }
    }
}

impl Offsets {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// Where [`positions`] writes: `rows` rows of `length` numbers each, `pitch` apart.
pub(crate) struct Target<'a> {
    pub(crate) out: &'a mut [MaybeUninit<f32>],
    pub(crate) pitch: usize,
    pub(crate) rows: usize,
}

/// `out[m][p] = bias[m] + sum_k weights[k][m] * panel[offsets[k] + p]` for `p` in `0..length` and `m` in `0..rows`.
///
/// `weights` are packed by [`pack`]: blocks of [`PACK`] rows, in each the rows of a term side by side. The terms are
/// added in the order of `k`, in runs of [`RUN`], whatever the tile.
#[inline(always)]
pub(crate) fn positions<V: Vector>(
    length: usize,
    offsets: &Offsets,
    weights: &[f32],
    bias: &[f32],
    panel: &[f32],
    target: &mut Target<'_>,
) {
    let terms = offsets.len();
    assert!(weights.len() == target.rows.div_ceil(PACK) * terms * PACK);
    assert!(bias.len() == target.rows.div_ceil(PACK) * PACK);
    assert!(panel.len() >= offsets.greatest + length + SLACK);
    assert!(target.rows == 0 || target.out.len() >= (target.rows - 1) * target.pitch + length);
    let most = if V::LANES == 16 { 3 } else { 2 };
    let mut first = 0;
    while first < length {
        // Half a register is enough for a short rest.
        let half = V::LANES == 16 && length - first <= 8;
        let left = (length - first + if V::LANES == 16 { 7 } else { V::LANES - 1 }) / V::LANES;
        // Four registers are two and two, so that no tile is thin.
        let wide = if left == most + 1 && most > 2 { left / 2 } else { left.clamp(1, most) };
        for block in 0..target.rows.div_ceil(PACK) {
            let weights = &weights[block * terms * PACK..][..terms * PACK];
            let bias = &bias[block * PACK..][..PACK];
            let at = Place { first, block, length };
            // SAFETY: the asserts above; a tile reads `wide * LANES <= SLACK` numbers from `first < length` on.
            unsafe {
                match (V::LANES, wide) {
                    (16, _) if half => tile::<V::Half, 8, 1>(offsets, weights, bias, panel, target, at),
                    (16, 3) => tile::<V, 8, 3>(offsets, weights, bias, panel, target, at),
                    (16, 2) => tile::<V, 8, 2>(offsets, weights, bias, panel, target, at),
                    (16, _) => tile::<V, 8, 1>(offsets, weights, bias, panel, target, at),
                    (_, 2) => tile::<V, 4, 2>(offsets, weights, bias, panel, target, at),
                    (_, _) => tile::<V, 4, 1>(offsets, weights, bias, panel, target, at),
                }
            }
        }
        first += wide * V::LANES;
    }
}

/// Which tile: its first position, its block of rows, and where the positions end.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    block: usize,
    length: usize,
}

/// [`PACK`] rows times `N` registers of positions, `M` rows at a time.
///
/// # Safety
/// `panel` reaches `SLACK` beyond the last position of the greatest offset, and `N * LANES <= SLACK`.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    offsets: &Offsets,
    weights: &[f32],
    bias: &[f32],
    panel: &[f32],
    target: &mut Target<'_>,
    at: Place,
) {
    debug_assert!(offsets.greatest + at.first + N * V::LANES <= panel.len());
    debug_assert!(weights.len() == offsets.len() * PACK && bias.len() == PACK && PACK.is_multiple_of(M));
    let valid = (at.length - at.first).min(N * V::LANES);
    for half in 0..PACK / M {
        let row = at.block * PACK + half * M;
        let rows = target.rows.saturating_sub(row).min(M);
        if rows == 0 {
            return;
        }
        // SAFETY: `weights` has PACK numbers for each offset, `panel` what the caller promises; the tile is written
        // to `target` where it lies in it as a whole, and through `edge` where not.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; M];
            for (m, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(*bias.get_unchecked(half * M + m)); N];
            }
            let mut totals = [[V::splat(0.0); N]; M];
            let panel = panel.as_ptr().add(at.first);
            let runs = offsets.table.chunks(RUN).zip(weights.chunks(RUN * PACK));
            for (run, (offsets, weights)) in runs.enumerate() {
                if run > 0 {
                    for (totals, sums) in totals.iter_mut().zip(&mut sums) {
                        for (total, sum) in totals.iter_mut().zip(sums) {
                            *total = total.add(*sum);
                            *sum = V::splat(0.0);
                        }
                    }
                }
                for (&offset, weights) in offsets.iter().zip(weights.chunks_exact(PACK)) {
                    let from = panel.add(offset as usize);
                    let mut values = [V::splat(0.0); N];
                    for (n, value) in values.iter_mut().enumerate() {
                        *value = V::load(from.add(n * V::LANES));
                    }
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let weight = V::splat(*weights.get_unchecked(half * M + m));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = weight.mul_add(value, *sum);
                        }
                    }
                }
            }
            if offsets.len() > RUN {
                for (totals, sums) in totals.into_iter().zip(&mut sums) {
                    for (total, sum) in totals.into_iter().zip(sums) {
                        *sum = total.add(*sum);
                    }
                }
            }
            if rows == M && valid == N * V::LANES {
                let out = target.out.as_mut_ptr().cast::<f32>().add(row * target.pitch + at.first);
                for (m, sums) in sums.into_iter().enumerate() {
                    for (n, sum) in sums.into_iter().enumerate() {
                        sum.store(out.add(m * target.pitch + n * V::LANES));
                    }
                }
            } else {
                let mut edge = [0.0_f32; SLACK];
                for (m, sums) in sums.into_iter().enumerate().take(rows) {
                    for (n, sum) in sums.into_iter().enumerate() {
                        sum.store(edge.as_mut_ptr().add(n * V::LANES));
                    }
                    let out = &mut target.out[(row + m) * target.pitch + at.first..][..valid];
                    V::copy(edge.as_ptr(), out.as_mut_ptr().cast(), valid);
                }
            }
        }
    }
}

/// Packs a matrix for [`positions`]: blocks of [`PACK`] rows, zeros in place of missing ones.
pub(crate) fn pack(rows: usize, terms: usize, weight: impl Fn(usize, usize) -> f32 + Sync + Send) -> Vec<f32> {
    let mut packed = vec![0.0; rows.div_ceil(PACK) * terms * PACK];
    let block = |(block, packed): (usize, &mut [f32])| {
        for (term, group) in packed.chunks_exact_mut(PACK).enumerate() {
            for (row, value) in (block * PACK..rows).zip(group) {
                *value = weight(row, term);
            }
        }
    };
    let each = (terms * PACK).max(1);
    if parallel(packed.len(), 1 << 14) {
        packed.par_chunks_exact_mut(each).enumerate().for_each(block);
    } else {
        packed.chunks_exact_mut(each).enumerate().for_each(block);
    }
    packed
}

/// A part of an image, as [`products`] reads it: where its panel begins, where its lanes begin, and how many positions
/// it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) panel: usize,
    pub(crate) lanes: usize,
    pub(crate) length: usize,
}

/// Lanes are kept in blocks of so many, the widest register: in each block, the lanes of a position side by side.
pub(crate) const LANE_BLOCK: usize = 16;

/// Numbers by position and lane, segment after segment.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<'a> {
    pub(crate) values: &'a [f32],
    /// Positions that there is room for in a block.
    pub(crate) most: usize,
    /// How many lanes are used; the others of the last block are anything.
    pub(crate) used: usize,
}

impl Lanes<'_> {
    /// Where a lane is at position 0, in a segment.
    #[inline(always)]
    pub(crate) fn place(lane: usize, most: usize) -> usize {
        lane / LANE_BLOCK * LANE_BLOCK * most + lane % LANE_BLOCK
    }
}

/// `out[k][l] += sum_p panel[offsets[k] + p] * lanes[p][l]` over the positions of all segments, for all `k` and all
/// lanes `l` that are used, and anything for the others up to `pitch`, a multiple of [`LANE_BLOCK`].
#[inline(always)]
pub(crate) fn products<V: Vector>(
    segments: &[Segment],
    offsets: &Offsets,
    panel: &[f32],
    lanes: Lanes<'_>,
    out: &mut [f32],
    pitch: usize,
) {
    assert!(pitch == lanes.used.next_multiple_of(LANE_BLOCK) && out.len() == offsets.len() * pitch);
    for segment in segments {
        assert!(segment.length <= lanes.most && lanes.values.len() >= segment.lanes + lanes.most * pitch);
        assert!(panel.len() >= segment.panel + offsets.greatest + segment.length);
    }
    // Two registers of lanes and as many terms as fit beside them.
    let most = if V::LANES == 16 { 12 } else { 6 };
    let terms = offsets.len();
    let tiles = terms.div_ceil(most);
    let mut lane = 0;
    while lane < lanes.used {
        let wide = if lanes.used - lane > V::LANES { 2 } else { 1 };
        let mut first = 0;
        for tile in 0..tiles {
            // As even as they can be: 25 terms are 9, 8 and 8.
            let count = (terms - first).div_ceil(tiles - tile);
            let at = Products { segments, offsets: &offsets.table[first..first + count], panel, lanes, lane, pitch };
            let out = &mut out[first * pitch..][..count * pitch];
            macro_rules! sized {
                ($($n:literal)*) => {
                    // SAFETY: the asserts above; a tile has `wide * LANES` lanes, which end within the pitch.
                    unsafe {
                        match (count, wide) {
                            $(($n, 2) => product_tile::<V, $n, 2>(at, out), ($n, _) => product_tile::<V, $n, 1>(at, out),)*
                            _ => unreachable!("a tile has at most {most} terms"),
                        }
                    }
                };
            }
            if V::LANES == 16 {
                sized!(1 2 3 4 5 6 7 8 9 10 11 12);
            } else {
                sized!(1 2 3 4 5 6);
            }
            first += count;
        }
        lane += wide * V::LANES;
    }
}

/// What a tile of [`products`] reads.
#[derive(Clone, Copy)]
struct Products<'a> {
    segments: &'a [Segment],
    /// Of the terms of this tile.
    offsets: &'a [u32],
    panel: &'a [f32],
    lanes: Lanes<'a>,
    /// The first lane of this tile.
    lane: usize,
    pitch: usize,
}

/// `K` terms times `N` registers of lanes.
///
/// # Safety
/// As [`products`] asserts; `lane + N * LANES <= pitch`, `out` has `K` rows of `pitch`.
#[inline(always)]
unsafe fn product_tile<V: Vector, const K: usize, const N: usize>(at: Products<'_>, out: &mut [f32]) {
    let Products { segments, offsets, panel, lanes, lane, pitch } = at;
    debug_assert!(offsets.len() == K && lane + N * V::LANES <= pitch && out.len() == K * pitch);
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; K];
        let mut added = 0;
        for segment in segments {
            let mut from = [panel.as_ptr(); K];
            for (from, &offset) in from.iter_mut().zip(offsets) {
                *from = from.add(segment.panel + offset as usize);
            }
            let mut registers = [lanes.values.as_ptr(); N];
            for (n, register) in registers.iter_mut().enumerate() {
                *register = register.add(segment.lanes + Lanes::place(lane + n * V::LANES, lanes.most));
            }
            let mut first = 0;
            while first < segment.length {
                let end = segment.length.min(first + LONG_RUN);
                for position in first..end {
                    let values = registers.map(|register| V::load(register.add(position * LANE_BLOCK)));
                    for (sums, from) in sums.iter_mut().zip(from) {
                        let factor = V::splat(*from.add(position));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = factor.mul_add(value, *sum);
                        }
                    }
                }
                added += end - first;
                first = end;
                if added >= LONG_RUN {
                    join::<V, K, N>(&mut sums, out.as_mut_ptr().add(lane), pitch);
                    added = 0;
                }
            }
        }
        join::<V, K, N>(&mut sums, out.as_mut_ptr().add(lane), pitch);
    }
}

/// As [`RUN`], of positions.
const LONG_RUN: usize = 128;

/// Adds sums to what is in `out`, and sets them to zero.
///
/// # Safety
/// `out` has `K` rows of `N` registers, `pitch` apart.
#[inline(always)]
unsafe fn join<V: Vector, const K: usize, const N: usize>(sums: &mut [[V; N]; K], out: *mut f32, pitch: usize) {
    for (k, sums) in sums.iter_mut().enumerate() {
        for (n, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let out = out.add(k * pitch + n * V::LANES);
                V::load(out).add(*sum).store(out);
                *sum = V::splat(0.0);
            }
        }
    }
}
