//! Checkpoints: one directory per step, complete or absent.
//!
//! ```text
//! checkpoints/step-00000120/model.bpk       burnpack: parameters, running statistics
//!                          /optimizer.bpk   burnpack: moments, counters, momentum
//!                          /state.json      position, schedules, early stopping, history
//!                          /times.json      seconds: the only file that differs between equal runs
//!                          /...             what else a run keeps: averages of the weights, a callback's state
//!                          /manifest.json   size and SHA-256 of each file above, measured values, its own SHA-256
//! ```
//!
//! A snapshot is taken on the training thread; a writer encodes and stores it on another. A checkpoint is written
//! under a temporary name, each file and the directory are flushed to the medium, and then it is renamed; so a directory
//! named `step-*` is whole, and a kill while writing leaves only a `.tmp-*` directory, which the next write removes.
//! Reading verifies every checksum before anything is restored.
//!
//! What lives here knows no loop: it is given parts and a policy. docs/checkpoints.md says what is promised.

#[cfg(test)]
mod faults;
mod files;
mod manifest;
mod policy;
mod read;
mod snapshot;
mod write;
mod writer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use policy::{CheckpointPolicy, OnWriteError};
pub use read::{Checkpoint, Found, best, newest, open, steps};
pub(crate) use snapshot::{Contents, Part, Snapshot};
pub(crate) use writer::Writer;

use crate::{metrics::Mean, report::EpochSummary};
use lr_core::ScheduleState;

/// The model that is trained.
pub(crate) const MODEL: &str = "model.bpk";
/// The optimizer's state.
pub(crate) const OPTIMIZER: &str = "optimizer.bpk";
/// [`RunState`].
pub(crate) const STATE: &str = "state.json";
/// [`Times`].
pub(crate) const TIMES: &str = "times.json";
const PREFIX: &str = "step-";
/// Prefix of a checkpoint that is being replaced by one of the same step.
const DISPLACED: &str = ".old-";

/// The name of the directory of a step's checkpoint.
fn name_of(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// Where below `directory` the checkpoint of a step is.
pub fn path_of(directory: &Path, step: u64) -> PathBuf {
    directory.join(name_of(step))
}

/// Why a checkpoint was not written, or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what the manifest says it is.
    #[error("{}: damaged: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The checkpoint belongs to another run.
    #[error("{}: belongs to another {what}: it was written with `{saved}`, this run has `{here}`", path.display())]
    Mismatch {
        /// Which checkpoint.
        path: PathBuf,
        /// What differs: configuration, training data, schedule, optimizer, model.
        what: &'static str,
        /// In the checkpoint.
        saved: String,
        /// In this run.
        here: String,
    },
    /// No directory here holds a valid checkpoint.
    #[error("{}: no valid checkpoint{}", directory.display(), passed_over(skipped))]
    None {
        /// Where it was looked for.
        directory: PathBuf,
        /// What was found and not accepted.
        skipped: Vec<String>,
    },
    /// Something could not be brought into its stored form.
    #[error("{what} cannot be stored: {message}")]
    Encode {
        /// What.
        what: String,
        /// Why.
        message: String,
    },
}

impl CheckpointError {
    /// `what` could not be brought into its stored form.
    pub(crate) fn encode(what: impl Into<String>, why: &impl ToString) -> Self {
        Self::Encode { what: what.into(), message: why.to_string() }
    }
}

fn passed_over(skipped: &[String]) -> String {
    if skipped.is_empty() { String::new() } else { format!(" (passed over: {})", skipped.join("; ")) }
}

/// All of a run that is neither model nor optimizer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Optimizer steps done.
    pub step: u64,
    /// The epoch under way, from 0.
    pub epoch: u64,
    /// Batches of that epoch already done.
    pub batch: usize,
    /// Items of that epoch already done.
    pub items: usize,
    /// The base rate of the last step.
    pub lr: f64,
    /// The momentum of the last step, where the schedule sets it.
    pub momentum: Option<f64>,
    /// Whether the last update was left out.
    pub skipped: bool,
    /// Updates left out so far.
    pub skipped_steps: u64,
    pub(crate) epoch_loss: Mean,
    /// The best monitored value so far.
    pub best: Option<f64>,
    /// The values of the best checkpoints so far, best first: as many as the policy keeps.
    pub kept_best: Vec<f64>,
    /// Early stopping: the best value so far.
    pub early_best: Option<f64>,
    /// Early stopping: validations since then.
    pub early_bad: u64,
    /// The schedules, the base first.
    pub schedules: Vec<ScheduleState>,
    /// The epochs so far. Their seconds are kept in `times.json`.
    #[serde(with = "untimed")]
    pub history: Vec<EpochSummary>,
    /// The run's configuration fingerprint.
    pub config: String,
    /// The training data's fingerprint.
    pub data: String,
    /// The step of early stopping's best value.
    #[serde(default)]
    pub early_best_step: Option<u64>,
    /// How many weights are in the average.
    #[serde(default)]
    pub averaged: u64,
    /// How often the run went back to its last good state.
    #[serde(default)]
    pub rollbacks: u64,
    /// What callbacks keep, by name.
    #[serde(default)]
    pub callbacks: BTreeMap<String, serde_json::Value>,
}

/// The times of a run, which differ between equal runs; training does not depend on them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Seconds that the run has taken so far, in all processes that had a part in it.
    pub elapsed: f64,
    /// Seconds of each epoch of the history.
    pub epochs: Vec<f64>,
}

/// The history without its seconds.
mod untimed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::Value;

    use crate::report::EpochSummary;

    const SECONDS: &str = "seconds";

    pub(super) fn serialize<S: Serializer>(history: &[EpochSummary], serializer: S) -> Result<S::Ok, S::Error> {
        let mut epochs = serde_json::to_value(history).map_err(ser::Error::custom)?;
        for epoch in epochs.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            epoch.remove(SECONDS);
        }
        epochs.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EpochSummary>, D::Error> {
        let mut epochs = Vec::<serde_json::Map<String, Value>>::deserialize(deserializer)?;
        for epoch in &mut epochs {
            epoch.insert(SECONDS.to_owned(), Value::from(0.0));
        }
        let epochs = epochs.into_iter().map(|epoch| serde_json::from_value(Value::Object(epoch)));
        epochs.collect::<Result<_, _>>().map_err(de::Error::custom)
    }
}

fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { path, action, source }
}

fn damaged(path: &Path, what: impl Into<String>) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), what: what.into() }
}
