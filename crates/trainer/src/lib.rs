//! The training loop, its checkpoints and the learning-rate finder.
//!
//! What lives here: [`Trainer`], the epoch and batch loop over any model that implements burn-train's `TrainStep` and
//! `InferenceStep`; [`data`], where batches come from; [`Callback`], how others listen; [`checkpoint`], what survives a
//! crash; [`lr_finder`]. It knows schedules (`lr-core`) and optimizers (`optim-adaptive`), and no data set, no model, no
//! config file.
//!
//! ```no_run
//! # use burn::train::{InferenceStep, TrainStep, metric::{Adaptor, LossInput}};
//! # use trainer::{LearnerModel, data::Source};
//! use lr_core::ScheduleConfig;
//! use optim_adaptive::OptimizerConfig;
//! use trainer::{TrainConfig, Trainer};
//!
//! # fn example<M: LearnerModel>(
//! #     model: M,
//! #     train: &dyn Source<<M as TrainStep>::Input>,
//! #     valid: &dyn Source<<M as InferenceStep>::Input>,
//! # ) -> Result<(), Box<dyn std::error::Error>>
//! # where
//! #     <M as TrainStep>::Output: Adaptor<LossInput>,
//! #     <M as InferenceStep>::Output: Adaptor<LossInput>,
//! # {
//! let optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-3")?.init();
//! let schedule = ScheduleConfig::from_toml_str("type = 'cosine_annealing'\nt_max = 10")?;
//! let fitted = Trainer::new(TrainConfig::epochs(10)).fit(model, optimizer, schedule, train, Some(valid))?;
//! println!("{}", fitted.report);
//! # Ok(())
//! # }
//! ```

mod activations;
mod averaging;
pub mod callbacks;
pub mod checkpoint;
mod config;
pub mod data;
mod early_stopping;
mod error;
mod eval_model;
mod events;
mod every;
mod finite;
mod fit;
mod fitted;
mod freeze;
mod ids;
mod interrupt;
pub mod lr_finder;
mod macros;
mod memory;
mod meter;
mod metrics;
pub mod precision;
pub mod ranks;
mod rates;
mod report;
mod run;
mod scalars;
mod start;
mod step;
mod threads;
mod timetable;
mod trainer;
mod tree;
mod updates;
mod wall_clock;
pub mod weights;

#[doc(hidden)]
pub use burn::train as burn_train;

pub use averaging::{Ema, Swa};
pub use checkpoint::{CheckpointPolicy, OnWriteError};
pub use config::TrainConfig;
pub use early_stopping::EarlyStopping;
pub use error::TrainError;
pub use eval_model::{eval_model, kept_model};
pub use events::{
    Callback, CallbackError, CheckpointEvent, EpochEvent, Flow, Logged, ModelEvent, Moment, NonFiniteEvent, RunInfo,
    Split, StepEvent, ValidationEvent,
};
pub use finite::OnNonFinite;
pub use fitted::Fitted;
pub use freeze::Freeze;
pub use ids::stable_ids;
pub use interrupt::{ctrl_c, ctrl_c_silently};
pub use lr_core::Mode;
pub use memory::{available_memory, peak_memory};
pub use meter::AnyOutput;
pub use metrics::{MetricInfo, Metrics, evaluate, evaluate_all};
pub use precision::Precision;
pub use rates::{Rates, Schedules};
pub use report::{EpochSummary, FitReport, StopReason, TimeSpent};
pub use scalars::{ScalarOutput, Scalars};
pub use start::check_start;
pub use step::LearnerModel;
pub use trainer::Trainer;
pub use updates::{Trainable, Updates};
pub use wall_clock::parse as parse_time;
/// The crates whose types stand in signatures here.
pub use {lr_core, optim_adaptive, serde_json, strict_config};
