//! `LRScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::compose::of_parts;
use crate::{Clock, Interval, Schedule, ScheduleConfig, Strategy};

/// ignite's `LRScheduler`: a torch scheduler as an ignite handler. Event `i` has the wrapped schedule's rate at tick
/// `i`, so it is that schedule, per step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LRScheduler {
    /// The schedule: a table with a `type`.
    pub lr_scheduler: ScheduleConfig,
}

impl Strategy for LRScheduler {
    const NAME: &'static str = "ignite/LRScheduler";
    const SUMMARY: &'static str = "ignite: a torch schedule, as it is";
    const EXAMPLE: &'static str =
        "type = 'ignite/LRScheduler'\nlr_scheduler = { type = 'step', step_size = 1000, gamma = 0.1 }";
    const INTERVAL: Interval = Interval::Step;

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.lr_scheduler.build_part(clock).map_err(|error| error.within("lr_scheduler"))
    }

    of_parts!(self, std::slice::from_ref(&self.lr_scheduler), peak);
}
