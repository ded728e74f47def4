//! The log of a run: one JSON object per logged step and per epoch.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Callback, CallbackError, EpochEvent, FitReport, Flow, Phase, RunInfo, StepEvent};

/// One line of `metrics.jsonl`.
///
/// A logged step gives one line (`split = "train"`, `every = "step"`), an epoch one per set that was measured
/// (`every = "epoch"`). JSON holds no NaN and no infinity: such a value is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Optimizer steps done, from 1; the rate is the one this step used.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Which set.
    pub split: Phase,
    /// `step` or `epoch`.
    pub every: String,
    /// The base rate.
    pub lr: f64,
    /// The momentum, where the schedule sets it.
    pub momentum: Option<f64>,
    /// The mean loss.
    pub loss: Option<f64>,
    /// Further metrics, by name.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Option<f64>>,
    /// Seconds: of a step, since the run (or its resumption) began; of an epoch, how long it took.
    pub seconds: f64,
}

/// Writes the log of a run.
///
/// Lines are flushed at the end of each epoch. Resuming drops the lines after the checkpoint's step, so that the log
/// of a resumed run holds each step once.
pub struct JsonLines {
    path: PathBuf,
    out: Option<BufWriter<File>>,
}

impl JsonLines {
    /// A log in this file. Nothing is touched before the run starts: then a fresh run empties the file, and a resumed
    /// one goes on with it.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), out: None }
    }

    /// The lines up to `step` of an existing log; a line torn by a crash is none.
    fn kept(path: &Path, step: u64) -> std::io::Result<Vec<String>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let lines = BufReader::new(file).lines().collect::<Result<Vec<_>, _>>()?;
        let is_kept = |line: &String| serde_json::from_str::<LogLine>(line).is_ok_and(|line| line.step <= step);
        Ok(lines.into_iter().filter(is_kept).collect())
    }

    /// Opens the file with the lines that are kept, whole or not at all.
    fn open(path: &Path, step: u64) -> std::io::Result<BufWriter<File>> {
        let kept = if step > 0 { Self::kept(path, step)? } else { Vec::new() };
        let unfinished = path.with_extension("jsonl.tmp");
        let mut out = BufWriter::new(File::create(&unfinished)?);
        for line in kept {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        fs::rename(&unfinished, path)?;
        Ok(out)
    }

    fn write(&mut self, line: &LogLine) -> Result<(), CallbackError> {
        let text = serde_json::to_string(line).map_err(|error| self.failed(error))?;
        let Some(out) = &mut self.out else { return Ok(()) };
        writeln!(out, "{text}").map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> Result<(), CallbackError> {
        let flushed = self.out.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CallbackError {
        CallbackError { callback: format!("log {}", self.path.display()), source: error.into() }
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Callback for JsonLines {
    fn name(&self) -> &'static str {
        "metrics.jsonl"
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        self.out = Some(Self::open(&self.path, run.steps_done).map_err(|error| self.failed(error))?);
        Ok(())
    }

    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        if event.logged || event.skipped {
            self.write(&LogLine {
                step: event.step,
                epoch: event.epoch,
                split: Phase::Train,
                every: "step".to_owned(),
                lr: event.lr,
                momentum: event.momentum,
                loss: event.loss.and_then(finite),
                metrics: event.metrics.iter().map(|(name, value)| (name.clone(), finite(*value))).collect(),
                seconds: event.seconds,
            })?;
        }
        Ok(Flow::Continue)
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        let summary = event.summary;
        for (split, prefix) in [(Phase::Train, "train."), (Phase::Valid, "valid.")] {
            let mut metrics: BTreeMap<String, Option<f64>> = summary
                .values
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), finite(*value))))
                .collect();
            if metrics.is_empty() {
                continue;
            }
            self.write(&LogLine {
                step: summary.step,
                epoch: summary.epoch,
                split,
                every: "epoch".to_owned(),
                lr: summary.lr,
                momentum: summary.momentum,
                loss: metrics.remove("loss").flatten(),
                metrics,
                seconds: summary.seconds,
            })?;
        }
        self.flush()?;
        Ok(Flow::Continue)
    }

    fn on_end(&mut self, _report: &FitReport) -> Result<(), CallbackError> {
        self.flush()
    }
}
