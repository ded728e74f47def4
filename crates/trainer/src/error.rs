//! Why a run ended without a result.

use crate::{checkpoint::CheckpointError, data::SourceError, events::CallbackError};

/// A run that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to train on.
    #[error("the training set is empty: no batch in an epoch")]
    NoData,
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
