//! The kernels: functions of slices and shapes. No tensor, no graph.

#![allow(clippy::inline_always, reason = "only what is inlined into `set` is compiled for its instructions")]

pub(crate) mod add_relu;
pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod conv;
mod correlate;
pub(crate) mod cross_entropy;
mod exp;
pub(crate) mod gelu;
pub(crate) mod layer_norm;
pub(crate) mod memory;
pub(crate) mod pool;
pub(crate) mod product;
mod scratch;
mod set;
mod shape;
mod share;
#[cfg(test)]
mod tests;
mod vector;
mod weights;

pub(crate) use set::are_on;
pub use set::{FORCE, InstructionSet, UnknownSet, in_use, instruction_set};
