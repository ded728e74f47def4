//! `gru`: a recurrent network.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Int, Tensor};
use strict_config::{ConfigError, Settings, check, settings};

use super::info::LanguageModelInfo;
use super::steps::language_steps;

settings! {
    /// The settings of a [`Gru`].
    pub struct GruConfig {
        /// How many layers. Default: 2.
        pub layers: usize = 2,
        /// Numbers for each token, and in the state of each layer. Default: 256.
        pub width: usize = 256,
        /// What share of the numbers between two layers, and before the output layer, is set to 0 in training. Default: 0.
        pub dropout: f64 = 0.0,
    }
}

impl Settings for GruConfig {
    fn check(&self) -> Result<(), ConfigError> {
        check::at_least("layers", self.layers as u64, 1)?;
        check::at_least("width", self.width as u64, 1)?;
        check::below_one("dropout", self.dropout)
    }
}

/// Token embedding, `layers` gated recurrent layers (Cho et al., *Learning Phrase Representations using RNN
/// Encoder-Decoder*, 2014), a linear layer to one logit for each token. A window begins with a state of zeros.
///
/// An exported file is the state dict of torch's `Embedding` (`embedding`), a `ModuleList` of `GRU`s of one layer each (`rnn`,
/// with torch's names and gates) and a `Linear` (`head`). Weights are drawn as torch draws them: embeddings from `N(0, 1)`, the
/// rest from `U(-1/sqrt(width), 1/sqrt(width))`.
#[derive(Module, Debug)]
pub struct Gru {
    /// Token embedding.
    pub embedding: Embedding,
    /// The layers.
    pub rnn: Vec<GruLayer>,
    /// Between two layers and before the output layer.
    pub drop: Dropout,
    /// The output layer.
    pub head: Linear,
}

/// A gated recurrent layer, `h` its state and `x` its input (`sigma` the logistic function, `*` by element):
///
/// ```text
/// r = sigma(W_ir x + b_ir + W_hr h + b_hr)
/// z = sigma(W_iz x + b_iz + W_hz h + b_hz)
/// n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
/// h' = (1 - z) * n + z * h
/// ```
///
/// The weights of `r`, `z` and `n` stand below one another, as in torch.
#[derive(Module, Debug)]
pub struct GruLayer {
    /// Of the input: `(3 width, inputs)`.
    pub weight_ih_l0: Param<Tensor<2>>,
    /// Of the state: `(3 width, width)`.
    pub weight_hh_l0: Param<Tensor<2>>,
    /// Beside the input: `(3 width)`.
    pub bias_ih_l0: Param<Tensor<1>>,
    /// Beside the state: `(3 width)`.
    pub bias_hh_l0: Param<Tensor<1>>,
}

impl GruConfig {
    /// What lists say about it.
    pub(super) const INFO: LanguageModelInfo = LanguageModelInfo {
        name: "gru",
        summary: "gated recurrent units, 2 layers, 256 wide unless `layers`, `width` say otherwise",
        source: "Cho et al. 2014; gates as in torch",
    };

    /// How many numbers are learned; `None` where that cannot be counted.
    pub(super) fn parameters(&self, vocabulary: usize) -> Option<usize> {
        let width = self.width;
        let of_layer = width.checked_mul(6)?.checked_mul(width.checked_add(1)?)?;
        let ends = vocabulary.checked_mul(2)?.checked_mul(width)?.checked_add(vocabulary)?;
        of_layer.checked_mul(self.layers)?.checked_add(ends)
    }

    /// The network; its settings have been checked, its parameters are not drawn yet.
    pub(super) fn build(&self, vocabulary: usize, device: &Device) -> Gru {
        let width = self.width;
        let bound = 1.0 / (width as f64).sqrt();
        let uniform = Initializer::Uniform { min: -bound, max: bound };
        let layer = |_| GruLayer {
            weight_ih_l0: uniform.init([3 * width, width], device),
            weight_hh_l0: uniform.init([3 * width, width], device),
            bias_ih_l0: uniform.init([3 * width], device),
            bias_hh_l0: uniform.init([3 * width], device),
        };
        Gru {
            embedding: EmbeddingConfig::new(vocabulary, width).init(device),
            rnn: (0..self.layers).map(layer).collect(),
            drop: DropoutConfig::new(self.dropout).init(),
            head: LinearConfig::new(width, vocabulary).init(device),
        }
    }
}

impl GruLayer {
    /// The states after each input, `(window, width)` each, from the state `before`.
    fn forward(&self, inputs: &[Tensor<2>], before: Tensor<2>) -> Vec<Tensor<2>> {
        let of_input = (self.weight_ih_l0.val().transpose(), self.bias_ih_l0.val().unsqueeze::<2>());
        let of_state = (self.weight_hh_l0.val().transpose(), self.bias_hh_l0.val().unsqueeze::<2>());
        let mut state = before;
        let mut states = Vec::with_capacity(inputs.len());
        for input in inputs {
            let [_, width] = state.dims();
            let gates = |(weight, bias): &(Tensor<2>, Tensor<2>), of: &Tensor<2>| {
                let sums = of.clone().matmul(weight.clone()) + bias.clone();
                [0, 1, 2].map(|gate| sums.clone().narrow(1, gate * width, width))
            };
            let [reset_i, update_i, new_i] = gates(&of_input, input);
            let [reset_h, update_h, new_h] = gates(&of_state, &state);
            let reset = sigmoid(reset_i + reset_h);
            let update = sigmoid(update_i + update_h);
            let new = (new_i + reset * new_h).tanh();
            // (1 - z) n + z h
            state = new.clone() + update * (state - new);
            states.push(state.clone());
        }
        states
    }
}

impl Gru {
    /// Logits, `(window, place, token)`, of tokens, `(window, place)`: what comes after each.
    #[expect(clippy::needless_pass_by_value, reason = "as every layer of burn takes its input")]
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward_from(&tokens, &[]).0
    }

    /// As [`forward`](Self::forward), from the states of the layers after what came before (none: zeros); and the states after it.
    pub fn forward_from(&self, tokens: &Tensor<2, Int>, before: &[Tensor<2>]) -> (Tensor<3>, Vec<Tensor<2>>) {
        let [windows, places] = tokens.dims();
        // Place by place: the gradient of a slice is a tensor as large as the whole.
        let of_place = |place| {
            let tokens = tokens.clone().narrow(1, place, 1);
            self.embedding.forward(tokens).squeeze_dim::<2>(1)
        };
        let mut flow: Vec<Tensor<2>> = (0..places).map(of_place).collect();
        let weight = &self.embedding.weight;
        let [_, width] = weight.dims();
        let zeros = || Tensor::zeros([windows, width], (&weight.device(), weight.dtype()));
        let mut after = Vec::with_capacity(self.rnn.len());
        for (index, layer) in self.rnn.iter().enumerate() {
            let before = before.get(index).cloned().unwrap_or_else(zeros);
            let states = layer.forward(&flow, before.clone());
            after.push(states.last().cloned().unwrap_or(before));
            flow = states.into_iter().map(|state| self.drop.forward(state)).collect();
        }
        let logits = self.head.forward(Tensor::stack::<3>(flow, 1));
        (logits, after)
    }
}

language_steps!(Gru);
