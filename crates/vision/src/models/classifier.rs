//! Any of the models, behind one type.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};

use super::architecture::Architecture;
use super::config::ModelConfig;
use super::error::ModelError;
use super::layers::{Layer, total_parameters};
use super::own::{Forward, Own, OwnNetwork};
use super::tta::Tta;
use crate::batch::{Batcher, ImageBatch};
use crate::image_set::ImageShape;

/// A model chosen at run time. As a burn module it is the model that it holds: parameters have the same paths (`fc1.weight`).
///
/// burn's `num_params` counts the running statistics of batch norm too; [`parameters`](Self::parameters) counts what is
/// learned.
#[derive(Clone, Debug)]
pub struct Classifier {
    network: Network,
    label_smoothing: f32,
    tta: Tta,
    layers: Arc<[Layer]>,
    /// Of a model of a program's own.
    own: Option<Own>,
}

macro_rules! define_network {
    ([$($name:ident: $config:ident,)*]) => {
        #[derive(Clone, Debug)]
        #[expect(clippy::large_enum_variant, reason = "one model a program: a box would spare nothing")]
        enum Network {
            $($name(<super::$config as Architecture>::Network),)*
            Own(OwnNetwork),
        }

        impl Network {
            fn init_from(self, images: &Batcher) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(<super::$config as Architecture>::init_from(model, images)),)*
                    Self::Own(model) => Self::Own(model),
                }
            }
        }
    };
}

models!(define_network);

/// A [`Network`] from what a variant of an enum of the models holds.
macro_rules! to_network {
    ([$($name:ident: $config:ident,)*] $any:ident, $value:expr, $inner:ident => $body:expr) => {
        match $value { $($any::$name($inner) => Network::$name($body),)* $any::Own($inner) => Network::Own($body) }
    };
}

impl Classifier {
    /// A model for images of this shape, with its parameters drawn from the generator of `device`: `device.seed(s)` before
    /// this call fixes them. Its labels are not smoothed, and images are evaluated as they are.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use vision::{ImageShape, models::{Classifier, ConvNetConfig}};
    ///
    /// let config = ConvNetConfig { channels: vec![8, 16], ..ConvNetConfig::default() };
    /// let model = Classifier::new(config, ImageShape::new(1, 28, 28), 10, &Device::flex())?.with_label_smoothing(0.1)?;
    /// assert_eq!(model.parameters(), 9_250);
    /// # Ok::<(), vision::models::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Architecture::init`].
    pub fn new(
        config: impl Into<ModelConfig>,
        shape: ImageShape,
        classes: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let config = config.into();
        let (network, own, layers) = match config {
            // Its parameters are drawn where it lists its layers: not twice, or they would not be those of the seed alone.
            ModelConfig::Own(own) => {
                let (network, own, layers) = own.listed(shape, classes, device)?;
                (Network::Own(network), Some(own), layers)
            }
            config => {
                let layers = config.layers(shape, classes, device)?;
                (models!(to_network ModelConfig, config, config => config.init(shape, classes, device)?), None, layers)
            }
        };
        let layers = layers.into();
        Ok(Self { network, label_smoothing: 0.0, tta: Tta::None, layers, own })
    }

    /// The model of this name (see [`known`](super::known)) with the defaults of its settings.
    ///
    /// # Errors
    /// An unknown name (with the nearest known one); as [`new`](Self::new).
    pub fn named(name: &str, shape: ImageShape, classes: usize, device: &Device) -> Result<Self, ModelError> {
        Self::new(ModelConfig::named(name)?, shape, classes, device)
    }

    /// The same with what the model takes from training images in place, see [`Architecture::init_from`]: the filters of
    /// a whitening layer. Most models take nothing.
    #[must_use]
    pub fn init_from(self, images: &Batcher) -> Self {
        let network = match (self.network, self.own) {
            (Network::Own(network), Some(own)) => Network::Own((own.init_from)(network, images)),
            (network, _) => network.init_from(images),
        };
        Self { network, ..self }
    }

    /// The same, trained with label smoothing `a`, from 0 to less than 1: the target is `1 - a` for the class plus
    /// `a / classes` for every class. The loss of inference is never smoothed.
    ///
    /// # Errors
    /// A value out of this range; one above 0 for a model of a program's own, which computes its loss itself.
    pub fn with_label_smoothing(self, label_smoothing: f32) -> Result<Self, ModelError> {
        if let (Some(own), true) = (self.own, label_smoothing > 0.0) {
            return Err(ModelError::OwnLoss { model: own.name, found: label_smoothing });
        }
        if (0.0..1.0).contains(&label_smoothing) {
            Ok(Self { label_smoothing, ..self })
        } else {
            Err(ModelError::LabelSmoothing { found: label_smoothing })
        }
    }

    /// The same, with this test-time augmentation in the step of inference.
    #[must_use]
    pub fn with_tta(self, tta: Tta) -> Self {
        Self { tta, ..self }
    }

    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        models!(with_variant Network, &self.network, model => model.forward(images))
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
        if let Network::Own(own) = &self.network {
            return TrainStep::step(own, batch);
        }
        let output = batch.classified(self.label_smoothing, |images| self.forward(images));
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Classifier {
    type Input = ImageBatch;
    type Output = ClassificationOutput;

    /// Forward, of all views of test-time augmentation, and the loss without label smoothing, so that losses of runs with
    /// and without it compare. A model of a program's own has its own loss, or with test-time augmentation cross-entropy
    /// of the mean logits.
    fn step(&self, batch: ImageBatch) -> ClassificationOutput {
        if let (Network::Own(own), Tta::None) = (&self.network, self.tta) {
            return InferenceStep::step(own, batch);
        }
        batch.classified(0.0, |images| self.tta.logits(images, |images| self.forward(images)))
    }
}

/// An expression on the network.
macro_rules! held {
    ($whole:expr, $network:ident => $body:expr) => {
        models!(with_variant Network, &$whole.network, $network => $body)
    };
}

/// The same classifier with another network.
macro_rules! with {
    ($whole:expr, $network:ident => $body:expr) => {{
        let whole = $whole;
        Self { network: models!(to_network Network, whole.network, $network => $body), ..whole }
    }};
}

any_network::module_of_held!(Classifier, held, with, |self| {
    let network = models!(to_network Network, &self.network, network => network.valid());
    let (label_smoothing, tta, own) = (self.label_smoothing, self.tta, self.own);
    Self { network, label_smoothing, tta, layers: Arc::clone(&self.layers), own }
});
