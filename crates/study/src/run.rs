//! One run: how it ended, its curves, and the figures read off them.

use std::fmt;

use serde::Serialize;

use crate::{
    curve::{Curve, seconds_at},
    measure::Measure,
};

/// How a run ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It came to its end, also an early one (early stopping, a time limit).
    Finished,
    /// Its numbers stopped being finite.
    Failed,
    /// It was interrupted and can be resumed.
    Interrupted,
    /// It has not been started.
    #[default]
    Missing,
}

impl RunStatus {
    /// Whether it is finished or failed: there is nothing to resume.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Failed)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Missing => "missing",
        })
    }
}

/// What a run has measured; all empty for one that has not been started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunLog {
    /// What it is compared with others by.
    pub measure: Measure,
    /// The rate of the steps done: of a function of time every step that a picture needs, else the logged steps.
    pub lr: Curve,
    /// The same of the momentum, where the schedule sets it.
    pub momentum: Curve,
    /// The training loss of the logged steps.
    pub train_loss: Curve,
    /// Seconds since the process began, of the logged steps.
    pub seconds: Curve,
    /// The mean training loss of each epoch.
    pub epoch_train_loss: Curve,
    /// The loss of each validation.
    pub valid_loss: Curve,
    /// The measure of each validation.
    pub valid: Curve,
    /// Optimizer steps done.
    pub steps: u64,
    /// The measure on the test set.
    pub test: Option<f64>,
    /// Loss on the test set.
    pub test_loss: Option<f64>,
    /// Seconds of the whole run, where it has ended.
    pub total_seconds: Option<f64>,
    /// Training items per second.
    pub items_per_second: Option<f64>,
}

/// A run of a study, with its figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Its folder, inside the study's.
    pub folder: String,
    /// How it ended.
    pub state: RunStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// The measure on the test set; in JSON `test_accuracy`, or whatever it is called.
    #[serde(rename = "test_MEASURE")]
    pub test: Option<f64>,
    /// Loss on the test set, where that is not the measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// The best measure on the validation set.
    #[serde(rename = "best_valid_MEASURE")]
    pub best_valid: Option<f64>,
    /// The step it was measured at.
    pub best_step: Option<u64>,
    /// The loss of the first logged step.
    pub first_train_loss: Option<f64>,
    /// The mean training loss of the last epoch; of the last logged step where no epoch was finished.
    pub final_train_loss: Option<f64>,
    /// The step of the first validation at the target or beyond it.
    pub target_step: Option<u64>,
    /// Seconds of training until then.
    pub target_seconds: Option<f64>,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of the whole run.
    pub seconds: Option<f64>,
    /// Training items per second.
    pub items_per_second: Option<f64>,
    /// What it measured.
    #[serde(skip)]
    pub log: RunLog,
}

impl Run {
    /// The figures of a run. `error` says why it failed.
    pub fn new(seed: u64, folder: impl Into<String>, state: RunStatus, error: Option<String>, log: RunLog) -> Self {
        let best = log.measure.best(&log.valid);
        let final_loss = log.epoch_train_loss.1.last().or(log.train_loss.1.last());
        Self {
            seed,
            folder: folder.into(),
            state,
            error,
            test: log.test,
            test_loss: log.test_loss.filter(|_| !log.measure.is_loss()),
            best_valid: best.map(|(_, value)| value),
            best_step: best.map(|(step, _)| step),
            first_train_loss: log.train_loss.1.first().copied(),
            final_train_loss: final_loss.copied(),
            target_step: None,
            target_seconds: None,
            steps: log.steps,
            seconds: log.total_seconds.or_else(|| seconds_at(&log.seconds, log.steps)),
            items_per_second: log.items_per_second,
            log,
        }
    }

    /// Notes when its measure first reached a value on the validation set.
    pub(crate) fn time_to(&mut self, target: f64) {
        self.target_step = self.log.measure.first_at(&self.log.valid, target);
        self.target_seconds = self.target_step.and_then(|step| seconds_at(&self.log.seconds, step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_off_the_curves() {
        let log = RunLog {
            train_loss: (vec![1.0, 2.0, 3.0], vec![2.0, 1.5, 1.0]),
            seconds: (vec![1.0, 2.0, 3.0], vec![10.0, 20.0, 30.0]),
            valid: (vec![2.0, 3.0], vec![60.0, 80.0]),
            steps: 3,
            ..RunLog::default()
        };
        let mut run = Run::new(7, "a", RunStatus::Interrupted, None, log);
        run.time_to(60.0);
        assert_eq!((run.best_valid, run.best_step), (Some(80.0), Some(3)));
        assert_eq!((run.first_train_loss, run.final_train_loss), (Some(2.0), Some(1.0)));
        assert_eq!((run.target_step, run.target_seconds, run.seconds), (Some(2), Some(20.0), Some(30.0)));
        run.time_to(90.0);
        assert_eq!((run.target_step, run.target_seconds), (None, None));
    }
}
