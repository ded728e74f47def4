//! `PiecewiseLinear`.

use strict_config::{ConfigError, Fields, Problem, show};
use toml::Value;

use crate::math::{count, reached};
use crate::port::settings::{Port, Setting, settings};
use crate::port::{Absolute, Curve, hull, in_order};
use crate::strategy::{array, check};
use crate::{Clock, Duration, Interval, Phase, Schedule, Scope};

/// When, and the rate there: `[[10, 0.5], [20, 0.1]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MilestonesValues(pub Vec<(Duration, f64)>);

impl<D: Into<Duration>, const N: usize> From<[(D, f64); N]> for MilestonesValues {
    fn from(pairs: [(D, f64); N]) -> Self {
        Self(pairs.into_iter().map(|(when, value)| (when.into(), value)).collect())
    }
}

impl Setting for MilestonesValues {
    const EXPECTED: &'static str = "pairs of a time and a rate: [[10, 0.5], [20, 0.1]]";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(items) = fields.array(field)? else { return Ok(None) };
        let path = fields.path_of(field);
        let wrong_type = |path: String, expected: &str, found: &Value| {
            ConfigError::new(path, Problem::WrongType { expected: expected.to_owned(), found: show(found) })
        };
        let read = |(i, item): (usize, &Value)| match item.as_array().map(Vec::as_slice) {
            Some([when, value]) => {
                let when = Duration::parse(when, &format!("{path}[{i}][0]"))?;
                let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
                Ok((when, number.ok_or_else(|| wrong_type(format!("{path}[{i}][1]"), "a number", value))?))
            }
            _ => Err(wrong_type(format!("{path}[{i}]"), "a pair of a time and a rate: [10, 0.5]", item)),
        };
        items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self).map(Some)
    }

    fn write(&self) -> Option<Value> {
        Some(array(&self.0, |(when, value)| Value::Array(vec![when.to_value(), (*value).into()])))
    }
}

settings! {
    /// ignite's `PiecewiseLinear`: lines through given rates; before the first milestone its rate, after the last one
    /// that one's. Two milestones may share a time, which makes a jump: the later one counts from that tick on.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::ignite::PiecewiseLinear};
    /// let s = PiecewiseLinear::new([(2, 0.8), (4, 0.4)]).build(&Clock::unknown())?;
    /// for (tick, expected) in [(0, 0.8), (2, 0.8), (3, 0.6), (4, 0.4), (100, 0.4)] {
    ///     assert!((s.lr(1.0, tick) - expected).abs() < 1e-15);
    /// }
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    PiecewiseLinear = "ignite/PiecewiseLinear", "ignite: lines through given rates", Interval::Step;
    required {
        /// When, and the rate there, at least 0: at least one pair, in the order of time.
        milestones_values: MilestonesValues,
    }
    optional {}
    example "type = 'ignite/PiecewiseLinear'\nmilestones_values = [[10, 0.5], [20, 0.45], [21, 0.3], [30, 0.1]]"
}

impl Port for PiecewiseLinear {
    fn verify(&self) -> Result<(), ConfigError> {
        if self.milestones_values.0.is_empty() {
            return Err(ConfigError::not_allowed("milestones_values", "an empty array", "at least one pair"));
        }
        for (i, (when, value)) in self.milestones_values.0.iter().enumerate() {
            when.check(&format!("milestones_values[{i}][0]"), 0)?;
            check::non_negative(&format!("milestones_values[{i}][1]"), *value)?;
        }
        Ok(())
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut times: Vec<u64> = Vec::with_capacity(self.milestones_values.0.len());
        for (i, (when, _)) in self.milestones_values.0.iter().enumerate() {
            let field = format!("milestones_values[{i}][0]");
            let tick = when.ticks(&field, 0, clock)?;
            in_order(&field, times.last().copied().unwrap_or(0), tick)?;
            times.push(tick);
        }
        let values = self.milestones_values.0.iter().map(|(_, value)| *value).collect();
        Ok(Box::new(Absolute(Lines { times, values })))
    }
}

/// Lines through at least one point.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    /// At least one.
    times: Vec<u64>,
    /// As many.
    values: Vec<f64>,
}

impl Curve for Lines {
    fn rate(&self, tick: u64) -> f64 {
        let passed = reached(&self.times, tick);
        let before = passed.saturating_sub(1);
        let start = self.values[before];
        if passed == 0 || passed == self.times.len() {
            return start;
        }
        let (from, to) = (self.times[before], self.times[passed]);
        start + (self.values[passed] - start) * count(tick - from) / count(to - from)
    }

    fn range(&self) -> Option<(f64, f64)> {
        self.values.iter().map(|value| (*value, *value)).reduce(hull)
    }

    fn phases(&self) -> Vec<Phase> {
        self.times.iter().zip(&self.values).map(|(when, value)| Phase::new(*when, format!("{value}"))).collect()
    }
}
