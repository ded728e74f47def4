//! The functions that models call: burn-nn's layers, with our kernels where they apply.

use std::sync::Once;

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, MaxPool2d};
use burn::nn::{BatchNorm, Linear, PaddingConfig2d};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::covered::{SHAPES, TENSOR, is_covered, left_to_burn};
use crate::extension as kernels;
use crate::kernels::conv::{Conv, output_length};
use crate::kernels::pool::{Divisor, Windows};

/// What `conv.forward(input)` gives, `(image, channel, row, column)` to `(image, channel, row, column)`.
///
/// Covered: every kernel size, stride, padding and dilation, with and without bias, for one group.
///
/// # Panics
/// As burn's: the input has other channels than the layer, or the kernel is larger than the padded image.
pub fn conv2d(conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    static SAID: Once = Once::new();
    match convolution(conv, &input) {
        Ok(shapes) => kernels::conv2d(input, conv.weight.val(), conv.bias.as_ref().map(Param::val), shapes),
        Err(why) => {
            left_to_burn(&SAID, "conv2d", &input.dims(), why);
            conv.forward(input)
        }
    }
}

/// The shapes of a convolution that the kernels do.
fn convolution(conv: &Conv2d, input: &Tensor<4>) -> Result<Conv, &'static str> {
    let weight = conv.weight.val();
    if !is_covered(input) || !is_covered(&weight) || !conv.bias.as_ref().is_none_or(|bias| is_covered(&bias.val())) {
        return Err(TENSOR);
    }
    if conv.groups != 1 {
        return Err("it has groups");
    }
    let [batch, inputs, height, width] = input.dims();
    let [outputs, channels, down, across] = weight.dims();
    let [above, left] = padding(&conv.padding, [height, width], [down, across], conv.stride);
    let axis = |axis: usize, length, kernel, padding| {
        output_length(length, kernel, conv.stride[axis], padding, conv.dilation[axis])
    };
    match (axis(0, height, down, above), axis(1, width, across, left)) {
        (Some(rows), Some(columns)) if channels == inputs && channels * outputs * height * width > 0 => Ok(Conv {
            batch,
            inputs,
            outputs,
            size: [height, width],
            kernel: [down, across],
            stride: conv.stride,
            padding: [above.0, left.0],
            dilation: conv.dilation,
            output: [rows, columns],
        }),
        _ => Err(SHAPES),
    }
}

/// Zeros (above, below) and (left, right), as burn computes them.
fn padding(padding: &PaddingConfig2d, size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> [(usize, usize); 2] {
    match padding {
        PaddingConfig2d::Valid => [(0, 0); 2],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [(*top, *bottom), (*left, *right)],
        PaddingConfig2d::Same => [0, 1].map(|axis| {
            // As many positions as strides fit into the length, begun or whole.
            let positions = size[axis].div_ceil(stride[axis].max(1));
            let reach = positions.saturating_sub(1) * stride[axis] + kernel[axis];
            let both = if positions == 0 { 0 } else { reach.saturating_sub(size[axis]) };
            (both / 2, both - both / 2)
        }),
    }
}

/// What `linear.forward(input)` gives, `(..., feature)` to `(..., feature)`.
///
/// # Panics
/// As burn's: the input has other features than the layer.
pub fn linear<const D: usize>(linear: &Linear, input: Tensor<D>) -> Tensor<D> {
    static SAID: Once = Once::new();
    let (weight, bias) = (linear.weight.val(), linear.bias.as_ref().map(Param::val));
    let [inputs, outputs] = weight.dims();
    let mut dims = input.dims();
    let why = if !is_covered(&input) || !is_covered(&weight) || !bias.as_ref().is_none_or(is_covered) {
        Some(TENSOR)
    } else if dims.last() != Some(&inputs) || inputs * outputs * dims.iter().product::<usize>() == 0 {
        Some(SHAPES)
    } else {
        None
    };
    if let Some(why) = why {
        left_to_burn(&SAID, "a linear layer", &dims, why);
        return linear.forward(input);
    }
    let rows = dims.iter().product::<usize>() / inputs;
    let output = kernels::linear(input.reshape([rows, inputs]), weight, bias);
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    output.reshape(dims)
}

/// What `norm.forward(input)` gives, running statistics included.
///
/// Covered: training (a device with autodiff, and the layer not frozen), and inference without autodiff. As in burn, the running variance is an average
/// of the batches' biased variances; torch averages the unbiased ones, which are `n / (n - 1)` times as large for `n`
/// values in a channel.
///
/// # Panics
/// As burn's: the input has other channels than the layer.
pub fn batch_norm(norm: &BatchNorm, input: Tensor<4>) -> Tensor<4> {
    normalised(norm, input, false)
}

/// As [`batch_norm`] and then ReLU, in one pass over memory; the output of batch norm is not kept.
pub fn batch_norm_relu(norm: &BatchNorm, input: Tensor<4>) -> Tensor<4> {
    normalised(norm, input, true)
}

fn normalised(norm: &BatchNorm, input: Tensor<4>, with_relu: bool) -> Tensor<4> {
    static SAID: Once = Once::new();
    let trains = input.device().is_autodiff() && norm.training.is_enabled();
    let [_, channels, _, _] = input.dims();
    let why = if [norm.gamma.dims(), norm.beta.dims()] != [[channels]; 2] || input.dims().contains(&0) {
        Some(SHAPES)
    } else if !is_covered(&input) || !is_covered(&norm.gamma.val()) || !is_covered(&norm.beta.val()) {
        Some(TENSOR)
    } else {
        None
    };
    if trains && why.is_none() {
        let of_batch = kernels::batch_norm(input, norm.gamma.val(), norm.beta.val(), norm.epsilon, with_relu);
        let device = of_batch.output.device();
        for (running, batch) in [(&norm.running_mean, of_batch.mean), (&norm.running_var, of_batch.variance)] {
            let before = running.value_sync().to_device(&device);
            let after = before.mul_scalar(1.0 - norm.momentum).add(batch.mul_scalar(norm.momentum));
            running.update(after.detach());
        }
        return of_batch.output;
    }
    if why.is_none() && !input.device().is_autodiff() {
        let statistics =
            [&norm.running_mean, &norm.running_var].map(|running| running.value().to_device(&input.device()));
        if statistics.iter().all(|numbers| is_covered(numbers) && numbers.dims() == [channels]) {
            let [mean, variance] = statistics;
            let numbers = [norm.gamma.val(), norm.beta.val(), mean, variance];
            return kernels::fixed_norm(input, numbers, norm.epsilon, with_relu);
        }
    }
    if let Some(why) = why {
        left_to_burn(&SAID, "batch norm", &input.dims(), why);
    }
    let output = norm.forward(input);
    if with_relu { relu(output) } else { output }
}

/// What `pool.forward(input)` gives. Covered: all but dilation and `ceil_mode`.
///
/// # Panics
/// As burn's: the window is larger than the padded image.
pub fn max_pool2d(pool: &MaxPool2d, input: Tensor<4>) -> Tensor<4> {
    static SAID: Once = Once::new();
    let plain = pool.dilation == [1, 1] && !pool.ceil_mode;
    match windows(&input, plain, pool.kernel_size, pool.stride, &pool.padding) {
        Ok(windows) => kernels::max_pool2d(input, windows),
        Err(why) => {
            left_to_burn(&SAID, "max pooling", &input.dims(), why);
            pool.forward(input)
        }
    }
}

/// What `pool.forward(input)` gives. Covered: all but `ceil_mode`.
///
/// # Panics
/// As burn's: the window is larger than the padded image.
pub fn avg_pool2d(pool: &AvgPool2d, input: Tensor<4>) -> Tensor<4> {
    static SAID: Once = Once::new();
    match windows(&input, !pool.ceil_mode, pool.kernel_size, pool.stride, &pool.padding) {
        Ok(windows) => {
            let divisor = if pool.count_include_pad { Divisor::Kernel } else { Divisor::Values };
            kernels::avg_pool2d(input, windows, divisor)
        }
        Err(why) => {
            left_to_burn(&SAID, "average pooling", &input.dims(), why);
            pool.forward(input)
        }
    }
}

/// The average of each map: `(image, channel, row, column)` to `(image, channel)`.
pub fn global_avg_pool(input: Tensor<4>) -> Tensor<2> {
    static SAID: Once = Once::new();
    let [batch, channels, height, width] = input.dims();
    match windows(&input, true, [height, width], [1, 1], &PaddingConfig2d::Valid) {
        Ok(windows) => kernels::avg_pool2d(input, windows, Divisor::Kernel).reshape([batch, channels]),
        Err(why) => {
            left_to_burn(&SAID, "the average of maps", &[batch, channels, height, width], why);
            input.flatten::<3>(2, 3).mean_dim(2).squeeze_dim::<2>(2)
        }
    }
}

/// The windows of a pooling that the kernels do; `plain` where it has no option that they do not know.
fn windows(
    input: &Tensor<4>,
    plain: bool,
    kernel: [usize; 2],
    stride: [usize; 2],
    padded: &PaddingConfig2d,
) -> Result<Windows, &'static str> {
    if !is_covered(input) {
        return Err(TENSOR);
    }
    if !plain {
        return Err("it has dilation or the ceil mode");
    }
    let [batch, channels, height, width] = input.dims();
    let [rows, columns] = padding(padded, [height, width], kernel, stride);
    // A window that lies in the padding as a whole has no value in it: burn's own knows what to do.
    let inside = |padding: (usize, usize), kernel: usize| padding.0.max(padding.1) < kernel;
    let fits = inside(rows, kernel[0]) && inside(columns, kernel[1]) && height * width > 0;
    match (output_length(height, kernel[0], stride[0], rows, 1), output_length(width, kernel[1], stride[1], columns, 1))
    {
        (Some(down), Some(across)) if fits => Ok(Windows {
            planes: batch * channels,
            size: [height, width],
            kernel,
            stride,
            padding: [rows.0, columns.0],
            output: [down, across],
        }),
        _ => Err(SHAPES),
    }
}

/// `relu(x + y)` of two tensors of one shape, in one pass over memory: what closes a residual block.
pub fn add_relu(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    static SAID: Once = Once::new();
    let why = if x.dims() != y.dims() {
        Some("the shapes differ")
    } else if !is_covered(&x) || !is_covered(&y) {
        Some(TENSOR)
    } else {
        None
    };
    match why {
        None => kernels::add_relu(x, y),
        Some(why) => {
            left_to_burn(&SAID, "add and relu", &x.dims(), why);
            relu(x + y)
        }
    }
}
