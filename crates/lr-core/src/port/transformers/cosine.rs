//! `cosine` and `cosine_with_restarts`.

use strict_config::{ConfigError, check};

use super::cosine_with_min_lr::{Least, Wave};
use super::{WarmUpThen, check_steps, divisor, schedule, steps};
use crate::math::{cosine_weight, count};
use crate::schedule::MOST_MARKS;
use crate::{Clock, Interval, Schedule, ScheduleMark, Strategy};

schedule! {
    /// transformers' `cosine`: a warm-up of `W` steps to the base rate, then `num_cycles` waves of a cosine to step `T`.
    ///
    /// With `p = (t - W) / max(1, T - W)`: `lr(t) = base * t / W` for `t < W`, then
    /// `base * max(0, (1 + cos(2 pi num_cycles p)) / 2)`. Past `T` the wave continues, so with half a cycle the rate rises
    /// again: train for `T` steps.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::Cosine};
    /// let config = Cosine { num_training_steps: Duration::Ticks(10), ..Cosine::default() };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 5), s.lr(0.4, 10), s.lr(0.4, 20)], [0.4, 0.2, 0.0, 0.4]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Cosine {
        /// Waves of the cosine, at least 0; default 0.5, which goes from the base rate to 0.
        pub num_cycles: f64 = 0.5,
    }
}

impl Strategy for Cosine {
    const NAME: &'static str = "transformers/cosine";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then a cosine to 0";
    const EXAMPLE: &'static str =
        "type = 'transformers/cosine'\nnum_warmup_steps = 100\nnum_training_steps = 1000\nnum_cycles = 0.5";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("num_cycles", self.num_cycles)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        Ok(Box::new(WarmUpThen { warmup, then: Wave::new(steps, self.num_cycles, 0.0, Least::Factor(0.0)) }))
    }
}

schedule! {
    /// transformers' `cosine_with_restarts`: a warm-up of `W` steps to the base rate, then `num_cycles` half cosines to 0,
    /// each from the base rate; 0 from step `T` on.
    ///
    /// With `p = (t - W) / max(1, T - W)`: `lr(t) = base * t / W` for `t < W`, then
    /// `base * (1 + cos(pi frac(num_cycles p))) / 2` for `p < 1`, then 0.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::CosineWithRestarts};
    /// let ten = Duration::Ticks(10);
    /// let config = CosineWithRestarts { num_training_steps: ten, num_cycles: 2.0, ..CosineWithRestarts::default() };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 5), s.lr(0.4, 10), s.lr(0.4, 20)], [0.4, 0.4, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct CosineWithRestarts {
        /// How many times the cosine runs, at least 0; default 1.
        pub num_cycles: f64 = 1.0,
    }
}

impl Strategy for CosineWithRestarts {
    const NAME: &'static str = "transformers/cosine_with_restarts";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then cosines to 0 with hard restarts";
    const EXAMPLE: &'static str =
        "type = 'transformers/cosine_with_restarts'\nnum_warmup_steps = 100\nnum_training_steps = 1000\nnum_cycles = 3";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("num_cycles", self.num_cycles)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        Ok(Box::new(WarmUpThen { warmup, then: Restarts { divisor: divisor(steps), num_cycles: self.num_cycles } }))
    }
}

#[derive(Debug, Clone)]
struct Restarts {
    divisor: f64,
    num_cycles: f64,
}

impl Restarts {
    fn factor(&self, tick: u64) -> f64 {
        let progress = count(tick) / self.divisor;
        if progress >= 1.0 { 0.0 } else { cosine_weight((self.num_cycles * progress).fract()) }
    }
}

impl Schedule for Restarts {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr * self.factor(tick)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let cycles = self.num_cycles.ceil().min(MOST_MARKS as f64) as u64;
        (1..cycles)
            .map(|i| {
                let tick = (i as f64 * self.divisor / self.num_cycles).ceil() as u64;
                ScheduleMark::new(tick, format!("cycle {}", i + 1))
            })
            .collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((0.0, base_lr))
    }
}
