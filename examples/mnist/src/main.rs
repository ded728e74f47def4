//! MNIST: 99 % of the test images right after one epoch on a CPU. The whole run is on this page.
//!
//! `cargo run --release -p example-mnist -- [epochs]`, once `anneal data fetch mnist` has brought the data.

use std::process::ExitCode;

use anneal::vision::models::Classifier;
use anneal::{prelude::*, trainer::data::split, vision::Augment};
use burn::tensor::Device;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPTIMIZER: &str = "type = 'adam'\nlr = 1e-3";
/// Up to a high rate and down again, once. Another schedule is another line: put one of these in its place.
///   "type = 'fixed'"
///   "type = 'cosine_annealing'\ninterval = 'step'\nt_max = 'rest'\nwarmup = '10%'"
///   "type = 'cyclic'\nbase_lr = 1e-3\nmax_lr = 1e-2\nstep_size_up = '10%'"
const SCHEDULE: &str = "type = 'one_cycle'\nmax_lr = 1e-2";
const SEED: u64 = 42;

fn run(epochs: u64) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    device.seed(SEED);

    // Data: a twentieth of the training images is held out to look at while training; the test images come last.
    let mnist = anneal::vision::load("mnist", None).map_err(anneal::Error::Data)?;
    let (train, valid) = split(mnist.train.len(), 0.05, SEED);
    let loader = |images: ImageSet, batch_size, device: Device| -> Result<_, Box<dyn std::error::Error>> {
        let batcher = mnist.batcher(images.clone(), Augment::NONE)?;
        Ok(Loader::new(images.len(), batch_size, move |indices, epoch| batcher.batch(indices, epoch, SEED, &device)))
    };
    let train = loader(mnist.train.subset(&train), 64, device.clone())?.shuffled(SEED).workers(1);
    let valid = loader(mnist.train.subset(&valid), 500, device.clone().inner())?;
    let test = loader(mnist.test.clone(), 500, device.clone().inner())?;

    let model = Classifier::named("convnet", mnist.shape(), 10, &device)?;
    model.layers().iter().for_each(|layer| println!("{layer}"));

    let optimizer = OptimizerConfig::from_toml_str(OPTIMIZER)?;
    let schedule = ScheduleConfig::from_toml_str(SCHEDULE)?;

    let fitted = Trainer::new(TrainConfig::epochs(epochs))
        .metric(AccuracyMetric::new())
        .callback(Progress::new())
        .fit(model, optimizer.init(), schedule, &train, Some(&valid))?;
    println!("{}", fitted.report);
    println!("test {:?}", evaluate(fitted.eval_model(), &test, AccuracyMetric::new())?);
    Ok(())
}

fn main() -> ExitCode {
    let epochs = std::env::args().nth(1).map_or(Ok(1), |epochs| epochs.parse());
    exit_code(epochs.map_err(|error| format!("epochs: {error}").into()).and_then(run))
}
