//! Given points, stepped or joined.

use serde::{Deserialize, Deserializer, Serialize};
use strict_config::{ConfigError, check};

use crate::math::{cosine_between, linear_between, ratio, reached, scaled};
use crate::time::points;
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

/// What lies between two points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The value of the point before.
    Step,
    /// A line.
    #[default]
    Linear,
    /// Half a cosine.
    Cosine,
}

/// A factor on the base rate through given points: `lr(t) = base * f(t)`, where `f` goes through `(when, factor)`,
/// stepped, by lines or by half cosines. Before the first point it has the first factor, after the last the last.
///
/// Two points may share a time, which makes a jump: the later one counts from that tick on.
///
/// ```
/// use lr_core::{Clock, Piecewise, Strategy};
/// let s = Piecewise::new([(0, 0.0), (4, 1.0), (8, 0.5)]).build(&Clock::unknown())?;
/// assert_eq!([0, 1, 4, 6, 8, 100].map(|t| s.lr(0.5, t)), [0.0, 0.125, 0.5, 0.375, 0.25, 0.25]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piecewise {
    /// When, and the factor there: at least one point, in the order of time, factors at least 0.
    #[serde(deserialize_with = "read_points")]
    pub points: Vec<(Duration, f64)>,
    /// What lies between; default lines.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl Piecewise {
    /// Lines through `points`.
    pub fn new<D: Into<Duration>>(points: impl IntoIterator<Item = (D, f64)>) -> Self {
        let points = points.into_iter().map(|(when, factor)| (when.into(), factor)).collect();
        Self { points, interpolation: Interpolation::default() }
    }
}

fn read_points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Duration, f64)>, D::Error> {
    const EXPECTED: &str = "pairs of a duration and a factor, as in [[0, 0.0], [5, 1.0], [\"rest\", 0.1]]";
    points(deserializer, EXPECTED, EXPECTED)
}

impl Strategy for Piecewise {
    const NAME: &'static str = "piecewise";
    const SUMMARY: &'static str = "factors at given points, stepped or joined by lines or cosines";
    const EXAMPLE: &'static str =
        "type = 'piecewise'\npoints = [[0, 0.0], [5, 1.0], [20, 0.1]]\ninterpolation = 'linear'";

    fn check(&self) -> Result<(), ConfigError> {
        if self.points.is_empty() {
            return Err(ConfigError::not_allowed("points", "an empty array", "at least one point"));
        }
        for (i, (when, factor)) in self.points.iter().enumerate() {
            when.check(&format!("points[{i}][0]"), 0)?;
            check::non_negative(&format!("points[{i}][1]"), *factor)?;
        }
        Ok(())
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let mut times: Vec<u64> = Vec::with_capacity(self.points.len());
        for (i, (when, _)) in self.points.iter().enumerate() {
            let field = format!("points[{i}][0]");
            let tick = when.ticks(&field, 0, clock)?;
            if let Some(before) = times.last().filter(|before| **before > tick) {
                return Err(ConfigError::not_allowed(field, tick, format!("at least the time before, {before}")));
            }
            times.push(tick);
        }
        let factors = self.points.iter().map(|(_, factor)| *factor).collect();
        Ok(Box::new(Course { times, factors, interpolation: self.interpolation }))
    }
}

#[derive(Debug, Clone)]
struct Course {
    /// At least one.
    times: Vec<u64>,
    /// As many.
    factors: Vec<f64>,
    interpolation: Interpolation,
}

impl Course {
    fn factor(&self, tick: u64) -> f64 {
        let after = reached(&self.times, tick);
        let before = after.saturating_sub(1);
        let a = self.factors[before];
        if after == 0 || after == self.times.len() {
            return a;
        }
        let (start, end, b) = (self.times[before], self.times[after], self.factors[after]);
        let u = ratio(tick - start, end - start);
        match self.interpolation {
            Interpolation::Step => a,
            Interpolation::Linear => linear_between(a, b, u),
            Interpolation::Cosine => cosine_between(a, b, u),
        }
    }
}

impl Schedule for Course {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        self.times
            .iter()
            .zip(&self.factors)
            .map(|(tick, factor)| ScheduleMark::new(*tick, format!("{factor}")))
            .collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let factors = || self.factors.iter().copied();
        let (low, high) = (factors().fold(f64::INFINITY, f64::min), factors().fold(0.0, f64::max));
        Some((scaled(base_lr, low), scaled(base_lr, high)))
    }
}
