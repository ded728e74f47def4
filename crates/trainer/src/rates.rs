//! The rates of a run: one schedule for all parameters, and others for groups of parameters.

use lr_core::{ScheduleState, Scheduler, StateError};
use optim_adaptive::{AdaptiveOptimizer, StepRates};
use strict_config::ConfigError;

/// The schedule of a run, and those of the parameter groups that have one of their own.
///
/// Groups are the optimizer's, by index. A group without a schedule follows that of the run; its `lr_scale` is the
/// optimizer's business.
#[derive(Debug)]
pub struct Rates {
    base: Watched,
    /// By index of the group.
    groups: Vec<(usize, Watched)>,
}

/// A schedule, and the value that it waits for if it is reactive.
#[derive(Debug)]
struct Watched {
    schedule: Scheduler,
    monitor: Option<String>,
}

impl Watched {
    fn new(schedule: Scheduler, monitor: Option<String>) -> Self {
        let monitor = schedule.is_reactive().then(|| monitor.unwrap_or_else(|| "valid.loss".to_owned()));
        Self { schedule, monitor }
    }
}

impl Rates {
    /// One schedule for all parameters.
    pub fn new(base: Scheduler) -> Self {
        Self { base: Watched::new(base, None), groups: Vec::new() }
    }

    /// What a reactive base schedule is fed with after each validation; `valid.loss` unless said.
    #[must_use]
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.base = Watched::new(self.base.schedule, Some(name.into()));
        self
    }

    /// The optimizer's group of this index under a schedule of its own, which is fed with `monitor` (`valid.loss` unless
    /// said) if it is reactive.
    #[must_use]
    pub fn with_group(mut self, group: usize, schedule: Scheduler, monitor: Option<String>) -> Self {
        self.groups.push((group, Watched::new(schedule, monitor)));
        self
    }

    /// The base rate of optimizer step `step` (from 0).
    pub fn base(&self, step: u64) -> f64 {
        self.base.schedule.lr(0, step)
    }

    /// The momentum (or beta1) of optimizer step `step`, where the schedule cycles it.
    pub fn momentum(&self, step: u64) -> Option<f64> {
        self.base.schedule.momentum(step)
    }

    /// Sets the momentum of optimizer step `step`: that of the base schedule where it cycles it, and in a group with a
    /// schedule of its own what that schedule says, which is the configured momentum where it does not cycle it. torch
    /// cycles the momentum of each group likewise.
    pub fn set_momentum(&self, step: u64, optimizer: &AdaptiveOptimizer) {
        if let Some(momentum) = self.momentum(step) {
            optimizer.momentum().set(momentum);
        }
        for (group, own) in &self.groups {
            let Some(handle) = optimizer.momentum_of(*group) else { continue };
            if let Some(momentum) = own.schedule.momentum(step).or_else(|| handle.configured()) {
                handle.set(momentum);
            }
        }
    }

    /// Refuses to cycle a momentum that the optimizer (of the group) does not have, as torch does.
    ///
    /// # Errors
    /// [`ConfigError`] at `schedule.cycle_momentum` or `groups[i].schedule.cycle_momentum`.
    pub fn check_momentum(&self, optimizer: &AdaptiveOptimizer) -> Result<(), ConfigError> {
        let base = (String::new(), &self.base, optimizer.config(), optimizer.momentum());
        let of_groups = self.groups.iter().filter_map(|(group, own)| {
            let config = optimizer.groups().get(*group)?.optimizer.as_ref().unwrap_or(optimizer.config());
            Some((format!("groups[{group}]."), own, config, optimizer.momentum_of(*group)?))
        });
        for (path, Watched { schedule, .. }, config, momentum) in std::iter::once(base).chain(of_groups) {
            if schedule.momentum(0).is_some() && momentum.configured().is_none() {
                let whose = if config.supports_momentum() { "one for all parameters" } else { "none" };
                let message = format!(
                    "`{}` cycles the momentum, and the optimizer `{}` has {whose}; set cycle_momentum = false",
                    schedule.name(),
                    config.type_name()
                );
                return Err(ConfigError::conflict(format!("{path}schedule.cycle_momentum"), message));
            }
        }
        Ok(())
    }

    /// The rates of optimizer step `step`.
    pub fn at(&self, step: u64) -> StepRates {
        self.at_base(step, self.base(step))
    }

    /// As [`at`](Self::at), with another base rate: groups with a schedule of their own keep their ratio to the rate that
    /// the base schedule gives. The finder's ramp uses it.
    pub fn at_base(&self, step: u64, base: f64) -> StepRates {
        let scheduled = self.base(step);
        let ratio = if scheduled > 0.0 { base / scheduled } else { 1.0 };
        let of_groups = self.groups.iter().map(|(group, own)| (*group, own.schedule.lr(0, step) * ratio));
        of_groups.fold(base.into(), |rates: StepRates, (group, lr)| rates.with_group(group, lr))
    }

    /// The names of the values that reactive schedules wait for.
    pub fn monitors(&self) -> Vec<String> {
        let mut names: Vec<String> = self.watched().filter_map(|own| own.monitor.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Feeds the value called `monitor` to the reactive schedules that wait for it, after optimizer step `step` (from 0).
    pub fn observe(&mut self, monitor: &str, step: u64, value: f64) {
        for own in self.watched_mut().filter(|own| own.monitor.as_deref() == Some(monitor)) {
            own.schedule.observe(step, value);
        }
    }

    /// The states of all schedules, the base first.
    pub fn state(&self) -> Vec<ScheduleState> {
        self.watched().map(|own| own.schedule.state()).collect()
    }

    /// Restores what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A state of another strategy, another config or another number of groups.
    pub fn try_load(&mut self, states: &[ScheduleState]) -> Result<(), RatesError> {
        let here = self.watched().count();
        if states.len() != here {
            return Err(RatesError::Groups { saved: states.len(), here });
        }
        for (own, state) in self.watched_mut().zip(states) {
            own.schedule.try_load(state)?;
        }
        Ok(())
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        std::iter::once(&self.base).chain(self.groups.iter().map(|(_, own)| own))
    }

    fn watched_mut(&mut self) -> impl Iterator<Item = &mut Watched> {
        std::iter::once(&mut self.base).chain(self.groups.iter_mut().map(|(_, own)| own))
    }
}

/// Saved schedules do not fit those of the run.
#[derive(Debug, thiserror::Error)]
pub enum RatesError {
    /// Another number of schedules.
    #[error("the checkpoint holds {saved} schedules, this run has {here}")]
    Groups {
        /// In the checkpoint.
        saved: usize,
        /// In this run.
        here: usize,
    },
    /// One does not fit.
    #[error(transparent)]
    State(#[from] StateError),
}
