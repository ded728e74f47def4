//! Memory that a thread keeps from one call to the next.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers on loan from the thread's store, given back when dropped.
pub(crate) struct Scratch<const N: usize>([Vec<f32>; N]);

/// Buffers of at least the given lengths; what is in them is left from earlier uses.
///
/// A thread keeps as many as a kernel has at once, each as long as the longest use of it.
pub(crate) fn take<const N: usize>(lengths: [usize; N]) -> Scratch<N> {
    Scratch(lengths.map(|length| {
        let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
        if buffer.len() < length {
            // Not `resize`, which would copy what is in it.
            buffer = vec![0.0; length];
        }
        buffer
    }))
}

impl<const N: usize> Scratch<N> {
    pub(crate) fn slices(&mut self) -> [&mut [f32]; N] {
        self.0.each_mut().map(Vec::as_mut_slice)
    }
}

impl Scratch<1> {
    pub(crate) fn first(&self) -> &[f32] {
        &self.0[0]
    }
}

impl<const N: usize> Drop for Scratch<N> {
    fn drop(&mut self) {
        // The last taken goes back first, so that the next call finds each in its place.
        KEPT.with_borrow_mut(|kept| {
            for buffer in self.0.iter_mut().rev() {
                kept.push(std::mem::take(buffer));
            }
        });
    }
}
