//! `MultiStepLRScheduler`.

use strict_config::{ConfigError, check};

use super::{WarmUpEnd, interval_of_t_in_epochs, scheduler};
use crate::defaults::{one, yes};
use crate::math::{ordered, reached, scaled};
use crate::port::in_order;
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

scheduler! {
    /// timm's `MultiStepLRScheduler`: multiplied by `decay_rate` at each time in `decay_t`, behind a warm-up.
    ///
    /// `lr(t) = base * decay_rate^n`, `n` the number of times up to `t + 1`: **a tick earlier than torch's
    /// `MultiStepLR`**, which timm keeps on purpose. Tick 0 is always the base rate, since timm computes no rate for it.
    /// Over the first `warmup_t` ticks a line from `warmup_lr_init` to the base rate; `t` is counted from its end, or
    /// from the start with `warmup_prefix = false`.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::MultiStepLRScheduler};
    /// let s = MultiStepLRScheduler::from_toml_str("decay_t = [3, 5]\ndecay_rate = 0.5")?.build(&Clock::unknown())?;
    /// assert_eq!([0, 1, 2, 3, 4].map(|t| s.lr(0.4, t)), [0.4, 0.4, 0.2, 0.2, 0.1]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct MultiStepLRScheduler {
        /// When the drops come, in the order of time.
        pub decay_t: Vec<Duration>,
        /// The factor of each drop, at least 0; default 1.
        #[serde(default = "one")]
        pub decay_rate: f64,
        /// Whether the drops are counted from the end of the warm-up; default yes.
        #[serde(default = "yes")]
        pub warmup_prefix: bool,
    }
}

impl Strategy for MultiStepLRScheduler {
    const NAME: &'static str = "timm/MultiStepLRScheduler";
    const SUMMARY: &'static str = "timm: multiplied by decay_rate at given ticks, with warm-up";
    const EXAMPLE: &'static str = "type = 'timm/MultiStepLRScheduler'\ndecay_t = [30, 60, 90]\ndecay_rate = 0.1";

    fn check(&self) -> Result<(), ConfigError> {
        for (i, time) in self.decay_t.iter().enumerate() {
            time.check(&format!("decay_t[{i}]"), 0)?;
        }
        check::non_negative("decay_rate", self.decay_rate)?;
        self.common(self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        self.common(self.warmup_prefix).around(clock, WarmUpEnd::Base, |clock| {
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

    interval_of_t_in_epochs!();
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

    fn marks(&self) -> Vec<ScheduleMark> {
        let drop = |(i, time): (usize, &u64)| ScheduleMark::new(time.saturating_sub(1), format!("drop {}", i + 1));
        self.times.iter().enumerate().map(drop).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some(ordered(base_lr, scaled(base_lr, self.decayed[self.times.len()])))
    }
}
