//! The rates of a run: one schedule for all parameters, and groups of parameters with their own.

use burn::{
    lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    module::ParamGroup,
};
use lr_core::{ScheduleState, Scheduler, StateError};

/// How a group's rate comes from the clock.
#[derive(Debug)]
enum GroupRate {
    /// The base rate times a factor.
    Scale(f64),
    /// A schedule of its own.
    Schedule(Watched),
}

/// The schedule of a run, with parameter groups.
///
/// Groups are matched as burn matches them: the last that fits a parameter wins.
#[derive(Debug)]
pub struct Rates {
    base: Watched,
    groups: Vec<(ParamGroup, GroupRate)>,
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

    /// A group whose rate is the base schedule's times `factor`.
    #[must_use]
    pub fn with_scaled_group(mut self, group: ParamGroup, factor: f64) -> Self {
        self.groups.push((group, GroupRate::Scale(factor)));
        self
    }

    /// A group under a schedule of its own, which is fed with `monitor` (`valid.loss` unless said) if it is reactive.
    #[must_use]
    pub fn with_scheduled_group(mut self, group: ParamGroup, schedule: Scheduler, monitor: Option<String>) -> Self {
        self.groups.push((group, GroupRate::Schedule(Watched::new(schedule, monitor))));
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

    /// The rate of each group at optimizer step `step`, in the order they were added.
    pub fn groups(&self, step: u64) -> Vec<f64> {
        let base = self.base(step);
        self.groups
            .iter()
            .map(|(_, rate)| match rate {
                GroupRate::Scale(factor) => base * factor,
                GroupRate::Schedule(own) => own.schedule.lr(0, step),
            })
            .collect()
    }

    /// What burn's optimizer takes for optimizer step `step`.
    pub fn of_module(&self, step: u64) -> ModuleLearningRate {
        self.of_module_at(step, self.base(step))
    }

    /// As [`of_module`](Self::of_module), with another base rate: scaled groups keep their ratio to it, and groups with
    /// a schedule of their own keep theirs to the rate that the base schedule gives. The finder's ramp uses it.
    pub fn of_module_at(&self, step: u64, base: f64) -> ModuleLearningRate {
        if self.groups.is_empty() {
            return base.into();
        }
        let scheduled = self.base(step);
        // burn builds a rate with groups only by stepping a scheduler of constants.
        let mut constants = self.groups.iter().zip(self.groups(step)).fold(
            ModuleLrScheduler::new(base),
            |constants, ((group, rate), lr)| {
                let lr = match rate {
                    GroupRate::Scale(factor) => base * factor,
                    GroupRate::Schedule(_) if scheduled > 0.0 => lr * (base / scheduled),
                    GroupRate::Schedule(_) => lr,
                };
                constants.with_group(group.clone(), lr)
            },
        );
        constants.step()
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
        std::iter::once(&self.base).chain(self.groups.iter().filter_map(|(_, rate)| match rate {
            GroupRate::Schedule(own) => Some(own),
            GroupRate::Scale(_) => None,
        }))
    }

    fn watched_mut(&mut self) -> impl Iterator<Item = &mut Watched> {
        std::iter::once(&mut self.base).chain(self.groups.iter_mut().filter_map(|(_, rate)| match rate {
            GroupRate::Schedule(own) => Some(own),
            GroupRate::Scale(_) => None,
        }))
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
