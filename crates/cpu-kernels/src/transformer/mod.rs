//! The functions that language models call: layer norm, GELU, attention and the loss.

mod extension;

use std::sync::Once;

use burn::nn::LayerNorm;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Bool, DType, Int, Tensor, activation};

use crate::covered::{SHAPES, TENSOR, is_covered, left_to_burn};
use crate::kernels::attention::Attention;

/// What `norm.forward(input)` gives: `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last axis.
///
/// `epsilon` is that of the layer, which does not show it. Covered: every width.
///
/// # Panics
/// As burn's: the last axis is not the layer's width.
pub fn layer_norm<const D: usize>(norm: &LayerNorm, epsilon: f64, input: Tensor<D>) -> Tensor<D> {
    static SAID: Once = Once::new();
    let (gamma, beta) = (norm.gamma.val(), norm.beta.as_ref().map(burn::module::Param::val));
    let width = gamma.dims()[0];
    let why = if input.dims().last() != Some(&width) || input.dims().contains(&0) {
        SHAPES
    } else if is_covered(&input) && is_covered(&gamma) && beta.as_ref().is_none_or(is_covered) {
        return extension::layer_norm(input, gamma, beta, epsilon);
    } else {
        TENSOR
    };
    left_to_burn(&SAID, "layer norm", &input.dims(), why);
    norm.forward(input)
}

/// What `burn::tensor::activation::gelu` gives: `x Phi(x)` with the normal distribution function, exactly. As in torch it is 0
/// at minus infinity.
pub fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    static SAID: Once = Once::new();
    if is_covered(&input) {
        return extension::gelu(input);
    }
    left_to_burn(&SAID, "gelu", &input.dims(), TENSOR);
    activation::gelu(input)
}

/// What each place of a window takes from itself and the places before it, for each of `heads` heads:
/// `softmax(q k^T / sqrt(width / heads)) v`, where what comes later has no weight.
///
/// `qkv` is `(window * place, query | key | value)`, as one linear layer gives it, `3 * width` wide; the result is
/// `(window * place, width)`. Memory grows with the places of a window, not with their square.
///
/// Covered: all shapes.
///
/// # Panics
/// Rows that are no multiple of `windows`, or a width that is no multiple of `heads`.
pub fn causal_attention(qkv: Tensor<2>, windows: usize, heads: usize) -> Tensor<2> {
    static SAID: Once = Once::new();
    let [rows, triple] = qkv.dims();
    let (context, width) = (rows / windows.max(1), triple / 3);
    let of_head = width / heads.max(1);
    assert!(
        rows == windows * context && triple == 3 * heads * of_head,
        "attention of {heads} heads in {windows} windows over {rows} rows of {triple} numbers"
    );
    let why = if !is_covered(&qkv) {
        TENSOR
    } else if rows * of_head == 0 {
        SHAPES
    } else {
        return extension::causal_attention(qkv, Attention { windows, context, heads, of_head });
    };
    left_to_burn(&SAID, "attention", &[rows, triple], why);
    // (query | key | value, window, head, place, of head)
    let parts = qkv.reshape([windows, context, 3, heads, of_head]).permute([2, 0, 3, 1, 4]);
    let [query, key, value] = [0, 1, 2].map(|at| parts.clone().narrow(0, at, 1).squeeze_dim::<4>(0));
    let scores = query.matmul(key.swap_dims(2, 3)).mul_scalar(1.0 / (of_head as f64).sqrt());
    let later = Tensor::<2, Bool>::tril_mask([context, context], 0, &scores.device());
    let weights = activation::softmax(scores.mask_fill(later.unsqueeze::<4>(), f32::NEG_INFINITY), 3);
    weights.matmul(value).swap_dims(1, 2).reshape([rows, width])
}

/// What burn's `CrossEntropyLoss` gives for logits: the mean over rows of `-ln softmax(logits)[target]`, in nats. `logits`
/// are `(row, class)`.
///
/// # Panics
/// As burn's: a target that is no class, rows of another number.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    static SAID: Once = Once::new();
    let [rows, classes] = logits.dims();
    let why = if rows * classes == 0 || targets.dims() != [rows] {
        SHAPES
    } else if is_covered(&logits) && [DType::I32, DType::I64].contains(&targets.dtype()) {
        return extension::cross_entropy(logits, targets);
    } else {
        TENSOR
    };
    left_to_burn(&SAID, "cross entropy", &[rows, classes], why);
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)
}
