//! When checkpoints are written, which are kept, and what happens when one cannot be written.

use std::{cmp::Ordering, path::PathBuf};

use crate::Mode;

/// When checkpoints are written and which are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointPolicy {
    /// The folder that holds one sub-folder per checkpoint.
    pub directory: PathBuf,
    /// How often one is written (and always at the end of the run). Default: after each epoch.
    pub every: Every,
    /// How many of the newest are kept; 0 counts as 1. Default 1.
    pub keep_last: usize,
    /// Besides these, the best by a measured value are kept; each new one among the best is written, whatever
    /// [`every`](Self::every) says. Default off.
    pub keep_best: Option<KeepBest>,
    /// Whether encoding and writing happen on a thread of their own while training goes on. One write is under way at
    /// a time: a save that finds one waits for it. So on disk is never less than the checkpoint before the last one
    /// asked for; with `false` never less than the last one. Default `true`.
    pub background: bool,
    /// What a failed write does to the run. Default [`OnWriteError::Stop`].
    pub on_error: OnWriteError,
}

impl CheckpointPolicy {
    /// The defaults, in this folder.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            every: Every::Epochs(1),
            keep_last: 1,
            keep_best: None,
            background: true,
            on_error: OnWriteError::Stop,
        }
    }
}

/// How often a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// After every this many epochs; 0 counts as 1.
    Epochs(u64),
    /// After every this many optimizer steps, in the middle of an epoch too; 0 counts as 1. Where such a step ends an
    /// epoch, the checkpoint is written after the epoch's validation and holds its outcome.
    Steps(u64),
}

impl Every {
    /// Whether a checkpoint is due at the end of an epoch: so many epochs and steps are done.
    pub(crate) fn is_due_after_epoch(self, epochs: u64, steps: u64) -> bool {
        match self {
            Self::Epochs(every) => epochs.is_multiple_of(every.max(1)),
            Self::Steps(every) => steps.is_multiple_of(every.max(1)),
        }
    }

    /// Whether a checkpoint is due in the middle of an epoch, after this many steps.
    pub(crate) fn is_due_within_epoch(self, steps: u64) -> bool {
        matches!(self, Self::Steps(every) if steps.is_multiple_of(every.max(1)))
    }
}

/// Which checkpoints are kept for their value.
#[derive(Debug, Clone, PartialEq)]
pub struct KeepBest {
    /// The value, e.g. `valid.loss`.
    pub monitor: String,
    /// Whether lower or higher is better.
    pub mode: Mode,
    /// How many; 0 counts as 1. Of equal values the older checkpoint is the better one.
    pub k: usize,
}

impl KeepBest {
    /// The one best by this value.
    pub fn new(monitor: impl Into<String>, mode: Mode) -> Self {
        Self { monitor: monitor.into(), mode, k: 1 }
    }

    /// Checkpoints with the value measured on each, given oldest first, become the best first. Those without a value are
    /// left out; of equal values the older one comes first.
    pub(super) fn rank<T>(&self, oldest_first: impl IntoIterator<Item = (T, Option<f64>)>) -> Vec<T> {
        let measured = oldest_first.into_iter().filter_map(|(checkpoint, value)| Some((checkpoint, value?)));
        let mut ranked: Vec<(T, f64)> = measured.collect();
        // A stable sort, so equal values keep their order.
        ranked.sort_by(|(_, a), (_, b)| self.order(*a, *b));
        ranked.into_iter().map(|(checkpoint, _)| checkpoint).collect()
    }

    /// The better value first.
    fn order(&self, a: f64, b: f64) -> Ordering {
        if self.mode == Mode::Min { a.total_cmp(&b) } else { b.total_cmp(&a) }
    }

    /// Whether `value` is among the best `k`, given the best so far, best first; if so it takes its place there.
    pub(crate) fn admits(&self, best: &mut Vec<f64>, value: f64) -> bool {
        // Behind its equals: they are older.
        let place = best.iter().position(|kept| self.mode.improves(value, Some(*kept), 0.0)).unwrap_or(best.len());
        let admitted = value.is_finite() && place < self.k.max(1);
        if admitted {
            best.insert(place, value);
            best.truncate(self.k.max(1));
        }
        admitted
    }
}

/// What a checkpoint that could not be written does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnWriteError {
    /// End it with the error.
    #[default]
    Stop,
    /// Log a warning and go on; the next checkpoint is tried as if nothing had happened.
    Continue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_the_best_so_far_and_of_equals_the_oldest() {
        // In order, with whether each is admitted, and what is kept at the end.
        let check = |mode, k, values: &[(f64, bool)], kept: &[f64]| {
            let rule = KeepBest { monitor: String::new(), mode, k };
            let mut best = Vec::new();
            for (value, admitted) in values {
                assert_eq!(rule.admits(&mut best, *value), *admitted, "{rule:?}: {value}");
            }
            assert_eq!(best, kept, "{rule:?}");
        };
        check(Mode::Min, 1, &[(3.0, true), (2.0, true), (2.0, false), (2.5, false), (1.0, true)], &[1.0]);
        check(Mode::Min, 2, &[(3.0, true), (2.0, true), (2.0, true), (2.0, false), (1.0, true)], &[1.0, 2.0]);
        check(Mode::Max, 2, &[(1.0, true), (3.0, true), (2.0, true), (0.0, false)], &[3.0, 2.0]);
        check(Mode::Max, 0, &[(f64::NAN, false), (f64::INFINITY, false), (1.0, true)], &[1.0]);
    }

    #[test]
    fn checkpoints_are_ranked_as_they_are_admitted() {
        let values = [("a", Some(2.0)), ("b", Some(1.0)), ("c", None), ("d", Some(1.0)), ("e", Some(2.0))];
        assert_eq!(KeepBest::new("", Mode::Min).rank(values), ["b", "d", "a", "e"]);
        assert_eq!(KeepBest::new("", Mode::Max).rank(values), ["a", "e", "b", "d"]);
    }
}
