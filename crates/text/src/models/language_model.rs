//! Any of the models, behind one type.

use std::fmt;

use any_network::drawn;
use burn::module::{
    Content, Devices, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::config::ModelConfig;
use super::steps::language_steps;
use super::{Gpt, Gru};
use crate::error::TextError;

/// A model chosen at run time.
///
/// As a burn module it is the model that it holds: parameters have the same paths (`transformer.wte.weight`, not
/// `Gpt.transformer.wte.weight`, which a derived enum would give), so patterns on paths and exported files do not depend on
/// whether a program names the model in its types or in its config.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one model a program: a box would spare nothing")]
pub enum LanguageModel {
    /// A transformer.
    Gpt(Gpt),
    /// A recurrent network.
    Gru(Gru),
}

/// An expression on the model that it holds.
macro_rules! held {
    ($value:expr, $model:ident => $body:expr) => {
        match $value {
            LanguageModel::Gpt($model) => $body,
            LanguageModel::Gru($model) => $body,
        }
    };
}

/// A [`LanguageModel`] from what another holds.
macro_rules! made {
    ($value:expr, $model:ident => $body:expr) => {
        match $value {
            LanguageModel::Gpt($model) => LanguageModel::Gpt($body),
            LanguageModel::Gru($model) => LanguageModel::Gru($body),
        }
    };
}

impl LanguageModel {
    /// A model for a vocabulary of that many tokens and windows of `context` tokens, with its parameters drawn from the generator
    /// of `device`: `device.seed(s)` before this call fixes them.
    ///
    /// # Errors
    /// Settings out of their ranges.
    pub fn new(config: &ModelConfig, vocabulary: usize, context: usize, device: &Device) -> Result<Self, TextError> {
        config.check()?;
        let model = match config {
            ModelConfig::Gpt(config) => Self::Gpt(config.build(vocabulary, context, device)),
            ModelConfig::Gru(config) => Self::Gru(config.build(vocabulary, device)),
        };
        Ok(drawn(model))
    }

    /// Logits, `(window, place, token)`, of tokens, `(window, place)`: what comes after each.
    ///
    /// # Panics
    /// As [`Gpt::forward`].
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        held!(self, model => model.forward(tokens))
    }

    /// What gives the logits of the next token, again and again.
    pub(crate) fn writer(&self, device: Device) -> Writer<'_> {
        Writer { model: self, device, read: 0, states: None }
    }
}

language_steps!(LanguageModel);

/// A model in the course of generating.
pub(crate) struct Writer<'a> {
    model: &'a LanguageModel,
    device: Device,
    /// How many tokens a recurrent network has read, and its states after them.
    read: usize,
    states: Option<Vec<Tensor<2>>>,
}

impl Writer<'_> {
    /// The logits of the token after `tokens`, which are those of the call before and what was added.
    pub(crate) fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, TextError> {
        let tensor = |tokens: &[u32]| {
            let tokens: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
            let shape = [1, tokens.len()];
            Tensor::<2, Int>::from_data(TensorData::new(tokens, shape), &self.device)
        };
        let logits = match self.model {
            LanguageModel::Gpt(gpt) => gpt.forward(tensor(&tokens[tokens.len().saturating_sub(gpt.context())..])),
            LanguageModel::Gru(gru) => {
                let new = tensor(&tokens[self.read..]);
                let (logits, states) = gru.forward_from(&new, &self.states.take().unwrap_or_default());
                (self.read, self.states) = (tokens.len(), Some(states));
                logits
            }
        };
        let [_, places, _] = logits.dims();
        let last = logits.narrow(1, places - 1, 1).cast(DType::F32).try_into_data();
        let last = last.map_err(|error| TextError::Device { reason: error.to_string() })?;
        Ok(last.iter::<f32>().collect())
    }
}

impl Module for LanguageModel {
    fn collect_devices(&self, devices: Devices) -> Devices {
        held!(self, model => model.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        made!(self, model => model.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        made!(self, model => model.to_device(device))
    }

    fn train(self) -> Self {
        made!(self, model => Module::train(model))
    }

    fn valid(&self) -> Self {
        made!(self, model => model.valid())
    }

    fn materialize(self) -> Self {
        made!(self, model => model.materialize())
    }

    fn num_params(&self) -> usize {
        held!(self, model => Module::num_params(model))
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        held!(self, model => model.visit(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        made!(self, model => model.map(mapper))
    }
}

impl ModuleDisplayDefault for LanguageModel {
    fn content(&self, content: Content) -> Option<Content> {
        held!(self, model => ModuleDisplayDefault::content(model, content))
    }

    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for LanguageModel {}

impl fmt::Display for LanguageModel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&ModuleDisplay::format(self, DisplaySettings::default()))
    }
}
