//! Any of the models, behind one type.

use any_network::drawn;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::config::LanguageModelConfig;
use super::steps::language_steps;
use super::{Gpt, Gru};
use crate::error::TextError;

/// A model chosen at run time. As a burn module it is the model that it holds: parameters have the same paths
/// (`transformer.wte.weight`).
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
    pub fn new(
        config: &LanguageModelConfig,
        vocabulary: usize,
        context: usize,
        device: &Device,
    ) -> Result<Self, TextError> {
        config.check()?;
        let model = match config {
            LanguageModelConfig::Gpt(config) => Self::Gpt(config.build(vocabulary, context, device)),
            LanguageModelConfig::Gru(config) => Self::Gru(config.build(vocabulary, device)),
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

any_network::module_of_held!(LanguageModel, held, made, |self| made!(self, model => model.valid()));
