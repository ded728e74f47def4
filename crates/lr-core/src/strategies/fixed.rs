//! The base rate, always.

use strict_config::ConfigError;
use toml::Table;

use crate::{Clock, Entry, Interval, Schedule, Strategy};

/// The base rate, always: `lr(t) = base`. No fields.
///
/// ```
/// use lr_core::{Fixed, Schedule};
/// assert_eq!([0, 1, 1_000_000].map(|t| Fixed.lr(0.1, t)), [0.1, 0.1, 0.1]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fixed;

impl Fixed {
    pub(crate) fn entry() -> Entry {
        Entry::new("fixed", "the base rate, always", Interval::Epoch, &[], "type = 'fixed'", |_, _| Ok(Self))
    }
}

impl Strategy for Fixed {
    fn type_name(&self) -> &'static str {
        "fixed"
    }

    fn fields(&self) -> Table {
        Table::new()
    }

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
