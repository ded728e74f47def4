//! What the processor can do at most: a loop of multiplications with additions that stays in registers.

use std::hint::black_box;
use std::time::Instant;

const SUMS: usize = 24;
const ROUNDS: usize = 300_000;

/// So many numbers side by side that the compiler makes whole registers of them, in every instruction set.
const LANES: usize = 16;

#[inline(always)]
fn rounds(fused: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let (factor, addend) = (black_box(0.999_f32), black_box(0.001_f32));
    let mut sums = [[0.0_f32; LANES]; SUMS];
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = [black_box(at as f32); LANES];
    }
    for _ in 0..ROUNDS {
        for sum in sums.iter_mut().flatten() {
            *sum = fused(*sum, factor, addend);
        }
    }
    sums.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn avx512() -> f32 {
    rounds(f32::mul_add)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> f32 {
    rounds(f32::mul_add)
}

fn once() -> f32 {
    #[cfg(target_arch = "x86_64")]
    match cpu_kernels::instruction_set() {
        // SAFETY: a set that is used was found.
        cpu_kernels::InstructionSet::Avx512 => return unsafe { avx512() },
        // SAFETY: as above.
        cpu_kernels::InstructionSet::Avx2 => return unsafe { avx2() },
        _ => {}
    }
    rounds(|a, b, c| a * b + c)
}

/// Operations per second of so many threads together, the best of some tries.
pub(crate) fn measure(threads: usize) -> f64 {
    let operations = (threads * ROUNDS * SUMS * LANES * 2) as f64;
    let seconds = (0..20).map(|_| {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| black_box(once()));
            }
        });
        began.elapsed().as_secs_f64()
    });
    operations / seconds.fold(f64::MAX, f64::min)
}
