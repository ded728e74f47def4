//! `lenet`: two convolutions and three fully connected layers.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::layers::{Layer, Table};
use super::loss::{classification_steps, initialised};
use super::precision::like;
use super::{ModelError, check};
use crate::image_set::ImageShape;

/// The form of a [`LeNet`]; there is nothing to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeNetConfig;

/// `conv 5x5 (8) - ReLU - pool - conv 5x5 (16) - ReLU - pool - linear 120 - ReLU - linear 84 - ReLU - linear`.
///
/// After LeCun et al., 1998, with ReLU and max pooling, as it is usually trained today. The convolutions keep the
/// size (padding 2), so that images down to 4x4 work. Parameters are drawn as torch's layers draw theirs:
/// `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`.
#[derive(Module, Debug)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

const CHANNELS: [usize; 2] = [8, 16];
const WIDTHS: [usize; 2] = [120, 84];

impl LeNetConfig {
    fn check(shape: ImageShape, classes: usize) -> Result<(), ModelError> {
        check("lenet", shape, 4, classes)
    }

    /// A model with its parameters drawn from the generator of `device`.
    ///
    /// # Errors
    /// Images below 4x4, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<LeNet, ModelError> {
        Self::check(shape, classes)?;
        let conv = |channels| {
            Conv2dConfig::new(channels, [5, 5]).with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2)).init(device)
        };
        let flat = CHANNELS[1] * (shape.height / 4) * (shape.width / 4);
        Ok(initialised(LeNet {
            conv1: conv([shape.channels, CHANNELS[0]]),
            conv2: conv(CHANNELS),
            pool: MaxPool2dConfig::new([2, 2]).init(),
            fc1: LinearConfig::new(flat, WIDTHS[0]).init(device),
            fc2: LinearConfig::new(WIDTHS[0], WIDTHS[1]).init(device),
            fc3: LinearConfig::new(WIDTHS[1], classes).init(device),
        }))
    }

    /// The layers that such a model has.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn layers(&self, shape: ImageShape, classes: usize) -> Result<Vec<Layer>, ModelError> {
        Self::check(shape, classes)?;
        let mut table = Table::new(shape.channels, shape.height, shape.width);
        table.conv("conv1", CHANNELS[0], 5, 1, true);
        table.max_pool("pool");
        table.conv("conv2", CHANNELS[1], 5, 1, true);
        table.max_pool("pool");
        table.linear("fc1", WIDTHS[0]);
        table.linear("fc2", WIDTHS[1]);
        table.linear("fc3", classes);
        Ok(table.finish())
    }
}

impl LeNet {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        // Pooling first gives the same numbers, and leaves ReLU a quarter of them.
        let flow = relu(self.pool.forward(self.conv1.forward(like(images, &self.conv1.weight))));
        let flow = relu(self.pool.forward(self.conv2.forward(flow)));
        let flow = relu(self.fc1.forward(flow.flatten::<2>(1, 3)));
        self.fc3.forward(relu(self.fc2.forward(flow)))
    }
}

classification_steps!(LeNet);
