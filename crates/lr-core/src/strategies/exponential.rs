//! Exponential decay: torch's `ExponentialLR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::math::{Powers, decay_bounds, scaled};
use crate::{Clock, Schedule, Strategy};

/// Multiplies by `gamma` at every tick: `lr(t) = base * gamma^t`. torch's `ExponentialLR`.
///
/// ```
/// use lr_core::{Clock, Exponential, Strategy};
/// let s = Exponential::new(0.5).build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 10].map(|t| s.lr(1.0, t)), [1.0, 0.5, 0.25, 0.0009765625]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// The factor of each tick, at least 0. Above 1 the rate grows, up to the largest `f64`.
    pub gamma: f64,
}

impl Exponential {
    /// `gamma` per tick.
    pub fn new(gamma: f64) -> Self {
        Self { gamma }
    }
}

impl Strategy for Exponential {
    const NAME: &'static str = "exponential";
    const SUMMARY: &'static str = "multiplied by gamma at every tick (torch ExponentialLR)";
    const EXAMPLE: &'static str = "type = 'exponential'\ngamma = 0.95";

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("gamma", self.gamma)
    }

    fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Decay { gamma: self.gamma, powers: Powers::new(self.gamma) }))
    }
}

#[derive(Debug, Clone)]
struct Decay {
    gamma: f64,
    powers: Powers,
}

impl Schedule for Decay {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.powers.of(tick))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        decay_bounds(base_lr, self.gamma)
    }
}
