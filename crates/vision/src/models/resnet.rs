//! `resnet8` and `resnet18`: residual networks for small images.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, Initializer, Linear};
use burn::tensor::Tensor;
use cpu_kernels::{add_relu, conv2d, global_avg_pool, linear};
use serde::{Deserialize, Serialize};
use strict_config::Settings;

use super::architecture::{Architecture, ModelInfo};
use super::layers::Layers;
use super::precision::{like, normalised, normalised_relu};
use crate::classification_steps;

/// The settings of the [`ResNet`] with one block in each of three stages of 16, 32 and 64 channels: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet8Config {}

/// The settings of the [`ResNet`] with two blocks in each of four stages of 64, 128, 256 and 512 channels: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet18Config {}

impl Settings for ResNet8Config {}
impl Settings for ResNet18Config {}

/// Blocks and channels of each stage; every stage but the first halves height and width.
type Stages = [(usize, usize); 4];

/// A residual network of basic blocks (He et al., *Deep residual learning for image recognition*, 2016), in the form
/// for small images: a 3x3 convolution first, no pooling before the last average. Where a block changes the shape
/// its shortcut is a 1x1 convolution with batch norm (option B of the paper).
///
/// Convolutions have no bias and are drawn from `N(0, 2 / fan_out)`, batch norm starts as the identity, the last
/// layer is drawn as torch's `Linear` is. Parameters have torchvision's names.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    layer4: Vec<BasicBlock>,
    fc: Linear,
}

/// `ReLU(bn(conv(ReLU(bn(conv(x))))) + shortcut(x))`.
#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

/// With this stride, and drawn from `N(0, 2 / fan_out)`.
fn he_normal(stride: usize) -> impl FnOnce(Conv2dConfig) -> Conv2dConfig {
    let initializer = Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: true };
    move |conv| conv.with_stride([stride, stride]).with_initializer(initializer)
}

impl BasicBlock {
    fn new(path: &str, channels: usize, stride: usize, layers: &mut Layers) -> Self {
        let path = |part| format!("{path}.{part}");
        let input = layers.shape.clone();
        let conv1 = layers.conv(&path("conv1"), channels, 3, he_normal(stride));
        let bn1 = layers.batch_norm(&path("bn1"));
        let conv2 = layers.conv(&path("conv2"), channels, 3, he_normal(1));
        let bn2 = layers.batch_norm(&path("bn2"));
        let downsample = (stride != 1 || input[0] != channels).then(|| {
            layers.shape = input;
            let conv = layers.conv(&path("downsample.0"), channels, 1, he_normal(stride));
            (conv, layers.batch_norm(&path("downsample.1")))
        });
        Self { conv1, bn1, conv2, bn2, downsample }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let flow = normalised_relu(&self.bn1, conv2d(&self.conv1, input.clone()));
        let flow = normalised(&self.bn2, conv2d(&self.conv2, flow));
        let shortcut = match &self.downsample {
            Some((conv, norm)) => normalised(norm, conv2d(conv, input)),
            None => input,
        };
        add_relu(flow, shortcut)
    }
}

fn build(stages: Stages, classes: usize, layers: &mut Layers) -> ResNet {
    let conv1 = layers.conv("conv1", stages[0].1, 3, he_normal(1));
    let bn1 = layers.batch_norm("bn1");
    let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|stage| {
        let (blocks, channels) = stages[stage];
        let block = |block| {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            BasicBlock::new(&format!("layer{}.{block}", stage + 1), channels, stride, layers)
        };
        (0..blocks).map(block).collect()
    });
    layers.global("average", "global average");
    ResNet { conv1, bn1, layer1, layer2, layer3, layer4, fc: layers.linear("fc", classes) }
}

impl Architecture for ResNet8Config {
    const INFO: ModelInfo = ModelInfo {
        name: "resnet8",
        summary: "residual network of one block in each of three stages (16, 32, 64 channels)",
        source: "He et al., Deep residual learning for image recognition, 2016, section 4.2, with n = 1 and projections",
        dataset: "cifar10",
    };

    type Network = ResNet;

    fn build(&self, classes: usize, layers: &mut Layers) -> ResNet {
        build([(1, 16), (1, 32), (1, 64), (0, 0)], classes, layers)
    }
}

impl Architecture for ResNet18Config {
    const INFO: ModelInfo = ModelInfo {
        name: "resnet18",
        summary: "residual network of two blocks in each of four stages (64 to 512 channels), 3x3 stem for small images",
        source: "He et al., Deep residual learning for image recognition, 2016, table 1, in the form used on CIFAR",
        dataset: "cifar10",
    };

    type Network = ResNet;

    fn build(&self, classes: usize, layers: &mut Layers) -> ResNet {
        build([(2, 64), (2, 128), (2, 256), (2, 512)], classes, layers)
    }
}

impl ResNet {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = normalised_relu(&self.bn1, conv2d(&self.conv1, like(images, &self.conv1.weight)));
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            flow = block.forward(flow);
        }
        linear(&self.fc, global_avg_pool(flow))
    }
}

classification_steps!(ResNet);
