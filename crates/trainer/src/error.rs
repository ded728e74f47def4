//! Why a run ended with an error.

use report::page::plural;
use strict_config::ConfigError;

use crate::{checkpoint::CheckpointError, data::SourceError, events::CallbackError, ranks::CommunicationError};

/// Why a run ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to train or validate on.
    #[error("the {0} set is empty: no batch in an epoch")]
    NoData(&'static str),
    /// A bug in this crate.
    #[error("internal error: {0}; please report it")]
    Internal(&'static str),
    /// A loss became NaN or infinite and the run is configured to stop there.
    #[error(
        "the loss became {loss} at optimizer step {step} (epoch {}), {}", epoch + 1, cause(*lr)
    )]
    NonFinite {
        /// Optimizer step, from 1.
        step: u64,
        /// Epoch, from 0.
        epoch: u64,
        /// The loss.
        loss: f64,
        /// The highest base rate of the updates since the last plausible loss; `None` where there was none above 0.
        lr: Option<f64>,
    },
    /// The loss was finite and a gradient was not, and the run is configured to stop there.
    #[error(
        "the gradient of `{parameter}` is not finite at optimizer step {step} (epoch {}), where the loss was {loss}, {}",
        epoch + 1, cause(*lr)
    )]
    NonFiniteGradient {
        /// Optimizer step, from 1.
        step: u64,
        /// Epoch, from 0.
        epoch: u64,
        /// The first parameter whose gradient is not finite.
        parameter: String,
        /// The loss; NaN where it was not read.
        loss: f64,
        /// As of [`NonFinite`](Self::NonFinite).
        lr: Option<f64>,
    },
    /// A parameter became NaN or infinite; found when a checkpoint was due, which is then not written.
    #[error(
        "`{parameter}` is no longer finite after optimizer step {step}, {}; the checkpoints written before are kept",
        cause(*lr)
    )]
    NonFiniteParameter {
        /// Optimizer steps done.
        step: u64,
        /// The first parameter that is not finite.
        parameter: String,
        /// As of [`NonFinite`](Self::NonFinite).
        lr: Option<f64>,
    },
    /// At the end of a run the weights give no finite loss, on data that they have been trained on.
    #[error(
        "the weights after the last optimizer step ({step}) are useless: their loss is {loss}, {}; the checkpoints written \
         before are kept", cause(*lr)
    )]
    UselessWeights {
        /// Optimizer steps done.
        step: u64,
        /// The loss.
        loss: f64,
        /// As of [`NonFinite`](Self::NonFinite).
        lr: Option<f64>,
    },
    /// More updates left out in a row than `max_skips`.
    #[error(
        "{source}; {} in a row left out, the most that is allowed (max_skips): the fault is in the weights, not a batch",
        plural(*skips, "update")
    )]
    TooManySkips {
        /// Updates left out in a row so far.
        skips: u64,
        /// What would have left out the next one.
        source: Box<TrainError>,
    },
    /// A rollback more than `max_rollbacks`.
    #[error("{source}; the run has rolled back {}, the most that is allowed", plural(*rollbacks, "time"))]
    TooManyRollbacks {
        /// Rollbacks so far.
        rollbacks: u64,
        /// What would have caused the next one.
        source: Box<TrainError>,
    },
    /// The last good state could not be made or restored.
    #[error("the last good state cannot be {action}: {message}")]
    Fallback {
        /// Made or restored.
        action: &'static str,
        /// Why.
        message: String,
    },
    /// A setting that cannot work in this run.
    #[error(transparent)]
    Setting(Box<ConfigError>),
    /// The model is on a device that keeps no graph to differentiate.
    #[error(
        "the model is on {device}, a device without autodiff, where nothing can be trained; make the model on \
         `device.autodiff()`"
    )]
    NoAutodiff {
        /// The device.
        device: String,
    },
    /// The model that training is to begin with is already broken: pretrained weights, most likely.
    #[error("`{parameter}` holds a value that is not finite before the first step; no learning rate can cure that")]
    BadStart {
        /// The first parameter that is not finite.
        parameter: String,
    },
    /// Nothing is left to train.
    #[error("{}: {}", fields.join(", "), all_frozen(when))]
    AllFrozen {
        /// What freezes them: `freeze[0]`, `groups[1].frozen`.
        fields: Vec<String>,
        /// In which steps, in words.
        when: &'static str,
    },
    /// A pattern fits no parameter.
    #[error("{field}: {}", no_parameter(pattern, *max_rank, known))]
    NoSuchParameter {
        /// Where the pattern stands: `freeze[0].params`, `groups[1].params`.
        field: String,
        /// The pattern.
        pattern: String,
        /// The highest rank that the group takes, where the pattern fits parameters and they have a higher one.
        max_rank: Option<usize>,
        /// The paths of the model's parameters.
        known: Vec<String>,
    },
    /// Two callbacks would keep their state under one name.
    #[error("two callbacks that keep a state are called `{name}`; their states would be mixed up")]
    DuplicateCallback {
        /// The name.
        name: String,
    },
    /// A schedule or an early stopping watches a value that nothing in this run gives.
    #[error("nothing is called `{monitor}`; what this run measures: {}", known.join(", "))]
    UnknownMonitor {
        /// The name asked for.
        monitor: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A value would be called as another one is.
    #[error("`{name}`, a value of {of}, is the name of something else in the log")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose value: the steps', a callback's.
        of: String,
    },
    /// A step gave a scalar that was not announced.
    #[error("a step gives a scalar `{name}`, and `Trainer::scalars` announced {}", listed(known))]
    UnknownScalar {
        /// The name given.
        name: String,
        /// The names announced.
        known: Vec<String>,
    },
    /// The loss or a metric could not be read back from the device.
    #[error("`{metric}` could not be read from the device: {message}")]
    Metric {
        /// Which.
        metric: String,
        /// What burn said.
        message: String,
    },
    /// Gradients could not be clipped.
    #[error("gradient clipping failed at optimizer step {step}: {message}")]
    Clip {
        /// Optimizer step, from 1.
        step: u64,
        /// Why.
        message: String,
    },
    /// The gradients of several processes cannot be summed.
    #[error("the gradients of several processes are summed in f32, and one of them is something else: {message}")]
    NotSummed {
        /// What burn said.
        message: String,
    },
    /// The processes of one job do not do the same.
    #[error("process {rank} has another {what} than process 0: `{there}`, and process 0 `{here}`")]
    RanksDiffer {
        /// Which process.
        rank: usize,
        /// What differs: program, configuration, training data, weights.
        what: &'static str,
        /// There.
        there: String,
        /// On process 0.
        here: String,
    },
    /// A model that draws random numbers, in processes that share the generator.
    #[error("threads of one process share burn's random generator; a model with dropout or noise needs processes")]
    SharedGenerator,
    /// The processes of a job could not talk to each other.
    #[error(transparent)]
    Communication(#[from] CommunicationError),
    /// A batch could not be produced.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A callback failed.
    #[error(transparent)]
    Callback(#[from] CallbackError),
}

impl TrainError {
    /// Whether, in a training of several processes, all of them end with it at the same place, as they do with what follows
    /// from what they share. The others are left waiting by any other, and the job has to be ended.
    pub fn is_of_all_ranks(&self) -> bool {
        matches!(
            self,
            Self::NoData(_)
                | Self::NonFinite { .. }
                | Self::NonFiniteGradient { .. }
                | Self::NonFiniteParameter { .. }
                | Self::UselessWeights { .. }
                | Self::TooManySkips { .. }
                | Self::TooManyRollbacks { .. }
                | Self::Setting(_)
                | Self::NoAutodiff { .. }
                | Self::BadStart { .. }
                | Self::AllFrozen { .. }
                | Self::NoSuchParameter { .. }
                | Self::Clip { .. }
                | Self::RanksDiffer { .. }
                | Self::SharedGenerator
        )
    }
}

impl From<ConfigError> for TrainError {
    fn from(error: ConfigError) -> Self {
        Self::Setting(Box::new(error))
    }
}

/// What has most likely led to numbers that are not finite.
fn cause(lr: Option<f64>) -> String {
    match lr {
        Some(lr) => format!(
            "after an update at the learning rate {lr:e}; a lower rate, a warm-up or gradient clipping are the usual cures"
        ),
        None => {
            "and no update since the last good state could have caused that; look for huge or wrong values in the data \
                 and in the weights that it started from"
                .to_owned()
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl TrainError {
    /// The message without the field that it begins with, where it names one.
    pub fn without_field(&self) -> String {
        match self {
            Self::NoSuchParameter { pattern, max_rank, known, .. } => no_parameter(pattern, *max_rank, known),
            Self::AllFrozen { when, .. } => all_frozen(when),
            other => other.to_string(),
        }
    }
}

fn all_frozen(when: &str) -> String {
    format!("every parameter of the model is frozen {when}; nothing would be trained")
}

fn no_parameter(pattern: &str, max_rank: Option<usize>, known: &[String]) -> String {
    let what = match max_rank {
        None => format!("no parameter is called `{pattern}`"),
        Some(most) => format!("no parameter that `{pattern}` fits has a rank of at most {most} (max_rank)"),
    };
    format!("{what}; the model has {}", nearest_first(pattern, known))
}

/// The names most like the pattern, then others, as many as a person wants to read.
fn nearest_first(pattern: &str, known: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut left: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut shown = Vec::new();
    while shown.len() < SHOWN
        && let Some(first) = left.first().copied()
    {
        let next = strict_config::nearest(pattern, left.iter().copied()).unwrap_or(first);
        left.retain(|name| *name != next);
        shown.push(next);
    }
    let shown = shown.join(", ");
    if left.is_empty() { shown } else { format!("{shown} and {} more", left.len()) }
}
