//! CIFAR-10 on one page: crops and flips, label smoothing, one cycle, an average of the weights.
//!
//! `cargo run --release -p example-cifar10 -- [epochs]`, once `anneal data fetch cifar10` has brought the data;
//! `cargo run --release -p example-cifar10 -- [epochs] cifar10-part` on a part of it.

use std::process::ExitCode;

use anneal::trainer::{Ema, data::split};
use anneal::vision::models::{Classifier, ConvNetConfig};
use anneal::{prelude::*, vision::Augment};
use burn::tensor::Device;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPTIMIZER: &str = "type = 'sgd'\nlr = 0.1\nmomentum = 0.9\nnesterov = true\nweight_decay = 5e-4";
/// Up to a high rate and down again, once. Another schedule is another line: put one of these in its place.
///   "type = 'fixed'"
///   "type = 'cosine_annealing'\ninterval = 'step'\nt_max = 'rest'\nwarmup = '10%'"
///   "type = 'step'\nstep_size = 5\ngamma = 0.1"
const SCHEDULE: &str = "type = 'one_cycle'\nmax_lr = 0.2\npct_start = 0.25";
const SEED: u64 = 42;

fn run(epochs: u64, dataset: &str) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    device.seed(SEED);

    // Data: a twentieth of the training images is held out to look at while training; the test images come last.
    let cifar = anneal::vision::load(dataset, None).map_err(anneal::Error::Data)?;
    let (train, valid) = split(cifar.train.len(), 0.05, SEED);
    let loader = |images: ImageSet, batch_size, augment, device: Device| -> Result<_, Box<dyn std::error::Error>> {
        let batcher = cifar.batcher(images.clone(), augment)?;
        Ok(Loader::new(images.len(), batch_size, move |indices, epoch| batcher.batch(indices, epoch, SEED, &device)))
    };
    let augment = Augment::parse("crop:4+flip")?;
    let train = loader(cifar.train.subset(&train), 128, augment, device.clone())?.shuffled(SEED).workers(1);
    let valid = loader(cifar.train.subset(&valid), 500, Augment::NONE, device.clone().inner())?;
    let test = loader(cifar.test.clone(), 500, Augment::NONE, device.clone().inner())?;

    let config = ConvNetConfig { residual: true, ..ConvNetConfig::default() };
    let model = Classifier::new(config, cifar.shape(), cifar.classes.len(), &device)?.with_label_smoothing(0.1)?;
    model.layers().iter().for_each(|layer| println!("{layer}"));

    let optimizer = OptimizerConfig::from_toml_str(OPTIMIZER)?;
    let schedule = ScheduleConfig::from_toml_str(SCHEDULE)?;

    let config = TrainConfig { ema: Some(Ema::new(0.99)), ..TrainConfig::epochs(epochs) };
    let fitted = Trainer::new(config).metric(AccuracyMetric::new()).callback(Progress::new()).fit(
        model,
        optimizer.init(),
        schedule,
        &train,
        Some(&valid),
    )?;
    println!("{}", fitted.report);
    println!("{}: test {:?}", cifar.name, evaluate(fitted.eval_model(), &test, AccuracyMetric::new())?);
    Ok(())
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let epochs = args.next().map_or(Ok(20), |epochs| epochs.parse());
    let dataset = args.next().unwrap_or_else(|| "cifar10".to_owned());
    exit_code(epochs.map_err(|error| format!("epochs: {error}").into()).and_then(|epochs| run(epochs, &dataset)))
}
