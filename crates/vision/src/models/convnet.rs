//! `convnet`: a small convolutional network whose strides keep it cheap on a CPU.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::layers::{Layer, Table};
use super::loss::{classification_steps, initialised};
use super::{ModelError, check};
use crate::image_set::ImageShape;

/// The form of a [`ConvNet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvNetConfig {
    /// Channels of the stages, each of which halves height and width. Default: 32, 64, 128.
    pub channels: Vec<usize>,
    /// Two more convolutions in every stage but the first, around which the input goes unchanged. Default: no.
    pub residual: bool,
}

impl Default for ConvNetConfig {
    fn default() -> Self {
        Self { channels: Self::CHANNELS.to_vec(), residual: false }
    }
}

/// Stages of `conv - batch norm - ReLU`, the convolution with stride 2, 5x5 in the first stage and 3x3 after it; then,
/// with `residual`, `y + ReLU(bn(conv(ReLU(bn(conv(y))))))` in all but the first; a linear layer over what is left.
///
/// Strided convolutions take the place of pooling (J. T. Springenberg et al., *Striving for simplicity: the all
/// convolutional net*, 2015), and the first one comes at once: the large maps, on which a convolution costs memory
/// traffic rather than arithmetic, are never made. Batch norm takes the convolutions' bias. Parameters are drawn as
/// torch's layers draw theirs, `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`; batch norm starts as the identity.
#[derive(Module, Debug)]
pub struct ConvNet {
    stages: Vec<Stage>,
    fc: Linear,
}

/// One halving of the map.
#[derive(Module, Debug)]
struct Stage {
    conv: Conv2d,
    bn: BatchNorm,
    residual: Option<Residual>,
}

#[derive(Module, Debug)]
struct Residual {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(device)
}

impl Residual {
    fn new(channels: usize, device: &Device) -> Self {
        let norm = || BatchNormConfig::new(channels).init(device);
        Self {
            conv1: conv([channels; 2], 3, 1, device),
            bn1: norm(),
            conv2: conv([channels; 2], 3, 1, device),
            bn2: norm(),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let flow = relu(self.bn1.forward(self.conv1.forward(input.clone())));
        relu(self.bn2.forward(self.conv2.forward(flow))) + input
    }
}

impl Stage {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let flow = relu(self.bn.forward(self.conv.forward(input)));
        match &self.residual {
            Some(residual) => residual.forward(flow),
            None => flow,
        }
    }
}

/// The side of the kernel of a stage's strided convolution: wider where it sees the pixels.
fn kernel(stage: usize) -> usize {
    if stage == 0 { 5 } else { 3 }
}

impl ConvNetConfig {
    /// Channels of the stages, unless others are asked for.
    pub const CHANNELS: [usize; 3] = [32, 64, 128];

    fn check(&self, shape: ImageShape, classes: usize) -> Result<(), ModelError> {
        check("convnet", shape, 1, classes)?;
        if self.channels.is_empty() || self.channels.contains(&0) {
            return Err(ModelError::Channels { found: self.channels.clone() });
        }
        Ok(())
    }

    fn is_residual(&self, stage: usize) -> bool {
        self.residual && stage > 0
    }

    /// A model with its parameters drawn from the generator of `device`.
    ///
    /// # Errors
    /// No stage, a stage without channels, images without pixels, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<ConvNet, ModelError> {
        self.check(shape, classes)?;
        let mut map = [shape.channels, shape.height, shape.width];
        let mut stages = Vec::with_capacity(self.channels.len());
        for (stage, &channels) in self.channels.iter().enumerate() {
            stages.push(Stage {
                conv: conv([map[0], channels], kernel(stage), 2, device),
                bn: BatchNormConfig::new(channels).init(device),
                residual: self.is_residual(stage).then(|| Residual::new(channels, device)),
            });
            map = [channels, map[1].div_ceil(2), map[2].div_ceil(2)];
        }
        Ok(initialised(ConvNet { stages, fc: LinearConfig::new(map.iter().product(), classes).init(device) }))
    }

    /// The layers that such a model has.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn layers(&self, shape: ImageShape, classes: usize) -> Result<Vec<Layer>, ModelError> {
        self.check(shape, classes)?;
        let mut table = Table::new(shape.channels, shape.height, shape.width);
        for (stage, &channels) in self.channels.iter().enumerate() {
            let path = |part: &str| format!("stages.{stage}.{part}");
            table.conv(&path("conv"), channels, kernel(stage), 2, false);
            table.batch_norm(&path("bn"));
            if self.is_residual(stage) {
                for number in 1..=2 {
                    table.conv(&path(&format!("residual.conv{number}")), channels, 3, 1, false);
                    table.batch_norm(&path(&format!("residual.bn{number}")));
                }
            }
        }
        table.linear("fc", classes);
        Ok(table.finish())
    }
}

impl ConvNet {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let flow = self.stages.iter().fold(images, |flow, stage| stage.forward(flow));
        self.fc.forward(flow.flatten::<2>(1, 3))
    }
}

classification_steps!(ConvNet);
