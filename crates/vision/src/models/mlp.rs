//! `mlp`: fully connected layers with ReLU between them.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use cpu_kernels::linear;
use strict_config::{ConfigError, Settings, settings};

use super::architecture::{Architecture, ModelInfo, check_widths};
use super::layers::Layers;
use super::precision::like;
use crate::classification_steps;

settings! {
    /// The settings of an [`Mlp`].
    #[derive(Eq)]
    pub struct MlpConfig {
        /// Widths of the hidden layers; empty for a linear classifier. Default: 256, 128.
        pub hidden: Vec<usize> = vec![256, 128],
    }
}

impl Settings for MlpConfig {
    fn check(&self) -> Result<(), ConfigError> {
        check_widths("hidden", &self.hidden)
    }
}

/// `linear - ReLU - ... - linear` over the pixels of an image.
///
/// Weights and biases are drawn from `U(-1/sqrt(inputs), 1/sqrt(inputs))`, as torch's `Linear` does.
#[derive(Module, Debug)]
pub struct Mlp {
    /// The layers; ReLU after all but the last.
    pub layers: Vec<Linear>,
}

impl Architecture for MlpConfig {
    const INFO: ModelInfo = ModelInfo {
        name: "mlp",
        summary: "fully connected layers with ReLU, 256 and 128 wide unless `hidden` says otherwise",
        source: "the usual baseline on MNIST",
        dataset: "mnist",
    };

    type Network = Mlp;

    fn build(&self, classes: usize, layers: &mut Layers) -> Mlp {
        let widths = self.hidden.iter().chain([&classes]).enumerate();
        Mlp { layers: widths.map(|(index, &width)| layers.linear(&format!("layers.{index}"), width)).collect() }
    }
}

impl Mlp {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = images.flatten::<2>(1, 3);
        for (index, layer) in self.layers.iter().enumerate() {
            flow = linear(layer, if index == 0 { like(flow, &layer.weight) } else { relu(flow) });
        }
        flow
    }
}

classification_steps!(Mlp);
