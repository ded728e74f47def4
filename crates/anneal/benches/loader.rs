//! What the data path delivers beside what training consumes: images per second of the whole loader (order, batches,
//! augmentation, tensors, threads) at batch 64, and of full training steps of `lenet` on the same images.
//!
//! `cargo bench -p anneal --bench loader`. MNIST where `ANNEAL_DATA_DIR` has it, else noise of its shape.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::time::{Duration, Instant};

use anneal::{
    prelude::*,
    trainer::data::{Loader, Source},
    vision::{
        self, Augment, ImageShape,
        models::{Classifier, ModelOptions},
    },
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

/// Images per second over whole epochs, for at least two seconds; the median of five such measurements.
fn rate(mut epoch: impl FnMut(u64) -> usize) -> f64 {
    let mut rates: Vec<f64> = (0..5)
        .map(|_| {
            let (start, mut images, mut number) = (Instant::now(), 0, 0);
            while start.elapsed() < Duration::from_millis(400) || number == 0 {
                images += epoch(number);
                number += 1;
            }
            images as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[2]
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
    let mut model = Some(Classifier::new("lenet", &ModelOptions::default(), images.shape(), 10, &device).unwrap());
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
    println!("lenet trains {trained:.0} images/s");
    println!("{:<22} {:>8} {:>14} {:>10}", "augment", "workers", "images/s", "x lenet");
    for augment in AUGMENTATIONS {
        for workers in [0, 1, 2] {
            let source = loader(augment, workers, &images);
            let delivered = rate(|epoch| source.epoch(epoch, 0).map(|batch| batch.unwrap().items).sum());
            println!("{augment:<22} {workers:>8} {delivered:>14.0} {:>10.1}", delivered / trained);
        }
    }
}
