//! The finder's cost: a sweep of 100 iterations against 100 training steps of the same model, optimizer and batches in
//! `Trainer::fit` (no logging), as a ratio, in one run.
//!
//! `cargo bench -p anneal --bench finder` prints, per model, the median and the quartiles of the ratio over
//! interleaved pairs.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::time::Instant;

use anneal::{
    prelude::*,
    vision::{Augment, models::Classifier},
};
use burn::tensor::Device;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEPS: usize = 100;

struct Setup {
    model: Classifier,
    optimizer: OptimizerConfig,
    loader: Loader<ImageBatch>,
}

impl Setup {
    fn new(model: &str, batch_size: usize) -> Self {
        let device = Device::flex().autodiff();
        device.seed(1);
        // 28x28 images with content: what a step costs does not depend on what they show.
        let pixels = (0..2_048 * 784_usize).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
        let labels = (0..2_048_usize).map(|i| (i % 10) as u8).collect();
        let shape = anneal::vision::ImageShape { channels: 1, height: 28, width: 28 };
        let set = ImageSet::new(pixels, labels, shape, 10).expect("a set");
        let items = set.len();
        let batcher = anneal::vision::Batcher::new(set, &[0.5], &[0.5], Augment::default()).expect("a batcher");
        let at = device.clone();
        let assemble = move |indices: &[usize], epoch| batcher.batch(indices, epoch, 0, &at);
        Self {
            model: Classifier::named(model, shape, 10, &device).expect("a model"),
            optimizer: OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-4").expect("an optimizer"),
            loader: Loader::new(items, batch_size, assemble).shuffled(1),
        }
    }

    /// Seconds of a sweep of 100 points, whose rates stay low enough for it not to end early.
    fn sweep(&self) -> f64 {
        let config = LrFinderConfig { end_lr: 1e-3, num_it: STEPS - 1, ..LrFinderConfig::default() };
        let optimizer = self.optimizer.init();
        let began = Instant::now();
        let curve = LrFinder::new(config).run(&self.model, &optimizer, &self.loader).expect("sweeps");
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(curve.lrs.len(), STEPS);
        seconds
    }

    /// Seconds of 100 training steps, at the rate in the middle of the sweep.
    fn train(&self) -> f64 {
        let schedule = ScheduleConfig::from_toml_str("type = 'fixed'").expect("a schedule");
        let (model, optimizer) = (self.model.clone(), self.optimizer.clone().with_lr(1e-5).init());
        let began = Instant::now();
        Trainer::new(TrainConfig::steps(STEPS as u64))
            .fit(model, optimizer, schedule, &self.loader, None)
            .expect("trains");
        began.elapsed().as_secs_f64()
    }
}

fn main() {
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    for (name, batch_size, pairs) in [("mlp", 64, 31), ("mlp", 128, 31), ("lenet", 64, 15)] {
        let setup = Setup::new(name, batch_size);
        setup.train();
        let mut ratios: Vec<f64> = (0..pairs)
            .map(|pair| {
                // Alternating which goes first cancels a drift of the machine.
                if pair % 2 == 0 {
                    let trained = setup.train();
                    setup.sweep() / trained
                } else {
                    let swept = setup.sweep();
                    swept / setup.train()
                }
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |part: f64| ratios[(f64::from(pairs - 1) * part).round() as usize];
        println!(
            "{name} batch {batch_size}: sweep of {STEPS} / {STEPS} training steps = {:.3} (quartiles {:.3} to {:.3}, {pairs} pairs)",
            at(0.5),
            at(0.25),
            at(0.75),
        );
    }
}
