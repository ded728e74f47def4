//! `PiecewiseLinear`.

use serde::{Deserialize, Deserializer, Serialize};
use strict_config::{ConfigError, check};

use crate::math::{count, reached};
use crate::port::{Absolute, Curve, hull, in_order};
use crate::time::points;
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// The rates of [`PiecewiseLinear`], for serde's `deserialize_with`.
fn read_points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Duration, f64)>, D::Error> {
    let (all, each) = ("pairs of a time and a rate: [[10, 0.5], [20, 0.1]]", "a pair of a time and a rate: [10, 0.5]");
    points(deserializer, all, each)
}

/// ignite's `PiecewiseLinear`: lines through given rates; before the first milestone its rate, after the last one
/// that one's. Two milestones may share a time, which makes a jump: the later one counts from that tick on.
///
/// ```
/// use lr_core::{Clock, Strategy, port::ignite::PiecewiseLinear};
/// let s = PiecewiseLinear { milestones_values: vec![(2.into(), 0.8), (4.into(), 0.4)] }.build(&Clock::unknown())?;
/// for (tick, expected) in [(0, 0.8), (2, 0.8), (3, 0.6), (4, 0.4), (100, 0.4)] {
///     assert!((s.lr(1.0, tick) - expected).abs() < 1e-15);
/// }
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseLinear {
    /// When, and the rate there, at least 0: at least one pair, in the order of time.
    #[serde(deserialize_with = "read_points")]
    pub milestones_values: Vec<(Duration, f64)>,
}

impl Strategy for PiecewiseLinear {
    const NAME: &'static str = "ignite/PiecewiseLinear";
    const SUMMARY: &'static str = "ignite: lines through given rates";
    const EXAMPLE: &'static str =
        "type = 'ignite/PiecewiseLinear'\nmilestones_values = [[10, 0.5], [20, 0.45], [21, 0.3], [30, 0.1]]";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        if self.milestones_values.is_empty() {
            return Err(ConfigError::not_allowed("milestones_values", "an empty array", "at least one pair"));
        }
        for (i, (when, value)) in self.milestones_values.iter().enumerate() {
            when.check(&format!("milestones_values[{i}][0]"), 0)?;
            check::non_negative(&format!("milestones_values[{i}][1]"), *value)?;
        }
        Ok(())
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut times: Vec<u64> = Vec::with_capacity(self.milestones_values.len());
        for (i, (when, _)) in self.milestones_values.iter().enumerate() {
            let field = format!("milestones_values[{i}][0]");
            let tick = when.ticks(&field, 0, clock)?;
            in_order(&field, times.last().copied().unwrap_or(0), tick)?;
            times.push(tick);
        }
        let values = self.milestones_values.iter().map(|(_, value)| *value).collect();
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

    fn marks(&self) -> Vec<ScheduleMark> {
        self.times.iter().zip(&self.values).map(|(when, value)| ScheduleMark::new(*when, format!("{value}"))).collect()
    }
}
