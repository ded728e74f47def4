//! `MultiStepLRScheduler`.

use strict_config::ConfigError;

use super::{Common, Noise, NoiseRange, NoiseType, Target, interval};
use crate::math::{ordered, reached, scaled};
use crate::port::in_order;
use crate::port::settings::{Port, settings};
use crate::strategy::check;
use crate::{Clock, Duration, Interval, Phase, Schedule};

settings! {
    /// timm's `MultiStepLRScheduler`: multiplied by `decay_rate` at each time in `decay_t`, behind a warm-up.
    ///
    /// `lr(t) = base * decay_rate^n`, `n` the number of times up to `t + 1`: **a tick earlier than torch's
    /// `MultiStepLR`**, which timm keeps on purpose. Tick 0 is always the base rate, since timm computes no rate for it.
    /// Over the first `warmup_t` ticks a line from `warmup_lr_init` to the base rate; `t` is counted from its end, or
    /// from the start with `warmup_prefix = false`.
    ///
    /// ```
    /// use lr_core::{Clock, Duration, Strategy, port::timm::MultiStepLRScheduler};
    /// let config = MultiStepLRScheduler { decay_rate: 0.5, ..MultiStepLRScheduler::new([3, 5].map(Duration::Ticks)) };
    /// let s = config.build(&Clock::unknown())?;
    /// assert_eq!([0, 1, 2, 3, 4].map(|t| s.lr(0.4, t)), [0.4, 0.4, 0.2, 0.2, 0.1]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    MultiStepLRScheduler = "timm/MultiStepLRScheduler", "timm: multiplied by decay_rate at given ticks, with warm-up", Interval::Epoch;
    required {
        /// When the drops come, in the order of time.
        decay_t: Vec<Duration>,
    }
    optional {
        /// The factor of each drop, at least 0; default 1.
        decay_rate: f64 = 1.0,
        /// The length of the warm-up; default 0.
        warmup_t: Duration = Duration::Ticks(0),
        /// The first rate of the warm-up, at least 0; default 0.
        warmup_lr_init: f64 = 0.0,
        /// Whether the drops are counted from the end of the warm-up; default yes.
        warmup_prefix: bool = true,
        /// Whether a tick is an epoch (else an optimizer step); default as `interval`, which is per epoch.
        t_in_epochs: Option<bool> = None,
        /// When noise is added; default never. See [`Noise`].
        noise_range_t: Option<NoiseRange> = None,
        /// The largest noise, as a part of the rate; default 0.67.
        noise_pct: f64 = 0.67,
        /// The noise's standard deviation; default 1.
        noise_std: f64 = 1.0,
        /// The noise's seed; default 42.
        noise_seed: u64 = 42,
    }
    example "type = 'timm/MultiStepLRScheduler'\ndecay_t = [30, 60, 90]\ndecay_rate = 0.1"
}

impl MultiStepLRScheduler {
    fn common(&self) -> Common<'_> {
        Common {
            warmup_t: &self.warmup_t,
            warmup_lr_init: self.warmup_lr_init,
            warmup_prefix: self.warmup_prefix,
            t_in_epochs: self.t_in_epochs,
            noise: Noise {
                range_t: self.noise_range_t.clone(),
                kind: NoiseType::Normal,
                pct: self.noise_pct,
                std: self.noise_std,
                seed: self.noise_seed,
            },
        }
    }
}

impl Port for MultiStepLRScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        for (i, time) in self.decay_t.iter().enumerate() {
            time.check(&format!("decay_t[{i}]"), 0)?;
        }
        check::non_negative("decay_rate", self.decay_rate)?;
        self.common().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.common().around(clock, Target::Base, |clock| {
            let mut times = Vec::with_capacity(self.decay_t.len());
            for (i, time) in self.decay_t.iter().enumerate() {
                let field = format!("decay_t[{i}]");
                let time = time.ticks(&field, 0, clock)?;
                in_order(&field, times.last().copied().unwrap_or(0), time)?;
                times.push(time);
            }
            let decayed = (0..=times.len()).map(|drops| self.decay_rate.powf(drops as f64)).collect();
            Ok(Drops { times, decayed })
        })
    }

    fn clock(&self) -> Option<Interval> {
        interval(self.t_in_epochs)
    }
}

#[derive(Debug, Clone)]
struct Drops {
    times: Vec<u64>,
    /// The factor after so many drops.
    decayed: Vec<f64>,
}

impl Drops {
    fn factor(&self, tick: u64) -> f64 {
        self.decayed[reached(&self.times, tick.saturating_add(1))]
    }
}

impl Schedule for Drops {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn phases(&self) -> Vec<Phase> {
        let drop = |(i, time): (usize, &u64)| Phase::new(time.saturating_sub(1), format!("drop {}", i + 1));
        self.times.iter().enumerate().map(drop).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(base_lr, scaled(base_lr, self.decayed[self.times.len()])))
    }
}
