//! Checkpoints: one directory per step, complete or absent.
//!
//! ```text
//! checkpoints/step-00000120/model.bpk       burnpack: parameters, running statistics
//!                          /optimizer.bpk   burnpack: moments, counters, momentum
//!                          /state.json      position, schedules, early stopping, the last epochs, which checkpoints are proven
//!                          /times.json      seconds: the only file that differs between equal runs
//!                          /...             what else a run keeps: averages of the weights, a callback's state
//!                          /manifest.json   size and SHA-256 of each file above, measured values, its own SHA-256
//!             history.jsonl                 of a long run: the epochs before those that a checkpoint holds itself
//! ```
//!
//! A snapshot is taken on the training thread; a writer encodes and stores it on another. A checkpoint is written
//! under a temporary name, each file and the directory are flushed to the medium, and then it is renamed; so a directory
//! named `step-*` is whole, and a kill while writing leaves only a `.tmp-step-*` directory, which the next start removes.
//! Reading verifies every checksum before anything is restored.
//!
//! What lives here knows no loop: it is given parts and a policy. docs/checkpoints.md says what is promised.

#[cfg(test)]
mod faults;
mod files;
mod history;
mod manifest;
mod policy;
mod read;
mod snapshot;
mod write;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub(crate) use history::HistoryLog;
pub use history::{HISTORY, HistoryMark};
pub use manifest::MANIFEST;
pub(crate) use manifest::sha256;
pub use policy::{CheckpointPolicy, OnWriteError};
pub use read::{Checkpoint, Found, best, newest, newest_good, open, own_folders, steps};
pub(crate) use snapshot::{Contents, Part, Snapshot};
pub(crate) use writer::Writer;

use crate::{meter::Mean, report::EpochSummary};
use lr_core::ScheduleState;

/// The model that is trained.
pub(crate) const MODEL: &str = "model.bpk";
/// The optimizer's state.
pub(crate) const OPTIMIZER: &str = "optimizer.bpk";
/// The exponential average.
pub(crate) const EMA: &str = "ema.bpk";
/// The equal average.
pub(crate) const SWA: &str = "swa.bpk";
/// Both.
pub(crate) const AVERAGES: [&str; 2] = [EMA, SWA];
/// Early stopping's best model.
pub(crate) const BEST: &str = "best.bpk";
/// What comes before the names of the files of another state: of that to roll back to.
pub(crate) const FALLBACK: &str = "fallback-";
/// Of the state that takes its place once something has shown it to be good.
pub(crate) const CANDIDATE: &str = "candidate-";
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
    /// The run failed by its numbers right after it.
    #[error("{}: the run failed before a loss had shown these weights to be good", path.display())]
    Doubtful {
        /// Which checkpoint.
        path: PathBuf,
    },
    /// The checkpoint belongs to another run.
    #[error("{}: belongs to {}", path.display(), belongs(what, saved.as_deref(), here.as_deref()))]
    Mismatch {
        /// Which checkpoint.
        path: PathBuf,
        /// What differs: configuration, training data, schedule, optimizer, model.
        what: &'static str,
        /// What of the checkpoint's this run has not.
        saved: Option<String>,
        /// What of this run's the checkpoint has not.
        here: Option<String>,
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

fn belongs(what: &str, saved: Option<&str>, here: Option<&str>) -> String {
    let other = if what.ends_with("data") { "other" } else { "another" };
    let (saved, mut sums) = without_sums(saved);
    let (here, of_here) = without_sums(here);
    sums.extend(of_here);
    let how = match (saved.as_deref(), here.as_deref()) {
        (None, None) if !sums.is_empty() => {
            format!("{} changed since it was written", sums.into_iter().collect::<Vec<_>>().join(" and "))
        }
        (Some(saved), Some(here)) => format!("it was written with `{saved}`, this run has `{here}`"),
        (Some(saved), None) => format!("it was written with `{saved}`, which this run does not have"),
        (None, here) => format!("it was written without `{}`, which this run has", here.unwrap_or_default()),
    };
    format!("{other} {what}: {how}")
}

/// The parts of a text that are no checksums, which say nothing to a person, and what the others are checksums of.
fn without_sums(parts: Option<&str>) -> (Option<String>, BTreeSet<String>) {
    let (mut plain, mut sums) = (Vec::new(), BTreeSet::new());
    for part in parts.into_iter().flat_map(|parts| parts.split(", ")) {
        let sum = part
            .rsplit_once(' ')
            .filter(|(_, sum)| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match sum {
            Some((of, _)) => drop(sums.insert(of.to_owned())),
            None => plain.push(part),
        }
    }
    (Some(plain.join(", ")).filter(|plain| !plain.is_empty()), sums)
}

/// The lines (or, of a single line, the parts between commas) of each text that the other has not.
pub(crate) fn differences(saved: &str, here: &str) -> (Option<String>, Option<String>) {
    let separator = if saved.contains('\n') || here.contains('\n') { "\n" } else { ", " };
    let only = |of: &str, other: &str| {
        let theirs: Vec<&str> = other.split(separator).map(str::trim).collect();
        let own = of.split(separator).map(str::trim).filter(|part| !part.is_empty() && !theirs.contains(part));
        Some(own.collect::<Vec<_>>().join(", ")).filter(|own| !own.is_empty())
    };
    (only(saved, here), only(here, saved))
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
    /// Of what else the steps of this epoch have measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) epoch_scalars: BTreeMap<String, Mean>,
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
    /// The epochs so far. Their seconds are kept in `times.json`, and those long ago in `history.jsonl`.
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
    /// How often the run rolled back to its last good state.
    #[serde(default)]
    pub rollbacks: u64,
    /// Updates left out in a row, up to the last one.
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// The highest base rate of the updates since the last plausible loss: to blame for a loss that is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<f64>,
    /// The largest loss so far, by its size: what a later one is measured against.
    #[serde(default)]
    pub largest_loss: f64,
    /// The steps of checkpoints, this one maybe among them, that nothing has shown to be good yet.
    #[serde(default)]
    pub unproven: Vec<u64>,
    /// Whether the run rolls back to the state of this checkpoint as soon as something shows that it is good.
    #[serde(default)]
    pub is_candidate: bool,
    /// The rates of the last step of the groups with their own schedule, in order.
    #[serde(default)]
    pub group_lrs: Vec<f64>,
    /// The optimizer steps of the whole run, as it was to be.
    #[serde(default)]
    pub total_steps: u64,
    /// How the run is logged and validated.
    #[serde(default)]
    pub cadence: Cadence,
    /// What callbacks keep, by name.
    #[serde(default)]
    pub callbacks: BTreeMap<String, serde_json::Value>,
}

/// How a run is logged and validated, and since when: what its logs should hold follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// In words.
    pub settings: String,
    /// The last step before these settings held.
    pub since: u64,
}

/// The times of a run, which differ between equal runs; training does not depend on them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Seconds that the run has taken so far, in all processes that had a part in it.
    pub elapsed: f64,
    /// Seconds of each epoch of the history.
    pub epochs: Vec<f64>,
    /// Which part of `history.jsonl` is this checkpoint's.
    #[serde(default, skip_serializing_if = "HistoryMark::is_empty")]
    pub history: HistoryMark,
}

/// Steps, epochs, batches: what a run counts is at most this, above which an f64 skips numbers.
const MOST: u64 = 1 << 53;

impl RunState {
    /// What of it no run can have, if anything.
    fn fault(&self) -> Option<String> {
        let counts = [
            ("step", self.step),
            ("epoch", self.epoch),
            ("batch", self.batch as u64),
            ("items", self.items as u64),
            ("skipped_steps", self.skipped_steps),
            ("skipped_in_a_row", self.skipped_in_a_row),
            ("early_bad", self.early_bad),
            ("early_best_step", self.early_best_step.unwrap_or(0)),
            ("averaged", self.averaged),
            ("rollbacks", self.rollbacks),
            ("epoch_loss", self.epoch_loss.items()),
        ];
        let scalars = self.epoch_scalars.values().map(|mean| ("epoch_scalars", mean.items()));
        let count = counts.into_iter().chain(scalars).find(|(_, count)| *count > MOST);
        // What happens at most once in a step, and a loss for each item at most.
        let most = [
            ("epoch", self.epoch, "steps", self.step),
            ("averaged", self.averaged, "steps", self.step),
            ("early_best_step", self.early_best_step.unwrap_or(0), "steps", self.step),
            ("epoch_loss", self.epoch_loss.items(), "items", self.items as u64),
        ];
        let beyond = most.into_iter().find(|(_, count, _, most)| count > most);
        let beyond =
            beyond.map(|(field, count, of, most)| format!("{field}: {count} is more than the {most} {of} done"));
        let mut rates = std::iter::once(&self.lr).chain(&self.group_lrs);
        let rate = rates.find(|lr| !lr.is_finite() || **lr < 0.0).map(|lr| format!("lr: {lr} is no rate"));
        let loss = (!self.largest_loss.is_finite() || self.largest_loss < 0.0)
            .then(|| format!("largest_loss: {} is no size", self.largest_loss));
        let count = count.map(|(field, count)| format!("{field}: {count} is more than any run has"));
        count.or(beyond).or(rate).or(loss)
    }
}

impl Times {
    /// What of it no clock says, if anything.
    fn fault(&self) -> Option<String> {
        let is_time = |seconds: &f64| (0.0..=MOST as f64).contains(seconds);
        let wrong = std::iter::once(&self.elapsed).chain(&self.epochs).find(|seconds| !is_time(seconds));
        wrong.map(|seconds| format!("{seconds} seconds are not a length of time"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_told_in_words() {
        let sum = |digit: &str| digit.repeat(64);
        let said = |saved: &str, here: &str| {
            let (saved, here) = differences(saved, here);
            belongs("training data", saved.as_deref(), here.as_deref())
        };
        let of = |items: usize, table: &str, fit: &str| {
            format!("{items} items, content {}, preprocessing {}", sum(table), sum(fit))
        };
        let expected = [
            ("other training data: it was written with `9 items`, this run has `8 items`", of(8, "b", "b")),
            ("other training data: content and preprocessing changed since it was written", of(9, "b", "b")),
            ("other training data: preprocessing changed since it was written", of(9, "a", "b")),
        ];
        for (expected, here) in expected {
            assert_eq!(said(&of(9, "a", "a"), &here), expected);
        }
        // A name that a program gives its data is no checksum.
        assert!(said("content a", "content b").ends_with("with `content a`, this run has `content b`"));
    }

    #[test]
    fn what_differs_is_shown_and_nothing_else() {
        let cases = [
            ("a = 1\nb = 2\nc = 3", "a = 1\nb = 5\nc = 3", (Some("b = 2"), Some("b = 5"))),
            ("a = 1\nb = 2", "a = 1\nb = 2\nd = 4", (None, Some("d = 4"))),
            (
                "90 items, batch size 16, content x",
                "90 items, batch size 8, content x",
                (Some("batch size 16"), Some("batch size 8")),
            ),
        ];
        for (saved, here, (left, right)) in cases {
            assert_eq!(differences(saved, here), (left.map(str::to_owned), right.map(str::to_owned)));
        }
    }
}
