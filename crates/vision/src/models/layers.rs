//! The table of a model's layers: what `anneal list models` prints.

use std::fmt;

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

/// A table under construction: knows the shape of what flows.
pub(crate) struct Table {
    layers: Vec<Layer>,
    pub(crate) shape: Vec<usize>,
}

impl Table {
    pub(crate) fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { layers: Vec::new(), shape: vec![channels, height, width] }
    }

    fn push(&mut self, name: &str, kind: String, output: Vec<usize>, parameters: usize) {
        self.shape.clone_from(&output);
        self.layers.push(Layer { name: name.to_owned(), kind, output, parameters });
    }

    /// A square convolution that keeps the size (for stride 1) or divides it, rounding up.
    pub(crate) fn conv(&mut self, name: &str, channels: usize, kernel: usize, stride: usize, bias: bool) {
        let weights = self.shape[0] * channels * kernel * kernel + if bias { channels } else { 0 };
        let output = vec![channels, self.shape[1].div_ceil(stride), self.shape[2].div_ceil(stride)];
        let stride = if stride == 1 { String::new() } else { format!(", stride {stride}") };
        self.push(name, format!("conv {kernel}x{kernel}{stride}"), output, weights);
    }

    pub(crate) fn batch_norm(&mut self, name: &str) {
        self.push(name, "batch norm".to_owned(), self.shape.clone(), 2 * self.shape[0]);
    }

    pub(crate) fn max_pool(&mut self, name: &str) {
        let output = vec![self.shape[0], self.shape[1] / 2, self.shape[2] / 2];
        self.push(name, "max pool 2x2".to_owned(), output, 0);
    }

    /// One number for each channel.
    pub(crate) fn global(&mut self, name: &str, kind: &str) {
        self.push(name, kind.to_owned(), vec![self.shape[0]], 0);
    }

    /// A fully connected layer over everything that flows.
    pub(crate) fn linear(&mut self, name: &str, width: usize) {
        let inputs: usize = self.shape.iter().product();
        self.push(name, "linear".to_owned(), vec![width], (inputs + 1) * width);
    }

    /// A fully connected layer without bias, times a constant.
    pub(crate) fn scaled_linear(&mut self, name: &str, width: usize, scale: f32) {
        let inputs: usize = self.shape.iter().product();
        self.push(name, format!("linear, times {scale}"), vec![width], inputs * width);
    }

    pub(crate) fn finish(self) -> Vec<Layer> {
        self.layers
    }
}
