//! The models by name: what is known about each, and the settings of any of them.

use burn::tensor::Device;
use strict_config::ConfigError;
use toml::Table;

use super::architecture::{Architecture, ModelInfo};
use super::error::ModelError;
use super::layers::Layer;
use super::own::OwnModel;
use crate::image_set::ImageShape;

/// A model that can be named, and how its settings are read.
#[derive(Clone, Copy, Debug)]
struct Row {
    info: ModelInfo,
    read: fn(&Table) -> Result<ModelConfig, ConfigError>,
}

/// The models that a table may name. It is open: [`with`](Self::with) adds one of a program's own.
#[derive(Clone, Debug)]
pub struct ModelRegistry {
    rows: Vec<Row>,
}

impl ModelRegistry {
    /// This crate's models.
    pub fn standard() -> Self {
        Self { rows: MODELS.to_vec() }
    }

    /// With one more model. It replaces one of the same name.
    #[must_use]
    pub fn with<A: Architecture>(mut self) -> Self {
        self.rows.retain(|row| row.info.name != A::INFO.name);
        let read = |table: &Table| strict_config::read::<A>(table, "").map(ModelConfig::own);
        self.rows.push(Row { info: A::INFO, read });
        self
    }

    /// What is known about each, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &ModelInfo> {
        self.rows.iter().map(|row| &row.info)
    }
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
            $(#[doc = concat!("[`super::", stringify!($config), "`].")] $name(super::$config),)*
            /// A model of a program's own.
            Own(OwnModel),
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
        Self::read_with(name, table, &ModelRegistry::standard())
    }

    /// [`read`](Self::read), by another registry than the standard one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(name: &str, table: &Table, registry: &ModelRegistry) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::unknown_name("type", "model", name, registry.iter().map(|info| info.name));
        let row = registry.rows.iter().find(|row| row.info.name == name).ok_or_else(unknown)?;
        (row.read)(table)
    }

    /// The settings of a model that this crate does not know.
    pub fn own(settings: impl Architecture) -> Self {
        Self::Own(OwnModel::new(settings))
    }

    /// What lists say about the model.
    pub fn info(&self) -> ModelInfo {
        models!(with_variant ModelConfig, self, config => config.info())
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
