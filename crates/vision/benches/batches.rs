//! What a batch costs on the host: images per second of one thread, with and without augmentation, beside what a
//! training step consumes (`lenet` at 28x28: some 8,000 images per second on two cores).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use divan::{Bencher, counter::ItemsCount};
use vision::{Augment, Batcher, ImageSet, ImageShape};

const BATCH: usize = 128;

fn main() {
    divan::main();
}

/// A batcher over 10,000 images of noise, and the positions of a batch scattered over them.
fn setup(shape: ImageShape, augment: &str) -> (Batcher, Vec<usize>) {
    let images = 10_000;
    let pixels = (0..images * shape.pixels()).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let set = ImageSet::new(pixels, vec![0; images], shape, 10).unwrap();
    let (mean, std) = (vec![0.5; shape.channels], vec![0.25; shape.channels]);
    let batcher = Batcher::new(set, &mean, &std, Augment::parse(augment).unwrap()).unwrap();
    (batcher, (0..BATCH).map(|i| i * 7919 % images).collect())
}

fn assemble(bencher: Bencher<'_, '_>, shape: ImageShape, augment: &str) {
    let (batcher, indices) = setup(shape, augment);
    let mut epoch = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        epoch += 1;
        batcher.assemble(&indices, epoch, 42)
    });
}

#[divan::bench(args = ["none", "crop", "rotate+shift", "shear+scale+rotate"])]
fn grey_28x28(bencher: Bencher<'_, '_>, augment: &str) {
    assemble(bencher, ImageShape::new(1, 28, 28), augment);
}

#[divan::bench(args = ["none", "crop+flip", "crop+flip+cutout"])]
fn rgb_32x32(bencher: Bencher<'_, '_>, augment: &str) {
    assemble(bencher, ImageShape::new(3, 32, 32), augment);
}
