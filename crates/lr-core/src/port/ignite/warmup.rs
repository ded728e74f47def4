//! `create_lr_scheduler_with_warmup`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::compose::of_parts;
use crate::math::count;
use crate::port::{hull, non_negative};
use crate::{Clock, Duration, Interval, Schedule, ScheduleConfig, ScheduleMark, Strategy};

/// ignite's `create_lr_scheduler_with_warmup`: a line from `warmup_start_value`, which reaches `warmup_end_value` at
/// the last of `warmup_duration` ticks, then another schedule.
///
/// A schedule that starts with the very `warmup_end_value` has its tick 0 there, at `warmup_duration - 1`, so that
/// the rate is not seen twice; any other has it at `warmup_duration`. Left out, `warmup_end_value` is the group's rate
/// when the handler is made: the base rate before one of ignite's schedulers (which have not set it yet), else the
/// first rate of the schedule (which torch's constructors set).
///
/// ```
/// use lr_core::{Clock, Exponential, ScheduleConfig, Strategy, port::ignite::CreateLrSchedulerWithWarmup};
/// let config = CreateLrSchedulerWithWarmup {
///     lr_scheduler: ScheduleConfig::new(Exponential::new(0.5)),
///     warmup_start_value: 0.0,
///     warmup_duration: 3.into(),
///     warmup_end_value: None,
/// };
/// let s = config.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 3, 4].map(|t| s.lr(0.8, t)), [0.0, 0.4, 0.8, 0.4, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateLrSchedulerWithWarmup {
    /// The schedule behind the warm-up: a table with a `type`. It cannot be a reactive one.
    pub lr_scheduler: ScheduleConfig,
    /// The first rate, at least 0.
    pub warmup_start_value: f64,
    /// The length of the warm-up, at least 2.
    pub warmup_duration: Duration,
    /// The rate at the end of the warm-up, at least 0; default the group's own.
    pub warmup_end_value: Option<f64>,
}

impl Strategy for CreateLrSchedulerWithWarmup {
    const NAME: &'static str = "ignite/create_lr_scheduler_with_warmup";
    const SUMMARY: &'static str = "ignite: a linear warm-up in front of another schedule";
    const EXAMPLE: &'static str = "type = 'ignite/create_lr_scheduler_with_warmup'\nwarmup_start_value = 0.0\nwarmup_duration = 100\nlr_scheduler = { type = 'exponential', gamma = 0.999 }";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("warmup_start_value", self.warmup_start_value)?;
        self.warmup_duration.check("warmup_duration", 2)?;
        non_negative("warmup_end_value", self.warmup_end_value)?;
        if let Some(metric) = self.lr_scheduler.monitor() {
            let message = format!("a schedule that reacts to `{metric}` has no first rate for the warm-up to lead to");
            return Err(ConfigError::conflict("lr_scheduler", message));
        }
        Ok(())
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let duration = self.warmup_duration.ticks("warmup_duration", 2, clock)?;
        let then = self.lr_scheduler.build_part(&clock.later(duration - 1));
        let then = then.map_err(|error| error.within("lr_scheduler"))?;
        let end = match self.warmup_end_value {
            Some(value) => End::Value(value),
            None if self.lr_scheduler.type_name().starts_with("ignite/") => End::Base,
            None => End::First,
        };
        Ok(Box::new(Warmed { start: self.warmup_start_value, last: duration - 1, end, then }))
    }

    of_parts!(self, std::slice::from_ref(&self.lr_scheduler), peak);
}

/// Where the warm-up leads.
#[derive(Debug, Clone, Copy)]
enum End {
    Value(f64),
    Base,
    First,
}

#[derive(Debug, Clone)]
struct Warmed {
    start: f64,
    /// The last tick of the warm-up, at which its end is reached.
    last: u64,
    end: End,
    then: Box<dyn Schedule>,
}

impl Warmed {
    /// The rate the warm-up leads to.
    fn end(&self, base_lr: f64) -> f64 {
        match self.end {
            End::Value(value) => value,
            End::Base => base_lr,
            End::First => self.then.lr(base_lr, 0),
        }
    }

    /// The tick at which the schedule behind the warm-up starts.
    fn starts(&self, base_lr: f64) -> u64 {
        if let End::First = self.end {
            return self.last;
        }
        let (first, end) = (self.then.lr(base_lr, 0), self.end(base_lr));
        let same = (first - end).abs() <= 1e-14 * first.abs().max(end.abs());
        if same { self.last } else { self.last + 1 }
    }
}

impl Schedule for Warmed {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        if tick >= self.last {
            let starts = self.starts(base_lr);
            if tick >= starts {
                return self.then.lr(base_lr, tick - starts);
            }
        }
        self.start + (self.end(base_lr) - self.start) * count(tick) / count(self.last)
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        self.then.momentum(tick.saturating_sub(self.last))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks = vec![ScheduleMark::new(0, "warm-up"), ScheduleMark::new(self.last, "schedule")];
        marks.extend(ScheduleMark::shifted(self.then.marks(), self.last));
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let end = self.end(base_lr);
        Some(hull(hull((self.start, self.start), (end, end)), self.then.bounds(base_lr)?))
    }
}
