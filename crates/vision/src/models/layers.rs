//! The layers of a model, made and listed: the list is what `anneal list models` prints.

use std::fmt;

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::Device;

use crate::image_set::ImageShape;

/// One layer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its path in the module, as in a record: `conv1`, `layer2.0.conv1`.
    pub name: String,
    /// What it is: `conv 3x3, stride 2`, `batch norm`, `linear`.
    pub kind: String,
    /// The shape of what comes out of it, for one image.
    pub output: Vec<usize>,
    /// How many numbers in it are learned.
    pub parameters: usize,
}

impl fmt::Display for Layer {
    /// `conv1  conv 5x5  8x28x28  208`, in columns.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.output.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        write!(out, "{:<26} {:<20} {shape:>12} {:>10}", self.name, self.kind, self.parameters)
    }
}

/// The sum over all layers.
pub fn total_parameters(layers: &[Layer]) -> usize {
    layers.iter().map(|layer| layer.parameters).fold(0, usize::saturating_add)
}

/// A product, or the largest number where it is larger: what a config asks for may be more than there are numbers for.
fn product(sizes: impl IntoIterator<Item = usize>) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// The most parameters of a network that is only listed. What has more is listed all the same, and made of layers of one
/// neuron: burn allocates some of a layer where it makes it.
pub(super) const MOST_LISTED: usize = 1 << 31;

/// Makes the layers of a network and lists them: in the order in which an image goes through them, whose shape it follows.
///
/// Paths must be those that the layers have in the network.
#[derive(Debug)]
pub struct Layers {
    device: Device,
    listed: Vec<Layer>,
    /// Whether the network is made for its list alone.
    lists_only: bool,
    /// The shape of an image after the last layer.
    pub shape: Vec<usize>,
}

impl Layers {
    pub(super) fn new(shape: ImageShape, device: &Device, lists_only: bool) -> Self {
        let shape = vec![shape.channels, shape.height, shape.width];
        Self { device: device.clone(), listed: Vec::new(), lists_only, shape }
    }

    /// Sizes of the layer just listed, or 1 for each where the network cannot be made and is only listed.
    fn sizes<const N: usize>(&self, sizes: [usize; N]) -> [usize; N] {
        if self.lists_only && total_parameters(&self.listed) > MOST_LISTED { [1; N] } else { sizes }
    }

    /// Where the parameters of the network are to be.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn list(&mut self, name: &str, kind: String, output: Vec<usize>, parameters: usize) {
        self.shape.clone_from(&output);
        self.listed.push(Layer { name: name.to_owned(), kind, output, parameters });
    }

    /// A square convolution without bias, padded so that one of odd size keeps the map's size for stride 1 and divides it,
    /// rounding up, for others; `adapt` may give it a stride, a bias or an initializer.
    pub fn conv(
        &mut self,
        name: &str,
        channels: usize,
        kernel: usize,
        adapt: impl FnOnce(Conv2dConfig) -> Conv2dConfig,
    ) -> Conv2d {
        let pad = kernel / 2;
        let inputs = self.shape[0];
        let config = Conv2dConfig::new([inputs, channels], [kernel, kernel])
            .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
            .with_bias(false);
        let mut config = adapt(config);
        let stride = config.stride[0];
        let bias = if config.bias { channels } else { 0 };
        let weights = product([inputs, channels, kernel, kernel]).saturating_add(bias);
        let output = vec![channels, self.shape[1].div_ceil(stride), self.shape[2].div_ceil(stride)];
        let stride = if stride == 1 { String::new() } else { format!(", stride {stride}") };
        self.list(name, format!("conv {kernel}x{kernel}{stride}"), output, weights);
        config.channels = self.sizes([inputs, channels]);
        config.init(&self.device)
    }

    /// A square convolution without padding, with `2 * channels * kernel^2` filters. As a whitening layer its filters are not
    /// trained; its bias is, and starts at 0.
    pub fn unpadded_conv(&mut self, name: &str, kernel: usize, whitens: bool) -> Conv2d {
        let filters = 2 * self.shape[0] * kernel * kernel;
        let config = Conv2dConfig::new([self.shape[0], filters], [kernel, kernel]);
        let (kind, trained) = if whitens { ("whitening", filters) } else { ("conv", filters * (filters / 2 + 1)) };
        let output = vec![filters, self.shape[1] + 1 - kernel, self.shape[2] + 1 - kernel];
        self.list(name, format!("{kind} {kernel}x{kernel}"), output, trained);
        let conv = config.init(&self.device);
        if !whitens {
            return conv;
        }
        let (weight, bias) = (conv.weight.set_require_grad(false), Initializer::Zeros.init([filters], &self.device));
        Conv2d { weight, bias: Some(bias), ..conv }
    }

    /// Batch norm: a scale and a shift for each channel.
    pub fn batch_norm(&mut self, name: &str) -> BatchNorm {
        let channels = self.shape[0];
        self.list(name, "batch norm".to_owned(), self.shape.clone(), channels.saturating_mul(2));
        let [channels] = self.sizes([channels]);
        BatchNormConfig::new(channels).init(&self.device)
    }

    /// Batch norm whose scale stays 1, with a trained shift for each channel and an epsilon of 1e-12; its running
    /// statistics move by `momentum` of the way with each batch.
    pub fn batch_norm_without_scale(&mut self, name: &str, momentum: f64) -> BatchNorm {
        let channels = self.shape[0];
        self.list(name, "batch norm, no scale".to_owned(), self.shape.clone(), channels);
        let [channels] = self.sizes([channels]);
        let config = BatchNormConfig::new(channels).with_momentum(momentum).with_epsilon(1e-12);
        let norm = config.init(&self.device);
        BatchNorm { gamma: norm.gamma.set_require_grad(false), ..norm }
    }

    /// Max pooling 2x2 with stride 2, which rounds down.
    pub fn max_pool(&mut self, name: &str) -> MaxPool2d {
        let output = vec![self.shape[0], self.shape[1] / 2, self.shape[2] / 2];
        self.list(name, "max pool 2x2".to_owned(), output, 0);
        MaxPool2dConfig::new([2, 2]).init()
    }

    /// One number for each channel, which the network computes by itself.
    pub fn global(&mut self, name: &str, kind: &str) {
        self.list(name, kind.to_owned(), vec![self.shape[0]], 0);
    }

    /// A fully connected layer over all values of an image.
    pub fn linear(&mut self, name: &str, width: usize) -> Linear {
        let inputs = product(self.shape.iter().copied());
        self.list(name, "linear".to_owned(), vec![width], inputs.saturating_add(1).saturating_mul(width));
        let [inputs, width] = self.sizes([inputs, width]);
        LinearConfig::new(inputs, width).init(&self.device)
    }

    /// A fully connected layer without bias, whose outputs the network multiplies by `scale`.
    pub fn scaled_linear(&mut self, name: &str, width: usize, scale: f32) -> Linear {
        let inputs = product(self.shape.iter().copied());
        self.list(name, format!("linear, times {scale}"), vec![width], inputs.saturating_mul(width));
        let [inputs, width] = self.sizes([inputs, width]);
        LinearConfig::new(inputs, width).with_bias(false).init(&self.device)
    }

    pub(super) fn finish(self) -> Vec<Layer> {
        self.listed
    }
}
