//! What a program needs that trains with Anneal.
//!
//! ```
//! use anneal::prelude::*;
//! ```

pub use lr_core::{Horizon, Interval, Mode, Schedule, ScheduleConfig, Scheduler, WarmUp};
pub use optim_adaptive::{AdaptiveOptimizer, OptimizerConfig};
pub use report::{Chart, Series};
pub use trainer::{
    Callback, FitReport, Fitted, Flow, Metrics, Schedules, StepEvent, TrainConfig, TrainError, Trainer,
    callbacks::Progress,
    data::{Batch, Loader, Source},
    evaluate,
    lr_finder::{LrCurve, LrFinder, LrFinderConfig, LrSweeps, NoSuggestion, Rule, Subject, suggest},
    weights,
};
pub use vision::{Dataset, ImageBatch, ImageSet};

pub use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep, metric::AccuracyMetric};

pub use crate::{
    config::Config,
    error::exit_code,
    experiment::{TrainOptions, find_lr, train},
};
