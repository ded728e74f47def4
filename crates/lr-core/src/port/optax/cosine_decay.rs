//! `cosine_decay_schedule`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::one;
use crate::math::{cosine_weight, ordered, power, ratio};
use crate::port::{Absolute, Curve};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// optax's `cosine_decay_schedule`: half a cosine from `init_value` to `alpha * init_value` over `T = decay_steps`,
/// then that.
///
/// `lr(t) = init_value (alpha + (1 - alpha) ((1 + cos(pi min(t, T) / T)) / 2)^exponent)`.
///
/// ```
/// use lr_core::{Clock, Strategy, port::optax::CosineDecaySchedule};
/// let fields = "init_value = 0.8\ndecay_steps = 10\nalpha = 0.5";
/// let s = CosineDecaySchedule::from_toml_str(fields)?.build(&Clock::unknown())?;
/// assert_eq!([0, 10, 11].map(|t| s.lr(1.0, t)), [0.8, 0.4, 0.4]);
/// assert!((s.lr(1.0, 5) - 0.6).abs() < 1e-15);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineDecaySchedule {
    /// The first rate, at least 0.
    pub init_value: f64,
    /// `T`, the length of the decay, at least 1.
    pub decay_steps: Duration,
    /// The last rate as a part of the first, at least 0; default 0.
    #[serde(default)]
    pub alpha: f64,
    /// The exponent on the cosine, at least 0; default 1.
    #[serde(default = "one")]
    pub exponent: f64,
}

impl Strategy for CosineDecaySchedule {
    const NAME: &'static str = "optax/cosine_decay_schedule";
    const SUMMARY: &'static str = "optax: half a cosine from one rate to a part of it";
    const EXAMPLE: &'static str =
        "type = 'optax/cosine_decay_schedule'\ninit_value = 0.1\ndecay_steps = 1000\nalpha = 0.01";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("init_value", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("init_value", self.init_value)?;
        self.decay_steps.check("decay_steps", 1)?;
        check::non_negative("alpha", self.alpha)?;
        check::non_negative("exponent", self.exponent)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
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

    fn marks(&self) -> Vec<ScheduleMark> {
        vec![ScheduleMark::new(self.steps, "end")]
    }
}
