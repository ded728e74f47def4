//! A schedule times a number.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::of_parts;
use crate::math::scaled;
use crate::schedule::reacts_as;
use crate::{Clock, Interval, Schedule, ScheduleConfig, ScheduleMark, Strategy};

/// `factor` times another schedule's rate: `lr(t) = factor * schedule(t)`. Momentum is left as it is.
///
/// Its interval is that of the schedule inside, unless it says so itself.
///
/// ```
/// use lr_core::{Clock, Exponential, Scaled, ScheduleConfig, Strategy};
/// let s = Scaled::new(0.5, ScheduleConfig::new(Exponential::new(0.5))).build(&Clock::unknown())?;
/// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 1), s.lr(0.4, 2)], [0.2, 0.1, 0.05]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaled {
    /// The number; at least 0.
    pub factor: f64,
    /// The schedule.
    pub schedule: ScheduleConfig,
}

impl Scaled {
    /// `factor` times `schedule`.
    pub fn new(factor: f64, schedule: ScheduleConfig) -> Self {
        Self { factor, schedule }
    }
}

impl Strategy for Scaled {
    const NAME: &'static str = "scaled";
    const SUMMARY: &'static str = "another schedule times a factor";
    const EXAMPLE: &'static str = "type = 'scaled'\nfactor = 0.5\nschedule = { type = 'exponential', gamma = 0.95 }";

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("factor", self.factor)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let inner = self.schedule.build_part(clock).map_err(|error| error.within("schedule"))?;
        Ok(Box::new(ScaledSchedule::new(self.factor, inner)))
    }

    fn default_interval(&self) -> Interval {
        self.schedule.interval()
    }

    of_parts!(self, std::slice::from_ref(&self.schedule));

    fn peak(&self) -> Option<f64> {
        Some(scaled(self.factor, self.schedule.peak()?))
    }
}

/// The schedule of [`Scaled`], for schedules written in Rust.
#[derive(Debug, Clone)]
pub struct ScaledSchedule {
    factor: f64,
    inner: Box<dyn Schedule>,
}

impl ScaledSchedule {
    /// `factor` times `inner`.
    pub fn new(factor: f64, inner: Box<dyn Schedule>) -> Self {
        Self { factor, inner }
    }
}

impl Schedule for ScaledSchedule {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(self.factor, self.inner.lr(base_lr, tick))
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        self.inner.momentum(tick)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        self.inner.marks()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let (low, high) = self.inner.bounds(base_lr)?;
        Some((scaled(self.factor, low), scaled(self.factor, high)))
    }

    reacts_as!(inner);

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        self.inner.observe(tick, from, metric);
    }
}
