//! Anneal: choose, combine and trust a learning rate. A training framework on [burn](https://burn.dev).
//!
//! What lives here: the configuration ([`config`]), experiments put together from it ([`experiment`]), the `anneal`
//! command ([`cli`]), and [`prelude`], the names a program needs that uses the crates as a framework. It knows every
//! other room and holds no mathematics and no loop of its own.
//!
//! ```
//! use anneal::prelude::*;
//!
//! let schedule = ScheduleConfig::from_toml_str("type = 'cosine_annealing'\nt_max = 10")?;
//! let scheduler = Scheduler::from_config(&schedule, &Horizon::epochs(10), vec![0.1])?;
//! assert_eq!(scheduler.lr_at_tick(0, 5), 0.05);
//! # Ok::<(), anneal::ConfigError>(())
//! ```

#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod device;
mod error;
pub mod experiment;
pub mod prelude;
pub mod run_dir;

pub use error::{Error, exit_code};
pub use optim_adaptive::ConfigError;
pub use {lr_core, optim_adaptive, report, trainer, vision};
