//! A convolution, a batch norm and a linear layer: `Small` of crates/anneal/tests/python/torch_weights.py, which made
//! the files of `golden/weights`.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{fs, path::PathBuf};

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor, TensorData, activation::relu},
};

#[derive(Module, Debug)]
pub struct Small {
    pub conv: Conv2d,
    pub bn: BatchNorm,
    pub fc: Linear,
}

impl Small {
    /// For images of two channels, 4x4, as in the golden files.
    pub fn new(seed: u64) -> Self {
        Self::with_classes(seed, 3)
    }

    pub fn with_classes(seed: u64, classes: usize) -> Self {
        let device = Device::flex();
        device.seed(seed);
        trainer::stable_ids(Self {
            conv: Conv2dConfig::new([2, 2], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&device),
            bn: BatchNormConfig::new(2).init(&device),
            fc: LinearConfig::new(32, classes).init(&device),
        })
    }

    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.fc.forward(relu(self.bn.forward(self.conv.forward(images))).flatten::<2>(1, 3))
    }

    /// Every parameter and running statistic, bit for bit.
    pub fn bits(&self) -> Vec<Vec<u8>> {
        let mut collector = burn_store::Collector::new(None, None, false);
        self.visit(&mut collector);
        collector.into_tensors().iter().map(|tensor| tensor.to_bytes().expect("bytes").to_vec()).collect()
    }
}

/// A file of `golden/weights`.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights").join(name)
}

/// A tensor of `small.json`.
fn numbers(json: &serde_json::Value) -> TensorData {
    let list = |name: &str| json[name].as_array().expect("an array").clone();
    let shape: Vec<usize> = list("shape").iter().map(|size| size.as_u64().expect("a size") as usize).collect();
    let values: Vec<f32> = list("values").iter().map(|value| value.as_f64().expect("a number") as f32).collect();
    TensorData::new(values, shape)
}

/// The golden inputs, and torch's logits for them.
pub fn inputs_and_logits() -> (Tensor<4>, Vec<f32>) {
    let text = fs::read_to_string(golden("small.json")).expect("the golden file");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let logits = numbers(&json["logits"]).try_into_vec::<f32>().expect("floats");
    (Tensor::from_data(numbers(&json["inputs"]), &Device::flex()), logits)
}
