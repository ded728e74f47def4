//! The base rate, always.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::{Clock, Schedule, Strategy};

/// The base rate, always: `lr(t) = base`. No fields.
///
/// ```
/// use lr_core::{Fixed, Schedule};
/// assert_eq!([0, 1, 1_000_000].map(|t| Fixed.lr(0.1, t)), [0.1, 0.1, 0.1]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "NoFields", into = "NoFields")]
pub struct Fixed;

/// A table without fields, which serde cannot read as a struct like [`Fixed`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl From<NoFields> for Fixed {
    fn from(_: NoFields) -> Self {
        Self
    }
}

impl From<Fixed> for NoFields {
    fn from(_: Fixed) -> Self {
        Self {}
    }
}

impl Fixed {}

impl Strategy for Fixed {
    const NAME: &'static str = "fixed";
    const SUMMARY: &'static str = "the base rate, always";
    const EXAMPLE: &'static str = "type = 'fixed'";

    fn assemble(&self, _clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(*self))
    }
}

impl Schedule for Fixed {
    fn lr(&self, base_lr: f64, _tick: u64) -> f64 {
        base_lr
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((base_lr, base_lr))
    }
}
