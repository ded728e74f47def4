//! When checkpoints are written, which are kept, and what happens when one cannot be written.

use std::{cmp::Ordering, path::PathBuf};

use lr_core::Duration;
use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, Settings, check, settings};

use crate::{Mode, every::check_every};

settings! {
    /// When checkpoints are written and which are kept.
    pub struct CheckpointPolicy {
        /// The folder that holds one sub-folder per checkpoint; empty (the default), nothing is written.
        #[serde(skip)]
        pub directory: PathBuf = PathBuf::new(),
        /// How often one is written (and always at the end of the run); a bare number is epochs. Where such a step ends an
        /// epoch, the checkpoint is written after the epoch's validation and holds its outcome. Default 1.
        pub every: Duration = Duration::Ticks(1),
        /// How many of the newest are kept. At least 1; default 1.
        pub keep_last: usize = 1,
        /// In addition, the best by the value of this name are kept; each new one among the best is written, whatever
        /// [`every`](Self::every) says. Empty for none; a value of the validation
        /// set counts only in a run that has one. Default `valid.loss`.
        pub keep_best: String = "valid.loss".to_owned(),
        /// Whether lower (`min`) or higher (`max`) is better. Default: [`Mode::of`] that value.
        pub mode: Option<Mode> = None,
        /// How many of the best are kept. At least 1; default 1. Of equal values the older checkpoint is the better one.
        pub k: usize = 1,
        /// Whether encoding and writing happen on another thread while training continues. One write is under way at
        /// a time: a save that finds one waits for it. So on disk is never less than the checkpoint before the last one
        /// asked for; with `false` never less than the last one. Default `true`.
        pub background: bool = true,
        /// What a failed write does to the run. Default [`OnWriteError::Stop`].
        pub on_error: OnWriteError = OnWriteError::Stop,
    }
}

impl Settings for CheckpointPolicy {
    fn resolve(&mut self) {
        self.mode = Some(self.mode());
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_every("every", self.every)?;
        check::at_least("keep_last", self.keep_last as u64, 1)?;
        check::at_least("k", self.k as u64, 1)
    }
}

impl CheckpointPolicy {
    /// The defaults, in this folder.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), ..Self::default() }
    }

    /// Whether a lower or a higher value is better.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or_else(|| Mode::of(&self.keep_best))
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
        if self.mode() == Mode::Min { a.total_cmp(&b) } else { b.total_cmp(&a) }
    }

    /// Whether `value` is among the best `k`, given the best so far, best first; if so it takes its place there.
    pub(crate) fn admits(&self, best: &mut Vec<f64>, value: f64) -> bool {
        // Behind its equals: they are older.
        let place = best.iter().position(|kept| self.mode().improves(value, Some(*kept), 0.0)).unwrap_or(best.len());
        let admitted = value.is_finite() && place < self.k.max(1);
        if admitted {
            best.insert(place, value);
            best.truncate(self.k.max(1));
        }
        admitted
    }
}

/// What happens to the run when a checkpoint could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnWriteError {
    /// End it with the error.
    #[default]
    Stop,
    /// Log a warning and continue; the next checkpoint is tried again.
    Continue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_the_best_so_far_and_of_equals_the_oldest() {
        // In order, with whether each is admitted, and what is kept at the end.
        let check = |mode, k, values: &[(f64, bool)], kept: &[f64]| {
            let rule = CheckpointPolicy { mode: Some(mode), k, ..CheckpointPolicy::default() };
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
        let by = |mode| CheckpointPolicy { mode: Some(mode), ..CheckpointPolicy::default() };
        assert_eq!(by(Mode::Min).rank(values), ["b", "d", "a", "e"]);
        assert_eq!(by(Mode::Max).rank(values), ["a", "e", "b", "d"]);
    }
}
