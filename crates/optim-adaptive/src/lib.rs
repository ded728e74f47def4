//! How a gradient becomes an update: adaptive optimizers for burn, number for number as torch does them, in one pass
//! over memory.
//!
//! **What lives here**: the optimizers ([`Adam`], [`Adagrad`], [`Rmsprop`], [`Sgd`], ...), their configuration by
//! name ([`OptimizerConfig`]), the engine that steps a whole module ([`AdaptiveOptimizer`]) with parameter groups,
//! momentum per step and strict records, and gradient clipping ([`clip_grad_norm`]). **What it may know**: tensors,
//! modules, parameters, gradients. **What it must not know**: a training loop, data, a schedule, files of a run.
//!
//! # Two ways to use it
//!
//! In a loop of your own or in this project's trainer, [`OptimizerConfig::init`] gives an [`AdaptiveOptimizer`]. In
//! burn's own Learner, each optimizer is a burn [`Optimizer`](burn::optim::Optimizer) and becomes a `ModuleOptimizer`
//! (`AdamConfig::default().build().into()`, or [`AdaptiveOptimizer::into_module_optimizer`]). What cannot work there
//! says so: Prodigy needs all gradients before any parameter moves; Schedule-Free evaluates other parameters than it
//! trains; burn's `load_record` cannot refuse another optimizer's record.
//!
//! # Exactness and speed
//!
//! On CPU (Flex and NdArray, f32 and f64) each update is one pass over parameter, gradient and state, vectorised,
//! over all cores, in place where buffers are not shared: `fused`. Operations round in torch's order and are
//! never contracted, so results are the same bits for any number of threads. Other devices run the same formula
//! composed of tensor operations. Binaries gain 20 % and more from `mimalloc` as their global allocator, which a
//! library leaves to them.

#![expect(clippy::inline_always, reason = "an update formula must be compiled into each instruction set's own loop")]

mod adaptive;
mod clip;
mod config;
mod fused;
mod groups;
mod momentum;
mod optimizers;
mod passes;
mod record;
mod settings;
mod snapshot;
mod spec;
mod state;
mod watch;

pub use adaptive::{AdaptiveOptimizer, NoModuleOptimizer};
pub use clip::{ClipError, NormType, clip_grad_norm, clip_grad_norm_with, clip_grad_value};
pub use config::OptimizerConfig;
pub use fused::held_data;
pub use groups::{GROUP_FIELDS, Group, Groups, Pattern, PatternError};
pub use momentum::MomentumHandle;
pub use optimizers::{
    Adadelta, AdadeltaConfig, AdadeltaState, AdafactorConfig, Adagrad, AdagradConfig, AdagradState, Adam, AdamConfig,
    AdamState, AdamW, AdamWConfig, Adamax, AdamaxConfig, AdamaxState, LambConfig, LionConfig, MuonConfig, NAdam,
    NAdamConfig, NAdamState, ProdigyConfig, ProdigyState, RAdam, RAdamConfig, RAdamState, Rmsprop, RmspropConfig,
    RmspropState, ScheduleFreeAdamW, ScheduleFreeAdamWConfig, ScheduleFreeSgd, ScheduleFreeSgdConfig,
    ScheduleFreeState, Sgd, SgdConfig, SgdState,
};
pub use record::{AdaptiveRecord, RecordMismatch};
pub use snapshot::OptimizerSnapshot;

// What a state of one's own is made with; `#[derive(RecordState)]` names these at its crate's root.
pub use burn::optim::{RecordState, StateSink, StateSource, join_index, join_path};

pub use strict_config::ConfigError;
