//! A run folder read back: what reports and plots are made of.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};
use toml::{Table, Value};
use trainer::{Phase, callbacks::LogLine};

use super::environment::Session;
use crate::{
    config::Document,
    error::Error,
    run_dir::{CONFIG, ENVIRONMENT, Existing, FINDER, METRICS, RunDir, SUMMARY, io_error},
};

/// A file of a run folder that does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("{path}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct DamagedFile {
    /// Which file.
    pub path: String,
    /// Line, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// A run folder read back.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// Where it is.
    pub dir: RunDir,
    /// What the configuration calls it.
    pub name: String,
    /// The configuration, as text and as tables.
    pub config: (String, Table),
    /// The log.
    pub log: Vec<LogLine>,
    /// What came out; `None` where the run has not come to its end, or not yet.
    pub ended: Option<Ended>,
    /// The processes that worked on it.
    pub sessions: Vec<Session>,
    /// The sweep of the learning-rate finder that belongs to it.
    pub finder: Option<Sweep>,
}

/// What a report needs of `summary.json`. Fields that are not there are left out of the report.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The data set; a part is called a part.
    pub dataset: String,
    /// Trainable numbers.
    pub parameters: Option<u64>,
    /// Why it ended.
    pub stopped: Stopped,
    /// Updates left out because the loss was not finite.
    pub skipped_steps: u64,
    /// Figures on the test set.
    pub test: Option<BTreeMap<String, Option<f64>>>,
    /// Seconds of the last process's part of the run.
    pub seconds: f64,
    /// Seconds of the whole run, all processes together.
    pub elapsed: Option<f64>,
    /// The most memory that the last process used, in bytes.
    pub peak_memory: Option<u64>,
    /// Training items per second.
    pub items_per_second: f64,
    /// Where the seconds went.
    pub times: BTreeMap<String, f64>,
    /// The step the last process resumed from.
    pub resumed_from: Option<u64>,
}

/// Why a run ended, by the name that [`trainer::StopReason`] has in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Stopped {
    /// `finished`, `early_stopping`, `interrupted`, ...
    pub kind: String,
    /// More about it.
    pub detail: Option<String>,
}

/// What `anneal find-lr --json` writes, as far as a picture needs it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Sweep {
    /// The rates.
    pub lrs: Vec<f64>,
    /// The losses.
    pub losses: Vec<Option<f64>>,
    /// The losses, smoothed.
    pub smoothed: Vec<Option<f64>>,
    /// The rule's answer.
    pub suggestion: Option<Suggested>,
}

/// A suggested rate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Suggested {
    /// By which rule.
    pub rule: String,
    /// The rate.
    pub lr: f64,
}

impl RunRecord {
    /// Reads a run folder.
    ///
    /// # Errors
    /// No run there; a file that is missing, cannot be read, or is damaged, by name. Missing may be what a run that has
    /// not ended does not have yet; a last line of the log that was never finished is passed over.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let dir = RunDir::at(path, Existing::Resume)?;
        let config = text(&dir, CONFIG)?.unwrap_or_default();
        let table = Document::read(&dir.path(CONFIG))?.table;
        let name = field(&table, "run", "name").and_then(Value::as_str).unwrap_or("run").to_owned();
        let log = log(&dir)?;
        let ended = json(&dir, SUMMARY)?;
        let sessions = json(&dir, ENVIRONMENT)?.unwrap_or_default();
        let finder = json(&dir, FINDER)?;
        Ok(Self { dir, name, config: (config, table), log, ended, sessions, finder })
    }

    /// A setting of the configuration.
    pub fn setting(&self, section: &str, name: &str) -> Option<&Value> {
        field(&self.config.1, section, name)
    }

    /// The settings `type` of optimizer, schedule, model: which.
    pub fn type_of(&self, section: &str) -> String {
        self.setting(section, "type").and_then(Value::as_str).unwrap_or("?").to_owned()
    }

    /// A metric of one set: step and value. `every` is `step` or `epoch`; `None` takes both.
    pub fn curve(&self, split: Phase, every: Option<&str>, metric: &str) -> (Vec<f64>, Vec<f64>) {
        let value = |line: &LogLine| {
            if metric == "loss" { line.loss } else { line.metrics.get(metric).copied().flatten() }
        };
        let lines = self.log.iter().filter(|line| line.split == split && every.is_none_or(|every| line.every == every));
        lines.filter_map(|line| Some((line.step as f64, value(line)?))).unzip()
    }

    /// The names of all metrics but the loss.
    pub fn metrics(&self) -> Vec<String> {
        let mut names: Vec<String> = self.log.iter().flat_map(|line| line.metrics.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The best value of a metric on the validation set (the highest, of a loss the lowest) and its step.
    pub fn best(&self, metric: &str) -> Option<(u64, f64)> {
        let (steps, values) = self.curve(Phase::Valid, None, metric);
        let better = |a: f64, b: f64| if metric == "loss" { a < b } else { a > b };
        steps.into_iter().zip(values).fold(None, |best: Option<(u64, f64)>, (step, value)| match best {
            Some((_, so_far)) if !better(value, so_far) => best,
            _ => Some((step as u64, value)),
        })
    }

    /// A figure on the test set; `None` where it has not been measured.
    pub fn test(&self, metric: &str) -> Option<f64> {
        self.ended.as_ref()?.test.as_ref()?.get(metric).copied().flatten()
    }

    /// Seconds after which this many optimizer steps had been done, validations and checkpoints before them included: at
    /// a logged step as the log says, between two in proportion, after the last its own. Of a run that was resumed the
    /// parts are added; what an interruption lost is in none of them.
    pub fn seconds_at(&self, step: u64) -> Option<f64> {
        let lines = self.log.iter().filter(|line| line.split == Phase::Train && line.every == "step");
        seconds_at(lines.map(|line| (line.step, line.seconds)), step)
    }

    /// The metric that runs are compared by: the accuracy, or else the loss.
    pub fn main_metric(&self) -> &'static str {
        if self.log.iter().any(|line| line.metrics.contains_key("accuracy")) { "accuracy" } else { "loss" }
    }

    /// Optimizer steps done, as far as the log knows.
    pub fn steps(&self) -> u64 {
        self.log.iter().map(|line| line.step).max().unwrap_or(0)
    }

    /// Epochs finished.
    pub fn epochs(&self) -> u64 {
        self.log.iter().filter(|line| line.every == "epoch").map(|line| line.epoch + 1).max().unwrap_or(0)
    }

    /// Optimizer steps in an epoch, where one has been finished.
    pub fn steps_per_epoch(&self) -> Option<u64> {
        let first = self.log.iter().find(|line| line.every == "epoch" && line.epoch == 0)?;
        Some(first.step).filter(|steps| *steps > 0)
    }

    /// The configuration's settings as `section.field` and value, the run's name and folder left out.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = settings_of(&self.config.1);
        settings.retain(|path, _| !["run.name", "run.out_dir"].contains(&path.as_str()));
        settings
    }
}

fn field<'a>(table: &'a Table, section: &str, name: &str) -> Option<&'a Value> {
    table.get(section)?.as_table()?.get(name)
}

/// Step and seconds of logged steps, and the step whose time is asked for.
fn seconds_at(logged: impl Iterator<Item = (u64, f64)>, step: u64) -> Option<f64> {
    // Seconds of the processes before; the last line's step, its own seconds, and its seconds in all.
    let mut before = 0.0;
    let mut last: Option<(u64, f64, f64)> = None;
    for (at, seconds) in logged {
        if let Some((_, own, total)) = last
            && seconds < own
        {
            before = total;
        }
        let total = before + seconds;
        if at >= step {
            let (from, since) = last.map_or((0, 0.0), |(from, _, since)| (from, since));
            let part = if at > from { step.saturating_sub(from) as f64 / (at - from) as f64 } else { 1.0 };
            return Some(since + part * (total - since));
        }
        last = Some((at, seconds, total));
    }
    last.map(|(_, _, total)| total)
}

/// Every setting of a configuration's tables as `section.field` and value.
pub(super) fn settings_of(table: &Table) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    flatten("", &Value::Table(table.clone()), &mut settings);
    settings
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(&strict_config::join(path, name), value, into);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (number, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{number}]"), item, into);
            }
        }
        Value::String(text) => drop(into.insert(path.to_owned(), text.clone())),
        // Whole: two that differ only at a long value's end are not the same.
        other => drop(into.insert(path.to_owned(), other.to_string())),
    }
}

/// A file's text; `None` where there is no such file.
fn text(dir: &RunDir, name: &str) -> Result<Option<String>, Error> {
    let path = dir.path(name);
    match fs::read(&path) {
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
            // A process that was killed while it wrote.
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(damaged(&path, Some(number + 1), format!("is damaged: {error}"))),
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::seconds_at;

    #[test]
    fn seconds_lie_between_those_of_the_logged_steps() {
        let log = [(10, 1.0), (20, 3.0), (30, 4.0)];
        // Resumed after step 20, with a clock that starts anew.
        let resumed = [(10, 1.0), (20, 3.0), (30, 0.5), (40, 2.0)];
        let cases = [
            (&log[..], 20, Some(3.0)),
            (&log, 15, Some(2.0)),
            (&log, 5, Some(0.5)),
            (&log, 35, Some(4.0)),
            (&resumed, 30, Some(3.5)),
            (&resumed, 25, Some(3.25)),
            (&resumed, 40, Some(5.0)),
            (&[], 10, None),
        ];
        for (log, step, expected) in cases {
            assert_eq!(seconds_at(log.iter().copied(), step), expected, "{log:?} at {step}");
        }
    }
}
