//! The log of a run: one JSON object per logged step and per epoch.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
};

use lr_core::Interval;
use serde::{Deserialize, Serialize};

use super::run_log::{LogFormat, Losses, PendingValidation, RunLog, of_split};
use crate::{CallbackError, Logged, RunInfo, Split, StepEvent, report::EpochSummary};

/// One line of `metrics.jsonl`.
///
/// A logged step gives one line (`split = "train"`, `every = "step"`), an epoch one per set that was measured
/// (`every = "epoch"`), a validation in the middle of an epoch one (`split = "valid"`, `every = "step"`). JSON holds no NaN and no infinity: such a value is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Optimizer steps done, from 1; the rate is the one this step used.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Which set.
    pub split: Split,
    /// What the line is of: a step, or an epoch.
    pub every: Interval,
    /// The base rate.
    pub lr: f64,
    /// The momentum, where the schedule sets it.
    pub momentum: Option<f64>,
    /// The mean loss.
    pub loss: Option<f64>,
    /// Further metrics, by name.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Option<f64>>,
    /// Seconds: of a step, since the run (or its resumption) began; of an epoch or a validation, how long it took.
    pub seconds: f64,
}

/// Writes the log of a run.
///
/// Lines are flushed at the end of each epoch, before each checkpoint, and at the latest a second late. Resuming drops
/// the lines after the checkpoint's step, and so does a run that rolls back to an earlier state: the log of a run that
/// was interrupted holds each step once, and each epoch: what an earlier run that ended inside an epoch says of it is what
/// it has measured at that step. Where a log to be resumed has lines that cannot be read, or lacks some of those that it
/// should hold ([`Logged`]), a warning says so and the log as it was stays beside it (`metrics.jsonl.damaged-1`); the unfinished last
/// line of a killed process is cut off without a word.
pub type JsonLines = RunLog<Lines>;

/// The lines of [`JsonLines`].
pub struct Lines {
    path: PathBuf,
    out: Option<BufWriter<File>>,
    resumed_at: u64,
    /// What the kept lines say of the step resumed at: an epoch that ended there is reported again.
    told: BTreeSet<(Split, Interval)>,
}

impl JsonLines {
    /// A log in this file. Nothing is touched before the run starts: then a fresh run empties the file, and a resumed
    /// one continues it.
    pub fn new(path: &Path) -> Self {
        Self::of(Lines { path: path.to_owned(), out: None, resumed_at: 0, told: BTreeSet::new() })
    }
}

impl Lines {
    /// The lines up to `step` of the log that there is. What it should hold and does not is said, and the log as it was is
    /// kept aside.
    fn kept(&mut self, step: u64, should: &Logged, losses: &mut Losses) -> std::io::Result<Vec<(String, LogLine)>> {
        let bytes = match report::read_regular(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!("{}: is not there; the log begins again after step {step}", self.path.display());
                return Ok(Vec::new());
            }
            other => other?,
        };
        let (mut kept, mut unreadable) = (Vec::new(), Vec::new());
        for (number, bytes) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let line = serde_json::from_slice::<LogLine>(bytes).ok();
            match line.zip(str::from_utf8(bytes.trim_ascii_end()).ok()) {
                Some((line, text)) if line.step <= step => kept.push((text.to_owned(), line)),
                Some(_) => {}
                // The process was killed while it wrote this line.
                None if !bytes.ends_with(b"\n") => {}
                None if bytes.trim_ascii().is_empty() => {}
                None => unreadable.push(number + 1),
            }
        }
        let mut logged = Logged::default();
        for (_, line) in &kept {
            match (line.split, line.every) {
                (Split::Train, Interval::Step) => logged.steps.push(line.step),
                (Split::Train, Interval::Epoch) => logged.epochs.push(line.step),
                (Split::Valid, _) => logged.validations.push(line.step),
                (Split::Test, _) => {}
            }
        }
        let damage = match unreadable.as_slice() {
            [] => None,
            [line] => Some(format!("line {line} cannot be read")),
            [first, rest @ ..] => Some(format!("line {first} and {} more cannot be read", rest.len())),
        };
        let lost = losses.of(should, &logged, step);
        let damage: Vec<String> = damage.into_iter().chain(lost).collect();
        if !damage.is_empty() {
            let copy = report::keep_aside(&self.path)?;
            let (log, damage) = (self.path.display(), damage.join("; "));
            tracing::warn!("{log}: {damage}. The run goes on without; the log as it was is kept: {}", copy.display());
        }
        Ok(kept)
    }

    /// Opens the file with the lines up to `step`, whole or not at all. `is_inside`: an epoch goes on after that step.
    fn open(&mut self, step: u64, should: &Logged, is_inside: bool, losses: &mut Losses) -> std::io::Result<()> {
        let kept = if step > 0 { self.kept(step, should, losses)? } else { Vec::new() };
        self.resumed_at = step;
        self.told.clear();
        let mut log = String::new();
        for (mut text, mut line) in kept {
            if is_inside && line.step == step && line.every == Interval::Epoch {
                if line.split == Split::Train {
                    continue;
                }
                line.every = Interval::Step;
                text = serde_json::to_string(&line)?;
            }
            log.push_str(&text);
            log.push('\n');
            if line.step == step {
                self.told.insert((line.split, line.every));
            }
        }
        report::atomic_write(&self.path, log)?;
        self.out = Some(BufWriter::new(OpenOptions::new().append(true).open(&self.path)?));
        Ok(())
    }

    fn write(&mut self, line: &LogLine) -> Result<(), CallbackError> {
        if line.step == self.resumed_at && self.told.contains(&(line.split, line.every)) {
            return Ok(());
        }
        let text = serde_json::to_string(line).map_err(|error| self.failed(error))?;
        let Some(out) = &mut self.out else { return Ok(()) };
        writeln!(out, "{text}").map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CallbackError {
        CallbackError::new(format!("log {}", self.path.display()), error)
    }
}

fn finite(values: BTreeMap<String, f64>) -> BTreeMap<String, Option<f64>> {
    values.into_iter().map(|(name, value)| (name, Some(value).filter(|value| value.is_finite()))).collect()
}

impl LogFormat for Lines {
    const NAME: &'static str = "metrics.jsonl";

    fn start(&mut self, run: &RunInfo, losses: &mut Losses) -> Result<(), CallbackError> {
        self.open(run.steps_done, &run.logged, run.goes_on_inside_an_epoch(), losses)
            .map_err(|error| self.failed(error))
    }

    fn back_to(&mut self, step: u64) -> Result<(), CallbackError> {
        self.flush()?;
        self.open(step - 1, &Logged::default(), false, &mut Losses::default()).map_err(|error| self.failed(error))
    }

    fn step(&mut self, event: &StepEvent) -> Result<(), CallbackError> {
        self.write(&LogLine {
            step: event.step,
            epoch: event.epoch,
            split: Split::Train,
            every: Interval::Step,
            lr: event.lr,
            momentum: event.momentum,
            loss: event.loss.filter(|loss| loss.is_finite()),
            metrics: finite(event.metrics.clone()),
            seconds: event.seconds,
        })
    }

    fn validation(&mut self, validation: PendingValidation) -> Result<(), CallbackError> {
        let PendingValidation { step, epoch, lr, momentum, values, seconds } = validation;
        let mut metrics = finite(values);
        let loss = metrics.remove("loss").flatten();
        let (split, every) = (Split::Valid, Interval::Step);
        self.write(&LogLine { step, epoch, split, every, lr, momentum, loss, metrics, seconds })
    }

    fn epoch(&mut self, summary: &EpochSummary) -> Result<(), CallbackError> {
        for (split, prefix) in [(Split::Train, "train."), (Split::Valid, "valid.")] {
            let mut metrics = finite(of_split(&summary.values, prefix));
            if metrics.is_empty() {
                continue;
            }
            self.write(&LogLine {
                step: summary.step,
                epoch: summary.epoch,
                split,
                every: Interval::Epoch,
                lr: summary.lr,
                momentum: summary.momentum,
                loss: metrics.remove("loss").flatten(),
                metrics,
                seconds: summary.seconds,
            })?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CallbackError> {
        let flushed = self.out.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|error| self.failed(error))
    }
}
