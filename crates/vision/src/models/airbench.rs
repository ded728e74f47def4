//! `airbench`: the network of the fastest CIFAR-10 runs, with a whitening layer.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, Linear};
use burn::tensor::{Tensor, TensorData};
use cpu_kernels::{conv2d, gelu, linear, max_pool2d};
use strict_config::{ConfigError, Settings, check, settings};

use super::architecture::{Architecture, ModelInfo, check_widths};
use super::layers::Layers;
use super::precision::{like, normalised};
use super::whitening::whitening_filters;
use crate::batch::Batcher;
use crate::classification_steps;

/// The factor on the logits.
const SCALE: f32 = 1.0 / 9.0;

/// Height and width of the patches that are whitened.
const PATCH: usize = 2;

/// The share of a batch in batch norm's running statistics: they follow fast, because a run is short.
const MOMENTUM: f64 = 0.4;

settings! {
    /// The settings of an [`Airbench`].
    #[derive(Eq)]
    pub struct AirbenchConfig {
        /// Channels of the blocks, each of which halves height and width: 1 to 8 blocks. Default: 64, 256, 256.
        pub widths: Vec<usize> = vec![64, 256, 256],
        /// Whether the first layer whitens; without it, it is a convolution of the same size that is drawn as torch's and
        /// trained. Default: yes.
        pub whiten: bool = true,
        /// Whether the 3x3 convolutions begin as the identity (torch's `dirac_`); without it they are drawn as torch's.
        /// Default: yes.
        pub dirac: bool = true,
    }
}

/// As many as an image of 511 pixels can be halved.
const MOST_BLOCKS: usize = 8;

impl Settings for AirbenchConfig {
    fn check(&self) -> Result<(), ConfigError> {
        check_widths("widths", &self.widths)?;
        let (blocks, allowed) = (self.widths.len(), format!("1 to {MOST_BLOCKS} blocks"));
        check::is_allowed("widths", format!("{blocks} blocks"), &allowed, (1..=MOST_BLOCKS).contains(&blocks))
    }
}

/// The network of K. Jordan's airbench94 (*94 % on CIFAR-10 in 3.29 seconds on a single GPU*, arXiv 2404.00498, 2024): a
/// whitening convolution and GELU; blocks of `conv 3x3 - max pool 2x2 - batch norm - GELU - conv 3x3 - batch norm - GELU`;
/// the maximum over what is left of the image; a linear layer without bias, times 1/9.
///
/// - **Whitening** (after T. van der Woude, *hlb-CIFAR10*, 2022): 2x2 without padding, `2 * 4 * channels` filters that are
///   computed from training images by [`Architecture::init_from`] and not trained; their bias starts at 0 and is.
///   Without that call they stay as torch's layer draws them. With `whiten = false` they are drawn so and trained.
/// - **Convolutions** have no bias. The first of a layer's filters, one for each of its inputs, pass that input on as it is
///   (torch's `dirac_`), so that a new network loses little of the image; the others, and with `dirac = false` all of
///   them, are drawn as torch's layer draws them.
/// - **Batch norm** has no trained scale; its running statistics move by 0.4 of the way with each batch, its epsilon is
///   1e-12.
///
/// A map of one pixel is not halved, so that images down to 2x2 work. At 32x32 the maps have 31, 15, 7 and 3 pixels a side.
#[derive(Module, Debug)]
pub struct Airbench {
    whiten: Conv2d,
    is_whitened: bool,
    blocks: Vec<Block>,
    pool: MaxPool2d,
    head: Linear,
}

/// `GELU(bn(conv(GELU(bn(pool(conv(x)))))))`.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
}

/// The first filters pass a channel on as it is, as many as there are channels.
fn dirac(conv: Conv2d) -> Conv2d {
    let weight = conv.weight.init_mapper(|drawn: Tensor<4>| {
        let [outputs, inputs, down, across] = drawn.dims();
        let passed = outputs.min(inputs);
        let mut filters = vec![0.0_f32; passed * inputs * down * across];
        for channel in 0..passed {
            filters[(channel * inputs + channel) * down * across + down / 2 * across + across / 2] = 1.0;
        }
        let filters = TensorData::new(filters, [passed, inputs, down, across]);
        let filters = Tensor::from_data(filters, &drawn.device());
        let others = outputs - passed;
        if others == 0 { filters } else { Tensor::cat(vec![filters, drawn.narrow(0, passed, others)], 0) }
    });
    Conv2d { weight, ..conv }
}

/// Whether a map of this height and width is halved.
fn is_halved(height: usize, width: usize) -> bool {
    height >= 2 && width >= 2
}

impl Block {
    fn new(index: usize, channels: usize, begins_as_identity: bool, layers: &mut Layers) -> Self {
        let path = |part| format!("blocks.{index}.{part}");
        let begin = |conv| if begins_as_identity { dirac(conv) } else { conv };
        let conv1 = begin(layers.conv(&path("conv1"), channels, 3, |conv| conv));
        if is_halved(layers.shape[1], layers.shape[2]) {
            layers.max_pool("pool");
        }
        let norm1 = layers.batch_norm_without_scale(&path("norm1"), MOMENTUM);
        let conv2 = begin(layers.conv(&path("conv2"), channels, 3, |conv| conv));
        Self { conv1, norm1, conv2, norm2: layers.batch_norm_without_scale(&path("norm2"), MOMENTUM) }
    }

    fn forward(&self, input: Tensor<4>, pool: &MaxPool2d) -> Tensor<4> {
        let flow = conv2d(&self.conv1, input);
        let [_, _, height, width] = flow.dims();
        let flow = if is_halved(height, width) { max_pool2d(pool, flow) } else { flow };
        let flow = gelu(normalised(&self.norm1, flow));
        gelu(normalised(&self.norm2, conv2d(&self.conv2, flow)))
    }
}

impl Architecture for AirbenchConfig {
    const INFO: ModelInfo = ModelInfo {
        name: "airbench",
        summary: "the fastest to 94 % on CIFAR-10: a whitening layer, three blocks of two convolutions (64, 256, 256)",
        source: "K. Jordan, 94 % on CIFAR-10 in 3.29 seconds on a single GPU, 2024 (airbench94)",
        dataset: "cifar10",
    };

    type Network = Airbench;

    fn least_side(&self) -> usize {
        PATCH
    }

    fn build(&self, classes: usize, layers: &mut Layers) -> Airbench {
        let whiten = layers.unpadded_conv("whiten", PATCH, self.whiten);
        let block = |(index, channels): (usize, &usize)| Block::new(index, *channels, self.dirac, layers);
        let blocks = self.widths.iter().enumerate().map(block).collect();
        layers.global("maximum", "global maximum");
        let head = layers.scaled_linear("head", classes, SCALE);
        Airbench { whiten, is_whitened: self.whiten, blocks, pool: MaxPool2dConfig::new([2, 2]).init(), head }
    }

    fn init_from(network: Airbench, images: &Batcher) -> Airbench {
        if !network.is_whitened {
            return network;
        }
        let filters = whitening_filters(images, PATCH);
        let weight = network.whiten.weight.map(|drawn| {
            Tensor::from_data(TensorData::new(filters, drawn.dims()), &drawn.device()).set_require_grad(false)
        });
        Airbench { whiten: Conv2d { weight, ..network.whiten }, ..network }
    }
}

impl Airbench {
    /// Logits, `(image, class)`, of images, `(image, channel, row, column)`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut flow = gelu(conv2d(&self.whiten, like(images, &self.whiten.weight)));
        for block in &self.blocks {
            flow = block.forward(flow, &self.pool);
        }
        let features = flow.flatten::<3>(2, 3).max_dim(2).squeeze_dim::<2>(2);
        linear(&self.head, features).mul_scalar(SCALE)
    }
}

classification_steps!(Airbench);
