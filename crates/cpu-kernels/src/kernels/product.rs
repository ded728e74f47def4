//! Products of matrices, as linear layers need them: the columns of the result are the lanes.

use std::mem::MaybeUninit;

use super::correlate::{Block, RUN, Target, Tile, runs, write};
use super::memory::{filled, parallel};
use super::scratch;
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// A matrix of `rows` and `columns` that is read as it lies, or turned.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    /// As it lies: row after row.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) turned: bool,
}

impl Matrix<'_> {
    fn size(&self) -> [usize; 2] {
        if self.turned { [self.columns, self.rows] } else { [self.rows, self.columns] }
    }
}

/// Multiplications for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 15;

/// `left * right + bias`, row after row; the bias is one number for each column.
pub(crate) fn product(set: InstructionSet, left: Matrix<'_>, right: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let ([rows, terms], [inner, lanes]) = (left.size(), right.size());
    assert_eq!(terms, inner);
    assert!(left.values.len() == rows * terms && right.values.len() == terms * lanes);
    let set = set.for_lanes(lanes);
    let pitch = lanes.next_multiple_of(set.lanes());
    let worth = parallel(rows * terms * lanes, WORTH_THREADS);
    let mut padded_bias = vec![0.0; pitch];
    if let Some(bias) = bias {
        padded_bias[..lanes].copy_from_slice(bias);
    }
    // What tiles read of the right matrix: rows of whole registers.
    let as_it_lies = !right.turned && pitch == lanes;
    let mut kept = scratch::take([if as_it_lies { 0 } else { terms * pitch }]);
    let [copy] = kept.slices();
    let right_rows = if as_it_lies {
        right.values
    } else {
        let copy = &mut copy[..terms * pitch];
        share(copy.chunks_mut(pitch * 16).enumerate(), worth, |(at, copy)| {
            set.run(Rows { of: right, first: at * 16, pitch, copy });
        });
        copy
    };
    filled(rows * lanes, |out| {
        if out.is_empty() {
            return;
        }
        let most = set.run(Positions);
        let tasks = rows.div_ceil(most).max((4 * rayon::current_num_threads()).min(rows / 4));
        let some = rows.div_ceil(tasks);
        share(out.chunks_mut(some * lanes).enumerate(), worth, |(at, out)| {
            let of = Strip { set, left, right: right_rows, bias: &padded_bias, terms, lanes, first: at * some, out };
            set.run(of);
        });
    })
}

/// The sum of each column, in double precision.
pub(crate) fn column_sums(of: Matrix<'_>) -> Vec<f32> {
    let mut sums = vec![0.0_f64; of.columns];
    for row in of.values.chunks_exact(of.columns.max(1)) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
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

/// How many rows a tile has at most.
struct Positions;

impl Kernel for Positions {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self) -> usize {
        V::POSITIONS
    }
}

/// Some rows of a matrix as it is read, from `first` on, `pitch` apart, with zeros to the right of them.
struct Rows<'a> {
    of: Matrix<'a>,
    first: usize,
    pitch: usize,
    copy: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { of, first, pitch, copy } = self;
        let [_, columns] = of.size();
        if !of.turned {
            for (row, copy) in copy.chunks_exact_mut(pitch).enumerate() {
                let (copy, rest) = copy.split_at_mut(columns);
                copy.copy_from_slice(&of.values[(first + row) * columns..][..columns]);
                rest.fill(0.0);
            }
            return;
        }
        let rows = copy.len() / pitch;
        for column in (0..pitch).step_by(V::LANES) {
            let lanes = V::LANES.min(columns.saturating_sub(column));
            for row in (0..rows).step_by(V::LANES) {
                let count = V::LANES.min(rows - row);
                let from = &of.values[(column * of.columns + first + row).min(of.values.len())..];
                let to = &mut copy[row * pitch + column..];
                assert!(lanes == 0 || from.len() >= (lanes - 1) * of.columns + count);
                assert!(to.len() >= (count - 1) * pitch + V::LANES);
                // SAFETY: the asserts.
                unsafe { V::transpose(from.as_ptr(), lanes, count, of.columns, to.as_mut_ptr(), pitch) }
            }
        }
    }
}

/// Some rows of a product, at most [`Vector::POSITIONS`].
struct Strip<'a> {
    set: InstructionSet,
    left: Matrix<'a>,
    /// Row after row, each of whole registers.
    right: &'a [f32],
    bias: &'a [f32],
    terms: usize,
    lanes: usize,
    first: usize,
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { set, left, right, bias, terms, lanes, first, out } = self;
        let count = out.len() / lanes;
        let pitch = bias.len();
        // The rows side by side, term after term.
        let mut kept = scratch::take([if left.turned { 0 } else { terms * V::LANES }, count * 2 * V::LANES]);
        let [side_by_side, sums] = kept.slices();
        let (source, plane) = if left.turned {
            (&left.values[first..], left.columns)
        } else {
            for term in (0..terms).step_by(V::LANES) {
                let columns = V::LANES.min(terms - term);
                let from = &left.values[first * terms + term..];
                let to = &mut side_by_side[term * V::LANES..];
                assert!(
                    count <= V::LANES && from.len() >= (count - 1) * terms + columns && to.len() >= columns * V::LANES
                );
                // SAFETY: the asserts.
                unsafe { V::transpose(from.as_ptr(), count, columns, terms, to.as_mut_ptr(), V::LANES) }
            }
            (&*side_by_side, V::LANES)
        };
        let channels = terms.div_ceil(runs(terms, RUN)).max(1);
        for lane in (0..pitch).step_by(2 * V::LANES) {
            let wide = (2 * V::LANES).min(pitch - lane);
            let sums = &mut sums[..count * wide];
            set.run(Tile {
                source,
                plane,
                at: 0,
                pitch: 0,
                channels: terms,
                run: channels,
                taps: 0..1,
                rows: 1,
                columns: 1,
                step: 1,
                dilation: 1,
                left: false,
                right: false,
                block: Block { weights: right.get(lane..).unwrap_or_default(), bias: &bias[lane..][..wide] },
                term: pitch,
                count,
                to: &mut *sums,
            });
            let used = wide.min(lanes - lane);
            for (out, sums) in out.chunks_exact_mut(lanes).zip(sums.chunks_exact(wide)) {
                for (out, &sum) in out[lane..][..used].iter_mut().zip(sums) {
                    out.write(sum);
                }
            }
        }
    }
}
