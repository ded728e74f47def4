//! What a batch takes from the allocator does not grow with the number of its images, augmented or not.

#![allow(clippy::unwrap_used, unsafe_code, reason = "a counting allocator cannot be without; a test may fail loudly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vision::{Augment, Batcher, ImageSet, ImageShape};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_batch_is_one_allocation() {
    let shape = ImageShape::new(3, 32, 32);
    let set = ImageSet::new(vec![7; 300 * shape.pixels()], vec![0; 300], shape, 2).unwrap();
    let indices: Vec<usize> = (0..256).collect();
    for augment in ["none", "crop+flip+cutout", "shear+scale+rotate+shift+crop+flip+cutout"] {
        let augment = Augment::parse(augment).unwrap();
        let batcher = Batcher::new(set.clone(), &[0.5; 3], &[0.25; 3], augment).unwrap();
        for images in [1, 16, 256] {
            let before = ALLOCATIONS.with(Cell::get);
            let batch = batcher.assemble(&indices[..images], 3, 42).unwrap();
            let taken = ALLOCATIONS.with(Cell::get) - before;
            assert_eq!((batch.len(), taken), (images * shape.pixels(), 1), "{augment}");
        }
    }
}
