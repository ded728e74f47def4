//! `PolyLRScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::cycles::{Settings, Shape};
use super::{NoiseRange, Target, common, interval, noise_pct, noise_seed};
use crate::defaults::{half, once, one};
use crate::math::power;
use crate::{Clock, Duration, Interval, Schedule, Strategy};

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolyLRScheduler {
    /// The length of the first cycle, at least 1.
    pub t_initial: Duration,
    /// The exponent, at least 0; default 0.5.
    #[serde(default = "half")]
    pub power: f64,
    /// The least rate, at least 0; default 0.
    #[serde(default)]
    pub lr_min: f64,
    /// How much longer each cycle is than the one before, above 0; default 1.
    #[serde(default = "one")]
    pub cycle_mul: f64,
    /// The factor of each cycle's first rate, at least 0; default 1.
    #[serde(default = "one")]
    pub cycle_decay: f64,
    /// How many cycles there are; default 1.
    #[serde(default = "once")]
    pub cycle_limit: u64,
    /// The length of the warm-up; default 0.
    #[serde(default)]
    pub warmup_t: Duration,
    /// The first rate of the warm-up, at least 0; default 0.
    #[serde(default)]
    pub warmup_lr_init: f64,
    /// Whether the cycles start when the warm-up ends; default no.
    #[serde(default)]
    pub warmup_prefix: bool,
    /// Whether a tick is an epoch (else an optimizer step); default as `interval`, which is per epoch.
    pub t_in_epochs: Option<bool>,
    /// When noise is added; default never. See [`NoiseRange`].
    pub noise_range_t: Option<NoiseRange>,
    /// The largest noise, as a part of the rate; default 0.67.
    #[serde(default = "noise_pct")]
    pub noise_pct: f64,
    /// The noise's standard deviation; default 1.
    #[serde(default = "one")]
    pub noise_std: f64,
    /// The noise's seed; default 42.
    #[serde(default = "noise_seed")]
    pub noise_seed: u64,
    /// The exponent of k-decay, above 0; default 1.
    #[serde(default = "one")]
    pub k_decay: f64,
}

impl PolyLRScheduler {
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

impl Strategy for PolyLRScheduler {
    const NAME: &'static str = "timm/PolyLRScheduler";
    const SUMMARY: &'static str = "timm: polynomials with restarts, k-decay and warm-up";
    const EXAMPLE: &'static str = "type = 'timm/PolyLRScheduler'\nt_initial = 90\npower = 0.9\nwarmup_t = 5\nwarmup_lr_init = 1e-4\nwarmup_prefix = true";

    fn check(&self) -> Result<(), ConfigError> {
        self.cycles().check()?;
        check::non_negative("power", self.power)?;
        check::positive("k_decay", self.k_decay)?;
        common!(self, self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let polynomial = Polynomial { power: self.power, k: self.k_decay };
        common!(self, self.warmup_prefix).around(clock, Target::Base, |clock| self.cycles().with(clock, polynomial))
    }

    fn default_interval(&self) -> Interval {
        interval(self.t_in_epochs).unwrap_or(Self::INTERVAL)
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
