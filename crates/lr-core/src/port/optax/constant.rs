//! `constant_schedule`.

use strict_config::ConfigError;

use crate::port::settings::{Port, settings};
use crate::port::{Absolute, Curve};
use crate::strategy::check;
use crate::{Clock, Interval, Schedule};

settings! {
    /// optax's `constant_schedule`: `value`, always.
    ConstantSchedule = "optax/constant_schedule", "optax: one rate, always", Interval::Step;
    required {
        /// The rate, at least 0.
        value: f64,
    }
    optional {}
    example "type = 'optax/constant_schedule'\nvalue = 0.1"
}

impl Port for ConstantSchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        check::non_negative("value", self.value)
    }

    fn schedule(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
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
