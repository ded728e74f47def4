//! `TanhLRScheduler`.

use strict_config::{ConfigError, check};

use super::cycles::CycleShape;
use super::{WarmUpEnd, interval_of_t_in_epochs, scheduler};
use crate::{Clock, Schedule, Strategy};

scheduler! {
    /// timm's `TanhLRScheduler`: hyperbolic tangents to `lr_min` with restarts (arXiv 1806.01593) and a warm-up.
    ///
    /// In cycle `i`, of length `T = t_initial * cycle_mul^i`, at the part `u` of it:
    /// `lr(t) = lr_min + (base * cycle_decay^i - lr_min) (1 - tanh(lb (1 - u) + ub u)) / 2`; `lr_min` after `cycle_limit`
    /// cycles. During the first `warmup_t` ticks it is a line from `warmup_lr_init` instead, to the rate that follows, or
    /// with `warmup_prefix` to the base rate, and the cycles start after it.
    pub struct TanhLRScheduler {
        /// Where on the tangent a cycle starts, below `ub`; default -7.
        #[serde(default = "lb")]
        pub lb: f64,
        /// Where on the tangent a cycle ends; default 3.
        #[serde(default = "ub")]
        pub ub: f64,
    }
    cycles
}

fn lb() -> f64 {
    -7.0
}

fn ub() -> f64 {
    3.0
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
        self.common(self.warmup_prefix).check()
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let tanh = Tanh { from: 2.0 * self.lb, change: 2.0 * (self.ub - self.lb) };
        let target = if self.warmup_prefix { WarmUpEnd::Base } else { WarmUpEnd::Main };
        self.common(self.warmup_prefix).around(clock, target, |clock| self.cycles().with(clock, tanh))
    }

    interval_of_t_in_epochs!();
}

#[derive(Debug, Clone)]
struct Tanh {
    /// The argument at the start and what is added to it until the end, doubled.
    from: f64,
    change: f64,
}

impl CycleShape for Tanh {
    fn left(&self, u: f64) -> f64 {
        // (1 - tanh z) / 2 is 1 / (e^2z + 1), which loses no digits where tanh is near 1.
        1.0 / ((self.from + self.change * u).exp() + 1.0)
    }
}
