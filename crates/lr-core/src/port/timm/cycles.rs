//! The cycles that timm's cosine, tanh and polynomial schedulers share.

use strict_config::{ConfigError, check};

use crate::math::{count, ordered, power, ratio, scaled};
use crate::schedule::MOST_MARKS;
use crate::{Clock, Duration, Schedule, ScheduleMark};

/// The settings of the cycles.
pub(super) struct CycleSettings {
    pub(super) t_initial: Duration,
    pub(super) lr_min: f64,
    pub(super) cycle_mul: f64,
    pub(super) cycle_decay: f64,
    pub(super) cycle_limit: u64,
}

impl CycleSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.t_initial.check("t_initial", 1)?;
        check::non_negative("lr_min", self.lr_min)?;
        check::positive("cycle_mul", self.cycle_mul)?;
        check::non_negative("cycle_decay", self.cycle_decay)
    }

    pub(super) fn with<F>(&self, clock: &Clock, shape: F) -> Result<Cycles<F>, ConfigError> {
        Ok(Cycles::new(self, self.t_initial.ticks("t_initial", 1, clock)?, shape))
    }
}

/// What a cycle looks like: how much is left, from 1 to 0, when the part `u` of it has passed, from 0 to 1.
pub(super) trait CycleShape: std::fmt::Debug + Clone + Send + Sync + 'static {
    fn left(&self, u: f64) -> f64;
}

/// A cycle: when it starts, how long it is, the factor of its first rate.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    start: f64,
    length: f64,
    decay: f64,
}

impl Cycle {
    /// The factor, and the part of the cycle that has passed at a tick.
    #[inline]
    fn at(&self, tick: u64) -> (f64, f64) {
        (self.decay, ((count(tick) - self.start) / self.length).clamp(0.0, 1.0))
    }
}

/// Cycle `i` is `cycle_mul^i` times as long as the first and starts at `cycle_decay^i` times the base rate; after
/// `cycle_limit` of them the rate is `lr_min`.
#[derive(Debug, Clone)]
pub(super) struct Cycles<F> {
    t_initial: u64,
    lr_min: f64,
    cycle_mul: f64,
    cycle_decay: f64,
    cycle_limit: u64,
    shape: F,
}

impl<F> Cycles<F> {
    fn new(settings: &CycleSettings, t_initial: u64, shape: F) -> Self {
        Self {
            t_initial,
            lr_min: settings.lr_min,
            cycle_mul: settings.cycle_mul,
            cycle_decay: settings.cycle_decay,
            cycle_limit: settings.cycle_limit,
            shape,
        }
    }

    /// The number of the cycle that `tick` lies in, where cycles change length; `None` after the last one.
    ///
    /// It is a logarithm, rounded as the reference rounds it: at a boundary that is not a whole tick's, both may see
    /// the cycle end a tick late.
    fn number(&self, tick: u64) -> Option<f64> {
        let (t, first, mul) = (tick as f64, self.t_initial as f64, self.cycle_mul);
        let argument = 1.0 - t / first * (1.0 - mul);
        // Shrinking cycles come to an end together; behind it the reference fails.
        if argument <= 0.0 {
            return None;
        }
        let number = (argument.ln() / mul.ln()).floor();
        (number < self.cycle_limit as f64).then_some(number)
    }

    fn numbered(&self, number: f64) -> Cycle {
        let (first, mul) = (self.t_initial as f64, self.cycle_mul);
        let growth = mul.powf(number);
        Cycle {
            start: (1.0 - growth) / (1.0 - mul) * first,
            length: growth * first,
            decay: self.cycle_decay.powf(number),
        }
    }

    /// The factor of the first rate of the cycle that `tick` lies in, and the part of it that has passed; `None` after
    /// the last one.
    #[inline]
    fn at(&self, tick: u64) -> Option<(f64, f64)> {
        if self.cycle_mul != 1.0 {
            return self.number(tick).map(|number| self.numbered(number).at(tick));
        }
        let number = tick / self.t_initial;
        let passed = ratio(tick % self.t_initial, self.t_initial);
        (number < self.cycle_limit).then(|| (power(self.cycle_decay, number as f64), passed))
    }

    /// The tick at which cycle `i` starts.
    fn start(&self, i: u64) -> f64 {
        let (first, mul) = (self.t_initial as f64, self.cycle_mul);
        if mul == 1.0 { first * i as f64 } else { first * (1.0 - mul.powf(i as f64)) / (1.0 - mul) }
    }
}

impl<F: CycleShape> Schedule for Cycles<F> {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let Some((decay, passed)) = self.at(tick) else { return self.lr_min };
        self.lr_min + (scaled(base_lr, decay) - self.lr_min) * self.shape.left(passed)
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        let mut marks = Vec::new();
        for i in 1..=self.cycle_limit.min(MOST_MARKS as u64) {
            let start = self.start(i).ceil();
            if start > 2_f64.powi(53) {
                break;
            }
            let label = if i == self.cycle_limit { "end".to_owned() } else { format!("cycle {}", i + 1) };
            marks.push(ScheduleMark::new(start as u64, label));
        }
        marks
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let last = self.cycle_limit.saturating_sub(1) as f64;
        let highest = scaled(base_lr, self.cycle_decay.powf(last)).max(base_lr);
        Some(ordered(self.lr_min, highest.max(self.lr_min))).map(|(low, high)| {
            // Decayed cycles may start below `lr_min` and rise to it.
            (low.min(scaled(base_lr, self.cycle_decay.powf(last).min(1.0))), high)
        })
    }
}
