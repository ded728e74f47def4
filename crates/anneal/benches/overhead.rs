//! The trainer's overhead: training steps per second of `Trainer::fit` against a bare burn loop of the same model,
//! optimizer, batches and order (no trainer, no logging), as a ratio, in one run.
//!
//! `cargo bench -p anneal --bench overhead` prints, per model, the median and the quartiles of the ratio over
//! interleaved pairs of runs. The hard case is the small MLP, whose step takes about a millisecond.
//!
//! `... --bench overhead -- mlp 64` runs that case alone; `-- mlp 64 bare` (or `trainer`) runs one of the two loops, ten
//! times: for a profiler, or to compare seconds of processor time where the machine does other work too.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::time::Instant;

use anneal::{
    prelude::*,
    vision::{Augment, models::Classifier},
};
use burn::{optim::GradientsParams, tensor::Device};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAIRS: usize = 15;
const STEPS: u64 = 300;
const CASES: [(&str, usize); 3] = [("mlp", 64), ("mlp", 128), ("lenet", 64)];

struct Setup {
    device: Device,
    model: Classifier,
    optimizer: OptimizerConfig,
}

fn set() -> ImageSet {
    // 28x28 images with content: what the loop costs does not depend on what they show.
    let pixels = (0..2_048 * 784_usize).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let labels = (0..2_048_usize).map(|i| (i % 10) as u8).collect();
    let shape = anneal::vision::ImageShape { channels: 1, height: 28, width: 28 };
    ImageSet::new(pixels, labels, shape, 10).expect("a set")
}

fn loader(setup: &Setup, batch_size: usize) -> Loader<ImageBatch> {
    let set = set();
    let items = set.len();
    let batcher = anneal::vision::Batcher::new(set, &[0.5], &[0.5], Augment::default()).expect("a batcher");
    let device = setup.device.clone();
    Loader::new(items, batch_size, move |indices, epoch| batcher.batch(indices, epoch, 0, &device)).shuffled(1)
}

/// Batches without end.
fn endless(loader: &Loader<ImageBatch>) -> impl Iterator<Item = ImageBatch> + '_ {
    (0..).flat_map(|epoch| loader.epoch(epoch, 0)).map(|batch| batch.expect("a batch").input)
}

fn bare(setup: &Setup, batch_size: usize) -> f64 {
    let loader = loader(setup, batch_size);
    let (mut model, mut optimizer) = (setup.model.clone(), setup.optimizer.init());
    let began = Instant::now();
    for batch in endless(&loader).take(STEPS as usize) {
        let output = TrainStep::step(&model, batch);
        let grads: GradientsParams = output.grads;
        drop(output.item);
        model = optimizer.step(1e-3, model, grads);
    }
    began.elapsed().as_secs_f64()
}

/// Seconds of a pass of its own over the gradients of a batch, which the trainer makes under `on_nonfinite = "skip"`.
fn look(setup: &Setup, batch_size: usize) -> f64 {
    let loader = loader(setup, batch_size);
    let batch = endless(&loader).next().expect("a batch");
    let mut grads = TrainStep::step(&setup.model, batch).grads;
    let times = (0..201).map(|_| {
        let began = Instant::now();
        let norm = anneal::optim_adaptive::clip_grad_norm_with(
            &setup.model,
            &mut grads,
            f64::MAX,
            anneal::optim_adaptive::NormType::L1,
            true,
        );
        assert!(norm.is_ok(), "finite");
        began.elapsed().as_secs_f64()
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn trained(setup: &Setup, batch_size: usize) -> f64 {
    let loader = loader(setup, batch_size);
    let folder = std::env::temp_dir().join(format!("anneal-overhead-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let log = anneal::trainer::callbacks::JsonLines::new(&folder.join("metrics.jsonl"));
    let schedule =
        ScheduleConfig::from_toml_str("type = 'one_cycle'\nmax_lr = 1e-3\ncycle_momentum = false").expect("a schedule");
    let (model, optimizer) = (setup.model.clone(), setup.optimizer.init());
    let began = Instant::now();
    Trainer::new(TrainConfig::steps(STEPS))
        .metric(AccuracyMetric::new())
        .callback(Progress::new())
        .callback(log)
        .fit(model, optimizer, schedule, &loader, None)
        .expect("trains");
    began.elapsed().as_secs_f64()
}

fn setup(model: &str) -> Setup {
    let device = Device::flex().autodiff();
    device.seed(1);
    let model = Classifier::named(model, set().shape(), 10, &device).expect("a model");
    let optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-3").expect("an optimizer");
    Setup { device, model, optimizer }
}

fn main() {
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [name, batch_size, which] = args.as_slice() {
        let (setup, batch_size) = (setup(name), batch_size.parse().expect("a batch size"));
        for _ in 0..10 {
            if which == "bare" {
                bare(&setup, batch_size)
            } else {
                trained(&setup, batch_size)
            };
        }
        return;
    }
    for (name, batch_size) in CASES {
        if args.len() == 2 && args != [name.to_owned(), batch_size.to_string()] {
            continue;
        }
        let setup = setup(name);
        bare(&setup, batch_size);
        let mut pairs: Vec<(f64, f64)> = Vec::new();
        for pair in 0..PAIRS {
            // Alternating which goes first cancels a drift of the machine.
            let (bare, trained) = if pair % 2 == 0 {
                let bare = bare(&setup, batch_size);
                (bare, trained(&setup, batch_size))
            } else {
                let trained = trained(&setup, batch_size);
                (bare(&setup, batch_size), trained)
            };
            pairs.push((bare, trained));
        }
        let mut ratios: Vec<f64> = pairs.iter().map(|(bare, trained)| trained / bare).collect();
        ratios.sort_by(f64::total_cmp);
        let mut bare_seconds: Vec<f64> = pairs.iter().map(|(bare, _)| *bare).collect();
        bare_seconds.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
        println!(
            "{name} batch {batch_size}: trainer / bare = {:.4} (quartiles {:.4} to {:.4}, {PAIRS} pairs of {STEPS} steps); bare {:.0} samples/s",
            at(&ratios, 0.5),
            at(&ratios, 0.25),
            at(&ratios, 0.75),
            (batch_size as u64 * STEPS) as f64 / at(&bare_seconds, 0.5),
        );
        let look = look(&setup, batch_size);
        let step = at(&bare_seconds, 0.5) / STEPS as f64;
        println!(
            "{name} batch {batch_size}: a pass of its own over the gradients would take {:.1} us, {:.2} % of a bare step",
            look * 1e6,
            look / step * 100.0
        );
    }
}
