//! Reference models for image classification.
//!
//! What lives here: the networks as their papers (or the field) have them, a file each, with their settings and a table
//! of their layers; [`ModelConfig`], the settings of any of them; [`Classifier`], which holds any of them behind one type;
//! and the step of training and of inference that burn-train asks for. No optimizer, no rate, no loop.
//!
//! Adding one here: a file with its settings, an [`Architecture`], and its network; and a row in `models!`. A program adds
//! its own to a [`ModelRegistry`].
//!
//! A constructor draws the parameters at once and in order from the generator of the device it is given (burn's own
//! layers draw them where they are first used), so `device.seed(s)` before it fixes them.

/// The models, in the order of their lists: a name in Rust and the type of the settings. The rows go to the macro `$with`,
/// before its other arguments.
macro_rules! models {
    ($with:ident $($arguments:tt)*) => {
        $with! {
            [
                Mlp: MlpConfig,
                LeNet: LeNetConfig,
                ConvNet: ConvNetConfig,
                ResNet8: ResNet8Config,
                ResNet9: ResNet9Config,
                ResNet18: ResNet18Config,
                Airbench: AirbenchConfig,
            ]
            $($arguments)*
        }
    };
}

/// An expression on what a variant of an enum of the models holds.
macro_rules! with_variant {
    ([$($name:ident: $config:ident,)*] $any:ident, $value:expr, $inner:ident => $body:expr) => {
        match $value { $($any::$name($inner) => $body,)* $any::Own($inner) => $body }
    };
}

mod airbench;
mod architecture;
mod classifier;
mod config;
mod convnet;
mod error;
mod layers;
mod lenet;
mod loss;
mod mlp;
mod own;
mod precision;
mod resnet;
mod resnet9;
mod tta;
mod whitening;

pub use airbench::{Airbench, AirbenchConfig};
pub use architecture::{Architecture, ModelInfo};
pub use classifier::Classifier;
pub use config::{ModelConfig, ModelRegistry, known};
pub use convnet::{ConvNet, ConvNetConfig};
pub use error::ModelError;
pub use layers::{Layer, Layers, total_parameters};
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Mlp, MlpConfig};
pub use own::OwnModel;
pub use resnet::{ResNet, ResNet8Config, ResNet18Config};
pub use resnet9::{ResNet9, ResNet9Config};
pub use tta::Tta;
