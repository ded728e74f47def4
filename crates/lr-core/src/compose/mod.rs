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

use crate::{Registry, ScheduleConfig};

/// Registers the compositions that have a name; a warm-up is a field of every table instead.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<Sequential>();
    registry.register::<Chained>();
    registry.register::<Scaled>();
}

/// Methods of a [`Strategy`](crate::Strategy) that is made of others: what its parts say. With `peak`, the highest rate that
/// a part sets itself is its own.
macro_rules! of_parts {
    ($self:ident, $parts:expr, peak) => {
        $crate::compose::of_parts!($self, $parts);

        fn peak(&$self) -> Option<f64> {
            $parts.iter().filter_map($crate::ScheduleConfig::peak).reduce(f64::max)
        }
    };
    ($self:ident, $parts:expr) => {
        fn sets_momentum(&$self) -> bool {
            $parts.iter().any($crate::ScheduleConfig::sets_momentum)
        }

        // They have one: `check_monitors` refuses others.
        fn monitor(&$self) -> Option<&str> {
            $parts.iter().find_map($crate::ScheduleConfig::monitor)
        }
    };
}
pub(crate) use of_parts;

/// Parts are fed with one metric, so they cannot watch several.
pub(crate) fn check_monitors(field: &str, parts: &[ScheduleConfig]) -> Result<(), ConfigError> {
    let mut watched = parts.iter().filter_map(ScheduleConfig::monitor);
    let Some(first) = watched.next() else { return Ok(()) };
    match watched.find(|other| *other != first) {
        None => Ok(()),
        Some(other) => Err(ConfigError::conflict(
            field,
            format!("one part watches `{first}` and another `{other}`; a schedule is fed with one metric"),
        )),
    }
}

/// The place of part `i` in errors.
fn place(i: usize) -> String {
    format!("schedules[{i}]")
}
