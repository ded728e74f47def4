//! One rise and one long fall: torch's `OneCycleLR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use crate::defaults::{div_factor, final_div_factor, pct_start, yes};
use crate::math::{cosine_between, count};
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// The shape between two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnealStrategy {
    /// Half a cosine.
    #[default]
    Cos,
    /// A line.
    Linear,
}

impl AnnealStrategy {
    /// From `start` at `u = 0` to `end` at `u = 1`.
    #[inline]
    pub(crate) fn between(self, start: f64, end: f64, u: f64) -> f64 {
        match self {
            Self::Cos => cosine_between(start, end, u),
            Self::Linear => (end - start) * u + start,
        }
    }
}

/// One rise to `max_lr` and one fall far below the start, with momentum the other way round.
///
/// From `max_lr / div_factor` up to `max_lr` until tick `pct_start * total_steps - 1`, then down to
/// `max_lr / (div_factor * final_div_factor)` at the last tick, `total_steps - 1`, where it stays. With `three_phase`
/// it comes down as symmetrically as it went up, and continues to the lowest rate in a third phase. The momentum goes
/// from `max_momentum` to `base_momentum` and back. The base rate of the optimizer has no part in it.
///
/// torch's `OneCycleLR`, after Smith and Topin, "Super-Convergence" (2017). Past `total_steps`, where torch refuses
/// to continue, the last rate stays; and what torch gives for tick `total_steps` itself (an extrapolation, negative
/// for the linear shape) is held as well. A phase of no length is over at once, where torch divides by zero.
///
/// ```
/// use lr_core::{Clock, OneCycle, Strategy};
/// let s = OneCycle { pct_start: 0.5, ..OneCycle::new(1.0, 10) }.build(&Clock::unknown())?;
/// assert!((s.lr(0.1, 0) - 0.04).abs() < 1e-15);
/// assert_eq!(s.lr(0.1, 4), 1.0);
/// assert_eq!([s.lr(0.1, 9), s.lr(0.1, 10)], [1.0 / 25.0 / 1e4; 2]);
/// assert_eq!([s.momentum(0), s.momentum(4), s.momentum(9)], [Some(0.95), Some(0.85), Some(0.95)]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// The highest rate (not a factor).
    pub max_lr: f64,
    /// The ticks of the whole cycle, at least 1; default `epochs` times `steps_per_epoch`, or the rest of the run.
    pub total_steps: Option<Duration>,
    /// In place of `total_steps`, together with `steps_per_epoch`.
    pub epochs: Option<u64>,
    /// In place of `total_steps`, together with `epochs`.
    pub steps_per_epoch: Option<u64>,
    /// The part of the cycle that rises, 0 to 1; default 0.3.
    #[serde(default = "pct_start")]
    pub pct_start: f64,
    /// The shape; default a cosine.
    #[serde(default)]
    pub anneal_strategy: AnnealStrategy,
    /// Whether momentum goes the other way round; default true.
    #[serde(default = "yes")]
    pub cycle_momentum: bool,
    /// The lowest momentum; default 0.85.
    #[serde(default = "base_momentum")]
    pub base_momentum: f64,
    /// The highest momentum; default 0.95.
    #[serde(default = "max_momentum")]
    pub max_momentum: f64,
    /// `max_lr` over the first rate, above 0; default 25.
    #[serde(default = "div_factor")]
    pub div_factor: f64,
    /// The first rate over the last, above 0; default 1e4.
    #[serde(default = "final_div_factor")]
    pub final_div_factor: f64,
    /// Whether it falls in two phases; default false.
    #[serde(default)]
    pub three_phase: bool,
}

fn base_momentum() -> f64 {
    0.85
}

fn max_momentum() -> f64 {
    0.95
}

impl OneCycle {
    /// A cycle up to `max_lr` in `total_steps` ticks.
    pub fn new(max_lr: f64, total_steps: impl Into<Duration>) -> Self {
        Self {
            max_lr,
            total_steps: Some(total_steps.into()),
            epochs: None,
            steps_per_epoch: None,
            pct_start: pct_start(),
            anneal_strategy: AnnealStrategy::default(),
            cycle_momentum: yes(),
            base_momentum: base_momentum(),
            max_momentum: max_momentum(),
            div_factor: div_factor(),
            final_div_factor: final_div_factor(),
            three_phase: false,
        }
    }

    fn total(&self) -> Result<Duration, ConfigError> {
        match (self.total_steps, self.epochs, self.steps_per_epoch) {
            (Some(total), None, None) => Ok(total),
            (None, Some(epochs), Some(steps)) => Ok(Duration::Ticks(epochs.saturating_mul(steps))),
            (None, None, None) => Ok(Duration::Rest),
            (None, Some(_), None) => Err(ConfigError::missing("steps_per_epoch", "a count, to go with `epochs`")),
            (None, None, Some(_)) => Err(ConfigError::missing("epochs", "a count, to go with `steps_per_epoch`")),
            (Some(_), _, _) => {
                let message = "either `total_steps`, or `epochs` and `steps_per_epoch`, not both";
                Err(ConfigError::conflict("total_steps", message))
            }
        }
    }
}

impl Strategy for OneCycle {
    const NAME: &'static str = "one_cycle";
    const SUMMARY: &'static str =
        "one rise to max_lr and one fall far below the start, momentum the other way round (torch OneCycleLR)";
    const EXAMPLE: &'static str = "type = 'one_cycle'\nmax_lr = 0.1\ntotal_steps = 'rest'\npct_start = 0.3";
    const INTERVAL: Interval = Interval::Step;
    const RATES: &'static [(&'static str, f64)] = &[("max_lr", 1.0)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("max_lr", self.max_lr)?;
        self.total()?.check("total_steps", 1)?;
        check::number("pct_start", self.pct_start, "a part, from 0 to 1", |p| (0.0..=1.0).contains(&p))?;
        momentum_range("base_momentum", self.base_momentum)?;
        momentum_range("max_momentum", self.max_momentum)?;
        check::positive("div_factor", self.div_factor)?;
        check::positive("final_div_factor", self.final_div_factor)?;
        // A tiny divisor makes a rate beyond f64.
        let first = self.max_lr / self.div_factor;
        check::number("div_factor", first, "one that gives a finite first rate", |_| true)?;
        check::number("final_div_factor", first / self.final_div_factor, "one that gives a finite last rate", |_| true)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let total = self.total()?.ticks("total_steps", 1, clock)?;
        Ok(Box::new(Cycle::new(self, total)))
    }

    fn sets_momentum(&self) -> bool {
        self.cycle_momentum
    }

    fn resolved(&self) -> Self {
        let total_steps = self.total().ok().or(self.total_steps);
        Self { total_steps, epochs: None, steps_per_epoch: None, ..self.clone() }
    }
}

/// Refuses what is not a momentum.
pub(super) fn momentum_range(field: &str, momentum: f64) -> Result<(), ConfigError> {
    check::number(field, momentum, "a momentum: at least 0 and below 1", |m| (0.0..1.0).contains(&m))
}

/// From one rate and momentum to the next, from tick `start` to tick `end` (which torch places between whole ticks).
#[derive(Debug, Clone, Copy)]
struct Leg {
    start: f64,
    end: f64,
    lr: (f64, f64),
    momentum: (f64, f64),
}

#[derive(Debug, Clone)]
struct Cycle {
    /// The last one twice where there are two.
    legs: [Leg; 3],
    count: usize,
    last: u64,
    strategy: AnnealStrategy,
    moves_momentum: bool,
}

impl Cycle {
    fn new(config: &OneCycle, total: u64) -> Self {
        let steps = total as f64;
        let (low, high) = (config.base_momentum, config.max_momentum);
        let first = config.max_lr / config.div_factor;
        let last = first / config.final_div_factor;
        let top = config.pct_start * steps - 1.0;
        let up = Leg { start: 0.0, end: top, lr: (first, config.max_lr), momentum: (high, low) };
        let (legs, count) = if config.three_phase {
            let back = 2.0 * config.pct_start * steps - 2.0;
            let down = Leg { start: top, end: back, lr: (config.max_lr, first), momentum: (low, high) };
            ([up, down, Leg { start: back, end: steps - 1.0, lr: (first, last), momentum: (high, high) }], 3)
        } else {
            let down = Leg { start: top, end: steps - 1.0, lr: (config.max_lr, last), momentum: (low, high) };
            ([up, down, down], 2)
        };
        Self { legs, count, last: total - 1, strategy: config.anneal_strategy, moves_momentum: config.cycle_momentum }
    }

    /// The leg that `tick` lies in, and how far into it (0 to 1).
    #[inline]
    fn at(&self, tick: u64) -> (&Leg, f64) {
        let tick = count(tick.min(self.last));
        let [first, second, third] = &self.legs;
        let leg = if tick <= first.end {
            first
        } else if tick <= second.end {
            second
        } else {
            third
        };
        let length = leg.end - leg.start;
        (leg, if length > 0.0 { ((tick - leg.start) / length).min(1.0) } else { 1.0 })
    }
}

impl Schedule for Cycle {
    fn lr(&self, _base_lr: f64, tick: u64) -> f64 {
        let (leg, u) = self.at(tick);
        self.strategy.between(leg.lr.0, leg.lr.1, u).max(0.0)
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        let (leg, u) = self.at(tick);
        self.moves_momentum.then(|| self.strategy.between(leg.momentum.0, leg.momentum.1, u))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let labels = if self.count == 3 { vec!["max_lr", "final phase", "end"] } else { vec!["max_lr", "end"] };
        let ends = self.legs.iter().zip(labels).filter(|(leg, _)| leg.end >= 0.0);
        ends.map(|(leg, label)| ScheduleMark::new(leg.end.ceil() as u64, label)).collect()
    }

    fn bounds(&self, _base_lr: f64) -> Option<(f64, f64)> {
        let rates = || self.legs.iter().flat_map(|leg| [leg.lr.0, leg.lr.1]);
        Some((rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)))
    }
}
