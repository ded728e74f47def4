//! The operations that a step of each model is made of, and how long each takes.

use burn::{
    module::Module,
    nn::{BatchNormConfig, LayerNormConfig, LinearConfig, PaddingConfig2d, conv::Conv2dConfig, pool::MaxPool2dConfig},
    tensor::{Device, Distribution, Int, Tensor, TensorData, activation::relu},
};
use serde::Serialize;

use super::Asked;

/// One operation of a model; `peer.py` reads its fields and times the same in torch.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Square kernel, padding that keeps the size at stride 1.
    Conv {
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        size: usize,
        bias: bool,
        first: bool,
        count: usize,
    },
    /// With or without ReLU in the same pass.
    BatchNorm {
        channels: usize,
        size: usize,
        relu: bool,
        count: usize,
    },
    /// `size` is 1 after a linear layer.
    Relu {
        channels: usize,
        size: usize,
        count: usize,
    },
    /// The sum that closes a residual block, and its ReLU.
    AddRelu {
        channels: usize,
        size: usize,
        count: usize,
    },
    MaxPool {
        channels: usize,
        size: usize,
        count: usize,
    },
    Average {
        channels: usize,
        size: usize,
        count: usize,
    },
    Linear {
        inputs: usize,
        outputs: usize,
        first: bool,
        count: usize,
    },
    CrossEntropy {
        classes: usize,
        count: usize,
    },
    LayerNorm {
        width: usize,
        count: usize,
    },
    Gelu {
        width: usize,
        count: usize,
    },
    /// Causal, over windows of `context` rows.
    Attention {
        context: usize,
        heads: usize,
        width: usize,
        count: usize,
    },
}

use Operation::{AddRelu, Attention, Average, BatchNorm, Conv, CrossEntropy, Gelu, LayerNorm, Linear, MaxPool, Relu};

const fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, size: usize, count: usize) -> Operation {
    let first = inputs <= 3;
    Conv { inputs, outputs, kernel, stride, size, bias: kernel == 5, first, count }
}

const fn conv_without_bias(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    size: usize,
    count: usize,
) -> Operation {
    Conv { inputs, outputs, kernel, stride, size, bias: false, first: inputs <= 3, count }
}

const fn norm_relu(channels: usize, size: usize, count: usize) -> Operation {
    BatchNorm { channels, size, relu: true, count }
}

const fn linear(inputs: usize, outputs: usize) -> Operation {
    Linear { inputs, outputs, first: false, count: 1 }
}

const fn linear_of_block(inputs: usize, outputs: usize) -> Operation {
    Linear { inputs, outputs, first: false, count: 4 }
}

/// Everything in a training step of this model but the update; of `gpt` (4 blocks, 128 wide, windows of 128, 65 characters)
/// all but embeddings and sums.
pub(crate) fn of(model: &str) -> Vec<Operation> {
    match model {
        "gpt" => vec![
            LayerNorm { width: 128, count: 9 },
            linear_of_block(128, 384),
            Attention { context: 128, heads: 4, width: 128, count: 4 },
            linear_of_block(128, 128),
            linear_of_block(128, 512),
            Gelu { width: 512, count: 4 },
            linear_of_block(512, 128),
            linear(128, 65),
            CrossEntropy { classes: 65, count: 1 },
        ],
        "mlp" => vec![
            Linear { inputs: 784, outputs: 256, first: true, count: 1 },
            Relu { channels: 256, size: 1, count: 1 },
            linear(256, 128),
            Relu { channels: 128, size: 1, count: 1 },
            linear(128, 10),
            CrossEntropy { classes: 10, count: 1 },
        ],
        "lenet" => vec![
            conv(1, 8, 5, 1, 28, 1),
            Relu { channels: 8, size: 28, count: 1 },
            MaxPool { channels: 8, size: 28, count: 1 },
            conv(8, 16, 5, 1, 14, 1),
            Relu { channels: 16, size: 14, count: 1 },
            MaxPool { channels: 16, size: 14, count: 1 },
            linear(784, 120),
            Relu { channels: 120, size: 1, count: 1 },
            linear(120, 84),
            Relu { channels: 84, size: 1, count: 1 },
            linear(84, 10),
            CrossEntropy { classes: 10, count: 1 },
        ],
        "convnet" => vec![
            conv_without_bias(1, 32, 5, 2, 28, 1),
            norm_relu(32, 14, 1),
            conv(32, 64, 3, 1, 14, 1),
            MaxPool { channels: 64, size: 14, count: 1 },
            norm_relu(64, 7, 1),
            conv(64, 128, 3, 1, 7, 1),
            MaxPool { channels: 128, size: 7, count: 1 },
            norm_relu(128, 3, 1),
            linear(1152, 10),
            CrossEntropy { classes: 10, count: 1 },
        ],
        "resnet9" => vec![
            conv(3, 64, 3, 1, 32, 1),
            norm_relu(64, 32, 1),
            conv(64, 128, 3, 1, 32, 1),
            norm_relu(128, 32, 1),
            MaxPool { channels: 128, size: 32, count: 1 },
            conv(128, 128, 3, 1, 16, 2),
            norm_relu(128, 16, 2),
            conv(128, 256, 3, 1, 16, 1),
            norm_relu(256, 16, 1),
            MaxPool { channels: 256, size: 16, count: 1 },
            conv(256, 512, 3, 1, 8, 1),
            norm_relu(512, 8, 1),
            MaxPool { channels: 512, size: 8, count: 1 },
            conv(512, 512, 3, 1, 4, 2),
            norm_relu(512, 4, 2),
            linear(512, 10),
            CrossEntropy { classes: 10, count: 1 },
        ],
        "resnet8" => residual(&[(1, 16), (1, 32), (1, 64)]),
        _ => residual(&[(2, 64), (2, 128), (2, 256), (2, 512)]),
    }
}

/// A network of basic blocks: blocks and channels of each stage.
fn residual(stages: &[(usize, usize)]) -> Vec<Operation> {
    let mut operations = Vec::new();
    let (mut size, mut before) = (32, 0);
    for (stage, &(blocks, channels)) in stages.iter().enumerate() {
        if stage == 0 {
            operations.extend([conv(3, channels, 3, 1, size, 1), norm_relu(channels, size, 1 + blocks)]);
            operations.push(conv(channels, channels, 3, 1, size, 2 * blocks));
        } else {
            operations.extend([conv(before, channels, 3, 2, size, 1), conv(before, channels, 1, 2, size, 1)]);
            size /= 2;
            operations.push(conv(channels, channels, 3, 1, size, 2 * blocks - 1));
            operations.push(norm_relu(channels, size, blocks));
        }
        let shortcut = usize::from(stage > 0);
        operations.push(BatchNorm { channels, size, relu: false, count: blocks + shortcut });
        operations.push(AddRelu { channels, size, count: blocks });
        before = channels;
    }
    operations.extend([
        Average { channels: before, size, count: 1 },
        linear(before, 10),
        CrossEntropy { classes: 10, count: 1 },
    ]);
    operations
}

/// Seconds of an operation alone.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Times {
    forward: f64,
    /// What a backward pass through it costs, with the forward pass taken off.
    backward: f64,
    /// Of a convolution or linear layer: the gradient of its input alone, where it is needed.
    of_input: Option<f64>,
    /// Of a convolution or linear layer: the gradient of its weights alone.
    of_weight: Option<f64>,
}

/// Times `forward` on the tape, from an input of this shape, alone and with the backward pass of `sum(out * weights)`; what that
/// product and sum cost by themselves is measured and taken off.
fn timed<const D: usize, const E: usize, M: Module>(
    asked: &Asked,
    shape: [usize; D],
    input_is_data: bool,
    build: impl Fn(&Device) -> M,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Times {
    let device = &asked.device;
    device.seed(1);
    let module = build(device);
    let data = Tensor::<D>::random(shape, Distribution::Default, device);
    let seconds = asked.seconds / 10.0;
    let input = if input_is_data { data } else { data.require_grad() };
    let weights = forward(&module, input.clone()).detach().ones_like();
    let forward_alone = asked.median(seconds, || drop(forward(&module, input.clone())));
    let both = asked.median(seconds, || drop((forward(&module, input.clone()) * weights.clone()).sum().backward()));
    let out = forward(&module, input.clone()).detach().require_grad();
    let frame = asked.median(seconds, || drop((out.clone() * weights.clone()).sum().backward()));
    Times { forward: forward_alone, backward: both - frame - forward_alone, of_input: None, of_weight: None }
}

/// As [`timed`], and the gradients of input and weights each alone.
fn in_parts<const D: usize, const E: usize, M: Module>(
    asked: &Asked,
    shape: [usize; D],
    input_is_data: bool,
    build: impl Fn(&Device) -> M,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
) -> Times {
    let of_weight = timed(asked, shape, true, &build, &forward);
    if input_is_data {
        return Times { of_weight: Some(of_weight.backward), ..of_weight };
    }
    let of_input = timed(asked, shape, false, |device| build(device).no_grad(), &forward);
    Times {
        of_input: Some(of_input.backward),
        of_weight: Some(of_weight.backward),
        ..timed(asked, shape, false, &build, &forward)
    }
}

/// What an operation without parameters stands on.
#[derive(Module, Debug)]
struct Nothing {}

impl Asked {
    /// Seconds of an operation, alone.
    pub(crate) fn time(&self, operation: &Operation, batch: usize) -> Times {
        let asked = self;
        match *operation {
            Conv { inputs, outputs, kernel, stride, size, bias, first, .. } => {
                let pad = kernel / 2;
                let build = |device: &Device| {
                    Conv2dConfig::new([inputs, outputs], [kernel, kernel])
                        .with_stride([stride, stride])
                        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                        .with_bias(bias)
                        .init(device)
                };
                in_parts(asked, [batch, inputs, size, size], first, build, cpu_kernels::conv2d)
            }
            BatchNorm { channels, size, relu, .. } => timed(
                asked,
                [batch, channels, size, size],
                false,
                |device| BatchNormConfig::new(channels).init(device),
                if relu { cpu_kernels::batch_norm_relu } else { cpu_kernels::batch_norm },
            ),
            Relu { channels, size: 1, .. } => {
                timed(asked, [batch, channels], false, |_| Nothing {}, |_, input: Tensor<2>| relu(input))
            }
            Relu { channels, size, .. } => {
                timed(asked, [batch, channels, size, size], false, |_| Nothing {}, |_, input: Tensor<4>| relu(input))
            }
            AddRelu { channels, size, .. } => timed(
                asked,
                [batch, channels, size, size],
                false,
                |_| Nothing {},
                |_, input: Tensor<4>| cpu_kernels::add_relu(input.clone(), input),
            ),
            MaxPool { channels, size, .. } => timed(
                asked,
                [batch, channels, size, size],
                false,
                |_| MaxPool2dConfig::new([2, 2]).init(),
                cpu_kernels::max_pool2d,
            ),
            Average { channels, size, .. } => timed(
                asked,
                [batch, channels, size, size],
                false,
                |_| Nothing {},
                |_, input: Tensor<4>| cpu_kernels::global_avg_pool(input),
            ),
            Linear { inputs, outputs, first, .. } => in_parts(
                asked,
                [batch, inputs],
                first,
                |device| LinearConfig::new(inputs, outputs).init(device),
                |linear, input: Tensor<2>| cpu_kernels::linear(linear, input),
            ),
            CrossEntropy { classes, .. } => {
                let targets: Vec<i64> = (0..batch).map(|row| (row % classes) as i64).collect();
                let build = |_: &Device| Nothing {};
                timed(asked, [batch, classes], false, build, |_, logits: Tensor<2>| {
                    let targets = TensorData::new(targets.clone(), [batch]);
                    let targets = Tensor::<1, Int>::from_data(targets, &logits.device());
                    cpu_kernels::cross_entropy(logits, targets)
                })
            }
            LayerNorm { width, .. } => timed(
                asked,
                [batch, width],
                false,
                |device| LayerNormConfig::new(width).init(device),
                |norm, input: Tensor<2>| cpu_kernels::layer_norm(norm, 1e-5, input),
            ),
            Gelu { width, .. } => {
                timed(asked, [batch, width], false, |_| Nothing {}, |_, input: Tensor<2>| cpu_kernels::gelu(input))
            }
            Attention { context, heads, width, .. } => timed(
                asked,
                [batch, 3 * width],
                false,
                |_| Nothing {},
                |_, qkv: Tensor<2>| cpu_kernels::causal_attention(qkv, batch / context, heads),
            ),
        }
    }
}
