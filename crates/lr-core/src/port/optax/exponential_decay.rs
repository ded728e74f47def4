//! `exponential_decay`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::math::{ordered, ratio, scaled};
use crate::port::{Absolute, Curve, non_negative};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// optax's `exponential_decay`: `lr(t) = init_value * decay_rate^((t - transition_begin) / transition_steps)`, from
/// `transition_begin` on; before it `init_value`.
///
/// With `staircase` the exponent is rounded down. `end_value` bounds the rate from below where `decay_rate < 1`, else
/// from above (also before `transition_begin`). As in optax, `transition_steps = 0` and `decay_rate = 0` switch the
/// decay off: the rate is `init_value`, unbounded by `end_value`.
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::ExponentialDecay};
/// let fields = "init_value = 0.8\ntransition_steps = 2\ndecay_rate = 0.5\nstaircase = true\nend_value = 0.3";
/// let s = ExponentialDecay::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 4, 100].map(|t| s.lr(1.0, t)), [0.8, 0.8, 0.4, 0.3, 0.3]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialDecay {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// Over how many ticks `decay_rate` is applied once.
    pub transition_steps: Duration,
    /// The factor over `transition_steps`, at least 0.
    pub decay_rate: f64,
    /// When the decay starts; default 0.
    #[serde(default)]
    pub transition_begin: Duration,
    /// Whether the rate falls in steps; default no.
    #[serde(default)]
    pub staircase: bool,
    /// Where the decay stops, at least 0; default nowhere.
    pub end_value: Option<f64>,
}

impl ExponentialDecay {
    pub(super) fn curve(&self, clock: &Clock) -> Result<Decay, ConfigError> {
        let steps = self.transition_steps.ticks("transition_steps", 0, clock)?;
        Ok(Decay {
            init: self.init_value,
            steps,
            staircase: self.staircase,
            rate: self.decay_rate,
            begin: self.transition_begin.ticks("transition_begin", 0, clock)?,
            end: self.end_value,
        })
    }
}

impl Strategy for ExponentialDecay {
    const NAME: &'static str = "optax/exponential_decay";
    const SUMMARY: &'static str = "optax: exponential decay, smooth or stepped, with a bound";
    const EXAMPLE: &'static str = "type = 'optax/exponential_decay'\ninit_value = 0.1\ntransition_steps = 1000\ndecay_rate = 0.5\nend_value = 1e-4";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("init_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        self.transition_steps.check("transition_steps", 0)?;
        check::non_negative("decay_rate", self.decay_rate)?;
        self.transition_begin.check("transition_begin", 0)?;
        non_negative("end_value", self.end_value)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(self.curve(clock)?)))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Decay {
    init: f64,
    steps: u64,
    staircase: bool,
    rate: f64,
    begin: u64,
    end: Option<f64>,
}

impl Decay {
    fn is_off(&self) -> bool {
        self.steps == 0 || self.rate == 0.0
    }

    fn bounded(&self, rate: f64) -> f64 {
        match self.end {
            Some(end) if self.rate < 1.0 => rate.max(end),
            Some(end) => rate.min(end),
            None => rate,
        }
    }
}

impl Curve for Decay {
    fn rate(&self, tick: u64) -> f64 {
        if self.is_off() {
            return self.init;
        }
        let passed = tick.saturating_sub(self.begin);
        let exponent = if self.staircase { (passed / self.steps) as f64 } else { ratio(passed, self.steps) };
        self.bounded(scaled(self.init, self.rate.powf(exponent)))
    }

    fn range(&self) -> Option<(f64, f64)> {
        if self.is_off() {
            return Some((self.init, self.init));
        }
        let last = match self.end {
            None if self.rate <= 1.0 => 0.0,
            None => return None,
            Some(end) => end,
        };
        Some(ordered(self.bounded(self.init), last))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        if self.begin == 0 || self.is_off() { Vec::new() } else { vec![ScheduleMark::new(self.begin, "decay")] }
    }
}
