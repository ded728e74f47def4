//! The settings of a model and the network that they describe, with its layers.

use std::fmt::Debug;

use any_network::drawn;
use burn::module::{Module, ModuleDisplay};
use burn::tensor::Device;
use burn::train::{ClassificationOutput, InferenceStep, TrainStep};
use strict_config::{ConfigError, Settings, check};

use super::error::ModelError;
use super::layers::{Layer, Layers};
use crate::batch::{Batcher, ImageBatch};
use crate::image_set::ImageShape;

/// What is known about a model without building it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name to ask for.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The data set for which lists give the numbers of parameters.
    pub dataset: &'static str,
}

impl ModelInfo {
    /// A model of a program's own; its parameters are counted for `dataset`.
    pub const fn own(name: &'static str, summary: &'static str, dataset: &'static str) -> Self {
        Self { name, summary, source: "this program", dataset }
    }
}

/// The settings of a model, as its table in a config holds them, and the network that they describe.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use vision::{ImageShape, models::{Architecture, MlpConfig}};
///
/// let (shape, device) = (ImageShape::new(1, 8, 8), Device::flex());
/// let model = MlpConfig { hidden: vec![32] }.init(shape, 10, &device)?;
/// assert_eq!(model.forward(Tensor::zeros([5, 1, 8, 8], &device)).dims(), [5, 10]);
/// # Ok::<(), vision::models::ModelError>(())
/// ```
pub trait Architecture: Settings + Default + Clone + Debug + Send + Sync + 'static {
    /// What lists say about it.
    const INFO: ModelInfo;

    /// The network: a module with burn-train's steps, whose output holds the loss and the logits, `(image, class)`.
    type Network: Module
        + ModuleDisplay
        + TrainStep<Input = ImageBatch, Output = ClassificationOutput>
        + InferenceStep<Input = ImageBatch, Output = ClassificationOutput>
        + 'static;

    /// [`INFO`](Self::INFO).
    fn info(&self) -> ModelInfo {
        Self::INFO
    }

    /// The least height and width of an image.
    fn least_side(&self) -> usize {
        1
    }

    /// The network, for images, classes and settings that are allowed, on [`Layers::device`]. Layers that come from
    /// `layers` are listed, in the order in which an image goes through them; a network that makes its layers by itself is
    /// listed by its parameters.
    fn build(&self, classes: usize, layers: &mut Layers) -> Self::Network;

    /// The network with what it takes from training images, which are used as they are, not augmented, in the place of
    /// what was drawn. A network takes nothing unless this is implemented.
    fn init_from(network: Self::Network, images: &Batcher) -> Self::Network {
        let _ = images;
        network
    }

    /// A network with its parameters drawn from the generator of `device`: `device.seed(s)` before this call fixes them.
    ///
    /// # Errors
    /// Settings out of their ranges, images smaller than [`least_side`](Self::least_side) or without channels, fewer than
    /// two classes.
    fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Self::Network, ModelError> {
        built(self, shape, classes, device, false).map(|(network, _)| drawn(network))
    }

    /// The layers that such a network has; no parameter is drawn.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    fn layers(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Vec<Layer>, ModelError> {
        built(self, shape, classes, device, true).map(|(_, layers)| layers)
    }
}

/// A network whose parameters are not drawn yet, and its layers. One that is made for its list alone (`lists_only`) may be
/// of any size.
pub(super) fn built<A: Architecture>(
    config: &A,
    shape: ImageShape,
    classes: usize,
    device: &Device,
    lists_only: bool,
) -> Result<(A::Network, Vec<Layer>), ModelError> {
    let model = A::INFO.name;
    config.check().map_err(|error| ModelError::Settings(Box::new(error.within(model))))?;
    let least = config.least_side();
    if shape.height < least || shape.width < least || shape.channels == 0 {
        return Err(ModelError::ImageTooSmall { model, found: shape, least });
    }
    if classes < 2 {
        return Err(ModelError::Classes { found: classes });
    }
    let mut layers = Layers::new(shape, device, lists_only);
    Ok((config.build(classes, &mut layers), layers.finish()))
}

/// More layers than anybody trains; each takes time in every step, whatever its width.
const MOST_LAYERS: usize = 1000;

/// Refuses a layer without a neuron or a channel, and a list of layers without end.
pub(super) fn check_widths(field: &str, widths: &[usize]) -> Result<(), ConfigError> {
    let found = format!("a list of {}", widths.len());
    check::is_allowed(field, found, &format!("at most {MOST_LAYERS} layers"), widths.len() <= MOST_LAYERS)?;
    match widths.iter().position(|width| *width == 0) {
        Some(at) => Err(ConfigError::not_allowed(format!("{field}[{at}]"), 0, "a width of at least 1")),
        None => Ok(()),
    }
}
