//! `constant_schedule`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::port::{Absolute, Curve};
use crate::{Clock, Interval, Schedule, Strategy};

/// optax's `constant_schedule`: `value`, always.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantSchedule {
    /// The rate, at least 0.
    pub value: f64,
}

impl Strategy for ConstantSchedule {
    const NAME: &'static str = "optax/constant_schedule";
    const SUMMARY: &'static str = "optax: one rate, always";
    const EXAMPLE: &'static str = "type = 'optax/constant_schedule'\nvalue = 0.1";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("value", self.value)
    }

    fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(Level(self.value))))
    }
}

#[derive(Debug, Clone)]
struct Level(f64);

impl Curve for Level {
    fn rate(&self, _tick: u64) -> f64 {
        self.0
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some((self.0, self.0))
    }
}
