//! A strategy as it is configured: its settings, before anything is known of the run.
//!
//! One type per strategy implements [`Strategy`]; [`ScheduleConfig`](crate::ScheduleConfig) puts the interval and
//! the warm-up around it, and the [`Registry`](crate::Registry) finds it by name.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use strict_config::ConfigError;
use toml::{Table, Value};

use crate::Schedule;
use crate::time::{Clock, Interval};

/// The settings of a strategy: a struct with serde's derives, which state its fields and their defaults.
///
/// Errors carry the field's name relative to the strategy's own table; the owner of the table adds its path.
///
/// ```
/// use lr_core::{Clock, ConfigError, Lambda, Registry, Schedule, ScheduleConfig, Strategy};
/// use serde::{Deserialize, Serialize};
///
/// /// `base / (1 + k t)`.
/// #[derive(Debug, Clone, Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct InverseTime {
///     k: f64,
/// }
///
/// impl Strategy for InverseTime {
///     const NAME: &'static str = "inverse_time";
///     const SUMMARY: &'static str = "the base rate over time";
///     const EXAMPLE: &'static str = "type = 'inverse_time'\nk = 0.1";
///
///     fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
///         let k = self.k;
///         Ok(Box::new(Lambda::new(Self::NAME, move |t| 1.0 / (1.0 + k * t as f64))))
///     }
/// }
///
/// let mut registry = Registry::standard();
/// registry.register::<InverseTime>();
/// let table = "type = 'inverse_time'\nk = 1.0".parse().unwrap();
/// let config = ScheduleConfig::from_table_with(&table, "schedule", &registry)?;
/// assert_eq!(config.build(&lr_core::Horizon::unknown(), "schedule")?.lr(0.8, 3), 0.2);
/// # Ok::<(), ConfigError>(())
/// ```
pub trait Strategy: fmt::Debug + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name in a config (`type = "..."`).
    const NAME: &'static str;

    /// What it is, in a line.
    const SUMMARY: &'static str;

    /// A complete table in TOML, which `anneal list` shows and the tests of every strategy run.
    const EXAMPLE: &'static str;

    /// Further names for the same.
    const ALIASES: &'static [&'static str] = &[];

    /// What a tick is unless the config says so.
    const INTERVAL: Interval = Interval::Epoch;

    /// The fields that hold a rate which the strategy sets itself, whatever the base rate is; the highest rate first. With
    /// each, which part of the highest it is where a single rate is given for all (`lr = "auto"`).
    const RATES: &'static [(&'static str, f64)] = &[];

    /// The settings of a table without its `type`, such as `"step_size = 30"`; fields left out have their defaults.
    ///
    /// # Errors
    /// Text that is not TOML; unknown, missing or wrong fields.
    fn from_toml_str(fields: &str) -> Result<Self, ConfigError> {
        let table = fields.parse().map_err(|error| ConfigError::syntax(fields, &error))?;
        let settings: Self = strict_config::deserialize(&table)?;
        settings.check().map(|()| settings)
    }

    /// Refuses settings that are wrong whatever the run is.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Resolves the durations and gives the schedule; called by [`build`](Self::build) after
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// Durations that cannot be resolved on this clock.
    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError>;

    /// [`INTERVAL`](Self::INTERVAL), unless that depends on the settings.
    fn default_interval(&self) -> Interval {
        Self::INTERVAL
    }

    /// Whether the schedule gives a momentum too.
    fn sets_momentum(&self) -> bool {
        false
    }

    /// The metric a reactive strategy is fed with: `"valid.loss"`.
    fn monitor(&self) -> Option<&str> {
        None
    }

    /// The highest rate that the strategy sets itself, whatever the base rate is; `None` where the rate follows the base
    /// rate.
    fn peak(&self) -> Option<f64> {
        let (field, _) = Self::RATES.first()?;
        strict_config::write(self).get(*field)?.as_float()
    }

    /// The same settings as a resolved table shows them: with the defaults that depend on other settings filled in.
    #[must_use]
    fn resolved(&self) -> Self {
        self.clone()
    }

    /// The schedule on `clock`.
    ///
    /// # Errors
    /// What [`check`](Self::check) refuses, and durations that cannot be resolved on this clock.
    fn build(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.check()?;
        self.assemble(clock)
    }
}

/// A [`Strategy`] of any type, checked when it is read or built.
pub(crate) trait AnyStrategy: fmt::Debug + Send + Sync {
    fn clone_box(&self) -> Box<dyn AnyStrategy>;
    fn name(&self) -> &'static str;
    fn peak(&self) -> Option<f64>;
    fn table(&self) -> Table;
    fn interval(&self) -> Interval;
    fn sets_momentum(&self) -> bool;
    fn monitor(&self) -> Option<&str>;
    fn build(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError>;
}

impl<S: Strategy> AnyStrategy for S {
    fn clone_box(&self) -> Box<dyn AnyStrategy> {
        Box::new(self.clone())
    }

    fn name(&self) -> &'static str {
        S::NAME
    }

    fn peak(&self) -> Option<f64> {
        Strategy::peak(self)
    }

    fn table(&self) -> Table {
        strict_config::write(&self.resolved())
    }

    fn interval(&self) -> Interval {
        self.default_interval()
    }

    fn sets_momentum(&self) -> bool {
        Strategy::sets_momentum(self)
    }

    fn monitor(&self) -> Option<&str> {
        Strategy::monitor(self)
    }

    fn build(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Strategy::build(self, clock)
    }
}

/// A schedule written in Rust in the place of a strategy: it has no settings.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    pub(crate) schedule: Box<dyn Schedule>,
    pub(crate) interval: Interval,
}

impl AnyStrategy for Custom {
    fn clone_box(&self) -> Box<dyn AnyStrategy> {
        Box::new(self.clone())
    }

    fn name(&self) -> &'static str {
        "custom"
    }

    fn peak(&self) -> Option<f64> {
        None
    }

    /// What tells it from another: fingerprints are made of it.
    fn table(&self) -> Table {
        Table::from_iter([("schedule".to_owned(), Value::String(format!("{:?}", self.schedule)))])
    }

    fn interval(&self) -> Interval {
        self.interval
    }

    fn sets_momentum(&self) -> bool {
        self.schedule.momentum(0).is_some()
    }

    fn monitor(&self) -> Option<&str> {
        self.schedule.is_reactive().then_some("valid.loss")
    }

    fn build(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(self.schedule.clone())
    }
}

impl Clone for Box<dyn AnyStrategy> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}
