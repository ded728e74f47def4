//! What the loop is told: how long, how often, what to do when something goes wrong.

use std::time::Duration;

use lr_core::Horizon;
use optim_adaptive::AdaptiveOptimizer;
use strict_config::ConfigError;

use crate::{Averaging, CheckpointPolicy, EarlyStopping, Freeze, Precision, averaging::Plan};

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This many passes over the training data.
    Epochs(u64),
    /// This many optimizer steps; the last epoch ends early where they do not fill it.
    Steps(u64),
}

/// Whether a monitored value should fall or rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lower is better.
    Min,
    /// Higher is better.
    Max,
}

impl Mode {
    /// Whether `value` improves on `best` by more than `min_delta`. A value that is no number never improves.
    pub fn improves(self, value: f64, best: Option<f64>, min_delta: f64) -> bool {
        match (self, best) {
            (_, None) => value.is_finite(),
            (Self::Min, Some(best)) => value < best - min_delta,
            (Self::Max, Some(best)) => value > best + min_delta,
        }
    }
}

/// When the validation set is visited. The last step of a run is always followed by a validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValidateEvery {
    /// At the end of every this many epochs: Lightning's `check_val_every_n_epoch`.
    Epochs(u64),
    /// After every this many optimizer steps, counted over the whole run: Lightning's `val_check_interval` as an
    /// integer with `check_val_every_n_epoch=None`.
    Steps(u64),
    /// Several times an epoch: after this part of its steps, twice that, and so on, each rounded to a whole step.
    /// Lightning's `val_check_interval` as a float rounds the first down and takes its multiples; with 10 steps and 0.25
    /// this is after 3, 5, 8 and 10 steps, there after 2, 4, 6, 8 and 10.
    PartOfEpoch(f64),
}

impl ValidateEvery {
    /// Whether a validation follows optimizer step `step` (done, from 1), the `in_epoch`-th of the `per_epoch` steps of
    /// epoch `epoch` (from 0).
    pub(crate) fn is_due(self, step: u64, epoch: u64, in_epoch: u64, per_epoch: u64) -> bool {
        match self {
            Self::Epochs(epochs) => in_epoch >= per_epoch && (epoch + 1).is_multiple_of(epochs.max(1)),
            Self::Steps(steps) => step.is_multiple_of(steps.max(1)),
            Self::PartOfEpoch(part) => {
                let length = (part * per_epoch as f64).max(f64::MIN_POSITIVE);
                // The validation that is nearest to this step, and the step it falls on.
                let nearest = (in_epoch as f64 / length).round().max(1.0);
                [nearest - 1.0, nearest, nearest + 1.0]
                    .into_iter()
                    .any(|count| count >= 1.0 && (count * length).round() == in_epoch as f64)
            }
        }
    }
}

/// What to do about a loss, a gradient or a parameter that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNonFinite {
    /// End the run with an error before the optimizer sees the gradient.
    #[default]
    Stop,
    /// Drop the gradient, leave model and optimizer alone, count the step and go on. Parameters that are not finite
    /// themselves cannot be skipped: they stop the run.
    Skip,
    /// Drop the gradient and go back to the last good state: what a [`Rollback`] restores.
    Rollback,
}

/// How the run goes back after something that was not finite.
///
/// The last good state is taken at the start, with each scheduled checkpoint, and at the end of each epoch where there
/// are none. Going back restores the weights, the optimizer's state, averages of the weights, what reactive schedules,
/// early stopping and callbacks remember. The clock does not go back: the step counts as skipped, and the run goes on
/// with the batch after the offending window, which it therefore does not meet again in this epoch; logs hold each
/// step once and the schedule's length stays what it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollback {
    /// The run ends with an error when it would go back once more than this. Default 3.
    pub max: u64,
    /// Each time, all rates are multiplied by this for the rest of the run. Default 1.
    pub lr_factor: f64,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { max: 3, lr_factor: 1.0 }
    }
}

/// Settings of the [`Trainer`](crate::Trainer).
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// How long.
    pub limit: Limit,
    /// What forward and backward are computed in. Default f32.
    pub precision: Precision,
    /// Batches whose gradients are averaged into one optimizer step; a last partial window is averaged over what it
    /// holds. Default 1.
    pub accumulate: usize,
    /// Scales all gradients together so that their global L2 norm is at most this. Default off.
    pub clip_grad_norm: Option<f64>,
    /// Clamps every gradient element to plus or minus this, before the norm. Default off.
    pub clip_grad_value: Option<f64>,
    /// A step is logged (with its batch metrics) every this many optimizer steps. Default 10.
    pub log_every: u64,
    /// When the validation set is visited. Default after every epoch.
    pub validate_every: ValidateEvery,
    /// Batches of the validation set that are run through before the first step, so that a mistake there shows at once
    /// (Lightning's `num_sanity_val_steps`). Nothing is kept of it; a resumed run leaves it out. Default 2.
    pub sanity_batches: usize,
    /// What to do about a loss or a gradient that is not finite. Default [`OnNonFinite::Stop`].
    pub on_nonfinite: OnNonFinite,
    /// How to go back, for [`OnNonFinite::Rollback`].
    pub rollback: Rollback,
    /// Loss and gradient are looked at every this many steps; 1 on a CPU, more spares a GPU the synchronisation.
    /// Default 1.
    pub check_every: u64,
    /// The run ends in order after this long, as Lightning's `Timer`: it counts the time of the processes that a
    /// resumed run has had before. Schedules go by steps and epochs, not by this. Default no limit.
    pub max_time: Option<Duration>,
    /// An epoch is this many batches at most (Lightning's `limit_train_batches`). Default all.
    pub limit_train_batches: Option<usize>,
    /// A validation is this many batches at most (Lightning's `limit_val_batches`). Default all.
    pub limit_valid_batches: Option<usize>,
    /// Train on these many batches alone, the same ones in every epoch, and validate on as many (Lightning's
    /// `overfit_batches`): give the same data as validation set to see whether the model can learn it by heart. A
    /// shuffled source gives its epoch 0 every time. Default off.
    pub overfit_batches: Option<usize>,
    /// An average of the weights. Default off.
    pub averaging: Option<Averaging>,
    /// Parameters that are left alone for some epochs. Default none.
    pub freeze: Vec<Freeze>,
    /// Default off.
    pub early_stopping: Option<EarlyStopping>,
    /// Default off.
    pub checkpoint: Option<CheckpointPolicy>,
    /// Seeds what is drawn at each step (dropout, noise), as a function of (seed, step). Default 0.
    pub seed: u64,
    /// Identifies model, data and settings; a checkpoint of another fingerprint is refused. Default empty.
    pub fingerprint: String,
}

impl TrainConfig {
    /// The defaults, for this many epochs.
    pub fn epochs(epochs: u64) -> Self {
        Self::new(Limit::Epochs(epochs))
    }

    /// The defaults, for this many optimizer steps.
    pub fn steps(steps: u64) -> Self {
        Self::new(Limit::Steps(steps))
    }

    /// The defaults, for this long.
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            precision: Precision::F32,
            accumulate: 1,
            clip_grad_norm: None,
            clip_grad_value: None,
            log_every: 10,
            validate_every: ValidateEvery::Epochs(1),
            sanity_batches: 2,
            on_nonfinite: OnNonFinite::Stop,
            rollback: Rollback::default(),
            check_every: 1,
            max_time: None,
            limit_train_batches: None,
            limit_valid_batches: None,
            overfit_batches: None,
            averaging: None,
            freeze: Vec::new(),
            early_stopping: None,
            checkpoint: None,
            seed: 0,
            fingerprint: String::new(),
        }
    }

    /// Lightning's `fast_dev_run`: one epoch of `batches` batches and a validation of as many, without sanity
    /// validation, checkpoints and early stopping, to see whether everything runs. Loggers are callbacks: leave them out.
    #[must_use]
    pub fn fast_dev_run(self, batches: usize) -> Self {
        Self {
            limit: Limit::Epochs(1),
            limit_train_batches: Some(batches.max(1)),
            limit_valid_batches: Some(batches.max(1)),
            validate_every: ValidateEvery::Epochs(1),
            sanity_batches: 0,
            max_time: None,
            early_stopping: None,
            checkpoint: None,
            ..self
        }
    }

    /// Refuses what cannot work in a run of `batches` batches per epoch under `optimizer`, as `fit` would.
    ///
    /// # Errors
    /// An average of the weights that never begins, has no sensible decay, or would average Schedule-Free's average.
    pub fn check(&self, batches: usize, optimizer: &AdaptiveOptimizer) -> Result<(), ConfigError> {
        let Some(averaging) = &self.averaging else { return Ok(()) };
        if optimizer.has_eval_params() {
            let name = match averaging {
                Averaging::Ema(_) => "ema",
                Averaging::Swa(_) => "swa",
            };
            return Err(ConfigError::conflict(
                format!("train.{name}"),
                format!("`{}` keeps an average of the weights itself", optimizer.config().type_name()),
            ));
        }
        self.plan(batches).map(drop)
    }

    /// The average in optimizer steps of a run of `batches` batches per epoch.
    pub(crate) fn plan(&self, batches: usize) -> Result<Option<Plan>, ConfigError> {
        let horizon = Horizon::run(self.steps_per_epoch(batches), self.total_steps(batches));
        self.averaging.as_ref().map(|averaging| Plan::new(averaging, &horizon)).transpose()
    }

    /// What of an epoch's batches is trained on.
    pub(crate) fn train_limit(&self) -> Option<usize> {
        self.limit_train_batches.into_iter().chain(self.overfit_batches).min()
    }

    /// What of the validation set is visited.
    pub(crate) fn valid_limit(&self) -> Option<usize> {
        self.limit_valid_batches.into_iter().chain(self.overfit_batches).min()
    }

    /// Optimizer steps in an epoch of `batches` batches, as far as they are trained on.
    pub fn steps_per_epoch(&self, batches: usize) -> u64 {
        let batches = batches.min(self.train_limit().unwrap_or(usize::MAX));
        batches.div_ceil(self.accumulate.max(1)) as u64
    }

    /// Optimizer steps in the whole run.
    pub fn total_steps(&self, batches: usize) -> u64 {
        match self.limit {
            Limit::Epochs(epochs) => epochs.saturating_mul(self.steps_per_epoch(batches)),
            Limit::Steps(steps) => steps,
        }
    }

    /// Epochs in the whole run, a last partial one included.
    pub fn total_epochs(&self, batches: usize) -> u64 {
        match self.limit {
            Limit::Epochs(epochs) => epochs,
            Limit::Steps(steps) => steps.div_ceil(self.steps_per_epoch(batches).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validations_fall_where_they_should() {
        // 3 epochs of 10 steps.
        let cases = [
            ("every epoch", ValidateEvery::Epochs(1), vec![10, 20, 30]),
            ("every second epoch", ValidateEvery::Epochs(2), vec![20]),
            ("steps, over the epochs", ValidateEvery::Steps(7), vec![7, 14, 21, 28]),
            ("quarters", ValidateEvery::PartOfEpoch(0.25), vec![3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30]),
            ("halves", ValidateEvery::PartOfEpoch(0.5), vec![5, 10, 15, 20, 25, 30]),
            ("more often than there are steps", ValidateEvery::PartOfEpoch(0.01), (1..=30).collect()),
            ("what does not divide an epoch starts anew", ValidateEvery::PartOfEpoch(0.4), vec![4, 8, 14, 18, 24, 28]),
        ];
        for (name, every, expected) in cases {
            let due = |step: &u64| every.is_due(*step, (step - 1) / 10, (step - 1) % 10 + 1, 10);
            assert_eq!((1..=30).filter(due).collect::<Vec<u64>>(), expected, "{name}");
        }
    }

    #[test]
    fn a_limited_epoch_has_fewer_steps() {
        let config = TrainConfig { accumulate: 4, ..TrainConfig::epochs(3) };
        assert_eq!((config.steps_per_epoch(10), config.total_steps(10)), (3, 9));
        let limited = TrainConfig { limit_train_batches: Some(4), ..config.clone() };
        assert_eq!((limited.steps_per_epoch(10), limited.total_steps(10)), (1, 3));
        assert_eq!(TrainConfig { overfit_batches: Some(5), ..config.clone() }.total_steps(10), 6);
        assert_eq!(config.fast_dev_run(1).total_steps(10), 1);
    }
}
