//! The loops: one pass over all buffers, compiled per instruction set, split over the cores.
//!
//! Elements do not depend on each other and no operation is contracted, so neither the width of the vectors nor the
//! number of threads changes a bit of the result.
//!
//! Every loop also finds out whether the gradient was finite: it keeps the largest of its elements' bits, as integers.
//! That costs next to nothing beside the divisions and the memory traffic of the update.

use std::slice::ChunksMut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Real, Rule};

/// Elements per unit of work: four f32 buffers of this length fit into a core's second-level cache.
pub(crate) const CHUNK: usize = 1 << 14;

/// Up to this many elements one thread is faster than waking a second one.
pub(crate) const ALONE: usize = 1 << 15;

/// Loops over a parameter, a gradient and `N` states; implemented by [`SweepOver`] for 0 to 4 states. Each says whether
/// the gradient was finite.
pub(crate) trait Sweep<const N: usize> {
    /// Writes the new parameter over the old one.
    fn in_place<T: Real, R: Rule<N>>(rule: R, param: &mut [T], grad: &[T], states: [&mut [T]; N]) -> bool;

    /// Writes the new parameter over the gradient, which is read for the last time here.
    fn into_gradient<T: Real, R: Rule<N>>(rule: R, param: &[T], grad: &mut [T], states: [&mut [T]; N]) -> bool;
}

/// The type that carries the [`Sweep`] implementations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SweepOver;

/// Compiles `$body` for AVX-512, AVX2 and the baseline and calls the best one the machine has.
macro_rules! multiversion {
    ($body:ident::<$t:ident, $r:ident; $n:literal>($($arg:ident: $ty:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
            fn wide<$t: Real, $r: Rule<$n>>($($arg: $ty),*) -> bool {
                $body::<$t, $r>($($arg),*)
            }
            #[target_feature(enable = "avx2")]
            fn medium<$t: Real, $r: Rule<$n>>($($arg: $ty),*) -> bool {
                $body::<$t, $r>($($arg),*)
            }
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512bw")
            {
                // SAFETY: the features were detected on the line above.
                return unsafe { wide::<$t, $r>($($arg),*) };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return unsafe { medium::<$t, $r>($($arg),*) };
            }
        }
        $body::<$t, $r>($($arg),*)
    }};
}

/// One arity. The buffers are separate arguments, not an array, because only then does the compiler know that they
/// do not overlap, and vectorises the loop without run-time checks.
macro_rules! sweep {
    ($n:literal: $($s:ident => $new:ident),*) => {
        impl Sweep<$n> for SweepOver {
            fn in_place<T: Real, R: Rule<$n>>(rule: R, param: &mut [T], grad: &[T], states: [&mut [T]; $n]) -> bool {
                #[inline(always)]
                fn body<T: Real, R: Rule<$n>>(rule: R, param: &mut [T], grad: &[T], $($s: &mut [T]),*) -> bool {
                    let n = param.len();
                    let grad = &grad[..n];
                    $(let $s = &mut $s[..n];)*
                    let mut largest = T::ZERO;
                    for i in 0..n {
                        largest = largest.max(grad[i].magnitude_bits());
                        let (new, [$($new),*]) = rule.update(param[i], grad[i], [$($s[i]),*]);
                        param[i] = new;
                        $($s[i] = $new;)*
                    }
                    largest < T::INFINITE
                }
                let [$($s),*] = states;
                multiversion!(body::<T, R; $n>(rule: R, param: &mut [T], grad: &[T] $(, $s: &mut [T])*))
            }

            fn into_gradient<T: Real, R: Rule<$n>>(rule: R, param: &[T], grad: &mut [T], states: [&mut [T]; $n]) -> bool {
                #[inline(always)]
                fn body<T: Real, R: Rule<$n>>(rule: R, param: &[T], grad: &mut [T], $($s: &mut [T]),*) -> bool {
                    let n = param.len();
                    let grad = &mut grad[..n];
                    $(let $s = &mut $s[..n];)*
                    let mut largest = T::ZERO;
                    for i in 0..n {
                        largest = largest.max(grad[i].magnitude_bits());
                        let (new, [$($new),*]) = rule.update(param[i], grad[i], [$($s[i]),*]);
                        grad[i] = new;
                        $($s[i] = $new;)*
                    }
                    largest < T::INFINITE
                }
                let [$($s),*] = states;
                multiversion!(body::<T, R; $n>(rule: R, param: &[T], grad: &mut [T] $(, $s: &mut [T])*))
            }
        }
    };
}

sweep!(0:);
sweep!(1: s0 => n0);
sweep!(2: s0 => n0, s1 => n1);
sweep!(3: s0 => n0, s1 => n1, s2 => n2);
sweep!(4: s0 => n0, s1 => n1, s2 => n2, s3 => n3);

/// [`Sweep::in_place`] over all cores.
pub(super) fn in_place<T: Real, R: Rule<N>, const N: usize>(
    rule: R,
    param: &mut [T],
    grad: &[T],
    states: [&mut [T]; N],
) -> bool
where
    SweepOver: Sweep<N>,
{
    if param.len() <= ALONE {
        return <SweepOver as Sweep<N>>::in_place(rule, param, grad, states);
    }
    let n = param.len();
    let chunks = param.chunks_mut(CHUNK).zip(grad.chunks(CHUNK)).zip(Chunks(states.map(|s| s.chunks_mut(CHUNK))));
    let finite = AtomicBool::new(true);
    share(n.div_ceil(CHUNK), chunks, |((param, grad), states)| {
        if !<SweepOver as Sweep<N>>::in_place(rule, param, grad, states) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// [`Sweep::into_gradient`] over all cores.
pub(super) fn into_gradient<T: Real, R: Rule<N>, const N: usize>(
    rule: R,
    param: &[T],
    grad: &mut [T],
    states: [&mut [T]; N],
) -> bool
where
    SweepOver: Sweep<N>,
{
    if param.len() <= ALONE {
        return <SweepOver as Sweep<N>>::into_gradient(rule, param, grad, states);
    }
    let n = param.len();
    let chunks = param.chunks(CHUNK).zip(grad.chunks_mut(CHUNK)).zip(Chunks(states.map(|s| s.chunks_mut(CHUNK))));
    let finite = AtomicBool::new(true);
    share(n.div_ceil(CHUNK), chunks, |((param, grad), states)| {
        if !<SweepOver as Sweep<N>>::into_gradient(rule, param, grad, states) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// The next chunk of each of `N` buffers.
struct Chunks<'a, T, const N: usize>([ChunksMut<'a, T>; N]);

impl<'a, T, const N: usize> Iterator for Chunks<'a, T, N> {
    type Item = [&'a mut [T]; N];

    fn next(&mut self) -> Option<Self::Item> {
        // The parameter's chunks, which this is zipped with, end the walk; without states there is nothing to end.
        Some(self.0.each_mut().map(|chunks| chunks.next().unwrap_or_default()))
    }
}

/// Runs `run` on every one of `count` items, on this thread and on rayon's others.
///
/// The calling thread starts at once and takes items like the others. Handing the work over to the pool and waiting, as
/// `rayon::join` does from outside it, costs ten to twenty microseconds before the first element is touched, which is
/// the time of a whole step over 40,000 elements.
pub(super) fn share<I>(count: usize, items: I, run: impl Fn(I::Item) + Sync)
where
    I: Iterator + Send,
{
    let items = Mutex::new(items);
    let work = || {
        loop {
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { break };
            run(item);
        }
    };
    let helpers = rayon::current_num_threads().min(count).saturating_sub(1);
    if helpers == 0 {
        return work();
    }
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| work());
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;

    /// Touches every operand, so that a misplaced chunk shows.
    #[derive(Clone, Copy)]
    struct Mix;

    impl Rule<2> for Mix {
        #[inline(always)]
        fn update<V: Value>(self, param: V, grad: V, [a, b]: [V; 2]) -> (V, [V; 2]) {
            let a = a.lerp(grad.clone(), 0.1);
            let b = b.scale(0.9) + grad.clone().scale(0.1) * grad;
            (param - a.clone() / b.clone().root().offset(1e-8), [a, b])
        }
    }

    fn buffers(n: usize) -> [Vec<f32>; 4] {
        std::array::from_fn(|k| (0..n).map(|i| ((i * 7919 + k * 104_729) % 10_007) as f32 / 997.0).collect())
    }

    #[test]
    fn both_directions_and_every_length_agree_with_a_plain_loop() {
        for n in [0, 1, 15, 17, 1000, CHUNK, ALONE, ALONE + 1, 5 * CHUNK, 5 * CHUNK + 3] {
            let [p, g, a, b] = buffers(n);
            let expected: Vec<_> = (0..n).map(|i| Mix.update(p[i], g[i], [a[i], b[i]])).collect();

            let (mut p1, mut a1, mut b1) = (p.clone(), a.clone(), b.clone());
            in_place(Mix, &mut p1, &g, [&mut a1, &mut b1]);
            let (mut g2, mut a2, mut b2) = (g.clone(), a.clone(), b.clone());
            into_gradient(Mix, &p, &mut g2, [&mut a2, &mut b2]);

            for (i, (p, [a, b])) in expected.into_iter().enumerate() {
                assert_eq!((p1[i], a1[i], b1[i]), (p, a, b), "in place, {i} of {n}");
                assert_eq!((g2[i], a2[i], b2[i]), (p, a, b), "into the gradient, {i} of {n}");
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_seen_wherever_it_is() {
        for n in [1, 15, 17, 1000, CHUNK, ALONE, ALONE + 1, 5 * CHUNK + 3] {
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0] {
                for at in [0, n / 2, n - 1] {
                    let [mut p, mut g, mut a, mut b] = buffers(n);
                    g[at] = bad;
                    let (mut a2, mut b2) = (a.clone(), b.clone());
                    let seen = in_place(Mix, &mut p, &g, [&mut a, &mut b]);
                    assert_eq!(seen, bad.is_finite(), "in place, {bad} at {at} of {n}");
                    let seen = into_gradient(Mix, &p, &mut g, [&mut a2, &mut b2]);
                    assert_eq!(seen, bad.is_finite(), "into the gradient, {bad} at {at} of {n}");
                }
            }
            // Of the buffers, only the gradient counts.
            let [mut p, g, mut a, mut b] = buffers(n);
            (p[0], a[0], b[n - 1]) = (f32::NAN, f32::INFINITY, f32::NAN);
            assert!(in_place(Mix, &mut p, &g, [&mut a, &mut b]), "{n}");
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let n = 9 * CHUNK + 77;
        let run = |threads| {
            let [mut p, g, mut a, mut b] = buffers(n);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| in_place(Mix, &mut p, &g, [&mut a, &mut b]));
            [p, a, b].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}
