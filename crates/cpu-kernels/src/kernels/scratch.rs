//! Memory that a thread keeps from one call to the next.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers on loan from the thread's store, given back when dropped.
pub(crate) struct Scratch<const N: usize>([Vec<f32>; N]);

/// Numbers in a line of the cache: buffers begin with one, as a register that lies in two lines takes twice as long.
const LINE: usize = 16;

fn start(buffer: &[f32]) -> usize {
    buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(buffer.len())
}

/// Buffers of at least the given lengths; what is in them is left from earlier uses.
///
/// A thread keeps as many as a kernel has at once, each as long as the longest use of it.
pub(crate) fn take<const N: usize>(lengths: [usize; N]) -> Scratch<N> {
    Scratch(lengths.map(|length| {
        let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
        if buffer.len() < length + LINE {
            // Not `resize`, which would copy what is in it.
            buffer = vec![0.0; length + LINE];
        }
        buffer
    }))
}

impl<const N: usize> Scratch<N> {
    pub(crate) fn slices(&mut self) -> [&mut [f32]; N] {
        self.0.each_mut().map(|buffer| {
            let start = start(buffer);
            &mut buffer[start..]
        })
    }
}

impl Scratch<1> {
    pub(crate) fn first(&self) -> &[f32] {
        &self.0[0][start(&self.0[0])..]
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
