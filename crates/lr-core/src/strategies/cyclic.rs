//! Up and down between two rates: torch's `CyclicLR`.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use crate::formula::{Formula, Variables};
use crate::math::{capped, ordered, ratio};
use crate::strategy::{ScheduleFields, check, table};
use crate::{Clock, Duration, Entry, Interval, Phase, Schedule, Scope, Strategy};

/// How many cycles a plot marks.
const MARKED_CYCLES: u64 = 16;

/// How the height of the cycles changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CyclicMode {
    /// All the same: 1.
    Triangular,
    /// Half as high each time: `2^-(cycle - 1)`.
    Triangular2,
    /// `gamma^t`.
    ExpRange,
}

impl CyclicMode {
    const NAMES: [(&'static str, Self); 3] =
        [("triangular", Self::Triangular), ("triangular2", Self::Triangular2), ("exp_range", Self::ExpRange)];

    /// The name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triangular => "triangular",
            Self::Triangular2 => "triangular2",
            Self::ExpRange => "exp_range",
        }
    }
}

/// What a `scale_fn` is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleMode {
    /// `x` is the number of the cycle, from 1.
    Cycle,
    /// `x` is the tick.
    Iterations,
}

impl ScaleMode {
    const NAMES: [(&'static str, Self); 2] = [("cycle", Self::Cycle), ("iterations", Self::Iterations)];

    /// The name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cycle => "cycle",
            Self::Iterations => "iterations",
        }
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Cyclic {
    /// The rate (not a factor) at the foot of a cycle.
    pub base_lr: f64,
    /// The rate at the top of the first cycle; it may lie below `base_lr`.
    pub max_lr: f64,
    /// Ticks up, at least 1; default 2000.
    pub step_size_up: Duration,
    /// Ticks down; default as many as up.
    pub step_size_down: Option<Duration>,
    /// How the height changes; default not at all.
    pub mode: CyclicMode,
    /// The factor per tick of `exp_range`, at least 0; default 1.
    pub gamma: f64,
    /// A formula in `x` for the height instead of the mode's.
    pub scale_fn: Option<Formula>,
    /// What that formula's `x` is; default the cycle.
    pub scale_mode: ScaleMode,
    /// Whether momentum is cycled; default true.
    pub cycle_momentum: bool,
    /// The momentum at the top of a cycle; default 0.8.
    pub base_momentum: f64,
    /// The momentum at the foot of a cycle; default 0.9.
    pub max_momentum: f64,
}

impl Cyclic {
    /// Between two rates, with torch's defaults.
    pub fn new(base_lr: f64, max_lr: f64) -> Self {
        Self {
            base_lr,
            max_lr,
            step_size_up: Duration::Ticks(2000),
            step_size_down: None,
            mode: CyclicMode::Triangular,
            gamma: 1.0,
            scale_fn: None,
            scale_mode: ScaleMode::Cycle,
            cycle_momentum: true,
            base_momentum: 0.8,
            max_momentum: 0.9,
        }
    }

    pub(crate) fn entry() -> Entry {
        Entry::new(
            "cyclic",
            "up and down between base_lr and max_lr, momentum the other way round (torch CyclicLR)",
            Interval::Step,
            &[
                "base_lr",
                "max_lr",
                "step_size_up",
                "step_size_down",
                "mode",
                "gamma",
                "scale_fn",
                "scale_mode",
                "cycle_momentum",
                "base_momentum",
                "max_momentum",
            ],
            "type = 'cyclic'\nbase_lr = 0.001\nmax_lr = 0.006\nstep_size_up = 2000\nmode = 'triangular2'",
            Self::read,
        )
    }

    fn read(fields: &Fields<'_>, _: &Scope<'_>) -> Result<Self, ConfigError> {
        let base_lr = fields.need_f64("base_lr", "the rate at the foot of a cycle")?;
        let defaults = Self::new(base_lr, fields.need_f64("max_lr", "the rate at the top of a cycle")?);
        let scale_fn =
            fields.str("scale_fn")?.map(|text| Formula::of_x(text, &fields.path_of("scale_fn"))).transpose()?;
        Ok(Self {
            step_size_up: fields.duration("step_size_up")?.unwrap_or(defaults.step_size_up),
            step_size_down: fields.duration("step_size_down")?,
            mode: fields.choice("mode", &CyclicMode::NAMES)?.unwrap_or(defaults.mode),
            gamma: fields.f64("gamma")?.unwrap_or(defaults.gamma),
            scale_fn,
            scale_mode: fields.choice("scale_mode", &ScaleMode::NAMES)?.unwrap_or(defaults.scale_mode),
            cycle_momentum: fields.bool("cycle_momentum")?.unwrap_or(defaults.cycle_momentum),
            base_momentum: fields.f64("base_momentum")?.unwrap_or(defaults.base_momentum),
            max_momentum: fields.f64("max_momentum")?.unwrap_or(defaults.max_momentum),
            ..defaults
        })
    }
}

impl Strategy for Cyclic {
    fn type_name(&self) -> &'static str {
        "cyclic"
    }

    fn fields(&self) -> Table {
        let mut fields = table([
            ("base_lr", self.base_lr.into()),
            ("max_lr", self.max_lr.into()),
            ("step_size_up", self.step_size_up.to_value()),
            ("step_size_down", self.step_size_down.unwrap_or(self.step_size_up).to_value()),
            ("mode", Value::String(self.mode.name().to_owned())),
            ("gamma", self.gamma.into()),
            ("cycle_momentum", self.cycle_momentum.into()),
            ("base_momentum", self.base_momentum.into()),
            ("max_momentum", self.max_momentum.into()),
        ]);
        if let Some(formula) = &self.scale_fn {
            fields.insert("scale_fn".to_owned(), Value::String(formula.text().to_owned()));
            fields.insert("scale_mode".to_owned(), Value::String(self.scale_mode.name().to_owned()));
        }
        fields
    }

    fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("base_lr", self.base_lr)?;
        check::non_negative("max_lr", self.max_lr)?;
        self.step_size_up.check("step_size_up", 1)?;
        self.step_size_down.map_or(Ok(()), |down| down.check("step_size_down", 0))?;
        check::non_negative("gamma", self.gamma)?;
        check::momentum("base_momentum", self.base_momentum)?;
        check::momentum("max_momentum", self.max_momentum)
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
                Some(formula) => Height::Formula(formula.clone(), self.scale_mode),
                None if self.mode == CyclicMode::ExpRange => Height::Powers(self.gamma),
                None => Height::Mode(self.mode),
            },
        }))
    }

    fn default_interval(&self) -> Interval {
        Interval::Step
    }

    fn sets_momentum(&self) -> bool {
        self.cycle_momentum
    }
}

#[derive(Debug, Clone)]
enum Height {
    Mode(CyclicMode),
    Powers(f64),
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
            Height::Powers(gamma) => gamma.powf(tick as f64),
            Height::Formula(formula, mode) => {
                let x = match mode {
                    ScaleMode::Cycle => cycle as f64 + 1.0,
                    ScaleMode::Iterations => tick as f64,
                };
                let height = formula.eval(&Variables { x, ..Variables::default() });
                // Undefined is no height at all.
                if height.is_nan() { 0.0 } else { height.max(-f64::MAX) }
            }
        };
        // Capped before it meets a factor of 0: `0 * inf` is no number.
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

    fn phases(&self) -> Vec<Phase> {
        let start = |cycle: u64| Some(Phase::new(cycle.checked_mul(self.size)?, format!("cycle {}", cycle + 1)));
        (1..MARKED_CYCLES).map_while(start).collect()
    }

    fn bounds(&self, _base_lr: f64) -> Option<(f64, f64)> {
        match self.height {
            Height::Powers(gamma) if gamma > 1.0 => None,
            Height::Mode(_) | Height::Powers(_) => Some(ordered(self.lr.0, self.lr.1)),
            Height::Formula(..) => None,
        }
    }
}
