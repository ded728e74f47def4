//! A schedule as a config table says it: a strategy, its interval, its warm-up. Parsed once, validated once.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use crate::compose::{PerEpoch, WarmUp};
use crate::strategy::{Scope, Strategy};
use crate::time::{Clock, Horizon, Interval};
use crate::{Registry, Schedule};

/// The fields every schedule table may have.
const COMMON: [&str; 3] = ["type", "interval", "warmup"];

/// A parsed and validated schedule table.
///
/// ```
/// use lr_core::{Horizon, ScheduleConfig};
/// let config = ScheduleConfig::from_toml_str("type = 'step'\nstep_size = 30")?;
/// let schedule = config.build(&Horizon::unknown(), "")?;
/// assert_eq!(schedule.lr(0.1, 29), 0.1);
/// assert!((schedule.lr(0.1, 30) - 0.01).abs() < 1e-15);
///
/// let error = ScheduleConfig::from_toml_str("type = 'step'\nstep_sise = 30").unwrap_err();
/// assert!(error.to_string().starts_with("step_sise: unknown field; did you mean `step_size`?"));
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    strategy: Box<dyn Strategy>,
    interval: Option<Interval>,
    warmup: Option<WarmUp>,
}

impl ScheduleConfig {
    /// The schedule of a strategy set up in Rust.
    ///
    /// ```
    /// use lr_core::{CosineAnnealing, Interval, ScheduleConfig, WarmUp};
    /// let config = ScheduleConfig::new(CosineAnnealing::new(90)).with_warmup(WarmUp::linear(10));
    /// assert_eq!(config.interval(), Interval::Epoch);
    /// ```
    pub fn new(strategy: impl Strategy + 'static) -> Self {
        Self { strategy: Box::new(strategy), interval: None, warmup: None }
    }

    /// The same with its own interval.
    #[must_use]
    pub fn with_interval(mut self, interval: Interval) -> Self {
        self.interval = Some(interval);
        self
    }

    /// The same behind a warm-up.
    #[must_use]
    pub fn with_warmup(mut self, warmup: WarmUp) -> Self {
        self.warmup = Some(warmup);
        self
    }

    /// Reads a bare schedule table: `type = ...` at top level.
    pub fn from_toml_str(text: &str) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error| ConfigError::syntax(text, &error))?;
        Self::from_table(&table, "")
    }

    /// Reads a table found at `path`, which prefixes every error.
    pub fn from_table(table: &Table, path: &str) -> Result<Self, ConfigError> {
        Self::from_table_with(table, path, Registry::shared())
    }

    /// Reads a table with a registry of one's own.
    pub fn from_table_with(table: &Table, path: &str, registry: &Registry) -> Result<Self, ConfigError> {
        Self::read(table, path, &Scope::new(registry))
    }

    pub(crate) fn read(table: &Table, path: &str, scope: &Scope<'_>) -> Result<Self, ConfigError> {
        let head = Fields::open_any(table, path);
        let name = head.need_str("type", "the name of a schedule, such as \"cosine_annealing\"")?;
        let registry = scope.registry();
        let entry = registry
            .get(name)
            .ok_or_else(|| ConfigError::unknown_name(head.path_of("type"), "schedule", name, registry.names()))?;
        let known: Vec<&str> = COMMON.iter().chain(entry.fields()).copied().collect();
        let fields = Fields::open(table, path, &known)?;
        let strategy = entry.parse(&fields, scope)?;
        strategy.check().map_err(|error| error.within(path))?;
        let interval = fields.choice("interval", &[("step", Interval::Step), ("epoch", Interval::Epoch)])?;
        // A strategy may have an argument of that name itself (transformers' greedy): then only a table is a warm-up.
        let own_argument =
            entry.fields().contains(&"warmup") && !matches!(fields.value("warmup"), Some(Value::Table(_)));
        let warmup = if own_argument { None } else { fields.table("warmup")? };
        let warmup = warmup.map(|table| WarmUp::read(table, &fields.path_of("warmup"))).transpose()?;
        Ok(Self { strategy, interval, warmup })
    }

    /// The table with every field explicit, the interval too; it reads back to an equal config.
    pub fn to_table(&self) -> Table {
        let mut table = self.part_table();
        table.insert("interval".to_owned(), Value::String(self.interval().name().to_owned()));
        table
    }

    /// The table as a part of a composition: the interval is left out where the part inherits that of the whole.
    pub fn part_table(&self) -> Table {
        let mut table = self.strategy.fields();
        table.insert("type".to_owned(), Value::String(self.type_name().to_owned()));
        if let Some(interval) = self.interval {
            table.insert("interval".to_owned(), Value::String(interval.name().to_owned()));
        }
        if let Some(warmup) = &self.warmup {
            table.insert("warmup".to_owned(), Value::Table(warmup.to_table()));
        }
        table
    }

    /// The strategy's name.
    pub fn type_name(&self) -> &str {
        self.strategy.type_name()
    }

    /// The strategy.
    pub fn strategy(&self) -> &dyn Strategy {
        self.strategy.as_ref()
    }

    /// The warm-up, if there is one.
    pub fn warmup(&self) -> Option<&WarmUp> {
        self.warmup.as_ref()
    }

    /// What a tick is: as the config says, or the strategy's default.
    pub fn interval(&self) -> Interval {
        self.interval.unwrap_or_else(|| self.strategy.default_interval())
    }

    /// The metric that the schedule, or a part of it, wants to be fed with.
    pub fn monitor(&self) -> Option<&str> {
        self.strategy.monitor()
    }

    /// Whether the schedule gives a momentum too.
    pub fn sets_momentum(&self) -> bool {
        self.strategy.sets_momentum()
    }

    /// The schedule, its durations resolved against `horizon`; `path` prefixes every error.
    pub fn build(&self, horizon: &Horizon, path: &str) -> Result<Box<dyn Schedule>, ConfigError> {
        self.build_on(&Clock::new(*horizon, self.interval())).map_err(|error| error.within(path))
    }

    /// The schedule as a part of a composition on `clock`, whose interval it inherits.
    ///
    /// A part that counts epochs inside a whole that counts steps is told the epoch at each step. The other way
    /// round is refused: a whole that changes once per epoch has no place for a part that changes at each step.
    pub fn build_part(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        match (self.interval, clock.interval()) {
            (Some(Interval::Epoch), Interval::Step) => {
                let steps_per_epoch = clock.horizon().steps_per_epoch().ok_or_else(|| {
                    let message = "a part per epoch inside a whole per step needs the number of steps per epoch, \
                                   which is not known here";
                    ConfigError::conflict("interval", message)
                })?;
                let inner = self.build_on(&clock.in_epochs(steps_per_epoch))?;
                Ok(Box::new(PerEpoch::new(inner, steps_per_epoch)))
            }
            (Some(Interval::Step), Interval::Epoch) => Err(ConfigError::conflict(
                "interval",
                "a part cannot change at each step inside a whole that changes once per epoch; \
                 set `interval = \"step\"` on the whole",
            )),
            _ => self.build_on(clock),
        }
    }

    pub(crate) fn build_on(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        match &self.warmup {
            None => self.strategy.build(clock),
            Some(warmup) => warmup.build(clock, |clock| self.strategy.build(clock)),
        }
    }

    /// A fingerprint of the resolved table: the same on every platform and in every version that knows the same
    /// fields.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.canonical())
    }

    /// The resolved table as text, the same for equal configs.
    pub(crate) fn canonical(&self) -> String {
        canonical(&Value::Table(self.to_table()))
    }
}

impl PartialEq for ScheduleConfig {
    fn eq(&self, other: &Self) -> bool {
        self.to_table() == other.to_table()
    }
}

impl Serialize for ScheduleConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_table().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ScheduleConfig {
    /// Reads a table by the [standard registry](Registry::standard).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        Self::from_table(&table, "").map_err(de::Error::custom)
    }
}

/// A value as text that does not depend on how a TOML library orders or writes it.
fn canonical(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match value {
            Value::String(text) => write!(out, "{text:?}"),
            Value::Integer(number) => write!(out, "{number}"),
            Value::Float(number) => write!(out, "{number:e}"),
            Value::Boolean(flag) => write!(out, "{flag}"),
            Value::Datetime(date) => write!(out, "{date}"),
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    write(item, out);
                    out.push(',');
                }
                write!(out, "]")
            }
            Value::Table(table) => {
                let mut fields: Vec<_> = table.iter().collect();
                fields.sort_by_key(|(name, _)| name.as_str());
                out.push('{');
                for (name, value) in fields {
                    let _ = write!(out, "{name}=");
                    write(value, out);
                    out.push(',');
                }
                write!(out, "}}")
            }
        };
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// 64-bit FNV-1a of a text, in hex. Not a defence against an adversary; it tells one config from another.
pub(crate) fn fingerprint(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
