//! `linear`.

use strict_config::ConfigError;

use super::{WarmUpThen, check_steps, divisor, schedule, steps};
use crate::math::count;
use crate::{Clock, Interval, Schedule, Strategy};

schedule! {
    /// transformers' `linear`: a warm-up of `W` steps to the base rate, then a line to 0 at step `T`.
    ///
    /// `lr(t) = base * t / W` for `t < W`, then `base * max(0, (T - t) / max(1, T - W))`.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::Linear};
    /// let config = Linear { num_warmup_steps: Duration::Ticks(2), num_training_steps: Duration::Ticks(10) };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([0, 1, 2, 6, 10, 11].map(|t| s.lr(0.4, t)), [0.0, 0.2, 0.4, 0.2, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Linear {}
}

impl Strategy for Linear {
    const NAME: &'static str = "transformers/linear";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then a line to 0";
    const EXAMPLE: &'static str = "type = 'transformers/linear'\nnum_warmup_steps = 100\nnum_training_steps = 1000";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        Ok(Box::new(WarmUpThen { warmup, then: Line { steps: steps.max(0) as u64, divisor: divisor(steps) } }))
    }
}

#[derive(Debug, Clone)]
struct Line {
    /// Until it is 0; 0 where the warm-up is longer than the run.
    steps: u64,
    divisor: f64,
}

impl Line {
    fn factor(&self, tick: u64) -> f64 {
        count(self.steps.saturating_sub(tick)) / self.divisor
    }
}

impl Schedule for Line {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr * self.factor(tick)
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((0.0, base_lr))
    }
}
