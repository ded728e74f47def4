//! Sums over whole tensors in double precision, the same bits for any number of threads.
//!
//! Elements are summed in a fixed order of lanes within fixed chunks, and the chunks' sums in order. That is also why
//! the norm of a large gradient loses no digits to accumulation, as a running f32 sum would.

use burn::tensor::{ElementConversion, Tensor};

use super::buffers::read;
use super::sweep::{ALONE, CHUNK, share};
use super::{Real, Value};

/// Independent accumulators per chunk: enough to keep the vector units busy.
const LANES: usize = 16;

/// What is accumulated over the elements of `K` tensors.
trait Reduction<const K: usize>: Copy + Send + Sync {
    /// The contribution of one element.
    fn term<V: Value>(self, elements: [V; K]) -> V;

    /// Two partial results as one.
    fn join(self, a: f64, b: f64) -> f64;

    /// The whole tensor at once, where there are no fused loops.
    fn composed<const D: usize>(self, terms: Tensor<D>) -> Tensor<1>;
}

macro_rules! sum_of {
    ($(#[$doc:meta])* $name:ident<$k:literal>: |$elements:pat_param| $term:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name;

        impl Reduction<$k> for $name {
            #[inline(always)]
            fn term<V: Value>(self, $elements: [V; $k]) -> V {
                $term
            }

            #[inline(always)]
            fn join(self, a: f64, b: f64) -> f64 {
                a + b
            }

            fn composed<const D: usize>(self, terms: Tensor<D>) -> Tensor<1> {
                terms.sum()
            }
        }
    };
}

sum_of!(
    /// `sum |x|`.
    Magnitudes<1>: |[x]| x.magnitude()
);
sum_of!(
    /// `sum x^2`.
    Squares<1>: |[x]| x.clone() * x
);
sum_of!(
    /// `sum w (a - b)`.
    WeightedDifferences<3>: |[w, a, b]| w * (a - b)
);

/// `max |x|`, NaN if any is.
#[derive(Clone, Copy)]
struct Largest;

impl Reduction<1> for Largest {
    #[inline(always)]
    fn term<V: Value>(self, [x]: [V; 1]) -> V {
        x.magnitude()
    }

    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        a.larger(b)
    }

    fn composed<const D: usize>(self, terms: Tensor<D>) -> Tensor<1> {
        // A plain `max` may drop a NaN, depending on the backend.
        let any_nan = terms.clone().is_nan().float().sum().greater_elem(0.0);
        let largest = terms.max();
        largest.clone().mask_where(any_nan, largest.full_like(f32::NAN))
    }
}

/// `sum |x|^p` for `p` 1 or 2.
pub(crate) fn norm_power_sum<const D: usize>(tensor: &Tensor<D>, p: u8) -> f64 {
    if p == 1 { reduce(Magnitudes, [tensor]) } else { reduce(Squares, [tensor]) }
}

/// `max |x|`; 0 for an empty tensor, NaN if any element is.
pub(crate) fn max_abs<const D: usize>(tensor: &Tensor<D>) -> f64 {
    reduce(Largest, [tensor])
}

/// `sum w (a - b)`.
pub(crate) fn weighted_difference<const D: usize>(weight: &Tensor<D>, a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    reduce(WeightedDifferences, [weight, a, b])
}

fn reduce<R: Reduction<K>, const K: usize, const D: usize>(reduction: R, tensors: [&Tensor<D>; K]) -> f64 {
    if tensors.iter().any(|tensor| tensor.shape().num_elements() == 0) {
        return 0.0;
    }
    read(tensors, |slices| chunked(reduction, slices), |slices| chunked(reduction, slices)).unwrap_or_else(|| {
        let terms = reduction.term(tensors.map(Clone::clone));
        reduction.composed(terms).into_scalar::<f64>().elem()
    })
}

fn chunked<T: Real, R: Reduction<K>, const K: usize>(reduction: R, slices: [&[T]; K]) -> f64 {
    let n = slices.iter().map(|slice| slice.len()).min().unwrap_or(0);
    let part = |chunk: usize| {
        let range = chunk * CHUNK..((chunk + 1) * CHUNK).min(n);
        one_chunk(reduction, slices.map(|slice| &slice[range.clone()]))
    };
    let mut parts = vec![0.0; n.div_ceil(CHUNK)];
    if n <= ALONE {
        parts.iter_mut().enumerate().for_each(|(chunk, sum)| *sum = part(chunk));
    } else {
        share(parts.len(), parts.iter_mut().enumerate(), |(chunk, sum)| *sum = part(chunk));
    }
    parts.into_iter().fold(0.0, |sum, part| reduction.join(sum, part))
}

/// One chunk, compiled for the instruction sets at hand.
fn one_chunk<T: Real, R: Reduction<K>, const K: usize>(reduction: R, slices: [&[T]; K]) -> f64 {
    #[inline(always)]
    fn body<T: Real, R: Reduction<K>, const K: usize>(reduction: R, slices: [&[T]; K]) -> f64 {
        let mut lanes = [0.0; LANES];
        // Whole blocks are arrays, so that no index needs a check and the lanes become vectors.
        let split = slices.map(<[T]>::as_chunks::<LANES>);
        let blocks = split.iter().map(|(blocks, _)| blocks.len()).min().unwrap_or(0);
        for i in 0..blocks {
            let block = split.map(|(blocks, _)| &blocks[i]);
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum = reduction.join(*sum, reduction.term(block.map(|block| block[lane].wide())));
            }
        }
        let rest = split.iter().map(|(_, rest)| rest.len()).min().unwrap_or(0);
        for (i, sum) in lanes.iter_mut().enumerate().take(rest) {
            *sum = reduction.join(*sum, reduction.term(split.map(|(_, rest)| rest[i].wide())));
        }
        lanes.into_iter().fold(0.0, |sum, lane| reduction.join(sum, lane))
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq")]
        fn wide<T: Real, R: Reduction<K>, const K: usize>(reduction: R, slices: [&[T]; K]) -> f64 {
            body(reduction, slices)
        }
        #[target_feature(enable = "avx2")]
        fn medium<T: Real, R: Reduction<K>, const K: usize>(reduction: R, slices: [&[T]; K]) -> f64 {
            body(reduction, slices)
        }
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the features were just detected.
            return unsafe { wide(reduction, slices) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { medium(reduction, slices) };
        }
    }
    body(reduction, slices)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;

    fn tensor(values: Vec<f32>) -> Tensor<1> {
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &Device::flex())
    }

    #[test]
    fn sums_are_exact_where_f32_would_have_lost_digits() {
        // A running f32 sum of ones stops at 2^24.
        let n = (1 << 24) + 1000;
        assert_eq!(norm_power_sum(&tensor(vec![1.0; n]), 2), n as f64);
        assert_eq!(norm_power_sum(&tensor(vec![-1.0; n]), 1), n as f64);
    }

    #[test]
    fn every_length_counts_every_element_once() {
        for n in [0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let expected: f64 = (0..n).map(|i| i as f64).sum();
            assert_eq!(norm_power_sum(&tensor((0..n).map(|i| -(i as f32)).collect()), 1), expected, "{n} elements");
            let largest = n.saturating_sub(1) as f64;
            assert_eq!(max_abs(&tensor((0..n).map(|i| -(i as f32)).collect())), largest, "{n} elements");
        }
    }

    #[test]
    fn nan_and_infinity_are_not_lost() {
        for at in [0, 5, 40, CHUNK + 3] {
            let mut values = vec![1.0f32; CHUNK + 10];
            values[at] = f32::NAN;
            assert!(max_abs(&tensor(values.clone())).is_nan(), "NaN at {at}");
            values[at] = f32::NEG_INFINITY;
            assert_eq!(max_abs(&tensor(values)), f64::INFINITY, "-inf at {at}");
        }
    }

    #[test]
    fn a_squared_f32_does_not_overflow() {
        assert_eq!(norm_power_sum(&tensor(vec![1e30]), 2).sqrt(), f64::from(1e30f32));
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let values: Vec<f32> = (0..7 * CHUNK + 13).map(|i| ((i * 7919) % 10_007) as f32 / 3.0).collect();
        let sum = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let tensor = tensor(values.clone());
            pool.install(|| norm_power_sum(&tensor, 2).to_bits())
        };
        assert_eq!(sum(1), sum(3));
    }
}
