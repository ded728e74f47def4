//! `TanhLRScheduler`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::cycles::{Settings, Shape};
use super::{NoiseRange, Target, common, interval, noise_pct, noise_seed};
use crate::defaults::{once, one};
use crate::{Clock, Duration, Interval, Schedule, Strategy};

/// timm's `TanhLRScheduler`: hyperbolic tangents to `lr_min` with restarts (arXiv 1806.01593) and a warm-up.
///
/// In cycle `i`, of length `T = t_initial * cycle_mul^i`, with the part `u` of it gone:
/// `lr(t) = lr_min + (base * cycle_decay^i - lr_min) (1 - tanh(lb (1 - u) + ub u)) / 2`; `lr_min` after `cycle_limit`
/// cycles. During the first `warmup_t` ticks it is a line from `warmup_lr_init` instead, to the rate that follows, or
/// with `warmup_prefix` to the base rate, and the cycles start after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TanhLRScheduler {
    /// The length of the first cycle, at least 1.
    pub t_initial: Duration,
    /// Where on the tangent a cycle starts, below `ub`; default -7.
    #[serde(default = "lb")]
    pub lb: f64,
    /// Where on the tangent a cycle ends; default 3.
    #[serde(default = "ub")]
    pub ub: f64,
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
}

fn lb() -> f64 {
    -7.0
}

fn ub() -> f64 {
    3.0
}

impl TanhLRScheduler {
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

impl Strategy for TanhLRScheduler {
    const NAME: &'static str = "timm/TanhLRScheduler";
    const SUMMARY: &'static str = "timm: hyperbolic tangents with restarts and warm-up";
    const EXAMPLE: &'static str =
        "type = 'timm/TanhLRScheduler'\nt_initial = 90\nwarmup_t = 5\nwarmup_lr_init = 1e-4\nwarmup_prefix = true";

    fn check(&self) -> Result<(), ConfigError> {
        self.cycles().check()?;
        check::number("ub", self.ub, "a finite number", |_| true)?;
        check::number("lb", self.lb, "a finite number below `ub`", |lb| lb < self.ub)?;
        common!(self, self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let tanh = Tanh { from: 2.0 * self.lb, change: 2.0 * (self.ub - self.lb) };
        let target = if self.warmup_prefix { Target::Base } else { Target::Main };
        common!(self, self.warmup_prefix).around(clock, target, |clock| self.cycles().with(clock, tanh))
    }

    fn default_interval(&self) -> Interval {
        interval(self.t_in_epochs).unwrap_or(Self::INTERVAL)
    }
}

#[derive(Debug, Clone)]
struct Tanh {
    /// The argument at the start and what is added to it until the end, doubled.
    from: f64,
    change: f64,
}

impl Shape for Tanh {
    fn left(&self, u: f64) -> f64 {
        // (1 - tanh z) / 2 is 1 / (e^2z + 1), which loses no digits where tanh is near 1.
        1.0 / ((self.from + self.change * u).exp() + 1.0)
    }
}
