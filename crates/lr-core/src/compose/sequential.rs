//! One schedule after the other.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use super::{check_monitors, of_parts, place};
use crate::math::reached;
use crate::{Clock, Duration, Schedule, ScheduleConfig, ScheduleMark, StateError, StateReader, StateWriter, Strategy};

/// One schedule after the other; each starts at its own tick 0, from the base rate, as torch's `SequentialLR` does.
///
/// With milestones `m1 <= m2 <= ...` part 0 gives the ticks `[0, m1)`, part `i` the ticks `[m_i, m_(i+1))` as its
/// ticks `0, 1, ...`, the last part all that is left. A part between two equal milestones is passed over.
///
/// Durations such as `"rest"` inside a part count from where that part starts.
///
/// ```
/// use lr_core::{Clock, Constant, Exponential, ScheduleConfig, Sequential, Strategy};
/// let warm = ScheduleConfig::new(Constant { factor: 0.5, ..Constant::new(10) });
/// let fall = ScheduleConfig::new(Exponential::new(0.5));
/// let s = Sequential::new(vec![warm, fall], [2]).build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 3, 4].map(|t| s.lr(0.8, t)), [0.4, 0.4, 0.8, 0.4, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequential {
    /// The parts, at least one.
    pub schedules: Vec<ScheduleConfig>,
    /// Where part 1, 2, ... begin, counted from the start of the whole: one less than parts, not decreasing.
    pub milestones: Vec<Duration>,
}

impl Sequential {
    /// `schedules` one after the other, changing at `milestones`.
    pub fn new<D: Into<Duration>>(schedules: Vec<ScheduleConfig>, milestones: impl IntoIterator<Item = D>) -> Self {
        Self { schedules, milestones: milestones.into_iter().map(Into::into).collect() }
    }
}

impl Strategy for Sequential {
    const NAME: &'static str = "sequential";
    const SUMMARY: &'static str = "one schedule after the other, changing at milestones";
    const EXAMPLE: &'static str = "type = 'sequential'\nmilestones = [5]\nschedules = [\n  { type = 'linear', start_factor = 0.1, total_iters = 5 },\n  { type = 'exponential', gamma = 0.95 },\n]";

    fn check(&self) -> Result<(), ConfigError> {
        if self.schedules.is_empty() {
            return Err(ConfigError::not_allowed("schedules", "an empty array", "at least one schedule"));
        }
        if self.milestones.len() + 1 != self.schedules.len() {
            let message = format!(
                "{} schedules need {} milestones, not {}",
                self.schedules.len(),
                self.schedules.len() - 1,
                self.milestones.len()
            );
            return Err(ConfigError::conflict("milestones", message));
        }
        for (i, milestone) in self.milestones.iter().enumerate() {
            milestone.check(&format!("milestones[{i}]"), 0)?;
        }
        // Milestones in plain ticks can be compared without knowing the run; the others when it is known.
        for (i, pair) in self.milestones.windows(2).enumerate() {
            if let [Duration::Ticks(before), Duration::Ticks(after)] = *pair {
                check_order(i + 1, before, after)?;
            }
        }
        check_monitors("schedules", &self.schedules)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut milestones = Vec::with_capacity(self.milestones.len());
        for (i, milestone) in self.milestones.iter().enumerate() {
            let tick = milestone.ticks(&format!("milestones[{i}]"), 0, clock)?;
            check_order(i, milestones.last().copied().unwrap_or(0), tick)?;
            milestones.push(tick);
        }
        let starts = std::iter::once(0).chain(milestones.iter().copied());
        let parts =
            self.schedules.iter().zip(starts).enumerate().map(|(i, (part, start))| {
                part.build_part(&clock.later(start)).map_err(|error| error.within(&place(i)))
            });
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Box::new(SequentialSchedule { parts, milestones }))
    }

    of_parts!(self, self.schedules, peak);
}

fn check_order(i: usize, before: u64, after: u64) -> Result<(), ConfigError> {
    if before <= after {
        return Ok(());
    }
    Err(ConfigError::not_allowed(format!("milestones[{i}]"), after, format!("at least the milestone before, {before}")))
}

/// The schedule of [`Sequential`], for parts written in Rust.
///
/// ```
/// use lr_core::{Lambda, Schedule, SequentialSchedule};
/// let up = Lambda::new("up", |t| t as f64 / 4.0);
/// let flat = Lambda::new("flat", |_| 1.0);
/// let s = SequentialSchedule::new(vec![Box::new(up), Box::new(flat)], vec![4])?;
/// assert_eq!([0, 2, 4, 9].map(|t| s.lr(1.0, t)), [0.0, 0.5, 1.0, 1.0]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SequentialSchedule {
    parts: Vec<Box<dyn Schedule>>,
    milestones: Vec<u64>,
}

impl SequentialSchedule {
    /// `parts` one after the other, changing at `milestones`.
    ///
    /// # Errors
    /// No parts, milestones that are not one less than parts, or that decrease.
    pub fn new(parts: Vec<Box<dyn Schedule>>, milestones: Vec<u64>) -> Result<Self, ConfigError> {
        if milestones.len() + 1 != parts.len() {
            let message = format!("{} schedules and {} milestones do not fit", parts.len(), milestones.len());
            return Err(ConfigError::conflict("milestones", message));
        }
        for (i, pair) in milestones.windows(2).enumerate() {
            check_order(i + 1, pair[0], pair[1])?;
        }
        Ok(Self { parts, milestones })
    }

    /// The part that gives `tick`, and that part's own tick.
    fn at(&self, tick: u64) -> (usize, u64) {
        let index = reached(&self.milestones, tick);
        let start = index.checked_sub(1).map_or(0, |i| self.milestones[i]);
        (index, tick - start)
    }
}

impl Schedule for SequentialSchedule {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let (index, tick) = self.at(tick);
        self.parts[index].lr(base_lr, tick)
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        let (index, tick) = self.at(tick);
        self.parts[index].momentum(tick)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let starts = std::iter::once(0).chain(self.milestones.iter().copied());
        let mut marks = Vec::new();
        for (i, (part, start)) in self.parts.iter().zip(starts).enumerate() {
            let end = self.milestones.get(i).copied().unwrap_or(u64::MAX);
            if start >= end {
                continue;
            }
            if i > 0 {
                marks.push(ScheduleMark::new(start, format!("part {}", i + 1)));
            }
            marks.extend(ScheduleMark::shifted(part.marks(), start).into_iter().filter(|mark| mark.tick < end));
        }
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        self.parts.iter().map(|part| part.bounds(base_lr)).reduce(|a, b| {
            let (a, b) = (a?, b?);
            Some((a.0.min(b.0), a.1.max(b.1)))
        })?
    }

    fn is_reactive(&self) -> bool {
        self.parts.iter().any(|part| part.is_reactive())
    }

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        let (index, own) = self.at(tick);
        self.parts[index].observe(own, from.saturating_sub(tick - own), metric);
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        for (i, part) in self.parts.iter().enumerate() {
            part.save(&mut state.part(i));
        }
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        self.parts.iter_mut().enumerate().try_for_each(|(i, part)| part.load(&state.part(i)))
    }
}
