//! `StepLRScheduler`.

use serde::{Deserialize, Deserializer, Serialize};
use strict_config::{ConfigError, by_value, check};
use toml::Value;

use super::{WarmUpEnd, interval_of_t_in_epochs, scheduler};
use crate::defaults::{one, yes};
use crate::math::{Powers, count, scaled};
use crate::{Clock, Duration, Schedule, Strategy};

/// The time between two drops, which timm allows to be a part of a tick: `2.4`, or any [`Duration`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Period {
    /// Ticks and parts of them.
    Ticks(f64),
    /// A duration.
    Duration(Duration),
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_value(deserializer, "a number of ticks, or a duration such as \"5ep\"", |value| match value {
            Value::Float(ticks) => Some(Ok(Self::Ticks(*ticks))),
            Value::Integer(_) | Value::String(_) => Some(Duration::parse(value, "").map(Self::Duration)),
            _ => None,
        })
    }
}

scheduler! {
    /// timm's `StepLRScheduler`: `lr(t) = base * decay_rate^floor(t / decay_t)`, behind a warm-up.
    ///
    /// Over the first `warmup_t` ticks a line from `warmup_lr_init` to the base rate; `t` is counted from its end, or
    /// from the start with `warmup_prefix = false`.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::StepLRScheduler};
    /// let s = StepLRScheduler::from_toml_str("decay_t = 2.5\ndecay_rate = 0.5")?.build(&Clock::unknown())?;
    /// assert_eq!([0, 2, 3, 4, 5].map(|t| s.lr(0.4, t)), [0.4, 0.4, 0.2, 0.2, 0.1]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct StepLRScheduler {
        /// Ticks between two drops, above 0; parts of a tick are allowed.
        pub decay_t: Period,
        /// The factor of each drop, at least 0; default 1.
        #[serde(default = "one")]
        pub decay_rate: f64,
        /// Whether the drops are counted from the end of the warm-up; default yes.
        #[serde(default = "yes")]
        pub warmup_prefix: bool,
    }
}

impl Strategy for StepLRScheduler {
    const NAME: &'static str = "timm/StepLRScheduler";
    const SUMMARY: &'static str = "timm: multiplied by decay_rate every decay_t ticks, with warm-up";
    const EXAMPLE: &'static str =
        "type = 'timm/StepLRScheduler'\ndecay_t = 2.4\ndecay_rate = 0.97\nwarmup_t = 5\nwarmup_lr_init = 1e-6";

    fn check(&self) -> Result<(), ConfigError> {
        match &self.decay_t {
            Period::Ticks(ticks) => check::positive("decay_t", *ticks)?,
            Period::Duration(duration) => duration.check("decay_t", 1)?,
        }
        check::non_negative("decay_rate", self.decay_rate)?;
        self.common(self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.common(self.warmup_prefix).around(clock, WarmUpEnd::Base, |clock| {
            let decay_t = match &self.decay_t {
                Period::Ticks(ticks) => *ticks,
                Period::Duration(duration) => duration.ticks("decay_t", 1, clock)? as f64,
            };
            Ok(Steps { period: decay_t, decay_rate: self.decay_rate, powers: Powers::new(self.decay_rate) })
        })
    }

    interval_of_t_in_epochs!();
}

#[derive(Debug, Clone)]
struct Steps {
    /// The ticks between two drops.
    period: f64,
    decay_rate: f64,
    powers: Powers,
}

impl Schedule for Steps {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.powers.of(floor_div(count(tick), self.period) as u64))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        (self.decay_rate <= 1.0).then_some((0.0, base_lr))
    }
}

/// Python's `a // b` of floats, which goes by the exact remainder: `floor(a / b)` may be one more where the quotient
/// rounds up to a whole number.
fn floor_div(a: f64, b: f64) -> f64 {
    ((a - a % b) / b).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_as_python_counts_them() {
        // Both quotients round to a whole number; the first one is less.
        assert_eq!([floor_div(1.0, 0.1), floor_div(6.0, 0.3)], [9.0, 20.0]);
    }
}
