//! Where a run is, which every log needs whatever its format.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{EpochEvent, Logged, StepEvent, ValidationEvent};

/// Somebody who looks at a running log sees it at most this late.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// Where a log is.
#[derive(Debug)]
pub(super) struct Position {
    /// The last step received.
    step: u64,
    lr: f64,
    momentum: Option<f64>,
    /// A validation that has not been written: `on_epoch` tells its values again if it ended an epoch.
    pending: Option<Validation>,
    flushed: Instant,
}

/// A validation in the middle of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Validation {
    pub(super) step: u64,
    pub(super) epoch: u64,
    pub(super) lr: f64,
    pub(super) momentum: Option<f64>,
    /// By name, without `valid.`.
    pub(super) values: BTreeMap<String, f64>,
    pub(super) seconds: f64,
}

impl Position {
    /// After this many steps.
    pub(super) fn new(step: u64) -> Self {
        Self { step, lr: 0.0, momentum: None, pending: None, flushed: Instant::now() }
    }

    /// Records a step. `true` if the run has rolled back to an earlier state, so that what the log holds of this
    /// step and those after it is void.
    pub(super) fn step(&mut self, event: &StepEvent) -> bool {
        let is_back = event.step <= self.step;
        (self.step, self.lr, self.momentum) = (event.step, event.lr, event.momentum);
        if is_back {
            self.pending = None;
        }
        is_back
    }

    /// Takes note of a validation, to be written unless `on_epoch` follows.
    pub(super) fn validation(&mut self, event: &ValidationEvent<'_>) {
        let values = of_split(event.values, "valid.");
        self.pending = Some(Validation {
            step: event.step,
            epoch: event.epoch,
            lr: self.lr,
            momentum: self.momentum,
            values,
            seconds: event.seconds,
        });
    }

    /// The epoch's own figures hold its validation.
    pub(super) fn epoch(&mut self, event: &EpochEvent<'_>) {
        if self.pending.as_ref().is_some_and(|pending| pending.step == event.summary.step) {
            self.pending = None;
        }
    }

    /// A validation in the middle of an epoch that is to be written now, before anything else.
    pub(super) fn settled(&mut self) -> Option<Validation> {
        self.pending.take().filter(|pending| !pending.values.is_empty())
    }

    /// Whether it is time to let readers see what was written.
    pub(super) fn is_stale(&mut self) -> bool {
        let is_stale = self.flushed.elapsed() >= SHOWN_AFTER;
        if is_stale {
            self.flushed = Instant::now();
        }
        is_stale
    }
}

/// What a log that is resumed turns out to have lost is said once, however often the run is resumed: a log's own state.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Up to this step it has been said.
    said: u64,
}

impl Losses {
    /// What of `should`, up to `step`, a log that holds `kept` lacks and nobody has been told yet, in words.
    pub(super) fn of(&mut self, should: &Logged, kept: &Logged, step: u64) -> Vec<String> {
        let lost = should.lost_by(kept, self.said);
        if !lost.is_empty() {
            self.said = step;
        }
        lost
    }

    /// As a checkpoint keeps it; nothing where nothing was lost.
    pub(super) fn state(&self) -> Option<Value> {
        (self.said > 0).then(|| self.said.into())
    }

    /// From a checkpoint.
    pub(super) fn load(&mut self, state: &Value) {
        self.said = state.as_u64().unwrap_or_default();
    }
}

/// The values of one set, without the set's prefix.
pub(super) fn of_split(values: &BTreeMap<String, f64>, prefix: &str) -> BTreeMap<String, f64> {
    values.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), *value))).collect()
}
