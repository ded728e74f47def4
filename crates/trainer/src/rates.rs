//! The rates of a run: one schedule for all parameters, and others for groups of parameters.

use lr_core::{ConfigError, Horizon, ScheduleConfig, ScheduleState, ScheduleWarning, Scheduler, StateError};
use optim_adaptive::{AdaptiveOptimizer, StepRates};

/// What the rates of a run follow: a schedule for all parameters, and others for parameter groups. The trainer works out
/// their lengths, since it knows the steps of an epoch and of the run; the base rate is the optimizer's.
///
/// ```
/// use lr_core::ScheduleConfig;
/// use trainer::Schedules;
/// let cosine = ScheduleConfig::from_toml_str("type = 'cosine_annealing'\nt_max = 'rest'")?;
/// let fixed = ScheduleConfig::from_toml_str("type = 'fixed'")?;
/// let schedules = Schedules::from(cosine).with_group(0, fixed);
/// # let _ = schedules;
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
///
/// A schedule of your own is a [`ScheduleConfig::custom`], which says what its ticks are.
#[derive(Debug, Clone)]
pub struct Schedules {
    base: ScheduleConfig,
    groups: Vec<(usize, ScheduleConfig)>,
}

impl From<ScheduleConfig> for Schedules {
    fn from(base: ScheduleConfig) -> Self {
        Self { base, groups: Vec::new() }
    }
}

impl Schedules {
    /// The optimizer's group of this index under a schedule of its own. A group without one follows the base schedule; its
    /// `lr_scale` is the optimizer's business.
    #[must_use]
    pub fn with_group(mut self, group: usize, schedule: ScheduleConfig) -> Self {
        self.groups.push((group, schedule));
        self
    }

    /// The rates of a run of this length ([`TrainConfig::horizon`](crate::TrainConfig::horizon)) at this base rate.
    ///
    /// # Errors
    /// Durations that cannot be resolved against the run; a base rate that a schedule refuses; an unknown number of steps
    /// per epoch. Paths begin with `schedule` or `groups[0].schedule`.
    pub fn rates(&self, run: &Horizon, lr: f64) -> Result<Rates, ConfigError> {
        let watched =
            |config: &ScheduleConfig, path: &str| Watched::new(config, run, lr).map_err(|error| error.within(path));
        let groups = self.groups.iter();
        let groups = groups.map(|(i, config)| Ok((*i, watched(config, &format!("groups[{i}].schedule"))?)));
        Ok(Rates { base: watched(&self.base, "schedule")?, groups: groups.collect::<Result<_, ConfigError>>()? })
    }
}

/// The rates of every step of a run, by the schedules that [`Schedules`] names.
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
    fn new(config: &ScheduleConfig, run: &Horizon, lr: f64) -> Result<Self, ConfigError> {
        let schedule = Scheduler::from_config(config, run, vec![lr])?;
        if !schedule.counts_steps() {
            let message = format!("a tick is an epoch, and how many steps one has is not known in {run}");
            return Err(ConfigError::conflict("interval", message));
        }
        let monitor = schedule.is_reactive().then(|| config.monitor().unwrap_or("valid.loss").to_owned());
        Ok(Self { schedule, monitor })
    }
}

impl Rates {
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

    /// What of the schedules is surely not meant in a run of this length, one line each: see [`Scheduler::warnings`].
    pub fn warnings(&self, run: &Horizon) -> Vec<String> {
        let of_groups = self.groups.iter().map(|(i, own)| (format!("groups[{i}].schedule: "), own));
        let all = std::iter::once((String::new(), &self.base)).chain(of_groups);
        all.flat_map(|(place, own)| own.schedule.warnings(run).into_iter().map(move |what| format!("{place}{what}")))
            .collect()
    }

    /// What is surely not meant where a run resumes after step `step` (from 1), which was trained at the base rate `lr`.
    pub(crate) fn jump(&self, step: u64, lr: f64) -> Option<ScheduleWarning> {
        ScheduleWarning::of_resume(step, lr, self.base(step.checked_sub(1)?))
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
