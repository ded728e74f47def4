//! The figures of a run: per epoch and for the whole.

use std::{collections::BTreeMap, fmt};

use report::page::{decimal, plural};
use serde::{Deserialize, Serialize};

/// The figures of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochSummary {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Optimizer steps done at its end.
    pub step: u64,
    /// The base rate of its last step.
    pub lr: f64,
    /// The momentum of its last step, where the schedule sets it.
    pub momentum: Option<f64>,
    /// `train.loss` (mean over the epoch's items, each at the weights of its step), `valid.loss`, `valid.accuracy`, ...
    #[serde(with = "any_float")]
    pub values: BTreeMap<String, f64>,
    /// Seconds the epoch took, validation included.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum StopReason {
    /// All epochs or steps are done.
    Finished,
    /// The monitored value no longer improved.
    EarlyStopping,
    /// The monitored value, of this name, was no number for as long as early stopping waits.
    NoNumber(String),
    /// Asked to stop (Ctrl-C); everything is saved.
    Interrupted,
    /// `max_time` is over; everything is saved.
    TimeLimit,
    /// A loss, gradient or weight was no longer finite. [`fit`](crate::Trainer::fit) says so by its error, never by this;
    /// it is for the records of a run.
    NotFinite,
    /// A callback ended the run.
    Callback(String),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::EarlyStopping => f.write_str("stopped early"),
            Self::NoNumber(monitor) => write!(f, "stopped early ({monitor} is no finite number)"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::TimeLimit => f.write_str("out of time"),
            Self::NotFinite => f.write_str("failed: not finite"),
            Self::Callback(reason) => write!(f, "stopped: {reason}"),
        }
    }
}

/// Seconds spent in each part of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TimeSpent {
    /// Waiting for batches.
    pub data: f64,
    /// Forward and backward, the loss read included.
    pub model: f64,
    /// Clipping, schedule and update.
    pub optimizer: f64,
    /// Validation.
    pub validation: f64,
    /// Writing checkpoints, as far as the training waits for it.
    pub checkpoint: f64,
    /// Callbacks: logs, progress.
    #[serde(default)]
    pub callbacks: f64,
    /// Waiting for the other processes of a job, and summing the gradients with them.
    #[serde(default)]
    pub ranks: f64,
}

impl TimeSpent {
    /// The seconds of all parts, of which none overlap.
    pub fn total(&self) -> f64 {
        let Self { data, model, optimizer, validation, checkpoint, callbacks, ranks } = self;
        data + model + optimizer + validation + checkpoint + callbacks + ranks
    }

    /// The share of `seconds` in which the training stood still for something that is not training or validation:
    /// waiting for batches, for checkpoints and for callbacks. In percent.
    pub fn stall_percent(&self, seconds: f64) -> f64 {
        if seconds > 0.0 { (self.data + self.checkpoint + self.callbacks) / seconds * 100.0 } else { 0.0 }
    }
}

/// The figures of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Trainable numbers in the model.
    pub parameters: usize,
    /// Optimizer steps done.
    pub steps: u64,
    /// One entry per finished epoch, those before a resumption included.
    pub epochs: Vec<EpochSummary>,
    /// Why it ended.
    pub stopped: StopReason,
    /// Updates left out because a loss or gradient was not finite.
    pub skipped_steps: u64,
    /// How often the run rolled back to its last good state.
    #[serde(default)]
    pub rollbacks: u64,
    /// The step whose model was restored as the best, with `restore_best`.
    #[serde(default)]
    pub restored: Option<u64>,
    /// Seconds of this process's part of the run.
    pub seconds: f64,
    /// Seconds of the whole run, the processes before a resumption included.
    #[serde(default)]
    pub elapsed: f64,
    /// The most memory this process has used, in bytes, where the system tells it (Linux).
    #[serde(default)]
    pub peak_memory: Option<u64>,
    /// Training items per second of this process's part, validation and checkpoints left out.
    pub items_per_second: f64,
    /// Where the time went.
    pub times: TimeSpent,
    /// The step this process resumed from, if it did.
    pub resumed_from: Option<u64>,
}

impl FitReport {
    /// The last value of this name (`valid.loss`), if any epoch gave it.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.epochs.iter().rev().find_map(|epoch| epoch.values.get(name).copied())
    }

    /// The lowest value of this name and the epoch that gave it.
    pub fn lowest(&self, name: &str) -> Option<(u64, f64)> {
        let of_epoch = |epoch: &EpochSummary| epoch.values.get(name).map(|value| (epoch.epoch, *value));
        self.epochs.iter().filter_map(of_epoch).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The highest value of this name and the epoch that gave it.
    pub fn highest(&self, name: &str) -> Option<(u64, f64)> {
        let of_epoch = |epoch: &EpochSummary| epoch.values.get(name).map(|value| (epoch.epoch, *value));
        self.epochs.iter().filter_map(of_epoch).max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl fmt::Display for FitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stopped, steps, seconds, .. } = self;
        let (epochs, steps) = (plural(self.epochs.len() as u64, "epoch"), plural(*steps, "step"));
        write!(f, "{stopped} after {epochs}, {steps}, {seconds:.1} s")?;
        write!(f, " ({:.0} items/s)", self.items_per_second)?;
        if let Some(last) = self.epochs.last() {
            for (name, value) in &last.values {
                write!(f, ", {name} {}", decimal(*value, 4))?;
            }
        }
        Ok(())
    }
}

/// JSON has no NaN and no infinity, and a diverged run has both: they are written as strings.
mod any_float {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Float {
        Finite(f64),
        Other(String),
    }

    pub(super) fn serialize<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let written = values.iter().map(|(name, value)| {
            (name, if value.is_finite() { Float::Finite(*value) } else { Float::Other(value.to_string()) })
        });
        serializer.collect_map(written)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let read = BTreeMap::<String, Float>::deserialize(deserializer)?;
        read.into_iter()
            .map(|(name, value)| match value {
                Float::Finite(value) => Ok((name, value)),
                Float::Other(text) => text.parse().map(|value| (name, value)).map_err(D::Error::custom),
            })
            .collect()
    }
}
