//! One pass over memory: a formula per element, run over parameter, gradient and state buffers at once.
//!
//! A [`Rule`] states an optimizer's update once, over an abstract [`Value`]. The same formula then runs
//!
//! - **fused** on the CPU backends (Flex and NdArray, f32 and f64): vectorised, over all cores, in place wherever
//!   the buffers are not shared ([`buffers`], [`sweep`]), through burn's backend extension interface;
//! - as **one kernel** on GPUs, in single precision: the formula is written down as a list of operations ([`program`])
//!   and CubeCL compiles it ([`kernel`]);
//! - **composed** of burn's tensor operations everywhere else (half precision, burn's `fusion`): `Value` is implemented
//!   for tensors too.
//!
//! This layer knows buffers and arithmetic. It knows no optimizer by name, no module and no record.

mod buffers;
mod data;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
mod kernel;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda", test))]
mod program;
mod reduce;
mod sweep;
mod value;

pub(crate) use buffers::{apply, is_fused};
pub use data::held_data;
pub(crate) use data::owned;
pub(crate) use reduce::{max_abs, norm_power_sum, weighted_difference};
pub(crate) use sweep::{Sweep, SweepOver};
pub(crate) use value::{Real, Value};

/// An update formula over a parameter, its gradient and `N` state buffers.
///
/// The hyperparameters of the step (with bias corrections already folded in) are the fields of the type, in `f64`;
/// they are rounded to the element type where they meet it, as torch rounds its scalars.
pub(crate) trait Rule<const N: usize>: Copy + Send + Sync {
    /// The new parameter and the new states.
    ///
    /// Implementations are `#[inline(always)]`: the body is compiled once per instruction set, into the loop.
    fn update<V: Value>(self, param: V, grad: V, states: [V; N]) -> (V, [V; N]);
}
