//! `LinearCyclicalScheduler` and `CosineAnnealingScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::one;
use crate::math::{Powers, cosine_weight, ratio, reached, scaled};
use crate::port::{Absolute, Curve, hull};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// ignite's `LinearCyclicalScheduler`: lines from `start_value` to `end_value` in the middle of each cycle and back;
/// with `monotonic`, to `end_value` at the end of the cycle.
///
/// With `u = t / cycle_size` in a cycle: `end + (start - end) |2 u - 1|`, or `start + (end - start) u` with
/// `monotonic`. From cycle to cycle the length is multiplied by `cycle_mult` and rounded down, the values by
/// `start_value_mult` and `end_value_mult`. With `warmup_duration` (which needs `monotonic`), a line from the end value
/// to the next start value lies between cycles; its length is multiplied by `cycle_mult` too.
///
/// ```
/// use lr_core::{Clock, Strategy, port::ignite::LinearCyclicalScheduler};
/// let fields = "start_value = 0.0\nend_value = 0.8\ncycle_size = 4";
/// let s = LinearCyclicalScheduler::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 3, 4, 6].map(|t| s.lr(1.0, t)), [0.0, 0.4, 0.8, 0.4, 0.0, 0.8]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearCyclicalScheduler {
    /// The rate at the start of the first cycle, at least 0.
    pub start_value: f64,
    /// The rate in the middle of the first cycle (at its end with `monotonic`), at least 0.
    pub end_value: f64,
    /// The length of the first cycle, at least 2.
    pub cycle_size: Duration,
    /// The factor of the cycles' length, above 0; default 1.
    #[serde(default = "one")]
    pub cycle_mult: f64,
    /// The factor of the start value, at least 0; default 1.
    #[serde(default = "one")]
    pub start_value_mult: f64,
    /// The factor of the end value, at least 0; default 1.
    #[serde(default = "one")]
    pub end_value_mult: f64,
    /// The length of the line between cycles; default 0. Needs `monotonic`.
    #[serde(default)]
    pub warmup_duration: Duration,
    /// Whether a cycle goes one way only; default no.
    #[serde(default)]
    pub monotonic: bool,
}

impl Strategy for LinearCyclicalScheduler {
    const NAME: &'static str = "ignite/LinearCyclicalScheduler";
    const SUMMARY: &'static str = "ignite: lines up and down in cycles";
    const EXAMPLE: &'static str =
        "type = 'ignite/LinearCyclicalScheduler'\nstart_value = 0.001\nend_value = 0.1\ncycle_size = 1000";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("end_value", 1.0), ("start_value", 0.25)];

    fn check(&self) -> Result<(), ConfigError> {
        if !self.monotonic && self.warmup_duration != Duration::Ticks(0) {
            let message = "a line between cycles needs cycles that go one way: `monotonic = true`";
            return Err(ConfigError::conflict("warmup_duration", message));
        }
        check::non_negative("start_value", self.start_value)?;
        check::non_negative("end_value", self.end_value)?;
        self.cycle_size.check("cycle_size", 2)?;
        check::positive("cycle_mult", self.cycle_mult)?;
        check::non_negative("start_value_mult", self.start_value_mult)?;
        check::non_negative("end_value_mult", self.end_value_mult)?;
        self.warmup_duration.check("warmup_duration", 0)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let shape = if self.monotonic { CycleShape::Line } else { CycleShape::Triangle };
        Ok(Box::new(Absolute(Cycles::new(self, shape, clock)?)))
    }
}

/// ignite's `CosineAnnealingScheduler`: half a cosine from `start_value` to `end_value` in each cycle (Loshchilov and
/// Hutter, "SGDR", 2017).
///
/// With `u = t / cycle_size` in a cycle: `start + (end - start) (1 - cos(pi u)) / 2`. Cycles change as in
/// [`LinearCyclicalScheduler`], and `warmup_duration` is as there.
///
/// ```
/// use lr_core::{Clock, Strategy, port::ignite::CosineAnnealingScheduler};
/// let fields = "start_value = 0.8\nend_value = 0.0\ncycle_size = 4";
/// let s = CosineAnnealingScheduler::from_toml_str(fields)?.build(&Clock::unknown())?;
/// for (tick, expected) in [(0, 0.8), (2, 0.4), (3, 0.117_157_287_525_381), (4, 0.8)] {
///     assert!((s.lr(1.0, tick) - expected).abs() < 1e-15);
/// }
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineAnnealingScheduler {
    /// The rate at the start of the first cycle, at least 0.
    pub start_value: f64,
    /// The rate at the end of the first cycle, at least 0.
    pub end_value: f64,
    /// The length of the first cycle, at least 2.
    pub cycle_size: Duration,
    /// The factor of the cycles' length, above 0; default 1.
    #[serde(default = "one")]
    pub cycle_mult: f64,
    /// The factor of the start value, at least 0; default 1.
    #[serde(default = "one")]
    pub start_value_mult: f64,
    /// The factor of the end value, at least 0; default 1.
    #[serde(default = "one")]
    pub end_value_mult: f64,
    /// The length of the line between cycles; default 0.
    #[serde(default)]
    pub warmup_duration: Duration,
}

impl CosineAnnealingScheduler {
    /// Lines in the same cycles.
    fn lines(&self) -> LinearCyclicalScheduler {
        LinearCyclicalScheduler {
            start_value: self.start_value,
            end_value: self.end_value,
            cycle_size: self.cycle_size,
            cycle_mult: self.cycle_mult,
            start_value_mult: self.start_value_mult,
            end_value_mult: self.end_value_mult,
            warmup_duration: self.warmup_duration,
            monotonic: true,
        }
    }
}

impl Strategy for CosineAnnealingScheduler {
    const NAME: &'static str = "ignite/CosineAnnealingScheduler";
    const SUMMARY: &'static str = "ignite: half cosines in cycles";
    const EXAMPLE: &'static str = "type = 'ignite/CosineAnnealingScheduler'\nstart_value = 0.1\nend_value = 0.001\ncycle_size = 1000\nend_value_mult = 0.5";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("start_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        self.lines().check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(Cycles::new(&self.lines(), CycleShape::Cosine, clock)?)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CycleShape {
    Triangle,
    Line,
    Cosine,
}

/// A cycle: where it starts, how long it is, and how long the line to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cycle {
    at: u64,
    size: u64,
    warmup: u64,
}

impl Cycle {
    fn whole(&self) -> u64 {
        self.size + self.warmup
    }

    /// The next one, rounded down as the reference rounds it. Cycles that shrink to nothing, where the reference divides
    /// by zero, keep their last length.
    fn next(&self, mult: f64) -> Option<Self> {
        let times = |ticks: u64| (ticks as f64 * mult) as u64;
        let size = if times(self.size) == 0 { self.size } else { times(self.size) };
        Some(Self { at: self.at.checked_add(self.whole())?, size, warmup: times(self.warmup) })
    }
}

#[derive(Debug, Clone)]
struct Cycles {
    start: Value,
    end: Value,
    shape: CycleShape,
    /// When each cycle starts.
    starts: Vec<u64>,
    /// The cycles until their length no longer changes: the last one repeats.
    list: Vec<Cycle>,
    /// The length of the last one, with the line behind it.
    repeated: u64,
}

/// A value and its factor from cycle to cycle.
#[derive(Debug, Clone)]
struct Value {
    first: f64,
    mult: f64,
    powers: Powers,
}

impl Value {
    fn new(first: f64, mult: f64) -> Self {
        Self { first, mult, powers: Powers::new(mult) }
    }

    /// In a cycle.
    #[inline]
    fn at(&self, cycle: u64) -> f64 {
        scaled(self.first, self.powers.of(cycle))
    }
}

impl Cycles {
    /// Cycles that change by less than a thousandth each would make a long list, far behind the end of any training.
    const MOST: usize = 1 << 16;

    fn new(settings: &LinearCyclicalScheduler, shape: CycleShape, clock: &Clock) -> Result<Self, ConfigError> {
        let first = Cycle {
            at: 0,
            size: settings.cycle_size.ticks("cycle_size", 2, clock)?,
            warmup: settings.warmup_duration.ticks("warmup_duration", 0, clock)?,
        };
        let mut cycles = vec![first];
        let mut last = first;
        while let Some(next) = last.next(settings.cycle_mult) {
            let same = next.size == last.size && next.warmup == last.warmup;
            if same || next.at > 1 << 53 || cycles.len() == Self::MOST {
                break;
            }
            cycles.push(next);
            last = next;
        }
        Ok(Self {
            start: Value::new(settings.start_value, settings.start_value_mult),
            end: Value::new(settings.end_value, settings.end_value_mult),
            shape,
            starts: cycles.iter().map(|cycle| cycle.at).collect(),
            repeated: last.whole(),
            list: cycles,
        })
    }

    /// The number of the cycle, the cycle, and how far into it.
    #[inline]
    fn at(&self, tick: u64) -> (u64, Cycle, u64) {
        let index = reached(&self.starts, tick).saturating_sub(1);
        let cycle = self.list[index];
        let passed = tick - cycle.at;
        if index + 1 == self.list.len() {
            return (index as u64 + passed / self.repeated, cycle, passed % self.repeated);
        }
        (index as u64, cycle, passed)
    }
}

impl Curve for Cycles {
    fn rate(&self, tick: u64) -> f64 {
        let (index, cycle, passed) = self.at(tick);
        let end = self.end.at(index);
        if passed >= cycle.size && cycle.warmup > 0 {
            // The start value changes where the line begins, the end value where it ends.
            let start = self.start.at(index + 1);
            return end + (start - end) * ratio(passed - cycle.size, cycle.warmup);
        }
        let start = self.start.at(index);
        let u = ratio(passed, cycle.size);
        match self.shape {
            CycleShape::Triangle => end + (start - end) * (u - 0.5).abs() * 2.0,
            CycleShape::Line => start + (end - start) * u,
            CycleShape::Cosine => end + (start - end) * cosine_weight(u),
        }
        .max(0.0)
    }

    fn range(&self) -> Option<(f64, f64)> {
        if self.start.mult > 1.0 || self.end.mult > 1.0 {
            return None;
        }
        let range = |value: &Value| if value.mult < 1.0 { (0.0, value.first) } else { (value.first, value.first) };
        Some(hull(range(&self.start), range(&self.end)))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        // A plot cannot show more cycles than this.
        const MOST: usize = 1000;
        let last = self.list[self.list.len() - 1];
        let repeated = (1..MOST as u64).map(|i| Cycle { at: last.at.saturating_add(i * last.whole()), ..last });
        let all = self.list.iter().copied().chain(repeated).take(MOST);
        let mut marks = Vec::new();
        for (i, cycle) in all.enumerate() {
            if i > 0 {
                marks.push(ScheduleMark::new(cycle.at, format!("cycle {}", i + 1)));
            }
            if cycle.warmup > 0 {
                marks.push(ScheduleMark::new(cycle.at.saturating_add(cycle.size), "warm-up"));
            }
        }
        marks
    }
}
