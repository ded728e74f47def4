//! `resnet8` and `resnet18`: residual networks for small images.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use cpu_kernels::{add_relu, conv2d, global_avg_pool};
use serde::{Deserialize, Serialize};
use strict_config::Settings;

use super::architecture::{Architecture, ModelInfo};
use super::layers::LayerTable;
use super::loss::classification_steps;
use super::precision::{like, normalised, normalised_relu};
use crate::image_set::ImageShape;

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

const RESNET8: Stages = [(1, 16), (1, 32), (1, 64), (0, 64)];
const RESNET18: Stages = [(2, 64), (2, 128), (2, 256), (2, 512)];

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

/// A convolution that keeps the size, or halves it for stride 2, drawn from `N(0, 2 / fan_out)`.
fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: true })
        .init(device)
}

impl BasicBlock {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let norm = || BatchNormConfig::new(channels[1]).init(device);
        Self {
            conv1: conv(channels, 3, stride, device),
            bn1: norm(),
            conv2: conv([channels[1]; 2], 3, 1, device),
            bn2: norm(),
            downsample: (stride != 1 || channels[0] != channels[1])
                .then(|| (conv(channels, 1, stride, device), norm())),
        }
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

/// Channels in, channels out and stride of each block of a stage.
fn blocks(stages: Stages, stage: usize) -> impl Iterator<Item = ([usize; 2], usize)> {
    let (blocks, channels) = stages[stage];
    let before = stages[stage.saturating_sub(1)].1;
    (0..blocks).map(move |block| match block {
        0 => ([before, channels], if stage == 0 { 1 } else { 2 }),
        _ => ([channels; 2], 1),
    })
}

fn build(stages: Stages, shape: ImageShape, classes: usize, device: &Device) -> ResNet {
    let [(_, first), .., (_, last)] = stages;
    let stage = |stage| -> Vec<BasicBlock> {
        blocks(stages, stage).map(|(channels, stride)| BasicBlock::new(channels, stride, device)).collect()
    };
    ResNet {
        conv1: conv([shape.channels, first], 3, 1, device),
        bn1: BatchNormConfig::new(first).init(device),
        layer1: stage(0),
        layer2: stage(1),
        layer3: stage(2),
        layer4: stage(3),
        fc: LinearConfig::new(last, classes).init(device),
    }
}

fn describe(stages: Stages, classes: usize, table: &mut LayerTable) {
    table.conv("conv1", stages[0].1, 3, 1, false);
    table.batch_norm("bn1");
    for stage in 0..stages.len() {
        for (index, (channels, stride)) in blocks(stages, stage).enumerate() {
            let path = |part: &str| format!("layer{}.{index}.{part}", stage + 1);
            let input = table.shape.clone();
            table.conv(&path("conv1"), channels[1], 3, stride, false);
            table.batch_norm(&path("bn1"));
            table.conv(&path("conv2"), channels[1], 3, 1, false);
            table.batch_norm(&path("bn2"));
            if stride != 1 || channels[0] != channels[1] {
                table.shape = input;
                table.conv(&path("downsample.0"), channels[1], 1, stride, false);
                table.batch_norm(&path("downsample.1"));
            }
        }
    }
    table.global("average", "global average");
    table.linear("fc", classes);
}

impl Architecture for ResNet8Config {
    const INFO: ModelInfo = ModelInfo {
        name: "resnet8",
        summary: "residual network of one block in each of three stages (16, 32, 64 channels)",
        source: "He et al., Deep residual learning for image recognition, 2016, section 4.2, with n = 1 and projections",
        dataset: "cifar10",
    };

    type Network = ResNet;

    fn build(&self, shape: ImageShape, classes: usize, device: &Device) -> ResNet {
        build(RESNET8, shape, classes, device)
    }

    fn describe(&self, classes: usize, table: &mut LayerTable) {
        describe(RESNET8, classes, table);
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

    fn build(&self, shape: ImageShape, classes: usize, device: &Device) -> ResNet {
        build(RESNET18, shape, classes, device)
    }

    fn describe(&self, classes: usize, table: &mut LayerTable) {
        describe(RESNET18, classes, table);
    }
}

impl ResNet {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = normalised_relu(&self.bn1, conv2d(&self.conv1, like(images, &self.conv1.weight)));
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            flow = block.forward(flow);
        }
        self.fc.forward(global_avg_pool(flow))
    }
}

classification_steps!(ResNet);
