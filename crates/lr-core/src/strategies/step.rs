//! A drop at regular intervals: torch's `StepLR`.

use strict_config::{ConfigError, Fields};
use toml::Table;

use crate::math::{ordered, scaled};
use crate::strategy::{ScheduleFields, check, table};
use crate::{Clock, Duration, Entry, Interval, Schedule, Scope, Strategy};

/// Multiplies by `gamma` every `step_size` ticks: `lr(t) = base * gamma^floor(t / step_size)`.
///
/// torch's `StepLR`; He et al., "Deep Residual Learning for Image Recognition" (2015), is its best-known use.
///
/// ```
/// use lr_core::{Clock, Step, Strategy};
/// let s = Step { gamma: 0.5, ..Step::new(10) }.build(&Clock::unknown())?;
/// assert_eq!([0, 9, 10, 19, 20].map(|t| s.lr(0.8, t)), [0.8, 0.8, 0.4, 0.4, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Ticks between drops, at least 1.
    pub step_size: Duration,
    /// The factor of each drop, at least 0; default 0.1. Above 1 the rate grows, up to the largest `f64`.
    pub gamma: f64,
}

impl Step {
    /// A tenth every `step_size` ticks.
    pub fn new(step_size: impl Into<Duration>) -> Self {
        Self { step_size: step_size.into(), gamma: 0.1 }
    }

    pub(crate) fn entry() -> Entry {
        Entry::new(
            "step",
            "multiplied by gamma every step_size ticks (torch StepLR)",
            Interval::Epoch,
            &["step_size", "gamma"],
            "type = 'step'\nstep_size = 30\ngamma = 0.1",
            Self::read,
        )
    }

    fn read(fields: &Fields<'_>, _: &Scope<'_>) -> Result<Self, ConfigError> {
        Ok(Self { step_size: fields.need_duration("step_size")?, gamma: fields.f64("gamma")?.unwrap_or(0.1) })
    }
}

impl Strategy for Step {
    fn type_name(&self) -> &'static str {
        "step"
    }

    fn fields(&self) -> Table {
        table([("step_size", self.step_size.to_value()), ("gamma", self.gamma.into())])
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.step_size.check("step_size", 1)?;
        check::non_negative("gamma", self.gamma)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Steps { step_size: self.step_size.ticks("step_size", 1, clock)?, gamma: self.gamma }))
    }
}

#[derive(Debug, Clone)]
struct Steps {
    step_size: u64,
    gamma: f64,
}

impl Schedule for Steps {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.gamma.powf((tick / self.step_size) as f64))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        decay_bounds(base_lr, self.gamma)
    }
}

/// The bounds of a schedule that starts at `base_lr` and multiplies by `gamma` without end.
pub(super) fn decay_bounds(base_lr: f64, gamma: f64) -> Option<(f64, f64)> {
    (gamma <= 1.0).then(|| if gamma == 1.0 { (base_lr, base_lr) } else { ordered(0.0, base_lr) })
}
