//! Batch norm with the statistics of the batch, alone or followed by ReLU, and its gradients.
//!
//! Three passes over a channel forward (sum, squares about the mean, result), two backward. Sums are taken in registers
//! over a run of a plane and added up in double precision, in the order of the images: a channel is one thread's.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::correlate::LINE;
use super::memory::{as_uninit, filled};
use super::set::{InstructionSet, Kernel};
use super::share::share;
use super::vector::Vector;

/// The shapes and options of a batch norm over `(image, channel, position)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) positions: usize,
    pub(crate) epsilon: f64,
    /// Whether ReLU follows.
    pub(crate) relu: bool,
}

/// What a channel is normalised with: `y = (x - mean) * scale + shift`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) mean: f32,
    /// The biased variance.
    pub(crate) variance: f32,
    /// `1 / sqrt(variance + epsilon)`.
    inverse: f32,
    /// `gamma * inverse`.
    scale: f32,
    /// `beta`, less what `mean` lost when it was rounded.
    shift: f32,
}

/// Gradients of batch norm's parameters for a channel: of `gamma` and `beta`.
pub(crate) type OfParameters = (f32, f32);

/// A gradient that is read, and where the input's gradient goes.
pub(crate) enum Gradient<'a> {
    /// Into the same memory.
    InPlace(&'a mut [f32]),
    /// Elsewhere.
    Into(&'a [f32], &'a mut [MaybeUninit<f32>]),
}

/// Numbers for which a second thread is worth its start.
const WORTH_THREADS: usize = 1 << 14;

/// The next plane is fetched while one is added up where planes have at most so many numbers: what lies in a row, the
/// processor fetches by itself.
const SHORT: usize = 16 * LINE;

impl BatchNorm {
    fn len(&self) -> usize {
        self.batch * self.channels * self.positions
    }

    /// Where the planes of a channel begin.
    #[inline(always)]
    fn planes(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let (channels, positions) = (self.channels, self.positions);
        (0..self.batch).map(move |image| (image * channels + channel) * positions)
    }

    /// Says that the plane after this one of the same channel will be needed: the processor does not see it coming.
    #[inline(always)]
    fn prefetch_after<V: Vector>(&self, start: usize, values: &[f32]) {
        let next = values.as_ptr().wrapping_add(start + self.channels * self.positions);
        for line in (0..if self.positions > SHORT { 0 } else { self.positions }).step_by(LINE) {
            V::prefetch(next.wrapping_add(line));
        }
    }

    fn each_channel<Out: Send>(&self, work: impl Fn(usize) -> Out + Sync + Send) -> Vec<Out> {
        let mut made: Vec<Option<Out>> = (0..self.channels).map(|_| None).collect();
        // Neighbours in memory are one thread's: where one writes what another one's prefetcher has fetched, both wait.
        let some = self.channels.div_ceil(4 * rayon::current_num_threads()).max(1);
        share(made.chunks_mut(some).enumerate(), self.len() >= WORTH_THREADS, |(at, made)| {
            for (channel, made) in (at * some..).zip(made) {
                *made = Some(work(channel));
            }
        });
        made.into_iter().flatten().collect()
    }

    /// The result and what each channel was normalised with. `batch * positions` is not 0.
    pub(crate) fn forward(
        &self,
        set: InstructionSet,
        input: &[f32],
        gamma: &[f32],
        beta: &[f32],
    ) -> (Vec<f32>, Vec<Channel>) {
        assert_eq!(input.len(), self.len());
        assert!(gamma.len() == self.channels && beta.len() == self.channels);
        let mut channels = Vec::new();
        let output = filled(self.len(), |out| {
            let out = Planes::new(out);
            channels = self.each_channel(|channel| {
                let parameters = (gamma[channel], beta[channel]);
                set.run(Forward { norm: self, channel, parameters, input, out: &out })
            });
        });
        (output, channels)
    }

    /// With statistics that are given, as outside of training: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, in
    /// the memory of the input. Rounded after each of these, as burn's own.
    pub(crate) fn fixed(&self, set: InstructionSet, values: &mut [f32], of: [&[f32]; 4]) {
        assert_eq!(values.len(), self.len());
        assert!(of.iter().all(|numbers| numbers.len() == self.channels));
        let [gamma, beta, mean, variance] = of;
        let epsilon = self.epsilon as f32;
        let by: Vec<[f32; 4]> = (0..self.channels)
            .map(|channel| [mean[channel], (variance[channel] + epsilon).sqrt(), gamma[channel], beta[channel]])
            .collect();
        let image = self.channels * self.positions;
        share(values.chunks_mut(image.max(1)), self.len() >= WORTH_THREADS, |values| {
            set.run(Fixed { norm: self, by: &by, values });
        });
    }

    /// The gradient of the input goes where `gradient` says; those of the parameters are returned, by channel.
    pub(crate) fn backward(
        &self,
        set: InstructionSet,
        input: &[f32],
        channels: &[Channel],
        gradient: Gradient<'_>,
    ) -> Vec<OfParameters> {
        assert!(input.len() == self.len() && channels.len() == self.channels);
        match gradient {
            Gradient::InPlace(grad) => {
                assert_eq!(grad.len(), self.len());
                let out = Planes::new(as_uninit(grad));
                self.each_channel(|channel| {
                    set.run(Backward { norm: self, channel, by: channels[channel], input, grad: None, out: &out })
                })
            }
            Gradient::Into(grad, out) => {
                assert!(grad.len() == self.len() && out.len() == self.len());
                let out = Planes::new(out);
                self.each_channel(|channel| {
                    set.run(Backward { norm: self, channel, by: channels[channel], input, grad: Some(grad), out: &out })
                })
            }
        }
    }
}

/// Memory of which several threads write different planes.
struct Planes<'a> {
    start: *mut MaybeUninit<f32>,
    length: usize,
    of: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: it stands for an exclusive borrow of plain numbers; who takes planes from it keeps them apart.
unsafe impl Send for Planes<'_> {}
// SAFETY: as above.
unsafe impl Sync for Planes<'_> {}

impl<'a> Planes<'a> {
    fn new(memory: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { start: memory.as_mut_ptr(), length: memory.len(), of: PhantomData }
    }

    /// # Safety
    /// No other plane that is alive overlaps with it.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps planes apart")]
    unsafe fn plane(&self, start: usize, length: usize) -> &mut [MaybeUninit<f32>] {
        assert!(start + length <= self.length);
        // SAFETY: within the borrowed memory by the assert; alone by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }
}

/// Lanes of a sum; the compiler makes registers of them.
const LANES: usize = 32;

/// At most so many numbers are added in a lane in single precision.
const RUN: usize = 64;

/// Sums of `N` functions of the numbers of planes (and of second ones, which may be the same).
struct Sums<const N: usize> {
    /// In single precision, of so many numbers at most in each lane.
    short: [[f32; LANES]; N],
    added: usize,
    /// Of those, in double precision.
    long: [[f64; LANES]; N],
}

impl<const N: usize> Sums<N> {
    const ZERO: Self = Self { short: [[0.0; LANES]; N], added: 0, long: [[0.0; LANES]; N] };

    #[inline(always)]
    fn add(&mut self, x: &[f32], y: &[f32], term: impl Fn(f32, f32, &mut [f32; N])) {
        for (x, y) in x.chunks(RUN * LANES).zip(y.chunks(RUN * LANES)) {
            let deep = x.len().div_ceil(LANES);
            if self.added + deep > RUN {
                self.settle();
            }
            self.added += deep;
            let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
            let of_rest = xs.remainder().iter().zip(ys.remainder());
            if x.len() >= LANES {
                // Not in place: these stay in registers.
                let mut lanes = self.short;
                for (x, y) in xs.zip(ys) {
                    for lane in 0..LANES {
                        let mut sums: [f32; N] = std::array::from_fn(|n| lanes[n][lane]);
                        term(x[lane], y[lane], &mut sums);
                        for (lanes, sum) in lanes.iter_mut().zip(sums) {
                            lanes[lane] = sum;
                        }
                    }
                }
                self.short = lanes;
            }
            for (lane, (&x, &y)) in of_rest.enumerate() {
                let mut sums: [f32; N] = std::array::from_fn(|n| self.short[n][lane]);
                term(x, y, &mut sums);
                for (lanes, sum) in self.short.iter_mut().zip(sums) {
                    lanes[lane] = sum;
                }
            }
        }
    }

    #[inline(always)]
    fn settle(&mut self) {
        for (long, short) in self.long.iter_mut().zip(&mut self.short) {
            for (long, short) in long.iter_mut().zip(short) {
                *long += f64::from(*short);
                *short = 0.0;
            }
        }
        self.added = 0;
    }

    #[inline(always)]
    fn totals(mut self) -> [f64; N] {
        self.settle();
        self.long.map(|lanes| lanes.iter().sum())
    }
}

/// One channel of [`BatchNorm::forward`].
struct Forward<'a> {
    norm: &'a BatchNorm,
    channel: usize,
    parameters: (f32, f32),
    input: &'a [f32],
    out: &'a Planes<'a>,
}

impl Kernel for Forward<'_> {
    type Output = Channel;

    #[inline(always)]
    fn run<V: Vector>(self) -> Channel {
        let Self { norm, channel, parameters: (gamma, beta), input, out } = self;
        let plane = |start: usize| &input[start..][..norm.positions];
        let count = (norm.batch * norm.positions) as f64;
        let mut sums = Sums::ZERO;
        for start in norm.planes(channel) {
            norm.prefetch_after::<V>(start, input);
            sums.add(plane(start), plane(start), |x, _, [sum]| *sum += x);
        }
        let [sum] = sums.totals();
        let exact = sum / count;
        let mean = exact as f32;
        let mut squares = Sums::ZERO;
        for start in norm.planes(channel) {
            squares.add(plane(start), plane(start), |x, _, [sum]| *sum = V::fused(x - mean, x - mean, *sum));
        }
        let [sum] = squares.totals();
        let lost = exact - f64::from(mean);
        let variance = sum / count - lost * lost;
        let inverse = 1.0 / (variance + norm.epsilon).sqrt();
        let scale = f64::from(gamma) * inverse;
        let by = Channel {
            mean,
            variance: variance as f32,
            inverse: inverse as f32,
            scale: scale as f32,
            shift: (f64::from(beta) - lost * scale) as f32,
        };
        for start in norm.planes(channel) {
            // SAFETY: planes of different channels and images do not overlap, and a channel is one thread's.
            let out = unsafe { out.plane(start, norm.positions) };
            if norm.relu {
                for (out, &x) in out.iter_mut().zip(plane(start)) {
                    let y = by.normalised::<V>(x);
                    // Not `max`, which would make 0 of NaN.
                    out.write(if y < 0.0 { 0.0 } else { y });
                }
            } else {
                for (out, &x) in out.iter_mut().zip(plane(start)) {
                    out.write(by.normalised::<V>(x));
                }
            }
        }
        by
    }
}

/// One image of [`BatchNorm::fixed`].
struct Fixed<'a> {
    norm: &'a BatchNorm,
    /// Mean, deviation, gamma and beta of each channel.
    by: &'a [[f32; 4]],
    values: &'a mut [f32],
}

impl Kernel for Fixed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { norm, by, values } = self;
        for (values, &[mean, deviation, gamma, beta]) in values.chunks_exact_mut(norm.positions).zip(by) {
            let normalised = |x: f32| (x - mean) / deviation * gamma + beta;
            if norm.relu {
                for value in values {
                    let y = normalised(*value);
                    *value = if y < 0.0 { 0.0 } else { y };
                }
            } else {
                for value in values {
                    *value = normalised(*value);
                }
            }
        }
    }
}

impl Channel {
    #[inline(always)]
    fn normalised<V: Vector>(self, x: f32) -> f32 {
        V::fused(x - self.mean, self.scale, self.shift)
    }

    /// The gradient before ReLU: torch and burn let it pass where the output is NaN.
    #[inline(always)]
    fn masked<V: Vector, const RELU: bool>(self, x: f32, grad: f32) -> f32 {
        if RELU && self.normalised::<V>(x) <= 0.0 { 0.0 } else { grad }
    }
}

/// One channel of [`BatchNorm::backward`]; without `grad`, it is in `out`.
struct Backward<'a> {
    norm: &'a BatchNorm,
    channel: usize,
    by: Channel,
    input: &'a [f32],
    grad: Option<&'a [f32]>,
    out: &'a Planes<'a>,
}

impl Kernel for Backward<'_> {
    type Output = OfParameters;

    #[inline(always)]
    fn run<V: Vector>(self) -> OfParameters {
        if self.norm.relu { self.of::<V, true>() } else { self.of::<V, false>() }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn of<V: Vector, const RELU: bool>(self) -> OfParameters {
        let Self { norm, channel, by, input, grad, out } = self;
        let x = |start: usize| &input[start..][..norm.positions];
        let mut sums = Sums::ZERO;
        let term = |x: f32, grad: f32, [sum, product]: &mut [f32; 2]| {
            let grad = by.masked::<V, RELU>(x, grad);
            *sum += grad;
            *product = V::fused(grad, x - by.mean, *product);
        };
        for start in norm.planes(channel) {
            norm.prefetch_after::<V>(start, input);
            // SAFETY: planes of different channels and images do not overlap, a channel is one thread's, and in
            // place it is a gradient that was there before.
            let in_place = || unsafe { &*initialised(out.plane(start, norm.positions)) };
            sums.add(x(start), grad.map_or_else(in_place, |grad| &grad[start..][..norm.positions]), term);
        }
        let [sum, product] = sums.totals();
        let count = (norm.batch * norm.positions) as f64;
        // dx = scale * (grad - sum / n - (x - mean) * inverse^2 * product / n).
        let scale = f64::from(by.scale);
        let slope = (-scale * f64::from(by.inverse).powi(2) * product / count) as f32;
        let constant = (-scale * sum / count) as f32;
        let of_x = |x: f32, grad: f32| {
            V::fused(by.scale, by.masked::<V, RELU>(x, grad), V::fused(slope, x - by.mean, constant))
        };
        for start in norm.planes(channel) {
            // SAFETY: as above.
            let out = unsafe { out.plane(start, norm.positions) };
            // Two loops: the compiler would not see that memory may be the same, and make neither fast.
            if let Some(grad) = grad {
                for ((out, &x), &grad) in out.iter_mut().zip(x(start)).zip(&grad[start..][..norm.positions]) {
                    out.write(of_x(x, grad));
                }
            } else {
                // SAFETY: as above.
                for (grad, &x) in unsafe { initialised(out) }.iter_mut().zip(x(start)) {
                    *grad = of_x(x, *grad);
                }
            }
        }
        ((product * f64::from(by.inverse)) as f32, sum as f32)
    }
}

/// # Safety
/// All of it has been written.
#[inline(always)]
unsafe fn initialised(memory: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    // SAFETY: the caller's promise.
    unsafe { &mut *(std::ptr::from_mut(memory) as *mut [f32]) }
}
