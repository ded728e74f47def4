//! optax's schedules, by the names of the functions (optax 0.2.8, `optax.schedules`).
//!
//! An optax schedule gives **the rate itself**: the optimizer's `lr` plays no part in it, as with torch's `CyclicLR`. A
//! tick is an optimizer step (`count`). A schedule as an argument (`join_schedules`) is a table with its own
//! `type`, which may be any schedule of this crate.
//!
//! optax computes in `f32` by default; here it is `f64` throughout.

mod constant;
mod cosine_decay;
mod exponential_decay;
mod join;
mod onecycle;
mod piecewise;
mod polynomial;
mod warmup;

pub use piecewise::{BoundariesAndScales, Interpolate};

use crate::registry::strategies;

strategies! {
    constant::ConstantSchedule,
    polynomial::LinearSchedule,
    polynomial::PolynomialSchedule,
    exponential_decay::ExponentialDecay,
    cosine_decay::CosineDecaySchedule,
    piecewise::PiecewiseConstantSchedule,
    piecewise::PiecewiseInterpolateSchedule,
    onecycle::LinearOnecycleSchedule,
    onecycle::CosineOnecycleSchedule,
    polynomial::WarmupConstantSchedule,
    warmup::WarmupCosineDecaySchedule,
    warmup::WarmupExponentialDecaySchedule,
    warmup::SgdrSchedule,
    join::JoinSchedules,
}
