//! `resnet9`: a small residual network that learns CIFAR-10 fast.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use cpu_kernels::{conv2d, max_pool2d};
use serde::{Deserialize, Serialize};
use strict_config::Settings;

use super::architecture::{Architecture, ModelInfo};
use super::layers::LayerTable;
use super::loss::classification_steps;
use super::precision::{like, normalised_relu};
use crate::image_set::ImageShape;

/// Channels of the first convolution and of the three layers.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];

/// The factor on the logits: a new network is unsure, so that training starts well at a high rate.
const SCALE: f32 = 0.125;

/// The settings of a [`ResNet9`]: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet9Config {}

impl Settings for ResNet9Config {}

/// The network of D. Page's DAWNBench entry (*How to train your ResNet*, 2018; `basic_net` with residuals in layers 1 and
/// 3): a convolution of 64 channels; three layers of 128, 256 and 512 channels, each a convolution and a max pooling, the
/// first and the third with a residual of two convolutions after it; the maximum over what is left of the image; a linear
/// layer without bias, times 0.125. Every convolution is 3x3 without bias, followed by batch norm and ReLU.
///
/// Parameters are drawn as torch's layers draw theirs, `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`, as there; batch norm starts
/// as the identity. They have the names of that entry's layers (`layer1.residual.res1.conv.weight`). Images of at least
/// 8x8.
#[derive(Module, Debug)]
pub struct ResNet9 {
    prep: ConvNorm,
    layer1: PooledLayer,
    layer2: PooledLayer,
    layer3: PooledLayer,
    pool: MaxPool2d,
    linear: Linear,
}

/// `ReLU(bn(conv(x)))`.
#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    bn: BatchNorm,
}

/// `y + residual(y)` of `y = pool(ReLU(bn(conv(x))))`; `y` alone where there is no residual.
#[derive(Module, Debug)]
struct PooledLayer {
    conv: Conv2d,
    bn: BatchNorm,
    residual: Option<Residual>,
}

#[derive(Module, Debug)]
struct Residual {
    res1: ConvNorm,
    res2: ConvNorm,
}

fn conv_norm(channels: [usize; 2], device: &Device) -> ConvNorm {
    let conv = Conv2dConfig::new(channels, [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_bias(false)
        .init(device);
    ConvNorm { conv, bn: BatchNormConfig::new(channels[1]).init(device) }
}

/// Channels in, channels out and whether there is a residual, of each of the three layers.
fn layers() -> [(usize, usize, bool); 3] {
    [(CHANNELS[0], CHANNELS[1], true), (CHANNELS[1], CHANNELS[2], false), (CHANNELS[2], CHANNELS[3], true)]
}

impl ConvNorm {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        normalised_relu(&self.bn, conv2d(&self.conv, input))
    }
}

impl PooledLayer {
    fn new((from, to, residual): (usize, usize, bool), device: &Device) -> Self {
        let ConvNorm { conv, bn } = conv_norm([from, to], device);
        let residual =
            residual.then(|| Residual { res1: conv_norm([to, to], device), res2: conv_norm([to, to], device) });
        Self { conv, bn, residual }
    }

    fn forward(&self, input: Tensor<4>, pool: &MaxPool2d) -> Tensor<4> {
        let flow = max_pool2d(pool, normalised_relu(&self.bn, conv2d(&self.conv, input)));
        match &self.residual {
            Some(residual) => residual.res2.forward(residual.res1.forward(flow.clone())) + flow,
            None => flow,
        }
    }
}

impl Architecture for ResNet9Config {
    const INFO: ModelInfo = ModelInfo {
        name: "resnet9",
        summary: "small and fast on CIFAR: four convolutions (64 to 512 channels) with two residuals, max pooling",
        source: "D. Page, How to train your ResNet, 2018 (DAWNBench)",
        dataset: "cifar10",
    };

    type Network = ResNet9;

    fn least_side(&self) -> usize {
        8
    }

    fn build(&self, shape: ImageShape, classes: usize, device: &Device) -> ResNet9 {
        let [layer1, layer2, layer3] = layers().map(|layer| PooledLayer::new(layer, device));
        ResNet9 {
            prep: conv_norm([shape.channels, CHANNELS[0]], device),
            layer1,
            layer2,
            layer3,
            pool: MaxPool2dConfig::new([2, 2]).init(),
            linear: LinearConfig::new(CHANNELS[3], classes).with_bias(false).init(device),
        }
    }

    fn describe(&self, classes: usize, table: &mut LayerTable) {
        let conv_norm = |table: &mut LayerTable, path: &str, channels| {
            table.conv(&format!("{path}.conv"), channels, 3, 1, false);
            table.batch_norm(&format!("{path}.bn"));
        };
        conv_norm(table, "prep", CHANNELS[0]);
        for (index, (_, channels, residual)) in (1..).zip(layers()) {
            let path = format!("layer{index}");
            conv_norm(table, &path, channels);
            table.max_pool("pool");
            if residual {
                conv_norm(table, &format!("{path}.residual.res1"), channels);
                conv_norm(table, &format!("{path}.residual.res2"), channels);
            }
        }
        table.global("maximum", "global maximum");
        table.scaled_linear("linear", classes, SCALE);
    }
}

impl ResNet9 {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = self.prep.forward(like(images, &self.prep.conv.weight));
        for layer in [&self.layer1, &self.layer2, &self.layer3] {
            flow = layer.forward(flow, &self.pool);
        }
        // At 32x32 this is the entry's last pooling of 4x4.
        let features = flow.flatten::<3>(2, 3).max_dim(2).squeeze_dim::<2>(2);
        self.linear.forward(features).mul_scalar(SCALE)
    }
}

classification_steps!(ResNet9);
