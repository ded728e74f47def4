//! The settings of a run that are lengths of time, in optimizer steps.

use std::ops::Range;

use lr_core::Interval;
use optim_adaptive::AdaptiveOptimizer;
use strict_config::{ConfigError, Settings};

use crate::{TrainConfig, averaging::Plan, early_stopping::Patience, every::Every};

/// How long a run is, and when what happens in it.
#[derive(Debug, Clone)]
pub(crate) struct Timetable {
    /// Batches in an epoch.
    pub(crate) batches: usize,
    pub(crate) steps_per_epoch: u64,
    pub(crate) steps: u64,
    /// A last partial one included.
    pub(crate) epochs: u64,
    pub(crate) validation: Every,
    pub(crate) checkpoint: Option<Every>,
    pub(crate) average: Option<Plan>,
    pub(crate) patience: Option<Patience>,
    /// The steps (from 0) in which each rule of `freeze` holds.
    pub(crate) freeze: Vec<Range<u64>>,
    log: Every,
    look: Every,
}

impl Timetable {
    /// That of a run of `batches` batches per epoch.
    ///
    /// # Errors
    /// A length that comes to no step of this run; an average that would never begin.
    pub(crate) fn new(config: &TrainConfig, batches: usize) -> Result<Self, ConfigError> {
        let run = &config.horizon(batches)?;
        let checkpoint = config.checkpoint.as_ref();
        let frozen = config.freeze.iter().enumerate();
        Ok(Self {
            batches,
            steps_per_epoch: config.steps_per_epoch(batches),
            steps: run.total_ticks(Interval::Step).unwrap_or(0),
            epochs: run.total_ticks(Interval::Epoch).unwrap_or(0),
            validation: Every::new("validate_every", config.validate_every, Interval::Epoch, run)?,
            checkpoint: checkpoint
                .map(|policy| Every::new("checkpoint.every", policy.every, Interval::Epoch, run))
                .transpose()?,
            average: Plan::new(config.ema, config.swa, run)?,
            patience: config.early_stopping.as_ref().map(|rule| rule.patience(run)).transpose()?,
            freeze: frozen
                .map(|(i, rule)| rule.steps(run).map_err(|error| error.within(&format!("freeze[{i}]"))))
                .collect::<Result<_, _>>()?,
            log: Every::new("log_every", config.log_every, Interval::Step, run)?,
            look: Every::new("check_every", config.check_every, Interval::Step, run)?,
        })
    }

    /// Whether step `step` (from 1) is logged: also the first and the last.
    pub(crate) fn is_logged(&self, step: u64) -> bool {
        step == 1 || step == self.steps || self.log.is_due(step)
    }

    /// The last logged step up to `step`; 0 where there is none.
    pub(crate) fn last_logged(&self, step: u64) -> u64 {
        (1..=step).rev().find(|step| self.is_logged(*step)).unwrap_or(0)
    }

    /// Whether loss and gradients of step `step` are looked at.
    pub(crate) fn is_looked_at(&self, step: u64) -> bool {
        self.look.is_due(step) || self.is_logged(step)
    }

    /// Whether those of every step are.
    pub(crate) fn looks_at_every_step(&self) -> bool {
        matches!(self.look, Every::Steps { every: 1, start: 0 })
    }
}

impl TrainConfig {
    /// Refuses what cannot work in a run of `batches` batches per epoch under `optimizer`, as `fit` would.
    ///
    /// # Errors
    /// What [`check`](Settings::check) refuses; a length of time that comes to no step of this run; an average of the
    /// weights that would never begin, or would average Schedule-Free's average.
    pub fn check_run(&self, batches: usize, optimizer: &AdaptiveOptimizer) -> Result<(), ConfigError> {
        self.clone().in_force().timetable(batches, optimizer).map(drop)
    }

    /// When what happens in such a run.
    pub(crate) fn timetable(&self, batches: usize, optimizer: &AdaptiveOptimizer) -> Result<Timetable, ConfigError> {
        self.check()?;
        let average = self.ema.map(|_| "ema").or(self.swa.map(|_| "swa"));
        match average.filter(|_| optimizer.has_eval_params()) {
            None => Timetable::new(self, batches),
            Some(field) => {
                let optimizer = optimizer.config().type_name();
                Err(ConfigError::conflict(field, format!("`{optimizer}` keeps an average of the weights itself")))
            }
        }
    }
}
