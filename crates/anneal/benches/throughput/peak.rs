//! What the processor can do at most: a loop of multiplications with additions that stays in registers.

use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 300_000;

/// So many sums that each has been rounded before its next turn.
const SUMS: usize = 12;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{ROUNDS, SUMS, black_box};

    macro_rules! rounds {
        ($name:ident, $features:literal, $set:ident, $fused:ident, $store:ident, $lanes:literal) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name() -> usize {
                let (factor, addend) = ($set(black_box(0.999)), $set(black_box(0.001)));
                let mut sums = [$set(0.0); SUMS];
                for (at, sum) in sums.iter_mut().enumerate() {
                    *sum = $set(black_box(at as f32));
                }
                for _ in 0..ROUNDS {
                    for sum in &mut sums {
                        *sum = $fused(*sum, factor, addend);
                    }
                }
                for sum in sums {
                    let mut out = [0.0_f32; $lanes];
                    // SAFETY: as long as a register.
                    unsafe { $store(out.as_mut_ptr(), sum) }
                    black_box(out);
                }
                $lanes
            }
        };
    }

    rounds!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps, 16);
    rounds!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps, 8);
}

/// Runs the loop; how many numbers a register has.
fn once() -> usize {
    #[cfg(target_arch = "x86_64")]
    match cpu_kernels::instruction_set() {
        // SAFETY: a set that is used was found.
        cpu_kernels::InstructionSet::Avx512 => return unsafe { x86::avx512() },
        // SAFETY: as above.
        cpu_kernels::InstructionSet::Avx2 => return unsafe { x86::avx2() },
        _ => {}
    }
    let mut sums = [0.0_f32; SUMS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = black_box(*sum) * 0.999 + 0.001;
        }
    }
    black_box(sums);
    1
}

/// Operations per second of so many threads together, the best of some tries.
pub(crate) fn measure(threads: usize) -> f64 {
    let tries = (0..20).map(|_| {
        let began = Instant::now();
        let lanes = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(once)).collect();
            all.into_iter().filter_map(|thread| thread.join().ok()).sum::<usize>()
        });
        (lanes * ROUNDS * SUMS * 2) as f64 / began.elapsed().as_secs_f64()
    });
    tries.fold(0.0, f64::max)
}
