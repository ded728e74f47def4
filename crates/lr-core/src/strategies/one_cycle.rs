//! One rise and one long fall: torch's `OneCycleLR`.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use crate::math::{cosine_between, count};
use crate::strategy::{ScheduleFields, check, table};
use crate::{Clock, Duration, Entry, Interval, Phase, Schedule, Scope, Strategy};

/// The shape between two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnealStrategy {
    /// Half a cosine.
    Cos,
    /// A line.
    Linear,
}

impl AnnealStrategy {
    pub(crate) const NAMES: [(&'static str, Self); 2] = [("cos", Self::Cos), ("linear", Self::Linear)];

    /// The name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cos => "cos",
            Self::Linear => "linear",
        }
    }

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
/// it comes down as symmetrically as it went up, and goes on to the lowest rate in a third phase. The momentum goes
/// from `max_momentum` to `base_momentum` and back. The base rate of the optimizer has no part in it.
///
/// torch's `OneCycleLR`, after Smith and Topin, "Super-Convergence" (2017). Past `total_steps`, where torch refuses
/// to go on, the last rate stays; and what torch gives for tick `total_steps` itself (an extrapolation, negative
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
#[derive(Debug, Clone, PartialEq)]
pub struct OneCycle {
    /// The highest rate (not a factor).
    pub max_lr: f64,
    /// The ticks of the whole cycle, at least 1; default the rest of the run. A config may give `epochs` and
    /// `steps_per_epoch` instead.
    pub total_steps: Duration,
    /// The part of the cycle that rises, 0 to 1; default 0.3.
    pub pct_start: f64,
    /// The shape; default a cosine.
    pub anneal_strategy: AnnealStrategy,
    /// Whether momentum goes the other way round; default true.
    pub cycle_momentum: bool,
    /// The lowest momentum; default 0.85.
    pub base_momentum: f64,
    /// The highest momentum; default 0.95.
    pub max_momentum: f64,
    /// `max_lr` over the first rate, above 0; default 25.
    pub div_factor: f64,
    /// The first rate over the last, above 0; default 1e4.
    pub final_div_factor: f64,
    /// Whether it falls in two phases; default false.
    pub three_phase: bool,
}

impl OneCycle {
    /// A cycle up to `max_lr` in `total_steps` ticks.
    pub fn new(max_lr: f64, total_steps: impl Into<Duration>) -> Self {
        Self {
            max_lr,
            total_steps: total_steps.into(),
            pct_start: 0.3,
            anneal_strategy: AnnealStrategy::Cos,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    pub(crate) fn entry() -> Entry {
        Entry::new(
            "one_cycle",
            "one rise to max_lr and one fall far below the start, momentum the other way round (torch OneCycleLR)",
            Interval::Step,
            &[
                "max_lr",
                "total_steps",
                "epochs",
                "steps_per_epoch",
                "pct_start",
                "anneal_strategy",
                "cycle_momentum",
                "base_momentum",
                "max_momentum",
                "div_factor",
                "final_div_factor",
                "three_phase",
            ],
            "type = 'one_cycle'\nmax_lr = 0.1\ntotal_steps = 'rest'\npct_start = 0.3",
            Self::read,
        )
    }

    fn read(fields: &Fields<'_>, _: &Scope<'_>) -> Result<Self, ConfigError> {
        let total_steps = match (fields.duration("total_steps")?, fields.u64("epochs")?, fields.u64("steps_per_epoch")?)
        {
            (Some(total), None, None) => total,
            (None, Some(epochs), Some(steps)) => Duration::Ticks(epochs.saturating_mul(steps)),
            (None, None, None) => Duration::Rest,
            (None, Some(_), None) => return Err(fields.missing("steps_per_epoch", "a count, to go with `epochs`")),
            (None, None, Some(_)) => return Err(fields.missing("epochs", "a count, to go with `steps_per_epoch`")),
            (Some(_), _, _) => {
                let message = "either `total_steps`, or `epochs` and `steps_per_epoch`, not both";
                return Err(ConfigError::conflict(fields.path_of("total_steps"), message));
            }
        };
        let defaults = Self::new(fields.need_f64("max_lr", "the highest rate")?, total_steps);
        Ok(Self {
            pct_start: fields.f64("pct_start")?.unwrap_or(defaults.pct_start),
            anneal_strategy: fields
                .choice("anneal_strategy", &AnnealStrategy::NAMES)?
                .unwrap_or(defaults.anneal_strategy),
            cycle_momentum: fields.bool("cycle_momentum")?.unwrap_or(defaults.cycle_momentum),
            base_momentum: fields.f64("base_momentum")?.unwrap_or(defaults.base_momentum),
            max_momentum: fields.f64("max_momentum")?.unwrap_or(defaults.max_momentum),
            div_factor: fields.f64("div_factor")?.unwrap_or(defaults.div_factor),
            final_div_factor: fields.f64("final_div_factor")?.unwrap_or(defaults.final_div_factor),
            three_phase: fields.bool("three_phase")?.unwrap_or(defaults.three_phase),
            ..defaults
        })
    }
}

impl Strategy for OneCycle {
    fn type_name(&self) -> &'static str {
        "one_cycle"
    }

    fn fields(&self) -> Table {
        table([
            ("max_lr", self.max_lr.into()),
            ("total_steps", self.total_steps.to_value()),
            ("pct_start", self.pct_start.into()),
            ("anneal_strategy", Value::String(self.anneal_strategy.name().to_owned())),
            ("cycle_momentum", self.cycle_momentum.into()),
            ("base_momentum", self.base_momentum.into()),
            ("max_momentum", self.max_momentum.into()),
            ("div_factor", self.div_factor.into()),
            ("final_div_factor", self.final_div_factor.into()),
            ("three_phase", self.three_phase.into()),
        ])
    }

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("max_lr", self.max_lr)?;
        self.total_steps.check("total_steps", 1)?;
        check::number("pct_start", self.pct_start, "a part, from 0 to 1", |p| (0.0..=1.0).contains(&p))?;
        check::momentum("base_momentum", self.base_momentum)?;
        check::momentum("max_momentum", self.max_momentum)?;
        check::positive("div_factor", self.div_factor)?;
        check::positive("final_div_factor", self.final_div_factor)?;
        // A tiny divisor makes a rate beyond f64.
        let first = self.max_lr / self.div_factor;
        check::number("div_factor", first, "one that gives a finite first rate", |_| true)?;
        check::number("final_div_factor", first / self.final_div_factor, "one that gives a finite last rate", |_| true)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let total = self.total_steps.ticks("total_steps", 1, clock)?;
        Ok(Box::new(Cycle::new(self, total)))
    }

    fn default_interval(&self) -> Interval {
        Interval::Step
    }

    fn sets_momentum(&self) -> bool {
        self.cycle_momentum
    }
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

    fn phases(&self) -> Vec<Phase> {
        let labels = if self.count == 3 { vec!["max_lr", "final phase", "end"] } else { vec!["max_lr", "end"] };
        let ends = self.legs.iter().zip(labels).filter(|(leg, _)| leg.end >= 0.0);
        ends.map(|(leg, label)| Phase::new(leg.end.ceil() as u64, label)).collect()
    }

    fn bounds(&self, _base_lr: f64) -> Option<(f64, f64)> {
        let rates = || self.legs.iter().flat_map(|leg| [leg.lr.0, leg.lr.1]);
        Some((rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)))
    }
}
