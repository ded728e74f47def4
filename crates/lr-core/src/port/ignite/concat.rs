//! `ConcatScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::compose::{check_monitors, of_parts};
use crate::{Clock, Duration, Interval, Schedule, ScheduleConfig, SequentialSchedule, Strategy};

/// ignite's `ConcatScheduler`: one scheduler after the other, each for its duration from its own tick 0; the last one
/// without an end. It is our [`Sequential`](crate::Sequential) with durations in place of milestones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcatScheduler {
    /// The parts, at least two: tables with a `type`.
    pub schedulers: Vec<ScheduleConfig>,
    /// How long each part but the last lasts, at least 1.
    pub durations: Vec<Duration>,
}

impl Strategy for ConcatScheduler {
    const NAME: &'static str = "ignite/ConcatScheduler";
    const SUMMARY: &'static str = "ignite: one scheduler after the other";
    const EXAMPLE: &'static str = "type = 'ignite/ConcatScheduler'\ndurations = [500]\nschedulers = [\n  { type = 'ignite/LinearCyclicalScheduler', start_value = 0.0, end_value = 0.1, cycle_size = 1000 },\n  { type = 'ignite/CosineAnnealingScheduler', start_value = 0.1, end_value = 0.01, cycle_size = 1000 },\n]";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        let parts = self.schedulers.len();
        if parts < 2 {
            return Err(ConfigError::not_allowed("schedulers", format!("{parts} schedulers"), "at least two"));
        }
        if self.durations.len() + 1 != parts {
            let found = format!("{} durations", self.durations.len());
            return Err(ConfigError::not_allowed("durations", found, format!("one less than the {parts} schedulers")));
        }
        for (i, duration) in self.durations.iter().enumerate() {
            duration.check(&format!("durations[{i}]"), 1)?;
        }
        check_monitors("schedulers", &self.schedulers)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut starts = vec![0];
        for (i, duration) in self.durations.iter().enumerate() {
            let ticks = duration.ticks(&format!("durations[{i}]"), 1, &clock.later(starts[i]))?;
            starts.push(starts[i] + ticks);
        }
        let parts = self.schedulers.iter().zip(&starts).enumerate().map(|(i, (part, start))| {
            part.build_part(&clock.later(*start)).map_err(|error| error.within(&format!("schedulers[{i}]")))
        });
        let parts = parts.collect::<Result<_, _>>()?;
        starts.remove(0);
        Ok(Box::new(SequentialSchedule::new(parts, starts)?))
    }

    of_parts!(self, self.schedulers, peak);
}
