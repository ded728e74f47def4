//! Every schedule of this crate as a burn `LrScheduler`: in burn-train's `Learner`, alone or in a group of a
//! `ModuleLrScheduler`, saved and restored with burn's records.
//!
//! burn calls [`step`](LrScheduler::step) once before each optimizer step, so the first call gives tick 0; the
//! adapter counts the steps and knows how many make an epoch. What burn's trait does not carry goes through a
//! [`BurnHandle`] taken before the scheduler is handed over:
//!
//! | | |
//! |---|---|
//! | metrics, for reactive schedules | [`BurnHandle::observe`] after each validation |
//! | momentum, where the schedule cycles it | [`BurnHandle::momentum`], to be given to the optimizer |
//! | where the schedule is | [`BurnHandle::lr`], [`BurnHandle::steps`], [`BurnHandle::epoch`] |
//!
//! **Records.** burn's `load_record` returns nothing, so it cannot refuse. Through it a record of another schedule is
//! logged as an error (with `tracing`) and **ignored: the scheduler stays as it was**, which in a `Learner` that resumes
//! means that it starts from tick 0. Where you hold the adapter yourself, use [`BurnScheduler::try_load`], which says
//! what is wrong. A record holds numbers only, so the strategy is marked by a hash of its name.
//!
//! **Copies** (burn's data-parallel training clones the `Learner`) count their own steps and receive all metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use ::burn::optim::LearningRate;

use crate::state::{Scalar, ScheduleState, StateError};
use crate::{ConfigError, Horizon, ScheduleConfig, Scheduler, config};

/// A schedule of one parameter group as burn's `LrScheduler`.
///
/// ```
/// use burn::lr_scheduler::LrScheduler;
/// use lr_core::burn::BurnScheduler;
/// use lr_core::{Horizon, ScheduleConfig};
///
/// let config = ScheduleConfig::from_toml_str("type = 'step'\nstep_size = 2\ngamma = 0.5")?;
/// // 3 steps per epoch, 12 steps in all, a base rate of 0.8
/// let mut scheduler = BurnScheduler::from_config(&config, &Horizon::run(3, 12), 0.8)?;
/// let rates: Vec<f64> = (0..12).map(|_| scheduler.step()).collect();
/// assert_eq!(rates, [vec![0.8; 6], vec![0.4; 6]].concat());
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BurnScheduler {
    scheduler: Scheduler,
    /// Steps given out so far: the next call is for this one.
    steps: u64,
    /// How many of the handle's metrics have been fed to the schedule.
    fed: usize,
    handle: BurnHandle,
}

impl BurnScheduler {
    /// The schedule of a config for a group with base rate `base_lr`.
    ///
    /// # Errors
    /// What cannot be resolved against `horizon`, and a wrong base rate. A per-epoch schedule needs to know the
    /// steps per epoch, since burn calls it per step.
    pub fn from_config(config: &ScheduleConfig, horizon: &Horizon, base_lr: f64) -> Result<Self, ConfigError> {
        Self::new(Scheduler::from_config(config, horizon, vec![base_lr])?)
    }

    /// The first group of `scheduler`.
    ///
    /// # Errors
    /// A per-epoch scheduler that does not know the steps per epoch: burn asks by step.
    pub fn new(scheduler: Scheduler) -> Result<Self, ConfigError> {
        if !scheduler.counts_steps() {
            let message = "a per-epoch schedule inside burn needs the number of steps per epoch";
            return Err(ConfigError::conflict("interval", message));
        }
        let handle = BurnHandle::default();
        let adapter = Self { scheduler, steps: 0, fed: 0, handle };
        adapter.publish();
        Ok(adapter)
    }

    /// The side handle; take it before the scheduler is handed over to burn.
    pub fn handle(&self) -> BurnHandle {
        self.handle.clone()
    }

    /// Restores a record, strictly.
    ///
    /// # Errors
    /// A record of another strategy or config, or one that lacks a value. The scheduler is then as it was. Values too
    /// many go unnoticed, since a burn record cannot be listed.
    pub fn try_load(&mut self, record: &LrSchedulerRecord) -> Result<(), StateError> {
        let count = |key: &str| -> Result<u64, StateError> {
            record.scalar(key).ok_or_else(|| StateError::Missing { key: key.to_owned() })
        };
        let steps = count("steps")?;
        let strategy = count("strategy")?;
        if strategy != hash(self.scheduler.name()) {
            return Err(StateError::OtherStrategy {
                expected: self.scheduler.name().to_owned(),
                found: name_of(strategy),
            });
        }
        let mut state = ScheduleState {
            strategy: self.scheduler.name().to_owned(),
            fingerprint: format!("{:016x}", count("fingerprint")?),
            scalars: self.scheduler.state().scalars,
        };
        for (key, value) in &mut state.scalars {
            let stored = format!("state.{key}");
            let found = match value {
                Scalar::Count(_) => record.scalar::<u64>(&stored).map(Scalar::Count),
                Scalar::Float(_) => record.scalar::<f64>(&stored).map(Scalar::Float),
            };
            *value = found.ok_or(StateError::Missing { key: stored })?;
        }
        self.scheduler.try_load(&state)?;
        self.steps = steps;
        // What was measured before belongs to the state that was just replaced.
        self.fed = self.handle.lock().metrics.len();
        self.publish();
        Ok(())
    }

    /// Feeds the metrics measured since the last step, as that step's.
    fn feed(&mut self) {
        let handle = self.handle.clone();
        let shared = handle.lock();
        for metric in &shared.metrics[self.fed.min(shared.metrics.len())..] {
            self.scheduler.observe(self.steps.saturating_sub(1), *metric);
        }
        self.fed = shared.metrics.len();
    }

    /// Tells the handle what holds for the last step given out (or the first, before it).
    fn publish(&self) {
        let step = self.steps.saturating_sub(1);
        let mut shared = self.handle.lock();
        shared.steps = self.steps;
        shared.tick = self.scheduler.tick_of(step);
        shared.lr = self.scheduler.lr(0, step);
        shared.momentum = self.scheduler.momentum(step);
    }
}

impl LrScheduler for BurnScheduler {
    fn step(&mut self) -> LearningRate {
        self.feed();
        let lr = self.scheduler.lr(0, self.steps);
        self.steps += 1;
        self.publish();
        lr
    }

    fn to_record(&self) -> LrSchedulerRecord {
        // Metrics not yet fed belong to the last step, so they belong to its record.
        let mut up_to_date = self.clone();
        up_to_date.feed();
        let state = up_to_date.scheduler.state();
        let fingerprint = u64::from_str_radix(&state.fingerprint, 16).unwrap_or_else(|_| hash(&state.fingerprint));
        let record = LrSchedulerRecord::new()
            .with_scalar("steps", self.steps)
            .with_scalar("strategy", hash(&state.strategy))
            .with_scalar("fingerprint", fingerprint);
        state.scalars.iter().fold(record, |record, (key, value)| {
            let key = format!("state.{key}");
            match *value {
                Scalar::Count(count) => record.with_scalar(&key, count),
                Scalar::Float(number) => record.with_scalar(&key, number),
            }
        })
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Err(error) = self.try_load(&record) {
            let schedule = self.scheduler.name();
            tracing::error!("the record of the learning-rate schedule `{schedule}` was not loaded: {error}");
        }
    }
}

/// The side channel of a [`BurnScheduler`], shared by all copies of it.
#[derive(Debug, Clone, Default)]
pub struct BurnHandle {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    metrics: Vec<f64>,
    steps: u64,
    tick: u64,
    lr: f64,
    momentum: Option<f64>,
}

impl BurnHandle {
    /// A metric measured after the last step: a validation loss at the end of an epoch. It acts from the next tick
    /// on.
    pub fn observe(&self, metric: f64) {
        self.lock().metrics.push(metric);
    }

    /// The momentum for the step that the last rate was given for, where the schedule cycles it.
    pub fn momentum(&self) -> Option<f64> {
        self.lock().momentum
    }

    /// The rate given last (before the first step, the one it will get).
    pub fn lr(&self) -> LearningRate {
        self.lock().lr
    }

    /// How many rates have been given.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// The tick of the schedule's clock that the last step belongs to: its epoch, for a per-epoch schedule.
    pub fn epoch(&self) -> u64 {
        self.lock().tick
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name as a number, since burn's records hold only those.
fn hash(name: &str) -> u64 {
    config::fnv1a(name)
}

/// The strategy that hashes so, if it is a known one.
fn name_of(hashed: u64) -> String {
    let known = crate::standard::shared()
        .iter()
        .map(crate::StrategyInfo::name)
        .chain(["custom"])
        .find(|name| hash(name) == hashed);
    known.map_or_else(|| format!("unknown ({hashed:016x})"), str::to_owned)
}
