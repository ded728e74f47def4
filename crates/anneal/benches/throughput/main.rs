//! Samples per second of full training steps (forward, backward, Adam), and where a step's time goes, operation by
//! operation. `peer.py` beside this file times the same in PyTorch and puts the two side by side:
//!
//! `just bench-throughput` (all of it), or alone: `cargo bench -p anneal --bench throughput -- --steps --profile`.
//!
//! `--peak` prints what the processor can do at most with `RAYON_NUM_THREADS` threads, in operations per second.
//! Prints one JSON object per line, so that the script can read it. `--device gpu --case resnet9:1024 --precision bf16` times
//! one case elsewhere. `--profile --case gpt:4096` times the operations of a language model, of which `--steps` knows nothing: the
//! benchmark `language` does.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

mod operations;
mod peak;

use std::{
    fs::File,
    time::{Duration, Instant},
};

use anneal::{
    device::DeviceName,
    prelude::*,
    trainer::Precision,
    vision::{ImageShape, models::Classifier},
};
use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Distribution, Int, Tensor, TensorData},
};
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
    case: Option<(String, usize)>,
    device: Device,
    /// How many calls at most are timed together, before the device is waited for: one on a CPU; more on a GPU, where the
    /// trainer rarely waits.
    block: usize,
    precision: Precision,
    /// A file whose lock is shared while kernels are compiled and tuned, and held alone while times are taken: programs
    /// that are given the same one warm up together and are timed one after the other.
    turn: Option<File>,
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
        let case = after("--case").map(|case| {
            let (model, batch) = case.split_once(':').expect("--case takes MODEL:BATCH");
            (model.to_owned(), batch.parse().expect("--case takes MODEL:BATCH"))
        });
        let device = after("--device").unwrap_or_else(|| "cpu".to_owned());
        let on_cpu = ["cpu", "flex", "ndarray"].contains(&device.as_str());
        let turn = after("--turn").map(|path| {
            let file = File::create(path).expect("--turn takes a file");
            file.lock_shared().expect("a lock");
            file
        });
        Self {
            steps: has("--steps") || !profile,
            profile,
            case,
            device: DeviceName::parse(&device, "--device").expect("a device").open().expect("the device"),
            block: if on_cpu { 1 } else { 10 },
            precision: if after("--precision").as_deref() == Some("bf16") { Precision::Bf16 } else { Precision::F32 },
            turn,
            seconds: after("--seconds").map_or(3.0, |text| text.parse().expect("--seconds takes a number")),
        }
    }

    fn cases(&self) -> Vec<(&str, usize)> {
        match &self.case {
            Some((name, batch)) => vec![(name, *batch)],
            None => CASES.into_iter().flat_map(|(model, _)| BATCHES.map(|batch| (model, batch))).collect(),
        }
    }

    /// Waits for the turn of this program, once it has warmed up.
    fn take_turn(&self) {
        if let Some(file) = &self.turn {
            file.unlock().and_then(|()| file.lock()).expect("a lock");
        }
    }

    /// Median seconds of one call, after two for warming up.
    fn median(&self, seconds: f64, mut call: impl FnMut()) -> f64 {
        let mut calls = |count: usize| {
            let began = Instant::now();
            (0..count).for_each(|_| call());
            self.device.sync().expect("the device");
            began.elapsed().as_secs_f64() / count as f64
        };
        calls(1);
        calls(1);
        self.take_turn();
        let block = ((seconds / 5.0 / calls(1)) as usize).clamp(1, self.block);
        let (began, budget) = (Instant::now(), Duration::from_secs_f64(seconds));
        let mut times = Vec::new();
        while times.len() < 5 || began.elapsed() < budget {
            times.push(calls(block));
        }
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    /// A training step as the trainer takes it, without what the trainer adds (the `overhead` benchmark tells that), and
    /// its two parts alone.
    fn step(&self, model: &str, batch: usize) -> Times {
        let device = &self.device;
        let (_, shape) = CASES.into_iter().find(|(name, _)| *name == model).expect("a model of images");
        device.seed(1);
        let images = Tensor::random([batch, shape.channels, shape.height, shape.width], Distribution::Default, device);
        let classes: Vec<i64> = (0..batch as i64).map(|image| image % 10).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(classes, [batch]), device);
        let input = || ImageBatch { images: images.clone(), targets: targets.clone() };
        let model = Classifier::named(model, shape, 10, device).expect("a model");
        let mut optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-3").expect("an optimizer").init();
        let mut current = Some(model);
        let step = self.median(self.seconds, || {
            let model = current.take().expect("the model");
            let output = self.precision.step(&model, input());
            let grads = output.grads;
            drop(output.item);
            current = Some(optimizer.step(1e-3, model, grads));
        });
        let model = current.take().expect("the model");
        let passes = self.median(self.seconds, || drop(self.precision.step(&model, input())));
        // The update alone, from gradients that stay as they are.
        let gradients = self.precision.step(&model, input()).grads;
        let mut current = Some(model);
        let update = self.median(self.seconds, || {
            let model = current.take().expect("the model");
            let mut again = Again { gradients: &gradients, copy: GradientsParams::new() };
            model.visit(&mut again);
            current = Some(optimizer.step(1e-3, model, again.copy));
        });
        Times { step, passes, update }
    }
}

/// Seconds of a step, of its forward and backward passes, and of its update.
struct Times {
    step: f64,
    passes: f64,
    update: f64,
}

/// The same gradients for another update, which takes them.
struct Again<'a> {
    gradients: &'a GradientsParams,
    copy: GradientsParams,
}

impl ModuleVisitor for Again<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.copy.register(param.id, gradient);
        }
    }
}

fn main() {
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    if std::env::args().any(|argument| argument == "--peak") {
        let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        println!("{}", json!({ "threads": threads, "peak": peak::measure(threads) }));
        return;
    }
    let asked = Asked::new();
    for (model, batch) in asked.cases() {
        if asked.steps {
            let Times { step, passes, update } = asked.step(model, batch);
            println!("{}", json!({ "model": model, "batch": batch, "step": step, "passes": passes, "update": update }));
        }
        if asked.profile {
            for operation in operations::of(model) {
                let time = asked.time(&operation, batch);
                println!("{}", json!({ "model": model, "batch": batch, "operation": operation, "time": time }));
            }
        }
    }
}
