//! `constant` and `constant_with_warmup`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, settings};

use super::{WarmUpThen, check_steps};
use crate::defaults::the_run;
use crate::{Clock, Duration, Fixed, Interval, Schedule, Strategy};

settings! {
    /// transformers' `constant`: the base rate, always. Both fields are taken and ignored, as `get_scheduler` does.
    pub struct Constant {
        /// Ignored; default 0.
        pub num_warmup_steps: Duration = Duration::default(),
        /// Ignored; default the run.
        pub num_training_steps: Duration = Duration::Rest,
    }
}

impl Strategy for Constant {
    const NAME: &'static str = "transformers/constant";
    const SUMMARY: &'static str = "transformers: the base rate, always";
    const EXAMPLE: &'static str = "type = 'transformers/constant'";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)
    }

    fn assemble(&self, _: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(Fixed))
    }
}

/// transformers' `constant_with_warmup`: `lr(t) = base * t / W` for `t < W`, then the base rate.
///
/// ```
/// use lr_core::{Clock, Strategy, port::transformers::ConstantWithWarmup};
/// let s = ConstantWithWarmup::from_toml_str("num_warmup_steps = 4")?.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 3, 4, 100].map(|t| s.lr(0.4, t)), [0.0, 0.1, 0.4 * 0.75, 0.4, 0.4]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantWithWarmup {
    /// `W`, the length of the warm-up.
    pub num_warmup_steps: Duration,
    /// Ignored, as by `get_scheduler`; default the run.
    #[serde(default = "the_run")]
    pub num_training_steps: Duration,
}

impl Strategy for ConstantWithWarmup {
    const NAME: &'static str = "transformers/constant_with_warmup";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then the base rate";
    const EXAMPLE: &'static str = "type = 'transformers/constant_with_warmup'\nnum_warmup_steps = 100";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let warmup = self.num_warmup_steps.ticks("num_warmup_steps", 0, clock)?;
        Ok(Box::new(WarmUpThen { warmup, then: Fixed }))
    }
}
