//! Language data, batches of windows and reference models: texts as tokens, `gpt` and `gru`.
//!
//! What lives here: a text as tokens ([`Corpus`], [`Vocabulary`]), one that needs no file ([`ReversalConfig`]), its windows as
//! batches ([`Windows`]), the networks of the field ([`models`]), what is measured of them ([`FromLoss`], [`ExactMatch`]), and
//! text drawn from them ([`generate`]). What it may know: burn, files of text, and how settings are read. What it must
//! not know: a training loop, an optimizer, a learning rate.
//!
//! Nothing here chooses a device: every function that makes a tensor takes one. Parameters of a new model are drawn at
//! once, in order, from the device's generator, so `device.seed(s)` before the constructor fixes them. What is random
//! otherwise, windows and generated text, is a function of a key.
//!
//! ```
//! use burn::tensor::Device;
//! use burn::train::TrainStep;
//! use text::models::{GptConfig, LanguageModel};
//! use text::{Corpus, Windows, generate};
//!
//! let corpus = Corpus::from_text("rhyme", "row, row, row your boat ".repeat(50))?;
//! let windows = Windows::drawn(&corpus, 0..1_000, 16, 4)?;
//! let device = Device::flex().autodiff();
//! let config = GptConfig { layers: 1, heads: 2, width: 16, ..GptConfig::default() };
//! let model = LanguageModel::new(&config.into(), corpus.vocabulary().len(), 16, &device)?;
//! let output = TrainStep::step(&model, windows.batch(&[0, 1, 2, 3], 0, 42, &device));
//! let loss: f32 = output.item.loss.into_scalar(); // nats for each token
//! assert!((loss - 10_f32.ln()).abs() < 0.3, "a new model gives its 10 tokens about the same chance: {loss}");
//! assert_eq!(generate(&model, corpus.vocabulary(), "row", 7, 1.0, 42)?.chars().count(), 7);
//! # Ok::<(), text::TextError>(())
//! ```

#[cfg(feature = "bpe")]
mod bpe;
mod corpus;
mod error;
mod generate;
mod metrics;
pub mod models;
mod reversal;
mod vocabulary;
mod windows;

#[cfg(feature = "bpe")]
pub use bpe::Bpe;
pub use corpus::{Corpus, Unit};
pub use error::TextError;
pub use generate::generate;
pub use metrics::{ExactMatch, ExactMatchInput, FromLoss, MeanLoss};
pub use reversal::ReversalConfig;
pub use vocabulary::{Characters, Vocabulary};
pub use windows::{TextBatch, Windows};
