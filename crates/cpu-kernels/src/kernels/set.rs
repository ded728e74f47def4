//! Which instructions the kernels use: found when the program runs, or forced.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Portable, Vector};

/// The environment variable that forces a set: `avx512`, `avx2` or `portable`; or `off`, to compare with burn's own
/// operations.
pub const FORCE: &str = "CPU_KERNELS";

const OFF: &str = "off";

/// The instructions that the kernels use.
///
/// Sums are taken in an order that depends on the set, so results of two sets differ in rounding; within one they are
/// the same bits on every machine, for every number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstructionSet {
    /// AVX-512F: sixteen numbers a register. Whoever has it has AVX2 and FMA too.
    Avx512,
    /// AVX2 and FMA: eight numbers a register.
    Avx2,
    /// What the compiler makes for the target of the build: SSE2 on x86-64, NEON on 64-bit ARM.
    Portable,
}

/// A piece of work that is compiled once for each set.
pub(crate) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`, as is what they call with `V`: only so does the compiler see the
    /// instructions that [`InstructionSet::run`] allows it.
    fn run<V: Vector>(self) -> Self::Output;
}

impl InstructionSet {
    const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Its name, as in the environment variable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// The sets that this processor has, the best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|set| set.is_available())
    }

    /// The forced set if there is one and the processor has it, otherwise the best.
    fn choose(forced: Option<&str>) -> Self {
        let best = Self::available().next().unwrap_or(Self::Portable);
        match forced.map(str::parse::<Self>) {
            None => best,
            Some(Err(UnknownSet(name))) if name == OFF => best,
            Some(Ok(set)) if set.is_available() => set,
            Some(_) => {
                let allowed = Self::available().map(Self::name).chain([OFF]).collect::<Vec<_>>().join(", ");
                tracing::warn!("{FORCE} = {:?} cannot be used here (allowed: {allowed})", forced.unwrap_or_default());
                best
            }
        }
    }

    /// Numbers in a register.
    pub(crate) const fn lanes(self) -> usize {
        if matches!(self, Self::Avx512) { 16 } else { 8 }
    }

    /// The set to use for so many lanes: where eight are enough, sixteen would be half idle. Whoever has the wider
    /// registers has the others too.
    pub(crate) const fn for_lanes(self, lanes: usize) -> Self {
        if lanes <= 8 && matches!(self, Self::Avx512) { Self::Avx2 } else { self }
    }

    /// Runs a kernel with these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        debug_assert!(self.is_available());
        match self {
            // SAFETY: values of these two come from `choose` and `available`, which ask the processor first.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(kernel) },
            _ => portable(kernel),
        }
    }
}

/// A function of its own, as the two below: inlined into [`InstructionSet::run`], it would be compiled for each caller.
#[inline(never)]
fn portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Portable>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Not the name of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSet(pub String);

impl fmt::Display for UnknownSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} is no instruction set (known: avx512, avx2, portable)", self.0)
    }
}

impl std::error::Error for UnknownSet {}

impl FromStr for InstructionSet {
    type Err = UnknownSet;

    fn from_str(name: &str) -> Result<Self, UnknownSet> {
        Self::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| UnknownSet(name.to_owned()))
    }
}

/// The instructions that the kernels of this process use: the best that the processor has, or what the environment
/// variable `CPU_KERNELS` (`avx512`, `avx2`, `portable`) says when it is first asked for.
pub fn instruction_set() -> InstructionSet {
    static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();
    *CHOSEN.get_or_init(|| InstructionSet::choose(std::env::var(FORCE).ok().as_deref()))
}

/// Whether the kernels are used at all: not where the environment variable `CPU_KERNELS` is `off`.
pub(crate) fn are_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var(FORCE).ok().as_deref() != Some(OFF))
}

/// The name of [`instruction_set`], or `off`.
pub fn in_use() -> &'static str {
    if are_on() { instruction_set().name() } else { OFF }
}
