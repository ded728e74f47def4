//! `PolyLRScheduler`.

use strict_config::{ConfigError, check};

use super::cycles::CycleShape;
use super::{WarmUpEnd, interval_of_t_in_epochs, scheduler};
use crate::defaults::{half, one};
use crate::math::power;
use crate::{Clock, Schedule, Strategy};

scheduler! {
    /// timm's `PolyLRScheduler`: polynomials to `lr_min` with restarts, k-decay (arXiv 2004.05909) and a warm-up.
    ///
    /// In cycle `i`, of length `T = t_initial * cycle_mul^i`, at `u` ticks of it:
    /// `lr(t) = lr_min + (base * cycle_decay^i - lr_min) (1 - u^k / T^k)^power`; `lr_min` after `cycle_limit` cycles. The
    /// warm-up is that of [`CosineLRScheduler`](super::CosineLRScheduler).
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::PolyLRScheduler};
    /// let s = PolyLRScheduler::from_toml_str("t_initial = 10\npower = 1.0")?.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 5), s.lr(0.4, 10), s.lr(0.4, 11)], [0.4, 0.2, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct PolyLRScheduler {
        /// The exponent, at least 0; default 0.5.
        #[serde(default = "half")]
        pub power: f64,
        /// The exponent of k-decay, above 0; default 1.
        #[serde(default = "one")]
        pub k_decay: f64,
    }
    cycles
}

impl Strategy for PolyLRScheduler {
    const NAME: &'static str = "timm/PolyLRScheduler";
    const SUMMARY: &'static str = "timm: polynomials with restarts, k-decay and warm-up";
    const EXAMPLE: &'static str = "type = 'timm/PolyLRScheduler'\nt_initial = 90\npower = 0.9\nwarmup_t = 5\nwarmup_lr_init = 1e-4\nwarmup_prefix = true";

    fn check(&self) -> Result<(), ConfigError> {
        self.cycles().check()?;
        check::non_negative("power", self.power)?;
        check::positive("k_decay", self.k_decay)?;
        self.common(self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let polynomial = Polynomial { power: self.power, k: self.k_decay };
        self.common(self.warmup_prefix).around(clock, WarmUpEnd::Base, |clock| self.cycles().with(clock, polynomial))
    }

    interval_of_t_in_epochs!();
}

#[derive(Debug, Clone)]
struct Polynomial {
    power: f64,
    k: f64,
}

impl CycleShape for Polynomial {
    fn left(&self, u: f64) -> f64 {
        power((1.0 - power(u, self.k)).max(0.0), self.power)
    }
}
