//! What the kernels share: memory for results, plain sums.

use std::mem::MaybeUninit;

/// A vector that `write` fills: memory is not zeroed first.
///
/// `write` must write every number. Debug builds fill the memory with NaN first, so that a forgotten one is seen; Miri sees it
/// without.
pub(crate) fn filled(length: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut out = Vec::with_capacity(length);
    let spare = &mut out.spare_capacity_mut()[..length];
    if cfg!(all(any(debug_assertions, test), not(miri))) {
        spare.fill(MaybeUninit::new(f32::NAN));
    }
    write(spare);
    // SAFETY: `write` has written all of it: each kernel covers its output, which the tests see by the NaN.
    unsafe { out.set_len(length) };
    out
}

/// Numbers as memory that may be written.
pub(crate) fn as_uninit(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same layout; who gets it writes numbers only, as the kernels do.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<f32>]) }
}

/// A sum in sixteen lanes.
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    let chunks = values.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// A sum in double precision, in eight lanes.
pub(crate) fn exact_sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().copied().map(f64::from).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value);
        }
    }
    lanes.iter().sum::<f64>() + rest
}
