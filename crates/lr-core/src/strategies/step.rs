//! A drop at regular intervals: torch's `StepLR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::tenth;
use crate::math::{Powers, decay_bounds, scaled};
use crate::{Clock, Duration, Schedule, Strategy};

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Ticks between drops, at least 1.
    pub step_size: Duration,
    /// The factor of each drop, at least 0; default 0.1. Above 1 the rate grows, up to the largest `f64`.
    #[serde(default = "tenth")]
    pub gamma: f64,
}

impl Step {
    /// A tenth every `step_size` ticks.
    pub fn new(step_size: impl Into<Duration>) -> Self {
        Self { step_size: step_size.into(), gamma: tenth() }
    }
}

impl Strategy for Step {
    const NAME: &'static str = "step";
    const SUMMARY: &'static str = "multiplied by gamma every step_size ticks (torch StepLR)";
    const EXAMPLE: &'static str = "type = 'step'\nstep_size = 30\ngamma = 0.1";

    fn check(&self) -> Result<(), ConfigError> {
        self.step_size.check("step_size", 1)?;
        check::non_negative("gamma", self.gamma)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let step_size = self.step_size.ticks("step_size", 1, clock)?;
        Ok(Box::new(Steps { step_size, gamma: self.gamma, powers: Powers::new(self.gamma) }))
    }
}

#[derive(Debug, Clone)]
struct Steps {
    step_size: u64,
    gamma: f64,
    powers: Powers,
}

impl Schedule for Steps {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.powers.of(tick / self.step_size))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        decay_bounds(base_lr, self.gamma)
    }
}
