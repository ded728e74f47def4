//! The settings of a run that are lengths of time, in optimizer steps.

use std::ops::Range;

use lr_core::Interval;
use optim_adaptive::AdaptiveOptimizer;
use strict_config::{ConfigError, Settings};

use crate::{EpochSummary, Logged, TrainConfig, averaging::AveragePlan, early_stopping::Patience, every::Every};

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
    pub(crate) average: Option<AveragePlan>,
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
            average: AveragePlan::new(config.ema, config.swa, run)?,
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

    /// How it is logged and validated, in words: where two of a run are the same, so are the lines of its logs.
    pub(crate) fn cadence(&self, validates: bool) -> String {
        let validation =
            if validates { format!("validated every {}", self.validation) } else { "not validated".to_owned() };
        format!("logged every {}, {validation}", self.log)
    }

    /// What a log should hold of the steps up to `step`, of which the ones after `since` were logged as now; `history` are
    /// the epochs so far.
    pub(crate) fn logged(&self, since: u64, step: u64, history: &[EpochSummary], validates: bool) -> Logged {
        let per_epoch = self.steps_per_epoch.max(1);
        // What a run that ended inside an epoch says of it is void once the epoch goes on.
        let has = move |epoch: &EpochSummary, set: &str| {
            epoch.step.is_multiple_of(per_epoch) && epoch.values.keys().any(|name| name.starts_with(set))
        };
        let ended = |set: &'static str| history.iter().filter(move |epoch| has(epoch, set)).map(|epoch| epoch.step);
        let new = since + 1..=step;
        // The last step of a run is logged too, and what was the last may no longer be.
        let steps = new.clone().filter(|step| *step == 1 || self.log.is_due(*step)).collect();
        let within = new.filter(|step| validates && !step.is_multiple_of(per_epoch) && self.validation.is_due(*step));
        let mut validations: Vec<u64> = ended("valid.").chain(within).collect();
        validations.sort_unstable();
        validations.dedup();
        Logged { steps, epochs: ended("train.").collect(), validations }
    }

    /// Whether a checkpoint of step `step` was due, by the schedule of checkpoints or for being the best, or is the last.
    pub(crate) fn saves_in_turn(&self, step: u64) -> bool {
        step >= self.steps || self.validation.is_due(step) || self.checkpoint.is_some_and(|every| every.is_due(step))
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
