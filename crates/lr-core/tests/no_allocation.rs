//! A step allocates nothing, for any strategy, alone or in a hundred groups.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lr_core::{Horizon, Registry, ScheduleConfig, Scheduler};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `alloc` above was the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(of: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    of();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))) > 0);
}

#[test]
fn a_step_allocates_nothing() {
    // The record of a running product grows; the issue of costs sets formulas apart.
    for entry in Registry::standard().iter().filter(|entry| entry.name() != "multiplicative") {
        let config = ScheduleConfig::from_toml_str(entry.example()).expect(entry.name());
        let base_lrs = (1..=100).map(|group| 0.1 / f64::from(group)).collect();
        let mut scheduler = Scheduler::from_config(&config, &Horizon::run(10, 1_000), base_lrs).expect(entry.name());
        let count = allocations(|| {
            for step in 0..2_000 {
                for group in 0..100 {
                    std::hint::black_box(scheduler.lr(group, step));
                }
                std::hint::black_box(scheduler.momentum(step));
                scheduler.observe(step, 1.0);
            }
        });
        assert_eq!(count, 0, "{}", entry.name());
    }
}
