//! `cosine` and `cosine_with_restarts`.

use strict_config::ConfigError;

use super::{WarmUpThen, check_steps, divisor, steps};
use crate::math::{cosine_weight, count};
use crate::port::settings::{Port, settings};
use crate::port::wave;
use crate::strategy::check;
use crate::{Clock, Duration, Interval, Phase, Schedule};

settings! {
    /// transformers' `cosine`: a warm-up of `W` steps to the base rate, then `num_cycles` waves of a cosine to step `T`.
    ///
    /// With `p = (t - W) / max(1, T - W)`: `lr(t) = base * t / W` for `t < W`, then
    /// `base * max(0, (1 + cos(2 pi num_cycles p)) / 2)`. Past `T` the wave goes on, so with half a cycle the rate rises
    /// again: train for `T` steps.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::Cosine};
    /// let config = Cosine { num_training_steps: Duration::Ticks(10), ..Cosine::default() };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 5), s.lr(0.4, 10), s.lr(0.4, 20)], [0.4, 0.2, 0.0, 0.4]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    Cosine = "transformers/cosine", "transformers: a linear warm-up, then a cosine to 0", Interval::Step;
    optional {
        /// `W`, the length of the warm-up; default 0.
        num_warmup_steps: Duration = Duration::Ticks(0),
        /// `T`, the length of the whole, warm-up included; default the run.
        num_training_steps: Duration = Duration::Rest,
        /// Waves of the cosine, at least 0; default 0.5, which goes from the base rate to 0.
        num_cycles: f64 = 0.5,
    }
    example "type = 'transformers/cosine'\nnum_warmup_steps = 100\nnum_training_steps = 1000\nnum_cycles = 0.5"
}

impl Port for Cosine {
    fn verify(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("num_cycles", self.num_cycles)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        Ok(Box::new(WarmUpThen { warmup, then: Wave { divisor: divisor(steps), num_cycles: self.num_cycles } }))
    }
}

#[derive(Debug, Clone)]
struct Wave {
    divisor: f64,
    num_cycles: f64,
}

impl Wave {
    fn factor(&self, tick: u64) -> f64 {
        wave(self.num_cycles * 2.0 * (count(tick) / self.divisor))
    }
}

impl Schedule for Wave {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr * self.factor(tick)
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((0.0, base_lr))
    }
}

settings! {
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
    CosineWithRestarts = "transformers/cosine_with_restarts",
        "transformers: a linear warm-up, then cosines to 0 with hard restarts", Interval::Step;
    optional {
        /// `W`, the length of the warm-up; default 0.
        num_warmup_steps: Duration = Duration::Ticks(0),
        /// `T`, the length of the whole, warm-up included; default the run.
        num_training_steps: Duration = Duration::Rest,
        /// How many times the cosine runs, at least 0; default 1.
        num_cycles: f64 = 1.0,
    }
    example "type = 'transformers/cosine_with_restarts'\nnum_warmup_steps = 100\nnum_training_steps = 1000\nnum_cycles = 3"
}

impl Port for CosineWithRestarts {
    fn verify(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("num_cycles", self.num_cycles)
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
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

    fn phases(&self) -> Vec<Phase> {
        // Restarts that are too many to tell apart are no use in a picture.
        const MOST: f64 = 1000.0;
        let cycles = self.num_cycles.ceil().min(MOST) as u64;
        (1..cycles)
            .map(|i| {
                let tick = (i as f64 * self.divisor / self.num_cycles).ceil() as u64;
                Phase::new(tick, format!("cycle {}", i + 1))
            })
            .collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((0.0, base_lr))
    }
}
