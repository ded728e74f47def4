//! The allocator of the command: mimalloc, and an end with a message where the system has no more memory.

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

/// mimalloc keeps freed pages: the default allocator returns them to the system and faults them in again at each step.
///
/// Rust ends a process that cannot allocate by a signal, and libraries in C by a panic. This allocator says instead what
/// there was none of, and exits with 1. A run that ends so resumes as one that was killed.
pub(crate) struct Allocator;

/// Requests of so many bytes may fail as the caller likes: some ask whether there is room (`try_reserve`).
const MAY_FAIL: usize = 1 << 30;

// SAFETY: every request goes to mimalloc as it is, and what comes back goes to the caller as it is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are mimalloc's conditions.
        given(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { MiMalloc.realloc(pointer, layout, new_size) }, new_size)
    }
}

/// What was allocated, if anything was.
#[inline]
fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() && bytes < MAY_FAIL {
        out_of_memory(bytes)
    }
    pointer
}

/// Ends the process. Nothing here may allocate.
#[cold]
#[cfg(unix)]
fn out_of_memory(bytes: usize) -> ! {
    use std::{
        io::Write as _,
        sync::atomic::{AtomicBool, Ordering},
    };

    static ENDS: AtomicBool = AtomicBool::new(false);
    if ENDS.swap(true, Ordering::Relaxed) {
        // Another thread is telling it.
        loop {
            // SAFETY: it waits for a signal and touches no memory of ours.
            unsafe { libc::pause() };
        }
    }
    let mut text = [0_u8; 256];
    let mut rest = &mut text[..];
    let _ = writeln!(
        rest,
        "error: out of memory: the system gives no {bytes} bytes more to this process (ulimit -v, a memory limit of its \
         group, or a full machine); what was saved stays"
    );
    let length = 256 - rest.len();
    // SAFETY: `text` has that many bytes; and the process ends without running anything that might allocate.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), length);
        libc::_exit(1)
    }
}

#[cold]
#[cfg(not(unix))]
fn out_of_memory(_bytes: usize) -> ! {
    std::process::abort()
}
