//! `cosine_decay_schedule`.

use strict_config::ConfigError;

use crate::math::{cosine_weight, ordered, power, ratio};
use crate::port::settings::{Port, settings};
use crate::port::{Absolute, Curve};
use crate::strategy::check;
use crate::{Clock, Duration, Interval, Phase, Schedule};

settings! {
    /// optax's `cosine_decay_schedule`: half a cosine from `init_value` to `alpha * init_value` over `T = decay_steps`,
    /// then that.
    ///
    /// `lr(t) = init_value (alpha + (1 - alpha) ((1 + cos(pi min(t, T) / T)) / 2)^exponent)`.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::optax::CosineDecaySchedule};
    /// let s = CosineDecaySchedule { alpha: 0.5, ..CosineDecaySchedule::new(0.8, 10) }.build(&Clock::unknown())?;
    /// assert_eq!([0, 10, 11].map(|t| s.lr(1.0, t)), [0.8, 0.4, 0.4]);
    /// assert!((s.lr(1.0, 5) - 0.6).abs() < 1e-15);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    CosineDecaySchedule = "optax/cosine_decay_schedule", "optax: half a cosine from one rate to a part of it", Interval::Step;
    required {
        /// The first rate, at least 0.
        init_value: f64,
        /// `T`, the length of the decay, at least 1.
        decay_steps: Duration,
    }
    optional {
        /// The last rate as a part of the first, at least 0; default 0.
        alpha: f64 = 0.0,
        /// The exponent on the cosine, at least 0; default 1.
        exponent: f64 = 1.0,
    }
    example "type = 'optax/cosine_decay_schedule'\ninit_value = 0.1\ndecay_steps = 1000\nalpha = 0.01"
}

impl Port for CosineDecaySchedule {
    fn verify(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        self.decay_steps.check("decay_steps", 1)?;
        check::non_negative("alpha", self.alpha)?;
        check::non_negative("exponent", self.exponent)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Absolute(CosineDecay {
            init: self.init_value,
            steps: self.decay_steps.ticks("decay_steps", 1, clock)?,
            alpha: self.alpha,
            exponent: self.exponent,
        })))
    }
}

#[derive(Debug, Clone)]
pub(super) struct CosineDecay {
    pub(super) init: f64,
    pub(super) steps: u64,
    pub(super) alpha: f64,
    pub(super) exponent: f64,
}

impl Curve for CosineDecay {
    fn rate(&self, tick: u64) -> f64 {
        let cosine = cosine_weight(ratio(tick.min(self.steps), self.steps));
        self.init * ((1.0 - self.alpha) * power(cosine, self.exponent) + self.alpha)
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(ordered(self.init, self.init * self.alpha))
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase::new(self.steps, "end")]
    }
}
