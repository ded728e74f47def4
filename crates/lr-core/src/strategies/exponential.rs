//! Exponential decay: torch's `ExponentialLR`.

use strict_config::{ConfigError, Fields};
use toml::Table;

use super::step::decay_bounds;
use crate::math::scaled;
use crate::strategy::{check, table};
use crate::{Clock, Entry, Interval, Schedule, Scope, Strategy};

/// Multiplies by `gamma` at every tick: `lr(t) = base * gamma^t`. torch's `ExponentialLR`.
///
/// ```
/// use lr_core::{Clock, Exponential, Strategy};
/// let s = Exponential::new(0.5).build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 10].map(|t| s.lr(1.0, t)), [1.0, 0.5, 0.25, 0.0009765625]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Exponential {
    /// The factor of each tick, at least 0. Above 1 the rate grows, up to the largest `f64`.
    pub gamma: f64,
}

impl Exponential {
    /// `gamma` per tick.
    pub fn new(gamma: f64) -> Self {
        Self { gamma }
    }

    pub(crate) fn entry() -> Entry {
        Entry::new(
            "exponential",
            "multiplied by gamma at every tick (torch ExponentialLR)",
            Interval::Epoch,
            &["gamma"],
            "type = 'exponential'\ngamma = 0.95",
            Self::read,
        )
    }

    fn read(fields: &Fields<'_>, _: &Scope<'_>) -> Result<Self, ConfigError> {
        Ok(Self { gamma: fields.need_f64("gamma", "the factor of each tick")? })
    }
}

impl Strategy for Exponential {
    fn type_name(&self) -> &'static str {
        "exponential"
    }

    fn fields(&self) -> Table {
        table([("gamma", self.gamma.into())])
    }

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("gamma", self.gamma)
    }

    fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Decay { gamma: self.gamma }))
    }
}

#[derive(Debug, Clone)]
struct Decay {
    gamma: f64,
}

impl Schedule for Decay {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.gamma.powf(tick as f64))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        decay_bounds(base_lr, self.gamma)
    }
}
