//! `piecewise_constant_schedule` and `piecewise_interpolate_schedule`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, by_value, check, from_value};
use toml::Value;

use crate::math::{cosine_between, ratio, reached};
use crate::port::{Absolute, Curve, hull};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// When, and the factor from there on: `{ "100" = 0.1, "200" = 0.5 }`, or with units `{ "50%" = 0.1 }`.
///
/// TOML writes keys as strings, so a bare number of ticks is a string here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoundariesAndScales(pub Vec<(Duration, f64)>);

impl Serialize for BoundariesAndScales {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(when, scale)| (when.to_string(), scale)))
    }
}

impl<'de> Deserialize<'de> for BoundariesAndScales {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a table of factors by the tick they act from: { \"100\" = 0.1, \"200\" = 0.5 }";
        by_value(deserializer, expected, |value| {
            let pair = |(key, scale): (&String, &Value)| {
                let scale = from_value(scale).map_err(|error| error.within(key))?;
                let written = key.parse().map_or_else(|_| Value::String(key.clone()), Value::Integer);
                Ok((Duration::parse(&written, key)?, scale))
            };
            Some(value.as_table()?.iter().map(pair).collect::<Result<_, _>>().map(Self))
        })
    }
}

impl BoundariesAndScales {
    fn check(&self) -> Result<(), ConfigError> {
        self.0.iter().try_for_each(|(when, scale)| {
            let field = Self::place(when);
            when.check(&field, 0)?;
            check::non_negative(&field, *scale)
        })
    }

    fn place(when: &Duration) -> String {
        format!("boundaries_and_scales.{when}")
    }

    fn on(&self, clock: &Clock) -> Result<BTreeMap<u64, f64>, ConfigError> {
        let mut scales = BTreeMap::new();
        for (when, scale) in &self.0 {
            let field = Self::place(when);
            let tick = when.ticks(&field, 0, clock)?;
            if scales.insert(tick, *scale).is_some() {
                return Err(ConfigError::conflict(field, format!("another boundary lies at tick {tick} too")));
            }
        }
        Ok(scales)
    }
}

/// The rates that the factors lead to, from `init_value` on.
fn levels(init_value: f64, scales: &BTreeMap<u64, f64>) -> Result<Levels, ConfigError> {
    let mut rate = init_value;
    let mut rates = vec![rate];
    for (&tick, &scale) in scales {
        rate *= scale;
        if !rate.is_finite() {
            let message = format!("the rate at tick {tick} is too large for a number");
            return Err(ConfigError::conflict("boundaries_and_scales", message));
        }
        rates.push(rate);
    }
    Ok(Levels { times: scales.keys().copied().collect(), rates })
}

/// optax's `piecewise_constant_schedule`: `init_value` times all factors whose boundary has been reached (`t >= b`).
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::PiecewiseConstantSchedule};
/// let fields = "init_value = 0.8\nboundaries_and_scales = { '2' = 0.5, '4' = 0.5 }";
/// let s = PiecewiseConstantSchedule::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 3, 4, 100].map(|t| s.lr(1.0, t)), [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseConstantSchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// When, and the factor from there on, at least 0; default none.
    #[serde(default)]
    pub boundaries_and_scales: BoundariesAndScales,
}

impl Strategy for PiecewiseConstantSchedule {
    const NAME: &'static str = "optax/piecewise_constant_schedule";
    const SUMMARY: &'static str = "optax: multiplied by given factors at given ticks";
    const EXAMPLE: &'static str = "type = 'optax/piecewise_constant_schedule'\ninit_value = 0.1\nboundaries_and_scales = { '1000' = 0.5, '3000' = 0.1 }";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("init_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        self.boundaries_and_scales.check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(levels(self.init_value, &self.boundaries_and_scales.on(clock)?)?)))
    }
}

#[derive(Debug, Clone)]
struct Levels {
    times: Vec<u64>,
    /// The rate before the first of the times, and from each of them on.
    rates: Vec<f64>,
}

impl Curve for Levels {
    fn rate(&self, tick: u64) -> f64 {
        self.rates[reached(&self.times, tick)]
    }

    fn range(&self) -> Option<(f64, f64)> {
        self.rates.iter().map(|rate| (*rate, *rate)).reduce(hull)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        self.times
            .iter()
            .zip(&self.rates[1..])
            .map(|(when, rate)| ScheduleMark::new(*when, format!("{rate}")))
            .collect()
    }
}

/// What lies between two boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolate {
    /// A line.
    Linear,
    /// Half a cosine.
    Cosine,
}

/// optax's `piecewise_interpolate_schedule`: lines or half cosines through the rates that `init_value` and the
/// accumulated factors give at the boundaries; after the last one that rate.
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::PiecewiseInterpolateSchedule};
/// let fields = "interpolate_type = 'linear'\ninit_value = 0.8\nboundaries_and_scales = { '2' = 0.5, '4' = 0.5 }";
/// let s = PiecewiseInterpolateSchedule::from_toml_str(fields)?.build(&Clock::unknown())?;
/// for (tick, expected) in [(0, 0.8), (1, 0.6), (2, 0.4), (3, 0.3), (4, 0.2), (100, 0.2)] {
///     assert!((s.lr(1.0, tick) - expected).abs() < 1e-15);
/// }
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseInterpolateSchedule {
    /// What lies between the boundaries.
    pub interpolate_type: Interpolate,
    /// The first rate, at least 0.
    pub init_value: f64,
    /// When, and the factor on the rate of the boundary before, at least 0; default none.
    #[serde(default)]
    pub boundaries_and_scales: BoundariesAndScales,
}

impl Strategy for PiecewiseInterpolateSchedule {
    const NAME: &'static str = "optax/piecewise_interpolate_schedule";
    const SUMMARY: &'static str = "optax: lines or cosines between rates at given ticks";
    const EXAMPLE: &'static str = "type = 'optax/piecewise_interpolate_schedule'\ninterpolate_type = 'linear'\ninit_value = 0.1\nboundaries_and_scales = { '1000' = 0.5, '3000' = 0.1 }";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("init_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        self.boundaries_and_scales.check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let scales = self.boundaries_and_scales.on(clock)?;
        Ok(Box::new(Absolute(Path::new(self.interpolate_type, self.init_value, &scales)?)))
    }
}

/// Lines or half cosines from rate to rate.
#[derive(Debug, Clone)]
pub(super) struct Path {
    interpolate: Interpolate,
    levels: Levels,
}

impl Path {
    pub(super) fn new(interpolate: Interpolate, init: f64, scales: &BTreeMap<u64, f64>) -> Result<Self, ConfigError> {
        Ok(Self { interpolate, levels: levels(init, scales)? })
    }
}

impl Curve for Path {
    fn rate(&self, tick: u64) -> f64 {
        let Levels { times, rates } = &self.levels;
        let next = reached(times, tick);
        let start = rates[next];
        let Some(&to) = times.get(next) else { return start };
        let from = if next == 0 { 0 } else { times[next - 1] };
        let (end, u) = (rates[next + 1], ratio(tick - from, to - from));
        match self.interpolate {
            Interpolate::Linear => (end - start) * u + start,
            Interpolate::Cosine => cosine_between(start, end, u),
        }
    }

    fn range(&self) -> Option<(f64, f64)> {
        self.levels.range()
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        self.levels.marks()
    }
}
