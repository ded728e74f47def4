//! The runtime: one schedule over the parameter groups that share it, asked by optimizer step.

use std::collections::BTreeMap;

use strict_config::ConfigError;

use crate::state::{ScheduleState, StateError, StateReader, StateWriter};
use crate::time::{Clock, Horizon, Interval};
use crate::{Schedule, ScheduleConfig, ScheduleMark};

/// The most marks of a kind that a plot can show.
const MOST_SHOWN: usize = 40;

/// A schedule at work: it knows the base rates of its parameter groups and how steps become ticks.
///
/// Asking changes nothing and needs no memory; only [`observe`](Self::observe) and
/// [`try_load`](Self::try_load) do.
///
/// ```
/// use lr_core::{Horizon, ScheduleConfig, Scheduler};
/// let config = ScheduleConfig::from_toml_str("type = 'exponential'\ngamma = 0.5")?;
/// let scheduler = Scheduler::from_config(&config, &Horizon::run(100, 1_000), vec![0.1, 0.2])?;
/// assert_eq!(scheduler.lr(0, 99), 0.1); // the last step of the first epoch
/// assert_eq!(scheduler.lr(1, 100), 0.1); // the second group, one epoch later
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scheduler {
    schedule: Box<dyn Schedule>,
    name: String,
    fingerprint: String,
    interval: Interval,
    /// Steps in a tick: 1, or those of an epoch.
    steps_per_tick: u64,
    /// Whether that is known; if not, it is 1.
    counts_steps: bool,
    /// Whether the warm-up is of one tick that changes nothing.
    pub(crate) idle_warmup: bool,
    base_lrs: Vec<f64>,
}

impl Scheduler {
    /// The schedule of a config, for parameter groups with these base rates. Where the horizon does not know the steps per
    /// epoch, a per-epoch schedule can be asked [by tick](Self::lr_at_tick) only ([`counts_steps`](Self::counts_steps)): by
    /// step it would take each step for an epoch.
    ///
    /// # Errors
    /// What cannot be resolved against `horizon`; base rates that are negative or not finite, none at all, or that the
    /// schedule cannot work with. Paths are relative to the schedule's table.
    pub fn from_config(config: &ScheduleConfig, horizon: &Horizon, base_lrs: Vec<f64>) -> Result<Self, ConfigError> {
        let interval = config.interval();
        let clock = Clock::new(*horizon, interval).with_base_lrs(&base_lrs);
        let schedule = config.build_on(&clock)?;
        if base_lrs.is_empty() {
            return Err(ConfigError::missing("lr", "the base rate of at least one parameter group"));
        }
        if let Some(wrong) = base_lrs.iter().find(|lr| !lr.is_finite() || **lr < 0.0) {
            return Err(ConfigError::not_allowed("lr", wrong, "a finite base rate of at least 0"));
        }
        let steps_per_tick = match interval {
            Interval::Step => Some(1),
            Interval::Epoch => horizon.steps_per_epoch(),
        };
        Ok(Self {
            schedule,
            name: config.type_name().to_owned(),
            fingerprint: config.fingerprint(),
            interval,
            steps_per_tick: steps_per_tick.unwrap_or(1),
            counts_steps: steps_per_tick.is_some(),
            idle_warmup: config.warmup().is_some_and(|warmup| warmup.is_idle(&clock)),
            base_lrs,
        })
    }

    /// Whether it can be asked by optimizer step: its ticks are steps, or epochs of a known length.
    pub fn counts_steps(&self) -> bool {
        self.counts_steps
    }

    /// The rate of a group for optimizer step `step` (from 0): finite and at least 0, whatever the schedule says.
    /// A group that does not exist has rate 0.
    #[inline]
    pub fn lr(&self, group: usize, step: u64) -> f64 {
        self.lr_at_tick(group, self.tick_of(step))
    }

    /// The rate of a group at a tick.
    #[inline]
    pub fn lr_at_tick(&self, group: usize, tick: u64) -> f64 {
        self.base_lrs.get(group).map_or(0.0, |base_lr| usable(self.schedule.lr(*base_lr, tick)))
    }

    /// The momentum for a step, where the schedule cycles it.
    #[inline]
    pub fn momentum(&self, step: u64) -> Option<f64> {
        self.momentum_at_tick(self.tick_of(step))
    }

    /// The momentum at a tick.
    #[inline]
    pub fn momentum_at_tick(&self, tick: u64) -> Option<f64> {
        self.schedule.momentum(tick)
    }

    /// The tick that a step belongs to.
    #[inline]
    pub fn tick_of(&self, step: u64) -> u64 {
        step / self.steps_per_tick
    }

    /// What a tick is.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The name of the strategy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fingerprint of the config.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The base rates of the groups.
    pub fn base_lrs(&self) -> &[f64] {
        &self.base_lrs
    }

    /// The schedule itself.
    pub fn schedule(&self) -> &dyn Schedule {
        self.schedule.as_ref()
    }

    /// Where something begins, in ticks.
    pub fn marks(&self) -> Vec<ScheduleMark> {
        self.schedule.marks()
    }

    /// The marks of a run of so many ticks that a plot can show. Those of a kind (`cycle 2`, `cycle 3`, ...) are all there, or
    /// none is where they are more than 40: marks that stop midway would say that the cycles do.
    pub fn marks_within(&self, ticks: u64) -> Vec<ScheduleMark> {
        let kind = |mark: &ScheduleMark| mark.label.trim_end_matches(|c: char| !c.is_alphabetic()).to_owned();
        let within: Vec<ScheduleMark> = self.marks().into_iter().filter(|mark| mark.tick < ticks).collect();
        let mut counts = BTreeMap::new();
        for mark in &within {
            *counts.entry(kind(mark)).or_insert(0_usize) += 1;
        }
        within.into_iter().filter(|mark| counts.get(&kind(mark)).is_none_or(|count| *count <= MOST_SHOWN)).collect()
    }

    /// Whether the rate depends on metrics.
    pub fn is_reactive(&self) -> bool {
        self.schedule.is_reactive()
    }

    /// Feeds a metric measured after `step`; it acts from the next step on, be that of the same tick or of the next.
    pub fn observe(&mut self, step: u64, metric: f64) {
        self.schedule.observe(self.tick_of(step), self.tick_of(step.saturating_add(1)), metric);
    }

    /// Feeds a metric measured at the end of `tick`; it acts from the next tick on.
    pub fn observe_tick(&mut self, tick: u64, metric: f64) {
        self.schedule.observe(tick, tick.saturating_add(1), metric);
    }

    /// What the schedule remembers.
    pub fn state(&self) -> ScheduleState {
        let mut scalars = BTreeMap::new();
        self.schedule.save(&mut StateWriter::new(&mut scalars));
        ScheduleState { strategy: self.name.clone(), fingerprint: self.fingerprint.clone(), scalars }
    }

    /// Restores what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A state of another strategy or config, or one with missing, unknown or impossible values. The scheduler is
    /// then as it was.
    pub fn try_load(&mut self, state: &ScheduleState) -> Result<(), StateError> {
        if state.strategy != self.name {
            return Err(StateError::OtherStrategy { expected: self.name.clone(), found: state.strategy.clone() });
        }
        if state.fingerprint != self.fingerprint {
            return Err(StateError::OtherConfig {
                strategy: self.name.clone(),
                expected: self.fingerprint.clone(),
                found: state.fingerprint.clone(),
            });
        }
        let known = self.state().scalars;
        if let Some(key) = state.scalars.keys().find(|key| !known.contains_key(*key)) {
            return Err(StateError::Unknown { key: key.clone() });
        }
        let mut restored = self.schedule.clone();
        restored.load(&StateReader::new(&state.scalars))?;
        self.schedule = restored;
        Ok(())
    }
}

/// A rate that an optimizer can use, whatever a custom schedule gives: NaN and negative become 0,
/// infinite the largest number.
#[expect(clippy::manual_clamp, reason = "`clamp` would keep a NaN, which `max` passes over")]
fn usable(rate: f64) -> f64 {
    rate.max(0.0).min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_all_there_or_none_of_their_kind_is() {
        let marks = |text: &str, ticks: u64| -> Vec<(u64, String)> {
            let config = ScheduleConfig::from_toml_str(text).expect(text);
            let scheduler = Scheduler::from_config(&config, &Horizon::steps(ticks), vec![0.1]).expect(text);
            scheduler.marks_within(ticks).into_iter().map(|mark| (mark.tick, mark.label)).collect()
        };
        let cyclic = "type = 'cyclic'\nbase_lr = 0.1\nmax_lr = 1\nstep_size_up = 5";
        let of = marks(cyclic, 300);
        assert_eq!(of.len(), 29, "{of:?}");
        assert_eq!(of[28], (290, "cycle 30".to_owned()));
        let restarts = "type = 'cosine_annealing_warm_restarts'\nt_0 = 10\ninterval = 'step'";
        assert_eq!(marks(restarts, 300).len(), 29);
        for text in [cyclic, restarts] {
            assert_eq!(marks(text, 411), [], "more cycles than a plot can tell apart: {text}");
            assert_eq!(marks(text, 1 << 40), [], "{text}");
        }
        // Other marks stay.
        let warm = marks(&format!("{cyclic}\nwarmup = {{ duration = 7, start_factor = 0.1 }}"), 1000);
        assert!(!warm.is_empty() && warm.iter().all(|(_, label)| !label.starts_with("cycle")), "{warm:?}");
    }
}
