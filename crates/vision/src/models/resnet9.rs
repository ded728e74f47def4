//! `resnet9`: a small residual network that learns CIFAR-10 fast.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, Linear};
use burn::tensor::Tensor;
use cpu_kernels::{conv2d, linear, max_pool2d};
use serde::{Deserialize, Serialize};
use strict_config::Settings;

use super::architecture::{Architecture, ModelInfo};
use super::layers::Layers;
use super::precision::{like, normalised_relu};
use crate::classification_steps;

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
/// Parameters are drawn as in torch's layers, `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`; batch norm starts
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

impl ConvNorm {
    fn new(path: &str, channels: usize, layers: &mut Layers) -> Self {
        Self {
            conv: layers.conv(&format!("{path}.conv"), channels, 3, |conv| conv),
            bn: layers.batch_norm(&format!("{path}.bn")),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        normalised_relu(&self.bn, conv2d(&self.conv, input))
    }
}

impl PooledLayer {
    fn new(path: &str, channels: usize, residual: bool, layers: &mut Layers) -> Self {
        let ConvNorm { conv, bn } = ConvNorm::new(path, channels, layers);
        layers.max_pool("pool");
        let residual = residual.then(|| Residual {
            res1: ConvNorm::new(&format!("{path}.residual.res1"), channels, layers),
            res2: ConvNorm::new(&format!("{path}.residual.res2"), channels, layers),
        });
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

    fn build(&self, classes: usize, layers: &mut Layers) -> ResNet9 {
        let prep = ConvNorm::new("prep", 64, layers);
        let layer1 = PooledLayer::new("layer1", 128, true, layers);
        let layer2 = PooledLayer::new("layer2", 256, false, layers);
        let layer3 = PooledLayer::new("layer3", 512, true, layers);
        layers.global("maximum", "global maximum");
        let linear = layers.scaled_linear("linear", classes, SCALE);
        ResNet9 { prep, layer1, layer2, layer3, pool: MaxPool2dConfig::new([2, 2]).init(), linear }
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
        linear(&self.linear, features).mul_scalar(SCALE)
    }
}

classification_steps!(ResNet9);
