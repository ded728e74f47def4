//! `join_schedules`.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::compose::of_parts;
use crate::{Clock, Duration, Interval, Schedule, ScheduleConfig, Sequential, Strategy};

/// optax's `join_schedules`: one schedule after the other, each from its own tick 0, changing at `boundaries`. It is
/// our [`Sequential`](crate::Sequential) under other field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSchedules {
    /// The parts, at least one: tables with a `type`.
    pub schedules: Vec<ScheduleConfig>,
    /// When part 1, 2, ... begin: one less than parts, in the order of time.
    pub boundaries: Vec<Duration>,
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

impl Strategy for JoinSchedules {
    const NAME: &'static str = "optax/join_schedules";
    const SUMMARY: &'static str = "optax: one schedule after the other";
    const EXAMPLE: &'static str = "type = 'optax/join_schedules'\nboundaries = [100]\nschedules = [\n  { type = 'optax/linear_schedule', init_value = 0.0, end_value = 0.1, transition_steps = 100 },\n  { type = 'optax/exponential_decay', init_value = 0.1, transition_steps = 50, decay_rate = 0.5 },\n]";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        if self.boundaries.len() + 1 != self.schedules.len() {
            let parts = self.schedules.len();
            let found = format!("{} boundaries", self.boundaries.len());
            return Err(ConfigError::not_allowed("boundaries", found, format!("one less than the {parts} schedules")));
        }
        self.translated().check().map_err(renamed)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().build(clock).map_err(renamed)
    }

    of_parts!(self, self.schedules, peak);
}
