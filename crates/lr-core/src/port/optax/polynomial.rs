//! `polynomial_schedule`, `linear_schedule` and `warmup_constant_schedule`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::math::{ordered, power, ratio};
use crate::port::{Absolute, Curve};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// optax's `polynomial_schedule`: from `init_value` to `end_value` over `T = transition_steps`, from
/// `B = transition_begin` on.
///
/// `lr(t) = end_value + (init_value - end_value) (1 - clip(t - B, 0, T) / T)^power`. With `T = 0` it stays at
/// `init_value`.
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::PolynomialSchedule};
/// let fields = "init_value = 0.8\nend_value = 0.0\npower = 2.0\ntransition_steps = 2\ntransition_begin = 2";
/// let s = PolynomialSchedule::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 2, 3, 4, 100].map(|t| s.lr(1.0, t)), [0.8, 0.8, 0.2, 0.0, 0.0]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolynomialSchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// The last rate, at least 0.
    pub end_value: f64,
    /// The exponent, at least 0.
    pub power: f64,
    /// `T`, the length of the transition.
    pub transition_steps: Duration,
    /// `B`, when it starts; default 0.
    #[serde(default)]
    pub transition_begin: Duration,
}

impl Strategy for PolynomialSchedule {
    const NAME: &'static str = "optax/polynomial_schedule";
    const SUMMARY: &'static str = "optax: a polynomial from one rate to another";
    const EXAMPLE: &'static str =
        "type = 'optax/polynomial_schedule'\ninit_value = 0.1\nend_value = 0.01\npower = 2.0\ntransition_steps = 1000";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("end_value", self.end_value)?;
        check::non_negative("power", self.power)?;
        self.transition_steps.check("transition_steps", 0)?;
        self.transition_begin.check("transition_begin", 0)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(Transition {
            init: self.init_value,
            end: self.end_value,
            power: self.power,
            steps: self.transition_steps.ticks("transition_steps", 0, clock)?,
            begin: self.transition_begin.ticks("transition_begin", 0, clock)?,
        })))
    }
}

/// optax's `linear_schedule`: [`PolynomialSchedule`] with `power = 1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearSchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// The last rate, at least 0.
    pub end_value: f64,
    /// The length of the transition; 0 stays at `init_value`.
    pub transition_steps: Duration,
    /// When it starts; default 0.
    #[serde(default)]
    pub transition_begin: Duration,
}

impl LinearSchedule {
    fn translated(&self) -> PolynomialSchedule {
        PolynomialSchedule {
            init_value: self.init_value,
            end_value: self.end_value,
            power: 1.0,
            transition_steps: self.transition_steps,
            transition_begin: self.transition_begin,
        }
    }
}

impl Strategy for LinearSchedule {
    const NAME: &'static str = "optax/linear_schedule";
    const SUMMARY: &'static str = "optax: a line from one rate to another";
    const EXAMPLE: &'static str =
        "type = 'optax/linear_schedule'\ninit_value = 0.1\nend_value = 0.01\ntransition_steps = 1000";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        self.translated().check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().assemble(clock)
    }
}

/// optax's `warmup_constant_schedule`: a line from `init_value` to `peak_value` over `warmup_steps`, then that. As in
/// optax, no warm-up at all (`warmup_steps = 0`) stays at `init_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupConstantSchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// The last rate, at least 0.
    pub peak_value: f64,
    /// The length of the warm-up.
    pub warmup_steps: Duration,
}

impl Strategy for WarmupConstantSchedule {
    const NAME: &'static str = "optax/warmup_constant_schedule";
    const SUMMARY: &'static str = "optax: a line up to a rate, then that";
    const EXAMPLE: &'static str =
        "type = 'optax/warmup_constant_schedule'\ninit_value = 0.0\npeak_value = 0.1\nwarmup_steps = 100";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("peak_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("peak_value", self.peak_value)?;
        self.warmup_steps.check("warmup_steps", 0)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let steps = self.warmup_steps.ticks("warmup_steps", 0, clock)?;
        Ok(Box::new(Absolute(Transition::line(self.init_value, self.peak_value, steps))))
    }
}

/// A polynomial from `init` to `end`.
#[derive(Debug, Clone)]
pub(super) struct Transition {
    init: f64,
    end: f64,
    power: f64,
    steps: u64,
    begin: u64,
}

impl Transition {
    pub(super) fn line(init: f64, end: f64, steps: u64) -> Self {
        Self { init, end, power: 1.0, steps, begin: 0 }
    }
}

impl Curve for Transition {
    fn rate(&self, tick: u64) -> f64 {
        if self.steps == 0 {
            return self.init;
        }
        let passed = tick.saturating_sub(self.begin).min(self.steps);
        let left = 1.0 - ratio(passed, self.steps);
        (self.init - self.end) * power(left, self.power) + self.end
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(ordered(self.init, self.end))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        if self.steps == 0 {
            return Vec::new();
        }
        let mut marks = vec![ScheduleMark::new(self.begin.saturating_add(self.steps), "end")];
        if self.begin > 0 {
            marks.insert(0, ScheduleMark::new(self.begin, "transition"));
        }
        marks
    }
}
