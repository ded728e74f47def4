//! Training takes no more memory at its peak than with burn's own operations, and keeps what it has from step to step.

#![allow(clippy::expect_used, reason = "a test may fail loudly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use cpu_kernels::{batch_norm_relu, conv2d, max_pool2d};

/// The system's allocator, which counts the bytes that are taken.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Layer = fn(&Conv2d, &BatchNorm, Tensor<4>) -> Tensor<4>;

/// Bytes at the peak of each of four training steps, beyond those before the first.
fn peaks(layer: Layer, pool: fn(Tensor<4>) -> Tensor<4>) -> Vec<usize> {
    let device = Device::flex().autodiff();
    let layers: Vec<_> = [(3, 16), (16, 32), (32, 64)]
        .into_iter()
        .map(|(inputs, outputs)| {
            let conv = Conv2dConfig::new([inputs, outputs], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
            (conv.init(&device), BatchNormConfig::new(outputs).init(&device))
        })
        .collect();
    let images = Tensor::<4>::random([16, 3, 32, 32], Distribution::Default, &device);
    let before = NOW.load(Ordering::Relaxed);
    let step = || {
        PEAK.store(NOW.load(Ordering::Relaxed), Ordering::Relaxed);
        let flow = layers.iter().fold(images.clone(), |flow, (conv, norm)| pool(layer(conv, norm, flow)));
        let gradients = flow.mean().backward();
        assert!(layers[0].0.weight.val().grad(&gradients).is_some());
        PEAK.load(Ordering::Relaxed) - before
    };
    (0..4).map(|_| step()).collect()
}

#[test]
fn the_peak_is_not_above_burns() {
    let ours = peaks(
        |conv, norm, flow| batch_norm_relu(norm, conv2d(conv, flow)),
        |flow| max_pool2d(&MaxPool2dConfig::new([2, 2]).init(), flow),
    );
    let burns = peaks(
        |conv, norm, flow| relu(norm.forward(conv.forward(flow))),
        |flow| MaxPool2dConfig::new([2, 2]).init().forward(flow),
    );
    println!("peak of each step, bytes: ours {ours:?}, burn's {burns:?}");
    assert!(ours.iter().max() <= burns.iter().max(), "ours {ours:?}, burn's {burns:?}");
    // What threads keep is there after the first steps; which of them does what changes from step to step.
    assert!(ours[3] <= ours[0] + ours[0] / 4, "{ours:?}");
}
