//! When a log of a run writes what, whatever its format.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::report::EpochSummary;
use crate::{
    Callback, CallbackError, CheckpointEvent, EpochEvent, FitReport, Flow, Logged, RunInfo, StepEvent, ValidationEvent,
};

/// Somebody who looks at a running log sees it at most this late.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// How a log is written.
pub trait LogFormat: Send {
    /// The log's name.
    const NAME: &'static str;

    /// Before the first step.
    fn start(&mut self, run: &RunInfo, losses: &mut Losses) -> Result<(), CallbackError>;

    /// The run has rolled back: what the log holds of this step and those after it is void.
    fn back_to(&mut self, step: u64) -> Result<(), CallbackError>;

    /// A logged step.
    fn step(&mut self, event: &StepEvent) -> Result<(), CallbackError>;

    /// A validation in the middle of an epoch.
    fn validation(&mut self, validation: PendingValidation) -> Result<(), CallbackError>;

    /// An epoch.
    fn epoch(&mut self, summary: &EpochSummary) -> Result<(), CallbackError>;

    /// Lets readers see what was written.
    fn flush(&mut self) -> Result<(), CallbackError>;
}

/// A log of a run: an entry per logged step, per epoch, and per validation in the middle of an epoch, flushed at the end of
/// each epoch, before each checkpoint, and at the latest a second late.
pub struct RunLog<F> {
    pub(super) format: F,
    losses: Losses,
    /// The last step received, with its rate and momentum.
    step: u64,
    lr: f64,
    momentum: Option<f64>,
    /// A validation that has not been written: `on_epoch` tells its values again if it ended an epoch.
    pending: Option<PendingValidation>,
    flushed: Instant,
}

/// A validation in the middle of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingValidation {
    pub(super) step: u64,
    pub(super) epoch: u64,
    pub(super) lr: f64,
    pub(super) momentum: Option<f64>,
    /// By name, without `valid.`.
    pub(super) values: BTreeMap<String, f64>,
    pub(super) seconds: f64,
}

impl<F: LogFormat> RunLog<F> {
    pub(super) fn of(format: F) -> Self {
        let (losses, flushed) = (Losses::default(), Instant::now());
        Self { format, losses, step: 0, lr: 0.0, momentum: None, pending: None, flushed }
    }

    /// Writes a validation that was in the middle of an epoch, before anything else.
    fn settle(&mut self) -> Result<(), CallbackError> {
        let pending = self.pending.take().filter(|pending| !pending.values.is_empty());
        pending.map_or(Ok(()), |validation| self.format.validation(validation))
    }
}

impl<F: LogFormat> Callback for RunLog<F> {
    fn name(&self) -> &str {
        F::NAME
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        (self.step, self.pending) = (run.steps_done, None);
        self.format.start(run, &mut self.losses)
    }

    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.settle()?;
        if event.step <= self.step {
            self.format.back_to(event.step)?;
        }
        (self.step, self.lr, self.momentum) = (event.step, event.lr, event.momentum);
        if event.logged || event.skipped {
            self.format.step(event)?;
            if self.flushed.elapsed() >= SHOWN_AFTER {
                self.flushed = Instant::now();
                self.format.flush()?;
            }
        }
        Ok(Flow::Continue)
    }

    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        self.settle()?;
        let ValidationEvent { step, epoch, values, seconds, .. } = *event;
        let (lr, momentum, values) = (self.lr, self.momentum, of_split(values, "valid."));
        self.pending = Some(PendingValidation { step, epoch, lr, momentum, values, seconds });
        Ok(Flow::Continue)
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        // The epoch's own figures hold its validation.
        self.pending.take_if(|pending| pending.step == event.summary.step);
        self.settle()?;
        self.format.epoch(event.summary)?;
        self.format.flush()?;
        Ok(Flow::Continue)
    }

    fn on_checkpoint(&mut self, _event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        self.settle()?;
        self.format.flush()
    }

    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        self.settle()?;
        self.format.flush()
    }

    /// Nothing where nothing was lost.
    fn state(&self) -> Option<Value> {
        (self.losses.said > 0).then(|| self.losses.said.into())
    }

    fn load_state(&mut self, state: Value) -> Result<(), CallbackError> {
        self.losses.said = state.as_u64().unwrap_or_default();
        Ok(())
    }
}

/// What a log that is resumed turns out to have lost is said once, however often the run is resumed.
#[derive(Debug, Default)]
pub struct Losses {
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
}

/// The values of one set, without the set's prefix.
pub(super) fn of_split(values: &BTreeMap<String, f64>, prefix: &str) -> BTreeMap<String, f64> {
    values.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), *value))).collect()
}
