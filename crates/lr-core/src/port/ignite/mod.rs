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

use crate::registry::strategies;

strategies! {
    cyclical::LinearCyclicalScheduler,
    cyclical::CosineAnnealingScheduler,
    piecewise_linear::PiecewiseLinear,
    concat::ConcatScheduler,
    lr_scheduler::LRScheduler,
    warmup::CreateLrSchedulerWithWarmup,
    plateau::ReduceLROnPlateauScheduler,
}
