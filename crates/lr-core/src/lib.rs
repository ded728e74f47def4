//! What the learning rate (and momentum) is at time t.
//!
//! This room holds the strategies: pure functions of time that can be looked at, plotted, cut and resumed at any
//! tick, and the few reactive ones that are fed with a metric. It may know time, numbers and config tables. It must
//! not know tensors, files, models or training loops; burn appears only in the module `burn`, behind the feature of that
//! name.
//!
//! From a config to a rate:
//!
//! ```
//! use lr_core::{Horizon, ScheduleConfig, Scheduler};
//!
//! let config = ScheduleConfig::from_toml_str(
//!     r#"
//!     type = "cosine_annealing"
//!     t_max = "rest"
//!     warmup = { duration = "5ep" }
//!     "#,
//! )?;
//! // 100 steps per epoch, 50 epochs, one parameter group with a base rate of 0.5.
//! let scheduler = Scheduler::from_config(&config, &Horizon::run(100, 5_000), vec![0.5])?;
//! assert_eq!(scheduler.lr(0, 0), 0.5 / 5.0);
//! assert_eq!(scheduler.lr(0, 500), 0.5);
//! assert!(scheduler.lr(0, 4_999) < 0.001);
//! # Ok::<(), lr_core::ConfigError>(())
//! ```
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | time | [`Horizon`], [`Clock`], [`Duration`], [`Interval`] | numbers |
//! | schedules | [`Schedule`], strategies, compositions | ticks |
//! | configs | [`Strategy`], [`ScheduleConfig`], [`Registry`] | tables |
//! | runtime | [`Scheduler`], [`ScheduleState`], [`ScheduleWarning`] | steps and parameter groups |
//! | burn | the module `burn` | burn's `LrScheduler` |

#[cfg(feature = "burn")]
pub mod burn;
mod compose;
mod config;
mod defaults;
mod formula;
mod groups;
mod math;
mod mode;
pub mod port;
mod registry;
mod schedule;
mod scheduler;
mod standard;
mod state;
mod strategies;
mod strategy;
mod time;
mod warnings;

pub use compose::{
    Chained, ChainedSchedule, Scaled, ScaledSchedule, Sequential, SequentialSchedule, WarmUp, WarmUpKind, WarmedUp,
};
pub use config::{ScheduleConfig, fnv1a};
pub use formula::Formula;
pub use mode::Mode;
pub use registry::{Registry, StrategyInfo};
pub use schedule::{Schedule, ScheduleClone, ScheduleMark};
pub use scheduler::Scheduler;
pub use state::{Scalar, ScheduleState, StateError, StateReader, StateWriter};
pub use strategies::*;
pub use strategy::Strategy;
pub use strict_config::ConfigError;
pub use time::{Clock, Duration, Horizon, Interval};
pub use warnings::ScheduleWarning;
