//! The registry of optimizers by name, and a parsed, validated `[optimizer]` table.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Problem, show};
use toml::{Table, Value};

use crate::momentum::MomentumHandle;
use crate::optimizer::{AnySettings, Entry, OptimizerSettings, ParamOptimizer};
use crate::optimizers::STANDARD;

/// The optimizers that a table may name. It is open: [`with`](Self::with) adds one of the user's own.
#[derive(Debug, Clone)]
pub struct OptimizerRegistry {
    entries: Vec<Entry>,
}

impl OptimizerRegistry {
    /// This crate's optimizers.
    pub fn standard() -> Self {
        Self { entries: STANDARD.to_vec() }
    }

    /// With one more optimizer. It replaces one of the same name.
    #[must_use]
    pub fn with<S: OptimizerSettings>(mut self) -> Self {
        self.entries.retain(|entry| entry.name != S::NAME);
        self.entries.push(Entry::of::<S>());
        self
    }

    /// Name and one-line summary of every optimizer, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.entries.iter().map(|entry| (entry.name, entry.summary))
    }

    fn read(&self, table: &Table) -> Result<OptimizerConfig, ConfigError> {
        let mut table = table.clone();
        let name = match table.remove("type") {
            Some(Value::String(name)) => name,
            Some(other) => {
                let problem = Problem::WrongType { expected: "a string".to_owned(), found: show(&other) };
                return Err(ConfigError::new("type", problem));
            }
            None => return Err(ConfigError::missing("type", "the name of an optimizer, such as \"adam\"")),
        };
        match self.entries.iter().find(|entry| entry.name == name) {
            Some(entry) => {
                let settings = (entry.read)(&table).map_err(|error| error.with_known(&["type"]))?;
                Ok(OptimizerConfig { settings })
            }
            None => Err(ConfigError::unknown_name("type", "optimizer", &name, self.iter().map(|(name, _)| name))),
        }
    }
}

/// A parsed and validated `[optimizer]` table.
///
/// ```
/// use optim_adaptive::OptimizerConfig;
/// let config = OptimizerConfig::from_toml_str("type = 'adam'\nlr = 3e-4\nbetas = [0.9, 0.98]")?;
/// assert_eq!((config.type_name(), config.lr()), ("adam", 3e-4));
/// let error = OptimizerConfig::from_toml_str("type = 'adam'\nepsilon = 1e-8").unwrap_err();
/// assert!(error.to_string().starts_with("epsilon: unknown field; did you mean `eps`?"));
/// # Ok::<(), optim_adaptive::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct OptimizerConfig {
    settings: Box<dyn AnySettings>,
}

impl Clone for OptimizerConfig {
    fn clone(&self) -> Self {
        Self { settings: self.settings.boxed() }
    }
}

impl PartialEq for OptimizerConfig {
    fn eq(&self, other: &Self) -> bool {
        self.to_table() == other.to_table()
    }
}

impl Serialize for OptimizerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_table().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OptimizerConfig {
    /// Reads a table that names one of this crate's optimizers.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_table(&Table::deserialize(deserializer)?, "").map_err(strict_config::raise)
    }
}

impl OptimizerConfig {
    /// From settings, checked as if they had been read from a table.
    ///
    /// # Errors
    ///
    /// A setting that is out of its range.
    pub fn new(settings: impl OptimizerSettings) -> Result<Self, ConfigError> {
        settings.check()?;
        Ok(Self { settings: Box::new(settings) })
    }

    /// Reads a bare table: `type = "adam"`, `lr = ...`, with torch's names for the fields.
    ///
    /// # Errors
    ///
    /// Names the field, the value found and what is allowed; unknown fields and types name the nearest known one.
    pub fn from_toml_str(text: &str) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>().map_err(|error| ConfigError::syntax(text, &error))?;
        Self::from_table(&table, "")
    }

    /// Reads a table that stands at `path` in its document (`optimizer`).
    ///
    /// # Errors
    ///
    /// As [`from_toml_str`](Self::from_toml_str), with `path` before the field.
    pub fn from_table(table: &Table, path: &str) -> Result<Self, ConfigError> {
        Self::from_table_with(table, path, &OptimizerRegistry::standard())
    }

    /// As [`from_table`](Self::from_table), with the optimizers of `registry`.
    ///
    /// # Errors
    ///
    /// As [`from_table`](Self::from_table).
    pub fn from_table_with(table: &Table, path: &str, registry: &OptimizerRegistry) -> Result<Self, ConfigError> {
        registry.read(table).map_err(|error| error.within(path))
    }

    /// The resolved table: every field that has a value, defaults included. Reads back equal.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        table.insert("type".to_owned(), self.type_name().into());
        table.extend(self.settings.to_table());
        table
    }

    /// The name under which the optimizer is configured: `adam`.
    pub fn type_name(&self) -> &'static str {
        self.settings.name()
    }

    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        self.settings.lr()
    }

    /// The same with another base learning rate.
    #[must_use]
    pub fn with_lr(mut self, lr: f64) -> Self {
        *self.settings.lr_mut() = lr;
        self
    }

    /// The weight decay; `None` for an optimizer that has none.
    pub fn weight_decay(&self) -> Option<f64> {
        self.settings.weight_decay()
    }

    /// The same with another weight decay; `None` for an optimizer that has none.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Option<Self> {
        *self.settings.weight_decay_mut()? = weight_decay;
        Some(self)
    }

    /// Whether schedules may drive a momentum: `betas[0]` or `momentum`.
    pub fn supports_momentum(&self) -> bool {
        self.momentum().is_some()
    }

    /// How many numbers it keeps for each parameter, at least: what a run needs in memory beside weights and gradients.
    pub fn state_per_parameter(&self) -> usize {
        self.settings.state_per_parameter()
    }

    /// Why all parameters must be stepped by one optimizer at one rate, if they must.
    pub(crate) fn one_for_all(&self) -> Option<&'static str> {
        self.settings.one_for_all()
    }

    /// The type, and the options that decide which state there is: they must be the same where a record is loaded.
    pub(crate) fn fingerprint(&self) -> String {
        match self.settings.state_layout() {
            "" => self.type_name().to_owned(),
            layout => format!("{} with {layout}", self.type_name()),
        }
    }

    pub(crate) fn momentum(&self) -> Option<f64> {
        self.settings.momentum()
    }

    /// The optimizer of single parameters; `momentum` is where it reads its momentum at each step.
    pub(crate) fn build(&self, momentum: MomentumHandle) -> ParamOptimizer {
        self.settings.erased(momentum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::AdamConfig;

    #[test]
    fn every_optimizer_reads_back_equal_and_is_built() {
        for (name, summary) in OptimizerRegistry::standard().iter() {
            let config = OptimizerConfig::from_toml_str(&format!("type = '{name}'")).expect(name);
            assert!(!summary.is_empty());
            let table = config.to_table();
            assert_eq!(OptimizerConfig::from_table(&table, "optimizer").expect(name), config);
            // Through text too: what the run folder's config.toml does.
            let text = toml::to_string(&table).expect("text");
            assert_eq!(OptimizerConfig::from_toml_str(&text).expect(name), config);
            assert_eq!(config.clone().with_lr(0.25).lr(), 0.25);
            assert_eq!(config.init().config(), &config);
        }
    }

    #[test]
    fn refusals_say_field_value_and_what_is_right() {
        let cases = [
            ("type = 'adam'\nlr = -1", "lr: -1 is not allowed here; allowed: a number of at least 0"),
            ("type = 'adam'\nlr = nan", "lr: NaN is not allowed here; allowed: a finite number"),
            (
                "type = 'adam'\nbetas = [0.9, 1.0]",
                "betas[1]: 1 is not allowed here; allowed: a number from 0 to below 1",
            ),
            ("type = 'adam'\nbetas = [0.9]", "betas: [0.9] is not allowed here; allowed: two numbers, [beta1, beta2]"),
            ("type = 'adam'\namsgrad = 1", "amsgrad: expected true or false, found 1"),
            ("lr = 1", "type: missing; expected the name of an optimizer, such as \"adam\""),
            (
                "type = 'sgd'\nnesterov = true",
                "nesterov: Nesterov momentum needs `momentum` above 0 and `dampening = 0`; found momentum = 0, \
                 dampening = 0",
            ),
            ("type = 'prodigy'\nlr = 0", "lr: 0 is not allowed here; allowed: a number above 0"),
            (
                "type = 'schedule_free_sgd'\nmomentum = 1",
                "momentum: 1 is not allowed here; allowed: a number between 0 and 1, both excluded",
            ),
            ("type = 'adadelta'\nrho = 1.5", "rho: 1.5 is not allowed here; allowed: a number from 0 to 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(OptimizerConfig::from_toml_str(text).expect_err(text).to_string(), expected);
        }
        let unknown = OptimizerConfig::from_toml_str("type = 'adamm'").expect_err("unknown");
        assert!(unknown.to_string().starts_with("type: there is no optimizer `adamm`; did you mean `adam`?"));
        let syntax = OptimizerConfig::from_toml_str("type = ").expect_err("no TOML");
        assert!(syntax.to_string().starts_with("line 1"), "{syntax}");
    }

    #[test]
    fn a_config_struct_is_checked_like_a_table() {
        let good = AdamConfig { lr: 0.1, ..AdamConfig::default() };
        assert_eq!(OptimizerConfig::new(good).expect("good").lr(), 0.1);
        let bad = AdamConfig { betas: [0.9, 2.0], ..AdamConfig::default() };
        assert_eq!(OptimizerConfig::new(bad).expect_err("bad").path, "betas[1]");
    }
}
