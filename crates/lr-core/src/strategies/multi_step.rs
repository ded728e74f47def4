//! A drop at given milestones: torch's `MultiStepLR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::tenth;
use crate::math::{decay_bounds, reached, scaled};
use crate::{Clock, Duration, Schedule, ScheduleMark, Strategy};

/// Multiplies by `gamma` at each milestone: `lr(t) = base * gamma^(number of milestones <= t)`.
///
/// The milestones may stand in any order; one that is listed twice counts twice, as in torch's `MultiStepLR`.
///
/// ```
/// use lr_core::{Clock, MultiStep, Strategy};
/// let s = MultiStep { gamma: 0.5, ..MultiStep::new([30, 80]) }.build(&Clock::unknown())?;
/// assert_eq!([0, 29, 30, 79, 80, 1_000].map(|t| s.lr(0.8, t)), [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiStep {
    /// The ticks at which the rate drops, counted from the start.
    pub milestones: Vec<Duration>,
    /// The factor of each drop, at least 0; default 0.1.
    #[serde(default = "tenth")]
    pub gamma: f64,
}

impl MultiStep {
    /// A tenth at each of the milestones.
    pub fn new<D: Into<Duration>>(milestones: impl IntoIterator<Item = D>) -> Self {
        Self { milestones: milestones.into_iter().map(Into::into).collect(), gamma: tenth() }
    }
}

impl Strategy for MultiStep {
    const NAME: &'static str = "multi_step";
    const SUMMARY: &'static str = "multiplied by gamma at each milestone (torch MultiStepLR)";
    const EXAMPLE: &'static str = "type = 'multi_step'\nmilestones = [30, 80]\ngamma = 0.1";

    fn check(&self) -> Result<(), ConfigError> {
        for (i, milestone) in self.milestones.iter().enumerate() {
            milestone.check(&format!("milestones[{i}]"), 0)?;
        }
        check::non_negative("gamma", self.gamma)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let resolve = |(i, milestone): (usize, &Duration)| milestone.ticks(&format!("milestones[{i}]"), 0, clock);
        let mut milestones = self.milestones.iter().enumerate().map(resolve).collect::<Result<Vec<_>, _>>()?;
        milestones.sort_unstable();
        let factors = (0..=milestones.len()).map(|passed| self.gamma.powi(passed as i32)).collect();
        Ok(Box::new(Drops { milestones, factors, gamma: self.gamma }))
    }
}

#[derive(Debug, Clone)]
struct Drops {
    milestones: Vec<u64>,
    /// The factor after so many milestones.
    factors: Vec<f64>,
    gamma: f64,
}

impl Drops {
    fn factor(&self, tick: u64) -> f64 {
        self.factors[reached(&self.milestones, tick)]
    }
}

impl Schedule for Drops {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(tick))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut milestones = self.milestones.clone();
        milestones.dedup();
        milestones.into_iter().map(|tick| ScheduleMark::new(tick, "drop")).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        if self.gamma <= 1.0 {
            return decay_bounds(base_lr, self.gamma);
        }
        Some((base_lr, scaled(base_lr, self.factors[self.milestones.len()])))
    }
}
