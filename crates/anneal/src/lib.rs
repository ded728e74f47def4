//! Anneal: choose, combine and trust a learning rate. A training framework on [burn](https://burn.dev).
//!
//! What lives here: the configuration ([`config`]), tasks ([`task`]), experiments put together from both ([`experiment`]), the `anneal`
//! command and a program's own form of it ([`App`]), and [`prelude`], the names a program needs that uses the crates as a framework. It knows every
//! other crate and holds no mathematics and no loop.
//!
//! A model of your own, trained:
//!
//! ```no_run
//! use anneal::prelude::*;
//! # use burn::train::metric::{Adaptor, LossInput};
//! # use anneal::trainer::LearnerModel;
//!
//! # fn example<M: LearnerModel>(model: M, train: &dyn Source<<M as TrainStep>::Input>) -> Result<(), Box<dyn std::error::Error>>
//! # where
//! #     <M as TrainStep>::Output: Adaptor<LossInput>,
//! #     <M as InferenceStep>::Output: Adaptor<LossInput>,
//! # {
//! let optimizer = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 1e-3")?.init();
//! let schedule = ScheduleConfig::from_toml_str("type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = '2ep'")?;
//! let fitted = Trainer::new(TrainConfig::epochs(10)).fit(model, optimizer, schedule, train, None)?;
//! println!("{}", fitted.report);
//! # Ok(())
//! # }
//! ```
//!
//! A rate, looked at without training:
//!
//! ```
//! use anneal::prelude::*;
//!
//! let schedule = ScheduleConfig::from_toml_str("type = 'cosine_annealing'\nt_max = 'rest'")?;
//! // 10 epochs of 100 steps, at a base rate of 0.1.
//! let scheduler = Scheduler::from_config(&schedule, &Horizon::run(100, 1_000), vec![0.1])?;
//! assert_eq!(scheduler.lr(0, 500), 0.05);
//! # Ok::<(), anneal::ConfigError>(())
//! ```

mod app;
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod device;
mod error;
pub mod experiment;
pub mod job;
pub mod prelude;
pub mod run_dir;
pub mod task;

/// What is missing where several processes are to train together.
pub(crate) const NO_MPI: &str = "several processes train together in a program that is built with the cargo feature `mpi` \
                                 (cargo build --release --features mpi), and this one is not";

pub use app::App;
pub use error::{Error, exit_code};
pub use optim_adaptive::ConfigError;
pub use {lr_core, optim_adaptive, report, strict_config, tables, text, trainer, vision};
