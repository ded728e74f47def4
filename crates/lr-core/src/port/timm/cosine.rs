//! `CosineLRScheduler`.

use strict_config::{ConfigError, check};

use super::cycles::CycleShape;
use super::{WarmUpEnd, interval_of_t_in_epochs, scheduler};
use crate::defaults::one;
use crate::math::{cosine_weight, power};
use crate::{Clock, Schedule, Strategy};

scheduler! {
    /// timm's `CosineLRScheduler`: cosines to `lr_min` with restarts (Loshchilov and Hutter, 2017), k-decay
    /// (arXiv 2004.05909) and a warm-up.
    ///
    /// In cycle `i`, of length `T = t_initial * cycle_mul^i`, at `u` ticks of it:
    /// `lr(t) = lr_min + (base * cycle_decay^i - lr_min) (1 + cos(pi u^k / T^k)) / 2`; `lr_min` after `cycle_limit`
    /// cycles. During the first `warmup_t` ticks it is a line from `warmup_lr_init` to the base rate instead; the cycles
    /// have been running all along, so that a jump follows, unless `warmup_prefix` starts them after it.
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::CosineLRScheduler};
    /// let s = CosineLRScheduler::from_toml_str("t_initial = 10\nwarmup_lr_init = 0.1")?.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 5), s.lr(0.4, 10), s.lr(0.4, 11)], [0.4, 0.2, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct CosineLRScheduler {
        /// The exponent of k-decay, above 0; default 1.
        #[serde(default = "one")]
        pub k_decay: f64,
    }
    cycles
}

impl Strategy for CosineLRScheduler {
    const NAME: &'static str = "timm/CosineLRScheduler";
    const SUMMARY: &'static str = "timm: cosines with restarts, k-decay and warm-up";
    const EXAMPLE: &'static str = "type = 'timm/CosineLRScheduler'\nt_initial = 90\nlr_min = 1e-5\nwarmup_t = 5\nwarmup_lr_init = 1e-4\nwarmup_prefix = true";

    fn check(&self) -> Result<(), ConfigError> {
        self.cycles().check()?;
        check::positive("k_decay", self.k_decay)?;
        self.common(self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let cosine = Cosine { k: self.k_decay };
        self.common(self.warmup_prefix).around(clock, WarmUpEnd::Base, |clock| self.cycles().with(clock, cosine))
    }

    interval_of_t_in_epochs!();
}

#[derive(Debug, Clone)]
struct Cosine {
    k: f64,
}

impl CycleShape for Cosine {
    fn left(&self, u: f64) -> f64 {
        cosine_weight(power(u, self.k))
    }
}
