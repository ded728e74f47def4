//! Where types of numbers meet: models whose weights may be bf16 while images, batch norm and loss are f32.
//!
//! burn converts nothing by itself. Where the types agree, as in f32 throughout, these cost nothing.

use burn::module::Param;
use burn::nn::BatchNorm;
use burn::tensor::Tensor;

/// A tensor in the type of the weights that it meets.
pub(crate) fn like<const D: usize, const W: usize>(flow: Tensor<D>, weight: &Param<Tensor<W>>) -> Tensor<D> {
    flow.cast(weight.dtype())
}

/// Batch norm in the type of its own parameters, and back: burn adds the batch's statistics to the running ones, which
/// have to be of one type, and bf16 would lose small changes of them.
pub(crate) fn normalised(norm: &BatchNorm, flow: Tensor<4>) -> Tensor<4> {
    let dtype = flow.dtype();
    norm.forward(like(flow, &norm.gamma)).cast(dtype)
}
