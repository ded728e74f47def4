//! A formula on a clock: what its variables are at a tick.

use strict_config::ConfigError;

use super::Formula;
use super::tree::{Variable, Variables};
use crate::time::{Clock, Interval};

/// A formula of time with what it needs to know of the run.
#[derive(Debug, Clone)]
pub(crate) struct FormulaClock {
    formula: Formula,
    interval: Interval,
    /// 1 where it is not known and the formula does not ask.
    steps_per_epoch: u64,
    total: f64,
}

impl FormulaClock {
    /// `field` names the formula in errors.
    ///
    /// # Errors
    /// A formula that uses `total`, or the `epoch` of a per-step and the `step` of a per-epoch schedule, where the
    /// run is not known.
    pub(crate) fn new(formula: &Formula, field: &str, clock: &Clock) -> Result<Self, ConfigError> {
        let interval = clock.interval();
        let other = match interval {
            Interval::Step => ("epoch", Variable::Epoch),
            Interval::Epoch => ("step", Variable::Step),
        };
        let needs = |name: &str, what: &str| {
            Err(ConfigError::conflict(field, format!("`{name}` needs {what}, which is not known here")))
        };
        let steps_per_epoch = clock.horizon().steps_per_epoch();
        if steps_per_epoch.is_none() && formula.root.uses(other.1) {
            return needs(other.0, "the number of steps per epoch");
        }
        if clock.total().is_none() && formula.root.uses(Variable::Total) {
            return needs("total", "the length of the run");
        }
        Ok(Self {
            formula: formula.clone(),
            interval,
            steps_per_epoch: steps_per_epoch.unwrap_or(1),
            total: clock.total().unwrap_or(0) as f64,
        })
    }

    /// Refuses a formula that gives no usable factor at `tick`, for a base rate of 1: a slip such as `1 / t`.
    pub(crate) fn check_at(&self, field: &str, tick: u64) -> Result<(), ConfigError> {
        let value = self.value(1.0, tick);
        if value.is_finite() && value >= 0.0 {
            return Ok(());
        }
        let message = format!("the formula gives {value} at tick {tick}; a factor must be finite and at least 0");
        Err(ConfigError::conflict(field, message))
    }

    /// The factor at `tick`: at least 0, and 0 where the formula is undefined.
    pub(crate) fn factor(&self, base_lr: f64, tick: u64) -> f64 {
        // `max` passes over NaN.
        self.value(base_lr, tick).max(0.0)
    }

    fn value(&self, base_lr: f64, tick: u64) -> f64 {
        let (epoch, step) = match self.interval {
            Interval::Step => (if self.steps_per_epoch == 1 { tick } else { tick / self.steps_per_epoch }, tick),
            Interval::Epoch => (tick, tick.saturating_mul(self.steps_per_epoch)),
        };
        self.formula.eval(&Variables {
            tick: tick as f64,
            epoch: epoch as f64,
            step: step as f64,
            total: self.total,
            lr: base_lr,
            x: 0.0,
        })
    }
}
