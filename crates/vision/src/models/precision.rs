//! Casts between number types, for models with bf16 weights whose images, batch norm and loss are f32.
//!
//! burn does not convert by itself. Where the types agree, a cast costs nothing.

use burn::module::Param;
use burn::nn::BatchNorm;
use burn::tensor::Tensor;

/// A tensor in the type of these weights.
pub(crate) fn like<const D: usize, const W: usize>(flow: Tensor<D>, weight: &Param<Tensor<W>>) -> Tensor<D> {
    flow.cast(weight.dtype())
}

/// Batch norm in the type of its own parameters, and back. burn adds the batch's statistics to the running ones, so both
/// need one type, and bf16 would lose small changes.
pub(crate) fn normalised(norm: &BatchNorm, flow: Tensor<4>) -> Tensor<4> {
    let dtype = flow.dtype();
    cpu_kernels::batch_norm(norm, like(flow, &norm.gamma)).cast(dtype)
}

/// [`normalised`], then ReLU.
pub(crate) fn normalised_relu(norm: &BatchNorm, flow: Tensor<4>) -> Tensor<4> {
    let dtype = flow.dtype();
    cpu_kernels::batch_norm_relu(norm, like(flow, &norm.gamma)).cast(dtype)
}
