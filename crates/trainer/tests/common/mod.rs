//! A small problem that every test of the loop can train in milliseconds: a two-layer network with dropout that learns
//! to tell which half of the input is larger.

#![allow(dead_code, reason = "each test program uses its part")]

use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    tensor::{DType, Device, Int, Tensor, TensorData, activation::relu},
    train::ClassificationOutput,
};
use lr_core::ScheduleConfig;
use optim_adaptive::{AdaptiveOptimizer, OptimizerConfig};
use trainer::{Callback, CallbackError, CheckpointPolicy, Flow, StepEvent, data::Loader};

pub const ITEMS: usize = 90;
pub const BATCH: usize = 16;
const WIDTH: usize = 8;

#[derive(Clone, Debug)]
pub struct Points {
    pub x: Tensor<2>,
    pub y: Tensor<1, Int>,
    /// Multiplies the loss: infinity on purpose.
    pub scale: f32,
    /// Adds a term that is 0 and whose gradient is not finite.
    pub steep: bool,
}

#[derive(Module, Debug)]
pub struct Net {
    first: Linear,
    norm: Option<BatchNorm>,
    dropout: Option<Dropout>,
    second: Linear,
}

impl Net {
    pub fn new(width: usize, device: &Device) -> Self {
        device.seed(7);
        trainer::stable_ids(Self {
            first: LinearConfig::new(WIDTH, width).init(device),
            norm: None,
            dropout: Some(DropoutConfig::new(0.2).init()),
            second: LinearConfig::new(width, 2).init(device),
        })
    }

    /// The same network without dropout.
    pub fn freeze_dropout(mut self) -> Self {
        self.dropout = None;
        self
    }

    /// The same network with batch norm.
    pub fn with_norm(mut self, device: &Device) -> Self {
        self.norm = Some(BatchNormConfig::new(self.first.weight.dims()[1]).init(device));
        trainer::stable_ids(self)
    }

    /// The same network with another second weight.
    pub fn map_second_weight(mut self, change: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        self.second.weight = self.second.weight.map(change);
        self
    }

    /// What it answers.
    pub fn logits(&self, batch: Points) -> Vec<f32> {
        self.forward(batch).output.into_data().try_into_vec().expect("floats")
    }

    pub fn norm(&self) -> Option<&BatchNorm> {
        self.norm.as_ref()
    }

    pub fn first_layer(&self) -> &Linear {
        &self.first
    }

    pub fn second_layer(&self) -> &Linear {
        &self.second
    }

    fn forward(&self, batch: Points) -> ClassificationOutput {
        // For a step in bf16, as `trainer::precision` says; nothing in f32.
        let hidden = self.first.forward(batch.x.cast(self.first.weight.dtype()));
        let dtype = hidden.dtype();
        let hidden = match &self.norm {
            Some(norm) => norm.forward(hidden.cast(norm.gamma.dtype())).cast(dtype),
            None => hidden,
        };
        let hidden = relu(hidden);
        let hidden = match &self.dropout {
            Some(dropout) => dropout.forward(hidden),
            None => hidden,
        };
        let logits = self.second.forward(hidden).cast(DType::F32);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), batch.y.clone());
        let mut loss = loss.mul_scalar(batch.scale);
        if batch.steep {
            loss = loss + (logits.clone().sum() * 0.0).sqrt();
        }
        ClassificationOutput::new(loss, logits, batch.y)
    }
}

trainer::steps!(Net::forward(Points) -> ClassificationOutput);

/// flex's random generator is one for the whole process: a test whose numbers matter holds this while it runs.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub fn device() -> Device {
    Device::flex().autodiff()
}

pub fn net() -> Net {
    Net::new(12, &device())
}

fn value(item: usize, feature: usize) -> f32 {
    let mixed = (item as u64 * 2_654_435_761 + feature as u64 * 40_503) % 1_000;
    mixed as f32 / 500.0 - 1.0
}

fn points(indices: &[usize], scale: f32, device: &Device) -> Points {
    let x: Vec<f32> = indices.iter().flat_map(|i| (0..WIDTH).map(|f| value(*i, f))).collect();
    let half = |i: usize, features: std::ops::Range<usize>| features.map(|f| value(i, f)).sum::<f32>();
    let y: Vec<i64> = indices.iter().map(|i| i64::from(half(*i, 0..4) > half(*i, 4..8))).collect();
    Points {
        x: Tensor::from_data(TensorData::new(x, [indices.len(), WIDTH]), device),
        y: Tensor::from_data(TensorData::new(y, [indices.len()]), device),
        scale,
        steep: false,
    }
}

pub fn points_of(indices: &[usize], device: &Device) -> Points {
    points(indices, 1.0, device)
}

pub fn train_data() -> Loader<Points> {
    let device = device();
    Loader::new(ITEMS, BATCH, move |indices, _| points(indices, 1.0, &device)).shuffled(3).workers(1)
}

/// As `train_data`, but the loss of the batch with item 5 is infinite.
pub fn poisoned_data() -> Loader<Points> {
    let device = device();
    Loader::new(ITEMS, BATCH, move |indices, _| {
        points(indices, if indices.contains(&5) { f32::INFINITY } else { 1.0 }, &device)
    })
    .shuffled(3)
}

/// As `train_data`, but the batch with item 5 has a finite loss whose gradient overflows.
pub fn steep_data() -> Loader<Points> {
    let device = device();
    Loader::new(ITEMS, BATCH, move |indices, _| {
        let mut batch = points(indices, 1.0, &device);
        if indices.contains(&5) {
            // sqrt has an infinite slope at 0; times 0 it adds nothing to the loss and NaN to the gradient.
            batch.steep = true;
        }
        batch
    })
    .shuffled(3)
}

pub fn valid_data() -> Loader<Points> {
    let device = device().inner();
    Loader::new(40, 16, move |indices, _| {
        let indices: Vec<usize> = indices.iter().map(|i| i + ITEMS).collect();
        points(&indices, 1.0, &device)
    })
}

pub fn optimizer(toml: &str) -> AdaptiveOptimizer {
    OptimizerConfig::from_toml_str(toml).expect("a good optimizer").init()
}

/// Checkpoints in this folder, of which none is kept for its value.
pub fn newest_only(directory: impl Into<std::path::PathBuf>) -> CheckpointPolicy {
    CheckpointPolicy { keep_best: String::new(), ..CheckpointPolicy::new(directory) }
}

/// The same at another rate.
pub fn optimizer_at(toml: &str, lr: f64) -> AdaptiveOptimizer {
    OptimizerConfig::from_toml_str(toml).expect("a good optimizer").with_lr(lr).init()
}

pub fn schedule(toml: &str) -> ScheduleConfig {
    ScheduleConfig::from_toml_str(toml).expect("a good schedule")
}

/// All parameters, bit for bit.
pub fn bits(model: &Net) -> Vec<u8> {
    let mut bits = Vec::new();
    for tensor in [model.first.weight.val(), model.second.weight.val()] {
        bits.extend_from_slice(tensor.inner().into_data().as_bytes());
    }
    for tensor in [&model.first.bias, &model.second.bias].into_iter().flatten() {
        bits.extend_from_slice(tensor.val().inner().into_data().as_bytes());
    }
    bits
}

/// Ends the run in order after a step, or does nothing.
pub struct StopAfter(pub Option<u64>);

impl Callback for StopAfter {
    fn name(&self) -> &'static str {
        "stop after"
    }
    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        Ok(if Some(event.step) == self.0 { Flow::Stop("on purpose".to_owned()) } else { Flow::Continue })
    }
}
