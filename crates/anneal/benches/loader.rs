//! What the data path delivers beside what training consumes: images per second of the whole loader (order, batches,
//! augmentation, tensors, threads) at batch 64, and of full training steps of `lenet` on the same images.
//!
//! `cargo bench -p anneal --bench loader`. MNIST where `ANNEAL_DATA_DIR` has it, else noise of its shape.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::time::{Duration, Instant};

use anneal::{
    prelude::*,
    trainer::data::{Loader, Source},
    vision::{self, Augment, ImageShape, models::Classifier},
};
use burn::{optim::AdamConfig, tensor::Device, train::TrainStep};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;
const AUGMENTATIONS: [&str; 4] = ["none", "crop", "rotate+shift", "shear+scale+rotate"];

fn mnist() -> (&'static str, ImageSet) {
    vision::load("mnist", None).map_or_else(
        |_| {
            let shape = ImageShape::new(1, 28, 28);
            let noise = (0..60_000 * shape.pixels()).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
            ("noise", ImageSet::new(noise, vec![0; 60_000], shape, 10).unwrap())
        },
        |mnist| ("MNIST", mnist.train),
    )
}

/// Images per second, of the clock and of processor time (all threads), while an epoch is repeated.
#[derive(Clone, Copy)]
struct Rate {
    clock: f64,
    /// Steadier where other programs run too; `None` where the system does not tell.
    processor: Option<f64>,
}

/// Seconds of processor time that this process has had, in steps of a hundredth (Linux).
fn processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold anything; the times are fields 14 and 15 of the line.
    let fields: Vec<f64> =
        stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    Some((fields.get(11)? + fields.get(12)?) / 100.0)
}

/// Over whole epochs, for at least two seconds.
fn rate(mut epoch: impl FnMut(u64) -> usize) -> Rate {
    let (start, before, mut images, mut number) = (Instant::now(), processor(), 0, 0);
    while start.elapsed() < Duration::from_secs(2) {
        images += epoch(number);
        number += 1;
    }
    let clock = images as f64 / start.elapsed().as_secs_f64();
    let spent = processor().zip(before).map(|(after, before)| after - before);
    Rate { clock, processor: spent.map(|spent| images as f64 / spent.max(0.01)) }
}

fn main() {
    let (name, images) = mnist();
    let device = Device::flex().autodiff();
    let loader = |augment: &str, workers: usize, images: &ImageSet| {
        let augment = Augment::parse(augment).unwrap();
        let batcher = vision::Batcher::new(images.clone(), &[0.1307], &[0.3081], augment).unwrap();
        let device = device.clone();
        Loader::new(images.len(), BATCH, move |indices, epoch| batcher.batch(indices, epoch, 42, &device))
            .shuffled(42)
            .workers(workers)
    };

    let part = images.take(BATCH * 40);
    let mut model = Some(Classifier::named("lenet", images.shape(), 10, &device).unwrap());
    let mut optimizer = AdamConfig::new().init();
    let source = loader("none", 1, &part);
    let trained = rate(|epoch| {
        let mut seen = 0;
        for batch in source.epoch(epoch, 0) {
            let batch = batch.unwrap();
            let current = model.take().unwrap();
            let output = TrainStep::step(&current, batch.input);
            model = Some(optimizer.step(1e-3, current, output.grads));
            seen += batch.items;
        }
        seen
    });
    println!("{name}, batch {BATCH}");
    let of_processor = |rate: Rate| rate.processor.map_or_else(|| "?".to_owned(), |rate| format!("{rate:.0}"));
    println!("lenet trains {:.0} images/s, {} per second of processor time", trained.clock, of_processor(trained));
    println!("{:<20} {:>7} {:>10} {:>8} {:>22}", "augment", "workers", "images/s", "x lenet", "per processor second");
    for augment in AUGMENTATIONS {
        for workers in [0, 1, 2] {
            let source = loader(augment, workers, &images);
            let delivered = rate(|epoch| source.epoch(epoch, 0).map(|batch| batch.unwrap().items).sum());
            let (clock, times, per_processor) =
                (delivered.clock, delivered.clock / trained.clock, of_processor(delivered));
            println!("{augment:<20} {workers:>7} {clock:>10.0} {times:>8.1} {per_processor:>22}");
        }
    }
}
