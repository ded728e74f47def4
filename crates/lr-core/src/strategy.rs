//! A strategy as it is configured: its settings, before anything is known of the run.
//!
//! One type per strategy implements [`Strategy`]; [`ScheduleConfig`](crate::ScheduleConfig) puts the interval and
//! the warm-up around it, and the [`Registry`](crate::Registry) finds it by name.

use std::fmt;

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use crate::time::{Clock, Duration, Interval};
use crate::{Schedule, ScheduleConfig};

/// The settings of a strategy: what a config table says, as a type.
///
/// Errors carry the field's name relative to the strategy's own table; whoever holds the table adds its path.
pub trait Strategy: fmt::Debug + Send + Sync + StrategyClone {
    /// The name in a config (`type = "..."`).
    fn type_name(&self) -> &str;

    /// Every field with its value, defaults included; reading them gives an equal strategy.
    fn fields(&self) -> Table;

    /// Refuses settings that are wrong whatever the run is.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Resolves the durations and gives the schedule; called by [`build`](Self::build) after
    /// [`check`](Self::check).
    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError>;

    /// What a tick is unless the config says so.
    fn default_interval(&self) -> Interval {
        Interval::Epoch
    }

    /// Whether the schedule gives a momentum too.
    fn sets_momentum(&self) -> bool {
        false
    }

    /// The metric a reactive strategy wants to be fed with: `"valid.loss"`.
    fn monitor(&self) -> Option<&str> {
        None
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

/// Clones a boxed [`Strategy`]; implemented for every strategy that is `Clone`.
pub trait StrategyClone {
    /// A boxed copy.
    fn clone_box(&self) -> Box<dyn Strategy>;
}

impl<T: Strategy + Clone + 'static> StrategyClone for T {
    fn clone_box(&self) -> Box<dyn Strategy> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Strategy> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

/// A table of fields; [`Strategy::fields`] in one expression.
pub(crate) fn table<const N: usize>(fields: [(&str, Value); N]) -> Table {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An array of values.
pub(crate) fn array<T>(items: &[T], value: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(value).collect())
}

/// Fields whose values belong to this crate: durations and nested schedules.
pub trait ScheduleFields {
    /// A duration.
    fn duration(&self, field: &str) -> Result<Option<Duration>, ConfigError>;

    /// A duration that must be there.
    fn need_duration(&self, field: &str) -> Result<Duration, ConfigError>;

    /// An array of durations that must be there.
    fn need_durations(&self, field: &str) -> Result<Vec<Duration>, ConfigError>;
}

impl ScheduleFields for Fields<'_> {
    fn duration(&self, field: &str) -> Result<Option<Duration>, ConfigError> {
        self.value(field).map(|value| Duration::parse(value, &self.path_of(field))).transpose()
    }

    fn need_duration(&self, field: &str) -> Result<Duration, ConfigError> {
        self.duration(field)?
            .ok_or_else(|| self.missing(field, "a duration: ticks, \"5ep\", \"500it\", \"20%\" or \"rest\""))
    }

    fn need_durations(&self, field: &str) -> Result<Vec<Duration>, ConfigError> {
        let path = self.path_of(field);
        let items = self.array(field)?.ok_or_else(|| self.missing(field, "an array of durations"))?;
        items.iter().enumerate().map(|(i, item)| Duration::parse(item, &format!("{path}[{i}]"))).collect()
    }
}

/// What a parser may ask for while it reads a table: the registry, to read the schedules nested in it.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    registry: &'a crate::Registry,
    depth: usize,
}

/// How deep compositions may nest: far beyond any use, and far below what the stack holds.
const DEEPEST: usize = 32;

impl<'a> Scope<'a> {
    pub(crate) fn new(registry: &'a crate::Registry) -> Self {
        Self { registry, depth: 0 }
    }

    pub(crate) fn registry(&self) -> &'a crate::Registry {
        self.registry
    }

    /// Reads a schedule nested in the table at hand; `path` is its whole place (`schedule.schedules[1]`).
    pub fn schedule(&self, table: &Table, path: &str) -> Result<ScheduleConfig, ConfigError> {
        if self.depth == DEEPEST {
            return Err(ConfigError::conflict(path, format!("schedules may nest {DEEPEST} deep")));
        }
        ScheduleConfig::read(table, path, &Self { depth: self.depth + 1, ..*self })
    }

    /// Reads the array of schedules in `field`.
    pub fn schedules(&self, fields: &Fields<'_>, field: &str) -> Result<Vec<ScheduleConfig>, ConfigError> {
        let tables = fields.tables(field)?.ok_or_else(|| fields.missing(field, "an array of schedule tables"))?;
        tables.iter().map(|(table, path)| self.schedule(table, path)).collect()
    }
}

/// Checks on single settings, for [`Strategy::check`].
pub(crate) mod check {
    use strict_config::ConfigError;

    /// `value` must satisfy `accept` (and be finite); `allowed` says so in words.
    pub(crate) fn number(
        field: &str,
        value: f64,
        allowed: &str,
        accept: impl FnOnce(f64) -> bool,
    ) -> Result<(), ConfigError> {
        if value.is_finite() && accept(value) { Ok(()) } else { Err(ConfigError::not_allowed(field, value, allowed)) }
    }

    /// A finite number of at least 0: rates and factors.
    pub(crate) fn non_negative(field: &str, value: f64) -> Result<(), ConfigError> {
        number(field, value, "a finite number of at least 0", |v| v >= 0.0)
    }

    /// A finite number above 0.
    pub(crate) fn positive(field: &str, value: f64) -> Result<(), ConfigError> {
        number(field, value, "a finite number above 0", |v| v > 0.0)
    }

    /// A momentum: at least 0 and below 1.
    pub(crate) fn momentum(field: &str, value: f64) -> Result<(), ConfigError> {
        number(field, value, "a momentum: at least 0 and below 1", |v| (0.0..1.0).contains(&v))
    }
}
