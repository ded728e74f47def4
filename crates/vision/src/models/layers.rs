//! The table of a model's layers: what `anneal list models` prints.

use std::fmt;

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
    layers.iter().map(|layer| layer.parameters).sum()
}

/// The table of a model's layers under construction: it follows the shape of one image through them.
#[derive(Debug)]
pub struct LayerTable {
    layers: Vec<Layer>,
    /// The shape after the last layer.
    pub shape: Vec<usize>,
}

impl LayerTable {
    pub(super) fn new(shape: ImageShape) -> Self {
        Self { layers: Vec::new(), shape: vec![shape.channels, shape.height, shape.width] }
    }

    fn push(&mut self, name: &str, kind: String, output: Vec<usize>, parameters: usize) {
        self.shape.clone_from(&output);
        self.layers.push(Layer { name: name.to_owned(), kind, output, parameters });
    }

    /// A square convolution that keeps the size (for stride 1) or divides it, rounding up.
    pub fn conv(&mut self, name: &str, channels: usize, kernel: usize, stride: usize, bias: bool) {
        let weights = self.shape[0] * channels * kernel * kernel + if bias { channels } else { 0 };
        let output = vec![channels, self.shape[1].div_ceil(stride), self.shape[2].div_ceil(stride)];
        let stride = if stride == 1 { String::new() } else { format!(", stride {stride}") };
        self.push(name, format!("conv {kernel}x{kernel}{stride}"), output, weights);
    }

    /// Batch norm: a scale and a shift for each channel.
    pub fn batch_norm(&mut self, name: &str) {
        self.push(name, "batch norm".to_owned(), self.shape.clone(), 2 * self.shape[0]);
    }

    /// Max pooling 2x2 with stride 2, which rounds down.
    pub fn max_pool(&mut self, name: &str) {
        let output = vec![self.shape[0], self.shape[1] / 2, self.shape[2] / 2];
        self.push(name, "max pool 2x2".to_owned(), output, 0);
    }

    /// One number for each channel.
    pub fn global(&mut self, name: &str, kind: &str) {
        self.push(name, kind.to_owned(), vec![self.shape[0]], 0);
    }

    /// A fully connected layer over everything that flows.
    pub fn linear(&mut self, name: &str, width: usize) {
        let inputs: usize = self.shape.iter().product();
        self.push(name, "linear".to_owned(), vec![width], (inputs + 1) * width);
    }

    /// A fully connected layer without bias, times a constant.
    pub fn scaled_linear(&mut self, name: &str, width: usize, scale: f32) {
        let inputs: usize = self.shape.iter().product();
        self.push(name, format!("linear, times {scale}"), vec![width], inputs * width);
    }

    pub(super) fn finish(self) -> Vec<Layer> {
        self.layers
    }
}
