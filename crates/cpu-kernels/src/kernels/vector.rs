//! A register of single-precision numbers, as each instruction set has it.

/// A register of [`LANES`](Vector::LANES) numbers.
///
/// # Safety
/// Every method needs the instruction set of its type: they are called from [`Kernel::run`](super::Kernel::run), which
/// runs only where the set was found. Methods with pointers say what must be readable and writable.
pub(crate) trait Vector: Copy {
    /// How many numbers a register holds.
    const LANES: usize;

    /// So many registers, times two, hold sums beside what is multiplied: the positions of a tile of convolution.
    const POSITIONS: usize;

    /// Rows and registers of a tile of a product, as many as hold sums beside what is multiplied.
    const TILE: [usize; 2];

    /// `a * b + c` of three numbers, rounded as [`mul_add`](Vector::mul_add) rounds.
    fn fused(a: f32, b: f32, c: f32) -> f32;

    /// The same number in all lanes.
    unsafe fn splat(value: f32) -> Self;

    /// Reads `LANES` numbers.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut f32);

    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;

    /// `self * factor + addend`; rounded once where the set has such an instruction, twice in the portable version.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// Says that what is there will be needed soon. Any address may be given.
    fn prefetch(from: *const f32);

    /// Copies `count` numbers, of which nothing beyond is read or written.
    unsafe fn copy(from: *const f32, to: *mut f32, count: usize);

    /// Writes `LANES` numbers for each of `columns` columns of a matrix of `rows` rows: its transposed, with zeros
    /// where there are fewer rows than lanes. At most `LANES` rows and columns.
    ///
    /// Reads `from[row * pitch + column]`, writes `to[column * to_pitch + lane]`.
    unsafe fn transpose(from: *const f32, rows: usize, columns: usize, pitch: usize, to: *mut f32, to_pitch: usize);
}

/// Eight numbers without any assumption on the processor. Compilers make two or more registers of it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Portable([f32; 8]);

impl Vector for Portable {
    const LANES: usize = 8;
    const POSITIONS: usize = 3;
    const TILE: [usize; 2] = [4, 1];

    #[inline(always)]
    fn fused(a: f32, b: f32, c: f32) -> f32 {
        // Where the target has no such instruction, `mul_add` is a call into the C library.
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for lane in 0..8 {
            self.0[lane] += other.0[lane];
        }
        self
    }

    #[inline(always)]
    unsafe fn mul_add(mut self, factor: Self, addend: Self) -> Self {
        for lane in 0..8 {
            self.0[lane] = Self::fused(self.0[lane], factor.0[lane], addend.0[lane]);
        }
        self
    }

    #[inline(always)]
    fn prefetch(_: *const f32) {}

    #[inline(always)]
    unsafe fn copy(from: *const f32, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from, to, count) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, rows: usize, columns: usize, pitch: usize, to: *mut f32, to_pitch: usize) {
        debug_assert!(rows <= Self::LANES && columns <= Self::LANES);
        for column in 0..columns {
            for lane in 0..Self::LANES {
                // SAFETY: the caller's promise.
                unsafe {
                    let value = if lane < rows { from.add(lane * pitch + column).read() } else { 0.0 };
                    to.add(column * to_pitch + lane).write(value);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports, reason = "thirty instructions")]
    use std::arch::x86_64::*;

    use super::{Portable, Vector};

    /// A register of an instruction set, by the names of its instructions; `copy` of fewer numbers is that of `$shorter`.
    macro_rules! register {
        ($(#[$about:meta])* $name:ident($register:ty), $lanes:literal numbers, $positions:literal positions, $tile:expr;
         $splat:ident, $load:ident, $store:ident, $add:ident, $mul_add:ident, $transpose:ident, $shorter:ident) => {
            $(#[$about])*
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            pub(crate) struct $name($register);

            impl Vector for $name {
                const LANES: usize = $lanes;
                const POSITIONS: usize = $positions;
                const TILE: [usize; 2] = $tile;

                #[inline(always)]
                fn fused(a: f32, b: f32, c: f32) -> f32 {
                    a.mul_add(b, c)
                }

                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: here and below, the caller has the instruction set and keeps the trait's promise on pointers.
                    unsafe { Self($splat(value)) }
                }

                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { Self($load(from)) }
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self.0) }
                }

                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { Self($add(self.0, other.0)) }
                }

                #[inline(always)]
                unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                    unsafe { Self($mul_add(self.0, factor.0, addend.0)) }
                }

                #[inline(always)]
                fn prefetch(from: *const f32) {
                    // SAFETY: a hint, which never faults; every x86-64 has it.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
                }

                #[inline(always)]
                unsafe fn copy(from: *const f32, to: *mut f32, count: usize) {
                    unsafe {
                        if count < $lanes {
                            return $shorter::copy(from, to, count);
                        }
                        let mut at = 0;
                        while at < count {
                            // The last register lies over the one before: masked stores are slow on some processors.
                            at = at.min(count - $lanes);
                            $store(to.add(at), $load(from.add(at)));
                            at += $lanes;
                        }
                    }
                }

                #[inline(always)]
                unsafe fn transpose(
                    from: *const f32,
                    rows: usize,
                    columns: usize,
                    pitch: usize,
                    to: *mut f32,
                    to_pitch: usize,
                ) {
                    unsafe { $transpose(from, rows, columns, pitch, to, to_pitch) }
                }
            }
        };
    }

    register! {
        /// Sixteen numbers: AVX-512F.
        Avx512(__m512), 16 numbers, 14 positions, [8, 3];
        _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps, transpose_16, Avx2
    }

    register! {
        /// Eight numbers: AVX2 with FMA.
        Avx2(__m256), 8 numbers, 6 positions, [4, 3];
        _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps, transpose_8, Portable
    }

    /// [`Vector::transpose`], once for all of its callers: it is long, and they do much more.
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn transpose_16(from: *const f32, rows: usize, columns: usize, pitch: usize, to: *mut f32, to_pitch: usize) {
        debug_assert!(rows <= 16 && columns <= 16);
        unsafe {
            let mut r = [_mm512_setzero_ps(); 16];
            if rows == 16 && columns == 16 {
                for (row, register) in r.iter_mut().enumerate() {
                    *register = _mm512_loadu_ps(from.add(row * pitch));
                }
            } else {
                let mask = first(columns);
                for (row, register) in r.iter_mut().enumerate() {
                    if row < rows {
                        *register = _mm512_maskz_loadu_ps(mask, from.add(row * pitch));
                    }
                }
            }
            // Pairs of rows, then pairs of pairs, within each quarter of a register; then quarters change places.
            let mut t = [_mm512_setzero_ps(); 16];
            for i in 0..8 {
                t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..4 {
                let low = [_mm512_castps_pd(t[4 * i]), _mm512_castps_pd(t[4 * i + 1])];
                let high = [_mm512_castps_pd(t[4 * i + 2]), _mm512_castps_pd(t[4 * i + 3])];
                r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low[0], high[0]));
                r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low[0], high[0]));
                r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(low[1], high[1]));
                r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(low[1], high[1]));
            }
            for i in 0..4 {
                t[i] = _mm512_shuffle_f32x4::<0x88>(r[i], r[i + 4]);
                t[i + 4] = _mm512_shuffle_f32x4::<0xdd>(r[i], r[i + 4]);
                t[i + 8] = _mm512_shuffle_f32x4::<0x88>(r[i + 8], r[i + 12]);
                t[i + 12] = _mm512_shuffle_f32x4::<0xdd>(r[i + 8], r[i + 12]);
            }
            for i in 0..8 {
                r[i] = _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]);
                r[i + 8] = _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]);
            }
            for (column, register) in r.into_iter().enumerate().take(columns) {
                _mm512_storeu_ps(to.add(column * to_pitch), register);
            }
        }
    }

    /// The first `count` of sixteen lanes.
    #[inline(always)]
    fn first(count: usize) -> __mmask16 {
        debug_assert!(count <= 16);
        ((1_u32 << count) - 1) as __mmask16
    }

    /// Eight set lanes, then eight unset ones: a mask of `n` lanes begins at `8 - n`.
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    /// [`Vector::transpose`], once for all of its callers: it is long, and they do much more.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn transpose_8(from: *const f32, rows: usize, columns: usize, pitch: usize, to: *mut f32, to_pitch: usize) {
        debug_assert!(rows <= 8 && columns <= 8);
        unsafe {
            let mask = first_of_eight(columns);
            let mut r = [_mm256_setzero_ps(); 8];
            for (row, register) in r.iter_mut().enumerate().take(rows) {
                *register = _mm256_maskload_ps(from.add(row * pitch), mask);
            }
            let mut t = [_mm256_setzero_ps(); 8];
            for i in 0..4 {
                t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..2 {
                r[4 * i] = _mm256_shuffle_ps::<0x44>(t[4 * i], t[4 * i + 2]);
                r[4 * i + 1] = _mm256_shuffle_ps::<0xee>(t[4 * i], t[4 * i + 2]);
                r[4 * i + 2] = _mm256_shuffle_ps::<0x44>(t[4 * i + 1], t[4 * i + 3]);
                r[4 * i + 3] = _mm256_shuffle_ps::<0xee>(t[4 * i + 1], t[4 * i + 3]);
            }
            for i in 0..4 {
                t[i] = _mm256_permute2f128_ps::<0x20>(r[i], r[i + 4]);
                t[i + 4] = _mm256_permute2f128_ps::<0x31>(r[i], r[i + 4]);
            }
            for (column, register) in t.into_iter().enumerate().take(columns) {
                _mm256_storeu_ps(to.add(column * to_pitch), register);
            }
        }
    }

    /// The first `count` of eight lanes.
    #[inline(always)]
    unsafe fn first_of_eight(count: usize) -> __m256i {
        debug_assert!(count <= 8);
        // SAFETY: `8 - count .. 16 - count` lies within the sixteen numbers; the caller has the instruction set.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast()) }
    }
}
