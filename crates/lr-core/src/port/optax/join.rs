//! `join_schedules`.

use strict_config::ConfigError;

use crate::port::settings::{Port, settings};
use crate::{Clock, Duration, Interval, Schedule, ScheduleConfig, Sequential, Strategy};

settings! {
    /// optax's `join_schedules`: one schedule after the other, each from its own tick 0, changing at `boundaries`. It is
    /// our [`Sequential`](crate::Sequential) under other field names.
    JoinSchedules = "optax/join_schedules", "optax: one schedule after the other", Interval::Step;
    required {
        /// The parts, at least one: tables with a `type`.
        schedules: Vec<ScheduleConfig>,
        /// When part 1, 2, ... begin: one less than parts, in the order of time.
        boundaries: Vec<Duration>,
    }
    optional {}
    example "type = 'optax/join_schedules'\nboundaries = [100]\nschedules = [\n  { type = 'optax/linear_schedule', init_value = 0.0, end_value = 0.1, transition_steps = 100 },\n  { type = 'optax/exponential_decay', init_value = 0.1, transition_steps = 50, decay_rate = 0.5 },\n]"
}

impl JoinSchedules {
    fn translated(&self) -> Sequential {
        Sequential { schedules: self.schedules.clone(), milestones: self.boundaries.clone() }
    }
}

/// An error about milestones under the name they have here.
fn renamed(mut error: ConfigError) -> ConfigError {
    if let Some(rest) = error.path.strip_prefix("milestones") {
        error.path = format!("boundaries{rest}");
    }
    error
}

impl Port for JoinSchedules {
    fn verify(&self) -> Result<(), ConfigError> {
        if self.boundaries.len() + 1 != self.schedules.len() {
            let parts = self.schedules.len();
            let found = format!("{} boundaries", self.boundaries.len());
            return Err(ConfigError::not_allowed("boundaries", found, format!("one less than the {parts} schedules")));
        }
        self.translated().check().map_err(renamed)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().build(clock).map_err(renamed)
    }

    fn watches(&self) -> Option<&str> {
        self.schedules.iter().find_map(ScheduleConfig::monitor)
    }

    fn has_momentum(&self) -> bool {
        self.schedules.iter().any(ScheduleConfig::sets_momentum)
    }
}
