//! Reference models for image classification: `mlp`, `lenet`, `convnet`, `resnet8`, `resnet9`,
//! `resnet18`.
//!
//! What lives here: the networks as their papers (or the field) have them, each with a config, its initialisation
//! and a table of its layers; [`Classifier`], which holds any of them behind one type; and the step of training and
//! of inference that burn-train asks for. No optimizer, no rate, no loop.
//!
//! A constructor draws the parameters at once and in order from the generator of the device it is given (burn's own
//! layers draw them where they are first used), so `device.seed(s)` before it fixes them.

mod classifier;
mod convnet;
mod layers;
mod lenet;
mod loss;
mod mlp;
mod resnet;
mod resnet9;

use crate::image_set::ImageShape;
use crate::nearest::{nearest, suggestion};

pub use classifier::Classifier;
pub use convnet::{ConvNet, ConvNetConfig};
pub use layers::{Layer, total_parameters};
pub use lenet::{LeNet, LeNetConfig};
pub use loss::classification_loss;
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{ResNet, ResNetConfig};
pub use resnet9::{ResNet9, ResNet9Config};

/// What can be chosen about a model, beside its name.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// Widths of the hidden layers of `mlp`. Default: 256, 128.
    pub hidden: Vec<usize>,
    /// Channels of the stages of `convnet`. Default: 32, 64, 128.
    pub channels: Vec<usize>,
    /// Whether the stages of `convnet` have residuals. Default: no.
    pub residual: bool,
    /// Label smoothing of the training loss, 0 to less than 1: the target is `1 - a` for the class plus `a / classes`
    /// for every class. Default: 0. The loss of inference is never smoothed.
    pub label_smoothing: f32,
}

impl Default for ModelOptions {
    fn default() -> Self {
        let ConvNetConfig { channels, residual } = ConvNetConfig::default();
        Self { hidden: MlpConfig::HIDDEN.to_vec(), channels, residual, label_smoothing: 0.0 }
    }
}

/// What is known about a model without building it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name to ask for.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The fields of [`ModelOptions`] that it heeds.
    pub options: &'static [&'static str],
}

const MODELS: [ModelInfo; 6] = [
    ModelInfo {
        name: "mlp",
        summary: "fully connected layers with ReLU, 256 and 128 wide unless `hidden` says otherwise",
        source: "the usual baseline on MNIST",
        options: &["hidden", "label_smoothing"],
    },
    ModelInfo {
        name: "lenet",
        summary: "two 5x5 convolutions (8 and 16 channels) with max pooling, three fully connected layers",
        source: "after LeCun et al., Gradient-based learning applied to document recognition, 1998, with ReLU and max pooling",
        options: &["label_smoothing"],
    },
    ModelInfo {
        name: "convnet",
        summary: "convolutions with batch norm, cheap on a CPU; 32, 64 and 128 channels unless `channels` says otherwise",
        source: "made for the recipes here; pooling before batch norm as in K. Jordan, 94 % on CIFAR-10 in 3.29 seconds, 2024",
        options: &["channels", "residual", "label_smoothing"],
    },
    ModelInfo {
        name: "resnet8",
        summary: "residual network of one block in each of three stages (16, 32, 64 channels)",
        source: "He et al., Deep residual learning for image recognition, 2016, section 4.2, with n = 1 and projections",
        options: &["label_smoothing"],
    },
    ModelInfo {
        name: "resnet9",
        summary: "small and fast on CIFAR: four convolutions (64 to 512 channels) with two residuals, max pooling",
        source: "D. Page, How to train your ResNet, 2018 (DAWNBench)",
        options: &["label_smoothing"],
    },
    ModelInfo {
        name: "resnet18",
        summary: "residual network of two blocks in each of four stages (64 to 512 channels), 3x3 stem for small images",
        source: "He et al., Deep residual learning for image recognition, 2016, table 1, in the form used on CIFAR",
        options: &["label_smoothing"],
    },
];

/// The models that [`Classifier::new`] knows.
///
/// ```
/// let names: Vec<&str> = vision::models::known().map(|info| info.name).collect();
/// assert_eq!(names, ["mlp", "lenet", "convnet", "resnet8", "resnet9", "resnet18"]);
/// ```
pub fn known() -> impl Iterator<Item = &'static ModelInfo> {
    MODELS.iter()
}

/// Why a model cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// No model has this name.
    #[error("no model is called `{name}`{} (known: {})", suggestion(*.nearest), known().map(|info| info.name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
    },
    /// The images are too small for the layers.
    #[error("`{model}` needs images of at least {least}x{least} pixels with at least one channel, found {found}")]
    ImageTooSmall {
        /// The model.
        model: &'static str,
        /// The shape of the images.
        found: ImageShape,
        /// The least height and width.
        least: usize,
    },
    /// A classifier needs at least two classes.
    #[error("{found} classes: a classifier needs at least 2")]
    Classes {
        /// The number that was given.
        found: usize,
    },
    /// A hidden layer of `mlp` without a neuron.
    #[error("`hidden` is {found:?}: every layer needs a width of at least 1")]
    Hidden {
        /// The widths that were given.
        found: Vec<usize>,
    },
    /// `convnet` without a stage or with too many, or a stage without a channel.
    #[error("`channels` is {found:?}: there must be 1 to {most} stages, and each needs at least 1 channel")]
    Channels {
        /// The widths that were given.
        found: Vec<usize>,
        /// How many there may be.
        most: usize,
    },
    /// The label smoothing is not in its range.
    #[error("`label_smoothing` is {found}: allowed are 0 to less than 1")]
    LabelSmoothing {
        /// The value that was given.
        found: f32,
    },
}

impl ModelError {
    fn unknown(name: &str) -> Self {
        Self::Unknown { name: name.to_owned(), nearest: nearest(name, known().map(|info| info.name)) }
    }
}

/// Checks what every model asks of its input and output.
fn check(model: &'static str, shape: ImageShape, least: usize, classes: usize) -> Result<(), ModelError> {
    if shape.height < least || shape.width < least || shape.channels == 0 {
        return Err(ModelError::ImageTooSmall { model, found: shape, least });
    }
    if classes < 2 { Err(ModelError::Classes { found: classes }) } else { Ok(()) }
}

/// The layers that the model of this name has, for images of this shape; no parameter is allocated.
///
/// # Errors
/// As [`Classifier::new`].
///
/// ```
/// use vision::{ImageShape, models};
/// let layers = models::layers("lenet", &models::ModelOptions::default(), ImageShape::new(1, 28, 28), 10)?;
/// assert_eq!(models::total_parameters(&layers), 108_638);
/// # Ok::<(), models::ModelError>(())
/// ```
pub fn layers(name: &str, options: &ModelOptions, shape: ImageShape, classes: usize) -> Result<Vec<Layer>, ModelError> {
    match Architecture::named(name, options)? {
        Architecture::Mlp(config) => config.layers(shape, classes),
        Architecture::LeNet(config) => config.layers(shape, classes),
        Architecture::ConvNet(config) => config.layers(shape, classes),
        Architecture::ResNet(config) => config.layers(shape, classes),
        Architecture::ResNet9(config) => config.layers(shape, classes),
    }
}

/// The config behind a name.
pub(crate) enum Architecture {
    Mlp(MlpConfig),
    LeNet(LeNetConfig),
    ConvNet(ConvNetConfig),
    ResNet(ResNetConfig),
    ResNet9(ResNet9Config),
}

impl Architecture {
    pub(crate) fn named(name: &str, options: &ModelOptions) -> Result<Self, ModelError> {
        match name {
            "mlp" => Ok(Self::Mlp(MlpConfig { hidden: options.hidden.clone() })),
            "lenet" => Ok(Self::LeNet(LeNetConfig)),
            "convnet" => {
                Ok(Self::ConvNet(ConvNetConfig { channels: options.channels.clone(), residual: options.residual }))
            }
            "resnet8" => Ok(Self::ResNet(ResNetConfig::resnet8())),
            "resnet9" => Ok(Self::ResNet9(ResNet9Config)),
            "resnet18" => Ok(Self::ResNet(ResNetConfig::resnet18())),
            _ => Err(ModelError::unknown(name)),
        }
    }
}
