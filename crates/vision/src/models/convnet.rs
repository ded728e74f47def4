//! `convnet`: a small convolutional network that is cheap on a CPU.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
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

/// `conv 5x5, stride 2 - batch norm - ReLU`, then stages of `conv 3x3 - max pool - batch norm - ReLU`; with `residual`,
/// `y + ReLU(bn(conv(ReLU(bn(conv(y))))))` after each of those; a linear layer over what is left.
///
/// The first convolution halves the map at once: the large maps, on which a convolution costs memory traffic rather than
/// arithmetic, are never made. Pooling comes before batch norm, which then has a quarter to do, as in K. Jordan's speed
/// runs (*94 % on CIFAR-10 in 3.29 seconds on a single GPU*, 2024). Batch norm takes the convolutions' bias. Parameters
/// are drawn as torch's layers draw theirs, `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`; batch norm starts as the identity.
#[derive(Module, Debug)]
pub struct ConvNet {
    stages: Vec<Stage>,
    pool: MaxPool2d,
    fc: Linear,
}

/// One halving of the map, by the first stage's stride, by pooling in the others.
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
    fn forward(&self, input: Tensor<4>, pool: Option<&MaxPool2d>) -> Tensor<4> {
        let flow = self.conv.forward(input);
        let flow = match pool {
            Some(pool) => pool.forward(flow),
            None => flow,
        };
        let flow = relu(self.bn.forward(flow));
        match &self.residual {
            Some(residual) => residual.forward(flow),
            None => flow,
        }
    }
}

/// Side and stride of a stage's kernel.
fn kernel(stage: usize) -> (usize, usize) {
    if stage == 0 { (5, 2) } else { (3, 1) }
}

impl ConvNetConfig {
    /// Channels of the stages, unless others are asked for.
    pub const CHANNELS: [usize; 3] = [32, 64, 128];

    /// At most so many stages: they would leave one pixel of an image of 255.
    pub const MOST_STAGES: usize = 8;

    fn check(&self, shape: ImageShape, classes: usize) -> Result<(), ModelError> {
        let stages = self.channels.len();
        if !(1..=Self::MOST_STAGES).contains(&stages) || self.channels.contains(&0) {
            return Err(ModelError::Channels { found: self.channels.clone(), most: Self::MOST_STAGES });
        }
        // The stride rounds up, pooling down: what is left is one pixel at least.
        check("convnet", shape, (1 << stages) - 1, classes)
    }

    fn is_residual(&self, stage: usize) -> bool {
        self.residual && stage > 0
    }

    /// A model with its parameters drawn from the generator of `device`.
    ///
    /// # Errors
    /// No stage or more than [`MOST_STAGES`](Self::MOST_STAGES), a stage without channels, images too small for as many
    /// halvings (`2^stages - 1` pixels are needed), fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<ConvNet, ModelError> {
        self.check(shape, classes)?;
        let mut map = [shape.channels, shape.height, shape.width];
        let mut stages = Vec::with_capacity(self.channels.len());
        for (stage, &channels) in self.channels.iter().enumerate() {
            let (side, stride) = kernel(stage);
            stages.push(Stage {
                conv: conv([map[0], channels], side, stride, device),
                bn: BatchNormConfig::new(channels).init(device),
                residual: self.is_residual(stage).then(|| Residual::new(channels, device)),
            });
            let halved = |length: usize| if stage == 0 { length.div_ceil(2) } else { length / 2 };
            map = [channels, halved(map[1]), halved(map[2])];
        }
        let fc = LinearConfig::new(map.iter().product(), classes).init(device);
        Ok(initialised(ConvNet { stages, pool: MaxPool2dConfig::new([2, 2]).init(), fc }))
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
            let (side, stride) = kernel(stage);
            table.conv(&path("conv"), channels, side, stride, false);
            if stage > 0 {
                table.max_pool("pool");
            }
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
        let mut flow = images;
        for (index, stage) in self.stages.iter().enumerate() {
            flow = stage.forward(flow, (index > 0).then_some(&self.pool));
        }
        self.fc.forward(flow.flatten::<2>(1, 3))
    }
}

classification_steps!(ConvNet);
