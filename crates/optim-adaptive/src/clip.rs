//! Gradient clipping over a whole model, before the optimizer's step.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::fused::{max_abs, norm_power_sum};
use crate::paths::{ParamVisitor, visit_parameters};

/// Which norm bounds the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormType {
    /// The sum of magnitudes.
    L1,
    /// The Euclidean norm.
    #[default]
    L2,
    /// The largest magnitude.
    Inf,
}

/// Why a gradient could not be clipped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClipError {
    /// The norm is infinite or NaN.
    #[error("the total norm of the gradients is {norm}, first at parameter `{path}`; it cannot be clipped")]
    NonFinite {
        /// The total norm.
        norm: f64,
        /// The first parameter whose gradient is not finite.
        path: String,
    },
    /// The bound is not a positive number.
    #[error("a gradient cannot be clipped to {found}; the bound must be a number above 0")]
    Bound {
        /// The bound found.
        found: f64,
    },
}

/// Scales all gradients of `model` so that their total Euclidean norm is at most `max_norm`. Returns the norm before.
///
/// As torch's `clip_grad_norm_`: the factor is `max_norm / (norm + 1e-6)` where that is below 1. The norm is
/// accumulated in f64, so it does not overflow where the gradients are finite. A norm that is NaN or infinite is an
/// error, and the gradients are left as they were; [`clip_grad_norm_with`] can let it pass instead.
///
/// # Errors
///
/// A non-finite norm, a `max_norm` that is not a positive number.
pub fn clip_grad_norm<M: Module>(model: &M, grads: &mut GradientsParams, max_norm: f64) -> Result<f64, ClipError> {
    clip_grad_norm_with(model, grads, max_norm, NormType::L2, true)
}

/// [`clip_grad_norm`] with a choice of norm, and of what happens where it is not finite.
///
/// With `error_if_nonfinite = false` it does what torch does by default: a NaN norm makes all gradients NaN, an
/// infinite one makes them 0 (and those that are infinite NaN).
///
/// # Errors
///
/// A `max_norm` that is not a positive number; with `error_if_nonfinite`, a non-finite norm.
pub fn clip_grad_norm_with<M: Module>(
    model: &M,
    grads: &mut GradientsParams,
    max_norm: f64,
    norm_type: NormType,
    error_if_nonfinite: bool,
) -> Result<f64, ClipError> {
    check(max_norm)?;
    let mut measured = Measure { grads, norm_type, total: 0.0, first_non_finite: None };
    visit_parameters(model, &mut measured);
    let norm = if norm_type == NormType::L2 { measured.total.sqrt() } else { measured.total };
    if !norm.is_finite() && error_if_nonfinite {
        let path = measured.first_non_finite.unwrap_or_default();
        return Err(ClipError::NonFinite { norm, path });
    }
    let factor = max_norm / (norm + 1e-6);
    // A NaN factor is not below 1 either, but must reach the gradients.
    if factor < 1.0 || factor.is_nan() {
        model.visit(&mut Change { grads, change: Bound::Scale(factor) });
    }
    Ok(norm)
}

/// Bounds every element of every gradient of `model` to `[-clip_value, clip_value]`, as torch's `clip_grad_value_`.
///
/// # Errors
///
/// A `clip_value` that is not a positive number.
pub fn clip_grad_value<M: Module>(model: &M, grads: &mut GradientsParams, clip_value: f64) -> Result<(), ClipError> {
    check(clip_value)?;
    model.visit(&mut Change { grads, change: Bound::Clamp(clip_value) });
    Ok(())
}

fn check(bound: f64) -> Result<(), ClipError> {
    if bound > 0.0 { Ok(()) } else { Err(ClipError::Bound { found: bound }) }
}

/// Accumulates the norm.
struct Measure<'a> {
    grads: &'a GradientsParams,
    norm_type: NormType,
    total: f64,
    first_non_finite: Option<String>,
}

impl ParamVisitor for Measure<'_> {
    fn float<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.get::<D>(param.id) else { return };
        let part = match self.norm_type {
            NormType::L1 => norm_power_sum(&grad, 1),
            NormType::L2 => norm_power_sum(&grad, 2),
            NormType::Inf => max_abs(&grad),
        };
        if !part.is_finite() && self.first_non_finite.is_none() {
            self.first_non_finite = Some(path.to_owned());
        }
        self.total = match self.norm_type {
            NormType::Inf if self.total.is_nan() || part.is_nan() => f64::NAN,
            NormType::Inf => self.total.max(part),
            NormType::L1 | NormType::L2 => self.total + part,
        };
    }
}

/// What is done to each gradient.
#[derive(Clone, Copy)]
enum Bound {
    Scale(f64),
    Clamp(f64),
}

/// Replaces each gradient of the visited model.
struct Change<'a> {
    grads: &'a mut GradientsParams,
    change: Bound,
}

impl ModuleVisitor for Change<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.remove::<D>(param.id) else { return };
        let grad = match self.change {
            Bound::Scale(factor) => grad.mul_scalar(factor),
            Bound::Clamp(bound) => grad.clamp(-bound, bound),
        };
        self.grads.register(param.id, grad);
    }
}
