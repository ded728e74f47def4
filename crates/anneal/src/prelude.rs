//! What a program needs that trains with Anneal, or is [its own command](crate::App).
//!
//! ```
//! use anneal::prelude::*;
//! ```

pub use lr_core::{
    Clock, ConfigError, Duration, Horizon, Interval, Lambda, Mode, Schedule, ScheduleConfig, Scheduler, Strategy,
    WarmUp,
};
pub use optim_adaptive::{AdaptiveOptimizer, Group, MomentumHandle, OptimizerConfig, OptimizerSettings, Pattern};
pub use report::{Chart, Series};
pub use strict_config::{Settings, check};
pub use trainer::{
    Callback, CallbackError, CheckpointPolicy, EarlyStopping, Ema, EpochEvent, FitReport, Fitted, Flow, Freeze,
    Metrics, ModelEvent, Moment, OnNonFinite, Precision, ScalarOutput, Scalars, Schedules, Split, StepEvent, Swa,
    TrainConfig, TrainError, Trainable, Trainer, Updates, ValidationEvent,
    callbacks::Progress,
    data::{Batch, Loader, Source, split},
    evaluate,
    lr_finder::{LrCurve, LrFinder, LrFinderConfig, LrSweeps, NoSuggestion, Rule, Subject, suggest},
    steps, weights,
};
pub use vision::{
    Augment, DataError, DataSource, Dataset, DatasetInfo, ImageBatch, ImageSet, ImageShape, classification_steps,
    models::{Architecture, Layers, ModelInfo},
};

pub use burn::{
    module::Module,
    tensor::{Device, Tensor},
    train::{ClassificationOutput, InferenceStep, RegressionOutput, TrainOutput, TrainStep, metric::AccuracyMetric},
};

pub use crate::{
    config::Config,
    error::exit_code,
    experiment::{TrainOptions, find_lr, train},
};
