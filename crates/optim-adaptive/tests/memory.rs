//! What a step allocates: no buffer of a parameter's size once the state is there, whoever shares the parameter.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use burn::tensor::{DType, Tensor};
use common::{Two, config, devices, ours_and, tensor};

/// The system's allocator, counting.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn count(change: isize) {
    let held = HELD.fetch_add(change, Ordering::SeqCst) + change;
    PEAK.fetch_max(held, Ordering::SeqCst);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Further states that an optimizer can have.
const VARIANTS: &[&str] = &[
    "type = 'adam'\namsgrad = true",
    "type = 'rmsprop'\ncentered = true\nmomentum = 0.9",
    "type = 'sgd'\nmomentum = 0.9",
];

/// One test, because the counters are the process's.
#[test]
fn a_step_needs_no_memory_beyond_parameters_gradients_and_state() {
    const ELEMENTS: usize = 1 << 20;
    const BYTES: isize = 4 * ELEMENTS as isize;
    for (name, device) in devices() {
        for text in &ours_and(VARIANTS) {
            for shared in [false, true] {
                let mut optimizer = config(text).init();
                let wave: Vec<f64> = (0..ELEMENTS).map(|i| (i as f64 * 0.1).sin()).collect();
                let mut model = Two::new(
                    Tensor::from_data(tensor(&wave, [1024, 1024], DType::F32, &device).into_data(), &device) * 1.0,
                    tensor(&[0.0], [1], DType::F32, &device),
                );
                for step in 0..4 {
                    let grad = tensor(&wave, [1024, 1024], DType::F32, &device) * 0.5;
                    let grads = model.grads(Some(grad), None);
                    // burn-train's Learner holds the model a second time.
                    let second = shared.then(|| model.clone());
                    let before = HELD.load(Ordering::SeqCst);
                    PEAK.store(before, Ordering::SeqCst);
                    model = optimizer.step(0.01, model, grads);
                    let extra = PEAK.load(Ordering::SeqCst) - before;
                    // The first steps make the state, and part it from the parameter it started as.
                    if step >= 2 {
                        assert!(
                            extra < BYTES / 16,
                            "{text} on {name}, shared: {shared}, step {step}: {extra} bytes at the peak"
                        );
                    }
                    drop(second);
                }
                // What a run is said to need before it starts is what is there.
                let state = optimizer.to_bytes().expect("a record").len() as isize;
                let told = config(text).state_per_parameter() as isize * BYTES;
                assert!((told..told + BYTES / 16).contains(&state), "{text}: {state} bytes of state, told {told}");
            }
        }
    }
}
