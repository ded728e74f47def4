//! Why a model cannot be built.

use strict_config::{ConfigError, did_you_mean};

use crate::image_set::ImageShape;

/// Why a model cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// No model has this name.
    #[error("no model is called `{name}`{} (known: {})", did_you_mean(*.nearest), known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// A setting is out of its range; its path begins with the name of the model.
    #[error(transparent)]
    Settings(Box<ConfigError>),
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
    /// A parameter has more dimensions than a model by name may have.
    #[error("`{model}` has a parameter of {found} dimensions: at most {highest} are allowed")]
    Rank {
        /// The model.
        model: &'static str,
        /// Its dimensions.
        found: usize,
        /// The most that are allowed.
        highest: usize,
    },
    /// The model computes its own loss, so there is no target to smooth.
    #[error("`label_smoothing` is {found}: `{model}` computes its own loss, allowed is 0")]
    OwnLoss {
        /// The model.
        model: &'static str,
        /// The value that was given.
        found: f32,
    },
    /// A classifier needs at least two classes.
    #[error("{found} classes: a classifier needs at least 2")]
    Classes {
        /// The number that was given.
        found: usize,
    },
    /// The label smoothing is not in its range.
    #[error("`label_smoothing` is {found}: allowed are 0 to less than 1")]
    LabelSmoothing {
        /// The value that was given.
        found: f32,
    },
}
