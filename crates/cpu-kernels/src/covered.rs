//! Which tensors the kernels take, and the word about those that they do not.

use std::sync::Once;

use burn::backend::DispatchTensorKind;
use burn::tensor::{DType, Tensor};

use crate::kernels::are_on;

/// Why an operation is left to burn.
pub(crate) const TENSOR: &str = "a tensor in another precision or on another device";
pub(crate) const SHAPES: &str = "its shapes do not fit";

/// Whether a tensor is single precision on Flex, tracked for gradients or not (and the kernels are not switched off).
pub(crate) fn is_covered<const D: usize>(tensor: &Tensor<D>) -> bool {
    if tensor.dtype() != DType::F32 || !are_on() {
        return false;
    }
    let kind = tensor.clone().into_dispatch().kind;
    let kind = if let DispatchTensorKind::Autodiff(tracked) = kind { *tracked } else { kind };
    matches!(kind, DispatchTensorKind::Flex(_))
}

/// Says once that an operation is left to burn, and why the first time.
pub(crate) fn left_to_burn(said: &'static Once, operation: &str, shape: &[usize], why: &str) {
    said.call_once(|| {
        tracing::debug!("{operation} of {shape:?} is burn's own: {why} (said once; the kernels take f32 on Flex)");
    });
}
