//! Schedules made of schedules: one after the other, multiplied, scaled, behind a warm-up.

mod chained;
mod per_epoch;
mod scaled;
mod sequential;
mod warmup;

pub use chained::{Chained, ChainedSchedule};
pub(crate) use per_epoch::PerEpoch;
pub use scaled::{Scaled, ScaledSchedule};
pub use sequential::{Sequential, SequentialSchedule};
pub use warmup::{WarmUp, WarmUpKind, WarmedUp};

use strict_config::ConfigError;
use toml::Value;

use crate::strategy::array;
use crate::{Registry, ScheduleConfig};

/// Registers the compositions that have a name; a warm-up is a field of every table instead.
pub(crate) fn register(registry: &mut Registry) {
    registry.register(Sequential::entry());
    registry.register(Chained::entry());
    registry.register(Scaled::entry());
}

/// The parts as a config writes them.
fn tables(parts: &[ScheduleConfig]) -> Value {
    array(parts, |part| Value::Table(part.part_table()))
}

/// The one metric that the parts want; the first where they differ, which [`check_monitors`] refuses.
fn monitor(parts: &[ScheduleConfig]) -> Option<&str> {
    parts.iter().find_map(ScheduleConfig::monitor)
}

/// Parts are fed with one metric, so they cannot watch several.
fn check_monitors(parts: &[ScheduleConfig]) -> Result<(), ConfigError> {
    let mut watched = parts.iter().filter_map(ScheduleConfig::monitor);
    let Some(first) = watched.next() else { return Ok(()) };
    match watched.find(|other| *other != first) {
        None => Ok(()),
        Some(other) => Err(ConfigError::conflict(
            "schedules",
            format!("one part watches `{first}` and another `{other}`; a schedule is fed with one metric"),
        )),
    }
}

/// The place of part `i` in errors.
fn place(i: usize) -> String {
    format!("schedules[{i}]")
}
