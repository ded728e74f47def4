//! The product of several schedules.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use super::{check_monitors, of_parts, place};
use crate::math::{capped, scaled};
use crate::{Clock, Schedule, ScheduleConfig, ScheduleMark, StateError, StateReader, StateWriter, Strategy};

/// The product of the parts' factors: `lr(t) = base * prod_i (schedule_i(t) / base)`.
///
/// The order of the parts does not matter, bit for bit. torch's `ChainedScheduler` multiplies recurrences instead;
/// where a cosine with `eta_min` or past its `t_max` takes part, that is another schedule, which depends on the
/// order. With a base rate of 0 the rate is 0.
///
/// ```
/// use lr_core::{Chained, Clock, Constant, Exponential, ScheduleConfig, Strategy};
/// let parts = vec![
///     ScheduleConfig::new(Constant { factor: 0.5, ..Constant::new(2) }),
///     ScheduleConfig::new(Exponential::new(0.5)),
/// ];
/// let s = Chained::new(parts).build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 3].map(|t| s.lr(0.8, t)), [0.4, 0.2, 0.2, 0.1]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chained {
    /// The parts: at least one, of which at most one sets the momentum.
    pub schedules: Vec<ScheduleConfig>,
}

impl Chained {
    /// The product of `schedules`.
    pub fn new(schedules: Vec<ScheduleConfig>) -> Self {
        Self { schedules }
    }
}

impl Strategy for Chained {
    const NAME: &'static str = "chained";
    const SUMMARY: &'static str = "the product of several schedules' factors";
    const EXAMPLE: &'static str = "type = 'chained'\nschedules = [\n  { type = 'constant', factor = 0.1, total_iters = 5 },\n  { type = 'exponential', gamma = 0.95 },\n]";

    fn check(&self) -> Result<(), ConfigError> {
        check_count(self.schedules.len())?;
        let momenta = self.schedules.iter().filter(|part| part.sets_momentum()).count();
        if momenta > 1 {
            let message = format!("{momenta} parts cycle the momentum; set `cycle_momentum = false` on all but one");
            return Err(ConfigError::conflict("schedules", message));
        }
        check_monitors("schedules", &self.schedules)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut parts = Vec::with_capacity(self.schedules.len());
        for (i, part) in self.schedules.iter().enumerate() {
            let schedule = part.build_part(clock).map_err(|error| error.within(&place(i)))?;
            parts.push((part.canonical(), schedule));
        }
        Ok(Box::new(ChainedSchedule::in_order(parts)))
    }

    of_parts!(self, self.schedules);
}

fn check_count(count: usize) -> Result<(), ConfigError> {
    if count > 0 {
        return Ok(());
    }
    Err(ConfigError::not_allowed("schedules", "an empty array", "at least one schedule"))
}

/// The schedule of [`Chained`], for parts written in Rust. Where several parts give a momentum, the first one's
/// counts.
///
/// The parts are multiplied in a fixed order (by their settings; here, by their `Debug` text), so that rounding
/// cannot depend on the order in which they are given.
#[derive(Debug, Clone)]
pub struct ChainedSchedule {
    /// At least one.
    parts: Vec<Box<dyn Schedule>>,
}

impl ChainedSchedule {
    /// The product of `parts`.
    ///
    /// # Errors
    /// No parts.
    pub fn new(parts: Vec<Box<dyn Schedule>>) -> Result<Self, ConfigError> {
        check_count(parts.len())?;
        Ok(Self::in_order(parts.into_iter().map(|part| (format!("{part:?}"), part)).collect()))
    }

    /// The parts in the order of their keys.
    fn in_order(mut parts: Vec<(String, Box<dyn Schedule>)>) -> Self {
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        Self { parts: parts.into_iter().map(|(_, part)| part).collect() }
    }
}

/// `rate` times the factor that `other` is of `base_lr`. Capped, since `inf` times a later 0 would be NaN.
#[inline]
fn times(rate: f64, other: f64, base_lr: f64) -> f64 {
    capped(rate * capped(other / base_lr))
}

impl Schedule for ChainedSchedule {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let Some((first, others)) = self.parts.split_first() else { return base_lr };
        if base_lr == 0.0 {
            return 0.0;
        }
        let first = capped(first.lr(base_lr, tick));
        others.iter().fold(first, |rate, part| times(rate, part.lr(base_lr, tick), base_lr))
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        self.parts.iter().find_map(|part| part.momentum(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks: Vec<ScheduleMark> = self.parts.iter().flat_map(|part| part.marks()).collect();
        marks.sort_by(|a, b| (a.tick, &a.label).cmp(&(b.tick, &b.label)));
        marks.dedup();
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        if base_lr == 0.0 {
            return Some((0.0, 0.0));
        }
        let mut product = (1.0, 1.0);
        for part in &self.parts {
            let (low, high) = part.bounds(base_lr)?;
            product = (product.0 * (low / base_lr), product.1 * (high / base_lr));
        }
        Some((scaled(base_lr, product.0), scaled(base_lr, product.1)))
    }

    fn is_reactive(&self) -> bool {
        self.parts.iter().any(|part| part.is_reactive())
    }

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        for part in &mut self.parts {
            part.observe(tick, from, metric);
        }
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        for (i, part) in self.parts.iter().enumerate() {
            part.save(&mut state.part(i));
        }
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        self.parts.iter_mut().enumerate().try_for_each(|(i, part)| part.load(&state.part(i)))
    }
}
