//! `lenet`: two convolutions and three fully connected layers.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::MaxPool2d;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use cpu_kernels::{conv2d, linear, max_pool2d};
use serde::{Deserialize, Serialize};
use strict_config::Settings;

use super::architecture::{Architecture, ModelInfo};
use super::layers::Layers;
use super::precision::like;
use crate::classification_steps;

/// The settings of a [`LeNet`]: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeNetConfig {}

impl Settings for LeNetConfig {}

/// `conv 5x5 (8) - ReLU - pool - conv 5x5 (16) - ReLU - pool - linear 120 - ReLU - linear 84 - ReLU - linear`.
///
/// After LeCun et al., 1998, with ReLU and max pooling, as it is usually trained today. The convolutions keep the
/// size (padding 2), so that images down to 4x4 work. Parameters are drawn as in torch's layers:
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

impl Architecture for LeNetConfig {
    const INFO: ModelInfo = ModelInfo {
        name: "lenet",
        summary: "two 5x5 convolutions (8 and 16 channels) with max pooling, three fully connected layers",
        source: "after LeCun et al., Gradient-based learning applied to document recognition, 1998, with ReLU and max pooling",
        dataset: "mnist",
    };

    type Network = LeNet;

    fn least_side(&self) -> usize {
        4
    }

    fn build(&self, classes: usize, layers: &mut Layers) -> LeNet {
        let with_bias = |conv: Conv2dConfig| conv.with_bias(true);
        let conv1 = layers.conv("conv1", 8, 5, with_bias);
        layers.max_pool("pool");
        LeNet {
            conv1,
            conv2: layers.conv("conv2", 16, 5, with_bias),
            pool: layers.max_pool("pool"),
            fc1: layers.linear("fc1", 120),
            fc2: layers.linear("fc2", 84),
            fc3: layers.linear("fc3", classes),
        }
    }
}

impl LeNet {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        // Pooling first gives the same result, and leaves ReLU a quarter of the work.
        let flow = relu(max_pool2d(&self.pool, conv2d(&self.conv1, like(images, &self.conv1.weight))));
        let flow = relu(max_pool2d(&self.pool, conv2d(&self.conv2, flow)));
        let flow = relu(linear(&self.fc1, flow.flatten::<2>(1, 3)));
        linear(&self.fc3, relu(linear(&self.fc2, flow)))
    }
}

classification_steps!(LeNet);
