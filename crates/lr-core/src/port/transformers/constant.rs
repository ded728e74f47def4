//! `constant` and `constant_with_warmup`.

use strict_config::ConfigError;

use super::{WarmUpThen, check_steps};
use crate::port::settings::{Port, settings};
use crate::{Clock, Duration, Fixed, Interval, Schedule};

settings! {
    /// transformers' `constant`: the base rate, always. Both fields are taken and ignored, as `get_scheduler` does.
    Constant = "transformers/constant", "transformers: the base rate, always", Interval::Step;
    optional {
        /// Ignored; default 0.
        num_warmup_steps: Duration = Duration::Ticks(0),
        /// Ignored; default the run.
        num_training_steps: Duration = Duration::Rest,
    }
    example "type = 'transformers/constant'"
}

impl Port for Constant {
    fn verify(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)
    }

    fn schedule(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Fixed))
    }
}

settings! {
    /// transformers' `constant_with_warmup`: `lr(t) = base * t / W` for `t < W`, then the base rate.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::transformers::ConstantWithWarmup};
    /// let s = ConstantWithWarmup::new(4).build(&Clock::unknown())?;
    /// assert_eq!([0, 1, 3, 4, 100].map(|t| s.lr(0.4, t)), [0.0, 0.1, 0.4 * 0.75, 0.4, 0.4]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    ConstantWithWarmup = "transformers/constant_with_warmup",
        "transformers: a linear warm-up, then the base rate", Interval::Step;
    required {
        /// `W`, the length of the warm-up.
        num_warmup_steps: Duration,
    }
    optional {
        /// Ignored, as by `get_scheduler`; default the run.
        num_training_steps: Duration = Duration::Rest,
    }
    example "type = 'transformers/constant_with_warmup'\nnum_warmup_steps = 100"
}

impl Port for ConstantWithWarmup {
    fn verify(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.num_warmup_steps.ticks("num_warmup_steps", 0, clock)?;
        Ok(Box::new(WarmUpThen { warmup, then: Fixed }))
    }
}
