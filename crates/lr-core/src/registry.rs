//! The strategies that a config can name. Open: register your own.

use strict_config::ConfigError;
use toml::Table;

use crate::strategy::{AnyStrategy, Strategy};
use crate::time::Interval;

/// A strategy that can be named in a config: what its type says of itself.
#[derive(Debug, Clone, Copy)]
pub struct StrategyInfo {
    name: &'static str,
    aliases: &'static [&'static str],
    summary: &'static str,
    example: &'static str,
    interval: Interval,
    fields: &'static [&'static str],
    rates: &'static [(&'static str, f64)],
    read: fn(&Table) -> Result<Box<dyn AnyStrategy>, ConfigError>,
}

impl StrategyInfo {
    fn of<S: Strategy>() -> Self {
        Self {
            name: S::NAME,
            aliases: S::ALIASES,
            summary: S::SUMMARY,
            example: S::EXAMPLE,
            interval: S::INTERVAL,
            fields: strict_config::fields_of::<S>(),
            rates: S::RATES,
            read: |table| {
                let strategy: S = strict_config::deserialize(table)?;
                strategy.check()?;
                Ok(Box::new(strategy))
            },
        }
    }

    /// The name in a config.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Further names for the same.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// What it is, in a line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// What a tick is unless the config says so.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The fields of its table, beside `type`, `interval` and `warmup`.
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// [`Strategy::RATES`]: the fields that hold a rate which the strategy sets itself.
    pub fn rates(&self) -> &'static [(&'static str, f64)] {
        self.rates
    }

    /// A complete table in TOML.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// Reads and checks the strategy's own fields.
    pub(crate) fn read(&self, table: &Table) -> Result<Box<dyn AnyStrategy>, ConfigError> {
        (self.read)(table)
    }
}

/// The strategies that a config can name.
///
/// ```
/// use lr_core::Registry;
/// let registry = Registry::standard();
/// assert!(registry.iter().any(|entry| entry.name() == "cosine_annealing"));
/// assert_eq!(registry.get("lambda").map(|entry| entry.name()), Some("expression"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: Vec<StrategyInfo>,
}

impl Registry {
    /// No strategies.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds a strategy; one of the same name is replaced.
    pub fn register<S: Strategy>(&mut self) {
        let entry = StrategyInfo::of::<S>();
        match self.entries.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// The strategies, in the order they were registered.
    pub fn iter(&self) -> impl Iterator<Item = &StrategyInfo> {
        self.entries.iter()
    }

    /// The strategy of that name or alias.
    pub fn get(&self, name: &str) -> Option<&StrategyInfo> {
        self.entries.iter().find(|entry| entry.name == name || entry.aliases.contains(&name))
    }

    /// All names, aliases included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied()))
    }
}

/// The strategies of a folder, one a line, in the order in which they are documented: exports them, and writes the
/// `register` that enters them.
macro_rules! strategies {
    ($($file:ident::$name:ident,)+) => {
        $(pub use $file::$name;)+

        /// Registers all of them.
        pub(crate) fn register(registry: &mut $crate::Registry) {
            $(registry.register::<$name>();)+
        }
    };
}
pub(crate) use strategies;
