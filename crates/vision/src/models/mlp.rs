//! `mlp`: fully connected layers with ReLU between them.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::layers::{Layer, Table};
use super::loss::{classification_steps, initialised};
use super::precision::like;
use super::{ModelError, check};
use crate::image_set::ImageShape;

/// The form of an [`Mlp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlpConfig {
    /// Widths of the hidden layers; empty for a linear classifier. Default: 256, 128.
    pub hidden: Vec<usize>,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { hidden: Self::HIDDEN.to_vec() }
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

impl MlpConfig {
    /// The widths of the hidden layers, unless chosen.
    pub const HIDDEN: [usize; 2] = [256, 128];

    fn check(&self, shape: ImageShape, classes: usize) -> Result<(), ModelError> {
        if self.hidden.contains(&0) {
            return Err(ModelError::Hidden { found: self.hidden.clone() });
        }
        check("mlp", shape, 1, classes)
    }

    /// A model with its parameters drawn from the generator of `device`.
    ///
    /// # Errors
    /// A hidden layer of width 0, images without pixels, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Mlp, ModelError> {
        self.check(shape, classes)?;
        let mut inputs = shape.pixels();
        let layers = self
            .hidden
            .iter()
            .chain([&classes])
            .map(|&width| LinearConfig::new(std::mem::replace(&mut inputs, width), width).init(device));
        Ok(initialised(Mlp { layers: layers.collect() }))
    }

    /// The layers that such a model has.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn layers(&self, shape: ImageShape, classes: usize) -> Result<Vec<Layer>, ModelError> {
        self.check(shape, classes)?;
        let mut table = Table::new(shape.channels, shape.height, shape.width);
        for (index, &width) in self.hidden.iter().chain([&classes]).enumerate() {
            table.linear(&format!("layers.{index}"), width);
        }
        Ok(table.finish())
    }
}

impl Mlp {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = images.flatten::<2>(1, 3);
        for (index, layer) in self.layers.iter().enumerate() {
            flow = layer.forward(if index == 0 { like(flow, &layer.weight) } else { relu(flow) });
        }
        flow
    }
}

classification_steps!(Mlp);
