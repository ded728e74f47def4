//! What the loop tells others, and how they answer.

use std::collections::BTreeMap;

use crate::report::{EpochSummary, FitReport};

/// A callback could not do its work; the run ends.
#[derive(Debug, thiserror::Error)]
#[error("callback `{callback}`: {source}")]
pub struct CallbackError {
    /// Which callback.
    pub callback: String,
    /// What went wrong.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Whether to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Finish this step, checkpoint and end the run, for this reason.
    Stop(String),
}

/// What is known of a run when it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Epochs in the whole run.
    pub epochs: u64,
    /// Optimizer steps in the whole run.
    pub total_steps: u64,
    /// Optimizer steps in an epoch.
    pub steps_per_epoch: u64,
    /// Items in an epoch.
    pub items: usize,
    /// Optimizer steps already done, where a run is resumed.
    pub steps_done: u64,
    /// Trainable numbers in the model.
    pub parameters: usize,
}

/// Which set a value was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The training set.
    Train,
    /// The validation set.
    Valid,
    /// The test set.
    Test,
}

/// One optimizer step, just done.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEvent {
    /// Optimizer steps done, this one included: from 1. The schedule was asked for step `step - 1`.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// The base rate used.
    pub lr: f64,
    /// The momentum (or beta1) used, where the schedule sets it.
    pub momentum: Option<f64>,
    /// Mean loss of the step's batches; `None` on steps that were not looked at (`check_every`).
    pub loss: Option<f64>,
    /// Metrics on the step's last batch, on logged steps only.
    pub metrics: BTreeMap<String, f64>,
    /// Whether this step is one to log (`log_every`, and the last of an epoch).
    pub logged: bool,
    /// Whether the update was left out because the loss was not finite.
    pub skipped: bool,
    /// Seconds since the run (or its resumption) began.
    pub seconds: f64,
    /// Items seen in this epoch.
    pub items: usize,
}

/// One epoch, just done.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochEvent<'a> {
    /// The epoch's figures.
    pub summary: &'a EpochSummary,
    /// Whether the monitored value is the best so far.
    pub best: bool,
}

/// Somebody who listens to a run. Every method has a default that does nothing.
///
/// An error ends the run (with the state of the last checkpoint kept); [`Flow::Stop`] ends it in order.
pub trait Callback: Send {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// Before the first step.
    fn on_start(&mut self, _run: &RunInfo) -> Result<(), CallbackError> {
        Ok(())
    }

    /// After each optimizer step.
    fn on_step(&mut self, _event: &StepEvent) -> Result<Flow, CallbackError> {
        Ok(Flow::Continue)
    }

    /// After each epoch and its validation.
    fn on_epoch(&mut self, _event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        Ok(Flow::Continue)
    }

    /// After the last step, also where the run was interrupted or stopped early.
    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        Ok(())
    }
}
