//! `polynomial`.

use strict_config::{ConfigError, check};

use super::{WarmUpThen, check_steps, schedule, steps};
use crate::math::{ordered, power, ratio};
use crate::{Clock, Interval, Schedule, Strategy};

schedule! {
    /// transformers' `polynomial`: a warm-up of `W` steps to the base rate, then a polynomial to `lr_end` at step `T`.
    ///
    /// With `I` the base rate of the first parameter group (transformers takes the optimizer's default rate) and
    /// `r = 1 - (t - W) / (T - W)`: `lr(t) = base * t / W` for `t < W`, then
    /// `base / I * ((I - lr_end) r^power + lr_end)` up to `T`, then `base / I * lr_end`. So `lr_end` is the last rate of
    /// the first group, and other groups end in proportion.
    ///
    /// # Errors
    /// A first group's rate that is not above `lr_end`, where the base rates are known.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::Polynomial};
    /// let config = Polynomial { num_training_steps: Duration::Ticks(10), lr_end: 0.1, ..Polynomial::default() };
    /// let s = config.build(&Clock::unknown())?;
    /// for (tick, expected) in [(0, 0.5), (5, 0.3), (10, 0.1), (20, 0.1)] {
    ///     assert!((s.lr(0.5, tick) - expected).abs() < 1e-15);
    /// }
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Polynomial {
        /// The last rate of the first group, at least 0 and below its base rate; default 1e-7.
        pub lr_end: f64 = 1e-7,
        /// The exponent, at least 0; default 1, a line.
        pub power: f64 = 1.0,
    }
}

impl Strategy for Polynomial {
    const NAME: &'static str = "transformers/polynomial";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then a polynomial to lr_end";
    const EXAMPLE: &'static str =
        "type = 'transformers/polynomial'\nnum_warmup_steps = 100\nnum_training_steps = 1000\npower = 2.0";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("lr_end", self.lr_end)?;
        check::non_negative("power", self.power)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        let lr_init = clock.base_lrs().first().copied();
        if let Some(lr_init) = lr_init.filter(|lr_init| self.lr_end >= *lr_init) {
            let allowed = format!("a rate below the first group's base rate, {lr_init}");
            return Err(ConfigError::not_allowed("lr_end", self.lr_end, allowed));
        }
        Ok(Box::new(WarmUpThen { warmup, then: Fall { steps, lr_end: self.lr_end, power: self.power, lr_init } }))
    }
}

#[derive(Debug, Clone)]
struct Fall {
    steps: i64,
    lr_end: f64,
    power: f64,
    /// The first group's base rate; where it is not known, each base rate is its own.
    lr_init: Option<f64>,
}

impl Fall {
    /// `lr_end` for a group, in proportion to its base rate.
    fn end(&self, base_lr: f64) -> f64 {
        let lr_init = self.lr_init.unwrap_or(base_lr);
        if lr_init == base_lr { self.lr_end } else { self.lr_end / lr_init * base_lr }
    }

    /// How much of the way from the first rate to the last is left; `None` at its end.
    fn left(&self, tick: u64) -> Option<f64> {
        // A warm-up as long as the run leaves no tick between: the reference divides by zero there.
        if self.steps <= 0 || tick >= self.steps as u64 {
            return None;
        }
        Some(power(1.0 - ratio(tick, self.steps as u64), self.power))
    }

    /// The rate of a group with so much of the way left.
    fn between(&self, base_lr: f64, left: f64) -> f64 {
        let lr_init = self.lr_init.unwrap_or(base_lr);
        let rate = (lr_init - self.lr_end) * left + self.lr_end;
        if lr_init == base_lr { rate.max(0.0) } else { rate / lr_init * base_lr }
    }
}

impl Schedule for Fall {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        self.left(tick).map_or_else(|| self.end(base_lr), |left| self.between(base_lr, left))
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(self.end(base_lr), base_lr))
    }
}
