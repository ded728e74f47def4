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

pub use constant::ConstantSchedule;
pub use cosine_decay::CosineDecaySchedule;
pub use exponential_decay::ExponentialDecay;
pub use join::JoinSchedules;
pub use onecycle::{CosineOnecycleSchedule, LinearOnecycleSchedule};
pub use piecewise::{BoundariesAndScales, Interpolate, PiecewiseConstantSchedule, PiecewiseInterpolateSchedule};
pub use polynomial::{LinearSchedule, PolynomialSchedule, WarmupConstantSchedule};
pub use warmup::{SgdrSchedule, WarmupCosineDecaySchedule, WarmupExponentialDecaySchedule};

use crate::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.register::<ConstantSchedule>();
    registry.register::<LinearSchedule>();
    registry.register::<PolynomialSchedule>();
    registry.register::<ExponentialDecay>();
    registry.register::<CosineDecaySchedule>();
    registry.register::<PiecewiseConstantSchedule>();
    registry.register::<PiecewiseInterpolateSchedule>();
    registry.register::<LinearOnecycleSchedule>();
    registry.register::<CosineOnecycleSchedule>();
    registry.register::<WarmupConstantSchedule>();
    registry.register::<WarmupCosineDecaySchedule>();
    registry.register::<WarmupExponentialDecaySchedule>();
    registry.register::<SgdrSchedule>();
    registry.register::<JoinSchedules>();
}
