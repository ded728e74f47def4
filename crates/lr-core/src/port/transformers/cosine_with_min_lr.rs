//! `cosine_with_min_lr` and `cosine_warmup_with_min_lr`.

use strict_config::{ConfigError, check};

use super::{WarmUpThen, check_steps, divisor, schedule, steps};
use crate::math::{count, ordered};
use crate::port::{non_negative, wave};
use crate::{Clock, Interval, Schedule, ScheduleMark, Strategy};

schedule! {
    /// transformers' `cosine_with_min_lr`: as `cosine`, but to `min_lr` (or `min_lr_rate` of the base rate) instead of 0.
    ///
    /// With `p = (t - W) / max(1, T - W)` and `m` the least factor: `lr(t) = base * t / W` for `t < W`, then
    /// `base * max(0, m + (1 - m) (1 + cos(2 pi num_cycles p)) / 2)`; past `T` the wave continues. `m` is `min_lr_rate`, or
    /// `min_lr` over the base rate of the first parameter group (transformers takes the optimizer's default rate).
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::CosineWithMinLr};
    /// let ten = Duration::Ticks(10);
    /// let config = CosineWithMinLr { num_training_steps: ten, min_lr_rate: Some(0.5), ..CosineWithMinLr::default() };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 10)], [0.4, 0.2]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct CosineWithMinLr {
        /// Waves of the cosine, at least 0; default 0.5.
        pub num_cycles: f64 = 0.5,
        /// The least rate of the first group, at least 0. Either this or `min_lr_rate` must be given.
        pub min_lr: Option<f64> = None,
        /// The least rate as a part of the base rate, at least 0.
        pub min_lr_rate: Option<f64> = None,
    }
}

impl Strategy for CosineWithMinLr {
    const NAME: &'static str = "transformers/cosine_with_min_lr";
    const SUMMARY: &'static str = "transformers: a linear warm-up, then a cosine to min_lr";
    const EXAMPLE: &'static str = "type = 'transformers/cosine_with_min_lr'\nnum_warmup_steps = 100\nnum_training_steps = 1000\nmin_lr_rate = 0.1";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("num_cycles", self.num_cycles)?;
        Least::of(self.min_lr, self.min_lr_rate, &Clock::unknown()).map(drop)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        let least = Least::of(self.min_lr, self.min_lr_rate, clock)?;
        let then = Wave::new(steps, self.num_cycles, 0.0, least);
        Ok(Box::new(WarmUpThen { warmup, then }))
    }
}

schedule! {
    /// transformers' `cosine_warmup_with_min_lr`: as `cosine_with_min_lr`, but a step ahead of it, so that the first step
    /// already moves, and with a warm-up that may start above 0.
    ///
    /// For `t < W`: `lr(t) = base * (t + 1) / W`, or with a `warmup_lr_rate` of `s`
    /// `base * (s + (1 - s) t / max(1, W - 1))`. Then, with `p = (t - W + 1) / max(1, T - W)` and `m` as in
    /// [`CosineWithMinLr`], `base * max(0, m + (1 - m) (1 + cos(2 pi num_cycles p)) / 2)`; the least rate is met at
    /// `T - 1`, and past it the wave continues.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::transformers::CosineWarmupWithMinLr};
    /// let config = CosineWarmupWithMinLr {
    ///     num_warmup_steps: Duration::Ticks(4),
    ///     num_training_steps: Duration::Ticks(12),
    ///     min_lr_rate: Some(0.5),
    ///     ..CosineWarmupWithMinLr::default()
    /// };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 3), s.lr(0.4, 11)], [0.1, 0.4, 0.2]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct CosineWarmupWithMinLr {
        /// Waves of the cosine, at least 0; default 0.5.
        pub num_cycles: f64 = 0.5,
        /// The least rate of the first group, at least 0. Either this or `min_lr_rate` must be given.
        pub min_lr: Option<f64> = None,
        /// The least rate as a part of the base rate, at least 0.
        pub min_lr_rate: Option<f64> = None,
        /// The first rate as a part of the base rate, at least 0; default `1 / W`.
        pub warmup_lr_rate: Option<f64> = None,
    }
}

impl Strategy for CosineWarmupWithMinLr {
    const NAME: &'static str = "transformers/cosine_warmup_with_min_lr";
    const SUMMARY: &'static str = "transformers: a linear warm-up from warmup_lr_rate, then a cosine to min_lr";
    const EXAMPLE: &'static str = "type = 'transformers/cosine_warmup_with_min_lr'\nnum_warmup_steps = 100\nnum_training_steps = 1000\nmin_lr_rate = 0.1\nwarmup_lr_rate = 0.01";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::non_negative("num_cycles", self.num_cycles)?;
        non_negative("warmup_lr_rate", self.warmup_lr_rate)?;
        Least::of(self.min_lr, self.min_lr_rate, &Clock::unknown()).map(drop)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let (warmup, steps) = steps(&self.num_warmup_steps, &self.num_training_steps, clock)?;
        let least = Least::of(self.min_lr, self.min_lr_rate, clock)?;
        let wave = Wave::new(steps, self.num_cycles, 1.0, least);
        Ok(Box::new(Ahead { warmup, start: self.warmup_lr_rate, wave }))
    }
}

/// The least factor: given, or a rate of the first group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Least {
    Factor(f64),
    Rate(f64),
}

impl Least {
    fn of(min_lr: Option<f64>, min_lr_rate: Option<f64>, clock: &Clock) -> Result<Self, ConfigError> {
        non_negative("min_lr", min_lr)?;
        non_negative("min_lr_rate", min_lr_rate)?;
        match (min_lr, min_lr_rate) {
            (Some(rate), None) => match clock.base_lrs().first() {
                None => Ok(Self::Rate(rate)),
                Some(first) if *first > 0.0 => Ok(Self::Factor(rate / first)),
                Some(_) => {
                    let message = "it is a rate of the first group, whose base rate is 0; give `min_lr_rate` instead";
                    Err(ConfigError::conflict("min_lr", message))
                }
            },
            (None, Some(factor)) => Ok(Self::Factor(factor)),
            (Some(_), Some(_)) => Err(ConfigError::conflict("min_lr", "give `min_lr` or `min_lr_rate`, not both")),
            (None, None) => Err(ConfigError::missing("min_lr_rate", "the least rate, as `min_lr` or `min_lr_rate`")),
        }
    }

    /// The factor for a base rate; a rate is taken of that base rate itself where the first group's is not known.
    fn factor(self, base_lr: f64) -> f64 {
        match self {
            Self::Factor(factor) => factor,
            Self::Rate(_) if base_lr == 0.0 => 0.0,
            Self::Rate(rate) => rate / base_lr,
        }
    }
}

/// Waves of a cosine down to the least factor.
#[derive(Debug, Clone)]
pub(super) struct Wave {
    divisor: f64,
    num_cycles: f64,
    offset: f64,
    least: Least,
}

impl Wave {
    /// Over `steps`, `offset` steps ahead.
    pub(super) fn new(steps: i64, num_cycles: f64, offset: f64, least: Least) -> Self {
        Self { divisor: divisor(steps), num_cycles, offset, least }
    }

    fn factor(&self, least: f64, tick: u64) -> f64 {
        let progress = (count(tick) + self.offset) / self.divisor;
        (wave(self.num_cycles * 2.0 * progress) * (1.0 - least) + least).max(0.0)
    }
}

impl Schedule for Wave {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        base_lr * self.factor(self.least.factor(base_lr), tick)
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(base_lr * self.least.factor(base_lr), base_lr))
    }
}

/// The warm-up of `cosine_warmup_with_min_lr`, then the wave.
#[derive(Debug, Clone)]
struct Ahead {
    warmup: u64,
    start: Option<f64>,
    wave: Wave,
}

impl Ahead {
    /// The factor during the warm-up.
    fn rise(&self, tick: u64) -> f64 {
        let (tick, warmup) = (count(tick), count(self.warmup));
        match self.start {
            None => (tick + 1.0) / warmup,
            Some(start) => start + (1.0 - start) * tick / (warmup - 1.0).max(1.0),
        }
    }
}

impl Schedule for Ahead {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        if tick >= self.warmup {
            return self.wave.lr(base_lr, tick - self.warmup);
        }
        base_lr * self.rise(tick)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        if self.warmup == 0 {
            return Vec::new();
        }
        vec![ScheduleMark::new(0, "warm-up"), ScheduleMark::new(self.warmup, "decay")]
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let wave = self.wave.bounds(base_lr)?;
        if self.warmup == 0 {
            return Some(wave);
        }
        let start = self.start.unwrap_or(1.0 / self.warmup as f64);
        Some(crate::port::hull(wave, (base_lr * start, base_lr * start)))
    }
}
