//! `mlp`: fully connected layers over the numbers of a row and an embedding of each of its categories.

use any_network::drawn;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use burn::train::{InferenceStep, TrainOutput, TrainStep};
use strict_config::{ConfigError, Settings, check, settings};

use super::output::TableOutput;
use crate::rows::RowBatch;

/// What a network needs to know of a table: its inputs and its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Columns of numbers.
    pub numbers: usize,
    /// The number of categories of each column of categories, without the unknown one.
    pub categories: Vec<usize>,
    /// Outputs: a logit for each class, or one number.
    pub outputs: usize,
}

settings! {
    /// The settings of a [`TableMlp`].
    pub struct TableMlpConfig {
        /// Widths of the hidden layers; empty for a linear model. Default: 128, 64.
        pub hidden: Vec<usize> = vec![128, 64],
        /// The part of the hidden values that is dropped in training. Default: 0.
        pub dropout: f64 = 0.0,
        /// The width of every embedding. By default that of a column with `n` categories is `1.6 n^0.56`, rounded, and at most
        /// 600: the rule of thumb of fastai's tabular models.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub embedding: Option<usize> = None,
    }
}

/// More layers than anybody trains; each takes time in every step, whatever its width.
const MOST_LAYERS: usize = 1000;

impl Settings for TableMlpConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let found = format!("a list of {}", self.hidden.len());
        check::is_allowed("hidden", found, &format!("at most {MOST_LAYERS} layers"), self.hidden.len() <= MOST_LAYERS)?;
        for (at, &width) in self.hidden.iter().enumerate() {
            check::at_least(&format!("hidden[{at}]"), width as u64, 1)?;
        }
        check::below_one("dropout", self.dropout)?;
        self.embedding.map_or(Ok(()), |width| check::at_least("embedding", width as u64, 1))
    }
}

impl TableMlpConfig {
    /// The width of the embedding of a column with this many categories.
    pub fn embedding_width(&self, categories: usize) -> usize {
        let rule = (1.6 * (categories as f64).powf(0.56)).round() as usize;
        self.embedding.unwrap_or(rule.clamp(1, 600))
    }

    /// How many numbers such a network learns, and how many its layers make of a row; the largest number there is where a
    /// count is beyond all that can be counted.
    pub fn counts(&self, features: &Features) -> (usize, usize) {
        let widths = features.categories.iter().map(|&categories| self.embedding_width(categories));
        let embedded = widths.clone().fold(0, usize::saturating_add);
        let rows = features.categories.iter().map(|categories| categories.saturating_add(1));
        let mut parameters =
            rows.zip(widths).fold(0_usize, |sum, (rows, width)| sum.saturating_add(rows.saturating_mul(width)));
        let (mut inputs, mut made) = (features.numbers.saturating_add(embedded), embedded);
        for &width in self.hidden.iter().chain([&features.outputs]) {
            parameters = parameters.saturating_add(inputs.saturating_add(1).saturating_mul(width));
            made = made.saturating_add(width);
            inputs = width;
        }
        (parameters, made)
    }

    /// A network with its parameters drawn from the generator of `device`: embeddings from `N(0, 1)`, layers from
    /// `U(-1/sqrt(inputs), 1/sqrt(inputs))`, as torch's `Embedding` and `Linear`. The unknown category of every embedding
    /// starts at 0, and since no training row has it, it stays there.
    ///
    /// # Errors
    /// Settings out of their ranges.
    pub fn init(&self, features: &Features, device: &Device) -> Result<TableMlp, ConfigError> {
        self.check()?;
        let embedding =
            |&categories: &usize| EmbeddingConfig::new(categories + 1, self.embedding_width(categories)).init(device);
        let embeddings: Vec<Embedding> = features.categories.iter().map(embedding).collect();
        let embedded: usize = features.categories.iter().map(|&categories| self.embedding_width(categories)).sum();
        let mut inputs = features.numbers + embedded;
        let mut layers = Vec::with_capacity(self.hidden.len() + 1);
        for &width in self.hidden.iter().chain([&features.outputs]) {
            layers.push(LinearConfig::new(inputs, width).init(device));
            inputs = width;
        }
        let mut model = drawn(TableMlp { embeddings, layers, dropout: DropoutConfig::new(self.dropout).init() });
        model.embeddings = model.embeddings.into_iter().map(without_unknown).collect();
        Ok(model)
    }
}

/// With the vector of category 0 at 0.
fn without_unknown(embedding: Embedding) -> Embedding {
    Embedding {
        weight: embedding.weight.map(|weight| {
            let (device, [_, width]) = (weight.device(), weight.dims());
            // A leaf of its own: what is drawn is no history to differentiate.
            let is_learned = weight.is_require_grad();
            let weight = weight.detach().slice_assign([0..1, 0..width], Tensor::zeros([1, width], &device));
            weight.detach().set_require_grad(is_learned)
        }),
    }
}

/// `linear - ReLU - dropout - ... - linear` over the numbers of a row and the vectors of its categories, side by side.
#[derive(Module, Debug)]
pub struct TableMlp {
    /// For each column of categories a vector for each category; the first is that of unknown ones.
    pub embeddings: Vec<Embedding>,
    /// The layers; ReLU and dropout after all but the last.
    pub layers: Vec<Linear>,
    /// After every hidden layer, in training.
    pub dropout: Dropout,
}

impl TableMlp {
    /// Logits, `(row, class)`, or standardised numbers, `(row, 1)`, of standardised numbers, `(row, column)`, and codes of
    /// categories, `(row, column)`.
    pub fn forward(&self, numbers: Tensor<2>, categories: Tensor<2, Int>) -> Tensor<2> {
        let rows = numbers.dims()[0];
        let mut inputs = Vec::with_capacity(1 + self.embeddings.len());
        if numbers.dims()[1] > 0 {
            // The weights may be bf16; burn does not convert by itself.
            inputs.push(match self.layers.first() {
                Some(layer) => numbers.cast(layer.weight.dtype()),
                None => numbers,
            });
        }
        if !self.embeddings.is_empty() {
            for (embedding, codes) in self.embeddings.iter().zip(categories.split(1, 1)) {
                inputs.push(embedding.forward(codes).reshape([rows, embedding.weight.dims()[1]]));
            }
        }
        let mut flow = Tensor::cat(inputs, 1);
        for (index, layer) in self.layers.iter().enumerate() {
            flow = layer.forward(if index == 0 { flow } else { self.dropout.forward(relu(flow)) });
        }
        flow
    }
}

impl TrainStep for TableMlp {
    type Input = RowBatch;
    type Output = TableOutput;

    fn step(&self, batch: RowBatch) -> TrainOutput<TableOutput> {
        let output = InferenceStep::step(self, batch);
        let gradients = output.loss().clone().backward();
        TrainOutput::new(self, gradients, output)
    }
}

impl InferenceStep for TableMlp {
    type Input = RowBatch;
    type Output = TableOutput;

    fn step(&self, batch: RowBatch) -> TableOutput {
        let outputs = self.forward(batch.numbers, batch.categories);
        TableOutput::new(outputs, batch.targets)
    }
}
