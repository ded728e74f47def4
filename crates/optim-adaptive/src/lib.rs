//! How a gradient becomes an update: adaptive optimizers for burn, number for number as torch does them, in one pass
//! over memory.
//!
//! **What lives here**: the optimizers ([`Adam`], [`Adagrad`], [`Rmsprop`], [`Sgd`], ...), their configuration by
//! name ([`OptimizerConfig`]), the engine that steps a whole module ([`AdaptiveOptimizer`]) with parameter groups,
//! momentum per step and strict records, an open registry of names ([`OptimizerRegistry`]), and gradient clipping
//! ([`clip_grad_norm`]). **What it may know**: tensors,
//! modules, parameters, gradients. **What it must not know**: a training loop, data, a schedule, files of a run.
//!
//! # Two ways to use it
//!
//! In your own loop or in this project's trainer, [`OptimizerConfig::init`] gives an [`AdaptiveOptimizer`]. In
//! burn's own Learner, each optimizer is a burn [`Optimizer`](burn::optim::Optimizer) and becomes a `ModuleOptimizer`
//! (`AdamConfig::default().build().into()`, or [`AdaptiveOptimizer::into_module_optimizer`]). What cannot work there
//! says so: Prodigy needs all gradients before any parameter moves; Schedule-Free evaluates other parameters than it
//! trains; burn's `load_record` cannot refuse another optimizer's record.
//!
//! # Exactness and speed
//!
//! On CPU (Flex and NdArray, f32 and f64) each update is one pass over parameter, gradient and state, vectorised,
//! over all cores, in place where buffers are not shared: `fused`. Operations round in torch's order and are
//! never contracted, so results are the same bits for any number of threads. GPUs run the same formula as one kernel,
//! other devices composed of tensor operations. Binaries gain 20 % and more from `mimalloc` as their global allocator, which a
//! library leaves to them.

#![expect(clippy::inline_always, reason = "an update formula must be compiled into each instruction set's own loop")]

mod adaptive;
mod clip;
mod config;
mod finite;
#[cfg_attr(
    not(any(feature = "flex", feature = "ndarray")),
    allow(
        dead_code,
        unused_imports,
        unused_variables,
        reason = "without a CPU backend nobody calls the loops over slices"
    )
)]
mod fused;
mod groups;
mod momentum;
mod optimizer;
mod optimizers;
mod passes;
mod paths;
mod ranges;
mod rates;
mod record;
mod rows;
mod state;

pub use adaptive::{AdaptiveOptimizer, NoModuleOptimizer};
pub use clip::{ClipError, NormType, clip_grad_norm, clip_grad_norm_with, clip_grad_value};
pub use config::{OptimizerConfig, OptimizerRegistry};
pub use finite::{is_zero, zero_if_finite};
pub use fused::held_data;
pub use groups::{Group, Pattern, PatternError};
pub use momentum::MomentumHandle;
pub use optimizer::OptimizerSettings;
pub use optimizers::*;
pub use paths::{ParamMapper, ParamVisitor, for_each_parameter, map_parameters, visit_parameters};
pub use rates::StepRates;
pub use record::{AdaptiveRecord, RecordMismatch};
pub use rows::ParameterRow;

pub use strict_config::ConfigError;
