//! A schedule as a config table says it: a strategy, its interval, its warm-up. Parsed once, validated once.
//!
//! A strategy may hold other schedules, which serde reads while it reads the strategy. Which names they may use is the
//! caller's choice ([`ScheduleConfig::from_table_with`]), and serde has no way to hand that down. So the registry in force
//! is kept per thread for as long as a table is being read, together with how deep the table at hand is nested.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, raise};
use toml::{Table, Value};

use crate::compose::{PerEpoch, WarmUp};
use crate::strategy::{AnyStrategy, Custom, Strategy};
use crate::time::{Clock, Duration, Horizon, Interval};
use crate::{Registry, Schedule};

/// The fields every schedule table may have.
const COMMON: [&str; 3] = ["type", "interval", "warmup"];

/// How deep compositions may nest: far beyond any use, and far below what the stack holds.
const DEEPEST: usize = 32;

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
    strategy: Box<dyn AnyStrategy>,
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
    pub fn new(strategy: impl Strategy) -> Self {
        Self { strategy: Box::new(strategy), interval: None, warmup: None }
    }

    /// A schedule written in Rust, whose ticks are of this interval. It has no settings, so its [table](Self::to_table)
    /// names it `custom` and does not read back; a [`Strategy`] of your own does. A reactive one watches `valid.loss`.
    ///
    /// ```
    /// use lr_core::{Interval, Lambda, ScheduleConfig, WarmUp};
    /// let config = ScheduleConfig::custom(Lambda::new("inverse root", |t| 1.0 / (1.0 + t as f64).sqrt()), Interval::Step);
    /// let config = config.with_warmup(WarmUp::linear(100));
    /// # let _ = config;
    /// ```
    pub fn custom(schedule: impl Schedule + 'static, interval: Interval) -> Self {
        Self { strategy: Box::new(Custom { schedule: Box::new(schedule), interval }), interval: None, warmup: None }
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

    /// Reads a table found at `path` with another registry than the standard one; nested schedules are read by it too.
    ///
    /// # Errors
    /// A name that is not registered; unknown, missing or wrong fields. Paths begin with `path`.
    pub fn from_table_with(table: &Table, path: &str, registry: &Registry) -> Result<Self, ConfigError> {
        let reading = Reading { registry: Rc::new(registry.clone()), depth: 0 };
        read_within(reading, table).map_err(|error| error.within(path))
    }

    fn read(table: &Table, registry: &Registry) -> Result<Self, ConfigError> {
        let name = match table.get("type") {
            None => {
                let expected = "the name of a schedule, such as \"cosine_annealing\"";
                return Err(ConfigError::missing("type", expected));
            }
            Some(Value::String(name)) => name,
            Some(other) => return Err(ConfigError::wrong_type("type", "a string", other)),
        };
        let entry =
            registry.get(name).ok_or_else(|| ConfigError::unknown_name("type", "schedule", name, registry.names()))?;
        // A strategy may have an argument of that name itself (transformers' greedy): then only a table is a warm-up.
        let is_own = |field: &str, value: &Value| entry.fields().contains(&field) && !value.is_table();
        let is_common = |field: &str, value: &Value| COMMON.contains(&field) && !is_own(field, value);
        let fields = table.clone().into_iter().filter(|(field, _)| field != "type");
        let (common, own): (Vec<_>, Vec<_>) = fields.partition(|(field, value)| is_common(field, value));
        let strategy = entry.read(&own.into_iter().collect()).map_err(|error| error.with_known(&COMMON))?;
        let SharedFields { interval, warmup } = strict_config::deserialize(&common.into_iter().collect())?;
        if let Some(warmup) = &warmup {
            warmup.check().map_err(|error| error.within("warmup"))?;
        }
        Ok(Self { strategy, interval, warmup })
    }

    /// The table with every field explicit, the interval too; it reads back to an equal config.
    pub fn to_table(&self) -> Table {
        self.table(Some(self.interval()))
    }

    /// The table as a part of a composition: the interval is left out where the part inherits that of the whole.
    fn part_table(&self) -> Table {
        self.table(self.interval)
    }

    /// In one order, whether the interval was given or not: a fingerprint is made of it.
    fn table(&self, interval: Option<Interval>) -> Table {
        let mut table = self.strategy.table();
        table.insert("type".to_owned(), Value::String(self.type_name().to_owned()));
        if let Some(interval) = interval {
            table.insert("interval".to_owned(), Value::String(interval.name().to_owned()));
        }
        if let Some(warmup) = &self.warmup {
            table.insert("warmup".to_owned(), Value::Table(strict_config::write(warmup)));
        }
        table
    }

    /// The strategy's name.
    pub fn type_name(&self) -> &'static str {
        self.strategy.name()
    }

    /// The highest rate that the schedule sets itself, whatever the base rate is; `None` where the rate follows the base
    /// rate. A warm-up is not counted.
    pub fn peak(&self) -> Option<f64> {
        self.strategy.peak()
    }

    /// The warm-up, if there is one.
    pub fn warmup(&self) -> Option<&WarmUp> {
        self.warmup.as_ref()
    }

    /// What a tick is: as the config says, or the strategy's default.
    pub fn interval(&self) -> Interval {
        self.interval.unwrap_or_else(|| self.strategy.interval())
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
    /// A part that counts epochs inside a whole that counts steps gets the epoch of each step. The other way
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
        format!("{:016x}", fnv1a(&self.canonical()))
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
    /// As a part of a composition, which may inherit its interval; [`to_table`](Self::to_table) shows the interval always.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.part_table().serialize(serializer)
    }
}

/// What a schedule's table holds beside the strategy's own fields.
#[derive(Deserialize)]
struct SharedFields {
    interval: Option<Interval>,
    #[serde(default, deserialize_with = "table_or_duration")]
    warmup: Option<WarmUp>,
}

/// A warm-up in full, or the length of a linear one: `5`, `"5ep"`, `"10%"`.
fn table_or_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WarmUp>, D::Error> {
    let warmup = match Value::deserialize(deserializer)? {
        Value::Table(table) => strict_config::deserialize(&table),
        length @ (Value::Integer(_) | Value::String(_)) => Duration::parse(&length, "").map(WarmUp::linear),
        other => {
            let expected = "a duration, such as \"10%\", or a table with a `duration`";
            Err(ConfigError::wrong_type("", expected, &other))
        }
    };
    warmup.map(Some).map_err(raise)
}

/// What is known while a table is being read.
#[derive(Clone)]
struct Reading {
    registry: Rc<Registry>,
    /// How many schedules hold the one at hand.
    depth: usize,
}

thread_local! {
    static READING: RefCell<Option<Reading>> = const { RefCell::new(None) };
}

/// Reads a table by itself, or one nested in the table that this thread is reading.
pub(crate) fn read_nested(table: &Table, default: fn() -> &'static Registry) -> Result<ScheduleConfig, ConfigError> {
    match READING.with_borrow(Clone::clone) {
        None => read_within(Reading { registry: Rc::new(default().clone()), depth: 0 }, table),
        Some(Reading { depth: DEEPEST, .. }) => {
            Err(ConfigError::conflict("", format!("schedules may nest {DEEPEST} deep")))
        }
        Some(Reading { registry, depth }) => read_within(Reading { registry, depth: depth + 1 }, table),
    }
}

fn read_within(reading: Reading, table: &Table) -> Result<ScheduleConfig, ConfigError> {
    /// Puts back what was in force, even where reading panics.
    struct Outer(Option<Reading>);

    impl Drop for Outer {
        fn drop(&mut self) {
            READING.set(self.0.take());
        }
    }

    let registry = Rc::clone(&reading.registry);
    let _outer = Outer(READING.replace(Some(reading)));
    ScheduleConfig::read(table, &registry)
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

/// 64-bit FNV-1a of a text: the same on every platform and in every version. It tells one text from another, and is no
/// defence against an adversary.
pub fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
