//! The arithmetic an update formula may use, for scalars and for whole tensors.

use std::ops::{Add, Div, Mul, Sub};

use burn::tensor::Tensor;

/// What a [`Rule`](super::Rule) computes with: an `f32`, an `f64` or a float tensor.
///
/// Every operation rounds once, in the order written: nothing is contracted to fused multiply-adds, so that each
/// backend, instruction set and thread count gives the same bits as torch's order of operations.
pub(crate) trait Value:
    Clone + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Sized
{
    /// `self * factor`.
    fn scale(self, factor: f64) -> Self;

    /// `self / divisor`.
    fn over(self, divisor: f64) -> Self;

    /// `dividend / self`.
    fn under(self, dividend: f64) -> Self;

    /// `self + term`.
    fn offset(self, term: f64) -> Self;

    /// The square root; NaN below zero.
    fn root(self) -> Self;

    /// The absolute value.
    fn magnitude(self) -> Self;

    /// The larger of the two; NaN if either is NaN, as `torch.maximum` has it.
    fn larger(self, other: Self) -> Self;

    /// `self + weight * (end - self)`, from whichever end is nearer, as `torch.lerp` computes it.
    #[inline(always)]
    fn lerp(self, end: Self, weight: f64) -> Self {
        if weight.abs() < 0.5 {
            self.clone() + (end - self).scale(weight)
        } else {
            end.clone() - (end - self).scale(1.0 - weight)
        }
    }
}

/// A CPU element type that has fused loops.
pub(crate) trait Real: Value + Copy + Send + Sync + 'static {
    /// An unsigned integer of the same width.
    type Bits: Copy + Ord;

    /// The bits of 0.
    const ZERO: Self::Bits;

    /// The bits of infinity. Those of a NaN are larger, those of everything finite smaller.
    const INFINITE: Self::Bits;

    /// The bits without the sign: they order as magnitudes do, and are compared and reduced as integers.
    fn magnitude_bits(self) -> Self::Bits;

    /// The number in double precision, for accumulating.
    fn wide(self) -> f64;
}

macro_rules! real {
    ($t:ty, $bits:ty) => {
        impl Value for $t {
            #[inline(always)]
            fn scale(self, factor: f64) -> Self {
                self * (factor as $t)
            }

            #[inline(always)]
            fn over(self, divisor: f64) -> Self {
                self / (divisor as $t)
            }

            #[inline(always)]
            fn under(self, dividend: f64) -> Self {
                (dividend as $t) / self
            }

            #[inline(always)]
            fn offset(self, term: f64) -> Self {
                self + (term as $t)
            }

            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                if self > other || self.is_nan() { self } else { other }
            }
        }

        impl Real for $t {
            type Bits = $bits;

            const ZERO: $bits = 0;

            const INFINITE: $bits = <$t>::INFINITY.to_bits();

            #[inline(always)]
            fn magnitude_bits(self) -> $bits {
                self.to_bits() & (<$bits>::MAX >> 1)
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
        }
    };
}

real!(f32, u32);
real!(f64, u64);

impl<const D: usize> Value for Tensor<D> {
    fn scale(self, factor: f64) -> Self {
        self.mul_scalar(factor)
    }

    fn over(self, divisor: f64) -> Self {
        self.div_scalar(divisor)
    }

    fn under(self, dividend: f64) -> Self {
        self.recip().mul_scalar(dividend)
    }

    fn offset(self, term: f64) -> Self {
        self.add_scalar(term)
    }

    fn root(self) -> Self {
        self.sqrt()
    }

    fn magnitude(self) -> Self {
        self.abs()
    }

    fn larger(self, other: Self) -> Self {
        let keep = self.clone().greater(other.clone()).bool_or(self.clone().is_nan());
        other.mask_where(keep, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Op<V> = fn(V, V) -> V;

    #[test]
    fn maximum_propagates_nan_from_either_side() {
        for (a, b, expected) in [(1.0, 2.0, 2.0), (2.0, 1.0, 2.0), (-0.5, -0.25, -0.25)] {
            assert_eq!(Value::larger(a, b), expected);
        }
        assert!(Value::larger(f64::NAN, 1.0).is_nan());
        assert!(Value::larger(1.0f32, f32::NAN).is_nan());
    }

    #[test]
    fn bits_tell_what_is_finite() {
        for (value, finite) in [
            (0.0, true),
            (-0.0, true),
            (f32::MAX, true),
            (f32::MIN, true),
            (f32::MIN_POSITIVE / 2.0, true),
            (f32::INFINITY, false),
            (f32::NEG_INFINITY, false),
            (f32::NAN, false),
            (-f32::NAN, false),
        ] {
            assert_eq!(value.magnitude_bits() < f32::INFINITE, finite, "{value}");
            assert_eq!(f64::from(value).magnitude_bits() < f64::INFINITE, finite, "{value} in double precision");
        }
        assert!(f64::MAX.magnitude_bits() < f64::INFINITE);
    }

    #[test]
    fn lerp_starts_from_the_nearer_end() {
        let cases = [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (1.0, 3.0), (-0.25, 0.5)];
        for (weight, expected) in cases {
            assert_eq!(Value::lerp(1.0, 3.0, weight), expected, "weight {weight}");
        }
        // Reaching the end exactly is what the second formula is for.
        assert_eq!(Value::lerp(1e16, 1.0, 1.0), 1.0);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn tensors_and_scalars_agree_on_every_operation() {
        let device = burn::tensor::Device::flex();
        let inputs = [-2.0f32, -0.0, 0.5, 3.0, f32::NAN];
        let others = [1.0f32, f32::NAN, 0.25, 5.0, 1.0];
        let a = Tensor::<1>::from_floats(inputs, &device);
        let b = Tensor::<1>::from_floats(others, &device);
        let ops: [(Op<f32>, Op<Tensor<1>>); 7] = [
            (|a, _| a.scale(0.3), |a, _| a.scale(0.3)),
            (|a, _| a.over(0.3), |a, _| a.over(0.3)),
            (|a, _| a.offset(0.3), |a, _| a.offset(0.3)),
            (|a, _| a.root(), |a, _| a.root()),
            (|a, _| a.magnitude(), |a, _| a.magnitude()),
            (|a, b| a.larger(b), |a, b| a.larger(b)),
            (|a, b| a.lerp(b, 0.1), |a, b| a.lerp(b, 0.1)),
        ];
        for (i, (scalar, tensor)) in ops.into_iter().enumerate() {
            let expected = inputs.iter().zip(others).map(|(&a, b)| scalar(a, b).to_bits() & 0x7fff_ffff);
            let found = tensor(a.clone(), b.clone()).into_data().try_to_vec::<f32>().unwrap();
            let found = found.into_iter().map(|x| x.to_bits() & 0x7fff_ffff);
            for (j, (e, f)) in expected.zip(found).enumerate() {
                let both_nan = f32::from_bits(e).is_nan() && f32::from_bits(f).is_nan();
                assert!(both_nan || e == f, "operation {i}, element {j}");
            }
        }
    }
}
