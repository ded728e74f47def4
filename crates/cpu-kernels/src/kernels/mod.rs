//! The kernels: functions of slices and shapes. No tensor, no graph.

#![allow(clippy::inline_always, reason = "only what is inlined into `set` is compiled for its instructions")]

pub(crate) mod add_relu;
pub(crate) mod batch_norm;
pub(crate) mod conv;
pub(crate) mod memory;
mod panel;
pub(crate) mod pool;
mod scratch;
mod set;
mod tile;
mod vector;

pub use set::{FORCE, InstructionSet, UnknownSet, instruction_set};
