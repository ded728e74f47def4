//! `ConcatScheduler`.

use strict_config::ConfigError;

use crate::port::settings::{Port, settings};
use crate::{Clock, Duration, Interval, Schedule, ScheduleConfig, SequentialSchedule};

settings! {
    /// ignite's `ConcatScheduler`: one scheduler after the other, each for its duration from its own tick 0; the last one
    /// without an end. It is our [`Sequential`](crate::Sequential) with durations in place of milestones.
    ConcatScheduler = "ignite/ConcatScheduler", "ignite: one scheduler after the other", Interval::Step;
    required {
        /// The parts, at least two: tables with a `type`.
        schedulers: Vec<ScheduleConfig>,
        /// How long each part but the last lasts, at least 1.
        durations: Vec<Duration>,
    }
    optional {}
    example "type = 'ignite/ConcatScheduler'\ndurations = [500]\nschedulers = [\n  { type = 'ignite/LinearCyclicalScheduler', start_value = 0.0, end_value = 0.1, cycle_size = 1000 },\n  { type = 'ignite/CosineAnnealingScheduler', start_value = 0.1, end_value = 0.01, cycle_size = 1000 },\n]"
}

impl Port for ConcatScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
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
        let mut watched = self.schedulers.iter().filter_map(ScheduleConfig::monitor);
        if let Some(first) = watched.next()
            && let Some(other) = watched.find(|other| *other != first)
        {
            let message =
                format!("one part watches `{first}` and another `{other}`; a schedule is fed with one metric");
            return Err(ConfigError::conflict("schedulers", message));
        }
        Ok(())
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
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

    fn watches(&self) -> Option<&str> {
        self.schedulers.iter().find_map(ScheduleConfig::monitor)
    }

    fn has_momentum(&self) -> bool {
        self.schedulers.iter().any(ScheduleConfig::sets_momentum)
    }
}
