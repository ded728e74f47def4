//! pytorch-ignite's parameter schedulers, by the names of their classes (pytorch-ignite 0.5.5,
//! `ignite.handlers.param_scheduler`), driving the rate.
//!
//! An ignite scheduler gives **the rate itself**, apart from those that wrap a torch scheduler. A tick is an event: an
//! optimizer step, with the handler attached to `ITERATION_STARTED`; `interval = "epoch"` is `EPOCH_STARTED`. A scheduler
//! as an argument is a table with its own `type`, which may be any schedule of this crate.

mod concat;
mod cyclical;
mod lr_scheduler;
mod piecewise_linear;
mod plateau;
mod warmup;

pub use concat::ConcatScheduler;
pub use cyclical::{CosineAnnealingScheduler, LinearCyclicalScheduler};
pub use lr_scheduler::LRScheduler;
pub use piecewise_linear::PiecewiseLinear;
pub use plateau::ReduceLROnPlateauScheduler;
pub use warmup::CreateLrSchedulerWithWarmup;

use crate::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.register::<LinearCyclicalScheduler>();
    registry.register::<CosineAnnealingScheduler>();
    registry.register::<PiecewiseLinear>();
    registry.register::<ConcatScheduler>();
    registry.register::<LRScheduler>();
    registry.register::<CreateLrSchedulerWithWarmup>();
    registry.register::<ReduceLROnPlateauScheduler>();
}
