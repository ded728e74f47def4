//! A run folder read back: what reports and plots are made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use lr_core::Interval;
use report::page::decimal;
use serde::{Deserialize, de::DeserializeOwned};
use study::{Curve, Measure};
use toml::{Table, Value};
use trainer::{MetricInfo, Split, callbacks::LogLine};

use super::{environment::Session, measure, outputs::ShownOutputs, summary::Summary};
use crate::{
    config::{Catalog, Config, Document, leaves},
    error::Error,
    run_dir::{CONFIG, DamagedFile, ENVIRONMENT, FINDER, METRICS, OUTPUTS, RunDir, SUMMARY, io_error},
};

/// A run folder read back.
#[derive(Debug, Clone)]
pub(crate) struct RunRecord {
    /// Where it is.
    pub dir: RunDir,
    /// What the configuration calls it.
    pub name: String,
    /// The configuration, as text and as tables.
    pub config: (String, Table),
    /// The log.
    pub log: Vec<LogLine>,
    /// The result; `None` where the run failed, was killed, or is still under way.
    pub summary: Option<Summary>,
    /// The processes that worked on it.
    pub sessions: Vec<Session>,
    /// The sweep of the learning-rate finder that belongs to it.
    pub finder: Option<SweepRecord>,
    /// What its task showed last of its outputs.
    pub outputs: Option<ShownOutputs>,
    /// What its configuration may name.
    pub catalog: Catalog,
    /// What its task measures beside the loss; empty where this program does not know the task.
    metrics: Vec<MetricInfo>,
}

/// What `anneal find-lr --json` writes, as far as a picture needs it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SweepRecord {
    /// The rates.
    pub lrs: Vec<f64>,
    /// The losses.
    pub losses: Vec<Option<f64>>,
    /// The losses, smoothed.
    pub smoothed: Vec<Option<f64>>,
    /// The rule's answer.
    pub suggestion: Option<SuggestedRate>,
    /// Training steps that it took, where that was noted: with its repeats more than the curve has points.
    pub steps: Option<u64>,
    /// Seconds that it took, where that was noted.
    pub seconds: Option<f64>,
}

/// A suggested rate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct SuggestedRate {
    /// By which rule.
    pub rule: String,
    /// The rate.
    pub lr: f64,
}

/// What `[train.checkpoint] keep_best` has found the best so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BestCheckpoint {
    /// By which value, as in `valid.loss`.
    pub monitor: String,
    /// Whether the lowest is the best.
    pub is_lowest: bool,
    /// After which step.
    pub step: u64,
    /// The value.
    pub value: f64,
}

impl fmt::Display for BestCheckpoint {
    /// As in `lowest valid.loss, 0.0812`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = if self.is_lowest { "lowest" } else { "highest" };
        write!(f, "{which} {}, {}", self.monitor, decimal(self.value, 4))
    }
}

impl RunRecord {
    /// Reads a run folder.
    ///
    /// # Errors
    /// No run there; a file that is missing, cannot be read, or is damaged, by name. Files that
    /// a run writes at its end may be missing; an unfinished last line of the log is skipped.
    pub(crate) fn read(path: &Path, catalog: &Catalog) -> Result<Self, Error> {
        let dir = RunDir::open(path)?;
        let config = text(&dir, CONFIG)?.unwrap_or_default();
        let table = Document::read(&dir.path(CONFIG))?.table;
        let name = field(&table, "run", "name").and_then(Value::as_str).unwrap_or("run").to_owned();
        if let Some(trial) = field(&table, "train", "fast_dev_run").filter(|_| !dir.path(METRICS).exists()) {
            let what = format!("was a trial (train.fast_dev_run = {trial}), which leaves no log to report on");
            return Err(Error::Usage(format!("{}: {what}", path.display())));
        }
        let log = log(&dir)?;
        // A run that went on after its summary, and has not ended since, has none.
        let logged = log.last().map_or(0, |line: &LogLine| line.step);
        let summary =
            json(&dir, SUMMARY)?.filter(|summary: &Summary| summary.failure.is_some() || logged <= summary.steps);
        let sessions = json(&dir, ENVIRONMENT)?.unwrap_or_default();
        let finder = json(&dir, FINDER)?;
        let outputs = text(&dir, OUTPUTS)?.as_deref().map(|text| {
            let lines = text.lines().enumerate().last();
            lines.map(|(number, line)| {
                let read = serde_json::from_str(line);
                read.map_err(|error| damaged(&dir.path(OUTPUTS), Some(number + 1), format!("is damaged: {error}")))
            })
        });
        let outputs = outputs.flatten().transpose()?;
        let catalog = catalog.clone();
        let metrics =
            Config::from_table(&table, &catalog).map(|config| config.task.any().metrics()).unwrap_or_default();
        Ok(Self { dir, name, config: (config, table), log, summary, sessions, finder, outputs, catalog, metrics })
    }

    /// A setting of the configuration.
    pub(crate) fn setting(&self, section: &str, name: &str) -> Option<&Value> {
        field(&self.config.1, section, name)
    }

    /// The `type` of the optimizer, the schedule or the model.
    pub(crate) fn type_of(&self, section: &str) -> String {
        self.setting(section, "type").and_then(Value::as_str).unwrap_or("?").to_owned()
    }

    /// A metric of one set: steps and values, of the logged steps, of the epochs, or (`None`) of both.
    pub(crate) fn curve(&self, split: Split, every: Option<Interval>, metric: &str) -> Curve {
        let value = |line: &LogLine| {
            if metric == "loss" { line.loss } else { line.metrics.get(metric).copied().flatten() }
        };
        let lines = self.log.iter().filter(|line| line.split == split && every.is_none_or(|every| line.every == every));
        lines.filter_map(|line| Some((line.step as f64, value(line)?))).unzip()
    }

    /// A value of the logged training steps, such as the rate: steps and values.
    pub(crate) fn of_steps(&self, value: impl Fn(&LogLine) -> Option<f64>) -> Curve {
        let lines = self.log.iter().filter(|line| line.split == Split::Train && line.every == Interval::Step);
        lines.filter_map(|line| Some((line.step as f64, value(line)?))).unzip()
    }

    /// A value of the training as the lines of steps and of epochs have it. What an epoch changes it changes at its end: the
    /// next line's value holds from the step after.
    pub(crate) fn in_training(&self, value: impl Fn(&LogLine) -> Option<f64>) -> Curve {
        let mut points: Vec<(u64, f64)> = Vec::new();
        let mut ends_epoch = false;
        for line in self.log.iter().filter(|line| line.split == Split::Train) {
            let Some(value) = value(line) else { continue };
            let last = points.last().map(|(step, _)| *step);
            if last.is_some_and(|last| ends_epoch && last + 1 < line.step) {
                points.extend(last.map(|last| (last + 1, value)));
            }
            if last.is_none_or(|last| last < line.step) {
                points.push((line.step, value));
            }
            ends_epoch = line.every == Interval::Epoch;
        }
        points.into_iter().map(|(step, value)| (step as f64, value)).unzip()
    }

    /// The names of all metrics but the loss.
    pub(crate) fn metrics(&self) -> Vec<String> {
        let mut names: Vec<String> = self.log.iter().flat_map(|line| line.metrics.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The best value of a metric on the validation set and its step.
    pub(crate) fn best(&self, measure: &Measure) -> Option<(u64, f64)> {
        measure.best(&self.curve(Split::Valid, None, &measure.name))
    }

    /// The metric of this name, with its unit and direction.
    pub(crate) fn measure_of(&self, metric: &str) -> Measure {
        measure::named(metric, &self.metrics)
    }

    /// What the best checkpoint is chosen by, and its step and value so far; `None` where none is kept for being the best,
    /// or nothing has been measured.
    pub(crate) fn best_checkpoint(&self) -> Option<BestCheckpoint> {
        let policy = self.setting("train", "checkpoint");
        if policy.and_then(Value::as_bool) == Some(false) {
            return None;
        }
        let text = |name| policy.and_then(|policy| policy.get(name)?.as_str());
        let monitor = text("keep_best").unwrap_or("valid.loss");
        let (split, metric) = monitor.split_once('.')?;
        let curve = match split {
            "train" => self.curve(Split::Train, Some(Interval::Epoch), metric),
            "valid" => self.curve(Split::Valid, None, metric),
            _ => return None,
        };
        let mut measure = self.measure_of(metric);
        if let Some(mode) = text("mode") {
            measure.lower_is_better = mode == "min";
        }
        let (step, value) = measure.best(&curve)?;
        Some(BestCheckpoint { monitor: monitor.to_owned(), is_lowest: measure.lower_is_better, step, value })
    }

    /// The metrics of its task, measured or not, and what else its log has: of its steps and callbacks, or of a task that
    /// this program does not know.
    pub(crate) fn measured(&self) -> Vec<String> {
        let mut names: Vec<String> = self.metrics.iter().map(|metric| metric.name.clone()).collect();
        names.extend(self.metrics().into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        names
    }

    /// A figure on the test set; `None` where it has not been measured.
    pub(crate) fn test(&self, metric: &str) -> Option<f64> {
        self.summary.as_ref()?.test.as_ref()?.get(metric).copied().flatten()
    }

    /// What the run is compared with others by: the first metric of its task, or else the loss.
    pub(crate) fn measure(&self) -> Measure {
        let first = self.metrics.first().map_or("accuracy", |metric| metric.name.as_str());
        let is_logged = self.log.iter().any(|line| line.metrics.contains_key(first));
        if is_logged { self.measure_of(first) } else { Measure::loss() }
    }

    /// Optimizer steps done, as the summary says, or else as far as the log knows.
    pub(crate) fn steps(&self) -> u64 {
        let logged = || self.log.iter().map(|line| line.step).max().unwrap_or(0);
        self.summary.as_ref().map_or_else(logged, |summary| summary.steps)
    }

    /// Epochs finished.
    pub(crate) fn epochs(&self) -> u64 {
        self.log.iter().filter(|line| line.every == Interval::Epoch).map(|line| line.epoch + 1).max().unwrap_or(0)
    }

    /// Optimizer steps of the whole run, as planned.
    pub(crate) fn total_steps(&self) -> Option<u64> {
        let whole =
            |name| self.setting("train", name).and_then(Value::as_integer).and_then(|whole| u64::try_from(whole).ok());
        let noted = self.sessions.last().and_then(|session| session.total_steps);
        let of_epochs = || whole("epochs")?.checked_mul(self.steps_per_epoch()?);
        noted.or_else(|| whole("steps")).or_else(of_epochs)
    }

    /// Optimizer steps in an epoch, where that was noted or one has been finished.
    pub(crate) fn steps_per_epoch(&self) -> Option<u64> {
        if let Some(noted) = self.sessions.last().and_then(|session| session.steps_per_epoch) {
            return Some(noted);
        }
        let first = self.log.iter().find(|line| line.every == Interval::Epoch && line.epoch == 0)?;
        Some(first.step).filter(|steps| *steps > 0)
    }

    /// The configuration's settings as `section.field` and value, the run's name and folder left out.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = settings_of(&self.config.1);
        settings.retain(|path, _| !["run.name", "run.out_dir"].contains(&path.as_str()));
        settings
    }
}

fn field<'a>(table: &'a Table, section: &str, name: &str) -> Option<&'a Value> {
    table.get(section)?.as_table()?.get(name)
}

/// Every setting of a configuration's tables as `section.field` and value; texts without quotes.
pub(super) fn settings_of(table: &Table) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    leaves(table).into_iter().map(|(path, value)| (path, text(value))).collect()
}

/// The paths of the settings that differ, in order. One that only one of the two has differs.
pub(super) fn differing<'s>(a: &'s BTreeMap<String, String>, b: &'s BTreeMap<String, String>) -> BTreeSet<&'s String> {
    let paths = a.keys().chain(b.keys());
    paths.filter(|path| a.get(*path) != b.get(*path)).collect()
}

/// A file's text; `None` where there is no such file.
fn text(dir: &RunDir, name: &str) -> Result<Option<String>, Error> {
    let path = dir.path(name);
    match report::read_regular(&path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
                Err(damaged(&path, Some(before.matches('\n').count() + 1), "is no text (not UTF-8)"))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(&path, "read it", source).into()),
    }
}

fn damaged(path: &Path, line: Option<usize>, message: impl Into<String>) -> Error {
    Error::Damaged(DamagedFile { path: path.display().to_string(), line, message: message.into() })
}

fn json<T: DeserializeOwned>(dir: &RunDir, name: &str) -> Result<Option<T>, Error> {
    let Some(text) = text(dir, name)? else { return Ok(None) };
    let read = serde_json::from_str(&text);
    read.map(Some).map_err(|error| damaged(&dir.path(name), Some(error.line()), format!("is damaged: {error}")))
}

/// The lines of the log.
fn log(dir: &RunDir) -> Result<Vec<LogLine>, Error> {
    let path = dir.path(METRICS);
    let Some(text) = text(dir, METRICS)? else {
        return Err(damaged(&path, None, "is missing: the run has not begun, or the file was removed"));
    };
    let mut lines = Vec::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            // Cut off when the process was killed.
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(damaged(&path, Some(number + 1), format!("is damaged: {error}"))),
        }
    }
    Ok(lines)
}
