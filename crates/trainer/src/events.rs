//! What the loop tells others, and how they answer.

use std::{
    any::Any,
    collections::{BTreeMap, HashSet},
    path::Path,
};

use crate::{
    OnNonFinite,
    report::{EpochSummary, FitReport},
};

/// A callback could not do its work; the run ends.
#[derive(Debug, thiserror::Error)]
#[error("callback `{callback}`: {source}")]
pub struct CallbackError {
    /// Which callback.
    pub callback: String,
    /// What went wrong.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl CallbackError {
    /// `callback` failed with `source` (an error or a text).
    pub fn new(callback: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { callback: callback.into(), source: source.into() }
    }
}

/// Whether to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Continue.
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
    /// Whether nothing is left to train: a run that is resumed at its end, or that stays stopped.
    pub over: bool,
    /// Whether the checkpoint that is resumed from was due at its step, or the run's last.
    pub saved_in_turn: bool,
    /// What a log that is resumed should hold.
    pub logged: Logged,
    /// Trainable numbers in the model.
    pub parameters: usize,
}

impl RunInfo {
    /// Whether a resumed run goes on in the middle of an epoch, which then gets its lines in a log when it ends. The last epoch
    /// of a run that is over may be a part of one, and has its lines.
    pub(crate) fn goes_on_inside_an_epoch(&self) -> bool {
        !self.over && !self.steps_done.is_multiple_of(self.steps_per_epoch.max(1))
    }
}

/// What a log should hold of the steps that are done, as far as that can be known: each the step of a line, in order.
///
/// Where the settings of logging and validation have changed since a step, lines up to it are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logged {
    /// Of optimizer steps.
    pub steps: Vec<u64>,
    /// Of epochs: where they ended.
    pub epochs: Vec<u64>,
    /// Of validations, at an epoch's end or within one.
    pub validations: Vec<u64>,
}

impl Logged {
    /// What of this, after step `said`, a log that holds `kept` has lost, in words.
    pub(crate) fn lost_by(&self, kept: &Self, said: u64) -> Vec<String> {
        let missing = |should: &[u64], kept: &[u64]| -> Vec<u64> {
            let kept: HashSet<u64> = kept.iter().copied().collect();
            should.iter().copied().filter(|step| *step > said && !kept.contains(step)).collect()
        };
        let steps = missing(&self.steps, &kept.steps);
        let mut lost = Vec::new();
        if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
            // All between them, or some.
            let span = |step: &&u64| (first..=last).contains(step);
            let is_whole = self.steps.iter().filter(span).count() == steps.len();
            lost.push(match (is_whole, first == last) {
                (_, true) => format!("its line of step {first} is gone"),
                (true, _) => format!("its lines of the steps {first} to {last} are gone"),
                (false, _) => {
                    format!("{} of its lines of the steps {first} to {last} are gone", steps.len())
                }
            });
        }
        let of = [
            ("epoch", "ended", &self.epochs, &kept.epochs),
            ("validation", "was", &self.validations, &kept.validations),
        ];
        for (what, was, should, kept) in of {
            let missing = missing(should, kept);
            match missing.as_slice() {
                [] => {}
                [step] => lost.push(format!("its line of the {what} that {was} at step {step} is gone")),
                [first, .., last] => lost
                    .push(format!("its lines of {} {what}s are gone, of the steps {first} to {last}", missing.len())),
            }
        }
        lost
    }
}

/// Which set a value was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
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
    /// Metrics over the step's batches, on logged steps only.
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

/// When a callback looks at the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After an optimizer step: the model that is trained.
    Step {
        /// Whether the step is one to log.
        is_logged: bool,
    },
    /// In a validation: the model that is validated, in inference mode.
    Validation,
    /// At the end of an epoch: the model that is trained.
    Epoch,
}

impl Moment {
    /// The set that the values of this moment are of.
    fn split(self) -> &'static str {
        if self == Self::Validation { "valid" } else { "train" }
    }
}

/// A look at the model.
#[derive(Clone, Copy)]
pub struct ModelEvent<'a> {
    /// When.
    pub moment: Moment,
    /// Optimizer steps done.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    model: &'a dyn Any,
}

impl<'a> ModelEvent<'a> {
    /// A look at this model.
    pub fn new(moment: Moment, step: u64, epoch: u64, model: &'a dyn Any) -> Self {
        Self { moment, step, epoch, model }
    }

    /// The model; `None` where the run trains one of another type.
    pub fn model<M: 'static>(&self) -> Option<&'a M> {
        self.model.downcast_ref()
    }

    /// Adds what a callback finds out to `values`, by the names it has `declared` without the set.
    pub(crate) fn take_from(
        &self,
        callback: &mut dyn Callback,
        declared: &[String],
        values: &mut BTreeMap<String, f64>,
    ) -> Result<(), CallbackError> {
        for (name, value) in callback.on_model(self)? {
            let bare = name.strip_prefix(self.moment.split()).and_then(|name| name.strip_prefix('.'));
            let Some(bare) = bare.filter(|_| declared.contains(&name)) else {
                let message = format!(
                    "it gives `{name}` of {:?}, and has announced {}; values of a validation begin with `valid.`, others with \
                     `train.`",
                    self.moment,
                    declared.join(", ")
                );
                return Err(CallbackError::new(callback.name(), message));
            };
            values.insert(bare.to_owned(), value);
        }
        Ok(())
    }
}

/// One epoch, just done.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochEvent<'a> {
    /// The epoch's figures.
    pub summary: &'a EpochSummary,
    /// Whether the monitored value is the best so far.
    pub best: bool,
}

/// One validation, just done: at the end of an epoch or, as `validate_every` says, in the middle of one.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationEvent<'a> {
    /// Optimizer steps done.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// `valid.loss`, `valid.accuracy`, ...
    pub values: &'a BTreeMap<String, f64>,
    /// Whether the value that checkpoints are chosen by is the best so far.
    pub best: bool,
    /// Seconds it took.
    pub seconds: f64,
}

/// A checkpoint is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointEvent<'a> {
    /// Optimizer steps done.
    pub step: u64,
    /// Where it will be.
    pub path: &'a Path,
    /// Whether it is due, or the run is over: not where an interrupted run puts down how far it has come.
    pub in_turn: bool,
}

/// A loss, a gradient or a parameter was not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct NonFiniteEvent<'a> {
    /// The optimizer step whose update it was, from 1.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// The loss; NaN where it was not read (`check_every`).
    pub loss: f64,
    /// The first parameter whose gradient (or value) is not finite, where the loss itself is.
    pub parameter: Option<&'a str>,
    /// What is done about it.
    pub action: OnNonFinite,
}

/// A listener to a run. Every method has a default that does nothing.
///
/// An error ends the run (with what is saved kept); [`Flow::Stop`] ends it cleanly. The order of the events:
///
/// ```text
/// on_start
///   on_epoch_start
///     on_model, on_step ... on_model, on_validation and on_checkpoint where they fall in the middle of an epoch
///   on_model (validation), on_model (epoch), on_validation, on_epoch, on_checkpoint
/// on_end
/// ```
pub trait Callback: Send {
    /// Its name, for messages, and the key its state is kept under.
    fn name(&self) -> &str;

    /// Before the first step; where the run is resumed, after [`load_state`](Self::load_state).
    fn on_start(&mut self, _run: &RunInfo) -> Result<(), CallbackError> {
        Ok(())
    }

    /// When an epoch begins, and when a resumed run enters the middle of one.
    fn on_epoch_start(&mut self, _epoch: u64) -> Result<(), CallbackError> {
        Ok(())
    }

    /// The names of the values that [`on_model`](Self::on_model) gives: `train.weight_norm`, `valid.calibration`. A run
    /// refuses a monitor that nothing gives before its first step, so they are asked for before it.
    fn values(&self) -> Vec<String> {
        Vec::new()
    }

    /// A look at the model: after each optimizer step, in each validation, at the end of each epoch; before monitors (of
    /// early stopping, best checkpoints, reactive schedules) are fed and before the event of that moment is sent.
    ///
    /// What it gives is in the log from then on, and monitors, loggers and plots know it by its name: a value of a
    /// validation or an epoch as it is; a value of a step on steps that are logged, and its mean over the epoch.
    fn on_model(&mut self, _event: &ModelEvent<'_>) -> Result<BTreeMap<String, f64>, CallbackError> {
        Ok(BTreeMap::new())
    }

    /// After each optimizer step.
    fn on_step(&mut self, _event: &StepEvent) -> Result<Flow, CallbackError> {
        Ok(Flow::Continue)
    }

    /// After each validation, in the middle of an epoch too.
    fn on_validation(&mut self, _event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        Ok(Flow::Continue)
    }

    /// After each epoch and its validation.
    fn on_epoch(&mut self, _event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        Ok(Flow::Continue)
    }

    /// Before the state of the run is taken for a checkpoint: what a log has received so far must be in its file when
    /// this returns, so that a log on disk is never behind a checkpoint.
    fn on_checkpoint(&mut self, _event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        Ok(())
    }

    /// A loss, gradient or parameter was not finite; before anything is done about it.
    fn on_non_finite(&mut self, _event: &NonFiniteEvent<'_>) -> Result<(), CallbackError> {
        Ok(())
    }

    /// After the last step, also where the run was interrupted or stopped early; not where it failed.
    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        Ok(())
    }

    /// What it wants to find again when the run is resumed; kept in checkpoints under [`name`](Self::name), which no
    /// other callback with a state may share.
    fn state(&self) -> Option<serde_json::Value> {
        None
    }

    /// Takes back what [`state`](Self::state) gave: before [`on_start`](Self::on_start) of a resumed run, and when the
    /// run rolls back to an earlier state (`on_nonfinite = "rollback"`).
    fn load_state(&mut self, _state: serde_json::Value) -> Result<(), CallbackError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_has_lost_is_told_by_its_steps() {
        let should = Logged { steps: vec![1, 10, 20, 30, 40], epochs: vec![21, 42], validations: vec![10, 21, 42] };
        let all = |text: &str| text.split(", ").filter_map(|step| step.parse().ok()).collect::<Vec<u64>>();
        let said = |steps: &str, epochs: &str, validations: &str, said: u64| {
            let kept = Logged { steps: all(steps), epochs: all(epochs), validations: all(validations) };
            should.lost_by(&kept, said).join("; ")
        };
        let whole = ("1, 10, 20, 30, 40", "21, 42", "10, 21, 42");
        // What is skipped has a line too.
        assert_eq!(said("1, 7, 10, 20, 30, 40", whole.1, whole.2, 0), "");
        assert_eq!(said("", whole.1, whole.2, 0), "its lines of the steps 1 to 40 are gone");
        assert_eq!(said("1, 10, 40", whole.1, whole.2, 0), "its lines of the steps 20 to 30 are gone");
        assert_eq!(said("1, 20, 40", whole.1, whole.2, 0), "2 of its lines of the steps 10 to 30 are gone");
        assert_eq!(said("1, 10, 20, 30", whole.1, whole.2, 0), "its line of step 40 is gone");
        assert_eq!(
            said(whole.0, "21", "10", 0),
            "its line of the epoch that ended at step 42 is gone; its lines of 2 validations are gone, of the steps 21 to 42"
        );
        assert_eq!(said("", "", "", 42), "");
    }
}
