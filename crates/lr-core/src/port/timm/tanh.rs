//! `TanhLRScheduler`.

use strict_config::ConfigError;

use super::cycles::{Settings, Shape};
use super::{Common, Noise, NoiseRange, NoiseType, Target, interval};
use crate::port::settings::{Port, settings};
use crate::strategy::check;
use crate::{Clock, Duration, Interval, Schedule};

settings! {
    /// timm's `TanhLRScheduler`: hyperbolic tangents to `lr_min` with restarts (arXiv 1806.01593) and a warm-up.
    ///
    /// In cycle `i`, of length `T = t_initial * cycle_mul^i`, with the part `u` of it gone:
    /// `lr(t) = lr_min + (base * cycle_decay^i - lr_min) (1 - tanh(lb (1 - u) + ub u)) / 2`; `lr_min` after `cycle_limit`
    /// cycles. During the first `warmup_t` ticks it is a line from `warmup_lr_init` instead, to the rate that follows, or
    /// with `warmup_prefix` to the base rate, and the cycles start after it.
    TanhLRScheduler = "timm/TanhLRScheduler", "timm: hyperbolic tangents with restarts and warm-up", Interval::Epoch;
    required {
        /// The length of the first cycle, at least 1.
        t_initial: Duration,
    }
    optional {
        /// Where on the tangent a cycle starts, below `ub`; default -7.
        lb: f64 = -7.0,
        /// Where on the tangent a cycle ends; default 3.
        ub: f64 = 3.0,
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
    }
    example "type = 'timm/TanhLRScheduler'\nt_initial = 90\nwarmup_t = 5\nwarmup_lr_init = 1e-4\nwarmup_prefix = true"
}

impl TanhLRScheduler {
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

impl Port for TanhLRScheduler {
    fn verify(&self) -> Result<(), ConfigError> {
        self.cycles().check()?;
        check::number("ub", self.ub, "a finite number", |_| true)?;
        check::number("lb", self.lb, "a finite number below `ub`", |lb| lb < self.ub)?;
        self.common().check()
    }

    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let tanh = Tanh { from: 2.0 * self.lb, change: 2.0 * (self.ub - self.lb) };
        let target = if self.warmup_prefix { Target::Base } else { Target::Main };
        self.common().around(clock, target, |clock| self.cycles().with(clock, tanh))
    }

    fn clock(&self) -> Option<Interval> {
        interval(self.t_in_epochs)
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
