//! Training time: ticks, the intervals they count, durations with units, and what is known of the run.
//!
//! A strategy knows only ticks. This module turns what a person writes (`"5ep"`, `"500it"`, `"20%"`, `"rest"`)
//! into them, once, before anything runs.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Problem, by_value, from_value, show};
use toml::Value;

/// The largest number of ticks a duration may have: beyond 2^53 an `f64` no longer counts in ones.
const MOST_TICKS: u64 = 1 << 53;

/// What one tick of a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// One optimizer step.
    Step,
    /// One epoch: a pass over the training data.
    Epoch,
}

impl Interval {
    /// The name in a config: `"step"` or `"epoch"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Epoch => "epoch",
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of the run that a schedule is resolved against; every part may be unknown.
///
/// ```
/// use lr_core::{Horizon, Interval};
/// let run = Horizon::run(100, 1_050);
/// assert_eq!(run.total_ticks(Interval::Step), Some(1_050));
/// assert_eq!(run.total_ticks(Interval::Epoch), Some(11)); // the last epoch is a short one
/// assert_eq!(Horizon::unknown().total_ticks(Interval::Step), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Horizon {
    steps_per_epoch: Option<u64>,
    total_steps: Option<u64>,
    epochs: Option<u64>,
}

impl Horizon {
    /// A training run, of which both are known. A run of `total_steps` 0 or of 0 steps per epoch counts as unknown.
    pub fn run(steps_per_epoch: u64, total_steps: u64) -> Self {
        Self { steps_per_epoch: known(steps_per_epoch), total_steps: known(total_steps), epochs: None }
    }

    /// A number of optimizer steps, without a notion of epochs.
    pub fn steps(total_steps: u64) -> Self {
        Self { total_steps: known(total_steps), ..Self::default() }
    }

    /// A number of epochs of unknown length.
    pub fn epochs(epochs: u64) -> Self {
        Self { epochs: known(epochs), ..Self::default() }
    }

    /// Nothing is known: only durations in ticks can be resolved.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Optimizer steps in one epoch.
    pub fn steps_per_epoch(&self) -> Option<u64> {
        self.steps_per_epoch
    }

    /// Ticks in the whole run; epochs are rounded up, since a short last epoch is an epoch.
    pub fn total_ticks(&self, interval: Interval) -> Option<u64> {
        match interval {
            Interval::Step => self.total_steps.or_else(|| Some(self.epochs?.saturating_mul(self.steps_per_epoch?))),
            Interval::Epoch => self.epochs.or_else(|| Some(self.total_steps?.div_ceil(self.steps_per_epoch?))),
        }
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (self.total_steps, self.epochs, self.steps_per_epoch) {
            (Some(steps), _, Some(per_epoch)) => write!(f, "{} at {per_epoch} per epoch", of(steps, "step")),
            (Some(steps), _, None) => f.write_str(&of(steps, "step")),
            (None, Some(epochs), _) => f.write_str(&of(epochs, "epoch")),
            (None, None, Some(per_epoch)) => write!(f, "{} per epoch", of(per_epoch, "step")),
            (None, None, None) => f.write_str("an unknown length"),
        }
    }
}

/// A count; 0 means unknown.
fn known(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// The clock that a strategy's durations are resolved against: the run, what a tick is, and at which tick of the
/// run the strategy's own tick 0 lies (parts of a `sequential`, strategies behind a warm-up).
///
/// It knows the base rates of the parameter groups too, where there are any: a few ported schedules derive their factor
/// from the first of them, or react to all groups together.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    horizon: Horizon,
    interval: Interval,
    start: u64,
    base_lrs: Vec<f64>,
}

impl Clock {
    /// A clock that starts with the run.
    pub fn new(horizon: Horizon, interval: Interval) -> Self {
        Self { horizon, interval, start: 0, base_lrs: Vec::new() }
    }

    /// A clock of which nothing is known but that it ticks: enough for durations given in ticks.
    pub fn unknown() -> Self {
        Self::new(Horizon::unknown(), Interval::Step)
    }

    /// The same for parameter groups with these base rates.
    #[must_use]
    pub fn with_base_lrs(self, base_lrs: &[f64]) -> Self {
        Self { base_lrs: base_lrs.to_vec(), ..self }
    }

    /// The base rates of the parameter groups; empty where they are not known.
    pub fn base_lrs(&self) -> &[f64] {
        &self.base_lrs
    }

    /// What is known of the run.
    pub fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    /// What a tick is.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The tick of the run at which this clock shows 0.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The ticks of the whole run.
    pub fn total(&self) -> Option<u64> {
        self.horizon.total_ticks(self.interval)
    }

    /// The clock of something that starts `ticks` later.
    #[must_use]
    pub fn later(&self, ticks: u64) -> Self {
        Self { start: self.start.saturating_add(ticks), ..self.clone() }
    }

    /// The clock of a part that counts epochs inside a whole that counts steps.
    #[must_use]
    pub(crate) fn in_epochs(&self, steps_per_epoch: u64) -> Self {
        Self { interval: Interval::Epoch, start: self.start / steps_per_epoch.max(1), ..self.clone() }
    }
}

/// A length of time in a config: a bare integer (ticks) or a string with a unit.
///
/// | written | means |
/// |---|---|
/// | `30` | 30 ticks of the schedule's interval |
/// | `"5ep"`, `"0.5ep"` | epochs |
/// | `"500it"` | optimizer steps |
/// | `"20%"` | that part of the whole run |
/// | `"rest"` | what is left of the run when the strategy's clock starts |
///
/// **Rounding**: to the nearest whole tick, halves up. A length above zero that would round to zero ticks is
/// refused, with the numbers, since it would silently switch something off.
///
/// ```
/// use lr_core::{Clock, Duration, Horizon, Interval};
/// let clock = Clock::new(Horizon::run(391, 39_100), Interval::Epoch);
/// assert_eq!(Duration::Percent(20.0).ticks("t_max", 1, &clock)?, 20);
/// assert_eq!(Duration::Steps(500).ticks("t_max", 1, &clock)?, 1); // 1.28 epochs
/// let error = Duration::Steps(100).ticks("t_max", 1, &clock).unwrap_err();
/// assert!(error.to_string().starts_with("t_max: \"100it\" is 0.256 ticks of one epoch"));
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Duration {
    /// Ticks of the schedule's interval.
    Ticks(u64),
    /// Epochs; parts of one are allowed.
    Epochs(f64),
    /// Optimizer steps.
    Steps(u64),
    /// Percent of the whole run.
    Percent(f64),
    /// What is left of the run.
    Rest,
}

/// No time at all.
impl Default for Duration {
    fn default() -> Self {
        Self::Ticks(0)
    }
}

impl From<u64> for Duration {
    fn from(ticks: u64) -> Self {
        Self::Ticks(ticks)
    }
}

impl Duration {
    /// Reads a duration; `path` is the field's place, for errors.
    pub fn parse(value: &Value, path: &str) -> Result<Self, ConfigError> {
        match value {
            Value::Integer(ticks) => u64::try_from(*ticks)
                .map(Self::Ticks)
                .map_err(|_| ConfigError::not_allowed(path, ticks, "a duration of at least 0 ticks")),
            Value::String(text) => Self::parse_text(text).ok_or_else(|| {
                ConfigError::not_allowed(
                    path,
                    show(value),
                    "a number with a unit (\"5ep\", \"500it\", \"20%\") or \"rest\"",
                )
            }),
            _ => Err(ConfigError::new(path, Problem::WrongType { expected: EXPECTED.to_owned(), found: show(value) })),
        }
    }

    fn parse_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "rest" {
            return Some(Self::Rest);
        }
        let positive = |number: &str| number.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        if let Some(number) = text.strip_suffix("ep") {
            positive(number).map(Self::Epochs)
        } else if let Some(number) = text.strip_suffix("it") {
            number.trim().parse().ok().filter(|n| *n <= MOST_TICKS).map(Self::Steps)
        } else if let Some(number) = text.strip_suffix('%') {
            positive(number).filter(|n| *n <= 100.0).map(Self::Percent)
        } else {
            None
        }
    }

    /// The same with a bare number as a length in `unit`: what a setting outside of schedules says of bare numbers.
    #[must_use]
    pub fn counting(self, unit: Interval) -> Self {
        match (self, unit) {
            (Self::Ticks(ticks), Interval::Step) => Self::Steps(ticks),
            (Self::Ticks(ticks), Interval::Epoch) => Self::Epochs(ticks as f64),
            (other, _) => other,
        }
    }

    /// As it is written in a config; [`parse`](Self::parse) reads it back to the same.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Ticks(ticks) => Value::Integer(i64::try_from(*ticks).unwrap_or(i64::MAX)),
            other => Value::String(other.to_string()),
        }
    }

    /// Refuses what can be seen to be wrong without knowing the run: a bare number of ticks below `least`.
    pub fn check(&self, field: &str, least: u64) -> Result<(), ConfigError> {
        match *self {
            Self::Ticks(ticks) | Self::Steps(ticks) if ticks > MOST_TICKS => {
                Err(ConfigError::not_allowed(field, self, "a duration of at most 2^53"))
            }
            Self::Epochs(number) | Self::Percent(number) if !number.is_finite() || number < 0.0 => {
                Err(ConfigError::not_allowed(field, self, "a finite duration of at least 0"))
            }
            Self::Ticks(ticks) if ticks < least => {
                Err(ConfigError::not_allowed(field, ticks, format!("a duration of at least {least}")))
            }
            _ => Ok(()),
        }
    }

    /// The duration in whole ticks of `clock`, at least `least` of them; `field` names it in errors.
    pub fn ticks(&self, field: &str, least: u64, clock: &Clock) -> Result<u64, ConfigError> {
        self.check(field, least)?;
        let ticks = self.resolve(field, clock)?;
        if ticks < least {
            let message = format!("\"{self}\" comes to {ticks} ticks here; it must be at least {least}");
            return Err(ConfigError::conflict(field, message));
        }
        Ok(ticks)
    }

    /// The duration in whole ticks of `clock`, by the rounding rule above.
    pub fn resolve(&self, field: &str, clock: &Clock) -> Result<u64, ConfigError> {
        let interval = clock.interval();
        let needs = |what: &str| {
            let message = format!("\"{self}\" needs {what}, which is not known here; write a number of ticks instead");
            ConfigError::conflict(field, message)
        };
        let steps_per_epoch = || {
            clock.horizon().steps_per_epoch().map(|n| n as f64).ok_or_else(|| needs("the number of steps per epoch"))
        };
        let total = || clock.total().ok_or_else(|| needs("the length of the run"));
        let exact = match *self {
            Self::Ticks(ticks) => return Ok(ticks),
            Self::Steps(steps) if interval == Interval::Step => return Ok(steps),
            Self::Rest => {
                let total = total()?;
                return total.checked_sub(clock.start()).ok_or_else(|| {
                    let start = clock.start();
                    ConfigError::conflict(
                        field,
                        format!("nothing is left of the run: it has {total} ticks, and this starts at {start}"),
                    )
                });
            }
            Self::Epochs(epochs) if interval == Interval::Epoch => epochs,
            Self::Epochs(epochs) => epochs * steps_per_epoch()?,
            Self::Steps(steps) => steps as f64 / steps_per_epoch()?,
            Self::Percent(percent) => percent * total()? as f64 / 100.0,
        };
        let ticks = exact.round();
        if ticks > MOST_TICKS as f64 {
            return Err(ConfigError::not_allowed(field, self, "a duration of at most 2^53 ticks"));
        }
        if ticks == 0.0 && exact > 0.0 {
            let finer = if interval == Interval::Epoch { " or use `interval = \"step\"`" } else { "" };
            let message = format!(
                "\"{self}\" is {exact:.3} ticks of one {interval} each and would round to none; make it longer{finer}"
            );
            return Err(ConfigError::conflict(field, message));
        }
        Ok(ticks as u64)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ticks(ticks) => write!(f, "{ticks}"),
            Self::Epochs(epochs) => write!(f, "{epochs}ep"),
            Self::Steps(steps) => write!(f, "{steps}it"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Rest => f.write_str("rest"),
        }
    }
}

/// What a duration is, in words.
const EXPECTED: &str = "a duration: whole ticks (30), or \"5ep\", \"500it\", \"20%\", \"rest\"";

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_one = |value: &Value| matches!(value, Value::Integer(_) | Value::String(_));
        by_value(deserializer, EXPECTED, |value| is_one(value).then(|| Self::parse(value, "")))
    }
}

/// Reads an array of pairs of a time and a number, `[[0, 1.0], ["50%", 0.1]]`: `all` says what it should be, `each` what each
/// pair should be.
pub(crate) fn points<'de, D: Deserializer<'de>>(
    deserializer: D,
    all: &'static str,
    each: &'static str,
) -> Result<Vec<(Duration, f64)>, D::Error> {
    by_value(deserializer, all, |value| {
        let point = |(at, pair): (usize, &Value)| match pair.as_array() {
            Some(both) if both.len() == 2 => from_value(pair).map_err(|error| error.within(&format!("[{at}]"))),
            _ => Err(ConfigError::wrong_type(format!("[{at}]"), each, pair)),
        };
        Some(value.as_array()?.iter().enumerate().map(point).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_resolve_to_the_nearest_tick() {
        let run = Horizon::run(100, 1_050);
        let steps = Clock::new(run, Interval::Step);
        let epochs = Clock::new(run, Interval::Epoch);
        let cases: [(&str, &Clock, u64); 9] = [
            ("5ep", &steps, 500),
            ("0.25ep", &steps, 25),
            ("5ep", &epochs, 5),
            ("2.5ep", &epochs, 3),
            ("149it", &epochs, 1),
            ("150it", &epochs, 2),
            ("20%", &steps, 210),
            ("20%", &epochs, 2),
            ("rest", &steps, 1_050),
        ];
        for (text, clock, expected) in cases {
            let duration = Duration::parse(&Value::String(text.to_owned()), "d").expect(text);
            assert_eq!(duration.ticks("d", 0, clock), Ok(expected), "{text} in {}", clock.interval());
            assert_eq!(Duration::parse(&duration.to_value(), "d"), Ok(duration), "{text} reads back");
        }
        assert_eq!(Duration::Rest.ticks("d", 0, &steps.later(50)), Ok(1_000));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_numbers() {
        let epochs = Clock::new(Horizon::run(100, 1_000), Interval::Epoch);
        let refusal = |text: &str, clock: &Clock| {
            Duration::parse(&Value::String(text.to_owned()), "d")
                .and_then(|d| d.ticks("d", 1, clock))
                .expect_err(text)
                .to_string()
        };
        assert!(refusal("10it", &epochs).contains("is 0.100 ticks of one epoch each"));
        assert!(refusal("20%", &Clock::unknown()).contains("needs the length of the run"));
        assert!(refusal("5ep", &Clock::unknown()).contains("needs the number of steps per epoch"));
        assert!(refusal("rest", &epochs.later(11)).contains("it has 10 ticks, and this starts at 11"));
        assert!(refusal("rest", &epochs.later(10)).contains("comes to 0 ticks here; it must be at least 1"));
        for text in ["-1ep", "5 epochs", "1.5it", "120%", "nan%", "infep", "", "REST"] {
            assert!(refusal(text, &epochs).contains("is not allowed here"), "{text}");
        }
        let error = Duration::parse(&Value::Float(1.5), "d").expect_err("a fraction of a tick");
        assert!(error.to_string().starts_with("d: expected a duration"));
    }
}
