//! What a checkpoint costs the training: by how much the step that follows it is later than the other steps.
//!
//! `cargo bench -p anneal --bench checkpoint` trains residual networks on batches of CIFAR's size with Adam and writes
//! a checkpoint every few steps, in the background and not. The stall is the time from one step's end to the next one's
//! where a checkpoint lies between, less the median of that time where none does: the snapshot, waiting for the write
//! before, and the copies that the next update makes because the snapshot still holds its buffers. On a machine that
//! does other work too the difference drowns in noise, and the time inside `save`, with the wait for the last write at
//! the end of the run spread over all, is the firmer figure. `... --bench checkpoint -- resnet18` runs one model alone.

#![allow(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use anneal::{
    prelude::*,
    trainer::{CallbackError, CheckpointPolicy, Flow, StepEvent},
    vision::{Augment, models::Classifier},
};
use burn::tensor::Device;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// When each step ended.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<Vec<Instant>>>);

impl Callback for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }
    fn on_step(&mut self, _event: &StepEvent) -> Result<Flow, CallbackError> {
        self.0.lock().expect("unpoisoned").push(Instant::now());
        Ok(Flow::Continue)
    }
}

fn loader(device: &Device, batch_size: usize) -> Loader<ImageBatch> {
    let shape = anneal::vision::ImageShape { channels: 3, height: 32, width: 32 };
    let pixels = (0..256 * 3_072_usize).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let labels = (0..256_usize).map(|i| (i % 10) as u8).collect();
    let set = ImageSet::new(pixels, labels, shape, 10).expect("a set");
    let items = set.len();
    let batcher = anneal::vision::Batcher::new(set, &[0.5; 3], &[0.5; 3], Augment::default()).expect("a batcher");
    let device = device.clone();
    Loader::new(items, batch_size, move |indices, epoch| batcher.batch(indices, epoch, 0, &device)).shuffled(1)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    // `cargo test --benches` runs benches with `--test`: nothing to do then.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    // (model, batch size, steps, steps between checkpoints)
    for (name, batch_size, steps, every) in [("resnet8", 32, 120, 6), ("resnet18", 4, 72, 12)] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let device = Device::flex().autodiff();
        device.seed(1);
        let shape = anneal::vision::ImageShape { channels: 3, height: 32, width: 32 };
        let Ok(model) = Classifier::named(name, shape, 10, &device) else {
            println!("{name}: not built in");
            continue;
        };
        let loader = loader(&device, batch_size);
        for background in [true, false] {
            let folder = std::env::temp_dir().join(format!("anneal-checkpoint-{}", std::process::id()));
            let policy = CheckpointPolicy {
                every: anneal::lr_core::Duration::Steps(every),
                keep_best: String::new(),
                background,
                ..CheckpointPolicy::new(&folder)
            };
            let config = TrainConfig { checkpoint: Some(policy), ..TrainConfig::steps(steps) };
            let schedule = ScheduleConfig::from_toml_str("type = 'fixed'").expect("a schedule");
            let optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-3").expect("an optimizer").init();
            let clock = Clock::default();
            let fitted = Trainer::new(config)
                .callback(clock.clone())
                .fit(model.clone(), optimizer, schedule, &loader, None)
                .expect("trains");
            std::fs::remove_dir_all(&folder).expect("removed");
            let ends = clock.0.lock().expect("unpoisoned").clone();
            let (mut with, mut without) = (Vec::new(), Vec::new());
            for (step, pair) in (1..).zip(ends.windows(2)) {
                let seconds = (pair[1] - pair[0]).as_secs_f64() * 1e3;
                // The first steps allocate.
                if step > 3 {
                    if step % every == 0 { with.push(seconds) } else { without.push(seconds) }
                }
            }
            let usual = median(without);
            let worst = with.iter().copied().fold(f64::NEG_INFINITY, f64::max) - usual;
            println!(
                "{name} ({} parameters), adam, batch {batch_size}, {}: stall {:.1} ms (medians of {} checkpoints), \
                 worst {worst:.1} ms; a step takes {usual:.1} ms; in `save` and \
                 waiting for the last write {:.2} ms each",
                fitted.report.parameters,
                if background { "in the background" } else { "at once" },
                median(with.clone()) - usual,
                with.len(),
                fitted.report.times.checkpoint * 1e3 / (with.len() + 1) as f64,
            );
        }
    }
}
