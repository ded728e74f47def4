//! Anneal as a framework: a model of your own, under a schedule of your own, on one page.
//!
//! `cargo run --release -p example-custom-model -- [epochs]`

use std::process::ExitCode;

use anneal::prelude::*;
use burn::{nn, tensor::activation::relu};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A model is any burn module ...
#[derive(Module, Debug)]
struct Net {
    hidden: nn::Linear,
    out: nn::Linear,
}

impl Net {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.out.forward(relu(self.hidden.forward(images.flatten::<2>(1, 3))))
    }
}

// ... whose logits are all that both of burn-train's steps need.
classification_steps!(Net);

/// A schedule is a pure function of time: here the rate falls with the square root of the epoch.
#[derive(Debug, Clone)]
struct InverseSquareRoot;

impl Schedule for InverseSquareRoot {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr / (1.0 + tick as f64).sqrt()
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let epochs = std::env::args().nth(1).map_or(Ok(15), |epochs| epochs.parse())?;
    let device = Device::flex().autodiff();
    device.seed(1);
    let digits = anneal::vision::load("digits", None)?;
    let loader = |set: &ImageSet, batch_size, device: Device| -> Result<_, Box<dyn std::error::Error>> {
        let batcher = digits.batcher(set.clone(), Augment::default())?;
        Ok(Loader::new(set.len(), batch_size, move |indices, epoch| batcher.batch(indices, epoch, 0, &device)))
    };
    let train = loader(&digits.train, 32, device.clone())?.shuffled(1).workers(1);
    let test = loader(&digits.test, 360, device.clone().inner())?;

    let layer = |inputs, outputs| nn::LinearConfig::new(inputs, outputs).init(&device);
    let model = Net { hidden: layer(64, 64), out: layer(64, 10) };
    let optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 3e-3")?;
    let schedule = ScheduleConfig::custom(InverseSquareRoot, Interval::Epoch);
    let fitted = Trainer::new(TrainConfig::epochs(epochs))
        .metric(AccuracyMetric::new())
        .callback(Progress::new())
        .fit(model, optimizer.init(), schedule, &train, None)?;
    println!("{}", fitted.report);
    println!("test {:?}", evaluate(fitted.eval_model(), &test, AccuracyMetric::new())?);
    Ok(())
}

fn main() -> ExitCode {
    exit_code(run())
}
