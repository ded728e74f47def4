//! The models by name: what is known about each, and the settings of any of them.

use serde::Serialize;
use strict_config::{ConfigError, Settings};
use toml::Table;

use super::gpt::GptConfig;
use super::gru::GruConfig;
use super::info::LanguageModelInfo;
use crate::error::TextError;

/// The settings of any of the models.
///
/// ```
/// use text::models::{GptConfig, LanguageModelConfig};
///
/// let gpt = LanguageModelConfig::named("gpt")?;
/// assert_eq!(gpt.parameters(65, 128), Some(818_048));
/// let small = LanguageModelConfig::from(GptConfig { layers: 2, ..GptConfig::default() });
/// assert_eq!(small.write().to_string(), "layers = 2\nheads = 4\nwidth = 128\ndropout = 0.0\ntied = true\n");
/// # Ok::<(), text::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LanguageModelConfig {
    /// [`Gpt`](super::Gpt).
    Gpt(GptConfig),
    /// [`Gru`](super::Gru).
    Gru(GruConfig),
}

impl From<GptConfig> for LanguageModelConfig {
    fn from(config: GptConfig) -> Self {
        Self::Gpt(config)
    }
}

impl From<GruConfig> for LanguageModelConfig {
    fn from(config: GruConfig) -> Self {
        Self::Gru(config)
    }
}

impl LanguageModelConfig {
    /// The model of this name (see [`known`]) with the defaults of its settings.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<Self, TextError> {
        let names = || known().map(|info| info.name);
        match name {
            "gpt" => Ok(GptConfig::default().into()),
            "gru" => Ok(GruConfig::default().into()),
            _ => Err(TextError::UnknownModel {
                name: name.to_owned(),
                nearest: strict_config::nearest(name, names()),
                known: names().collect(),
            }),
        }
    }

    /// The model of this name with the settings that a table holds, and nothing else in it.
    ///
    /// # Errors
    /// An unknown name (as the field `type`), a field that this model does not have, a wrong type, a value out of its
    /// range. Paths begin at the table.
    pub fn read(name: &str, table: &Table) -> Result<Self, ConfigError> {
        match name {
            "gpt" => strict_config::read(table, "").map(Self::Gpt),
            "gru" => strict_config::read(table, "").map(Self::Gru),
            _ => Err(ConfigError::unknown_name("type", "model", name, known().map(|info| info.name))),
        }
    }

    /// What lists say about the model.
    pub fn info(&self) -> &'static LanguageModelInfo {
        match self {
            Self::Gpt(_) => &GptConfig::INFO,
            Self::Gru(_) => &GruConfig::INFO,
        }
    }

    /// The table of the settings, each explicit.
    pub fn write(&self) -> Table {
        strict_config::write(self)
    }

    /// Refuses settings out of their ranges.
    pub(super) fn check(&self) -> Result<(), TextError> {
        let checked = match self {
            Self::Gpt(config) => config.check(),
            Self::Gru(config) => config.check(),
        };
        checked.map_err(|error| error.within(self.info().name).into())
    }

    /// How many numbers such a model learns for that many tokens in its vocabulary and in a window; `None` where the number
    /// is beyond all that can be counted.
    pub fn parameters(&self, vocabulary: usize, context: usize) -> Option<usize> {
        match self {
            Self::Gpt(config) => config.parameters(vocabulary, context),
            Self::Gru(config) => config.parameters(vocabulary),
        }
    }
}

/// The models that can be named.
///
/// ```
/// assert!(text::models::known().any(|info| info.name == "gru"));
/// ```
pub fn known() -> impl Iterator<Item = &'static LanguageModelInfo> {
    [&GptConfig::INFO, &GruConfig::INFO].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        let refused = |name: &str, text: &str| {
            let table: Table = text.parse().unwrap();
            LanguageModelConfig::read(name, &table).unwrap_err().to_string()
        };
        for (name, text, expected) in [
            ("gpd", "", "type: there is no model `gpd`; did you mean `gpt`? (known: gpt, gru)"),
            ("gpt", "heads = 3", "width: 128 is not allowed here; allowed: a multiple of `heads` = 3"),
            ("gpt", "heads = 0", "heads: 0 is not allowed here; allowed: a whole number of at least 1"),
            ("gpt", "dropout = 1.0", "dropout: 1 is not allowed here; allowed: a number from 0 to below 1"),
            ("gru", "layers = 0", "layers: 0 is not allowed here; allowed: a whole number of at least 1"),
        ] {
            assert_eq!(refused(name, text), expected);
        }
        assert!(refused("gru", "heads = 2").starts_with("heads: unknown field"), "{}", refused("gru", "heads = 2"));
        let error = LanguageModelConfig::named("grue").unwrap_err().to_string();
        assert_eq!(error, "no model is called `grue`; did you mean `gru`? (known: gpt, gru)");
    }

    #[test]
    fn settings_of_any_size_are_counted_without_building_them() {
        let huge = GptConfig { layers: usize::MAX, ..GptConfig::default() };
        assert_eq!(LanguageModelConfig::from(huge).parameters(65, 128), None);
        let wide = GruConfig { width: usize::MAX / 8, ..GruConfig::default() };
        assert_eq!(LanguageModelConfig::from(wide).parameters(65, 128), None);
    }
}
