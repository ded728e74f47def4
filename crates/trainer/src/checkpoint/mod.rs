//! Checkpoints: one directory per step, complete or absent.
//!
//! ```text
//! checkpoints/step-00000120/model.bpk       burnpack: parameters
//!                          /optimizer.bpk   burnpack: moments, counters
//!                          /state.json      position, schedules, early stopping, history
//!                          /manifest.json   size and SHA-256 of each file above, and of itself the format's version
//! ```
//!
//! A checkpoint is written to a temporary name, each file and the directory are flushed to disk, and then it is renamed;
//! so a directory named `step-*` is whole, and a kill while writing leaves only a `.tmp-*` directory, which the next
//! write removes. Reading verifies every checksum before anything is restored.

mod read;
mod write;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use read::{Checkpoint, Found, newest, open};
pub(crate) use write::write;

use crate::{metrics::Mean, report::EpochSummary};
use lr_core::ScheduleState;

const MODEL: &str = "model.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.json";
const MANIFEST: &str = "manifest.json";
const FORMAT: u32 = 1;
const PREFIX: &str = "step-";
const UNFINISHED: &str = ".tmp-";

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
        what: &'static str,
        /// Why.
        message: String,
    },
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
    /// Early stopping: the best value so far.
    pub early_best: Option<f64>,
    /// Early stopping: validations since then.
    pub early_bad: u64,
    /// The schedules, the base first.
    pub schedules: Vec<ScheduleState>,
    /// The epochs so far.
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
    /// Seconds that the processes of this run have trained.
    #[serde(default)]
    pub elapsed: f64,
    /// What callbacks keep, by name.
    #[serde(default)]
    pub callbacks: BTreeMap<String, serde_json::Value>,
}

/// What a checkpoint directory holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    step: u64,
    best: bool,
    files: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
