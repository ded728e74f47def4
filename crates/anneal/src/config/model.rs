//! `[model]`: which reference model is trained, and what it starts from.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, Settings, check};
use toml::Table;
use vision::{
    ImageShape,
    models::{Classifier, ModelConfig, ModelError, ModelRegistry},
};

use super::{PretrainedSection, put};

/// `[model]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSection {
    /// `type`, a name from `anneal list models`, and the settings of that model. Default `mlp`.
    pub settings: ModelConfig,
    /// Smoothing of the target distribution in the training loss, from 0 to below 1. Default 0.
    pub label_smoothing: f64,
    /// Weights to start from. Default: none, the model starts as its seed draws it.
    pub pretrained: Option<PretrainedSection>,
}

/// The fields that the table has for every model.
pub(super) const SHARED: [&str; 3] = ["type", "label_smoothing", "pretrained"];

/// What the table has for every model.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Common {
    r#type: String,
    label_smoothing: f64,
}

impl Default for Common {
    fn default() -> Self {
        Self { r#type: "mlp".to_owned(), label_smoothing: 0.0 }
    }
}

impl Settings for Common {
    fn check(&self) -> Result<(), ConfigError> {
        let (smoothing, allowed) = (self.label_smoothing, "from 0 to below 1");
        check::number("label_smoothing", smoothing, allowed, |part| (0.0..1.0).contains(&part))
    }
}

impl ModelSection {
    /// Reads the table, which may name the built-in models.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        Self::from_table_with(table, &ModelRegistry::standard())
    }

    /// Reads the table, which may name these models.
    pub fn from_table_with(table: &Table, models: &ModelRegistry) -> Result<Self, ConfigError> {
        let (mut common, own): (Table, Table) =
            table.clone().into_iter().partition(|(field, _)| SHARED.contains(&field.as_str()));
        let pretrained = common.remove("pretrained").as_ref().map(PretrainedSection::read).transpose();
        let common: Common = strict_config::read(&common, "model")?;
        let settings = ModelConfig::read_with(&common.r#type, &own, models);
        let settings = settings.map_err(|error| error.with_known(&SHARED).within("model"))?;
        if matches!(settings, ModelConfig::Own(_)) && common.label_smoothing > 0.0 {
            let allowed = format!("0: `{}` computes its own loss", common.r#type);
            return Err(ConfigError::not_allowed("model.label_smoothing", common.label_smoothing, allowed));
        }
        let pretrained = pretrained.map_err(|error| error.within("model.pretrained"))?;
        Ok(Self { settings, label_smoothing: common.label_smoothing, pretrained })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "type", Some(self.name()));
        table.extend(self.settings.write());
        put(&mut table, "label_smoothing", Some(self.label_smoothing));
        put(&mut table, "pretrained", self.pretrained.as_ref().map(PretrainedSection::to_table));
        table
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        self.settings.info().name
    }

    /// The model, with parameters that are drawn from the generator of `device`.
    ///
    /// # Errors
    /// Images that are too small for the model, fewer than two classes.
    pub fn init(&self, shape: ImageShape, classes: usize, device: &Device) -> Result<Classifier, ModelError> {
        let model = Classifier::new(self.settings.clone(), shape, classes, device)?;
        model.with_label_smoothing(self.label_smoothing as f32)
    }
}

#[cfg(test)]
mod tests {
    use vision::models::{ConvNetConfig, LeNetConfig, MlpConfig};

    use super::*;

    fn read(text: &str) -> Result<ModelSection, ConfigError> {
        ModelSection::from_table(&text.parse().expect("a table"))
    }

    #[test]
    fn each_model_has_its_own_fields_and_their_defaults() {
        let mlp = |hidden: &[usize]| MlpConfig { hidden: hidden.to_vec() }.into();
        let convnet = |channels: &[usize], residual| ConvNetConfig { channels: channels.to_vec(), residual }.into();
        let cases: [(&str, ModelConfig); 5] = [
            ("type = 'mlp'", mlp(&[256, 128])),
            ("type = 'mlp'\nhidden = []", mlp(&[])),
            ("type = 'lenet'", LeNetConfig {}.into()),
            ("type = 'convnet'", convnet(&[32, 64, 128], false)),
            ("type = 'convnet'\nchannels = [8, 16]\nresidual = true", convnet(&[8, 16], true)),
        ];
        for (text, settings) in cases {
            let section = read(text).expect(text);
            assert_eq!(section.settings, settings, "{text}");
            assert_eq!(ModelSection::from_table(&section.to_table()).expect(text), section, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let cases = [
            ("type = 'convent'", "did you mean `convnet`?"),
            ("type = 'lenet'\nchannels = [8]", "model.channels"),
            ("type = 'resnet8'\nresidual = true", "model.residual"),
            ("type = 'convnet'\nchannels = []", "model.channels: 0 stages is not allowed here; allowed: 1 to 8 stages"),
            ("type = 'convnet'\nchannels = [8, 0]", "model.channels[1]: 0 is not allowed here"),
            ("type = 'mlp'\nhidden = [0]", "model.hidden[0]: 0 is not allowed here; allowed: a width of at least 1"),
            ("type = 'convnet'\nresidual = 1", "model.residual: expected true or false"),
        ];
        for (text, expected) in cases {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
