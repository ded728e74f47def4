//! The registry: a parsed, validated `[optimizer]` table, and what it builds.

use strict_config::{ConfigError, Fields};
use toml::Table;

use crate::optimizers::{
    AdadeltaConfig, AdafactorConfig, AdagradConfig, AdamConfig, AdamWConfig, AdamaxConfig, LambConfig, LionConfig,
    MuonConfig, NAdamConfig, ProdigyConfig, RAdamConfig, RmspropConfig, ScheduleFreeAdamWConfig, ScheduleFreeSgdConfig,
    SgdConfig,
};
use crate::settings::Settings;
use crate::spec::{Built, Spec};
use crate::{AdaptiveOptimizer, Groups, MomentumHandle};

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
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerConfig {
    kind: Kind,
}

macro_rules! registry {
    ($($variant:ident($config:ident) = $name:literal: $summary:literal,)*) => {
        /// One variant per optimizer.
        #[derive(Debug, Clone, PartialEq)]
        enum Kind {
            $($variant($config),)*
        }

        /// Name and one-line summary of each optimizer.
        const KNOWN: &[(&str, &str)] = &[$(($name, $summary)),*];

        impl Kind {
            fn read(name: &str, table: &Table, path: &str) -> Result<Self, ConfigError> {
                match name {
                    $($name => $config::read(&Fields::open(table, path, $config::FIELDS)?).map(Self::$variant),)*
                    _ => Err(ConfigError::unknown_name(
                        strict_config::join(path, "type"),
                        "optimizer",
                        name,
                        KNOWN.iter().map(|(name, _)| *name),
                    )),
                }
            }

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            fn write(&self, table: &mut Table) {
                match self {
                    $(Self::$variant(config) => Settings::write(config, table),)*
                }
            }

            fn lr_mut(&mut self) -> &mut f64 {
                match self {
                    $(Self::$variant(config) => config.lr_mut(),)*
                }
            }

            fn lr(&self) -> f64 {
                match self {
                    $(Self::$variant(config) => config.lr,)*
                }
            }

            fn weight_decay_mut(&mut self) -> Option<&mut f64> {
                match self {
                    $(Self::$variant(config) => config.weight_decay_mut(),)*
                }
            }

            fn momentum(&self) -> Option<f64> {
                match self {
                    $(Self::$variant(config) => Spec::momentum(config),)*
                }
            }

            fn state_layout(&self) -> &'static str {
                match self {
                    $(Self::$variant(config) => config.state_layout(),)*
                }
            }

            fn built(&self, momentum: MomentumHandle) -> Built {
                match self {
                    $(Self::$variant(config) => config.built(momentum),)*
                }
            }
        }

        $(
            impl TryFrom<$config> for OptimizerConfig {
                type Error = ConfigError;

                /// Checks the settings as if they had been read from a table.
                fn try_from(config: $config) -> Result<Self, ConfigError> {
                    Self::from_table(&Self { kind: Kind::$variant(config) }.to_table(), "")
                }
            }
        )*
    };
}

registry! {
    Adam(AdamConfig) = "adam": "running averages of the gradient and its square: the usual first choice",
    AdamW(AdamWConfig) = "adamw": "Adam with decoupled weight decay: the usual choice for transformers",
    NAdam(NAdamConfig) = "nadam": "Adam with Nesterov momentum",
    RAdam(RAdamConfig) = "radam": "Adam that waits for a trustworthy second moment: needs no warm-up",
    Adamax(AdamaxConfig) = "adamax": "Adam under the infinity norm: robust to rare large gradients",
    Adagrad(AdagradConfig) = "adagrad": "rates that only shrink, per coordinate: sparse features",
    Rmsprop(RmspropConfig) = "rmsprop": "divides by the running root mean square: recurrent nets, reinforcement learning",
    Adadelta(AdadeltaConfig) = "adadelta": "steps in the parameter's own unit: a rate of 1 is meant to fit",
    Sgd(SgdConfig) = "sgd": "gradient descent, with momentum and Nesterov: the baseline",
    Prodigy(ProdigyConfig) = "prodigy": "Adam that finds its own step size: leave lr at 1",
    ScheduleFreeAdamW(ScheduleFreeAdamWConfig) = "schedule_free_adamw":
        "AdamW with averaging in place of a schedule",
    ScheduleFreeSgd(ScheduleFreeSgdConfig) = "schedule_free_sgd": "SGD with averaging in place of a schedule",
    Lion(LionConfig) = "lion": "burn's Lion: the sign of an averaged gradient, one buffer of state",
    Muon(MuonConfig) = "muon": "burn's Muon: orthogonalised momentum for matrices, AdamW for the rest",
    Lamb(LambConfig) = "lamb": "burn's LAMB: Adam with a trust ratio per layer, for large batches",
    Adafactor(AdafactorConfig) = "adafactor": "burn's Adafactor: second moments in rows and columns, little memory",
}

impl OptimizerConfig {
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
        let name = Fields::open_any(table, path).need_str("type", "the name of an optimizer, such as \"adam\"")?;
        Kind::read(name, table, path).map(|kind| Self { kind })
    }

    /// The resolved table: every field that has a value, defaults included. Reads back equal.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        table.insert("type".to_owned(), self.type_name().into());
        self.kind.write(&mut table);
        table
    }

    /// The name under which the optimizer is configured: `adam`.
    pub fn type_name(&self) -> &'static str {
        self.kind.name()
    }

    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        self.kind.lr()
    }

    /// The same with another base learning rate.
    #[must_use]
    pub fn with_lr(mut self, lr: f64) -> Self {
        *self.kind.lr_mut() = lr;
        self
    }

    /// The same with another weight decay; `None` for an optimizer that has none.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Option<Self> {
        *self.kind.weight_decay_mut()? = weight_decay;
        Some(self)
    }

    /// Whether schedules may drive a momentum: `betas[0]` or `momentum`.
    pub fn supports_momentum(&self) -> bool {
        self.kind.momentum().is_some()
    }

    /// The optimizer, for all parameters alike.
    pub fn init(&self) -> AdaptiveOptimizer {
        AdaptiveOptimizer::new(self.clone(), Groups::default())
    }

    /// The optimizer, with parameter groups.
    pub fn init_with_groups(&self, groups: Groups) -> AdaptiveOptimizer {
        AdaptiveOptimizer::new(self.clone(), groups)
    }

    /// Name and one-line summary of every optimizer, in the order they are documented.
    pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
        KNOWN.iter().copied()
    }

    /// What a record must have been made with to be gone on with: the type, and the options that decide which state
    /// there is. Other options may change between saving and loading.
    pub(crate) fn fingerprint(&self) -> String {
        match self.kind.state_layout() {
            "" => self.type_name().to_owned(),
            layout => format!("{} with {layout}", self.type_name()),
        }
    }

    pub(crate) fn momentum(&self) -> Option<f64> {
        self.kind.momentum()
    }

    pub(crate) fn built(&self, momentum: MomentumHandle) -> Built {
        self.kind.built(momentum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_reads_back_equal_and_is_built() {
        for (name, summary) in OptimizerConfig::known() {
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
        assert_eq!(OptimizerConfig::try_from(good).expect("good").lr(), 0.1);
        let bad = AdamConfig { betas: [0.9, 2.0], ..AdamConfig::default() };
        assert_eq!(OptimizerConfig::try_from(bad).expect_err("bad").path, "betas[1]");
    }
}
