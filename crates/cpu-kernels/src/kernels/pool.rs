//! Pooling of the planes of images, and its gradients.

use std::mem::MaybeUninit;

use super::memory::{filled, sum};
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// Windows over planes; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) planes: usize,
    /// Height and width of the input.
    pub(crate) size: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Rows above, columns to the left.
    pub(crate) padding: [usize; 2],
    /// Height and width of the output.
    pub(crate) output: [usize; 2],
}

/// What an average divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Divisor {
    /// The size of the kernel: padding counts.
    Kernel,
    /// How many values of the image lie in the window.
    Values,
}

/// Numbers for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 14;

impl Windows {
    fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn map(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// 2x2 windows side by side, without padding: a loop of its own, which is what most networks have.
    fn is_halving(&self) -> bool {
        let inside = [0, 1].map(|axis| 2 * self.output[axis] <= self.size[axis]);
        self.kernel == [2, 2] && self.stride == [2, 2] && self.padding == [0, 0] && inside == [true; 2]
    }

    /// The rows or columns of the image that lie in a window.
    #[inline(always)]
    fn inside(&self, axis: usize, at: usize) -> std::ops::Range<usize> {
        let start = at * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]).min(self.size[axis]);
        start.saturating_sub(self.padding[axis]).min(end)..end
    }

    /// Runs `plane` on each plane of the input with those of the outputs.
    fn each<A: Sync, B: Send, C: Send>(
        &self,
        (input, of_input): (&[A], usize),
        (first, of_first): (&mut [B], usize),
        (second, of_second): (&mut [C], usize),
        plane: impl Fn((&[A], &mut [B], &mut [C])) + Sync + Send,
    ) {
        if self.planes == 0 {
            return;
        }
        assert!(input.len() == self.planes * of_input && first.len() == self.planes * of_first);
        assert!(second.len() == self.planes * of_second);
        // Several small planes at a time.
        let some = WORTH_THREADS.div_ceil(self.plane().max(1));
        let parts = input.chunks(some * of_input).zip(first.chunks_mut(some * of_first));
        let parts = parts.zip(second.chunks_mut(some * of_second));
        share(parts, self.planes > some, |((input, first), second)| {
            let planes = input.chunks_exact(of_input).zip(first.chunks_exact_mut(of_first));
            for ((input, first), second) in planes.zip(second.chunks_exact_mut(of_second)) {
                plane((input, first, second));
            }
        });
    }

    /// The greatest value of each window and where it is in its plane: the first of several, and the last NaN if there
    /// is one, as in torch.
    pub(crate) fn max(&self, set: InstructionSet, input: &[f32]) -> (Vec<f32>, Vec<u32>) {
        let mut places = vec![0; self.planes * self.map()];
        let output = filled(self.planes * self.map(), |out| {
            self.each((input, self.plane()), (out, self.map()), (&mut places, self.map()), |(input, out, places)| {
                set.run(Max { windows: self, input, out, places });
            });
        });
        (output, places)
    }

    /// The gradient of [`max`](Self::max)'s input.
    pub(crate) fn max_gradient(&self, set: InstructionSet, grad: &[f32], places: &[u32]) -> Vec<f32> {
        assert_eq!(places.len(), grad.len());
        let both: Vec<(&[f32], &[u32])> = grad.chunks_exact(self.map()).zip(places.chunks_exact(self.map())).collect();
        let mut nothing = vec![(); self.planes];
        filled(self.planes * self.plane(), |out| {
            self.each((&both, 1), (out, self.plane()), (&mut nothing, 1), |(both, out, _)| {
                let [(grad, places)] = *both else { return };
                set.run(MaxGradient { grad, places, out });
            });
        })
    }

    /// The average of each window.
    pub(crate) fn average(&self, input: &[f32], divisor: Divisor) -> Vec<f32> {
        let mut nothing = vec![(); self.planes];
        filled(self.planes * self.map(), |out| {
            self.each((input, self.plane()), (out, self.map()), (&mut nothing, 1), |(input, out, _)| {
                for (y, out) in out.chunks_exact_mut(self.output[1]).enumerate() {
                    let rows = self.inside(0, y);
                    for (x, out) in out.iter_mut().enumerate() {
                        let columns = self.inside(1, x);
                        let sum: f32 = rows
                            .clone()
                            .map(|row| sum(&input[row * self.size[1]..][..self.size[1]][columns.clone()]))
                            .sum();
                        out.write(sum / self.divisor(divisor, rows.len() * columns.len()));
                    }
                }
            });
        })
    }

    /// The gradient of [`average`](Self::average)'s input.
    pub(crate) fn average_gradient(&self, grad: &[f32], divisor: Divisor) -> Vec<f32> {
        let mut nothing = vec![(); self.planes];
        filled(self.planes * self.plane(), |out| {
            self.each((grad, self.map()), (out, self.plane()), (&mut nothing, 1), |(grad, out, _)| {
                out.fill(MaybeUninit::new(0.0));
                for (y, grad) in grad.chunks_exact(self.output[1]).enumerate() {
                    let rows = self.inside(0, y);
                    for (x, grad) in grad.iter().enumerate() {
                        let columns = self.inside(1, x);
                        let share = grad / self.divisor(divisor, rows.len() * columns.len());
                        for row in rows.clone() {
                            for value in &mut out[row * self.size[1]..][..self.size[1]][columns.clone()] {
                                // SAFETY: filled with zeros above.
                                value.write(unsafe { value.assume_init() } + share);
                            }
                        }
                    }
                }
            });
        })
    }

    fn divisor(&self, divisor: Divisor, values: usize) -> f32 {
        match divisor {
            Divisor::Kernel => (self.kernel[0] * self.kernel[1]) as f32,
            Divisor::Values => values as f32,
        }
    }
}

/// Whether a value takes the place of the greatest so far.
#[inline(always)]
fn is_greater(value: f32, greatest: f32) -> bool {
    value > greatest || value.is_nan()
}

/// One plane of [`Windows::max`].
struct Max<'a> {
    windows: &'a Windows,
    input: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
    places: &'a mut [u32],
}

impl Kernel for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { windows, input, out, places } = self;
        let [width, columns] = [windows.size[1], windows.output[1]];
        for (y, (out, places)) in out.chunks_exact_mut(columns).zip(places.chunks_exact_mut(columns)).enumerate() {
            if windows.is_halving() {
                let (above, below) = input[2 * y * width..][..2 * width].split_at(width);
                let base = (2 * y * width) as u32;
                let pairs = above[..2 * columns].chunks_exact(2).zip(below[..2 * columns].chunks_exact(2));
                for (((out, place), (above, below)), x) in out.iter_mut().zip(places).zip(pairs).zip(0_u32..) {
                    let first = base + 2 * x;
                    let (mut greatest, mut at) = (above[0], first);
                    let others =
                        [(above[1], first + 1), (below[0], first + width as u32), (below[1], first + width as u32 + 1)];
                    for (value, place) in others {
                        let takes = is_greater(value, greatest);
                        greatest = if takes { value } else { greatest };
                        at = if takes { place } else { at };
                    }
                    out.write(greatest);
                    *place = at;
                }
                continue;
            }
            let rows = windows.inside(0, y);
            for (x, (out, place)) in out.iter_mut().zip(places).enumerate() {
                let mut greatest = f32::NEG_INFINITY;
                let mut at = None;
                for row in rows.clone() {
                    for column in windows.inside(1, x) {
                        let value = input[row * width + column];
                        if at.is_none() || is_greater(value, greatest) {
                            greatest = value;
                            at = Some((row * width + column) as u32);
                        }
                    }
                }
                out.write(greatest);
                *place = at.unwrap_or_default();
            }
        }
    }
}

/// One plane of [`Windows::max_gradient`].
struct MaxGradient<'a> {
    grad: &'a [f32],
    places: &'a [u32],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for MaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { grad, places, out } = self;
        out.fill(MaybeUninit::new(0.0));
        for (&grad, &place) in grad.iter().zip(places) {
            let value = &mut out[place as usize];
            // SAFETY: filled with zeros above.
            value.write(unsafe { value.assume_init() } + grad);
        }
    }
}
