//! The models by name: what is known about each, and the settings of any of them.

use burn::tensor::Device;
use strict_config::ConfigError;
use toml::Table;

use super::architecture::{Architecture, ModelInfo};
use super::error::ModelError;
use super::layers::Layer;
use crate::image_set::ImageShape;

/// A model that can be named, and how its settings are read.
struct Row {
    info: ModelInfo,
    read: fn(&Table) -> Result<ModelConfig, ConfigError>,
}

macro_rules! define_config {
    ([$($name:ident: $config:ident,)*]) => {
        /// The settings of any of the models.
        ///
        /// ```
        /// use burn::tensor::Device;
        /// use vision::{ImageShape, models::{ConvNetConfig, ModelConfig, total_parameters}};
        ///
        /// let lenet = ModelConfig::named("lenet")?;
        /// assert_eq!(total_parameters(&lenet.layers(ImageShape::new(1, 28, 28), 10, &Device::flex())?), 108_638);
        /// let residual = ModelConfig::from(ConvNetConfig { residual: true, ..ConvNetConfig::default() });
        /// assert_eq!(residual.write().to_string(), "channels = [32, 64, 128]\nresidual = true\n");
        /// # Ok::<(), vision::models::ModelError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        pub enum ModelConfig {
            $(#[doc = concat!("[`super::", stringify!($config), "`].")] $name(super::$config)),*
        }

        $(impl From<super::$config> for ModelConfig {
            fn from(config: super::$config) -> Self {
                Self::$name(config)
            }
        })*

        static MODELS: &[Row] = &[$(Row {
            info: <super::$config as Architecture>::INFO,
            read: |table| strict_config::read(table, "").map(ModelConfig::$name),
        }),*];
    };
}

models!(define_config);

impl ModelConfig {
    /// The model of this name (see [`known`]) with the defaults of its settings.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        let row = MODELS.iter().find(|row| row.info.name == name).ok_or_else(|| {
            let known: Vec<&str> = known().map(|info| info.name).collect();
            let nearest = strict_config::nearest(name, known.iter().copied());
            ModelError::Unknown { name: name.to_owned(), nearest, known }
        })?;
        (row.read)(&Table::new()).map_err(|error| ModelError::Settings(Box::new(error.within(name))))
    }

    /// The model of this name with the settings that a table holds, and nothing else in it.
    ///
    /// # Errors
    /// An unknown name (as the field `type`), a field that this model does not have, a wrong type, a value out of its
    /// range. Paths begin at the table.
    pub fn read(name: &str, table: &Table) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::unknown_name("type", "model", name, known().map(|info| info.name));
        let row = MODELS.iter().find(|row| row.info.name == name).ok_or_else(unknown)?;
        (row.read)(table)
    }

    /// What lists say about the model.
    pub fn info(&self) -> ModelInfo {
        fn info_of<A: Architecture>(_: &A) -> ModelInfo {
            A::INFO
        }
        models!(with_variant ModelConfig, self, config => info_of(config))
    }

    /// The table of the settings, each explicit.
    pub fn write(&self) -> Table {
        models!(with_variant ModelConfig, self, config => strict_config::write(config))
    }

    /// The layers of the network for images of this shape; no parameter is drawn.
    ///
    /// # Errors
    /// As [`Architecture::init`].
    pub fn layers(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Vec<Layer>, ModelError> {
        models!(with_variant ModelConfig, self, config => config.layers(shape, classes, device))
    }
}

/// The models that can be named.
///
/// ```
/// assert!(vision::models::known().any(|info| info.name == "convnet"));
/// ```
pub fn known() -> impl Iterator<Item = &'static ModelInfo> {
    MODELS.iter().map(|row| &row.info)
}
