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
    out: BufWriter<File>,
}

impl JsonLines {
    /// A new log; an existing file is emptied.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), out: BufWriter::new(File::create(path)?) })
    }

    /// Goes on with an existing log after `step`: later lines are dropped, and so is a line torn by a crash.
    pub fn resume(path: &Path, step: u64) -> std::io::Result<Self> {
        let kept: Vec<String> = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
            Ok(file) => BufReader::new(file)
                .lines()
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .filter(|line| serde_json::from_str::<LogLine>(line).is_ok_and(|line| line.step <= step))
                .collect(),
        };
        let unfinished = path.with_extension("jsonl.tmp");
        let mut out = BufWriter::new(File::create(&unfinished)?);
        for line in kept {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        fs::rename(&unfinished, path)?;
        Ok(Self { path: path.to_owned(), out })
    }

    /// Adds a line.
    pub fn write(&mut self, line: &LogLine) -> Result<(), CallbackError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| CallbackError {
            callback: format!("log {}", self.path.display()),
            source,
        };
        let text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        writeln!(self.out, "{text}").map_err(|error| failed(error.into()))
    }

    fn flush(&mut self) -> Result<(), CallbackError> {
        self.out
            .flush()
            .map_err(|error| CallbackError { callback: format!("log {}", self.path.display()), source: error.into() })
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Callback for JsonLines {
    fn name(&self) -> &'static str {
        "metrics.jsonl"
    }

    fn on_start(&mut self, _run: &RunInfo) -> Result<(), CallbackError> {
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
