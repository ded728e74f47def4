//! Any of the models, behind one type.

use std::fmt;
use std::sync::Arc;

use burn::module::{
    Content, Devices, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{Device, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};

use super::{
    Architecture, ConvNet, Layer, LeNet, Mlp, ModelError, ModelOptions, ResNet, ResNet9, loss, total_parameters,
};
use crate::batch::ImageBatch;
use crate::image_set::ImageShape;

/// A model chosen by name at run time.
///
/// As a burn module it is the model that it holds: parameters have the same paths (`fc1.weight`, not
/// `LeNet.fc1.weight`, which a derived enum would give), so patterns on paths and exported files do not depend on
/// whether a program names the model in its types or in its config.
///
/// burn's `num_params` counts the running statistics of batch norm too; [`parameters`](Self::parameters) counts what is
/// learned.
#[derive(Clone, Debug)]
pub struct Classifier {
    network: Network,
    label_smoothing: f32,
    layers: Arc<[Layer]>,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one model a program: a box would spare nothing")]
enum Network {
    Mlp(Mlp),
    LeNet(LeNet),
    ConvNet(ConvNet),
    ResNet(ResNet),
    ResNet9(ResNet9),
}

/// Evaluates an expression on the model that is there.
macro_rules! with_model {
    ($network:expr, $model:ident => $body:expr) => {
        match $network {
            Network::Mlp($model) => $body,
            Network::LeNet($model) => $body,
            Network::ConvNet($model) => $body,
            Network::ResNet($model) => $body,
            Network::ResNet9($model) => $body,
        }
    };
}

/// As `with_model`, for an expression that gives the same model again.
macro_rules! map_model {
    ($classifier:expr, $model:ident => $body:expr) => {{
        let (label_smoothing, layers) = ($classifier.label_smoothing, Arc::clone(&$classifier.layers));
        let network = match $classifier.network {
            Network::Mlp($model) => Network::Mlp($body),
            Network::LeNet($model) => Network::LeNet($body),
            Network::ConvNet($model) => Network::ConvNet($body),
            Network::ResNet($model) => Network::ResNet($body),
            Network::ResNet9($model) => Network::ResNet9($body),
        };
        Classifier { network, label_smoothing, layers }
    }};
}

impl Classifier {
    /// The model of this name (see [`known`](super::known)) for images of this shape, with its parameters drawn from
    /// the generator of `device`: `device.seed(s)` before this call fixes them.
    ///
    /// # Errors
    /// An unknown name (with the nearest known one), images that are too small, fewer than two classes, options out
    /// of range.
    pub fn new(
        name: &str,
        options: &ModelOptions,
        shape: ImageShape,
        classes: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let label_smoothing = options.label_smoothing;
        if !(0.0..1.0).contains(&label_smoothing) {
            return Err(ModelError::LabelSmoothing { found: label_smoothing });
        }
        let network = match Architecture::named(name, options)? {
            Architecture::Mlp(config) => Network::Mlp(config.init(shape, classes, device)?),
            Architecture::LeNet(config) => Network::LeNet(config.init(shape, classes, device)?),
            Architecture::ConvNet(config) => Network::ConvNet(config.init(shape, classes, device)?),
            Architecture::ResNet(config) => Network::ResNet(config.init(shape, classes, device)?),
            Architecture::ResNet9(config) => Network::ResNet9(config.init(shape, classes, device)?),
        };
        let layers = super::layers(name, options, shape, classes)?.into();
        Ok(Self { network, label_smoothing, layers })
    }

    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        with_model!(&self.network, model => model.forward(images))
    }

    /// Its layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many numbers in it are learned.
    pub fn parameters(&self) -> usize {
        total_parameters(&self.layers)
    }
}

impl TrainStep for Classifier {
    type Input = ImageBatch;
    type Output = ClassificationOutput;

    /// Forward and backward, with the label smoothing that was chosen.
    fn step(&self, batch: ImageBatch) -> TrainOutput<ClassificationOutput> {
        loss::backward(self, loss::output(batch, self.label_smoothing, |images| self.forward(images)))
    }
}

impl InferenceStep for Classifier {
    type Input = ImageBatch;
    type Output = ClassificationOutput;

    /// Forward, and the loss without label smoothing, so that losses of runs with and without it compare.
    fn step(&self, batch: ImageBatch) -> ClassificationOutput {
        loss::output(batch, 0.0, |images| self.forward(images))
    }
}

impl Module for Classifier {
    fn collect_devices(&self, devices: Devices) -> Devices {
        with_model!(&self.network, model => model.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        map_model!(self, model => model.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        map_model!(self, model => model.to_device(device))
    }

    fn train(self) -> Self {
        map_model!(self, model => Module::train(model))
    }

    fn valid(&self) -> Self {
        map_model!(self.clone(), model => model.valid())
    }

    fn materialize(self) -> Self {
        map_model!(self, model => model.materialize())
    }

    fn num_params(&self) -> usize {
        with_model!(&self.network, model => Module::num_params(model))
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        with_model!(&self.network, model => model.visit(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        map_model!(self, model => model.map(mapper))
    }
}

impl ModuleDisplayDefault for Classifier {
    fn content(&self, content: Content) -> Option<Content> {
        with_model!(&self.network, model => ModuleDisplayDefault::content(model, content))
    }

    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for Classifier {}

impl fmt::Display for Classifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&ModuleDisplay::format(self, DisplaySettings::default()))
    }
}
