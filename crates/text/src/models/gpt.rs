//! `gpt`: a transformer that reads from left to right.

use burn::module::Module;
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
};
use burn::tensor::{Device, Int, Tensor};
use cpu_kernels::{causal_attention, gelu, linear};
use strict_config::{ConfigError, Settings, check, settings};

use super::info::LanguageModelInfo;
use super::steps::language_steps;

settings! {
    /// The settings of a [`Gpt`].
    pub struct GptConfig {
        /// How many blocks. Default: 4.
        pub layers: usize = 4,
        /// How many heads the attention of each block has. Default: 4.
        pub heads: usize = 4,
        /// Numbers for each token, a multiple of `heads`. Default: 128.
        pub width: usize = 128,
        /// What share of the embeddings and of what each block adds is set to 0 in training. Default: 0.
        pub dropout: f64 = 0.0,
        /// Whether the output layer has the weights of the token embedding. Default: true.
        pub tied: bool = true,
    }
}

impl Settings for GptConfig {
    fn check(&self) -> Result<(), ConfigError> {
        check::at_least("layers", self.layers as u64, 1)?;
        check::at_least("heads", self.heads as u64, 1)?;
        let allowed = format!("a multiple of `heads` = {}", self.heads);
        let is_multiple = self.width > 0 && self.width.is_multiple_of(self.heads);
        check::is_allowed("width", self.width, &allowed, is_multiple)?;
        check::below_one("dropout", self.dropout)
    }
}

/// GPT-2 (Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019): token and place embeddings, then
/// `layers` times `x += attention(norm(x))`, `x += perceptron(norm(x))` (layer norm before each part, "pre-norm"), then norm
/// and a linear layer to one logit for each token.
///
/// Dropout is applied to the embeddings and to what attention and perceptron give, not to the weights of attention.
/// Parameters have the names of nanoGPT's, whose state dict an exported file is; with `tied` weights it holds
/// `transformer.wte.weight` alone, not the same again as `lm_head.weight`. Weights are drawn from `N(0, 0.02)`, those that write
/// into the sum of the blocks from `N(0, 0.02 / sqrt(2 layers))`; biases are 0.
#[derive(Module, Debug)]
pub struct Gpt {
    /// All but the output layer.
    pub transformer: Transformer,
    /// The output layer, where it has weights of its own: no bias.
    pub lm_head: Option<Linear>,
}

/// Embeddings and blocks.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Token embedding.
    pub wte: Embedding,
    /// Place embedding: one row for each place of a window.
    pub wpe: Embedding,
    /// On the sum of both.
    pub drop: Dropout,
    /// The blocks.
    pub h: Vec<Block>,
    /// The last norm.
    pub ln_f: LayerNorm,
}

/// `x += attention(norm(x))`, `x += perceptron(norm(x))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub ln_1: LayerNorm,
    /// What is taken from other places.
    pub attn: Attention,
    /// Before the perceptron.
    pub ln_2: LayerNorm,
    /// What is made of each place alone.
    pub mlp: Perceptron,
    /// On both sums' new part.
    pub drop: Dropout,
}

/// Causal self-attention with several heads.
#[derive(Module, Debug)]
pub struct Attention {
    /// Query, key and value of all heads, in one product.
    pub c_attn: Linear,
    /// From the heads to what is added.
    pub c_proj: Linear,
    /// How many heads.
    pub heads: usize,
}

/// `linear(gelu(linear(x)))`, four times as wide between.
#[derive(Module, Debug)]
pub struct Perceptron {
    /// To four times the width.
    pub c_fc: Linear,
    /// And back.
    pub c_proj: Linear,
}

fn layer(inputs: usize, outputs: usize, std: f64, device: &Device) -> Linear {
    let config = LinearConfig::new(inputs, outputs).with_bias(false).with_initializer(normal(std));
    Linear { bias: Some(Initializer::Zeros.init([outputs], device)), ..config.init(device) }
}

fn normal(std: f64) -> Initializer {
    Initializer::Normal { mean: 0.0, std }
}

/// The standard deviation of weights.
const STD: f64 = 0.02;
/// Added to the variance in layer norm, as in torch.
const EPSILON: f64 = 1e-5;

fn layer_norm(norm: &LayerNorm, flow: Tensor<2>) -> Tensor<2> {
    cpu_kernels::layer_norm(norm, EPSILON, flow)
}

impl GptConfig {
    /// What lists say about it.
    pub(super) const INFO: LanguageModelInfo = LanguageModelInfo {
        name: "gpt",
        summary: "transformer with layer norm before each part, 4 blocks of 4 heads, 128 wide unless `layers`, `heads`, `width` say otherwise",
        source: "Radford et al. 2019 (GPT-2); names as in nanoGPT",
    };

    /// How many numbers are learned; `None` where that cannot be counted.
    pub(super) fn parameters(&self, vocabulary: usize, context: usize) -> Option<usize> {
        let width = self.width;
        let matrix = |inputs: usize, outputs: usize| inputs.checked_mul(outputs)?.checked_add(outputs);
        let of_block = [
            matrix(width, width.checked_mul(3)?)?,
            matrix(width, width)?,
            matrix(width, width.checked_mul(4)?)?,
            matrix(width.checked_mul(4)?, width)?,
            width.checked_mul(4)?,
        ];
        let of_block = of_block.into_iter().try_fold(0, usize::checked_add)?;
        let embeddings =
            vocabulary.checked_mul(if self.tied { 1 } else { 2 })?.checked_add(context)?.checked_mul(width)?;
        of_block.checked_mul(self.layers)?.checked_add(embeddings)?.checked_add(width.checked_mul(2)?)
    }

    /// The network; its settings have been checked, its parameters are not drawn yet.
    pub(super) fn build(&self, vocabulary: usize, context: usize, device: &Device) -> Gpt {
        let width = self.width;
        let norm = || LayerNormConfig::new(width).with_epsilon(EPSILON).init(device);
        let embedding = |rows| EmbeddingConfig::new(rows, width).with_initializer(normal(STD)).init(device);
        let drop = || DropoutConfig::new(self.dropout).init();
        let into_sum = STD / (2.0 * self.layers as f64).sqrt();
        let block = |_| Block {
            ln_1: norm(),
            attn: Attention {
                c_attn: layer(width, 3 * width, STD, device),
                c_proj: layer(width, width, into_sum, device),
                heads: self.heads,
            },
            ln_2: norm(),
            mlp: Perceptron {
                c_fc: layer(width, 4 * width, STD, device),
                c_proj: layer(4 * width, width, into_sum, device),
            },
            drop: drop(),
        };
        let head = || LinearConfig::new(width, vocabulary).with_bias(false).with_initializer(normal(STD)).init(device);
        Gpt {
            transformer: Transformer {
                wte: embedding(vocabulary),
                wpe: embedding(context),
                drop: drop(),
                h: (0..self.layers).map(block).collect(),
                ln_f: norm(),
            },
            lm_head: (!self.tied).then(head),
        }
    }
}

impl Block {
    fn forward(&self, flow: Tensor<2>, windows: usize) -> Tensor<2> {
        let qkv = linear(&self.attn.c_attn, layer_norm(&self.ln_1, flow.clone()));
        let taken = linear(&self.attn.c_proj, causal_attention(qkv, windows, self.attn.heads));
        let flow = flow + self.drop.forward(taken);
        let made = linear(&self.mlp.c_fc, layer_norm(&self.ln_2, flow.clone()));
        let made = linear(&self.mlp.c_proj, gelu(made));
        flow + self.drop.forward(made)
    }
}

impl Gpt {
    /// How far back it reads: places in a window.
    pub fn context(&self) -> usize {
        self.transformer.wpe.weight.dims()[0]
    }

    /// Logits, `(window, place, token)`, of tokens, `(window, place)`: what comes after each.
    ///
    /// # Panics
    /// Windows longer than [`context`](Self::context).
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [windows, places] = tokens.dims();
        let of_token = self.transformer.wte.forward(tokens);
        let of_place = self.transformer.wpe.weight.val();
        let of_place = if places == self.context() { of_place } else { of_place.narrow(0, 0, places) };
        let flow = self.transformer.drop.forward(of_token + of_place.unsqueeze::<3>());
        let [_, _, width] = flow.dims();
        // One row for each token: the layers do not know windows, attention apart.
        let mut flow = flow.reshape([windows * places, width]);
        for block in &self.transformer.h {
            flow = block.forward(flow, windows);
        }
        let flow = layer_norm(&self.transformer.ln_f, flow);
        let logits = match &self.lm_head {
            Some(head) => linear(head, flow),
            None => flow.matmul(self.transformer.wte.weight.val().transpose()),
        };
        let [_, vocabulary] = logits.dims();
        logits.reshape([windows, places, vocabulary])
    }
}

language_steps!(Gpt);
