//! `inverse_sqrt`.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use super::{WarmUpThen, check_steps};
use crate::defaults::the_run;
use crate::math::count;
use crate::{Clock, Duration, Interval, Schedule, Strategy};

/// transformers' `inverse_sqrt` (big_vision's `rsqrt`): a warm-up of `W` steps to the base rate, then a fall with the
/// inverse square root of time, without an end.
///
/// `lr(t) = base * t / W` for `t < W`, then `base / sqrt((t - W + timescale) / timescale)`.
///
/// ```
/// use lr_core::{Clock, Strategy, port::transformers::InverseSqrt};
/// let s = InverseSqrt::from_toml_str("num_warmup_steps = 4")?.build(&Clock::unknown())?;
/// assert_eq!([0, 2, 4, 16].map(|t| s.lr(0.5, t)), [0.0, 0.25, 0.5, 0.25]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverseSqrt {
    /// `W`, the length of the warm-up.
    pub num_warmup_steps: Duration,
    /// Ignored, as by `get_scheduler`; default the run.
    #[serde(default = "the_run")]
    pub num_training_steps: Duration,
    /// Over how many steps the rate falls to `1 / sqrt(2)`, at least 1; default `W`, or 10 000 without a warm-up.
    pub timescale: Option<Duration>,
}

impl Strategy for InverseSqrt {
    const NAME: &'static str = "transformers/inverse_sqrt";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then the inverse square root of time";
    const EXAMPLE: &'static str = "type = 'transformers/inverse_sqrt'\nnum_warmup_steps = 100\ntimescale = 1000";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        self.timescale.map_or(Ok(()), |timescale| timescale.check("timescale", 1))
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.num_warmup_steps.ticks("num_warmup_steps", 0, clock)?;
        let timescale = match self.timescale {
            Some(timescale) => timescale.ticks("timescale", 1, clock)?,
            None if warmup == 0 => 10_000,
            None => warmup,
        };
        Ok(Box::new(WarmUpThen { warmup, then: InverseRoot { timescale: timescale as f64 } }))
    }
}

#[derive(Debug, Clone)]
struct InverseRoot {
    timescale: f64,
}

impl InverseRoot {
    fn factor(&self, tick: u64) -> f64 {
        1.0 / ((count(tick) + self.timescale) / self.timescale).sqrt()
    }
}

impl Schedule for InverseRoot {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr * self.factor(tick)
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((0.0, base_lr))
    }
}
