//! The one module that knows all strategies of this crate: the standard registry, and reading by it.

use std::sync::OnceLock;

use serde::{Deserialize, Deserializer};
use strict_config::{ConfigError, raise};
use toml::Table;

use crate::{Registry, ScheduleConfig, compose, config, port, strategies};

impl Registry {
    /// All strategies of this crate.
    pub fn standard() -> Self {
        shared().clone()
    }
}

/// The standard registry, made once.
pub(crate) fn shared() -> &'static Registry {
    static STANDARD: OnceLock<Registry> = OnceLock::new();
    STANDARD.get_or_init(|| {
        let mut registry = Registry::empty();
        strategies::register(&mut registry);
        compose::register(&mut registry);
        port::register(&mut registry);
        registry
    })
}

impl ScheduleConfig {
    /// Reads a bare schedule table: `type = ...` at top level.
    ///
    /// # Errors
    /// Text that is not TOML, and what [`from_table`](Self::from_table) refuses.
    pub fn from_toml_str(text: &str) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error| ConfigError::syntax(text, &error))?;
        Self::from_table(&table, "")
    }

    /// Reads a table found at `path`, which prefixes every error.
    ///
    /// # Errors
    /// A name that the standard registry does not have; unknown, missing or wrong fields.
    pub fn from_table(table: &Table, path: &str) -> Result<Self, ConfigError> {
        Self::from_table_with(table, path, shared())
    }
}

impl<'de> Deserialize<'de> for ScheduleConfig {
    /// Reads a table by the registry in force: that of [`ScheduleConfig::from_table_with`] inside it, else the standard
    /// one.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        config::read_nested(&table, shared).map_err(raise)
    }
}
