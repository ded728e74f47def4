//! Why a run ended with an error.

use strict_config::ConfigError;

use crate::{checkpoint::CheckpointError, data::SourceError, events::CallbackError};

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
        "the loss became {loss} at optimizer step {step} (epoch {epoch}), where the learning rate was {lr:e}; \
         a lower rate, a warm-up or gradient clipping are the usual cures"
    )]
    NonFinite {
        /// Optimizer step, from 1.
        step: u64,
        /// Epoch, from 0.
        epoch: u64,
        /// The loss.
        loss: f64,
        /// The base learning rate in force.
        lr: f64,
    },
    /// The loss was finite and a gradient was not, and the run is configured to stop there.
    #[error(
        "the gradient of `{parameter}` is not finite at optimizer step {step} (epoch {epoch}), where the loss was {loss} \
         and the learning rate {lr:e}"
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
        /// The base learning rate in force.
        lr: f64,
    },
    /// A parameter became NaN or infinite; found when a checkpoint was due, which is then not written.
    #[error("`{parameter}` is no longer finite after optimizer step {step}; the checkpoints written before are kept")]
    NonFiniteParameter {
        /// Optimizer steps done.
        step: u64,
        /// The first parameter that is not finite.
        parameter: String,
    },
    /// A rollback more than `max_rollbacks`.
    #[error("{source}; the run has rolled back {rollbacks} times, the most that is allowed")]
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
    /// A pattern fits no parameter.
    #[error("no parameter is called `{pattern}`; the model has {}", known.join(", "))]
    NoSuchParameter {
        /// The pattern.
        pattern: String,
        /// The paths of the model's parameters.
        known: Vec<String>,
    },
    /// Two callbacks would keep their state under one name.
    #[error("two callbacks that keep a state are called `{name}`; their states would be taken for one another")]
    DuplicateCallback {
        /// The name.
        name: String,
    },
    /// A schedule or an early stopping watches a value that no validation produces.
    #[error("nothing is called `{monitor}`; what a validation of this run gives: {}", known.join(", "))]
    UnknownMonitor {
        /// The name asked for.
        monitor: String,
        /// The names there are.
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

impl From<ConfigError> for TrainError {
    fn from(error: ConfigError) -> Self {
        Self::Setting(Box::new(error))
    }
}
