//! The result of a run, for people (printed) and for programs (`summary.json`).

use std::{collections::BTreeMap, fmt};

use report::page::{decimal, fold, plural};
use serde::{Deserialize, Serialize};
use trainer::{FitReport, StopReason, TimeSpent, TrainError, callbacks::LogLine};

use super::Assembly;
use crate::{
    config::Config,
    run_dir::{RunDir, SUMMARY},
};

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run's name.
    pub name: String,
    /// The data set; a part is called a part.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// Its trainable numbers.
    pub parameters: usize,
    /// The optimizer.
    pub optimizer: String,
    /// The schedule.
    pub schedule: String,
    /// The device.
    pub device: String,
    /// The seed.
    pub seed: u64,
    /// Epochs done.
    pub epochs: u64,
    /// Optimizer steps done.
    pub steps: u64,
    /// Why it ended.
    pub stopped: StopReason,
    /// Where its numbers stopped being finite, if they did. Such a run has no throughput, times and test figures.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Updates left out because a loss or gradient was not finite.
    pub skipped_steps: u64,
    /// How often the run rolled back to its last good state.
    #[serde(default)]
    pub rollbacks: u64,
    /// The step whose model was restored as the best.
    #[serde(default)]
    pub restored: Option<u64>,
    /// The last epoch's figures: `train.loss`, `valid.loss`, and of each metric as in `valid.accuracy` (in percent).
    pub last: BTreeMap<String, Option<f64>>,
    /// Figures on the test set, measured once, at the end: `loss`, and each metric, as `accuracy` (in percent).
    pub test: Option<BTreeMap<String, Option<f64>>>,
    /// Seconds of this process's part of the run.
    pub seconds: f64,
    /// Seconds of the whole run, the processes before a resumption included.
    #[serde(default)]
    pub elapsed: f64,
    /// The most memory this process has used, in bytes; `null` where the system does not tell it.
    #[serde(default)]
    pub peak_memory: Option<u64>,
    /// The share of the seconds in which the training waited for data, checkpoints and callbacks, in percent.
    #[serde(default)]
    pub stall_percent: f64,
    /// Training items per second, validation and checkpoints left out.
    pub items_per_second: f64,
    /// Where the seconds went.
    pub times: TimeSpent,
    /// The step it was resumed from, if it was.
    pub resumed_from: Option<u64>,
    /// The units of the figures that have one, by the name of the metric.
    #[serde(skip)]
    pub(super) units: BTreeMap<String, String>,
}

/// Where and why a run's numbers stopped being finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Optimizer step, from 1.
    pub step: u64,
    /// Epoch, from 1, as the step (that of `metrics.jsonl` is from 0).
    pub epoch: Option<u64>,
    /// The base learning rate that is to blame: the highest of the updates since the last plausible loss.
    pub lr: Option<f64>,
    /// Seconds of training until the last step that was logged before.
    pub seconds: Option<f64>,
    /// What was not finite.
    pub message: String,
    /// What to do.
    pub advice: String,
}

impl Failure {
    /// `None` for an error of another kind. `last` is the last line of the log.
    pub(super) fn of(error: &TrainError, last: Option<&LogLine>) -> Option<Self> {
        let (step, epoch, lr) = match error {
            TrainError::NonFinite { step, epoch, lr, .. } | TrainError::NonFiniteGradient { step, epoch, lr, .. } => {
                (*step, Some(epoch + 1), *lr)
            }
            TrainError::NonFiniteParameter { step, lr, .. } | TrainError::UselessWeights { step, lr, .. } => {
                (*step, last.map(|line| line.epoch + 1), *lr)
            }
            TrainError::TooManyRollbacks { source, .. } | TrainError::TooManySkips { source, .. } => {
                let inner = Self::of(source, last)?;
                return Some(Self { message: error.to_string(), ..inner });
            }
            _ => return None,
        };
        // Nobody trains at a rate above 1: a tenth of a wild one is no advice.
        let lower = lr.map(|lr| lr / 10.0).filter(|lr| *lr <= 1.0);
        let lower = lower.map_or_else(String::new, |lr| format!(" ({lr:.1e}, say)"));
        let advice = if lr.is_none() {
            "no update since the last good state could have caused that: look at the data for values that are not finite or \
             huge, and at pretrained weights"
                .to_owned()
        } else {
            format!(
                "train with a lower rate{lower}, with a warm-up (schedule.warmup = \"5%\") or with gradient clipping \
                 (train.clip_grad_norm = 1.0); train.on_nonfinite = \"rollback\" returns to the last good state and continues by itself; \
                 `anneal find-lr` shows where the loss begins to rise"
            )
        };
        let seconds = last.map(|line| line.seconds);
        Some(Self { step, epoch, lr, seconds, message: error.to_string(), advice })
    }
}

impl Summary {
    /// The summary of a run whose numbers stopped being finite; `parameters` are the model's.
    pub(super) fn of_failure(config: &Config, assembly: &Assembly<'_>, parameters: usize, failure: Failure) -> Self {
        let seconds = failure.seconds.unwrap_or(0.0);
        Self {
            name: config.run.name.clone(),
            dataset: assembly.description(),
            model: config.model.name.clone(),
            parameters,
            optimizer: config.optimizer.type_name().to_owned(),
            schedule: config.schedule.type_name().to_owned(),
            device: config.run.device.to_string(),
            seed: config.run.seed,
            epochs: failure.epoch.map_or(0, |epoch| epoch.saturating_sub(1)),
            steps: failure.step - 1,
            stopped: StopReason::NotFinite,
            skipped_steps: 0,
            rollbacks: 0,
            restored: None,
            last: BTreeMap::new(),
            test: None,
            seconds,
            elapsed: seconds,
            peak_memory: None,
            stall_percent: 0.0,
            items_per_second: 0.0,
            times: TimeSpent::default(),
            resumed_from: None,
            units: units(config),
            failure: Some(failure),
        }
    }

    pub(super) fn new(
        config: &Config,
        assembly: &Assembly<'_>,
        report: &FitReport,
        test: Option<BTreeMap<String, f64>>,
    ) -> Self {
        let last = report.epochs.last().map(|epoch| epoch.values.clone()).unwrap_or_default();
        Self {
            name: config.run.name.clone(),
            dataset: assembly.description(),
            model: config.model.name.clone(),
            parameters: report.parameters,
            optimizer: config.optimizer.type_name().to_owned(),
            schedule: config.schedule.type_name().to_owned(),
            device: config.run.device.to_string(),
            seed: config.run.seed,
            epochs: report.epochs.len() as u64,
            steps: report.steps,
            stopped: report.stopped.clone(),
            failure: None,
            skipped_steps: report.skipped_steps,
            rollbacks: report.rollbacks,
            restored: report.restored,
            elapsed: report.elapsed,
            peak_memory: report.peak_memory,
            stall_percent: report.times.stall_percent(report.seconds),
            last: finite(last),
            test: test.map(finite),
            seconds: report.seconds,
            items_per_second: report.items_per_second,
            times: report.times,
            resumed_from: report.resumed_from,
            units: units(config),
        }
    }

    /// As pretty-printed JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Where the time went, and how much memory it took.
    fn print_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = &self.times;
        let phases = [
            ("data", times.data),
            ("model", times.model),
            ("optimizer", times.optimizer),
            ("validation", times.validation),
            ("checkpoint", times.checkpoint),
            ("callbacks", times.callbacks),
        ];
        let share = |seconds: f64| if self.seconds > 0.0 { seconds / self.seconds * 100.0 } else { 0.0 };
        let shares = phases.into_iter().map(|(name, seconds)| format!("{name} {:.1} %", share(seconds)));
        let stalled = format!("(stalled {:.1} %)", self.stall_percent);
        let memory = self.peak_memory.map(|bytes| format!("peak memory {:.0} MiB", bytes as f64 / f64::from(1 << 20)));
        print_figures(f, "time", shares.chain([stalled]).chain(memory))
    }
}

/// The width that lines for a terminal fit into.
const COLUMNS: usize = 80;

/// A line of figures, or as many as it takes.
fn print_figures(f: &mut fmt::Formatter<'_>, name: &str, figures: impl Iterator<Item = String>) -> fmt::Result {
    let mut line = format!("{name:<6}");
    for figure in figures {
        if line.trim_end().chars().count() > 6 && line.chars().count() + 2 + figure.chars().count() > COLUMNS {
            writeln!(f, "{line}")?;
            line = " ".repeat(6);
        }
        line += "  ";
        line += &figure;
    }
    writeln!(f, "{line}")
}

/// The summary in a run folder; `None` where there is none that can be read.
pub(super) fn summary_of(dir: &RunDir) -> Option<Summary> {
    serde_json::from_str(&report::read_regular_text(&dir.path(SUMMARY)).ok()?).ok()
}

/// The units of the metrics that have one.
pub(crate) fn units(config: &Config) -> BTreeMap<String, String> {
    config.task.any().metrics().into_iter().filter_map(|metric| Some((metric.name, metric.unit?))).collect()
}

/// JSON holds no NaN: such a value is `null`.
fn finite(values: BTreeMap<String, f64>) -> BTreeMap<String, Option<f64>> {
    values.into_iter().map(|(name, value)| (name, value.is_finite().then_some(value))).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let saved = match self.stopped {
            StopReason::Interrupted | StopReason::TimeLimit => "everything is saved\n",
            StopReason::Finished
            | StopReason::EarlyStopping
            | StopReason::NoNumber(_)
            | StopReason::NotFinite
            | StopReason::Callback(_) => "",
        };
        for line in [
            format!(
                "{} on {}: {} parameters, {}, {} schedule",
                self.model, self.dataset, self.parameters, self.optimizer, self.schedule
            ),
            format!(
                "{} after {} ({}) in {} s, {} items/s",
                self.stopped,
                plural(self.epochs, "epoch"),
                plural(self.steps, "step"),
                decimal(self.seconds, 1),
                decimal(self.items_per_second, 0)
            ),
        ] {
            writeln!(f, "{}", fold(&line, COLUMNS).join("\n"))?;
        }
        f.write_str(saved)?;
        let print = |f: &mut fmt::Formatter<'_>, name: &str, values: &BTreeMap<String, Option<f64>>| {
            let figures = values.iter().map(|(key, value)| {
                let metric = key.split_once('.').map_or(key.as_str(), |(_, metric)| metric);
                let unit = self.units.get(metric).map(|unit| format!(" {unit}")).unwrap_or_default();
                value.map_or_else(|| format!("{key} not finite"), |value| format!("{key} {}{unit}", decimal(value, 4)))
            });
            print_figures(f, name, figures)
        };
        self.print_costs(f)?;
        if self.skipped_steps > 0 || self.rollbacks > 0 {
            let (skipped, back) = (plural(self.skipped_steps, "update"), plural(self.rollbacks, "time"));
            writeln!(f, "not finite: {skipped} left out, rolled back {back}")?;
        }
        if let Some(step) = self.restored {
            writeln!(f, "the model is that of step {step}, the best by early stopping's value")?;
        }
        let test = self.test.iter().map(|test| ("test", test));
        // Nothing is measured where there is no such part, or where nothing was left to train.
        for (name, values) in std::iter::once(("last", &self.last)).chain(test).filter(|(_, values)| !values.is_empty())
        {
            print(f, name, values)?;
        }
        Ok(())
    }
}
