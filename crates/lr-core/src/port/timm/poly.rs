//! `PolyLRScheduler`.

use strict_config::ConfigError;

use super::cycles::{Settings, Shape};
use super::{Common, Noise, NoiseRange, NoiseType, Target, interval};
use crate::math::power;
use crate::port::settings::{Port, settings};
use crate::strategy::check;
use crate::{Clock, Duration, Interval, Schedule};

settings! {
    /// timm's `PolyLRScheduler`: polynomials to `lr_min` with restarts, k-decay (arXiv 2004.05909) and a warm-up.
    ///
    /// In cycle `i`, of length `T = t_initial * cycle_mul^i`, at `u` ticks of it:
    /// `lr(t) = lr_min + (base * cycle_decay^i - lr_min) (1 - u^k / T^k)^power`; `lr_min` after `cycle_limit` cycles. The
    /// warm-up is that of [`CosineLRScheduler`](super::CosineLRScheduler).
    ///
    /// ```
    /// use lr_core::{Clock, Strategy, port::timm::PolyLRScheduler};
    /// let s = PolyLRScheduler { power: 1.0, ..PolyLRScheduler::new(10) }.build(&Clock::unknown())?;
    /// assert_eq!([s.lr(0.4, 0), s.lr(0.4, 5), s.lr(0.4, 10), s.lr(0.4, 11)], [0.4, 0.2, 0.0, 0.0]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    PolyLRScheduler = "timm/PolyLRScheduler", "timm: polynomials with restarts, k-decay and warm-up", Interval::Epoch;
    required {
        /// The length of the first cycle, at least 1.
        t_initial: Duration,
    }
    optional {
        /// The exponent, at least 0; default 0.5.
        power: f64 = 0.5,
        /// The least rate, at least 0; default 0.
        lr_min: f64 = 0.0,
        /// How much longer each cycle is than the one before, above 0; default 1.
        cycle_mul: f64 = 1.0,
        /// The factor of each cycle's first rate, at least 0; default 1.
        cycle_decay: f64 = 1.0,
        /// How many cycles there are; default 1.
        cycle_limit: u64 = 1,
        /// The length of the warm-up; default 0.
        warmup_t: Duration = Duration::Ticks(0),
        /// The first rate of the warm-up, at least 0; default 0.
        warmup_lr_init: f64 = 0.0,
        /// Whether the cycles start when the warm-up ends; default no.
        warmup_prefix: bool = false,
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
        /// The exponent of k-decay, above 0; default 1.
        k_decay: f64 = 1.0,
    }
    example "type = 'timm/PolyLRScheduler'\nt_initial = 90\npower = 0.9\nwarmup_t = 5\nwarmup_lr_init = 1e-4\nwarmup_prefix = true"
}

impl PolyLRScheduler {
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

    fn cycles(&self) -> Settings<'_> {
        Settings {
            t_initial: &self.t_initial,
            lr_min: self.lr_min,
            cycle_mul: self.cycle_mul,
            cycle_decay: self.cycle_decay,
            cycle_limit: self.cycle_limit,
        }
    }
}

impl Port for PolyLRScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        self.cycles().check()?;
        check::non_negative("power", self.power)?;
        check::positive("k_decay", self.k_decay)?;
        self.common().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let polynomial = Polynomial { power: self.power, k: self.k_decay };
        self.common().around(clock, Target::Base, |clock| self.cycles().with(clock, polynomial))
    }

    fn clock(&self) -> Option<Interval> {
        interval(self.t_in_epochs)
    }
}

#[derive(Debug, Clone)]
struct Polynomial {
    power: f64,
    k: f64,
}

impl Shape for Polynomial {
    fn left(&self, u: f64) -> f64 {
        power((1.0 - power(u, self.k)).max(0.0), self.power)
    }
}
