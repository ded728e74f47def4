//! Samples per second of full training steps (forward, backward, Adam), and where a step's time goes, operation by
//! operation. `peer.py` beside this file times the same in PyTorch and puts the two side by side:
//!
//! `just bench-throughput` (all of it), or alone: `cargo bench -p anneal --bench throughput -- --steps --profile`.
//!
//! Prints one JSON object per line, so that the script can read it.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

mod operations;

use std::time::{Duration, Instant};

use anneal::{
    prelude::*,
    vision::{ImageShape, models::Classifier},
};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CASES: [(&str, ImageShape); 6] = [
    ("mlp", ImageShape::new(1, 28, 28)),
    ("lenet", ImageShape::new(1, 28, 28)),
    ("convnet", ImageShape::new(1, 28, 28)),
    ("resnet8", ImageShape::new(3, 32, 32)),
    ("resnet9", ImageShape::new(3, 32, 32)),
    ("resnet18", ImageShape::new(3, 32, 32)),
];
const BATCHES: [usize; 2] = [64, 128];

/// What was asked for.
struct Asked {
    steps: bool,
    profile: bool,
    /// `lenet:64`; without it, every case.
    case: Option<String>,
    seconds: f64,
}

impl Asked {
    fn new() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        let after = |flag: &str| {
            let at = arguments.iter().position(|argument| argument == flag)?;
            arguments.get(at + 1).cloned()
        };
        let profile = has("--profile");
        Self {
            steps: has("--steps") || !profile,
            profile,
            case: after("--case"),
            seconds: after("--seconds").map_or(3.0, |text| text.parse().expect("--seconds takes a number")),
        }
    }

    fn cases(&self) -> impl Iterator<Item = (&'static str, ImageShape, usize)> + '_ {
        CASES
            .into_iter()
            .flat_map(|(model, shape)| BATCHES.map(|batch| (model, shape, batch)))
            .filter(|(model, _, batch)| self.case.as_ref().is_none_or(|case| *case == format!("{model}:{batch}")))
    }
}

/// Median seconds of one call, after two for warming up.
fn median(seconds: f64, mut call: impl FnMut()) -> f64 {
    call();
    call();
    let (began, budget) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut times = Vec::new();
    while times.len() < 5 || began.elapsed() < budget {
        let began = Instant::now();
        call();
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A training step as the trainer takes it, without what the trainer adds (the `overhead` benchmark tells that).
fn step(model: &str, shape: ImageShape, batch: usize, seconds: f64) -> f64 {
    let device = Device::flex().autodiff();
    device.seed(1);
    let images = Tensor::random([batch, shape.channels, shape.height, shape.width], Distribution::Default, &device);
    let classes: Vec<i64> = (0..batch as i64).map(|image| image % 10).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(classes, [batch]), &device);
    let model = Classifier::named(model, shape, 10, &device).expect("a model");
    let mut model = Some(model);
    let mut optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-3").expect("an optimizer").init();
    median(seconds, || {
        let current = model.take().expect("the model");
        let output = TrainStep::step(&current, ImageBatch { images: images.clone(), targets: targets.clone() });
        let grads = output.grads;
        drop(output.item);
        model = Some(optimizer.step(1e-3, current, grads));
    })
}

fn main() {
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let asked = Asked::new();
    for (model, shape, batch) in asked.cases() {
        if asked.steps {
            let seconds = step(model, shape, batch, asked.seconds);
            println!("{}", json!({ "model": model, "batch": batch, "step": seconds }));
        }
        if asked.profile {
            for operation in operations::of(model) {
                let seconds = operations::time(&operation, batch, asked.seconds / 10.0);
                println!("{}", json!({ "model": model, "batch": batch, "operation": operation, "time": seconds }));
            }
        }
    }
}
