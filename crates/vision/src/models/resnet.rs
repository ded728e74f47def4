//! `resnet8` and `resnet18`: residual networks for small images.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, s};

use super::layers::{Layer, Table};
use super::loss::{classification_steps, initialised};
use super::{ModelError, check};
use crate::image_set::ImageShape;

/// The form of a [`ResNet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    name: &'static str,
    /// Blocks and channels of each stage; every stage but the first halves height and width.
    stages: Vec<(usize, usize)>,
}

/// A residual network of basic blocks (He et al., *Deep residual learning for image recognition*, 2016), in the form
/// for small images: a 3x3 convolution first, no pooling before the last average. Where a block changes the shape
/// its shortcut is a 1x1 convolution with batch norm (option B of the paper).
///
/// Convolutions have no bias and are drawn from `N(0, 2 / fan_out)`, batch norm starts as the identity, the last
/// layer is drawn as torch's `Linear` is. Parameters bear torchvision's names.
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

/// A 1x1 convolution without bias or padding, as a product of matrices over the pixels that its stride leaves: a third
/// to two fifths of the time of burn's convolution on the CPU, whose path for 1x1 kernels does not take a stride.
fn pointwise(conv: &Conv2d, images: Tensor<4>) -> Tensor<4> {
    let [across, down] = conv.stride.map(|stride| stride as i64);
    let images = if [across, down] == [1, 1] { images } else { images.slice(s![.., .., ..;across, ..;down]) };
    let [batch, channels, height, width] = images.dims();
    let weight = conv.weight.val();
    let outputs = weight.dims()[0];
    let flat = images.reshape([batch, channels, height * width]);
    weight.reshape([1, outputs, channels]).matmul(flat).reshape([batch, outputs, height, width])
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
        let flow = relu(self.bn1.forward(self.conv1.forward(input.clone())));
        let flow = self.bn2.forward(self.conv2.forward(flow));
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(pointwise(conv, input)),
            None => input,
        };
        relu(flow + shortcut)
    }
}

impl ResNetConfig {
    /// One block in each of three stages of 16, 32 and 64 channels.
    pub fn resnet8() -> Self {
        Self { name: "resnet8", stages: vec![(1, 16), (1, 32), (1, 64)] }
    }

    /// Two blocks in each of four stages of 64, 128, 256 and 512 channels.
    pub fn resnet18() -> Self {
        Self { name: "resnet18", stages: vec![(2, 64), (2, 128), (2, 256), (2, 512)] }
    }

    /// Channels in, channels out and stride of each block of a stage (from 0; none past the last).
    fn blocks(&self, stage: usize) -> impl Iterator<Item = ([usize; 2], usize)> + use<> {
        let (blocks, channels) = self.stages.get(stage).copied().unwrap_or_default();
        let before = self.stages.get(stage.saturating_sub(1)).map_or(channels, |&(_, channels)| channels);
        (0..blocks).map(move |block| match block {
            0 => ([before, channels], if stage == 0 { 1 } else { 2 }),
            _ => ([channels; 2], 1),
        })
    }

    fn stem(&self) -> usize {
        self.stages.first().map_or(0, |&(_, channels)| channels)
    }

    fn last(&self) -> usize {
        self.stages.last().map_or(0, |&(_, channels)| channels)
    }

    /// A model with its parameters drawn from the generator of `device`.
    ///
    /// # Errors
    /// Images without pixels, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<ResNet, ModelError> {
        check(self.name, shape, 1, classes)?;
        let stage = |stage| {
            self.blocks(stage).map(|(channels, stride)| BasicBlock::new(channels, stride, device)).collect::<Vec<_>>()
        };
        Ok(initialised(ResNet {
            conv1: conv([shape.channels, self.stem()], 3, 1, device),
            bn1: BatchNormConfig::new(self.stem()).init(device),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            fc: LinearConfig::new(self.last(), classes).init(device),
        }))
    }

    /// The layers that such a model has.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn layers(&self, shape: ImageShape, classes: usize) -> Result<Vec<Layer>, ModelError> {
        check(self.name, shape, 1, classes)?;
        let mut table = Table::new(shape.channels, shape.height, shape.width);
        table.conv("conv1", self.stem(), 3, 1, false);
        table.batch_norm("bn1");
        for stage in 0..self.stages.len() {
            for (index, (channels, stride)) in self.blocks(stage).enumerate() {
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
        Ok(table.finish())
    }
}

impl ResNet {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = relu(self.bn1.forward(self.conv1.forward(images)));
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            flow = block.forward(flow);
        }
        self.fc.forward(flow.flatten::<3>(2, 3).mean_dim(2).squeeze_dim::<2>(2))
    }
}

classification_steps!(ResNet);

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn the_product_is_the_convolution_with_its_gradients() {
        let device = Device::flex().autodiff();
        for (channels, stride, size) in [([3, 5], 2, 7), ([4, 2], 2, 6), ([2, 3], 1, 5), ([1, 1], 3, 8)] {
            let conv = conv(channels, 1, stride, &device);
            let images =
                Tensor::<4>::random([2, channels[0], size, size], Distribution::Default, &device).require_grad();
            let gradients = |out: &Tensor<4>| {
                let gradients = out.clone().powf_scalar(2.0).sum().backward();
                let of_images = images.grad(&gradients).expect("tracked").into_data();
                (of_images, conv.weight.val().grad(&gradients).expect("tracked").into_data())
            };
            let (ours, burns) = (pointwise(&conv, images.clone()), conv.forward(images.clone()));
            let tolerance = Tolerance::<f32>::default();
            ours.to_data().assert_approx_eq(&burns.to_data(), tolerance);
            let (ours, burns) = (gradients(&ours), gradients(&burns));
            ours.0.assert_approx_eq(&burns.0, tolerance);
            ours.1.assert_approx_eq(&burns.1, tolerance);
        }
    }
}
