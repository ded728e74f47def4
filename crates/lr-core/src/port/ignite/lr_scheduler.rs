//! `LRScheduler`.

use strict_config::ConfigError;

use crate::port::settings::{Port, settings};
use crate::{Clock, Interval, Schedule, ScheduleConfig};

settings! {
    /// ignite's `LRScheduler`: a torch scheduler as an ignite handler. Event `i` has the wrapped schedule's rate at tick
    /// `i`, so it is that schedule, per step.
    LRScheduler = "ignite/LRScheduler", "ignite: a torch schedule, as it is", Interval::Step;
    required {
        /// The schedule: a table with a `type`.
        lr_scheduler: ScheduleConfig,
    }
    optional {}
    example "type = 'ignite/LRScheduler'\nlr_scheduler = { type = 'step', step_size = 1000, gamma = 0.1 }"
}

impl Port for LRScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.lr_scheduler.build_part(clock).map_err(|error| error.within("lr_scheduler"))
    }

    fn watches(&self) -> Option<&str> {
        self.lr_scheduler.monitor()
    }

    fn has_momentum(&self) -> bool {
        self.lr_scheduler.sets_momentum()
    }
}
