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
        let monitored =
            |config: &ScheduleConfig, path: &str| Monitored::new(config, run, lr).map_err(|error| error.within(path));
        let groups = self.groups.iter();
        let groups = groups.map(|(i, config)| Ok((*i, monitored(config, &format!("groups[{i}].schedule"))?)));
        Ok(Rates { base: monitored(&self.base, "schedule")?, groups: groups.collect::<Result<_, ConfigError>>()? })
    }
}

/// The rates of every step of a run, by the schedules that [`Schedules`] names.
#[derive(Debug)]
pub struct Rates {
    base: Monitored,
    /// By index of the group.
    groups: Vec<(usize, Monitored)>,
}

/// A schedule, and the value that it waits for if it is reactive.
#[derive(Debug)]
struct Monitored {
    schedule: Scheduler,
    monitor: Option<String>,
    /// Whether it sets its rates itself, whatever the base rate.
    is_absolute: bool,
}

/// Ticks that are looked at for a rate above 0.
const LOOKED_AT: u64 = 1 << 16;

impl Monitored {
    fn new(config: &ScheduleConfig, run: &Horizon, lr: f64) -> Result<Self, ConfigError> {
        let schedule = Scheduler::from_config(config, run, vec![lr])?;
        if !schedule.counts_steps() {
            let message = format!("a tick is an epoch, and how many steps one has is not known in {run}");
            return Err(ConfigError::conflict("interval", message));
        }
        let monitor = schedule.is_reactive().then(|| config.monitor().unwrap_or("valid.loss").to_owned());
        let mut own = Self { schedule, monitor, is_absolute: false };
        let others = if lr > 0.0 { [2.0 * lr, 0.5 * lr] } else { [1.0, 0.1] };
        let other = others.into_iter().find_map(|lr| Scheduler::from_config(config, run, vec![lr]).ok());
        own.is_absolute = other.is_some_and(|other| {
            let tick = own.first_tick();
            other.lr_at_tick(0, tick) == own.schedule.lr_at_tick(0, tick)
        });
        Ok(own)
    }

    /// The first tick at a rate above 0; 0 where there is none.
    fn first_tick(&self) -> u64 {
        (0..LOOKED_AT).find(|tick| self.schedule.lr_at_tick(0, *tick) > 0.0).unwrap_or(0)
    }

    fn first_rate(&self) -> f64 {
        self.schedule.lr_at_tick(0, self.first_tick())
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
        for (path, Monitored { schedule, .. }, config, momentum) in std::iter::once(base).chain(of_groups) {
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
        self.scaled(step, 1.0)
    }

    /// The rates of optimizer step `step`, all of them times a factor.
    pub(crate) fn scaled(&self, step: u64, factor: f64) -> StepRates {
        self.with_groups(self.base(step) * factor, |own| own.schedule.lr(0, step) * factor)
    }

    /// The rates of a sweep at the rate `lr`, which stands for the base rate. A group whose schedule sets its rates itself
    /// (`one_cycle`, `optax/...`) has the first of them above 0, whatever `lr` is; every other one keeps the ratio to the
    /// base that it has there.
    pub fn at_ramp(&self, lr: f64) -> StepRates {
        let base = self.base.first_rate();
        let ratio = if base > 0.0 { lr / base } else { 1.0 };
        self.with_groups(lr, |own| own.first_rate() * if own.is_absolute { 1.0 } else { ratio })
    }

    /// The same with the schedule of this group followed by the ramp though it sets its rates itself: what it is built with
    /// stands for the rate that the sweep is to find.
    #[must_use]
    pub fn with_open_group(mut self, group: usize) -> Self {
        for (_, own) in self.groups.iter_mut().filter(|(other, _)| *other == group) {
            own.is_absolute = false;
        }
        self
    }

    fn with_groups(&self, base: f64, rate: impl Fn(&Monitored) -> f64) -> StepRates {
        let rates = StepRates::from(base);
        self.groups.iter().fold(rates, |rates, (group, own)| rates.with_group(*group, rate(own)))
    }

    /// What of the schedules is surely not meant in a run of this length, one line each: see [`Scheduler::warnings`].
    pub fn warnings(&self, run: &Horizon) -> Vec<String> {
        let of_groups = self.groups.iter().map(|(i, own)| (format!("groups[{i}].schedule: "), own));
        let all = std::iter::once((String::new(), &self.base)).chain(of_groups);
        all.flat_map(|(place, own)| own.schedule.warnings(run).into_iter().map(move |what| format!("{place}{what}")))
            .collect()
    }

    /// Whether the rate is 0 in the whole run: the base's, or that of a group.
    pub(crate) fn is_zero(&self, group: Option<usize>, run: &Horizon) -> bool {
        let own = self.groups.iter().find(|(index, _)| Some(*index) == group).map_or(&self.base, |(_, own)| own);
        own.schedule.warnings(run).contains(&ScheduleWarning::NeverTrains)
    }

    /// What is surely not meant where a run resumes after step `step` (from 1), which was trained at the base rate `lr` and
    /// at these rates of the groups with a schedule of their own; one line each.
    pub(crate) fn jumps(&self, step: u64, lr: f64, of_groups: &[f64]) -> Vec<String> {
        let Some(last) = step.checked_sub(1) else { return Vec::new() };
        let base = ScheduleWarning::of_resume(step, lr, self.base(last)).map(|jump| jump.to_string());
        let groups = self.groups.iter().zip(of_groups).filter_map(|((group, own), lr)| {
            let jump = ScheduleWarning::of_resume(step, *lr, own.schedule.lr(0, last))?;
            Some(format!("groups[{group}].schedule: {jump}"))
        });
        base.into_iter().chain(groups).collect()
    }

    /// The names of the values that reactive schedules wait for.
    pub fn monitors(&self) -> Vec<String> {
        let mut names: Vec<String> = self.all().filter_map(|own| own.monitor.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Feeds the value called `monitor` to the reactive schedules that wait for it, after optimizer step `step` (from 0).
    pub fn observe(&mut self, monitor: &str, step: u64, value: f64) {
        for own in self.all_mut().filter(|own| own.monitor.as_deref() == Some(monitor)) {
            own.schedule.observe(step, value);
        }
    }

    /// The states of all schedules, the base first.
    pub fn state(&self) -> Vec<ScheduleState> {
        self.all().map(|own| own.schedule.state()).collect()
    }

    /// Restores what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A state of another strategy, another config or another number of groups.
    pub fn try_load(&mut self, states: &[ScheduleState]) -> Result<(), RatesError> {
        let here = self.all().count();
        if states.len() != here {
            return Err(RatesError::Groups { saved: states.len(), here });
        }
        for (own, state) in self.all_mut().zip(states) {
            own.schedule.try_load(state)?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Monitored> {
        std::iter::once(&self.base).chain(self.groups.iter().map(|(_, own)| own))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Monitored> {
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
