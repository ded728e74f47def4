//! `resnet9`: a small residual network that learns CIFAR-10 fast.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::layers::{Layer, Table};
use super::loss::{classification_steps, initialised};
use super::precision::{like, normalised};
use super::{ModelError, check};
use crate::image_set::ImageShape;

/// Channels of the first convolution and of the three layers.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];

/// What the logits are multiplied by, so that a new network is unsure and a high rate does not shake it at once.
const SCALE: f32 = 0.125;

/// The form of a [`ResNet9`]; there is nothing to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResNet9Config;

/// The network of D. Page's DAWNBench entry (*How to train your ResNet*, 2018; `basic_net` with residuals in layers 1 and
/// 3): a convolution of 64 channels; three layers of 128, 256 and 512 channels, each a convolution and a max pooling, the
/// first and the third with a residual of two convolutions after it; the maximum over what is left of the image; a linear
/// layer without bias, times 0.125. Every convolution is 3x3 without bias, followed by batch norm and ReLU.
///
/// Parameters are drawn as torch's layers draw theirs, `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`, as there; batch norm starts
/// as the identity. They bear the names of that entry's layers (`layer1.residual.res1.conv.weight`). Images of at least
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
        relu(normalised(&self.bn, self.conv.forward(input)))
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
        // Pooling first gives the same numbers, and leaves ReLU a quarter of them.
        let flow = relu(pool.forward(normalised(&self.bn, self.conv.forward(input))));
        match &self.residual {
            Some(residual) => residual.res2.forward(residual.res1.forward(flow.clone())) + flow,
            None => flow,
        }
    }
}

impl ResNet9Config {
    fn check(shape: ImageShape, classes: usize) -> Result<(), ModelError> {
        check("resnet9", shape, 8, classes)
    }

    /// A model with its parameters drawn from the generator of `device`.
    ///
    /// # Errors
    /// Images below 8x8, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<ResNet9, ModelError> {
        Self::check(shape, classes)?;
        let [layer1, layer2, layer3] = layers().map(|layer| PooledLayer::new(layer, device));
        Ok(initialised(ResNet9 {
            prep: conv_norm([shape.channels, CHANNELS[0]], device),
            layer1,
            layer2,
            layer3,
            pool: MaxPool2dConfig::new([2, 2]).init(),
            linear: LinearConfig::new(CHANNELS[3], classes).with_bias(false).init(device),
        }))
    }

    /// The layers that such a model has.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn layers(&self, shape: ImageShape, classes: usize) -> Result<Vec<Layer>, ModelError> {
        Self::check(shape, classes)?;
        let mut table = Table::new(shape.channels, shape.height, shape.width);
        let conv_norm = |table: &mut Table, path: &str, channels| {
            table.conv(&format!("{path}.conv"), channels, 3, 1, false);
            table.batch_norm(&format!("{path}.bn"));
        };
        conv_norm(&mut table, "prep", CHANNELS[0]);
        for (index, (_, channels, residual)) in (1..).zip(layers()) {
            let path = format!("layer{index}");
            conv_norm(&mut table, &path, channels);
            table.max_pool("pool");
            if residual {
                conv_norm(&mut table, &format!("{path}.residual.res1"), channels);
                conv_norm(&mut table, &format!("{path}.residual.res2"), channels);
            }
        }
        table.global("maximum", "global maximum");
        table.scaled_linear("linear", classes, SCALE);
        Ok(table.finish())
    }
}

impl ResNet9 {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = self.prep.forward(like(images, &self.prep.conv.weight));
        for layer in [&self.layer1, &self.layer2, &self.layer3] {
            flow = layer.forward(flow, &self.pool);
        }
        // At 32x32 this is the entry's last pooling, 4x4 over a map of 4x4.
        let features = flow.flatten::<3>(2, 3).max_dim(2).squeeze_dim::<2>(2);
        self.linear.forward(features).mul_scalar(SCALE)
    }
}

classification_steps!(ResNet9);
