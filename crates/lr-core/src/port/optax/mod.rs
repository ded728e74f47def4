//! optax's schedules, by the names of the functions (optax 0.2.8, `optax.schedules`).
//!
//! An optax schedule gives **the rate itself**: the optimizer's `lr` plays no part in it, as with torch's `CyclicLR`. A
//! tick is an optimizer step (`count`). A schedule as an argument (`join_schedules`) is a table with a `type` of its
//! own, which may be any schedule of this crate.
//!
//! optax computes in `f32` unless told otherwise; here it is `f64` throughout.

mod constant;
mod cosine_decay;
mod exponential_decay;
mod join;
mod onecycle;
mod piecewise;
mod polynomial;
mod warmup;

pub use constant::ConstantSchedule;
pub use cosine_decay::CosineDecaySchedule;
pub use exponential_decay::ExponentialDecay;
pub use join::JoinSchedules;
pub use onecycle::{CosineOnecycleSchedule, LinearOnecycleSchedule};
pub use piecewise::{BoundariesAndScales, Interpolate, PiecewiseConstantSchedule, PiecewiseInterpolateSchedule};
pub use polynomial::{LinearSchedule, PolynomialSchedule, WarmupConstantSchedule};
pub use warmup::{CosineKwargs, SgdrSchedule, WarmupCosineDecaySchedule, WarmupExponentialDecaySchedule};

use crate::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.register(ConstantSchedule::entry());
    registry.register(LinearSchedule::entry());
    registry.register(PolynomialSchedule::entry());
    registry.register(ExponentialDecay::entry());
    registry.register(CosineDecaySchedule::entry());
    registry.register(PiecewiseConstantSchedule::entry());
    registry.register(PiecewiseInterpolateSchedule::entry());
    registry.register(LinearOnecycleSchedule::entry());
    registry.register(CosineOnecycleSchedule::entry());
    registry.register(WarmupConstantSchedule::entry());
    registry.register(WarmupCosineDecaySchedule::entry());
    registry.register(WarmupExponentialDecaySchedule::entry());
    registry.register(SgdrSchedule::entry());
    registry.register(JoinSchedules::entry());
}
