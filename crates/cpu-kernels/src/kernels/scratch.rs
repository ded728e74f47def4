//! Memory that a thread keeps from one call to the next.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers on loan from the thread's store, given back when dropped.
pub(crate) struct Scratch<const N: usize> {
    buffers: [Vec<f32>; N],
    lengths: [usize; N],
}

/// Numbers in a line of the cache: buffers begin with one, as a register that lies in two lines takes twice as long.
const LINE: usize = 16;

/// In the crate's own tests a buffer is new, full of NaN, and ends where what was asked for ends: so a sanitizer sees who goes
/// beyond it, and a wrong result who reads what was not written.
const STRICT: bool = cfg!(test);

fn start(buffer: &[f32], length: usize) -> usize {
    let most = buffer.len() - length;
    if STRICT { most } else { buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(most) }
}

/// Buffers of the given lengths; what is in them is left from earlier uses.
///
/// A thread keeps as many as a kernel has at once, each as long as the longest use of it.
pub(crate) fn take<const N: usize>(lengths: [usize; N]) -> Scratch<N> {
    let buffers = lengths.map(|length| {
        let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
        if buffer.len() < length + LINE || STRICT {
            // Not `resize`, which would copy what is in it.
            buffer = vec![if STRICT { f32::NAN } else { 0.0 }; length + LINE];
        }
        buffer
    });
    Scratch { buffers, lengths }
}

impl<const N: usize> Scratch<N> {
    pub(crate) fn slices(&mut self) -> [&mut [f32]; N] {
        let mut lengths = self.lengths.into_iter();
        self.buffers.each_mut().map(|buffer| {
            let length = lengths.next().unwrap_or_default();
            let start = start(buffer, length);
            &mut buffer[start..][..length]
        })
    }
}

impl Scratch<1> {
    pub(crate) fn first(&self) -> &[f32] {
        let ([buffer], [length]) = (&self.buffers, self.lengths);
        &buffer[start(buffer, length)..][..length]
    }
}

impl<const N: usize> Drop for Scratch<N> {
    fn drop(&mut self) {
        // The last taken goes back first, so that the next call finds each in its place.
        KEPT.with_borrow_mut(|kept| {
            for buffer in self.buffers.iter_mut().rev() {
                kept.push(std::mem::take(buffer));
            }
        });
    }
}
