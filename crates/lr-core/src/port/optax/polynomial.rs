//! `polynomial_schedule`, `linear_schedule` and `warmup_constant_schedule`.

use strict_config::ConfigError;

use crate::math::{ordered, power, ratio};
use crate::port::settings::{Port, settings};
use crate::port::{Absolute, Curve};
use crate::strategy::check;
use crate::{Clock, Duration, Interval, Phase, Schedule};

settings! {
    /// optax's `polynomial_schedule`: from `init_value` to `end_value` over `T = transition_steps`, from
    /// `B = transition_begin` on.
    ///
    /// `lr(t) = end_value + (init_value - end_value) (1 - clip(t - B, 0, T) / T)^power`. With `T = 0` it stays at
    /// `init_value`.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::optax::PolynomialSchedule};
    /// let config = PolynomialSchedule { transition_begin: 2.into(), ..PolynomialSchedule::new(0.8, 0.0, 2.0, 2) };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([0, 2, 3, 4, 100].map(|t| s.lr(1.0, t)), [0.8, 0.8, 0.2, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    PolynomialSchedule = "optax/polynomial_schedule", "optax: a polynomial from one rate to another", Interval::Step;
    required {
        /// The first rate, at least 0.
        init_value: f64,
        /// The last rate, at least 0.
        end_value: f64,
        /// The exponent, at least 0.
        power: f64,
        /// `T`, the length of the transition.
        transition_steps: Duration,
    }
    optional {
        /// `B`, when it starts; default 0.
        transition_begin: Duration = Duration::Ticks(0),
    }
    example "type = 'optax/polynomial_schedule'\ninit_value = 0.1\nend_value = 0.01\npower = 2.0\ntransition_steps = 1000"
}

impl Port for PolynomialSchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("end_value", self.end_value)?;
        check::non_negative("power", self.power)?;
        self.transition_steps.check("transition_steps", 0)?;
        self.transition_begin.check("transition_begin", 0)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(Transition {
            init: self.init_value,
            end: self.end_value,
            power: self.power,
            steps: self.transition_steps.ticks("transition_steps", 0, clock)?,
            begin: self.transition_begin.ticks("transition_begin", 0, clock)?,
        })))
    }
}

settings! {
    /// optax's `linear_schedule`: [`PolynomialSchedule`] with `power = 1`.
    LinearSchedule = "optax/linear_schedule", "optax: a line from one rate to another", Interval::Step;
    required {
        /// The first rate, at least 0.
        init_value: f64,
        /// The last rate, at least 0.
        end_value: f64,
        /// The length of the transition; 0 stays at `init_value`.
        transition_steps: Duration,
    }
    optional {
        /// When it starts; default 0.
        transition_begin: Duration = Duration::Ticks(0),
    }
    example "type = 'optax/linear_schedule'\ninit_value = 0.1\nend_value = 0.01\ntransition_steps = 1000"
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

impl Port for LinearSchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        self.translated().verify()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.translated().schedule(clock)
    }
}

settings! {
    /// optax's `warmup_constant_schedule`: a line from `init_value` to `peak_value` over `warmup_steps`, then that. As in
    /// optax, no warm-up at all (`warmup_steps = 0`) stays at `init_value`.
    WarmupConstantSchedule = "optax/warmup_constant_schedule", "optax: a line up to a rate, then that", Interval::Step;
    required {
        /// The first rate, at least 0.
        init_value: f64,
        /// The last rate, at least 0.
        peak_value: f64,
        /// The length of the warm-up.
        warmup_steps: Duration,
    }
    optional {}
    example "type = 'optax/warmup_constant_schedule'\ninit_value = 0.0\npeak_value = 0.1\nwarmup_steps = 100"
}

impl Port for WarmupConstantSchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        check::non_negative("peak_value", self.peak_value)?;
        self.warmup_steps.check("warmup_steps", 0)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
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

    fn phases(&self) -> Vec<Phase> {
        if self.steps == 0 {
            return Vec::new();
        }
        let mut phases = vec![Phase::new(self.begin.saturating_add(self.steps), "end")];
        if self.begin > 0 {
            phases.insert(0, Phase::new(self.begin, "transition"));
        }
        phases
    }
}
