//! Up and down between two rates: torch's `CyclicLR`.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, check};

use super::one_cycle::momentum_range;
use crate::defaults::{one, yes};
use crate::formula::{self, Formula, Variables};
use crate::math::{Powers, capped, ordered, ratio};
use crate::schedule::MOST_MARKS;
use crate::{Clock, Duration, Interval, Schedule, ScheduleMark, Strategy};

/// How the height of the cycles changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CyclicMode {
    /// All the same: 1.
    #[default]
    Triangular,
    /// Half as high each time: `2^-(cycle - 1)`.
    Triangular2,
    /// `gamma^t`.
    ExpRange,
}

/// What a `scale_fn` is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// `x` is the number of the cycle, from 1.
    #[default]
    Cycle,
    /// `x` is the tick.
    Iterations,
}

/// Up from `base_lr` to `max_lr` and down again, in cycles, with momentum the other way round:
/// `lr(t) = base_lr + (max_lr - base_lr) * s * h`, where `s` rises from 0 to 1 in `step_size_up` ticks and falls back
/// in `step_size_down`, and the height `h` depends on the [mode](CyclicMode). The momentum is
/// `max_momentum - (max_momentum - base_momentum) * s * h`.
///
/// torch's `CyclicLR`; Smith, "Cyclical Learning Rates for Training Neural Networks" (2015). The base rate of the
/// optimizer has no part in it. **Momentum is cycled by default**, as in torch.
///
/// ```
/// use lr_core::{Clock, Cyclic, Strategy};
/// let s = Cyclic { step_size_up: 4.into(), ..Cyclic::new(0.25, 1.25) }.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 4, 7, 8].map(|t| s.lr(0.1, t)), [0.25, 0.5, 1.25, 0.5, 0.25]);
/// assert_eq!([s.momentum(0), s.momentum(4)], [Some(0.9), Some(0.8)]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cyclic {
    /// The rate (not a factor) at the foot of a cycle.
    pub base_lr: f64,
    /// The rate at the top of the first cycle; it may lie below `base_lr`.
    pub max_lr: f64,
    /// Ticks up, at least 1; default 2000.
    #[serde(default = "step_size_up")]
    pub step_size_up: Duration,
    /// Ticks down; default as many as up.
    pub step_size_down: Option<Duration>,
    /// How the height changes; default not at all.
    #[serde(default)]
    pub mode: CyclicMode,
    /// The factor per tick of `exp_range`, at least 0; default 1.
    #[serde(default = "one")]
    pub gamma: f64,
    /// Whether momentum is cycled; default true.
    #[serde(default = "yes")]
    pub cycle_momentum: bool,
    /// The momentum at the top of a cycle; default 0.8.
    #[serde(default = "base_momentum")]
    pub base_momentum: f64,
    /// The momentum at the foot of a cycle; default 0.9.
    #[serde(default = "max_momentum")]
    pub max_momentum: f64,
    /// A formula in `x` for the height instead of the mode's.
    #[serde(default, deserialize_with = "formula::of_x")]
    pub scale_fn: Option<Formula>,
    /// What that formula's `x` is; default the cycle.
    pub scale_mode: Option<ScaleMode>,
}

fn step_size_up() -> Duration {
    Duration::Ticks(2000)
}

fn base_momentum() -> f64 {
    0.8
}

fn max_momentum() -> f64 {
    0.9
}

impl Cyclic {
    /// Between two rates, with torch's defaults.
    pub fn new(base_lr: f64, max_lr: f64) -> Self {
        Self {
            base_lr,
            max_lr,
            step_size_up: step_size_up(),
            step_size_down: None,
            mode: CyclicMode::default(),
            gamma: one(),
            cycle_momentum: yes(),
            base_momentum: base_momentum(),
            max_momentum: max_momentum(),
            scale_fn: None,
            scale_mode: None,
        }
    }
}

impl Strategy for Cyclic {
    const NAME: &'static str = "cyclic";
    const SUMMARY: &'static str =
        "up and down between base_lr and max_lr, momentum the other way round (torch CyclicLR)";
    const EXAMPLE: &'static str =
        "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.006\nstep_size_up = 2000\nmode = 'triangular2'";
    const INTERVAL: Interval = Interval::Step;
    // The foot of a cycle at a quarter of its top: Smith (2015), section 3.3, recommends a third or a quarter.
    const RATES: &'static [(&'static str, f64)] = &[("max_lr", 1.0), ("base_lr", 0.25)];

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("base_lr", self.base_lr)?;
        check::non_negative("max_lr", self.max_lr)?;
        self.step_size_up.check("step_size_up", 1)?;
        self.step_size_down.map_or(Ok(()), |down| down.check("step_size_down", 0))?;
        check::non_negative("gamma", self.gamma)?;
        momentum_range("base_momentum", self.base_momentum)?;
        momentum_range("max_momentum", self.max_momentum)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let up = self.step_size_up.ticks("step_size_up", 1, clock)?;
        let down = self.step_size_down.map_or(Ok(up), |down| down.ticks("step_size_down", 0, clock))?;
        Ok(Box::new(Cycles {
            lr: (self.base_lr, self.max_lr),
            momentum: self.cycle_momentum.then_some((self.base_momentum, self.max_momentum)),
            up,
            size: up.saturating_add(down),
            height: match &self.scale_fn {
                Some(formula) => Height::Formula(formula.clone(), self.scale_mode.unwrap_or_default()),
                None if self.mode == CyclicMode::ExpRange => Height::Powers(self.gamma, Powers::new(self.gamma)),
                None => Height::Mode(self.mode),
            },
        }))
    }

    fn sets_momentum(&self) -> bool {
        self.cycle_momentum
    }

    fn resolved(&self) -> Self {
        let step_size_down = self.step_size_down.or(Some(self.step_size_up));
        let scale_mode = self.scale_fn.as_ref().map(|_| self.scale_mode.unwrap_or_default());
        Self { step_size_down, scale_mode, ..self.clone() }
    }
}

#[derive(Debug, Clone)]
enum Height {
    Mode(CyclicMode),
    Powers(f64, Powers),
    Formula(Formula, ScaleMode),
}

#[derive(Debug, Clone)]
struct Cycles {
    lr: (f64, f64),
    momentum: Option<(f64, f64)>,
    up: u64,
    size: u64,
    height: Height,
}

impl Cycles {
    /// How far up the current cycle, times its height.
    fn reach(&self, tick: u64) -> f64 {
        let size = self.size;
        let (cycle, into) = (tick / size, tick % size);
        let part = if into <= self.up { ratio(into, self.up) } else { ratio(size - into, size - self.up) };
        let height = match &self.height {
            Height::Mode(CyclicMode::Triangular2) => (-(cycle as f64)).exp2(),
            Height::Mode(_) => 1.0,
            Height::Powers(_, powers) => powers.of(tick),
            Height::Formula(formula, mode) => {
                let x = match mode {
                    ScaleMode::Cycle => cycle as f64 + 1.0,
                    ScaleMode::Iterations => tick as f64,
                };
                let height = formula.eval(&Variables { x, ..Variables::default() });
                // NaN counts as no height.
                if height.is_nan() { 0.0 } else { height.max(-f64::MAX) }
            }
        };
        // Capped before it meets a factor of 0: `0 * inf` is NaN.
        part * capped(height)
    }
}

impl Schedule for Cycles {
    fn lr(&self, _base_lr: f64, tick: u64) -> f64 {
        let (base, max) = self.lr;
        // A formula may leave the range; a rate must not.
        (base + (max - base) * self.reach(tick)).clamp(0.0, f64::MAX)
    }

    fn momentum(&self, tick: u64) -> Option<f64> {
        let (base, max) = self.momentum?;
        Some((max - (max - base) * self.reach(tick)).clamp(0.0, 1.0))
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let start = |cycle: u64| Some(ScheduleMark::new(cycle.checked_mul(self.size)?, format!("cycle {}", cycle + 1)));
        (1..=MOST_MARKS as u64).map_while(start).collect()
    }

    fn bounds(&self, _base_lr: f64) -> Option<(f64, f64)> {
        match self.height {
            Height::Powers(gamma, _) if gamma > 1.0 => None,
            Height::Mode(_) | Height::Powers(..) => Some(ordered(self.lr.0, self.lr.1)),
            Height::Formula(..) => None,
        }
    }
}
