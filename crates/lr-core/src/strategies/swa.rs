//! Towards the constant rate of weight averaging: torch's `SWALR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::one_cycle::AnnealStrategy;
use crate::math::{cosine_weight, ordered, ratio, weighted};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

/// From the base rate to `swa_lr` over `anneal_epochs` ticks, then constant:
/// `lr(t) = (1 - a) base + a swa_lr`, with `a = u` (linear) or `(1 - cos(pi u)) / 2`, `u = min(t / anneal_epochs, 1)`.
///
/// torch's `SWALR`; Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018). With
/// `anneal_epochs = 0` it is `swa_lr` from the start.
///
/// ```
/// use lr_core::{AnnealStrategy, Clock, Strategy, SwaLr};
/// let s = SwaLr { anneal_strategy: AnnealStrategy::Linear, ..SwaLr::new(0.25) }.build(&Clock::unknown())?;
/// assert_eq!([0, 5, 10, 50].map(|t| s.lr(0.75, t)), [0.75, 0.5, 0.25, 0.25]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwaLr {
    /// The rate (not a factor) at the end, at least 0.
    pub swa_lr: f64,
    /// How long it takes; default 10.
    #[serde(default = "ten_ticks")]
    pub anneal_epochs: Duration,
    /// The shape; default a cosine.
    #[serde(default)]
    pub anneal_strategy: AnnealStrategy,
}

fn ten_ticks() -> Duration {
    Duration::Ticks(10)
}

impl SwaLr {
    /// To `swa_lr` in 10 ticks.
    pub fn new(swa_lr: f64) -> Self {
        Self { swa_lr, anneal_epochs: ten_ticks(), anneal_strategy: AnnealStrategy::default() }
    }
}

impl Strategy for SwaLr {
    const NAME: &'static str = "swa";
    const SUMMARY: &'static str = "from the base rate to swa_lr, then constant, for weight averaging (torch SWALR)";
    const EXAMPLE: &'static str = "type = 'swa'\nswa_lr = 0.05\nanneal_epochs = 10\nanneal_strategy = 'cos'";

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("swa_lr", self.swa_lr)?;
        self.anneal_epochs.check("anneal_epochs", 0)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let ticks = self.anneal_epochs.ticks("anneal_epochs", 0, clock)?;
        Ok(Box::new(Approach { swa_lr: self.swa_lr, ticks, strategy: self.anneal_strategy }))
    }
}

#[derive(Debug, Clone)]
struct Approach {
    swa_lr: f64,
    ticks: u64,
    strategy: AnnealStrategy,
}

impl Approach {
    /// The weight of the base rate.
    fn weight(&self, tick: u64) -> f64 {
        if tick >= self.ticks {
            return 0.0;
        }
        let u = ratio(tick, self.ticks);
        match self.strategy {
            AnnealStrategy::Cos => cosine_weight(u),
            AnnealStrategy::Linear => 1.0 - u,
        }
    }
}

impl Schedule for Approach {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        weighted(base_lr, self.swa_lr, self.weight(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        vec![ScheduleMark::new(self.ticks, "swa_lr")]
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        if self.ticks == 0 { Some((self.swa_lr, self.swa_lr)) } else { Some(ordered(base_lr, self.swa_lr)) }
    }
}
