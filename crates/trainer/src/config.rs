//! What the loop is told: how long, how often, what to do when something goes wrong.

use crate::CheckpointPolicy;

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

/// What to do about a loss that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNonFinite {
    /// End the run with [`TrainError::NonFinite`](crate::TrainError::NonFinite) before the optimizer sees the gradient.
    #[default]
    Stop,
    /// Drop the gradient, leave model and optimizer alone, count the step and go on.
    Skip,
}

/// Stopping when a validation value no longer improves, as Lightning's `EarlyStopping`.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    /// The value watched, e.g. `valid.loss`.
    pub monitor: String,
    /// The run ends at this many validations in a row without improvement; at least 1.
    pub patience: u64,
    /// An improvement must be larger than this.
    pub min_delta: f64,
    /// Whether lower or higher is better.
    pub mode: Mode,
}

/// Settings of the [`Trainer`](crate::Trainer).
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// How long.
    pub limit: Limit,
    /// Batches whose gradients are averaged into one optimizer step; a last partial window is averaged over what it
    /// holds. Default 1.
    pub accumulate: usize,
    /// Scales all gradients together so that their global L2 norm is at most this. Default off.
    pub clip_grad_norm: Option<f64>,
    /// Clamps every gradient element to plus or minus this, before the norm. Default off.
    pub clip_grad_value: Option<f64>,
    /// A step is logged (with its batch metrics) every this many optimizer steps. Default 10.
    pub log_every: u64,
    /// The validation set is visited every this many epochs, and at the end. Default 1.
    pub validate_every: u64,
    /// What to do about a loss that is not finite. Default [`OnNonFinite::Stop`].
    pub on_nonfinite: OnNonFinite,
    /// The loss is looked at every this many steps; 1 on a CPU, more spares a GPU the synchronisation. Default 1.
    pub check_every: u64,
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
            accumulate: 1,
            clip_grad_norm: None,
            clip_grad_value: None,
            log_every: 10,
            validate_every: 1,
            on_nonfinite: OnNonFinite::Stop,
            check_every: 1,
            early_stopping: None,
            checkpoint: None,
            seed: 0,
            fingerprint: String::new(),
        }
    }

    /// Optimizer steps in an epoch of `batches` batches.
    pub fn steps_per_epoch(&self, batches: usize) -> u64 {
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
