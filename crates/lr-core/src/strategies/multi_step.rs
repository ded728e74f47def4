//! A drop at given milestones: torch's `MultiStepLR`.

use strict_config::{ConfigError, Fields};
use toml::Table;

use super::step::decay_bounds;
use crate::math::{reached, scaled};
use crate::strategy::{ScheduleFields, array, check, table};
use crate::{Clock, Duration, Entry, Interval, Phase, Schedule, Scope, Strategy};

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
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStep {
    /// The ticks at which the rate drops, counted from the start.
    pub milestones: Vec<Duration>,
    /// The factor of each drop, at least 0; default 0.1.
    pub gamma: f64,
}

impl MultiStep {
    /// A tenth at each of the milestones.
    pub fn new<D: Into<Duration>>(milestones: impl IntoIterator<Item = D>) -> Self {
        Self { milestones: milestones.into_iter().map(Into::into).collect(), gamma: 0.1 }
    }

    pub(crate) fn entry() -> Entry {
        Entry::new(
            "multi_step",
            "multiplied by gamma at each milestone (torch MultiStepLR)",
            Interval::Epoch,
            &["milestones", "gamma"],
            "type = 'multi_step'\nmilestones = [30, 80]\ngamma = 0.1",
            Self::read,
        )
    }

    fn read(fields: &Fields<'_>, _: &Scope<'_>) -> Result<Self, ConfigError> {
        Ok(Self { milestones: fields.need_durations("milestones")?, gamma: fields.f64("gamma")?.unwrap_or(0.1) })
    }
}

impl Strategy for MultiStep {
    fn type_name(&self) -> &'static str {
        "multi_step"
    }

    fn fields(&self) -> Table {
        table([("milestones", array(&self.milestones, Duration::to_value)), ("gamma", self.gamma.into())])
    }

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

    fn phases(&self) -> Vec<Phase> {
        let mut milestones = self.milestones.clone();
        milestones.dedup();
        milestones.into_iter().map(|tick| Phase::new(tick, "drop")).collect()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        if self.gamma <= 1.0 {
            return decay_bounds(base_lr, self.gamma);
        }
        Some((base_lr, scaled(base_lr, self.factors[self.milestones.len()])))
    }
}
