//! The schedules of transformers' `get_scheduler`, by the names it takes (transformers 5.23.0, `optimization.py`).
//!
//! Every table takes `num_warmup_steps` (0 unless given, as in `TrainingArguments`) and `num_training_steps` (the run
//! unless given), also where the schedule ignores them, as `get_scheduler` does; what it calls
//! `scheduler_specific_kwargs` are fields of the same table. A tick is an optimizer step.
//!
//! Where transformers reads the optimizer's default rate (`polynomial`, `min_lr`), the base rate of the first parameter
//! group is used.

mod constant;
mod cosine;
mod cosine_with_min_lr;
mod greedy;
mod inverse_sqrt;
mod linear;
mod polynomial;
mod reduce_lr_on_plateau;
mod warmup_stable_decay;

pub use warmup_stable_decay::RampShape;

use strict_config::ConfigError;

use crate::math::{count, ratio};
use crate::port::hull;
use crate::registry::strategies;
use crate::{Clock, Duration, Schedule, ScheduleMark};

strategies! {
    linear::Linear,
    cosine::Cosine,
    cosine::CosineWithRestarts,
    polynomial::Polynomial,
    constant::Constant,
    constant::ConstantWithWarmup,
    inverse_sqrt::InverseSqrt,
    reduce_lr_on_plateau::ReduceLrOnPlateau,
    cosine_with_min_lr::CosineWithMinLr,
    cosine_with_min_lr::CosineWarmupWithMinLr,
    warmup_stable_decay::WarmupStableDecay,
    greedy::Greedy,
}

/// The settings of a schedule: the two lengths that all have, then its own fields, each with its default.
macro_rules! schedule {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* pub $field:ident: $type:ty = $default:expr,)*
    }) => {
        strict_config::settings! {
            $(#[$about])*
            pub struct $name {
                /// `W`, the length of the warm-up; default 0.
                pub num_warmup_steps: $crate::Duration = $crate::Duration::default(),
                /// `T`, the length of the whole, warm-up included; default the run.
                pub num_training_steps: $crate::Duration = $crate::Duration::Rest,
                $($(#[$doc])* pub $field: $type = $default,)*
            }
        }
    };
}
use schedule;

/// Refuses lengths that are wrong whatever the run is.
fn check_steps(num_warmup_steps: &Duration, num_training_steps: &Duration) -> Result<(), ConfigError> {
    num_warmup_steps.check("num_warmup_steps", 0)?;
    num_training_steps.check("num_training_steps", 1)
}

/// The length of the warm-up, and of what follows it: `num_training_steps - num_warmup_steps`, which is negative where
/// the warm-up is longer than the run.
fn steps(num_warmup_steps: &Duration, num_training_steps: &Duration, clock: &Clock) -> Result<(u64, i64), ConfigError> {
    let warmup = num_warmup_steps.ticks("num_warmup_steps", 0, clock)?;
    let training = num_training_steps.ticks("num_training_steps", 1, clock)?;
    Ok((warmup, training as i64 - warmup as i64))
}

/// The length of what follows the warm-up as transformers divides by it: at least 1.
fn divisor(steps: i64) -> f64 {
    count(steps.max(1) as u64)
}

/// A line from 0 to the base rate over `warmup` ticks, then another schedule from its own tick 0.
#[derive(Debug, Clone)]
struct WarmUpThen<S> {
    warmup: u64,
    then: S,
}

impl<S: Schedule + Clone + 'static> Schedule for WarmUpThen<S> {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        if tick < self.warmup { base_lr * ratio(tick, self.warmup) } else { self.then.lr(base_lr, tick - self.warmup) }
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks = Vec::new();
        if self.warmup > 0 {
            marks.push(ScheduleMark::new(0, "warm-up"));
            marks.push(ScheduleMark::new(self.warmup, "decay"));
        }
        marks.extend(ScheduleMark::shifted(self.then.marks(), self.warmup));
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let then = self.then.bounds(base_lr)?;
        Some(if self.warmup > 0 { hull((0.0, base_lr), then) } else { then })
    }
}
