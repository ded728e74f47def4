//! Reference models of language.
//!
//! What lives here: the networks, a file each, with their settings; [`LanguageModelConfig`], the settings of any of them;
//! [`LanguageModel`], which holds any of them behind one type; and the steps of training and of inference that burn-train
//! asks for. No optimizer, no rate, no loop.
//!
//! A constructor draws the parameters at once and in order from the generator of the device it is given (burn's own
//! layers draw them where they are first used), so `device.seed(s)` before it fixes them.

mod config;
mod gpt;
mod gru;
mod info;
mod language_model;
mod steps;

pub use config::{LanguageModelConfig, known};
pub use gpt::{Attention, Block, Gpt, GptConfig, Perceptron, Transformer};
pub use gru::{Gru, GruConfig, GruLayer};
pub use info::LanguageModelInfo;
pub use language_model::LanguageModel;
