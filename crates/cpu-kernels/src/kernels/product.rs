//! Products of matrices, as linear layers and attention need them: the columns of the result are the lanes.
//!
//! A tile of the result, some rows by some registers of columns, stays in registers while the loop adds the terms of its sums.
//! The right matrix is copied, a run of terms at a time, in panels as wide as a tile; the left one is read in place.
//! Each number is one sum in one order, whatever the set and the number of threads.

use std::mem::MaybeUninit;

use super::correlate::{Target, write};
use super::memory::filled;
use super::scratch;
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// A matrix of `rows` and `columns` in a slice: `values[row * down + column * across]`, where one of the two steps is 1.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    down: usize,
    across: usize,
}

impl<'a> Matrix<'a> {
    /// Row after row, each `pitch` numbers after the one before.
    pub(crate) fn new(values: &'a [f32], [rows, columns]: [usize; 2], pitch: usize) -> Self {
        assert!(rows > 0 && columns > 0 && columns <= pitch && values.len() >= (rows - 1) * pitch + columns);
        Self { values, rows, columns, down: pitch, across: 1 }
    }

    /// With rows and columns exchanged; nothing is moved.
    pub(crate) fn turned(self) -> Self {
        Self { rows: self.columns, columns: self.rows, down: self.across, across: self.down, ..self }
    }

    /// Some of its rows.
    fn of_rows(self, first: usize, rows: usize) -> Self {
        debug_assert!(rows > 0 && first + rows <= self.rows);
        Self { values: &self.values[first * self.down..], rows, ..self }
    }

    /// Some of its columns.
    fn of_columns(self, first: usize, columns: usize) -> Self {
        self.turned().of_rows(first, columns).turned()
    }
}

/// Sums are taken in runs of so many terms: their error grows with the length of these.
const RUN: usize = 128;

/// Columns of the right matrix that are copied at a time: with [`RUN`] terms a quarter of the second-level cache.
const COLUMNS: usize = 512;

/// Rows that share a copy of the right matrix, at least.
const ROWS: usize = 128;

/// For fewer rows the right matrix is not copied.
const FEW: usize = 4;

/// Multiplications for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 15;

/// `left * right + bias`, row after row; the bias is one number for each column.
pub(crate) fn product(set: InstructionSet, left: Matrix<'_>, right: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let (rows, columns) = (left.rows, right.columns);
    let set = set.for_lanes(columns);
    let wanted = 4 * rayon::current_num_threads();
    // Parts of the result: of its rows, and where these are few, of its columns.
    let by_columns = columns.div_ceil(COLUMNS);
    let by_rows = wanted.div_ceil(by_columns).clamp(1, rows.div_ceil(ROWS));
    let by_columns = wanted.div_ceil(by_rows).clamp(by_columns, columns.div_ceil(64).max(by_columns));
    let each_rows = rows.div_ceil(by_rows).next_multiple_of(8);
    let each_columns = columns.div_ceil(by_columns).next_multiple_of(16);
    filled(rows * columns, |out| {
        let whole = Out::new(out, [rows, columns], columns);
        let parts = (0..rows).step_by(each_rows).flat_map(|row| {
            (0..columns).step_by(each_columns).map(move |column| {
                let size = [each_rows.min(rows - row), each_columns.min(columns - column)];
                (row, column, size)
            })
        });
        share(parts, rows * columns * left.columns >= WORTH_THREADS, |(row, column, size)| {
            set.run(Product {
                left: left.of_rows(row, size[0]),
                right: right.of_columns(column, size[1]),
                bias: bias.map(|bias| &bias[column..][..size[1]]),
                add: false,
                // SAFETY: each call has its own rows and columns.
                out: unsafe { whole.part([row, column], size) },
            });
        });
    })
}

/// Columns that one thread adds up at a time.
const SUMS: usize = 128;

/// The sum of each column, in double precision.
pub(crate) fn column_sums(set: InstructionSet, values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    share(sums.chunks_mut(SUMS).enumerate(), values.len() >= WORTH_THREADS, |(at, sums)| {
        set.run(ColumnSums { values, columns, first: at * SUMS, sums });
    });
    sums
}

struct ColumnSums<'a> {
    values: &'a [f32],
    columns: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut exact = [0.0_f64; SUMS];
        let exact = &mut exact[..self.sums.len()];
        for row in self.values.chunks_exact(self.columns) {
            for (sum, &value) in exact.iter_mut().zip(&row[self.first..]) {
                *sum += f64::from(value);
            }
        }
        for (sum, &exact) in self.sums.iter_mut().zip(&*exact) {
            *sum = exact as f32;
        }
    }
}

/// A matrix of `rows` and `columns`, turned.
pub(crate) fn turned(set: InstructionSet, values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    assert_eq!(values.len(), rows * columns);
    filled(values.len(), |out| set.run(Turn { values, rows, columns, out }))
}

struct Turn<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { values, rows, columns, out } = self;
        if columns > 0 {
            write::<V>(values, columns, 0, &mut Target { out, pitch: rows, lanes: columns });
        }
    }
}

/// A matrix that is written, or a part of one.
pub(crate) struct Out<'a> {
    to: *mut f32,
    rows: usize,
    columns: usize,
    pitch: usize,
    of: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for the mutable slice that it was made of.
unsafe impl Send for Out<'_> {}
// SAFETY: what is shared can only give parts, whose callers promise that they do not overlap.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    /// Row after row, each `pitch` numbers after the one before. Only numbers are written into it.
    pub(crate) fn new(out: &'a mut [MaybeUninit<f32>], [rows, columns]: [usize; 2], pitch: usize) -> Self {
        assert!(rows > 0 && columns > 0 && columns <= pitch && out.len() >= (rows - 1) * pitch + columns);
        Self { to: out.as_mut_ptr().cast(), rows, columns, pitch, of: std::marker::PhantomData }
    }

    /// # Safety
    /// Parts that live at the same time have no number in common.
    unsafe fn part(&self, [row, column]: [usize; 2], [rows, columns]: [usize; 2]) -> Out<'_> {
        assert!(row + rows <= self.rows && column + columns <= self.columns);
        // SAFETY: inside of the matrix.
        let to = unsafe { self.to.add(row * self.pitch + column) };
        Out { to, rows, columns, ..*self }
    }
}

/// `out = left * right + bias`, or `out += left * right`, on this thread.
pub(crate) struct Product<'a> {
    pub(crate) left: Matrix<'a>,
    pub(crate) right: Matrix<'a>,
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether `out` has been written, and is added to.
    pub(crate) add: bool,
    pub(crate) out: Out<'a>,
}

/// Lanes of the widest tile: three registers of sixteen.
const WIDEST: usize = 48;
/// Rows of the highest tile.
const HIGHEST: usize = 8;

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { left, right, bias, add, out } = self;
        let (rows, columns, terms) = (left.rows, right.columns, left.columns);
        assert!(right.rows == terms && out.rows == rows && out.columns == columns);
        assert!(bias.is_none_or(|bias| bias.len() == columns));
        let (wide, pitch) = (V::TILE[1] * V::LANES, columns.next_multiple_of(V::LANES));
        // Where the terms of a row of the left matrix lie far apart and are read several times, it is copied too.
        let strips_are_copied = left.across > 1 && pitch > wide;
        // A copy that is read once or twice costs more than it saves.
        let panels_are_copied = right.across > 1 || pitch > columns || rows >= FEW;
        let most = RUN.min(terms);
        let copied = [(panels_are_copied, pitch), (strips_are_copied, rows)];
        let mut kept = scratch::take(copied.map(|(copied, length)| if copied { most * length } else { 0 }));
        let [panels, strips] = kept.slices();
        for first in (0..terms).step_by(RUN) {
            let count = RUN.min(terms - first);
            if panels_are_copied {
                copy_right::<V>(right, first, wide, &mut panels[..count * pitch]);
            }
            if strips_are_copied {
                copy_left(left, first, V::TILE[0], &mut strips[..count * rows]);
            }
            for column in (0..pitch).step_by(wide) {
                let here = wide.min(pitch - column);
                let used = here.min(columns - column);
                let (right, from_term) = if panels_are_copied {
                    (&panels[column * count..][..here * count], here)
                } else {
                    (&right.values[first * right.down + column..], right.down)
                };
                let mut start = [0.0; WIDEST];
                if let Some(bias) = bias
                    && first == 0
                {
                    start[..used].copy_from_slice(&bias[column..][..used]);
                }
                for (row, high) in strips_of(rows, V::TILE[0]) {
                    let (left, steps) = if strips_are_copied {
                        (&strips[row * count..][..high * count], [1, high])
                    } else {
                        (&left.values[row * left.down + first * left.across..], [left.down, left.across])
                    };
                    let tile = Tile { left, steps, right, from_term, start: &start[..here], terms: count };
                    // SAFETY: one part at a time.
                    let to = unsafe { out.part([row, column], [high, used]) };
                    tile.run::<V>(&to, add || first > 0);
                }
            }
        }
    }
}

/// First row and rows of strips as high as tiles are: `most`, and in the end half of it, a quarter, ...
fn strips_of(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let (mut row, mut high) = (0, most);
    std::iter::from_fn(move || {
        while high > rows - row {
            high /= 2;
        }
        row += high;
        (high > 0).then_some((row - high, high))
    })
}

/// Terms of all columns of a matrix in panels of `wide` columns, the last one perhaps narrower, term after term; zeros beyond
/// the last column.
#[inline(always)]
fn copy_right<V: Vector>(of: Matrix<'_>, first: usize, wide: usize, panels: &mut [f32]) {
    let pitch = of.columns.next_multiple_of(V::LANES);
    let terms = panels.len() / pitch;
    assert!(first + terms <= of.rows && panels.len() == terms * pitch);
    for lane in (0..if of.across == 1 { 0 } else { pitch }).step_by(V::LANES) {
        let (lanes, panel) = (V::LANES.min(of.columns - lane), lane / wide * wide);
        let here = wide.min(pitch - panel);
        for term in (0..terms).step_by(V::LANES) {
            let count = V::LANES.min(terms - term);
            let from = &of.values[lane * of.across + first + term..];
            let to = &mut panels[panel * terms + term * here + lane - panel..];
            assert!(from.len() >= (lanes - 1) * of.across + count && to.len() >= (count - 1) * here + V::LANES);
            // SAFETY: the asserts.
            unsafe { V::transpose(from.as_ptr(), lanes, count, of.across, to.as_mut_ptr(), here) }
        }
    }
    // Row by row, as they lie in memory.
    for term in 0..if of.across == 1 { terms } else { 0 } {
        let from = &of.values[(first + term) * of.down..][..of.columns];
        for (at, from) in from.chunks(wide).enumerate() {
            let here = wide.min(pitch - at * wide);
            let to = &mut panels[at * wide * terms + term * here..][..here];
            if from.len() == here {
                for lane in (0..here).step_by(V::LANES) {
                    // SAFETY: both are `here` long, which is whole registers.
                    unsafe { V::load(from.as_ptr().add(lane)).store(to.as_mut_ptr().add(lane)) }
                }
            } else {
                to[..from.len()].copy_from_slice(from);
                to[from.len()..].fill(0.0);
            }
        }
    }
}

/// Terms of all rows of a matrix in strips of `high` rows, in the end fewer, term after term.
fn copy_left(of: Matrix<'_>, first: usize, high: usize, strips: &mut [f32]) {
    let terms = strips.len() / of.rows;
    for (row, high) in strips_of(of.rows, high) {
        for (term, to) in strips[row * terms..][..high * terms].chunks_exact_mut(high).enumerate() {
            let from = &of.values[row * of.down + (first + term) * of.across..][..high];
            match (<&[f32; HIGHEST]>::try_from(from), <&mut [f32; HIGHEST]>::try_from(&mut *to)) {
                // A length that the compiler knows is one register.
                (Ok(from), Ok(to)) => *to = *from,
                _ => to.copy_from_slice(from),
            }
        }
    }
}

/// A run of terms of some rows and some registers of columns.
struct Tile<'a> {
    left: &'a [f32],
    /// From one row of the left matrix to the next, and from one term.
    steps: [usize; 2],
    /// Term after term, as wide as the tile; `from_term` numbers from one to the next.
    right: &'a [f32],
    from_term: usize,
    /// What sums begin with.
    start: &'a [f32],
    terms: usize,
}

impl Tile<'_> {
    /// Writes the sums, or adds them.
    #[inline(always)]
    fn run<V: Vector>(&self, out: &Out<'_>, add: bool) {
        let (high, wide) = (out.rows, self.start.len());
        assert!(self.terms > 0 && self.right.len() >= (self.terms - 1) * self.from_term + wide);
        assert!(out.columns <= wide && high <= HIGHEST);
        assert!(self.left.len() > (high - 1) * self.steps[0] + (self.terms - 1) * self.steps[1]);
        if out.columns == wide {
            // SAFETY: the asserts; `out` has these rows and columns.
            unsafe { self.any::<V>(high, out.to, out.pitch, add) }
            return;
        }
        let mut edge = [0.0; HIGHEST * WIDEST];
        // SAFETY: the asserts; `edge` is as large as any tile, and `out` has these rows and columns.
        unsafe {
            self.any::<V>(high, edge.as_mut_ptr(), wide, false);
            for (row, edge) in edge.chunks_exact_mut(wide).enumerate().take(high) {
                let to = out.to.add(row * out.pitch);
                if add {
                    for (column, value) in edge.iter_mut().enumerate().take(out.columns) {
                        *value += to.add(column).read();
                    }
                }
                V::copy(edge.as_ptr(), to, out.columns);
            }
        }
    }

    /// # Safety
    /// As [`run`](Self::run) asserts; from `to` on there are `high` rows, `pitch` apart, as wide as the tile.
    #[inline(always)]
    unsafe fn any<V: Vector>(&self, high: usize, to: *mut f32, pitch: usize, add: bool) {
        macro_rules! sized {
            ($(($p:literal, $n:literal))*) => {
                match (high, self.start.len() / V::LANES) {
                    // SAFETY: the caller's promise.
                    $(($p, $n) => unsafe { self.sized::<V, $p, $n>(to, pitch, add) },)*
                    _ => unreachable!("a tile has at most {:?} rows and registers", V::TILE),
                }
            };
        }
        match V::TILE {
            [8, _] => sized!((1, 1)(1, 2)(1, 3)(2, 1)(2, 2)(2, 3)(4, 1)(4, 2)(4, 3)(8, 1)(8, 2)(8, 3)),
            [_, 3] => sized!((1, 1)(1, 2)(1, 3)(2, 1)(2, 2)(2, 3)(4, 1)(4, 2)(4, 3)),
            _ => sized!((1, 1)(2, 1)(4, 1)),
        }
    }

    /// # Safety
    /// As [`any`](Self::any), for `P` rows and `N` registers.
    #[inline(always)]
    unsafe fn sized<V: Vector, const P: usize, const N: usize>(&self, to: *mut f32, pitch: usize, add: bool) {
        debug_assert!(self.start.len() == N * V::LANES);
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; P];
            for sums in &mut sums {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(self.start.as_ptr().add(n * V::LANES));
                }
            }
            let (mut left, mut right) = (self.left.as_ptr(), self.right.as_ptr());
            for _ in 0..self.terms {
                let mut values = [V::splat(0.0); N];
                for (n, value) in values.iter_mut().enumerate() {
                    *value = V::load(right.add(n * V::LANES));
                }
                for (p, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(left.add(p * self.steps[0]).read());
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = factor.mul_add(value, *sum);
                    }
                }
                left = left.wrapping_add(self.steps[1]);
                right = right.wrapping_add(self.from_term);
            }
            for (p, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    let to = to.add(p * pitch + n * V::LANES);
                    if add { V::load(to).add(*sum) } else { *sum }.store(to);
                }
            }
        }
    }
}
