//! `linear_onecycle_schedule` and `cosine_onecycle_schedule`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::piecewise::{Interpolate, Path};
use crate::defaults::{div_factor, final_div_factor, pct_start};
use crate::port::Absolute;
use crate::{Clock, Duration, Interval, Schedule, Strategy};

/// optax's `linear_onecycle_schedule` (Smith and Topin, "Super-Convergence", 2017): lines from
/// `peak_value / div_factor` up to `peak_value`, back down, and on to the last rate.
///
/// With `T = transition_steps` they meet at `floor(pct_start T)`, `floor(pct_final T)` and `T`. The last rate is
/// `peak_value / div_factor / final_div_factor`. Where two boundaries fall on the same tick, the later one counts, as
/// in optax's dictionary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearOnecycleSchedule {
    /// `T`, the length of the whole, at least 1.
    pub transition_steps: Duration,
    /// The highest rate, at least 0.
    pub peak_value: f64,
    /// The part of the cycle in which the rate rises, 0 to 1; default 0.3.
    #[serde(default = "pct_start")]
    pub pct_start: f64,
    /// The part of the cycle at whose end the rate is back at the first one, 0 to 1; default 0.85.
    #[serde(default = "pct_final")]
    pub pct_final: f64,
    /// How much smaller the first rate is than the highest, above 0; default 25.
    #[serde(default = "div_factor")]
    pub div_factor: f64,
    /// How much smaller the last rate is than the first, above 0; default 10 000.
    #[serde(default = "final_div_factor")]
    pub final_div_factor: f64,
}

fn pct_final() -> f64 {
    0.85
}

impl Strategy for LinearOnecycleSchedule {
    const NAME: &'static str = "optax/linear_onecycle_schedule";
    const SUMMARY: &'static str = "optax: one cycle of three lines";
    const EXAMPLE: &'static str = "type = 'optax/linear_onecycle_schedule'\ntransition_steps = 1000\npeak_value = 0.1";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("peak_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check_part("pct_final", self.pct_final)?;
        check_cycle(&self.transition_steps, self.peak_value, self.pct_start, self.div_factor, self.final_div_factor)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let steps = self.transition_steps.ticks("transition_steps", 1, clock)?;
        let scales = BTreeMap::from([
            (part(self.pct_start, steps), self.div_factor),
            (part(self.pct_final, steps), 1.0 / self.div_factor),
            (steps, 1.0 / self.final_div_factor),
        ]);
        Ok(Box::new(Absolute(Path::new(Interpolate::Linear, self.peak_value / self.div_factor, &scales)?)))
    }
}

/// optax's `cosine_onecycle_schedule` (Smith and Topin, "Super-Convergence", 2017): half cosines from
/// `peak_value / div_factor` up to `peak_value` at `floor(pct_start * transition_steps)`, and down to
/// `peak_value / (div_factor * final_div_factor)` at `transition_steps`.
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::CosineOnecycleSchedule};
/// let fields = "transition_steps = 10\npeak_value = 0.5";
/// let s = CosineOnecycleSchedule::from_toml_str(fields)?.build(&Clock::unknown())?;
/// for (tick, expected) in [(0, 0.02), (3, 0.5), (10, 2e-6), (11, 2e-6)] {
///     assert!((s.lr(1.0, tick) - expected).abs() < 1e-15);
/// }
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineOnecycleSchedule {
    /// The length of the whole, at least 1.
    pub transition_steps: Duration,
    /// The highest rate, at least 0.
    pub peak_value: f64,
    /// The part of the cycle in which the rate rises, 0 to 1; default 0.3.
    #[serde(default = "pct_start")]
    pub pct_start: f64,
    /// How much smaller the first rate is than the highest, above 0; default 25.
    #[serde(default = "div_factor")]
    pub div_factor: f64,
    /// How much smaller the last rate is than the first, above 0; default 10 000.
    #[serde(default = "final_div_factor")]
    pub final_div_factor: f64,
}

impl Strategy for CosineOnecycleSchedule {
    const NAME: &'static str = "optax/cosine_onecycle_schedule";
    const SUMMARY: &'static str = "optax: one cycle of two half cosines";
    const EXAMPLE: &'static str = "type = 'optax/cosine_onecycle_schedule'\ntransition_steps = 1000\npeak_value = 0.1";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("peak_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check_cycle(&self.transition_steps, self.peak_value, self.pct_start, self.div_factor, self.final_div_factor)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let steps = self.transition_steps.ticks("transition_steps", 1, clock)?;
        let scales = BTreeMap::from([
            (part(self.pct_start, steps), self.div_factor),
            (steps, 1.0 / (self.div_factor * self.final_div_factor)),
        ]);
        Ok(Box::new(Absolute(Path::new(Interpolate::Cosine, self.peak_value / self.div_factor, &scales)?)))
    }
}

fn check_part(field: &str, part: f64) -> Result<(), ConfigError> {
    check::number(field, part, "a part of the cycle, 0 to 1", |part| (0.0..=1.0).contains(&part))
}

fn check_cycle(
    transition_steps: &Duration,
    peak_value: f64,
    pct_start: f64,
    div_factor: f64,
    final_div_factor: f64,
) -> Result<(), ConfigError> {
    transition_steps.check("transition_steps", 1)?;
    check::non_negative("peak_value", peak_value)?;
    check_part("pct_start", pct_start)?;
    check::positive("div_factor", div_factor)?;
    check::positive("final_div_factor", final_div_factor)
}

/// The tick at a part of the cycle, rounded down.
fn part(part: f64, steps: u64) -> u64 {
    (part * steps as f64) as u64
}
